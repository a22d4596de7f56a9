"""Which column of a table holds what: taken where it is plain, else asked for with an option that
works when pasted."""

import json
import re

import pytest
from reading import ANY, SPLIT, TRUTH, error_of, labels, load, paste, splits
from samples import TITLES, N, cell, dataset, encode, lay, pixels, put

from xray.data import resplit
from xray.data_choices import Choices

FOUR = ["x{n},1,0,0", "x{n},0,1,0", "x{n},1,0,0", "x{n},0,0,1"]


@pytest.mark.parametrize(
    "header, lines, asked",
    [
        # labels
        ("id,finding,diagnosis", "x{n},{title},{title}", "--label finding"),
        ("id,Normal,Pneumonia,COVID", "x{n},{well},{ill},0", "--label Normal,Pneumonia"),
        ("id,No Finding,Pneumonia", "x{n},{well},{ill}", "--label 'No Finding,Pneumonia'"),
        ("id,Negative for Pneumonia,Typical,Other", FOUR, "--label 'Negative for Pneumonia,Ty"),
        ("id,age,is_sick", "x{n},30,{ill}", "--label is_sick"),
        ("id,reading of the film", "x{n},{title}", "--label 'reading of the film'"),
        ("id,-grade", "x{n},{title}", "--label=-grade"),
        ('id,a,"b""c\'d"', "x{n},1,{title}", "--label"),
        # a column that flags health is not inverted
        ("id,No Finding", "x{n},{well}", "--label 'No Finding'"),
        ("id,Negative for Pneumonia", "x{n},{well}", "--label 'Negative for Pneumonia'"),
        ("id,normal", "x{n},{well}", "--label normal"),
        # two columns that tell different labels, and two that agree
        ("id,label,label_text", "x{n},{well},{title}", "tell different labels"),
        ("id,label,disease", "x{n},{well},{title}", "tell different labels"),
        (
            "id,category,pneumonia",
            ["x{n},0,{ill}"] * 2 + ["x{n},1,{ill}"] * 2,
            "tell different labels",
        ),
        ("id,label,label_text,pneumonia,normal", "x{n},{ill},{title},{ill},{well}", ""),
        (
            "id,label,cause",
            ["x{n},1,NORMAL", "x{n},0,VIRUS", "x{n},1,NORMAL", "x{n},0,BACTERIA"],
            "tell",
        ),
        ("id,label,normal", "x{n},{well},{well}", "tell different labels"),
        ("id,label,No Finding,Lung Opacity", "x{n},{well},{well},{ill}", "tell different labels"),
        ("id,target,pneumonia", ["x{n},1,N", "x{n},0,Y"], "tell different labels"),
        ("id,label,cause", ["x{n},0,NORMAL", "x{n},1,VIRUS", "x{n},0,", "x{n},1,BACTERIA"], ""),
        ("id,label,class", "x{n},{well},{title}", "such as --label class"),  # not the codes
        ("id,no finding", ["x{n},present", "x{n},absent"], "--label 'no finding'"),
        ("id,pneumonia,sex", ["x{n},0,1", "x{n},1,1", "x{n},0,0", "x{n},1,0"], ""),
        # a value that is its column's name is no sign of a missing header
        ("id,pneumonia", ["x{n},normal", "x{n},pneumonia"], "--label pneumonia"),
        # a name that columns of ours have too
        ("id,label,readings", "x{n},{ill},01", ""),
        # films: mx0 to mx23 lie there too
        ("id,label,mask", "x{n},{title},mx{n}", ""),
        ("first,second,label", "x{n},mx{n},{title}", "--image first"),
        ("image,prior,label", "y{n},x{n},{title}", "its column image names no files that exist"),
        ("id,label,patient,subject_id", "x{n},{title},1,2", "--patient patient"),
    ],
)
def test_a_doubt_about_columns_is_asked_with_an_option_that_works(tmp_path, header, lines, asked):
    lines = [lines] if isinstance(lines, str) else lines
    folder = lay(tmp_path / "set", tables={"labels.csv": [header, *lines]})
    for n in N:
        put(folder / f"mx{n}.png", encode(pixels(n + 24)))
    found, said = paste(folder)
    assert labels(found) == TRUTH
    assert asked in said[0] if asked else said == []


@pytest.mark.parametrize(
    "header, line, told",
    [
        ("id,Target", "{n},{ill}", False),
        ("Target,patient_id,id", "{ill},{who},{n}", True),
        ("patientId,Target", "{n},{ill}", True),
        ("patient,Target,path", "{who},{ill},{n}.png", True),
        # an index written along, which names other films
        (",film,label", "{who},{n}.png,{title}", False),
        (",image,label", "{who},{n}.png,{title}", False),
    ],
)
def test_files_whose_names_are_numbers(tmp_path, header, line, told):
    """The column that names them is found beside those of patients, labels and an index."""
    folder = lay(tmp_path / "set", "{n}.png", {"labels.csv": [header, line]})
    found, said = paste(folder)
    assert said == [] and labels(found) == TRUTH
    assert bool(found.facts["patient_numbers"]) == told


@pytest.mark.parametrize("header", ["id,image,label", "id,film,label"])
def test_two_columns_that_name_different_films_are_asked_about(tmp_path, header):
    table = [header, "{who},{n}.png,{title}"]
    text = error_of(lay(tmp_path / "set", "{n}.png", {"labels.csv": table}), choices=ANY)
    assert "name different files; say which names the images, such as --image " in text


@pytest.mark.parametrize("column, name", [("image", "x{n}.png"), ("id", "{n}")])
def test_a_column_of_thumbnails_does_not_take_the_films_place(tmp_path, column, name):
    file = name if "." in name else f"{name}.png"
    table = [f"{column},thumbnail,label", f"{name},small/t{file},{{title}}"]
    folder = lay(tmp_path / "set", f"films/{file}", {"labels.csv": table})
    for n in N:
        put(folder / "small" / f"t{file}".format(n=n), encode(pixels(n + 24)))
    found, said = paste(folder)
    if column == "image":
        assert said == [] and labels(found) == TRUTH
    else:  # a column id of numbers may number anything
        assert "name different files" in said[0]
    # of one name in two folders neither is taken
    table = [f"{column},thumbnail,label", f"{name},small/{file},{{title}}"]
    lay(folder, f"small/{file}", {"labels.csv": table})
    assert "several are called so (films/" in error_of(folder, choices=ANY)


def test_ages_name_no_films_where_one_is_blank(tmp_path):
    lines = ["c{n},{n},{title}"] * 5 + ["c{n},,{title}"]
    folder = lay(tmp_path / "set", "{n}.png", {"labels.csv": ["case,age,label", *lines]})
    assert "no image column" in error_of(folder, choices=ANY)


@pytest.mark.parametrize("columns, plain", [("image mask", True), ("frontal lateral", False)])
def test_of_two_columns_that_hold_images_the_one_called_image_is_taken(tmp_path, columns, plain):
    first, second = columns.split()
    films, others = [cell(n, f"x{n}.png") for n in N], [cell(n + 24, f"m{n}.png") for n in N]
    path = tmp_path / "films.parquet"
    made = {first: films, second: others, "label": [TITLES[n % 2] for n in N]}
    dataset(made | {"pathology": ["clear"] * 24}).to_parquet(path)
    if plain:
        found = load(path, choices=ANY)
        assert labels(found) == TRUTH and set(found.table.pathology) == {"clear"}, "names no file"
    else:
        text = error_of(path, choices=ANY)
        assert "several columns hold images (frontal, lateral)" in text and "again" not in text


def test_splits_in_other_words(tmp_path):
    words = {"train": "train_set", "val": "Val set", "test": "test_v2"}
    lines = ["x{n}.png,{title}," + words[split] for split in words for _ in TITLES]
    folder = lay(tmp_path / "set", tables={"labels.csv": ["image,label,split", *lines]})
    assert splits(load(folder)) == SPLIT


def test_values_of_a_split_column_that_are_no_splits_are_told(tmp_path):
    lines = ["x{n}.png,{title},Trainset", "x{n}.png,{title},Holdout"]
    folder = lay(tmp_path / "set", tables={"labels.csv": ["image,label,split", *lines]})
    said = error_of(folder)
    assert "its column split says Trainset (12), Holdout (12), which is no split" in said


def test_two_columns_of_splits_that_differ_are_asked_about(tmp_path):
    lines = ["x{n}.png,{title},train,test", "x{n}.png,{title},test,train"]
    header = "image,label,old_split,new_split"
    folder = lay(tmp_path / "set", tables={"labels.csv": [header, *lines]})
    assert "old_split and new_split tell different splits" in error_of(folder, choices=ANY)


def test_patients_that_are_not_known_are_not_one(tmp_path):
    lines = ["x{n}.png,{title},p{who}", "x{n}.png,{title},NA"]
    folder = lay(tmp_path / "set", tables={"labels.csv": ["image,label,patient", *lines]})
    assert load(folder, choices=ANY).facts["patients"]["named"] == 12


@pytest.mark.parametrize("value", ["holdout", "", "fold 3"])
def test_another_value_in_a_split_column_is_told(tmp_path, value):
    lines = ["x{n}.png,{title},{split}"] * 6 + ["x{n}.png,{title}," + value] * 2
    folder = lay(tmp_path / "set", tables={"labels.csv": ["image,label,subset", *lines]})
    text = error_of(folder)
    assert (value or "nothing") in text and "subset" in text and "--split image" in text
    found = load(folder, choices=ANY)
    assert (value or "nothing") in found.notes[0] and labels(found) == TRUTH


# ---- patients


@pytest.mark.parametrize(
    "column, told",
    [
        ("patient", True),
        ("patient_id", True),
        ("Patient ID", True),
        ("PatientID", True),
        ("subject_id", True),
        ("SUBJECT-ID", True),
        ("patient_age", False),
    ],
)
def test_a_column_of_patients_is_known_by_its_whole_name(tmp_path, column, told):
    table = [f"image,label,split,{column}", "x{n}.png,{title},{split},{who}"]
    facts = load(lay(tmp_path / "set", tables={"labels.csv": table})).facts
    assert facts["patient_numbers"] == [row // 2 for row in N if told], "in the order of the films"
    by_column = f"patients: known of 24 of 24 images, by column {column}"
    assert (facts["taken"][-1] == by_column) == told


def test_a_column_of_patients_holds_for_splits_and_audit(tmp_path):
    """Each patient has two films; of the last one the table says nothing."""
    lines = ["x{n}.png,{title},70{who:02d}"] * 22 + ["x{n}.png,{title},"] * 2
    folder = lay(tmp_path / "set", tables={"labels.csv": ["image,label,patient", *lines]})
    found = load(folder, choices=Choices(split="patient-0"))
    for by_patient in (found, resplit(found, "patient", 5)):
        where = splits(by_patient)
        assert all(where[n] == where[n + 1] for n in range(0, 22, 2))
    patients = found.facts["patients"]
    assert [patients[key] for key in ("told", "named", "unnamed")] == [22, 22, 2]
    assert all(one["all"]["shared"] == 0 for one in patients["overlap"].values())
    assert found.facts["taken"][-1] == "patients: known of 22 of 24 images, by column patient"
    assert found.notes[1].startswith("For 2 of 24 images no patient is known")

    by_image = load(folder, choices=ANY)
    where = splits(by_image)
    test = [n for n in range(22) if where[n] == "test"]
    shared = sum(where[n ^ 1] != "test" for n in test)
    overlap = by_image.facts["patients"]["overlap"]["test in train or validation"]["all"]
    assert overlap["shared"] == shared > 0
    other = lay(tmp_path / "set", tables={"labels.csv": ["image,label,patient", *lines[::-1]]})
    assert load(other, choices=ANY).fingerprint != by_image.fingerprint, "of other patients"


def test_who_they_are_is_not_in_the_facts(tmp_path):
    header = "image,label,patient,patient_name,birth_date,report,sex"
    line = "x{n}.png,{title},MRN{who:05d},Doe^Jane{n},1970-01-{n:02d},fell ill,F"
    folder = lay(tmp_path / "set", tables={"labels.csv": [header, line]})
    found = load(folder, choices=ANY)
    text = json.dumps(found.facts) + json.dumps(found.notes)
    assert not re.search("MRN0|Doe|1970|fell ill", text)
    assert list(found.table.sex) == ["F"] * 24 and found.table.patient[0].startswith("MRN")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*.json"))
    assert kept and b"Doe" not in kept and b"MRN0" not in kept


def test_columns_that_each_table_spells_in_its_own_way_are_one(tmp_path):
    tables = {"train.csv": ["file,label", "x{n}.png,{title}"]}
    folder = lay(tmp_path / "set", tables=tables)
    for n in N:
        put(folder / f"y{n}.png", encode(pixels(n + 24)))
    lines = [f"y{n}.png,{TITLES[n % 2]}" for n in N]
    put(folder / "test.csv", "\n".join(["File,Label", *lines]).encode())
    found = load(folder, choices=ANY)
    assert len(found.paths) == 48 and {**labels(found), **TRUTH} == labels(found)

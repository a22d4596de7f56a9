"""Which column of a table holds what: taken where it is plain, else asked for with an option."""

import json
import re

import pytest
from samples import (
    ANY,
    SPLITS,
    TITLES,
    encode,
    error_of,
    films,
    gray,
    load,
    parquet,
    pixels,
    said,
    table,
)
from test_data_tables import check, listing, loose

from xray.data import resplit
from xray.data_choices import Choices, DataError


@pytest.mark.parametrize(
    "header, cells, offered",
    [
        ("id,finding,diagnosis", "{n},{t},{t}", "--label"),
        ("id,Normal,Pneumonia,COVID", "{n},{w},{i},0", "--label"),
        ("id,No Finding,Pneumonia", "{n},{w},{i}", "--label"),
        ("id,age,is_sick", "{n},30,{i}", "--label is_sick"),
        ("id,reading of the film", "{n},{t}", "--label 'reading of the film'"),
        ("id,-grade", "{n},{t}", "--label=-grade"),
        ("id,a,b\"c'd", "{n},1,{t}", "--label"),
        ("id,label,mask", "{n},{t},m{n}", ""),
        ("first,second,label", "{n},m{n},{t}", "--image first"),
        ("id,label,patient,subject_id", "{n},{t},1,2", "--patient patient"),
    ],
)
def test_a_doubt_about_columns_is_asked_with_an_option_that_works(tmp_path, header, cells, offered):
    names = [f"x{n}.png" for n in range(24)] + [f"mx{n}.png" for n in range(24)]
    folder = films(tmp_path / "set", names)
    lines = [cells.format(n=f"x{n}", t=TITLES[n % 2], w=1 - n % 2, i=n % 2) for n in range(24)]
    quoted = ",".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in header.split(","))
    table(folder, quoted, lines)
    choices = ANY
    if offered:
        text = error_of(tmp_path, folder, choices=ANY)
        assert offered in text and "its columns" in text or "it has" in text
        choices = said(text.split("such as ")[-1])
    try:
        found = load(folder, tmp_path, choices=choices)
    except DataError as error:  # the classes are asked for next
        assert "--positive" in str(error)
        more = said(str(error).split("say it with ")[1].split(" (a class")[0])
        choices = Choices(more.positive, more.negative, "image-0", choices.label)
        found = load(folder, tmp_path, choices=choices)
    truth = {f"x{n}": n % 2 for n in range(24)}
    assert {path: int(label) for path, label in zip(found.paths, found.labels)} == truth


@pytest.mark.parametrize("column", ["No Finding", "Negative for Pneumonia", "normal"])
def test_a_column_that_flags_health_is_not_inverted(tmp_path, column):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(24)])
    table(folder, f"id,{column}", [f"x{n}.png,{1 - n % 2}" for n in range(24)])
    found = load(folder, tmp_path, choices=Choices(split="image-0", label=column))
    assert {p: int(y) for p, y in zip(found.paths, found.labels)} == {
        f"x{n}.png": n % 2 for n in range(24)
    }


def test_several_columns_of_0_and_1_are_the_classes(tmp_path):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(24)])
    flags = ("1,0,0", "0,1,0", "0,0,1")
    header = "id,Negative for Pneumonia,Typical Appearance,Atypical Appearance"
    table(folder, header, [f"x{n}.png,{flags[n % 3]}" for n in range(24)])
    offered = error_of(tmp_path, folder, choices=ANY).split("such as ")[-1]
    asked = error_of(tmp_path, folder, choices=said(offered))
    offered += " " + asked.split("say it with ")[1].split(" (a class")[0]
    found = load(folder, tmp_path, choices=said(offered))
    assert {p: int(y) for p, y in zip(found.paths, found.labels)} == {
        f"x{n}.png": int(n % 3 > 0) for n in range(24)
    }


def test_a_column_named_pathology_holds_no_files(tmp_path):
    def change(columns, features):
        import datasets

        columns["pathology"] = ["clear"] * len(columns["labels"])
        features["pathology"] = datasets.Value("string")
        del columns["image_file_path"], features["image_file_path"]

    found = load(parquet(tmp_path / "set", change=change), tmp_path)
    assert len(set(found.paths)) == 14 and set(found.table.pathology) == {"clear"}


@pytest.mark.parametrize("value", ["holdout", "", "fold 3"])
def test_another_value_in_a_split_column(tmp_path, value):
    folder = films(tmp_path / "set", [f"{n}.png" for n in range(40)])
    splits = ("train", "train", "val", "test", value)
    lines = [f"{n}.png,{TITLES[n // 5 % 2]},{splits[n % 5]}" for n in range(40)]
    table(folder, "image,label,subset", lines)
    text = error_of(tmp_path, folder)
    assert (value or "nothing") in text and "subset" in text and "--split image" in text
    found = load(folder, tmp_path, choices=ANY)
    assert (value or "nothing") in found.notes[0] and len(found.paths) == 40


def test_who_they_are_is_not_in_the_facts(tmp_path):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(40)])
    header = "image,label,patient,patient_name,birth_date,report,sex"
    lines = [
        f"x{n}.png,{TITLES[n % 2]},MRN{n // 2:05d},Doe^Jane{n},1970-01-{n:02d},fell ill,F"
        for n in range(40)
    ]
    table(folder, header, lines)
    found = load(folder, tmp_path, choices=ANY)
    text = json.dumps(found.facts) + json.dumps(found.notes)
    assert not any(word in text for word in ("MRN0", "Doe", "1970", "fell ill"))
    assert list(found.table.sex) == ["F"] * 40 and found.table.patient[0].startswith("MRN")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*.json"))
    assert b"Doe" not in kept and b"MRN0" not in kept


@pytest.mark.parametrize(
    "column", ["patient", "patient_id", "Patient ID", "subject_id", "PatientID", "SUBJECT-ID"]
)
def test_a_column_of_patients_holds_for_splits_and_audit(tmp_path, column):
    """Names of files say nothing; each patient has two films, the last two rows none named."""
    folder, names = tmp_path / "set", ("NORMAL", "PNEUMONIA")
    folder.mkdir()
    lines = []
    for number in range(62):
        (folder / f"{number}.png").write_bytes(encode(pixels(number)))
        who = 7000 + number % 30 if number < 60 else ""
        lines.append((f"{number}.png", names[number % 2], who))
    listing(folder / "films.csv", lines, ("path", "label", column))
    found = load(folder, tmp_path, choices=Choices(split="patient-0"))
    who = {f"{number}.png": number % 30 for number in range(60)}
    seen = [{who.get(path, path) for path in found.part(split).paths} for split in SPLITS]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    patients = found.facts["patients"]
    assert [patients[key] for key in ("told", "named", "unnamed")] == [60, 60, 2]
    assert all(one["all"]["shared"] == 0 for one in patients["overlap"].values())
    assert found.facts["taken"][-1] == f"patients: known of 60 of 62 images, by column {column}"
    assert found.notes[1].startswith("Of 2 of 62 images no patient is known")
    assert not re.search(r"\b70[0-2]\d\b", json.dumps(found.facts)), "who they are is kept out"
    again = resplit(found, "patient", 5)
    seen = [{who.get(path, path) for path in again.part(split).paths} for split in SPLITS]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]

    by_image = load(folder, tmp_path, choices=Choices(split="image-0"))
    overlap = by_image.facts["patients"]["overlap"]["test in train or validation"]["all"]
    rest = {who.get(path) for path in by_image.train.paths + by_image.validation.paths}
    shared = sum(who.get(path, path) in rest for path in by_image.test.paths)
    assert overlap["shared"] == shared > 0


def test_a_column_of_another_name_tells_no_patients(tmp_path):
    made = loose(tmp_path / "set", "{split}/{title}")
    lines = [(path, name, "one") for path, _, name in made]
    listing(tmp_path / "set" / "metadata.csv", lines, ("file_name", "label", "patient_age"))
    found = load(tmp_path / "set", tmp_path, 24)
    check(found)
    assert found.facts["patient_numbers"] == [] and "told" not in found.facts["patients"]
    other = [(path, name, n // 2) for n, (path, _, name) in enumerate(made)]
    listing(tmp_path / "set" / "metadata.csv", other, ("file_name", "label", "patient_id"))
    told = load(tmp_path / "set", tmp_path, 24)
    assert told.facts["patient_numbers"] == [n // 2 for n in range(len(made))]
    assert told.fingerprint != found.fingerprint, "splits by patient are others"


def test_the_report_says_whence_patients_are_known(tmp_path):
    from commands import TINY, train

    from xray import report, study

    made = loose(tmp_path / "set", "{split}/{title}")
    lines = [(path, name, n % 5) for n, (path, _, name) in enumerate(made)]
    listing(tmp_path / "set" / "metadata.csv", lines, ("file_name", "label", "patient_id"))
    some = ("--data", tmp_path / "set", *TINY, "--model", "20", "--seeds", "0", "--epochs", "1")
    assert train(*some, "--out", tmp_path / "out") == 0
    place = tmp_path / "out" / "results"
    page = report.markdown(report.Report(study.read(place, study.choose(place)[0])))
    page = " ".join(page.split())
    assert "data's own column says who is shown in 14 images, file names in 0 more" in page
    assert "test in train | 3 of 3 (100" in page
    assert "File names say who is shown" not in page


@pytest.mark.parametrize(
    "header, line, told",
    [
        ("id,Target", "{n},{label}", False),
        ("Target,patient_id,id", "{label},{who},{n}", True),
        ("patientId,Target", "{n},{label}", True),
        ("patient,Target,path", "{n},{label},{n}.png", True),
    ],
)
def test_files_whose_names_are_numbers(tmp_path, header, line, told):
    """The column that names them is found beside one of patients and one of labels, 0 and 1."""
    folder = tmp_path / "set"
    folder.mkdir()
    lines = []
    for n in range(20):
        (folder / f"{n}.png").write_bytes(encode(pixels(n)))
        lines.append(line.format(n=n, label=n % 2, who=n // 2).split(","))
    listing(folder / "films.csv", lines, header.split(","))
    found = load(folder, tmp_path, 24, choices=ANY)
    for i, path in enumerate(found.paths):
        number = int(path.removesuffix(".png"))
        assert found.labels[i] == number % 2
        assert (found.images[i, 0] == gray(encode(pixels(number)))).all()
    assert len(set(found.paths)) == 20 and bool(found.facts["patient_numbers"]) == told

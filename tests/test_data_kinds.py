"""More inputs of the kinds of test_data_cases.py, each as a person may have it."""

import argparse
import json
import os
import shlex
from collections import Counter, defaultdict

import numpy as np
import pytest
from samples import SPLITS, class_folders, encode, error_of, load, parquet, pixels
from test_data_cases import ANY, ILL, WELL, films, table

from scripts import options
from xray import data_sources, data_splits
from xray.data_sources import Choices, DataError

TITLES = (WELL, ILL)


def parsed(text: str) -> Choices:
    """What the options that a message offers say: those behind "say ..." up to its end."""
    words = shlex.split(text)
    start = next(at for at, word in enumerate(words) if word.startswith("--"))
    parser = argparse.ArgumentParser(exit_on_error=False)
    options.add_choices(parser)
    args, _ = parser.parse_known_args(words[start:])
    return Choices(args.positive, args.negative, "image-0", args.label, args.image, args.patient)


# ---- which file a name is


@pytest.mark.parametrize("kind", ["csv", "jsonl", "tsv"])
@pytest.mark.parametrize("name", ["{n:04d}.png", "{n:04d}", "films/{n:04d}.png"])
def test_each_splits_own_table_names_its_own_files(tmp_path, kind, name):
    number = 0
    for split in ("train", "validation", "test"):
        lines = []
        for n in range(6):
            number += 1
            inner = name.format(n=n)
            path = tmp_path / "set" / split / (inner if "." in inner else inner + ".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(pixels(number)))
            lines.append((inner, TITLES[n % 2]))
        place = tmp_path / "set" / split / f"metadata.{kind}"
        if kind == "jsonl":
            rows = [json.dumps({"file_name": file, "label": title}) for file, title in lines]
        else:
            rows = ["\t,"[kind == "csv"].join(line) for line in [("file_name", "label"), *lines]]
        place.write_text("\n".join(rows))
    found = load(tmp_path / "set", tmp_path, 24)
    assert {split: len(rows) for split, rows in found.index.items()} == dict.fromkeys(SPLITS, 6)
    for row in range(18):
        assert (found.images[row, 0] == pixels(row + 1)).all(), "the film of its own split"


@pytest.mark.parametrize(
    "missing, there",
    [
        ("train/n90.png", "test/n90.png"),
        ("train/n90", "val/n90.png"),
        ("train\\n90.png", "val/n90.png"),
        ("a/train/n90.png", "b/train/n90.png"),
        ("train/n90.png", "n90.png"),
        ("train/n90.png", "train/more/n90.png"),
    ],
)
def test_a_missing_file_stays_missing(tmp_path, missing, there):
    names = [f"{split}/n{n}.png" for split in ("train", "val", "test") for n in range(4)]
    folder = films(tmp_path / "set", [*names, there])
    lines = [f"{name},{TITLES[n % 2]}" for n, name in enumerate(names)]
    table(folder, "file,label", [*lines, f"{missing},NORMAL"])
    assert missing.replace("\\", "\\") in error_of(tmp_path, folder, choices=ANY)


def test_a_name_missing_in_its_split_is_not_found_in_another(tmp_path):
    for split in ("train", "validation", "test"):
        films(tmp_path / "set" / split, [f"{n}.png" for n in range(4)])
        lines = [f"{n}.png,{TITLES[n % 2]}" for n in range(4 + (split == "test"))]
        table(tmp_path / "set" / split, "file_name,label", lines, "metadata.csv")
    films(tmp_path / "set" / "train", ["4.png"])
    assert "4.png" in error_of(tmp_path, tmp_path / "set")


def test_one_file_serves_one_name(tmp_path):
    folder = films(tmp_path / "set", [f"a/{n}.png" for n in range(20)])
    lines = [f"a/{n}.png,{TITLES[n % 2]}" for n in range(20)]
    table(folder, "file,label", [*lines, "3.png,PNEUMONIA"])
    assert "are one file, 3.png" in error_of(tmp_path, folder, choices=ANY)


def test_a_common_beginning_of_names_may_be_another_machines(tmp_path):
    folder = films(tmp_path / "set", [f"img/{n}.png" for n in range(20)])
    for start in ("/home/me/lungs/img", "C:\\lungs\\img", "lungs/img"):
        sep = "\\" if "\\" in start else "/"
        table(folder, "file,label", [f"{start}{sep}{n}.png,{TITLES[n % 2]}" for n in range(20)])
        assert len(load(folder, tmp_path, choices=ANY).paths) == 20


def test_a_table_alone_looks_at_no_more_than_it_names(tmp_path, monkeypatch):
    """DATA=downloads/labels.csv: what else lies in downloads is not its own."""
    folder = films(tmp_path / "downloads", [f"x{n}.png" for n in range(20)])
    films(folder / "other", ["a.png"])
    table(folder, "image,label,view", [f"x{n}.png,{TITLES[n % 2]},AP" for n in range(20)])
    seen, listdir, scandir = [], os.listdir, os.scandir
    monkeypatch.setattr(os, "listdir", lambda path: (seen.append(str(path)), listdir(path))[1])
    monkeypatch.setattr(os, "scandir", lambda path: (seen.append(str(path)), scandir(path))[1])
    first = data_sources.find(str(folder / "labels.csv"))
    assert set(seen) == {str(folder)}
    (folder / "out").mkdir()
    (folder / "out" / "given.jsonl").write_text("{}")
    (folder / "notes.png").write_bytes(b"x")
    assert data_sources.find(str(folder / "labels.csv")).identity == first.identity
    assert len(load(folder / "labels.csv", tmp_path, choices=ANY).paths) == 20


def test_records_beside_the_films_change_nothing(tmp_path):
    """--out in the folder of the films."""
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(20)])
    table(folder, "image,label", [f"x{n}.png,{TITLES[n % 2]}" for n in range(20)])
    first = data_sources.find(str(folder))
    films(folder / "out" / "results", ["latest", "set/given.jsonl", "set/data.json"])
    films(folder / "out", ["fig-1.png", "report.csv"])
    again = data_sources.find(str(folder))
    assert again.identity == first.identity and again.left_out == first.left_out


# ---- which column is what


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
        choices = parsed(text.split("such as ")[-1])
    try:
        found = load(folder, tmp_path, choices=choices)
    except DataError as error:  # the classes are asked for next
        assert "--positive" in str(error)
        more = parsed(str(error).split("say it with ")[1].split(" (a class")[0])
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
    asked = error_of(tmp_path, folder, choices=parsed(offered))
    offered += " " + asked.split("say it with ")[1].split(" (a class")[0]
    found = load(folder, tmp_path, choices=parsed(offered))
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


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"])
def test_text_tables_with_byte_order_marks_and_quotes(tmp_path, sep, eol):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(20)])
    rows = [sep.join(('"a, b; c"', f"x{n}.png", f'"{TITLES[n % 2]} "')) for n in range(20)]
    text = eol.join([sep.join(('"remarks, all; of them"', "image", "label")), *rows])
    (folder / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = load(folder, tmp_path, choices=ANY)
    assert len(found.paths) == 20 and found.facts["classes"] == {WELL: 0, ILL: 1}


# ---- rows of one image


def test_one_image_with_two_splits_or_two_patients_is_refused(tmp_path):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(20)])
    lines = [f"x{n}.png,{TITLES[n % 2]},train,p{n}" for n in range(20)]
    for more in ("x3.png,PNEUMONIA,test,p3", "x3.png,PNEUMONIA,train,p4"):
        table(folder, "image,label,split,patient", [*lines, more])
        assert "one image x3.png" in error_of(tmp_path, folder, choices=ANY)


def test_readers_who_contradict_each_other_are_counted(tmp_path):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(40)])
    lines = [f"x{n},{TITLES[n % 2]},R1" for n in range(40)]
    lines += [f"X{n}.PNG,{TITLES[(n + (n < 3)) % 2]},R2" for n in range(0)]
    lines += [f"x{n},{TITLES[(n + (n < 3)) % 2]},R2" for n in range(40)]
    table(folder, "image,label,reader", lines)
    found = load(folder, tmp_path, choices=ANY)
    assert len(found.paths) == len(set(found.paths)) == 37
    assert "3 images whose rows contradict each other" in found.notes[0]
    assert found.facts["left_out"] == {"images whose rows contradict each other": 3}


def test_one_file_in_the_tables_of_two_splits_is_refused(tmp_path):
    folder = films(tmp_path / "set", [f"images/{n}.png" for n in range(20)])
    for start, split in ((0, "train"), (8, "val"), (14, "test")):
        lines = [f"{n}.png,{TITLES[n % 2]}" for n in range(start, min(start + 8, 20))]
        table(folder, "image,label", lines, f"{split}.csv")
    assert "14.png is in the " in error_of(tmp_path, folder)


def test_images_without_names_are_numbered(tmp_path):
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "set").mkdir()
    for shard in range(2):
        films_ = [encode(pixels(n + shard * 12)) for n in range(12)]
        content = {"image": films_, "label": [TITLES[n % 2] for n in range(12)]}
        place = tmp_path / "set" / f"part-{shard}.parquet"
        pyarrow.parquet.write_table(pyarrow.table(content), place, row_group_size=5)
    found = load(tmp_path / "set", tmp_path, 24, choices=ANY)
    assert sorted(found.paths) == [f"whole/{n:06d}" for n in range(24)]
    for row, path in enumerate(found.paths):
        assert (found.images[row, 0] == pixels(int(path[-6:]))).all()
        assert found.read(row) == encode(pixels(int(path[-6:])))


def test_one_image_in_several_rows_of_parquet(tmp_path):
    import datasets

    rows = [(n, TITLES[n % 2]) for n in range(24)] + [(n, TITLES[n % 2]) for n in range(5)]
    rows += [(5, WELL)]  # a reader who saw nothing
    cells = [{"bytes": encode(pixels(n)), "path": f"x{n}.png"} for n, _ in rows]
    content = {"image": cells, "label": [title for _, title in rows]}
    features = {"image": datasets.Image(decode=False), "label": datasets.Value("string")}
    made = datasets.Dataset.from_dict(content, features=datasets.Features(features))
    (tmp_path / "set").mkdir()
    made.to_parquet(str(tmp_path / "set" / "0000.parquet"))
    found = load(tmp_path / "set", tmp_path, choices=ANY)
    assert len(found.paths) == len(set(found.paths)) == 23
    assert found.notes[0].startswith("1 images whose rows contradict each other are left out: x5")


def test_an_option_that_names_a_column_needs_a_table(tmp_path):
    folder = class_folders(tmp_path / "set")
    for choices in (Choices(label="a"), Choices(image="a"), Choices(patient="a")):
        assert "there is no table" in error_of(tmp_path, folder, choices=choices)


# ---- patients


def test_films_of_version_3_keep_their_patients_together(tmp_path):
    folder = tmp_path / "set"
    for number in range(30):
        for shot in range(1, 3):
            for title, start in ((WELL, "NORMAL"), (ILL, ("BACTERIA", "VIRUS")[number % 2])):
                films(folder / title, [f"{start}-{7000 + number}-{shot:04d}.jpeg"])
    found = load(folder, tmp_path, choices=Choices(split="patient-0"))
    seen = defaultdict(set)
    for split, rows in found.index.items():
        for row in rows:
            seen[found.paths[row].rsplit("-", 1)[0]].add(split)
    assert len(seen) == 60 and all(len(splits) == 1 for splits in seen.values())
    assert found.facts["patients"]["unnamed"] == 0
    assert found.facts["patients"]["causes"]["train"].keys() == {"bacteria", "virus"}


def test_patients_not_known_are_not_counted_as_none_shared(tmp_path):
    folder = class_folders(tmp_path / "set")
    for path in folder.rglob("*.png"):
        path.rename(path.with_name(f"film-{path.stem[-3:]}{len(path.stem)}.png"))
    found = load(folder, tmp_path)
    overlap = found.facts["patients"]["overlap"]["test in train"]["all"]
    assert overlap == {"images": 3, "known": 0, "shared": None, "patients": None}
    assert found.facts["taken"][-1].startswith("patients: not known")
    with pytest.raises(DataError, match="no image's patient is known; --split image"):
        data_splits.resplit(found, "patient", 0)


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


# ---- folders


@pytest.mark.parametrize(
    "place",
    [
        "train/NORMAL/images/x.png",
        "train/NORMAL/masks/x.png",
        "train/NORMAL/Lung Masks/x.png",
        "train/NORMAL/infection masks/x.png",
        "train/NORMAL/LungMasks/x.png",
        "train/lung-masks/x.png",
        "ground truth masks/train/NORMAL/x.png",
        "train/NORMAL/segmentation/x.png",
        "train/NORMAL/IM-0001-0001_mask.png",
    ],
)
def test_masks_are_counted_and_are_no_films(tmp_path, place):
    folder = class_folders(tmp_path / "set")
    films(folder, [place])
    found = load(folder, tmp_path)
    if "images" in place:
        assert len(found.paths) == 15
    else:
        assert len(found.paths) == 14
        assert found.notes == ["1 masks and other drawings beside films are left out"]


def test_images_and_masks_in_each_class(tmp_path):
    """The COVID-19 Radiography Database."""
    names = [
        f"{title}/{kind}/{title}-{n}.png"
        for title in TITLES
        for kind in ("images", "masks")
        for n in range(12)
    ]
    found = load(films(tmp_path / "set", names), tmp_path, choices=ANY)
    assert Counter(found.table.title) == {WELL: 12, ILL: 12}


@pytest.mark.parametrize("splits", [("train", "val", "test"), ("Training", "Valid", "Testing")])
def test_class_above_split(tmp_path, splits):
    names = [f"{title}/{split}/{n}.png" for title in TITLES for split in splits for n in range(4)]
    found = load(films(tmp_path / "chest" / "set", names), tmp_path)
    for split, rows in found.index.items():
        for row in rows:
            title, folder, _ = found.paths[row].split("/")
            assert data_sources.SPLIT_NAMES[folder.lower()] == split
            assert found.labels[row] == TITLES.index(title)
    assert len(found.paths) == 24


@pytest.mark.parametrize(
    "name, content",
    [
        ("predictions.csv", "image,label\n" + "".join(f"{n}.png,{ILL}\n" for n in range(20))),
        ("metadata.csv", "file_name,age\n0.png,3\n"),
        ("train.csv", "file_name,class\n0.png,PNEUMONIA\n"),
        ("scores.jsonl", '{"image": "0.png", "label": "PNEUMONIA"}\n'),
        ("labels.tsv", "broken"),
    ],
)
def test_class_folders_come_before_any_table_that_is_not_named(tmp_path, name, content):
    folder = films(tmp_path / "set", [f"{TITLES[n % 2]}/{n}.png" for n in range(20)])
    (folder / name).write_text(content)
    found = load(folder, tmp_path, choices=ANY)
    assert [int(path.startswith(ILL)) for path in found.paths] == found.labels.tolist()
    assert "1 tables (class folders say the classes) are left out" in found.notes


def test_splits_and_masks_are_never_classes(tmp_path):
    for names in (
        ["train/a.png", "val/b.png", "test/c.png"],
        ["images/a.png", "masks/a.png"],
        ["train/a.png", "masks/b.png"],
    ):
        films(tmp_path / "set", names)
        text = error_of(tmp_path, tmp_path / "set", choices=ANY)
        assert "--positive" not in text and "--negative" not in text, text


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    folder, scandir = class_folders(tmp_path / "set"), os.scandir

    def refuse(path):
        if str(path).endswith("PNEUMONIA"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    text = error_of(tmp_path, folder)
    assert "PNEUMONIA: cannot be read (Permission denied)" in text


# ---- classes


@pytest.mark.parametrize(
    "classes",
    [
        ("Normal", "normal", "Pneumonia", "PNEUMONIA"),
        ("Normal", "Lung Opacity", "Viral Pneumonia"),
        ("Normal", "Pneumonia, bacterial", "Pneumonia, viral"),
        ("NORMAL", "-1 bacterial", "-2 viral"),
        ("Healthy", 'so-called "mild", 1', "it's severe"),
        ("No Finding", "a,b", "c=d"),
        ("sick", "ill"),
        ("Pneumonia", "Covid"),
        ("normal", "healthy", "Pneumonia"),
        tuple(f"class {n}" for n in range(9)),
        ("No Finding", "Pneumonia", *(f"class {n}" for n in range(9))),
    ],
)
def test_options_that_are_offered_work(tmp_path, classes):
    with pytest.raises(DataError) as caught:
        data_splits.label_mapping(list(classes))
    choices = parsed(str(caught.value).split("say it with ")[1].split(" (a class named")[0])
    mapping = data_splits.label_mapping(list(classes), choices)
    assert set(mapping.values()) == {0, 1}
    assert all(not data_splits.means_healthy(name) for name, label in mapping.items() if label) or (
        len(classes) == 3
    )
    if len(classes) < 7:
        assert set(mapping) == set(classes)
    assert Choices.of(choices.options) == choices


@pytest.mark.parametrize(
    "name, healthy",
    [
        ("no evidence of pneumonia", True),
        ("pneumonia negative", True),
        ("Pneumonia_No", True),
        ("COVID-negative", True),
        ("without pneumonia", True),
        ("normal (no pneumonia)", True),
        ("test-negative for pneumonia", True),
        ("PCR-negative pneumonia", False),
        ("Non-COVID pneumonia", False),
        ("Culture-negative pneumonia", False),
        ("non-bacterial pneumonia", False),
        ("normal or pneumonia", False),
        ("not healthy", False),
        ("unhealthy", False),
        ("un-healthy", False),
        ("Nicht-COVID Pneumonie", False),
        ("neumonía no COVID", False),
        ("clear of nothing", True),
    ],
)
def test_what_means_healthy(name, healthy):
    assert data_splits.means_healthy(name) == healthy


# ---- splits


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


def test_one_class_does_not_block_the_other():
    labels = np.array([0] * 5 + [0] + [1] * 5)
    who = ["a"] * 5 + [None] * 6
    room = np.array([[3, 3], [2, 1], [1, 1]])
    for seed in range(20):
        owner = data_splits.deal(who, labels, room, "patient", seed)
        assert np.bincount(owner[labels == 1], minlength=3).tolist() == [3, 1, 1]


# ---- bits


def test_several_kinds_of_bits_are_said(tmp_path):
    folder = tmp_path / "set"
    for n in range(20):
        wide = pixels(n).astype(np.uint16) * (16 if n < 10 else 256)
        path = folder / TITLES[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(wide if n % 4 else pixels(n)))
    [note] = load(folder, tmp_path, choices=Choices(), whole=True).notes
    assert "of 12 bits" in note and "of 16 bits" in note and "5 others have 8 bits" in note


# ---- the films in the box


def test_the_films_that_come_with_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load("films", tmp_path, 64)
    assert found.facts["kind"] == "films" and found.name == "films"
    assert found.facts["splits"] == {"train": 4077, "validation": 1165, "test": 582}
    assert "64×64 copies that come with the project" in found.notes[0]
    assert data_sources.licence("films").startswith("CC BY 4.0")
    other = load("films:elsewhere", tmp_path, 64, whole=True)
    assert len(other.paths) == 1000 and other.labels.sum() == 500
    assert list(other.table.columns[-5:]) == ["age", "sex", "view", "findings", "chexnet_pneumonia"]
    class_folders(tmp_path / "films")
    mine = load("films", tmp_path)
    assert len(mine.paths) == 14 and mine.facts["kind"] == "folders"
    assert "not the project's own films" in mine.notes[-1]

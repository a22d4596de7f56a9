"""Labels that stand in a table: which tables, which files they name, rows of one image."""

import json
import os
import re
import unicodedata
from collections import defaultdict

import pytest
from samples import (
    ANY,
    ILL,
    SPLITS,
    TITLES,
    WELL,
    class_folders,
    dicom_file,
    encode,
    error_of,
    films,
    gray,
    load,
    pixels,
    rows,
    table,
)

from xray import data_sources
from xray.data_choices import Choices

FOUND = list(rows())


def loose(folder, where="{split}/{title}"):
    """The small data set's images without class folders; (path, split, class) of each."""
    made = []
    for split, name, _, title, encoded in FOUND:
        path = folder / where.format(split=split, title=title)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)
        made.append((path.relative_to(folder).as_posix(), split, name))
    return made


def listing(path, lines, header, sep=","):
    path.write_text("\n".join(sep.join(map(str, line)) for line in [header, *lines]) + "\n")


def check(found):
    assert found.labels.tolist() == [row[2] for row in FOUND]
    assert [path.split("/")[-1] for path in found.paths] == [row[3] for row in FOUND]
    assert {split: len(found.index[split]) for split in SPLITS} == {
        split: sum(n) for split, n in SPLITS.items()
    }
    for i, row in enumerate(FOUND):
        assert (found.images[i, 0] == gray(row[4])).all()


# ---- which tables, and how they are written


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


def test_one_metadata_file_whose_paths_name_the_splits(tmp_path):
    made = loose(tmp_path / "set")
    lines = [(path, name) for path, _, name in made]
    listing(tmp_path / "set" / "metadata.csv", lines, ("file_name", "label"))
    check(load(tmp_path / "set", tmp_path, 24))


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize("given", ["folder", "file"])
def test_a_table_of_paths_labels_and_splits(tmp_path, sep, given):
    """The well-known archive's other table: names without folders, the split in a column."""
    made = loose(tmp_path / "set", "images/{title}")
    lines = [(i, p.split("/")[1], n, s.upper()) for i, (p, s, n) in enumerate(made)]
    header = ("", "X_ray_image_name", "Label", "Dataset_type")
    listing(tmp_path / "set" / "films.csv", lines, header, sep)
    source = tmp_path / "set" / ("films.csv" if given == "file" else "")
    found = load(source, tmp_path, 24)
    check(found)
    assert found.name == ("films" if given == "file" else "set")


def test_a_table_without_splits_and_with_numbers(tmp_path):
    made = loose(tmp_path / "set", "images/{title}")
    lines = [(path, int(name == "PNEUMONIA")) for path, _, name in made]
    listing(tmp_path / "set" / "films.csv", lines, ("path", "target"))
    assert "--split patient" in error_of(tmp_path, tmp_path / "set")
    found = load(tmp_path / "set", tmp_path, choices=Choices(split="image-0"))
    assert found.facts["classes"] == {"0": 0, "1": 1}
    labels = {path: int("person" in path) for path, _, _ in made}
    assert {path: label for path, label in zip(found.paths, found.labels)} == labels


def test_a_changed_image_is_another_content(tmp_path):
    made = loose(tmp_path / "set")
    listing(tmp_path / "set" / "metadata.csv", [(p, n) for p, _, n in made], ("file_name", "label"))
    first = load(tmp_path / "set", tmp_path)
    (tmp_path / "set" / made[0][0]).write_bytes(encode(pixels(99)))
    assert load(tmp_path / "set", tmp_path).fingerprint != first.fingerprint


@pytest.mark.parametrize("whole", [False, True])
def test_a_folder_of_save_to_disk(tmp_path, whole):
    import datasets

    tables = {}
    for split in SPLITS:
        mine = [row for row in FOUND if row[0] == split]
        content = {
            "image": [{"bytes": row[4], "path": row[3]} for row in mine],
            "label": [row[2] for row in mine],
        }
        names = datasets.ClassLabel(names=["NORMAL", "PNEUMONIA"])
        features = datasets.Features({"image": datasets.Image(), "label": names})
        tables[split] = datasets.Dataset.from_dict(content, features=features)
    if whole:
        datasets.concatenate_datasets(list(tables.values())).save_to_disk(tmp_path / "set")
        found = load(tmp_path / "set", tmp_path, choices=Choices(split="image-0"))
        assert len(found.labels) == len(FOUND)
        return
    tables["unlabelled"] = tables["test"]
    datasets.DatasetDict(tables).save_to_disk(tmp_path / "set")
    found = load(tmp_path / "set", tmp_path, 24)
    check(found)
    assert found.notes == ["3 images of its split unlabelled are left out"]


@pytest.mark.parametrize("as_image", [False, True])
def test_parquet_with_paths_only(tmp_path, as_image):
    import datasets

    made = loose(tmp_path / "set", "images/{title}")
    for split in SPLITS:
        mine = [(path, name) for path, s, name in made if s == split]
        cells = [path for path, _ in mine]
        if as_image:
            cells = [{"bytes": None, "path": path} for path in cells]
        content = {"image": cells, "label": [name for _, name in mine]}
        kind = datasets.Image(decode=False) if as_image else datasets.Value("string")
        features = datasets.Features({"image": kind, "label": datasets.Value("string")})
        one = datasets.Dataset.from_dict(content, features=features)
        one.to_parquet(str(tmp_path / "set" / f"{split}.parquet"), batch_size=100)
    check(load(tmp_path / "set", tmp_path, 24))


def test_a_folder_of_dicom_files_with_a_table(tmp_path):
    """As many challenges give them: names without suffix, labels by name."""
    folder, lines = tmp_path / "set", []
    folder.mkdir()
    for number, (split, name, *_) in enumerate(FOUND):
        encoded = dicom_file(
            pixels(number).astype("uint16") * 16, WindowCenter=2000, WindowWidth=4000
        )
        (folder / f"{number:03d}.dcm").write_bytes(encoded)
        lines.append((f"{number:03d}.dcm", name, split))
    listing(folder / "labels.csv", lines, ("file", "label", "split"))
    found = load(folder, tmp_path, 24)
    assert found.labels.tolist() == [row[2] for row in FOUND]
    assert found.facts["modes"] == {"DICOM": len(FOUND)}
    expected = (pixels(0).astype(float) * 16 - 1999.5) / 3999 + 0.5
    assert abs(found.images[0, 0] - (expected * 255).clip(0, 255)).max() <= 1


def test_several_tables(tmp_path):
    made = loose(tmp_path / "set")
    for name in ("a.csv", "b.csv"):
        listing(tmp_path / "set" / name, [(p, n) for p, _, n in made], ("path", "label"))
    assert "several tables (a.csv, b.csv)" in error_of(tmp_path, tmp_path / "set")
    words = {"NORMAL": "healthy", "PNEUMONIA": "sick"}
    listing(tmp_path / "set" / "b.csv", [(p, words[n]) for p, _, n in made], ("path", "label"))
    found = [load(tmp_path / "set" / name, tmp_path) for name in ("a.csv", "b.csv")]
    assert [one.name for one in found] == ["a", "b"]
    assert [one.facts["classes"] for one in found] == [
        {"NORMAL": 0, "PNEUMONIA": 1},
        {"healthy": 0, "sick": 1},
    ]


def read_public(tmp_path, name, header, line, image, encoded=FOUND[0][4]):
    """A folder of 20 images as a public set has it: line and image for a number and a label."""
    folder = tmp_path / "set"
    for number in range(20):
        path = folder / image.format(n=number, m=number % 3)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)
    lines = [
        line.format(n=number, label=number % 2, words=WORDS[number % 2]) for number in range(20)
    ]
    (folder / name).write_text("\n".join([header, *lines]))
    return load(folder, tmp_path, choices=ANY)


WORDS = ("No Finding", "Pneumonia")


@pytest.mark.parametrize(
    "name, header, line, image, classes",
    [
        (
            "Data_Entry.csv",
            "Image Index,Finding Labels,Patient ID",
            "{n:08d}_000.png,{words},{n}",
            "images_{m:03d}/images/{n:08d}_000.png",
            {"No Finding": 0, "Pneumonia": 1},
        ),
        (
            "train.csv",
            "Path,Sex,Pneumonia",
            "CheXpert-v1.0/train/patient{n:05d}/study1/view1_frontal.jpg,F,{label}.0",
            "train/patient{n:05d}/study1/view1_frontal.jpg",
            {"0.0": 0, "1.0": 1},
        ),
        (
            "labels.csv",
            "patientId,Target",
            "id{n:03d},{label}",
            "stage_2_train_images/id{n:03d}.png",
            {"0": 0, "1": 1},
        ),
    ],
)
def test_public_sets_as_they_come(tmp_path, name, header, line, image, classes):
    found = read_public(tmp_path, name, header, line, image)
    assert found.facts["classes"] == classes and len(found.labels) == 20
    for path, label in zip(found.paths, found.labels):
        number = re.search(r"(?:^|patient|id)0*(\d+)", path.split("train/")[-1])[1]
        assert label == int(number) % 2


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_text_in_another_encoding_is_told(tmp_path, encoding):
    made = loose(tmp_path / "set")
    text = "path,label,é\n" + "".join(f"{p},{n},é\n" for p, _, n in made)
    (tmp_path / "set" / "films.csv").write_bytes(text.encode(encoding))
    assert "not UTF-8; save it as that" in error_of(tmp_path, tmp_path / "set", choices=ANY)


@pytest.mark.parametrize(
    "name, lines, message",
    [
        (
            "films.csv",
            [("a.png", "x")],
            "no image column; it has path (a.png), label (x), none of which",
        ),
        (
            "films.csv",
            None,
            "no label column (label, class, diagnosis, finding or the like); it has path (train",
        ),
        ("films.csv", [], "is empty"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, name, lines, message):
    made = loose(tmp_path / "set")
    header = ("path", "label") if lines is not None else ("path", "colour")
    lines = [(p, n) for p, _, n in made] if lines is None else lines
    listing(tmp_path / "set" / name, lines, header)
    assert message in error_of(tmp_path, tmp_path / "set")


@pytest.mark.parametrize(
    "case", ["leading zeros", "blanks after commas", "sep= line", "capitals", "NFD", "no header"]
)
def test_tables_as_people_have_them(tmp_path, case):
    title = (WELL, ILL)
    stems = [f"{n:05d}" if case == "leading zeros" else f"Rö_{n}" for n in range(20)]
    disk = "NFD" if case == "NFD" else "NFC"
    folder = films(tmp_path / "set", [unicodedata.normalize(disk, f"{s}.png") for s in stems])
    rows = [(unicodedata.normalize("NFC", f"{s}.png"), title[n % 2]) for n, s in enumerate(stems)]
    if case == "leading zeros":
        table(folder, "id,label", [f"{s},{title[n % 2]}" for n, s in enumerate(stems)])
    elif case == "blanks after commas":
        table(folder, "label, path", [f"{b}, {a}" for a, b in rows])
    elif case == "sep= line":
        table(folder, "sep=;", ["path;label", *(f"{a};{b}" for a, b in rows)], eol="\r\n")
    elif case == "capitals":
        table(folder, "path,label", [f"{a.upper()},{b}" for a, b in rows])
    elif case == "no header":  # medmnist's save()
        splits = ("TRAIN", "TRAIN", "TRAIN", "TRAIN", "VALIDATION", "VALIDATION", "TEST", "TEST")
        table(
            folder,
            f"TRAIN,{rows[0][0]},0",
            [f"{splits[n % 8]},{a},{n % 2}" for n, (a, _) in enumerate(rows) if n],
        )
    else:
        table(folder, "path,label", [f"{a},{b}" for a, b in rows])
    if case == "no header":
        text = error_of(tmp_path, folder, choices=ANY)
        assert "no header" in text and "--label 3" in text
        found = load(folder, tmp_path, choices=Choices(split="image-0", label="3"))
        assert found.facts["classes"] == {"0": 0, "1": 1} and not found.facts["made"]
        assert len(found.paths) == 20
        return
    assert len(load(folder, tmp_path, choices=ANY).paths) == 20


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"])
def test_text_tables_with_byte_order_marks_and_quotes(tmp_path, sep, eol):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(20)])
    rows = [sep.join(('"a, b; c"', f"x{n}.png", f'"{TITLES[n % 2]} "')) for n in range(20)]
    text = eol.join([sep.join(('"remarks, all; of them"', "image", "label")), *rows])
    (folder / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = load(folder, tmp_path, choices=ANY)
    assert len(found.paths) == 20 and found.facts["classes"] == {WELL: 0, ILL: 1}


def test_an_option_that_names_a_column_needs_a_table(tmp_path):
    folder = class_folders(tmp_path / "set")
    for choices in (Choices(label="a"), Choices(image="a"), Choices(patient="a")):
        assert "there is no table" in error_of(tmp_path, folder, choices=choices)


# ---- which file a name is


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
    assert missing in error_of(tmp_path, folder, choices=ANY)


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
    assert "one image a/3.png tell two names, a/3.png and 3.png" in error_of(
        tmp_path, folder, choices=ANY
    )


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


@pytest.mark.parametrize("outside", ["../secret.png", "{folder}/secret.png"])
def test_what_lies_outside_of_the_folder_is_never_read(tmp_path, outside):
    made = loose(tmp_path / "set")
    (tmp_path / "secret.png").write_bytes(FOUND[0][4])
    lines = [(path, name) for path, _, name in made]
    lines.append((outside.format(folder=tmp_path), "NORMAL"))
    listing(tmp_path / "set" / "films.csv", lines, ("path", "label"))
    text = error_of(tmp_path, tmp_path / "set", choices=Choices(split="image-0"))
    assert "1 unreadable image" in text and "no such file" in text


def test_images_that_the_table_does_not_name_are_counted(tmp_path):
    made = loose(tmp_path / "set")
    for number in range(2):
        (tmp_path / "set" / "train" / f"new{number}.png").write_bytes(encode(pixels(80 + number)))
    listing(tmp_path / "set" / "metadata.csv", [(p, n) for p, _, n in made], ("file_name", "label"))
    found = load(tmp_path / "set", tmp_path, 24)
    check(found)
    assert found.notes == ["2 images that the table does not name are left out"]


# ---- rows of one image


def test_an_image_in_several_rows_is_in_one_split(tmp_path):
    """VinDr-CXR's train.csv: a row for each radiologist and finding."""
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(60)])
    lines = [f"x{n},{('No finding', 'Consolidation')[n % 2]},R8" for n in range(60)]
    lines += [f"x{n},Lung Opacity,R9" for n in range(1, 60, 2)]
    table(folder, "image_id,class_name,rad_id", lines)
    choices = Choices(("Consolidation", "Lung Opacity"), ("No finding",), "patient-0")
    found, seen = load(folder, tmp_path, choices=choices), defaultdict(set)
    for split in SPLITS:
        for path in found.part(split).paths:
            seen[path].add(split)
    assert not [path for path, splits in seen.items() if len(splits) > 1]


def test_one_image_with_two_splits_or_two_patients_is_refused(tmp_path):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(20)])
    lines = [f"x{n}.png,{TITLES[n % 2]},train,p{n}" for n in range(20)]
    for more in ("x3.png,PNEUMONIA,test,p3", "x3.png,PNEUMONIA,train,p4"):
        table(folder, "image,label,split,patient", [*lines, more])
        assert "one image x3.png" in error_of(tmp_path, folder, choices=ANY)


def test_readers_who_contradict_each_other_are_counted(tmp_path):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(40)])
    lines = [f"x{n},{TITLES[n % 2]},R1" for n in range(40)]
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
    assert "one image 14.png tell two splits, test and validation" in error_of(tmp_path, folder)


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

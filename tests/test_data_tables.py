"""Labels that stand in a table: metadata, CSV, JSON lines, save_to_disk, parquet with paths."""

import json
import re

import pytest
from samples import SPLITS, dicom_file, encode, error_of, gray, load, pixels, rows

from xray.data_sources import Choices

FOUND = list(rows())


def films(folder, where="{split}/{title}"):
    """The small data set's images without class folders; (path, split, class) of each."""
    made = []
    for split, name, _, title, encoded in FOUND:
        path = folder / where.format(split=split, title=title)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)
        made.append((path.relative_to(folder).as_posix(), split, name))
    return made


def table(path, lines, header, sep=","):
    path.write_text("\n".join(sep.join(map(str, line)) for line in [header, *lines]) + "\n")


def check(found):
    assert found.labels.tolist() == [row[2] for row in FOUND]
    assert [path.split("/")[-1] for path in found.paths] == [row[3] for row in FOUND]
    assert {split: len(found.index[split]) for split in SPLITS} == {
        split: sum(n) for split, n in SPLITS.items()
    }
    for i, row in enumerate(FOUND):
        assert (found.images[i, 0] == gray(row[4])).all()


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_metadata_in_each_split_folder(tmp_path, suffix):
    """As imagefolder has it."""
    made = films(tmp_path / "set")
    for split in SPLITS:
        mine = [(path.split("/")[1], name) for path, s, name in made if s == split]
        place = tmp_path / "set" / split / f"metadata.{suffix}"
        if suffix == "csv":
            table(place, mine, ("file_name", "label"))
        else:
            place.write_text(
                "".join(json.dumps({"file_name": p, "label": n}) + "\n" for p, n in mine)
            )
    found = load(tmp_path / "set", tmp_path, 24)
    check(found)
    assert found.facts["kind"] == {"csv": "csv", "jsonl": "json"}[suffix] and found.notes == []


def test_one_metadata_file_whose_paths_name_the_splits(tmp_path):
    made = films(tmp_path / "set")
    lines = [(path, name) for path, _, name in made]
    table(tmp_path / "set" / "metadata.csv", lines, ("file_name", "label"))
    check(load(tmp_path / "set", tmp_path, 24))


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize("given", ["folder", "file"])
def test_a_table_of_paths_labels_and_splits(tmp_path, sep, given):
    """The well-known archive's other table: names without folders, the split in a column."""
    made = films(tmp_path / "set", "images/{title}")
    lines = [(i, p.split("/")[1], n, s.upper()) for i, (p, s, n) in enumerate(made)]
    header = ("", "X_ray_image_name", "Label", "Dataset_type")
    table(tmp_path / "set" / "films.csv", lines, header, sep)
    source = tmp_path / "set" / ("films.csv" if given == "file" else "")
    found = load(source, tmp_path, 24)
    check(found)
    assert found.name == ("films" if given == "file" else "set")


def test_a_table_without_splits_and_with_numbers(tmp_path):
    made = films(tmp_path / "set", "images/{title}")
    lines = [(path, int(name == "PNEUMONIA")) for path, _, name in made]
    table(tmp_path / "set" / "films.csv", lines, ("path", "target"))
    assert "--split patient" in error_of(tmp_path, tmp_path / "set")
    found = load(tmp_path / "set", tmp_path, choices=Choices(split="image-0"))
    assert found.facts["classes"] == {"0": 0, "1": 1}
    labels = {path: int("person" in path) for path, _, _ in made}
    assert {path: label for path, label in zip(found.paths, found.labels)} == labels


def test_a_changed_image_is_another_content(tmp_path):
    made = films(tmp_path / "set")
    table(tmp_path / "set" / "metadata.csv", [(p, n) for p, _, n in made], ("file_name", "label"))
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

    made = films(tmp_path / "set", "images/{title}")
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


@pytest.mark.parametrize("outside", ["../secret.png", "{folder}/secret.png"])
def test_what_lies_outside_of_the_folder_is_never_read(tmp_path, outside):
    made = films(tmp_path / "set")
    (tmp_path / "secret.png").write_bytes(FOUND[0][4])
    lines = [(path, name) for path, _, name in made]
    lines.append((outside.format(folder=tmp_path), "NORMAL"))
    table(tmp_path / "set" / "films.csv", lines, ("path", "label"))
    text = error_of(tmp_path, tmp_path / "set", choices=Choices(split="image-0"))
    assert "1 unreadable image" in text and "no such file" in text


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
    table(folder / "labels.csv", lines, ("file", "label", "split"))
    found = load(folder, tmp_path, 24)
    assert found.labels.tolist() == [row[2] for row in FOUND]
    assert found.facts["modes"] == {"DICOM": len(FOUND)}
    expected = (pixels(0).astype(float) * 16 - 1999.5) / 3999 + 0.5
    assert abs(found.images[0, 0] - (expected * 255).clip(0, 255)).max() <= 1


def test_images_that_the_table_does_not_name_are_counted(tmp_path):
    made = films(tmp_path / "set")
    for number in range(2):
        (tmp_path / "set" / "train" / f"new{number}.png").write_bytes(encode(pixels(80 + number)))
    table(tmp_path / "set" / "metadata.csv", [(p, n) for p, _, n in made], ("file_name", "label"))
    found = load(tmp_path / "set", tmp_path, 24)
    check(found)
    assert found.notes == ["2 images that the table does not name are left out"]


ANY = Choices(split="image-0")


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
    made = films(tmp_path / "set")
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
    made = films(tmp_path / "set")
    header = ("path", "label") if lines is not None else ("path", "colour")
    lines = [(p, n) for p, _, n in made] if lines is None else lines
    table(tmp_path / "set" / name, lines, header)
    assert message in error_of(tmp_path, tmp_path / "set")


def test_several_tables(tmp_path):
    made = films(tmp_path / "set")
    for name in ("a.csv", "b.csv"):
        table(tmp_path / "set" / name, [(p, n) for p, _, n in made], ("path", "label"))
    assert "several tables (a.csv, b.csv)" in error_of(tmp_path, tmp_path / "set")
    words = {"NORMAL": "healthy", "PNEUMONIA": "sick"}
    table(tmp_path / "set" / "b.csv", [(p, words[n]) for p, _, n in made], ("path", "label"))
    found = [load(tmp_path / "set" / name, tmp_path) for name in ("a.csv", "b.csv")]
    assert [one.name for one in found] == ["a", "b"]
    assert [one.facts["classes"] for one in found] == [
        {"NORMAL": 0, "PNEUMONIA": 1},
        {"healthy": 0, "sick": 1},
    ]

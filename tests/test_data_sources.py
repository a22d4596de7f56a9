"""Folders of films, parquet files, and the films that come with the project."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from reading import ANY, SPLIT, TRUTH, error_of, labels, load, splits
from samples import (
    COUNT,
    SPLITS,
    TITLES,
    cell,
    class_folders,
    dataset,
    encode,
    films,
    lay,
    parquet,
    pixels,
    put,
    rows,
)

from xray import data_sources
from xray.data_choices import HubUnreachable


def check(found):
    """It is the small data set of samples.rows."""
    expected = dict(enumerate(rows(), 1))
    assert labels(found) == {number: row[2] for number, row in expected.items()}
    assert splits(found) == {number: row[0] for number, row in expected.items()}


def test_what_is_read(tmp_path):
    found = load(class_folders(tmp_path / "set"))
    check(found)
    assert (found.name, found.source) == ("set", str(tmp_path / "set")) and found.split == "given"
    assert [Path(path).name for path in found.paths] == [row[3] for row in rows()]
    assert not found.phantom and found.image_size == 24
    assert found.images.shape == (COUNT, 1, 24, 24) and found.images.dtype == np.uint8
    assert found.labels.dtype == np.int64
    assert (found.test.images == found.images[-3:]).all() and found.test.paths == found.paths[-3:]
    assert np.shares_memory(found.train.images, found.images)
    facts = found.facts
    json.dumps(facts, allow_nan=False)
    sample = {"path": "train/NORMAL/IM-0001-0001.png", "mode": "L", "width": 24, "height": 24}
    assert facts["sample"] == sample | {"label": 0}
    assert facts["counts"]["test"] == {"NORMAL": 1, "PNEUMONIA": 2}
    assert facts["sizes"] == {"24x24": COUNT} and facts["modes"] == {"L": COUNT}
    assert facts["labels"] == "".join(map(str, found.labels))


# ---- parquet


@pytest.mark.parametrize(
    "layout",
    [
        "{split}/0000.parquet",
        "data/{split}/0000.parquet",
        "{split}-00000-of-00001.parquet",
        "data/{split}-00000-of-00001-0a1b2c.parquet",
        "we [ir]d * ?/{split}.parquet",
    ],
)
def test_parquet_layouts(tmp_path, layout):
    check(load(parquet(tmp_path / "a set", layout=layout)))


@pytest.mark.parametrize("column", ["xray", "image"])
@pytest.mark.parametrize("keys", [("path", "bytes"), ("bytes", "path"), ()])
def test_parquet_that_other_programs_write(tmp_path, column, keys):
    """Bytes alone, or a struct of them and names in either order."""
    import pandas as pd

    cells = [{"bytes": encode(pixels(n)), "path": f"x{n}.png"} for n in TRUTH]
    cells = [{key: one[key] for key in keys} if keys else one["bytes"] for one in cells]
    frame = pd.DataFrame({column: cells, "label": [TITLES[n % 2] for n in TRUTH]})
    frame.to_parquet(tmp_path / "films.parquet")
    assert labels(load(tmp_path / "films.parquet", choices=ANY)) == TRUTH


def test_full_is_taken_where_mini_lies_beside_it(tmp_path):
    folder = parquet(tmp_path / "set", layout="full/{split}/0000.parquet")
    parquet(folder, dict.fromkeys(SPLITS, (1, 1)), layout="mini/{split}/0000.parquet")
    found = load(folder)
    check(found)
    left = "3 tables of another data set, or named after no split, are left out"
    assert found.notes == [left]
    check(load(folder / "full"))
    assert len(load(folder / "mini").labels) == 6


def test_classes_in_another_order_and_columns_of_other_names(tmp_path):
    import datasets

    path = tmp_path / "films.parquet"
    content = {"xray": [cell(n, f"x{n}.png") for n in TRUTH], "class": [1 - n % 2 for n in TRUTH]}
    names = datasets.ClassLabel(names=["pneumonia", "no pneumonia"])
    dataset(content, **{"class": names}).to_parquet(path)
    found = load(path, choices=ANY)
    assert found.facts["classes"] == {"pneumonia": 1, "no pneumonia": 0}
    assert labels(found) == TRUTH and set(found.paths) == {f"x{n}.png" for n in TRUTH}


# ---- class folders


@pytest.mark.parametrize(
    "place",
    ["{split}/{title}/x{n}.png", "{title}/{split}/x{n}.png", "{title}/{split}/{k}/x{n}.png"],
)
@pytest.mark.parametrize(
    "names",
    [
        ("train", "validation", "test"),
        ("Train", "VAL", "Test"),
        ("train_images", "valid data", "testSet"),
        ("Training", "Valid", "Testing"),
    ],
)
def test_class_folders_in_split_folders_and_above_them(tmp_path, place, names):
    places = [place.replace("{split}", name) for name in names for _ in TITLES]
    found = load(lay(tmp_path / "set", places))
    assert labels(found) == TRUTH and splits(found) == SPLIT


def test_the_well_known_archive(tmp_path):
    """A copy inside the copy, the packer's leftovers, and stray files; given by the folder above it
    too."""
    inner = lay(tmp_path / "archive" / "chest_xray", "{split}/{title}/x{n}.png")
    for copy in ("chest_xray", "__MACOSX/chest_xray"):
        lay(inner / copy, "{split}/{title}/x{n}.png")
    for stray in (".DS_Store", "._x0.png", "notes.txt"):
        put(inner / "train" / "NORMAL" / stray)
    films(inner, ["train/loose.png"])
    for folder in (inner, tmp_path / "archive"):
        found = load(folder)
        assert labels(found) == TRUTH and splits(found) == SPLIT and found.name == folder.name
        assert found.notes == found.facts["notes"] == [
            "26 hidden files and files of other systems (__MACOSX, @eaDir, …) are left out",
            "24 images of a further copy, deeper in the folder, are left out",
            "1 images outside of class folders are left out",
            "1 files that are not taken for images are left out",
        ]  # fmt: skip
    assert not any(path.startswith(str(tmp_path)) for path in found.paths)


def test_links_that_lead_in_a_circle_end(tmp_path):
    folder = class_folders(tmp_path / "set")
    (folder / "train" / "NORMAL" / "back").symlink_to(folder)
    (folder / "train" / "NORMAL" / "self").symlink_to(folder / "train" / "NORMAL" / "self")
    assert len(load(folder).labels) == COUNT


def test_odd_names(tmp_path):
    folder = class_folders(tmp_path / "a 'set' <b>&amp;\nрентген [0] %s")
    names = ["with space", "quo\"te'", "new\nline", "<script>", "胸部", "%d{}"]
    names.append(os.fsdecode(b"\xff"))
    films(folder, [f"train/NORMAL/{name}.png" for name in names])
    found = load(folder)
    assert len(found.labels) == COUNT + len(names) and "train/NORMAL/new\\nline.png" in found.paths
    json.dumps(found.facts, ensure_ascii=False).encode()
    assert load(folder).paths == found.paths


def test_labels_come_from_inside_of_what_is_named(tmp_path):
    """A project folder may be called pneumonia."""
    folder = films(tmp_path / "pneumonia" / "films", ["healthy/a.png", "healthy/b.png"])
    assert "no images in class folders" in error_of(folder, whole=True)
    found = load(films(folder, ["healthy/a.png", "sick/c.png"]), whole=True)
    assert found.facts["classes"] == {"HEALTHY": 0, "SICK": 1}
    assert found.labels.tolist() == [0, 0, 1]


def test_images_and_masks_in_each_class(tmp_path):
    """The COVID-19 Radiography Database."""
    lay(tmp_path / "set", "{title}/masks/x{n}.png")
    found = load(lay(tmp_path / "set", "{title}/images/x{n}.png"), choices=ANY)
    assert labels(found) == TRUTH and all("/images/" in path for path in found.paths)


def test_numbered_folders_in_class_folders_are_no_classes(tmp_path):
    places = [f"{title}/{part}/x{{n}}.png" for title in ("BACTERIA", "VIRUS") for part in "01"]
    text = error_of(lay(tmp_path / "set", places), choices=ANY)
    assert "which of the classes BACTERIA, VIRUS is pneumonia" in text


@pytest.mark.parametrize(
    "names",
    [
        ("train/a.png", "val/b.png", "test/c.png"),
        ("images/a.png", "masks/a.png"),
        ("train/a.png", "masks/b.png"),
        ("train_images/a.png", "test_images/b.png"),
    ],
)
def test_splits_and_masks_are_never_classes(tmp_path, names):
    text = error_of(films(tmp_path / "set", names), choices=ANY)
    assert "--positive" not in text and "--negative" not in text


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    folder, scandir = class_folders(tmp_path / "set"), os.scandir

    def refuse(path):
        if str(path).endswith("PNEUMONIA"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "PNEUMONIA: cannot be read (Permission denied)" in error_of(folder)


# ---- sources that are named


def test_an_existing_folder_comes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "owner" / "name")
    assert data_sources.find("owner/name").kind == "folders"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachable, match="cannot be reached .HF_HUB_OFFLINE is set"):
        data_sources.find("owner/other")


def test_the_films_that_come_with_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load("films", 64)
    assert found.facts["kind"] == "films" and found.name == "films"
    assert found.facts["splits"] == {"train": 4077, "validation": 1165, "test": 582}
    assert "64×64 copies that come with the project" in found.notes[0]
    assert data_sources.licence("films").startswith("CC BY 4.0")
    other = load("films:elsewhere", 64, whole=True)
    assert len(other.paths) == 1000 and other.labels.sum() == 500
    assert list(other.table.columns[-5:]) == ["age", "sex", "view", "findings", "chexnet_pneumonia"]
    class_folders(tmp_path / "films")
    mine = load("films")
    assert len(mine.paths) == COUNT and mine.facts["kind"] == "folders"
    assert "not the project's own films" in mine.notes[-1]

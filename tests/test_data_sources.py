"""Sources: folders, parquet files, the Hub."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from samples import (
    ANY,
    COUNT,
    ILL,
    SPLITS,
    TITLES,
    WELL,
    class_folders,
    encode,
    error_of,
    films,
    gray,
    load,
    parquet,
    pixels,
    rows,
)

from xray import data_sources
from xray.data_choices import SPLIT_NAMES, HubUnreachable


def check(found, source, name):
    expected = list(rows())
    assert (found.name, found.source, found.split) == (name, str(source), "given")
    assert not found.phantom and found.image_size == 24
    assert found.images.shape == (COUNT, 1, 24, 24) and found.images.dtype == np.uint8
    assert found.labels.dtype == np.int64 and found.labels.tolist() == [row[2] for row in expected]
    assert [Path(path).name for path in found.paths] == [row[3] for row in expected]
    for i, row in enumerate(expected):
        assert (found.images[i, 0] == gray(row[4])).all()
    assert {split: len(found.part(split).labels) for split in SPLITS} == {
        split: sum(n) for split, n in SPLITS.items()
    }
    assert (found.test.images == found.images[-3:]).all() and found.test.paths == found.paths[-3:]
    assert np.shares_memory(found.train.images, found.images)
    json.dumps(found.facts, allow_nan=False)


@pytest.mark.parametrize(
    "layout",
    [
        "{split}/0000.parquet",
        "full/{split}/0000.parquet",
        "data/{split}/0000.parquet",
        "{split}-00000-of-00001.parquet",
        "data/{split}-00000-of-00001-0a1b2c.parquet",
        "{split}.parquet",
        "we [ir]d * ?/{split}.parquet",
    ],
)
def test_parquet_layouts(tmp_path, layout):
    check(
        load(parquet(tmp_path / "a set", layout=layout), tmp_path, 24), tmp_path / "a set", "a set"
    )


def test_full_is_taken_where_mini_lies_beside_it(tmp_path):
    parquet(tmp_path / "set", layout="full/{split}/0000.parquet")
    parquet(
        tmp_path / "set", {split: (1, 1) for split in SPLITS}, layout="mini/{split}/0000.parquet"
    )
    found = load(tmp_path / "set", tmp_path, 24)
    check(found, tmp_path / "set", "set")
    left = "3 tables of another data set, or named after no split, are left out"
    assert found.notes == [left]
    check(load(tmp_path / "set" / "full", tmp_path, 24), tmp_path / "set" / "full", "full")
    assert len(load(tmp_path / "set" / "mini", tmp_path).labels) == 6


@pytest.mark.parametrize(
    "names",
    [
        "train validation test".split(),
        "Train VAL Test".split(),
        ["train_images", "valid data", "testSet"],
    ],
)
@pytest.mark.parametrize("classes", [("NORMAL", "PNEUMONIA"), ("normal", "Pneumonia")])
def test_class_folders(tmp_path, names, classes):
    folder = class_folders(tmp_path / "set", dict(zip(names, SPLITS.values())), classes)
    check(load(folder, tmp_path, 24), folder, "set")


def test_the_well_known_archive(tmp_path):
    """A copy inside the copy, the packer's leftovers, and stray files; given by the folder above it
    too.
    """
    splits = {"train": (3, 4), "val": (2, 2), "test": (1, 2)}
    inner = class_folders(tmp_path / "archive" / "chest_xray", splits)
    class_folders(inner / "chest_xray", splits)
    class_folders(inner / "__MACOSX" / "chest_xray", splits)
    (inner / "train" / "NORMAL" / ".DS_Store").write_bytes(b"x")
    (inner / "train" / "NORMAL" / "._IM-0001-0001.png").write_bytes(b"x")
    (inner / "train" / "NORMAL" / "notes.txt").write_text("x")
    (inner / "train" / "loose.png").write_bytes(encode(pixels(3)))
    for folder in (inner, tmp_path / "archive"):
        found = load(folder, tmp_path, 24)
        check(found, folder, folder.name)
        assert found.notes == [
            "16 hidden files and files of other systems (__MACOSX, @eaDir, …) are left out",
            "14 images of a further copy, deeper in the folder, are left out",
            "1 images outside of class folders are left out",
            "1 files that are not taken for images are left out",
        ]
        assert found.facts["notes"] == found.notes
    assert not any(path.startswith(str(tmp_path)) for path in found.paths)


def test_links_that_lead_in_a_circle_end(tmp_path):
    folder = class_folders(tmp_path / "set")
    (folder / "train" / "NORMAL" / "back").symlink_to(folder)
    (folder / "train" / "NORMAL" / "self").symlink_to(folder / "train" / "NORMAL" / "self")
    assert len(load(folder, tmp_path).labels) == COUNT


def test_odd_names(tmp_path):
    folder = class_folders(tmp_path / "a 'set' <b>&amp;\nрентген [0] %s")
    names = [
        "with space.png",
        "quo\"te'.png",
        "new\nline.png",
        "<script>.png",
        "胸部.png",
        "%d{}.png",
        os.fsdecode(b"\xff.png"),
    ]
    for i, name in enumerate(names):
        (folder / "train" / "NORMAL" / name).write_bytes(encode(pixels(50 + i)))
    found = load(folder, tmp_path)
    assert len(found.labels) == COUNT + len(names) and "train/NORMAL/new\\nline.png" in found.paths
    json.dumps(found.facts, ensure_ascii=False).encode()
    again = load(folder, tmp_path)
    assert again.paths == found.paths


@pytest.mark.parametrize(
    "names, mapping",
    [
        (("PNEUMONIA", "NORMAL"), {"PNEUMONIA": 1, "NORMAL": 0}),
        (("Pneumonia", "healthy"), {"Pneumonia": 1, "healthy": 0}),
        (("pneumonia", "no pneumonia"), {"pneumonia": 1, "no pneumonia": 0}),
        (("positive", "negative"), {"positive": 1, "negative": 0}),
        (("abnormal", "normal"), {"abnormal": 1, "normal": 0}),
        (("1", "0"), {"1": 1, "0": 0}),
    ],
)
def test_classes_are_told_by_name(tmp_path, names, mapping):
    folder = parquet(tmp_path / "set", names=names)
    found = load(folder, tmp_path)
    assert found.facts["classes"] == mapping
    assert found.labels.tolist() == [mapping[names[row[2]]] for row in rows(names=names)]


def test_text_as_labels_and_columns_of_other_names(tmp_path):
    def change(columns, features):
        import datasets

        columns["label"] = ["pneumonia" if value else "normal" for value in columns.pop("labels")]
        columns["xray"] = columns.pop("image")
        del columns["image_file_path"], features["image_file_path"], features["labels"]
        features["label"], features["xray"] = datasets.Value("string"), features.pop("image")

    found = load(parquet(tmp_path / "set", change=change), tmp_path)
    assert found.facts["classes"] == {"normal": 0, "pneumonia": 1}
    assert found.labels.tolist() == [row[2] for row in rows()]
    assert found.paths == [row[3] for row in rows()]


def test_an_existing_folder_comes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "owner" / "name")
    assert data_sources.find("owner/name").kind == "folders"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachable, match="cannot be reached .HF_HUB_OFFLINE is set"):
        data_sources.find("owner/other")


def test_labels_come_from_inside_of_what_is_named(tmp_path):
    """A project folder may be called pneumonia."""
    folder = films(tmp_path / "pneumonia" / "films", ["healthy/a.png", "healthy/b.png"])
    assert "no images in class folders" in error_of(tmp_path, folder, whole=True)
    films(folder, ["sick/c.png"])
    found = load(folder, tmp_path, whole=True)
    assert found.facts["classes"] == {"HEALTHY": 0, "SICK": 1} and found.labels.tolist() == [
        0,
        0,
        1,
    ]


@pytest.mark.parametrize("source", ["~nosuchuser/films"])
def test_a_home_that_is_not_known_is_told(tmp_path, source):
    error_of(tmp_path, source)


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
        "train/NORMAL/IM-0001-0001_mask.jpg",
        "train/NORMAL/Mask_IM-0001-0001.png",
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
    for split in SPLITS:
        for row in found.index[split]:
            title, folder, _ = found.paths[row].split("/")
            assert SPLIT_NAMES[folder.lower()] == split
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


def test_numbered_folders_in_class_folders_are_no_classes(tmp_path):
    names = [
        f"{title}/{part}/{n}.png" for title in ("BACTERIA", "VIRUS") for part in "01" for n in "ab"
    ]
    text = error_of(tmp_path, films(tmp_path / "set", names), choices=ANY)
    assert "which of the classes BACTERIA, VIRUS is pneumonia" in text


def test_splits_and_masks_are_never_classes(tmp_path):
    for names in (
        ["train/a.png", "val/b.png", "test/c.png"],
        ["images/a.png", "masks/a.png"],
        ["train/a.png", "masks/b.png"],
        ["train_images/a.png", "test_images/b.png"],
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

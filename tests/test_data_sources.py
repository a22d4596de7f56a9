"""Sources: folders, parquet files, the Hub."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from samples import COUNT, SPLITS, class_folders, encode, gray, load, parquet, pixels, rows

from xray import data_sources
from xray.data_sources import HubUnreachable


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
    [name.split() for name in ("train validation test", "train valid test", "Train VAL Test")],
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

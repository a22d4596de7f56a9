"""What the audit counts: copies, what is missing, patients in two splits."""

import numpy as np
import pytest
from reading import load
from samples import class_folders, encode, parquet, pixels, put

from xray import data_splits


@pytest.mark.parametrize(
    "path, expected, cause",
    [
        ("test/PNEUMONIA/person1000_bacteria_2931.jpeg", "person1000_bacteria", "bacteria"),
        ("person1000_virus_1681.jpeg", "person1000_virus", "virus"),
        ("person1571_virus_2728_0.jpeg", "person1571_virus", "virus"),
        ("/x/y/person1000_bacteria_2931_jpeg.rf.0a1b2c.jpg", "person1000_bacteria", "bacteria"),
        ("C:\\x\\person7_virus_1.jpeg", "person7_virus", "virus"),
        ("IM-0115-0001.jpeg", "IM-0115", None),
        ("IM-0115-0001-0002.jpeg", "IM-0115", None),
        ("IM-0115-0001_jpeg.rf.0a1b.jpg", "IM-0115", None),
        ("NORMAL/IM-0003-0001.jpeg.rf.3ffffcf9c33575f8f928b017484f99a64.jpg", "IM-0003", None),
        ("a/NORMAL2-IM-1427-0001.jpeg", "NORMAL2-IM-1427", None),
        ("NORMAL2-IM-1427-0001-0002.jpeg", "NORMAL2-IM-1427", None),
        # version 3 of the data set
        ("BACTERIA-1008087-0001.jpeg", "BACTERIA-1008087", "bacteria"),
        ("VIRUS-3637528-0002.jpeg", "VIRUS-3637528", "virus"),
        ("NORMAL-28501-0001.jpeg", "NORMAL-28501", None),
        # NIH, CheXpert, MIMIC
        ("images/00000013_005.png", "00000013", None),
        ("train/patient00001/study1/view1_frontal.jpg", "patient00001", None),
        ("files/p10/p10000032/s50414267/02aa804e.jpg", "p10000032", None),
        ("p10/patients/scan.png", None, None),
        ("phantom/train/PNEUMONIA/0001.png", None, None),
        ("person1000/image.png", None, None),
        ("", None, None),
    ],
)
def test_patients_and_causes_are_read_off_the_name(path, expected, cause):
    assert data_splits.patient(path) == expected and data_splits.cause_of(path) == cause


def test_copies_are_found(tmp_path):
    folder = class_folders(tmp_path / "set")
    for copy in ("train/NORMAL/copy.png", "test/NORMAL/copy.png"):
        put(folder / copy, encode(pixels(1)))  # as train/NORMAL/IM-0001-0001.png
    put(folder / "test" / "PNEUMONIA" / "same pixels.bmp", encode(pixels(1), "BMP"))
    found = load(folder).facts["audit"]
    same, alike = found["identical_bytes"], found["identical_pixels"]
    assert (same["surplus"], same["conflicting"], same["examples"]) == (2, 0, [])
    assert same["across"] == {"train/validation": 0, "train/test": 1, "validation/test": 0}
    assert (alike["surplus"], alike["conflicting"]) == (3, 1)
    [one] = alike["examples"]
    assert len(one) == 4 and "test: test/PNEUMONIA/same pixels.bmp" in one


def test_splits_that_share_many_images_are_told(tmp_path):
    """A folder val that is a link to train."""
    folder = class_folders(tmp_path / "set", {"train": (3, 4), "test": (2, 2)})
    (folder / "val").symlink_to(folder / "train", target_is_directory=True)
    found = load(folder)
    assert found.notes == ["7 images are in two splits, train and validation, by equal pixels"]


def test_the_audit_counts_what_is_missing(tmp_path):
    def change(columns, features):
        columns["image"][0] = None
        columns["image"][1] = {"bytes": b"bad", "path": "b.png"}

    found = load(parquet(tmp_path / "set", change=change), skip_unreadable=True).facts
    assert found["audit"]["missing"] == 3
    assert len(found["audit"]["unreadable"]) == len(found["skipped"]) == 6
    assert found["splits"] == {"train": 5, "validation": 2, "test": 1}


# ---- patients


def test_patients_in_two_splits_are_counted():
    train = ["person1_virus_1.jpeg", "person1_virus_2.jpeg", "IM-0001-0001.jpeg", "scan.png"]
    validation = ["person2_bacteria_1.jpeg", "IM-0001-0002.jpeg"]
    test = ["person1_virus_3.jpeg", "person2_bacteria_2.jpeg", "IM-0009-0001.jpeg", "scan.png"]
    labels = np.array([1, 1, 0, 0, 1, 0, 1, 1, 0, 0])
    index = {"train": np.arange(4), "validation": np.arange(4, 6), "test": np.arange(6, 10)}
    found = data_splits.patients([*train, *validation, *test], labels, index)
    assert (found["named"], found["unnamed"]) == (8, 2)

    def shared(where, which):
        counts = found["overlap"][where][which]
        return [counts[key] for key in ("images", "known", "shared", "patients")]

    assert shared("test in train", "PNEUMONIA") == [2, 2, 1, 1]
    assert shared("test in train", "NORMAL") == [2, 1, 0, 0]
    assert shared("test in train or validation", "all") == [4, 3, 2, 2]
    assert shared("validation in train", "NORMAL") == [1, 1, 1, 1]


def test_patients_not_known_are_not_counted_as_none_shared(tmp_path):
    folder = class_folders(tmp_path / "set")
    for path in folder.rglob("*.png"):
        path.rename(path.with_name(f"film-{path.stem[-3:]}{len(path.stem)}.png"))
    found = load(folder)
    overlap = found.facts["patients"]["overlap"]["test in train"]["all"]
    assert overlap == {"images": 3, "known": 0, "shared": None, "patients": None}
    assert found.facts["taken"][-1].startswith("patients: not known")
    with pytest.raises(data_splits.DataError, match="no image's patient is known; --split image"):
        data_splits.resplit(found, "patient", 0)


def test_patients_known_in_one_split_alone_share_nothing_that_can_be_told():
    index = {"train": np.arange(4), "validation": np.arange(0), "test": np.arange(4, 8)}
    paths, labels = [f"{n}.png" for n in range(8)], np.array([0, 1] * 4)
    found = data_splits.patients(paths, labels, index, [0, 1, 2, 3, -1, -1, -1, -1])
    assert found["overlap"]["test in train"]["all"]["shared"] is None


def test_a_film_that_may_lie_there_twice_is_told(tmp_path):
    folder = class_folders(tmp_path / "set")
    put(folder / "train" / "NORMAL" / "IM-0001-0001.bmp", encode(pixels(50), "BMP"))
    assert load(folder).notes == ["1 images are called like another one but for the ending"]

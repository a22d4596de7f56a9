"""What the audit counts, and other splits of the same images."""

import numpy as np
import pytest
from samples import COUNT, SPLITS, class_folders, encode, load, parquet, pixels

from xray import data, data_splits
from xray.data_sources import DataError


@pytest.mark.parametrize(
    "path, expected, cause",
    [
        ("test/PNEUMONIA/person1000_bacteria_2931.jpeg", "person1000_bacteria", "bacteria"),
        ("person1000_virus_1681.jpeg", "person1000_virus", "virus"),
        ("BACTERIA-1008087-0001.jpeg", "BACTERIA-1008087", "bacteria"),
        ("VIRUS-3637528-0002.jpeg", "VIRUS-3637528", "virus"),
        ("person1571_virus_2728_0.jpeg", "person1571_virus", "virus"),
        ("/x/y/person1000_bacteria_2931_jpeg.rf.0a1b2c.jpg", "person1000_bacteria", "bacteria"),
        ("NORMAL/IM-0003-0001.jpeg.rf.3ffffcf9c33575f8f928b017484f99a64.jpg", "IM-0003", None),
        ("IM-0115-0001_jpeg.rf.0a1b.jpg", "IM-0115", None),
        ("IM-0115-0001.jpeg", "IM-0115", None),
        ("IM-0115-0001-0002.jpeg", "IM-0115", None),
        ("a/NORMAL2-IM-1427-0001.jpeg", "NORMAL2-IM-1427", None),
        ("NORMAL2-IM-1427-0001-0002.jpeg", "NORMAL2-IM-1427", None),
        ("C:\\x\\person7_virus_1.jpeg", "person7_virus", "virus"),
        ("phantom/train/PNEUMONIA/0001.png", None, None),
        ("person1000/image.png", None, None),
        ("images/00000013_005.png", "00000013", None),
        ("train/patient00001/study1/view1_frontal.jpg", "patient00001", None),
        ("files/p10/p10000032/s50414267/02aa804e.jpg", "p10000032", None),
        ("p10/patients/scan.png", None, None),
        ("scan.png", None, None),
        ("", None, None),
    ],
)
def test_patients_and_causes_are_read_off_the_name(path, expected, cause):
    assert data_splits.patient(path) == expected and data_splits.cause_of(path) == cause


def test_copies_are_found(tmp_path):
    folder = class_folders(tmp_path / "set")
    picture = encode(pixels(1))  # of train/NORMAL/IM-0001-0001.png
    (folder / "train" / "NORMAL" / "copy.png").write_bytes(picture)
    (folder / "test" / "NORMAL" / "copy.png").write_bytes(picture)
    (folder / "test" / "PNEUMONIA" / "same pixels.bmp").write_bytes(encode(pixels(1), "BMP"))
    found = load(folder, tmp_path).facts["audit"]
    same, alike = found["identical_bytes"], found["identical_pixels"]
    assert (same["surplus"], same["conflicting"], same["examples"]) == (2, 0, [])
    assert same["across"] == {"train/validation": 0, "train/test": 1, "validation/test": 0}
    assert (alike["surplus"], alike["conflicting"]) == (3, 1)
    [one] = alike["examples"]
    assert len(one) == 4 and "test: test/PNEUMONIA/same pixels.bmp" in one


def test_the_audit_counts_what_is_missing(tmp_path):
    def change(columns, features):
        columns["image"][0] = None
        columns["image"][1] = {"bytes": b"bad", "path": "b.png"}

    found = load(parquet(tmp_path / "set", change=change), tmp_path, skip_unreadable=True).facts
    assert (
        found["audit"]["missing"] == 3
        and len(found["audit"]["unreadable"]) == len(found["skipped"]) == 6
    )
    assert found["splits"] == {"train": 5, "validation": 2, "test": 1}


def test_patients_in_two_splits_are_counted():
    # train
    paths = [
        "person1_virus_1.jpeg",
        "person1_virus_2.jpeg",
        "IM-0001-0001.jpeg",
        "scan.png",
        "person2_bacteria_1.jpeg",
        "IM-0001-0002.jpeg",  # validation
        # test
        "person1_virus_3.jpeg",
        "person2_bacteria_2.jpeg",
        "IM-0009-0001.jpeg",
        "scan.png",
    ]
    labels = np.array([1, 1, 0, 0, 1, 0, 1, 1, 0, 0])
    index = {"train": np.arange(4), "validation": np.arange(4, 6), "test": np.arange(6, 10)}
    found = data_splits.patients(paths, labels, index)
    assert (found["named"], found["unnamed"]) == (8, 2)
    assert found["overlap"]["test in train"]["PNEUMONIA"] == {
        "images": 2,
        "known": 2,
        "shared": 1,
        "patients": 1,
    }
    assert found["overlap"]["test in train"]["NORMAL"] == {
        "images": 2,
        "known": 1,
        "shared": 0,
        "patients": 0,
    }
    assert found["overlap"]["test in train or validation"]["all"] == {
        "images": 4,
        "known": 3,
        "shared": 2,
        "patients": 2,
    }
    assert found["overlap"]["validation in train"]["NORMAL"] == {
        "images": 1,
        "known": 1,
        "shared": 1,
        "patients": 1,
    }


def test_the_sample_and_the_counts(tmp_path):
    found = load(class_folders(tmp_path / "set"), tmp_path)
    assert found.facts["sample"] == {
        "path": "train/NORMAL/IM-0001-0001.png",
        "mode": "L",
        "width": 24,
        "height": 24,
        "label": 0,
    }
    assert found.facts["counts"]["test"] == {"NORMAL": 1, "PNEUMONIA": 2}
    assert found.facts["sizes"] == {"24x24": COUNT} and found.facts["modes"] == {"L": COUNT}
    assert found.facts["labels"] == "".join(map(str, found.labels))


# ---- other splits


def many_patients():
    """A Data without images: 400 images, patients of one to eight images, both classes."""
    generator = np.random.default_rng(0)
    paths, labels = [], []
    for number in range(130):
        for shot in range(int(generator.choice([1, 1, 1, 2, 3, 8]))):
            sick = number % 4 != 0
            paths.append(
                f"person{number}_virus_{shot}.jpeg" if sick else f"IM-{number:04d}-{shot:04d}.jpeg"
            )
            labels.append(int(sick))
    count = len(labels)
    order = generator.permutation(count)
    paths, labels = [paths[i] for i in order], np.array(labels)[order]
    sizes = {"train": count - 100, "validation": 60, "test": 40}
    images_ = np.zeros((count, 1, 1, 1), np.uint8)
    return data.Data(
        "x", "x", "f", False, 1, images_, labels, paths, "given", {}, {"splits": sizes}
    )


@pytest.mark.parametrize("protocol", ["image", "patient"])
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_resplit(protocol, seed):
    whole = many_patients()
    given, found = data.resplit(whole, "given", 0), data.resplit(whole, protocol, seed)
    assert found.split == f"{protocol}-{seed}"
    assert sorted(np.concatenate(list(found.index.values()))) == list(range(len(whole.labels)))
    for split in SPLITS:
        rows_ = found.index[split]
        assert (np.diff(rows_) > 0).all() and rows_.dtype == np.int64
        assert len(rows_) == len(given.index[split])
        assert found.labels[rows_].sum() == given.labels[given.index[split]].sum(), (
            "the class ratio is kept"
        )
    who = {
        split: {data_splits.patient(found.paths[row]) for row in found.index[split]}
        for split in SPLITS
    }
    shared = (
        who["train"] & who["test"]
        | who["train"] & who["validation"]
        | who["validation"] & who["test"]
    )
    assert (not shared) == (protocol == "patient")
    same, other = data.resplit(given, protocol, seed), data.resplit(whole, protocol, seed + 1)
    assert all((same.index[split] == found.index[split]).all() for split in SPLITS)
    assert any((other.index[split] != found.index[split]).any() for split in SPLITS)
    back = data.resplit(found, "given", 0)
    assert back.split == "given" and all(
        (back.index[split] == given.index[split]).all() for split in SPLITS
    )


def test_resplit_of_patients_who_are_too_large_to_fit():
    whole = many_patients()
    # ten patients, each of many images
    whole.paths = [f"person{label}{i % 5}_virus_{i}.jpeg" for i, label in enumerate(whole.labels)]
    found = data.resplit(whole, "patient", 0)
    who = [
        {data_splits.patient(found.paths[row]) for row in rows_} for rows_ in found.index.values()
    ]
    assert not (who[0] & who[1] or who[0] & who[2] or who[1] & who[2])
    assert (
        len(found.index["train"]) > len(found.index["validation"]) >= len(found.index["test"]) > 0
    )


def test_resplit_errors():
    whole = many_patients()
    whole.paths = ["person1_virus_1.jpeg"] * len(whole.paths)
    with pytest.raises(DataError, match="too few"):
        data.resplit(whole, "patient", 0)
    with pytest.raises(DataError, match="no split protocol"):
        data.resplit(whole, "other", 0)


def test_a_split_that_is_scattered_is_a_copy(tmp_path):
    found = data.resplit(load(class_folders(tmp_path / "set"), tmp_path), "image", 3)
    assert found.split == "image-3"
    assert (found.train.images == found.images[found.index["train"]]).all()
    assert found.train.paths == [found.paths[row] for row in found.index["train"]]


def test_splits_that_share_many_images_are_told(tmp_path):
    """A folder val that is a link to train."""
    folder = class_folders(tmp_path / "set", {"train": (3, 4), "test": (2, 2)})
    (folder / "val").symlink_to(folder / "train", target_is_directory=True)
    found = load(folder, tmp_path)
    assert found.notes == ["7 images are in two splits, train and validation, by equal pixels"]

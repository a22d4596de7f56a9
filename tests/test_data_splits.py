"""Splits that a source lacks are made when asked for, and its films are split anew."""

import numpy as np
import pytest
from reading import error_of, load
from samples import SPLITS, class_folders, films, lay, parquet

from xray import data, data_splits
from xray.data_choices import Choices, DataError
from xray.data_splits import patient


def by(protocol, seed=0):
    return Choices(split=f"{protocol}-{seed}")


def sizes(found):
    """Of each split its normal and pneumonia images."""
    return [tuple(found.facts["counts"][split].values()) for split in SPLITS]


def shared_patients(found) -> int:
    """How many patients are in two splits, by the names of files."""
    who = [{patient(found.paths[row]) for row in found.index[split]} for split in SPLITS]
    return len(who[0] & who[1] | who[0] & who[2] | who[1] & who[2])


# ---- splits that a source lacks


def test_train_and_test_only(tmp_path):
    """The commonest layout: validation comes from train, the test split stays as it is."""
    folder = class_folders(tmp_path / "set", {"train": (9, 18), "test": (4, 8)})
    assert "it has train, test; --split patient (or --split image)" in error_of(folder)
    found = load(folder, choices=by("patient"))
    assert sizes(found) == [(7, 14), (2, 4), (4, 8)], "2 of 9 as in the paper"
    assert all(path.startswith("test/") for path in found.test.paths)
    assert all(path.startswith("train/") for path in found.train.paths + found.validation.paths)
    assert found.facts["made"] == {"protocol": "patient", "seed": 0, "splits": ["validation"]}
    assert found.facts["options"] == ["--split", "patient", "--split-seed", "0"]
    [note] = found.notes
    assert note.startswith("The source has no validation split of its own; made by patient from")
    assert found.labels.tolist() == ["PNEUMONIA" in path for path in found.paths]


@pytest.mark.parametrize(
    "make, problem",
    [
        # in a folder that is called train
        (lambda folder: class_folders(folder / "train", {"all": (10, 20)}) / "all", "in no split"),
        (lambda folder: class_folders(folder, {"test": (10, 20)}), "it has test; --split patient"),
        (lambda folder: parquet(folder, {"train": (10, 20)}, layout="0.parquet"), "it has train"),
    ],
)
def test_images_in_no_split_or_in_one_are_divided(tmp_path, make, problem):
    folder = make(tmp_path / "set")
    assert problem in error_of(folder)
    found = load(folder, choices=by("image"))
    assert sizes(found) == [(7, 14), (2, 4), (1, 2)] and len(set(found.paths)) == 30
    assert found.split == "given"
    again = load(folder, 12, choices=by("image"))
    assert again.paths == found.paths and again.fingerprint == found.fingerprint
    other = load(folder, choices=by("image", 1))
    assert other.fingerprint != found.fingerprint and sizes(other) == sizes(found)
    assert sorted(other.paths) == sorted(found.paths) and other.paths != found.paths


@pytest.mark.parametrize("seed", range(3))
def test_a_patient_is_in_one_split(tmp_path, seed):
    """Of 1 to 4 films each."""
    shots = [(number, shot) for number in range(40) for shot in range(1 + number % 4)]
    names = [f"PNEUMONIA/person{number}_bacteria_{shot}.png" for number, shot in shots]
    names += [f"NORMAL/IM-{number:04d}-{shot:04d}.png" for number, shot in shots]
    found = load(films(tmp_path / "set", names), 8, choices=by("patient", seed))
    assert shared_patients(found) == 0
    expected = np.array([[70], [20], [10]])  # of 100 of each class
    assert np.abs(np.array(sizes(found)) - expected).max() <= 2


def test_without_patients_it_is_said_and_by_image_is_offered_alone(tmp_path):
    folder = lay(tmp_path / "set", "{title}/x{n}.png")
    assert "--split image (no patient is known) makes what is" in error_of(folder)
    found = load(folder, choices=by("patient"))
    assert found.notes[1].startswith("For 24 of 24 images no patient is known")
    assert len(load(folder, choices=by("image")).notes) == 1


def test_a_source_with_splits_keeps_them(tmp_path):
    folder = class_folders(tmp_path / "set")
    given = load(folder)
    asked = load(folder, choices=by("patient"))
    assert asked.fingerprint == given.fingerprint and not asked.facts["made"]
    assert asked.facts["options"] == []
    assert len(list((tmp_path / "cache" / "images").glob("*/films.json"))) == 1


def test_what_cannot_be_split(tmp_path):
    no_train = class_folders(tmp_path / "a", {"validation": (5, 5), "test": (5, 5)})
    assert "the train split is missing" in error_of(no_train, choices=by("image"))
    few = class_folders(tmp_path / "b", {"all": (1, 1)}) / "all"
    assert "too few images for 3 splits" in error_of(few, choices=by("image"))


# ---- other splits of the same images


def many_patients():
    """A Data without images: 130 patients of one to eight films each, of both classes."""
    generator = np.random.default_rng(0)
    paths = []
    for number in range(130):
        name = "person{}_virus_{}.jpeg" if number % 4 else "IM-{:04d}-{:04d}.jpeg"
        shots = generator.choice([1, 1, 1, 2, 3, 8])
        paths += [name.format(number, shot) for shot in range(shots)]
    paths = [paths[row] for row in generator.permutation(len(paths))]
    labels = np.array([int(path.startswith("person")) for path in paths])
    counts = {"train": len(paths) - 100, "validation": 60, "test": 40}
    images = np.zeros((len(paths), 1, 1, 1), np.uint8)
    facts = {"splits": counts}
    return data.Data("x", "x", "f", False, 1, images, labels, paths, "given", {}, facts)


@pytest.mark.parametrize("protocol", ["image", "patient"])
@pytest.mark.parametrize("seed", [0, 7])
def test_resplit(protocol, seed):
    whole = many_patients()
    given, found = data.resplit(whole, "given", 0), data.resplit(whole, protocol, seed)
    assert found.split == f"{protocol}-{seed}"
    assert sorted(np.concatenate(list(found.index.values()))) == list(range(len(whole.labels)))
    for split, rows in found.index.items():
        assert (np.diff(rows) > 0).all() and rows.dtype == np.int64
        assert len(rows) == len(given.index[split])
        share = given.labels[given.index[split]].sum()
        assert found.labels[rows].sum() == share, "the class ratio is kept"
    assert (shared_patients(found) == 0) == (protocol == "patient")

    def same(one, other):
        return all((one.index[split] == other.index[split]).all() for split in SPLITS)

    assert same(data.resplit(given, protocol, seed), found)
    assert not same(data.resplit(whole, protocol, seed + 1), found)
    back = data.resplit(found, "given", 0)
    assert back.split == "given" and same(back, given)


def test_resplit_of_patients_who_are_too_large_to_fit():
    whole = many_patients()
    # ten patients, each of many images
    whole.paths = [f"person{label}{i % 5}_virus_{i}.jpeg" for i, label in enumerate(whole.labels)]
    found = data.resplit(whole, "patient", 0)
    assert shared_patients(found) == 0
    train_, validation, test = (len(found.index[split]) for split in SPLITS)
    assert train_ > validation >= test > 0


def test_resplit_errors():
    whole = many_patients()
    whole.paths = ["person1_virus_1.jpeg"] * len(whole.paths)
    with pytest.raises(DataError, match="too few"):
        data.resplit(whole, "patient", 0)
    with pytest.raises(DataError, match="no split protocol"):
        data.resplit(whole, "other", 0)


def test_a_split_that_is_scattered_is_a_copy(tmp_path):
    found = data.resplit(load(class_folders(tmp_path / "set")), "image", 3)
    assert (found.train.images == found.images[found.index["train"]]).all()
    assert found.train.paths == [found.paths[row] for row in found.index["train"]]


def test_one_class_does_not_block_the_other():
    labels = np.array([0] * 5 + [0] + [1] * 5)
    who = ["a"] * 5 + [None] * 6
    room = np.array([[3, 3], [2, 1], [1, 1]])
    for seed in range(20):
        owner = data_splits.deal(who, labels, room, "patient", seed)
        assert np.bincount(owner[labels == 1], minlength=3).tolist() == [3, 1, 1]

"""Splits that a source lacks are made when asked for."""

from collections import defaultdict

import numpy as np
import pytest
from commands import TINY, train
from samples import ILL, WELL, class_folders, error_of, films, load, parquet, pixels
from samples import encode as as_png

from xray import data_splits, results, study
from xray.data_choices import Choices, DataError
from xray.data_splits import patient
from xray.paper import SPLIT_SIZES


def by(protocol, seed=0):
    return Choices(split=f"{protocol}-{seed}")


def sizes(found):
    return [found.facts["counts"][split] for split in ("train", "validation", "test")]


def test_train_and_test_only(tmp_path):
    """The commonest layout: validation comes from train, the test split stays as it is."""
    folder = class_folders(tmp_path / "set", {"train": (50, 100), "test": (4, 8)})
    assert "it has train, test; --split patient (or --split image)" in error_of(tmp_path, folder)
    found = load(folder, tmp_path, choices=by("patient"))
    share = SPLIT_SIZES["validation"] / (SPLIT_SIZES["train"] + SPLIT_SIZES["validation"])
    taken = [round(50 * share), round(100 * share)]
    assert sizes(found) == [
        {"NORMAL": 50 - taken[0], "PNEUMONIA": 100 - taken[1]},
        {"NORMAL": taken[0], "PNEUMONIA": taken[1]},
        {"NORMAL": 4, "PNEUMONIA": 8},
    ]
    assert all(path.startswith("test/") for path in found.test.paths)
    assert all(path.startswith("train/") for path in found.train.paths + found.validation.paths)
    assert found.facts["made"] == {"protocol": "patient", "seed": 0, "splits": ["validation"]}
    assert found.facts["options"] == ["--split", "patient", "--split-seed", "0"]
    [note] = found.notes
    assert note.startswith(
        "The source has no validation split of its own; made by patient from the"
    )
    for path, label in zip(found.paths, found.labels):
        assert label == ("PNEUMONIA" in path)


def test_class_folders_alone(tmp_path):
    folder = class_folders(tmp_path / "set" / "train", {"all": (30, 70)}) / "all"
    found = load(folder, tmp_path, choices=by("image"))
    assert sizes(found) == [
        {"NORMAL": 21, "PNEUMONIA": 49},
        {"NORMAL": 6, "PNEUMONIA": 14},
        {"NORMAL": 3, "PNEUMONIA": 7},
    ]
    assert found.split == "given" and len(set(found.paths)) == 100
    again = load(folder, tmp_path, 12, choices=by("image"))
    assert again.paths == found.paths and again.fingerprint == found.fingerprint
    other = load(folder, tmp_path, choices=by("image", 1))
    assert other.fingerprint != found.fingerprint and sizes(other) == sizes(found)
    assert sorted(other.paths) == sorted(found.paths) and other.paths != found.paths


@pytest.mark.parametrize("seed", range(3))
def test_a_patient_is_in_one_split(tmp_path, seed):
    folder = tmp_path / "set"
    for number in range(60):
        for film in range(1 + number % 4):
            for name in (f"person{number}_bacteria_{film}", f"IM-{number:04d}-{film:04d}"):
                place = folder / ("PNEUMONIA" if "person" in name else "NORMAL")
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{name}.png").write_bytes(as_png(pixels(number * 4 + film, 4)))
    found = load(folder, tmp_path, choices=by("patient", seed))
    seen = [{patient(path) for path in found.part(split).paths} for split in SPLIT_SIZES]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    counts = np.array([list(part.values()) for part in sizes(found)])
    assert np.abs(counts - np.array([[105], [30], [15]])).max() <= 2, "70, 20, 10 % of 150 each"


def test_names_that_carry_no_patient_are_told(tmp_path):
    folder = tmp_path / "set"
    for name in ("NORMAL", "PNEUMONIA"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            (folder / name / f"{name}{number}.png").write_bytes(as_png(pixels(number)))
    found = load(folder, tmp_path, choices=by("patient"))
    assert found.notes[1].startswith("Of 20 of 20 images no patient is known")
    assert len(load(folder, tmp_path, choices=by("image")).notes) == 1


def test_parquet_without_split_names(tmp_path):
    folder = parquet(tmp_path / "set", {"train": (10, 20)}, layout="0000.parquet")
    found = load(folder, tmp_path, choices=by("image"))
    assert sum(map(len, found.index.values())) == 30 and len(found.index["test"]) == 3


def test_a_source_with_splits_keeps_them(tmp_path):
    folder = class_folders(tmp_path / "set")
    given = load(folder, tmp_path)
    asked = load(folder, tmp_path, choices=by("patient"))
    assert asked.fingerprint == given.fingerprint and not asked.facts["made"]
    assert asked.facts["options"] == []
    assert len(list((tmp_path / "cache" / "images").glob("*/films.json"))) == 1


def test_one_split_alone_is_all_images(tmp_path):
    folder = class_folders(tmp_path / "set", {"test": (30, 70)})
    assert "it has test; --split patient" in error_of(tmp_path, folder)
    assert [sum(part.values()) for part in sizes(load(folder, tmp_path, choices=by("image")))] == [
        70,
        20,
        10,
    ]


def test_what_cannot_be_split(tmp_path):
    no_train = class_folders(tmp_path / "a", {"validation": (5, 5), "test": (5, 5)})
    assert "the train split is missing" in error_of(tmp_path, no_train, choices=by("image"))
    few = class_folders(tmp_path / "b", {"all": (1, 1)}) / "all"
    assert "too few images for 3 splits" in error_of(tmp_path, few, choices=by("image"))


def test_train_makes_records_and_a_banner_of_made_splits(tmp_path, capsys):
    from xray import items, report_headline  # noqa: F401  (which counts differences)

    folder = class_folders(tmp_path / "set", {"train": (12, 20), "test": (3, 4)})
    out = tmp_path / "out"
    some = ("--data", folder, *TINY, "--model", "20", "--seeds", "0", "--epochs", "1", "--out", out)
    assert train(*some) == 2
    assert "--split patient (or --split image) makes what is missing" in capsys.readouterr().err
    assert train(*some, "--split", "patient", "--split-seed", "3") == 0
    assert "note: The source has no validation split of its own" in capsys.readouterr().out
    assert train(*some, "--split", "patient", "--split-seed", "3") == 0
    assert "1 finished before, 0 to train" in capsys.readouterr().out
    name, _ = study.choose(out / "results")
    assert name.endswith("/given")
    read = study.read(out / "results", name)
    banner = " ".join(items.NUMBERS["differences"](read)["found"])
    assert "no validation split of its own; made by patient from the train split, seed 3" in banner
    assert "--split patient --split-seed 3" in study.command(read.runs, ["21"])
    [run] = results.load(out / "results")
    assert run.split == "given" and len(run.labels["validation"]) == round(32 * 0.2222)


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


def test_one_class_does_not_block_the_other():
    labels = np.array([0] * 5 + [0] + [1] * 5)
    who = ["a"] * 5 + [None] * 6
    room = np.array([[3, 3], [2, 1], [1, 1]])
    for seed in range(20):
        owner = data_splits.deal(who, labels, room, "patient", seed)
        assert np.bincount(owner[labels == 1], minlength=3).tolist() == [3, 1, 1]


def test_patients_known_in_one_split_alone_share_nothing_that_can_be_told():
    index = {"train": np.arange(4), "test": np.arange(4, 8), "validation": np.arange(0)}
    numbers = [0, 1, 2, 3, -1, -1, -1, -1]
    found = data_splits.patients(
        [f"{n}.png" for n in range(8)], np.array([0, 1] * 4), index, numbers
    )
    assert found["overlap"]["test in train"]["all"]["shared"] is None


def test_new_splits_by_patient_are_not_offered_where_none_is_known(tmp_path):
    films(tmp_path / "set", [f"{title}/a{n}.png" for title in (WELL, ILL) for n in range(9)])
    said = error_of(tmp_path, tmp_path / "set")
    assert "--split image (no patient is known) makes what is missing" in said

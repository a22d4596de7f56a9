"""The facts of a data set that stand beside its pixels (data.py lists them), with its audit: copies
of images, contradictory labels, patients in two splits (section 2.1, claim C02)."""

import hashlib
import json
import re
from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np

from xray import data_images
from xray.data_sources import SPLITS

CLASSES = ("NORMAL", "PNEUMONIA")  # labels 0 and 1
EXAMPLES = 20  # how many examples of a finding are kept


# what a column of patients is called, in small letters without what stands between them
PATIENT = ("patient", "patientid", "subjectid")


class Row(NamedTuple):
    """What decoding found out about one image."""

    split: str
    path: str
    name: str  # its class, as the source calls it
    digest: str  # sha256 hex of the encoded bytes
    decoded: data_images.Decoded | None  # without the pixels; None where it is unreadable
    reason: str  # why it is unreadable
    patient: str = ""  # as the source tells it


def patient(path: str) -> str | None:
    """The patient that a file's name or path carries, None where it carries none.

    "person1000_bacteria_2931.jpeg" -> "person1000_bacteria", "IM-0115-0001.jpeg" -> "IM-0115",
    "NORMAL2-IM-1427-0001-0002.jpeg" -> "NORMAL2-IM-1427"; what follows (the Hub's
    "_jpeg.rf.<hash>.jpg") does not matter. Each cause has a series of numbers of its own:
    person1000_virus is another child. NIH's "00000013_005.png" -> "00000013"; a folder of CheXpert,
    "patient00001", or MIMIC, "p10000032" -> that.
    """
    *folders, name = re.split(r"[/\\]", path)
    found = re.match(r"(person\d+_(?:bacteria|virus))_|((?:NORMAL\d*-)?IM-\d+)-\d", name)
    found = found or re.match(r"(\d{8})_\d{3}\.", name)
    if found:
        return found[1] or found[2]
    return next((part for part in folders if re.fullmatch(r"patient\d+|p\d{8}", part)), None)


def names_patients(column: str) -> bool:
    """Whether a column of that name holds patients: "Patient ID", "subject_id"."""
    return re.sub(r"[\W_]+", "", column).lower() in PATIENT


def numbered(told: list[str]) -> list[int]:
    """Patients as a source tells them -> numbers in the order of their first images, -1 for "": who
    they are is kept out of the records. [] where it tells none."""
    known = {name: number for number, name in enumerate(dict.fromkeys(filter(None, told)))}
    return [known.get(name, -1) for name in told] if known else []


def owners(paths: list[str], numbers: list[int]) -> list[str | None]:
    """Each image's patient: as the source told (`numbered`), else as its name tells, else None."""
    numbers = numbers or [-1] * len(paths)
    return [patient(path) if n < 0 else f"#{n}" for path, n in zip(paths, numbers)]


def cause_of(path: str) -> str | None:
    """The cause of a pneumonia that a file name carries, "bacteria" or "virus", else None."""
    found = re.match(r"person\d+_(bacteria|virus)_", re.split(r"[/\\]", path)[-1])
    return found[1] if found else None


def patients(paths: list[str], labels: np.ndarray, index: dict, numbers: list[int] = ()) -> dict:
    """Who is in which split, by `owners`. An image of which no patient is known is its own patient.

    told: images whose patient the source told, left away where it told none. named, unnamed: images
        of which a patient is and is not known. by_split: distinct patients.
    overlap: for "test in train", "test in validation", "test in train or validation" and
    "validation in train", by class and in "all": the images of the first split, how many of them
    show a patient of the second, and how many patients that are.
    causes: bacteria, virus and unknown among the PNEUMONIA images, by split.
    """
    names = owners(paths, numbers)
    keys = [name or f"\0{row}" for row, name in enumerate(names)]
    by_split = {split: {keys[row] for row in rows} for split, rows in index.items()}
    overlap = {}
    for first, second in (
        ("test", ["train"]),
        ("test", ["validation"]),
        ("test", ["train", "validation"]),
        ("validation", ["train"]),
    ):
        others = set().union(*(by_split[split] for split in second))
        found = {}
        for name, wanted in (("NORMAL", (0,)), ("PNEUMONIA", (1,)), ("all", (0, 1))):
            rows = [row for row in index[first] if labels[row] in wanted]
            shared = [row for row in rows if keys[row] in others]
            found[name] = {
                "images": len(rows),
                "shared": len(shared),
                "patients": len({keys[row] for row in shared}),
            }
        overlap[f"{first} in {' or '.join(second)}"] = found
    causes = {}
    for split, rows in index.items():
        found = Counter(cause_of(paths[row]) or "unknown" for row in rows if labels[row] == 1)
        causes[split] = dict(sorted(found.items()))
    return {
        "named": sum(name is not None for name in names),
        "unnamed": sum(name is None for name in names),
        "by_split": {split: len(keys) for split, keys in by_split.items()},
        "overlap": overlap,
        "causes": causes,
    } | ({"told": sum(number >= 0 for number in numbers)} if numbers else {})


def copies(digests: list[str], paths: list[str], labels: np.ndarray, index: dict) -> dict:
    """Images with the same digest.

    groups: sets of identical images; images: images in them; surplus: images that would go if one
    of each set were kept; within: surplus in each split alone; across: "train/test" -> sets that
    have an image in both splits;
    conflicting: sets whose images differ in label; examples, conflicting_examples: lists of "split:
        path", the first few sets.
    """
    split_of = {int(row): split for split, rows in index.items() for row in rows}
    groups = defaultdict(list)
    for row, digest in enumerate(digests):
        groups[digest].append(row)
    groups = [rows for rows in groups.values() if len(rows) > 1]
    within, across = Counter(), Counter()
    for rows in groups:
        counts = Counter(split_of[row] for row in rows)
        within.update({split: count - 1 for split, count in counts.items()})
        present = [split for split in index if split in counts]
        across.update(f"{a}/{b}" for i, a in enumerate(present) for b in present[i + 1 :])
    conflicting = [rows for rows in groups if len({int(labels[row]) for row in rows}) > 1]
    names = list(index)
    pairs = [f"{a}/{b}" for i, a in enumerate(names) for b in names[i + 1 :]]

    def examples(sets):
        return [[f"{split_of[row]}: {paths[row]}" for row in rows] for rows in sets[:EXAMPLES]]

    return {
        "groups": len(groups),
        "images": sum(map(len, groups)),
        "surplus": sum(len(rows) - 1 for rows in groups),
        "within": {split: within[split] for split in names},
        "across": {pair: across[pair] for pair in pairs},
        "conflicting": len(conflicting),
        "examples": examples(groups),
        "conflicting_examples": examples(conflicting),
    }


def _sample(row: Row, label: int) -> dict:
    form = {key: getattr(row.decoded, key) for key in ("mode", "width", "height")}
    return {"path": row.path} | form | {"label": label}


def facts(rows: list[Row], mapping: dict[str, int]) -> dict:
    """The facts that data.py describes, of decoded rows."""
    bad = [row for row in rows if not row.decoded]
    good = [row for row in rows if row.decoded]
    labels = np.array([mapping[row.name] for row in good], np.int64)
    paths = [row.path for row in good]
    index = {
        split: np.array([i for i, row in enumerate(good) if row.split == split], np.int64)
        for split in SPLITS
    }
    fingerprint = hashlib.sha256()
    for row, label in zip(good, labels):
        fingerprint.update(json.dumps([row.split, row.path, int(label), row.digest]).encode())
    numbers = numbered([row.patient for row in good])
    if numbers:  # other patients, other splits by patient
        fingerprint.update(json.dumps(numbers).encode())
    pixels = copies([row.decoded.digest for row in good], paths, labels, index)
    sizes = Counter(f"{row.decoded.width}x{row.decoded.height}" for row in good)
    modes = Counter(row.decoded.mode for row in good)
    return {
        "fingerprint": fingerprint.hexdigest(),
        "splits": {split: len(rows) for split, rows in index.items()},
        "counts": {
            split: {name: int((labels[rows] == label).sum()) for label, name in enumerate(CLASSES)}
            for split, rows in index.items()
        },
        "sample": _sample(good[0], int(labels[0])) if good else None,
        "sizes": dict(sizes.most_common()),
        "modes": dict(modes.most_common()),
        "audit": {
            "missing": sum(row.reason == data_images.MISSING for row in bad),
            "unreadable": [row.path for row in bad],
            "reasons": [row.reason for row in bad],
            "identical_bytes": copies([row.digest for row in good], paths, labels, index),
            "identical_pixels": pixels,
            "conflicting_labels": pixels["conflicting_examples"],
        },
        "patients": patients(paths, labels, index, numbers),
        "patient_numbers": numbers,
        "paths": paths,
        "labels": "".join(map(str, labels.tolist())),
    }

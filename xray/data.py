"""A source of chest radiographs -> splits of uint8 images, labels and paths, and an audit of them.

A source is one string: a data set id of the Hub, a folder of parquet files in the Hub's layout, a
folder of class folders, or "phantom" (synthetic images, see data_phantoms.py). Images are decoded
once (data_images.py) and kept as

    <cache>/images/<key>/pixels.u8     uint8 (N, 1, S, S), the readable images in canonical order
    <cache>/images/<key>/meta.json     the facts, and checksums of the pixels and of itself

where the key stands for the source's content (file names, sizes and times, or the Hub's commit) and
S. <cache> is the environment's XRAY_CACHE, or ~/.cache/xray.

facts, JSON-able, always of the given split:
    name, source, kind ("hub", "parquet", "folders", "phantom"), fingerprint, phantom
    classes     the source's class names -> label
    splits      {"train": N, ...}      counts {"train": {"NORMAL": n, "PNEUMONIA": n}, ...}
    paths, labels ("0110..."), both in canonical order
    sample      the first training image before any change: path, mode, width, height, label
    sizes, modes  {"640x640": n}, {"RGB": n}: images before any change
    skipped     paths of unreadable images that were left out
    audit       missing (rows without an image, count), unreadable [paths], reasons [texts],
                identical_bytes and identical_pixels (data_audit.copies; the latter at the source's
                own resolution), conflicting_labels (groups of pixel-identical images that differ
                in label, [["split: path", ...], ...])
    patients    data_audit.patients
"""

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from xray import data_cache
from xray.data_audit import patient
from xray.data_images import folder_source
from xray.data_phantoms import named, phantom_source
from xray.data_sources import SPLITS, DataError, HubUnreachable, Source, hub_source, shown


@dataclass
class Split:
    images: np.ndarray  # uint8 (N, 1, S, S)
    labels: np.ndarray  # int64 (N,), 1 is PNEUMONIA
    paths: list[str]


@dataclass
class Data:
    name: str  # short: the last part of a Hub id or folder, or "phantom"
    source: str  # as given
    # sha256 hex over given split, path, label and encoded bytes of every image; not over the size
    fingerprint: str
    phantom: bool
    image_size: int
    # uint8 (N, 1, S, S), all images: given train, validation, test, each in the source's order
    images: np.ndarray
    labels: np.ndarray  # int64 (N,)
    paths: list[str]
    split: str  # "given", "image-<seed>" or "patient-<seed>"
    index: dict[str, np.ndarray]  # split -> rows, int64, ascending
    facts: dict
    notes: list[str] = field(default_factory=list)  # what a person should be told, one line each

    def part(self, name: str) -> Split:
        """A split: a view of the images where its rows are contiguous, else a copy."""
        rows = self.index[name]
        contiguous = len(rows) and rows[-1] - rows[0] + 1 == len(rows)
        where = slice(int(rows[0]), int(rows[-1]) + 1) if contiguous else rows
        return Split(self.images[where], self.labels[where], [self.paths[row] for row in rows])

    @property
    def train(self) -> Split:
        return self.part("train")

    @property
    def validation(self) -> Split:
        return self.part("validation")

    @property
    def test(self) -> Split:
        return self.part("test")


def cache_folder() -> Path:
    """Where decoded images are kept: the environment's XRAY_CACHE, or ~/.cache/xray."""
    return Path(os.environ.get("XRAY_CACHE") or "~/.cache/xray").expanduser()


def find(source: str) -> Source:
    """What a source names: phantoms, else a folder, else a Hub data set. Raises DataError."""
    if named(source):
        return phantom_source(source)
    folder = Path(source).expanduser()
    if source.strip() and folder.is_dir():
        return folder_source(source, folder)
    if source.strip() and folder.exists():
        raise DataError(
            f"{shown(source)}: a file; give the folder that holds the train, validation and test "
            "splits"
        )
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", source, re.ASCII):
        return hub_source(source)
    path = source[:1] in ("", ".", "~", "/") or source.count("/") > 1
    hint = "" if path else ", and a data set of the Hub is named owner/name"
    raise DataError(f"{shown(source).strip() or 'no name'}: no such folder{hint}")


def load(
    source: str, image_size: int, skip_unreadable=False, cache: Path | None = None, progress=None
) -> Data:
    """Read a source, in its own splits, from the cache where it was read before.

    progress(done, total) is called now and then while images are decoded. Raises DataError:
    HubUnreachable where the source is a Hub id, the Hub does not answer and nothing is cached; and
    where the source does not exist, is not laid out as described, has not two classes, or has
    unreadable images and they are not to be skipped.
    """
    if image_size < 1:
        raise DataError(f"image size {image_size} does not fit: it must be positive")
    folder = Path(cache or cache_folder()) / "images"
    try:
        found = find(source)
    except HubUnreachable:
        entry = data_cache.get_earlier(folder, source, image_size)
        if entry is None:
            raise
        why = "the Hub cannot be reached; the copy read from it before is used"
        entry.notes.append(f"{source}: {why}")
    else:
        entry = data_cache.get(folder, found, source, image_size, progress)
    return _data(shown(source), image_size, entry, skip_unreadable)


def _data(source: str, image_size: int, entry: data_cache.Entry, skip_unreadable: bool) -> Data:
    """A cache entry as Data, where its images allow it. Raises DataError."""
    facts, notes = entry.facts | {"source": source}, list(entry.notes)
    unreadable = facts["audit"]["unreadable"]
    if unreadable and not skip_unreadable:
        raise DataError(_list_unreadable(source, unreadable, facts["audit"]["reasons"]))
    facts["skipped"] = unreadable
    for split in SPLITS:
        if not facts["splits"][split]:
            raise DataError(f"{shown(source)}: the {split} split has no readable image")
        for name, count in facts["counts"][split].items():
            if not count and split == "train":
                why = f"the train split has no {name} image; both classes are needed"
                raise DataError(f"{shown(source)}: {why}")
            if not count:
                notes.append(f"the {split} split has no {name} image")
    index = _given_index(facts)
    labels = np.frombuffer(facts["labels"].encode(), np.uint8).astype(np.int64) - ord("0")
    what = facts["name"], source, facts["fingerprint"], facts["phantom"]
    images = image_size, entry.pixels, labels, facts["paths"]
    return Data(*what, *images, "given", index, facts, notes)


def _given_index(facts: dict) -> dict[str, np.ndarray]:
    """The rows of the source's own splits, which lie one after another."""
    bounds = np.cumsum([0] + [facts["splits"][split] for split in SPLITS])
    return {split: np.arange(bounds[i], bounds[i + 1]) for i, split in enumerate(SPLITS)}


def _list_unreadable(source, paths, reasons) -> str:
    first = list(zip(paths, reasons))[:20]
    listed = "; ".join(f"{shown(path)} ({reason})" for path, reason in first)
    more = f"; and {len(paths) - 20} more" if len(paths) > 20 else ""
    return (
        f"{shown(source)}: {len(paths)} unreadable image{'s' * (len(paths) > 1)}: {listed}{more}. "
        "Mend or remove them, or leave them out with --skip-unreadable"
    )


# ---- other splits of the same images


def resplit(data: Data, protocol: str, seed: int = 0) -> Data:
    """The same images, split another way by its arguments alone; `index` and `split` change.

    "given": the source's own splits.
    "image": images drawn at random; each split keeps its number of images of each class.
    "patient": no patient (data_audit.patient; an image whose name carries none stands alone) is in
        two splits. Patients are taken in random order, those with most images first; each goes to a
        split drawn with chances as the images that it still lacks, among those with room for all of
        the patient's images of each class, or where none has room, to the one that it overfills
        least. Those with one image come last and fill the gaps, so with enough of them each split
        keeps its number of images of each class exactly.
    Raises DataError for an unknown protocol, or where there are too few patients for three splits.
    """
    given = _given_index(data.facts)
    if protocol == "given":
        return replace(data, split="given", index=given)
    if protocol not in ("image", "patient"):
        raise DataError(f"no split protocol {protocol!r}; there are given, image and patient")
    room = np.array([np.bincount(data.labels[given[split]], minlength=2) for split in SPLITS])
    generator = np.random.default_rng([seed, protocol == "patient"])
    groups = [[row] for row in range(len(data.paths))]
    if protocol == "patient":
        groups = _patient_groups(data.paths)
    owner = _deal(groups, data.labels, room, generator)
    index = {split: np.flatnonzero(owner == i) for i, split in enumerate(SPLITS)}
    if any(len(rows) == 0 for rows in index.values()):
        why = f"{len(groups)} patients are too few for three splits by patient"
        raise DataError(f"{shown(data.source)}: {why}")
    return replace(data, split=f"{protocol}-{seed}", index=index)


def _patient_groups(paths: list[str]) -> list[list[int]]:
    groups = {}
    for row, path in enumerate(paths):
        groups.setdefault(patient(path) or row, []).append(row)
    return list(groups.values())


def _deal(groups: list[list[int]], labels: np.ndarray, room: np.ndarray, generator) -> np.ndarray:
    """Give groups of rows to splits with `room` (3, 2) by class; rows' splits, int64 (N,)."""
    owner, room = np.empty(len(labels), np.int64), room.astype(np.int64)
    order = [groups[i] for i in generator.permutation(len(groups))]
    # a stable sort: equals keep their random order
    for rows in sorted(order, key=len, reverse=True):
        need = np.bincount(labels[rows], minlength=2)
        fits = (room >= need).all(1)
        if fits.any():
            chances = np.where(fits, room[:, need > 0].sum(1), 0).astype(float)
            split = generator.choice(3, p=chances / chances.sum())
        else:
            split = int(np.maximum(need - room, 0).sum(1).argmin())
        owner[rows] = split
        room[split] -= need
    return owner


def sample_image(data: Data) -> np.ndarray:
    """The given split's first training image, uint8 (S, S), which facts["sample"] describes."""
    return np.array(data.images[0, 0])

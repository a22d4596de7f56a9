"""A source of chest radiographs -> splits of uint8 images, labels and paths, and an audit of them.

A source is one string: a data set id of the Hub, a folder of class folders, a folder of tables or
one of them (data_tables.py), or "phantom" (synthetic images, see data_phantoms.py). What it does
not say itself, which classes are meant and how it is split, Choices say. Images are decoded
once (data_images.py) and kept as

    <cache>/images/<key>/pixels.u8     uint8 (N, 1, S, S), the readable images in canonical order
    <cache>/images/<key>/meta.json     the facts, and checksums of the pixels and of itself

where the key stands for the source's content (file names, sizes and times, or the Hub's commit),
the choices and S. <cache> is the environment's XRAY_CACHE, or ~/.cache/xray.

facts, JSON-able, always of the given split:
    name, source, kind (see data_sources.Source), fingerprint, phantom
    classes     the source's class names -> label, without those left out
    options     the choices, as options of scripts/train.py; without a split where none was made
    made        protocol, seed and names of splits that the source lacks; empty where it has all
    bits        used by images of 16 bits, over the whole source; 16 where there are none
    notes       what was left out, made or stretched in reading it, a sentence each
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
    patient_numbers  of each image, where a table tells patients (data_audit.numbered)
"""

import difflib
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from xray import data_cache
from xray.data_folders import ARCHIVES, folder_source
from xray.data_hub import hub_source
from xray.data_phantoms import named, phantom_source
from xray.data_sources import (
    INSTEAD,
    NO_CHOICES,
    SPLITS,
    Choices,
    DataError,
    HubUnreachable,
    Source,
    SplitsMissing,
    shown,
)
from xray.data_splits import given_index, resplit  # noqa: F401  (also of this module's interface)
from xray.data_tables import SUFFIXES as TABLES


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
    """What a source names: phantoms, else a folder or a table, else a Hub data set. Raises
    DataError."""
    if named(source):
        return phantom_source(source)
    place = Path(source).expanduser()
    if source.strip() and place.is_dir():
        return folder_source(source, place)
    if source.strip() and place.exists():
        if place.suffix.lower() in TABLES:
            return folder_source(source, place.parent, place)
        packed = place.suffix.lower() in ARCHIVES
        what = "an archive; unpack it, and" if packed else "a file;"
        raise DataError(
            f"{shown(source)}: {what} give the folder that holds the train, validation and test "
            "splits"
        )
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", source, re.ASCII):
        try:
            return hub_source(source)
        except DataError as error:
            raise type(error)(f"{error}{_meant(place)}") from None
    path = source[:1] in ("", ".", "~", "/") or (source.count("/") > 1 and "://" not in source)
    hint = _meant(place) or ("" if path else ", and a data set of the Hub is named owner/name")
    raise DataError(f"{shown(source).strip() or 'no name'}: no such folder{hint}")


def _meant(place: Path) -> str:
    """The folder that a wrong name may mean, as the end of a message; "" where there is none."""
    try:
        there = [path.name for path in place.parent.iterdir() if path.is_dir()]
    except (OSError, ValueError):
        return ""
    near = difflib.get_close_matches(place.name, there, n=1)
    return f"; did you mean {shown(place.parent / near[0])}?" if near else ""


def load(
    source: str,
    image_size: int,
    skip_unreadable=False,
    cache: Path | None = None,
    progress=None,
    choices: Choices = NO_CHOICES,
) -> Data:
    """Read a source, in its own splits, from the cache where it was read before.

    progress(done, total) is called now and then while images are decoded. Raises DataError:
    HubUnreachable where the source is a Hub id, the Hub does not answer and nothing is cached;
    SplitsMissing where it lacks a split and choices.split is empty; and where the source does not
    exist, is not laid out as described, has not two classes that can be told, or has unreadable
    images and they are not to be skipped.
    """
    if image_size < 1:
        raise DataError(f"image size {image_size} does not fit: it must be positive")
    folder = Path(cache or cache_folder()) / "images"
    try:
        found = find(source)
        if found.missing and not skip_unreadable:
            listed = ", ".join(map(shown, found.missing[:6]))
            raise DataError(
                f"{shown(source)}: {len(found.missing)} of its files are missing ({listed}); fetch "
                "them, or go on without them with --skip-unreadable"
            )
        entry = _entry(folder, found, source, image_size, progress, choices)
    except HubUnreachable as error:
        entry = data_cache.get_earlier(folder, source, image_size, choices)
        if entry is None:
            raise
        why = str(error).split(INSTEAD)[0]
        entry.notes.append(f"{why}; the copy read from it before is used")
    else:
        entry.notes.extend([found.note] if found.note else [])
    return _data(shown(source), image_size, entry, skip_unreadable)


def _entry(folder, found, source, image_size, progress, choices) -> data_cache.Entry:
    """Decoded images, with splits made as chosen only where the source lacks one."""
    whole = replace(choices, split="")
    if choices != whole and not data_cache.has(folder, found, image_size, choices):
        try:
            return data_cache.get(folder, found, source, image_size, progress, whole)
        except SplitsMissing:
            pass
    return data_cache.get(folder, found, source, image_size, progress, choices)


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
    index = given_index(facts)
    labels = np.frombuffer(facts["labels"].encode(), np.uint8).astype(np.int64) - ord("0")
    what = facts["name"], source, facts["fingerprint"], facts["phantom"]
    images = image_size, entry.pixels, labels, facts["paths"]
    return Data(*what, *images, "given", index, facts, notes)


def _list_unreadable(source, paths, reasons) -> str:
    first = list(zip(paths, reasons))[:20]
    listed = "; ".join(f"{shown(path)} ({reason})" for path, reason in first)
    more = f"; and {len(paths) - 20} more" if len(paths) > 20 else ""
    return (
        f"{shown(source)}: {len(paths)} unreadable image{'s' * (len(paths) > 1)}: {listed}{more}. "
        "Mend or remove them, or leave them out with --skip-unreadable"
    )


def sample_image(data: Data) -> np.ndarray:
    """The given split's first training image, uint8 (S, S), which facts["sample"] describes."""
    return np.array(data.images[0, 0])

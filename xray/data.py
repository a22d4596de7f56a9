"""A source of chest radiographs -> splits of uint8 images, labels and paths, and an audit of them.

What a source is, data_sources.py says; which classes and splits its films have, data_splits.py.
Films are decoded once (data_images.py) and kept in <cache>/images/<key>/, where the key stands for
the source's content, the films in their order and the size:

    pixels.u8      uint8 (N, 1, S, S), the readable films in canonical order
    films.json     what decoding found out about each film, readable or not

<cache> is the environment's XRAY_CACHE, or ~/.cache/xray.

facts, JSON-able, always of the given split:
    name, source, kind (see data_sources.Source), fingerprint, phantom
    classes     the source's class names -> label, without those left out
    options     the choices, as options of scripts/train.py; without a split where none was made
    made        protocol, seed and names of splits that the source lacks; empty where it has all
    taken       what was taken for what: columns, classes, splits, patients; short lines
    left_out    what is left out -> how many
    bits        that hold the highest value of the source's files with 16; 8 where there are none
    notes       what was left out, made or stretched in reading it, a sentence each
    splits      {"train": N, ...}      counts {"train": {"NORMAL": n, "PNEUMONIA": n}, ...}
    paths, labels ("0110..."), both in canonical order
    digests     {"bytes", "pixels"}: the first 6 bytes of the sha256 of each film's file and of its
                gray pixels at its own size, in canonical order, as base64
    sample      the first training image before any change: path, mode, width, height, label
    sizes, modes  {"640x640": n}, {"RGB": n}: images before any change
    skipped     paths of unreadable images that were left out
    audit       missing (rows without an image, count), unreadable [paths], reasons [texts],
                identical_bytes and identical_pixels (data_splits.copies; the latter at the source's
                own resolution)
    patients    data_splits.patients
    patient_numbers  of each image, where a table tells patients (data_splits.numbered)
"""

import base64
import errno
import hashlib
import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from xray import data_images, data_splits, files
from xray.data_choices import (
    NO_CHOICES,
    SPLITS,
    Choices,
    DataError,
    in_words,
    label_mapping,
    listed,
)
from xray.data_choices import HubUnreachable as HubUnreachable
from xray.data_sources import Source, find
from xray.data_splits import CLASSES, given_index
from xray.data_splits import resplit as resplit
from xray.files import shown

FORMAT = 5  # of the cache
THREADS = 2
DIGITS = 12  # of a digest that are kept, in hexadecimal


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
    split: str  # "given", "image-<seed>" or "patient-<seed>"; "all" where it was read whole
    index: dict[str, np.ndarray]  # split -> rows, int64, ascending
    facts: dict
    notes: list[str] = field(default_factory=list)  # what a person should be told, one line each
    # a row an image: path, title (the source's own label), label, split, patient ("" not known),
    # bytes, pixels (digests), then the source's further columns
    table: pd.DataFrame | None = None
    read: Callable[[int], bytes | None] | None = None  # row -> the encoded file

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


def load(
    source: str,
    image_size: int,
    skip_unreadable=False,
    cache: Path | None = None,
    progress=None,
    choices: Choices = NO_CHOICES,
    whole=False,
) -> Data:
    """Read a source, in its own splits, its films from the cache where they were read before.

    whole: no split is asked for; index is {"all": all rows}. progress(done, total) is called now
    and then while images are decoded. Raises DataError: HubUnreachable where the source is a Hub
    id, the Hub does not answer and nothing was fetched before; and where the source does not exist,
    is not laid out as described, has not two classes that can be told, lacks a split and
    choices.split is empty, or has unreadable images and they are not to be skipped.
    """
    source = str(source)
    try:
        return _load(source, image_size, skip_unreadable, cache, progress, choices, whole)
    except DataError as error:
        raise type(error)(f"{shown(source).strip() or 'no name'}: {error}") from None


def _load(source, size, skip_unreadable, cache, progress, choices, whole) -> Data:
    if size < 1:
        raise DataError(f"image size {size} does not fit: it must be positive")
    found = find(source, choices)
    if found.missing and not skip_unreadable:
        raise DataError(
            f"{len(found.missing)} of its files are missing ({listed(found.missing)}); fetch them, "
            "or go on without them with --skip-unreadable"
        )
    mapping = label_mapping(found.classes, choices)
    films, made, notes, left = data_splits.prepare(found, mapping, choices.split, whole)
    pixels, seen = _decoded(Path(cache or cache_folder()) / "images", found, films, size, progress)
    readable = (seen.reason == "").to_numpy()
    bad = list(zip(films.path[~readable], seen.reason[~readable]))
    if bad and not skip_unreadable:
        raise DataError(_unreadable(bad))
    films, seen = films[readable], seen[readable]
    left = found.left_out + left
    if found.missing:
        left[f"files that are missing: {listed(found.missing, 20)}"] = len(found.missing)
    facts = _facts(found, films, seen, bad) | {
        "name": found.name,
        "source": shown(source),
        "kind": found.kind,
        "phantom": found.kind == "phantom",
        "classes": mapping,
        "options": (choices if made else replace(choices, split="")).options,
        "made": made,
        "left_out": {what.partition(":")[0]: count for what, count in left.items()},
    }
    facts["taken"] = _taken(found.taken, facts)
    facts["notes"] = [_left_out(what, count) for what, count in left.items()]
    facts["notes"] += [*notes, *_notes_of(seen, facts["bits"])]
    return Data(
        name=found.name,
        source=shown(source),
        fingerprint=facts["fingerprint"],
        phantom=facts["phantom"],
        image_size=size,
        images=pixels,
        labels=films.label.to_numpy(copy=True),  # which torch may write to
        paths=list(films.path),
        split="all" if whole else "given",
        index=given_index(facts),
        facts=facts,
        notes=[*facts["notes"], *found.notes, *_check(facts)],
        table=_table(films, seen),
        read=lambda row: found.read(int(films.index[row])),
    )


def _left_out(what: str, count: int) -> str:
    what, colon, which = what.partition(": ")
    return f"{count:,} {what} are left out{colon}{which}"


def _unreadable(bad: list[tuple[str, str]]) -> str:
    first = [f"{shown(path)} ({reason})" for path, reason in bad[:20]]
    more = f"; and {len(bad) - 20} more" * (len(bad) > 20)
    return (
        f"{len(bad)} unreadable image{'s' * (len(bad) > 1)}: {'; '.join(first)}{more}. "
        "Repair or remove them, or leave them out with --skip-unreadable"
    )


# ---- decoding, once


def _decoded(folder, source, films, size, progress) -> tuple[np.ndarray, pd.DataFrame]:
    """The readable films' pixels, uint8 (N, 1, S, S), and of all films a row each: reason ("" where
    it could be read), digests of bytes and pixels, mode, width, height, highest, bits, notes. From
    the cache, else decoded and put there. films: their index is the source's row. Raises DataError.
    """
    about = [FORMAT, source.identity, size, list(zip(films.split, films.path))]
    place = folder / hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]
    if kept := _kept(place, size):
        return kept
    try:
        with files.lock(place.with_suffix(".lock")):
            if kept := _kept(place, size):  # another process may have built it meanwhile
                return kept
            files.clear_leftovers(folder)
            shutil.rmtree(place, ignore_errors=True)
            with files.writing(place) as writing:
                writing.mkdir()
                _build(writing, source, films, size, progress)
            return _kept(place, size)
    except OSError as error:
        raise DataError(
            f"{shown(folder)}: the cache cannot be written ({error.strerror or error}); free some "
            "space there, or set XRAY_CACHE to another folder"
        ) from None


def _kept(place: Path, size: int) -> tuple[np.ndarray, pd.DataFrame] | None:
    """What was decoded before, None where nothing was or it is damaged."""
    try:
        decoded = pd.DataFrame(json.loads((place / "films.json").read_text(encoding="utf-8")))
        shape = (int((decoded.reason == "").sum()), 1, size, size)
        if (place / "pixels.u8").stat().st_size != np.prod(shape, dtype=np.int64):
            return None
        if not shape[0]:
            return np.empty(shape, np.uint8), decoded
        # mode c: pages are the file's until someone writes to them, and are never written back
        return np.memmap(place / "pixels.u8", np.uint8, "c", shape=shape), decoded
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def _build(place: Path, source: Source, films, size, progress) -> None:
    """Decode a source into the folder of an entry. Raises OSError."""
    needed, free = len(films) * size**2, shutil.disk_usage(place).free
    if needed > free:
        enough = f"{needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free"
        raise OSError(errno.ENOSPC, enough)

    def decode(at, bits=None):
        """What was found out about a film, and its pixels at the size, None where unreadable."""
        found = {"reason": "", "bytes": "", "pixels": ""}
        found |= {"mode": "", "width": 0, "height": 0, "highest": 0, "bits": 0, "notes": []}
        try:
            encoded = source.read(int(films.index[at]))
            found["bytes"] = hashlib.sha256(encoded or b"").hexdigest()
            film = data_images.read(encoded, films.path.iloc[at], bits)
        except data_images.Unreadable as error:
            return found | {"reason": str(error)}, None
        except OSError as error:
            return found | {"reason": f"cannot be read ({error.strerror or error})"}, None
        gray = film.pixels
        found["pixels"] = hashlib.sha256(f"{gray.shape}".encode() + gray.tobytes()).hexdigest()
        found |= {name: getattr(film, name) for name in film._fields if name != "pixels"}
        return found, data_images.resize(gray, size)

    rows, places = [], {}
    with (
        open(place / "pixels.u8", "w+b") as stream,
        ThreadPoolExecutor(THREADS) as pool,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # Pillow's, on damaged metadata
        for start in range(0, len(films), 64):  # so that few decoded images wait in memory
            for found, square in pool.map(decode, range(start, min(start + 64, len(films)))):
                if square is not None:
                    places[len(rows)] = stream.tell()
                    stream.write(square)
                rows.append(found)
            if progress:
                progress(len(rows), len(films))
        bits = _bits(row["highest"] for row in rows)
        # which bits the source's files of 16 use is known only now
        again = [at for at, row in enumerate(rows) if row["highest"] and row["bits"] != bits]
        for at in again:
            rows[at], square = decode(at, bits)
            stream.seek(places[at])
            stream.write(square)
        stream.flush()
        os.fsync(stream.fileno())
    (place / "films.json").write_text(json.dumps(rows), encoding="utf-8")


def _bits(highest) -> int:
    """That hold the highest value of a source's files with 16; 16 where there are none."""
    most = max(highest, default=0)
    return data_images.bits_in_use(most) if most else 16


# ---- what is known of it


def _facts(found: Source, films: pd.DataFrame, seen: pd.DataFrame, bad: list) -> dict:
    """The facts that come from the films: those that can be read, and (path, reason) of others."""
    skipped, reasons = [path for path, _ in bad], [reason for _, reason in bad]
    labels, paths = films.label.to_numpy(), list(films.path)
    splits = ["all"] if (films.split == "all").all() else SPLITS
    index = {split: np.flatnonzero(films.split == split) for split in splits}
    fingerprint = hashlib.sha256()
    for row in zip(films.split, paths, labels.tolist(), seen.bytes):
        fingerprint.update(json.dumps(row).encode())
    numbers = data_splits.numbered(list(films.patient))
    if numbers:  # other patients, other splits by patient
        fingerprint.update(json.dumps(numbers).encode())
    sizes = seen.width.astype(str) + "x" + seen.height.astype(str)
    sample = None
    if paths:
        first = seen.iloc[0]
        sample = {"path": paths[0], "mode": first["mode"], "width": int(first.width)}
        sample |= {"height": int(first.height), "label": int(labels[0])}
    return {
        "fingerprint": found.fingerprint or fingerprint.hexdigest(),
        "bits": _bits(seen.highest),
        "splits": {split: len(rows) for split, rows in index.items()},
        "counts": {
            split: {name: int((labels[rows] == label).sum()) for label, name in enumerate(CLASSES)}
            for split, rows in index.items()
        },
        "sample": sample,
        "sizes": dict(Counter(sizes).most_common()),
        "modes": dict(Counter(seen["mode"]).most_common()),
        "skipped": skipped,
        "audit": {
            "missing": reasons.count(data_images.MISSING),
            "unreadable": skipped,
            "reasons": reasons,
            "identical_bytes": data_splits.copies(list(seen.bytes), paths, labels, index),
            "identical_pixels": data_splits.copies(list(seen.pixels), paths, labels, index),
        },
        "patients": data_splits.patients(paths, labels, index, numbers),
        "patient_numbers": numbers,
        "paths": paths,
        "labels": "".join(map(str, labels.tolist())),
        "digests": {
            kind: base64.b64encode(bytes.fromhex("".join(seen[kind].str[:DIGITS]))).decode()
            for kind in ("bytes", "pixels")
        },
    }


def _taken(taken: dict[str, str], facts: dict) -> list[str]:
    """What was taken for what, a short line each."""
    patients, made = facts["patients"], facts["made"]
    counts = ", ".join(f"{name} {count:,}" for name, count in facts["splits"].items())
    how = taken.get("splits", "all images")
    if made:
        how = f"{' and '.join(made['splits'])} made by {made['protocol']}, seed {made['seed']}"
    known, images = patients["named"], patients["named"] + patients["unnamed"]
    who = "not known: file names tell none, and no column was taken for them (--patient NAME)"
    if known:
        whence = [taken["patients"]] if "patients" in taken else []
        whence += ["file names"] if known > patients.get("told", 0) else []
        who = f"known of {known:,} of {images:,} images, by {' and '.join(whence)}"
    lines = [f"{name}: {taken[name]}" for name in ("images", "labels") if name in taken]
    lines.append(f"classes: {in_words(facts['classes'])}")
    lines += [f"splits: {how}: {counts}"] if "all" not in facts["splits"] else []
    return [*lines, f"patients: {who}"]


def _notes_of(seen: pd.DataFrame, bits: int) -> list[str]:
    """How films were read where that is not plain: bits, pages, windows of DICOM."""
    wide = seen[seen.highest > 0]
    kinds = Counter(wide.highest.map(data_images.bits_in_use))
    eight = int(((seen.highest == 0) & (seen["mode"] != "DICOM")).sum())
    notes = []
    if len(wide) and (bits < 16 or len(kinds) > 1 or eight):
        words = f"Of images with 16 bits {bits} are in use"
        words += "; they are stretched to those" * (bits < 16)
        several = ", ".join(f"{kinds[kind]:,} of {kind} bits" for kind in sorted(kinds))
        words += f" (by each one's highest value: {several})" * (len(kinds) > 1)
        notes.append(words + f"; {eight:,} others have 8 bits" * bool(eight))
    said = Counter(note for each in seen.notes for note in each)
    return notes + [f"{count:,} images: {note}" for note, count in said.most_common(6)]


def _check(facts: dict) -> list[str]:
    """Raises DataError where a split has no image, or what is trained on lacks a class; else notes
    of classes that lack in others, splits that share many images, and films that may be twice."""
    notes = []
    for split, counts in facts["counts"].items():
        if not sum(counts.values()):
            raise DataError(f"the {split} split has no readable image")
        for name, count in counts.items():
            if not count and split in ("train", "all"):
                where = "the train split has" if split == "train" else "there is"
                why = f"{where} no {name} image; both classes are needed"
                raise DataError(why)
            if not count:
                notes.append(f"the {split} split has no {name} image")
    for pair, count in facts["audit"]["identical_pixels"]["across"].items():
        one, other = pair.split("/")
        if count > min(facts["splits"][one], facts["splits"][other]) / 10:
            notes.append(f"{count:,} images are in two splits, {one} and {other}, by equal pixels")
    paths = {*facts["paths"]}
    if twice := len(paths) - len({os.path.splitext(path)[0] for path in paths}):
        notes.append(f"{twice:,} images are called like another one but for the ending")
    return notes


def _table(films: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    by_names = data_splits.by_names(list(films.path))
    own = [told or name or "" for told, name in zip(films.patient, by_names)]
    table = films[["path", "title", "label", "split"]].assign(patient=own)
    for name in ("bytes", "pixels"):
        table[name] = list(seen[name].str[:DIGITS])
    ours = {*table, "readings", "counted"}
    table = table.join(films[[name for name in films if name not in ours]])
    return table.reset_index(drop=True)

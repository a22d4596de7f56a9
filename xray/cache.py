"""Decoded images on disk: decoded once, checked when read, never half-written. See data.py for the
layout.
"""

import fcntl
import hashlib
import json
import os
import shutil
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xray import audit, images
from xray.sources import SPLITS, DataError, Source, shown

FORMAT = 2  # 2: patients are number and cause
BLOCK = 32 << 20  # bytes of pixels under one checksum
THREADS = 2


class Entry(NamedTuple):
    pixels: np.ndarray  # uint8 (N, 1, S, S)
    facts: dict  # see data.py
    notes: list[str]  # about the source


def key_of(identity: dict, image_size: int) -> str:
    """The name of a cache entry: a digest of what the source is and the size."""
    return hashlib.sha256(
        json.dumps([FORMAT, identity, image_size], sort_keys=True).encode()
    ).hexdigest()[:32]


def get(folder: Path, source: Source, given: str, image_size: int, progress=None) -> Entry:
    """The decoded images of a source: from the cache, else decoded and put there. Raises DataError.

    Two processes that ask for the same images take turns, so the second finds them done.
    """
    key = key_of(source.identity, image_size)
    with _locked(folder, key, fcntl.LOCK_SH):  # many may read at once
        if entry := _read(folder / key):
            return entry
    with _locked(folder, key, fcntl.LOCK_EX):
        notes = []
        entry = _read(folder / key)  # another process may have built it meanwhile
        if entry is None:
            if (folder / key).exists():
                notes.append(
                    f"{shown(folder / key)}: the cached images were damaged and are decoded again"
                )
                with _writing(folder):
                    shutil.rmtree(folder / key)
            _build(folder, key, source, given, image_size, progress)
            entry = _read(folder / key)
        if entry is None:
            raise DataError(
                f"{shown(folder)}: what is written there comes back changed; set XRAY_CACHE to another "
                "folder"
            )
        return entry._replace(notes=entry.notes + notes)


def get_earlier(folder: Path, hub_id: str, image_size: int) -> Entry | None:
    """The newest sound entry of a Hub id at this size, for when the Hub cannot be asked for its
    present commit.
    """
    if not folder.is_dir():
        return None
    for path in sorted(folder.glob("*/meta.json"), key=lambda path: -path.stat().st_mtime):
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
            wanted = meta["identity"].get("id") == hub_id and meta["image_size"] == image_size
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if wanted:
            with _locked(folder, path.parent.name, fcntl.LOCK_SH):
                if entry := _read(path.parent):
                    return entry
    return None


@contextmanager
def _locked(folder: Path, key: str, how: int):
    """One process at a time builds an entry, while nobody reads it; a lock goes with its process,
    also when killed.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stream = open(folder / f"{key}.lock", "w")
        fcntl.flock(stream, how)
    with stream:
        yield


@contextmanager
def _writing(folder: Path):
    """Turns the errors of writing into one DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{shown(folder)}: the cache cannot be written ({error.strerror or error}); free some space "
            "there, or set XRAY_CACHE to another folder"
        ) from None


def _digest(meta: dict) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _checksums(path: Path) -> list[str]:
    """sha256 of each BLOCK of a file. hashlib lets go of the interpreter, so the threads run side
    by side.
    """

    def block(start):
        with open(path, "rb", buffering=0) as stream:
            stream.seek(start)
            digest, left = hashlib.sha256(), BLOCK
            # 1 MiB stays in the processor's cache
            while left and (piece := stream.read(min(left, 1 << 20))):
                digest.update(piece)
                left -= len(piece)
            return digest.hexdigest()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(block, range(0, path.stat().st_size, BLOCK)))


def _read(folder: Path) -> Entry | None:
    """An entry, or None where there is none or it is damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        checksum = meta.pop("checksum")
        shape = (sum(meta["facts"]["splits"].values()), 1, meta["image_size"], meta["image_size"])
        pixels = folder / "pixels.u8"
        if (
            checksum == _digest(meta)
            and pixels.stat().st_size == np.prod(shape, dtype=np.int64)
            and _checksums(pixels) == meta["blocks"]
        ):
            # mode c: pages are the file's until someone writes to them, and are never written back
            mapped = (
                np.memmap(pixels, np.uint8, "c", shape=shape)
                if shape[0]
                else np.empty(shape, np.uint8)
            )
            return Entry(mapped, meta["facts"], meta["notes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _build(folder: Path, key: str, source: Source, given: str, image_size: int, progress) -> None:
    """Decode a source into an entry: written beside its place, then renamed."""
    _sweep(folder, key)
    temporary = folder / f".building-{key}"
    try:
        with _writing(folder):
            temporary.mkdir()
        splits, classes, notes = source.open(temporary / "arrow", image_size)
        mapping = label_mapping(given, classes)
        for split in SPLITS:
            if split not in splits or not splits[split].paths:
                others = f"is missing or has no images; it has {', '.join(splits) or 'none'}"
                raise DataError(
                    f"{shown(given)}: the {split} split {'is empty' if split in splits else others}"
                )
        count = sum(len(split.paths) for split in splits.values())
        free = shutil.disk_usage(folder).free
        if count * image_size**2 > free:
            raise DataError(
                f"{shown(folder)}: the decoded images take {count * image_size**2 / 1e9:.1f} GB, "
                f"{free / 1e9:.1f} GB are free; free some space there, or set XRAY_CACHE to another folder"
            )
        with _writing(folder), open(temporary / "pixels.u8", "wb") as stream:
            rows = list(_decode(splits, image_size, stream, progress))
            stream.flush()
            os.fsync(stream.fileno())
        facts = {
            "name": source.name,
            "source": given,
            "kind": source.kind,
            "phantom": source.kind == "phantom",
            "classes": mapping,
        } | _facts(rows, mapping)
        if source.fingerprint:
            facts["fingerprint"] = source.fingerprint
        with _writing(folder):
            meta = {
                "format": FORMAT,
                "identity": source.identity,
                "image_size": image_size,
                "notes": notes,
                "blocks": _checksums(temporary / "pixels.u8"),
                "facts": facts,
            }
            shutil.rmtree(temporary / "arrow", ignore_errors=True)
            (temporary / "meta.json").write_text(
                json.dumps(meta | {"checksum": _digest(meta)}), encoding="utf-8"
            )
            os.rename(temporary, folder / key)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(folder: Path, key: str) -> None:
    """Remove what killed processes left half-built: whose lock nobody holds, or is held here (the
    lock of `key`).
    """
    for left in folder.glob(".building-*"):
        other = left.name.removeprefix(".building-")
        with _writing(folder), open(folder / f"{other}.lock", "w") as stream:
            try:
                if other != key:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(left, ignore_errors=True)


def label_mapping(given: str, classes: list[str]) -> dict[str, int]:
    """The source's two class names -> 0 and 1.

    Label 1 is the class whose name is, or which alone contains, "pneumonia", "positive", "abnormal"
    or "1" (the first of them that tells the classes apart); else the second in the source's order.
    Raises DataError for other than two.
    """
    if len(classes) != 2:
        raise DataError(
            f"{shown(given)}: two classes are needed, NORMAL and PNEUMONIA; it has {len(classes)}: "
            + (", ".join(shown(name) for name in classes[:6]) or "none")
        )
    lower = [name.strip().lower() for name in classes]
    for word in ("pneumonia", "positive", "abnormal", "1"):
        for hits in ([name == word for name in lower], [word in name for name in lower]):
            if sum(hits) == 1:
                return {name: int(hit) for name, hit in zip(classes, hits)}
    return {classes[0]: 0, classes[1]: 1}


class Row(NamedTuple):
    """What decoding found out about one image."""

    split: str
    path: str
    name: str  # its class, as the source calls it
    digest: str  # sha256 hex of the encoded bytes
    decoded: images.Decoded | None  # without the pixels; None where it is unreadable
    reason: str  # why it is unreadable


def _decode(splits, size, stream, progress):
    """Decode all images in canonical order, write their pixels to the stream, yield a Row for
    each.
    """
    rows = [
        (splits[split], split, row) for split in SPLITS for row in range(len(splits[split].paths))
    ]

    def one(item):
        table, split, row = item
        digest, decoded, reason = "", None, ""
        try:
            encoded = table.read(row)
            digest = hashlib.sha256(encoded or b"").hexdigest()
            decoded = images.decode(encoded, size)
        except images.Unreadable as error:
            reason = str(error)
        except OSError as error:
            reason = f"cannot be read ({error.strerror or error})"
        return Row(split, table.paths[row], table.classes[row], digest, decoded, reason)

    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
        warnings.simplefilter("ignore")  # Pillow's, on damaged metadata
        for start in range(0, len(rows), 64):  # so that few decoded images wait in memory
            for row in pool.map(one, rows[start : start + 64]):
                if row.decoded:
                    stream.write(row.decoded.pixels)
                    row = row._replace(decoded=row.decoded._replace(pixels=None))
                yield row
            if progress:
                progress(min(start + 64, len(rows)), len(rows))


def _facts(rows: list[Row], mapping: dict[str, int]) -> dict:
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
    pixels = audit.copies([row.decoded.digest for row in good], paths, labels, index)
    first = good[0] if good else None
    return {
        "fingerprint": fingerprint.hexdigest(),
        "splits": {split: len(rows) for split, rows in index.items()},
        "counts": {
            split: {
                name: int((labels[rows] == label).sum()) for label, name in enumerate(audit.CLASSES)
            }
            for split, rows in index.items()
        },
        "sample": first
        and {
            "path": first.path,
            "mode": first.decoded.mode,
            "width": first.decoded.width,
            "height": first.decoded.height,
            "label": int(labels[0]),
        },
        "sizes": dict(
            Counter(f"{row.decoded.width}x{row.decoded.height}" for row in good).most_common()
        ),
        "modes": dict(Counter(row.decoded.mode for row in good).most_common()),
        "audit": {
            "missing": sum(row.reason == images.MISSING for row in bad),
            "unreadable": [row.path for row in bad],
            "reasons": [row.reason for row in bad],
            "identical_bytes": audit.copies([row.digest for row in good], paths, labels, index),
            "identical_pixels": pixels,
            "conflicting_labels": pixels["conflicting_examples"],
        },
        "patients": audit.patients(paths, labels, index),
        "paths": paths,
        "labels": "".join(map(str, labels.tolist())),
    }

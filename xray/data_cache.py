"""Decoded images on disk: decoded once, checked when read, never half-written. An entry is whole
once it has its name, so only who builds one takes a lock. See data.py for the layout."""

import hashlib
import json
import os
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xray import data_audit, data_dicom, data_images, data_splits, files
from xray.data_audit import Row
from xray.data_classes import label_mapping
from xray.data_dicom_header import is_dicom
from xray.data_sources import NO_CHOICES, SPLITS, Choices, DataError, Source, left_out, shown

ENTRY_FORMAT = 4  # 4: patients and several classes of tables
BLOCK = 32 << 20  # bytes of pixels under one checksum
THREADS = 2


class Entry(NamedTuple):
    pixels: np.ndarray  # uint8 (N, 1, S, S)
    facts: dict  # see data.py
    notes: list[str]  # about the source


def _place(folder: Path, source: Source, image_size: int, choices: Choices) -> Path:
    """The folder of an entry, named by a digest of what the source is, the choices and the size."""
    about = [ENTRY_FORMAT, source.identity, choices.options, image_size]
    return folder / _digest(about)[:32]


def has(folder: Path, source: Source, image_size: int, choices: Choices) -> bool:
    """Whether there is an entry, sound or not."""
    return _place(folder, source, image_size, choices).exists()


def get(
    folder: Path, source: Source, given: str, image_size: int, progress=None, choices=NO_CHOICES
) -> Entry:
    """The decoded images of a source: from the cache, else decoded and put there. Raises DataError.

    Two processes that ask for the same images take turns, so the second finds them done.
    """
    place = _place(folder, source, image_size, choices)
    if entry := _read(place):
        return entry
    with _writing_errors(folder), files.lock(place.with_suffix(".lock")):
        notes = []
        entry = _read(place)  # another process may have built it meanwhile
        if entry is None:
            files.clear_leftovers(folder)
            if place.exists():
                why = "the cached images were damaged and are decoded again"
                notes.append(f"{shown(place)}: {why}")
                shutil.rmtree(place)
            _build(place, source, given, image_size, progress, choices)
            entry = _read(place)
        if entry is None:
            raise DataError(
                f"{shown(folder)}: what is written there comes back changed; set XRAY_CACHE to "
                "another folder"
            )
        return entry._replace(notes=entry.notes + notes)


def get_earlier(folder: Path, hub_id: str, image_size: int, choices: Choices) -> Entry | None:
    """The newest sound entry of a Hub id at this size, for when the Hub cannot be asked."""
    possible = choices.options, replace(choices, split="").options
    if not folder.is_dir():
        return None
    for path in sorted(folder.glob("*/meta.json"), key=lambda path: -path.stat().st_mtime):
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
            wanted = meta["identity"].get("id") == hub_id and meta["image_size"] == image_size
            wanted = wanted and meta["format"] == ENTRY_FORMAT
            wanted = wanted and meta["facts"]["options"] in possible
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if wanted and (entry := _read(path.parent)):
            return entry
    return None


@contextmanager
def _writing_errors(folder: Path):
    """Turns the errors of writing into one DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{shown(folder)}: the cache cannot be written ({error.strerror or error}); free some "
            "space there, or set XRAY_CACHE to another folder"
        ) from None


def _digest(content) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _checksums(path: Path) -> list[str]:
    """sha256 of each BLOCK of a file, side by side: hashlib lets go of the interpreter."""

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
            return Entry(mapped, meta["facts"], list(meta["facts"]["notes"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _build(place: Path, source: Source, given: str, image_size: int, progress, choices) -> None:
    """Decode a source into an entry: written beside its place, then renamed."""
    with files.writing(place) as temporary:
        temporary.mkdir()
        splits, classes, notes = source.open(temporary / "arrow", image_size)
        if source.missing:
            more = f" and {len(source.missing) - 20} more" * (len(source.missing) > 20)
            listed = ", ".join(source.missing[:20]) + more
            notes = [*notes, left_out(len(source.missing), "files that are missing", listed)]
        mapping = label_mapping(given, classes, choices)
        splits, made, more = data_splits.prepare(given, splits, mapping, choices.split)
        needed = sum(len(split.paths) for split in splits.values()) * image_size**2
        free = shutil.disk_usage(temporary).free
        if needed > free:
            raise DataError(
                f"{shown(place.parent)}: the decoded images take {needed / 1e9:.1f} GB, "
                f"{free / 1e9:.1f} GB are free; free some space there, or set XRAY_CACHE to "
                "another folder"
            )
        rows, bits = _write_pixels(temporary / "pixels.u8", splits, image_size, progress)
        if bits < 16:
            more.append(f"Of images with 16 bits {bits} are in use; they are stretched to those")
        facts = {
            "name": source.name,
            "source": given,
            "kind": source.kind,
            "phantom": source.kind == "phantom",
            "classes": mapping,
            "options": choices.options,
            "made": made,
            "bits": bits,
            "notes": notes + more,
        } | data_audit.facts(rows, mapping)
        if source.fingerprint:
            facts["fingerprint"] = source.fingerprint
        meta = {
            "format": ENTRY_FORMAT,
            "identity": source.identity,
            "image_size": image_size,
            "blocks": _checksums(temporary / "pixels.u8"),
            "facts": facts,
        }
        meta["checksum"] = _digest(meta)
        (temporary / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        shutil.rmtree(temporary / "arrow", ignore_errors=True)


def _write_pixels(path: Path, splits, size, progress) -> tuple[list[Row], int]:
    """Decode all images into a file; their Rows, and the bits that those with 16 bits use."""
    with open(path, "wb") as stream:
        rows = list(_decode(splits, size, stream, progress))
        highest = max((row.decoded.highest for row in rows if row.decoded), default=0)
        bits = data_images.bits_in_use(highest)
        if bits < 16:  # which is known only now
            stream.seek(0)
            rows = list(_decode(splits, size, stream, progress, bits))
        stream.flush()
        os.fsync(stream.fileno())
    return rows, bits


def _square(encoded: bytes | None, path: str, size: int, bits: int) -> data_images.Decoded:
    """One image file or DICOM file, decoded. Raises Unreadable."""
    if not encoded or not is_dicom(encoded[:132], path):
        return data_images.decode(encoded, size, bits)
    gray = data_dicom.read(encoded, any_kind=False).gray
    film = data_images.Gray(gray, "DICOM", gray.shape[1], gray.shape[0], False, 0)
    return data_images.square(film, size)


def _decode(splits, size, stream, progress, bits=16):
    """Decode all images in canonical order, write their pixels to the stream, yield their Rows."""
    rows = [
        (splits[split], split, row) for split in SPLITS for row in range(len(splits[split].paths))
    ]

    def one(item):
        table, split, row = item
        digest, decoded, reason = "", None, ""
        try:
            encoded = table.read(row)
            digest = hashlib.sha256(encoded or b"").hexdigest()
            decoded = _square(encoded, table.paths[row], size, bits)
        except data_images.Unreadable as error:
            reason = str(error)
        except OSError as error:
            reason = f"cannot be read ({error.strerror or error})"
        who = table.patients[row] if table.patients else ""
        return Row(split, table.paths[row], table.classes[row], digest, decoded, reason, who)

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

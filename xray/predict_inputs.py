"""A person's own image files -> gray pixels: found in folders, decoded as training images are, and
made ready for a model."""

import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from xray import data_images
from xray.data_images import LARGEST_FILE, Unreadable, is_dicom, resize
from xray.predict_likeness import unlike

_SUFFIXES = ".jpg .jpeg .jpe .jfif .png .bmp .gif .tif .tiff .webp .jp2 .pgm .ppm .avif .dcm .dicom"
SUFFIXES = tuple(_SUFFIXES.split())


class Film(NamedTuple):
    gray: np.ndarray  # uint8 (H, W)
    # how colourful the file is: mean of max - min over R, G, B, 0-255; 0 for a gray one
    chroma: float
    notes: list[str]  # what a person should know of how it was read, one line each


def find_files(names: list[str], leave_out: Path | None = None) -> tuple[list[Path], list[tuple]]:
    """Files and folders -> (image files in order, each once; what cannot be used: path, reason).

    A folder stands for the files under it whose names end as images' do, and those of DICOM under
    any name, by path, without hidden ones, links to folders, and what lies in `leave_out`.
    """
    found, problems = {}, []
    for name in names:
        if not name.strip():
            problems.append((name, "an empty name (. is this folder)"))
            continue
        name = Path(name)
        try:
            inside, reason = [name], ""
            if name.is_dir():
                inside = _walk(name, leave_out and leave_out.resolve())
                reason = "" if inside else "a folder without images"
            elif not name.is_file():
                there = os.path.lexists(name) and name.exists()
                inside, reason = [], "not a file" if there else "no such file"
            if reason:
                problems.append((name, reason))
            for path in inside:
                found.setdefault(os.path.abspath(path), path)
        except (OSError, ValueError) as error:  # ValueError: a null character
            problems.append((name, getattr(error, "strerror", None) or "not a path"))
    return list(found.values()), problems


def _walk(folder: Path, leave_out: Path | None) -> list[Path]:
    inside = []
    for root, folders, files in os.walk(folder):
        root, seen = Path(root), sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in seen if (root / name).resolve() != leave_out]
        names = sorted(name for name in files if not name.startswith("."))
        paths = [root / name for name in names]
        inside += [path for path in paths if path.is_file() and _is_image(path)]
    return inside


def _is_image(path: Path) -> bool:
    """Whether a file in a folder is taken for one: by its name, or as DICOM by its content."""
    if path.name.lower().endswith(SUFFIXES):
        return True
    try:
        with open(path, "rb") as stream:
            return is_dicom(stream.read(132))
    except OSError:  # not ours to complain of: it has no name of an image
        return False


def read_film(path: Path, any_kind: bool = False, bits: int | None = None) -> Film:
    """Read one file as data_images.read does. any_kind: read a DICOM file that is
    tagged as no frontal chest film all the same. bits: see data_images.read. Raises Unreadable with
    the reason."""
    try:
        size = os.stat(path).st_size
        if size > LARGEST_FILE:
            raise Unreadable(data_images.too_large(size))
        encoded = Path(path).read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    found = data_images.read(encoded, Path(path).name, bits, any_kind)
    chroma = 0.0 if found.mode == "DICOM" else _chroma(encoded)
    return Film(found.pixels, chroma, found.notes)


def _chroma(encoded: bytes) -> float:
    """Of a file that could be read."""
    with Image.open(io.BytesIO(encoded), formats=data_images.FORMATS) as image:
        if image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I"):
            return 0.0
        image.draft("RGB", (64, 64))  # a JPEG is decoded small
        small = image.convert("RGB").resize((64, 64), Image.Resampling.BOX)
        channels = np.asarray(small, np.float32)
    return float((channels.max(2) - channels.min(2)).mean())


SHOWN = 600  # pixels of a picture's longer side


def thumbnail(gray: np.ndarray) -> np.ndarray:
    """uint8 (H, W) -> the picture with SHOWN pixels on its longer side, 24 or more on the other."""
    height, width = (max(24, round(side * SHOWN / max(gray.shape))) for side in gray.shape)
    return np.asarray(Image.fromarray(gray).resize((width, height), Image.Resampling.BICUBIC))


class Ready(NamedTuple):
    """A film made ready for a model, or the reason why it cannot be read."""

    reason: str = ""
    pixels: np.ndarray | None = None  # uint8 (S, S)
    shown: np.ndarray | None = None  # uint8, of thumbnail
    warnings: list[str] = []


def make_ready(path: Path, facts: dict, size: int, any_kind: bool = False) -> Ready:
    """Read one file. facts: of the study, see predict_likeness.unlike; size: pixels a side of the
    model; any_kind: see read_film."""
    try:
        bits = facts.get(
            "bits", 16
        )  # of the training films, where those are fewer than their files'
        film = read_film(path, any_kind, bits if bits < 16 else None)
        differs = unlike(film.gray, film.chroma, facts, size)
        warnings = film.notes + [f"unlike the training images: {text}" for text in differs]
        return Ready("", resize(film.gray, size), thumbnail(film.gray), warnings)
    except Unreadable as error:
        return Ready(str(error))
    except MemoryError:
        return Ready(data_images.NO_MEMORY)

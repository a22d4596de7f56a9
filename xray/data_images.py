"""Image files on disk: folders of them by class, or of parquet files in the Hub's layout (of which
names are read); and one encoded image -> one gray square of pixels, as in the paper's section
2.2."""

import hashlib
import io
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from xray.data_sources import SPLIT_NAMES, DataError, Encoded, Source, open_parquet, shown

# A header that promises more is taken for a bomb; the largest detectors give a third of it.
MAX_PIXELS = 64_000_000
LARGEST_FILE = 150_000_000  # bytes: such an image in 16 bits, not packed
# Pillow opens many more, some with programs of their own
FORMATS = "JPEG PNG BMP GIF TIFF WEBP JPEG2000 PPM AVIF".split()
NO_MEMORY = "too large for this machine's memory"
MISSING = "no image"  # the reason where a row has none


class Unreadable(ValueError):
    """An image that cannot be decoded; the message is the reason, in a few words."""


class Gray(NamedTuple):
    pixels: np.ndarray  # uint8 (H, W), of the file's own size, turned as its EXIF data say
    mode: str  # Pillow's mode of the file, before any change
    width: int  # of the file, before any change
    height: int
    more: bool  # whether the file has further pages or frames, which are not read


class Decoded(NamedTuple):
    pixels: np.ndarray  # uint8 (size, size)
    digest: str  # sha256 hex of the gray pixels at the source's own resolution, and their shape
    mode: str  # Pillow's mode of the file, before any change
    width: int  # of the file, before any change
    height: int


def to_gray(rgb: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) -> uint8 (H, W) with torchvision's rgb_to_grayscale.

    Its weights sum to 0.9999 and on integers it cuts off, which darkens a gray 100 to 99. Computed
    in float and rounded, a gray pixel keeps its value.
    """
    # here: two seconds, spent only to decode
    from torchvision.transforms.v2 import functional as transforms

    channels = torch.from_numpy(rgb).permute(2, 0, 1).float()
    return transforms.rgb_to_grayscale(channels)[0].round_().clamp_(0, 255).to(torch.uint8).numpy()


def resize(gray: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W) -> (size, size) of any aspect ratio: torchvision, bilinear, antialiased."""
    if gray.shape == (size, size):
        return gray
    from torchvision.transforms.v2 import functional as transforms

    image = torch.from_numpy(gray)[None]
    return transforms.resize(image, [size, size], antialias=True)[0].numpy()  # bilinear


def _gray(image: Image.Image) -> np.ndarray:
    """A loaded Pillow image of any mode -> uint8 (H, W)."""
    mode = image.mode
    if mode.startswith("I"):  # 16 bits, in one of Pillow's spellings
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise Unreadable("32-bit pixels, whose range is unknown")
        return ((np.arange(2**16) + 128) // 257).astype(np.uint8)[wide]  # 65535 -> 255, nearest
    if mode == "F":
        raise Unreadable("floating-point pixels, whose range is unknown")
    if mode in ("1", "L") and "transparency" not in image.info:
        return np.array(image.convert("L"))
    inverted = mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info
    gray = np.empty((image.height, image.width), np.uint8)
    step = max(1, 2**20 // image.width)  # rows at once: in colour, in floats, all would be large
    for top in range(0, image.height, step):
        band = image.crop((0, top, image.width, min(top + step, image.height)))
        gray[top : top + step] = _in_colour(band, inverted)
    return gray


def _in_colour(image: Image.Image, inverted: bool) -> np.ndarray:
    """As _gray, of an image in colour or with transparency."""
    if inverted:  # Pillow takes every CMYK JPEG for one of Adobe's, which are
        image = Image.fromarray(255 - np.asarray(image), "CMYK")
    if image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        # what is transparent is black
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return to_gray(np.array(image.convert("RGB")))


def too_large(*size: int) -> str:
    """The reason why a file of so many bytes, or an image of that width and height, is not read."""
    if len(size) == 1:
        return f"{size[0] / 1e6:.0f} MB, more than the {LARGEST_FILE / 1e6:.0f} that are sensible"
    most = f"the {MAX_PIXELS / 1e6:.0f} million that are sensible"
    return f"{size[0]}x{size[1]} pixels, more than {most}"


def decode(encoded: bytes | None, size: int) -> Decoded:
    """Decode an image file into uint8 (size, size), one channel. Raises Unreadable."""
    gray, mode, width, height, _ = read(encoded)
    digest = hashlib.sha256(f"{gray.shape}".encode() + gray.tobytes()).hexdigest()
    return Decoded(resize(gray, size), digest, mode, width, height)


def read(encoded: bytes | None) -> Gray:
    """Decode a JPEG, PNG, TIFF, WebP, ... into one gray channel at its own resolution.

    The first frame, turned as its EXIF orientation says, transparency over black, 16 bits divided
    by 257, colours to gray with to_gray. What its header promises is checked before anything is
    decoded: no file, however packed, takes more than 1 GB of memory. Raises Unreadable.
    """
    if encoded is None:
        raise Unreadable(MISSING)
    if not encoded:
        raise Unreadable("empty")
    if encoded[128:132] == b"DICM":
        raise Unreadable("a DICOM file; convert it to PNG first")
    if len(encoded) > LARGEST_FILE:
        raise Unreadable(too_large(len(encoded)))
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            mode, (width, height) = image.mode, image.size
            if width * height > MAX_PIXELS:
                raise Unreadable(too_large(width, height))
            # a JPEG of a telephone carries previews as further frames
            more = image.format != "MPO" and getattr(image, "is_animated", False)
            image.load()
            # a damaged EXIF block says nothing about the pixels
            with suppress(Exception):
                ImageOps.exif_transpose(image, in_place=True)
            return Gray(_gray(image), mode, width, height, more)
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable(NO_MEMORY) from None
    except Image.DecompressionBombError:
        raise Unreadable("its header promises more pixels than is sensible") from None
    except Image.UnidentifiedImageError:
        raise Unreadable("not an image") from None
    # Pillow's readers raise anything from OSError to struct.error on damaged files
    except Exception as error:
        raise Unreadable("damaged: " + " ".join(str(error).split())[:100]) from None


_SUFFIXES = ".jpg .jpeg .jpe .jfif .png .bmp .gif .tif .tiff .webp .jp2 .pgm .ppm .avif"
IMAGE_SUFFIXES = set(_SUFFIXES.split())
DICOM_SUFFIXES = {".dcm", ".dicom"}


def folder_source(given: str, folder: Path) -> Source:
    """The source that a folder is: class folders with images before parquet. Raises DataError."""
    files = list(_walk(folder))
    parquet = [path for path in files if path.suffix.lower() == ".parquet"]
    roots, loose = _images(folder, files)
    if parquet and not any(roots.values()):
        kind, splits = "parquet", _parquet_files(given, folder, parquet)
        used = [path for paths in splits.values() for path in paths]

        def open_(temporary, image_size):
            return open_parquet(given, splits, temporary)
    else:
        kind, splits = "folders", _class_folders(given, roots)
        used = [path for classes in splits.values() for paths in classes.values() for path in paths]

        notes = [f"{loose} images outside of class folders are left out"] if loose else []

        def open_(temporary, image_size):
            return _open(folder, splits, notes)

    listing = []
    for path in used:
        status = path.stat() if path.exists() else path.lstat()  # lstat: a link that leads nowhere
        listing.append([shown(path.relative_to(folder)), status.st_size, status.st_mtime_ns])
    place = folder.resolve()
    identity = {"kind": kind, "folder": shown(place), "files": listing}
    return Source(place.name or "data", kind, identity, open_)


def _walk(folder: Path, above: frozenset = frozenset()):
    """The files under a folder in name order, without hidden ones and __MACOSX. A link back to a
    folder above, which would never end, is not followed."""
    above = above | {os.path.realpath(folder)}
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read ({error.strerror})") from None
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if os.path.isdir(entry.path):
            if os.path.realpath(entry.path) not in above:
                yield from _walk(Path(entry.path), above)
        # no pipes or devices, which may never end
        elif os.path.isfile(entry.path) or os.path.islink(entry.path):
            yield Path(entry.path)


# ---- parquet files


def _split_of(part: str) -> str | None:
    """The split that a folder or file is named after: "val", "train-00000-of-00002.parquet"."""
    stem = re.sub(r"\.parquet$", "", part.lower())
    return SPLIT_NAMES.get(re.sub(r"[-_.]\d+([-_]of[-_]\d+)?([-_.][0-9a-f]+)?$", "", stem))


def _parquet_files(given: str, folder: Path, files: list[Path]) -> dict[str, list[Path]]:
    """Parquet files by split, of one configuration: `full` and `mini` side by side are two."""
    found = {}
    for path in files:
        parts = path.relative_to(folder).parts
        for depth, part in enumerate(parts):
            if split := _split_of(part):
                name = "/".join(p for p in parts[:depth] if p != "data")
                found.setdefault(name, {}).setdefault(split, []).append(path)
                break
    if not found:
        why = "holds parquet files, but none in or named after train, validation and test"
        raise DataError(f"{shown(given)}: {why}")
    return found[_choose(given, list(found))]


def _choose(given: str, names: list[str]) -> str:
    """Which of several data sets in a folder to use: the only one, `full`, `default`, the top's."""
    for wanted in (names[0] if len(names) == 1 else "full", "full", "default", ""):
        if wanted in names:
            return wanted
    listed = ", ".join(sorted(shown(name) for name in names)[:6])
    why = f"holds several data sets ({listed}); give the folder of one of them"
    raise DataError(f"{shown(given)}: {why}")


# ---- class folders


def _images(folder: Path, files: list[Path]) -> tuple[dict, int]:
    """Folder that holds split folders -> split folder's name -> class folder's name -> images; and
    how many images lie in split folders but in no class folder."""
    roots, loose = {}, 0
    for path in files:
        parts = path.relative_to(folder).parts
        depth = next((i for i, part in enumerate(parts[:-1]) if part.lower() in SPLIT_NAMES), None)
        suffix = path.suffix.lower()
        if depth is None or suffix not in IMAGE_SUFFIXES | DICOM_SUFFIXES:
            continue
        if suffix in DICOM_SUFFIXES:
            raise DataError(
                f"{shown(path)}: DICOM is not read here; convert the images to PNG first, for "
                "example with dcmtk's dcm2img, and remove these"
            )
        if depth + 2 == len(parts):
            loose += 1
        else:
            root = roots.setdefault(parts[:depth], {})
            root.setdefault(parts[depth], {}).setdefault(parts[depth + 1], []).append(path)
    return roots, loose


def _class_folders(given: str, roots: dict) -> dict[str, dict[str, list[Path]]]:
    """Images by split and class, class names in capitals. Of nested copies (the well-known archive
    holds one) the one nearest to the top is used."""
    if not roots:
        raise DataError(
            f"{shown(given)}: no images; it needs the folders train, validation and test with "
            "NORMAL and PNEUMONIA in each of them, or parquet files in such folders"
        )
    nearest = min(map(len, roots))
    at_top = {"/".join(root): splits for root, splits in roots.items() if len(root) == nearest}
    result = {}
    for name, classes in at_top[_choose(given, list(at_top))].items():
        split = SPLIT_NAMES[name.lower()]
        if split in result:
            raise DataError(f"{shown(given)}: two folders are the {split} split; keep one of them")
        result[split] = {}
        for title, paths in classes.items():
            result[split].setdefault(title.upper(), []).extend(paths)
    return result


def _open(folder: Path, splits: dict, notes: list[str]):
    opened = {}
    for split, classes in splits.items():
        rows = [(path, name) for name in sorted(classes) for path in classes[name]]
        opened[split] = Encoded(
            [shown(path.relative_to(folder).as_posix()) for path, _ in rows],
            [name for _, name in rows],
            lambda row, rows=rows: rows[row][0].read_bytes(),
        )
    return opened, sorted({name for classes in splits.values() for name in classes}), notes

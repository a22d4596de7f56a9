"""One encoded image, DICOM included -> one gray film, as in the paper's section 2.2."""

import io
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageChops, ImageOps

from xray import data_dicom
from xray.data_dicom import LARGEST_FILE, MAX_PIXELS, Unreadable, is_dicom, too_large

# Pillow opens many more, some with programs of their own
FORMATS = "JPEG PNG BMP GIF TIFF WEBP JPEG2000 PPM AVIF".split()
SUFFIXES = set(
    ".jpg .jpeg .jpe .jfif .png .bmp .gif .tif .tiff .webp .jp2 .pgm .ppm .avif .dcm .dicom".split()
)
BITS = (8, 10, 12, 14, 16)  # that detectors have
NO_MEMORY = "too large for this machine's memory"
MISSING = "no image"  # the reason where a row has none
LFS = b"version https://git-lfs"  # how a file starts that Git LFS has not fetched
LFS_POINTER = "a Git LFS pointer, not the file itself; run git lfs pull in its folder"


class Film(NamedTuple):
    pixels: np.ndarray  # uint8 (H, W), white is dense; turned as the file's EXIF data say
    mode: str  # Pillow's mode of the file before any change, or "DICOM"
    width: int  # of the file, before any change
    height: int
    highest: int  # value of a file with 16 bits, 0 of any other
    bits: int  # that were taken as its range: 8, or one of BITS for a file with 16
    notes: list[str]  # how it was read where that is not plain, one line each


def read(encoded: bytes | None, name="", bits: int | None = None, any_kind=False) -> Film:
    """Decode a JPEG, PNG, TIFF, WebP, ..., or DICOM file into one gray channel at its own size.

    The first frame, turned as its EXIF orientation says; colours to gray as Pillow does (ITU-R
    601-2), transparency over black. name: of the file, by which DICOM without its mark is known.
    bits: the range of a file with 16 bits, which is brought to 8 (what lies above is white); None:
    the film's own, see bits_in_use. any_kind: a DICOM file that is tagged as no frontal chest film
    is read too. What a header promises is checked before anything is decoded: no file, however
    packed, takes more than 1 GB of memory. Raises Unreadable.
    """
    if encoded is None:
        raise Unreadable(MISSING)
    if not encoded:
        raise Unreadable("empty")
    if encoded.startswith(LFS):
        raise Unreadable(LFS_POINTER)
    if len(encoded) > LARGEST_FILE:
        raise Unreadable(too_large(len(encoded)))
    try:
        if is_dicom(encoded[:132], name):
            gray, notes = data_dicom.read(encoded, any_kind)
            return Film(gray, "DICOM", gray.shape[1], gray.shape[0], 0, 8, notes)
        image, mode, (width, height), notes = _load(encoded)
        gray, highest, bits = _gray(image, bits)
    except MemoryError:
        raise Unreadable(NO_MEMORY) from None
    return Film(gray, mode, width, height, highest, bits, notes)


def _load(encoded: bytes) -> tuple[Image.Image, str, tuple[int, int], list[str]]:
    """The first frame, turned; mode and size before that; and notes. Pillow alone runs in here, so
    that a fault of ours is not taken for a damaged file."""
    try:
        image = Image.open(io.BytesIO(encoded), formats=FORMATS)
        mode, size = image.mode, image.size
        if size[0] * size[1] > MAX_PIXELS:
            raise Unreadable(too_large(*size))
        # a JPEG of a telephone carries previews as further frames
        several = image.format != "MPO" and getattr(image, "is_animated", False)
        if len(image.getbands()) > 1 and _has_16_bits(image, encoded):
            raise Unreadable("colours of 16 bits, of which 8 would be lost; save it as gray")
        image.load()
        # a damaged EXIF block says nothing about the pixels
        with suppress(Exception):
            ImageOps.exif_transpose(image, in_place=True)
    except (Unreadable, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise Unreadable("its header promises more pixels than is sensible") from None
    except Image.UnidentifiedImageError:
        raise Unreadable("not an image") from None
    # Pillow's readers raise anything from OSError to struct.error on damaged files
    except Exception as error:
        raise Unreadable("damaged: " + " ".join(str(error).split())[:100]) from None
    return image, mode, size, ["it has several pages or frames: the first is read"] * several


def _has_16_bits(image: Image.Image, encoded: bytes) -> bool:
    """Whether a PNG or TIFF holds 16 bits a channel; of colours Pillow keeps the upper 8."""
    if image.format == "PNG":
        return encoded[24] == 16  # IHDR's bit depth
    return image.format == "TIFF" and max(image.tag_v2.get(258, (8,))) > 8


def _gray(image: Image.Image, bits: int | None) -> tuple[np.ndarray, int, int]:
    """A loaded Pillow image of any mode -> uint8 (H, W), Film.highest and Film.bits."""
    mode = image.mode
    if mode == "F":
        raise Unreadable("floating-point pixels, whose range is unknown")
    if mode.startswith("I"):  # 16 bits, in one of Pillow's spellings
        wide = np.asarray(image)
        highest = int(wide.max())
        if wide.min() < 0 or highest > 65535:
            raise Unreadable("32-bit pixels, whose range is unknown")
        bits = bits or bits_in_use(highest)
        top = 2**bits - 1
        levels = (np.minimum(np.arange(2**16), top) * 510 + top) // (2 * top)  # to the nearest
        if image.format == "TIFF" and image.tag_v2.get(262) == 0:  # white is zero
            levels = 255 - levels  # Pillow does so for 8 bits
        return levels.astype(np.uint8)[wide], highest, bits
    if mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        image = ImageChops.invert(image)  # Pillow takes every CMYK JPEG for one of Adobe's
    if mode in ("PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("LA") if mode == "La" else image
        image = image.convert("RGBA")
        # what is transparent is black
        gray = ImageChops.multiply(image.convert("L"), image.getchannel("A"))
    else:
        gray = image if mode in ("1", "L", "RGB") else image.convert("RGB")
    return np.array(gray.convert("L")), 0, 8


def bits_in_use(highest: int) -> int:
    """The least of BITS that holds the highest value of files with 16 bits."""
    return next(bits for bits in BITS if highest < 2**bits)


def resize(gray: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W) -> (size, size) of any aspect ratio: bilinear, antialiased.

    Equal to torchvision's resize, which calls the same; importing that takes seconds, and fails for
    a user id without a name, as containers have them.
    """
    if gray.shape == (size, size):
        return gray
    image = torch.from_numpy(gray)[None, None]
    # elsewhere torch has no antialiased resize of integers
    whole = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    image = torch.nn.functional.interpolate(
        image if whole else image.float(),
        (size, size),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    return (image if whole else image.round().to(torch.uint8))[0, 0].numpy()


def is_image(path: Path) -> bool:
    """Whether a file is taken for one: by its name, or as its content starts."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with open(path, "rb") as stream:
            if is_dicom(stream.read(132)):
                return True
            Image.open(stream, formats=FORMATS).close()
            return True
    except Exception:  # not one of Pillow's, or not to be read
        return False

"""One encoded image -> one gray square of pixels, as in the paper's section 2.2."""

import hashlib
import io
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

# A header that promises more is taken for a bomb; the largest detectors give a third of it.
MAX_PIXELS = 64_000_000
LARGEST_FILE = 150_000_000  # bytes: such an image in 16 bits, not packed
# Pillow opens many more, some with programs of their own
FORMATS = "JPEG PNG BMP GIF TIFF WEBP JPEG2000 PPM AVIF".split()
NO_MEMORY = "too large for this machine's memory"
MISSING = "no image"  # the reason where a row has none
LFS = b"version https://git-lfs"  # how a file starts that Git LFS has not fetched
LFS_POINTER = "a Git LFS pointer, not the file itself; run git lfs pull in its folder"


class Unreadable(ValueError):
    """An image that cannot be decoded; the message is the reason, in a few words."""


class Gray(NamedTuple):
    pixels: np.ndarray  # uint8 (H, W), of the file's own size, turned as its EXIF data say
    mode: str  # Pillow's mode of the file, before any change
    width: int  # of the file, before any change
    height: int
    more: bool  # whether the file has further pages or frames, which are not read
    highest: int  # value of a file with 16 bits, 0 of any other


class Decoded(NamedTuple):
    pixels: np.ndarray  # uint8 (size, size)
    digest: str  # sha256 hex of the gray pixels at the source's own resolution, and their shape
    mode: str  # Pillow's mode of the file, before any change
    width: int  # of the file, before any change
    height: int
    highest: int  # value of a file with 16 bits, 0 of any other


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


def _gray(image: Image.Image, bits: int) -> tuple[np.ndarray, int]:
    """A loaded Pillow image of any mode -> uint8 (H, W), and Gray.highest."""
    mode = image.mode
    if mode.startswith("I"):  # 16 bits, in one of Pillow's spellings
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise Unreadable("32-bit pixels, whose range is unknown")
        top = 2**bits - 1
        levels = (np.minimum(np.arange(2**16), top) * 510 + top) // (2 * top)  # to the nearest
        return levels.astype(np.uint8)[wide], int(wide.max())
    return _gray_of_8_bits(image), 0


def _gray_of_8_bits(image: Image.Image) -> np.ndarray:
    mode = image.mode
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


def decode(encoded: bytes | None, size: int, bits: int = 16) -> Decoded:
    """Decode an image file into uint8 (size, size), one channel. bits: see read. Raises
    Unreadable."""
    return square(read(encoded, bits), size)


def square(film: Gray, size: int) -> Decoded:
    """A film pressed into a square of `size` pixels a side."""
    gray, mode, width, height, _, highest = film
    digest = hashlib.sha256(f"{gray.shape}".encode() + gray.tobytes()).hexdigest()
    return Decoded(resize(gray, size), digest, mode, width, height, highest)


def bits_in_use(highest: int) -> int:
    """How many bits the largest value of 16-bit images needs, 8 at least; 16 where there are none
    (0)."""
    return max(8, highest.bit_length()) if highest else 16


def read(encoded: bytes | None, bits: int = 16) -> Gray:
    """Decode a JPEG, PNG, TIFF, WebP, ... into one gray channel at its own resolution.

    The first frame, turned as its EXIF orientation says, transparency over black, colours to gray
    with to_gray. bits: how many a source of 16-bit images uses of them; these are brought to 8, and
    what lies above is white. What its header promises is checked before anything is decoded: no
    file, however packed, takes more than 1 GB of memory. Raises Unreadable.
    """
    if encoded is None:
        raise Unreadable(MISSING)
    if not encoded:
        raise Unreadable("empty")
    if encoded.startswith(LFS):
        raise Unreadable(LFS_POINTER)
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
            gray, highest = _gray(image, bits)
            return Gray(gray, mode, width, height, more, highest)
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


_SUFFIXES = ".jpg .jpeg .jpe .jfif .png .bmp .gif .tif .tiff .webp .jp2 .pgm .ppm .avif .dcm .dicom"
SUFFIXES = set(_SUFFIXES.split())


def is_image(path: Path) -> bool:
    """Whether a file of any name starts as an image does."""
    try:
        with open(path, "rb") as stream:
            if stream.read(132)[128:] == b"DICM":
                return True
            Image.open(stream, formats=FORMATS).close()
            return True
    except Exception:  # not one of Pillow's, or not to be read
        return False

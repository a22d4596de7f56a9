"""One encoded image file becomes one gray square."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin
from samples import bare_png, encode, gray, pixels, put
from torchvision.transforms.v2 import functional as transforms

from xray import data_images


def test_grays_keep_their_value_and_colours_are_weighted_as_itu_r_601_does():
    levels = np.arange(256, dtype=np.uint8)[None]
    assert (data_images.read(encode(np.stack([levels] * 3, -1))).pixels == levels).all()
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]], np.uint8)
    expected = [0.299 * 255, 0.587 * 255, 0.114 * 255, 0.299 * 10 + 0.587 * 20 + 0.114 * 30]
    assert data_images.read(encode(rgb)).pixels[0].tolist() == [round(v) for v in expected]


GRAY = pixels(3)
RGB = np.stack([GRAY] * 3, -1)
WIDE = np.arange(24 * 24, dtype=np.uint16).reshape(24, 24) * 113
MASK = np.where(np.arange(24) < 12, 255, 0).astype(np.uint8)[None].repeat(24, 0)  # left half opaque


def cmyk(array, adobe=True):
    """CMYK with the gray in its black channel; as a JPEG of others than Adobe has it, turned."""
    black = 255 - array
    channels = [np.zeros_like(array)] * 3 + [black]
    channels = channels if adobe else [255 - channel for channel in channels]
    return Image.merge("CMYK", [Image.fromarray(channel) for channel in channels])


def without_adobe(jpeg: bytes) -> bytes:
    """A JPEG without its Adobe segment: the marker FFEE, its length and its 12 bytes."""
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 16 :]


def oriented(number):
    """A file whose EXIF data say how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = number
    return encode(GRAY, exif=exif)


FLAT = np.full_like(GRAY, 77)
PALETTE = Image.fromarray(GRAY // 20, "P")
PALETTE.putpalette([min(255, i * 20) for i in range(256) for _ in "rgb"])
ENDS = np.array([[0, 65535] * 12] * 24, np.uint16)
LA = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(MASK)])
FRAMES = {"save_all": True, "append_images": [Image.fromarray(255 - GRAY)]}
WHITE_IS_ZERO = TiffImagePlugin.ImageFileDirectory_v2()
WHITE_IS_ZERO[262] = 0
TURNED = Image.fromarray(65535 - GRAY.astype(np.uint16) * 257)
PLAIN_CMYK = without_adobe(encode(cmyk(FLAT, adobe=False), "JPEG", quality=100))

FORMATS = {  # encoded, expected pixels, tolerance
    "PNG L": (encode(GRAY), GRAY, 0),
    "PNG RGB": (encode(RGB), GRAY, 0),
    "BMP": (encode(GRAY, "BMP"), GRAY, 0),
    "GIF": (encode(GRAY, "GIF"), GRAY, 0),
    "TIFF": (encode(GRAY, "TIFF"), GRAY, 0),
    "TIFF, compressed": (encode(GRAY, "TIFF", compression="tiff_lzw"), GRAY, 0),
    "WebP": (encode(RGB, "WEBP", lossless=True), GRAY, 0),
    "JPEG": (encode(np.dstack([FLAT] * 3), "JPEG"), FLAT, 0),
    "palette": (encode(PALETTE), GRAY // 20 * 20, 0),
    "1 bit": (encode(Image.fromarray(GRAY > 99)), np.where(GRAY > 99, 255, 0), 0),
    "16 bits": (encode(WIDE), np.round(WIDE / 257), 0),
    "16 bits, TIFF": (encode(WIDE, "TIFF"), np.round(WIDE / 257), 0),
    "16 bits, ends": (encode(ENDS), ENDS // 257, 0),
    "LA": (encode(LA), np.where(MASK, GRAY, 0), 0),
    "RGBA over black": (encode(np.dstack([RGB, MASK])), np.where(MASK, GRAY, 0), 0),
    "one transparent gray": (
        encode(GRAY, transparency=int(GRAY[0, 0])),
        np.where(GRAY == GRAY[0, 0], 0, GRAY),
        0,
    ),
    "CMYK, TIFF": (encode(cmyk(GRAY), "TIFF"), GRAY, 1),
    "CMYK, Adobe's JPEG": (encode(cmyk(FLAT), "JPEG", quality=100), FLAT, 1),
    "CMYK, plain JPEG": (PLAIN_CMYK, FLAT, 1),
    "16 bits, TIFF, white is zero": (encode(TURNED, "TIFF", tiffinfo=WHITE_IS_ZERO), GRAY, 1),
    "EXIF 1": (oriented(1), GRAY, 0),
    "EXIF 2": (oriented(2), np.fliplr(GRAY), 0),
    "EXIF 3": (oriented(3), np.rot90(GRAY, 2), 0),
    "EXIF 6": (oriented(6), np.rot90(GRAY, -1), 0),
    "EXIF 8": (oriented(8), np.rot90(GRAY), 0),
    "EXIF, damaged": (
        encode(np.dstack([FLAT] * 3), "JPEG", exif=b"Exif\0\0nonsense"),
        FLAT,
        0,
    ),
    "animated, the first frame": (encode(GRAY, "GIF", **FRAMES), GRAY, 0),
}


@pytest.mark.parametrize("case", FORMATS)
def test_formats_and_modes(case):
    encoded, expected, tolerance = FORMATS[case]
    found = gray(encoded)
    assert found.shape == (24, 24) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= tolerance


def test_what_was_decoded_is_described():
    film = data_images.read(encode(np.zeros((30, 20, 3), np.uint8)))
    assert (film.mode, film.width, film.height) == ("RGB", 20, 30)
    assert (film.highest, film.bits, film.notes) == (0, 8, [])


@pytest.mark.parametrize("shape", [(30, 20), (9, 50), (64, 64), (500, 400), (1, 1), (24, 24)])
def test_resizing_is_torchvisions(shape):
    film = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    theirs = transforms.resize(torch.from_numpy(film)[None], [24, 24], antialias=True)[0]
    assert (data_images.resize(film, 24) == theirs.numpy()).all()


@pytest.mark.parametrize(
    "highest, bits", [(1, 8), (255, 8), (256, 10), (4095, 12), (4096, 14), (65535, 16)]
)
def test_the_bits_of_a_film_alone(highest, bits):
    film = data_images.read(encode(np.array([[0, highest]], np.uint16)))
    assert film.bits == data_images.bits_in_use(highest) == bits and film.highest == highest
    assert abs(int(film.pixels[0, 1]) - 255 * highest / (2**bits - 1)) <= 0.5
    assert data_images.read(encode(np.array([[0, 255]], np.uint16)), bits=12).pixels[0, 1] == 16


def test_a_user_id_without_a_name_reads_films(tmp_path):
    """As containers have it: importing torchvision would raise a KeyError."""
    path = put(tmp_path / "a.png", encode(pixels(1)))
    code = (
        "import os, pwd, sys\n"
        "for name in ('LOGNAME', 'USER', 'LNAME', 'USERNAME'): os.environ.pop(name, None)\n"
        "def nobody(uid): raise KeyError(f'getpwuid(): uid not found: {uid}')\n"
        "pwd.getpwuid = nobody\n"
        "from xray import data_images\n"
        "film = data_images.read(open(sys.argv[1], 'rb').read())\n"
        "print(data_images.resize(film.pixels, 8).shape)"
    )
    words = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "(8, 8)", done.stderr[-2000:]


def test_a_program_fault_is_not_called_a_damaged_image(monkeypatch):
    """An import that fails inside of decoding (a user without a name: pytorch 140765)."""

    def broken(*_):
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(data_images, "_gray", broken)
    with pytest.raises(KeyError):
        data_images.read(encode(np.zeros((8, 8, 3), np.uint8)))


def test_colours_of_16_bits_are_refused():
    """Pillow keeps their upper 8 bits: a detector's 12 would come out nearly black."""
    lines = (b"\0" + bytes([15, 255] * 3 * 4)) * 4
    with pytest.raises(data_images.Unreadable, match="16 bits"):
        data_images.read(bare_png(4, 4, bits=16, colours=2, lines=lines))

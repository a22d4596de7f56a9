"""Files that unpack to more than they should are refused before they do, and the largest that are
read fit into a gigabyte."""

import struct
import sys
import zlib

import numpy as np
import pydicom
import pytest
from commands import run_limited
from PIL import Image
from samples import bare_png, dicom_file, encode

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does"),
]

READ = """
from pathlib import Path
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        film = data_images.read(path.read_bytes(), path.name, any_kind=True)
        print(path.name, "read", *film.pixels.shape, film.pixels.mean().round())
    except data_images.Unreadable as error:
        print(path.name, error)
"""


def jpeg(side: int, claimed: int | None = None, mode: str = "L") -> bytes:
    """A plain JPEG, or one whose header claims another size than it has."""
    content = bytearray(encode(Image.new("L", (side, side), 90).convert(mode), "JPEG"))
    if claimed:
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", claimed, claimed)
    return bytes(content)


def deflated(megabytes: int) -> bytes:
    """A DICOM file whose pixels, all 0, are deflated."""
    plain = dicom_file(np.zeros((2, 2), int), syntax=pydicom.uid.ExplicitVRLittleEndian)
    at = plain.index(b"\xe0\x7f\x10\x00")
    meta_end = 144 + struct.unpack("<I", plain[140:144])[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(plain[meta_end:at])
    packed += packer.compress(plain[at : at + 8] + struct.pack("<I", megabytes * 10**6))
    for _ in range(megabytes):
        packed += packer.compress(bytes(10**6))
    meta = plain[132:meta_end].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    element = meta.index(b"1.2.840.10008.1.2.1.99") - 2
    meta = meta[:element] + struct.pack("<H", 22) + meta[element + 2 :]
    meta = meta[:8] + struct.pack("<I", len(meta) - 12) + meta[12:]
    return plain[:132] + meta + packed + packer.flush()


def test_bombs_are_refused_by_their_headers(tmp_path):
    small = np.zeros((2, 2), int)
    rle = struct.pack("<16I", 1, 64, *[0] * 14) + bytes([129, 0]) * 1_500_000
    files = {
        "deflated.dcm": deflated(600),
        "sound.dcm": deflated(1),
        "jpeg.dcm": dicom_file(small, syntax=pydicom.uid.JPEGBaseline8Bit, frame=jpeg(16, 60000)),
        "rle.dcm": dicom_file(small, syntax=pydicom.uid.RLELossless, frame=rle),
        "rows.dcm": dicom_file(small, Rows=60000, Columns=60000),
        "header.png": bare_png(60000, 60000),
        "header.jpg": jpeg(16, 60000),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert (tmp_path / "deflated.dcm").stat().st_size < 10**6
    lines = run_limited(READ, 600, tmp_path).splitlines()
    said = dict(line.split(" ", 1) for line in lines)
    assert said["sound.dcm"].startswith("read 2 2")
    assert "inflates to more than 150 MB" in said["deflated.dcm"]
    assert "60000x60000 of 1 in its frame" in said["jpeg.dcm"]
    assert "more than that in its frame" in said["rle.dcm"]
    for name in ("rows.dcm", "header.png", "header.jpg"):
        assert "pixels" in said[name] and "sensible" in said[name], said[name]


def test_the_largest_films_fit_into_a_gigabyte(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(8000, mode="RGB"))
    wide = np.zeros((8000, 8000), np.uint16)
    wide[:4000] = 257 * 80
    Image.fromarray(wide).save(tmp_path / "b.png", compress_level=1)
    Image.new("LA", (8000, 8000), (80, 255)).save(tmp_path / "c.png", compress_level=1)
    wide[:4000] = 1000
    (tmp_path / "d.dcm").write_bytes(dicom_file(wide))
    lines = run_limited(READ, 1000, tmp_path).splitlines()
    assert lines == [
        "a.jpg read 8000 8000 90.0",
        "b.png read 8000 8000 40.0",
        "c.png read 8000 8000 80.0",
        "d.dcm read 8000 8000 128.0",
    ]

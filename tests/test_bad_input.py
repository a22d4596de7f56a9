"""Input that cannot be used: what comes out is one line that says what is wrong, and nothing
else.
"""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from samples import COUNT, class_folders, dicom_file, encode, error_of, pixels

from xray import data
from xray.data_sources import DataError

GRAY = pixels(1)
PNG = encode(GRAY)
NOISE = encode(np.random.default_rng(1).integers(0, 256, (200, 200), np.uint8))
JPEG = encode(GRAY, "JPEG")


def huge_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises width x height pixels."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


IMAGES = {  # file name, content, what the message says of it
    "empty": ("a.png", b"", "empty"),
    "text": ("a.jpg", b"this is no image", "not an image"),
    "html": ("a.jpeg", b"<html><body>404 Not Found</body></html>", "not an image"),
    "zeros": ("a.png", bytes(5000), "not an image"),
    "random bytes": ("a.png", np.random.default_rng(0).bytes(5000), "not an image"),
    "git lfs pointer": (
        "a.png",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "a Git LFS pointer, not the file itself; run git lfs pull",
    ),
    "only the PNG signature": ("a.png", PNG[:8], "image"),
    "PNG cut in half": ("a.png", NOISE[: len(NOISE) // 2], "damaged"),
    "PNG with a wrong checksum": ("a.png", PNG[:20] + b"\xff" + PNG[21:], "image"),
    "JPEG cut in half": ("a.jpg", JPEG[: len(JPEG) // 2], "damaged"),
    "JPEG cut at its end": ("a.jpg", encode(pixels(1, 200), "JPEG")[:-200], "damaged"),
    "only the JPEG marker": ("a.jpg", JPEG[:2], "image"),
    "GIF cut off": ("a.gif", encode(GRAY, "GIF")[:40], "image"),
    "TIFF cut off": ("a.tif", encode(GRAY, "TIFF")[:100], ""),
    "WebP cut off": ("a.webp", encode(GRAY, "WEBP")[:40], ""),
    "BMP cut off": ("a.bmp", encode(GRAY, "BMP")[:60], ""),
    "decompression bomb": ("a.png", huge_png(20_000, 20_000), "more pixels than is sensible"),
    "more pixels than allowed": ("a.png", huge_png(11_000, 11_000), "more than the 64 million"),
    "no pixels": ("a.png", huge_png(0, 0), ""),
    "floating point": (
        "a.tif",
        encode(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"),
        "floating-point",
    ),
    "32 bits": (
        "a.tif",
        encode(Image.fromarray(np.full((8, 8), 1 << 20, np.int32)), "TIFF"),
        "32-bit",
    ),
    "DICOM named as an image": ("a.png", bytes(128) + b"DICM" + bytes(100), "DICOM"),
    "a name with a newline": ("a\nb.png", b"", "a\\nb.png (empty)"),
    "a name with HTML": ("<b>&.png", b"", "<b>&.png (empty)"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_unreadable_image(tmp_path, case):
    name, content, reason = IMAGES[case]
    folder = class_folders(tmp_path / "set")
    (folder / "train" / "NORMAL" / name).write_bytes(content)
    text = error_of(tmp_path, folder)
    assert "1 unreadable image:" in text and "train/NORMAL/" in text and reason in text
    left = data.load(str(folder), 8, cache=tmp_path / "cache", skip_unreadable=True)
    assert len(left.labels) == COUNT and len(left.facts["skipped"]) == 1
    assert left.facts["audit"]["unreadable"] == left.facts["skipped"]


def test_unreadable_images_are_all_counted_and_the_first_named(tmp_path):
    folder = class_folders(tmp_path / "set")
    for number in range(30):
        (folder / "test" / "NORMAL" / f"bad{number:02d}.png").write_bytes(b"bad")
    text = error_of(tmp_path, folder)
    assert (
        "30 unreadable images" in text
        and "bad00.png" in text
        and "bad19.png" in text
        and "and 10 more" in text
    )
    assert "bad20.png" not in text


def emptied(folder):
    for path in folder.iterdir():
        path.unlink()


def bad_folder(case, root):
    """Makes the folder of a case; returns the source to give."""
    made = root / "set"
    if case == "does not exist":
        return made
    if case == "is a file":
        made.write_text("x")
        return made
    if case == "empty folder":
        made.mkdir()
        return made
    if case == "images without folders":
        made.mkdir()
        (made / "a.png").write_bytes(PNG)
        return made
    if case == "classes without splits":
        return class_folders(made / "train") / "train"
    if case == "one class":
        return class_folders(made, {"train": (3, 0), "validation": (3, 0), "test": (3, 0)})
    if case == "three classes":
        return class_folders(
            made, {"train": (2, 2, 2), "validation": (2, 2, 2), "test": (2, 2, 2)}, ("A", "B", "C")
        )
    if case == "two data sets":
        class_folders(made / "one")
        class_folders(made / "two")
        return made
    if case == "no test split":
        return class_folders(made, {"train": (3, 3), "validation": (2, 2)})
    if case == "no validation split":
        return class_folders(made, {"train": (3, 3), "test": (2, 2)})
    class_folders(made)
    if case == "empty test split":
        emptied(made / "test" / "NORMAL")
        emptied(made / "test" / "PNEUMONIA")
    if case == "no NORMAL to train on":
        emptied(made / "train" / "NORMAL")
    if case == "two validation splits":
        class_folders(made, {"val": (1, 1)})
    if case == "damaged DICOM files":
        (made / "train" / "NORMAL" / "a.dcm").write_bytes(bytes(128) + b"DICM")
    if case == "DICOM of a knee":
        knee = dicom_file(GRAY, BodyPartExamined="KNEE")
        (made / "train" / "NORMAL" / "knee").write_bytes(knee)
    if case == "a link to nowhere":
        (made / "train" / "NORMAL" / "a.png").symlink_to(root / "nowhere.png")
    if case == "all images of a split unreadable":
        for path in (made / "test").rglob("*.png"):
            path.write_bytes(b"bad")
    return made


FOLDERS = {
    "does not exist": "no such folder",
    "is a file": "a file, no table; give the folder of the images",
    "empty folder": "no images",
    "images without folders": "no images",
    "classes without splits": "its images are in no split; --split patient (or --split image)",
    "one class": "it has 1: NORMAL",
    "three classes": "it has 3: A, B, C",
    "two data sets": "several data sets (one, two)",
    "no test split": "the test split is missing or has no images; it has train, validation; --",
    "no validation split": "the validation split is missing or has no images; it has train, test",
    "empty test split": "the test split is missing or has no images",
    "no NORMAL to train on": "the train split has no NORMAL image",
    "two validation splits": "two folders are the validation split",
    "damaged DICOM files": "train/NORMAL/a.dcm (a DICOM f",  # with pydicom or without
    "DICOM of a knee": "NORMAL/knee (no frontal chest film by its tags (BodyPartExamined KNEE))",
    "a link to nowhere": "cannot be read (No such file or directory)",
    "all images of a split unreadable": "3 unreadable images",
}


@pytest.mark.parametrize("case", FOLDERS)
def test_unusable_folder(tmp_path, case):
    source = bad_folder(case, tmp_path)
    text = error_of(tmp_path, source)
    assert FOLDERS[case] in text and str(tmp_path) in text


def test_skipping_what_is_unreadable_does_not_leave_a_split_empty(tmp_path):
    source = bad_folder("all images of a split unreadable", tmp_path)
    assert "the test split has no readable image" in error_of(
        tmp_path, source, skip_unreadable=True
    )


@pytest.mark.parametrize(
    "source, message",
    {
        "": "no such folder",
        " ": "no such folder",
        ".hidden/folder": "no such folder",
        "./nowhere": "no such folder",
        "~/no/such/folder": "no such folder",
        "/no/such/folder": "no such folder",
        "a/b/c": "no such folder",
        "chest-xray": "owner/name",
        "owner/na me": "no such folder",
        "../../nowhere": "no such folder",
        "a\nb": "a\\nb",
        "\0": "no such folder",
        "phantom:": "phantom:<number",
        "phantom:ten": "phantom:<number",
        "phantom:5": "20 to",
        "phantom:-5": "phantom:<number",
        "phantom:999999999": "phantom:<number",
    }.items(),
)
def test_unusable_name(tmp_path, source, message):
    assert message in error_of(tmp_path, source)


@pytest.mark.parametrize("size", [0, -4])
def test_unusable_size(tmp_path, size):
    with pytest.raises(DataError, match="must be positive"):
        data.load("phantom:20", size, cache=tmp_path)


def test_a_pipe_among_the_images_does_not_hang(tmp_path):
    folder = class_folders(tmp_path / "set")
    os.mkfifo(folder / "train" / "NORMAL" / "pipe.png")
    assert len(data.load(str(folder), 8, cache=tmp_path / "cache").labels) == COUNT

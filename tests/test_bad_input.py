"""Input that cannot be used: one line says what is wrong, and nothing else comes out."""

import os

import numpy as np
import pytest
from PIL import Image
from reading import error_of, load
from samples import COUNT, bare_png, class_folders, dicom_file, encode, lay, pixels, put

GRAY = pixels(1)
PNG = encode(GRAY)
NOISE = encode(np.random.default_rng(1).integers(0, 256, (200, 200), np.uint8))
JPEG = encode(GRAY, "JPEG")
LONG = encode(Image.fromarray(np.full((8, 8), 1 << 20, np.int32)), "TIFF")
FLOATS = encode(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"

IMAGES = {  # file name, content, what the message says of it
    "empty": ("a.png", b"", "empty"),
    "text": ("a.jpg", b"this is no image", "not an image"),
    "html": ("a.jpeg", b"<html><body>404 Not Found</body></html>", "not an image"),
    "zeros": ("a.png", bytes(5000), "not an image"),
    "random bytes": ("a.png", np.random.default_rng(0).bytes(5000), "not an image"),
    "git lfs pointer": ("a.png", LFS, "a Git LFS pointer, not the file itself; run git lfs pull"),
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
    "decompression bomb": ("a.png", bare_png(20_000, 20_000), "more pixels than is sensible"),
    "more pixels than allowed": ("a.png", bare_png(11_000, 11_000), "more than the 64 million"),
    "no pixels": ("a.png", bare_png(0, 0), ""),
    "floating point": ("a.tif", FLOATS, "floating-point"),
    "32 bits": ("a.tif", LONG, "32-bit"),
    "DICOM named as an image": ("a.png", bytes(128) + b"DICM" + bytes(100), "DICOM"),
    "damaged DICOM": ("a.dcm", bytes(128) + b"DICM", "a DICOM f"),  # with pydicom or without
    "DICOM of a knee": (
        "knee",
        dicom_file(GRAY, BodyPartExamined="KNEE"),
        "NORMAL/knee (no frontal chest film by its tags (BodyPartExamined KNEE))",
    ),
    "a name with a newline": ("a\nb.png", b"", "a\\nb.png (empty)"),
    "a name with HTML": ("<b>&.png", b"", "<b>&.png (empty)"),
}


@pytest.fixture
def folder(tmp_path):
    return class_folders(tmp_path / "set")


@pytest.mark.parametrize("case", IMAGES)
def test_unreadable_image(folder, case):
    name, content, reason = IMAGES[case]
    put(folder / "train" / "NORMAL" / name, content)
    text = error_of(folder)
    assert "1 unreadable image:" in text and "train/NORMAL/" in text and reason in text
    left = load(folder, skip_unreadable=True)
    assert len(left.labels) == COUNT and len(left.facts["skipped"]) == 1
    assert left.facts["audit"]["unreadable"] == left.facts["skipped"]


def test_unreadable_images_are_all_counted_and_the_first_named(folder):
    for number in range(30):
        put(folder / "test" / "NORMAL" / f"bad{number:02d}.png", b"bad")
    text = error_of(folder)
    assert "30 unreadable images" in text and "and 10 more" in text
    assert "bad00.png" in text and "bad19.png" in text and "bad20.png" not in text


def test_skipping_what_is_unreadable_does_not_leave_a_split_empty(folder):
    for path in (folder / "test").rglob("*.png"):
        path.write_bytes(b"bad")
    assert "3 unreadable images" in error_of(folder)
    text = error_of(folder, skip_unreadable=True)
    assert "the test split has no readable image" in text


def test_a_link_to_nowhere_is_told(folder, tmp_path):
    (folder / "train" / "NORMAL" / "a.png").symlink_to(tmp_path / "nowhere.png")
    assert "cannot be read (No such file or directory)" in error_of(folder)


def test_a_pipe_among_the_images_does_not_hang(folder):
    os.mkfifo(folder / "train" / "NORMAL" / "pipe.png")
    assert len(load(folder).labels) == COUNT


def test_a_folder_without_images_and_a_file_are_told(tmp_path):
    (tmp_path / "set").mkdir()
    assert "no images" in error_of(tmp_path / "set")
    file = put(tmp_path / "set" / "films.zip")
    assert "a file, but no table; give the folder of the images" in error_of(file)


PLACE = "{title}/x{n}.png"


@pytest.mark.parametrize(
    "places, message",
    [
        (["x{n}.png"], "no images in class folders"),
        ([PLACE], "its images are in no split; --split image"),
        (["{split}/NORMAL/x{n}.png"], "it has 1: NORMAL"),
        ([f"{{split}}/{name}/x{{n}}.png" for name in "ABC"], "it has 3: A, B, C"),
        (
            [f"train/{PLACE}"] * 2 + [f"val/{PLACE}"] * 2,
            "the test split is missing or has no images; it has train, validation; --",
        ),
        (
            ["train/PNEUMONIA/x{n}.png"] * 2 + [f"val/{PLACE}"] * 2 + [f"test/{PLACE}"] * 2,
            "the train split has no NORMAL image",
        ),
        (
            [f"{name}/{PLACE}" for name in ("train", "val", "validation", "test") for _ in "01"],
            "two folders are the validation split",
        ),
    ],
)
def test_unusable_folder(tmp_path, places, message):
    text = error_of(lay(tmp_path / "set", places))
    assert message in text and str(tmp_path) in text


@pytest.mark.parametrize(
    "source, message",
    {
        "": "no such folder",
        " ": "no such folder",
        ".hidden/folder": "no such folder",
        "./nowhere": "no such folder",
        "~/no/such/folder": "no such folder",
        "~nosuchuser/films": "that user has no home here",
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
def test_unusable_name(source, message):
    assert message in error_of(source)


@pytest.mark.parametrize("size", [0, -4])
def test_unusable_size(size):
    assert "must be positive" in error_of("phantom:20", size=size)

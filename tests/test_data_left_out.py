"""Nothing in a folder is left out without a word, and 16 bits are read as what they hold."""

import numpy as np
import pytest
from reading import TRUTH, error_of, labels, load
from samples import COUNT, SPLITS, TITLES, class_folders, encode, lay, parquet, pixels, put

from xray import data_images

HIDDEN = "1 hidden files and files of other systems (__MACOSX, @eaDir, …)"
MASKS = "1 masks and other drawings beside films"
OTHERS = "1 files that are not taken for images"
OUTSIDE = "1 images outside of class folders"
TABLES = "1 tables (class folders say the classes)"


@pytest.mark.parametrize(
    "place, note",
    [
        ("train/NORMAL/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", HIDDEN),
        ("train/NORMAL/.thumbnails/a.png", HIDDEN),
        ("train/NORMAL/Thumbs.db", HIDDEN),
        ("train/NORMAL/._a.png", HIDDEN),
        ("__MACOSX/train/NORMAL/a.png", HIDDEN),
        ("train/NORMAL/masks/x.png", MASKS),
        ("train/NORMAL/Lung Masks/x.png", MASKS),
        ("train/NORMAL/LungMasks/x.png", MASKS),
        ("train/lung-masks/x.png", MASKS),
        ("ground truth masks/train/NORMAL/x.png", MASKS),
        ("train/NORMAL/segmentation/x.png", MASKS),
        ("train/NORMAL/x0_mask.png", MASKS),
        ("train/NORMAL/x0_mask.jpg", MASKS),
        ("train/NORMAL/Mask_x0.png", MASKS),
        ("train/NORMAL/notes.txt", OTHERS),
        ("train/NORMAL/notes", OTHERS),
        ("train/a.png", OUTSIDE),
        ("a.png", OUTSIDE),
        ("more/a.png", OUTSIDE),
        # class folders come before any table that is not named
        ("predictions.csv", TABLES),
        ("train.csv", TABLES),
        ("train/metadata.csv", TABLES),
        ("labels.tsv", TABLES),
    ],
)
def test_what_is_left_out_is_counted_and_said(tmp_path, place, note):
    folder = lay(tmp_path / "set", "{split}/{title}/x{n}.png")
    table = b"file_name,label\nx0.png,PNEUMONIA\nx1.png,NORMAL\n"
    put(folder / place, encode(pixels(40)) if place.endswith(("png", "jpg")) else table)
    found = load(folder)
    assert labels(found) == TRUTH
    assert found.notes == found.facts["notes"] == [f"{note} are left out"]
    assert load(folder).notes == found.notes, "from the cache, too"


@pytest.mark.parametrize("name", ["film", "film.image", "1.2.840.113619.2.5", "film.PNG_"])
def test_an_image_of_any_name_is_told_by_its_content(tmp_path, name):
    folder = lay(tmp_path / "set", "{split}/{title}/x{n}.png")
    put(folder / "train" / "NORMAL" / name, encode(pixels(40)))
    found = load(folder)
    assert labels(found) == TRUTH | {40: 0} and found.notes == []


@pytest.mark.parametrize(
    "there, missing", [([0], "6 of its files are missing"), ([0, 2], "3 of its files are missing")]
)
def test_missing_shards_are_refused_or_said(tmp_path, there, missing):
    folder = parquet(tmp_path / "set")
    for split in SPLITS:
        content = (folder / split / "0000.parquet").read_bytes()
        (folder / split / "0000.parquet").unlink()
        for number in there:
            put(folder / f"{split}-{number:05d}-of-00003-0a1b2c.parquet", content)
    text = error_of(folder)
    assert f"{missing} (test-00001-of-00003" in text and "--skip-unreadable" in text
    found = load(folder, skip_unreadable=True)
    assert len(set(found.paths)) == COUNT
    assert found.notes[0].startswith(f"{missing[0]} files that are missing are left out: test-")


# ---- 16 bits


@pytest.mark.parametrize(
    "kind, bits", [("PNG", 8), ("PNG", 10), ("PNG", 12), ("TIFF", 12), ("PNG", 14), ("PNG", 16)]
)
def test_files_of_16_bits_are_stretched_to_the_bits_that_the_source_uses(tmp_path, kind, bits):
    folder, top = class_folders(tmp_path / "set"), 2**bits - 1
    ramp = np.linspace(0, top, 24 * 24).round().astype(np.uint16).reshape(24, 24)
    dark = (ramp // 3).astype(np.uint16)
    put(folder / "train" / "NORMAL" / f"ramp.{kind}", encode(ramp, kind))
    put(folder / "test" / "NORMAL" / f"dark.{kind}", encode(dark, kind))
    found = load(folder)
    for name, values in (("train/NORMAL/ramp", ramp), ("test/NORMAL/dark", dark)):
        image = found.images[found.paths.index(f"{name}.{kind}"), 0]
        assert np.abs(image - values.astype(float) * 255 / top).max() <= 0.5
    assert found.facts["bits"] == data_images.bits_in_use(top) == bits
    stretched = "; they are stretched to those" * (bits < 16)
    assert found.notes[0].startswith(f"Of images with 16 bits {bits} are in use{stretched}")
    assert found.notes[0].endswith("; 14 others have 8 bits")


def test_several_kinds_of_bits_are_said(tmp_path):
    for n in range(20):
        wide = pixels(n).astype(np.uint16) * (16 if n < 10 else 256)
        path = tmp_path / "set" / TITLES[n % 2] / f"{n}.png"
        put(path, encode(wide if n % 4 else pixels(n)))
    [note] = load(tmp_path / "set", whole=True).notes
    assert "of 12 bits" in note and "of 16 bits" in note and "5 others have 8 bits" in note

"""Nothing in a folder is left out without a word, and 16 bits are read as what they hold."""

import numpy as np
import pytest
from commands import TINY, train
from samples import (
    COUNT,
    ILL,
    SPLITS,
    TITLES,
    WELL,
    class_folders,
    encode,
    error_of,
    gray,
    load,
    parquet,
    pixels,
)

from xray import data_images
from xray.data_choices import Choices


def put(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


FILM = encode(pixels(70))


@pytest.mark.parametrize(
    "place, content, note",
    [
        ("train/NORMAL/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", FILM, "1 hidden files and files of"),
        ("train/NORMAL/.thumbnails/a.png", FILM, "1 hidden files and files of other systems"),
        ("train/NORMAL/Thumbs.db", b"x", "1 hidden files and files of other systems"),
        ("train/NORMAL/._a.png", b"x", "1 hidden files and files of other systems"),
        ("__MACOSX/train/NORMAL/a.png", FILM, "1 hidden files and files of other systems"),
        ("train/NORMAL/masks/a.png", FILM, "1 masks and other drawings beside films are left out"),
        ("train/NORMAL/notes.txt", b"x", "1 files that are not taken for images are"),
        ("train/NORMAL/notes", b"x", "1 files that are not taken for images are"),
        ("train/a.png", FILM, "1 images outside of class folders are left out"),
        ("a.png", FILM, "1 images outside of class folders are left out"),
        ("more/a.png", FILM, "1 images outside of class folders are left out"),
        (
            "films.csv",
            b"path,label\na,b\n",
            "1 tables (class folders say the classes) are left out",
        ),
    ],
)
def test_what_is_left_out_is_counted_and_said(tmp_path, place, content, note):
    folder = class_folders(tmp_path / "set")
    put(folder / place, content)
    found = load(folder, tmp_path)
    assert len(found.labels) == COUNT
    [said] = found.notes
    assert said.startswith(note) and found.facts["notes"] == [said]
    assert load(folder, tmp_path).notes == [said], "from the cache, too"


@pytest.mark.parametrize("name", ["film", "film.image", "1.2.840.113619.2.5", "film.PNG_"])
def test_an_image_of_any_name_is_told_by_its_content(tmp_path, name):
    folder = class_folders(tmp_path / "set")
    put(folder / "train" / "NORMAL" / name, FILM)
    found = load(folder, tmp_path, 24)
    assert found.notes == [] and len(found.labels) == COUNT + 1
    [row] = [row for row, path in enumerate(found.paths) if path.endswith(name)]
    assert (found.images[row, 0] == gray(FILM)).all() and found.labels[row] == 0


@pytest.mark.parametrize("layout", ["{split}-00000-of-00003", "{split}-00000-of-00003-0a1b2c"])
def test_missing_shards_are_refused_or_said(tmp_path, layout):
    folder = parquet(tmp_path / "set", layout=f"{layout}.parquet")
    text = error_of(tmp_path, folder)
    assert "6 of its files are missing (test-00001-of-00003.parquet, " in text
    assert "--skip-unreadable" in text
    found = load(folder, tmp_path, skip_unreadable=True)
    assert len(found.labels) == COUNT
    assert found.notes[0].startswith("6 files that are missing are left out: test-")


def test_a_shard_in_the_middle(tmp_path):
    folder = parquet(tmp_path / "set")
    for split in SPLITS:
        first = folder / split / "0000.parquet"
        for number in (0, 2):
            put(folder / f"{split}-{number:05d}-of-00003.parquet", first.read_bytes())
        first.unlink()
    assert "3 of its files are missing (test-00001-of-00003.parquet, " in error_of(tmp_path, folder)


def test_notes_reach_the_banner_and_the_facts(tmp_path, capsys):
    from xray import items, report, results, study

    splits = {"train": (5, 9), "validation": (2, 4), "test": (2, 3)}
    folder = class_folders(tmp_path / "set", splits)
    put(folder / "train" / "a.png", FILM)
    some = ("--data", folder, *TINY, "--model", "20", "--seeds", "0", "--epochs", "1")
    assert train(*some, "--out", tmp_path / "out") == 0
    note = "1 images outside of class folders are left out"
    assert f"note: {note}" in capsys.readouterr().out
    found = study.read(tmp_path / "out" / "results", study.choose(tmp_path / "out" / "results")[0])
    assert f"{note}." in items.NUMBERS["differences"](found)["found"]
    assert results.read_json(next((tmp_path / "out").rglob("data.json")))["notes"] == [note]
    page = report.markdown(report.Report(found), ("2-method.md",))
    assert "images outside of class folders: 1" in page


# ---- 16 bits


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_files_of_16_are_stretched(tmp_path, kind, bits):
    top, suffix = 2**bits - 1, {"PNG": "png", "TIFF": "tif"}[kind]
    folder = class_folders(tmp_path / "set")
    ramp = np.linspace(0, top, 24 * 24).round().astype(np.uint16).reshape(24, 24)
    dark = (ramp // 3).astype(np.uint16)
    put(folder / "train" / "NORMAL" / f"a.{suffix}", encode(ramp, kind))
    put(folder / "test" / "NORMAL" / f"b.{suffix}", encode(dark, kind))
    found = load(folder, tmp_path, 24)
    rows = {path.split("/")[-1][0]: row for row, path in enumerate(found.paths)}
    for name, values in (("a", ramp), ("b", dark)):
        expected = values.astype(float) * 255 / top
        assert np.abs(found.images[rows[name], 0] - expected).max() <= 0.5, "the source's range"
    assert found.facts["bits"] == data_images.bits_in_use(top)
    [note] = found.notes
    assert note.startswith(f"Of images with 16 bits {found.facts['bits']} are in use")
    assert note.endswith("; 14 others have 8 bits")


def test_all_16_bits_are_divided_and_8_bits_left_alone(tmp_path):
    folder = class_folders(tmp_path / "set")
    full = np.linspace(0, 65535, 24 * 24).round().astype(np.uint16).reshape(24, 24)
    put(folder / "train" / "NORMAL" / "a.png", encode(full))
    found = load(folder, tmp_path, 24)
    [row] = [row for row, path in enumerate(found.paths) if path.endswith("a.png")]
    assert np.abs(found.images[row, 0] - full / 257).max() <= 0.5
    assert found.facts["bits"] == 16
    assert found.notes == ["Of images with 16 bits 16 are in use; 14 others have 8 bits"]


def film12(seed):
    return encode(pixels(seed).astype(np.uint16) * 16)


def test_films_of_another_hospital_are_stretched_by_their_bits(tmp_path):
    """The same films as 8 bits and as 12 in files of 16."""
    for kind, make in (("eight", lambda n: encode(pixels(n))), ("twelve", film12)):
        for n in range(8):
            path = tmp_path / kind / (WELL, ILL)[n % 2] / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make(n))
    a, b = (load(tmp_path / kind, tmp_path, 24, whole=True).images for kind in ("eight", "twelve"))
    assert np.abs(a.astype(int) - b).max() <= 70, (a.mean(), b.mean())  # not 16 times as dark


def test_several_kinds_of_bits_are_said(tmp_path):
    folder = tmp_path / "set"
    for n in range(20):
        wide = pixels(n).astype(np.uint16) * (16 if n < 10 else 256)
        path = folder / TITLES[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(wide if n % 4 else pixels(n)))
    [note] = load(folder, tmp_path, choices=Choices(), whole=True).notes
    assert "of 12 bits" in note and "of 16 bits" in note and "5 others have 8 bits" in note

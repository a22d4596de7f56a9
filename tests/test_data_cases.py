"""Small inputs in the shape of what people reported in public, and more of their kinds. Each states
the right value; where it may be that a source is refused, the one line names the cause."""

import unicodedata
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image
from samples import encode, error_of, load, pixels

from xray import data_images
from xray.data_sources import Choices, DataError
from xray.data_splits import label_mapping

ANY = Choices(split="image-0")
ILL, WELL = "PNEUMONIA", "NORMAL"


def films(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode(pixels(number)))
    return folder


def table(folder, header, lines, name="labels.csv", sep=",", eol="\n"):
    (folder / name).write_bytes((eol.join([header, *lines]) + eol).encode())
    return folder


def test_an_image_in_several_rows_is_in_one_split(tmp_path):
    """VinDr-CXR's train.csv: a row for each radiologist and finding."""
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(60)])
    lines = [f"x{n},{('No finding', 'Consolidation')[n % 2]},R8" for n in range(60)]
    lines += [f"x{n},Lung Opacity,R9" for n in range(1, 60, 2)]
    table(folder, "image_id,class_name,rad_id", lines)
    choices = Choices(("Consolidation", "Lung Opacity"), ("No finding",), "patient-0")
    found, seen = load(folder, tmp_path, choices=choices), defaultdict(set)
    for split, rows in found.index.items():
        for row in rows:
            seen[found.paths[row]].add(split)
    assert not [path for path, splits in seen.items() if len(splits) > 1]


def test_non_covid_beside_normal_is_not_offered_as_normal():
    with pytest.raises(DataError) as caught:
        label_mapping(["COVID-19", "NON-COVID", "NORMAL"])
    assert "--negative NON-COVID" not in str(caught.value)


@pytest.mark.parametrize(
    "case", ["leading zeros", "blanks after commas", "sep= line", "capitals", "NFD", "no header"]
)
def test_tables_as_people_have_them(tmp_path, case):
    title = (WELL, ILL)
    stems = [f"{n:05d}" if case == "leading zeros" else f"Rö_{n}" for n in range(20)]
    disk = "NFD" if case == "NFD" else "NFC"
    folder = films(tmp_path / "set", [unicodedata.normalize(disk, f"{s}.png") for s in stems])
    rows = [(unicodedata.normalize("NFC", f"{s}.png"), title[n % 2]) for n, s in enumerate(stems)]
    if case == "leading zeros":
        table(folder, "id,label", [f"{s},{title[n % 2]}" for n, s in enumerate(stems)])
    elif case == "blanks after commas":
        table(folder, "label, path", [f"{b}, {a}" for a, b in rows])
    elif case == "sep= line":
        table(folder, "sep=;", ["path;label", *(f"{a};{b}" for a, b in rows)], eol="\r\n")
    elif case == "capitals":
        table(folder, "path,label", [f"{a.upper()},{b}" for a, b in rows])
    elif case == "no header":  # medmnist's save()
        splits = ("TRAIN", "TRAIN", "TRAIN", "TRAIN", "VALIDATION", "VALIDATION", "TEST", "TEST")
        table(
            folder,
            f"TRAIN,{rows[0][0]},0",
            [f"{splits[n % 8]},{a},{n % 2}" for n, (a, _) in enumerate(rows) if n],
        )
    else:
        table(folder, "path,label", [f"{a},{b}" for a, b in rows])
    if case == "no header":
        text = error_of(tmp_path, folder, choices=ANY)
        assert "no header" in text and "--label 3" in text
        found = load(folder, tmp_path, choices=Choices(split="image-0", label="3"))
        assert found.facts["classes"] == {"0": 0, "1": 1} and not found.facts["made"]
        assert len(found.paths) == 20
        return
    assert len(load(folder, tmp_path, choices=ANY).paths) == 20


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


def test_a_tiff_whose_white_is_zero_is_inverted_in_16_bits_too():
    from PIL import TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    stored = 65535 - pixels(3).astype(np.uint16) * 257
    found = data_images.read(encode(Image.fromarray(stored), "TIFF", tiffinfo=tags)).pixels
    assert np.abs(found.astype(int) - pixels(3)).max() <= 1


def test_labels_come_from_inside_of_what_is_named(tmp_path):
    """A project folder may be called pneumonia."""
    folder = films(tmp_path / "pneumonia" / "films", ["healthy/a.png", "healthy/b.png"])
    assert "no images in class folders" in error_of(tmp_path, folder, whole=True)
    films(folder, ["sick/c.png"])
    found = load(folder, tmp_path, whole=True)
    assert found.facts["classes"] == {"HEALTHY": 0, "SICK": 1} and found.labels.tolist() == [
        0,
        0,
        1,
    ]


def test_another_hospitals_films_may_be_of_several_classes():
    from commands import script

    args = script("evaluate").arguments(["--data", "x", "--positive", "A,B", "--negative", "C"])
    assert args.positive == ("A", "B")


def test_a_program_fault_is_not_called_a_damaged_image(monkeypatch):
    """An import that fails inside of decoding (a user without a name: pytorch 140765)."""

    def broken(*_):
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(data_images, "_gray", broken)
    with pytest.raises(KeyError):
        data_images.read(encode(np.zeros((8, 8, 3), np.uint8)))


@pytest.mark.parametrize("source", ["~nosuchuser/films"])
def test_a_home_that_is_not_known_is_told(tmp_path, source):
    error_of(tmp_path, source)

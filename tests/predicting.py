"""The predict command as tests run it, on three short runs on phantoms."""

import json
from pathlib import Path

import pytest
from commands import script, train
from PIL import Image

from xray import data_phantoms

SIZE = 16
ALL = ("20", "21", "11")
PREDICT = script("predict")


def save_film(path: Path, number: int = 1, size: int = 24, mode="L", ill=True) -> Path:
    """A phantom as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(data_phantoms.draw(number, ill, size)).convert(mode).save(path)
    return path


def films(folder: Path) -> Path:
    """Class folders of phantoms, 40x40: gray PNGs, RGB PNGs and JPEGs."""
    number = 0
    for split, count in (("train", 16), ("val", 8), ("test", 4)):
        for label, name in enumerate(("NORMAL", "PNEUMONIA")):
            for row in range(count):
                number += 1
                path = folder / split / name / f"{number}.{'jpg' if row % 3 == 2 else 'png'}"
                save_film(path, number, 40, "L" if row % 2 else "RGB", label == 1)
    return folder


def make_study(place: Path) -> Path:
    """A folder with the source ("films") and the records of the runs ("out/results"), made by
    train.py.
    """
    films(place / "films")
    words = f"--image-size {SIZE} --epochs 2 --seeds 1 --device cpu --out".split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAY_CACHE", str(place / "cache"))
        assert train("--data", place / "films", "--model", *ALL, *words, place / "out") == 0
    return place


def call(capsys, *words) -> tuple[int, str, str]:
    """predict.py in this process: exit code, output, errors. No call may show a traceback."""
    capsys.readouterr()
    code = 0
    try:
        PREDICT.main([str(word) for word in words])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def ask(capsys, results_folder, *words) -> dict:
    code, out, err = call(capsys, "--results", results_folder, "--json", *words)
    assert code == 0, err
    return json.loads(out)


def answers(capsys, results_folder, *words) -> list[dict]:
    """What model 20 says of each film, without maps."""
    return ask(capsys, results_folder, "--model", "20", "--no-map", *words)["images"]


def refused(capsys, results_folder, *words) -> str:
    """The one line of error that predict.py ends with."""
    code, out, err = call(capsys, "--results", results_folder, *words)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1 and err.startswith("error: ")
    return err

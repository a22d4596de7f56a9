"""An image of another kind than the training's is told, and films like them are not."""

import json

import numpy as np
import pytest
from commands import ROOT
from samples import phantoms
from scipy import ndimage

from xray import data_images, predict_likeness, results

SIZE = 32


@pytest.fixture(scope="module")
def facts():
    """What training on 300 phantoms leaves in data.json."""
    seen = predict_likeness.learn(phantoms(0, 300, SIZE)[:, None], np.arange(300) % 2)
    return {"sizes": {"40x50": 150, "50x50": 150}, "intensity": json.loads(json.dumps(seen))}


def warned(gray, facts, chroma=0.0) -> str:
    return " ".join(predict_likeness.unlike(np.ascontiguousarray(gray), chroma, facts, SIZE))


def test_few_films_of_the_same_kind_are_told(facts):
    told = [warned(film, facts) for film in phantoms(5000, 100, 48)]
    assert sum(map(bool, told)) <= 4, told


def rotated(degrees):
    return lambda film: ndimage.rotate(film, degrees, reshape=False, order=1)


Y, X = np.mgrid[:48, :48]
BLOB = (200 * np.exp(-(((Y - 24) / 9) ** 2) - ((X - 24) / 7) ** 2)).astype(np.uint8)

OTHERS = {  # how a film is changed, what is said of it
    "negative": (lambda film: 255 - film, "distance"),
    "on its side": (np.rot90, "distance"),
    "upside down": (lambda film: film[::-1], "a film upside down"),
    "turned": (lambda film: film[::-1, ::-1], "a film upside down"),
    "tilted": (rotated(20), "a tilted film"),
    "tilted the other way": (rotated(-20), "a tilted film"),
    "left half": (lambda film: film[:, :24], "the left half"),
    "right half": (lambda film: film[:, 24:], "the right half"),
    "upper half": (lambda film: film[:24], "the upper half"),
    "lower half": (lambda film: film[24:], "the lower half"),
    "a blob": (lambda film: BLOB, "distance"),
    "gray": (lambda film: np.full_like(film, 120), "contrast"),
    "black": (np.zeros_like, "brightness"),
    "dark": (lambda film: film // 8, "brightness"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_kind_is_told(facts, kind):
    change, words = OTHERS[kind]
    told = [warned(change(film), facts) for film in phantoms(6000, 20, 48)]
    assert sum(words in text for text in told) >= 18, told


def test_colour_size_and_shape(facts):
    film = phantoms(7000, 1, 48)[0]
    assert "in colour" in warned(film, facts, chroma=40)
    assert "12×12 pixels" in warned(data_images.resize(film, 12), facts)
    assert "its width is 2.00 times" in warned(np.repeat(film, 2, axis=1), facts)
    assert warned(film, {}) == ""


@pytest.mark.parametrize("ratio, told", [(1.0, False), (0.8, False), (2.1, False), (0.5, True)])
def test_the_shape_that_squares_were_stored_in_is_not_the_films(ratio, told):
    """Where all training images are one square they were brought to it: a film's own shape is no
    reason for a warning, a strip is."""
    facts = {"sizes": {"224x224": 5824}}
    film = np.full((1000, round(1000 * ratio)), 100, np.uint8)
    assert ("pressed into a square" in warned(film, facts)) == told


def test_what_is_learned_is_the_same_at_every_size():
    def learned(size):
        return predict_likeness.learn(phantoms(0, 40, size)[:, None], np.arange(40) % 2)

    small, large = learned(64), learned(192)
    means = phantoms(0, 40, 64).mean((1, 2))
    expected = np.percentile(means, [0.5, 50, 99.5])
    np.testing.assert_allclose(small["brightness"], expected, atol=0.01)
    for name in ("brightness", "contrast"):
        np.testing.assert_allclose(small[name], large[name], rtol=0.05, atol=0.5)
    assert "films" not in small, "too few to learn from"


def test_average_films_are_those_of_the_classes(facts):
    normal, pneumonia = predict_likeness.average_films(facts, SIZE)
    films = phantoms(0, 300, SIZE).astype(float)
    np.testing.assert_allclose(normal, films[::2].mean(0), atol=2)
    np.testing.assert_allclose(pneumonia, films[1::2].mean(0), atol=2)
    assert (predict_likeness.average_films({}, 8) == 127.5).all()


def test_what_the_record_of_study_holds_is_read():
    """Its data.json was written by an earlier version, and is not made anew."""
    path = next((ROOT / "report" / "results").glob("chest-xray-224-*/data.json"))
    facts = results.read_json(path)
    normal, pneumonia = predict_likeness.average_films(facts, SIZE)
    assert 80 < normal.mean() < 150 and 80 < pneumonia.mean() < 150
    normal = np.rint(normal).astype(np.uint8)
    assert predict_likeness.unlike(data_images.resize(normal, 224), 0.0, facts, 128) == []
    told = " ".join(predict_likeness.unlike(255 - normal, 0.0, facts, 128))
    assert "distance" in told and "longer side" in told

"""Baselines and changed films find a shortcut planted in phantoms, and none where none is."""

from dataclasses import replace

import numpy as np
import pytest
from samples import encode, phantoms

from xray import baselines, changes, engine, intervals, models
from xray.data import Split
from xray.specs import MODELS

SIZE, COUNT = 32, 480  # of films
INDEX = {"train": np.arange(280), "validation": np.arange(280, 360), "test": np.arange(360, COUNT)}
TEST = INDEX["test"]


@pytest.fixture
def films():
    """uint8 (COUNT, SIZE, SIZE) and their labels, half of them 1, without a shortcut."""
    return phantoms(0, COUNT, SIZE), np.arange(COUNT) % 2


def with_marker(films, labels):
    """A bright square in the upper left corner of films with pneumonia."""
    planted = films.copy()
    planted[labels == 1, 1:4, 1:4] = 255
    return planted


def with_darker_border(films, labels):
    """The outermost pixels of films with pneumonia are darker."""
    planted, ring = films.copy(), baselines.ring_mask(SIZE, 0.01)
    planted[labels == 1] = np.where(ring, planted[labels == 1] // 2 + 1, planted[labels == 1])
    return planted


def area(name, films, labels):
    """Test AUC of a baseline, and its 95 % interval."""
    found = baselines.fit(baselines.BASELINES[name](films), labels, INDEX)
    value = intervals.influence(found["test"], labels[TEST])["roc_auc"][0]
    return value, *intervals.of_model(found["test"], labels[TEST])["roc_auc"]


def test_baselines_find_a_marker(films):
    planted = with_marker(*films)
    assert area("corners", planted, films[1])[1] > 0.9
    assert area("outside the lung box", planted, films[1])[1] > 0.9


def test_baselines_find_a_darker_border(films):
    planted = with_darker_border(*films)
    assert area("1 % ring", planted, films[1])[1] > 0.8


def test_baselines_find_nothing_where_nothing_is(films):
    for name in ("class prior", "corners", "1 % ring"):
        value, low, high = area(name, *films)
        assert low <= 0.5 <= high and value < 0.65, name
    assert area("lung box alone", *films)[1] > 0.6  # the phantoms' pneumonia is in the lungs


def test_baselines_answer_for_other_films_as_for_their_own_and_are_misled(films):
    planted, labels = with_marker(*films), films[1]
    fitted = {
        name: baselines.fit(baselines.BASELINES[name](planted), labels, INDEX)
        for name in ("histogram", "corners", baselines.CURVE)
    }
    again = baselines.elsewhere(fitted, planted[TEST], None)
    for name, one in fitted.items():
        assert np.allclose(again[name], one["test"], atol=1e-3), name
    elsewhere = with_marker(films[0], 1 - labels)  # there it marks the normal films
    misled = baselines.elsewhere(fitted, elsewhere[TEST], None)["corners"]
    assert intervals.influence(misled, labels[TEST])["roc_auc"][0] < 0.1


def test_files_whose_header_is_not_an_images_have_no_such_baseline():
    files = [encode(np.zeros((6, 9), np.uint8), "JPEG"), bytes(128) + b"DICM"]
    assert baselines.headers(files[:1])[0, :4].tolist() == [len(files[0]), 9, 6, 1]
    assert baselines.headers(files) is None


def trained(films, labels):
    """A linear model of the paper, trained for a few epochs."""
    spec = replace(MODELS["20"], epochs=31)
    module = models.build(spec, SIZE)
    parts = [
        engine.place(Split(films[INDEX[part]][:, None], labels[INDEX[part]], []))
        for part in ("train", "validation")
    ]
    optimizer = engine.make_optimizer(module, spec, 400.0)
    list(engine.fit(module, optimizer, spec, *parts, seed=0))
    return module


def moved(films, labels, name):
    """The change in AUC of a model trained on such films under a change of the test films."""
    mean = films[INDEX["train"]].mean(0).round().astype(np.uint8)
    modules = {MODELS["20"]: trained(films, labels)}
    [logits] = changes.answers(modules, films[TEST], labels[TEST], mean).values()
    before = [logits[changes.UNCHANGED]]
    return {
        key: intervals.of_difference([logits[key]], before, labels[TEST])["roc_auc"] for key in name
    }


OTHER, SAME = "outer 10 % of the other class", "outer 10 % of the same class"


@pytest.mark.parametrize("plant", [with_marker, with_darker_border])
def test_changed_films_find_a_shortcut(films, plant):
    found = moved(plant(*films), films[1], (OTHER, SAME, "JPEG of quality 50"))
    assert found[OTHER][2] < -0.05, found  # part of the answer goes with the ring
    for name in (SAME, "JPEG of quality 50"):
        assert max(map(abs, found[name])) < 0.02, found


def test_changed_films_find_none_where_there_is_none(films):
    found = moved(*films, (OTHER, SAME, "lung box of the other class"))
    assert found[OTHER][1] > -0.02, found  # no part of the answer goes with the ring
    assert found["lung box of the other class"][2] < -0.5, found  # what it sees is in there


def test_parts_of_a_film():
    ring, box = baselines.ring_mask(20, 0.1), baselines.box_mask(20)
    corners = baselines.corners_mask(20)
    assert ring.sum() == 20**2 - 16**2 and not ring[2:-2, 2:-2].any()
    assert box[1:18, 1:19].all() and box.sum() == 17 * 18
    assert corners.sum() == 4 * 9 and corners[0, 0] and corners[-1, -1] and not corners[0, 10]
    images = np.zeros((2, 64, 64), np.uint8)
    images[1, 0, 0] = 200
    assert baselines.thumbnail(images, 4).tolist() == [[0] * 16, [200 / 256] + [0] * 15]
    shown = baselines.region(images, baselines.ring_mask(64, 0.01))
    assert shown.shape == (2, 124) and shown[1, 0] == 50 and not shown[1, 1:].any()
    assert not baselines.region(images, baselines.box_mask(64)).any()


def test_changes_are_what_they_say():
    films = np.random.default_rng(0).integers(0, 255, (6, 40, 40)).astype(np.uint8)
    labels, mean = np.array([0, 1, 0, 1, 1, 1]), np.full((40, 40), 7, np.uint8)
    made = {name: change() for name, change in changes.every(films, labels, mean).items()}
    assert all(one.shape == films.shape and one.dtype == np.uint8 for one in made.values())
    assert (made[changes.UNCHANGED] == films).all()
    assert (made["shifted 5 % to the right"][:, :, 2:] == films[:, :, :-2]).all()
    assert (made["shifted 5 % down"][:, 2:] == films[:, :-2]).all()
    gone = made["outer 10 % taken away"]
    assert (gone[:, :4] == 7).all() and (gone[:, 4:-4, 4:-4] == films[:, 4:-4, 4:-4]).all()
    swapped = made["outer 10 % of the other class"]
    assert (swapped[:, 4:-4, 4:-4] == films[:, 4:-4, 4:-4]).all()
    for row, film in enumerate(swapped):
        [donor] = [n for n in range(6) if (film[0] == films[n, 0]).all()]
        assert labels[donor] != labels[row]


def test_of_difference_is_zero_for_the_same_logits_and_finds_a_gap():
    random = np.random.default_rng(0)
    labels = np.arange(400) % 2
    good = [labels * 2 - 1 + random.normal(0, 1, 400) for _ in range(3)]
    bad = [random.normal(0, 1, 400)]
    assert intervals.of_difference(good[:1], good[:1], labels)["accuracy"] == (0, 0, 0)
    gap, low, high = intervals.of_difference(good, bad, labels)["roc_auc"]
    assert 0.3 < low < gap < high < 0.6
    back = intervals.of_difference(bad, good, labels)["roc_auc"]
    assert np.allclose(back, (-gap, -high, -low))

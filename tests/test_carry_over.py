"""Films with equal grey levels, and what carries over with them: a shortcut of grey levels that is
planted in phantoms is gone."""

from dataclasses import replace

import numpy as np
import pytest
import records as made_up
import report_world
from samples import phantoms

from xray import carry_over, changes, external, models, report, report_carry, study
from xray.baselines import thumbnail
from xray.equalise import as_seen, equalise
from xray.specs import KNOWN, PLAIN

SIZE, COUNT = 32, 360
INDEX = {"train": np.arange(200), "validation": np.arange(200, 280), "test": np.arange(280, COUNT)}


@pytest.fixture(scope="module")
def films():
    """uint8 (COUNT, SIZE, SIZE), half of them with pneumonia, and their labels."""
    return phantoms(0, COUNT, SIZE), np.arange(COUNT) % 2


def test_each_film_has_all_greys_equally_often(films):
    equal = equalise(films[0])
    assert equal.dtype == np.uint8 and equal.shape == films[0].shape
    counts = np.array([np.bincount(film.ravel(), minlength=256) for film in equal])
    assert (counts == SIZE**2 // 256).all()
    odd = equalise(films[0][:3, None, :30, :30])
    counts = np.bincount(odd[0].ravel(), minlength=256)
    assert odd.shape == (3, 1, 30, 30) and counts.min() >= 3 and counts.max() <= 4


def test_a_darker_pixel_never_becomes_the_brighter_one(films):
    film, equal = films[0][0].ravel(), equalise(films[0][:1])[0].ravel()
    order = np.argsort(equal, kind="stable")
    assert (np.diff(film[order].astype(int)[:: SIZE**2 // 256]) >= 0).all()


def test_what_keeps_the_order_of_greys_changes_nothing(films):
    half = films[0] // 2
    assert (equalise(half) == equalise(half * 2)).all()
    assert (equalise(half) == equalise(half + 100)).all()
    assert (equalise(films[0][5:6]) == equalise(films[0])[5:6]).all()  # of the film alone
    assert (equalise(equalise(half)) == equalise(half)).all()


def test_brightness_that_loses_greys_hardly_moves_a_thumbnail(films):
    darker = (films[0] * 0.8).astype(np.uint8)
    before, after = (thumbnail(equalise(one), 4) for one in (films[0], darker))
    assert (
        np.abs(before - after).mean()
        < 1
        < np.abs(thumbnail(films[0], 4) - thumbnail(darker, 4)).mean()
    )


def test_brightness_moves_no_model_of_equal_greys(films):
    """Greys that are a multiple of five stay apart when they are darker by a fifth."""
    images, labels = films[0][:20] // 5 * 5, films[1][:20]
    modules = {KNOWN[name]: models.build(KNOWN[name], SIZE, 0).eval() for name in ("20", "39")}
    plain, equal = changes.answers(modules, images, labels, images[0]).values()
    darker = "darker by 20 %"
    assert (equal[darker] == equal[changes.UNCHANGED]).all()
    assert (plain[darker] != plain[changes.UNCHANGED]).all()


def test_an_even_area_gets_no_ramp():
    film = np.zeros((1, 64, 64), np.uint8)
    film[:, :, 32:] = 200
    left = equalise(film)[0, :, :32].astype(float)
    assert left.max() < 128 and np.abs(left.reshape(4, 16, 32).mean((1, 2)) - left.mean()).max() < 6


def test_a_model_is_shown_what_its_spec_says(films):
    assert as_seen(KNOWN["20"], films[0]) is films[0]
    assert (as_seen(KNOWN["39"], films[0]) == equalise(films[0])).all()
    for name, plain in PLAIN.items():
        assert replace(KNOWN[plain], id=name, equalise=True) == KNOWN[name]


@pytest.fixture(scope="module")
def both(films):
    """What carries over where films with pneumonia are darker here, and brighter elsewhere."""
    images, labels = films
    darker = images.copy()
    darker[labels == 1] = (darker[labels == 1] * 0.6).astype(np.uint8)
    brighter = images.copy()
    brighter[labels == 0] = (brighter[labels == 0] * 0.6).astype(np.uint8)
    owners = [row // 2 for row in range(COUNT)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carry_over, "CELLS", (8,))
        found = carry_over.both_ways(darker, labels, INDEX, brighter[::-1], labels[::-1], owners)
    test = labels[INDEX["test"]]
    return carry_over.areas(found, test, [], labels[::-1], owners).set_index(
        ["learned", "cells", "equalised"]
    )


def test_equal_greys_take_a_planted_shortcut_away(both):
    for learned in ("here", "there"):
        plain, equal = both.loc[(learned, 8, False)], both.loc[(learned, 8, True)]
        assert plain.home > 0.95 and plain.away < 0.1, "it learned the shortcut, which misleads"
        assert equal.away > 0.8 and equal.gain_low > 0.5
        assert equal.gain == pytest.approx(equal.away - plain.away)
        assert plain.gain == 0


def test_what_was_learned_elsewhere_is_judged_on_other_patients(monkeypatch):
    monkeypatch.setattr(carry_over, "CELLS", (4, 32))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (120, 64, 64)).astype(np.uint8)
    labels = np.repeat(np.arange(60) % 2, 2)
    images[1::2] = images[::2]  # each patient has one film twice, and no film tells the class
    owners = [row // 2 for row in range(120)]
    index = {"train": np.arange(80), "validation": np.arange(80, 100), "test": np.arange(100, 120)}
    found = carry_over.both_ways(images, labels, index, images, labels, owners)
    for one in found:
        low, high = external.scores(one["own"], labels, 0.0, owners)["roc_auc"][1:]
        assert low < 0.5 < high or high < 0.5, one["cells"]


def test_the_section_shows_models_and_thumbnails_with_their_twins(tmp_path):
    """A study of models 20 and 39, whose films are ranked better elsewhere when equalised."""
    folder = tmp_path / "results"
    facts = report_world.facts(validation=120, test=60)
    facts["paths"][-60:] = [f"person{n}_virus_1.png" for n in range(60)]
    for model in ("20", "39"):
        for seed in range(2):
            made_up.save(folder, made_up.run(model, seed), facts)
    [place] = folder.glob("*")
    name = next(iter(study.in_order(folder)))
    assert not report_carry.carry_table(study.read(folder, name)).size
    made_up.shortcuts(place, validation=120, test=60)
    random, labels = np.random.default_rng(0), np.arange(80) % 2
    noise, home = random.normal(size=80), made_up.labels(60) + random.normal(0, 0.3, 60)
    found = [
        {"cells": 4, "equalised": equal, "home": home, "elsewhere": noise + 3 * equal * labels}
        | {"own": noise + labels, "back": home}
        for equal in (False, True)
    ]
    about = {"image_size": 640, "weights": "", "cut": 0.0, "temperature": 1.0}
    models = [
        about | {"model": model, "seed": seed, "logits": noise + 2 * (model == "39") * labels}
        for model in ("20", "39")
        for seed in range(2)
    ]
    record = {"split": "given", "fingerprint": "", "labels": labels, "patients": list(range(80))}
    record |= {"columns": {"view": ["AP", "AP", "PA", "PA"] * 20}, "models": models}
    external.write(place, "there", record | {"baselines": {}, "carry_over": found})
    item = report_carry._carry_over(study.read(folder, name))
    assert [row["What"] for row in item.table] == ["thumbnail 4×4"] * 2 + ["model 20"]
    assert item.data.groupby("family").runs.unique().to_dict() == {"": [1], "Linear": [2]}
    assert item.numbers["models_here"]["surely"] == item.numbers["thumbnails_here"]["surely"] == 1
    assert item.numbers["thumbnails_there"]["surely"] == 0
    assert "→" in item.table[0]["Elsewhere, AP"] and item.table[0]["Gain"].startswith("+")
    assert item.picture.get_axes()[0].get_title(loc="left") == "Learned on this study's films"
    both = record | {"baselines": {}, "carry_over": found}
    for shown in (both, both | {"models": []}, both | {"carry_over": []}):
        external.write(place, "there", shown)
        text = report.markdown(report.Report(study.read(folder, name)), ["6-carry-over.md"])
        assert ("Logistic regression on thumbnails" in text) == bool(shown["carry_over"])

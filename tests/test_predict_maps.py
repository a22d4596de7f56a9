"""What drove a prediction adds up to it, comes from the weights, and is drawn in the right
colours."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from samples import phantoms
from scipy.stats import spearmanr

from xray import engine, models, predict, predict_likeness
from xray import predict_maps as maps
from xray.specs import MODELS

SIZE = 16
FILMS = phantoms(0, 40, SIZE)
LABELS = np.arange(40) % 2
SEEN = {"intensity": predict_likeness.learn(FILMS[:, None], LABELS)}
AVERAGES = predict_likeness.average_films(SEEN, SIZE)


@pytest.fixture(scope="module")
def trained():
    """id -> a module that tells the phantoms' classes apart: a few steps at a large rate."""
    found = {}
    for name in ("20", "21", "11"):
        module = models.build(MODELS[name], SIZE, seed=1)
        optimizer = torch.optim.Adam(module.parameters(), 2e-2)
        images = torch.from_numpy(FILMS[:, None]).float() / 255
        for _ in range(100):
            logits = maps.score(MODELS[name], module, images)
            target = torch.from_numpy(LABELS).float()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert ((logits > 0) == (target > 0)).float().mean() > 0.8
        found[name] = module.requires_grad_(False).eval()
    return found


@pytest.mark.parametrize("name", ["20", "2", "21", "7", "11", "13"])
def test_contributions_add_up_to_the_score_over_the_baselines(name):
    module = models.build(MODELS[name], SIZE, seed=2)
    base = maps.baseline(MODELS[name], module, AVERAGES, 0.1)
    for film in FILMS[:3]:
        values = maps.contributions(MODELS[name], module, film, base)
        end = maps.score(MODELS[name], module, torch.from_numpy(film[None, None] / np.float32(255)))
        assert values.shape == (SIZE, SIZE) and np.abs(values).max() > 0
        tolerance = 1e-5 if MODELS[name].family == "Linear" else 0.01
        assert values.sum() == pytest.approx(end.item() - base.score, abs=tolerance)


@pytest.mark.parametrize("name", ["0", "2"])
def test_a_linear_nets_contributions_are_exact(name):
    """A pixel's is what putting the baseline's pixel in its place takes away."""
    module = models.build(MODELS[name], SIZE, seed=3)
    base = maps.baseline(MODELS[name], module, AVERAGES, 0.0)
    values = maps.contributions(MODELS[name], module, FILMS[0], base)
    film = FILMS[0] / 255
    changed = film.copy()
    changed[5, 7] = base.film[5, 7]
    module.double()
    whole, without = (module(torch.from_numpy(x)[None, None]).item() for x in (film, changed))
    assert whole - without == pytest.approx(values[5, 7], rel=1e-4)


@pytest.mark.parametrize("name", ["20", "21", "11"])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_map_agrees_with_the_decision(trained, name, threshold):
    spec, module = MODELS[name], trained[name]
    base = maps.baseline(spec, module, AVERAGES, threshold)
    assert base.score == pytest.approx(threshold, abs=1e-3) and "undecided" in base.what
    logits = predict.logits(module, FILMS[:, None])
    for film, logit in zip(FILMS, logits):
        total = maps.contributions(spec, module, film, base).sum()
        assert (total > 0) == (logit > threshold)


@pytest.mark.parametrize("name", ["20", "21", "11"])
def test_random_weights_give_another_map(trained, name):
    """The check of Adebayo et al. 2018; weights that are nearly the same give nearly the same."""
    spec, module = MODELS[name], trained[name]

    def maps_of(other):
        base = maps.baseline(spec, other, AVERAGES, 0.0)
        return np.concatenate([maps.contributions(spec, other, x, base).ravel() for x in FILMS[:4]])

    near = models.build(spec, SIZE)
    near.load_state_dict({key: value * 1.01 for key, value in module.state_dict().items()})
    alike = [
        spearmanr(maps_of(module), maps_of(other.requires_grad_(False))).statistic
        for other in (near, *(models.build(spec, SIZE, seed) for seed in (7, 8, 9)))
    ]
    assert alike[0] > 0.95 and np.mean(alike[1:]) < 0.5, alike


def test_an_mlp_that_shuts_an_image_off_still_has_a_map():
    module = models.build(MODELS["21"], SIZE, seed=0)
    with torch.no_grad():
        module.layer_stack[3].bias.fill_(-9)
    base = maps.baseline(MODELS["21"], module, AVERAGES, 0.0)
    assert base.score < -5 and base.what == "the average training film"
    values = maps.contributions(MODELS["21"], module, FILMS[1], base)
    assert engine.predict(module, torch.from_numpy(FILMS[1][None, None]))[0] == 0
    assert np.abs(values).max() > 0


def test_an_mlp_without_its_last_relu_is_explained_by_its_logit():
    spec = replace(MODELS["21"], last_relu=False)
    module = models.build(spec, SIZE, seed=0)
    films = torch.from_numpy(FILMS[:4, None]).float() / 255
    assert torch.equal(maps.score(spec, module, films), module(films))


def test_a_sum_that_does_not_come_out_is_no_map():
    module = models.build(MODELS["11"], SIZE, seed=2)
    base = maps.baseline(MODELS["11"], module, AVERAGES, 0.1)
    with pytest.raises(ValueError, match="do not add up"):
        maps.contributions(MODELS["11"], module, FILMS[0], base._replace(score=base.score + 1))


def test_a_map_is_red_where_the_score_rises_and_blue_where_it_falls():
    values = np.zeros((SIZE, SIZE))
    values[:, :5], values[:, -5:] = 1, -1
    shown = maps.thumbnail(np.full((50, 100), 120, np.uint8))
    assert shown.shape == (300, 600)
    drawn = maps.draw_map(shown, values, ["title", "sums", "note"], "no chest film")
    picture = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"), int)
    left, right = picture[8:308, 8:608], picture[8:308, 616:1216]
    assert (left == 120).all()
    assert right[150, 40, 0] > right[150, 40, 2] + 60
    assert right[150, 560, 2] > right[150, 560, 0] + 60
    assert np.ptp(right[150, 300]) < 10  # nothing in the middle
    lines = picture[330:]
    assert ((lines[..., 0] > 150) & (lines[..., 1] < 50)).any(), "the warning is not red"
    blank = maps.draw_map(shown, np.zeros((SIZE, SIZE)), ["a dead model"])
    assert blank.startswith(b"\x89PNG")

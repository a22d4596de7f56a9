"""What drove a prediction adds up to it, and is drawn in the right colours."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from xray import data_phantoms, models, predict, predict_export, predict_inputs
from xray.specs import MODELS

SIZE = 16


@pytest.mark.parametrize("name", ["20", "2", "21", "7", "11", "13"])
def test_contributions_add_up_to_the_logit(name):
    pixels = np.stack([data_phantoms.draw(number, True, SIZE) for number in range(3)])[:, None]
    module = models.build(MODELS[name], SIZE, seed=2)
    values, rest = predict_export.contributions(MODELS[name], module, pixels)
    total = values.sum((1, 2), dtype=np.float64) + rest
    assert values.shape == (3, SIZE, SIZE) and np.abs(values).max() > 0
    logits = predict.logits(module, pixels)
    np.testing.assert_allclose(
        np.maximum(total, 0) if name in ("21", "7") else total, logits, atol=1e-5
    )


@pytest.mark.parametrize("name", ["0", "2"])
def test_a_linear_nets_contribution_is_what_blackening_a_pixel_takes_away(name):
    module = models.build(MODELS[name], SIZE, seed=3)
    pixels = np.random.default_rng(0).integers(1, 256, (1, 1, SIZE, SIZE), dtype=np.uint8)
    values, _ = predict_export.contributions(MODELS[name], module, pixels)
    black = pixels.copy()
    black[0, 0, 5, 7] = 0
    with torch.no_grad():
        module.double()
        change = [module(torch.from_numpy(x).double() / 255).item() for x in (pixels, black)]
    assert change[0] - change[1] == pytest.approx(values[0, 5, 7], rel=1e-5)


def test_an_mlp_that_shuts_an_image_off_still_has_a_map():
    module = models.build(MODELS["21"], SIZE, seed=0)
    with torch.no_grad():
        module.layer_stack[3].bias.fill_(-9)
    pixels = data_phantoms.draw(1, True, SIZE)[None, None]
    values, rest = predict_export.contributions(MODELS["21"], module, pixels)
    assert predict.logits(module, pixels)[0] == 0 and np.abs(values).max() > 0
    assert values.sum() + rest[0] < -5


def test_a_map_is_red_where_the_score_rises_and_blue_where_it_falls():
    values = np.zeros((SIZE, SIZE))
    values[:, :5], values[:, -5:] = 1, -1
    shown = predict_inputs.thumbnail(np.full((50, 100), 120, np.uint8))
    assert shown.shape == (300, 600)
    drawn = predict_export.draw_map(shown, values, "title", "note")
    picture = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"), int)
    left, right = picture[8:308, 8:608], picture[8:308, 616:1216]
    assert (left == 120).all()
    assert (right[150, 40, 0] > right[150, 40, 2] + 60) and (
        right[150, 560, 2] > right[150, 560, 0] + 60
    )
    assert np.ptp(right[150, 300]) < 10  # nothing in the middle
    blank = predict_export.draw_map(shown, np.zeros((SIZE, SIZE)), "a dead model", "")
    assert blank.startswith(b"\x89PNG")

"""What is said and drawn of first-layer weights."""

import io

import numpy as np
import pytest
from PIL import Image

from xray import report_weights

SIZE = 160


def marked(top: int, left: int, sign: float = 1) -> np.ndarray:
    """Broad hills with fine noise, and a small mark."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    values = np.sin(5 * x) * np.cos(4 * y) + 0.1 * random.normal(size=(SIZE, SIZE))
    values[top : top + 4, left : left + 4] += 3 * sign
    return values


@pytest.mark.parametrize("top, left, sign, outside", [(78, 2, -1, True), (70, 70, 1, False)])
def test_the_sharpest_spot_is_found_whatever_the_hills(top, left, sign, outside):
    spot = report_weights.find_spot(marked(top, left, sign))
    assert abs(spot.top * SIZE - top - 2) < 2 and abs(spot.left * SIZE - left - 2) < 2
    assert spot.positive == (sign > 0) and spot.outside == outside
    assert spot.deviations > report_weights.SHARP


def test_noise_and_nothing_have_no_spot():
    assert report_weights.find_spot(np.random.default_rng(2).normal(size=(SIZE, SIZE))) is None
    assert report_weights.find_spot(np.zeros((SIZE, SIZE))) is None


def test_the_frames_share():
    assert report_weights.frame_share(np.ones((20, 20))) == pytest.approx(1 - 0.8**2)
    inner = np.zeros((20, 20))
    inner[5:15, 5:15] = -2
    assert report_weights.frame_share(inner) == 0
    assert report_weights.frame_share(np.zeros((20, 20))) == 1 - 0


def test_a_map_is_blue_below_0_and_red_above_and_gives_its_numbers_back():
    values = np.linspace(-2, 2, 64).reshape(8, 8)
    content = report_weights.diverging(values, 2)
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), int)
    assert picture[0, 0, 2] > picture[0, 0, 0] + 50 and picture[-1, -1, 0] > picture[-1, -1, 2] + 50
    np.testing.assert_allclose(report_weights._values(content, 2), values, atol=2 / 64 + 1e-9)


def test_over_a_phantom_a_map_shows_both_and_a_ring():
    values = np.zeros((SIZE, SIZE))
    values[:, :40], values[:, -40:] = -1, 1
    film = Image.open(io.BytesIO(report_weights.over_phantom(values, 1, None))).convert("RGB")
    picture = np.asarray(film, int)
    assert (picture[:, :40, 2] > picture[:, :40, 0] + 30).all()
    assert (picture[:, -40:, 0] > picture[:, -40:, 2] + 30).all()
    assert np.ptp(picture[:, 60:100], axis=2).max() < 25  # the film, gray
    spot = report_weights.Spot(0.5, 0.5, 9.0, True)
    ringed = Image.open(io.BytesIO(report_weights.over_phantom(values, 1, spot))).convert("RGB")
    assert (np.asarray(ringed) == (255, 214, 10)).all(2).sum() > 40

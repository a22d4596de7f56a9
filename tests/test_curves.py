"""Curve statistics on made-up curves that go each way."""

import math

import numpy as np
import pytest

from xray import curves

FALL = np.exp(-np.arange(12) / 3)
ZIGZAG = np.tile([1.0, -1.0], 6)


def test_level_is_the_last_third():
    assert curves.level([0] * 6 + [1] * 3) == 1
    assert curves.level(range(10)) == 7.5  # 4 of 10
    assert curves.level([5]) == 5 and curves.level([1, 3]) == 3


def test_average_is_lower_for_the_faster_fall():
    assert curves.average(FALL) < curves.average(np.exp(-np.arange(12) / 6))
    assert curves.average([1, 2, 6]) == 3


def test_oscillation():
    assert (
        curves.oscillation(FALL) == curves.oscillation(-FALL) == curves.oscillation(5 * FALL) == 0
    )
    assert curves.oscillation(0.1 * ZIGZAG) == pytest.approx(0.2)
    assert curves.oscillation([0, 1, 3, 2]) == pytest.approx((0 + 1) / 2)
    bend = np.abs(np.arange(-10, 11))  # falls, then rises: one turn
    assert curves.oscillation(bend) == pytest.approx(1 / 19)
    assert curves.oscillation([1, 2]) == 0
    assert curves.oscillation(FALL + 0.1 * ZIGZAG) > curves.oscillation(FALL + 0.02 * ZIGZAG)


def test_trend():
    assert curves.trend([9, 9, 9, 3, 2, 1]) == pytest.approx(-2)
    assert curves.trend([0, 9, 1, 1, 1]) != 0 and curves.trend([0, 9, 1, 1]) == pytest.approx(0)
    assert curves.trend([1, 2, 3, 4]) == pytest.approx(1) and curves.trend([4]) == 0


def test_shape_difference():
    assert curves.shape_difference(FALL, FALL + 5) == pytest.approx(0)
    assert curves.shape_difference([0, 0, 0, 0], [0, 0, 2, 2]) == 1
    assert curves.shape_difference([3, 1], [3, 1, 100]) == 0  # over the epochs that both have


def test_relative():
    assert curves.relative(2, 1) == pytest.approx(2 / 3) == -curves.relative(1, 2)
    assert curves.relative(0, 0) == 0 and curves.relative(1, 0) == 2


def test_shared():
    a, b = curves.shared([1, 2, 3], [4, 5])
    assert a.tolist() == [1, 2] and b.tolist() == [4, 5]


def history(accuracy, loss):
    return {"train_accuracy": accuracy, "train_loss": loss}


@pytest.mark.parametrize(
    "accuracy, loss, expected",
    [
        ([0.7, 0.8, 0.9], [0.6, 0.4, 0.3], True),
        ([0.7, 0.73, 0.74], [0.6, 0.59, 0.58], False),  # the larger class and no more
        ([0.27, 0.27, 0.27], [math.log(2)] * 3, False),  # a dead ReLU
        ([0.7, 0.8, 0.9], [0.6, 0.7, 0.8], False),  # the loss grew
        ([0.9, 0.9, 0.7], [0.3, 0.2, 0.2], False),  # was there once
    ],
)
def test_converged(accuracy, loss, expected):
    assert curves.converged(history(accuracy, loss), 0.73) is expected


def test_an_empty_curve_is_refused():
    for function in (curves.level, curves.average, curves.oscillation, curves.trend):
        with pytest.raises(ValueError):
            function([])

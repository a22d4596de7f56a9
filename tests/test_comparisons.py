"""Scores over re-splits of made-up runs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from test_claims import made

from xray import comparisons

SHARE = 582 / 4077


def dead(model):
    run = made(model)
    return replace(run, logits={part: 0 * values for part, values in run.logits.items()})


def test_runs_that_diverged_have_no_row():
    assert comparisons.compare({}, {"image-0": {"20": [made("20", diverged=True)]}}, SHARE) == []


def splits(by_patient):
    found = {}
    for n in range(10):
        right = {"image": (395 + n, 142), "patient": (by_patient + n, 142)}
        for protocol, counts in right.items():
            runs = {model: [made(model, right=counts)] for model in ("20", "21")}
            found[f"{protocol}-{n}"] = runs
    return found


def test_resplits_that_differ():
    given = {"20": [made("20", right=(400, 142))]}
    found = comparisons.compare(given, splits(by_patient=350), SHARE)
    rows = {(row.model, row.score): row for row in found}
    assert set(rows) == {(model, score) for model in ("20", "21") for score in ("accuracy", "f1")}
    row = rows["20", "accuracy"]
    assert row.given == pytest.approx(542 / 582) and math.isnan(rows["21", "accuracy"].given)
    assert len(row.sides["image"]) == len(row.sides["patient"]) == 10
    assert row.gap == pytest.approx(45 / 582) and row.p < 1e-3
    # the paper's 400 of 411: five splits (395-399) are below, one ties
    assert row.percentile == pytest.approx(0.55)
    # Nadeau and Bengio: 1/J + test/train in place of 1/J, once a side
    error = math.sqrt(2 * (1 / 10 + SHARE) * np.var(np.arange(10), ddof=1)) / 582
    assert row.error == pytest.approx(error)
    assert row.low < row.gap < row.high
    # with 18 degrees of freedom: the 97.5 % point of Student's t is 2.101, the 80 % point 0.862
    assert row.high - row.gap == pytest.approx(2.101 * error, rel=1e-3)
    assert row.detectable == pytest.approx((2.101 + 0.862) * error, rel=1e-3)


def test_resplits_that_do_not():
    assert all(
        row.p > 0.9 and abs(row.gap) < 1e-9 for row in comparisons.compare({}, splits(395), 0)
    )
    accuracy, f1 = comparisons.compare({}, {"image-0": {"20": [made("20")]}}, SHARE)
    assert math.isnan(accuracy.p) and math.isnan(f1.gap) and len(accuracy.sides["image"]) == 1


def test_runs_that_learned_nothing_are_counted_apart():
    found = {
        "image-0": {"21": [made("21", right=(400, 142)), dead("21")]},
        "image-1": {"21": [dead("21"), dead("21")]},
        # all but dead: three pneumonias found; and one that calls all pneumonia
        "image-2": {"21": [made("21", right=(3, 171)), made("21", right=(411, 0))]},
        "patient-0": {"21": [made("21", right=(390, 142))]},
    }
    accuracy, _ = comparisons.compare({"21": [dead("21")]}, found, SHARE)
    assert accuracy.lost == {"image": (5, 6), "patient": (0, 1)}
    assert list(accuracy.sides["image"]) == pytest.approx([542 / 582])
    assert math.isnan(accuracy.given)


def test_equal_scores_everywhere_say_so():
    same = np.full(4, 0.9)
    assert comparisons.corrected_test(same, same, SHARE)["p"] == 1
    assert comparisons.corrected_test(same, same - 0.1, SHARE)["p"] == 0
    assert comparisons.corrected_test(same[:1], same, SHARE) == {}

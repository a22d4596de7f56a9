"""Scores over re-splits of made-up runs, and how much of a score is luck."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from claim_world import made, study

from xray import comparisons, paper
from xray.study import test_share as share_of  # not a test of this module

SHARE = share_of(study({}))


def dead(model):
    run = made(model)
    return replace(run, logits={part: 0 * values for part, values in run.logits.items()})


def resplits(given, splits):
    return comparisons.resplits(study(given, splits)).set_index(["model", "score"])


def test_runs_that_diverged_have_no_row():
    assert resplits({}, {"image-0": {"20": [made("20", diverged=True)]}}).empty


def splits(by_patient):
    found = {}
    for n in range(10):
        right = {"image": (395 + n, 142), "patient": (by_patient + n, 142)}
        for protocol, counts in right.items():
            name = f"{protocol}-{n}"
            runs = {model: [made(model, right=counts, split=name)] for model in ("20", "21")}
            found[name] = runs
    return found


def test_resplits_that_differ():
    found = resplits({"20": [made("20", right=(400, 142))]}, splits(by_patient=350))
    assert set(found.index) == {(m, score) for m in ("20", "21") for score in ("accuracy", "f1")}
    row = found.loc[("20", "accuracy")]
    assert row.given == pytest.approx(542 / 582)
    assert math.isnan(found.given["21", "accuracy"])
    assert len(row.image) == len(row.patient) == 10
    assert row.gap == pytest.approx(45 / 582)
    # Nadeau and Bengio: 1/J + test/train in place of 1/J, once a side
    error = math.sqrt(2 * (1 / 10 + SHARE) * np.var(np.arange(10), ddof=1)) / 582
    # with 18 degrees of freedom: the 97.5 % point of Student's t is 2.101, the 80 % point 0.862
    assert row.high - row.gap == pytest.approx(2.101 * error, rel=1e-3)
    assert row.gap - row.low == pytest.approx(row.high - row.gap)
    assert row.detectable == pytest.approx((2.101 + 0.862) * error, rel=1e-3)


def test_resplits_that_do_not():
    found = resplits({}, splits(395))
    assert (found.low < 0).all() and (found.gap.abs() < 1e-9).all() and (found.high > 0).all()
    one = resplits({}, {"image-0": {"20": [made("20", split="image-0")]}})
    assert one.gap.isna().all() and list(map(len, one.image)) == [1, 1]


def test_runs_that_learned_nothing_are_left_out():
    splits = {
        "image-0": [made("21", right=(400, 142)), dead("21")],
        "image-1": [dead("21"), dead("21")],
        # all but dead: three pneumonias found; and one that calls all pneumonia
        "image-2": [made("21", right=(3, 171)), made("21", right=(411, 0))],
        "patient-0": [made("21", right=(390, 142))],
    }
    runs = {
        name: {"21": [replace(run, split=name) for run in group]} for name, group in splits.items()
    }
    row = resplits({"21": [dead("21")]}, runs).loc[("21", "accuracy")]
    assert list(row.image) == pytest.approx([542 / 582]) and math.isnan(row.given)
    assert list(row.patient) == pytest.approx([532 / 582])


def test_equal_scores_everywhere_say_so():
    same = np.full(4, 0.9)
    found = comparisons.corrected_test(same, same - 0.1, SHARE)
    assert found["low"] == found["gap"] == found["high"] == pytest.approx(0.1)
    assert comparisons.corrected_test(same[:1], same, SHARE) == {}


# ---- luck


def ending(model, seed, ends):
    """A run whose validation accuracy runs through `ends` over the last epochs."""
    run = made(model, seed)
    line = run.history["validation_accuracy"]
    return replace(run, history=run.history | {"validation_accuracy": line[: -len(ends)] + ends})


def test_a_swing_is_of_the_last_third_and_seeds_of_the_last_epoch():
    zigzag = [0.9, 0.8] * 8 + [0.9]  # 17 of 50 epochs
    runs = [ending("22", 0, zigzag), ending("22", 1, [0.7] * 17)]
    [found] = comparisons.swings(study({"22": runs})).itertuples()
    assert found.model == "22" and found.runs == 2 and found.resplits == 0
    assert found.epochs == pytest.approx(np.std(zigzag, ddof=1) / 2)
    assert found.last_epochs == 2 * 16
    assert found.seeds == pytest.approx(np.std([0.9, 0.7], ddof=1))
    assert math.isnan(found.splits) and found.seeds_on_test == 0


def test_dead_runs_are_left_out_and_splits_counted():
    rights = (400, 142), (390, 142), (395, 140)
    others = {
        f"image-{n}": {"21": [made("21", n, right=right, split=f"image-{n}")]}
        for n, right in enumerate(rights)
    }
    [found] = comparisons.swings(study({"21": [made("21"), dead("21")]}, others)).itertuples()
    assert found.runs == 1 and math.isnan(found.seeds)
    scores = [sum(right) / 582 for right in rights]
    assert found.resplits == 3 and found.splits == pytest.approx(np.std(scores, ddof=1))
    assert comparisons.swings(study({"21": [dead("21")]})).empty


def swing(model, epochs, seeds):
    row = {"model": model, "runs": 3, "resplits": 0, "epochs": epochs, "last_epochs": 48}
    return row | {"seeds": 0.0, "seeds_on_test": seeds, "splits": math.nan}


def test_the_papers_differences_are_held_against_the_luck_of_two_runs():
    rows = [swing("26b", 0.03, 0.004), swing("28b", 0.03, 0.004), swing("20", 0.001, 0.002)]
    [row] = comparisons.differences(pd.DataFrame(rows)).itertuples()  # 20 is of another table
    assert (row.table, row.better, row.other) == (25, "26b", "28b")
    theirs = [comparisons.printed(model, "accuracy") for model in ("26b", "28b")]
    assert row.paper == theirs[0] - theirs[1] > 0
    # Student's t: 2 × 48 degrees of freedom are nearly the normal's 1.96, 2 × 2 give 2.776
    assert row.by_epochs == pytest.approx(1.985 * 0.03 * math.sqrt(2), rel=1e-3)
    assert row.by_seeds == pytest.approx(2.776 * 0.004 * math.sqrt(2), rel=1e-3)


def test_pairs_come_by_size_of_the_difference():
    models = [model for group in paper.TABLES.values() for model in group]
    found = comparisons.differences(pd.DataFrame([swing(model, 0.01, 0.01) for model in models]))
    assert len(found) == 15 + 15 + 3
    assert found.paper.is_monotonic_decreasing and found.paper.iloc[-1] >= 0

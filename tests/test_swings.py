"""The luck of the last epoch, of the seed and of the split, against the paper's differences."""

import math

import numpy as np
import pytest
import records

from xray import comparisons, study, swings
from xray.swings import Swing


def history(model, seed, ends):
    """A run whose validation accuracy runs through `ends` over the last epochs."""
    made = records.run(model, seed)
    line = made.history["validation_accuracy"]
    line[-len(ends) :] = ends
    return made


def read(folder, *runs):
    for run in runs:
        records.save(folder, run)
    found = study.read(folder, "made-up-01234567/given")
    return found, comparisons.compare(found.chosen, found.resplits, study.test_share(found))


def test_a_swing_is_of_the_last_third_and_seeds_of_the_last_epoch(tmp_path):
    third = 17  # of 50 epochs
    one = history("22", 0, [0.9, 0.8] * 8 + [0.9])
    other = history("22", 1, [0.7] * third)
    [found] = swings.swings(*read(tmp_path, one, other))
    assert found.model == "22" and found.runs == 2 and found.resplits == 0
    within = np.std([0.9, 0.8] * 8 + [0.9], ddof=1)
    assert found.epochs == pytest.approx(within / 2)
    assert found.seeds == pytest.approx(np.std([0.9, 0.7], ddof=1))
    assert math.isnan(found.splits) and found.seeds_on_test >= 0


def test_dead_runs_are_left_out_and_splits_counted(tmp_path):
    runs = [records.run("21", 0), records.run("21", 1, dead=True)]
    splits = [records.run("21", seed, split=f"image-{seed}") for seed in range(3)]
    [found] = swings.swings(*read(tmp_path, *runs, *splits))
    assert found.runs == 1 and math.isnan(found.seeds)
    scores = [study.on_test(run)["accuracy"] for run in splits]
    assert found.resplits == 3 and found.splits == pytest.approx(np.std(scores, ddof=1), abs=1e-8)


def test_no_runs_no_swings(tmp_path):
    assert swings.swings(*read(tmp_path, records.run("21", 0, dead=True))) == []


def test_the_papers_differences_are_held_against_the_luck_of_two_runs():
    found = [Swing(model, 5, 0.03, 0.0, 0.004, 0, math.nan) for model in ("26b", "28b")]
    found.append(Swing("20", 5, 0.001, 0.0, 0.002, 0, math.nan))  # of another table
    [row] = swings.differences(found)
    assert row.table == 25 and row.models == ("26b", "28b")
    expected = comparisons.printed("26b", "accuracy") - comparisons.printed("28b", "accuracy")
    assert row.paper == expected > 0
    assert row.by_epochs == pytest.approx(1.96 * 0.03 * math.sqrt(2))
    assert row.by_seeds == pytest.approx(1.96 * 0.004 * math.sqrt(2))


def test_pairs_come_by_size_of_the_difference():
    models = [model for group in swings.paper.TABLES.values() for model in group]
    found = [Swing(model, 5, 0.01, 0.01, 0.01, 0, math.nan) for model in models]
    rows = swings.differences(found)
    assert len(rows) == 15 + 15 + 3
    sizes = [row.paper for row in rows]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] >= 0

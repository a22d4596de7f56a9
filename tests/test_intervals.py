"""Intervals against formulas worked by hand, and against what they promise: coverage, simulated."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_metrics import LABELS_20, LOGITS_20

from xray import intervals, metrics

SCORES = ("accuracy", "f1", "recall", "specificity", "roc_auc")


def test_influence_of_a_proportion_is_the_binomials():
    value, parts = intervals.influence(LOGITS_20, LABELS_20)["accuracy"]
    assert value == pytest.approx(542 / 582) and abs(parts.mean()) < 1e-12
    assert parts.var() / 582 == pytest.approx(542 / 582 * 40 / 582 / 582)
    # recall is a proportion of the 411 positives alone
    _, parts = intervals.influence(LOGITS_20, LABELS_20)["recall"]
    assert parts.var() / 582 == pytest.approx(400 / 411 * 11 / 411 / 411)


def test_influence_agrees_with_leaving_an_image_out():
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, 400)
    logits = (random.normal(size=400) + labels).round(1)
    whole = metrics.scores(logits, labels)
    found = intervals.influence(logits, labels)
    for name in (*SCORES, "precision", "npv", "brier"):
        value, parts = found[name]
        assert value == pytest.approx(whole[name], abs=1e-6)
        for image in (0, 17, 250):
            keep = np.arange(400) != image
            without = metrics.scores(logits[keep], labels[keep])[name]
            assert 399 * (value - without) == pytest.approx(parts[image], abs=0.02)


def test_the_ranking_has_delongs_variance():
    logits, labels = np.array([1.0, 2, 2, 3, 5]), np.array([0, 0, 1, 1, 1])
    value, parts = intervals.influence(logits, labels)["roc_auc"]
    assert value == pytest.approx(5.5 / 6)
    # structural components: positives 0.75, 1, 1 and negatives 1, 5/6
    of_positives, of_negatives = np.array([0.75, 1, 1]) - value, np.array([1, 5 / 6]) - value
    variance = (of_positives**2).sum() / 9 + (of_negatives**2).sum() / 4
    assert (parts**2).sum() / 25 == pytest.approx(variance)


def test_scores_without_a_value_have_no_interval():
    found = intervals.of_model(np.zeros(5), np.ones(5, int))
    assert not {"precision", "specificity", "roc_auc"} & set(found) and found["recall"][0] == 0
    low, high = intervals.of_model(np.ones(50), np.ones(50, int))["accuracy"]
    assert high == 1 and low == pytest.approx(1 / (1 + 1.96**2 / 50), abs=1e-4)  # Wilson's at 1


def test_a_perfect_score_is_as_sure_as_its_own_images_are_many():
    """1,000 positives and 10 negatives, all right: Wilson's interval of 10 of 10 is 72 to 100 %."""
    labels = np.repeat([1, 0], [1000, 10])
    found = intervals.of_model(np.where(labels == 1, 2.0, -2.0), labels)
    assert found["specificity"] == pytest.approx((0.7225, 1), abs=1e-4) == found["npv"]
    assert found["roc_auc"] == found["specificity"]  # the smaller class
    assert found["recall"] == pytest.approx((1000 / (1000 + 1.96**2), 1), abs=1e-5) == found["f1"]
    assert found["accuracy"][0] == pytest.approx(1010 / (1010 + 1.96**2), abs=1e-5)
    none = intervals.of_model(np.where(labels == 1, -2.0, 2.0), labels)  # all wrong
    assert none["specificity"] == pytest.approx((0, 0.2775), abs=1e-4)


def test_wilson_by_hand():
    low, high = intervals.wilson(0, 30)
    assert low == 0 and high == pytest.approx(1.96**2 / (30 + 1.96**2), abs=1e-4)
    assert intervals.wilson(12, 30) == pytest.approx((0.2459, 0.5768), abs=1e-4)


def test_a_share_of_runs_that_share_their_starts_counts_starts():
    """Two models from the same 20 starts, of which 8 are dead for both: as sure as 8 of 20 are,
    not as 16 of 40."""
    dead = pd.Series([seed < 8 for seed in range(20)] * 2)
    found = intervals.wilson_of_groups(dead, pd.Series([*range(20)] * 2))
    assert found == (0.4, *intervals.wilson(8, 20), 20)
    dead[20] = False  # of one start one model's run lives
    assert intervals.wilson_of_groups(dead, pd.Series([*range(20)] * 2))[0] == pytest.approx(
        7.5 / 20
    )


def runs_of(random, images, seeds, spread, labels):
    """Logits of runs of different seeds on the same images: what an image adds is shared in part,
    and each run is better or worse as a whole."""
    shared = random.normal(size=images)
    for _ in range(seeds):
        skill = 2.6 + spread * random.normal()
        own = random.normal(size=images)
        yield skill * (labels - 0.4) + 0.8 * shared + 0.6 * own


LABELS = (np.arange(300) < 210).astype(int)


def covered(rounds, of_a_round):
    """The share of rounds whose interval holds the truth, of each score. of_a_round(random): score
    -> (low, high, truth)."""
    random, inside = np.random.default_rng(7), []
    for _ in range(rounds):
        found = of_a_round(random)
        inside.append([found[name][0] <= found[name][2] <= found[name][1] for name in SCORES])
    return dict(zip(SCORES, np.mean(inside, axis=0)))


def test_a_new_run_on_new_images_lands_in_the_interval():
    """Coverage, simulated: 95 % are promised and found, for each score."""

    def of_a_round(random):
        found = intervals.of_new_run(list(runs_of(random, 300, 5, 0.2, LABELS)), LABELS)
        (new,) = runs_of(random, 300, 1, 0.2, LABELS)
        scores = intervals.influence(new, LABELS)
        return {name: (*found[name], scores[name][0]) for name in SCORES}

    coverage = covered(250, of_a_round)
    assert all(0.915 <= share <= 0.985 for share in coverage.values()), coverage


def test_a_difference_of_three_seeds_each_is_covered():
    """Two models that are alike, three seeds each, whose seeds matter more than the images: the
    interval holds 0 in 96 or 97 of 100 cases (with the normal's 1.96 in 91 or 92)."""

    def of_a_round(random):
        runs = list(runs_of(random, 300, 6, 0.6, LABELS))
        found = intervals.of_difference(runs[:3], runs[3:], LABELS)
        return {name: (*found[name][1:], 0) for name in SCORES}

    coverage = covered(400, of_a_round)
    assert all(0.93 <= share <= 0.99 for share in coverage.values()), coverage


def test_reach_by_hand():
    """Student's t with Satterthwaite's degrees of freedom."""
    assert intervals.reach((4.0, 5)) == pytest.approx(2 * 2.571, rel=1e-3)
    # equal parts of 3 degrees each: together 6
    assert intervals.reach((1.0, 3), (1.0, 3)) == pytest.approx(math.sqrt(2) * 2.447, rel=1e-3)
    assert intervals.reach((0.0, 3), (0.0, 3)) == 0


def test_the_swing_of_two_runs_is_covered():
    """The difference of two runs of models that are alike, by standard deviations of three."""
    random = np.random.default_rng(3)
    draws = random.normal(size=(2000, 2, 4))
    known, new = draws[..., :3].var(axis=2, ddof=1), draws[..., 3]
    halves = np.array([intervals.reach((one, 2), (other, 2)) for one, other in known])
    inside = np.abs(new[:, 0] - new[:, 1]) < halves
    assert 0.94 < inside.mean() < 0.98  # Satterthwaite's is a little wide for so few


def test_one_run_lends_its_interval_the_images_alone():
    once = intervals.of_new_run([LOGITS_20], LABELS_20)["accuracy"]
    odds, error = math.log(542 / 40), math.sqrt(2 * (1 / 542 + 1 / 40))  # of log odds, twice
    assert once[0] == pytest.approx(1 / (1 + math.exp(1.964 * error - odds)), abs=1e-4)
    again = intervals.of_new_run([LOGITS_20, LOGITS_20, LOGITS_20], LABELS_20)["accuracy"]
    assert again == pytest.approx(once, abs=1e-4)  # equal runs know no more


def test_a_mean_by_hand():
    found = intervals.mean_of([1.0, 2, 3])
    assert (found.mean, found.error) == (2, pytest.approx(1 / math.sqrt(3)))
    assert found.high - 2 == pytest.approx(4.303 / math.sqrt(3), abs=1e-3)  # 2 degrees of freedom
    assert found.p() == pytest.approx(stats.ttest_1samp([1, 2, 3], 0).pvalue)
    split = intervals.mean_of([1.0, 2, 3], test_share=0.5)
    assert split.error == pytest.approx(math.sqrt(1 / 3 + 0.5))
    same = intervals.mean_of([2.0, 2, 2])
    assert (same.low, same.high, same.p(), same.p(2)) == (2, 2, 0, 1)


def test_holm_by_hand():
    found = intervals.holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert intervals.holm({}) == {}

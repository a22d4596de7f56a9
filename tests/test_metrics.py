"""Scores against hand-worked numbers."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from xray import intervals, metrics

# the paper's matrix of model 20, as logits
COUNTS = {"tp": 400, "tn": 142, "fp": 29, "fn": 11}
LOGITS_20 = np.repeat(np.array([2, -2, 2, -2], np.float32), list(COUNTS.values()))
LABELS_20 = np.repeat([1, 0, 0, 1], list(COUNTS.values()))


def test_the_papers_matrix():
    found = metrics.scores(LOGITS_20, LABELS_20, 32)
    assert (
        {name: found[name] for name in COUNTS} == COUNTS == metrics.confusion(LOGITS_20, LABELS_20)
    )
    assert (
        found["accuracy"] == pytest.approx(542 / 582) and f"{100 * found['accuracy']:.1f}" == "93.1"
    )
    assert found["precision"] == pytest.approx(400 / 429) and found["recall"] == pytest.approx(
        400 / 411
    )
    assert found["f1"] == pytest.approx(800 / 840)
    assert found["specificity"] == pytest.approx(142 / 171) and found["npv"] == pytest.approx(
        142 / 153
    )


def test_scores_by_hand():
    # probabilities 0.9, 0.8, 0.3, 0.6, 0.1; ranks put one negative (0.6) above one positive (0.3)
    p, labels = np.array([0.9, 0.8, 0.3, 0.6, 0.1]), np.array([1, 1, 1, 0, 0])
    found = metrics.scores(np.log(p / (1 - p)), labels, 2)
    assert (found["tp"], found["fp"], found["fn"], found["tn"]) == (2, 1, 1, 1)
    assert found["brier"] == pytest.approx((0.01 + 0.04 + 0.49 + 0.36 + 0.01) / 5)
    assert found["roc_auc"] == pytest.approx(5 / 6)
    assert found["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert found["batch_mean_accuracy"] == pytest.approx((1 + 0 + 1) / 3)
    # each in a bin of its own: |p - y| each weighs 1/5
    assert found["ece"] == pytest.approx((0.1 + 0.2 + 0.7 + 0.6 + 0.1) / 5)


def test_scores_of_counts_are_those_of_logits():
    random = np.random.default_rng(0)
    for _ in range(20):
        logits, labels = random.normal(size=50), random.integers(0, 2, 50)
        found = metrics.scores(logits, labels)
        for name, value in metrics.count_scores(**metrics.confusion(logits, labels)).items():
            assert found[name] == pytest.approx(float(value), abs=1e-6)


def test_rankings_are_those_of_scikit_learn():
    random = np.random.default_rng(4)
    for _ in range(20):
        logits, labels = random.normal(size=60).round(1), random.integers(0, 2, 60)
        found = metrics.scores(logits, labels)
        assert found["roc_auc"] == pytest.approx(roc_auc_score(labels, logits))
        assert found["average_precision"] == pytest.approx(average_precision_score(labels, logits))


def test_a_logit_of_zero_is_class_0():
    assert metrics.predictions([0.0, -0.0, 1e-30, -1e-30]).tolist() == [0, 0, 1, 0]
    dead = metrics.scores(np.zeros(10), np.array([1] * 7 + [0] * 3))
    assert (dead["accuracy"], dead["precision"], dead["recall"], dead["f1"]) == (
        pytest.approx(0.3),
        0,
        0,
        0,
    )
    assert dead["specificity"] == 1 and dead["roc_auc"] == 0.5 and dead["brier"] == 0.25


def test_batch_mean_against_exact():
    labels = np.ones(582, int)
    logits = np.ones(582)
    logits[-3:] = -1  # three of the last six are wrong
    assert metrics.scores(logits, labels)["accuracy"] == pytest.approx(579 / 582)
    assert metrics.batch_mean_accuracy(logits, labels, 32) == pytest.approx((18 + 0.5) / 19)
    assert metrics.batch_mean_accuracy(logits, labels, 64) == pytest.approx((9 + 0.5) / 10)
    # 6 equal batches
    assert metrics.batch_mean_accuracy(logits, labels, 97) == pytest.approx(579 / 582)
    assert metrics.batch_mean_accuracy(logits, labels, 1000) == pytest.approx(579 / 582)


def test_nothing_to_divide_by():
    none = metrics.scores(np.full(4, -1.0), np.zeros(4, int))
    assert (none["precision"], none["recall"], none["f1"]) == (0, 0, 0)
    assert (none["accuracy"], none["npv"]) == (1, 1)
    assert math.isnan(none["roc_auc"]) and math.isnan(none["average_precision"])
    found = metrics.count_scores(
        tp=np.array([0, 1]), tn=np.array([0, 1]), fp=np.array([0, 0]), fn=np.array([0, 0])
    )
    assert all(values.tolist() == [0, 1] for values in found.values())


def test_always_pneumonia():
    base = metrics.always_pneumonia(LABELS_20)
    assert base["accuracy"] == pytest.approx(411 / 582) == base["precision"] and base["recall"] == 1
    assert base["specificity"] == 0 and base["npv"] == 0 and base["roc_auc"] == 0.5
    assert base["brier"] == pytest.approx(171 / 582)


@pytest.mark.parametrize(
    "logits, labels", [([], []), ([1.0], []), ([float("nan")], [1]), ([1.0], [2]), ([[1.0]], [[1]])]
)
def test_input_that_cannot_be_scored(logits, labels):
    for function in (metrics.scores, intervals.influence, metrics.threshold_at_sensitivity):
        with pytest.raises(ValueError):
            function(np.array(logits), np.array(labels))


def test_large_logits_are_ranked_apart():
    """A sigmoid in single precision would make all of these 1."""
    logits, labels = np.array([50.0, 60, 70, 80]), np.array([0, 0, 1, 1])
    assert metrics.scores(logits, labels)["roc_auc"] == 1
    assert metrics.scores(-logits, labels)["roc_auc"] == 0


def test_reliability_adds_up_to_the_calibration_error():
    random = np.random.default_rng(2)
    logits, labels = 3 * random.normal(size=300), random.integers(0, 2, 300)
    logits[:3] = math.inf, -math.inf, 0
    found = metrics.reliability(logits, labels)
    assert found["count"].sum() == 300 and len(found["edges"]) == len(found["count"]) + 1
    error = np.nansum(found["count"] * np.abs(found["probability"] - found["positive"])) / 300
    assert error == pytest.approx(metrics.scores(logits, labels)["ece"], abs=1e-6)
    sparse = metrics.reliability(np.array([5.0]), np.array([1]))
    assert np.isnan(sparse["positive"]).sum() == len(sparse["count"]) - 1


def test_threshold_at_sensitivity():
    logits = np.arange(1, 21, dtype=np.float32)  # 20 positives: 19 must be found
    threshold = metrics.threshold_at_sensitivity(
        np.append(logits, np.float32(50)), np.append(np.ones(20, int), 0)
    )
    assert 1 < threshold < 2 and np.float32(threshold) == np.nextafter(np.float32(2), np.float32(0))
    assert (logits > np.float32(threshold)).mean() == 0.95
    assert metrics.threshold_at_sensitivity(logits, np.ones(20, int), 1.0) < 1
    tied = np.array([0, 0, 0, 5], np.float32)  # a ReLU's zeros: all or nothing
    assert (tied > metrics.threshold_at_sensitivity(tied, np.ones(4, int))).all()
    for bad in ((np.zeros(3), np.zeros(3, int)), (np.array([-math.inf, 1]), np.ones(2, int))):
        with pytest.raises(ValueError):
            metrics.threshold_at_sensitivity(*bad)


def test_a_miss_is_as_sure_as_its_wrong_class():
    logits, labels = [math.log(3), -math.log(3), math.log(3), -math.log(3), 0], [1, 0, 0, 1, 1]
    found = metrics.wrong_probability(logits, np.array(labels))
    assert found == pytest.approx([0, 0, 0.75, 0.75, 0.5])

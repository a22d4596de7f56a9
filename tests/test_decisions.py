"""Which threshold decides, and which images are of another kind than those of the training."""

from dataclasses import replace

import numpy as np
import pytest

from xray import predict_weights
from xray.results import Run
from xray.specs import MODELS

SIZE = 16


def made_up(name: str, stored, labels, **changes) -> Run:
    stored, labels = np.array(stored, np.float32), np.array(labels)
    data = {"name": "m", "source": "m", "fingerprint": "0" * 64, "phantom": False, "skipped": 0}
    run = Run(
        MODELS[name],
        0,
        SIZE,
        "given",
        data,
        "direct",
        "",
        "fp32",
        1.0,
        "finished",
        {},
        {"validation": stored, "test": stored},
        {"validation": labels, "test": labels},
        {},
    )
    return replace(run, **changes)


def test_the_decision_is_the_threshold_for_95_percent_sensitivity():
    stored = np.linspace(-3, 3, 200)
    labels = (np.arange(200) >= 80).astype(int)
    thresholds = predict_weights.thresholds(made_up("20", stored, labels))
    assert thresholds.decision is thresholds.sensitive and thresholds.paper.logit == 0
    assert (
        thresholds.sensitive.sensitivity >= 0.95 > thresholds.paper.sensitivity
        and thresholds.sensitive.specificity > 0.9
    )
    own = predict_weights.thresholds(made_up("20", stored, labels), 0.9)
    assert (
        own.decision.name == "given"
        and own.decision.probability == pytest.approx(0.9)
        and own.sensitive
    )


def test_a_threshold_that_calls_everything_pneumonia_does_not_decide():
    stored = np.maximum(0, np.linspace(-3, 3, 100))  # an MLP that shuts off half of the pneumonia
    thresholds = predict_weights.thresholds(made_up("21", stored, np.tile([0, 1], 50)))
    assert (
        thresholds.sensitive is None
        and thresholds.decision is thresholds.paper
        and "every normal" in thresholds.reason
    )


def test_a_model_with_one_answer_decides_nothing():
    thresholds = predict_weights.thresholds(made_up("6", np.zeros(20), np.tile([0, 1], 10)), 0.2)
    assert thresholds.decision is None and "dead" in thresholds.reason


def test_one_class_of_validation_images_leaves_the_papers_rule():
    thresholds = predict_weights.thresholds(made_up("20", [1.0, 2, 3], [0, 0, 0]))
    assert thresholds.sensitive is None and thresholds.decision is thresholds.paper


def test_the_probability_is_calibrated_on_the_validation_images():
    logits = np.repeat([-4.0, 4.0], 100)  # right in nine of ten, whatever the logit claims
    labels = np.tile(np.arange(10) == 0, 20).astype(int)
    labels[100:] = 1 - labels[100:]
    found = predict_weights.thresholds(made_up("20", logits, labels), 0.8)
    assert found.temperature == pytest.approx(4 / np.log(9), rel=1e-3)
    assert found.decision.logit == pytest.approx(found.temperature * np.log(4))
    assert found.decision.probability == pytest.approx(0.8)


def test_an_answer_is_unsure_where_both_classes_lie():
    logits = np.concatenate([np.arange(-100, 0), np.arange(-10, 90)]).astype(float)
    labels = np.repeat([0, 1], 100)
    low, high = predict_weights.thresholds(made_up("20", logits, labels)).unsure
    assert low == pytest.approx(-9) and high == pytest.approx(-2)
    apart = np.where(labels == 1, 5.0 + logits % 3, -5.0 - logits % 3)
    assert predict_weights.thresholds(made_up("20", apart, labels)).unsure is None

"""Which threshold decides, and which images are of another kind than those of the training."""

import json
from dataclasses import replace

import numpy as np
import pytest

from xray import data_images, data_phantoms, predict_inputs, predict_weights
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


def test_images_of_another_kind_are_told_apart():
    seen = np.stack([data_phantoms.draw(number, number % 2 == 1, SIZE) for number in range(32)])[
        :, None
    ]
    facts = {"sizes": {"40x40": 32}, "intensity": predict_inputs.intensity(seen)}
    film = data_phantoms.draw(5000, True, 40)

    def warned(gray, chroma=0.0, facts=facts):
        return " ".join(predict_inputs.unlike(gray, chroma, facts, SIZE))

    for number in range(5000, 5004):
        assert (
            predict_inputs.unlike(data_phantoms.draw(number, number % 2 == 1, 80), 0, facts, SIZE)
            == []
        )
    assert "likeness" in warned(255 - film)
    assert "likeness" in warned(np.rot90(film).copy())
    assert "contrast" in warned(np.full((40, 40), 120, np.uint8))
    assert "brightness" in warned(np.zeros((40, 40), np.uint8))
    assert "in colour" in warned(film, chroma=40)
    assert "its width is 2.00 times" in warned(np.repeat(film, 2, axis=1))
    assert "12×12 pixels" in warned(data_images.resize(film, 12))
    older = {key: value for key, value in facts.items() if key != "intensity"}
    assert warned(255 - film, facts=older) == "" and warned(film, facts={}) == ""


def test_intensity_says_the_same_at_every_size():
    small, large = (
        np.stack([data_phantoms.draw(number, number % 2 == 1, size) for number in range(12)])[
            :, None
        ]
        for size in (32, 200)
    )
    found = predict_inputs.intensity(small)
    means = small.mean((1, 2, 3))
    np.testing.assert_allclose(
        found["brightness"], np.percentile(means, [0.5, 50, 99.5]), atol=0.01
    )
    np.testing.assert_allclose(
        found["contrast"], np.percentile(small.std((1, 2, 3)), [0.5, 50, 99.5]), atol=0.01
    )
    assert np.shape(found["layout"]) == (predict_inputs.LAYOUT, predict_inputs.LAYOUT)
    other = predict_inputs.intensity(large)
    for name in ("brightness", "contrast", "likeness"):
        np.testing.assert_allclose(found[name], other[name], rtol=0.05, atol=0.02)
    json.dumps(found)

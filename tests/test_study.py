"""A study's frames, on made-up runs."""

from dataclasses import replace

import pytest
from claim_world import made, study

from xray.study import learned, learned_on, start_of

WELL = {"tp": 80, "fn": 5, "fp": 5, "tn": 30}  # of 120 validation images, 85 with pneumonia
ALL_PNEUMONIA = {"tp": 85, "fn": 0, "fp": 35, "tn": 0}
ALL_NORMAL = {"tp": 0, "fn": 85, "fp": 0, "tn": 35}


@pytest.mark.parametrize(
    "validation, right, expected",
    [
        (WELL, (400, 142), True),
        (WELL, (411, 0), True),  # on test it is no better than a constant answer: not asked
        (ALL_PNEUMONIA, (411, 1), False),
        (ALL_NORMAL, (400, 142), False),
        ({"tp": 3, "fn": 82, "fp": 0, "tn": 35}, (400, 142), False),  # all but dead
        ({}, (400, 142), True),  # not known: test images tell
        ({}, (411, 0), False),
    ],
)
def test_learned_is_told_on_validation(validation, right, expected):
    run = replace(made("21", right=right), validation_counts=validation)
    assert learned(run) is expected
    assert learned_on(run) == ("validation" if validation else "test")
    assert list(study({"21": [run]}).scores.learned) == [expected]


def test_models_of_one_structure_share_their_starts():
    starts = [start_of(made(model, 3)) for model in ("21", "24", "28b", "6", "20")]
    assert starts[0] == starts[1] == starts[2] == "Linear+ReLU 1×10, 640 px, seed 3"
    assert len(set(starts)) == 3
    assert start_of(made("21", 3, size=64)) != starts[0] != start_of(made("21", 4))


def test_a_run_that_diverged_did_not_learn():
    run = replace(made("21", diverged=True), validation_counts=WELL)
    assert not learned(run)

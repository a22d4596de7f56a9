"""A study's frames, on made-up runs."""

from dataclasses import replace

import pytest
from claim_world import made, study

from xray.study import learned, learned_on, own_starts, start_of

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


def test_each_re_split_counts_runs_with_a_start_of_its_own():
    def splits(*seeds):
        return {f"image-{k}": {"20": [made("20", s) for s in of]} for k, of in enumerate(seeds)}

    def kept(resplits):
        found = own_starts(resplits)
        return [[run.seed for run in by_model["20"]] for by_model in found.values()]

    assert kept(splits((0, 1, 2), (3, 4, 5), (6, 7, 8))) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    # records of an earlier version beside the new: the same seeds on every split
    mixed = splits((0, 1, 2), (0, 1, 2, 3, 4, 5), (0, 1, 2, 6, 7, 8))
    assert kept(mixed) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert kept(splits((0, 1), (0, 1))) == [[0, 1], [0, 1]]  # there is nothing else
    both = {"image-1": {"20": [made("20", 3)]}, "patient-1": {"20": [made("20", 3)]}}
    assert own_starts(both) == both  # of one kind each


def test_a_run_that_diverged_did_not_learn():
    run = replace(made("21", diverged=True), validation_counts=WELL)
    assert not learned(run)

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


def small_study():
    given = {
        "20": [made("20", 0, right=(400, 142)), made("20", 1, right=(390, 140))],
        "21": [
            made("21", 0, right=(404, 138)),
            made("21", 1, dead=True),
            made("21", 2, diverged=True),
        ],
    }
    others = {"image-4": {"20": [made("20", 4, right=(380, 150), split="image-4")]}}
    return study(given, others)


def test_a_row_a_run():
    scores = small_study().scores
    assert list(scores.kind) == ["given"] * 5 + ["image"] and scores.number.iloc[-1] == 4
    assert list(scores.finished) == [True, True, True, True, False, True]
    assert list(scores.learned) == [True, True, True, False, False, True]
    assert list(scores.dead) == [False, False, False, True, False, False]
    assert scores.chosen.all() and list(scores.seconds[:2]) == [90, 90]
    assert scores.accuracy.iloc[0] == pytest.approx(542 / 582) and scores.tp.iloc[0] == 400
    assert scores.accuracy.isna().tolist() == [False] * 4 + [True, False]
    # of re-splits the counts and what follows from them alone
    assert scores.roc_auc.isna().tolist() == [False] * 4 + [True, True]
    assert scores.run.iloc[0].spec.id == "20"


def test_a_row_a_model_and_a_row_a_score():
    found = small_study()
    twenty, mlp = found.models.loc["20"], found.models.loc["21"]
    assert (twenty.runs, twenty.finished, twenty.learned, twenty.lost, twenty.seeds) == (
        2,
        2,
        2,
        0,
        "0–1",
    )
    assert (mlp.runs, mlp.finished, mlp.learned, mlp.lost, mlp.dead) == (3, 2, 1, 1, 1)
    row = found.summary.loc["20", "accuracy"]
    assert row["mean"] == pytest.approx(536 / 582) and row["spread"] == pytest.approx(
        6 * 2**0.5 / 582
    )
    assert (row["min"], row["max"]) == pytest.approx((530 / 582, 542 / 582))
    assert row["low"] < row["min"] and row["high"] > row["max"]
    alone = found.summary.loc["21", "f1"]
    assert alone["mean"] == alone["min"] == alone["max"] and alone["spread"] != alone["spread"]
    assert found.means.loc[("image", 4, "20"), "accuracy"] == pytest.approx(530 / 582)
    assert ("given", 0, "21") in found.means.index and len(found.means) == 3
    assert found.summary.loc["21", "ece"].isna().tolist() == [False, True, False, False, True, True]


def test_a_row_an_epoch():
    epochs = small_study().epochs
    assert epochs.groupby(["model", "seed"]).size().tolist() == [50, 50, 50, 50, 2]
    first = epochs[(epochs.model == "20") & (epochs.seed == 1)]
    run = made("20", 1, right=(390, 140))
    assert first.epoch.tolist() == [*range(1, 51)] and first.learned.all()
    assert first.train_loss.tolist() == run.history["train_loss"]
    assert epochs.diverged.sum() == 2


def test_a_study_without_a_finished_run_has_frames_too():
    found = study({"20": [made("20", diverged=True)]})
    assert found.models.loc["20", "finished"] == 0 and found.summary.empty and found.means.empty
    assert found.baseline == {}

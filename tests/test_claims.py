"""Each rule on made-up records: a study in which all 37 claims hold, and for each claim a change
that undoes it.
"""

import json
from collections import Counter
from dataclasses import replace

import pytest
from claim_world import (
    DATA,
    alone,
    facts_with,
    judge,
    judged,
    made,
    remembered,
    runs_of,
    splits,
    study,
)

from xray import claims, metrics, paper
from xray.claims import CLAIMS
from xray.effects import FAILS, HOLDS, NOISE, NOT_RUN, NOT_TESTED
from xray.specs import LEARNING_RATE_SEARCH


@pytest.fixture(scope="module", autouse=True)
def quick_scores():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "scores", remembered)
        yield


@pytest.fixture(scope="module")
def verdicts():
    return judged()


def test_a_study_in_which_all_claims_hold(verdicts):
    assert list(verdicts) == [claim.id for claim in CLAIMS]
    assert {one.id: one.figures for one in verdicts.values() if one.verdict != HOLDS} == {}
    assert all(one.figures and one.rule and one.link and not one.note for one in verdicts.values())
    by_kind = Counter(one.kind for one in verdicts.values())
    assert by_kind == {"data": 6, "Linear": 8, "MLP": 4, "CNN": 7, "several": 12}
    assert {one.id for one in verdicts.values() if one.primary} == set(claims.PRIMARY)
    assert all((one.p is not None) == one.primary for one in verdicts.values())


@pytest.mark.parametrize(
    "claim, facts",
    [
        ("C01", facts_with({"test": {"NORMAL": 171, "PNEUMONIA": 412}})),
        ("C02", facts_with(missing=1)),
        ("C02", facts_with(unreadable=["a.jpg"])),
        ("C02", facts_with(identical_bytes={"surplus": 1})),
        ("C02", facts_with(identical_pixels={"surplus": 1})),
        ("C03", facts_with({"train": {"NORMAL": 1177, "PNEUMONIA": 2900}})),
        ("C04", facts_with(sizes={"640x640": 5823, "640x639": 1})),
        ("C05", facts_with({"test": {"NORMAL": 171, "PNEUMONIA": 450}})),
    ],
)
def test_claims_on_the_data_that_do_not_hold(claim, facts):
    assert alone(claim, facts=facts).verdict == FAILS


@pytest.mark.parametrize(
    "claim, changes",
    [
        ("C06", {"1": dict(pace=1.5)}),
        ("C06", {"2": dict(train=0.92)}),
        ("C07", {"3": dict(train=0.80)}),
        ("C08", {"4": dict(pace=1)}),
        ("C09", {"6": dict(dead=False)}),
        ("C09", {"7@1e-2": dict(dead=False)}),
        ("C10", {"9": dict(pace=1)}),
        ("C10", {"8": dict(validation=0.94)}),
        ("C11", {model: dict(rough_loss=0.001) for model in ("10", "11", "12")}),
        ("C12", {"12": dict(validation=0.94)}),
        ("C12", {"11": dict(validation=0.94)}),
        ("C13", {"13": dict(rough_loss=0.01, validation=0.89)}),
        ("C13", {"13": dict(validation=0.95)}),
        ("C14", {"14": dict(validation=0.94)}),
        ("C15", {"16": dict(rough=0.0001)}),
        ("C16", {"19": dict(dead=False)}),
        ("C17", {"17": dict(rough_loss=0.011)}),  # more than the 0.01 of model 14, but not twice
        ("C18", {"24": dict(validation=0.90)}),
        ("C18", {"24": dict(train=0.95)}),
        ("C19", {"23": dict(validation=0.94)}),
        ("C19", {"23": dict(rough=0.0001, validation=0.9)}),
        ("C20", {"25": dict(overfit=False)}),
        ("C21", {"20": dict(right=(360, 142))}),
        ("C21", {"20": dict(right=(400, 100))}),
        ("C22", {"25": dict(right=(405, 150))}),
        ("C22", {"20": dict(right=(411, 160)), "21": dict(right=(411, 161))}),
        ("C23", {"24": dict(right=(410, 142))}),
        ("C24", {"22b": dict(rough=0.1)}),
        ("C25", {"22b": dict(overfit=False)}),
        ("C26", {"22b": dict(right=(405, 150))}),
        ("C26", {model: dict(right=(370, 142)) for model in ("20b", "23b", "22b")}),
        ("C27", {"23b": dict(right=(405, 150))}),
        ("C28", {"22b": dict(overfit=False), "26b": dict(overfit=True)}),
        ("C28", {"26b": dict(rough=0.05)}),
        ("C28", {"26b": dict(dead=True)}),
        ("C29", {"27b": dict(right=(390, 142))}),
        ("C30", {"28b": dict(seconds=400)}),
        ("C31", {"20": dict(right=(360, 142))}),
        ("C32", {"26b": dict(right=(405, 150))}),
        ("C33", {"24b": dict(right=(350, 142))}),
        ("C33", {model: dict(right=(392, 142)) for model in ("22", "25", "22b", "25b")}),
        ("C34", {"26b": dict(right=(396, 142))}),
        ("C34", {"26b": dict(right=(408, 150))}),
        ("C34", {"26b": dict(right=(399, 143), seconds=100)}),
        ("C36", {"28b": dict(right=(410, 145))}),
        ("C37", {"25": dict(rough=0.001)}),
    ],
)
def test_claims_on_runs_that_do_not_hold(claim, changes):
    assert alone(claim, changes).verdict == FAILS


def test_the_constant_answer_is_judged_by_the_papers_own_counts(monkeypatch):
    runs = {"0": [made("0")]}
    assert judge(runs)["C35"].verdict == HOLDS
    monkeypatch.setattr(paper, "CONFUSION_20", {"tp": 500, "tn": 42, "fp": 29, "fn": 11})
    assert judge(runs)["C35"].verdict == FAILS


def test_every_claim_is_seen_to_fail():
    marks = [
        *test_claims_on_the_data_that_do_not_hold.pytestmark,
        *test_claims_on_runs_that_do_not_hold.pytestmark,
    ]
    assert {case[0] for mark in marks for case in mark.args[1]} | {"C35"} == {
        claim.id for claim in CLAIMS
    }


def test_dead_nets_stand_apart():
    """A dead MLP is consistent at nothing, and what lives beside it is judged alone."""
    mlps = ("21", "24", "21b", "24b")

    def dying(number, right=(400, 142)):
        return dict(dead=True) if number % 2 else dict(right=right)

    half = dict.fromkeys(mlps, dying)
    assert alone("C33", half, number=10).verdict == HOLDS  # on the five splits that are alive
    assert alone("C18", half, seeds=6).findings[0].number == 3
    uneven = half | {"24b": lambda number: dying(number, (350, 142))}
    assert alone("C33", uneven, number=10).verdict == FAILS
    few = alone("C33", half, number=8)
    assert few.verdict == NOT_RUN and "--resplits 10" in few.figures
    gone = judged(dict.fromkeys(mlps, dict(dead=True)))
    assert {gone[claim].verdict for claim in ("C18", "C22", "C23", "C26", "C33")} == {NOT_RUN}
    assert gone["C31"].verdict == HOLDS  # of a linear model


def test_a_split_on_which_a_model_fails_is_no_score():
    """On a hard split model 20 calls everything pneumonia; it is left out, not averaged in."""
    hard = {"20": lambda number: dict(right=(411, 0) if number == 0 else (400, 142))}
    found = alone("C31", hard, number=6)
    assert found.verdict == HOLDS and found.findings[0].number == 5


def test_one_split_or_one_seed_is_not_judged():
    found = judged(number=0)
    scores = ("C21", "C22", "C23", "C26", "C27", "C29", "C31", "C32", "C33", "C34", "C36")
    assert [claim for claim, one in found.items() if one.verdict == NOT_RUN] == list(scores)
    assert all("--resplits 10" in found[claim].figures for claim in scores)
    found = judged(seeds=1)
    curves = ("C06", "C07", "C08", "C10", "C12", "C13", "C14", "C15", "C17", "C18", "C19", "C20")
    assert all(found[claim].verdict == NOT_RUN for claim in curves)
    assert "1 seeds with which all learned, 3 are needed" in found["C06"].figures
    assert found["C09"].verdict == found["C16"].verdict == NOISE  # one run is no share


def test_equal_models_do_not_differ():
    """Equal in truth and in every score: a claimed difference is ruled out, not merely unseen."""
    same = {model: dict(right=(400, 142)) for model in ("20", "23", "21", "24", "22", "25")}
    found = judged(same)
    assert found["C23"].verdict == FAILS and found["C32"].verdict == HOLDS
    one = found["C23"].findings[0]
    assert (one.low, one.mean, one.high, one.p) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "claim", [claim for claim in CLAIMS if claim.models], ids=lambda claim: claim.id
)
def test_a_claim_without_its_models_is_not_run_and_names_them(claim):
    runs = runs_of(seeds=3)
    del runs[claim.models[-1]]
    found = claims.judge_alone(claim, study(runs))
    assert (found.verdict, found.missing) == (NOT_RUN, (claim.models[-1],))
    assert f"python scripts/train.py --model {claim.models[-1]}" in found.figures


def test_other_ways_not_to_be_run():
    nothing = judge({"15": [made("15")]}, facts={})
    assert [one.id for one in nothing.values() if one.verdict != NOT_RUN] == ["C35"]
    assert all(nothing[claim.id].missing == claim.models for claim in CLAIMS)
    runs = runs_of()
    found = judge({"6": runs["6"], "7": runs["7"]})["C09"]
    assert found.missing == tuple(LEARNING_RATE_SEARCH)
    diverged = alone("C14", {"14": dict(diverged=True)})
    assert diverged.verdict == NOT_RUN and "no run learned" in diverged.figures
    assert "train.py" not in diverged.figures
    strangers = runs_of(seeds=3) | {"14": [made("14", seed=7)]}
    assert "0 seeds with which all learned" in judge(strangers)["C14"].figures
    sizes = runs_of(seeds=3) | {"14": [made("14", seed=seed, size=64) for seed in range(3)]}
    assert "image sizes" in judge(sizes)["C14"].figures
    exact = alone("C30", {"27b": dict(engine="gram")})
    assert exact.verdict == NOT_RUN and exact.figures.endswith("--engine direct")


def test_another_source_does_not_test_the_papers_data():
    elsewhere = dict(data=DATA | {"source": "elsewhere"})
    found = judged({"0": elsewhere})
    untested = [claim for claim, one in found.items() if one.verdict == NOT_TESTED]
    assert untested == ["C01", "C02", "C03", "C04", "C05"]
    assert all("the source is not the Hub's" in found[claim].figures for claim in untested)


def test_holm_can_take_a_verdict_back():
    """Clear alone, not among seven: a p of 0.02 is no longer below 5 % times its place."""

    def wobbling(number):
        return dict(right=(400 + (-5, 0, 4, 5, 6)[number], 142))

    found = judged({"20": wobbling})
    one = found["C31"]
    assert [finding.outcome for finding in one.findings] == [HOLDS, HOLDS]
    assert max(finding.p for finding in one.findings) < 0.05 < one.p
    assert one.verdict == NOISE and one.alone == HOLDS  # what was found without the others is told
    assert found["C29"].alone == found["C06"].alone == ""
    assert claims.as_json([one])[0]["alone"] == HOLDS


def test_the_family_of_seven_does_not_shrink_to_what_was_run():
    """Clear enough alone, not among seven, even where the other six are not run."""

    def wobbling(number):
        return dict(right=(400 + (-4, 0, 2, 5, 6)[number], 142))

    only = {"20": runs_of({"20": wobbling})["20"]}
    found = judge(only, resplits=splits({"20": wobbling}))["C31"]
    p = max(finding.p for finding in found.findings)
    assert found.p == pytest.approx(7 * p) and p < 0.05 < 7 * p and found.verdict == NOISE


def test_two_studies_are_compared(verdicts):
    other = judged({"14": dict(validation=0.94)}, number=0)
    first, second = ({"claims": claims.as_json(one.values())} for one in (verdicts, other))
    assert claims.compare(first, first) == ([claim.id for claim in CLAIMS], {})
    same, differ = claims.compare(first, second)
    assert differ["C14"] == (HOLDS, FAILS) and differ["C31"] == (HOLDS, NOT_RUN)
    assert len(same) + len(differ) == 37 and "C06" in same


def test_verdicts_as_data_are_the_same_each_time(verdicts):
    first = json.dumps(claims.as_json(judged().values()))
    assert first == json.dumps(claims.as_json(verdicts.values()))
    row = {one["id"]: one for one in json.loads(first)}["C31"]
    assert row["verdict"] == HOLDS and row["findings"][0]["number"] == 5
    assert row["findings"][0]["mean"] == pytest.approx(542 / 582 - 0.92, abs=1e-6)
    assert "3 are needed" in claims.as_json([alone("C06", seeds=1)])[0]["reason"]


def test_notes_say_what_is_not_the_papers_study():
    small = {"22b": dict(size=64), "26b": dict(size=64)}
    assert alone("C28", small).note == "64×64 pixels instead of 640×640, with matched steps"
    assert "22b, 26b: 64×64 pixels" in alone("C29", small).note
    smaller = dict.fromkeys(("10", "11", "12", "13"), dict(size=64))
    for claim in ("C11", "C12", "C13"):
        note = alone(claim, smaller).note
        assert note.endswith("10 times the share of a film's width that they see at 640×640")
    assert "kernel" not in alone("C28", small).note + alone("C12").note
    shared = {f"image-{n}": {"20": [made("20", split=f"image-{n}")]} for n in range(5)}
    note = judge(runs_of({"20": {}}), resplits=shared)["C31"].note
    assert note == "several re-splits have the same starts, which no interval covers then"
    runs = runs_of()
    runs["14"] = [replace(run, spec=replace(run.spec, epochs=3)) for run in runs["14"]]
    assert "14: 3 epochs instead of 10" in judge(runs)["C14"].note
    phantoms = DATA | {"phantom": True}
    assert "phantoms" in alone("C21", {"20": dict(data=phantoms)}).note


def test_the_papers_own_counts():
    """By the counts that its printed scores imply, were they the same for every seed and split,
    these of the claims would not hold.
    """
    own = {
        model: dict(right=(paper.implied(model)[0].tp, paper.implied(model)[0].tn))
        for model in paper.SCORES
    }
    verdicts = {claim: one.verdict for claim, one in judged(own).items()}
    assert {claim for claim, verdict in verdicts.items() if verdict != HOLDS} == {"C26", "C32"}

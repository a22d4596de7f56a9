"""Each rule on made-up records: a study in which all 34 claims hold, and for each claim a change
that undoes it.
"""

from dataclasses import replace

import pytest
from claim_world import DATA, FACTS, facts_with, judge, made, study

from xray import claims, paper
from xray.claims import CLAIMS
from xray.effects import FAILS, HOLDS, NOISE, NOT_RUN
from xray.specs import LEARNING_RATE_SEARCH


def test_a_study_in_which_all_claims_hold():
    verdicts = claims.judge(study(), FACTS)
    assert [verdict.id for verdict in verdicts] == [claim.id for claim in CLAIMS]
    assert {verdict.id: verdict.figures for verdict in verdicts if verdict.verdict != HOLDS} == {}
    assert claims.summary(verdicts) == {HOLDS: 34, FAILS: 0, NOISE: 0, NOT_RUN: 0}
    assert all(
        verdict.figures and verdict.rule and verdict.link and not verdict.note
        for verdict in verdicts
    )


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
    assert judge(claim, study(), facts).verdict == FAILS


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
        ("C27", {"23b": dict(right=(400, 142))}),
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
    ],
)
def test_claims_on_runs_that_do_not_hold(claim, changes):
    assert judge(claim, study(changes)).verdict == FAILS


def test_every_claim_is_seen_to_fail():
    marks = [
        *test_claims_on_the_data_that_do_not_hold.pytestmark,
        *test_claims_on_runs_that_do_not_hold.pytestmark,
    ]
    assert {case[0] for mark in marks for case in mark.args[1]} == {claim.id for claim in CLAIMS}


def test_a_dead_mlp_is_consistent_at_nothing():
    mlps = ("21", "24", "21b", "24b")
    uneven = {"24b": dict(right=(350, 142))}
    assert judge("C33", study(uneven)).verdict == FAILS
    dead = {
        model: lambda seed, model=model: (
            dict(dead=seed > 0) | (uneven.get(model, {}) if seed == 0 else {})
        )
        for model in mlps
    }
    assert judge("C33", study(dead)).verdict == FAILS  # judged on the seed that is alive
    assert judge("C33", study({model: dict(dead=True) for model in mlps})).verdict == NOT_RUN


@pytest.mark.parametrize(
    "claim", [claim for claim in CLAIMS if claim.models], ids=lambda claim: claim.id
)
def test_a_claim_without_its_models_is_not_run_and_names_them(claim):
    runs = study(seeds=1)
    del runs[claim.models[-1]]
    found = judge(claim.id, runs)
    assert (found.verdict, found.missing) == (NOT_RUN, (claim.models[-1],))
    assert f"python scripts/train.py --model {claim.models[-1]}" in found.figures
    assert judge(claim.id, {}).missing == claim.models


def test_other_ways_not_to_be_run():
    assert judge("C01", study(), {}).verdict == NOT_RUN
    everything = claims.judge({}, {})
    assert claims.summary(everything)[NOT_RUN] == 34
    assert judge("C09", {"6": study()["6"], "7": study()["7"]}).missing == tuple(
        LEARNING_RATE_SEARCH
    )
    diverged = judge("C14", study({"14": dict(diverged=True)}))
    assert (
        diverged.verdict == NOT_RUN
        and "diverged" in diverged.figures
        and "train.py" not in diverged.figures
    )
    strangers = study(seeds=1) | {"14": [made("14", seed=7)]}
    assert "no seed in common" in judge("C14", strangers).figures
    assert "image sizes" in judge("C14", study(seeds=1) | {"14": [made("14", size=64)]}).figures
    exact = judge("C30", study({"27b": dict(engine="gram")}))
    assert exact.verdict == NOT_RUN and exact.figures.endswith(
        "--model 27b 28b 26b --data made-up --engine direct"
    )


def test_notes_say_what_is_not_the_papers_study():
    runs = study({"22b": dict(size=64), "26b": dict(size=64)})
    assert judge("C28", runs).note == "64×64 pixels instead of 640×640, with matched steps"
    assert "22b, 26b: 64×64 pixels" in judge("C29", runs).note
    runs["14"] = [replace(run, spec=replace(run.spec, epochs=3)) for run in runs["14"]]
    assert "14: 3 epochs instead of 10" in judge("C14", runs).note
    phantoms = DATA | {"phantom": True}
    assert "phantoms" in judge("C21", study({"20": dict(data=phantoms)})).note
    assert "phantoms" in judge("C01", study(), FACTS | {"phantom": True}).note


def test_the_papers_own_counts():
    """By the counts that its printed scores imply, were they the same for every seed, three of the
    claims would fail.
    """
    own = {
        model: dict(right=(paper.implied(model)[0].tp, paper.implied(model)[0].tn))
        for model in paper.SCORES
    }
    runs = study(own)
    verdicts = {verdict.id: verdict.verdict for verdict in claims.judge(runs, FACTS)}
    assert [claim for claim, verdict in verdicts.items() if verdict != HOLDS] == [
        "C26",
        "C27",
        "C32",
    ]

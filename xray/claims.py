"""From a study's records a verdict on each of the paper's claims (claims.txt).

The rules are the same for every study. What counts as an effect is said once, in effects.py; the
statistics of curves are defined in curves.py, conditions that need more in claims_conditions.py.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from xray import claims_conditions as conditions
from xray import paper
from xray.effects import (
    FAILS,
    HOLDS,
    NOISE,
    NOT_RUN,
    Evidence,
    Finding,
    NotRun,
    alike,
    at_least,
    lower_level,
    overfits,
    rougher,
    slower,
    verdict_of,
)
from xray.results import SEEDS
from xray.specs import LEARNING_RATE_SEARCH, MODELS
from xray.study import command

TRAIN, VALIDATION = "train_accuracy", "validation_accuracy"


class Claim(NamedTuple):
    """A claim of the paper, and how it is judged."""

    id: str
    section: str  # of the paper
    link: str  # id of the report's figure, table or section that shows it, such as "fig-9"
    models: tuple[str, ...]  # whose runs decide it; empty where the data does
    text: str
    statistic: str
    rule: str


def _parse(table: str) -> list[Claim]:
    claims = []
    for line in table.strip().splitlines():
        if not line.startswith(" "):  # id | section | link | models
            claims.append([cell.strip() for cell in line.split("|")])
        elif line.startswith("    "):  # goes on
            claims[-1][-1] += " " + line.strip()
        else:
            claims[-1].append(line.strip().removeprefix("Statistic: ").removeprefix("Rule: "))
    return [
        Claim(name, section, link, tuple(models.split()), *words)
        for name, section, link, models, *words in claims
    ]


# claims.txt holds their words: a claim's text, statistic and rule
CLAIMS = _parse((Path(__file__).parent / "claims.txt").read_text(encoding="utf-8"))


class Verdict(NamedTuple):
    id: str
    section: str
    claim: str
    models: tuple[str, ...]
    statistic: str
    rule: str
    figures: str  # the numbers, in words; for "not run" what is missing
    verdict: str  # "holds", "does not hold", "within noise" or "not run"
    link: str  # id of the figure, table or section that shows it, such as "fig-9"
    note: str = ""  # what sets the study apart from the paper's, and too few seeds
    missing: tuple[str, ...] = ()  # models to train for a verdict


MARKS = {HOLDS: "✓", FAILS: "✗", NOISE: "≈"}

# id -> the evidence -> findings; the words of each rule are in claims.txt
JUDGES: dict[str, Callable[[Evidence], list[Finding]]] = {
    "C01": conditions.split_sizes,
    "C02": conditions.audit,
    "C03": conditions.class_ratio,
    "C04": conditions.sample_size,
    "C05": conditions.batches,
    "C06": lambda e: [
        slower(e, "1", "0"),
        slower(e, "2", "1"),
        lower_level(e, "1", "0", TRAIN),
        lower_level(e, "2", "1", TRAIN),
    ],
    "C07": conditions.layers_against_units,
    "C08": lambda e: [slower(e, "3", "0"), slower(e, "4", "0")],
    "C09": lambda e: conditions.no_convergence(e, "6", "7", *LEARNING_RATE_SEARCH),
    "C10": lambda e: [
        slower(e, "8", "5"),
        slower(e, "9", "5"),
        lower_level(e, "8", "5", VALIDATION),
        lower_level(e, "9", "5", VALIDATION),
    ],
    "C11": conditions.cnn_oscillation,
    "C12": lambda e: [
        alike(e, "10", "11", VALIDATION),
        lower_level(e, "12", "10", VALIDATION),
        lower_level(e, "12", "11", VALIDATION),
    ],
    "C13": lambda e: [
        rougher(e, "13", "11", "train_loss", "validation_loss"),
        lower_level(e, "13", "11", VALIDATION),
    ],
    "C14": lambda e: [lower_level(e, "14", "0", VALIDATION)],
    "C15": lambda e: [rougher(e, "14", "0", VALIDATION), rougher(e, "16", "11", VALIDATION)],
    "C16": lambda e: conditions.no_convergence(e, "18", "19"),
    "C17": conditions.adam_unstable,
    "C18": lambda e: [alike(e, "24", "21", TRAIN), alike(e, "24", "21", VALIDATION)],
    "C19": lambda e: [lower_level(e, "23", "20", VALIDATION), rougher(e, "23", "20", VALIDATION)],
    "C20": lambda e: overfits(e, "22") + overfits(e, "25"),
    "C21": conditions.confusion_20,
    "C22": conditions.best_of_six,
    "C23": lambda e: conditions.all_better(e, paper.BARS[21]),
    "C24": lambda e: [
        rougher(e, "22", "22b", "validation_loss", VALIDATION),
        rougher(e, "25", "25b", "validation_loss", VALIDATION),
    ],
    "C25": lambda e: overfits(e, "22b") + overfits(e, "25b"),
    "C26": conditions.most_about_95,
    "C27": lambda e: conditions.none_better(e, paper.BARS[24]),
    "C28": conditions.same_shape,
    "C29": lambda e: conditions.all_better(e, [("26b", "22b"), ("27b", "20b")]),
    "C30": conditions.much_longer,
    "C31": lambda e: [at_least(e, "20", "accuracy", 0.92), at_least(e, "20", "f1", 0.94)],
    "C32": conditions.more_complex,
    "C33": conditions.mlp_most_consistent,
    "C34": conditions.gain_and_cost,
}


def judge(runs: dict, facts: dict, timed=()) -> list[Verdict]:
    """The 34 verdicts, in order.

    runs: model -> its runs, one a seed, as results.select gives them. facts: data.json's, or empty.
    timed: every run of the study, among which the durations are sought; the selected ones where it
        is empty.
    """
    timed = list(timed) or [run for group in runs.values() for run in group]
    return [_judge_one(claim, Evidence(runs, facts, timed)) for claim in CLAIMS]


def _judge_one(claim: Claim, evidence: Evidence) -> Verdict:
    missing = ()
    try:
        absent = [model for model in claim.models if not evidence.runs.get(model)]
        if absent:
            raise NotRun(absent)
        findings = JUDGES[claim.id](evidence)
        marks = [f"{MARKS[found.outcome]} " * (len(findings) > 1) for found in findings]
        figures = "; ".join(mark + found.words for mark, found in zip(marks, findings))
        verdict, note = verdict_of(findings), _note(evidence, claim.models)
    except NotRun as error:
        verdict, missing, note = NOT_RUN, error.models, ""
        figures = f"{', '.join(missing)}: {error}" if missing else str(error)
        if error.options is not None:
            figures += "; " + command(evidence.timed, missing, *error.options.split())
    what = claim.id, claim.section, claim.text, claim.models, claim.statistic, claim.rule
    return Verdict(*what, figures, verdict, claim.link, note, missing)


def _note(evidence: Evidence, models) -> str:
    if not models:
        return "synthetic images (phantoms)" if evidence.facts.get("phantom") else ""
    by_difference, seeds = {}, {}
    for run in evidence.used:
        seeds.setdefault(run.spec.id, set()).add(run.seed)
        for words in run.differs:
            by_difference.setdefault(words, set()).add(run.spec.id)
    order = list(MODELS | LEARNING_RATE_SEARCH)
    notes = [
        words if found == set(seeds) else f"{', '.join(sorted(found, key=order.index))}: {words}"
        for words, found in by_difference.items()
    ]
    few = [model for model in sorted(seeds, key=order.index) if len(seeds[model]) < SEEDS]
    if few:
        which = "" if len(few) == len(seeds) else f" of {', '.join(few)}"
        why = "noise and effect cannot be told apart by seeds"
        notes.append(f"fewer than {SEEDS} seeds{which}: {why}")
    return "; ".join(notes)


def summary(verdicts) -> dict[str, int]:
    """How many verdicts there are of each kind."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    return {kind: counts[kind] for kind in (HOLDS, FAILS, NOISE, NOT_RUN)}

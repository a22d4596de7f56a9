"""From a study's records a verdict on each of the paper's claims (claims.txt).

The rules are the same for every study. What counts as an effect is said once, in effects.py; which
effects there are in claims_effects.py, conditions that need more in claims_conditions.py.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from xray import claims_conditions as conditions
from xray import paper
from xray.claims_effects import at_least, level_difference, overfits, rougher, slower
from xray.effects import (
    ERROR,
    FAILS,
    HOLDS,
    NOISE,
    NOT_RUN,
    NOT_TESTED,
    Evidence,
    Finding,
    NotRun,
    NotTested,
    alike,
    p_of,
    verdict_of,
)
from xray.intervals import holm
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
    kind: str  # "data", "Linear", "MLP", "CNN" or "several": what the claim is about
    models: tuple[str, ...]
    statistic: str
    rule: str
    figures: str  # the numbers, in words; for "not run" and "not tested here" the reason
    verdict: str  # one of VERDICTS
    link: str  # id of the figure, table or section that shows it, such as "fig-9"
    findings: tuple[Finding, ...] = ()  # the claim's conditions
    primary: bool = False  # of the family that Holm's adjustment is over; else exploratory
    p: float | None = None  # of a primary claim's verdict, adjusted; None where it was not judged
    note: str = ""  # what sets the study apart from the paper's, and too few seeds
    missing: tuple[str, ...] = ()  # models to train for a verdict
    records: tuple[str, ...] = ()  # files of the runs it was judged on, "<split>/<file>"


VERDICTS = (HOLDS, FAILS, NOISE, NOT_TESTED, NOT_RUN)
KINDS = ("data", "Linear", "MLP", "CNN", "several")
# The paper's conclusions on test scores. Each is right by chance at times, so of these the verdicts
# stand only with Holm's adjusted p below 5 %. All other claims are exploratory.
PRIMARY = ("C23", "C27", "C29", "C31", "C32", "C33", "C34")
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
        level_difference(e, "0", "1", TRAIN),
        level_difference(e, "1", "2", TRAIN),
    ],
    "C07": conditions.layers_against_units,
    "C08": lambda e: [slower(e, "3", "0"), slower(e, "4", "0")],
    "C09": lambda e: conditions.no_convergence(e, "6", "7", *LEARNING_RATE_SEARCH),
    "C10": lambda e: [
        slower(e, "8", "5"),
        slower(e, "9", "5"),
        level_difference(e, "5", "8", VALIDATION),
        level_difference(e, "5", "9", VALIDATION),
    ],
    "C11": conditions.cnn_oscillation,
    "C12": lambda e: [
        level_difference(e, "10", "11", VALIDATION, alike),
        level_difference(e, "10", "12", VALIDATION),
        level_difference(e, "11", "12", VALIDATION),
    ],
    "C13": lambda e: [
        rougher(e, "13", "11", "train_loss", "validation_loss"),
        level_difference(e, "11", "13", VALIDATION),
    ],
    "C14": lambda e: [level_difference(e, "0", "14", VALIDATION)],
    "C15": lambda e: [rougher(e, "14", "0", VALIDATION), rougher(e, "16", "11", VALIDATION)],
    "C16": lambda e: conditions.no_convergence(e, "18", "19"),
    "C17": conditions.adam_unstable,
    "C18": lambda e: [
        level_difference(e, "24", "21", curve, alike) for curve in (TRAIN, VALIDATION)
    ],
    "C19": lambda e: [
        level_difference(e, "20", "23", VALIDATION),
        rougher(e, "23", "20", VALIDATION),
    ],
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
    "C35": conditions.constant_answer,
    "C36": lambda e: conditions.none_better(e, [("21b", "28b")]),
    "C37": lambda e: [rougher(e, "25", "22", "validation_loss", VALIDATION)],
}


def judge(runs: dict, facts: dict, timed=(), **more) -> list[Verdict]:
    """The 37 verdicts, in order.

    runs: model -> its runs, one a seed, as results.select gives them. facts: data.json's, or empty.
    timed: every run of the study, among which the durations are sought; the selected ones where it
        is empty. more: resplits, test_share, source (effects.Evidence).
    """
    timed = list(timed) or [run for group in runs.values() for run in group]
    found = [_judge_one(claim, Evidence(runs, facts, timed, **more)) for claim in CLAIMS]
    primary = {one.id: p_of(one.findings) for one in found if one.primary and one.findings}
    adjusted = holm(primary)
    for place, one in enumerate(found):
        if one.id in adjusted:
            kept = one.verdict if adjusted[one.id] < ERROR else NOISE
            found[place] = one._replace(verdict=kept, p=adjusted[one.id])
    return found


def _judge_one(claim: Claim, evidence: Evidence) -> Verdict:
    missing, findings, note = (), (), ""
    try:
        absent = [model for model in claim.models if not evidence.runs.get(model)]
        if absent:
            raise NotRun(absent)
        findings = tuple(JUDGES[claim.id](evidence))
        marks = [f"{MARKS[found.outcome]} " * (len(findings) > 1) for found in findings]
        figures = "; ".join(mark + found.words for mark, found in zip(marks, findings))
        verdict, note = verdict_of(findings), _note(evidence, claim.models)
    except NotTested as error:
        verdict, figures = NOT_TESTED, str(error)
    except NotRun as error:
        verdict, missing = NOT_RUN, error.models
        figures = f"{', '.join(missing)}: {error}" if missing else str(error)
        if error.options is not None:
            figures += "; " + command(evidence.timed, missing, *error.options.split())
    about = claim.id, claim.section, claim.text, _kind(claim), claim.models
    words = claim.statistic, claim.rule, figures, verdict, claim.link
    files = dict.fromkeys(run.file for run in evidence.used if run.file) if findings else {}
    records = tuple(sorted(path.name for path in files))
    primary = claim.id in PRIMARY
    return Verdict(*about, *words, findings, primary, None, note, missing, records)


def _kind(claim: Claim) -> str:
    names = {"Linear": "Linear", "Linear+ReLU": "MLP", "CNN": "CNN"}
    found = {names[MODELS[model].family] for model in claim.models}
    return "data" if not found else found.pop() if len(found) == 1 else "several"


def _note(evidence: Evidence, models) -> str:
    if not models:
        return "synthetic images (phantoms)" if evidence.facts.get("phantom") else ""
    by_difference, shown = {}, set()
    for run in evidence.used:
        shown.add(run.spec.id)
        for words in run.differs:
            by_difference.setdefault(words, set()).add(run.spec.id)
    order = list(MODELS | LEARNING_RATE_SEARCH)
    notes = [
        words if found == shown else f"{', '.join(sorted(found, key=order.index))}: {words}"
        for words, found in by_difference.items()
    ]
    return "; ".join(notes)


def tally(verdicts) -> dict[str, dict[str, int]]:
    """How many verdicts there are of each word, for each kind of claim: kind -> word -> count."""
    counts = Counter((verdict.kind, verdict.verdict) for verdict in verdicts)
    return {kind: {word: counts[kind, word] for word in VERDICTS} for kind in KINDS}


def summary(verdicts) -> dict[str, int]:
    """How many verdicts there are of each word."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    return {word: counts[word] for word in VERDICTS}


def as_json(verdicts) -> list[dict]:
    """The verdicts as plain data, for claims.json: the same study gives the same bytes, and two
    studies' files can be compared line by line. Numbers have six digits; nan is None."""

    def number(value):
        return None if value is None or value != value else float(f"{value:.6g}")

    found = []
    for one in verdicts:
        row = one._asdict() | {"p": number(one.p), "findings": []}
        del row["figures"], row["missing"]
        for finding in one.findings:
            ends = {key: number(getattr(finding, key)) for key in ("mean", "low", "high", "p")}
            row["findings"].append(finding._asdict() | ends)
        if not one.findings:
            row["reason"] = one.figures
        found.append(row)
    return found

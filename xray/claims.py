"""The paper's 34 claims (`paper.CLAIMS`), each with a statistic, a rule and, from a study's
records, a verdict.

The rules were fixed before any run was looked at and are the same for every study. What counts as
an effect is said once, in effects.py (`COMMON_RULE` is its short form, for readers); the statistics
of curves are defined in curves.py (`DEFINITIONS`).
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from xray import paper, rules
from xray.effects import (
    FAILS,
    HOLDS,
    NOISE,
    NOT_RUN,
    SEEDS,
    Evidence,
    Finding,
    NotRun,
    alike,
    at_least,
    combine,
    lower_level,
    overfits,
    rougher,
    slower,
)
from xray.specs import LEARNING_RATE_SEARCH, MODELS
from xray.study_command import command

COMMON_RULE = (
    "Models are compared seed by seed. With three seeds or more an effect is within noise where its mean is at most "
    "two standard errors from zero. With fewer, a test score is within noise where McNemar's test gives p ≥ 0.05 "
    "(accuracy) or the paired bootstrap's 95 % interval holds zero (F1); other effects where they are at most 0.5 "
    "points of accuracy, 5 % of a loss or 20 % of an oscillation or shape difference. A claim of several parts fails "
    "with one of them and holds with all. Of the parts of a claim, ✓ marks one that holds, ✗ one that does not, ≈ one"
    " within noise."
)
DEFINITIONS = (
    "Level: mean over the last third of the epochs. Oscillation: mean over inner epochs of the smaller of the steps "
    "before and after, where the curve turns, else 0. Trend: least-squares change over the second half of the epochs."
    " Converged: training accuracy levels off at least 2 points above the larger class's share, with training loss "
    "below its first epoch's. Shape difference: mean absolute deviation of the gap between two curves from its mean. "
    "Losses and oscillations are compared by their difference as a share of the two models' mean."
)


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


class Rule(NamedTuple):
    statistic: str
    rule: str
    link: str
    judge: Callable[[Evidence], list[Finding]]


MARKS = {HOLDS: "✓", FAILS: "✗", NOISE: "≈"}
SCORES = "accuracy and F1 on the test split"
TRENDS = "trends of training and validation loss"

RULES: dict[str, Rule] = {
    "C01": Rule(
        "images in each split", "All three sizes are the paper's.", "section-2-1", rules.split_sizes
    ),
    "C02": Rule(
        "missing, unreadable and surplus images of the audit",
        "All are 0.",
        "section-2-1",
        rules.audit,
    ),
    "C03": Rule(
        "normal / pneumonia images in the training split",
        "Rounds to 0.37.",
        "fig-3",
        rules.class_ratio,
    ),
    "C04": Rule(
        "the images' sizes in the source",
        "All are 640×640; one channel and the range 0–1 follow from the preparation.",
        "fig-4",
        rules.sample_size,
    ),
    "C05": Rule(
        "batches of 32 in each split", "All three counts are the paper's.", "fig-5", rules.batches
    ),
    "C06": Rule(
        "mean training loss over the epochs; level of training accuracy",
        "From 1 to 2 and from 2 to 3 layers the loss is higher and the accuracy lower.",
        "fig-9",
        lambda e: [
            slower(e, "1", "0"),
            slower(e, "2", "1"),
            lower_level(e, "1", "0", "train_accuracy"),
            lower_level(e, "2", "1", "train_accuracy"),
        ],
    ),
    "C07": Rule(
        "range of the level of training accuracy over 3, 0, 4 and over 0, 1, 2",
        "The range over layers is the larger.",
        "fig-10",
        rules.layers_against_units,
    ),
    "C08": Rule(
        "mean training loss over the epochs",
        "Higher with 5 and with 20 units than with 10.",
        "fig-10",
        lambda e: [slower(e, "3", "0"), slower(e, "4", "0")],
    ),
    "C09": Rule(
        "runs of 6 and 7 that converged, in Table 1 and at five learning rates",
        "Holds where none did; does not hold where more than half of a setting's seeds did; else within noise.",
        "learning-rates",
        lambda e: rules.no_convergence(e, "6", "7", *LEARNING_RATE_SEARCH),
    ),
    "C10": Rule(
        "mean training loss over the epochs; level of validation accuracy",
        "With 10 units the loss is lower and the accuracy higher than with 5 and with 20.",
        "fig-11",
        lambda e: [
            slower(e, "8", "5"),
            slower(e, "9", "5"),
            lower_level(e, "8", "5", "validation_accuracy"),
            lower_level(e, "9", "5", "validation_accuracy"),
        ],
    ),
    "C11": Rule(
        "oscillation of validation loss, mean over 10, 11, 12 and over 0–5, 8, 9",
        "Larger for the CNNs.",
        "fig-12",
        rules.cnn_oscillation,
    ),
    "C12": Rule(
        "level of validation accuracy",
        "10 and 11 differ by less than 1 point, and 12 is below both.",
        "fig-12",
        lambda e: [
            alike(e, "10", "11", "validation_accuracy"),
            lower_level(e, "12", "10", "validation_accuracy"),
            lower_level(e, "12", "11", "validation_accuracy"),
        ],
    ),
    "C13": Rule(
        "oscillation of training and validation loss; level of validation accuracy",
        "With kernel 5 the first is larger and the second lower.",
        "fig-13",
        lambda e: [
            rougher(e, "13", "11", "train_loss", "validation_loss"),
            lower_level(e, "13", "11", "validation_accuracy"),
        ],
    ),
    "C14": Rule(
        "level of validation accuracy",
        "Lower for the weighted model.",
        "fig-14",
        lambda e: [lower_level(e, "14", "0", "validation_accuracy")],
    ),
    "C15": Rule(
        "oscillation of validation accuracy",
        "Larger for the weighted model in both classes.",
        "fig-16",
        lambda e: [
            rougher(e, "14", "0", "validation_accuracy"),
            rougher(e, "16", "11", "validation_accuracy"),
        ],
    ),
    "C16": Rule(
        "runs of 18 and 19 that converged",
        "As C09.",
        "adam",
        lambda e: rules.no_convergence(e, "18", "19"),
    ),
    "C17": Rule(
        "oscillation of validation loss of 17 (Adam) against 14 (SGD), both weighted",
        "More than twice as large, or most runs diverged.",
        "fig-17",
        rules.adam_unstable,
    ),
    "C18": Rule(
        "levels of training and validation accuracy",
        "Both differ by less than 1 point.",
        "fig-19",
        lambda e: [
            alike(e, "24", "21", "train_accuracy"),
            alike(e, "24", "21", "validation_accuracy"),
        ],
    ),
    "C19": Rule(
        "level and oscillation of validation accuracy",
        "With weighting the level is lower and the oscillation larger.",
        "fig-19",
        lambda e: [
            lower_level(e, "23", "20", "validation_accuracy"),
            rougher(e, "23", "20", "validation_accuracy"),
        ],
    ),
    "C20": Rule(
        TRENDS,
        "For both models the training loss falls over the second half of the epochs, and the "
        "validation loss by less than a quarter of that.",
        "fig-19",
        lambda e: overfits(e, "22") + overfits(e, "25"),
    ),
    "C21": Rule(
        "95 % interval of recall and specificity (bootstrap, all seeds pooled)",
        "Both intervals hold the paper's value.",
        "fig-18",
        rules.confusion_20,
    ),
    "C22": Rule(
        SCORES,
        "20 and 21 each beat the other four in both; their F1 is at least 95 %; their 95 % interval of "
        "accuracy holds the 93.1 % that the paper's counts give (its 93.4 is a batch mean).",
        "fig-20",
        rules.best_of_six,
    ),
    "C23": Rule(
        SCORES,
        "Both are lower with weighting in each class (23, 24, 25).",
        "fig-21",
        lambda e: rules.all_better(e, paper.BARS[21]),
    ),
    "C24": Rule(
        "oscillation of validation loss and accuracy over the first 50 epochs",
        "Larger at batch size 32 for both pairs.",
        "fig-22",
        lambda e: [
            rougher(e, "22", "22b", "validation_loss", "validation_accuracy"),
            rougher(e, "25", "25b", "validation_loss", "validation_accuracy"),
        ],
    ),
    "C25": Rule(TRENDS, "As C20.", "fig-22", lambda e: overfits(e, "22b") + overfits(e, "25b")),
    "C26": Rule(
        SCORES,
        "F1 is within 94–96 % for four of six or more; the better MLP beats the best other model in "
        "accuracy, and has 92–94 %.",
        "fig-23",
        rules.most_about_95,
    ),
    "C27": Rule(
        SCORES,
        "In no class is either higher with weighting beyond noise.",
        "fig-24",
        lambda e: rules.none_better(e, paper.BARS[24]),
    ),
    "C28": Rule(
        "shape difference of training and validation loss; oscillation of validation loss and accuracy",
        "26b converged in most runs, and both are larger without L2.",
        "fig-26",
        rules.same_shape,
    ),
    "C29": Rule(
        SCORES,
        "Both are higher with L2 in both classes.",
        "fig-27",
        lambda e: rules.all_better(e, [("26b", "22b"), ("27b", "20b")]),
    ),
    "C30": Rule(
        "training time, all three trained pixel by pixel on one device",
        "At least twice that of either other.",
        "fig-28",
        rules.much_longer,
    ),
    "C31": Rule(
        SCORES,
        "Mean accuracy of at least 92 % and mean F1 of at least 94 %.",
        "fig-20",
        lambda e: [at_least(e, "20", "accuracy", 0.92), at_least(e, "20", "f1", 0.94)],
    ),
    "C32": Rule(
        SCORES,
        "Neither MLP nor CNN beats the linear model of its batch size beyond noise and by 1 point.",
        "fig-23",
        lambda e: rules.none_better(
            e,
            [("20", "21"), ("20", "22"), ("20b", "21b"), ("20b", "22b"), ("20b", "26b")],
            least=0.01,
        ),
    ),
    "C33": Rule(
        "range of accuracy and of F1 over batch sizes and weights",
        "Both are larger for Linear and CNN than for the MLP, in the seeds in which no MLP is dead.",
        "fig-24",
        rules.mlp_most_consistent,
    ),
    "C34": Rule(
        "F1 of 26b − 20b; training time of 26b / 27b",
        "F1 is higher, by less than 1 point; the time ratio is above 1.2.",
        "fig-28",
        rules.gain_and_cost,
    ),
}


def judge(runs: dict, facts: dict, timed=()) -> list[Verdict]:
    """The 34 verdicts, in order.

    runs: model -> its runs, one a seed, as results.select gives them. facts: data.json's, or empty.
    timed: every run of the study, among which the durations are sought; the selected ones where it
        is empty.
    """
    timed = list(timed) or [run for group in runs.values() for run in group]
    return [_judge_one(claim, Evidence(runs, facts, timed)) for claim in paper.CLAIMS]


def _judge_one(claim, evidence: Evidence) -> Verdict:
    rule, missing = RULES[claim.id], ()
    try:
        absent = [model for model in claim.models if not evidence.runs.get(model)]
        if absent:
            raise NotRun(absent)
        findings = rule.judge(evidence)
        marked = [
            f"{MARKS[found.outcome]} {found.words}" if len(findings) > 1 else found.words
            for found in findings
        ]
        verdict, figures = combine(findings), "; ".join(marked)
        note = _note(evidence, claim.models)
    except NotRun as error:
        verdict, missing, note = NOT_RUN, error.models, ""
        figures = f"{', '.join(missing)}: {error}" if missing else str(error)
        if error.options is not None:
            figures += "; " + command(evidence.timed, missing, *error.options.split())
    return Verdict(
        claim.id,
        claim.section,
        claim.text,
        claim.models,
        rule.statistic,
        rule.rule,
        figures,
        verdict,
        rule.link,
        note,
        missing,
    )


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
        notes.append(
            f"fewer than {SEEDS} seeds{which}: noise and effect cannot be told apart by seeds"
        )
    return "; ".join(notes)


def summary(verdicts) -> dict[str, int]:
    """How many verdicts there are of each kind."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    return {kind: counts[kind] for kind in (HOLDS, FAILS, NOISE, NOT_RUN)}

"""The paper's 37 claims, each judged on a study's records by a function of its own.

A claim's function gives its conditions as findings; what counts as an effect is said once, in
effects.py. The rules are the same for every study.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from xray import curves, metrics, paper
from xray.comparisons import printed, timed_alike
from xray.data_choices import PAPER
from xray.effects import (
    ERROR,
    FAILS,
    HOLDS,
    MARGIN,
    NOISE,
    NOT_RUN,
    NOT_TESTED,
    SCORE_NAMES,
    Evidence,
    Finding,
    NotRun,
    NotTested,
    alike,
    at_least,
    better,
    convergence,
    effect,
    fact,
    lands,
    level_difference,
    most,
    no_convergence,
    not_above,
    overfits,
    p_of,
    rougher,
    slower,
    verdict_of,
)
from xray.intervals import holm
from xray.results import Run
from xray.specs import IMAGE_SIZE, LEARNING_RATE_SEARCH, MODELS
from xray.study import Study, command, seconds_of, seeds, test_share

# What filters and kernels do depends on how much of a film they see, which matched steps leave
# as it is at the smaller size.
OF_KERNELS = ("C11", "C12", "C13")
PHANTOMS = "phantoms say nothing about it"
TRAIN, VALIDATION = "train_accuracy", "validation_accuracy"
VERDICTS = (HOLDS, FAILS, NOISE, NOT_TESTED, NOT_RUN)
MARKS = {HOLDS: "✓", FAILS: "✗", NOISE: "≈"}
# The paper's conclusions on test scores. Each is right by chance at times, so of these the verdicts
# stand only with Holm's adjusted p below 5 %. All other claims are exploratory.
PRIMARY = ("C23", "C27", "C29", "C31", "C32", "C33", "C34")


class Claim(NamedTuple):
    """A claim of the paper, and how it is judged."""

    id: str
    section: str  # of the paper
    link: str  # id of the report's figure, table or section that shows it, such as "fig-9"
    models: tuple[str, ...]  # whose runs decide it; empty where the data does
    text: str
    rule: str
    findings: Callable[[Evidence], list[Finding]]  # its conditions; raises NotRun, NotTested


CLAIMS: list[Claim] = []


def claim(name: str, section: str, link: str, models: str):
    """Puts the function below it among CLAIMS. The first paragraph of its docstring is the claim in
    our words, the second the rule that decides it; both are printed."""

    def keep(function):
        text, rule = (" ".join(part.split()) for part in function.__doc__.split("\n\n"))
        CLAIMS.append(Claim(name, section, link, tuple(models.split()), text, rule, function))
        return function

    return keep


# ---- section 2: the data


def _own_data(evidence: Evidence) -> None:
    """Raises NotTested where the source is not the paper's data set."""
    evidence.count("train")  # or NotRun
    if evidence.study.runs[0].data["source"] != PAPER:
        why = f"the source is not the Hub's {PAPER}"
        raise NotTested(why)


@claim("C01", "2.1", "section-2-1", "")
def split_sizes(evidence):
    """The splits hold 4,077, 1,165 and 582 images

    All three splits have the paper's numbers."""
    _own_data(evidence)
    counts = {split: evidence.count(split) for split in paper.SPLIT_SIZES}
    return [
        fact(f"{split} {counts[split]:,}", counts[split] == size)
        for split, size in paper.SPLIT_SIZES.items()
    ]


@claim("C02", "2.1", "section-2-1", "")
def audit(evidence):
    """There are no missing and no duplicated images

    The audit finds no missing, unreadable or surplus image."""
    _own_data(evidence)
    found = evidence.study.facts["audit"]
    numbers = {
        "missing": found["missing"],
        "unreadable": len(found["unreadable"]),
        "copies by file content": found["identical_bytes"]["surplus"],
        "copies by pixels": found["identical_pixels"]["surplus"],
    }
    return [fact(f"{number} {words}", not number) for words, number in numbers.items()]


@claim("C03", "2.1", "fig-3", "")
def class_ratio(evidence):
    """The training split has 0.37 normal images for each with pneumonia

    That ratio rounds to 0.37."""
    _own_data(evidence)
    ratio = evidence.count("train", "NORMAL") / max(evidence.count("train", "PNEUMONIA"), 1)
    return [fact(f"{ratio:.4f}", abs(ratio - paper.CLASS_RATIO) < 0.005)]


@claim("C04", "2.2", "fig-4", "")
def sample_size(evidence):
    """A prepared sample is 1×640×640 with values in 0–1

    All images of the source are 640×640; one channel and the range 0–1 follow from the
    preparation."""
    _own_data(evidence)
    sizes = Counter(evidence.study.facts["sizes"])
    words = [f"{count:,} of {size.replace('x', '×')}" for size, count in sizes.most_common(3)]
    more = f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else ""
    return [fact(", ".join(words) + more, set(sizes) == {"640x640"})]


@claim("C05", "2.2", "fig-5", "")
def batches(evidence):
    """Batches of 32: 128 for training, 37 for validation, 19 for test

    All three splits fill these numbers of batches."""
    _own_data(evidence)
    counts = {split: math.ceil(evidence.count(split) / 32) for split in paper.SPLIT_SIZES}
    expected = paper.BATCHES[32]
    return [fact(f"{split} {n}", n == expected[split]) for split, n in counts.items()]


# ---- section 3.1


@claim("C06", "3.1", "fig-9", "0 1 2")
def added_layers(evidence):
    """Linear: each added hidden layer slows the fall of the loss and lowers training accuracy

    From 1 to 2 and from 2 to 3 layers the mean training loss rises and the level of training
    accuracy falls."""
    return [
        slower(evidence, "1", "0"),
        slower(evidence, "2", "1"),
        level_difference(evidence, "0", "1", TRAIN),
        level_difference(evidence, "1", "2", TRAIN),
    ]


@claim("C07", "3.1", "fig-10", "3 0 4 1 2")
def layers_against_units(evidence):
    """Linear: the number of units matters less than the number of layers

    The level of training accuracy has a larger range over 0, 1, 2 (layers) than over 3, 0, 4
    (units)."""
    values = []
    for row in evidence.matched("0", "1", "2", "3", "4"):
        lines = curves.shared(*(run.history[TRAIN] for run in row))
        zero, one, two, three, four = map(curves.level, lines)
        values.append(np.ptp([zero, one, two]) - np.ptp([zero, three, four]))
    return [effect("range over layers − range over units", values, "points")]


@claim("C08", "3.1", "fig-10", "3 0 4")
def fastest_units(evidence):
    """Linear: 10 units lower the loss fastest

    The mean training loss is higher with 5 and with 20 units than with 10."""
    return [slower(evidence, "3", "0"), slower(evidence, "4", "0")]


@claim("C09", "3.1", "learning-rates", "6 7")
def deep_mlps(evidence):
    """MLP: 2 or 3 hidden layers do not converge, at any learning rate from 1e-1 to 1e-5

    The 95 % interval (Wilson) of the share of runs that converged lies below one half for 6 and 7
    at each learning rate. Does not hold where one lies above."""
    return no_convergence(evidence, "6", "7", *LEARNING_RATE_SEARCH)


@claim("C10", "3.1", "fig-11", "8 5 9")
def best_units(evidence):
    """MLP: 10 units are fastest and most accurate

    With 10 units the mean training loss is lower and the level of validation accuracy higher than
    with 5 and with 20."""
    return [
        slower(evidence, "8", "5"),
        slower(evidence, "9", "5"),
        level_difference(evidence, "5", "8", VALIDATION),
        level_difference(evidence, "5", "9", VALIDATION),
    ]


@claim("C11", "3.1", "fig-12", "10 11 12 0 1 2 3 4 5 8 9")
def cnn_oscillation(evidence):
    """CNN: the validation loss oscillates more than in the other classes

    The mean oscillation of validation loss is larger over 10, 11, 12 than over 0–5, 8, 9."""
    # one value a seed: the mean over those models of either side that learned with it
    cnn, others = ("10", "11", "12"), ("0", "1", "2", "3", "4", "5", "8", "9")
    by_model = dict(zip(cnn + others, evidence.learned(*cnn, *others)))
    values = []
    for seed in sorted(set.intersection(*(set(by_model[model]) for model in ("0", "1", "2")))):
        sides = []
        for models in (cnn, others):
            runs = [by_model[model][seed] for model in models if seed in by_model[model]]
            sides.append([curves.oscillation(run.history["validation_loss"]) for run in runs])
        if all(sides):
            values.append(curves.relative(*map(np.mean, sides)))
    if len(values) < 3:
        raise NotRun(cnn + others, "fewer than 3 seeds of both", "--seeds 0-4")
    return [effect("oscillation of validation loss, CNNs over the others", values, "oscillation")]


@claim("C12", "3.1", "fig-12", "10 11 12")
def filters(evidence):
    """CNN: 5 and 10 filters are alike, and better than 20

    The levels of validation accuracy of 10 and 11 are alike; that of 12 is below both."""
    return [
        level_difference(evidence, "10", "11", VALIDATION, alike),
        level_difference(evidence, "10", "12", VALIDATION),
        level_difference(evidence, "11", "12", VALIDATION),
    ]


@claim("C13", "3.1", "fig-13", "11 13")
def kernels(evidence):
    """CNN: kernel 5 gives rougher loss curves and lower accuracy than kernel 3

    With kernel 5 the oscillation of training and validation loss is larger and the level of
    validation accuracy lower."""
    return [
        rougher(evidence, "13", "11", "train_loss", "validation_loss"),
        level_difference(evidence, "11", "13", VALIDATION),
    ]


# ---- section 3.2


@claim("C14", "3.2", "fig-14", "0 14")
def weighted_level(evidence):
    """Linear: weighting makes the accuracy level off lower

    The level of validation accuracy is lower for the weighted model."""
    return [level_difference(evidence, "0", "14", VALIDATION)]


@claim("C15", "3.2", "fig-16", "0 14 11 16")
def weighted_oscillation(evidence):
    """Linear and CNN: weighting makes validation accuracy oscillate more

    The oscillation of validation accuracy is larger for the weighted model in both classes."""
    return [rougher(evidence, "14", "0", VALIDATION), rougher(evidence, "16", "11", VALIDATION)]


@claim("C16", "3.2", "adam", "18 19")
def adam_convergence(evidence):
    """Adam does not converge for the MLP and the CNN

    As C09, for 18 and 19."""
    return no_convergence(evidence, "18", "19")


@claim("C17", "3.2", "fig-17", "14 17")
def adam_unstable(evidence):
    """Linear: Adam is very unstable

    The oscillation of validation loss of 17 (Adam) is more than twice that of 14 (SGD), both
    weighted, or most runs of 17 diverged."""
    (runs,) = evidence.every("17")
    diverged = sum(run.status == "diverged" for run in runs)
    if 2 * diverged > len(runs):
        return [most("runs of 17 that diverged", diverged, len(runs))]
    return [rougher(evidence, "17", "14", "validation_loss", times=2)]


# ---- section 3.3


@claim("C18", "3.3", "fig-19", "21 24")
def weighted_mlp(evidence):
    """MLP: weighting changes the accuracy curves little

    The levels of training and of validation accuracy are alike."""
    return [level_difference(evidence, "24", "21", curve, alike) for curve in (TRAIN, VALIDATION)]


@claim("C19", "3.3", "fig-19", "20 23")
def weighted_linear(evidence):
    """Linear: weighting lowers validation accuracy and adds oscillation

    With weighting the level of validation accuracy is lower and its oscillation larger."""
    return [
        level_difference(evidence, "20", "23", VALIDATION),
        rougher(evidence, "23", "20", VALIDATION),
    ]


@claim("C20", "3.3", "fig-19", "22 25")
def cnn_overfits(evidence):
    """CNN: the training loss keeps falling while the validation loss levels off

    For both models the training loss has a falling trend, and the validation loss falls by less
    than a quarter of that."""
    return overfits(evidence, "22") + overfits(evidence, "25")


@claim("C21", "3.3", "fig-18", "20")
def confusion_20(evidence):
    """Model 20 on the test split: TP 400, TN 142, FP 29, FN 11

    The paper's specificity, 83.0 %, lies where 95 of 100 single runs on a new split would, at the
    threshold that finds 97.3 % of pneumonia (400 of 411)."""
    counts, (row,) = paper.CONFUSION_20, paper.implied("20")
    recall = row.tp / (row.tp + row.fn)

    def specificity(run):
        logits, labels = run.logits["test"], run.labels["test"]
        threshold = metrics.threshold_at_sensitivity(logits, labels, recall)
        return float((logits[labels == 0] <= threshold).mean())

    theirs = float(metrics.count_scores(**counts)["specificity"])
    name = f"specificity where {100 * recall:.1f} % of pneumonia is found "
    name += f"({row.tp} of {row.tp + row.fn}),"
    return [lands(evidence, "20", name, specificity, theirs, f", {row.tn} of {row.tn + row.fp}")]


@claim("C22", "3.3", "fig-20", "20 21 22 23 24 25")
def best_of_six(evidence):
    """Models 21 and 20 are the best of six: F1 above 95 %, accuracy 93.4 %

    Over image re-splits 20 and 21 each beat the other four in test accuracy and F1; their F1 is
    above 95 %; the 93.1 % accuracy that the paper's counts give (its 93.4 is a batch mean) lies
    where 95 of 100 single runs on a new split would."""
    findings = []
    for model in ("20", "21"):
        for other in ("22", "23", "24", "25"):
            findings += [better(evidence, model, other, score) for score in SCORE_NAMES]
    for model in ("20", "21"):
        findings.append(at_least(evidence, model, "f1", 0.95))
        theirs = printed(model, "accuracy")
        findings.append(lands(evidence, model, "accuracy", _accuracy, theirs))
    return findings


def _accuracy(run) -> float:
    return float(np.mean(metrics.predictions(run.logits["test"]) == run.labels["test"]))


def _all_better(evidence, pairs, rule=None) -> list[Finding]:
    """That the first of each pair is better in accuracy and in F1, or by another rule."""
    evidence.every(*dict.fromkeys(model for pair in pairs for model in pair))  # or NotRun, of all
    rule = {"rule": rule} if rule else {}
    return [better(evidence, a, b, score, **rule) for a, b in pairs for score in SCORE_NAMES]


def _none_better(evidence, pairs) -> list[Finding]:
    """That the second of no pair is better than the first by as much as counts."""
    return _all_better(evidence, [(b, a) for a, b in pairs], not_above)


@claim("C23", "3.3", "fig-21", "20 23 21 24 22 25")
def weighted_scores(evidence):
    """Weighting lowers accuracy and F1 in all three classes

    Over image re-splits, test accuracy and F1 are lower with weighting in each class (23, 24,
    25)."""
    return _all_better(evidence, paper.BARS[21])


# ---- section 3.4


@claim("C24", "3.4", "fig-22", "22 22b 25 25b")
def larger_batches(evidence):
    """CNN: the curves oscillate less with batches of 64 than of 32

    The oscillation of validation loss and accuracy over the first 50 epochs is larger at batch size
    32 for both pairs."""
    return [
        rougher(evidence, "22", "22b", "validation_loss", VALIDATION),
        rougher(evidence, "25", "25b", "validation_loss", VALIDATION),
    ]


@claim("C25", "3.4", "fig-22", "22b 25b")
def cnn_still_overfits(evidence):
    """CNN: with batches of 64 it still overfits

    As C20, for 22b and 25b."""
    return overfits(evidence, "22b") + overfits(evidence, "25b")


@claim("C26", "3.4", "fig-23", "20b 21b 22b 23b 24b 25b")
def most_about_95(evidence):
    """Most models have an F1 of about 95 %; the MLP's accuracy is highest, about 93 %

    Over image re-splits, test F1 is within 1 point of 95 % for four of six or more; the better MLP
    beats the other four models in accuracy, and its own is within 1 point of 93 %."""
    models = ("22b", "25b", "20b", "21b", "24b", "23b")
    evidence.every(*models)
    near = Counter(at_least(evidence, model, "f1", 0.95, alike).outcome for model in models)
    outcome = HOLDS if near[HOLDS] >= 4 else FAILS if near[FAILS] > 2 else NOISE
    words = f"F1 within {100 * MARGIN['points']:g} point of 95 % for {near[HOLDS]} of 6"
    words += f", beyond it for {near[FAILS]}, undecided for {near[NOISE]}"

    def accuracy(model):
        return evidence.over_splits(model)["accuracy"][model].mean()

    mlp = max(("21b", "24b"), key=accuracy)
    others = ("20b", "22b", "23b", "25b")
    return [
        Finding(words, outcome),
        *(better(evidence, mlp, other, "accuracy") for other in others),
        at_least(evidence, mlp, "accuracy", 0.93, alike),
    ]


@claim("C27", "3.4", "fig-24", "20b 23b 21b 24b 22b 25b")
def weighted_large_batches(evidence):
    """With batches of 64, weighting improves neither accuracy nor F1

    Over image re-splits, weighting raises test accuracy or F1 by 1 point in no class."""
    return _none_better(evidence, paper.BARS[24])


# ---- sections 3.5 and 3.6


@claim("C28", "3.5", "fig-26", "22b 26b")
def same_shape(evidence):
    """CNN: L2 gives training and validation curves the same shape, with less oscillation

    More than half of the runs of 26b converge (by the 95 % interval of the share); the shape
    difference of training and validation loss and the oscillation of validation loss and accuracy
    are larger without L2."""
    converged = most("runs of 26b that converged", *convergence(evidence, "26b")["26b"])
    if converged.outcome == FAILS:
        return [converged]
    values = []
    for row in evidence.matched("22b", "26b"):
        losses = [(run.history["train_loss"], run.history["validation_loss"]) for run in row]
        values.append(curves.relative(*(curves.shape_difference(*pair) for pair in losses)))
    words = "shape difference of training and validation loss, 22b over 26b"
    return [
        converged,
        effect(words, values, "oscillation"),
        rougher(evidence, "22b", "26b", "validation_loss", VALIDATION),
    ]


@claim("C29", "3.5", "fig-27", "22b 26b 20b 27b")
def l2_improves(evidence):
    """L2 improves the CNN's and the linear model's scores

    Over image re-splits, test accuracy and F1 are higher with L2 in both classes."""
    return _all_better(evidence, [("26b", "22b"), ("27b", "20b")])


def _durations(evidence) -> dict[str, float]:
    """Mean training time of 26b, 27b and 28b in seconds. Raises NotRun."""
    timed = timed_alike(evidence.study.runs)
    if len(timed) < len(paper.DURATIONS[28]):
        why = "not trained pixel by pixel alike in size, precision, threads and device"
        raise NotRun(paper.DURATIONS[28], why, "--engine direct")
    evidence.used += [run for runs in timed.values() for run in runs]
    return {model: float(np.mean(list(map(seconds_of, runs)))) for model, runs in timed.items()}


@claim("C30", "3.6", "fig-28", "26b 27b 28b")
def much_longer(evidence):
    """The CNN takes much longer to train than the linear model and the MLP

    It takes at least twice as long as either, all three trained pixel by pixel on one device."""
    seconds, findings = _durations(evidence), []
    for model in ("27b", "28b"):
        cnn, other = seconds["26b"], seconds[model]
        words = f"26b takes {cnn / other:.1f} times as long as {model} ({cnn:.0f} s, {other:.0f} s)"
        findings.append(fact(words, cnn >= 2 * other))
    return findings


# ---- section 4


@claim("C31", "4", "fig-20", "20")
def one_layer(evidence):
    """One hidden layer of 10 linear units reaches an accuracy of about 93 % and an F1 of about 95 %

    Over image re-splits, test accuracy is above 92 % and F1 above 94 %."""
    return [at_least(evidence, "20", "accuracy", 0.92), at_least(evidence, "20", "f1", 0.94)]


@claim("C32", "4", "fig-23", "20 21 22 20b 21b 22b 26b")
def more_complex(evidence):
    """A more complex architecture brings no significant improvement

    Over image re-splits, neither MLP nor CNN beats the linear model of its batch size by 1 point in
    test accuracy or F1."""
    pairs = [("20", "21"), ("20", "22"), ("20b", "21b"), ("20b", "22b"), ("20b", "26b")]
    return _none_better(evidence, pairs)


@claim("C33", "4", "fig-24", "20 23 20b 23b 21 24 21b 24b 22 25 22b 25b")
def mlp_most_consistent(evidence):
    """The MLP is the most consistent across batch sizes and weights

    Over image re-splits, the range of test accuracy and of F1 over batch sizes and weights is
    larger for Linear and for CNN than for the MLP."""
    mlps, findings = ["21", "24", "21b", "24b"], []
    linear, cnn = ["20", "23", "20b", "23b"], ["22", "25", "22b", "25b"]
    for family, others in (("Linear", linear), ("CNN", cnn)):
        for score, name in SCORE_NAMES.items():
            means = evidence.over_splits(*others, *mlps)[score]
            wider = np.ptp(means[others], axis=1) - np.ptp(means[mlps], axis=1)
            words = f"range of {name}, {family} − MLP"
            share = test_share(evidence.study)
            findings.append(effect(words, wider, "points", test_share=share))
    return findings


@claim("C34", "4", "fig-28", "20b 26b 27b")
def gain_and_cost(evidence):
    """CNN with L2: F1 up by less than 1 point, at more than 20 % more compute

    Over image re-splits, 26b's test F1 is above 20b's, by less than 1 point; training 26b takes
    more than 1.2 times as long as 27b."""
    seconds = _durations(evidence)
    ratio = seconds["26b"] / seconds["27b"]
    small = better(evidence, "26b", "20b", "f1", not_above)
    return [
        better(evidence, "26b", "20b", "f1"),
        small._replace(words=f"that F1 difference is below {100 * MARGIN['points']:g} point"),
        fact(f"26b takes {ratio:.1f} times as long as 27b", ratio > 1.2),
    ]


# ---- sentences that stand elsewhere in the paper


@claim("C35", "2.4", "section-2-4", "")
def constant_answer(evidence):
    """Always answering 1 gives an accuracy of about 70 %

    The share of pneumonia in the paper's own test split, from its confusion matrix, is between 69
    and 71 %."""
    counts = paper.CONFUSION_20
    positives, images = counts["tp"] + counts["fn"], sum(counts.values())
    words = f"the paper's test split: {positives} of {images}, {100 * positives / images:.1f} %"
    if evidence.study.facts:
        ours = evidence.count("test", "PNEUMONIA") / max(evidence.count("test"), 1)
        words += f" (this study's: {100 * ours:.1f} %)"
    return [fact(words, abs(positives / images - 0.70) < 0.01)]


@claim("C36", "3.5", "fig-27", "21b 28b")
def l2_of_the_mlp(evidence):
    """L2 is not said to improve the MLP's scores, unlike the others'

    Over image re-splits, L2 raises neither test accuracy nor F1 by 1 point."""
    return _none_better(evidence, [("21b", "28b")])


@claim("C37", "3.3", "fig-19", "22 25")
def weighted_cnn(evidence):
    """CNN: weighting makes the curves more unstable

    The oscillation of validation loss and accuracy is larger for the weighted model."""
    return [rougher(evidence, "25", "22", "validation_loss", VALIDATION)]


# ---- verdicts


class Verdict(NamedTuple):
    id: str
    section: str
    claim: str
    kind: str  # what it is about: "data", "Linear", "MLP", "CNN" or "several" of these
    models: tuple[str, ...]
    rule: str
    figures: str  # the numbers, in words; for "not run" and "not tested here" the reason
    verdict: str  # one of VERDICTS
    link: str  # id of the figure, table or section that shows it, such as "fig-9"
    findings: tuple[Finding, ...] = ()  # the claim's conditions
    primary: bool = False  # of the family that Holm's adjustment is over; else exploratory
    p: float | None = None  # of a primary claim's verdict, adjusted; None where it was not judged
    alone: str = ""  # a primary claim's verdict by itself, where Holm's adjustment took it back
    note: str = ""  # what sets the study apart from the paper's, and too few seeds
    missing: tuple[str, ...] = ()  # models to train for a verdict
    records: tuple[str, ...] = ()  # the runs it was judged on, in words


def judge(study: Study) -> list[Verdict]:
    """The 37 verdicts, in order; on phantoms there are none."""
    found = [judge_alone(one, study) for one in CLAIMS]
    # all seven, whatever was run: a claim that is not judged yet takes its place with p = 1
    primary = [one for one in found if one.primary]
    adjusted = holm({one.id: p_of(one.findings) if one.findings else 1.0 for one in primary})
    for place, one in enumerate(found):
        if one.primary and one.findings:
            kept = one.verdict if adjusted[one.id] < ERROR else NOISE
            alone = one.verdict if one.verdict != kept else ""
            found[place] = one._replace(verdict=kept, alone=alone, p=adjusted[one.id])
    return found


def judge_alone(claim: Claim, study: Study) -> Verdict:
    """The verdict on a claim by itself, before Holm's adjustment of the primary ones together."""
    evidence, findings, missing, note, records = Evidence(study), (), (), "", ()
    try:
        if study.runs and study.runs[0].data["phantom"]:
            raise NotRun((), PHANTOMS, None)
        evidence.every(*claim.models)  # or NotRun, before the first is judged
        evidence.used.clear()
        findings = tuple(claim.findings(evidence))
        marks = [f"{MARKS[one.outcome]} " if len(findings) > 1 else "" for one in findings]
        figures = "; ".join(mark + one.words for mark, one in zip(marks, findings))
        verdict, note = verdict_of(findings), _note(claim, evidence.used)
        records = _records(evidence.used)
    except NotTested as error:
        verdict, figures = NOT_TESTED, str(error)
    except NotRun as error:
        verdict, missing = NOT_RUN, error.models
        figures = f"{', '.join(missing)}: {error}" if missing else str(error)
        if error.options is not None:
            figures += "; " + command(study.runs, missing, *error.options.split())
    return Verdict(
        id=claim.id,
        section=claim.section,
        claim=claim.text,
        kind=_kind(claim),
        models=claim.models,
        rule=claim.rule,
        figures=figures,
        verdict=verdict,
        link=claim.link,
        findings=findings,
        primary=claim.id in PRIMARY,
        note=note,
        missing=missing,
        records=records,
    )


def _records(used: list[Run]) -> tuple[str, ...]:
    """Runs in few words: "22b-64px-matched-bf16 on given: seeds 0–4"; "20 on image: 90 runs, 30
    splits"."""
    groups = defaultdict(dict)
    for run in used:
        kind = run.split.partition("-")[0]
        groups[run.name.replace(f"-seed{run.seed}", ""), kind][run.split, run.seed] = run
    found = []
    for (name, kind), runs in groups.items():
        splits = len({split for split, _ in runs})
        many = f"{len(runs)} runs, {splits} splits"
        about = f"seeds {seeds(list(runs.values()))}" if splits == 1 else many
        found.append(f"{name} on {kind}: {about}")
    return tuple(found)


def _kind(claim: Claim) -> str:
    names = {"Linear": "Linear", "Linear+ReLU": "MLP", "CNN": "CNN"}
    found = {names[MODELS[model].family] for model in claim.models}
    return "data" if not found else found.pop() if len(found) == 1 else "several"


def _note(claim: Claim, used: list[Run]) -> str:
    by_difference, shown = {}, set()
    for run in used:
        shown.add(run.spec.id)
        for words in run.differs:
            by_difference.setdefault(words, set()).add(run.spec.id)
    if same := _shared_starts(used):
        by_difference["several re-splits have the same starts, which no interval covers then"] = (
            same
        )
    order = list(MODELS | LEARNING_RATE_SEARCH)
    notes = [
        words if found == shown else f"{', '.join(sorted(found, key=order.index))}: {words}"
        for words, found in by_difference.items()
    ]
    sizes = {run.image_size for run in used if run.spec.family == "CNN"} - {IMAGE_SIZE}
    for size in sorted(sizes) if claim.id in OF_KERNELS else ():
        times = f"kernels see {IMAGE_SIZE / size:g} times the share of a film's width"
        notes.append(f"{times} that they see at {IMAGE_SIZE}×{IMAGE_SIZE}")
    return "; ".join(notes)


def _shared_starts(used: list[Run]) -> set[str]:
    """The models whose runs on re-splits do not start anew on each (study.own_starts)."""
    splits = defaultdict(set)
    for run in used:
        kind, _, number = run.split.partition("-")
        if number:
            splits[kind, run.spec.id, run.seed].add(run.split)
    return {model for (_, model, _), there in splits.items() if len(there) > 1}


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


def compare(one: dict, other: dict) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """Two studies' claims.json -> (the claims on which they agree, claim -> its two verdicts where
    they do not)."""
    ours, theirs = ({row["id"]: row["verdict"] for row in each["claims"]} for each in (one, other))
    pairs = {name: (ours[name], theirs[name]) for name in ours if name in theirs}
    differ = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return [name for name in pairs if name not in differ], differ

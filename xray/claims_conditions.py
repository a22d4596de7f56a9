"""The conditions of the claims that need more than one of claims_effects.py's: each function takes
the evidence and returns findings. claims.py says which claim uses which, claims.txt what each
means."""

import math
from collections import Counter

import numpy as np
from scipy import stats

from xray import curves, metrics, paper
from xray.claims_effects import (
    SCORE_NAMES,
    at_least,
    better,
    convergence,
    mean_score,
    rougher,
)
from xray.comparisons import printed, timed_alike
from xray.data_sources import PAPER
from xray.effects import (
    FAILS,
    HOLDS,
    MARGIN,
    NOISE,
    Finding,
    NotRun,
    NotTested,
    alike,
    effect,
    fact,
    most,
    not_above,
)
from xray.intervals import wilson
from xray.study import seconds_of

# ---- the data (sections 2.1, 2.2, 2.4)


def _own_data(e):
    """Raises NotTested where the source is not the paper's data set."""
    e.count("train")
    if e.source != PAPER:
        why = f"the source is not the Hub's {PAPER}: its splits, copies and sizes are its own"
        raise NotTested(why)


def split_sizes(e):
    _own_data(e)
    return [
        fact(f"{split} {e.count(split):,}", e.count(split) == size)
        for split, size in paper.SPLIT_SIZES.items()
    ]


def audit(e):
    _own_data(e)
    found = e.facts["audit"]
    numbers = {
        "missing": found["missing"],
        "unreadable": len(found["unreadable"]),
        "copies by file content": found["identical_bytes"]["surplus"],
        "copies by pixels": found["identical_pixels"]["surplus"],
    }
    return [fact(f"{number} {words}", not number) for words, number in numbers.items()]


def class_ratio(e):
    _own_data(e)
    ratio = e.count("train", "NORMAL") / max(e.count("train", "PNEUMONIA"), 1)
    return [fact(f"{ratio:.4f}", abs(ratio - paper.CLASS_RATIO) < 0.005)]


def sample_size(e):
    _own_data(e)
    sizes = Counter(e.facts["sizes"])
    words = [f"{count:,} of {size.replace('x', '×')}" for size, count in sizes.most_common(3)]
    more = f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else ""
    return [fact(", ".join(words) + more, set(sizes) == {"640x640"})]


def batches(e):
    _own_data(e)
    counts = {split: math.ceil(e.count(split) / 32) for split in paper.SPLIT_SIZES}
    expected = paper.BATCHES[32]
    return [fact(f"{split} {n}", n == expected[split]) for split, n in counts.items()]


def constant_answer(e):
    """By the paper's own counts; ours stand beside."""
    counts = paper.CONFUSION_20
    positives = counts["tp"] + counts["fn"]
    share = positives / sum(counts.values())
    words = f"the paper's test split: {positives} of {sum(counts.values())}, {100 * share:.1f} %"
    if e.facts:
        ours = e.count("test", "PNEUMONIA") / max(e.count("test"), 1)
        words += f" (this study's: {100 * ours:.1f} %)"
    return [fact(words, abs(share - 0.70) < 0.01)]


# ---- curves (sections 3.1 to 3.5)


def layers_against_units(e):
    rows = [
        [run.history["train_accuracy"] for run in row] for row in e.matched("0", "1", "2", "3", "4")
    ]
    length = min(len(curve) for row in rows for curve in row)
    levels = np.array([[curves.level(curve[:length]) for curve in row] for row in rows])
    layers, units = np.ptp(levels[:, [0, 1, 2]], axis=1), np.ptp(levels[:, [0, 3, 4]], axis=1)
    return [effect("range over layers − range over units", layers - units, "points")]


def no_convergence(e, *models):
    """That fewer than half of the runs converge, in each setting by itself."""
    found = []
    for model, (good, runs) in convergence(e, *models).items():
        low, high = wilson(good, runs)
        outcome = HOLDS if high < 0.5 else FAILS if low > 0.5 else NOISE
        words = f"{model}: {good} of {runs} converged ({100 * low:.0f}–{100 * high:.0f} %)"
        found.append(Finding(words, outcome, good / runs, low, high, number=runs))
    return found


def cnn_oscillation(e):
    """One value a seed: the mean over those models of either side that learned with it."""
    cnn, others = ("10", "11", "12"), ("0", "1", "2", "3", "4", "5", "8", "9")
    by_model = dict(zip(cnn + others, e.learned(*cnn, *others)))
    values = []
    for seed in sorted(set.intersection(*(set(by_model[model]) for model in ("0", "1", "2")))):
        sides = [
            [by_model[m][seed].history["validation_loss"] for m in side if seed in by_model[m]]
            for side in (cnn, others)
        ]
        if all(sides):
            means = [np.mean([curves.oscillation(loss) for loss in side]) for side in sides]
            values.append(curves.relative(*means))
    if len(values) < 3:
        raise NotRun(cnn + others, "fewer than 3 seeds of both", "--seeds 0-4")
    return [effect("oscillation of validation loss, CNNs over the others", values, "oscillation")]


def adam_unstable(e):
    (runs,) = e.every("17")
    wild = sum(run.status == "diverged" for run in runs)
    if 2 * wild > len(runs):
        return [most("runs of 17 that diverged", wild, len(runs))]
    return [rougher(e, "17", "14", "validation_loss", times=2)]


def same_shape(e):
    converged = most("runs of 26b that converged", *convergence(e, "26b")["26b"])
    if converged.outcome == FAILS:
        return [converged]
    values = []
    for row in e.matched("22b", "26b"):
        losses = [(run.history["train_loss"], run.history["validation_loss"]) for run in row]
        values.append(curves.relative(*(curves.shape_difference(*pair) for pair in losses)))
    words = "shape difference of training and validation loss, 22b over 26b"
    return [
        converged,
        effect(words, values, "oscillation"),
        rougher(e, "22b", "26b", "validation_loss", "validation_accuracy"),
    ]


# ---- test scores (sections 3.3 to 4)


def _lands(e, model: str, name: str, value, theirs: float, more: str = "") -> Finding:
    """Whether the paper's one run on one split could be one of ours: its value lies where one run
    on another split lands 95 times in 100 (a prediction interval). value(run): its score."""
    values = np.array([value(runs[0]) for (runs,) in e.over_splits(model)])
    spread = values.std(ddof=1) * math.sqrt(1 + 1 / len(values))
    reach = stats.t(len(values) - 1).ppf(0.975) * spread
    low, high = max(0.0, values.mean() - reach), min(1.0, values.mean() + reach)
    words = f"{name} of {model}: one run lands in {100 * low:.1f}–{100 * high:.1f} % "
    words += f"({len(values)} re-splits); the paper's {100 * theirs:.1f} %{more}"
    inside = low - 1e-9 <= theirs <= high + 1e-9
    ends = float(values.mean()), float(low), float(high)
    return Finding(words, HOLDS if inside else FAILS, *ends, number=len(values))


def confusion_20(e):
    counts, (row,) = paper.CONFUSION_20, paper.implied("20")
    recall = row.tp / (row.tp + row.fn)

    def specificity(run):
        logits, labels = run.logits["test"], run.labels["test"]
        threshold = metrics.threshold_at_sensitivity(logits, labels, recall)
        return float((logits[labels == 0] <= threshold).mean())

    theirs = metrics.count_scores(**counts)["specificity"]
    more = f", {row.tn} of {row.tn + row.fp}"
    name = f"specificity where {100 * recall:.1f} % of pneumonia is found ({row.tp} of "
    return [_lands(e, "20", f"{name}{row.tp + row.fn}),", specificity, float(theirs), more)]


def best_of_six(e):
    findings = [
        better(e, a, b, score)
        for a in ("20", "21")
        for b in ("22", "23", "24", "25")
        for score in SCORE_NAMES
    ]
    for model in ("20", "21"):
        findings.append(at_least(e, model, "f1", 0.95))
        theirs = printed(model, "accuracy")
        findings.append(_lands(e, model, "accuracy", lambda r: mean_score([r], "accuracy"), theirs))
    return findings


def all_better(e, pairs, rule=None):
    """That the first of each pair is better in accuracy and in F1, or by another rule."""
    e.every(*dict.fromkeys(model for pair in pairs for model in pair))  # names all that miss
    rule = {"rule": rule} if rule else {}
    return [better(e, a, b, score, **rule) for a, b in pairs for score in SCORE_NAMES]


def none_better(e, pairs):
    """That the second of no pair is better than the first by as much as counts."""
    return all_better(e, [(b, a) for a, b in pairs], not_above)


def more_complex(e):
    """That neither MLP nor CNN beats the linear model of its batch size by as much as counts."""
    pairs = [("20", "21"), ("20", "22"), ("20b", "21b"), ("20b", "22b"), ("20b", "26b")]
    return none_better(e, pairs)


def most_about_95(e):
    models = list(paper.FIG_23)
    e.every(*models)
    near = [at_least(e, model, "f1", 0.95, alike).outcome for model in models]
    count = Counter(near)
    outcome = HOLDS if count[HOLDS] >= 4 else FAILS if count[FAILS] > 2 else NOISE
    words = f"F1 within {100 * MARGIN['points']:g} point of 95 % for {count[HOLDS]} of 6"
    words += f", beyond it for {count[FAILS]}, undecided for {count[NOISE]}"

    def accuracy(model):
        return np.mean([mean_score(runs, "accuracy") for (runs,) in e.over_splits(model)])

    mlp = max(("21b", "24b"), key=accuracy)
    others = ("20b", "22b", "23b", "25b")
    return [
        Finding(words, outcome),
        *(better(e, mlp, other, "accuracy") for other in others),
        at_least(e, mlp, "accuracy", 0.93, alike),
    ]


def mlp_most_consistent(e):
    mlps, findings = ("21", "24", "21b", "24b"), []
    linear, cnn = ("20", "23", "20b", "23b"), ("22", "25", "22b", "25b")
    for family, others in (("Linear", linear), ("CNN", cnn)):
        rows = e.over_splits(*others, *mlps)
        for score in SCORE_NAMES:
            table = np.array([[mean_score(runs, score) for runs in row] for row in rows])
            other, mlp = np.ptp(table.reshape(-1, 2, 4), axis=2).T
            words = f"range of {SCORE_NAMES[score]}, {family} − MLP"
            findings.append(effect(words, other - mlp, "points", test_share=e.test_share))
    return findings


# ---- durations (sections 3.6, 4)


def _durations(e):
    timed = timed_alike(e.timed)
    if len(timed) < len(paper.DURATIONS[28]):
        why = "not trained pixel by pixel alike in size, precision, threads and device"
        raise NotRun(paper.DURATIONS[28], why, "--engine direct")
    e.used += [run for runs in timed.values() for run in runs]
    return {model: float(np.mean(list(map(seconds_of, runs)))) for model, runs in timed.items()}


def much_longer(e):
    seconds, findings = _durations(e), []
    for model in ("27b", "28b"):
        cnn, other = seconds["26b"], seconds[model]
        words = f"26b takes {cnn / other:.1f} times as long as {model} ({cnn:.0f} s, {other:.0f} s)"
        findings.append(fact(words, cnn >= 2 * other))
    return findings


def gain_and_cost(e):
    seconds = _durations(e)
    ratio = seconds["26b"] / seconds["27b"]
    small = better(e, "26b", "20b", "f1", not_above)
    return [
        better(e, "26b", "20b", "f1"),
        small._replace(words=f"which is less than {100 * MARGIN['points']:g} point"),
        fact(f"26b takes {ratio:.1f} times as long as 27b", ratio > 1.2),
    ]

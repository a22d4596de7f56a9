"""The conditions of the claims that need more than one of effects.py's: each function takes the
evidence and returns findings. claims.py says which claim uses which, claims.txt what each means."""

import math
from collections import Counter

import numpy as np

from xray import curves, metrics, paper
from xray.comparisons import timed_alike
from xray.effects import (
    FAILS,
    HOLDS,
    NOISE,
    SCORE_NAMES,
    Finding,
    NotRun,
    at_least,
    better,
    convergence,
    effect,
    rougher,
    score_of,
)
from xray.study import counts_on_test, is_dead, seconds_of


def _fact(words: str, holds: bool) -> Finding:
    return Finding(words, HOLDS if holds else FAILS)


# ---- the data (sections 2.1, 2.2)


def split_sizes(e):
    return [
        _fact(f"{split} {e.count(split):,}", e.count(split) == size)
        for split, size in paper.SPLIT_SIZES.items()
    ]


def audit(e):
    e.count("train")
    found = e.facts["audit"]
    numbers = {
        "missing": found["missing"],
        "unreadable": len(found["unreadable"]),
        "copies by file content": found["identical_bytes"]["surplus"],
        "copies by pixels": found["identical_pixels"]["surplus"],
    }
    return [_fact(f"{number} {words}", not number) for words, number in numbers.items()]


def class_ratio(e):
    ratio = e.count("train", "NORMAL") / max(e.count("train", "PNEUMONIA"), 1)
    return [_fact(f"{ratio:.4f}", abs(ratio - paper.CLASS_RATIO) < 0.005)]


def sample_size(e):
    e.count("train")
    sizes = Counter(e.facts["sizes"])
    words = [f"{count:,} of {size.replace('x', '×')}" for size, count in sizes.most_common(3)]
    more = f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else ""
    return [_fact(", ".join(words) + more, set(sizes) == {"640x640"})]


def batches(e):
    counts = {split: math.ceil(e.count(split) / 32) for split in paper.SPLIT_SIZES}
    printed = paper.BATCHES[32]
    return [_fact(f"{split} {n}", n == printed[split]) for split, n in counts.items()]


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
    found = convergence(e, *models)
    words = ", ".join(f"{model}: {good} of {runs}" for model, (good, runs) in found.items())
    most = any(2 * good > runs for good, runs in found.values())
    some = any(good for good, _ in found.values())
    return [Finding(f"converged {words}", FAILS if most else NOISE if some else HOLDS)]


def cnn_oscillation(e):
    cnn, others = ("10", "11", "12"), ("0", "1", "2", "3", "4", "5", "8", "9")
    values = []
    for row in e.matched(*cnn, *others):
        losses = curves.shared(*(run.history["validation_loss"] for run in row))
        found = list(map(curves.oscillation, losses))
        values.append(curves.relative(np.mean(found[: len(cnn)]), np.mean(found[len(cnn) :])))
    return [effect("oscillation of validation loss, CNNs over the others", values, "oscillation")]


def adam_unstable(e):
    (runs,) = e.every("17")
    wild = sum(run.status == "diverged" for run in runs)
    if 2 * wild > len(runs):
        return [_fact(f"{wild} of {len(runs)} runs of 17 diverged", True)]
    return [rougher(e, "17", "14", "validation_loss", times=2)]


def same_shape(e):
    values = []
    for row in e.matched("22b", "26b"):
        losses = [(run.history["train_loss"], run.history["validation_loss"]) for run in row]
        values.append(curves.relative(*(curves.shape_difference(*pair) for pair in losses)))
    good, runs = convergence(e, "26b")["26b"]
    words = "shape difference of training and validation loss, 22b over 26b"
    return [
        _fact(f"26b converged in {good} of {runs}", 2 * good > runs),
        effect(words, values, "oscillation"),
        rougher(e, "22b", "26b", "validation_loss", "validation_accuracy"),
    ]


# ---- test scores (sections 3.3 to 4)


def _mean_score(e, model, score):
    return float(np.mean([score_of(run, score) for run in _finished(e, model)]))


def _finished(e, model):
    (runs,) = e.finished(model)
    return runs.values()


def _interval(e, model):
    return metrics.bootstrap_runs([counts_on_test(run) for run in _finished(e, model)])


def confusion_20(e):
    counts, (row,) = paper.CONFUSION_20, paper.implied("20")
    wanted = metrics.count_scores(**counts)
    interval = _interval(e, "20")
    findings = []
    for score, right, of in (
        ("recall", row.tp, row.tp + row.fn),
        ("specificity", row.tn, row.tn + row.fp),
    ):
        low, high = interval[score]
        words = f"{score} {100 * low:.1f} to {100 * high:.1f} %, "
        words += f"mean {100 * _mean_score(e, '20', score):.1f} "
        words += f"(paper {100 * wanted[score]:.1f}, {right} of {of})"
        findings.append(_fact(words, low <= wanted[score] <= high))
    return findings


def best_of_six(e):
    e.finished("20", "21", "22", "23", "24", "25")  # names all that diverged at once
    findings = [
        better(e, a, b, score)
        for a in ("20", "21")
        for b in ("22", "23", "24", "25")
        for score in SCORE_NAMES
    ]
    for model in ("20", "21"):
        (row,) = paper.implied(model)
        low, high = _interval(e, model)["accuracy"]
        words = f"accuracy of {model}: {100 * low:.1f} to {100 * high:.1f} %"
        findings.append(at_least(e, model, "f1", 0.95))
        findings.append(_fact(words, low <= row.accuracy / 100 <= high))
    return findings


def all_better(e, pairs):
    e.finished(*dict.fromkeys(model for pair in pairs for model in pair))
    return [better(e, a, b, score) for a, b in pairs for score in SCORE_NAMES]


def none_better(e, pairs, least: float = 0.0):
    """That the second of no pair beats the first beyond noise by `least` points or more."""
    found = all_better(e, [(b, a) for a, b in pairs])
    beats = [one.outcome == HOLDS and one.mean >= least for one in found]
    return [one._replace(outcome=FAILS if bad else HOLDS) for one, bad in zip(found, beats)]


def more_complex(e):
    """That neither MLP nor CNN beats the linear model of its batch size beyond noise by 1 point."""
    pairs = [("20", "21"), ("20", "22"), ("20b", "21b"), ("20b", "22b"), ("20b", "26b")]
    return none_better(e, pairs, least=0.01)


def most_about_95(e):
    models = list(paper.FIG_23)
    e.finished(*models)
    f1 = {model: _mean_score(e, model, "f1") for model in models}
    near = sum(abs(value - 0.95) <= 0.01 for value in f1.values())
    accuracy = {model: _mean_score(e, model, "accuracy") for model in models}
    mlp = max(("21b", "24b"), key=accuracy.get)
    other = max(("20b", "22b", "23b", "25b"), key=accuracy.get)
    return [
        _fact(f"F1 of {near} of 6 within 94–96 %", near >= 4),
        better(e, mlp, other, "accuracy"),
        _fact(f"accuracy of {mlp}: {100 * accuracy[mlp]:.1f} %", abs(accuracy[mlp] - 0.93) <= 0.01),
    ]


def mlp_most_consistent(e):
    mlps, findings = ("21", "24", "21b", "24b"), []
    linear, cnn = ("20", "23", "20b", "23b"), ("22", "25", "22b", "25b")
    for family, others in (("Linear", linear), ("CNN", cnn)):
        # a dead net's constant answer is not the consistency meant
        rows = [row for row in e.matched(*others, *mlps) if not any(map(is_dead, row[4:]))]
        if not rows:
            raise NotRun(mlps, "dead in every seed", None)
        for score in SCORE_NAMES:
            table = np.array([[score_of(run, score) for run in row] for row in rows])
            other, mlp = np.ptp(table.reshape(-1, 2, 4), axis=2).T
            words = f"range of {SCORE_NAMES[score]}, {family} − MLP"
            findings.append(effect(words, other - mlp, "points"))
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
        findings.append(_fact(words, cnn >= 2 * other))
    return findings


def gain_and_cost(e):
    gain = better(e, "26b", "20b", "f1")
    seconds = _durations(e)
    ratio = seconds["26b"] / seconds["27b"]
    small = HOLDS if gain.mean < 0.01 else gain.outcome if gain.outcome == NOISE else FAILS
    return [
        gain,
        Finding(f"{'less than' if gain.mean < 0.01 else 'not less than'} 1 point", small),
        _fact(f"26b takes {ratio:.1f} times as long as 27b", ratio > 1.2),
    ]

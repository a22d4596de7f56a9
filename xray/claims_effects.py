"""The effects that claims are about: test scores over re-splits, and curves over seeds."""

from collections.abc import Callable

import numpy as np

from xray import curves, metrics
from xray.effects import Evidence, Finding, NotRun, above, effect
from xray.results import Run
from xray.study import counts_on_test

SCORE_NAMES = {"accuracy": "accuracy", "f1": "F1"}

# ---- test scores


def mean_score(runs: list[Run], score: str) -> float:
    """The mean of a count metric (metrics.count_scores) over runs on their test splits, 0-1."""
    return float(np.mean([metrics.count_scores(**counts_on_test(run))[score] for run in runs]))


def scores_over_splits(evidence: Evidence, *models: str, score: str) -> np.ndarray:
    """(splits, models): mean scores over the runs that learned. Raises NotRun."""
    rows = evidence.over_splits(*models)
    return np.array([[mean_score(runs, score) for runs in row] for row in rows])


def _given(evidence: Evidence, value: Callable) -> str:
    """What the runs on the given split say, for the end of a finding's words."""
    try:
        return f"; given split {100 * value():+.1f}"
    except NotRun:
        return ""


def better(evidence: Evidence, a: str, b: str, score: str, rule: Callable = above) -> Finding:
    """That model a scores above model b on test images; score is "accuracy" or "f1"."""
    table = scores_over_splits(evidence, a, b, score=score)

    def on_given():
        ours, theirs = (list(runs.values()) for runs in evidence.learned(a, b))
        return mean_score(ours, score) - mean_score(theirs, score)

    values, name = table[:, 0] - table[:, 1], f"{SCORE_NAMES[score]}, {a} − {b}"
    return effect(name, values, "points", rule, evidence.test_share, _given(evidence, on_given))


def at_least(evidence: Evidence, model: str, score: str, target: float, rule=above) -> Finding:
    """That a model's mean test score reaches a target (or, by another rule, is like it)."""
    values = scores_over_splits(evidence, model, score=score)[:, 0] - target

    def on_given():
        return mean_score(list(evidence.learned(model)[0].values()), score) - target

    name = f"{SCORE_NAMES[score]} of {model} is {100 * (values.mean() + target):.1f} %, "
    name += f"from {100 * target:g} %"
    return effect(name, values, "points", rule, evidence.test_share, _given(evidence, on_given))


# ---- curves


def _words(curve: str) -> str:
    return curve.replace("train_", "training ").replace("_", " ")


def level_difference(evidence: Evidence, a: str, b: str, curve: str, rule=above) -> Finding:
    """That an accuracy curve of a levels off above b's."""
    rows = [[run.history[curve] for run in row] for row in evidence.matched(a, b)]
    pairs = [curves.shared(*row) for row in rows]
    values = [curves.level(first) - curves.level(second) for first, second in pairs]
    return effect(f"level of {_words(curve)}, {a} − {b}", values, "points", rule)


def slower(evidence: Evidence, a: str, b: str) -> Finding:
    """That the training loss of a falls more slowly than b's: its mean over epochs is larger."""
    values = []
    for first, second in evidence.matched(a, b):
        ours, theirs = curves.shared(first.history["train_loss"], second.history["train_loss"])
        values.append(curves.relative(curves.average(ours), curves.average(theirs)))
    return effect(f"mean training loss, {a} over {b}", values, "loss")


def rougher(evidence: Evidence, a: str, b: str, *names: str, times: float = 1) -> Finding:
    """That curves of a oscillate more than `times` b's; the mean over the named curves."""
    values = []
    for first, second in evidence.matched(a, b):
        pairs = [curves.shared(first.history[name], second.history[name]) for name in names]
        found = [[curves.oscillation(curve) for curve in pair] for pair in pairs]
        values.append(np.mean([curves.relative(ours, times * theirs) for ours, theirs in found]))
    what = " and ".join(map(_words, names))
    other = b if times == 1 else f"{times:g} times {b}'s"
    return effect(f"oscillation of {what}, {a} over {other}", values, "oscillation")


def overfits(evidence: Evidence, model: str) -> list[Finding]:
    """That over the second half of the epochs training loss falls, and validation loss falls by
    less than a quarter of that (or rises); both as shares of the mean training loss of that
    half."""
    falls, flat = [], []
    for (run,) in evidence.matched(model):
        losses = run.history["train_loss"]
        scale = curves.average(losses[len(losses) // 2 :])
        train, validation = curves.trend(losses), curves.trend(run.history["validation_loss"])
        falls.append(-train / scale)
        flat.append((validation - train / 4) / scale)
    fall = f"{model}: fall of training loss over the second half"
    above_quarter = f"{model}: trend of validation loss above a quarter of that of training loss"
    return [effect(fall, falls, "loss"), effect(above_quarter, flat, "loss")]


def convergence(evidence: Evidence, *models: str) -> dict[str, tuple[int, int]]:
    """Model -> how many runs converged (curves.converged; diverged ones did not), of how many."""
    found = {}
    for model, runs in zip(models, evidence.every(*models)):
        done = [run for run in runs if run.status == "finished"]
        good = [curves.converged(run.history, evidence.larger_share(run)) for run in done]
        found[model] = sum(good), len(runs)
    return found

"""What a claim is judged on: effects over seeds, or over test images where there are too few seeds.

An *effect* is a difference between two models (or groups of them) that the claim says is positive,
one value a seed: runs of one seed share their starting weights and batch order, so they are
compared pairwise. One rule for every claim:

- three seeds or more: the effect is within noise where its mean is at most 2 standard errors from
  0; else its sign decides.
- fewer seeds, a test score: the first seed's two runs, on the test images. Within noise where
  McNemar's exact test gives p >= 0.05 (accuracy) or the 95 % interval of the paired bootstrap holds
  0 (F1); else the sign decides.
- fewer seeds, anything else: within noise where the mean effect is at most a minimum stated here
  (MINIMUM); else the sign decides. One seed cannot tell noise from effect, and the verdict's note
  says so.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from xray import curves, metrics
from xray.results import SEEDS, Run
from xray.study import counts_on_test

HOLDS, FAILS, NOISE, NOT_RUN = "holds", "does not hold", "within noise", "not run"
# Effects that count with fewer seeds: points of accuracy or F1; shares (curves.relative) of a loss,
# of an oscillation.
MINIMUM = {"points": 0.005, "loss": 0.05, "oscillation": 0.2}


class NotRun(Exception):
    """Raised by a rule whose runs are not all there: `models` are those it misses, the message says
    why, and `options` are those with which train.py makes up for it (None where training again
    would not)."""

    def __init__(self, models, why: str = "not trained", options: str | None = ""):
        super().__init__(why)
        self.models, self.options = tuple(models), options


class Finding(NamedTuple):
    """One condition of a claim: what was measured, in words, and whether that condition holds."""

    words: str
    outcome: str  # HOLDS, FAILS or NOISE
    mean: float = math.nan


@dataclass
class Evidence:
    """The runs and facts of a study, and a list of the runs that a rule has looked at."""

    runs: dict[str, list[Run]]
    facts: dict
    timed: list[Run] = field(default_factory=list)  # all runs of the study, for durations
    used: list[Run] = field(default_factory=list)

    def every(self, *models: str) -> list[list[Run]]:
        """The models' runs, diverged ones too. Raises NotRun, for all missing models at once."""
        missing = [model for model in models if not self.runs.get(model)]
        if missing:
            raise NotRun(missing)
        found = [self.runs[model] for model in models]
        self.used += [run for runs in found for run in runs]
        return found

    def finished(self, *models: str) -> list[dict[int, Run]]:
        """The models' finished runs by seed. Raises NotRun."""
        groups = self.every(*models)
        found = [{run.seed: run for run in runs if run.status == "finished"} for runs in groups]
        diverged = [model for model, runs in zip(models, found) if not runs]
        if diverged:
            raise NotRun(diverged, "diverged", None)
        return found

    def matched(self, *models: str) -> list[tuple[Run, ...]]:
        """For each seed that all models have, their finished runs. Raises NotRun."""
        by_seed = self.finished(*models)
        seeds = sorted(set.intersection(*(set(runs) for runs in by_seed)))
        if not seeds:
            raise NotRun(models, "no seed in common", None)
        rows = [tuple(runs[seed] for runs in by_seed) for seed in seeds]
        for family in {run.spec.family for run in rows[0]}:
            group = [run for row in rows for run in row if run.spec.family == family]
            if len({run.image_size for run in group}) > 1:
                raise NotRun(models, f"{family} models of different image sizes", None)
        return rows

    def count(self, split: str, name: str | None = None) -> int:
        """Images of a split, of one class or of both. Raises NotRun where there are no facts."""
        if not self.facts:
            raise NotRun((), "there is no data.json beside the records", None)
        counts = self.facts["counts"][split]
        return counts[name] if name else sum(counts.values())

    def larger_share(self, run: Run) -> float:
        """The larger class's share of the training split; without facts, of validation labels."""
        if self.facts:
            return max(self.facts["counts"]["train"].values()) / self.count("train")
        share = float(np.mean(run.labels["validation"]))
        return max(share, 1 - share)


def decide(values, minimum: float) -> str:
    """The verdict on an effect, one value a seed, by the rule above."""
    values = np.asarray(values, np.float64)
    mean = values.mean()
    bar = 2 * values.std(ddof=1) / math.sqrt(len(values)) if len(values) >= SEEDS else minimum
    return NOISE if abs(mean) <= bar + 1e-12 else HOLDS if mean > 0 else FAILS


def mean_words(values, unit: str) -> str:
    """Mean ± standard deviation of shares, such as "+1.2 ± 0.3 points, 5 seeds"."""
    values = 100 * np.asarray(values, np.float64)
    deviation = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
    words = f"{values.mean():+.1f}{deviation} {unit}, {len(values)} seed{'s' * (len(values) > 1)}"
    return words.replace("-", "−")


def effect(name: str, values, kind: str) -> Finding:
    """An effect that is claimed to be positive; kind is a key of MINIMUM."""
    words = f"{name}: {mean_words(values, 'points' if kind == 'points' else '%')}"
    return Finding(words, decide(values, MINIMUM[kind]), float(np.mean(values)))


# ---- curves


def _words(curve: str) -> str:
    return curve.replace("train_", "training ").replace("_", " ")


def level_differences(evidence: Evidence, a: str, b: str, curve: str) -> list[float]:
    """The level of a's accuracy curve less that of b's, for each seed."""
    rows = [[run.history[curve] for run in row] for row in evidence.matched(a, b)]
    pairs = [curves.shared(*row) for row in rows]
    return [curves.level(first) - curves.level(second) for first, second in pairs]


def lower_level(evidence: Evidence, a: str, b: str, curve: str) -> Finding:
    """That an accuracy curve of a levels off below b's."""
    values = level_differences(evidence, b, a, curve)
    return effect(f"level of {_words(curve)}, {b} − {a}", values, "points")


def alike(evidence: Evidence, a: str, b: str, curve: str, margin: float = 0.01) -> Finding:
    """That the levels of an accuracy curve differ by less than the margin on average. Otherwise it
    fails where the difference is an effect, and is within noise where it is none."""
    values = level_differences(evidence, a, b, curve)
    outcome, mean = decide(values, MINIMUM["points"]), float(np.mean(values))
    outcome = HOLDS if abs(mean) < margin else NOISE if outcome == NOISE else FAILS
    words = f"level of {_words(curve)}, {a} − {b}: {mean_words(values, 'points')}"
    return Finding(words, outcome, mean)


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
    above = f"{model}: trend of validation loss above a quarter of that of training loss"
    return [effect(fall, falls, "loss"), effect(above, flat, "loss")]


def convergence(evidence: Evidence, *models: str) -> dict[str, tuple[int, int]]:
    """Model -> how many runs converged (curves.converged; diverged ones did not), of how many."""
    found = {}
    for model, runs in zip(models, evidence.every(*models)):
        done = [run for run in runs if run.status == "finished"]
        good = [curves.converged(run.history, evidence.larger_share(run)) for run in done]
        found[model] = sum(good), len(runs)
    return found


# ---- test scores

SCORE_NAMES = {"accuracy": "accuracy", "f1": "F1"}


def score_of(run: Run, score: str) -> float:
    """A count metric (metrics.COUNT_METRICS) of a run on the test split, 0-1."""
    return float(metrics.count_scores(**counts_on_test(run))[score])


def better(evidence: Evidence, a: str, b: str, score: str) -> Finding:
    """That model a scores above model b on the test split; score is "accuracy" or "f1"."""
    pairs = evidence.matched(a, b)
    values = [score_of(first, score) - score_of(second, score) for first, second in pairs]
    found = effect(f"{SCORE_NAMES[score]}, {a} − {b}", values, "points")
    if len(values) >= SEEDS:
        return found
    first, second = pairs[0]
    labels = first.labels["test"]
    if not np.array_equal(labels, second.labels["test"]):
        raise NotRun([a, b], "tested on different images", None)
    predicted = [metrics.predictions(run.logits["test"]) for run in (first, second)]
    if score == "accuracy":
        p = metrics.mcnemar(*predicted, labels)["p"]
        noise, words = p >= 0.05, f"McNemar p = {p:.2g}"
    else:
        low, high = metrics.paired_bootstrap(*predicted, labels, score)
        noise = low <= 0 <= high
        words = f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}".replace("-", "−")
    outcome = NOISE if noise else HOLDS if values[0] > 0 else FAILS
    return Finding(f"{found.words}, {words}", outcome, found.mean)


def at_least(evidence: Evidence, model: str, score: str, target: float) -> Finding:
    """That a model's mean test score reaches a target. Where it does not it is within noise if the
    target lies within 2 standard errors (three seeds or more) or in the first run's bootstrap
    interval (fewer)."""
    (by_seed,) = evidence.finished(model)
    runs = list(by_seed.values())
    values = np.array([score_of(run, score) for run in runs])
    if len(values) >= SEEDS:
        near = decide(values - target, 0) == NOISE
    else:
        near = target <= metrics.bootstrap(runs[0].logits["test"], runs[0].labels["test"])[score][1]
    mean = float(values.mean())
    outcome = HOLDS if mean >= target else NOISE if near else FAILS
    return Finding(f"{SCORE_NAMES[score]} of {model}: {100 * mean:.1f} %", outcome, mean)


def verdict_of(findings: list[Finding]) -> str:
    """The verdict on a claim of several conditions: it fails with one, and holds only with all."""
    outcomes = {finding.outcome for finding in findings}
    return FAILS if FAILS in outcomes else NOISE if NOISE in outcomes else HOLDS

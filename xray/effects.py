"""What a claim is judged on: effects over seeds or over re-splits, each with its interval.

An *effect* is a difference between two models (or groups of them), or the distance of a score from
a target. Its values are

- of curves: one a seed, of runs on the given split that share their seed;
- of test scores: one an image re-split, the mean over the seeds that learned there. One split is
  one draw of test images; over re-splits the error from the test images, from the training images
  and from the seeds is in the interval.

The interval is Student's (intervals.mean_of), 95 %. Runs that did not learn (study.learned) are
left out of every effect; how often that happens is a result of its own. One rule for every claim:

- "A is above B" holds where the interval lies above 0. It does not hold where the interval lies
  below 0, or within ±MARGIN, that is, where an effect of any size is ruled out. Else it is within
  noise.
- "A and B are alike" holds where the interval lies within ±MARGIN; "A is not above B" where it ends
  below MARGIN. They do not hold where the interval lies above 0 (for "alike": does not hold 0).
  Else they are within noise: that no difference was found shows nothing.
- a claim of several conditions holds with all, and does not hold with one that fails.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from xray import curves
from xray.intervals import Mean, mean_of, reach, wilson
from xray.results import SEEDS, Run
from xray.study import Study, learned, test_share

HOLDS, FAILS, NOISE = "holds", "does not hold", "within noise"
NOT_TESTED, NOT_RUN = "not tested here", "not run"
# Smaller effects are of no account: points of accuracy or F1; shares (curves.relative) of a loss,
# of an oscillation.
MARGIN = {"points": 0.01, "loss": 0.05, "oscillation": 0.2}
ERROR = 0.05  # how often a primary claim may be decided by chance
SPLITS = 5  # re-splits from which scores are judged
SCORE_NAMES = {"accuracy": "accuracy", "f1": "F1"}


class NotRun(Exception):
    """Raised by a rule whose runs are not all there: `models` are those it misses, the message says
    why, and `options` are those with which train.py makes up for it (None where training again
    would not)."""

    def __init__(self, models, why: str = "not trained", options: str | None = ""):
        super().__init__(why)
        self.models, self.options = tuple(models), options


class NotTested(Exception):
    """Raised by a rule that would judge the data set, split or size in place of the claim; the
    message says which."""


class Finding(NamedTuple):
    """One condition of a claim: what was measured, in words, and whether that condition holds.

    mean, low, high: the effect and its 95 % interval, fractions; nan for a plain fact. p: of the
    outcome reached, two-sided: how likely so clear a result were if the truth lay on the border;
    nan where nothing was decided, or not by a test: a plain fact, or whether a value lies in an
    interval. number: of values that the mean is over.
    """

    words: str
    outcome: str  # HOLDS, FAILS or NOISE
    what: str = ""  # the effect, "accuracy, 21 − 20"; empty for a plain fact
    unit: str = ""  # of mean, low and high, times 100: "points" or "%"
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    number: int = 0


# ---- the runs of a study, as a rule asks for them


@dataclass
class Evidence:
    """A study, and the runs of it that a rule has looked at."""

    study: Study
    used: list[Run] = field(default_factory=list)

    def every(self, *models: str) -> list[list[Run]]:
        """The models' runs on the given split, diverged and dead ones too. Raises NotRun, for all
        missing models."""
        chosen = self.study.chosen
        missing = [model for model in models if not chosen.get(model)]
        if missing:
            raise NotRun(missing)
        self.used += [run for model in models for run in chosen[model]]
        return [chosen[model] for model in models]

    def learned(self, *models: str) -> list[dict[int, Run]]:
        """The models' runs that learned, by seed. Raises NotRun where a model has none."""
        groups = self.every(*models)
        found = [{run.seed: run for run in runs if learned(run)} for runs in groups]
        without = [model for model, runs in zip(models, found) if not runs]
        if without:
            raise NotRun(without, "no run learned: each diverged or gives one answer to all", None)
        return found

    def matched(self, *models: str) -> list[tuple[Run, ...]]:
        """For each seed with which all models learned, their runs. Raises NotRun."""
        by_seed = self.learned(*models)
        sizes = {}
        for run in (run for runs in by_seed for run in runs.values()):
            sizes.setdefault(run.spec.family, set()).add(run.image_size)
        for family, found in sizes.items():
            if len(found) > 1:
                raise NotRun(models, f"{family} models of different image sizes", None)
        seeds = sorted(set.intersection(*map(set, by_seed)))
        if len(seeds) < SEEDS:
            why = f"{len(seeds)} seeds with which all learned, {SEEDS} are needed"
            more = max(len(self.study.chosen[model]) for model in models)
            raise NotRun(models, why, f"--seeds 0-{more + SEEDS - 1}")
        return [tuple(runs[seed] for runs in by_seed) for seed in seeds]

    def over_splits(self, *models: str) -> pd.DataFrame:
        """Mean scores on the image re-splits on which all models have runs that learned: a row a
        re-split (index: its number), columns (score, model). Raises NotRun."""
        self.every(*models)  # names all missing models at once
        means = _of_kind(self.study, "image").droplevel("kind")
        there = means["accuracy"].unstack("model").reindex(columns=models).notna()
        numbers = there.index[there.all(axis=1)]
        if len(numbers) < SPLITS:
            few = [model for model in models if there[model].sum() < SPLITS] or models
            one = "re-split" if len(numbers) == 1 else "re-splits"
            why = f"{len(numbers)} {one} by image on which all learned, {SPLITS} are needed"
            raise NotRun(few, why, f"--resplits {2 * SPLITS}")
        scores = self.study.scores
        on_these = (scores.kind == "image") & scores.number.isin(numbers)
        self.used += list(scores.run[on_these & scores.learned & scores.model.isin(models)])
        return means.unstack("model").loc[numbers]

    def count(self, split: str, name: str | None = None) -> int:
        """Images of a split, of one class or of both. Raises NotRun where there are no facts."""
        if not self.study.facts:
            raise NotRun((), "there is no data.json beside the records", None)
        counts = self.study.facts["counts"][split]
        return counts[name] if name else sum(counts.values())

    def larger_share(self, run: Run) -> float:
        """The larger class's share of the training split; without facts, of test labels."""
        if self.study.facts:
            return max(self.study.facts["counts"]["train"].values()) / self.count("train")
        share = float(np.mean(run.labels["test"]))
        return max(share, 1 - share)


# ---- outcomes


def above(found: Mean, margin: float) -> tuple[str, float]:
    """(outcome, p) of "it is above 0"."""
    if found.low > 0:
        return HOLDS, found.p()
    if found.high < 0:
        return FAILS, found.p()
    if -margin < found.low and found.high < margin:
        return FAILS, max(found.p(-margin), found.p(margin))
    return NOISE, math.nan


def not_above(found: Mean, margin: float) -> tuple[str, float]:
    """(outcome, p) of "it is not above 0 by so much that it counts"."""
    if found.high < margin:
        return HOLDS, found.p(margin)
    return (FAILS, found.p()) if found.low > 0 else (NOISE, math.nan)


def alike(found: Mean, margin: float) -> tuple[str, float]:
    """(outcome, p) of "there is no difference that counts"."""
    if -margin < found.low and found.high < margin:
        return HOLDS, max(found.p(-margin), found.p(margin))
    return (FAILS, found.p()) if found.low > 0 or found.high < 0 else (NOISE, math.nan)


def effect(
    name: str, values, kind: str, rule: Callable = above, test_share: float = 0.0, more: str = ""
) -> Finding:
    """A finding on an effect: two or more values, a seed or a re-split each. kind: a key of
    MARGIN. test_share: as in intervals.mean_of, for re-splits. more: words for the end."""
    found, number = mean_of(values, test_share), len(values)
    outcome, p = rule(found, MARGIN[kind])
    unit, each = "points" if kind == "points" else "%", "re-splits" if test_share else "seeds"
    mean, low, high = map(signed, found.ends)
    words = f"{name}: {mean} {unit} (95 %: {low} to {high}; {number} {each}{more})"
    if outcome == NOISE and rule is not above:
        words += _out_of_reach(found.mean, np.std(values, ddof=1), test_share, rule)
    return Finding(words, outcome, name, unit, *found.ends, p, number)


def signed(value: float) -> str:
    """A fraction times 100 with its sign: "+1.2", "−0.3", "0.0"."""
    text = f"{100 * value:+z.1f}".replace("-", "−")
    return "0.0" if text == "+0.0" else text


def _out_of_reach(mean: float, spread: float, test_share: float, rule: Callable) -> str:
    """Whether no number of re-splits could show that so large an effect counts for nothing.

    Of J re-splits the error of a mean is √(1/J + test_share) · spread, of which endless ones leave
    √test_share · spread: with 582 test and 4,077 training images 0.38 of it, so that with a spread
    above 1.35 points no interval ever lies within ±1 point.
    """
    left, margin = 1.96 * math.sqrt(test_share) * spread, MARGIN["points"]
    nearest = abs(mean) if rule is alike else mean
    if not test_share or nearest + left < margin:
        return ""
    low, high = signed(mean - left), signed(mean + left)
    words = f"; endless re-splits would leave {low} to {high} (spread {100 * spread:.2f} points"
    limit = margin / (1.96 * math.sqrt(test_share))
    if spread > limit:
        words += f"; above {100 * limit:.2f} no interval lies within ±{100 * margin:g}"
    return words + ")"


def fact(words: str, holds: bool) -> Finding:
    """A finding without a spread."""
    return Finding(words, HOLDS if holds else FAILS)


def most(name: str, good: int, of: int) -> Finding:
    """That more than half of the runs do something, by Wilson's interval of their share."""
    low, high = wilson(good, of)
    outcome = HOLDS if low > 0.5 else FAILS if high < 0.5 else NOISE
    words = f"{name}: {good} of {of} ({100 * low:.0f}–{100 * high:.0f} %)"
    return Finding(words, outcome, name, "%", good / of, low, high, number=of)


def verdict_of(findings: list[Finding]) -> str:
    """The verdict on a claim of several conditions: it fails with one, and holds only with all."""
    outcomes = {finding.outcome for finding in findings}
    return FAILS if FAILS in outcomes else NOISE if NOISE in outcomes else HOLDS


def p_of(findings: list[Finding]) -> float:
    """The p of that verdict. Where all must hold: the largest; where one fails: the smallest of
    those that fail, times the number of conditions; 1 within noise. What was not decided by a test
    is taken as sure."""
    verdict = verdict_of(findings)
    if verdict == NOISE:
        return 1.0
    decided = [0.0 if math.isnan(one.p) else one.p for one in findings if one.outcome == verdict]
    return max(decided) if verdict == HOLDS else min(1.0, min(decided) * len(findings))


# ---- effects on test scores


def better(evidence: Evidence, a: str, b: str, score: str, rule: Callable = above) -> Finding:
    """That model a scores above model b on test images; score is "accuracy" or "f1"."""
    means = evidence.over_splits(a, b)[score]
    given = _on_given_split(evidence, score)
    name = f"{SCORE_NAMES[score]}, {a} − {b}"
    more = _given(given.get(a, math.nan) - given.get(b, math.nan))
    share = test_share(evidence.study)
    return effect(name, means[a] - means[b], "points", rule, share, more)


def at_least(evidence: Evidence, model: str, score: str, target: float, rule=above) -> Finding:
    """That a model's mean test score reaches a target (or, by another rule, is like it)."""
    values = evidence.over_splits(model)[score][model]
    given = _on_given_split(evidence, score)
    name = f"{SCORE_NAMES[score]} of {model} is {100 * values.mean():.1f} %, "
    name += f"against {100 * target:g} %"
    more = _given(given.get(model, math.nan) - target)
    return effect(name, values - target, "points", rule, test_share(evidence.study), more)


def _on_given_split(evidence: Evidence, score: str) -> pd.Series:
    """Model -> its mean score over the runs shown that learned."""
    return _of_kind(evidence.study, "given")[score].droplevel(["kind", "number"])


def _of_kind(study: Study, kind: str) -> pd.DataFrame:
    return study.means[study.means.index.get_level_values("kind") == kind]


def _given(value: float) -> str:
    return "" if math.isnan(value) else f"; given split {signed(value)}"


def lands(
    evidence: Evidence, model: str, name: str, value: Callable, theirs: float, more: str = ""
) -> Finding:
    """Whether the paper's one run on one split could be one of ours: its value lies where one run
    on another split lands 95 times in 100 (a prediction interval). value(run): its score."""
    values = []
    for number in evidence.over_splits(model).index:
        runs = evidence.study.resplits[f"image-{number}"][model]
        values.append(value(next(filter(learned, runs))))
    middle, number = float(np.mean(values)), len(values)
    half = reach(((1 + 1 / number) * np.var(values, ddof=1), number - 1))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    words = f"{name} of {model}: one run lands in {100 * low:.1f}–{100 * high:.1f} % "
    words += f"({number} re-splits); the paper's {100 * theirs:.1f} %{more}"
    outcome = HOLDS if low - 1e-9 <= theirs <= high + 1e-9 else FAILS
    what = f"{name} of {model}"
    return Finding(words, outcome, what, "%", middle, low, high, number=number)


# ---- effects on curves


def _words(curve: str) -> str:
    return curve.replace("train_", "training ").replace("_", " ")


def level_difference(evidence: Evidence, a: str, b: str, curve: str, rule=above) -> Finding:
    """That an accuracy curve of a levels off above b's."""
    values = []
    for row in evidence.matched(a, b):
        first, second = curves.shared(*(run.history[curve] for run in row))
        values.append(curves.level(first) - curves.level(second))
    return effect(f"level of {_words(curve)}, {a} − {b}", values, "points", rule)


def slower(evidence: Evidence, a: str, b: str) -> Finding:
    """That the training loss of a falls more slowly than b's: its mean over epochs is larger."""
    values = []
    for row in evidence.matched(a, b):
        first, second = curves.shared(*(run.history["train_loss"] for run in row))
        values.append(curves.relative(curves.average(first), curves.average(second)))
    return effect(f"mean training loss, {a} over {b}", values, "loss")


def rougher(evidence: Evidence, a: str, b: str, *names: str, times: float = 1) -> Finding:
    """That curves of a oscillate more than `times` b's; the mean over the named curves."""
    values = []
    for row in evidence.matched(a, b):
        ratios = []
        for name in names:
            first, second = curves.shared(*(run.history[name] for run in row))
            theirs = times * curves.oscillation(second)
            ratios.append(curves.relative(curves.oscillation(first), theirs))
        values.append(np.mean(ratios))
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


def no_convergence(evidence: Evidence, *models: str) -> list[Finding]:
    """That fewer than half of the runs converge, in each setting by itself."""
    found = []
    for model, (good, runs) in convergence(evidence, *models).items():
        low, high = wilson(good, runs)
        outcome = HOLDS if high < 0.5 else FAILS if low > 0.5 else NOISE
        words = f"{model}: {good} of {runs} converged ({100 * low:.0f}–{100 * high:.0f} %)"
        what = f"runs of {model} that converged"
        found.append(Finding(words, outcome, what, "%", good / runs, low, high, number=runs))
    return found

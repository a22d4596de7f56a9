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

from xray.intervals import Mean, mean_of, wilson
from xray.results import SEEDS, Run
from xray.study import apart

HOLDS, FAILS, NOISE = "holds", "does not hold", "within noise"
NOT_TESTED, NOT_RUN = "not tested here", "not run"
# Smaller effects are of no account: points of accuracy or F1; shares (curves.relative) of a loss,
# of an oscillation.
MARGIN = {"points": 0.01, "loss": 0.05, "oscillation": 0.2}
ERROR = 0.05  # how often a primary claim may be decided by chance
SPLITS = 5  # re-splits from which scores are judged


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
    outcome reached, two-sided: how likely so clear a result were if the truth lay on the border; 0
    for a plain fact, 1 where nothing was decided. number: of values that the mean is over.
    """

    words: str
    outcome: str  # HOLDS, FAILS or NOISE
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = 0.0
    number: int = 0


@dataclass
class Evidence:
    """The runs and facts of a study, and a list of the runs that a rule has looked at."""

    runs: dict[str, list[Run]]  # model -> runs on the given split
    facts: dict  # data.json's, or empty
    timed: list[Run] = field(default_factory=list)  # all runs of the study, for durations
    resplits: dict[str, dict] = field(default_factory=dict)  # "image-0" -> model -> runs
    test_share: float = 0.0  # test images over training images
    source: str = ""  # of the data
    used: list[Run] = field(default_factory=list)

    def every(self, *models: str) -> list[list[Run]]:
        """The models' runs, diverged and dead ones too. Raises NotRun, for all missing models."""
        missing = [model for model in models if not self.runs.get(model)]
        if missing:
            raise NotRun(missing)
        found = [self.runs[model] for model in models]
        self.used += [run for runs in found for run in runs]
        return found

    def learned(self, *models: str) -> list[dict[int, Run]]:
        """The models' runs that learned, by seed. Raises NotRun where a model has none."""
        groups = self.every(*models)
        found = [{run.seed: run for run in apart(runs)[0]} for runs in groups]
        without = [model for model, runs in zip(models, found) if not runs]
        if without:
            raise NotRun(without, "no run learned: each diverged or gives one answer to all", None)
        return found

    def matched(self, *models: str) -> list[tuple[Run, ...]]:
        """For each seed with which all models learned, their runs. Raises NotRun."""
        by_seed = self.learned(*models)
        seeds = sorted(set.intersection(*map(set, by_seed)))
        rows = [tuple(runs[seed] for runs in by_seed) for seed in seeds]
        for family in {run.spec.family for runs in by_seed for run in runs.values()}:
            group = [run for runs in by_seed for run in runs.values() if run.spec.family == family]
            if len({run.image_size for run in group}) > 1:
                raise NotRun(models, f"{family} models of different image sizes", None)
        if len(rows) < SEEDS:
            why = f"{len(rows)} seeds with which all learned, {SEEDS} are needed"
            more = max(len(self.runs[model]) for model in models)
            raise NotRun(models, why, f"--seeds 0-{more + SEEDS - 1}")
        return rows

    def over_splits(self, *models: str) -> list[list[list[Run]]]:
        """For each image re-split on which all models learned, each one's runs that learned.
        Raises NotRun."""
        self.every(*models)  # names all missing models at once
        rows, there = [], dict.fromkeys(models, 0)
        for name, by_model in self.resplits.items():
            if not name.startswith("image-"):
                continue
            row = [apart(by_model.get(model, []))[0] for model in models]
            for model, runs in zip(models, row):
                there[model] += bool(runs)
            if all(row):
                rows.append(row)
        if len(rows) < SPLITS:
            few = [model for model in models if there[model] < SPLITS] or models
            why = f"{len(rows)} re-splits by image on which all learned, {SPLITS} are needed"
            raise NotRun(few, why, f"--resplits {2 * SPLITS}")
        self.used += [run for row in rows for runs in row for run in runs]
        return rows

    def count(self, split: str, name: str | None = None) -> int:
        """Images of a split, of one class or of both. Raises NotRun where there are no facts."""
        if not self.facts:
            raise NotRun((), "there is no data.json beside the records", None)
        counts = self.facts["counts"][split]
        return counts[name] if name else sum(counts.values())

    def larger_share(self, run: Run) -> float:
        """The larger class's share of the training split; without facts, of test labels."""
        if self.facts:
            return max(self.facts["counts"]["train"].values()) / self.count("train")
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
    return NOISE, 1.0


def not_above(found: Mean, margin: float) -> tuple[str, float]:
    """(outcome, p) of "it is not above 0 by so much that it counts"."""
    if found.high < margin:
        return HOLDS, found.p(margin)
    return (FAILS, found.p()) if found.low > 0 else (NOISE, 1.0)


def alike(found: Mean, margin: float) -> tuple[str, float]:
    """(outcome, p) of "there is no difference that counts"."""
    if -margin < found.low and found.high < margin:
        return HOLDS, max(found.p(-margin), found.p(margin))
    return (FAILS, found.p()) if found.low > 0 or found.high < 0 else (NOISE, 1.0)


def effect(
    name: str, values, kind: str, rule: Callable = above, test_share: float = 0.0, more: str = ""
) -> Finding:
    """A finding on an effect: two or more values, a seed or a re-split each. kind: a key of
    MARGIN. test_share: as in intervals.mean_of, for re-splits. more: words for the end."""
    found = mean_of(values, test_share)
    outcome, p = rule(found, MARGIN[kind])
    unit, what = "points" if kind == "points" else "%", "re-splits" if test_share else "seeds"
    ends = (
        f"{100 * found.mean:+.1f} {unit} (95 %: {100 * found.low:+.1f} to {100 * found.high:+.1f}"
    )
    words = f"{name}: {ends}; {len(values)} {what}{more})".replace("-", "−").replace("re−", "re-")
    return Finding(words, outcome, found.mean, found.low, found.high, p, len(values))


def fact(words: str, holds: bool) -> Finding:
    """A finding without a spread."""
    return Finding(words, HOLDS if holds else FAILS)


def most(name: str, good: int, of: int) -> Finding:
    """That more than half of the runs do something, by Wilson's interval of their share."""
    low, high = wilson(good, of)
    outcome = HOLDS if low > 0.5 else FAILS if high < 0.5 else NOISE
    words = f"{name}: {good} of {of} ({100 * low:.0f}–{100 * high:.0f} %)"
    return Finding(words, outcome, good / of, low, high, number=of)


def verdict_of(findings: list[Finding]) -> str:
    """The verdict on a claim of several conditions: it fails with one, and holds only with all."""
    outcomes = {finding.outcome for finding in findings}
    return FAILS if FAILS in outcomes else NOISE if NOISE in outcomes else HOLDS


def p_of(findings: list[Finding]) -> float:
    """The p of that verdict. Where all must hold: the largest; where one fails: the smallest of
    those that fail, times the number of conditions; 1 within noise."""
    failed = [finding.p for finding in findings if finding.outcome == FAILS]
    if failed:
        return min(1.0, min(failed) * len(findings))
    return max(finding.p if finding.outcome == HOLDS else 1.0 for finding in findings)

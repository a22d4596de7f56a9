"""How much of a score is the luck of the last epoch, of the seed, of the split; and which of the
paper's differences are larger. All in shares of 0-1, as standard deviations."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from xray import curves, paper
from xray.comparisons import printed
from xray.study import Study, on_test

REACH = 1.96  # standard deviations within which a normal draw lies 95 times in 100


@dataclass(frozen=True)
class Swing:
    """Standard deviations of a model's accuracy, over its runs that learned; nan where unknown.

    epochs: of validation over the last third of a run's epochs, the mean over runs (curves.swing).
    seeds: of the last epoch's validation over seeds. seeds_on_test: of the test split's over seeds.
    splits: of the test split's over re-splits by image. runs, resplits: how many.
    """

    model: str
    runs: int
    epochs: float
    seeds: float
    seeds_on_test: float
    resplits: int
    splits: float


def swings(study: Study, compared: list) -> list[Swing]:
    """Of each evaluated model with runs that learned. compared: what comparisons.compare gives."""
    over_splits = {row.model: row.sides["image"] for row in compared if row.score == "accuracy"}
    found = []
    for model, summary in study.summaries.items():
        runs = summary.learned
        if not runs:
            continue
        lines = [run.history["validation_accuracy"] for run in runs]
        splits = over_splits.get(model, [])
        epochs = float(np.mean(list(map(curves.swing, lines))))
        seeds = _deviation([line[-1] for line in lines])
        on_tests = _deviation([on_test(run)["accuracy"] for run in runs])
        rest = len(splits), _deviation(splits)
        found.append(Swing(model, len(runs), epochs, seeds, on_tests, *rest))
    return found


def _deviation(values) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class Difference:
    """Two models of one of the paper's tables: by how much its exact accuracy differs, and what two
    runs of these models would differ by less than 95 times in 100 if the models were alike: where
    only the last epoch is drawn, and where the seed is too."""

    table: int
    models: tuple[str, str]  # the better one first
    paper: float
    by_epochs: float
    by_seeds: float


def differences(found: list[Swing]) -> list[Difference]:
    """All pairs of each table of the paper, the largest difference first."""
    of, rows = {swing.model: swing for swing in found}, []
    for table, models in paper.TABLES.items():
        there = sorted(filter(of.get, models), key=lambda model: -printed(model, "accuracy"))
        for pair in itertools.combinations(there, 2):
            first, second = (printed(model, "accuracy") for model in pair)
            one, other = (of[model] for model in pair)
            by_epochs = REACH * math.hypot(one.epochs, other.epochs)
            by_seeds = REACH * math.hypot(one.seeds_on_test, other.seeds_on_test)
            rows.append(Difference(table, pair, first - second, by_epochs, by_seeds))
    return sorted(rows, key=lambda row: -row.paper)

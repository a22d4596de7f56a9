"""Runs compared like with like: other splits of the same images, the luck of epoch, seed and split,
two image sizes, durations. Scores are fractions in 0-1."""

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from xray import curves, paper
from xray.intervals import reach
from xray.results import Run
from xray.specs import IMAGE_SIZE, KNOWN
from xray.study import EVALUATED, Study, finished, test_share

PROTOCOLS = ("image", "patient")


def printed(model: str, score: str) -> float:
    """The paper's accuracy or F1 of a model as a fraction; the accuracy is the exact one, which its
    printed precision and recall imply (paper.implied): that in its tables is a batch mean."""
    implied = paper.implied(model)[0].accuracy
    return (implied if score == "accuracy" else paper.SCORES[model][score]) / 100


# ---- other splits


def resplits(study: Study) -> pd.DataFrame:
    """A row a score (accuracy, f1) and model of the paper that has runs which learned on re-splits.

    model, score. image, patient: float arrays, one value a split, the mean over its runs that
        learned.
    given: the mean over the runs that learned on the given split. paper: what it printed.
    gap ... detectable: see corrected_test, of image less patient; nan where it gives none.
    """
    kinds, models = (study.means.index.get_level_values(level) for level in ("kind", "model"))
    rows = []
    for score, model in itertools.product(("accuracy", "f1"), EVALUATED):
        of_model = study.means[score][models == model]
        sides = {kind: of_model[kinds[models == model] == kind].to_numpy() for kind in PROTOCOLS}
        if not any(map(len, sides.values())):
            continue
        given = of_model[kinds[models == model] == "given"].mean()
        row = {"model": model, "score": score, "given": given, "paper": printed(model, score)}
        rows.append(row | sides | corrected_test(*sides.values(), test_share(study)))
    columns = ["model", "score", *PROTOCOLS, "given", "paper", *_TEST]
    return pd.DataFrame(rows, columns=columns)


_TEST = ("gap", "low", "high", "detectable")


def corrected_test(first, second, test_share: float) -> dict:
    """Welch's t-test of two sets of re-splits of the same images, its variance Nadeau and Bengio's.

    Splits of the same images share most of their training images, so their scores are not
    independent: the variance of a mean over J of them is (1/J + test_share) · s², not s²/J (Machine
    Learning 52, 2003, section 5.1). Returns gap: mean of the first less mean of the second; low,
    high: its 95 % interval; detectable: the true gap that such a study finds in 4 of 5 cases. {}
    where a side has fewer than two values.
    """
    if min(len(first), len(second)) < 2:
        return {}
    parts = [(1 / len(side) + test_share) * side.var(ddof=1) for side in (first, second)]
    gap, error = float(first.mean() - second.mean()), math.sqrt(sum(parts))
    if error == 0:
        return {"gap": gap, "low": gap, "high": gap, "detectable": 0.0}
    below = sum(part**2 / (len(side) - 1) for part, side in zip(parts, (first, second)))
    half, more = (float(stdtrit(sum(parts) ** 2 / below, q)) * error for q in (0.975, 0.8))
    return {"gap": gap, "low": gap - half, "high": gap + half, "detectable": half + more}


# ---- how much of a score is the luck of the last epoch, of the seed, of the split


def swings(study: Study) -> pd.DataFrame:
    """A row a model of the paper's tables with runs that learned: standard deviations of its
    accuracy over these; nan where unknown.

    model; runs, resplits: how many. epochs: of validation over the last third of a run's epochs,
    the mean over runs (curves.swing); last_epochs: its degrees of freedom. seeds: of the last
    epoch's validation over seeds. seeds_on_test: of the test split's over seeds. splits: of the
    test split's over image re-splits.
    """
    scores, rows = study.scores, []
    shown = scores[(scores.kind == "given") & scores.chosen & scores.learned]
    by_split = study.means.accuracy
    for model in EVALUATED:
        group = shown[shown.model == model]
        if not len(group):
            continue
        lines = [run.history["validation_accuracy"] for run in group.run]
        kinds, models = by_split.index.get_level_values(0), by_split.index.get_level_values(2)
        splits = by_split[(kinds == "image") & (models == model)]
        row = {"model": model, "runs": len(group), "resplits": len(splits)}
        row["epochs"] = float(np.mean([curves.swing(line) for line in lines]))
        row["last_epochs"] = sum(len(curves.last_third(line)) - 1 for line in lines)
        row["seeds"] = pd.Series([line[-1] for line in lines]).std()
        row["seeds_on_test"] = group.accuracy.std()
        row["splits"] = splits.std()
        rows.append(row)
    columns = "model runs resplits epochs last_epochs seeds seeds_on_test splits".split()
    return pd.DataFrame(rows, columns=columns)


def differences(found: pd.DataFrame) -> pd.DataFrame:
    """A row a pair of models of one of the paper's tables, the largest difference first: by how
    much its exact accuracy differs, and what two runs of these models would differ by less than 95
    times in 100 if the models were alike: where only the last epoch is drawn, and where the seed is
    too (intervals.reach). found: as swings gives it.

    table; better, other: the models; paper, by_epochs, by_seeds: fractions.
    """
    of, rows = found.set_index("model"), []
    for table, models in paper.TABLES.items():
        there = [model for model in models if model in of.index]
        there.sort(key=lambda model: -printed(model, "accuracy"))
        for better, other in itertools.combinations(there, 2):
            row = {"table": table, "better": better, "other": other}
            row["paper"] = printed(better, "accuracy") - printed(other, "accuracy")
            pair = [of.loc[better], of.loc[other]]
            epochs = [(one.epochs**2, max(one.last_epochs, 1)) for one in pair]
            seeds = [(one.seeds_on_test**2, max(one.runs - 1, 1)) for one in pair]
            row |= {"by_epochs": reach(*epochs), "by_seeds": reach(*seeds)}
            rows.append(row)
    columns = ["table", "better", "other", "paper", "by_epochs", "by_seeds"]
    pairs = pd.DataFrame(rows, columns=columns)
    return pairs.sort_values("paper", ascending=False, kind="stable", ignore_index=True)


# ---- image sizes, durations


@dataclass(frozen=True)
class Standing:
    """A CNN's runs at the paper's size, and matched ones at a smaller size that stand for them in
    the figures. left: the epoch in which each run left the plateau (curves.left_plateau)."""

    model: str
    full: list[Run]
    matched: list[Run]
    left_full: list[int | None]
    left_matched: list[int | None]
    agreement: float  # curves.agreement of validation accuracy; the mean over `full`


def sizes_compared(study: Study) -> list[Standing]:
    """For each CNN with finished runs at the paper's size and chosen ones at another, with the
    paper's epochs, how well the latter stand for the former."""
    found = []
    for model, chosen in study.chosen.items():
        spec = KNOWN[model]
        matched = [run for run in chosen if finished(run) and run.matched]
        full = [run for run in study.runs if run.spec == spec and run.image_size == IMAGE_SIZE]
        full = list(filter(finished, full))
        if spec.family != "CNN" or not full or not matched or matched[0].image_size == IMAGE_SIZE:
            continue
        lines = [run.history["validation_accuracy"] for run in matched]
        ratios = [curves.agreement(run.history["validation_accuracy"], lines) for run in full]
        left = [[_left(run) for run in runs] for runs in (full, matched)]
        found.append(Standing(model, full, matched, *left, float(np.mean(ratios))))
    return found


def _left(run: Run) -> int | None:
    share = float(np.mean(run.labels["validation"]))
    return curves.left_plateau(run.history["validation_accuracy"], max(share, 1 - share))


def timed_alike(runs: list[Run]) -> dict[str, list[Run]]:
    """Model -> runs of 26b, 27b and 28b whose durations can be compared (Fig 28, C30, C34).

    Trained pixel by pixel and alike in image size, device, threads, precision and epochs. Of such
    groups the one with most of the three models, then most runs of 26b, then the largest images.
    """
    groups = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run.spec.id in paper.DURATIONS[28] and run.engine == "direct" and finished(run):
            machine = str(run.environment.get("device")), run.environment.get("threads", 0)
            alike = run.image_size, *machine, run.precision, run.spec.epochs
            groups[alike][run.spec.id].append(run)
    best = max(groups, key=lambda k: (len(groups[k]), len(groups[k]["26b"]), k), default=None)
    return {model: found for model, found in groups[best].items() if found} if best else {}

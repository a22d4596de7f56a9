"""The numbers that each picture is drawn from, as the text of a CSV: a row a point, a run or a
split; scores are fractions in 0-1."""

import csv
import io

import numpy as np

from xray import metrics
from xray.comparisons import PROTOCOLS, printed
from xray.study import Study, counts_on_test, finished, learned, seconds_of

HISTORY = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
COUNTS = ("tp", "fn", "fp", "tn")


def text(columns: list[str], rows) -> str:
    """A CSV: a line of names, then one a row; numbers with five significant digits, which
    tell each count of a few thousand images apart; nan is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_shown(value) for value in row] for row in rows)
    return stream.getvalue()


def _shown(value) -> str:
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.5g}"
    return str(value)


def shown(table: dict) -> str:
    """A table of the report (report_items.table), as it is shown."""
    rows = [[cell["text"] for cell in row] for row in table["rows"]]
    return text([column["name"] for column in table["columns"]], rows)


def history(runs: list) -> str:
    """Curves by epoch."""
    rows = []
    for run in runs:
        head = [run.spec.id, run.seed, run.image_size, _yes(finished(run) and learned(run))]
        for epoch, values in enumerate(zip(*(run.history[key] for key in HISTORY)), 1):
            rows.append([*head, epoch, *values])
    return text(["model", "seed", "image_size", "learned", "epoch", *HISTORY], rows)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def scores(study: Study, models: list[str]) -> str:
    """Test scores, a row a run that learned, with its model's 95 % interval and the paper's
    value (comparisons.printed); last, a model that always says pneumonia."""
    keys, rows = ("accuracy", "f1"), []
    for model in models:
        if model not in study.summaries:
            continue
        summary = study.summaries[model]
        theirs = [printed(model, key) for key in keys]
        ends = [end for key in keys for end in summary.interval[key]]
        for run, one in zip(summary.learned, summary.scores):
            ours = [one[key] for key in (*keys, *COUNTS)]
            rows.append([model, run.seed, *ours, *ends, *theirs])
    guess = [study.baseline[key] for key in (*keys, *COUNTS)]
    rows.append(["always pneumonia", "", *guess, *[""] * 6])
    ends = [f"{key}_{end}" for key in keys for end in ("low", "high")]
    theirs = [f"paper_{key}" for key in keys]
    return text(["model", "seed", *keys, *COUNTS, *ends, *theirs], rows)


def confusion(model: str, summary, paper: dict) -> str:
    """The confusion matrix of each run that learned, and the paper's."""
    runs = zip(summary.learned, summary.scores)
    rows = [[model, run.seed, *(one[key] for key in COUNTS)] for run, one in runs]
    rows.append([model, "paper", *(paper[key] for key in COUNTS)])
    return text(["model", "seed", *COUNTS], rows)


def shares(counts: dict) -> str:
    """Images of each split and class."""
    rows = [[split, label, n] for split, part in counts.items() for label, n in part.items()]
    return text(["split", "class", "images"], rows)


def durations(groups: list[tuple[str, list]]) -> str:
    """Training time of each run."""
    rows = [[model, run.seed, seconds_of(run)] for model, runs in groups for run in runs]
    return text(["model", "seed", "seconds"], rows)


def mean_rates(study: Study) -> dict[str, np.ndarray]:
    """Model -> (2, 201): at false-positive rates from 0 to 1 the sensitivity, and at recalls from 0
    to 1 the precision, on the test split, means over
    the runs that learned."""
    grid = np.linspace(0, 1, 201)
    return {
        model: np.mean([_rates(run, grid) for run in summary.learned], axis=0)
        for model, summary in study.summaries.items()
        if summary.learned
    }


def _rates(run, grid) -> tuple[np.ndarray, np.ndarray]:
    """A run's sensitivity at each false-positive rate of the grid, its precision at each recall."""
    logits, labels = run.logits["test"], run.labels["test"]
    roc = metrics.roc_curve(logits, labels)
    sensitivity = np.interp(grid, roc["false_positive_rate"], roc["true_positive_rate"])
    curve = metrics.precision_recall_curve(logits, labels)
    best = np.maximum.accumulate(curve["precision"])
    return sensitivity, np.interp(grid, curve["recall"][::-1], best[::-1])


def ranking(rates: dict) -> str:
    """The mean curves. rates: of mean_rates."""
    rows = [
        [model, float(x), *map(float, pair)]
        for model, curves in rates.items()
        for x, *pair in zip(np.linspace(0, 1, curves.shape[1]), *curves)
    ]
    names = ["model", "x", "sensitivity_at_false_positive_rate_x", "precision_at_recall_x"]
    return text(names, rows)


def bins(study: Study) -> dict[str, dict]:
    """Model -> metrics.reliability on the test split, ten bins, its runs that learned together."""
    found = {}
    for model, summary in study.summaries.items():
        if summary.learned:
            logits = np.concatenate([run.logits["test"] for run in summary.learned])
            labels = np.concatenate([run.labels["test"] for run in summary.learned])
            found[model] = metrics.reliability(logits, labels, bins=10)
    return found


def calibration(found: dict) -> str:
    """The bins of the reliability diagrams. found: of bins."""
    rows = [
        [model, *map(float, edges), int(count), float(stated), float(true)]
        for model, one in found.items()
        for *edges, count, stated, true in zip(
            one["edges"], one["edges"][1:], one["count"], one["probability"], one["positive"]
        )
    ]
    ends = ["bin_from", "bin_to"]
    return text(["model", *ends, "images", "mean_probability", "share_with_pneumonia"], rows)


def resplits(study: Study, models: list[str], protocols=("given", *PROTOCOLS)) -> str:
    """Test scores on the given split and on others of the same images, a row a run, and the paper's
    (comparisons.printed)."""
    splits, rows = {"given": study.chosen} | study.resplits, []
    for name, chosen in splits.items():
        protocol, _, number = name.partition("-")
        if protocol not in protocols:
            continue
        for run in (run for model in models for run in chosen.get(model, []) if finished(run)):
            found = metrics.count_scores(**counts_on_test(run))
            pair = [float(found[key]) for key in ("accuracy", "f1")]
            rows.append([run.spec.id, protocol, number, run.seed, *pair, _yes(learned(run))])
    for model in models:
        pair = [printed(model, key) for key in ("accuracy", "f1")]
        rows.append([model, "the paper", "", "", *pair, ""])
    return text(["model", "protocol", "split", "seed", "accuracy", "f1", "learned"], rows)

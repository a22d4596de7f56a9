"""Pictures beyond the paper's: ranking, calibration, the spread over re-splits. Each gives back
what report_svg.draw does.
"""

import numpy as np
from matplotlib.lines import Line2D
from scipy.special import expit

from xray import metrics
from xray.report_figures import DASH, WIDTH, colour
from xray.report_svg import COLOURS, draw
from xray.specs import MODELS
from xray.study import EVALUATED, Study, finished, is_dead

FAMILIES = ("Linear", "Linear+ReLU", "CNN")
DOTS = (0, (1, 1.4))
PROTOCOL_WORDS = {
    "given": "the given split",
    "image": "re-split by image",
    "patient": "re-split by patient",
}


def _dash(spec):
    return DOTS if spec.weight_decay else DASH if spec.batch_size == 64 else "solid"


def _by_family(study: Study) -> list[tuple[str, list[str]]]:
    return [
        (
            family,
            [
                model
                for model in EVALUATED
                if model in study.summaries and MODELS[model].family == family
            ],
        )
        for family in FAMILIES
    ]


def _runs(study: Study, model: str) -> list:
    return [run for run in study.summaries[model].runs if finished(run)]


def _legend(figure, *more) -> None:
    grey = COLOURS["quiet"]
    handles = [
        Line2D([], [], color=grey, label="batches of 32"),
        Line2D([], [], color=grey, linestyle=DASH, label="of 64"),
        Line2D([], [], color=grey, linestyle=DOTS, label="of 64, with L2"),
        Line2D([], [], color=grey, alpha=0.45, linewidth=3, label="lighter: weighted loss"),
        *more,
    ]
    figure.legend(
        handles=handles, loc="outside lower left", ncols=5, handlelength=2.4, columnspacing=1.4
    )


def ranking(name: str, title: str, study: Study) -> dict:
    """ROC curves above precision-recall curves on the test split, a column a class; a line is the
    mean over seeds.
    """
    grid = np.linspace(0, 1, 201)

    def paint(figure):
        axes = figure.subplots(2, 3, sharex="row", sharey="row")
        for column, (family, models) in enumerate(_by_family(study)):
            roc, precision = axes[0, column], axes[1, column]
            for model in models:
                style = {
                    "color": colour(MODELS[model]),
                    "linestyle": _dash(MODELS[model]),
                    "linewidth": 1.3,
                }
                lines = [_lines(run, grid) for run in _runs(study, model)]
                roc.plot(100 * grid, 100 * np.mean([line[0] for line in lines], axis=0), **style)
                precision.plot(
                    100 * grid, 100 * np.mean([line[1] for line in lines], axis=0), **style
                )
            roc.set_title(family)
            roc.set(xlim=(0, 40), ylim=(60, 100.5), xlabel="false positives, % of normal")
            precision.set(xlim=(60, 100.5), xlabel="sensitivity (recall), %")
        axes[0, 0].set_ylabel("sensitivity, %")
        axes[1, 0].set_ylabel("precision, %")
        _legend(figure)

    words = [
        f"model {model} {summary.mean['roc_auc']:.3f} and {summary.mean['average_precision']:.3f}"
        for model, summary in study.summaries.items()
        if model in EVALUATED
    ]
    return draw(
        name,
        title,
        f"{title}. Area under the ROC curve and average precision: " + "; ".join(words) + ".",
        (WIDTH, 4.4),
        paint,
    )


def _lines(run, grid) -> tuple[np.ndarray, np.ndarray]:
    """A run's sensitivity at each false-positive rate of the grid, and its precision at each
    recall.
    """
    logits, labels = run.logits["test"], run.labels["test"]
    roc = metrics.roc_curve(logits, labels)
    sensitivity = np.interp(grid, roc["false_positive_rate"], roc["true_positive_rate"])
    curve = metrics.precision_recall_curve(logits, labels)
    precision = np.interp(
        grid, curve["recall"][::-1], np.maximum.accumulate(curve["precision"])[::-1]
    )
    return sensitivity, precision


def calibration(name: str, title: str, study: Study) -> dict:
    """Reliability diagrams on the test split, a panel a class: predicted probability against the
    share of pneumonia, ten bins, the runs of a model together. Bins with under 10 images are left
    out."""

    def paint(figure):
        axes = figure.subplots(1, 3, sharey=True)
        for axis, (family, models) in zip(axes, _by_family(study)):
            axis.plot([0, 100], [0, 100], color=COLOURS["none"], linewidth=0.8)
            for model in models:
                runs = _runs(study, model)
                found = metrics.reliability(
                    np.concatenate([run.logits["test"] for run in runs]),
                    np.concatenate([run.labels["test"] for run in runs]),
                    bins=10,
                )
                enough = found["count"] >= 10
                axis.plot(
                    100 * found["probability"][enough],
                    100 * found["positive"][enough],
                    marker="o",
                    markersize=2.6,
                    color=colour(MODELS[model]),
                    linestyle=_dash(MODELS[model]),
                    linewidth=1.2,
                )
            axis.set_title(family)
            axis.set(xlim=(0, 100), ylim=(0, 100), xlabel="predicted probability, %")
            axis.set_aspect("equal")
        axes[0].set_ylabel("share with pneumonia, %")
        _legend(figure, Line2D([], [], color=COLOURS["none"], linewidth=0.8, label="perfect"))

    words = [
        f"model {model} {100 * summary.mean['ece']:.1f}"
        for model, summary in study.summaries.items()
        if model in EVALUATED
    ]
    return draw(
        name,
        title,
        f"{title}. Expected calibration error in points: " + "; ".join(words) + ".",
        (WIDTH, 3.1),
        paint,
    )


def resplits(name: str, title: str, study: Study, found: list) -> dict:
    """Test accuracy and F1 over re-splits: found is what resplits.compare gives. A dot is a split,
    on the given split a run that learned; the bar is their mean."""
    values = {}  # (model, protocol) -> score -> values in percent
    for row in found:
        summary = study.summaries.get(row.model)
        learned = (
            [
                scores[row.score]
                for run, scores in zip(filter(finished, summary.runs), summary.scores)
                if not is_dead(run)
            ]
            if summary
            else []
        )
        for protocol, side in {"given": learned, **row.sides}.items():
            if len(side):
                values.setdefault((row.model, protocol), {})[row.score] = 100 * np.asarray(side)

    def paint(figure):
        axes = figure.subplots(1, 2, sharey=True)
        bar = {"marker": "|", "color": COLOURS["ink"], "markersize": 12, "markeredgewidth": 1.8}
        for axis, (key, heading) in zip(axes, (("accuracy", "Accuracy, %"), ("f1", "F1 score, %"))):
            for row, ((model, protocol), scores) in enumerate(values.items()):
                hue = colour(MODELS[model], light=protocol == "patient")
                dots = {"color": hue, "markersize": 4, "alpha": 0.45, "markeredgewidth": 0}
                axis.plot(scores[key], [row] * len(scores[key]), "o", **dots)
                axis.plot(scores[key].mean(), row, **bar)
            axis.set_title(heading)
            axis.grid(axis="y", visible=False)
        names = [f"{model}  {PROTOCOL_WORDS[protocol]}" for model, protocol in values]
        axes[0].set_yticks(range(len(names)), names)
        axes[0].tick_params(axis="y", labelcolor=COLOURS["ink"])
        axes[0].set_ylim(len(names) - 0.4, -0.6)
        dot = {"marker": "o", "linestyle": "none", "color": COLOURS["quiet"], "markersize": 4}
        handles = [
            Line2D([], [], label="a split (of the given one, a run)", **dot),
            Line2D([], [], linestyle="none", label="mean", **bar),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=2)

    words = [
        f"model {model}, {PROTOCOL_WORDS[protocol]}: {scores['accuracy'].mean():.1f} %"
        for (model, protocol), scores in values.items()
    ]
    alt = f"{title}. Mean accuracy: " + "; ".join(words) + "."
    return draw(name, title, alt, (WIDTH, 1.0 + 0.2 * len(values)), paint)


def missed(logits, labels) -> np.ndarray:
    """How sure a run was of the wrong class, per image: probability of the wrong one where it
    erred, otherwise 0.
    """
    probability = expit(np.asarray(logits, np.float64))
    wrong = metrics.predictions(logits) != labels
    return np.where(wrong, np.where(labels == 1, 1 - probability, probability), 0.0)

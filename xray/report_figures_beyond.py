"""Pictures beyond the paper's: ranking, calibration, re-splits; each what report_svg.draw gives."""

import numpy as np

from xray import metrics
from xray.report_figures import DASH, HUE, SCORES, WIDTH, colour, legend, line, name_rows, swatches
from xray.report_svg import COLOURS, draw
from xray.specs import MODELS
from xray.study import EVALUATED, Study, finished, is_dead

DOTS = (0, (1, 1.4))
PROTOCOL_WORDS = {
    "given": "the given split",
    "image": "re-split by image",
    "patient": "re-split by patient",
}


def _style(model: str) -> dict:
    spec = MODELS[model]
    dash = DOTS if spec.weight_decay else DASH if spec.batch_size == 64 else "solid"
    return {"color": colour(spec), "linestyle": dash}


def _by_family(study: Study) -> list[tuple[str, dict[str, list]]]:
    """Class -> its evaluated models -> their finished runs."""
    runs = {
        model: list(filter(finished, study.summaries[model].runs))
        for model in EVALUATED
        if model in study.summaries
    }
    return [
        (family, {model: runs[model] for model in runs if MODELS[model].family == family})
        for family in HUE
    ]


def _legend(figure, more: dict) -> None:
    grey = COLOURS["quiet"]
    entries = {
        "batches of 32": line(color=grey),
        "of 64": line(color=grey, linestyle=DASH),
        "of 64, with L2": line(color=grey, linestyle=DOTS),
        "lighter: weighted loss": swatches(light=True),
    }
    legend(figure, entries | more, ncols=5, handlelength=2.4, columnspacing=1.4)


def ranking(name: str, title: str, study: Study) -> dict:
    """ROC above precision-recall curves on the test split, a column a class; means over seeds."""
    grid = np.linspace(0, 1, 201)

    def paint(figure):
        axes = figure.subplots(2, 3, sharex="row", sharey="row")
        for (roc, precision), (family, models) in zip(axes.T, _by_family(study)):
            for model, runs in models.items():
                mean = np.mean([_rates(run, grid) for run in runs], axis=0)
                for axis, rates in zip((roc, precision), mean):
                    axis.plot(100 * grid, 100 * rates, linewidth=1.3, **_style(model))
            roc.set_title(family)
            roc.set(xlim=(0, 40), ylim=(60, 100.5), xlabel="false positives, % of normal")
            precision.set(xlim=(60, 100.5), xlabel="sensitivity (recall), %")
        axes[0, 0].set_ylabel("sensitivity, %")
        axes[1, 0].set_ylabel("precision, %")
        _legend(figure, {})

    words = [
        f"model {model} {summary.mean['roc_auc']:.3f} and {summary.mean['average_precision']:.3f}"
        for model, summary in study.summaries.items()
        if model in EVALUATED
    ]
    alt = f"{title}. Area under the ROC curve and average precision: {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 4.4), paint)


def _rates(run, grid) -> tuple[np.ndarray, np.ndarray]:
    """A run's sensitivity at each false-positive rate of the grid, its precision at each recall."""
    logits, labels = run.logits["test"], run.labels["test"]
    roc = metrics.roc_curve(logits, labels)
    sensitivity = np.interp(grid, roc["false_positive_rate"], roc["true_positive_rate"])
    curve = metrics.precision_recall_curve(logits, labels)
    best = np.maximum.accumulate(curve["precision"])
    return sensitivity, np.interp(grid, curve["recall"][::-1], best[::-1])


def calibration(name: str, title: str, study: Study) -> dict:
    """Reliability diagrams on the test split, a panel a class: predicted probability against the
    share of pneumonia, ten bins, the runs of a model together. Bins with under 10 images are left
    out."""
    even = {"color": COLOURS["none"], "linewidth": 0.8}
    marks = {"marker": "o", "markersize": 2.6, "linewidth": 1.2}

    def paint(figure):
        axes = figure.subplots(1, 3, sharey=True)
        for axis, (family, models) in zip(axes, _by_family(study)):
            axis.plot([0, 100], [0, 100], **even)
            for model, runs in models.items():
                logits = np.concatenate([run.logits["test"] for run in runs])
                labels = np.concatenate([run.labels["test"] for run in runs])
                found = metrics.reliability(logits, labels, bins=10)
                enough = found["count"] >= 10
                stated, true = found["probability"][enough], found["positive"][enough]
                axis.plot(100 * stated, 100 * true, **marks, **_style(model))
            axis.set_title(family)
            axis.set(xlim=(0, 100), ylim=(0, 100), xlabel="predicted probability, %")
            axis.set_aspect("equal")
        axes[0].set_ylabel("share with pneumonia, %")
        _legend(figure, {"perfect": line(**even)})

    words = [
        f"model {model} {100 * summary.mean['ece']:.1f}"
        for model, summary in study.summaries.items()
        if model in EVALUATED
    ]
    alt = f"{title}. Expected calibration error in points: {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 3.1), paint)


def resplits(name: str, title: str, study: Study, found: list) -> dict:
    """Test accuracy and F1 over re-splits: found is what resplits.compare gives. A dot is a split,
    on the given split a run that learned; the bar is their mean."""
    values = _over_splits(study, found)
    names = [f"{model}  {PROTOCOL_WORDS[protocol]}" for model, protocol in values]

    def paint(figure):
        axes = figure.subplots(1, 2, sharey=True)
        bar = {"marker": "|", "color": COLOURS["ink"], "markersize": 12, "markeredgewidth": 1.8}
        dot = {"marker": "o", "linestyle": "none", "markersize": 4}
        for axis, (score, heading) in zip(axes, SCORES):
            for row, ((model, protocol), scores) in enumerate(values.items()):
                points = scores[score]
                hue = {"color": colour(MODELS[model], light=protocol == "patient"), "alpha": 0.45}
                axis.plot(points, [row] * len(points), markeredgewidth=0, **dot, **hue)
                axis.plot(points.mean(), row, **bar)
            axis.set_title(heading)
            axis.grid(axis="y", visible=False)
        name_rows(axes[0], names, 0.6)
        entries = {
            "a split (of the given one, a run)": line(color=COLOURS["quiet"], **dot),
            "mean": line(linestyle="none", **bar),
        }
        legend(figure, entries, ncols=2)

    words = [
        f"model {model}, {PROTOCOL_WORDS[protocol]}: {scores['accuracy'].mean():.1f} %"
        for (model, protocol), scores in values.items()
    ]
    alt = f"{title}. Mean accuracy: {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 1.0 + 0.2 * len(values)), paint)


def _over_splits(study: Study, found: list) -> dict:
    """(model, protocol) -> score -> values in percent, a split or on the given one a run."""
    values = {}
    for row in found:
        learned = []
        if row.model in study.summaries:
            summary = study.summaries[row.model]
            pairs = zip(filter(finished, summary.runs), summary.scores)
            learned = [scores[row.score] for run, scores in pairs if not is_dead(run)]
        for protocol, side in {"given": learned, **row.sides}.items():
            if len(side):
                values.setdefault((row.model, protocol), {})[row.score] = 100 * np.asarray(side)
    return values

"""Pictures of curves: training by epoch, sizes compared, ranking, calibration and re-splits. Each
is what report_pictures.draw gives back."""

import math

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from xray import metrics
from xray.report_figures import (
    DASH,
    HUE,
    SCORE_PANELS,
    WIDTH,
    colour,
    legend,
    line,
    name_rows,
    swatches,
)
from xray.report_pictures import COLOURS, draw
from xray.specs import IMAGE_SIZE, MODELS
from xray.study import Study, percent

MEAN = {"linewidth": 1.7}
CROSS = {"marker": "x", "markersize": 5}  # where a run diverged
EACH_SEED = {"color": COLOURS["cnn"], "linewidth": 0.7, "alpha": 0.7}
FULL_SIZE = {"color": COLOURS["ink"], "linewidth": 1.3}
# all figures of curves are laid out alike, so it need not be worked out for each
PLACES = {"left": 0.068, "right": 0.992, "wspace": 0.07, "hspace": 0.13}
PLACES |= {"top": 0.945, "bottom": 0.19}


def curves(name: str, title: str, panels: list[tuple[str, list]]) -> dict:
    """Loss above accuracy, one column a panel: (heading, [(label, runs, colour)]), by epoch.

    Each run thin, the mean over runs thick; training solid, validation dashed. A run that diverged
    ends in a cross.
    """
    everything = [series for _, group in panels for series in group]
    losses = _losses([run for _, runs, _ in everything for run in runs])
    logarithmic = len(losses) > 0 and losses.max() > 12 * np.median(losses)

    def paint(figure):
        figure.set_layout_engine("none")
        shared = {"sharex": "col", "sharey": "row", "squeeze": False}
        axes = figure.subplots(2, len(panels), gridspec_kw=PLACES, **shared)
        for column, (heading, group) in zip(axes.T, panels):
            _panel(*column, heading, group)
        if logarithmic:
            _log_scale(axes[0, 0], losses)
        axes[0, 0].set_ylabel("loss (log scale)" if logarithmic else "loss")
        axes[1, 0].set_ylabel("accuracy, %")
        figure.align_ylabels(axes[:, 0])
        spacing = {"ncols": 6, "handlelength": 2.4, "columnspacing": 1.4}
        place = {"loc": "lower left", "bbox_to_anchor": (0.055, 0)}
        legend(figure, _entries([group for _, group in panels]), **place, **spacing)

    words = [f"{label}: {_end_words(runs)}" for label, runs, _ in everything]
    return draw(name, title, f"{title}. {'; '.join(words)}.", (WIDTH, 4.0), paint)


def _losses(runs) -> np.ndarray:
    """All losses of these runs that a logarithmic scale can show, (N,)."""
    parts = [run.history[part] for run in runs for part in ("train_loss", "validation_loss")]
    losses = np.array([value for part in parts for value in part], float)
    return losses[np.isfinite(losses) & (losses > 0)]


def _panel(upper, lower, heading: str, group: list) -> None:
    for _, runs, hue in group:
        _lines(upper, runs, "loss", hue, 1)
        _lines(lower, runs, "accuracy", hue, 100)
    lower.xaxis.set_major_locator(MaxNLocator(6, integer=True) if group else NullLocator())
    if not group:
        style = {"ha": "center", "color": COLOURS["quiet"]}
        for axis in (upper, lower):
            axis.text(0.5, 0.5, "not trained yet", transform=axis.transAxes, **style)
    upper.set_title(heading)
    lower.set_xlabel("epoch")
    upper.margins(x=0.02)


def _lines(axis, runs, quantity: str, hue: str, factor: float) -> None:
    for part, dash in (("train", "solid"), ("validation", DASH)):
        lines = [factor * np.asarray(run.history[f"{part}_{quantity}"], float) for run in runs]
        for run, values in zip(runs, lines):
            epochs = np.arange(1, len(values) + 1)
            if len(lines) > 1:
                axis.plot(epochs, values, color=hue, linewidth=0.5, alpha=0.5)
            if run.status == "diverged" and len(values):
                axis.plot(epochs[-1:], values[-1:], color=hue, **CROSS)
        mean = _mean_line(lines)
        style = {"linestyle": dash, "marker": "o" if len(mean) == 1 else None, "markersize": 3}
        axis.plot(np.arange(1, len(mean) + 1), mean, color=hue, **MEAN, **style)


def _mean_line(lines) -> np.ndarray:
    """The mean at each epoch over the runs that reached it."""
    length = max((len(line) for line in lines), default=0)
    there = [[line[epoch] for line in lines if len(line) > epoch] for epoch in range(length)]
    return np.array(list(map(np.mean, there)))


def _log_scale(axis, losses: np.ndarray) -> None:
    marks = (1, 2, 5) if losses.max() < 30 * losses.min() else (1,)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=marks))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _entries(groups: list) -> dict:
    """What the legend of these panels must explain."""
    of_series = [runs for group in groups for _, runs, _ in group]
    ink = COLOURS["quiet"]
    found = {
        "training": line(color=ink, **MEAN),
        "validation": line(color=ink, linestyle=DASH, **MEAN),
    }
    if any(len(runs) > 1 for runs in of_series):
        found["each seed"] = line(color=ink, linewidth=0.6, alpha=0.6)
    if any(run.status == "diverged" for runs in of_series for run in runs):
        found["diverged"] = line(color=ink, linestyle="none", **CROSS)
    if any(len(group) > 1 for group in groups):
        found |= {"plain loss": swatches(light=False), "weighted loss": swatches(light=True)}
    return found


def _end_words(runs) -> str:
    last = {}
    for part in ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy"):
        ends = [run.history[part][-1] for run in runs if run.history[part]]
        last[part] = float(np.mean(ends)) if ends else math.nan
    epochs = max((len(run.history["train_loss"]) for run in runs), default=0)
    lost = sum(run.status == "diverged" for run in runs)
    text = (
        f"after {epochs} epochs training loss {last['train_loss']:.3g} and accuracy "
        f"{percent(last['train_accuracy'])} %, validation loss {last['validation_loss']:.3g} and "
        f"accuracy {percent(last['validation_accuracy'])} %"
    )
    return text + (f" ({lost} of {len(runs)} runs diverged)" if lost else "")


def sizes(name: str, title: str, found: list) -> dict:
    """Validation accuracy by epoch, a panel a CNN: at the paper's size over that of matched seeds.

    found: what comparisons.sizes_compared gives.
    """
    columns = min(4, len(found))
    rows = -(-len(found) // columns)

    def paint(figure):
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axis, one in zip(axes, found):
            for runs, style in ((one.matched, EACH_SEED), (one.full, FULL_SIZE)):
                for run in runs:
                    values = 100 * np.asarray(run.history["validation_accuracy"])
                    axis.plot(np.arange(1, len(values) + 1), values, **style)
            axis.set_title(one.model)
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axis.set_xlabel("epoch")
        for axis in axes[len(found) :]:
            axis.set_visible(False)
        axes[0].set_ylabel("validation accuracy, %")
        size = found[0].matched[0].image_size
        entries = {
            f"{size}×{size}, matched, each seed": line(**EACH_SEED),
            f"{IMAGE_SIZE}×{IMAGE_SIZE}": line(**FULL_SIZE),
        }
        legend(figure, entries, ncols=2)

    words = "; ".join(f"model {one.model}: agreement {one.agreement:.2f}" for one in found)
    return draw(name, title, f"{title}. {words}.", (WIDTH, 0.9 + 1.7 * rows), paint)


DOTS = (0, (1, 1.4))
PROTOCOL_WORDS = {"given": "the given split"}
PROTOCOL_WORDS |= {"image": "re-split by image", "patient": "re-split by patient"}


def _style(model: str) -> dict:
    spec = MODELS[model]
    dash = DOTS if spec.weight_decay else DASH if spec.batch_size == 64 else "solid"
    return {"color": colour(spec), "linestyle": dash}


def _by_family(study: Study) -> list[tuple[str, dict[str, list]]]:
    """Class -> its evaluated models -> their runs that learned."""
    found = {family: {} for family in HUE}
    for model, summary in study.summaries.items():
        if summary.learned:
            found[MODELS[model].family][model] = summary.learned
    return list(found.items())


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

    errors = {model: 100 * summary.mean["ece"] for model, summary in study.summaries.items()}
    words = [f"model {model} {error:.1f}" for model, error in errors.items()]
    alt = f"{title}. Expected calibration error in points: {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 3.1), paint)


def resplits(name: str, title: str, study: Study, found: list) -> dict:
    """Test accuracy and F1 over re-splits; found: what comparisons.compare gives. A dot is a split,
    on the given split a run that learned; the bar is their mean."""
    values = _over_splits(study, found)
    names = [f"{model}  {PROTOCOL_WORDS[protocol]}" for model, protocol in values]

    def paint(figure):
        axes = figure.subplots(1, 2, sharey=True)
        bar = {"marker": "|", "color": COLOURS["ink"], "markersize": 12, "markeredgewidth": 1.8}
        dot = {"marker": "o", "linestyle": "none", "markersize": 4}
        for axis, (score, heading) in zip(axes, SCORE_PANELS):
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
        given = []
        if row.model in study.summaries:
            summary = study.summaries[row.model]
            given = [scores[row.score] for scores in summary.scores]
        for protocol, side in {"given": given, **row.sides}.items():
            if len(side):
                values.setdefault((row.model, protocol), {})[row.score] = 100 * np.asarray(side)
    return values

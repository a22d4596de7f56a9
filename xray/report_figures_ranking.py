"""Pictures of how models rank images and what their probabilities are worth: ROC, precision-recall
and calibration curves. Each is what report_pictures.draw gives back."""

import numpy as np

from xray.report_figures import DASH, HUE, NOTE, colour, how_many, legend, line, swatches
from xray.report_pictures import COLOURS, NARROW, WIDTH, draw
from xray.specs import MODELS
from xray.study import Study

DOTS = (0, (1, 1.4))


def _style(model: str) -> dict:
    spec = MODELS[model]
    dash = DOTS if spec.weight_decay else DASH if spec.batch_size == 64 else "solid"
    return {"color": colour(spec), "linestyle": dash}


def _by_family(study: Study) -> list[tuple[str, dict[str, list]]]:
    """Class -> its evaluated models -> their runs that learned, at least one."""
    found = {family: {} for family in HUE}
    for model, summary in study.summaries.items():
        if summary.learned:
            found[MODELS[model].family][model] = summary.learned
    return list(found.items())


def _say_lost(axis, study: Study, family: str, place: tuple[float, float]) -> None:
    """In a panel: how many of all runs of a class's models learned, where some did not."""
    summaries = study.summaries.items()
    runs = [run for model, one in summaries if MODELS[model].family == family for run in one.runs]
    note = how_many({family: runs}).replace(" learned", "\nruns learned")
    style = NOTE if place[0] > 0.5 else NOTE | {"ha": "left"}
    axis.text(*place, note, transform=axis.transAxes, **style)


def _legend(figure, stacked: bool, more: dict) -> None:
    grey = COLOURS["quiet"]
    entries = {
        "batches of 32": line(color=grey),
        "of 64": line(color=grey, linestyle=DASH),
        "of 64, with L2": line(color=grey, linestyle=DOTS),
        "lighter: weighted loss": swatches(light=True),
    }
    columns = 2 if stacked else 5
    legend(figure, entries | more, ncols=columns, handlelength=2.2, columnspacing=1.2)


GRID = np.linspace(0, 1, 201)  # of false-positive rates, and of recalls


def ranking(name: str, title: str, study: Study, rates: dict) -> dict:
    """ROC above precision-recall curves, a column a class; rates: of mean_rates."""

    def paint(figure, stacked):
        turned = {"sharex": "col", "sharey": "col"} if stacked else {"sharey": "row"}
        axes = figure.subplots(*((3, 2) if stacked else (2, 3)), **turned)
        axes = axes if stacked else axes.T
        for (roc, precision), (family, models) in zip(axes, _by_family(study)):
            for model in models:
                for axis, values in zip((roc, precision), rates[model]):
                    axis.plot(100 * GRID, 100 * values, linewidth=1.3, **_style(model))
            roc.set_title(family)
            roc.set(xlim=(0, 40), ylim=(60, 100.5))
            precision.set(xlim=(60, 100.5), ylim=(60, 100.5))
            _say_lost(roc, study, family, (0.97, 0.2))
        for roc, precision in axes[-1:] if stacked else axes:
            roc.set_xlabel("false positives, %" if stacked else "false positives, % of normal")
            precision.set_xlabel("sensitivity, %" if stacked else "sensitivity (recall), %")
        for roc, precision in axes if stacked else axes[:1]:
            roc.set_ylabel("sensitivity, %")
            precision.set_ylabel("precision, %")
        _legend(figure, stacked, {})

    words = []
    for model in rates:
        mean = study.summaries[model].mean
        words.append(f"model {model} {mean['roc_auc']:.3f} and {mean['average_precision']:.3f}")
    alt = f"{title}. Area under the ROC curve and average precision: {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 4.4), (NARROW, 6.2), paint)


def calibration(name: str, title: str, study: Study, found: dict) -> dict:
    """Reliability diagrams, a panel a class: predicted probability against the share of pneumonia.
    found: of bins; those with under 10 images are left out."""
    even = {"color": COLOURS["none"], "linewidth": 0.8}
    marks = {"marker": "o", "markersize": 2.6, "linewidth": 1.2}

    def paint(figure, stacked):
        axes = figure.subplots(*((3, 1) if stacked else (1, 3)), sharey=True, sharex=True)
        for axis, (family, models) in zip(axes, _by_family(study)):
            axis.plot([0, 100], [0, 100], **even)
            for model in models:
                enough = found[model]["count"] >= 10
                stated, true = (found[model][key][enough] for key in ("probability", "positive"))
                axis.plot(100 * stated, 100 * true, **marks, **_style(model))
            axis.set_title(family)
            axis.set(xlim=(0, 100), ylim=(0, 100))
            axis.set_aspect("equal")
            _say_lost(axis, study, family, (0.04, 0.87))
        for axis in axes[-1:] if stacked else axes:
            axis.set_xlabel("predicted probability, %")
        for axis in axes if stacked else axes[:1]:
            axis.set_ylabel("share with pneumonia, %")
        _legend(figure, stacked, {"perfect": line(**even)})

    errors = {model: 100 * study.summaries[model].mean["ece"] for model in found}
    words = [f"model {model} {error:.1f}" for model, error in errors.items()]
    alt = f"{title}. Expected calibration error in points: {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 3.1), (NARROW, 7.6), paint)

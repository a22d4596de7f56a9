"""Pictures of what the models see: floors beside models, a learning curve, changed films, films of
another hospital."""

import math
from textwrap import fill

import numpy as np
from matplotlib.ticker import MaxNLocator

from xray.report_figures import class_colour, colour, legend, line, name_rows
from xray.report_pictures import COLOURS, NARROW, WIDTH, draw
from xray.specs import KNOWN, MODELS
from xray.study import percent

PANELS = (("accuracy", "Accuracy, %"), ("roc_auc", "AUC, %"))
DOT = {"marker": "o", "markersize": 4.5, "linestyle": "none", "markeredgewidth": 0}
ENLARGED = 12  # points to which the picture of small changes reaches
# of what films an AUC is -> words, mark
FILMS = {
    "given": ("this study's test films", {"marker": "o"}),
    "apart": ("re-splits without a shared patient", {"marker": "s"}),
    "elsewhere": ("the other hospital's films", {"marker": "D"}),
}
BAND = {"linewidth": 4, "alpha": 0.3, "solid_capstyle": "butt"}


def floors(name: str, title: str, rows: list[tuple[str, str, dict]]) -> dict:
    """Accuracy and AUC, a row a floor or model: (its name, colour of COLOURS or a model's id, score
    -> (value, low, high))."""

    def paint(figure, stacked):
        axes = figure.subplots(2, 1) if stacked else figure.subplots(1, 2, sharey=True)
        for axis, (score, heading) in zip(axes, PANELS):
            for place, (_, kind, scores) in enumerate(rows):
                value, low, high = (100 * number for number in scores[score])
                hue = COLOURS[kind] if kind in COLOURS else colour(MODELS[kind], False)
                axis.plot([low, high], [place, place], color=hue, **BAND)
                axis.plot(value, place, color=hue, **DOT)
            axis.set_title(heading)
            axis.grid(axis="y", visible=False)
        for axis in axes if stacked else axes[:1]:
            name_rows(axis, [label for label, _, _ in rows], 0.6)
        entries = {
            "floor without any lung": line(color=COLOURS["paper"], **DOT),
            "other floor": line(color=COLOURS["none"], **DOT),
            "Linear": line(color=COLOURS["linear"], **DOT),
            "MLP": line(color=COLOURS["mlp"], **DOT),
            "CNN": line(color=COLOURS["cnn"], **DOT),
        }
        columns = 2 if stacked else 5
        legend(figure, entries, ncols=columns, columnspacing=1.2, handletextpad=0.4)

    def both(scores):
        return " and ".join(percent(scores[score][0]) for score, _ in PANELS)

    said = "; ".join(f"{label} {both(scores)}" for label, _, scores in rows)
    alt = f"{title}. Accuracy and AUC in percent: {said}."
    wide, narrow = 0.9 + 0.19 * len(rows), 1.5 + 2 * 0.18 * len(rows)
    return draw(name, title, alt, (WIDTH, wide), (NARROW, narrow), paint)


def learning_curve(name: str, title: str, points: dict[int, tuple], levels: dict) -> dict:
    """Accuracy over the number of training images; points: images -> (value, low, high). levels:
    model id -> its accuracy, a line across."""
    counts = list(points)
    values = 100 * np.array([points[count] for count in counts])

    def paint(figure, stacked):
        axis = figure.subplots()
        hue = COLOURS["ink"]
        axis.fill_between(counts, values[:, 1], values[:, 2], color=hue, alpha=0.12, linewidth=0)
        axis.plot(counts, values[:, 0], color=hue, marker="o", markersize=4)
        for model, level in levels.items():
            axis.axhline(100 * level, color=colour(MODELS[model], False), linewidth=1.2)
        axis.set_xscale("log", base=2)
        marked = counts[::-2][::-1] if stacked else counts
        axis.set_xticks(marked, [f"{count:,}" for count in marked])
        axis.minorticks_off()
        axis.set(xlabel="training images", ylabel="test accuracy, %")
        entries = {"logistic regression on 16×16 pixels": line(color=hue, marker="o", markersize=4)}
        entries |= {
            f"model {model}": line(color=colour(MODELS[model], False), linewidth=1.2)
            for model in levels
        }
        legend(figure, entries, ncols=1 if stacked else 4, columnspacing=1.2)

    said = "; ".join(f"{count:,} images {percent(points[count][0])} %" for count in counts)
    return draw(name, title, f"{title}: {said}.", (WIDTH, 2.7), (NARROW, 3.2), paint)


def changes(name: str, title: str, found: dict[str, dict[str, tuple]]) -> dict:
    """The change in AUC, a row a change and a mark a model: change -> model -> (value, low,
    high)."""
    models = list(dict.fromkeys(model for by_model in found.values() for model in by_model))
    marks = dict(zip(models, "osD^vP"))
    hues = {model: class_colour(KNOWN[model].family) for model in models}

    def style(model):
        return {"color": hues[model], "marker": marks[model], "markersize": 4, "linestyle": "none"}

    def paint(figure, stacked):
        axes = figure.subplots(2, 1) if stacked else figure.subplots(1, 2, sharey=True)
        for axis, (left, right) in zip(axes, ((-100, 100), (-ENLARGED, ENLARGED / 4))):
            for row, by_model in enumerate(found.values()):
                for step, (model, change) in enumerate(by_model.items()):
                    place = row + (step - (len(by_model) - 1) / 2) * 0.15
                    value, low, high = (100 * number for number in change)
                    if high > left and low < right:  # else an empty path, which no valid page holds
                        axis.plot([low, high], [place, place], color=hues[model], linewidth=1)
                    if left < value < right:
                        axis.plot(value, place, markeredgewidth=0, **style(model))
            axis.axvline(0, color=COLOURS["quiet"], linewidth=1)
            axis.set(xlabel="change in AUC, points")
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axis.grid(axis="y", visible=False)
        for axis in axes if stacked else axes[:1]:
            name_rows(axis, [fill(change, 20) if stacked else change for change in found], 0.6)
        axes[0].set_title("All")
        axes[1].set_title("Small changes, enlarged")
        axes[1].set_xlim(left, right)
        entries = {f"model {model}": line(**style(model)) for model in models}
        columns = 3 if stacked else 5
        legend(figure, entries, ncols=columns, columnspacing=1.2, handletextpad=0.4)

    last = models[-1]
    said = "; ".join(f"{change} {100 * by[last][0]:+.1f}" for change, by in found.items())
    alt = f"{title}. Points of AUC for model {last}: {said}."
    wide, narrow = 0.9 + 0.3 * len(found), 1.7 + 2 * 0.34 * len(found)
    return draw(name, title, alt, (WIDTH, wide), (NARROW, narrow), paint)


def external(name: str, title: str, rows: list[tuple[str, str, dict]]) -> dict:
    """AUC at home and elsewhere, a row a model or floor: (its name, colour of COLOURS or a model's
    id, key of FILMS -> (value, low, high)); nan is left out."""

    def style(films, hue):
        look = FILMS[films][1] | {"color": hue, "markersize": 4.2, "linestyle": "none"}
        return look | ({} if films == "elsewhere" else {"markerfacecolor": COLOURS["page"]})

    def paint(figure, stacked):
        axis = figure.subplots()
        axis.axvline(50, color=COLOURS["quiet"], linewidth=1)
        for place, (_, kind, areas) in enumerate(rows):
            hue = COLOURS[kind] if kind in COLOURS else class_colour(KNOWN[kind].family)
            for lane, films in zip((-0.24, 0, 0.24), FILMS):
                value, low, high = (100 * one for one in areas.get(films, (math.nan,) * 3))
                if not math.isnan(value):
                    axis.plot([low, high], [place + lane] * 2, color=hue, linewidth=1.2)
                    axis.plot(value, place + lane, **style(films, hue))
        name_rows(axis, [fill(label, 20) if stacked else label for label, _, _ in rows], 0.6)
        axis.set(xlabel="AUC, %; chance is 50", xlim=(None, 100))
        entries = {words: line(**style(key, COLOURS["ink"])) for key, (words, _) in FILMS.items()}
        legend(figure, entries, ncols=1 if stacked else 3, columnspacing=1.2)

    def said(areas):
        known = {films: one[0] for films, one in areas.items() if not math.isnan(one[0])}
        return ", ".join(f"{percent(known[films])} on {FILMS[films][0]}" for films in known)

    alt = f"{title}. AUC in percent: {'; '.join(f'{row[0]} {said(row[2])}' for row in rows)}."
    wide, narrow = 0.9 + 0.3 * len(rows), 1.3 + 0.38 * len(rows)
    return draw(name, title, alt, (WIDTH, wide), (NARROW, narrow), paint)

"""What the report's pictures share, and those of shares, counts and means: classes, a
confusion matrix, durations, bars.

Each picture is what report_pictures.draw gives back. One hue a model class throughout; its lighter
tone is the variant (weighted loss, or L2); solid lines are training, dashed ones validation; grey
is a run that did not learn (study.learned), which is in no mean.
"""

import numpy as np
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from xray import comparisons
from xray.report_pictures import COLOURS, NARROW, WIDTH, draw
from xray.results import Run
from xray.specs import MODELS
from xray.study import Study, apart, percent, seconds_of

HUE = {"Linear": "linear", "Linear+ReLU": "mlp", "CNN": "cnn"}
SCORE_PANELS = (("accuracy", "Accuracy, %"), ("f1", "F1 score, %"))  # a panel each
DASH = (0, (3.2, 1.8))
MIDDLE = {"ha": "center", "va": "center"}
NOTE = {"color": COLOURS["quiet"], "ha": "right", "va": "center", "linespacing": 1.3}
NOTE |= {"bbox": {"facecolor": COLOURS["page"], "linewidth": 0, "pad": 1, "alpha": 0.8}}
PAPER_MARK = {"marker": "D", "markersize": 4.6, "linestyle": "none", "zorder": 5}
PAPER_MARK |= {"markerfacecolor": COLOURS["page"], "markeredgecolor": COLOURS["paper"]}
PAPER_MARK |= {"markeredgewidth": 1.3}


def colour(spec, light: bool | None = None) -> str:
    """The hue of a model's class, in the lighter tone where its loss is weighted, or as told."""
    light = spec.class_weight if light is None else light
    return COLOURS[HUE[spec.family] + ("-2" if light else "")]


def class_colour(family: str) -> str:
    """The hue of a class; ink for one that the paper does not have."""
    return COLOURS[HUE.get(family, "ink")]


def how_many(runs_of: dict[str, list[Run]]) -> str:
    """How many runs learned, such as "3 of 5 learned"; empty where all did. runs_of: model -> its
    runs; where they differ, a line for each number with its models."""
    counts = {}
    for model, runs in runs_of.items():
        good, lost = apart(runs)
        if lost:
            counts.setdefault(f"{len(good)} of {len(runs)}", []).append(model)
    if [len(models) for models in counts.values()] == [len(runs_of)]:
        return f"{''.join(counts)} learned{' each' * (len(runs_of) > 1)}"
    lines = [f"{', '.join(models)}: {count}" for count, models in counts.items()]
    return "\n".join(["learned", *lines]) if lines else ""


def in_words(study: Study, model: str) -> str:
    """A model's mean accuracy and F1 in percent, and how many of its runs learned."""
    summary = study.summaries[model]
    note = how_many({model: summary.runs})
    if not summary.learned:
        return note
    return " and ".join(_both(summary.mean)) + (f" ({note})" if note else "")


def _both(scores: dict) -> list[str]:
    return [percent(scores[score]) for score, _ in SCORE_PANELS]


def line(**style) -> Line2D:
    """What stands in a legend for a line or a mark of that style."""
    return Line2D([], [], **style)


def swatches(light: bool) -> tuple[Patch, ...]:
    """What stands in a legend for the darker or the lighter tone: that of each class."""
    return tuple(Patch(color=COLOURS[hue + "-2" * light]) for hue in HUE.values())


def legend(figure, entries: dict, **style) -> None:
    """A legend beneath the figure: label -> a line, or swatches side by side."""
    side_by_side = {tuple: HandlerTuple(ndivide=None, pad=0)}
    style = {"loc": "outside lower left", "handler_map": side_by_side} | style
    figure.legend(list(entries.values()), list(entries), **style)


def name_rows(axis, names: list[str], margin: float = 0.5) -> None:
    """Rows from the top down, each with its name; `margin` rows stay free at both ends."""
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(axis="y", labelcolor=COLOURS["ink"])
    axis.set_ylim(len(names) - 1 + margin, -margin)
    axis.grid(axis="y", visible=False)


def shares(name: str, title: str, counts: dict) -> dict:
    """Class percentages, a bar a split; counts: split -> {"NORMAL": n, "PNEUMONIA": n}."""

    def paint(figure, stacked):
        axis, between = figure.subplots(), "\n" if stacked else "  "
        for row, part in enumerate(counts.values()):
            left, total = 0.0, sum(part.values())
            for label, hue in (("NORMAL", "class-0"), ("PNEUMONIA", "class-1")):
                share = 100 * part.get(label, 0) / total if total else 0
                _share(axis, row, left, share, label + between, COLOURS[hue])
                left += share
        names = [f"{split}{between}({sum(part.values()):,})" for split, part in counts.items()]
        name_rows(axis, names)
        axis.set(xlim=(0, 100), xlabel="share of the split's images, %")
        axis.spines["left"].set_visible(False)

    words = [
        f"{split}: " + ", ".join(f"{n} {label}" for label, n in part.items())
        for split, part in counts.items()
    ]
    alt = f"{title}. {'; '.join(words)}."
    wide, narrow = ((width, 0.7 + 0.42 * len(counts)) for width in (WIDTH, NARROW))
    return draw(name, title, alt, wide, narrow, paint)


def _share(axis, row: int, left: float, share: float, label: str, hue: str) -> None:
    """One class of one split; the first split, that for training, stands out."""
    alpha, ink, weight = (1, "on-2", "bold") if row == 0 else (0.45, "ink", "normal")
    axis.barh(row, share, 0.62, left=left, color=hue, linewidth=0, alpha=alpha)
    if share > 6:
        words = f"{label}{share:.1f} %"
        x = left + share / 2
        axis.text(x, row, words, color=COLOURS[ink], fontweight=weight, **MIDDLE)


def confusion(name: str, title: str, summary, paper: dict) -> dict:
    """A confusion matrix: in each cell the mean count over the runs that learned, its spread, the
    paper's count."""
    cells = {"tn": "true negatives", "fp": "false positives"}  # row by row
    cells |= {"fn": "false negatives", "tp": "true positives"}
    top = max(summary.mean[cell] for cell in cells)
    counts = {cell: f"{summary.mean[cell]:.0f}" for cell in cells}
    if len(summary.scores) > 1:
        counts = {c: f"{summary.mean[c]:.1f} ± {summary.spread[c]:.1f}" for c in counts}
    note = how_many({"": summary.runs})

    def paint(figure, stacked):
        axis = figure.subplots()
        for place, (cell, words) in enumerate(cells.items()):
            row, column = divmod(place, 2)
            box = [column, column + 1], 1 - row, 2 - row
            depth = 0.06 + 0.34 * summary.mean[cell] / top
            axis.fill_between(*box, linewidth=0, color=COLOURS["linear"], alpha=depth)
            x, y = column + 0.5, 1.5 - row
            theirs = f"paper: {paper[cell]}"
            axis.text(x, y + 0.14, counts[cell], fontsize=13, fontweight="bold", **MIDDLE)
            axis.text(x, y - 0.12, words, color=COLOURS["quiet"], **MIDDLE)
            axis.text(x, y - 0.29, theirs, color=COLOURS["paper"], **MIDDLE)
        axis.set(xlim=(0, 2), ylim=(0, 2), xlabel="predicted", ylabel="true")
        axis.set_title(note, fontsize=8.5, fontweight="normal")
        axis.set_xticks([0.5, 1.5], ["normal", "pneumonia"])
        axis.set_yticks([1.5, 0.5], ["normal", "pneumonia"], rotation=90, va="center")
        axis.tick_params(length=0, labelcolor=COLOURS["ink"])
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)

    alt = ", ".join(
        f"{counts[cell]} {words} (paper {paper[cell]})" for cell, words in cells.items()
    )
    alt = f"{title}: {alt}{f'; {note}' if note else ''}."
    return draw(name, title, alt, (4.2, 3.3), (NARROW, 2.9), paint)


def time_words(seconds: float) -> str:
    """A duration in three digits: in seconds up to two minutes, then in minutes."""
    value, unit = (seconds / 60, "min") if seconds >= 120 else (seconds, "s")
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def durations(name: str, title: str, rows: list[tuple[str, list]]) -> dict:
    """Training time, a bar of the mean for each (model, runs), each run a dot on it."""
    times = [[seconds_of(run) for run in runs] for _, runs in rows]
    long = max(map(max, times)) >= 120
    dots = {"markersize": 3, "color": COLOURS["ink"], "alpha": 0.6, "markeredgewidth": 0}
    beside = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
    means = [float(np.mean(values)) for values in times]

    def paint(figure, stacked):
        axis, unit = figure.subplots(), 60 if long else 1
        for row, ((_, runs), values, mean) in enumerate(zip(rows, times, means)):
            hue = COLOURS[HUE[runs[0].spec.family]]
            axis.barh(row, mean / unit, 0.55, color=hue, linewidth=0)
            if len(runs) > 1:
                axis.plot(np.array(values) / unit, [row] * len(runs), "o", **dots)
            axis.annotate(time_words(mean), (max(values) / unit, row), fontweight="bold", **beside)
        between = "\n" if stacked else "  "
        name_rows(axis, [f"{model}{between}{runs[0].spec.family}" for model, runs in rows])
        axis.set(xlabel="minutes" if long else "seconds")
        axis.margins(x=0.3 if stacked else 0.14)
        axis.set_xlim(left=0)

    words = [f"model {model} {time_words(mean)}" for (model, _), mean in zip(rows, means)]
    alt = f"{title}: {'; '.join(words)}."
    wide, narrow = ((width, 0.7 + 0.4 * len(rows)) for width in (WIDTH, NARROW))
    return draw(name, title, alt, wide, narrow, paint)


# ---- bars


def bars(name: str, title: str, study: Study, groups: list, tones: tuple) -> dict:
    """Accuracy and F1 on the test split, a group of models a class; bars from the constant guess.

    groups: (class, its models). tones: what the darker and the lighter bar are. Above the bars, in
    a place of their own, our mean and the paper's value (comparisons.printed); the error bar is
    Summary.interval. Runs that did not learn are in neither, and are counted beneath.
    """

    def paint(figure, stacked):
        axes = figure.subplots(2, 1) if stacked else figure.subplots(1, 2)
        for axis, (score, heading) in zip(axes, SCORE_PANELS):
            floor = 100 * study.baseline[score]
            reached = [floor]
            for place, (_, models) in enumerate(groups):
                for step, model in enumerate(models):
                    x = place + (step - (len(models) - 1) / 2) * 0.4
                    reached += _bar(axis, x, study, model, score, light=step > 0)
            _room(axis, min(reached), max(reached))
            axis.axhline(floor, color=COLOURS["quiet"], linewidth=1)
            _name_bars(axis, study, groups)
            axis.set_title(heading)
            words = f"always pneumonia: {floor:.1f}"
            style = {"fontsize": 8.5, "fontweight": "normal", "color": COLOURS["quiet"]}
            axis.set_title(words, loc="right", **style)
        entries = {
            tones[0]: swatches(light=False),
            tones[1]: swatches(light=True),
            "95 % interval": line(color=COLOURS["ink"], linewidth=1),
            "the paper": line(**PAPER_MARK),
        }
        legend(figure, entries, ncols=2 if stacked else 4, handlelength=1.6, columnspacing=1.6)

    shown = [model for _, models in groups for model in models if model in study.summaries]
    words = [f"model {model} {in_words(study, model)}" for model in shown]
    words.append(f"always saying pneumonia gives {' % and '.join(_both(study.baseline))} %")
    alt = f"{title}. Mean accuracy and F1 in percent: {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 3.5), (NARROW, 6.6), paint)


def _bar(axis, x: float, study: Study, model: str, score: str, light: bool) -> list[float]:
    """One model's bar, its interval left and the paper's mark right of its middle, the two numbers
    above; gives the values that it reaches."""
    band = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "top"}
    theirs = 100 * comparisons.printed(model, score)
    axis.plot(x + 0.09, theirs, **PAPER_MARK)
    paper = {"xytext": (0, -13), "color": COLOURS["paper"], "ha": "center"}
    axis.annotate(f"{theirs:.1f}", (x, 1), **paper, **band)
    if model not in study.summaries or not study.summaries[model].learned:
        axis.annotate("–", (x, 1), xytext=(0, -2), ha="center", **band)
        return [theirs]
    summary, hue = study.summaries[model], colour(MODELS[model], light)
    floor = 100 * study.baseline[score]
    value, ends = 100 * summary.mean[score], [100 * end for end in summary.interval[score]]
    axis.bar(x, value - floor, 0.36, bottom=floor, color=hue, linewidth=0)
    axis.plot([x - 0.09] * 2, ends, color=COLOURS["ink"], linewidth=1)
    axis.annotate(f"{value:.1f}", (x, 1), xytext=(0, -2), ha="center", fontweight="bold", **band)
    return [theirs, value, *ends]


def _room(axis, low: float, high: float) -> None:
    """Above all marks a quarter of the panel stays free for the numbers; no mark touches an end."""
    reach = max(high - low, 1)
    axis.set_ylim(low - 0.05 * reach, high + 0.36 * reach)
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10], integer=True).tick_values(low, high)
    axis.set_yticks([tick for tick in ticks if low - 0.05 * reach <= tick <= high])
    style = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "ha": "right"}
    axis.annotate("ours", (0, 1), xytext=(-4, -2), color=COLOURS["ink"], **style)
    axis.annotate("paper", (0, 1), xytext=(-4, -13), color=COLOURS["paper"], **style)


def _name_bars(axis, study: Study, groups: list) -> None:
    """Beneath the bars: each model, its class, and where runs were lost how many learned."""
    beneath = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    beneath |= {"ha": "center", "va": "top", "annotation_clip": False}
    places, names = [], []
    for place, (family, models) in enumerate(groups):
        axis.annotate(family, (place, 0), xytext=(0, -15), color=COLOURS["ink"], **beneath)
        lost = False
        for step, model in enumerate(models):
            x = place + (step - (len(models) - 1) / 2) * 0.4
            places.append(x)
            names.append(model)
            runs = study.summaries[model].runs if model in study.summaries else []
            note = how_many({model: runs}) if runs else "not run"
            note = note.removesuffix(" learned").replace(" of ", "/")
            lost = lost or (runs and note)
            axis.annotate(note, (x, 0), xytext=(0, -27), color=COLOURS["quiet"], **beneath)
        if lost:
            style = {"xytext": (0, -38), "color": COLOURS["quiet"]}
            axis.annotate("learned", (place, 0), **style, **beneath)
    axis.set_xticks(places, names, fontweight="bold")
    axis.set_xlim(-0.55, len(groups) - 0.45)
    axis.tick_params(axis="x", labelcolor=COLOURS["ink"], length=0)
    axis.grid(axis="x", visible=False)

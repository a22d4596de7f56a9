"""What the report's pictures share, and those of scores and counts: bars, a glance, classes, a
confusion matrix, durations.

Each picture is what report_pictures.draw gives back. One hue a model class throughout; its lighter
tone is the variant (weighted loss, or L2); solid lines are training, dashed ones validation.
"""

import numpy as np
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from xray.report_pictures import COLOURS, draw
from xray.specs import MODELS
from xray.study import EVALUATED, Study, describe, percent, seconds_of

HUE = {"Linear": "linear", "Linear+ReLU": "mlp", "CNN": "cnn"}
SCORE_PANELS = (("accuracy", "Accuracy, %"), ("f1", "F1 score, %"))  # a panel each
WIDTH = 7.6  # inches: 547 points, shown at most 1.5 times that
DASH = (0, (3.2, 1.8))
MIDDLE = {"ha": "center", "va": "center"}
PAPER_MARK = {"marker": "D", "markersize": 4.6, "linestyle": "none", "zorder": 5}
PAPER_MARK |= {"markerfacecolor": COLOURS["page"], "markeredgecolor": COLOURS["paper"]}
PAPER_MARK |= {"markeredgewidth": 1.3}


def colour(spec, light: bool | None = None) -> str:
    """The hue of a model's class, in the lighter tone where its loss is weighted, or as told."""
    light = spec.class_weight if light is None else light
    return COLOURS[HUE[spec.family] + ("-2" if light else "")]


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

    def paint(figure):
        axis = figure.subplots()
        for row, part in enumerate(counts.values()):
            left, total = 0.0, sum(part.values())
            for label, hue in (("NORMAL", "class-0"), ("PNEUMONIA", "class-1")):
                share = 100 * part.get(label, 0) / total if total else 0
                _share(axis, row, left, share, label, COLOURS[hue])
                left += share
        name_rows(axis, [f"{split} ({sum(part.values()):,})" for split, part in counts.items()])
        axis.set(xlim=(0, 100), xlabel="share of the split's images, %")
        axis.spines["left"].set_visible(False)

    words = [
        f"{split}: " + ", ".join(f"{n} {label}" for label, n in part.items())
        for split, part in counts.items()
    ]
    alt = f"{title}. {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 0.7 + 0.42 * len(counts)), paint)


def _share(axis, row: int, left: float, share: float, label: str, hue: str) -> None:
    """One class of one split; the first split, that for training, stands out."""
    alpha, ink, weight = (1, "on-2", "bold") if row == 0 else (0.45, "ink", "normal")
    axis.barh(row, share, 0.62, left=left, color=hue, linewidth=0, alpha=alpha)
    if share > 6:
        words = f"{label}  {share:.1f} %"
        x = left + share / 2
        axis.text(x, row, words, color=COLOURS[ink], fontweight=weight, **MIDDLE)


def confusion(name: str, title: str, summary, paper: dict) -> dict:
    """A confusion matrix: in each cell the mean count over runs, its spread, the paper's count."""
    cells = {"tn": "true negatives", "fp": "false positives"}  # row by row
    cells |= {"fn": "false negatives", "tp": "true positives"}
    top = max(summary.mean[cell] for cell in cells)
    counts = {cell: f"{summary.mean[cell]:.0f}" for cell in cells}
    if len(summary.scores) > 1:
        counts = {c: f"{summary.mean[c]:.1f} ± {summary.spread[c]:.1f}" for c in counts}

    def paint(figure):
        axis = figure.subplots()
        for place, (cell, words) in enumerate(cells.items()):
            row, column = divmod(place, 2)
            box = [column, column + 1], 1 - row, 2 - row
            depth = 0.06 + 0.34 * summary.mean[cell] / top
            axis.fill_between(*box, linewidth=0, color=COLOURS["linear"], alpha=depth)
            x, y = column + 0.5, 1.5 - row
            theirs = f"paper: {paper[cell]}"
            axis.text(x, y + 0.12, counts[cell], fontsize=13, fontweight="bold", **MIDDLE)
            axis.text(x, y - 0.13, words, color=COLOURS["quiet"], **MIDDLE)
            axis.text(x, y - 0.29, theirs, color=COLOURS["paper"], **MIDDLE)
        axis.set(xlim=(0, 2), ylim=(0, 2), xlabel="predicted", ylabel="true")
        axis.set_xticks([0.5, 1.5], ["normal", "pneumonia"])
        axis.set_yticks([1.5, 0.5], ["normal", "pneumonia"], rotation=90, va="center")
        axis.tick_params(length=0, labelcolor=COLOURS["ink"])
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)

    alt = ", ".join(
        f"{counts[cell]} {words} (paper {paper[cell]})" for cell, words in cells.items()
    )
    return draw(name, title, f"{title}: {alt}.", (4.2, 3.3), paint)


def durations(name: str, title: str, rows: list[tuple[str, list]]) -> dict:
    """Training time in minutes, a bar of the mean for each (model, runs), each run a dot on it."""
    minutes = [[seconds_of(run) / 60 for run in runs] for _, runs in rows]
    dots = {"markersize": 3, "color": COLOURS["ink"], "alpha": 0.6, "markeredgewidth": 0}
    beside = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}

    def paint(figure):
        axis = figure.subplots()
        for row, ((_, runs), values) in enumerate(zip(rows, minutes)):
            mean = float(np.mean(values))
            axis.barh(row, mean, 0.55, color=colour(runs[0].spec, False), linewidth=0)
            if len(runs) > 1:
                axis.plot(values, [row] * len(runs), "o", **dots)
            axis.annotate(f"{mean:.3g} min", (max(values), row), fontweight="bold", **beside)
        name_rows(axis, [f"{model}  {runs[0].spec.family}" for model, runs in rows])
        axis.set(xlabel="minutes")
        axis.margins(x=0.14)
        axis.set_xlim(left=0)

    means = zip((model for model, _ in rows), map(np.mean, minutes))
    words = [f"model {model} {mean:.3g} minutes" for model, mean in means]
    alt = f"{title}: {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 0.7 + 0.4 * len(rows)), paint)


SMALL = {"textcoords": "offset points", "ha": "center", "fontsize": 7.5}
OVER = {"xytext": (0, 3), "va": "bottom"} | SMALL
UNDER = {"xytext": (0, -3), "va": "top"} | SMALL
CLEAR = OVER | {"xytext": (0, 7)}  # of the paper's mark, where that is on top


def bars(name: str, title: str, study: Study, paper: dict, groups: list, tones: tuple) -> dict:
    """Accuracy and F1 on the test split, a group of models a class; bars from the constant guess.

    paper: model -> its printed scores in percent, drawn as a diamond. groups: (class, its models).
    tones: what the darker and the lighter bar are. The error bar is Summary.interval.
    """

    def paint(figure):
        for axis, (score, heading) in zip(figure.subplots(1, 2), SCORE_PANELS):
            for place, (_, models) in enumerate(groups):
                for step, model in enumerate(models):
                    x = place + (step - (len(models) - 1) / 2) * 0.4
                    _bar(axis, x, study, paper, model, score, light=step > 0)
            _guess(axis, 100 * study.baseline[score])
            axis.set_xticks(range(len(groups)), [family for family, _ in groups])
            axis.set_xlim(-0.55, len(groups) - 0.45)
            axis.tick_params(axis="x", labelcolor=COLOURS["ink"], length=0)
            axis.set_title(heading)
            axis.grid(axis="x", visible=False)
        entries = {
            tones[0]: swatches(light=False),
            tones[1]: swatches(light=True),
            "95 % interval": line(color=COLOURS["ink"], linewidth=1),
            "the paper": line(**PAPER_MARK),
        }
        legend(figure, entries, ncols=4, handlelength=1.6, columnspacing=1.6)

    shown = [model for _, models in groups for model in models if model in study.summaries]
    means = [(model, *_both(study.summaries[model].mean)) for model in shown]
    words = [f"model {model}: accuracy {accuracy} %, F1 {f1} %" for model, accuracy, f1 in means]
    words.append(f"always saying pneumonia gives {' % and '.join(_both(study.baseline))} %")
    return draw(name, title, f"{title}. {'; '.join(words)}.", (WIDTH, 3.2), paint)


def _bar(axis, x: float, study: Study, paper: dict, model: str, score: str, light: bool) -> None:
    floor = 100 * study.baseline[score]
    if model not in study.summaries or not study.summaries[model].learned:
        words = "none learned" if model in study.summaries else "not run"
        axis.annotate(f"{model}\n{words}", (x, floor), color=COLOURS["quiet"], **OVER)
        return
    summary, hue = study.summaries[model], colour(MODELS[model], light)
    value, (low, high) = 100 * summary.mean[score], (100 * end for end in summary.interval[score])
    top = max(high, value, paper.get(model, {}).get(score, 0))
    axis.bar(x, value - floor, 0.36, bottom=floor, color=hue, linewidth=0)
    axis.plot([x, x], [low, high], color=COLOURS["ink"], linewidth=1)
    axis.annotate(f"{value:.1f}", (x, top), **CLEAR)
    if model in paper:
        axis.plot(x, paper[model][score], **PAPER_MARK)
    inside = abs(value - floor) > 4  # a name is written into its bar where there is room
    place = UNDER if inside and value < floor else OVER
    ink = COLOURS[("on-2" if light else "on") if inside else "ink"]
    ground = {"facecolor": hue if inside else COLOURS["page"], "linewidth": 0, "pad": 0.5}
    axis.annotate(model, (x, floor), fontweight="bold", color=ink, bbox=ground, **place)


def _guess(axis, floor: float) -> None:
    """The line that the bars rise from, with its name; room is left for that and above the bars."""
    grey = COLOURS["quiet"]
    axis.axhline(floor, color=grey, linewidth=1)
    style = UNDER | {"ha": "right", "color": grey}
    words, end = f"always pneumonia: {floor:.1f}", ("axes fraction", "data")
    axis.annotate(words, (1, floor), xycoords=end, **style)
    low, high = axis.get_ylim()
    axis.set_ylim(min(low, floor - 0.14 * (high - floor)), high + 0.06 * (high - low))


def _both(scores: dict) -> list[str]:
    return [percent(scores[score]) for score, _ in SCORE_PANELS]


def glance(name: str, title: str, study: Study, paper: dict) -> dict:
    """The 15 evaluated models at a glance: each run a dot, its 95 % interval, the paper's value."""
    models = [model for model in EVALUATED if model in study.summaries]
    dot = {"marker": "o", "linestyle": "none", "markersize": 3}
    dash = {"marker": "|", "linestyle": "none", "markeredgewidth": 2}
    band = {"linewidth": 5, "alpha": 0.25, "solid_capstyle": "butt"}

    def paint(figure):
        axes = figure.subplots(1, 2, sharey=True)
        for axis, (score, heading) in zip(axes, SCORE_PANELS):
            for row, model in enumerate(models):
                summary, hue = study.summaries[model], colour(MODELS[model])
                dots = [100 * scores[score] for scores in summary.scores]
                ends = [100 * end for end in summary.interval[score]]
                axis.plot(ends, [row, row], color=hue, **band)
                axis.plot(dots, [row] * len(dots), color=hue, alpha=0.6, markeredgewidth=0, **dot)
                axis.plot(100 * summary.mean[score], row, color=hue, markersize=11, **dash)
                if model in paper:
                    axis.plot(paper[model][score], row, **PAPER_MARK)
            axis.set_title(heading)
            axis.grid(axis="y", visible=False)
        words = [describe(MODELS[model]).replace(", 1 hidden layer", "") for model in models]
        name_rows(axes[0], [f"{model}  {says}" for model, says in zip(models, words)], 0.6)
        grey = COLOURS["quiet"]
        entries = {
            "a run": line(color=grey, **dot),
            "mean": line(color=grey, markersize=10, **dash),
            "95 % interval": line(color=grey, linewidth=5, alpha=0.3),
            "the paper": line(**PAPER_MARK),
        }
        legend(figure, entries, ncols=4, columnspacing=1.4, handlelength=1.6)

    words = [
        f"model {model} " + " and ".join(_both(study.summaries[model].mean)) for model in models
    ]
    alt = f"{title}. Mean accuracy and F1 in percent: {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 1.1 + 0.23 * len(models)), paint)

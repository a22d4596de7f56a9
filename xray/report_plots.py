"""The few shapes that all pictures have: rows of dots, lines, training curves, bars.

A caller says what is drawn in plain values; numbers are as they stand on the axis (percent, not
fractions). Colours are the names of COLOURS: one hue a model class, its lighter tone the variant.
"""

import io
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

# Okabe and Ito's hues for the classes, safe for the colour-blind
COLOURS = {
    "ink": "#1d2329",
    "quiet": "#5c6670",
    "rule": "#d9dee3",
    "none": "#8b949e",
    "paper": "#7a4f9a",
    "linear": "#0072b2",
    "linear-2": "#56a8dc",
    "mlp": "#c14b00",
    "mlp-2": "#ef9150",
    "cnn": "#007a5a",
    "cnn-2": "#3dbb93",
}
HUES = {"Linear": "linear", "Linear+ReLU": "mlp", "CNN": "cnn"}
WIDTH = 7.6  # inches, 730 pixels: the smallest text, 8.5 points, is 11 pixels or more on a desktop
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",  # the same picture gives the same bytes
    "font.family": ["sans-serif"],
    # measured in the first, which comes with matplotlib and is wide; shown in what the reader has
    "font.sans-serif": ["DejaVu Sans", "Segoe UI", "Helvetica Neue", "Arial"],
    "font.size": 8.5,
    "text.parse_math": False,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["quiet"],
    "axes.edgecolor": COLOURS["rule"],
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # else each is moved out of the way of ticks that no axis has there
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["rule"],
    "grid.linewidth": 0.6,
    "xtick.color": COLOURS["rule"],
    "ytick.color": COLOURS["rule"],
    "xtick.labelcolor": COLOURS["quiet"],
    "ytick.labelcolor": COLOURS["quiet"],
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "path.simplify_threshold": 0.3,
}
matplotlib.rcParams.update(STYLE)  # nothing else in this program draws


def colour(spec, light: bool = False) -> str:
    """The hue of a model's class, or its lighter tone; ink for a class that the paper lacks."""
    hue = HUES.get(spec.family, "ink")
    return f"{hue}-2" if light and hue != "ink" else hue


def save(figure: Figure, kind: str = "svg") -> bytes:
    """A figure as a file, "svg" or, where it shows films, "png". No time stands in it."""
    stream = io.BytesIO()
    if kind == "png":
        figure.savefig(stream, format="png", dpi=144, metadata={"Software": None})
        return stream.getvalue()
    nothing = {"Date": None, "Creator": None}
    figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    # a hundredth of a point is less than can be seen
    return re.sub(rb"(\.\d\d)\d+", rb"\1", stream.getvalue())


def panels(rows: int, columns: int, height: float, layout="constrained", **shared):
    """An empty figure of WIDTH and its axes, (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), layout=layout)
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def _place(figure, legend: dict, left, right, top, bottom, across=0.2, down=0.6) -> None:
    """Margins and gaps in inches, which is ten times faster than to have them worked out; and a
    legend beneath all: words -> the style of a line or mark."""
    width, height = figure.get_size_inches()
    bottom += 0.2 * -(-len(legend) // 4)
    grid = figure.axes[0].get_gridspec()
    wide = (width - left - right - across * (grid.ncols - 1)) / grid.ncols
    high = (height - top - bottom - down * (grid.nrows - 1)) / grid.nrows
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        top=1 - top / height,
        bottom=bottom / height,
        wspace=across / wide,
        hspace=down / high,
    )
    marks = [Line2D([], [], **style) for style in legend.values()]
    style = {"loc": "lower left", "bbox_to_anchor": (0.3 / width, 0), "borderaxespad": 0}
    figure.legend(marks, list(legend), ncols=4, columnspacing=1.4, handlelength=1.8, **style)


# ---- rows of dots


@dataclass(frozen=True)
class Mark:
    """One value in a row: a dot, with its interval where low and high are given.

    kind: matplotlib's marker, "|" for a stroke. lane: how far below its row's middle, in rows.
    panel: the number of the panel. faint: one of many.
    """

    row: str
    value: float
    low: float = math.nan
    high: float = math.nan
    colour: str = "ink"
    kind: str = "o"
    filled: bool = True
    faint: bool = False
    lane: float = 0.0
    panel: int = 0

    def style(self) -> dict:
        hue = COLOURS[self.colour]
        size = 3 if self.faint else 5
        return {
            "color": hue,
            "marker": self.kind,
            "linestyle": "none",
            "markersize": 8 if self.kind == "|" else size,
            "markeredgewidth": 1.0 if self.kind == "|" or not self.filled else 0,
            "markerfacecolor": hue if self.filled else "white",
            "alpha": 0.5 if self.faint else 1,
        }


def dots(
    marks: list[Mark],
    titles: tuple[str, ...],
    legend: dict[str, Mark],
    references: dict[str, list[float]] | None = None,
    limits: dict[int, tuple] | None = None,
    notes: dict[str, str] | None = None,
    log: bool = False,
    high: float = 0.24,
) -> Figure:
    """A chart of rows, in the order in which the marks first name them, a panel beside the other.

    titles: what each panel's axis is. legend: words -> a mark of that look. references: words -> a
    value for each panel, a vertical line. limits: panel -> (low, high). notes: row -> words at its
    right. high: inches a row.
    """
    rows = list(dict.fromkeys(mark.row for mark in marks))
    names = [fill(row, 46 if len(titles) == 1 else 34) for row in rows]
    height = 0.9 + high * len(rows) + 0.12 * sum("\n" in name for name in names)
    figure, axes = panels(1, len(titles), height, layout=None, sharey=True)
    dashes = dict(zip(references or {}, ("-", "--", ":", "-.")))
    alike = defaultdict(list)  # all marks of one look are one path
    for mark in marks:
        if not math.isnan(mark.value):
            alike[mark.panel, tuple(mark.style().items())].append(mark)
    for (panel, style), group in alike.items():
        axis, places = axes[0][panel], [rows.index(mark.row) + mark.lane for mark in group]
        ends = [mark.low for mark in group], [mark.high for mark in group]
        axis.hlines(places, *ends, colors=COLOURS[group[0].colour], linewidth=1.2)
        axis.plot([mark.value for mark in group], places, **dict(style))
    for panel, (axis, title) in enumerate(zip(axes[0], titles)):
        if limits and panel in limits:
            axis.set_xlim(*limits[panel])
        if log:
            axis.set_xscale("log")
            _numbers(axis.xaxis)
        for words, values in (references or {}).items():
            axis.axvline(values[panel], color=COLOURS["quiet"], linestyle=dashes[words], zorder=1)
        axis.set_xlabel(title)
        axis.grid(axis="y", visible=False)
    first, last = axes[0][0], axes[0][-1]
    first.set_yticks(range(len(rows)), names)
    first.tick_params(axis="y", labelcolor=COLOURS["ink"])
    first.set_ylim(len(rows) - 0.4, -0.6)
    for row, words in (notes or {}).items():
        place = {"xycoords": ("axes fraction", "data"), "va": "center", "color": COLOURS["quiet"]}
        last.annotate(f" {words}", (1, rows.index(row)), **place)
    entries = {words: mark.style() for words, mark in legend.items()}
    entries |= {word: {"color": COLOURS["quiet"], "linestyle": d} for word, d in dashes.items()}
    longest = max(len(line) for name in names for line in name.split("\n"))
    noted = max(map(len, (notes or {}).values()), default=0)
    _place(figure, entries, 0.15 + 0.075 * longest, 0.15 + 0.075 * noted, 0.1, 0.5)
    return figure


def _numbers(axis) -> None:
    """A logarithmic axis is marked with plain numbers."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


# ---- lines


@dataclass(frozen=True)
class Line:
    """One line of a panel: y over x; low, high: the band around it. words: its name in the legend,
    which names each once. marker: at each point. faint: one of many."""

    x: list
    y: list
    colour: str = "ink"
    words: str = ""
    dash: str = "-"
    marker: str = ""
    filled: bool = True
    faint: bool = False
    low: list | None = None
    high: list | None = None
    panel: int = 0

    def style(self) -> dict:
        hue = COLOURS[self.colour]
        return {
            "color": hue,
            "linestyle": self.dash or "none",
            "marker": self.marker or None,
            "markersize": 3.5,
            "markerfacecolor": hue if self.filled else "white",
            "linewidth": 0.6 if self.faint else 1.5,
            "alpha": 0.5 if self.faint else 1,
        }


def lines(
    series: list[Line],
    titles: tuple[str, ...] = ("",),
    x: tuple[str, ...] | str = "",
    y: tuple[str, ...] | str = "",
    log: int = 0,
    ticks: list | None = None,
    references: dict[str, float] | None = None,
    labels: list[tuple] = (),
    limits: dict[int, tuple] | None = None,
    columns: int = 0,
    height: float = 2.9,
    square: bool = False,
) -> Figure:
    """Lines, a panel beside the other. titles: one a panel. x, y: what the axes are, for all or one
    a panel. log: the base of a logarithmic x. ticks: where x is marked. references: words -> a
    horizontal line in every panel. labels: (x, y, words) in the first. limits: panel -> (x low, x
    high, y low, y high). columns: panels in a row. height: inches a row of panels. square: both
    axes in the same scale."""
    columns = columns or len(titles)
    rows = -(-len(titles) // columns)
    alone = isinstance(y, str)
    figure, axes = panels(rows, columns, 0.3 + height * rows, layout=None, sharey=alone)
    axes = axes.ravel()
    dashes = dict(zip(references or {}, ("--", ":", "-.")))
    for panel, (axis, title) in enumerate(zip(axes, titles)):
        axis.set_title(title)
        for line in (line for line in series if line.panel == panel):
            if line.low is not None:
                band = {"color": COLOURS[line.colour], "alpha": 0.13, "linewidth": 0}
                axis.fill_between(line.x, line.low, line.high, **band)
            axis.plot(line.x, line.y, **line.style())
        for words, value in (references or {}).items():
            axis.axhline(value, color=COLOURS["quiet"], linestyle=dashes[words], linewidth=1.2)
        if log:
            axis.set_xscale("log", base=log)
            _numbers(axis.xaxis) if log == 10 else axis.minorticks_off()
        if ticks:
            axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        elif not log:
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if limits and panel in limits:
            axis.set_xlim(limits[panel][:2])
            axis.set_ylim(limits[panel][2:])
        if square:
            axis.set_aspect("equal")
        axis.set_xlabel(x if isinstance(x, str) else x[panel])
        if not alone or panel % columns == 0:
            axis.set_ylabel(y if alone else y[panel])
    for axis in axes[len(titles) :]:
        axis.set_visible(False)
    for across, up, words in labels:
        beside = {"xytext": (4, 3), "textcoords": "offset points", "color": COLOURS["quiet"]}
        axes[0].annotate(words, (across, up), **beside)
    entries = {line.words: line.style() for line in series if line.words}
    entries |= {word: {"color": COLOURS["quiet"], "linestyle": d} for word, d in dashes.items()}
    _place(figure, entries, 0.6, 0.15, 0.3, 0.5, across=0.2 if alone else 0.65, down=0.8)
    return figure


# ---- training by epoch


def curves(epochs, columns: list[tuple[str, list[tuple[str, str]]]]) -> Figure:
    """Loss above accuracy by epoch, a column a panel: (heading, [(model, colour)]).

    epochs: a frame, a row an epoch of a run: model, seed, epoch, learned, diverged and the four
    quantities, accuracies in 0-1. Each run that learned is thin, their mean thick; training solid,
    validation dashed. A run that did not learn is grey and in no mean; one that diverged ends in a
    cross.
    """
    figure, axes = panels(2, len(columns), 4.0, layout=None, sharex="col", sharey="row")
    shown = epochs[epochs["model"].isin([model for _, group in columns for model, _ in group])]
    losses = shown[["train_loss", "validation_loss"]].to_numpy().ravel()
    losses = losses[np.isfinite(losses) & (losses > 0)]
    for (heading, group), upper, lower in zip(columns, *axes):
        for model, hue in group:
            of_model = shown[shown["model"] == model]
            for axis, quantity, factor in ((upper, "loss", 1), (lower, "accuracy", 100)):
                for part, dash in (("train", "-"), ("validation", (0, (3.2, 1.8)))):
                    _runs(axis, of_model, f"{part}_{quantity}", factor, COLOURS[hue], dash)
        upper.set_title(heading)
        lower.set_xlabel("epoch")
        lower.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        runs = shown[shown["model"].isin([model for model, _ in group])]
        runs = runs.drop_duplicates(["model", "seed"])
        if not runs["learned"].all():
            words = ", ".join(
                f"{of['learned'].sum()}/{len(of)}" for _, of in runs.groupby("model", sort=False)
            )
            style = {"loc": "right", "fontweight": "normal", "fontsize": 8.5}
            lower.set_title(f"{words} learned", color=COLOURS["quiet"], **style)
        if runs.empty:
            upper.text(0.5, 0.5, "not trained yet", ha="center", transform=upper.transAxes)
    logarithmic = len(losses) > 0 and losses.max() > 12 * np.median(losses)
    if logarithmic:
        axes[0][0].set_yscale("log")
        _numbers(axes[0][0].yaxis)
    axes[0][0].set_ylabel("loss (log scale)" if logarithmic else "loss")
    axes[1][0].set_ylabel("accuracy, %")
    ink = {"color": COLOURS["ink"]}
    entries = {"training": ink, "validation": ink | {"linestyle": (0, (3.2, 1.8))}}
    if not shown.empty and not shown["learned"].all():
        entries["did not learn"] = {"color": COLOURS["none"], "linewidth": 0.8}
    _place(figure, entries, 0.6, 0.1, 0.25, 0.5, across=0.15, down=0.3)
    return figure


def _runs(axis, of_model, quantity: str, factor: float, hue: str, dash) -> None:
    """The runs of one model: those that did not learn, those that did, the mean of these."""
    table = of_model.pivot(index="epoch", columns="seed", values=quantity) * factor
    if table.empty:
        return
    last = of_model.groupby("seed").last()
    good = table.loc[:, last["learned"]]
    kinds = [(table.loc[:, ~last["learned"]], COLOURS["none"], 0.6, 1)]
    if good.shape[1] > 1:
        kinds.append((good, hue, *((0.5, 0.5) if good.shape[1] < 10 else (0.4, 0.25))))
    for runs, tone, width, alpha in kinds:
        # all runs as one path, with a gap after each
        x = np.tile(np.append(runs.index, np.nan), runs.shape[1])
        y = np.vstack([runs, np.full(runs.shape[1], np.nan)]).T.ravel()
        axis.plot(x, y, color=tone, linewidth=width, alpha=alpha)
    mean = good.mean(axis=1).dropna()
    marker = "o" if len(mean) == 1 else None
    axis.plot(mean.index, mean, color=hue, linestyle=dash, linewidth=1.7, marker=marker)
    for seed in last.index[last["diverged"]]:
        run = table[seed].dropna()
        axis.plot(run.index[-1:], run[-1:], "x", color=COLOURS["none"], markersize=5)


# ---- bars


@dataclass(frozen=True)
class Bar:
    """One bar: its value, interval and the paper's value; words: what stands beneath it."""

    words: str
    value: float
    colour: str
    low: float = math.nan
    high: float = math.nan
    paper: float = math.nan
    each: tuple = ()  # a dot each


def bars(
    columns: list[tuple[str, list[list[Bar]]]],
    base: list[float] | None = None,
    legend: dict[str, str] | None = None,
    digits: int = 1,
    log: bool = False,
    height: float = 3.3,
) -> Figure:
    """Bars in groups, a panel beside the other: (heading, groups of bars). base: where the bars of
    each panel start. legend: words -> a colour. Our value and the paper's stand over each bar."""
    figure, axes = panels(1, len(columns), height, layout=None)
    for panel, (axis, (heading, groups)) in enumerate(zip(axes[0], columns)):
        bottom = base[panel] if base else 0
        ticks, reached = {}, [bottom]
        for place, group in enumerate(groups):
            for step, bar in enumerate(group):
                x = place + (step - (len(group) - 1) / 2) * 0.8 / len(group)
                ticks[x] = bar.words
                values = [bar.value, bar.low, bar.high, bar.paper, *bar.each]
                reached += [value for value in values if not math.isnan(value)]
                _bar(axis, x, 0.7 / len(group), bar, bottom, digits)
        reach = max(reached) - min(reached) or 1
        if log:
            axis.set_yscale("log")
            _numbers(axis.yaxis)
            axis.set_ylim(min(reached[1:]) / 3, max(reached) * 3)
        else:
            room = (
                0.3 if any(not math.isnan(bar.paper) for group in groups for bar in group) else 0.15
            )
            axis.set_ylim(min(reached) - 0.04 * reach * (bottom > 0), max(reached) + room * reach)
        axis.set_xticks(list(ticks), list(ticks.values()))
        axis.tick_params(axis="x", labelcolor=COLOURS["ink"], length=0)
        axis.grid(axis="x", visible=False)
        axis.set_title(heading)
    entries = {words: _patch(hue) for words, hue in (legend or {}).items()}
    every = [bar for _, groups in columns for group in groups for bar in group]
    if any(not math.isnan(bar.low) for bar in every):
        entries["95 % interval"] = {"color": COLOURS["ink"]}
    if any(not math.isnan(bar.paper) for bar in every):
        entries["the paper"] = PAPER
    beneath = 0.15 * max(bar.words.count("\n") + 1 for bar in every)
    _place(figure, entries, 0.5, 0.1, 0.25, 0.15 + beneath, across=0.5)
    return figure


PAPER = {
    "marker": "D",
    "linestyle": "none",
    "markersize": 4.6,
    "markerfacecolor": "white",
    "markeredgecolor": COLOURS["paper"],
}


def _patch(hue: str) -> dict:
    return {"marker": "s", "linestyle": "none", "color": COLOURS[hue], "markersize": 8}


def _bar(axis, x: float, width: float, bar: Bar, bottom: float, digits: int) -> None:
    over = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
    over["bbox"] = {"facecolor": "white", "linewidth": 0, "pad": 1}  # no line of the grid behind it
    said = "–" if math.isnan(bar.value) else f"{bar.value:,.{digits}f}"
    axis.annotate(said, (x, 1), xytext=(0, -9), fontweight="bold", **over)
    if not math.isnan(bar.paper):
        theirs = f"{bar.paper:,.{digits}f}"
        axis.annotate(theirs, (x, 1), xytext=(0, -20), color=COLOURS["paper"], **over)
        axis.plot(x + width / 4, bar.paper, **PAPER, zorder=5)
    if math.isnan(bar.value):
        return
    axis.bar(x, bar.value - bottom, width, bottom=bottom, color=COLOURS[bar.colour], linewidth=0)
    if not math.isnan(bar.low):
        axis.plot([x - width / 4] * 2, [bar.low, bar.high], color=COLOURS["ink"], linewidth=1)
    if len(bar.each) > 1:
        dot = {"color": COLOURS["ink"], "alpha": 0.6, "markeredgewidth": 0}
        axis.plot([x] * len(bar.each), bar.each, "o", markersize=3, **dot)

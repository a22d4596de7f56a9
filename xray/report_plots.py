"""The few shapes that all pictures have: rows of dots or bars, lines, training curves.

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
from PIL import Image

from xray.specs import KNOWN

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
DPI = 144  # of films: dots an inch
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


def colour_of(model: str) -> str:
    """The same, lighter where the model's loss is weighted."""
    return colour(KNOWN[model], light=KNOWN[model].class_weight)


def save(figure: Figure, kind: str = "svg") -> bytes:
    """A figure as a file, "svg" or, where it shows films, "png". No time stands in it."""
    stream = io.BytesIO()
    if kind == "png":
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
        return stream.getvalue()
    nothing = {"Date": None, "Creator": None}
    figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    # a hundredth of a point is less than can be seen
    return re.sub(rb"(\.\d\d)\d+", rb"\1", stream.getvalue())


def png(film: np.ndarray) -> bytes:
    """uint8 (S, S) as a file that keeps each grey."""
    stream = io.BytesIO()
    Image.fromarray(film).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def enlarged(film: np.ndarray, times: int) -> np.ndarray:
    """Each pixel as a square of so many a side."""
    return np.kron(film, np.ones((times, times), film.dtype))


def films(pictures: list[tuple[str, np.ndarray, str]], columns: int) -> bytes:
    """Gray films in rows, words over and beneath each: a PNG."""
    side, gap, line = WIDTH / columns, 0.04, 0.14  # inches
    over, under = (
        line * max(len(picture[place].splitlines()) for picture in pictures) for place in (0, 2)
    )
    high = over + side + under + 2 * gap
    figure = Figure(figsize=(WIDTH, high * -(-len(pictures) // columns)))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    for n, (above, film, beneath) in enumerate(pictures):
        left, top = n % columns * side, n // columns * high + over + gap
        box = left + gap, left + side - gap, top + side - gap, top + gap
        axis.imshow(film, cmap="gray", vmin=0, vmax=255, extent=box)
        axis.text(left + side / 2, top, above, ha="center", va="bottom")
        axis.text(left + side / 2, top + side, beneath, ha="center", va="top")
    axis.set(xlim=(0, WIDTH), ylim=(figure.get_figheight(), 0))
    return save(figure, "png")


def panels(rows: int, columns: int, height: float, layout="constrained", **shared):
    """An empty figure of WIDTH and its axes, (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), layout=layout)
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    for axis in axes.flat:
        axis.locator_params(nbins=5, steps=[1, 2, 5, 10])  # a picture's time goes into its ticks
    return figure, axes


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


def _plain_numbers(axis) -> None:
    """A logarithmic axis is marked with plain numbers."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _pieces(axis, x, y, **style) -> None:
    """Lines of which none goes on to the next, as one path: x, y are (lines, points)."""
    gap = np.full((len(x), 1), np.nan)
    axis.plot(np.hstack([x, gap]).ravel(), np.hstack([y, gap]).ravel(), **style)


# ---- rows of dots


@dataclass(frozen=True)
class Mark:
    """One value in a row: a dot, with its interval where low and high are given.

    kind: matplotlib's marker, "|" for a stroke, or "bar". lane: how far below its row's middle, in
    rows. panel: the number of the panel. faint: one of many.
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
            "marker": "s" if self.kind == "bar" else self.kind,
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
    high: float = 0.24,
    base: list[float] | None = None,
) -> Figure:
    """A chart of rows, in the order in which the marks first name them, a panel beside the other.

    titles: what each panel's axis is. legend: words -> a mark of that look. references: words -> a
    value for each panel, a vertical line. limits: panel -> (low, high). notes: row -> words at its
    right. high: inches a row. base: where the bars of each panel start.
    """
    references, notes, limits = references or {}, notes or {}, limits or {}
    rows = list(dict.fromkeys(mark.row for mark in marks))
    names = [fill(row, 34) for row in rows]
    height = 0.9 + high * len(rows) + 0.12 * sum("\n" in name for name in names)
    figure, axes = panels(1, len(titles), height, layout=None, sharey=True)
    dashes = dict(zip(references, ("-", "--", ":", "-.")))
    alike = defaultdict(list)  # all marks of one look are drawn at once
    for mark in marks:
        if not math.isnan(mark.value):
            look = mark.colour, mark.kind, mark.filled, mark.faint
            alike[mark.panel, look].append(mark)
    for (panel, _), group in alike.items():
        places = np.array([rows.index(mark.row) + mark.lane for mark in group])
        _marks(axes[0][panel], group, places, base[panel] if base else 0)
    for panel, (axis, title) in enumerate(zip(axes[0], titles)):
        if panel in limits:
            axis.set_xlim(*limits[panel])
        for words, values in references.items():
            axis.axvline(values[panel], color=COLOURS["quiet"], linestyle=dashes[words], zorder=1)
        axis.set_xlabel(title)
        axis.grid(axis="y", visible=False)
    first, last = axes[0][0], axes[0][-1]
    first.set_yticks(range(len(rows)), names)
    first.tick_params(axis="y", labelcolor=COLOURS["ink"])
    first.set_ylim(len(rows) - 0.4, -0.6)
    for row, words in notes.items():
        place = {"xycoords": ("axes fraction", "data"), "va": "center", "color": COLOURS["quiet"]}
        last.annotate(f" {words}", (1, rows.index(row)), **place)
    entries = {words: mark.style() for words, mark in legend.items()}
    entries |= {word: {"color": COLOURS["quiet"], "linestyle": d} for word, d in dashes.items()}
    longest = max(len(line) for name in names for line in name.split("\n"))
    noted = max(map(len, notes.values()), default=0)
    _place(figure, entries, 0.15 + 0.075 * longest, 0.15 + 0.075 * noted, 0.1, 0.5)
    return figure


def _marks(axis, group: list[Mark], places: np.ndarray, base: float) -> None:
    """Marks of one look, each at its place, with their intervals."""
    values, style, kind = np.array([mark.value for mark in group]), group[0].style(), group[0].kind
    line = {"color": style["color"], "alpha": style["alpha"]}
    if kind == "bar":
        axis.barh(places, values - base, 0.62, base, linewidth=0, **line)
        line["color"] = COLOURS["ink"]
    elif kind == "|":
        heights = np.stack([places - 0.14, places + 0.14], 1)
        _pieces(axis, np.stack([values, values], 1), heights, linewidth=1, **line)
    else:
        axis.plot(values, places, **style)
    ends = np.array([[mark.low, mark.high] for mark in group])
    if not np.isnan(ends).all():
        _pieces(axis, ends, np.stack([places, places], 1), linewidth=1.2, **line)


# ---- lines


@dataclass(frozen=True)
class Line:
    """One line of a panel: y over x; low, high: the band around it. words: its name in the legend,
    which names each once. marker: at each point. faint: one of many. label: words beside its end,
    at the "right" or the "left"."""

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
    label: str = ""
    side: str = "right"

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
    limits: dict[int, tuple] | None = None,
    columns: int = 0,
    height: float = 2.9,
    square: bool = False,
) -> Figure:
    """Lines, a panel beside the other. titles: one a panel. x, y: what the axes are, for all or one
    a panel. log: the base of a logarithmic x. ticks: where x is marked. references: words -> a
    horizontal line in every panel. limits: panel -> (x low, x high, y low, y high). columns: panels
    in a row. height: inches a row of panels. square: both axes in the same scale."""
    references, limits, columns = references or {}, limits or {}, columns or len(titles)
    rows = -(-len(titles) // columns)
    alone = isinstance(y, str)
    figure, axes = panels(rows, columns, 0.3 + height * rows, layout=None, sharey=alone)
    axes = axes.ravel()
    dashes = dict(zip(references, ("--", ":", "-.")))
    for line in series:
        _line(axes[line.panel], line)
    for panel, (axis, title) in enumerate(zip(axes, titles)):
        axis.set_title(title)
        for words, value in references.items():
            axis.axhline(value, color=COLOURS["quiet"], linestyle=dashes[words], linewidth=1.2)
        if log:
            axis.set_xscale("log", base=log)
            axis.minorticks_off()
        if ticks:
            axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        else:
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if panel in limits:
            axis.set_xlim(limits[panel][:2])
            axis.set_ylim(limits[panel][2:])
        if square:
            axis.set_aspect("equal")
        axis.set_xlabel(x if isinstance(x, str) else x[panel])
        if not alone or panel % columns == 0:
            axis.set_ylabel(y if alone else y[panel])
    for axis in axes[len(titles) :]:
        axis.set_visible(False)
    entries = {line.words: line.style() for line in series if line.words}
    entries |= {word: {"color": COLOURS["quiet"], "linestyle": d} for word, d in dashes.items()}
    _place(figure, entries, 0.6, 0.15, 0.3, 0.5, across=0.2 if alone else 0.65, down=0.8)
    return figure


def _line(axis, line: Line) -> None:
    if line.low is not None:
        band = {"color": COLOURS[line.colour], "alpha": 0.13, "linewidth": 0}
        axis.fill_between(line.x, line.low, line.high, **band)
    axis.plot(line.x, line.y, **line.style())
    if line.label:
        right = line.side == "right"
        place = {"xytext": (4 if right else -4, 3), "ha": "left" if right else "right"}
        look = {"textcoords": "offset points", "color": COLOURS["quiet"]}
        axis.annotate(line.label, (line.x[-1], line.y[-1]), **place, **look)
        axis.margins(x=0.12)


# ---- training by epoch

QUANTITIES = {"loss": 1, "accuracy": 100}  # what they are multiplied by
DASHES = {"train": "-", "validation": (0, (3.2, 1.8))}


def curves(epochs, columns: list[tuple[str, list[tuple[str, str]]]]) -> Figure:
    """Loss above accuracy by epoch, a column a panel: (heading, [(model, colour)]).

    epochs: a frame, a row an epoch of a run: model, seed, epoch, learned, diverged and the four
    quantities, accuracies in 0-1. Each run that learned is thin, their mean thick; training solid,
    validation dashed. A run that did not learn is grey and in no mean; one that diverged ends in a
    cross.
    """
    figure, axes = panels(2, len(columns), 4.0, layout=None, sharex="col", sharey="row")
    shown = epochs[epochs["model"].isin([model for _, group in columns for model, _ in group])]
    by_model = dict(iter(shown.groupby("model", sort=False)))
    losses = shown[["train_loss", "validation_loss"]].to_numpy().ravel()
    losses = losses[np.isfinite(losses) & (losses > 0)]
    for (heading, group), upper, lower in zip(columns, *axes):
        there = {model: hue for model, hue in group if model in by_model}
        for model, hue in there.items():
            parts = [f"{part}_{quantity}" for quantity in QUANTITIES for part in DASHES]
            runs = by_model[model].pivot(index="epoch", columns="seed", values=parts)
            ends = by_model[model].groupby("seed")[["learned", "diverged"]].last()
            for axis, (quantity, factor) in zip((upper, lower), QUANTITIES.items()):
                for part, dash in DASHES.items():
                    _runs(axis, factor * runs[f"{part}_{quantity}"], ends, COLOURS[hue], dash)
        upper.set_title(heading)
        lower.set_xlabel("epoch")
        lower.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        counts = [by_model[model].groupby("seed").learned.last() for model in there]
        if not all(learned.all() for learned in counts):
            words = ", ".join(f"{learned.sum()}/{len(learned)}" for learned in counts)
            style = {"loc": "right", "fontweight": "normal", "fontsize": 8.5}
            lower.set_title(f"{words} learned", color=COLOURS["quiet"], **style)
        if not there:
            upper.text(0.5, 0.5, "not trained yet", ha="center", transform=upper.transAxes)
    logarithmic = len(losses) > 0 and losses.max() > 12 * np.median(losses)
    if logarithmic:
        axes[0][0].set_yscale("log")
        _plain_numbers(axes[0][0].yaxis)
    axes[0][0].set_ylabel("loss (log scale)" if logarithmic else "loss")
    axes[1][0].set_ylabel("accuracy, %")
    ink = {"color": COLOURS["ink"]}
    entries = {"training": ink, "validation": ink | {"linestyle": DASHES["validation"]}}
    if not shown.empty and not shown["learned"].all():
        entries["did not learn"] = {"color": COLOURS["none"], "linewidth": 0.8}
    _place(figure, entries, 0.6, 0.1, 0.25, 0.5, across=0.15, down=0.3)
    return figure


def _runs(axis, table, ends, hue: str, dash) -> None:
    """One quantity of a model's runs, a column a seed: those that did not learn, those that did,
    the mean of these. ends: learned, diverged, by seed."""
    good = table.loc[:, ends["learned"]]
    kinds = [(table.loc[:, ~ends["learned"]], COLOURS["none"], 0.6, 1)]
    if good.shape[1] > 1:
        kinds.append((good, hue, *((0.5, 0.5) if good.shape[1] < 10 else (0.4, 0.25))))
    for runs, tone, width, alpha in kinds:
        x = np.tile(runs.index.to_numpy(float), (runs.shape[1], 1))
        _pieces(axis, x, runs.to_numpy().T, color=tone, linewidth=width, alpha=alpha)
    mean = good.mean(axis=1).dropna()
    marker = "o" if len(mean) == 1 else None
    axis.plot(mean.index, mean, color=hue, linestyle=dash, linewidth=1.7, marker=marker)
    for seed in ends.index[ends["diverged"]]:
        run = table[seed].dropna()
        axis.plot(run.index[-1:], run[-1:], "x", color=COLOURS["none"], markersize=5)

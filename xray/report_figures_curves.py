"""Pictures of training by epoch, and of sizes compared. Each is what report_pictures.draw gives
back."""

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from xray.report_figures import DASH, how_many, legend, line, swatches
from xray.report_pictures import COLOURS, NARROW, WIDTH, draw
from xray.specs import IMAGE_SIZE
from xray.study import apart, percent

MEAN = {"linewidth": 1.7}
CROSS = {"marker": "x", "markersize": 5}  # where a run diverged
EACH_SEED = {"color": COLOURS["cnn"], "linewidth": 0.7, "alpha": 0.7}
FULL_SIZE = {"color": COLOURS["ink"], "linewidth": 1.3}
FAINT = {"linewidth": 0.4, "alpha": 0.25}  # of many seeds
LOST = {"color": COLOURS["none"], "linewidth": 0.6}  # a run that did not learn


def curves(name: str, title: str, panels: list[tuple[str, list]]) -> dict:
    """Loss above accuracy, one column a panel: (heading, [(label, runs, colour)]), by epoch; for a
    phone one row a panel.

    Each run that learned thin, their mean thick; training solid, validation dashed. The others are
    grey and in no mean, and the panel says how many learned; one that diverged ends in a cross.
    """
    everything = [series for _, group in panels for series in group]
    losses = _losses([run for _, runs, _ in everything for run in runs])
    logarithmic = len(losses) > 0 and losses.max() > 12 * np.median(losses)
    tall = 1.25 + 1.5 * len(panels)

    def paint(figure, stacked):
        figure.set_layout_engine("none")
        axes = _grid(figure, len(panels), tall if stacked else 0)
        for pair, (heading, group) in zip(axes, panels):
            _panel(*pair, heading, group)
        if logarithmic:
            _log_scale(axes[0, 0], losses)
        words = "loss (log scale)" if logarithmic else "loss", "accuracy, %"
        # named at the side where all of a row share it, and above where they share a column
        for axis, word in zip(axes[0], words):
            if stacked:
                axis.annotate(word, (0, 1), (0, 19), **ABOVE)
            else:
                axis.set_ylabel(word)
        for axis in axes[-1] if stacked else axes[:, 1]:
            axis.set_xlabel("epoch")
        if not stacked:
            figure.align_ylabels(axes[0])
        entries = _entries([group for _, group in panels])
        place = {"loc": "lower left", "bbox_to_anchor": (0.02 if stacked else 0.055, 0)}
        spacing = {"handlelength": 2.2, "columnspacing": 1.2}
        legend(figure, entries, ncols=2 if stacked else 6, **place, **spacing)

    words = [f"{label}: {_end_words(runs)}" for label, runs, _ in everything]
    alt = f"{title}. {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 4.0), (NARROW, tall), paint)


ABOVE = {"xycoords": "axes fraction", "textcoords": "offset points", "color": COLOURS["quiet"]}


def _grid(figure, count: int, tall: float) -> np.ndarray:
    """The axes of `count` panels, (count, 2): loss and accuracy, one above the other and the panels
    side by side; or, in a figure that is `tall` inches high, the other way round. All figures of
    curves are laid out alike, so it need not be worked out for each."""
    if not tall:
        places = {"left": 0.068, "right": 0.992, "wspace": 0.07, "hspace": 0.18}
        places |= {"top": 0.945, "bottom": 0.19}
        shared = {"sharex": "col", "sharey": "row", "squeeze": False}
        return figure.subplots(2, count, gridspec_kw=places, **shared).T
    places = {"left": 0.105, "right": 0.985, "wspace": 0.24, "hspace": 0.34}
    places |= {"top": 1 - 0.43 / tall, "bottom": 1.05 / tall}
    shared = {"sharex": True, "sharey": "col", "squeeze": False}
    return figure.subplots(count, 2, gridspec_kw=places, **shared)


def _losses(runs) -> np.ndarray:
    """All losses of these runs that a logarithmic scale can show, (N,)."""
    parts = [run.history[part] for run in runs for part in ("train_loss", "validation_loss")]
    losses = np.array([value for part in parts for value in part], float)
    return losses[np.isfinite(losses) & (losses > 0)]


def _panel(upper, lower, heading: str, group: list) -> None:
    for _, runs, hue in group:
        _lines(upper, runs, "loss", hue, 1)
        _lines(lower, runs, "accuracy", hue, 100)
    lower.xaxis.set_major_locator(MaxNLocator(5, integer=True) if group else NullLocator())
    if not group:
        style = {"ha": "center", "color": COLOURS["quiet"]}
        for axis in (upper, lower):
            axis.text(0.5, 0.5, "not trained yet", transform=axis.transAxes, **style)
    note = how_many({label.removeprefix("model "): runs for label, runs, _ in group})
    style = {"loc": "right", "pad": 3, "fontsize": 8.5, "fontweight": "normal"}
    lower.set_title(_in_one_line(note), color=COLOURS["quiet"], **style)
    upper.set_title(heading)
    upper.margins(x=0.02)


def _in_one_line(note: str) -> str:
    """What how_many says, such as "13/20, 10/20 learned" where all models of a panel are named."""
    word, *counts = note.split("\n")
    if len(counts) > 1:
        counts = [count.split(": ")[1] for count in counts]
    return f"{', '.join(counts)} {word}".replace(" of ", "/") if counts else note


def _lines(axis, runs, quantity: str, hue: str, factor: float) -> None:
    good, lost = apart(runs)
    for part, dash in (("train", "solid"), ("validation", DASH)):

        def of(run, key=f"{part}_{quantity}"):
            return factor * np.asarray(run.history[key], float)

        _thin(axis, map(of, lost), **LOST)
        if len(good) > 1:
            thin = {"linewidth": 0.5, "alpha": 0.5} if len(good) < 10 else FAINT
            _thin(axis, map(of, good), color=hue, **thin)
        mean = _mean_line(list(map(of, good)))
        style = {"linestyle": dash, "marker": "o" if len(mean) == 1 else None, "markersize": 3}
        axis.plot(np.arange(1, len(mean) + 1), mean, color=hue, **MEAN, **style)
        for values in (of(run) for run in lost if run.status == "diverged"):
            axis.plot([len(values)], values[-1:], color=LOST["color"], **CROSS)


def _thin(axis, lines, **style) -> None:
    """Lines by epoch, all one path."""
    lines = [np.append(line, np.nan) for line in lines]
    if lines:
        epochs = np.concatenate([np.arange(1, len(line) + 1) for line in lines])
        axis.plot(epochs, np.concatenate(lines), **style)


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
    hues = list(dict.fromkeys(hue for group in groups for _, _, hue in group))
    ink = hues[0] if len(hues) == 1 else COLOURS["ink"]
    found = {
        "training": line(color=ink, **MEAN),
        "validation": line(color=ink, linestyle=DASH, **MEAN),
    }
    good, lost = apart([run for runs in of_series for run in runs])
    if len(good) > len(of_series):
        found["each seed"] = tuple(line(color=hue, linewidth=0.8, alpha=0.6) for hue in hues)
    if lost:
        found["did not learn"] = line(**LOST)
    if any(run.status == "diverged" for run in lost):
        found["diverged"] = line(color=LOST["color"], linestyle="none", **CROSS)
    if any(len(group) > 1 for group in groups):
        found |= {"plain loss": swatches(light=False), "weighted loss": swatches(light=True)}
    return found


def _end_words(runs) -> str:
    good, lost = apart(runs)
    note = f"{len(good)} of {len(runs)} runs learned"
    if not good:
        return note
    last = {}
    for part in ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy"):
        last[part] = float(np.mean([run.history[part][-1] for run in good]))
    text = (
        f"after {len(good[0].history['train_loss'])} epochs training loss "
        f"{last['train_loss']:.3g} and accuracy {percent(last['train_accuracy'])} %, validation "
        f"loss {last['validation_loss']:.3g} and accuracy {percent(last['validation_accuracy'])} %"
    )
    return text + (f" ({note})" if lost else "")


def sizes(name: str, title: str, found: list) -> dict:
    """Validation accuracy by epoch, a panel a CNN: at the paper's size over that of matched seeds.

    found: what comparisons.sizes_compared gives.
    """

    def shape(most):
        return -(-len(found) // most), min(most, len(found))

    def paint(figure, stacked):
        rows, columns = shape(2 if stacked else 4)
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axis, one in zip(axes, found):
            good, lost = apart(one.matched)
            for runs, style in ((lost, LOST), (good, EACH_SEED), (one.full, FULL_SIZE)):
                for run in runs:
                    values = 100 * np.asarray(run.history["validation_accuracy"])
                    axis.plot(np.arange(1, len(values) + 1), values, **style)
            axis.set_title(one.model)
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axis.set_xlabel("epoch")
        for axis in axes[len(found) :]:
            axis.set_visible(False)
        for axis in axes[::columns]:
            axis.set_ylabel("validation accuracy, %")
        size = found[0].matched[0].image_size
        entries = {
            f"{size}×{size}, matched, each seed": line(**EACH_SEED),
            f"{IMAGE_SIZE}×{IMAGE_SIZE}": line(**FULL_SIZE),
        }
        if any(apart(one.matched)[1] for one in found):
            entries["did not learn"] = line(**LOST)
        legend(figure, entries, ncols=1 if stacked else 3)

    words = "; ".join(f"model {one.model}: agreement {one.agreement:.2f}" for one in found)
    wide, narrow = (WIDTH, 0.9 + 1.7 * shape(4)[0]), (NARROW, 1.1 + 1.9 * shape(2)[0])
    return draw(name, title, f"{title}. {words}.", wide, narrow, paint)

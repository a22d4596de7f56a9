"""Pictures of the experiments: dead starts, image sizes, and how much of a score is luck."""

import math

import numpy as np

from xray.deaths import Share
from xray.report_figures import DASH, colour, legend, line, name_rows
from xray.report_pictures import COLOURS, NARROW, WIDTH, draw
from xray.specs import MODELS
from xray.swings import Swing

TONES = ("mlp-2", "mlp", "ink")  # from the smallest image size up
HALF = {"color": COLOURS["none"], "linewidth": 0.8}
WIDE = {"marker": "D", "markersize": 4.4, "linestyle": "none", "color": COLOURS["quiet"]}
WIDE |= {"markerfacecolor": COLOURS["page"], "zorder": 5}
MARK = {"markersize": 4.6, "markerfacecolor": "none"}
SEED = {"markersize": 2.8, "markeredgewidth": 0.8}
KINDS = {  # what a score is drawn with: attribute of swings.Swing -> words, mark
    "epochs": ("last third of the epochs, one run", "o"),
    "seeds": ("seeds, last epoch", "s"),
    "splits": ("re-splits by image", "^"),
}


def dead_starts(name: str, title: str, rows: dict[str, dict[int, Share]], wide: dict) -> dict:
    """The share of starts that are dead: a row a net, a dot with its 95 % interval an image size.

    rows: net, in words -> image size -> Share. wide: net, in words -> the wide-net value.
    """
    sizes = sorted({size for found in rows.values() for size in found})
    tones = [COLOURS[tone] for tone in TONES[-len(sizes) :]]

    def paint(figure, stacked):
        axis = figure.subplots()
        axis.axvline(50, **HALF)
        for row, (net, found) in enumerate(rows.items()):
            lanes = row + 0.2 * (np.arange(len(sizes) + 1) - len(sizes) / 2)
            for y, size, tone in zip(lanes, sizes, tones):
                if size in found:
                    ends = [100 * end for end in found[size].interval]
                    axis.plot(ends, [y, y], color=tone, linewidth=1.2)
                    axis.plot(100 * found[size].value, y, "o", color=tone, markersize=3.4)
            if net in wide:
                axis.plot(100 * wide[net], lanes[-1], **WIDE)
        name_rows(axis, list(rows), 0.6)
        axis.set(xlabel="starts that are dead for good, %", xlim=(0, 65))
        entries = {
            f"{size}×{size}": line(color=tone, marker="o", markersize=3.4, linewidth=1.2)
            for size, tone in zip(sizes, tones)
        }
        if wide:
            entries["wide nets, from the Gram matrix"] = line(**WIDE)
        legend(figure, entries, ncols=2 if stacked else 4, columnspacing=1.4)

    words = [
        f"{net}: " + ", ".join(f"{100 * found[size].value:.0f} % at {size}" for size in found)
        for net, found in rows.items()
    ]
    alt = f"{title}. {'; '.join(words)}."
    high = 0.9 + 0.34 * len(rows)
    return draw(name, title, alt, (WIDTH, high), (NARROW, high + 0.4), paint)


def over_sizes(name: str, title: str, found: dict) -> dict:
    """Test accuracy over image sizes, a panel a model: with matched steps and without; lines are
    means of the runs that learned.

    found: model -> matched (bool) -> image size -> for each run its accuracy in 0-1 and whether it
    learned; an MLP's are without its last ReLU.
    """
    mlps = [model for model in found if MODELS[model].family == "Linear+ReLU"]
    less = {model: " without the last" * (model in mlps) for model in found}
    sizes = sorted({size for of in found.values() for values in of.values() for size in values})

    def paint(figure, stacked):
        shape = (len(found), 1) if stacked else (1, len(found))
        axes = figure.subplots(*shape, sharey=True, squeeze=False).ravel()
        for axis, (model, of) in zip(axes, found.items()):
            hue = colour(MODELS[model])
            for matched, values in of.items():
                means, look = of_learned(values), {"linestyle": "solid" if matched else DASH}
                if means:  # else an empty path, which no valid page holds
                    level = [100 * mean for mean in means.values()]
                    axis.plot(list(means), level, color=hue, **look)
                for size, runs in values.items():
                    for accuracy, learned in runs:
                        tone = hue if learned else COLOURS["none"]
                        face = {"markerfacecolor": tone if matched else COLOURS["page"]}
                        axis.plot(size, 100 * accuracy, "o", color=tone, **SEED, **face)
            axis.set_xscale("log", base=2)
            axis.set_xticks(sizes, [str(size) for size in sizes])
            axis.minorticks_off()
            axis.set_title(f"Model {model}, {MODELS[model].family}{less[model]}")
            axis.set_xlabel("image size, pixels a side")
        for axis in axes if stacked else axes[:1]:
            axis.set_ylabel("test accuracy, %")
        ink, dot = {"color": COLOURS["ink"]}, {"linestyle": "none", "marker": "o"} | SEED
        entries = {
            "matched steps": line(**ink),
            "the paper's step at every size": line(**ink, linestyle=DASH),
            "a seed": line(**ink, **dot),
            "one that did not learn": line(color=COLOURS["none"], **dot),
        }
        legend(figure, entries, ncols=1 if stacked else 4, columnspacing=1.4)

    words = [
        f"model {model}, {'matched' if matched else 'not matched'}: "
        + ", ".join(f"{100 * mean:.1f} % at {size}" for size, mean in of_learned(values).items())
        for model, of in found.items()
        for matched, values in of.items()
    ]
    tall = 1.0 + 2.3 * len(found)
    return draw(name, title, f"{title}. {'; '.join(words)}.", (WIDTH, 2.9), (NARROW, tall), paint)


def of_learned(values: dict) -> dict[int, float]:
    """Image size, from the smallest up -> mean accuracy of the runs that learned, if any; values:
    as `over_sizes` has them."""
    good = {size: [one for one, learned in values[size] if learned] for size in sorted(values)}
    return {size: float(np.mean(accuracies)) for size, accuracies in good.items() if accuracies}


def swings(name: str, title: str, found: list[Swing]) -> dict:
    """Standard deviations of accuracy, in points: over epochs, seeds and splits, a row a model."""

    def paint(figure, stacked):
        axis = figure.subplots()
        for row, swing in enumerate(found):
            hue = colour(MODELS[swing.model], light=False)
            for kind, (_, mark) in KINDS.items():
                value = 100 * getattr(swing, kind)
                if not math.isnan(value):
                    axis.plot(value, row, mark, color=hue, **MARK)
        names = [f"{swing.model}  {MODELS[swing.model].family}" for swing in found]
        name_rows(axis, names, 0.6)
        axis.set(xlabel="standard deviation of accuracy, points")
        axis.set_xlim(left=0)
        entries = {
            words: line(color=COLOURS["quiet"], marker=mark, linestyle="none", **MARK)
            for words, mark in KINDS.values()
        }
        legend(figure, entries, ncols=1 if stacked else 3)

    words = [f"model {swing.model}: {100 * swing.epochs:.1f} over epochs" for swing in found]
    alt = f"{title}. {'; '.join(words)}."
    high = 0.9 + 0.21 * len(found)
    return draw(name, title, alt, (WIDTH, high), (NARROW, high + 0.6), paint)

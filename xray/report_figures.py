"""Records -> the paper's pictures: curves, bars, confusion matrix, shares, durations.

Each function gives back what report_svg.draw does. One hue a model class throughout; its lighter tone is
the variant (weighted loss, or L2); solid lines are training, dashed ones validation.
"""

import math

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from xray.report_svg import COLOURS, draw
from xray.specs import IMAGE_SIZE, MODELS
from xray.study import EVALUATED, Study, describe, percent, seconds_of

HUE = {"Linear": "linear", "Linear+ReLU": "mlp", "CNN": "cnn"}
WIDTH = 7.6  # inches: 547 points, shown at most 1.5 times that
DASH = (0, (3.2, 1.8))


def colour(spec, light: bool | None = None) -> str:
    """A model's colour: its class's hue, in the lighter tone where its loss is weighted (or as
    `light` says).
    """
    return COLOURS[
        HUE[spec.family] + ("-2" if (spec.class_weight if light is None else light) else "")
    ]


# ---------------------------------------------------------------------------------------------------- curves


def curves(name: str, title: str, panels: list[tuple[str, list]]) -> dict:
    """Loss above accuracy, one column a panel: (heading, [(label, runs, colour)]), by epoch.

    Each run thin, the mean over runs thick; training solid, validation dashed. A run that diverged
    ends in a cross.
    """
    everything = [series for _, group in panels for series in group]
    losses = np.concatenate(
        [
            np.asarray(run.history[key], float)
            for _, runs, _ in everything
            for run in runs
            for key in ("train_loss", "validation_loss")
        ]
        or [np.ones(1)]
    )
    losses = losses[np.isfinite(losses) & (losses > 0)]
    logarithmic = len(losses) > 0 and losses.max() > 12 * np.median(losses)

    def paint(figure):
        # all these figures are laid out alike, so it need not be worked out for each
        figure.set_layout_engine("none")
        axes = figure.subplots(
            2,
            len(panels),
            sharex="col",
            sharey="row",
            squeeze=False,
            gridspec_kw={
                "left": 0.068,
                "right": 0.992,
                "top": 0.945,
                "bottom": 0.19,
                "wspace": 0.07,
                "hspace": 0.13,
            },
        )
        for column, (heading, group) in enumerate(panels):
            for label, runs, hue in group:
                _curve(axes[0, column], runs, "loss", hue, 1)
                _curve(axes[1, column], runs, "accuracy", hue, 100)
            axes[1, column].xaxis.set_major_locator(
                MaxNLocator(6, integer=True) if group else NullLocator()
            )
            if not group:
                for axis in axes[:, column]:
                    axis.text(
                        0.5,
                        0.5,
                        "not trained yet",
                        transform=axis.transAxes,
                        ha="center",
                        color=COLOURS["quiet"],
                    )
            axes[0, column].set_title(heading)
            axes[1, column].set_xlabel("epoch")
            axes[0, column].margins(x=0.02)
        if logarithmic:
            axes[0, 0].set_yscale("log")
            axes[0, 0].yaxis.set_major_locator(
                LogLocator(subs=(1, 2, 5) if losses.max() < 30 * losses.min() else (1,))
            )
            axes[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes[0, 0].yaxis.set_minor_formatter(NullFormatter())
        axes[0, 0].set_ylabel("loss (log scale)" if logarithmic else "loss")
        axes[1, 0].set_ylabel("accuracy, %")
        figure.align_ylabels(axes[:, 0])
        figure.legend(
            handles=_curve_legend(panels),
            loc="lower left",
            bbox_to_anchor=(0.055, 0),
            ncols=6,
            handlelength=2.4,
            columnspacing=1.4,
        )

    words = [f"{label}: {_curve_words(runs)}" for label, runs, _ in everything]
    return draw(name, title, f"{title}. " + "; ".join(words) + ".", (WIDTH, 4.0), paint)


def _curve(axis, runs, quantity: str, hue: str, factor: float) -> None:
    for part, dash in (("train", "solid"), ("validation", DASH)):
        lines = [factor * np.asarray(run.history[f"{part}_{quantity}"], float) for run in runs]
        many = len(lines) > 1
        for run, line in zip(runs, lines):
            epochs = np.arange(1, len(line) + 1)
            if many:
                axis.plot(epochs, line, color=hue, linewidth=0.5, alpha=0.5)
            if run.status == "diverged" and len(line):
                axis.plot(epochs[-1:], line[-1:], color=hue, marker="x", markersize=5)
        mean = _mean_line(lines)
        axis.plot(
            np.arange(1, len(mean) + 1),
            mean,
            color=hue,
            linestyle=dash,
            linewidth=1.7,
            marker="o" if len(mean) == 1 else None,
            markersize=3,
        )


def sizes(name: str, title: str, found: list) -> dict:
    """Validation accuracy by epoch at the paper's size over that of the matched seeds, a panel a CNN.

    found: what study.sizes_compared gives.
    """
    columns = min(4, len(found))
    rows = -(-len(found) // columns)

    def paint(figure):
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).flat
        for axis, one in zip(axes, found):
            for runs, style in ((one.matched, SEED), (one.full, FULL)):
                for run in runs:
                    line = 100 * np.asarray(run.history["validation_accuracy"])
                    axis.plot(np.arange(1, len(line) + 1), line, **style)
            axis.set_title(one.model)
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axis.set_xlabel("epoch")
        for axis in list(axes)[len(found) :]:
            axis.set_visible(False)
        figure.axes[0].set_ylabel("validation accuracy, %")
        size = found[0].matched[0].image_size
        handles = [
            Line2D([], [], label=f"{size}×{size}, matched, each seed", **SEED),
            Line2D([], [], label=f"{IMAGE_SIZE}×{IMAGE_SIZE}", **FULL),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=2)

    words = [f"model {one.model}: agreement {one.agreement:.2f}" for one in found]
    return draw(
        name, title, f"{title}. " + "; ".join(words) + ".", (WIDTH, 0.9 + 1.7 * rows), paint
    )


SEED = {"color": COLOURS["cnn"], "linewidth": 0.7, "alpha": 0.7}
FULL = {"color": COLOURS["ink"], "linewidth": 1.3}


def _mean_line(lines) -> np.ndarray:
    """The mean at each epoch over the runs that reached it."""
    length = max((len(line) for line in lines), default=0)
    return np.array(
        [np.mean([line[epoch] for line in lines if len(line) > epoch]) for epoch in range(length)]
    )


def _curve_legend(panels) -> list:
    ink = COLOURS["quiet"]
    handles = [
        Line2D([], [], color=ink, linewidth=1.7, label="training"),
        Line2D([], [], color=ink, linewidth=1.7, linestyle=DASH, label="validation"),
    ]
    if any(len(runs) > 1 for _, group in panels for _, runs, _ in group):
        handles.append(Line2D([], [], color=ink, linewidth=0.6, alpha=0.6, label="each seed"))
    if any(run.status == "diverged" for _, group in panels for _, runs, _ in group for run in runs):
        handles.append(
            Line2D([], [], color=ink, marker="x", markersize=5, linestyle="none", label="diverged")
        )
    if any(len(group) > 1 for _, group in panels):
        handles += [
            Patch(color=ink, label="plain loss"),
            Patch(color=ink, alpha=0.5, label="weighted loss"),
        ]
    return handles


def _curve_words(runs) -> str:
    last = {}
    for key in ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy"):
        ends = [run.history[key][-1] for run in runs if run.history[key]]
        last[key] = float(np.mean(ends)) if ends else math.nan
    epochs = max((len(run.history["train_loss"]) for run in runs), default=0)
    lost = sum(run.status == "diverged" for run in runs)
    text = (
        f"after {epochs} epochs training loss {last['train_loss']:.3g} and accuracy "
        f"{percent(last['train_accuracy'])} %, validation loss {last['validation_loss']:.3g} and accuracy "
        f"{percent(last['validation_accuracy'])} %"
    )
    return text + (f" ({lost} of {len(runs)} runs diverged)" if lost else "")


# ------------------------------------------------------------------------------------------ scores
# and counts


def bars(
    name: str,
    title: str,
    study: Study,
    paper: dict,
    groups: list[tuple[str, list[str]]],
    tones: tuple[str, str],
) -> dict:
    """Accuracy and F1 on the test split, one group of models a class, as bars that rise from the
    constant guess.

    paper: model -> its printed scores in percent, drawn as a diamond. tones: what the darker and
    the lighter bar are. The error bar is Summary.interval.
    """
    panels = (("accuracy", "Accuracy, %"), ("f1", "F1 score, %"))

    def paint(figure):
        for axis, (key, heading) in zip(figure.subplots(1, 2), panels):
            floor = 100 * study.baseline[key]
            ticks = []
            for place, (family, models) in enumerate(groups):
                ticks.append(family)
                for step, model in enumerate(models):
                    x = place + (step - (len(models) - 1) / 2) * 0.4
                    _bar(axis, study, paper, model, key, x, floor, light=step > 0)
            axis.axhline(floor, color=COLOURS["quiet"], linewidth=1)
            axis.annotate(
                f"always pneumonia: {floor:.1f}",
                (1, floor),
                xycoords=("axes fraction", "data"),
                xytext=(0, -3),
                textcoords="offset points",
                ha="right",
                va="top",
                color=COLOURS["quiet"],
                fontsize=7.5,
            )
            axis.set_xticks(range(len(groups)), ticks)
            axis.set_xlim(-0.55, len(groups) - 0.45)
            axis.tick_params(axis="x", labelcolor=COLOURS["ink"], length=0)
            axis.set_title(heading)
            axis.grid(axis="x", visible=False)
            low, high = axis.get_ylim()
            axis.set_ylim(min(low, floor - 0.14 * (high - floor)), high + 0.06 * (high - floor))
        grey = COLOURS["quiet"]
        handles = [
            Patch(color=grey, label=tones[0]),
            Patch(color=grey, alpha=0.5, label=tones[1]),
            Line2D([], [], color=COLOURS["ink"], linewidth=1, label="95 % interval"),
            paper_mark("the paper"),
        ]
        figure.legend(
            handles=handles, loc="outside lower left", ncols=4, handlelength=1.6, columnspacing=1.6
        )

    shown = [model for _, models in groups for model in models]
    words = [
        f"model {model}: accuracy {percent(study.summaries[model].mean['accuracy'])} %, F1 "
        f"{percent(study.summaries[model].mean['f1'])} %"
        for model in shown
        if model in study.summaries
    ]
    floor = [percent(study.baseline[key]) for key, _ in panels]
    guess = f"always saying pneumonia gives {floor[0]} % and {floor[1]} %"
    return draw(name, title, f"{title}. " + "; ".join(words + [guess]) + ".", (WIDTH, 3.2), paint)


def _bar(axis, study, paper, model, key, x, floor, light) -> None:
    if model not in study.summaries:
        axis.annotate(
            f"{model}\nnot run",
            (x, floor),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=COLOURS["quiet"],
            fontsize=7,
        )
        return
    summary = study.summaries[model]
    value, (low, high) = 100 * summary.mean[key], [100 * bound for bound in summary.interval[key]]
    axis.bar(x, value - floor, 0.36, bottom=floor, color=colour(MODELS[model], light), linewidth=0)
    axis.plot([x, x], [low, high], color=COLOURS["ink"], linewidth=1)
    axis.annotate(
        f"{value:.1f}",
        (x, max(high, value, paper.get(model, {}).get(key, 0))),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7.5,
    )
    if model in paper:
        axis.plot(x, paper[model][key], **PAPER_MARK)
    inside = abs(value - floor) > 4  # a name is written into its bar where there is room
    hangs = inside and value < floor
    axis.annotate(
        model,
        (x, floor),
        xytext=(0, -3 if hangs else 3),
        textcoords="offset points",
        ha="center",
        va="top" if hangs else "bottom",
        fontsize=7.5,
        fontweight="bold",
        color=COLOURS[("on-2" if light else "on") if inside else "ink"],
        bbox={
            "facecolor": colour(MODELS[model], light) if inside else COLOURS["page"],
            "linewidth": 0,
            "pad": 0.5,
        },
    )


PAPER_MARK = {
    "marker": "D",
    "markersize": 4.6,
    "markerfacecolor": COLOURS["page"],
    "markeredgecolor": COLOURS["paper"],
    "markeredgewidth": 1.3,
    "linestyle": "none",
    "zorder": 5,
}


def paper_mark(label: str) -> Line2D:
    """The legend's handle for a value that the paper printed."""
    return Line2D([], [], label=label, **PAPER_MARK)


def glance(name: str, title: str, study: Study, paper: dict) -> dict:
    """The 15 evaluated models at a glance: each run a dot, its 95 % interval, the paper's value."""
    models = [model for model in EVALUATED if model in study.summaries]

    def paint(figure):
        axes = figure.subplots(1, 2, sharey=True)
        for axis, (key, heading) in zip(axes, (("accuracy", "Accuracy, %"), ("f1", "F1 score, %"))):
            for row, model in enumerate(models):
                summary, hue = study.summaries[model], colour(MODELS[model])
                low, high = (100 * bound for bound in summary.interval[key])
                axis.plot(
                    [low, high],
                    [row, row],
                    color=hue,
                    linewidth=5,
                    alpha=0.25,
                    solid_capstyle="butt",
                )
                dots = [100 * scores[key] for scores in summary.scores]
                axis.plot(
                    dots,
                    [row] * len(dots),
                    "o",
                    color=hue,
                    markersize=3,
                    alpha=0.6,
                    markeredgewidth=0,
                )
                axis.plot(
                    100 * summary.mean[key], row, "|", color=hue, markersize=11, markeredgewidth=2
                )
                if model in paper:
                    axis.plot(paper[model][key], row, **PAPER_MARK)
            axis.set_title(heading)
            axis.grid(axis="y", visible=False)
        axes[0].set_yticks(
            range(len(models)),
            [
                f"{model}  {describe(MODELS[model]).replace(', 1 hidden layer', '')}"
                for model in models
            ],
        )
        axes[0].tick_params(axis="y", labelcolor=COLOURS["ink"])
        axes[0].set_ylim(len(models) - 0.4, -0.6)
        grey = COLOURS["quiet"]
        figure.legend(
            handles=[
                Line2D(
                    [], [], marker="o", linestyle="none", color=grey, markersize=3, label="a run"
                ),
                Line2D(
                    [],
                    [],
                    marker="|",
                    linestyle="none",
                    color=grey,
                    markersize=10,
                    markeredgewidth=2,
                    label="mean",
                ),
                Line2D([], [], color=grey, linewidth=5, alpha=0.3, label="95 % interval"),
                paper_mark("the paper"),
            ],
            loc="outside lower left",
            ncols=4,
            columnspacing=1.4,
            handlelength=1.6,
        )

    words = [
        f"model {model} {percent(study.summaries[model].mean['accuracy'])} and "
        f"{percent(study.summaries[model].mean['f1'])}"
        for model in models
    ]
    return draw(
        name,
        title,
        f"{title}. Mean accuracy and F1 in percent: " + "; ".join(words) + ".",
        (WIDTH, 1.1 + 0.23 * len(models)),
        paint,
    )


def confusion(name: str, title: str, summary, paper: dict) -> dict:
    """A confusion matrix of counts: mean over runs with spread, and the paper's count in each
    cell.
    """
    cells = (
        ("tn", "true negatives", 0, 0),
        ("fp", "false positives", 0, 1),
        ("fn", "false negatives", 1, 0),
        ("tp", "true positives", 1, 1),
    )
    top = max(summary.mean[key] for key, *_ in cells)
    many = len(summary.scores) > 1

    def count(key):
        return (
            f"{summary.mean[key]:.1f} ± {summary.spread[key]:.1f}"
            if many
            else f"{summary.mean[key]:.0f}"
        )

    def paint(figure):
        axis = figure.subplots()
        for key, words, row, column in cells:
            axis.fill_between(
                [column, column + 1],
                1 - row,
                2 - row,
                linewidth=0,
                color=COLOURS["linear"],
                alpha=0.06 + 0.34 * summary.mean[key] / top,
            )
            x, y = column + 0.5, 1.5 - row
            axis.text(
                x, y + 0.12, count(key), ha="center", va="center", fontsize=13, fontweight="bold"
            )
            axis.text(x, y - 0.13, words, ha="center", va="center", color=COLOURS["quiet"])
            axis.text(
                x,
                y - 0.29,
                f"paper: {paper[key]}",
                ha="center",
                va="center",
                color=COLOURS["paper"],
            )
        axis.set(xlim=(0, 2), ylim=(0, 2), xlabel="predicted", ylabel="true")
        axis.set_xticks([0.5, 1.5], ["normal", "pneumonia"])
        axis.set_yticks([1.5, 0.5], ["normal", "pneumonia"], rotation=90, va="center")
        axis.tick_params(length=0, labelcolor=COLOURS["ink"])
        axis.grid(visible=False)
        for spine in axis.spines.values():
            spine.set_visible(False)

    words = ", ".join(f"{count(key)} {words} (paper {paper[key]})" for key, words, *_ in cells)
    return draw(name, title, f"{title}: {words}.", (4.2, 3.3), paint)


def shares(name: str, title: str, counts: dict) -> dict:
    """Class percentages of each split, as bars on top of each other: split -> {"NORMAL": n,
    "PNEUMONIA": n}.
    """
    parts = list(counts)

    def paint(figure):
        axis = figure.subplots()
        for row, part in enumerate(parts):
            left, total = 0.0, sum(counts[part].values())
            for label, hue in (("NORMAL", COLOURS["class-0"]), ("PNEUMONIA", COLOURS["class-1"])):
                n = counts[part].get(label, 0)
                share = 100 * n / total if total else 0
                axis.barh(
                    row,
                    share,
                    0.62,
                    left=left,
                    color=hue,
                    linewidth=0,
                    alpha=1 if row == 0 else 0.45,
                )
                if share > 6:
                    axis.text(
                        left + share / 2,
                        row,
                        f"{label}  {share:.1f} %",
                        ha="center",
                        va="center",
                        color=COLOURS["on-2" if row == 0 else "ink"],
                        fontweight="bold" if row == 0 else "normal",
                    )
                left += share
        axis.set_yticks(
            range(len(parts)), [f"{part} ({sum(counts[part].values()):,})" for part in parts]
        )
        axis.tick_params(axis="y", labelcolor=COLOURS["ink"])
        axis.set(
            xlim=(0, 100), ylim=(len(parts) - 0.5, -0.5), xlabel="share of the split's images, %"
        )
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)

    words = [
        f"{part}: " + ", ".join(f"{n} {label}" for label, n in counts[part].items())
        for part in parts
    ]
    return draw(
        name, title, f"{title}. " + "; ".join(words) + ".", (WIDTH, 0.7 + 0.42 * len(parts)), paint
    )


def durations(name: str, title: str, rows: list[tuple[str, list]]) -> dict:
    """Training time in minutes, a bar a model: (model, runs). Each run a dot on the bar of their
    mean.
    """
    minutes = {model: [seconds_of(run) / 60 for run in runs] for model, runs in rows}

    def paint(figure):
        axis = figure.subplots()
        for row, (model, runs) in enumerate(rows):
            mean = float(np.mean(minutes[model]))
            axis.barh(row, mean, 0.55, color=colour(runs[0].spec, False), linewidth=0)
            if len(runs) > 1:
                axis.plot(
                    minutes[model],
                    [row] * len(runs),
                    "o",
                    markersize=3,
                    color=COLOURS["ink"],
                    alpha=0.6,
                    markeredgewidth=0,
                )
            axis.annotate(
                f"{mean:.3g} min",
                (max(minutes[model]), row),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontweight="bold",
            )
        axis.set_yticks(
            range(len(rows)), [f"{model}  {runs[0].spec.family}" for model, runs in rows]
        )
        axis.tick_params(axis="y", labelcolor=COLOURS["ink"])
        axis.set(xlabel="minutes", ylim=(len(rows) - 0.5, -0.5))
        axis.margins(x=0.14)
        axis.set_xlim(left=0)
        axis.grid(axis="y", visible=False)

    words = [f"model {model} {np.mean(values):.3g} minutes" for model, values in minutes.items()]
    return draw(
        name, title, f"{title}: " + "; ".join(words) + ".", (WIDTH, 0.7 + 0.4 * len(rows)), paint
    )

"""Pictures with a row a model: test scores at a glance, re-splits. Each is what
report_pictures.draw gives back."""

from collections import defaultdict

import numpy as np
from matplotlib.ticker import MaxNLocator

from xray import comparisons
from xray.report_figures import (
    HUE,
    PAPER_MARK,
    SCORE_PANELS,
    colour,
    how_many,
    in_words,
    legend,
    line,
)
from xray.report_pictures import COLOURS, NARROW, WIDTH, draw
from xray.specs import MODELS
from xray.study import EVALUATED, Study, apart

SEED = {"marker": "o", "linestyle": "none", "markersize": 3, "markeredgewidth": 0}
OPEN_MARK = PAPER_MARK | {"markerfacecolor": "none", "markersize": 5}  # dots show through it
QUIET = {"color": COLOURS["quiet"]}
STRIP = {"linewidth": 0.9, "alpha": 0.6, "solid_capstyle": "butt"}
GUESS = {"color": COLOURS["quiet"], "linewidth": 1, "linestyle": (0, (1, 1.5))}
MEAN = {"color": COLOURS["ink"], "linewidth": 1.8, "solid_capstyle": "butt"}


def glance(name: str, title: str, study: Study, found: list) -> dict:
    """The evaluated models by class: the seeds that learned as dots, above the image re-splits as a
    strip, a stroke each; the paper's value, the accuracy as its precision and recall imply it.

    found: what comparisons.compare gives. The axis is where these are; what always says pneumonia
    is a line on it if it lies there.
    """
    models = [model for model in EVALUATED if model in study.summaries]
    splits = {(row.model, row.score): 100 * row.sides["image"] for row in found}
    rows = _by_class(models, 1)

    def paint(figure, stacked):
        axes = _panels(figure, rows, 1, stacked)
        guess = False
        for axis, (score, _) in zip(axes, SCORE_PANELS):
            for model, row in rows.items():
                hue = colour(MODELS[model])
                _strip(axis, splits.get((model, score), []), row + 0.2, 0.16, hue)
                values = [100 * scores[score] for scores in study.summaries[model].scores]
                axis.plot(values, [row - 0.2] * len(values), color=hue, **SEED)
                axis.plot(100 * comparisons.printed(model, score), row, **OPEN_MARK)
            guess = _line_if_there(axis, 100 * study.baseline[score]) or guess
        notes = {rows[model]: how_many({"": study.summaries[model].runs}) for model in models}
        _say_at_rows(axes, {row: note for row, note in notes.items() if note}, stacked)
        entries = {
            "a seed that learned": line(color=COLOURS["quiet"], **SEED),
            "a re-split of the images": _stroke(COLOURS["quiet"]),
            "the paper": line(**OPEN_MARK),
        }
        entries |= {"always pneumonia": line(**GUESS)} if guess else {}
        legend(figure, entries, ncols=2 if stacked else 4, columnspacing=1.4, handlelength=1.6)

    words = [f"model {model} {in_words(study, model)}" for model in models]
    alt = f"{title}. Mean accuracy and F1 in percent of the seeds that learned: {'; '.join(words)}."
    wide, narrow = 0.85 + 0.15 * _rows_high(rows), 1.3 + 2 * 0.165 * _rows_high(rows)
    return draw(name, title, alt, (WIDTH, wide), (NARROW, narrow), paint)


def _by_class(models: list[str], step: float) -> dict[str, float]:
    """Model -> its row from the top down, `step` rows a model, one free above each class."""
    rows, below = {}, 0.0
    for family in HUE:
        group = [model for model in models if MODELS[model].family == family]
        rows |= {model: below + 0.8 + step * place for place, model in enumerate(group)}
        below += (0.8 + step * len(group)) if group else 0
    return rows


def _rows_high(rows: dict, step: float = 1) -> float:
    """How many rows a panel is high."""
    return max(rows.values()) + step + 0.6


def _panels(figure, rows: dict, step: float, stacked: bool):
    """A panel a score, side by side or stacked, its rows named by model under their class."""
    axes = figure.subplots(2, 1) if stacked else figure.subplots(1, 2, sharey=True)
    for axis, (_, heading) in zip(axes, SCORE_PANELS):
        axis.set_title(heading)
        axis.grid(axis="y", visible=False)
        axis.margins(x=0.03)
        axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.set_ylim(_rows_high(rows, step) - 0.9, -0.9)
        for row in list(rows.values())[::2]:  # every other model on a ground of its own
            axis.axhspan(row - 0.5, row + step - 0.5, color=COLOURS["rule"], alpha=0.35, zorder=0)
        for family, row in _first_rows(rows).items():
            style = {"color": COLOURS[HUE[family]], "fontweight": "bold", "va": "center"}
            axis.annotate(family, (0.02, row - 0.85), xycoords=("axes fraction", "data"), **style)
        if axis is axes[0] or stacked:
            places = [row + step / 2 - 0.5 for row in rows.values()]
            axis.set_yticks(places, [_short(MODELS[model], stacked) for model in rows])
            axis.tick_params(axis="y", labelcolor=COLOURS["ink"])
        if stacked:
            place = {"xytext": (-4, 5), "textcoords": "offset points", "ha": "right"}
            axis.annotate("batches of", (0, 1), xycoords="axes fraction", **place | QUIET)
    return axes


def _first_rows(rows: dict) -> dict[str, float]:
    """Class -> the row of its first model."""
    found = {}
    for model, row in rows.items():
        found.setdefault(MODELS[model].family, row)
    return found


def _short(spec, stacked: bool) -> str:
    """A model and what sets it apart in its class, such as "23b · batches of 64, weighted"."""
    size = str(spec.batch_size) if stacked else f"batches of {spec.batch_size}"
    more = ", weighted" * spec.class_weight + ", L2" * (spec.weight_decay > 0)
    return f"{spec.id} · {size}{more}"


def _strip(axis, values, middle: float, reach: float, hue: str) -> None:
    """A stroke for each value, all one path."""
    if len(values):
        x = np.repeat(np.sort(values), 3)
        y = np.tile([middle - reach, middle + reach, np.nan], len(values))
        axis.plot(x, y, color=hue, **STRIP)


def _stroke(hue: str):
    """What stands in a legend for a stroke of a strip."""
    style = {"marker": "|", "linestyle": "none", "markersize": 8, "alpha": STRIP["alpha"]}
    return line(color=hue, markeredgewidth=1.4, **style)


def _line_if_there(axis, value: float) -> bool:
    """A line at a value that lies on the axis as it is."""
    low, high = axis.get_xlim()
    axis.set_xlim(low, high)
    if low < value < high:
        axis.axvline(value, **GUESS, zorder=0)
    return low < value < high


def _say_at_rows(axes, notes: dict[float, str], stacked: bool) -> None:
    """Beside rows, how many runs learned: "3 of 5 learned"; for a phone under that word."""
    style = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
    style |= QUIET | {"annotation_clip": False}
    for axis in axes if stacked else axes[-1:]:
        for row, note in notes.items():
            words = note.removesuffix(" learned") if stacked else note
            axis.annotate(words, (1, row), xycoords=("axes fraction", "data"), **style)
        if stacked and notes:
            place = {"xytext": (4, 5), "textcoords": "offset points"}
            axis.annotate("learned", (1, 1), xycoords="axes fraction", **place | QUIET)


# ---- re-splits

LANES = {"given": 0.0, "image": 0.62, "patient": 1.24}  # of a model's rows, from its first
STEP = 2.2  # rows a model


def resplits(name: str, title: str, study: Study, found: list) -> dict:
    """Test accuracy and F1 by model: the seeds that learned on the given split as dots, over the
    re-splits by image and by patient as strips, a stroke a split; the means.

    found: what comparisons.compare gives.
    """
    sides = defaultdict(dict)
    for row in found:
        one = study.summaries.get(row.model)
        given = [scores[row.score] for scores in one.scores] if one else []
        sides[row.model][row.score] = {"given": given, **row.sides}
    rows = _by_class(list(sides), STEP)

    def paint(figure, stacked):
        axes = _panels(figure, rows, STEP, stacked)
        for axis, (score, _) in zip(axes, SCORE_PANELS):
            for model, row in rows.items():
                for lane, values in sides[model][score].items():
                    _lane(axis, row + LANES[lane], 100 * np.asarray(values), model, lane)
        _say_at_rows(axes, _learned_splits(study, found, rows, stacked), stacked)
        entries = {
            "given split, a seed": line(color=COLOURS["quiet"], **SEED),
            "re-split by image": _stroke(COLOURS["linear"]),
            "by patient (lighter)": _stroke(COLOURS["linear-2"]),
            "mean": line(color=MEAN["color"], marker="|", linestyle="none", markeredgewidth=1.8),
        }
        legend(figure, entries, ncols=2 if stacked else 4, handlelength=1.2)

    words = []
    for model in rows:
        means = {lane: values for lane, values in sides[model]["accuracy"].items() if len(values)}
        said = [f"{lane} {100 * np.mean(values):.1f}" for lane, values in means.items()]
        words.append(f"model {model} {', '.join(said)}")
    alt = f"{title}. Mean accuracy in percent, given split and re-splits: {'; '.join(words)}."
    high = _rows_high(rows, STEP)
    return draw(name, title, alt, (WIDTH, 0.95 + 0.2 * high), (NARROW, 1.35 + 0.32 * high), paint)


def _lane(axis, row: float, values, model: str, lane: str) -> None:
    """The values of one protocol and their mean."""
    if not len(values):
        return
    hue = colour(MODELS[model], light=lane == "patient")
    if lane == "given":
        axis.plot(values, [row] * len(values), color=hue, **SEED)
    else:
        _strip(axis, values, row, 0.18, hue)
    axis.plot([values.mean()] * 2, [row - 0.25, row + 0.25], **MEAN)


def _learned_splits(study: Study, found: list, rows: dict, together: bool) -> dict[float, str]:
    """Row -> how many runs learned, where some did not: of each protocol, or of all `together`."""
    notes = {}
    for one in found:
        good, dead = apart(study.chosen.get(one.model, []))
        lost = {"given": (len(dead), len(good + dead))} | one.lost
        if together:
            lost = {"image": tuple(map(sum, zip(*lost.values())))}
        for lane, (dead, runs) in lost.items():
            if dead:
                notes[rows[one.model] + LANES[lane]] = f"{runs - dead} of {runs} learned"
    return notes

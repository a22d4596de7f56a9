"""Pictures of chapter 7: Table 3's ladder, and accuracy over the time that it took."""

from textwrap import fill

from matplotlib.ticker import NullFormatter

from xray import paper
from xray.comparisons import printed
from xray.report_figures import class_colour, legend, line, name_rows, time_words
from xray.report_pictures import COLOURS, NARROW, WIDTH, draw
from xray.study import percent

PAPERS_BEST = max(printed(model, "accuracy") for model in paper.SCORES)
MEAN = {"marker": "o", "markersize": 6, "linestyle": "none", "markeredgewidth": 0}
EACH = {"marker": "o", "markersize": 3, "linestyle": "none", "markeredgewidth": 0, "alpha": 0.5}
STYLES = ("--", ":")


def ladder(name: str, title: str, rows: list[dict], lines: dict[str, float]) -> dict:
    """Test accuracy, a row a model (report_beyond): the mean, and each run; lines: words -> an
    accuracy to hold it against."""

    def paint(figure, stacked):
        axis = figure.subplots()
        for place, row in enumerate(rows):
            hue, values = class_colour(row["family"]), [100 * v for v in row["each"]["accuracy"]]
            axis.plot(values, [place] * len(values), color=hue, **EACH)
            if values:
                axis.plot(100 * row["means"]["accuracy"], place, color=hue, **MEAN)
        for value, style in zip(lines.values(), STYLES):
            axis.axvline(100 * value, color=COLOURS["quiet"], linewidth=1.2, linestyle=style)
        names = [f"{row['model']}  {row['change'] or row['family']}" for row in rows]
        name_rows(axis, [fill(label, 26 if stacked else 60) for label in names])
        axis.set(xlabel="test accuracy, %")
        entries = {"mean of the runs": line(color=COLOURS["ink"], **MEAN)}
        entries["a run"] = line(color=COLOURS["ink"], **EACH)
        for words, style in zip(lines, STYLES):
            entries[words] = line(color=COLOURS["quiet"], linewidth=1.2, linestyle=style)
        legend(figure, entries, ncols=1 if stacked else 4, columnspacing=1.2)

    said = "; ".join(f"{row['model']} {percent(row['means']['accuracy'])}" for row in rows)
    held = ", ".join(f"{words} {percent(value)}" for words, value in lines.items())
    alt = f"{title}. Mean accuracy in percent: {said}. Held against {held}."
    wide, narrow = 1.0 + 0.3 * len(rows), 1.6 + 0.45 * len(rows)
    return draw(name, title, alt, (WIDTH, wide), (NARROW, narrow), paint)


def per_second(name: str, title: str, points: list[tuple], lines: dict[str, float]) -> dict:
    """Mean test accuracy over the time of one run, on a log scale: (model, class, core seconds,
    accuracy). lines: as in `ladder`."""

    def paint(figure, stacked):
        axis = figure.subplots()
        for model, family, seconds, accuracy in points:
            axis.plot(seconds, 100 * accuracy, color=class_colour(family), **MEAN)
            beside = {"xytext": (4, 3), "textcoords": "offset points", "fontsize": 7}
            axis.annotate(model, (seconds, 100 * accuracy), color=COLOURS["quiet"], **beside)
        for value, style in zip(lines.values(), STYLES):
            axis.axhline(100 * value, color=COLOURS["quiet"], linewidth=1.2, linestyle=style)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set(xlabel="seconds of training × processor cores", ylabel="test accuracy, %")
        classes = dict.fromkeys(family for _, family, _, _ in points)
        names = {"Linear+ReLU": "MLP"}
        entries = {
            names.get(family, family): line(color=class_colour(family), **MEAN)
            for family in classes
        }
        for words, style in zip(lines, STYLES):
            entries[words] = line(color=COLOURS["quiet"], linewidth=1.2, linestyle=style)
        legend(figure, entries, ncols=2 if stacked else 6, columnspacing=1.2)

    said = "; ".join(
        f"{model} {percent(accuracy)} in {time_words(seconds)}"
        for model, _, seconds, accuracy in points
    )
    return draw(name, title, f"{title}: {said}.", (WIDTH, 3.2), (NARROW, 3.4), paint)

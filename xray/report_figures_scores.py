"""Pictures of test scores: bars, and a glance. Each is what report_svg.draw gives back."""

from xray.report_figures import PAPER_MARK, SCORES, WIDTH, colour, legend, line, name_rows, swatches
from xray.report_svg import COLOURS, draw
from xray.specs import MODELS
from xray.study import EVALUATED, Study, describe, percent

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
        for axis, (score, heading) in zip(figure.subplots(1, 2), SCORES):
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
    if model not in study.summaries:
        axis.annotate(f"{model}\nnot run", (x, floor), color=COLOURS["quiet"], **OVER)
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
    return [percent(scores[score]) for score, _ in SCORES]


def glance(name: str, title: str, study: Study, paper: dict) -> dict:
    """The 15 evaluated models at a glance: each run a dot, its 95 % interval, the paper's value."""
    models = [model for model in EVALUATED if model in study.summaries]
    dot = {"marker": "o", "linestyle": "none", "markersize": 3}
    dash = {"marker": "|", "linestyle": "none", "markeredgewidth": 2}
    band = {"linewidth": 5, "alpha": 0.25, "solid_capstyle": "butt"}

    def paint(figure):
        axes = figure.subplots(1, 2, sharey=True)
        for axis, (score, heading) in zip(axes, SCORES):
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

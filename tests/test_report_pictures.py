"""Pictures: nothing in them overlaps, runs that did not learn stand apart, both variants can
be read, and their numbers and colours are right."""

import re
from pathlib import Path

import numpy as np
import pytest
import records
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from xray import (
    comparisons,
    metrics,
    paper,
    report_figures,
    report_figures_curves,
    report_figures_scores,
    report_pictures,
    study,
)
from xray.report_pictures import COLOURS, NARROW, WIDTH
from xray.specs import MODELS

PAIRS = [("20", "23"), ("21", "24"), ("22", "25")]
GROUPS = [(MODELS[pair[0]].family, list(pair)) for pair in PAIRS]
TONES = "plain loss", "weighted loss"


def catch(monkeypatch, *modules) -> list:
    """The pictures that these modules draw from now on, each as (title, its two figures)."""
    caught = []

    def draw(name, title, alt, size, narrow, paint):
        both = (
            report_pictures.painted(size, paint, False),
            report_pictures.painted(narrow, paint, True),
        )
        caught.append((alt, both))
        return {"inline": "", "narrow": "", "file": "", "alt": alt}

    for module in modules:
        monkeypatch.setattr(module, "draw", draw)
    return caught


def boxes(figure) -> tuple[dict, dict]:
    """Where texts and marks stand on a figure, in its pixels: what it is -> its box."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        plain = Text.draw
        patch.setattr(Text, "draw", lambda text, to: (drawn.append(text), plain(text, to))[1])
        figure.draw(renderer)
    seen = [text for text in drawn if text.get_visible() and text.get_text().strip()]
    texts = {
        f"{text.get_text()!r} {n}": Text.get_window_extent(text, renderer)
        for n, text in enumerate(seen)
    }
    marks = {}
    for axis in figure.axes:
        for line in axis.lines:
            if line.get_marker() not in ("None", "", None):
                reach = line.get_markersize() * figure.dpi / 72 / 2
                for x, y in axis.transData.transform(np.column_stack(line.get_data())):
                    ends = x - reach, y - reach, x + reach, y + reach
                    marks[f"mark {line.get_marker()} {len(marks)}"] = Bbox.from_extents(*ends)
    return texts, marks


def overlapping(first: dict, second: dict) -> list[str]:
    """Which of these boxes share more than half a pixel each way."""
    found = []
    for a, one in first.items():
        for b, other in second.items():
            wide = min(one.x1, other.x1) - max(one.x0, other.x0)
            high = min(one.y1, other.y1) - max(one.y0, other.y0)
            if a != b and wide > 0.5 and high > 0.5:
                found.append(f"{a} over {b}")
    return found


def with_scores(gap: float, spread: float, dead: int = 0) -> study.Study:
    """A study in which each model's mean lies `gap` points beside the paper's, and `dead` of its
    twenty runs are."""
    summaries = {}
    for model in [model for _, models in GROUPS for model in models]:
        runs = [records.run(model, seed, dead=seed < dead) for seed in range(20)]
        mean = {
            score: comparisons.printed(model, score) + gap / 100 for score in ("accuracy", "f1")
        }
        ends = {score: (value - spread, min(1, value + spread)) for score, value in mean.items()}
        good, lost = report_figures.apart(runs)
        summaries[model] = study.Summary(runs, good, len(lost), dead, [], mean, {}, ends)
    floor = {"accuracy": 0.706, "f1": 0.828}
    return study.Study("made-up/given", Path(), [], {}, {}, summaries, floor, {})


@pytest.mark.parametrize("dead", [0, 9, 20])
@pytest.mark.parametrize("gap, spread", [(0, 0), (0, 0.02), (-0.4, 0.01), (0.4, 0.03), (3, 0.04)])
def test_in_bars_no_number_name_or_mark_lies_on_another(monkeypatch, gap, spread, dead):
    caught = catch(monkeypatch, report_figures)
    report_figures.bars("b", "Bars", with_scores(gap, spread, dead), GROUPS, TONES)
    for figure in caught[0][1]:
        texts, marks = boxes(figure)
        assert len(marks) == 12 and len(texts) > 40
        assert overlapping(texts, texts) == overlapping(texts, marks) == []


@pytest.mark.parametrize("gap", [-22, -12])
def test_bars_that_hardly_learned_or_lie_below_the_guess_stay_clear_too(monkeypatch, gap):
    caught = catch(monkeypatch, report_figures)
    report_figures.bars("b", "Bars", with_scores(gap, 0.03), GROUPS, TONES)
    for figure in caught[0][1]:
        texts, marks = boxes(figure)
        assert overlapping(texts, texts) == overlapping(texts, marks) == []
        low, high = figure.axes[0].get_ylim()
        ends = [end for line in figure.axes[0].lines for end in line.get_ydata()]
        assert low < min(ends) and max(ends) < high


def test_an_interval_and_the_papers_mark_stand_side_by_side(monkeypatch):
    caught = catch(monkeypatch, report_figures)
    report_figures.bars("b", "Bars", with_scores(0, 0.03), GROUPS, TONES)
    for figure in caught[0][1]:
        _, marks = boxes(figure)
        axis = figure.axes[0]
        for line in axis.lines:
            if line.get_linestyle() == "-" and len(set(line.get_xdata())) == 1:
                x = axis.transData.transform((line.get_xdata()[0], 0))[0]
                assert not [key for key, box in marks.items() if box.x0 <= x <= box.x1]


def glance_study(dead: int) -> tuple:
    runs = {
        model: [records.run(model, seed, dead=seed < dead) for seed in range(4)]
        for model in study.EVALUATED
    }
    splits = {
        f"image-{n}": {model: [records.run(model, n, skill=2.2)] for model in study.EVALUATED}
        for n in range(3)
    }
    summaries = {model: study.summarise(group) for model, group in runs.items()}
    floor = metrics.always_pneumonia(records.labels(60))
    made = study.Study("made-up/given", Path(), [], runs, {}, summaries, floor, splits)
    return made, comparisons.compare(runs, splits, 0.14)


def test_dead_runs_stretch_no_axis_and_are_counted_beside_their_row(monkeypatch):
    caught = catch(monkeypatch, report_figures_scores)
    for draw in (report_figures_scores.glance, report_figures_scores.resplits):
        for dead in (0, 1):
            draw("g", "Scores", *glance_study(dead))
    for (_, alive), (alt, dead) in (caught[:2], caught[2:]):
        assert "3 of 4 learned" in alt or "given" in alt
        for before, after in zip(alive, dead):
            texts, marks = boxes(after)
            assert overlapping(texts, texts) == []
            assert sum(bool(re.search(r"\d of \d", text)) for text in texts) >= 15
            assert not [text for text in boxes(before)[0] if re.search(r"\d of \d", text)]
            assert after.axes[0].get_xlim()[0] > 50  # a dead run's accuracy is 30 %
            edge = after.axes[0].get_window_extent()
            assert all(text_box.x1 <= after.bbox.x1 + 1 for text_box in texts.values()), edge


def test_a_curves_mean_is_over_the_runs_that_learned(monkeypatch):
    caught = catch(monkeypatch, report_figures_curves)
    runs = [records.run("21", seed, dead=seed == 1) for seed in range(3)]
    runs.append(records.run("21", 3, diverged=True))
    hue = COLOURS["mlp"]
    report_figures_curves.curves("c", "Curves", [("Model 21", [("model 21", runs, hue)])])
    alt, figures = caught[0]
    assert "(2 of 4 runs learned)" in alt
    wanted = np.mean([runs[0].history["train_loss"], runs[2].history["train_loss"]], axis=0)
    for figure in figures:
        thick = [line for line in figure.axes[0].lines if line.get_linewidth() > 1.5]
        np.testing.assert_allclose(thick[0].get_ydata(), wanted)
        grey = [line for line in figure.axes[0].lines if line.get_color() == COLOURS["none"]]
        assert any(np.isclose(line.get_ydata(), np.log(2)).any() for line in grey)
        assert any("2 of 4 learned" in text.get_text() for text in figure.findobj(Text))
    nothing = [records.run("21", seed, dead=True) for seed in range(2)]
    report_figures_curves.curves("c", "Curves", [("Model 21", [("model 21", nothing, hue)])])
    assert "0 of 2 runs learned" in caught[1][0]
    assert not [
        line
        for line in caught[1][1][0].axes[0].lines
        if line.get_color() == hue and len(line.get_xdata())
    ]


def test_headings_and_notes_of_curves_stay_clear_of_each_other(monkeypatch):
    caught = catch(monkeypatch, report_figures_curves)
    panels = []
    for pair in (("20b", "23b"), ("21b", "24b"), ("22b", "25b")):
        group = []
        for model in pair:
            dead = 3 if model == "21b" else 11
            runs = [records.run(model, seed, dead=seed < dead) for seed in range(20)]
            group.append((f"model {model}", runs, report_figures.colour(MODELS[model])))
        panels.append((f"{MODELS[pair[0]].family}: {' and '.join(pair)}", group))
    report_figures_curves.curves("c", "Curves", panels)
    for figure in caught[0][1]:
        texts, _ = boxes(figure)
        assert overlapping(texts, texts) == []
        assert sum("learned" in text for text in texts) == 3
        assert any("17/20, 9/20 learned" in text for text in texts)
        assert any("9 of 20 learned each" in text for text in texts)


def test_how_many_learned_in_words():
    runs = {
        dead: [records.run("21", seed, dead=seed < dead) for seed in range(3)] for dead in (0, 1, 2)
    }
    assert report_figures.how_many({"21": runs[0]}) == ""
    assert report_figures.how_many({"21": runs[1]}) == "2 of 3 learned"
    assert report_figures.how_many({"21": runs[1], "24": runs[1]}) == "2 of 3 learned each"
    assert report_figures.how_many({"21": runs[1], "24": runs[0]}) == "learned\n21: 2 of 3"
    three = {"21": runs[1], "24": runs[2], "21b": runs[1]}
    assert report_figures.how_many(three) == "learned\n21, 21b: 2 of 3\n24: 1 of 3"


@pytest.mark.parametrize(
    "seconds, words",
    [(0.0722, "0.0722 s"), (4.33, "4.33 s"), (78.9, "78.9 s"), (119, "119 s"), (120, "2 min"),
     (571.4, "9.52 min"), (9000, "150 min"), (123456, "2,058 min")],
)  # fmt: skip
def test_a_duration_keeps_its_digits(seconds, words):
    assert report_figures.time_words(seconds) == words


def drawn(name="made-up") -> dict:
    def paint(figure, stacked):
        axis = figure.subplots()
        axis.plot([0, 1, 2], [0, 3, 1], color=COLOURS["cnn"])
        axis.plot([0, 1], [1, 1], **report_figures.PAPER_MARK)
        axis.set_title("stacked" if stacked else "wide")
        swatch = report_figures.swatches(light=True)
        report_figures.legend(
            figure,
            {"the <paper>": report_figures.line(**report_figures.PAPER_MARK), "both": swatch},
        )

    return report_pictures.draw(name, "A title", "With 3 values.", (WIDTH, 2), (NARROW, 2), paint)


def test_both_variants_have_the_pages_colours_and_ids_of_their_own():
    found = drawn()
    for text in (found["inline"], found["narrow"]):
        assert not re.findall(r"#[0-9a-f]{6}", text)  # legends and marks too
        assert {"var(--cnn)", "var(--paper)", "var(--page)", "var(--mlp-2)"} <= set(
            re.findall(r"var\(--[\w-]+\)", text)
        )
        assert "&lt;paper&gt;" in text
        assert float(re.search(r'viewBox="0 0 ([\d.]+)', text)[1]) in (547.2, 259.2)
    ids = re.findall(r' id="([^"]+)"', found["inline"] + found["narrow"])
    assert len(ids) == len(set(ids)) and all(id.startswith("made-up") for id in ids)
    assert found["narrow"].count("<title") == 0  # named by the wide one's title and description
    assert 'aria-labelledby="made-up-t made-up-d"' in found["narrow"]
    assert (
        ">stacked<" in found["narrow"] and ">wide<" in found["inline"] and ">wide<" in found["file"]
    )
    assert found == drawn()
    used = re.findall(r'class="([^"]+)"', found["file"])
    assert used and all(f".{name}{{" in found["file"] for name in used)


def points(data: str) -> list[tuple]:
    """The points of a path of relative moves and lines."""
    here, found = np.zeros(2), []
    for numbers in re.split("[mlz]", data):
        values = [float(number) for number in re.findall(r"-?(?:\d+\.\d+|\.\d+|\d+)", numbers)]
        for step in np.reshape(values, (-1, 2)):
            here = here + step
            found.append(tuple(here))
    return found


def test_short_paths_stay_within_a_tenth_of_a_point():
    random = np.random.default_rng(0)
    there = random.normal(0, 90, (400, 2)).cumsum(0) / 7
    text = "M " + " \nL ".join(f"{x:.6f} {y:.6f}" for x, y in there)
    short = report_pictures._short_path([text])
    assert np.abs(np.array(points(short)) - there).max() < 0.0501
    assert len(short) < 0.45 * len(text)
    closed = report_pictures._short_path(["M 1 1 \nL 3 1 \nL 3 3 \nz \nM 1.04 0.96 \nL 2 2 \n"])
    assert closed == "m1 1l2 0 0 2zm0 0l1 1" or closed == "m1 1 2 0 0 2zm0 0 1 1"


def test_the_papers_values_are_the_exact_ones_of_its_matrix():
    (implied,) = paper.implied("20")
    assert comparisons.printed("20", "accuracy") == pytest.approx(implied.accuracy / 100)

"""The shapes of the report's pictures."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from xray import report_plots as plots
from xray.report_plots import Line, Mark


def epochs(**accuracies) -> pd.DataFrame:
    """A frame as Study.epochs: model 0, a run a list of validation accuracies; "lost_…" did not
    learn."""
    rows = []
    for seed, (name, values) in enumerate(accuracies.items()):
        for epoch, value in enumerate(values, 1):
            row = dict.fromkeys(["train_loss", "validation_loss", "train_accuracy"], 0.5)
            row |= {"model": "0", "seed": seed, "epoch": epoch, "validation_accuracy": value}
            rows.append(row | {"learned": not name.startswith("lost"), "diverged": "nan" in name})
    return pd.DataFrame(rows)


def lines_of(figure, axis: int, style: str) -> list:
    return [line for line in figure.axes[axis].lines if line.get_linestyle() == style]


def test_a_curves_mean_is_over_the_runs_that_learned():
    frame = epochs(a=[0.8, 0.9], b=[0.6, 0.7], lost=[0.1, 0.1])
    figure = plots.curves(frame, [("Model 0", [("0", "linear")])])
    (mean,) = [line for line in figure.axes[1].lines if line.get_linewidth() == 1.7][1:]
    assert np.allclose(mean.get_ydata(), [70, 80])
    assert figure.axes[1].get_title(loc="right") == "2/3 learned"


def test_a_run_that_diverged_ends_in_a_cross():
    frame = epochs(a=[0.8, 0.9, 0.9], lost_nan=[0.5, 0.4])
    figure = plots.curves(frame, [("Model 0", [("0", "linear")])])
    crosses = [line for line in figure.axes[1].lines if line.get_marker() == "x"]
    assert [line.get_xdata().tolist() for line in crosses] == [[2], [2]]


def test_a_panel_without_runs_says_so():
    figure = plots.curves(epochs(a=[0.8]), [("Model 0", [("0", "cnn")]), ("1", [("1", "cnn")])])
    assert "not trained yet" in [text.get_text() for text in figure.axes[1].texts]


def test_dots_stand_in_the_order_of_their_rows_and_nan_is_left_out():
    marks = [Mark("first", 90, 88, 92), Mark("second", math.nan), Mark("second", 80, panel=1)]
    figure = plots.dots(marks, ("A", "B"), {"mean": Mark("", 0)}, {"chance": [50, 60]})
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["first", "second"]
    low, high = left.get_ylim()
    assert low > high  # from the top down
    assert [line.get_ydata()[0] for line in right.lines if line.get_marker() == "o"] == [1]
    assert [text.get_text() for text in figure.legends[0].texts] == ["mean", "chance"]


def test_bars_start_at_their_base_and_strokes_stand_at_their_values():
    marks = [Mark("20", 91.1, 89, 93, kind="bar"), Mark("20", 93.1, kind="|", lane=0.2)]
    (axis,) = plots.dots(marks, ("Accuracy",), {}, base=[70.6]).axes
    (bar,) = axis.patches
    assert (bar.get_x(), bar.get_x() + bar.get_width()) == pytest.approx((70.6, 91.1))
    interval, stroke = axis.lines
    assert interval.get_xdata()[:2].tolist() == [89, 93]
    assert stroke.get_xdata()[:2].tolist() == [93.1, 93.1]
    assert np.mean(stroke.get_ydata()[:2]) == pytest.approx(0.2)


def test_lines_share_a_legend_and_may_have_a_band():
    series = [Line([1, 2, 4], [3, 4, 5], words="a", low=[2, 3, 4], high=[4, 5, 6])]
    series += [Line([1, 2, 4], [1, 1, 1], words="a", panel=1)]
    series += [Line([1], [2], label="here", panel=1)]
    figure = plots.lines(series, ("A", "B"), "x", "y", log=2, ticks=[1, 2, 4], references={"r": 3})
    assert [text.get_text() for text in figure.axes[1].texts] == ["here"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["a", "r"]
    assert len(figure.axes[0].collections) == 1
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == ["1", "2", "4"]


@pytest.mark.parametrize("shape", ["curves", "dots", "lines"])
def test_no_text_is_under_eleven_pixels_and_none_lies_outside(shape):
    figure = {
        "curves": lambda: plots.curves(epochs(a=[0.8, 0.9]), [("Model 0", [("0", "mlp")])]),
        "dots": lambda: plots.dots(
            [Mark("a long name of a row that takes two lines or more", 1)], ("A",), {}
        ),
        "lines": lambda: plots.lines([Line([1, 2], [3, 4])], ("A",), "x", "y"),
    }[shape]()
    svg = plots.save(figure).decode()
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    assert sizes and min(sizes) * 96 / 72 >= 11
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01

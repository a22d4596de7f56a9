"""The paper's facts agree with each other and with the specs."""

import math
from dataclasses import replace

import pytest

from xray import paper
from xray.claims import CLAIMS
from xray.paper import REFERENCES
from xray.specs import MODELS


def test_the_matrix_of_model_20_gives_its_row_but_for_the_accuracy():
    tp, tn, fp, fn = (paper.CONFUSION_20[name] for name in ("tp", "tn", "fp", "fn"))
    row = paper.SCORES["20"]
    assert tp + tn + fp + fn == paper.SPLIT_SIZES["test"]
    assert (
        round(100 * tp / (tp + fp), 1) == row["precision"]
        and round(100 * tp / (tp + fn), 1) == row["recall"]
    )
    assert round(200 * tp / (2 * tp + fp + fn), 1) == row["f1"]
    assert round(100 * (tp + tn) / 582, 1) == 93.1 != row["accuracy"] == 93.4


def batch_mean(model: str, found) -> tuple[float, int]:
    """The mean over test batches that comes nearest to the printed accuracy, in percent, and how
    many of the last batch's 6 images are then right: full batches, then those 6."""
    batch, right = MODELS[model].batch_size, found.tp + found.tn
    means = [
        (100 * ((right - last) / batch + last / 6) / math.ceil(582 / batch), last)
        for last in range(7)
    ]
    return min(means, key=lambda mean: abs(mean[0] - paper.SCORES[model]["accuracy"]))


@pytest.mark.parametrize("model", paper.SCORES)
def test_each_printed_row_leaves_one_matrix_whose_batch_mean_is_the_printed_accuracy(model):
    (found,) = paper.implied(model)
    printed = paper.SCORES[model]
    assert (found.tp + found.fn, found.tn + found.fp) == (411, 171)
    assert round(100 * found.tp / (found.tp + found.fp), 1) == printed["precision"]
    assert round(100 * found.tp / 411, 1) == printed["recall"]
    assert round(200 * found.tp / (2 * found.tp + found.fp + found.fn), 1) == printed["f1"]
    assert abs(batch_mean(model, found)[0] - printed["accuracy"]) <= 0.05 + 1e-9
    assert abs(found.accuracy - printed["accuracy"]) > 0.2


def test_what_the_notes_say_of_implied_accuracies():
    accuracy = {model: round(paper.implied(model)[0].accuracy, 1) for model in paper.SCORES}
    assert (accuracy["22"], accuracy["24"], accuracy["22b"], accuracy["25b"]) == (
        92.4,
        92.8,
        93.3,
        93.1,
    )
    assert (accuracy["24b"], accuracy["21b"]) == (92.6, 92.4)
    assert max(accuracy, key=accuracy.get) == "26b" and accuracy["26b"] == 93.8
    best, simple = paper.implied("26b")[0], paper.implied("20")[0]
    assert best.tp + best.tn - simple.tp - simple.tn == 4
    with_l2, without = paper.implied("27b")[0], paper.implied("20b")[0]
    assert (with_l2.tp - without.tp, with_l2.tn - without.tn) == (1, 0)
    assert (batch_mean("27b", with_l2)[1], batch_mean("20b", without)[1]) == (6, 5)


def test_a_row_that_no_matrix_gives_is_found_out(monkeypatch):
    monkeypatch.setitem(paper.SCORES, "20", paper.SCORES["20"] | {"f1": 96.0})
    assert paper.implied("20") == []


def test_batches_follow_from_the_split_sizes():
    assert {
        split: math.ceil(size / 32) for split, size in paper.SPLIT_SIZES.items()
    } == paper.BATCHES[32]


def test_figures_name_models_of_the_tables():
    groups = [
        *paper.CURVES.values(),
        *paper.TABLES.values(),
        *paper.DURATIONS.values(),
    ]
    groups += [[model for pair in pairs for model in pair] for pairs in paper.BARS.values()]
    assert all(model in MODELS for group in groups for model in group)
    numbers = {*paper.CURVES, *paper.TABLES, *paper.DURATIONS, *paper.BARS}
    assert numbers == set(range(9, 29)) - {18}  # which is CONFUSION_20
    assert list(paper.SCORES) == [model for group in paper.TABLES.values() for model in group]
    assert len(paper.SCORES) == 15


@pytest.mark.parametrize(
    "figure, differs",
    [
        (9, {"hidden_layers"}),
        (10, {"hidden_units"}),
        (11, {"hidden_units"}),
        (12, {"hidden_units"}),
        (13, {"kernel_size"}),
        (14, {"class_weight"}),
        (15, {"class_weight"}),
        (16, {"class_weight"}),
        (26, {"weight_decay"}),
    ],
)
def test_curves_of_one_figure_differ_in_what_the_figure_is_about(figure, differs):
    specs = [MODELS[model] for model in paper.CURVES[figure]]
    fields = [{name: value for name, value in vars(spec).items() if name != "id"} for spec in specs]
    assert {name for name in fields[0] if len({row[name] for row in fields}) > 1} == differs


@pytest.mark.parametrize(
    "figure, change",
    [(21, {"class_weight": True}), (24, {"class_weight": True}), (27, {"weight_decay": 0.1})],
)
def test_bars_stand_in_pairs(figure, change):
    for first, second in paper.BARS[figure]:
        assert replace(MODELS[first], id=second, **change) == MODELS[second]


def test_tables_are_sorted_by_f1_as_printed():
    for models in paper.TABLES.values():
        f1 = [paper.SCORES[model]["f1"] for model in models]
        assert f1 == sorted(f1, reverse=True)


def test_the_37_claims_each_have_a_rule():
    assert [claim.id for claim in CLAIMS] == [f"C{n:02}" for n in range(1, 38)]
    assert all(claim.text and claim.rule and claim.section for claim in CLAIMS)
    assert all(model in MODELS for claim in CLAIMS for model in claim.models)


def test_references_are_cited_once_and_say_what_for():
    keys = [reference.key for reference in REFERENCES]
    assert len(set(keys)) == len(keys) and all(
        reference.text and reference.use for reference in REFERENCES
    )
    assert all(reference.url.startswith("https://") for reference in REFERENCES if reference.url)


def test_l2_at_the_linear_rate_shrinks_little():
    """The figures of the note on weight decay: rate x decay a step, 60 epochs of 64 steps."""
    steps = 60 * math.ceil(paper.SPLIT_SIZES["train"] / 64)
    assert (
        round((1 - 1e-4 * 0.1) ** steps, 2) == 0.96 and round((1 - 1e-2 * 0.1) ** steps, 2) == 0.02
    )

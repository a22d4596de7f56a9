"""The report's sections 3 to 5: the paper's results under its own numbers, drawn from this study's
runs.
"""

import math

import numpy as np

from xray import paper
from xray import report_figures as figures
from xray.blocks import cell, item, plot, section, table, text
from xray.report_figures_curves import curves
from xray.report_figures_scores import bars
from xray.specs import LEARNING_RATE_SEARCH, MODELS
from xray.study import (
    Study,
    finished,
    is_dead,
    plus_minus,
    seconds_of,
    seeds,
    spread,
    timed_alike,
)

# Figure -> title, and what tells its models apart (in the order of paper.CURVES).
CURVES = {
    9: ("Linear models with 1, 2 and 3 hidden layers", ("1 layer", "2 layers", "3 layers")),
    10: ("Linear models with 5, 10 and 20 units", ("5 units", "10 units", "20 units")),
    11: ("MLPs with 5, 10 and 20 units", ("5 units", "10 units", "20 units")),
    12: ("CNNs with 5, 10 and 20 filters", ("5 filters", "10 filters", "20 filters")),
    13: ("CNNs with kernels of 3×3 and 5×5", ("3×3", "5×5")),
    14: ("Linear model: plain and weighted loss", ("plain", "weighted")),
    15: ("MLP: plain and weighted loss", ("plain", "weighted")),
    16: ("CNN: plain and weighted loss", ("plain", "weighted")),
    17: ("Linear model: SGD and Adam", ("SGD, weighted", "Adam, weighted", "SGD, plain")),
    19: ("50 epochs with batches of 32: plain and weighted loss", ()),
    22: ("60 epochs with batches of 64: plain and weighted loss", ()),
    26: ("CNN without and with L2", ("no L2", "L2")),
}


def sections(study: Study) -> list[dict]:
    """Sections 3 to 3.6."""
    return [
        section(
            "section-3",
            "3",
            "Results",
            text(
                "In the curves, each thin line is one seed and the thick one their mean; solid is training, dashed is "
                "validation. Training loss and accuracy are taken batch by batch while the weights still move, as the "
                "paper's loop does; validation follows at the end of each epoch."
            ),
        ),
        layers(study),
        weights(study),
        epochs(study),
        batches(study),
        regularised(study),
        duration(study),
    ]


def curve_item(study: Study, number: int, note: str = "") -> dict:
    """One of the paper's curve figures: a picture, and its end values as a table."""
    models, (title, words) = paper.CURVES[number], CURVES[number]
    there = [model for model in models if model in study.chosen]
    name = f"fig-{number}"
    panels = []
    if words:
        panels = [
            (
                f"Model {model}: {word}",
                [(f"model {model}", study.chosen[model], figures.colour(MODELS[model]))]
                if model in there
                else [],
            )
            for model, word in zip(models, words)
        ]
    else:
        for family in figures.HUE:
            group = [model for model in there if MODELS[model].family == family]
            panels.append(
                (
                    f"{family}: {' and '.join(group)}" if group else family,
                    [(f"model {m}", study.chosen[m], figures.colour(MODELS[m])) for m in group],
                )
            )
    blocks = [plot(curves(name, title, panels), name), _ends(study, there)] if there else []
    return item(study, name, f"Figure {number}", title, *blocks, models=models, note=note)


def _ends(study: Study, models: list[str]) -> dict:
    columns = [
        "Model",
        "Seeds",
        ">Epochs",
        ">Training loss",
        ">Validation loss",
        ">Training accuracy, %",
        ">Validation accuracy, %",
    ]
    rows = []
    for model in models:
        runs = study.chosen[model]
        row = [model, seeds(runs), runs[0].spec.epochs]
        for key in ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy"):
            factor, digits = (100, 1) if "accuracy" in key else (1, 3)
            row.append(
                plus_minus(
                    [factor * run.history[key][-1] for run in runs if run.history[key]], digits
                )
            )
        rows.append(row)
    return table(
        "After the last epoch, mean ± standard deviation over seeds",
        columns,
        rows,
        folded="End values",
    )


# --------------------------------------------------------------------------------------------------
# 3.1, 3.2


def layers(study: Study) -> dict:
    return section(
        "section-3-1",
        "3.1",
        "How many layers and units",
        text(
            "One class at a time, the number of hidden layers, of units or filters, and the kernel are changed; "
            "all else stays as in Table 1."
        ),
        curve_item(
            study,
            9,
            "Stacked linear layers can express no more than one; what differs is how they learn.",
        ),
        curve_item(study, 10),
        search(study),
        curve_item(study, 11),
        curve_item(study, 12),
        curve_item(study, 13),
        level=3,
    )


def search(study: Study) -> dict:
    """The learning-rate search of models 6 and 7: do they move at all, and where do they end?"""
    rows = []
    for name, spec in LEARNING_RATE_SEARCH.items():
        runs = study.chosen.get(name, [])
        done = [run for run in runs if finished(run)]
        alive = [float((run.logits["validation"] > 0).mean()) for run in done]
        dead = sum(map(is_dead, done))
        losses = [run.history["train_loss"][-1] for run in done]
        accuracy = [100 * run.history["validation_accuracy"][-1] for run in done]
        rows.append(
            [
                name.split("@")[0],
                name.split("@")[1],
                seeds(runs) or cell("not trained", badge="none"),
                f"{dead} of {len(done)}" if done else "–",
                len(runs) - len(done) if runs else "–",
                f"{100 * np.mean(alive):.1f}" if done else "–",
                plus_minus(losses, 3),
                plus_minus(accuracy, 1),
            ]
        )
    columns = [
        "Model",
        ">Learning rate",
        "Seeds",
        ">Dead",
        ">Diverged",
        ">Validation logits above 0, %",
        ">Final training loss",
        ">Validation accuracy, %",
    ]
    return item(
        study,
        "learning-rates",
        "Section 3.1",
        "Models 6 and 7 at five learning rates",
        table("MLPs with 2 and 3 hidden layers, epochs and all else as in Table 1", columns, rows),
        text(
            "A net is dead when it gives no validation image a logit above 0: every output is cut off at 0, each "
            f"image gets the probability ½, and the loss stays at ln 2 = {math.log(2):.3f}, whatever the learning "
            "rate. With a ReLU after the last layer no gradient passes from such outputs, so nothing can revive "
            "it. A dead net calls every image normal: its accuracy is the share of normal images, its precision "
            "0/0, which counts as 0."
        ),
        models=list(LEARNING_RATE_SEARCH),
    )


def weights(study: Study) -> dict:
    adam = []
    for model in ("17", "18", "19"):
        runs = study.chosen.get(model, [])
        done = [run for run in runs if finished(run)]
        dead = sum(map(is_dead, done))
        losses = [run.history["validation_loss"] for run in runs if run.history["validation_loss"]]
        adam.append(
            [
                model,
                MODELS[model].family,
                seeds(runs) or cell("not trained", badge="none"),
                dead if done else "–",
                len(runs) - len(done) if runs else "–",
                plus_minus([max(line) for line in losses], 3),
                plus_minus([line[-1] for line in losses], 3),
                plus_minus([100 * run.history["validation_accuracy"][-1] for run in done], 1),
            ]
        )
    columns = [
        "Model",
        "Class",
        "Seeds",
        ">Dead",
        ">Diverged",
        ">Highest validation loss",
        ">Last validation loss",
        ">Last validation accuracy, %",
    ]
    return section(
        "section-3-2",
        "3.2",
        "Weighted loss, and Adam",
        text(
            "A weighted loss counts a pneumonia image less (in the paper as 0.37 of a normal one), so its height "
            "cannot be compared with an unweighted loss; shapes and accuracies can."
        ),
        curve_item(study, 14),
        curve_item(study, 15),
        curve_item(study, 16),
        curve_item(
            study,
            17,
            "The paper's caption names models 0 and 19; 19 is a CNN. The linear model with Adam is "
            "17, which is weighted, so its twin is 14. Model 0 is added for reference.",
        ),
        item(
            study,
            "adam",
            "Section 3.2",
            "The three models with Adam",
            table(
                "Validation of the Adam models, mean ± standard deviation over seeds", columns, adam
            ),
            models=["17", "18", "19"],
        ),
        level=3,
    )


# --------------------------------------------------------------------------------------------------
# 3.3 to 3.6


def epochs(study: Study) -> dict:
    if "20" in study.summaries:
        drawing = [
            plot(
                figures.confusion(
                    "fig-18",
                    "Confusion matrix of model 20 on the test split",
                    study.summaries["20"],
                    paper.CONFUSION_20,
                ),
                "fig-18",
            )
        ]
    else:
        drawing = []
    images = (
        sum(study.summaries["20"].scores[0][key] for key in ("tn", "fp", "fn", "tp"))
        if drawing
        else 0
    )
    printed = sum(paper.CONFUSION_20.values())
    note = "Counts of test images, mean ± standard deviation over seeds; the paper's single run beside them."
    if drawing and images != printed:
        note += f" This test split holds {images:,} images, the paper's {printed:,}, so the counts cannot be compared."
    return section(
        "section-3-3",
        "3.3",
        "More epochs",
        text(
            "The settings chosen so far, one model a class, trained for 50 epochs with a plain and a weighted loss "
            "and then tested."
        ),
        item(
            study,
            "fig-18",
            "Figure 18",
            "Confusion matrix of model 20",
            *drawing,
            models=["20"],
            note=note,
        ),
        curve_item(study, 19),
        score_item(study, 20, "Test scores after 50 epochs, batches of 32"),
        bar_item(
            study,
            21,
            "Accuracy and F1, plain and weighted, batches of 32",
            ("plain loss", "weighted loss"),
        ),
        level=3,
    )


def batches(study: Study) -> dict:
    return section(
        "section-3-4",
        "3.4",
        "Batches of 64",
        text("The same six models with batches twice as large, for 60 epochs."),
        curve_item(study, 22),
        score_item(study, 23, "Test scores after 60 epochs, batches of 64"),
        bar_item(
            study,
            24,
            "Accuracy and F1, plain and weighted, batches of 64",
            ("plain loss", "weighted loss"),
        ),
        level=3,
    )


def regularised(study: Study) -> dict:
    return section(
        "section-3-5",
        "3.5",
        "L2 regularisation",
        text(
            "The three plain models of 60 epochs again, with a weight decay of 0.1. SGD shrinks each weight by "
            "learning rate × decay a step: at the CNN's learning rate of 1e-2 that is a strong pull, at 1e-4 "
            "hardly any."
        ),
        score_item(study, 25, "Test scores with L2"),
        curve_item(study, 26),
        bar_item(study, 27, "Accuracy and F1 without and with L2", ("without L2", "with L2")),
        level=3,
    )


def score_item(study: Study, number: int, title: str) -> dict:
    """A table of test scores, ours sorted by F1, the paper's row beneath each of ours."""
    models = paper.TABLES[number]
    there = sorted(
        (model for model in models if model in study.summaries),
        key=lambda model: -study.summaries[model].mean["f1"],
    )
    rows = []
    for model in there:
        spec, summary, printed = MODELS[model], study.summaries[model], paper.SCORES[model]
        head = [f"{model}", spec.family, "yes" if spec.class_weight else "no"]
        rows.append(
            [
                *head,
                "ours",
                *(spread(summary, key) for key in ("precision", "recall", "f1", "accuracy")),
                spread(summary, "batch_mean_accuracy"),
            ]
        )
        rows.append(
            [
                *(cell(part, paper=True) for part in head),
                cell("paper", paper=True),
                *(cell(f"{printed[key]:.1f}", paper=True) for key in ("precision", "recall", "f1")),
                cell("–", paper=True),
                cell(f"{printed['accuracy']:.1f}", paper=True),
            ]
        )
    columns = [
        "Model",
        "Class",
        "Weighted",
        "Whose",
        ">Precision, %",
        ">Recall, %",
        ">F1, %",
        ">Accuracy, %",
        ">Accuracy, batch mean, %",
    ]
    rank = " > ".join(models)
    return item(
        study,
        f"fig-{number}",
        f"Figure {number}",
        title,
        table("Test scores, sorted by our F1", columns, rows, sortable=True) if rows else None,
        models=models,
        note=f"The paper's order by F1 is {rank}"
        + (f"; ours is {' > '.join(there)}." if len(there) > 1 else "."),
    )


def bar_item(study: Study, number: int, title: str, tones: tuple[str, str]) -> dict:
    models = [model for pair in paper.BARS[number] for model in pair]
    name = f"fig-{number}"
    groups = [(MODELS[pair[0]].family, list(pair)) for pair in paper.BARS[number]]
    blocks = []
    if any(model in study.summaries for model in models):
        blocks = [plot(bars(name, title, study, paper.SCORES, groups, tones), name)]
    return item(
        study,
        name,
        f"Figure {number}",
        title,
        *blocks,
        models=models,
        note="Each bar rises from the score of a model that always says pneumonia, so its height is what "
        "was learned. The paper's accuracy is its batch mean.",
    )


def duration(study: Study) -> dict:
    runs, words = timed_alike(study.runs), ""
    there = [model for model in paper.DURATIONS[28] if runs.get(model)]
    missing = [model for model in paper.DURATIONS[28] if model not in there]
    blocks = []
    if there:
        rows = [(model, runs[model]) for model in there]
        blocks.append(
            plot(figures.durations("fig-28", "Training time of the three classes", rows), "fig-28")
        )
        first = runs[there[0]][0]
        words = (
            f" Here: {first.image_size}×{first.image_size} pixels, {first.precision}, "
            f"{first.environment.get('threads', '?')} threads, {first.spec.epochs} epochs."
        )
        if "26b" in there and len(there) > 1:
            means = {model: np.mean(list(map(seconds_of, runs[model]))) for model in there}
            ratios = [
                f"{means['26b'] / means[model]:.1f} times as long as {model}"
                for model in there
                if model != "26b"
            ]
            words += f" The CNN, 26b, takes {' and '.join(ratios)}."
    shown = [run for model in there for run in runs[model]]
    fast = {
        model: [
            run.environment["seconds"]
            for run in study.chosen.get(model, [])
            if run.engine == "gram"
        ]
        for model in ("27b", "28b")
    }
    exact = [f"{model} in {np.mean(values):.3g} s" for model, values in fast.items() if values]
    if exact:
        words += (
            " Trained the exact way in sample space, which gives the same numbers, the others take far less: "
            + " and ".join(exact)
            + "."
        )
    return section(
        "section-3-6",
        "3.6",
        "Training time",
        item(
            study,
            "fig-28",
            "Figure 28",
            "Training time with 60 epochs, batches of 64 and L2",
            *blocks,
            runs=shown,
            missing=missing,
            needs=["--engine", "direct"],
            note="All with the plain training loop and alike in image size, precision, threads and device. "
            "The paper's figure prints no numbers." + words,
        ),
        level=3,
    )


# ---------------------------------------------------------------------------------------------------- 4, 5


def conclusions(study: Study, verdicts: list) -> dict:
    """Section 4: the paper's closing claims and what became of them."""
    closing = [verdict for verdict in verdicts if verdict.section == "4"]
    rows = [
        [
            cell(verdict.id, href=f"#claim-{verdict.id.lower()}"),
            verdict.claim,
            verdict.figures,
            badge(verdict),
        ]
        for verdict in closing
    ]
    return section(
        "section-4",
        "4",
        "Conclusions",
        text(
            "The paper closes with four statements. Each is judged here by a rule fixed beforehand; the rule stands "
            "with [all verdicts](#claims)."
        ),
        table(
            "The paper's conclusions",
            ["Claim", "In our words", "What we measured", "Verdict"],
            rows,
        ),
    )


BADGES = {"holds": "good", "does not hold": "bad", "within noise": "open", "not run": "none"}


def badge(verdict) -> dict:
    """A verdict as a coloured word."""
    return cell(verdict.verdict, badge=BADGES[verdict.verdict])


def references() -> dict:
    rows = [
        [number, cell(entry.text, href=entry.url), entry.use]
        for number, entry in enumerate(paper.REFERENCES, 1)
    ]
    return section(
        "section-5",
        "5",
        "References",
        table("What this report rests on", ["No.", "Source", "Cited for"], rows),
    )

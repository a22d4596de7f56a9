"""Numbers, tables and pictures of the report's sections 3 to 5: this study beside the paper."""

import numpy as np

from xray import paper, report_figures, report_figures_curves
from xray.comparisons import timed_alike
from xray.paper import REFERENCES
from xray.report_items import BADGES, NOT_TRAINED, cell, item, plot, table
from xray.specs import LEARNING_RATE_SEARCH, MODELS
from xray.study import Study, finished, is_dead, plus_minus, seconds_of, seeds, with_spread

# What tells the models of a figure apart, in the order of paper.CURVES; none where they are drawn
# by class.
PANEL_WORDS = {
    9: ("1 layer", "2 layers", "3 layers"),
    10: ("5 units", "10 units", "20 units"),
    11: ("5 units", "10 units", "20 units"),
    12: ("5 filters", "10 filters", "20 filters"),
    13: ("3×3", "5×5"),
    14: ("plain", "weighted"),
    15: ("plain", "weighted"),
    16: ("plain", "weighted"),
    17: ("SGD, weighted", "Adam, weighted", "SGD, plain"),
    19: (),
    22: (),
    26: ("no L2", "L2"),
}
WEIGHTED = ("plain loss", "weighted loss")
BAR_TONES = {21: WEIGHTED, 24: WEIGHTED, 27: ("without L2", "with L2")}
ADAM = ("17", "18", "19")


def sections(study: Study, verdicts: list) -> tuple[dict, dict]:
    """The numbers that templates/3-findings.j2 and 4-conclusions.j2 say, and their items by id."""
    duration, timed, exact = _duration(study)
    orders = {number: _by_f1(study, models) for number, models in paper.TABLES.items()}
    one = study.summaries.get("20")
    numbers = {
        "orders": orders,
        "tested": len(one.runs[0].labels["test"]) if one else 0,
        "tested_in_paper": sum(paper.CONFUSION_20.values()),
        "timed": timed,
        "exact": exact,
    }
    confusion = None
    if one and one.learned:
        title = "Confusion matrix of model 20 on the test split"
        confusion = plot("fig-18", report_figures.confusion, title, one, paper.CONFUSION_20)
    items = {f"fig-{number}": _curves(study, number) for number in PANEL_WORDS}
    items |= {f"fig-{number}": _bars(study, number) for number in BAR_TONES}
    for number, ours in orders.items():
        rows = _score_table(study, ours)
        items[f"fig-{number}"] = item(study, paper.TABLES[number], table=rows)
    items |= {
        "learning-rates": item(study, list(LEARNING_RATE_SEARCH), table=_search(study)),
        "adam": item(study, ADAM, table=_adam(study)),
        "fig-18": item(study, paper.CONFUSIONS[18], plot=confusion),
        "fig-28": duration,
        "conclusions": {"table": _conclusions(verdicts)},
        "references": {"table": _reference_table()},
    }
    return numbers, items


def _curves(study: Study, number: int) -> dict:
    """One of the paper's curve figures: a picture, and its end values as a table."""
    models, words, name = paper.CURVES[number], PANEL_WORDS[number], f"fig-{number}"
    there = [model for model in models if model in study.chosen]
    if not there:
        return item(study, models)

    def line(model):
        return f"model {model}", study.chosen[model], report_figures.colour(MODELS[model])

    panels = []
    for model, word in zip(models, words):
        panels.append((f"Model {model}: {word}", [line(model)] if model in there else []))
    families = dict.fromkeys(MODELS[model].family for model in models)
    for family in families if not words else ():
        group = [model for model in there if MODELS[model].family == family]
        heading = f"{family}: {' and '.join(group)}" if group else family
        panels.append((heading, [line(model) for model in group]))
    title = f"Loss and accuracy by epoch of models {', '.join(there)}"
    drawn = plot(name, report_figures_curves.curves, title, panels)
    return item(study, models, plot=drawn, table=_ends(study, there))


def _ends(study: Study, models: list[str]) -> dict:
    rows = []
    for model in models:
        runs = study.chosen[model]
        row = [model, seeds(runs), runs[0].spec.epochs]
        for key in ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy"):
            factor, digits = (100, 1) if "accuracy" in key else (1, 3)
            last = [factor * run.history[key][-1] for run in runs if run.history[key]]
            row.append(plus_minus(last, digits))
        rows.append(row)
    names = (
        "Model | Seeds | >Epochs | >Training loss | >Validation loss | >Training accuracy, %"
        " | >Validation accuracy, %"
    )
    return table(names, rows)


def _search(study: Study) -> dict:
    """The learning-rate search of models 6 and 7: do they move at all, and where do they end?"""
    rows = []
    for name in LEARNING_RATE_SEARCH:
        runs = study.chosen.get(name, [])
        done = [run for run in runs if finished(run)]
        alive = [float((run.logits["validation"] > 0).mean()) for run in done]
        row = [
            *name.split("@"),
            seeds(runs) or NOT_TRAINED,
            f"{sum(map(is_dead, done))} of {len(done)}" if done else "–",
            len(runs) - len(done) if runs else "–",
            f"{100 * np.mean(alive):.1f}" if done else "–",
            plus_minus([run.history["train_loss"][-1] for run in done], 3),
            plus_minus([100 * run.history["validation_accuracy"][-1] for run in done], 1),
        ]
        rows.append(row)
    names = (
        "Model | >Learning rate | Seeds | >Dead | >Diverged | >Validation logits above 0, %"
        " | >Final training loss | >Validation accuracy, %"
    )
    return table(names, rows)


def _adam(study: Study) -> dict:
    rows = []
    for model in ADAM:
        runs = study.chosen.get(model, [])
        done = [run for run in runs if finished(run)]
        losses = [run.history["validation_loss"] for run in runs if run.history["validation_loss"]]
        row = [
            model,
            MODELS[model].family,
            seeds(runs) or NOT_TRAINED,
            sum(map(is_dead, done)) if done else "–",
            len(runs) - len(done) if runs else "–",
            plus_minus([max(line) for line in losses], 3),
            plus_minus([line[-1] for line in losses], 3),
            plus_minus([100 * run.history["validation_accuracy"][-1] for run in done], 1),
        ]
        rows.append(row)
    names = (
        "Model | Class | Seeds | >Dead | >Diverged | >Highest validation loss"
        " | >Last validation loss | >Last validation accuracy, %"
    )
    return table(names, rows)


def _by_f1(study: Study, models: list[str]) -> list[str]:
    there = [model for model in models if model in study.summaries]
    return sorted(there, key=lambda model: -study.summaries[model].mean["f1"])


def _score_table(study: Study, models: list[str]) -> dict | None:
    """Test scores, the paper's row beneath each of ours; None where no model was tested."""
    rows = []
    for model in models:
        spec, summary, printed = MODELS[model], study.summaries[model], paper.SCORES[model]
        head = [model, spec.family, "yes" if spec.class_weight else "no"]
        keys = ("precision", "recall", "f1", "accuracy", "batch_mean_accuracy")
        rows.append([*head, "ours", *(with_spread(summary, key) for key in keys)])
        theirs = [f"{printed[key]:.1f}" for key in ("precision", "recall", "f1")]
        theirs += ["–", f"{printed['accuracy']:.1f}"]
        rows.append([cell(part, paper=True) for part in [*head, "paper", *theirs]])
    names = (
        "Model | Class | Weighted | Whose | >Precision, % | >Recall, % | >F1, % | >Accuracy, %"
        " | >Accuracy, batch mean, %"
    )
    return table(names, rows, sortable=True) if rows else None


def _bars(study: Study, number: int) -> dict:
    pairs, name, drawn = paper.BARS[number], f"fig-{number}", None
    models = [model for pair in pairs for model in pair]
    if any(model in study.summaries for model in models):
        groups = [(MODELS[pair[0]].family, list(pair)) for pair in pairs]
        title = f"Accuracy and F1 on the test split, {' and '.join(BAR_TONES[number])}"
        about = study, paper.SCORES, groups, BAR_TONES[number]
        drawn = plot(name, report_figures.bars, title, *about)
    return item(study, models, plot=drawn)


def _duration(study: Study) -> tuple[dict, dict, list]:
    """Figure 28; what its runs have in common, empty without any; (model, mean seconds) of those
    trained in sample space."""
    runs, drawn, timed = timed_alike(study.runs), None, {}
    there = [model for model in paper.DURATIONS[28] if runs.get(model)]
    missing = [model for model in paper.DURATIONS[28] if model not in there]
    if there:
        rows = [(model, runs[model]) for model in there]
        drawn = plot("fig-28", report_figures.durations, "Training time of the three classes", rows)
        means = {model: np.mean(list(map(seconds_of, runs[model]))) for model in there}
        cnn = means.pop("26b", None)
        first = runs[there[0]][0]
        timed = {
            "size": first.image_size,
            "precision": first.precision,
            "threads": first.environment.get("threads", "?"),
            "epochs": first.spec.epochs,
            "ratios": [(model, cnn / mean) for model, mean in means.items()] if cnn else [],
        }
    exact = []
    for model in ("27b", "28b"):
        fast = [run for run in study.chosen.get(model, []) if run.engine == "gram"]
        if fast:
            exact.append((model, np.mean([run.environment["seconds"] for run in fast])))
    shown = [run for model in there for run in runs[model]]
    direct = ["--engine", "direct"]
    return item(study, plot=drawn, runs=shown, missing=missing, needs=direct), timed, exact


def _conclusions(verdicts: list) -> dict:
    """The paper's closing claims and what became of them."""
    rows = []
    for verdict in verdicts:
        if verdict.section == "4":
            name = cell(verdict.id, href=f"#claim-{verdict.id.lower()}")
            badge = cell(verdict.verdict, badge=BADGES[verdict.verdict])
            rows.append([name, verdict.claim, verdict.figures, badge])
    return table("Claim | In our words | What we measured | Verdict", rows)


def _reference_table() -> dict:
    rows = [
        [number, cell(entry.text, href=entry.url), entry.use]
        for number, entry in enumerate(REFERENCES, 1)
    ]
    return table("No. | Source | Cited for", rows)

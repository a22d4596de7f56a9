"""The paper's sections 2 to 5: its figures and tables, each with the paper's value beside ours."""

import math

import numpy as np
import pandas as pd
from markupsafe import Markup

from xray import comparisons, curves, models, paper, report_plots
from xray.comparisons import printed
from xray.data_choices import SPLITS
from xray.intervals import wilson_of_groups
from xray.items import (
    ALL,
    FAMILIES,
    Item,
    item,
    learned_rows,
    listed,
    numbers,
    percent,
    plus_minus,
    span,
    tested,
    two_formats,
    what_it_is,
)
from xray.report_plots import Line, Mark, colour_of, dots
from xray.specs import IMAGE_SIZE, LEARNING_RATE_SEARCH, MODELS, TABLE_1, TABLE_2
from xray.study import EVALUATED, Study, seconds_of

CLASS_NAMES = ("NORMAL", "PNEUMONIA")
ADAM = ("17", "18", "19")
RATES = ("1e-1", "1e-2", "1e-3", "1e-4", "1e-5")
NO_FACTS = "The description of the data (data.json) does not lie beside these records."


# ---- 2.1 The data set


@item("splits", "Images by split and class")
def splits(study: Study) -> Item:
    if "counts" not in study.facts:
        return Item(missing=NO_FACTS)
    rows = []
    for part in SPLITS:
        counts = study.facts["counts"][part]
        rows.append(
            {
                "Split": part,
                "Images": f"{study.facts['splits'][part]:,}",
                "Images in the paper": f"{paper.SPLIT_SIZES[part]:,}",
                "Normal": f"{counts.get('NORMAL', 0):,}",
                "Pneumonia": f"{counts.get('PNEUMONIA', 0):,}",
            }
        )
    return Item(table=rows)


@item("fig-1", "One record of the data set")
def one_record(study: Study) -> Item:
    if "counts" not in study.facts:
        return Item(missing=NO_FACTS)
    entry = study.facts["sample"]
    name = CLASS_NAMES[entry["label"]]
    listing = [
        f"path   {' '.join(entry['path'].split())}",
        f"image  mode {entry['mode']}, {entry['width']}×{entry['height']} pixels",
        f"label  {entry['label']} ({name})",
    ]
    return Item(listing="\n".join(listing))


@numbers("audit")
def audit(study: Study) -> dict:
    """What the audit of the images found, in words, each with its number; those that are not 0."""
    if "counts" not in study.facts:
        return {"known": False, "found": []}
    found = study.facts["audit"]
    counts = dict(study.facts.get("left_out", {}))
    counts["rows without an image"] = found["missing"]
    counts["images that cannot be decoded"] = len(found["unreadable"])
    for what in ("bytes", "pixels"):
        copies = found[f"identical_{what}"]
        counts[f"images that are copies of another, by their {what}"] = copies["surplus"]
        for pair, number in copies["across"].items():
            both = pair.replace("/", " and ")
            counts[f"sets of copies, by their {what}, that lie in both {both}"] = number
    conflicting = found["identical_pixels"]["conflicting"]
    counts["sets of identical images with different labels"] = conflicting
    return {"known": True, "found": [(what, number) for what, number in counts.items() if number]}


@item("fig-3", "Share of each class by split")
def class_shares(study: Study) -> Item:
    if "counts" not in study.facts:
        return Item(missing=NO_FACTS)
    rows, marks = [], []
    for part in SPLITS:
        counts = [study.facts["counts"][part].get(name, 0) for name in CLASS_NAMES]
        for panel, (name, count) in enumerate(zip(CLASS_NAMES, counts)):
            share = 100 * count / max(sum(counts), 1)
            rows.append([part, name, count, share])
            hue = ("linear-2", "linear")[panel]
            marks.append(Mark(part, share, colour=hue, kind="bar", panel=panel))
    words = "; ".join(f"{part}: {count:,} {name}" for part, name, count, _ in rows)
    normal, pneumonia = (row[2] for row in rows[:2])
    titles = ("normal, % of the split", "pneumonia, % of the split")
    return Item(
        picture=dots(marks, titles, {}, limits={panel: (0, 108) for panel in (0, 1)}),
        alt=f"Images of each class by split. {words}.",
        data=pd.DataFrame(rows, columns=["split", "class", "images", "percent"]),
        numbers={
            "pneumonia": pneumonia / max(normal + pneumonia, 1),
            "ratio": normal / max(pneumonia, 1),
        },
    )


# ---- 2.2 Preparation (Fig 4: report_films)


@item("fig-5", "Batches of each split")
def batches(study: Study) -> Item:
    sizes = study.facts.get("splits", {})
    rows = []
    for batch in (32, 64):
        for part in SPLITS:
            rows.append(
                {
                    "Batch size": batch,
                    "Split": part,
                    "Batches": -(-sizes[part] // batch) if sizes else "–",
                    "Batches in the paper": paper.BATCHES.get(batch, {}).get(part, "–"),
                    "Images in the last": (sizes[part] % batch or batch) if sizes else "–",
                }
            )
    return Item(table=rows)


# ---- 2.3 The experiment


@item(
    "sizes",
    "CNNs at 640×640 and at the smaller size, with matched steps",
    again="python scripts/train.py --model 26b --image-size 640",
)
def sizes(study: Study) -> Item:
    found = comparisons.sizes_compared(study)
    if not found:
        return Item(numbers={"models": 0})
    small = f"{found[0].matched[0].image_size}×{found[0].matched[0].image_size}"
    shown = [run for one in found for run in (*one.full, *one.matched)]
    scores = study.scores.set_index(study.scores.run.map(id))
    series, rows, gaps = [], [], []
    for panel, one in enumerate(found):
        for runs, hue, words in ((one.matched, "cnn", small), (one.full, "ink", "640×640")):
            for run in runs:
                values = 100 * np.asarray(run.history["validation_accuracy"])
                epochs = np.arange(1, len(values) + 1)
                style = {"colour": hue, "words": words, "faint": hue == "cnn", "panel": panel}
                series.append(Line(epochs, values, **style))
        both = [scores.loc[[id(run) for run in runs]] for runs in (one.full, one.matched)]
        learned = [side[side.learned] for side in both]
        rows.append(_size_row(one, learned, small))
        gaps.append(100 * (learned[0].accuracy.mean() - learned[1].accuracy.mean()))
    return Item(
        picture=report_plots.lines(
            series,
            tuple(f"Model {one.model}" for one in found),
            x="epoch",
            y="validation accuracy, %",
            columns=4,
            height=1.8,
        ),
        alt="Validation accuracy by epoch at both sizes, one panel per CNN; the table sums it up.",
        table=pd.DataFrame(rows),
        caption=f"Runs at 640×640, then those at {small} that learned: mean ± standard deviation, "
        "accuracies in percent" + two_formats(shown, "all these runs"),
        numbers={
            "models": len(found),
            "small": small,
            "higher": sum(gap > 0 for gap in gaps),
            "gaps": [gap for gap in gaps if not math.isnan(gap)],
            "runs": sum(len(one.full) for one in found),
        },
    )


def _size_row(one, learned: list[pd.DataFrame], small: str) -> dict:
    """learned: the scores of its runs that learned, at 640×640 and at the smaller size."""
    row = {"Model": one.model}
    sides = {"640×640": (one.left_full, learned[0]), small: (one.left_matched, learned[1])}
    for size, (left, good) in sides.items():
        levels = [100 * curves.level(run.history["validation_accuracy"]) for run in good.run]
        epochs = sorted(epoch for epoch in left if epoch)
        never = ["never"] * (len(left) - len(epochs))
        row[f"{size}: leaves the plateau in epoch"] = ", ".join(map(str, epochs + never))
        row[f"{size}: level"] = plus_minus(levels)
        row[f"{size}: test accuracy"] = plus_minus(100 * good.accuracy)
    row["Agreement"] = "–" if math.isnan(one.agreement) else f"{one.agreement:.2f}"
    return row


def structure(study: Study, model: str) -> Item:
    """A net as PyTorch prints it, and its parameters at the sizes that its class has here."""
    spec = MODELS[model]
    of_class = study.models[study.models.family == spec.family]
    here = sorted(set(of_class.image_size) - {IMAGE_SIZE})
    counts = {
        size: models.parameter_count(models.build(spec, size, device="meta"))
        for size in (IMAGE_SIZE, *here)
    }
    return Item(listing=str(models.build(spec, device="meta")), numbers={"parameters": counts})


item("fig-6", "Linear model: one hidden layer of 10 units")(lambda study: structure(study, "0"))
item("fig-7", "MLP: the same with ReLU")(lambda study: structure(study, "5"))
item("fig-8", "CNN: two blocks of two convolutions")(lambda study: structure(study, "11"))


def specs_table(study: Study, specs: dict, decay: bool) -> Item:
    rows = []
    for spec in specs.values():
        there = spec.id in study.models.index
        about = study.models.loc[spec.id] if there else None
        row = {
            "Model": spec.id,
            "Class": spec.family,
            "Hidden layers": spec.hidden_layers,
            "Units or filters": spec.hidden_units,
            "Kernel": f"{spec.kernel_size}×{spec.kernel_size}" if spec.kernel_size else "–",
            "Weighted": "yes" if spec.class_weight else "no",
            "Optimizer": spec.optimizer,
            "Learning rate": f"{spec.learning_rate:.0e}".replace("e-0", "e-"),
            "Epochs": spec.epochs,
        }
        row |= {"Weight decay": f"{spec.weight_decay:g}"} if decay else {}
        row |= {"Seeds here": about.seeds if there else "not trained"}
        rows.append(row)
    return Item(table=pd.DataFrame(rows), models=tuple(specs))


@item("table-1", "The 26 models trained with batches of 32", again=ALL)
def table_1(study: Study) -> Item:
    return specs_table(study, TABLE_1, decay=False)


@item("table-2", "The 9 models trained with batches of 64", again=ALL)
def table_2(study: Study) -> Item:
    return specs_table(study, TABLE_2, decay=True)


@numbers("exact")
def exact_accuracies(study: Study) -> dict:
    """The paper's best model by the accuracy that its precision and recall imply."""
    best = max(EVALUATED, key=lambda model: printed(model, "accuracy"))
    return {"model": best, "exact": printed(best, "accuracy"), "printed": paper.SCORES[best]}


# ---- 3 Results: which runs learned


@numbers("learned")
def learned_on(study: Study) -> dict:
    """On which images runs were judged to have learned: those that lack a record of validation."""
    counts = study.scores.learned_on.value_counts()
    return {"on_test": int(counts.get("test", 0)), "runs": int(counts.sum())}


@item(
    "deaths", "Runs that learned nothing", again="python scripts/train.py --model 21 --seeds 0-19"
)
def deaths(study: Study) -> Item:
    """The MLPs, and each other model with such a run; the rest of each class together."""
    scores = study.scores
    runs = scores[(scores.kind == "given") & scores.chosen & scores.finished]
    runs = runs[runs.model.isin(MODELS)].assign(lost=~runs.learned)
    is_mlp = runs.family == "Linear+ReLU"
    alone = is_mlp | runs.groupby("model").lost.transform("any")
    groups = [
        *runs[alone].groupby("model", sort=False),
        *runs[~alone].groupby("family", sort=False),
    ]
    rows = [_lost_row(name, group) for name, group in groups]
    tested = runs.model.isin(EVALUATED)
    return Item(
        table=pd.DataFrame(rows),
        caption="Finished runs that did not learn, with Wilson's interval of their share, in which "
        "runs with the same starting weights count as one",
        numbers={
            "mlps": (runs.lost[tested & is_mlp].sum(), (tested & is_mlp).sum()),
            "others": (runs.lost[tested & ~is_mlp].sum(), (tested & ~is_mlp).sum()),
        },
    )


def _lost_row(name: str, runs: pd.DataFrame) -> dict:
    family = FAMILIES[runs.family.iloc[0]]
    _, low, high, _ = wilson_of_groups(runs.lost, runs.start)
    return {
        "Model": f"{name}, {family}" if name in MODELS else f"all other {family}",
        "Did not learn": f"{runs.lost.sum()} of {len(runs)}",
        "95 % interval, %": f"{100 * low:.0f}–{100 * high:.0f}",
        "Of those, dead": int(runs.dead.sum()),
    }


# ---- training curves

# figure -> its title, and what tells its models apart (in the order of paper.CURVES); those with
# nothing are drawn by class
CURVE_FIGURES = {
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


def curve_figure(study: Study, number: int) -> Item:
    shown, words = paper.CURVES[number], CURVE_FIGURES[number][1]
    there = [model for model in shown if model in study.chosen]
    if not there:
        return Item(models=tuple(shown))
    columns = [
        (f"Model {model}: {what}", [(model, colour_of(model))]) for model, what in zip(shown, words)
    ]
    for family, name in FAMILIES.items() if not words else ():
        group = [model for model in shown if MODELS[model].family == family]
        heading = f"{name}: {' and '.join(group)}"
        columns.append((heading, [(model, colour_of(model)) for model in group]))
    epochs = study.epochs[study.epochs.model.isin(there)]
    ends = epochs[epochs.learned].groupby(["model", "seed"]).validation_accuracy.last()
    ends = ends.groupby("model").mean()
    said = [f"{model}: {percent(ends[model])}" for model in there if model in ends.index]
    return Item(
        picture=report_plots.curves(study.epochs, columns),
        alt=f"Loss and accuracy by epoch of models {listed(there)}. Last validation accuracy, %: "
        f"{', '.join(said) or 'none learned'}.",
        data=epochs.drop(columns="family"),
        models=tuple(shown),
    )


for _number, (_title, _) in CURVE_FIGURES.items():
    item(f"fig-{_number}", _title)(lambda study, number=_number: curve_figure(study, number))


@item(
    "learning-rates",
    "Models 6 and 7 at five learning rates",
    again="python scripts/train.py --model 6 7 6@1e-1 6@1e-2 … --seeds 0-29",
)
def learning_rates(study: Study) -> Item:
    rows = []
    for model in ("6", "7"):
        for rate in RATES:
            # Table 1's own rate is that of the models themselves
            name = model if rate == "1e-4" else f"{model}@{rate}"
            rows.append({"Model": model, "Learning rate": rate} | _tried(study, name))
    learned = [row["Learned"] for row in rows]
    return Item(
        table=pd.DataFrame(rows, dtype=object).fillna("–"),
        caption="All else as in Table 1; mean ± standard deviation of the runs that learned",
        models=tuple(LEARNING_RATE_SEARCH),
        numbers={"none": sum(words.startswith("0 ") for words in learned), "settings": len(rows)},
    )


def _tried(study: Study, model: str) -> dict:
    """Of a model whose runs may not learn: how many did, where those end, the others."""
    if model not in study.chosen:
        return {"Learned": "–"}
    about = study.models.loc[model]
    last = study.epochs[(study.epochs.model == model) & study.epochs.learned]
    last = last.groupby("seed").last()
    return {
        "Learned": f"{about.learned} of {about.runs}",
        "Validation accuracy, %": plus_minus(100 * last.validation_accuracy),
        "Training loss": plus_minus(last.train_loss, 3),
        "Dead": about.dead,
        "Diverged": about.runs - about.finished,
    }


@item("adam", "The three models with Adam")
def adam(study: Study) -> Item:
    rows = []
    for model in ADAM:
        of_model = study.epochs[(study.epochs.model == model) & study.epochs.learned]
        highest = of_model.groupby("seed").validation_loss.max()
        row = {"Model": model, "Class": FAMILIES[MODELS[model].family]} | _tried(study, model)
        rows.append(row | {"Highest validation loss": plus_minus(highest, 3)})
    return Item(table=pd.DataFrame(rows, dtype=object).fillna("–"), models=ADAM)


# ---- test scores


@item("fig-18", "Confusion matrix of model 20 on the test split")
def confusion_20(study: Study) -> Item:
    good = learned_rows(study, "20")
    if good.empty:
        return Item(models=("20",))
    words = {"tn": "cleared", "fp": "false alarms", "fn": "missed", "tp": "found"}
    said = {
        cell: f"{plus_minus(good[cell])} {what} (the paper: {paper.CONFUSION_20[cell]})"
        for cell, what in words.items()
    }
    data = good[list(words)].agg(["mean", "std"]).T.assign(paper=pd.Series(paper.CONFUSION_20))
    return Item(
        table=[
            {"True class": "normal", "Called normal": said["tn"], "Called pneumonia": said["fp"]},
            {
                "True class": "pneumonia",
                "Called normal": said["fn"],
                "Called pneumonia": said["tp"],
            },
        ],
        caption="Counts of test images: mean ± standard deviation of "
        f"{len(good)} runs; the paper's of one run",
        data=data.rename_axis("count").reset_index(),
        models=("20",),
        numbers={
            "tested": int(data["mean"].sum().round()),
            "of_paper": sum(paper.CONFUSION_20.values()),
        },
    )


SCORE_FIGURES = {
    20: "Test scores after 50 epochs, batches of 32",
    23: "Test scores after 60 epochs, batches of 64",
    25: "Test scores with L2",
}
SCORE_NAMES = {
    "f1": "F1, %",
    "accuracy": "Accuracy, %",
    "batch_mean_accuracy": "Accuracy, batch mean, %",
    "precision": "Precision, %",
    "recall": "Recall, %",
}


def score_figure(study: Study, number: int) -> Item:
    """Our row, the interval in brackets, above the paper's, sorted by our F1."""
    there = [model for model in paper.TABLES[number] if model in tested(study, "finished")]
    f1 = {model: np.nan_to_num(study.summary.loc[model, "f1"]["mean"]) for model in there}
    order = sorted(there, key=f1.get, reverse=True)
    rows = []
    for model in order:
        about = study.models.loc[model]
        ours = {"Model": f"{model} · {what_it_is(model)}"}
        theirs = {"Model": "paper"}
        for score, name in SCORE_NAMES.items():
            row = study.summary.loc[model, score]
            value = paper.SCORES[model].get(score, math.nan) / 100
            if score == "accuracy":
                value = printed(model, "accuracy")
            if score == "batch_mean_accuracy":
                value = paper.SCORES[model]["accuracy"] / 100
            ours[name] = percent(row["mean"])
            theirs[name] = percent(value)
            if score in ("f1", "accuracy") and not math.isnan(row["low"]):
                ours[name] = span(row["mean"], row["low"], row["high"])
                low, high, rounded = (round(100 * x, 1) for x in (row["low"], row["high"], value))
                inside = "inside" if low <= rounded <= high else "outside"
                theirs[name] = Markup(f"{percent(value)} **{inside}**")
        ours["Learned"], theirs["Learned"] = f"{about.learned} of {about.finished}", ""
        rows += [ours, theirs]
    data = study.summary.loc[order].reset_index() if order else None
    return Item(
        table=rows,
        caption="Mean of the runs that learned (95 % interval of one run); the paper's value, "
        "inside or outside it",
        data=data,
        models=tuple(paper.TABLES[number]),
        numbers={"ours": order, "paper": paper.TABLES[number]},
    )


for _number, _title in SCORE_FIGURES.items():
    item(f"fig-{_number}", _title)(lambda study, number=_number: score_figure(study, number))


BAR_FIGURES = {
    21: ("Accuracy and F1, plain and weighted, batches of 32", "plain loss", "weighted loss"),
    24: ("Accuracy and F1, plain and weighted, batches of 64", "plain loss", "weighted loss"),
    27: ("Accuracy and F1 without and with L2", "without L2", "with L2"),
}


def bar_figure(study: Study, number: int) -> Item:
    title, first, second = BAR_FIGURES[number]
    shown = [model for pair in paper.BARS[number] for model in pair]
    there = [model for model in shown if model in tested(study, "finished")]
    if not there:
        return Item(models=tuple(shown))
    marks, scores = [], ("accuracy", "f1")
    for place, model in enumerate(shown):
        name = f"{model} · {what_it_is(model)}"
        hue = report_plots.colour(MODELS[model], light=bool(place % 2))
        for panel, score in enumerate(scores):
            if model in there:
                three = 100 * study.summary.loc[(model, score), ["mean", "low", "high"]]
                marks.append(Mark(name, *three, colour=hue, kind="bar", panel=panel))
            theirs = 100 * printed(model, score)
            marks.append(Mark(name, theirs, colour="paper", kind="D", filled=False, panel=panel))
    legend = {
        f"{first} (line: 95 % interval)": Mark("", 0, colour="linear", kind="bar"),
        second: Mark("", 0, colour="linear-2", kind="bar"),
        "the paper": Mark("", 0, colour="paper", kind="D", filled=False),
    }
    data = study.summary.loc[there].reset_index()
    always = [100 * study.baseline[score] for score in scores]
    return Item(
        picture=dots(marks, ("Accuracy, %", "F1, %"), legend, base=always),
        alt=f"{title}; the values stand in the tables of test scores.",
        data=data[data.score.isin(scores)],
        models=tuple(shown),
    )


for _number, (_title, *_) in BAR_FIGURES.items():
    item(f"fig-{_number}", _title)(lambda study, number=_number: bar_figure(study, number))


@item(
    "fig-28",
    "Training time with 60 epochs, batches of 64 and L2",
    again="python scripts/train.py --model 26b 27b 28b --engine direct",
)
def durations(study: Study) -> Item:
    runs = comparisons.timed_alike(study.runs)
    shown = paper.DURATIONS[28]
    there = [model for model in shown if runs.get(model)]
    if not there:
        return Item(models=tuple(shown), missing="Not timed yet, all three alike.")
    seconds = {model: [seconds_of(run) for run in runs[model]] for model in there}
    means = {model: float(np.mean(values)) for model, values in seconds.items()}
    marks = []
    for model, values in seconds.items():
        name = f"{model} · {what_it_is(model)}"
        marks.append(Mark(name, means[model], colour=colour_of(model), kind="bar"))
        marks += [Mark(name, value, faint=True) for value in values]
    exact = []  # those of the other figures
    for model in ("27b", "28b"):
        fast = [run for run in study.chosen.get(model, []) if run.engine == "gram"]
        if fast:
            mean = float(np.mean([run.environment["seconds"] for run in fast]))
            exact.append((model, mean, fast[0].image_size))
    said = "; ".join(f"model {model} {mean:.1f} s" for model, mean in means.items())
    missing = [model for model in shown if model not in there]
    first = runs[there[0]][0]
    return Item(
        picture=dots(marks, ("seconds of training",), {"a run": Mark("", 0, faint=True)}),
        alt=f"Training time of the three classes: {said}.",
        data=pd.DataFrame(
            [[model, value] for model in there for value in seconds[model]],
            columns=["model", "seconds"],
        ),
        missing=f"Not timed yet: {', '.join(missing)}." if missing else "",
        numbers={
            "size": first.image_size,
            "precision": first.precision,
            "threads": first.environment.get("threads", "?"),
            "epochs": first.spec.epochs,
            "ratios": [
                (model, means["26b"] / mean)
                for model, mean in means.items()
                if model != "26b" and "26b" in means
            ],
            "exact": exact,
        },
    )

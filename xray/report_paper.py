"""The paper's sections 2 to 5: its figures and tables, each with the paper's value beside ours."""

import math

import numpy as np
import pandas as pd
from markupsafe import Markup

from xray import comparisons, curves, data_phantoms, models, paper, report_plots
from xray.comparisons import printed
from xray.data_sources import SPLITS
from xray.intervals import wilson_of_groups
from xray.items import Item, item, listed, numbers, percent, plus_minus, span
from xray.report_films import films_of
from xray.report_plots import COLOURS, Bar, Line
from xray.specs import IMAGE_SIZE, KNOWN, LEARNING_RATE_SEARCH, MODELS, TABLE_1, TABLE_2
from xray.study import EVALUATED, Study

CLASS_NAMES = ("NORMAL", "PNEUMONIA")
FAMILIES = {"Linear": "Linear", "Linear+ReLU": "MLP", "CNN": "CNN"}  # as they are called in prose
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


@item("fig-2", "The image of that record")
def its_image(study: Study) -> Item:
    film, words = _first_film(study)
    return Item(picture=_png(film), alt=words, numbers={"shown": words})


def _first_film(study: Study) -> tuple[np.ndarray, str]:
    """The training split's first film, uint8 (S, S), where it may be shown, else a phantom; and
    what it is, in words."""
    if "film" in study.told:  # by a person who has the data
        return study.told["film"], "The film of that record."
    boxed = films_of(study)
    if boxed is not None:
        words = "The film of that record, CC BY 4.0 (Kermany et al.), brought to 64×64."
        return boxed.train.images[0, 0], words
    words = "A phantom, drawn in place of the film: its licence is not known. With --data SOURCE "
    return data_phantoms.draw(0, False, 320), words + "scripts/report.py shows the film itself."


def _png(film: np.ndarray) -> bytes:
    figure = report_plots.Figure(figsize=(2.4, 2.4))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(film, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_axis_off()
    return report_plots.save(figure, "png")


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
            apart = pair.replace("/", " and ")
            counts[f"sets of copies, by their {what}, that lie in both {apart}"] = number
    conflicting = found["identical_pixels"]["conflicting"]
    counts["sets of identical images with different labels"] = conflicting
    return {"known": True, "found": [(what, number) for what, number in counts.items() if number]}


@item("fig-3", "Share of each class by split")
def class_shares(study: Study) -> Item:
    if "counts" not in study.facts:
        return Item(missing=NO_FACTS)
    rows, groups = [], []
    for part in SPLITS:
        counts = [study.facts["counts"][part].get(name, 0) for name in CLASS_NAMES]
        shares = [100 * count / max(sum(counts), 1) for count in counts]
        names = ("normal", "pneumonia")
        hues = ("linear-2", "linear") if part == "train" else ("none", "quiet")
        groups.append(
            [Bar(f"{n}\n{part}", share, hue) for n, share, hue in zip(names, shares, hues)]
        )
        rows += [[part, *row] for row in zip(CLASS_NAMES, counts, shares)]
    data = pd.DataFrame(rows, columns=["split", "class", "images", "percent"])
    words = "; ".join(f"{part}: {count:,} {name}" for part, name, count, _ in rows)
    normal, sick = (row[2] for row in rows[:2])
    return Item(
        picture=report_plots.bars([("Share of the split's images, %", groups)], height=2.4),
        alt=f"Share of each class by split. {words}.",
        data=data,
        numbers={"pneumonia": sick / max(normal + sick, 1), "ratio": normal / max(sick, 1)},
    )


# ---- 2.2 Preparation


@item("fig-4", "The image after preparation")
def prepared_image(study: Study) -> Item:
    film, words = _first_film(study)
    sizes = sorted({run.image_size for run in study.runs}, reverse=True)
    about = {
        "size": film.shape[0],
        "lowest": film.min() / 255,
        "highest": film.max() / 255,
        "sizes": [f"{size}×{size}" for size in sizes],
    }
    return Item(picture=_png(film), alt=words, numbers=about)


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


@item("sizes", "CNNs at 640×640 and at the smaller size, with matched steps")
def sizes(study: Study) -> Item:
    found = comparisons.sizes_compared(study)
    if not found:
        return Item(numbers={"models": 0})
    small = f"{found[0].matched[0].image_size}×{found[0].matched[0].image_size}"
    series, rows = [], []
    for panel, one in enumerate(found):
        for runs, hue, words in ((one.matched, "cnn", small), (one.full, "ink", "640×640")):
            for run in runs:
                values = 100 * np.asarray(run.history["validation_accuracy"])
                epochs = np.arange(1, len(values) + 1)
                style = {"colour": hue, "words": words, "faint": hue == "cnn", "panel": panel}
                series.append(Line(epochs, values, **style))
        rows.append(_size_row(study, one, small))
    titles = tuple(f"Model {one.model}" for one in found)
    axes = {"x": "epoch", "y": "validation accuracy, %"}
    names = " ".join(one.model for one in found)
    agreement = "; ".join(f"model {one.model}: {one.agreement:.2f}" for one in found)
    return Item(
        picture=report_plots.lines(series, titles, **axes, columns=4, height=1.8),
        alt=f"Validation accuracy by epoch at both sizes, one panel a CNN. Agreement: {agreement}.",
        table=pd.DataFrame(rows),
        caption="Accuracies in percent; of test accuracy and level, mean ± standard deviation of "
        "the runs that learned.",
        again=f"python scripts/train.py --model {names} --image-size 640",
        numbers={"models": len(found), "small": small},
    )


def _size_row(study: Study, one, small: str) -> dict:
    row = {"Model": one.model}
    scores = study.scores.set_index(study.scores.run.map(id))
    sides = {"640×640": (one.full, one.left_full), small: (one.matched, one.left_matched)}
    for size, (runs, left) in sides.items():
        mine = scores.loc[[id(run) for run in runs]]
        good = mine[mine.learned]
        levels = [100 * curves.level(run.history["validation_accuracy"]) for run in good.run]
        epochs = sorted(epoch for epoch in left if epoch)
        never = ["never"] * (len(left) - len(epochs))
        row[f"Leaves the plateau in epoch, {size}"] = ", ".join(map(str, epochs + never))
        row[f"Level, {size}"] = plus_minus(levels)
        row[f"Test accuracy, {size}"] = plus_minus(100 * good.accuracy)
        row[f"Learned, {size}"] = f"{len(good)} of {len(mine)}"
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
        row |= {"Image size here": about.image_size if there else "–"}
        rows.append(row)
    return Item(table=pd.DataFrame(rows), models=tuple(specs))


@item("table-1", "The 26 models trained with batches of 32")
def table_1(study: Study) -> Item:
    return specs_table(study, TABLE_1, decay=False)


@item("table-2", "The 9 models trained with batches of 64")
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


@item("deaths", "Runs that learned nothing")
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
        caption="Finished runs that did not learn, with Wilson's interval of their share; models "
        "of one structure share their starts, which count once",
        again="python scripts/train.py --model 21 --seeds 0-19",
        numbers={
            "mlps": (runs.lost[tested & is_mlp].sum(), (tested & is_mlp).sum()),
            "others": (runs.lost[tested & ~is_mlp].sum(), (tested & ~is_mlp).sum()),
        },
    )


def _lost_row(name: str, runs: pd.DataFrame) -> dict:
    family = FAMILIES[runs.family.iloc[0]]
    _, low, high, _ = wilson_of_groups(runs.lost, runs.start)
    return {
        "Model": name if name in MODELS else f"all other {family}",
        "Class": family,
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
    title, words = CURVE_FIGURES[number]
    shown = paper.CURVES[number]
    there = [model for model in shown if model in study.chosen]
    if not there:
        return Item(models=tuple(shown))
    hue = {model: colour_of(model) for model in shown}
    columns = [
        (f"Model {model}: {what}", [(model, hue[model])]) for model, what in zip(shown, words)
    ]
    for family in FAMILIES if not words else ():
        group = [model for model in shown if MODELS[model].family == family]
        columns.append((f"{FAMILIES[family]}: {' and '.join(group)}", [(m, hue[m]) for m in group]))
    ends = last_epochs(study, there)
    return Item(
        picture=report_plots.curves(study.epochs, columns),
        alt=f"Loss and accuracy by epoch of models {listed(there)}.",
        data=study.epochs[study.epochs.model.isin(there)].drop(columns=["family", "seconds"]),
        models=tuple(shown),
        numbers={"ends": ends.set_index("model").validation_accuracy.to_dict()},
    )


for _number, (_title, _) in CURVE_FIGURES.items():
    item(f"fig-{_number}", _title)(lambda study, number=_number: curve_figure(study, number))


def colour_of(model: str) -> str:
    spec = KNOWN[model]
    return report_plots.colour(spec, light=spec.class_weight)


def last_epochs(study: Study, wanted) -> pd.DataFrame:
    """A row a model: the means of the four curves after the last epoch, over the runs that
    learned; epochs, learned, runs."""
    rows = []
    for model in wanted:
        last = study.epochs[study.epochs.model == model].groupby("seed").last()
        good = last[last.learned]
        means = good[["validation_accuracy", "train_accuracy", "validation_loss", "train_loss"]]
        counts = {"epochs": last.epoch.max(), "learned": len(good), "runs": len(last)}
        rows.append({"model": model} | means.mean().to_dict() | counts)
    return pd.DataFrame(rows)


@item("learning-rates", "Models 6 and 7 at five learning rates")
def learning_rates(study: Study) -> Item:
    rows = []
    for model in ("6", "7"):
        for rate in RATES:
            # Table 1's own rate is that of the models themselves
            name = model if rate == "1e-4" else f"{model}@{rate}"
            rows.append({"Model": model, "Learning rate": rate} | _tried(study, name))
    learned = [row["Learned"] for row in rows]
    return Item(
        table=pd.DataFrame(rows),
        caption="MLPs with 2 and 3 hidden layers; epochs and all else as in Table 1. Mean ± "
        "standard deviation of the runs that learned.",
        models=tuple(LEARNING_RATE_SEARCH),
        again="python scripts/train.py --model 6 7 6@1e-1 6@1e-2 … --seeds 0-29",
        numbers={"none": sum(words.startswith("0 ") for words in learned), "settings": len(rows)},
    )


def _tried(study: Study, model: str) -> dict:
    """Of a model whose runs may not learn: how many did, where those end, the others."""
    if model not in study.chosen:
        return dict.fromkeys(
            ["Learned", "Validation accuracy, %", "Training loss", "Dead", "Diverged"], "–"
        )
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
    return Item(table=pd.DataFrame(rows), models=ADAM)


# ---- test scores


def tested(study: Study) -> list[str]:
    """The models that the paper tests, those with a finished run."""
    there = study.models.index[study.models.finished > 0]
    return [model for model in EVALUATED if model in there]


def runs_that_learned(study: Study, model: str) -> pd.DataFrame:
    """The rows of study.scores of a model's runs that are shown and learned."""
    scores = study.scores
    mine = (scores.model == model) & (scores.kind == "given")
    return scores[mine & scores.chosen & scores.learned]


@item("fig-18", "Confusion matrix of model 20 on the test split")
def confusion_20(study: Study) -> Item:
    cells = {"tn": "cleared", "fp": "false alarms", "fn": "missed", "tp": "found"}  # row by row
    if "20" not in study.models.index or not study.models.loc["20"].learned:
        return Item(models=("20",))
    scores = study.scores
    good = scores[
        (scores.model == "20") & (scores.kind == "given") & scores.chosen & scores.learned
    ]
    ours = {cell: plus_minus(good[cell]) for cell in cells}
    theirs = {cell: str(paper.CONFUSION_20[cell]) for cell in cells}
    figure, axes = report_plots.panels(1, 2, 2.7)
    means = good[list(cells)].mean()
    sides = ((f"This study, mean of {len(good)} runs", means, ours), ("The paper", None, theirs))
    for axis, (title, values, shown) in zip(axes[0], sides):
        values = [paper.CONFUSION_20[cell] for cell in cells] if values is None else values
        _matrix(axis, title, list(values), list(shown.values()), list(cells.values()))
    data = pd.DataFrame(
        [[cell, means[cell], good[cell].std(), paper.CONFUSION_20[cell]] for cell in cells],
        columns=["count", "mean", "standard_deviation", "paper"],
    )
    said = ", ".join(
        f"{ours[cell]} {words} (paper {theirs[cell]})" for cell, words in cells.items()
    )
    tested = int(means.sum().round())
    return Item(
        picture=figure,
        alt=f"Confusion matrix of model 20: {said}.",
        data=data,
        models=("20",),
        numbers={"tested": tested, "of_paper": sum(paper.CONFUSION_20.values())},
    )


def _matrix(axis, title: str, values: list, shown: list, words: list) -> None:
    for place, (value, number, what) in enumerate(zip(values, shown, words)):
        row, column = divmod(place, 2)
        box = [column, column + 1], 1 - row, 2 - row
        depth = 0.06 + 0.34 * value / max(values)
        axis.fill_between(*box, linewidth=0, color=COLOURS["linear"], alpha=depth)
        middle = {"ha": "center", "va": "center"}
        x, y = column + 0.5, 1.5 - row
        axis.text(x, y + 0.1, number, fontsize=12, fontweight="bold", **middle)
        axis.text(x, y - 0.2, what, color=COLOURS["quiet"], **middle)
    axis.set(xlim=(0, 2), ylim=(0, 2), xlabel="predicted", ylabel="true", title=title)
    axis.set_xticks([0.5, 1.5], ["normal", "pneumonia"])
    axis.set_yticks([1.5, 0.5], ["normal", "pneumonia"], rotation=90, va="center")
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)


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
    there = [model for model in paper.TABLES[number] if model in tested(study)]
    f1 = {model: np.nan_to_num(study.summary.loc[model, "f1"]["mean"]) for model in there}
    order = sorted(there, key=f1.get, reverse=True)
    rows = []
    for model in order:
        about, spec = study.models.loc[model], MODELS[model]
        what = FAMILIES[spec.family] + ", weighted" * spec.class_weight
        what += ", L2" * (spec.weight_decay > 0)
        ours = {"Model": f"{model} · {what}"}
        theirs = {"Model": "the paper's"}
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
        caption="Mean of the runs that learned (95 % interval of one run), and the paper's value, "
        "inside or outside that interval. Sorted by our F1.",
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
    pairs = paper.BARS[number]
    shown = [model for pair in pairs for model in pair]
    there = [model for model in shown if model in tested(study)]
    if not there:
        return Item(models=tuple(shown))
    columns = []
    for score, heading in (("accuracy", "Accuracy, %"), ("f1", "F1, %")):
        groups = [
            [_bar(study, model, score, light=model == pair[1]) for model in pair] for pair in pairs
        ]
        always = percent(study.baseline[score])
        columns.append((f"{heading} (always pneumonia: {always})", groups))
    data = study.summary.loc[there].reset_index()
    data = data[data.score.isin(["accuracy", "f1"])]
    hues = {first: "linear", second: "linear-2"}
    return Item(
        picture=report_plots.bars(
            columns, base=[100 * study.baseline[s] for s in ("accuracy", "f1")], legend=hues
        ),
        alt=f"{title}; the values stand in the tables of test scores.",
        data=data,
        models=tuple(shown),
    )


for _number, (_title, *_) in BAR_FIGURES.items():
    item(f"fig-{_number}", _title)(lambda study, number=_number: bar_figure(study, number))


def _bar(study: Study, model: str, score: str, light: bool) -> Bar:
    spec = MODELS[model]
    theirs = 100 * printed(model, score)
    hue = report_plots.colour(spec, light)
    if model not in tested(study):
        return Bar(f"{model}\nnot run", math.nan, hue, paper=theirs)
    about, row = study.models.loc[model], 100 * study.summary.loc[model, score]
    lost = f"{about.learned}/{about.finished}" if about.lost else ""
    words = f"{model}\n{FAMILIES[spec.family]}\n{lost}"
    return Bar(words, row["mean"], hue, row["low"], row["high"], theirs)


@item("fig-28", "Training time with 60 epochs, batches of 64 and L2")
def durations(study: Study) -> Item:
    runs = comparisons.timed_alike(study.runs)
    shown = paper.DURATIONS[28]
    there = [model for model in shown if runs.get(model)]
    again = "python scripts/train.py --model 26b 27b 28b --engine direct"
    if not there:
        return Item(models=tuple(shown), again=again, missing="Not timed yet, all three alike.")
    table = study.scores.set_index(study.scores.run.map(id))
    seconds = {
        model: [float(table.loc[id(run), "seconds"]) for run in runs[model]] for model in there
    }
    means = {model: float(np.mean(values)) for model, values in seconds.items()}
    bars = [
        Bar(f"{m}\n{FAMILIES[MODELS[m].family]}", means[m], colour_of(m), each=tuple(seconds[m]))
        for m in there
    ]
    first = runs[there[0]][0]
    ratios = [(m, means["26b"] / means[m]) for m in there if m != "26b" and "26b" in means]
    exact = []
    for model in ("27b", "28b"):
        fast = [run for run in study.chosen.get(model, []) if run.engine == "gram"]
        if fast:
            mean = np.mean([run.environment["seconds"] for run in fast])
            exact.append((model, float(mean), fast[0].image_size))
    said = "; ".join(f"model {model} {mean:.1f} s" for model, mean in means.items())
    missing = [model for model in shown if model not in there]
    return Item(
        picture=report_plots.bars([("Seconds of training", [[bar] for bar in bars])], height=2.6),
        alt=f"Training time of the three classes: {said}.",
        data=pd.DataFrame(
            [[m, value] for m in there for value in seconds[m]], columns=["model", "seconds"]
        ),
        again=again,
        missing=f"Not timed yet: {', '.join(missing)}." if missing else "",
        numbers={
            "size": first.image_size,
            "precision": first.precision,
            "threads": first.environment.get("threads", "?"),
            "epochs": first.spec.epochs,
            "ratios": ratios,
            "exact": exact,
        },
    )


# ---- 5 References


@item("references", "What this report rests on")
def references(study: Study) -> Item:
    rows = [
        {
            "Source": Markup(f"[{entry.text}]({entry.url})") if entry.url else entry.text,
            "Cited for": entry.use,
        }
        for entry in paper.REFERENCES
    ]
    return Item(table=rows)

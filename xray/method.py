"""The report's sections 1 and 2: what was studied, on which images, with which models."""

import numpy as np

from xray import curves, data_phantoms, models, paper, report_figures_curves
from xray import report_figures as figures
from xray import report_pictures as pictures
from xray.blocks import cell, code, images, item, plot, section, table, text
from xray.data_sources import SPLITS, shown
from xray.specs import IMAGE_SIZE, MODELS, TABLE_1, TABLE_2, ModelSpec
from xray.study import Study, on_test, plus_minus, seeds, sizes_compared

CLASS_NAMES = ("NORMAL", "PNEUMONIA")


def sections(study: Study, sample: np.ndarray | None) -> list[dict]:
    """Sections 1 to 2.4. sample: the data's first training image, uint8 (S, S), or None where it
    may not be shown.
    """
    return [
        introduction(),
        section(
            "section-2",
            "2",
            "Method",
            text(
                "Each model is trained from scratch on one data set. Every run leaves a record with its settings, its "
                "history and its logits for each validation and test image; all that follows is computed from these records."
            ),
        ),
        dataset(study, sample),
        preparation(study, sample),
        experiment(study),
        evaluation(study),
    ]


def introduction() -> dict:
    return section(
        "section-1",
        "1",
        "Introduction",
        text(
            "The paper asks how far simple networks get at telling pneumonia from a normal chest radiograph. It trains "
            "35 small PyTorch models of three classes (linear, MLP and CNN), changes one setting at a time, and finds "
            "that a single hidden layer of ten units already reaches an accuracy of about 93 % and an F1 score of about "
            "95 %."
        ),
        text(
            "This report repeats that study, figure by figure, under the paper's own numbers. Where the paper "
            "trains a model once, we train it with several seeds, because one run cannot tell an effect from luck. "
            "What the paper printed is always marked as the paper's and stands beside what we measured. After the "
            "paper's sections come the [verdicts on its claims](#claims) and what its scores leave unsaid."
        ),
    )


# ------------------------------------------------------------------------------------------------
# 2.1, 2.2: data


def dataset(study: Study, sample) -> dict:
    facts = study.facts
    if not facts:
        return section(
            "section-2-1",
            "2.1",
            "The data set",
            _no_facts(),
            *[
                item(study, f"fig-{n}", f"Figure {n}", title, _no_facts())
                for n, title in (
                    (1, "One record of the data set"),
                    (2, "The image of that record"),
                    (3, "Classes of the training split"),
                )
            ],
            level=3,
        )
    entry = facts["sample"]
    record = (
        f"path   {shown(entry['path'])}\nimage  mode {entry['mode']}, {entry['width']}×{entry['height']} pixels\n"
        f"label  {entry['label']} ({CLASS_NAMES[entry['label']]})"
    )
    sizes = [
        [
            part,
            f"{facts['splits'][part]:,}",
            *(f"{facts['counts'][part].get(name, 0):,}" for name in CLASS_NAMES),
            cell(f"{paper.SPLIT_SIZES[part]:,}", paper=True),
        ]
        for part in SPLITS
    ]
    train = facts["counts"]["train"]
    ratio = train.get("NORMAL", 0) / max(train.get("PNEUMONIA", 0), 1)
    return section(
        "section-2-1",
        "2.1",
        "The data set",
        text(
            "Three splits of radiographs, each image with one label: 0 for normal, 1 for pneumonia, which is the "
            "positive class throughout."
        ),
        item(
            study,
            "sec-data",
            "Section 2.1",
            "Images of each split",
            table(
                "Images by split and class",
                ["Split", ">Images", ">Normal", ">Pneumonia", ">Images in the paper"],
                sizes,
            ),
        ),
        item(
            study,
            "fig-1",
            "Figure 1",
            "One record of the data set",
            code(record, "The first training record"),
            note="The first image of the training split, before any change. The paper's has mode "
            f"{paper.SAMPLE['mode']} and {paper.SAMPLE['width']}×{paper.SAMPLE['height']} pixels.",
        ),
        item(
            study,
            "fig-2",
            "Figure 2",
            "The image of that record",
            _picture(study, sample, "fig-2"),
            note=_picture_note(study, sample),
        ),
        item(
            study,
            "sec-audit",
            "Section 2.1",
            "Audit of the images",
            audit(facts["audit"], facts["splits"]),
            note="The paper reports no missing and no duplicated values.",
        ),
        item(
            study,
            "fig-3",
            "Figure 3",
            "Classes of the training split",
            plot(
                figures.shares(
                    "fig-3",
                    "Share of each class by split",
                    {part: facts["counts"][part] for part in SPLITS},
                ),
                "fig-3",
            ),
            note=f"The training split holds {ratio:.3f} normal images for each with pneumonia (the paper: "
            f"{paper.CLASS_RATIO}); a guess that is always “pneumonia” is right that often. The other splits, "
            "paler, are as uneven.",
        ),
        level=3,
    )


def audit(found: dict, sizes: dict) -> dict:
    """What is wrong with the images: missing, unreadable, copied, contradictory."""
    same_bytes, same_pixels = found["identical_bytes"], found["identical_pixels"]
    rows = [
        ["Rows without an image", found["missing"]],
        ["Images that cannot be decoded", len(found["unreadable"])],
    ]
    for words, copies in (("the same bytes", same_bytes), ("the same pixels", same_pixels)):
        rows.append([f"Sets of images with {words}", copies["groups"]])
        rows.append([f"Images to drop for one of each ({words})", copies["surplus"]])
        rows += [
            [f"Copies within {part} ({words})", copies["within"][part]]
            for part in sizes
            if copies["within"].get(part)
        ]
        rows += [
            [f"Sets in both {pair.replace('/', ' and ')} ({words})", n]
            for pair, n in copies["across"].items()
            if n
        ]
    rows.append(["Sets of identical images with different labels", same_pixels["conflicting"]])
    return table("What was looked for, over all splits", ["Looked for", ">Found"], rows)


def preparation(study: Study, sample) -> dict:
    shown = sample if sample is not None else data_phantoms.draw(0, False, IMAGE_SIZE)
    size = shown.shape[0]
    low, high = shown.min() / 255, shown.max() / 255
    sizes = sorted({run.image_size for run in study.runs}, reverse=True)
    trained = " and ".join(f"{side}×{side}" for side in sizes)
    counts = study.facts.get("splits", {})
    rows = []
    for batch in (32, 64):
        for part in SPLITS:
            printed = paper.BATCHES.get(batch, {}).get(part, "–")
            ours = -(-counts[part] // batch) if part in counts else "–"
            rest = counts[part] % batch or batch if part in counts else "–"
            rows.append([batch, part, ours, rest, cell(printed, paper=True)])
    return section(
        "section-2-2",
        "2.2",
        "Preparation",
        text(
            "Each image becomes one gray channel, is brought to a square, and its values are divided by 255. "
            "Pixels are kept as bytes and divided on the device, which gives the same numbers with a quarter of "
            "the memory."
        ),
        item(
            study,
            "fig-4",
            "Figure 4",
            "The image after preparation",
            _picture(study, sample, "fig-4"),
            note=f"The picture shown: shape 1×{size}×{size}, values {low:.2f} to {high:.2f}. The paper's: "
            f"1×640×640, 0 to 1. {_picture_note(study, sample)} The runs of this study were trained at "
            f"{trained}.",
        ),
        item(
            study,
            "fig-5",
            "Figure 5",
            "Batches of each split",
            table(
                "Batches by batch size",
                ["Batch size", "Split", ">Batches", ">Images in the last", ">Batches in the paper"],
                rows,
            ),
            note="The last batch of a split is smaller and is kept. The training split is shuffled anew each epoch.",
        ),
        level=3,
    )


def _no_facts() -> dict:
    return text(
        "The description of the data (`data.json`) does not lie beside these records, so this cannot be "
        "shown. `python scripts/train.py` writes it before it trains."
    )


def _picture(study: Study, sample, name: str) -> dict:
    if sample is None:
        content = pictures.radiograph(data_phantoms.draw(0, False, IMAGE_SIZE))
        words = "A drawn stand-in for a chest radiograph: two dark lungs on a light ground."
    else:
        content, words = (
            pictures.radiograph(sample),
            "The chest radiograph of the record in Figure 1.",
        )
    return images((content, name, words, ""))


def _picture_note(study: Study, sample) -> str:
    if sample is not None:
        return "The data set's own image."
    if study.runs[0].data["phantom"]:
        return "This study's images are phantoms: drawn, not taken of anyone."
    return (
        "A phantom is drawn here in place of the radiograph: the report carries no pixel of the data. With "
        "`--data SOURCE`, `scripts/report.py` shows the radiograph itself."
    )


# ------------------------------------------------------------------------------------------------
# 2.3, 2.4: models


def matched_steps(study: Study) -> list[dict]:
    """Why a step is matched to the image size, and how well a smaller size stands for 640×640."""
    blocks = [
        text(
            "**Matched steps.** A film scaled up from S×S to 640×640 pixels holds each pixel k² = "
            "(640/S)² times. Write u for the sum of the weights of a pixel's copies: the logit "
            "depends on the copies through u alone. A step of SGD moves each copy's weight by "
            "rate × gradient, and each has the gradient that u has, so u moves by k² times that. "
            "Each weight also decays by rate × decay a step, and u with it, not k² times. So a net "
            "trained at S×S learns as at 640×640 when the layer with one weight per pixel (the "
            "first Linear layer, or the CNN's classifier) takes (640/S)² times the learning rate "
            "and its decay a step stays as it is. The starting weights need no change: the sum of "
            "k² draws from ±1/640 has the variance of one draw from ±1/S. For Linear and MLP nets "
            "this is exact where pixels are repeated; for the CNN, whose filters see finer detail "
            "at 640×640, it is an approximation, and how good it is must be measured."
        )
    ]
    found = sizes_compared(study)
    if not found:
        return blocks
    size = found[0].matched[0].image_size
    rows = [
        [
            one.model,
            _epochs(one.left_full),
            _epochs(one.left_matched),
            _level(one.full),
            _level(one.matched),
            _accuracy(one.full),
            _accuracy(one.matched),
            f"{one.agreement:.2f}" if one.agreement == one.agreement else "–",
        ]
        for one in found
    ]
    columns = [
        "Model",
        ">Leaves the plateau in epoch, 640",
        f">{size}, by seed",
        ">Level of validation accuracy, 640",
        f">{size}",
        ">Test accuracy, 640",
        f">{size}",
        ">Agreement",
    ]
    caption = f"CNNs at 640×640 and at {size}×{size} with matched steps; accuracies in percent"
    title = "Validation accuracy at the paper's size and matched"
    picture = report_figures_curves.sizes("sizes", title, found)
    note = (
        f"Thin lines are the seeds at {size}×{size} that the figures show, the dark one is a run at "
        "640×640. A run leaves the plateau in the first epoch whose validation accuracy is 2 points "
        "above the constant answer's. The level is the mean over the last third of the epochs. "
        "Agreement is how far the run at 640×640 lies from the mean of the seeds, over how far each "
        "seed lies from the others' mean, both as means over epochs: about 1 where it could be one "
        "of them."
    )
    runs = [run for one in found for run in one.full + one.matched]
    blocks.append(
        item(
            study,
            "sizes",
            "Section 2.3",
            "Do smaller images stand for the paper's size?",
            plot(picture, "sizes"),
            table(caption, columns, rows),
            runs=runs,
            note=note,
        )
    )
    return blocks


def _epochs(left: list) -> str:
    return ", ".join(str(epoch) if epoch else "never" for epoch in left)


def _level(runs: list) -> str:
    return plus_minus([100 * curves.level(run.history["validation_accuracy"]) for run in runs], 1)


def _accuracy(runs: list) -> str:
    return plus_minus([100 * on_test(run)["accuracy"] for run in runs], 1)


def experiment(study: Study) -> dict:
    structures = [
        (
            "fig-6",
            "Figure 6",
            "Linear model: one hidden layer of 10 units",
            "0",
            "No function stands between its two layers, so they amount to one: a single weight for each pixel.",
        ),
        (
            "fig-7",
            "Figure 7",
            "MLP: the same with ReLU",
            "5",
            "A ReLU follows the last layer too, so a logit is never below 0. A prediction counts as pneumonia when the "
            "logit is above 0. A net whose outputs are all 0 has no gradient left and stays as it is.",
        ),
        (
            "fig-8",
            "Figure 8",
            "CNN: two blocks of two convolutions, 10 filters of 3×3",
            "11",
            "The structure is TinyVGG's. Its padding keeps the image's size; each pooling halves it.",
        ),
    ]
    return section(
        "section-2-3",
        "2.3",
        "The experiment",
        text(
            "Three classes of model are compared. The loss is binary cross-entropy on the logit; a weighted model "
            "multiplies the loss of pneumonia images by the training split's normal images over its pneumonia "
            "images. The optimizer is SGD without momentum, but for three models with Adam."
        ),
        *matched_steps(study),
        *[
            item(
                study,
                id,
                label,
                title,
                code(str(models.build(MODELS[model], device="meta")), title),
                note=f"{_parameters(study, MODELS[model])} {words}",
            )
            for id, label, title, model, words in structures
        ],
        item(
            study,
            "table-1",
            "Table 1",
            "The 26 models trained with batches of 32",
            _spec_table(study, TABLE_1, False),
            models=list(TABLE_1),
        ),
        item(
            study,
            "table-2",
            "Table 2",
            "The 9 models trained with batches of 64",
            _spec_table(study, TABLE_2, True),
            models=list(TABLE_2),
            note="Weight decay acts on every weight and bias.",
        ),
        level=3,
    )


def _parameters(study: Study, spec: ModelSpec) -> str:
    def count(size):
        return f"{models.parameter_count(models.build(spec, size, device='meta')):,}"

    words = f"{count(IMAGE_SIZE)} parameters at {IMAGE_SIZE}×{IMAGE_SIZE}."
    sizes = {
        run.image_size
        for group in study.chosen.values()
        for run in group
        if run.spec.family == spec.family
    }
    for size in sorted(sizes - {IMAGE_SIZE}):
        words += f" In this study such models were trained at {size}×{size}, with {count(size)} parameters."
    return words


def _spec_table(study: Study, specs: dict, decay: bool) -> dict:
    columns = (
        [
            "Model",
            "Class",
            ">Hidden layers",
            ">Units or filters",
            "Kernel",
            "Weighted",
            "Optimizer",
            ">Learning rate",
            ">Epochs",
        ]
        + [">Weight decay"] * decay
        + ["Seeds", ">Image size", "Engine"]
    )
    rows = []
    for spec in specs.values():
        runs = study.chosen.get(spec.id, [])
        lost = sum(run.status == "diverged" for run in runs)
        kernel = f"{spec.kernel_size}×{spec.kernel_size}" if spec.kernel_size else "–"
        epochs = "/".join(str(n) for n in sorted({run.spec.epochs for run in runs} | {spec.epochs}))
        rows.append(
            [
                spec.id,
                spec.family,
                spec.hidden_layers,
                spec.hidden_units,
                kernel,
                "yes" if spec.class_weight else "no",
                spec.optimizer,
                f"{spec.learning_rate:.0e}".replace("e-0", "e-"),
                epochs,
                *[f"{spec.weight_decay:g}"] * decay,
                (seeds(runs) + (f" ({lost} diverged)" if lost else ""))
                if runs
                else cell("not trained", badge="none"),
                " ".join(str(size) for size in sorted({run.image_size for run in runs})) or "–",
                " ".join(sorted({run.engine for run in runs})) or "–",
            ]
        )
    return table("Settings, and the runs of this study", columns, rows, sortable=True)


def evaluation(study: Study) -> dict:
    floor = study.baseline
    guess = (
        f" On this test split it is right {100 * floor['accuracy']:.1f} % of the time, with an F1 of "
        f"{100 * floor['f1']:.1f} %."
        if floor
        else ""
    )
    return section(
        "section-2-4",
        "2.4",
        "Scores",
        text(
            "Accuracy is the share of images that are classed rightly. Precision is the share of the images called "
            "pneumonia that have it; recall the share of pneumonia that is found; F1 is their harmonic mean. "
            "Precision and F1 are 0 where nothing is called pneumonia."
        ),
        text(
            "A model that always says pneumonia needs no image and sets the mark to beat." + guess
        ),
        text(
            "The paper's accuracy is the mean over batches, in which the last, small batch weighs as much as a "
            "whole one. Ours is exact; the batch mean stands beside it wherever the paper's figure is compared."
        ),
        text(
            "The 95 % interval of a score is that of one run with another seed on another test set of the same "
            "size: the test images are redrawn 1,000 times for each seed, and all seeds' draws taken together. "
            "With one seed it covers the test images only. ± is the standard deviation over seeds."
        ),
        level=3,
    )

"""Numbers, tables and pictures of the report's sections 1 and 2: images and models."""

import numpy as np

from xray import (
    curves,
    data_phantoms,
    models,
    paper,
    report_data,
    report_figures,
    report_figures_curves,
)
from xray.comparisons import Standing, sizes_compared
from xray.data_sources import SPLITS, shown
from xray.report_items import NOT_TRAINED, cell, image, item, plot, table, those_that_learned
from xray.report_pictures import radiograph
from xray.specs import IMAGE_SIZE, MODELS, TABLE_1, TABLE_2
from xray.study import Study, on_test, plus_minus, seeds

CLASS_NAMES = ("NORMAL", "PNEUMONIA")
STRUCTURES = {"fig-6": "0", "fig-7": "5", "fig-8": "11"}


def sections(study: Study, sample: np.ndarray | None) -> tuple[dict, dict]:
    """The numbers that templates/2-method.j2 says, and its items by id. sample: the data's first
    training image, uint8 (S, S), or None where it may not be shown."""
    facts, found = study.facts, sizes_compared(study)
    picture = data_phantoms.draw(0, False, IMAGE_SIZE) if sample is None else sample
    train = facts["counts"]["train"] if facts else {}
    numbers = {
        "described": bool(facts),
        "own_image": sample is not None,
        "splits": facts.get("splits"),
        "bad": _bad(facts["audit"]) if facts else 0,
        "pneumonia": train.get("PNEUMONIA", 0) / max(sum(train.values()), 1),
        "class_ratio": train.get("NORMAL", 0) / max(train.get("PNEUMONIA", 0), 1),
        "shown_size": picture.shape[0],
        "lowest": picture.min() / 255,
        "highest": picture.max() / 255,
        "sizes": sorted({run.image_size for run in study.runs}, reverse=True),
        "matched_size": found[0].matched[0].image_size if found else None,
        "parameters": {model: _parameters(study, model) for model in STRUCTURES.values()},
    }
    items = {
        "fig-1": item(study),
        "fig-2": item(study),
        "fig-3": item(study),
        "fig-4": item(study, images=[[_radiograph("fig-4", picture, sample is None)]]),
        "fig-5": item(study, table=_batches(facts.get("splits", {}))),
        "table-1": item(study, list(TABLE_1), table=_specs(study, TABLE_1, decay=False)),
        "table-2": item(study, list(TABLE_2), table=_specs(study, TABLE_2, decay=True)),
    }
    if facts:
        first = [_radiograph("fig-2", picture, sample is None)]
        counts = {part: facts["counts"][part] for part in SPLITS}
        shares = plot("fig-3", report_figures.shares, "Share of each class by split", counts)
        items |= {
            "sec-data": item(study, table=_split_sizes(facts)),
            "fig-1": item(study, listing=_first_record(facts["sample"])),
            "fig-2": item(study, images=[first]),
            "sec-audit": item(study, table=_audit(facts)),
            "fig-3": item(study, plot=shares, data=report_data.shares(counts)),
        }
    if found:
        runs = [run for one in found for run in one.full + one.matched]
        title = "Validation accuracy at the paper's size and matched"
        drawn = plot("sizes", report_figures_curves.sizes, title, found)
        data = report_data.history(runs)
        items["sizes"] = item(study, plot=drawn, data=data, table=_sizes(found), runs=runs)
    for name, model in STRUCTURES.items():
        items[name] = item(study, listing=str(models.build(MODELS[model], device="meta")))
    return numbers, items


def _radiograph(name: str, pixels: np.ndarray, phantom: bool) -> dict:
    drawn = "A drawn stand-in for a chest radiograph: two dark lungs on a light ground."
    real = "The chest radiograph of the record in Figure 1."
    return image(radiograph(pixels), name, drawn if phantom else real)


def _first_record(entry: dict) -> str:
    size = f"{entry['width']}×{entry['height']} pixels"
    label = f"{entry['label']} ({CLASS_NAMES[entry['label']]})"
    return f"path   {shown(entry['path'])}\nimage  mode {entry['mode']}, {size}\nlabel  {label}"


def _split_sizes(facts: dict) -> dict:
    rows = []
    for part in SPLITS:
        counts = [facts["splits"][part], *(facts["counts"][part].get(c, 0) for c in CLASS_NAMES)]
        printed = cell(f"{paper.SPLIT_SIZES[part]:,}", paper=True)
        images, *classes = (f"{n:,}" for n in counts)
        rows.append([part, images, printed, *classes])
    return table("Split | >Images | >Images in the paper | >Normal | >Pneumonia", rows)


def _audit(facts: dict) -> dict:
    """What was left out, and what is wrong with the images: missing, unreadable, copied,
    contradictory."""
    found, sizes = facts["audit"], facts["splits"]
    left = facts.get("left_out", {})
    rows = [[f"Left out: {what}", count] for what, count in left.items()]
    rows = rows or [["Files and images left out for what they are", 0]]
    rows.append(["Rows without an image", found["missing"]])
    rows.append(["Images that cannot be decoded", len(found["unreadable"])])
    for what in ("bytes", "pixels"):
        copies, same = found[f"identical_{what}"], f"the same {what}"
        rows.append([f"Sets of images with {same}", copies["groups"]])
        rows.append([f"Images to drop for one of each ({same})", copies["surplus"]])
        for part in sizes:
            if copies["within"].get(part):
                rows.append([f"Copies within {part} ({same})", copies["within"][part]])
        for pair, n in copies["across"].items():
            if n:
                rows.append([f"Sets in both {pair.replace('/', ' and ')} ({same})", n])
    conflicting = found["identical_pixels"]["conflicting"]
    rows.append(["Sets of identical images with different labels", conflicting])
    return table("Looked for | >Found", rows)


def _bad(found: dict) -> int:
    """Images that are missing, unreadable or, by their pixels, copies of another."""
    return found["missing"] + len(found["unreadable"]) + found["identical_pixels"]["surplus"]


def _batches(counts: dict) -> dict:
    rows = []
    for batch in (32, 64):
        for part in SPLITS:
            printed = cell(paper.BATCHES.get(batch, {}).get(part, "–"), paper=True)
            ours, rest = "–", "–"
            if part in counts:
                ours, rest = -(-counts[part] // batch), counts[part] % batch or batch
            rows.append([batch, part, ours, printed, rest])
    names = "Batch size | Split | >Batches | >Batches in the paper | >Images in the last"
    return table(names, rows)


def _sizes(found: list[Standing]) -> dict:
    rows = []
    for one in found:
        sides, learned = zip(*map(those_that_learned, (one.full, one.matched)))
        left = [_epochs(epochs) for epochs in (one.left_full, one.left_matched)]
        agreement = f"{one.agreement:.2f}" if one.agreement == one.agreement else "–"
        row = [one.model, *left, *map(_level, sides), *map(_accuracy, sides), agreement]
        rows.append([*row, *learned])
    size = found[0].matched[0].image_size
    names = (
        f"Model | >Leaves the plateau in epoch, 640 | >{size}, by seed"
        f" | >Level of validation accuracy, 640 | >{size} | >Test accuracy, 640 | >{size}"
        f" | >Agreement | >Learned, 640 | >{size}"
    )
    return table(names, rows)


def _epochs(left: list) -> str:
    return ", ".join(str(epoch) if epoch else "never" for epoch in left)


def _level(runs: list) -> str:
    return plus_minus([100 * curves.level(run.history["validation_accuracy"]) for run in runs], 1)


def _accuracy(runs: list) -> str:
    return plus_minus([100 * on_test(run)["accuracy"] for run in runs], 1)


def _parameters(study: Study, model: str) -> list[tuple[int, int]]:
    """(image size, number of parameters): the paper's size, then those that its class has here."""
    spec = MODELS[model]
    runs = [run for group in study.chosen.values() for run in group]
    others = {run.image_size for run in runs if run.spec.family == spec.family} - {IMAGE_SIZE}
    return [
        (size, models.parameter_count(models.build(spec, size, device="meta")))
        for size in [IMAGE_SIZE, *sorted(others)]
    ]


def _specs(study: Study, specs: dict, decay: bool) -> dict:
    names = (
        "Model | Class | >Hidden layers | >Units or filters | Kernel | Weighted | Optimizer"
        f" | >Learning rate | >Epochs{' | >Weight decay' * decay} | Seeds | >Image size | Engine"
    )
    rows = []
    for spec in specs.values():
        runs = study.chosen.get(spec.id, [])
        lost = sum(run.status == "diverged" for run in runs)
        there = seeds(runs) + (f" ({lost} diverged)" if lost else "")
        epochs = sorted({run.spec.epochs for run in runs} | {spec.epochs})
        row = [
            spec.id,
            spec.family,
            spec.hidden_layers,
            spec.hidden_units,
            f"{spec.kernel_size}×{spec.kernel_size}" if spec.kernel_size else "–",
            "yes" if spec.class_weight else "no",
            spec.optimizer,
            f"{spec.learning_rate:.0e}".replace("e-0", "e-"),
            "/".join(map(str, epochs)),
            *[f"{spec.weight_decay:g}"] * decay,
            there if runs else NOT_TRAINED,
            " ".join(map(str, sorted({run.image_size for run in runs}))) or "–",
            " ".join(sorted({run.engine for run in runs})) or "–",
        ]
        rows.append(row)
    return table(names, rows, sortable=True)

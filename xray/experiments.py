"""What is made beside the study: runs that show what the last ReLU and the image size do, a census
of starting weights, and the search for Table 3's settings.

    RESULTS/<data>/experiments.jsonl   the runs, as the study's are recorded
    RESULTS/<data>/starts.json         the census
    RESULTS/<data>/search.jsonl        a trial a line
"""

import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from xray import engine, models, results
from xray.files import append_line, read_json, read_lines, write_json
from xray.gram import project
from xray.jobs import Job, choose_engine
from xray.machine import environment
from xray.specs import IMAGE_SIZE, MODELS, TABLE_3, VARIANTS, ModelSpec, matched_step

RUNS, STARTS, SEARCH = "experiments.jsonl", "starts.json", "search.jsonl"

# ---- runs

SMALL = 64  # pixels a side for what does not depend on the size
LAST_RELU_SEEDS = range(24)
SIZES, SIZE_SEEDS = (16, 32, 64, 128, 256), range(3)


def jobs(folder: Path, n_images: int, split="given", image_size: int = IMAGE_SIZE) -> list[Job]:
    """Model 21 with and without its last ReLU; and over image sizes up to the study's, with matched
    steps and with the paper's, model 20 and the MLP without its last ReLU, which makes the score a
    matter of luck. folder: the study's (results.beside); n_images: of all its splits."""
    unbounded = VARIANTS["21@no-last-relu"]
    asked = [
        (spec, seed, SMALL, matched_step(spec, SMALL))
        for spec in (MODELS["21"], unbounded)
        for seed in LAST_RELU_SEEDS
    ]
    for size in [size for size in SIZES if size < image_size] + [image_size]:
        for spec in (MODELS["20"], unbounded):
            for step in (matched_step(spec, size), 1.0):
                asked += [(spec, seed, size, step) for seed in SIZE_SEEDS]
    made = []
    for spec, seed, size, step in dict.fromkeys(asked):  # some are asked for twice
        job = Job(
            spec=spec,
            seed=seed,
            image_size=size,
            split=split,
            engine=choose_engine(spec, n_images)[0],
            engine_reason=choose_engine(spec, n_images)[1],
            precision="fp32",
            pixel_step=step,
            file=Path(folder) / RUNS,
            short=True,
        )
        made.append(job)
    return made


def runs(folder: Path) -> list[results.Run]:
    """The runs on record; whether a run's steps were matched is Run.matched."""
    return list(results.runs_of(Path(folder) / RUNS).values())


# ---- the census of starts

CENSUS = {64: 1000, 128: 200}  # image size -> seeds; more where they cost little
CENSUS_SEEDS = 200  # at the study's size
UNITS, LAYERS = (5, 10, 20), (1, 2, 3)
TOGETHER = 8  # seeds that share a pass over the images


def census(images, seeds: range, tick=None) -> dict[str, list[int]]:
    """Of the paper's MLPs as they start, "<layers>x<units>" -> for each seed, on how many of these
    images the output is above 0. images: uint8 (N, 1, S, S). tick(): called after each seed.

    An MLP ends in a ReLU. Where its input is at or below 0, so is the ReLU's derivative, and such
    an image adds nothing to any gradient. A net that starts so on every training image never takes
    a step, by SGD or by Adam: it is dead for good, at 0 here. The draw is symmetric about 0, so
    outputs all below 0 are as likely as all above 0, and P(dead) = (1 - P(both signs)) / 2 is never
    more than 1/2.
    """
    found = {f"{layers}x{units}": [] for layers in LAYERS for units in UNITS}
    for first in range(0, len(seeds), TOGETHER):
        weights, behind = [], []
        for seed in seeds[first : first + TOGETHER]:
            behind.append({})
            for name in found:
                layers, units = map(int, name.split("x"))
                spec = replace(MODELS["21"], hidden_layers=layers, hidden_units=units)
                state = models.build(spec, images.shape[-1], seed).state_dict()
                weight, *behind[-1][name] = state.values()
            weights.append(weight)  # the widest net's, whose first rows are the others'
        hidden = project(images, torch.cat(weights)).split(max(UNITS), dim=1)
        for columns, of_seed in zip(hidden, behind):
            for name, (bias, *later) in of_seed.items():
                value = columns[:, : len(bias)] + bias.double()
                for weight, bias in zip(later[::2], later[1::2]):
                    value = value.relu() @ weight.double().T + bias.double()
                found[name].append(int((value > 0).sum()))
            if tick:
                tick()
    return found


def count_starts(folder: Path, load, split="given", image_size: int = IMAGE_SIZE, *, bar):
    """Make the censuses that are not on record, of the training images; yields each size made.

    load(image_size, split) gives the Data; bar(total, label) an object with update and close.
    Raises OSError, ResultsError.
    """
    path = Path(folder) / STARTS
    made = read_json(path) if path.exists() else {}
    asked = {size: count for size, count in CENSUS.items() if size < image_size}
    for size, count in (asked | {image_size: CENSUS_SEEDS}).items():
        if str(size) in made:
            continue
        images = load(size, split).train.images
        shown = bar(total=count, label=f"census of starts at {size}×{size}")
        counts = census(images, range(count), shown.update)
        shown.close()
        about = {"images": len(images), "counts": counts, "environment": environment("cpu")}
        made[str(size)] = about
        write_json(path, made)
        yield size


def starts(folder: Path) -> pd.DataFrame:
    """The censuses on record, a row a start: image_size, images (that are trained on), layers,
    units, seed, above (on how many the output is above 0; dead: on none)."""
    path, parts = Path(folder) / STARTS, []
    for size, found in read_json(path).items() if path.exists() else ():
        for name, counts in found["counts"].items():
            layers, units = map(int, name.split("x"))
            about = {"image_size": int(size), "images": found["images"]}
            about |= {"layers": layers, "units": units}
            parts.append(pd.DataFrame(about | {"seed": np.arange(len(counts)), "above": counts}))
    columns = ["image_size", "images", "layers", "units", "seed", "above"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


# ---- the search for Table 3's settings, judged on validation images alone

CLOSE = 0.01  # share of the lowest validation loss
# row of Table 3 -> what is tried in it
TRIED: dict[str, list[dict]] = {
    "31": [
        {"learning_rate": 3e-4},
        {"learning_rate": 1e-3},
        {"learning_rate": 1e-3, "weight_decay": 0.1},
        {"learning_rate": 3e-3},
    ],
    "33": [{"augment": strength} for strength in (0.5, 1.0, 1.5)],
    "35": [
        {"learning_rate": 3e-4},
        {"learning_rate": 1e-3},
        {"learning_rate": 3e-3},
        {"learning_rate": 1e-3, "weight_decay": 0.1},
        {"learning_rate": 3e-3, "weight_decay": 0.1},
        {"learning_rate": 1e-3, "weight_decay": 0.1, "augment": 0.5},
    ],
    "36": [
        {},
        {"learning_rate": 3e-3},
        {"augment": 1.5},
        {"epochs": 60},
        {"hidden_units": 48},
    ],
}


def trials(folder: Path) -> list[dict]:
    """The trials on record, in the order in which they were made: each with "spec" (a dict),
    "seed", "epochs", "epoch" (that was kept, from 1), "validation_loss", "validation_accuracy",
    "validation_auc", "seconds", "environment". Raises ResultsError."""
    path = Path(folder) / SEARCH
    return read_lines(path) if path.exists() else []


def chosen(found: list[dict]) -> dict:
    """Of a row's trials, the one that it carries: within CLOSE of the lowest validation loss, the
    fastest."""
    least = min(trial["validation_loss"] for trial in found)
    near = [trial for trial in found if trial["validation_loss"] <= least * (1 + CLOSE)]
    return min(near, key=lambda trial: trial["seconds"])


def search(folder: Path, load, split="given", device="cpu", precision="fp32", *, bar, rows=None):
    """Make the trials that are not on record, of these rows of Table 3 or of all; yields each when
    it is recorded. No trial sees a test image. load, bar: as in count_starts."""
    tried = [ModelSpec(**trial["spec"]) for trial in trials(folder)]
    for row in rows or TRIED:
        for change in TRIED[row]:
            spec = replace(TABLE_3[row], **change)
            if spec in tried:
                continue
            data = load(spec.image_size, split)
            train, validation = (
                engine.place(part, device) for part in (data.train, data.validation)
            )
            steps = spec.epochs * -(-len(data.train.labels) // spec.batch_size)
            shown = bar(total=steps, label=f"row {row}, {change or 'as it is'}")
            trial = try_one(spec, train, validation, device, precision, shown.update)
            shown.close()
            append_line(Path(folder) / SEARCH, trial)
            yield trial


def try_one(spec: ModelSpec, train, validation, device="cpu", precision="fp32", tick=None) -> dict:
    """Train a spec with seed 0 and give what `trials` says. train, validation: engine.place's pairs
    of images of the spec's own size."""
    from sklearn.metrics import roc_auc_score  # a second to load, for trials alone

    started = time.perf_counter()
    model = models.build(spec, spec.image_size, 0, device).to(memory_format=torch.channels_last)
    optimizer = engine.make_optimizer(model, spec, matched_step(spec, spec.image_size))
    for history in engine.fit(
        model, optimizer, spec, train, validation, 0, precision=precision, tick=tick
    ):
        if engine.kept_epoch(spec, history) == len(history["validation_loss"]) - 1:
            best = {key: value.clone() for key, value in model.state_dict().items()}
    model.load_state_dict(best)
    epoch = engine.kept_epoch(spec, history)
    logits = engine.predict(model, validation[0], device)
    return {
        "spec": asdict(spec),
        "seed": 0,
        "validation_loss": history["validation_loss"][epoch],
        "validation_accuracy": history["validation_accuracy"][epoch],
        "validation_auc": float(roc_auc_score(validation[1].cpu(), logits.cpu())),
        "epochs": len(history["validation_loss"]),
        "epoch": epoch + 1,
        "seconds": round(time.perf_counter() - started, 1),
        "environment": environment(device),
    }

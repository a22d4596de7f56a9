"""The search for Table 3's settings: what was tried, judged on validation images alone.

    RESULTS/<data>/search.jsonl   a trial a line

No trial sees a test image. Of a row's trials the one with the lowest validation loss is what
specs.py carries; of those within CLOSE of it, the fastest.
"""

import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torchmetrics.functional.classification import binary_auroc

from xray import engine, models
from xray.files import append_line, read_lines
from xray.machine import environment
from xray.specs import TABLE_3, ModelSpec, matched_step

RECORD = "search.jsonl"
CLOSE = 0.01  # share of the lowest validation loss
SEED = 0
# row of Table 3 -> what is tried in it
TRIALS: dict[str, list[dict]] = {
    "31": [
        {"learning_rate": 3e-4},
        {"learning_rate": 1e-3},
        {"learning_rate": 1e-3, "weight_decay": 0.1},
        {"learning_rate": 3e-3},
    ],
    "33": [{"augment": strength} for strength in (0.5, 1.0, 1.5)],
    "35": [
        *({"learning_rate": rate} for rate in (3e-4, 1e-3, 3e-3)),
        *({"learning_rate": rate, "weight_decay": 0.1} for rate in (1e-3, 3e-3)),
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


def asked(rows=None) -> list[ModelSpec]:
    """The specs that are tried, of these rows or of all."""
    return [
        replace(TABLE_3[row], **change)
        for row, changes in TRIALS.items()
        if rows is None or row in rows
        for change in changes
    ]


def read(study: Path) -> list[dict]:
    """The trials on record, in the order in which they were made: each with "spec" (a dict),
    "seed", "epochs", "epoch" (that was kept, from 1), "validation_loss", "validation_accuracy",
    "validation_auc", "seconds", "environment". Raises ResultsError."""
    path = Path(study) / RECORD
    return read_lines(path) if path.exists() else []


def chosen(trials: list[dict]) -> dict:
    """Of a row's trials, the one that it carries."""
    least = min(trial["validation_loss"] for trial in trials)
    near = [trial for trial in trials if trial["validation_loss"] <= least * (1 + CLOSE)]
    return min(near, key=lambda trial: trial["seconds"])


def try_one(spec: ModelSpec, train, validation, precision="fp32", device="cpu", tick=None) -> dict:
    """Train a spec with SEED and give what `read` says. train, validation: engine.place's pairs of
    images of the spec's own size."""
    started = time.perf_counter()
    model = models.build(spec, spec.image_size, SEED, device)
    model = model.to(memory_format=torch.channels_last)
    optimizer = engine.make_optimizer(model, spec, matched_step(spec, spec.image_size))
    for history in engine.fit(
        model, optimizer, spec, train, validation, SEED, precision=precision, tick=tick
    ):
        if engine.kept_epoch(spec, history) == len(history["validation_loss"]) - 1:
            best = {key: value.clone() for key, value in model.state_dict().items()}
    model.load_state_dict(best)
    epoch = engine.kept_epoch(spec, history)
    logits = engine.predict(model, validation[0], device)
    found = {
        f"validation_{key}": history[f"validation_{key}"][epoch] for key in ("loss", "accuracy")
    }
    found["validation_auc"] = float(binary_auroc(logits, validation[1].long()))
    found |= {"epochs": len(history["validation_loss"]), "epoch": epoch + 1}
    seconds = {"seconds": round(time.perf_counter() - started, 1)}
    return (
        {"spec": asdict(spec), "seed": SEED}
        | found
        | seconds
        | {"environment": environment(device)}
    )


def write(study: Path, trial: dict) -> None:
    """Add a trial to the record. Raises OSError."""
    append_line(Path(study) / RECORD, trial)

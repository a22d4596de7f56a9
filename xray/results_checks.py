"""What a record's fields must be: records come from strangers too, and a field of another type or
out of range must not end in a traceback, a hang or a terminal's escape codes."""

import math
import re
from dataclasses import replace

import numpy as np

from xray.files import shown
from xray.specs import KNOWN

PARTS = ("validation", "test")
CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
LARGEST_SIZE = 8192  # pixels a side


class Wrong(ValueError):
    """The message names the field."""


def _need(right, field: str) -> None:
    if not right:
        raise Wrong(field)


def whole(value, low: int, high: int = 2**31) -> bool:
    """Whether it is a whole number from low to high."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def number(value, low: float = -math.inf) -> bool:
    """Whether it is a finite number of `low` or more."""
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return real and math.isfinite(value) and value >= low


def plain(value):
    """JSON with texts that do nothing to a terminal: control characters but line breaks are
    escaped. Raises Wrong where one is absurdly long."""
    if isinstance(value, str):
        _need(len(value) < 10_000, "a text")
        return CONTROL.sub(lambda found: shown(found[0]), value)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def spec(value) -> None:
    """Raises Wrong where a ModelSpec could not be built or trained."""
    known = KNOWN.get(value.id) if isinstance(value.id, str) else None
    _need(known, f"spec.id, a model that does not exist: {value.id!r}")
    _need(value.family == known.family, "spec.family")
    ranges = {"hidden_layers": 10, "hidden_units": 1000, "epochs": 10**5, "batch_size": 10**6}
    for name, high in ranges.items():
        _need(whole(getattr(value, name), 1, high), f"spec.{name}")
    kernel = value.kernel_size is None if known.kernel_size is None else whole(value.kernel_size, 1)
    _need(kernel and (value.kernel_size or 0) <= 31, "spec.kernel_size")
    _need(isinstance(value.class_weight, bool), "spec.class_weight")
    _need(value.optimizer in ("SGD", "Adam", "AdamW"), "spec.optimizer")
    _need(number(value.learning_rate, 0), "spec.learning_rate")
    _need(number(value.weight_decay, 0), "spec.weight_decay")
    _need(whole(value.image_size, 4, LARGEST_SIZE), "spec.image_size")
    _need(value.schedule in ("constant", "one-cycle"), "spec.schedule")
    _need(whole(value.patience, 0), "spec.patience")
    _need(number(value.augment, 0), "spec.augment")
    for name in ("flip", "batch_norm", "last_relu"):
        _need(isinstance(getattr(value, name), bool), f"spec.{name}")


def run(value, whole_record: bool):
    """A Run as its file gave it -> the same, its texts as `plain` gives them. whole_record: with
    its history. Raises Wrong."""
    spec(value.spec)
    _need(whole(value.seed, 0, 2**63), "seed")
    _need(whole(value.image_size, 4, LARGEST_SIZE), "image_size")
    split = isinstance(value.split, str)
    _need(split and re.fullmatch(r"given|(image|patient)-\d{1,9}", value.split, re.A), "split")
    data = value.data
    _need(isinstance(data, dict), "data")
    for name in ("name", "source", "fingerprint"):
        _need(isinstance(data.get(name), str), f"data.{name}")
    _need(isinstance(data.get("phantom"), bool), "data.phantom")
    _need(whole(data.get("skipped", 0), 0), "data.skipped")
    _need(_texts(data.get("options", [])), "data.options")
    _need(value.engine in ("direct", "gram"), "engine")
    _need(isinstance(value.engine_reason, str), "engine_reason")
    _need(value.precision in ("fp32", "tf32", "bf16"), "precision")
    _need(number(value.pixel_step, 0) and value.pixel_step > 0, "pixel_step")
    _need(value.status in ("finished", "diverged"), "status")
    if whole_record:
        _history(value.history, value.spec.epochs)
    _logits(value)
    _environment(value.environment)
    _weights(value.weights)
    texts = ("data", "engine_reason", "environment")
    return replace(value, **{name: plain(getattr(value, name)) for name in texts})


def _texts(value) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _history(history, epochs: int) -> None:
    _need(isinstance(history, dict) and set(history) == set(CURVES), "history")
    for values in history.values():
        _need(isinstance(values, list) and all(map(number, values)), "history")
    _need(len({len(values) for values in history.values()}) == 1, "history")
    _need(len(history["train_loss"]) <= epochs, "history")


def _logits(value) -> None:
    _need(set(value.logits) <= set(PARTS) and value.labels.keys() == value.logits.keys(), "logits")
    for part, logits in value.logits.items():
        labels = value.labels[part]
        _need(logits.ndim == 1 and np.isfinite(logits).all(), "logits")
        _need(labels.shape == logits.shape and np.isin(labels, (0, 1)).all(), "labels")
    _need(value.status == "diverged" or len(value.logits.get("test", ())), "logits")


def _environment(environment) -> None:
    _need(isinstance(environment, dict), "environment")
    for name in ("device", "revision", "finished"):
        _need(isinstance(environment.get(name, ""), str), f"environment.{name}")
    _need(number(environment.get("seconds", 0), 0), "environment.seconds")
    _need(whole(environment.get("threads", 1), 1), "environment.threads")
    versions, epochs = environment.get("versions", {}), environment.get("epoch_seconds", [])
    _need(isinstance(versions, dict), "environment.versions")
    _need(all(isinstance(version, str) for version in versions.values()), "environment.versions")
    _need(isinstance(epochs, list) and all(map(number, epochs)), "environment.epoch_seconds")


def _weights(weights) -> None:
    _need(isinstance(weights, dict), "weights")
    if weights:
        _need(isinstance(weights.get("file"), str), "weights.file")
        digest = weights.get("sha256")
        _need(isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest), "weights.sha256")


# ---- data.json, beside the records

FACTS = {"name": str, "source": str, "kind": str, "fingerprint": str, "phantom": bool}
FACTS |= {"classes": dict, "splits": dict, "counts": dict, "sizes": dict, "modes": dict}
FACTS |= {"paths": list, "labels": str, "skipped": list, "sample": dict, "audit": dict}
FACTS |= {"patients": dict, "intensity": dict, "made": dict}


def facts(value: dict) -> dict:
    """What data.json says of a data set (data.py) -> the same, its texts as `plain` gives them; of
    what is nested deeper than its counts, only that it is of the right kind. Raises Wrong."""
    for name, kind in FACTS.items():
        _need(isinstance(value.get(name, kind()), kind), name)
    for name in ("splits", "sizes", "modes"):
        _need(all(whole(count, 0) for count in value.get(name, {}).values()), name)
    for name in value.get("sizes", {}):
        _need(re.fullmatch(r"\d{1,6}x\d{1,6}", name, re.A), "sizes")
    for counts in value.get("counts", {}).values():
        _need(isinstance(counts, dict), "counts")
        _need(all(whole(count, 0) for count in counts.values()), "counts")
    _need(all(label in (0, 1) for label in value.get("classes", {}).values()), "classes")
    for name in ("paths", "skipped", "options", "notes"):
        _need(_texts(value.get(name, [])), name)
    _need(whole(value.get("bits", 16), 8, 16), "bits")
    _need(len(value.get("paths", [])) == len(value.get("labels", "")), "labels")
    _need(set(value.get("labels", "")) <= {"0", "1"}, "labels")
    numbers = value.get("patient_numbers", [])
    _need(isinstance(numbers, list) and all(whole(n, -1) for n in numbers), "patient_numbers")
    seen = value.get("intensity", {}) | {"films": None, "averages": None}  # long, and no words
    return plain(value | {"intensity": seen}) | {"intensity": value.get("intensity", {})}

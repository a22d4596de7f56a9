"""A made-up study in which all 37 claims of the paper hold, to change a model or a fact of."""

import numpy as np

from xray import claims, metrics
from xray.data_sources import PAPER
from xray.results import Run
from xray.specs import LEARNING_RATE_SEARCH, MODELS, RESPLIT, RESPLIT_CNN, pixel_step
from xray.study import Study

SPECS = MODELS | LEARNING_RATE_SEARCH
DATA = dict.fromkeys(("name", "source"), PAPER)
DATA |= {"fingerprint": "0" * 64, "phantom": False, "skipped": 0}
LABELS = {"test": np.repeat([1, 0], [411, 171]), "validation": np.repeat([1, 0], [80, 30])}
FACTS = {
    "phantom": False,
    "sizes": {"640x640": 5824},
    "counts": {
        "train": {"NORMAL": 1100, "PNEUMONIA": 2977},
        "validation": {"NORMAL": 315, "PNEUMONIA": 850},
        "test": {"NORMAL": 171, "PNEUMONIA": 411},
    },
    "audit": {
        "missing": 0,
        "unreadable": [],
        "identical_bytes": {"surplus": 0},
        "identical_pixels": {"surplus": 0},
    },
}

# What each model's runs look like; what is not named here is the default of `made`.
WORLD = {
    "0": dict(pace=2, train=0.93),
    "1": dict(pace=4, train=0.90),
    "2": dict(pace=6, train=0.87),
    "3": dict(pace=3, train=0.92),
    "4": dict(pace=3, train=0.92),
    "5": dict(pace=2),
    "8": dict(pace=3, validation=0.90),
    "9": dict(pace=3, validation=0.90),
    "10": dict(rough_loss=0.05),
    "11": dict(rough_loss=0.05),
    "12": dict(rough_loss=0.05, validation=0.90),
    "13": dict(rough_loss=0.1, validation=0.89),
    "14": dict(validation=0.90, rough=0.01),
    "16": dict(rough=0.05, rough_loss=0.05),
    "17": dict(rough_loss=0.05),
    "18": dict(dead=True),
    "19": dict(dead=True),
    "20": dict(right=(400, 142)),
    "21": dict(right=(404, 138)),
    "22": dict(right=(390, 148), overfit=True, rough=0.05),
    "23": dict(right=(378, 154), validation=0.90, rough=0.01),
    "24": dict(right=(398, 142)),
    "25": dict(right=(392, 135), overfit=True, rough=0.1),
    "20b": dict(right=(397, 142)),
    "21b": dict(right=(404, 139)),
    "23b": dict(right=(374, 155)),
    "24b": dict(right=(401, 141)),
    "22b": dict(right=(395, 143), overfit=True, rough=0.01),
    "25b": dict(right=(392, 140), overfit=True, rough=0.02),
    "26b": dict(right=(399, 143), rough=0.003),
    "27b": dict(right=(398, 142)),
    "28b": dict(right=(404, 139)),
} | {name: dict(dead=True) for name in ("6", "7", *LEARNING_RATE_SEARCH)}


def made_history(spec, pace, train, validation, rough, rough_loss, overfit) -> dict:
    """pace: epochs in which the loss falls by 1/e. rough, rough_loss: how far validation goes up
    and down at each epoch."""
    steps = np.arange(spec.epochs)
    turn = np.where(steps % 2, 1.0, -1.0)
    loss = 0.2 + 0.5 * np.exp(-steps / pace)
    wobble = turn * (rough if rough_loss is None else rough_loss)
    validation_loss = loss + 0.05 + wobble
    if overfit:
        loss = 0.5 * np.exp(-steps / 20)
        validation_loss = 0.3 + 0.2 * np.exp(-steps / 3) + wobble
    return {
        "train_loss": loss + 0.1 * wobble,
        "validation_loss": validation_loss,
        "train_accuracy": train - 0.2 * np.exp(-steps / 2),
        "validation_accuracy": validation - 0.2 * np.exp(-steps / 2) + turn * rough,
    }


def made(
    model,
    seed=0,
    pace=3,
    train=0.93,
    validation=0.92,
    rough=0.002,
    rough_loss=None,
    overfit=False,
    dead=False,
    right=(400, 142),
    diverged=False,
    seconds=None,
    data=DATA,
    size=640,
    engine="direct",
    split="given",
):
    """A run of made-up curves, see made_history. right: test images of each class (411, 171) that
    it gets right."""
    spec = SPECS[model]
    history = made_history(spec, pace, train, validation, rough, rough_loss, overfit)
    if dead:
        history = {name: np.full(spec.epochs, 0.69 if "loss" in name else 0.27) for name in history}
        right = (0, 171)
    tp, tn = right
    test = np.where(np.arange(582) < 411, np.arange(582) < tp, np.arange(582) >= 411 + tn)
    logits = {
        "test": np.where(test, 1, -1).astype(np.float32),
        "validation": np.full(110, 0 if dead else 1, np.float32),
    }
    labels = LABELS
    if diverged:
        logits = {part: np.empty(0, np.float32) for part in LABELS}
        labels = {part: np.empty(0, np.int64) for part in LABELS}
        history = {name: values[:2] for name, values in history.items()}
    seconds = seconds or (600 if spec.family == "CNN" else 90)
    history = {name: np.asarray(values, float).tolist() for name, values in history.items()}
    what = spec, seed, size, split, data
    how = engine, "made up", "fp32", pixel_step(size), "diverged" if diverged else "finished"
    machine = {"device": "cpu", "seconds": float(seconds), "epoch_seconds": []}
    return Run(*what, *how, history, logits, labels, machine)


def runs_of(changes=None, seeds=5):
    """model -> its runs; changes: model -> what differs from WORLD, or a function of the seed that
    gives it.
    """
    return {model: [_one(changes, model, seed) for seed in range(seeds)] for model in SPECS}


def _one(changes, model, number, **more):
    change = (changes or {}).get(model, {})
    change = change(number) if callable(change) else change
    return made(model, **WORLD.get(model, {}) | {"seed": number} | change | more)


def splits(changes=None, number=5):
    """As runs_of, over image re-splits: "image-0" -> model -> its runs, one each, with the split's
    number as its seed. A function in changes is given that number."""
    return {
        f"image-{split}": {
            model: [_one(changes, model, split, split=f"image-{split}")]
            for model in RESPLIT + RESPLIT_CNN
        }
        for split in range(number)
    }


def study(runs, resplits=None, facts=FACTS, timed=()) -> Study:
    """A study of such runs. timed: further runs, for their durations alone."""
    everything = [run for group in runs.values() for run in group] + list(timed)
    return Study("made-up/given", None, everything, runs, facts, resplits or {})


def judge(runs, **more):
    return {verdict.id: verdict for verdict in claims.judge(study(runs, **more))}


def judged(changes=None, facts=FACTS, seeds=5, number=5, **more):
    """Claim's id -> verdict, of a study with such changes: on the given split, over re-splits."""
    return judge(runs_of(changes, seeds), resplits=splits(changes, number), facts=facts, **more)


def alone(name, changes=None, facts=FACTS, seeds=5, number=5):
    """The verdict on one claim by itself, of a study with such changes."""
    (claim,) = [claim for claim in claims.CLAIMS if claim.id == name]
    changed = study(runs_of(changes, seeds), splits(changes, number), facts)
    return claims.judge_alone(claim, changed)


def facts_with(split=None, sizes=None, **audit):
    found = {**FACTS, "audit": FACTS["audit"] | audit, "sizes": sizes or FACTS["sizes"]}
    return found if split is None else {**found, "counts": FACTS["counts"] | split}


# Thousands of runs share a few kinds of logits, and what scores are is not asked here.
_scores, _known = metrics.scores, {}


def remembered(logits, labels, batch_size=32):
    key = logits.tobytes(), labels.tobytes(), batch_size
    if key not in _known:
        _known[key] = _scores(logits, labels, batch_size)
    return _known[key]

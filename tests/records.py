"""Made-up runs for tests: plausible histories and logits from a seeded generator, no training."""

import zlib
from dataclasses import asdict, replace

import numpy as np

from xray import baselines, changes, external, files, results
from xray.results import Run
from xray.specs import IMAGE_SIZE, KNOWN, LEARNING_RATE_SEARCH, MODELS, TABLE_3, matched_step

DATA = dict.fromkeys(("name", "source"), "made-up")
DATA |= {"fingerprint": "0123456789abcdef" * 4, "phantom": False, "skipped": 0}


def labels(n: int) -> np.ndarray:
    """n labels, 70 % of them 1, shuffled; the same for each n."""
    return np.random.default_rng(n).permutation((np.arange(n) < 0.7 * n).astype(np.int64))


def _history(epochs: int, noise: np.ndarray) -> dict:
    steps = np.arange(1, epochs + 1)
    fall = 0.18 + 0.5 * np.exp(-steps / 6)
    return {
        "train_loss": fall,
        "train_accuracy": 0.95 - 0.25 * np.exp(-steps / 5),
        "validation_loss": fall + 0.03 + np.abs(noise[1]),
        "validation_accuracy": 0.93 - 0.2 * np.exp(-steps / 5) - np.abs(noise[3]),
    }


def _environment(seed: int, seconds: float, epochs: int) -> dict:
    return {
        "device": "CPU, a made-up processor, 2 cores",
        "threads": 2,
        "revision": "0" * 40,
        "versions": {"python": "3.12.0", "torch": "2.11.0", "numpy": "2.4.0"},
        "finished": f"2026-01-0{1 + seed % 9}T00:00:00+00:00",
        "seconds": seconds,
        "epoch_seconds": [seconds / epochs] * epochs,
    }


def run(
    model: str,
    seed: int = 0,
    *,
    skill: float = 2.5,
    validation: int = 120,
    test: int = 60,
    dead: bool = False,
    diverged: bool = False,
    image_size: int = IMAGE_SIZE,
    data: dict | None = None,
    split: str = "given",
    engine: str = "",
    forced: bool = False,
    spec=None,
    weights: dict | None = None,
) -> Run:
    """A made-up run of `model`; `skill` is how far the classes' logits lie apart in standard
    deviations.
    """
    spec = spec or KNOWN[model]
    random = np.random.default_rng([seed, zlib.crc32(model.encode())])
    true = {"validation": labels(validation), "test": labels(test)}
    logits = {
        part: (skill * (y - 0.4) + random.normal(0, 1, len(y))).astype(np.float32)
        for part, y in true.items()
    }
    if spec.family == "Linear+ReLU":
        logits = {part: np.maximum(values, 0) for part, values in logits.items()}
    epochs = spec.epochs if not diverged else max(1, spec.epochs // 3)
    history = _history(epochs, 0.02 * random.normal(size=(4, epochs)))
    if dead:
        logits = {part: np.zeros(len(y), np.float32) for part, y in true.items()}
        stuck = {"loss": np.log(2), "accuracy": 0.3}
        history = {key: np.full(epochs, stuck[key.split("_")[1]]) for key in history}
    if diverged:
        logits = {part: np.empty(0, np.float32) for part in true}
        true = {part: np.empty(0, np.int64) for part in true}
    engine = engine or ("direct" if spec.family == "CNN" or spec.optimizer == "Adam" else "gram")
    seconds = (600 if spec.family == "CNN" else 20 if engine == "gram" else 90) + seed
    what = spec, seed, image_size, split, dict(data or DATA)
    how = engine, "forced" if forced else "made up", "fp32", matched_step(spec, image_size)
    history = {key: np.asarray(v).tolist() for key, v in history.items()}
    found = "diverged" if diverged else "finished", history, logits, true
    environment = _environment(seed, float(seconds), epochs)
    return results.counted(Run(*what, *how, *found, environment, weights or {}))


def save(folder, made: Run, facts: dict | None = None):
    """Save a run where train.py would; with `facts`, data.json too. Gives the file of records."""
    place = results.data_folder(folder, made.data["name"], made.data["fingerprint"])
    if facts is not None:
        results.write_json(place / "data.json", facts)
    file = place / ("given.jsonl" if made.split == "given" else results.RESPLITS)
    results.append(file, made, again=True)
    return file


def experiments(study) -> None:
    """Records of the experiments, as train.py --experiments makes them, in a study's folder: 4
    starts of 10 are dead, 3 have both signs; of the runs seed 0 with its last ReLU is dead."""
    nets = [f"{layers}x{units}" for layers in (1, 2, 3) for units in (5, 10, 20)]
    counts = dict.fromkeys(nets, [0] * 4 + [7] * 3 + [50] * 3)
    census = {"images": 50, "counts": counts, "environment": {}}
    results.write_json(study / "starts.json", {"64": census, "640": census})
    runs = [
        run(model, seed, image_size=64, dead=model == "21" and seed == 0)
        for seed in range(4)
        for model in ("21", "21@no-last-relu")
    ]
    for size in (16, 640):
        for model in ("20", "21@no-last-relu"):
            made = run(model, 0, image_size=size)
            runs += [made, replace(made, pixel_step=1.0)] if size == 16 else [made]
    for made in runs:
        results.append(study / "experiments.jsonl", made)


def shortcuts(folder, validation: int, test: int, split: str = "given") -> None:
    """baselines.json and changes.json, as scripts/evaluate.py writes them into a study's folder:
    each baseline tells the classes apart, no change moves an answer but the lung box of the other
    class."""
    random = np.random.default_rng(0)
    kept = {"validation": labels(validation), "test": labels(test)}
    logits = {
        part: 3 * found - 1.5 + random.normal(size=len(found)) for part, found in kept.items()
    }
    one = logits | {"strength": 0.1, "features": 4}
    made = {"labels": kept, "baselines": dict.fromkeys(baselines.BASELINES, one)}
    made["curve"] = {32: one, 64: one}
    baselines.write(folder, baselines.read(folder) | {split: made})
    film = np.zeros((8, 8), np.uint8)
    names = changes.every(np.stack([film] * test), kept["test"], film)
    answers = dict.fromkeys(names, logits["test"])
    answers["lung box of the other class"] = -logits["test"]
    models = [
        {"model": name, "seed": 0, "image_size": KNOWN[name].image_size, "weights": "0" * 64}
        | {"logits": answers}
        for name in ("20", "36")
    ]
    made = {split: {"labels": kept["test"], "models": models}}
    changes.write(folder, changes.read(folder) | made)


def elsewhere(study, models, name: str = "other-hospital") -> None:
    """A record of 80 films of another hospital, as scripts/evaluate.py writes it into a study's
    folder: the models' first runs are at chance there, another model is not, and the baselines tell
    the classes apart the wrong way round."""
    random, truth = np.random.default_rng(1), np.arange(80) % 2
    columns = {"view": ["AP", "PA"], "age": ["0–17", "18–39"], "sex": ["F", "M"]}
    columns = {name: [two[row // 2 % 2] for row in range(80)] for name, two in columns.items()}
    columns["other_model"] = [
        0.2 + 0.5 * label if row > 9 else None for row, label in enumerate(truth)
    ]
    shown = []
    for model in models:
        runs = results.load(study / "given.jsonl")
        run = next(run for run in runs if run.spec.id == model and run.seed == 0)
        about = {"model": model, "seed": run.seed, "image_size": run.image_size}
        about |= {"weights": "0" * 64, "cut": 0.0, "temperature": 1.0}
        shown.append(about | {"logits": random.normal(size=80).astype(np.float32)})
    turned = {one: random.normal(size=80) - 2 * truth for one in baselines.BASELINES}
    record = {"split": "given", "fingerprint": "89abcdef" * 8, "labels": truth}
    record |= {"patients": [row // 3 for row in range(80)], "columns": columns}
    record |= {"models": shown, "baselines": turned, "environment": {}}
    external.write(study, name, record)


def whole_study(folder, facts: dict, **settings) -> None:
    """All 35 models and the learning-rate search; 6 and 7 die, one model of the search diverges."""
    for model in MODELS | LEARNING_RATE_SEARCH:
        for seed in range(2):
            dead = model[0] in "67" and len(model.split("@")[0]) == 1
            save(folder, run(model, seed, dead=dead, diverged=model == "6@1e-1", **settings))
    for model in ("27b", "28b"):
        save(folder, run(model, 0, engine="direct", forced=True, **settings), facts)


def beyond(folder, study, **settings) -> None:
    """Runs of Table 3 under a results folder, each row a little better than the last, re-splits of
    36 and a search of two trials in its study."""
    for place, model in enumerate(TABLE_3):
        own = {"image_size": KNOWN[model].image_size, "skill": 2.5 + place / 2}
        for seed in range(2):
            save(folder, run(model, seed, **own | settings))
    for split in ("patient-0", "patient-1"):
        for seed in range(2):
            save(folder, run("36", seed, split=split, image_size=128, skill=4, **settings))
    for rate, loss in ((1e-3, 0.3), (3e-3, 0.2)):
        figures = {"validation_loss": loss, "validation_accuracy": 0.9, "validation_auc": 0.95}
        trial = {"spec": asdict(replace(KNOWN["31"], learning_rate=rate)), "seed": 0} | figures
        trial |= {"epochs": 60, "epoch": 60, "seconds": 1.0}
        files.append_line(study / "search.jsonl", trial)

"""A trained run and a person's images -> probabilities, decisions, and a warning where an image is
of another kind.

A prediction needs weights: a file beside the run's record, named in it with its sha256. Most runs
of a published study come without, so the errors here say which command makes them.
"""

import hashlib
import math
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from scipy.special import expit

from xray import engine, metrics, models, predict_likeness, results
from xray.data_images import resize
from xray.data_sources import PAPER, shown
from xray.results import ResultsError, Run
from xray.specs import IMAGE_SIZE, LEARNING_RATE_SEARCH, MODELS

DEFAULTS = ("26b", "22b", "22", "20")  # the paper's best model, else the next with weights at hand
NOTICE = "Research software, no medical device: nothing here may be used for a diagnosis."
SENSITIVITY = 0.95
# mean chroma of 255, see inputs.Film; tinted scans of film stay under it, photographs do not
COLOURFUL = 12
# How far out of the training images' 99 % range an image may lie, in such ranges. Of 582 test
# radiographs 1 is then told, of their negatives all, on their side more than 99 %; upside down few,
# since a chest is much alike both ways.
MARGINS = {"brightness": 0.1, "contrast": 0.1, "likeness": 0.5}
PIXELS_AT_ONCE = 2**21


class PredictError(ValueError):
    """What keeps a model from being used: one line that names it, says why and what to do."""


class Chosen(NamedTuple):
    run: Run
    study: str  # "<data>/<split>"
    facts: dict  # data.json; empty where there is none
    notes: list[str]


# ---- which run


def choose(
    folder: Path,
    model: str | None = None,
    study: str | None = None,
    seed: int | None = None,
    image_size: int | None = None,
    default_folder: Path | None = None,
) -> Chosen:
    """The run to predict with: of those with weights, in the first study that has one, the best
    (results.select).

    Studies are asked in this order: the one named in folder/latest, then those on a given split,
    then the others, the newest first. `study` names one alone. Without a model, the first of
    DEFAULTS at hand. default_folder: where train.py puts records unless told, for the command in
    errors. Raises PredictError and ResultsError.
    """
    folder, known = Path(folder), MODELS | LEARNING_RATE_SEARCH
    if model is not None and model not in known:
        raise PredictError(
            f"there is no model {shown(model)!r}; python scripts/train.py --list prints all"
        )
    found = _studies(folder, study)
    wanted = model or next((name for name in DEFAULTS if name in at_hand(found)), DEFAULTS[0])
    without, damaged = [], []
    for name, place in found.items():
        runs = []
        for path in sorted(place.glob(f"{wanted}-seed*.json")):
            try:
                run = results.load_run(path)
            except ResultsError as error:
                damaged.append(str(error))
                continue
            if (seed is None or run.seed == seed) and (
                image_size is None or run.image_size == image_size
            ):
                has = run.weights and (place / str(run.weights.get("file"))).is_file()
                (runs if has else without).append(run)
        if runs:
            return _chosen(results.select(runs)[wanted][0], name, place, damaged)
    if damaged and not without:
        raise PredictError(damaged[0])
    raise PredictError(
        _no_weights(wanted, model, folder, found, without, seed, image_size, default_folder)
    )


def _studies(folder: Path, wanted: str | None) -> dict[str, Path]:
    found = results.studies(folder) if folder.is_dir() else {}
    if not found:
        raise PredictError(
            f"{shown(folder)}: holds no records; train something first (python scripts/train.py --model "
            "21) or name another folder with --results"
        )
    if wanted is not None:
        name = wanted if wanted in found else f"{wanted}/given"
        if name not in found:
            raise PredictError(
                f"{shown(folder)}: holds no study {shown(wanted)!r}; there is {', '.join(found)}"
            )
        return {name: found[name]}
    latest = results.latest(folder)

    def newest(name):
        return max(path.stat().st_mtime for path in found[name].glob("*-seed*.json"))

    order = sorted(
        found,
        key=lambda name: (name == latest, name.endswith("/given"), newest(name)),
        reverse=True,
    )
    return {name: found[name] for name in order}


def _chosen(run: Run, name: str, place: Path, notes: list[str]) -> Chosen:
    facts, file = {}, place.parent / "data.json"
    if file.exists():
        try:
            facts = results.read_json(file)
        except ResultsError as error:
            notes.append(f"{error}; images are not compared with those of the training")
    return Chosen(run, name, facts, notes)


def at_hand(studies: dict[str, Path]) -> list[str]:
    """The models with a record and weights beside it, in the paper's order."""
    names = {
        path.name.split("-seed")[0]
        for place in studies.values()
        for path in place.glob("*-seed*.safetensors")
        if path.with_suffix(".json").exists()
    }
    return [name for name in MODELS | LEARNING_RATE_SEARCH if name in names]


def _no_weights(wanted, model, folder, found, without, seed, image_size, default_folder) -> str:
    best = results.select(without)[wanted][0] if without else None
    words = ["python", "scripts/train.py", "--model", wanted]
    place = next(iter(found.values()))
    source, split = (
        (_source(place), place.name) if best is None else (best.data["source"], best.split)
    )
    if best is not None:
        seed = best.seed
        image_size = best.image_size if best.image_size != IMAGE_SIZE else image_size
    if source != PAPER:
        here = (
            source.startswith("phantom")
            or re.fullmatch(r"[\w.-]+/[\w.-]+", source)
            or Path(source).exists()
        )
        words += ["--data", source if here else "FOLDER"]
    words += ["--image-size", str(image_size)] * (image_size is not None)
    words += ["--seeds", str(seed)] * (seed is not None)
    if best is not None and best.spec.epochs != (MODELS | LEARNING_RATE_SEARCH)[wanted].epochs:
        words += ["--epochs", str(best.spec.epochs)]
    if match := re.fullmatch(r"(image|patient)-(\d+)", split):
        words += ["--split", match[1], "--split-seed", match[2]]
    if default_folder is None or folder.resolve() != Path(default_folder).resolve():
        words += ["--out", str(folder.parent)] * (folder.name == "results")
    words += ["--force"] * (best is not None)  # its record is there, so it counts as trained
    others = ", ".join(at_hand(found)) or "none"
    start = f"model {wanted}" if model else f"no --model is given, and {wanted}, the default,"
    reason = "has no weights here" if without else "has no such run here"
    return f"{start} {reason}; to make them: {shown(shlex.join(words))}; models with weights at hand: {others}"


def _source(place: Path) -> str:
    """The data source of a study, from its data.json; the paper's where that cannot be told."""
    try:
        return str(results.read_json(place.parent / "data.json").get("source", PAPER))
    except ResultsError:
        return PAPER


def load_weights(run: Run) -> torch.nn.Module:
    """The run's module with its weights, frozen, on the CPU in float32. Raises PredictError.

    The file is read once, its sha256 compared with the record's, its tensors with the structure of
    the spec.
    """
    name = str(run.weights.get("file"))
    path = Path(run.file).parent / name
    again = "fetch it again, or train the run again with --force"
    if Path(name).name != name:
        raise PredictError(
            f"{shown(run.file)}: names weights outside of its own folder, {shown(name)!r}"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PredictError(f"{shown(path)}: cannot be read ({error.strerror}); {again}") from None
    if hashlib.sha256(content).hexdigest() != run.weights.get("sha256"):
        raise PredictError(
            f"{shown(path)}: not what its record names (the checksum differs), cut off or altered; "
            f"{again}"
        )
    try:
        tensors = from_bytes(content)
        module = models.build(run.spec, run.image_size, device="meta")
    except (SafetensorError, ValueError) as error:
        raise PredictError(
            f"{shown(path)}: {' '.join(str(error).split())[:120]}; {again}"
        ) from None
    form = {key: (tuple(value.shape), value.dtype) for key, value in module.state_dict().items()}
    if form != {key: (tuple(value.shape), value.dtype) for key, value in tensors.items()}:
        raise PredictError(
            f"{shown(path)}: not the weights of model {run.spec.id} at {run.image_size}×{run.image_size}"
            f" pixels; {again}"
        )
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise PredictError(f"{shown(path)}: holds numbers that are not finite; {again}")
    module.load_state_dict(tensors, assign=True)
    return module.requires_grad_(False).eval()


# ---- from images to decisions


def logits(module, images: np.ndarray) -> np.ndarray:
    """float32 (N,), in fp32 whatever precision the run was trained in; images uint8 (N, 1, S,
    S).
    """
    at_once = max(1, min(64, PIXELS_AT_ONCE // images[0].size))
    return engine.predict(module, torch.from_numpy(images), batch_size=at_once).numpy()


class Rule(NamedTuple):
    """Pneumonia where the logit is above `logit`."""

    name: str  # "paper", "sensitive" or "given"
    logit: float
    sensitivity: float  # on the validation images, fractions; nan where a class has none
    specificity: float

    @property
    def probability(self) -> float:
        return float(expit(self.logit))


class Rules(NamedTuple):
    paper: Rule  # logit > 0, probability above 0.5
    # finds SENSITIVITY of the validation split's pneumonia; None where none is of use
    sensitive: Rule | None
    # the one that decides; None for a model that gives all images the same answer
    decision: Rule | None
    reason: str  # why that one, in words


def rules(run: Run, probability: float | None = None) -> Rules:
    """The thresholds of a run, from its stored validation logits; `probability`, in 0-1, is a
    person's own threshold.

    A person's own decides where there is one, else `sensitive`, else, where that would call every
    validation image pneumonia (an MLP that shuts off more than 5 % of them) or cannot be had, the
    paper's.
    """
    stored, labels = run.logits["validation"], run.labels["validation"]

    def rule(name, logit):
        positive = stored > logit
        share = [
            positive[labels == 1].mean() if (labels == 1).any() else math.nan,
            1 - positive[labels == 0].mean() if (labels == 0).any() else math.nan,
        ]
        return Rule(name, float(logit), *map(float, share))

    paper, sensitive = rule("paper", 0.0), None
    try:
        sensitive = rule("sensitive", metrics.threshold_at_sensitivity(stored, labels, SENSITIVITY))
        why = (
            ""
            if sensitive.specificity > 0
            else "would call every normal validation image pneumonia"
        )
    except ValueError:
        why = "cannot be had from the validation images"
    if len(stored) and (stored == stored[0]).all():
        return Rules(
            paper,
            None,
            None,
            f"none: the model is dead, it gave all {len(stored)} validation images the same"
            f" logit, {stored[0]:g}",
        )
    if probability is not None:
        return Rules(
            paper,
            None if why else sensitive,
            rule("given", math.log(probability / (1 - probability))),
            "a threshold of your own",
        )
    if why:
        return Rules(
            paper,
            None,
            paper,
            f"the paper's rule; one that finds {SENSITIVITY:.0%} of pneumonia {why}",
        )
    return Rules(
        paper,
        sensitive,
        sensitive,
        f"it found {sensitive.sensitivity:.0%} of pneumonia on the validation "
        f"images, and called {1 - sensitive.specificity:.0%} of the normal ones pneumonia",
    )


def unlike(gray: np.ndarray, chroma: float, facts: dict, image_size: int) -> list[str]:
    """In what an image differs from those of the training, one line each; facts: the study's
    data.json.

    gray: uint8 (H, W). Told are: the ratio of its sides, where that is more than a tenth outside of
    the training images' range; its size, where its longer side is less than half of theirs; colour,
    above COLOURFUL; and what predict_likeness.look measures, where it lies outside of the 99 % range of the
    training images by more than MARGINS of that range (a likeness can only be too low). What
    data.json does not say is not compared.
    """
    found = []
    height, width = gray.shape
    if sizes := facts.get("sizes"):
        sides = np.repeat(
            [[int(side) for side in name.split("x")] for name in sizes],
            list(sizes.values()),
            axis=0,
        )
        low, high = np.percentile(sides[:, 0] / sides[:, 1], [0.5, 99.5])
        if not low / 1.1 <= width / height <= high * 1.1:
            span = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
            found.append(
                f"its width is {width / height:.2f} times its height, {span} in training images: it is "
                "pressed into a square"
            )
        least = np.percentile(sides.max(1), 0.5)
        if max(width, height) < least / 2:
            found.append(
                f"it has {width}×{height} pixels, training images have {least:.0f} or more on the longer side"
            )
    if chroma > COLOURFUL:
        found.append(f"it is in colour (chroma {chroma:.0f} of 255), radiographs are gray")
    if intensity := facts.get("intensity"):
        pixels = resize(gray, image_size)[None, None]
        words = {
            "brightness": "brightness",
            "contrast": "contrast",
            "likeness": "likeness to the mean image",
        }
        measured = predict_likeness.look(
            predict_likeness.from_afar(pixels), np.array(intensity["layout"])
        )
        for name, value in measured.items():
            low, _, high = intensity[name]
            margin = MARGINS[name] * (high - low)
            digits = 2 if name == "likeness" else 0
            if value[0] < low - margin or (value[0] > high + margin and name != "likeness"):
                found.append(
                    f"its {words[name]} is {value[0]:.{digits}f}, {low:.{digits}f} to {high:.{digits}f} in "
                    "training images"
                    + " (a negative, on its side, cropped, no chest film?)"
                    * (name == "likeness")
                )
    return found

"""Which run predicts, and its weights: a file beside the run's record, named there with its sha256.

Most runs of a published study come without weights, so the errors here say which command makes
them.
"""

import hashlib
import math
import re
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from scipy.special import expit

from xray import metrics, models, predict_likeness, results
from xray.data_sources import PAPER, shown
from xray.files import UserError
from xray.metrics import SENSITIVITY
from xray.results import ResultsError, Run
from xray.specs import KNOWN
from xray.study import in_order, train_command

# Table 3's best by validation, the paper's best, else the next with weights at hand
DEFAULTS = ("36", "26b", "22b", "22", "20")
SURE = 0.99  # share of either class's validation images that lie outside of the band of the unsure


class PredictError(UserError):
    """What keeps a model from being used: one line that names it, says why and what to do."""


class Chosen(NamedTuple):
    run: Run
    study: str  # "<data>/<split>"
    facts: dict  # data.json; empty where there is none
    notes: list[str]


def choose(folder: Path, model=None, study=None, seed=None, image_size=None) -> Chosen:
    """The run to predict with: of those with weights, in the first study that has one, the best
    (results.select).

    Studies are asked in the order of study.in_order; `study` names one alone. Without a model, the
    first of DEFAULTS at hand. seed, image_size: of the run, None for any. Raises PredictError and
    ResultsError.
    """
    folder = Path(folder)
    if model is not None and model not in KNOWN:
        raise PredictError(
            f"there is no model {shown(model)!r}; python scripts/train.py --list prints all"
        )
    studies = _studies(folder, study)
    wanted = model or next((name for name in DEFAULTS if name in at_hand(studies)), DEFAULTS[0])
    without, damaged = [], []
    for name, place in studies.items():
        runs = []
        try:
            there = results.runs_of(place).values()
        except ResultsError as error:
            damaged.append(str(error))
            continue
        for run in there:
            alike = seed in (None, run.seed) and image_size in (None, run.image_size)
            if run.spec.id == wanted and alike:
                (runs if has_weights(run) else without).append(run)
        if runs:
            return _with_facts(results.select(runs)[wanted][0], name, place, damaged)
    if damaged and not without:
        raise PredictError(damaged[0])
    best = results.select(without)[wanted][0] if without else None
    start = f"model {wanted}" if model else f"no --model is given, and {wanted}, the default,"
    reason = "has no such run here" if best is None else "has no weights here"
    place = next(iter(studies.values())) if best is None else best.file
    command = _command(wanted, seed, image_size, best, place)
    others = ", ".join(at_hand(studies)) or "none"
    raise PredictError(
        f"{start} {reason}; to make them: {shown(command)}; models with weights at hand: {others}"
    )


def _studies(folder: Path, wanted: str | None) -> dict[str, Path]:
    """Name -> folder of the studies to ask, in order."""
    found = results.studies(folder) if folder.is_dir() else {}
    if not found:
        raise PredictError(
            f"{shown(folder)}: holds no records; train something first (python scripts/train.py "
            "--model 21) or name another folder with --results"
        )
    try:
        return in_order(folder, wanted)
    except ResultsError:
        there = ", ".join(found)
        raise PredictError(
            f"{shown(folder)}: holds no study {shown(wanted)!r}; there is {there}"
        ) from None


def _with_facts(run: Run, name: str, place: Path, notes: list[str]) -> Chosen:
    facts, file = {}, place.parent / "data.json"
    if file.exists():
        try:
            facts = results.read_json(file)
            predict_likeness.check(facts)
        except (ResultsError, predict_likeness.Unusable) as error:
            facts = {}
            notes.append(f"{shown(error)}; images are not compared with those of the training")
    return Chosen(run, name, facts, notes)


def at_hand(studies: dict[str, Path]) -> list[str]:
    """The models with a record and weights beside it, in the paper's order."""
    names = set()
    for file in studies.values():
        try:
            found = results.runs_of(file).values()
        except ResultsError:  # told where it is asked for
            continue
        names |= {run.spec.id for run in found if has_weights(run)}
    return [name for name in KNOWN if name in names]


def has_weights(run: Run) -> bool:
    return bool(run.weights) and results.weights_path(run).is_file()


def _command(model, seed, size, best, place) -> str:
    """What makes the weights: of `best`, the run without them, else of a new run in `place`."""
    facts, split = _facts(place), place.stem
    source = str(facts.get("source", PAPER))
    if best is not None:
        source, split, seed = best.data["source"], best.split, best.seed
        size = best.image_size if best.image_size != KNOWN[model].image_size else size
    hub = re.fullmatch(r"[\w.-]+/[\w.-]+", source)
    here = source.startswith("phantom") or hub or Path(source).exists()
    options = [*facts.get("options", []), *["--seeds", str(seed)] * (seed is not None)]
    if best is not None and best.spec.epochs != KNOWN[model].epochs:
        options += ["--epochs", str(best.spec.epochs)]
    options += ["--force"] * (best is not None)  # its record is there, so it counts as trained
    source = source if here else "FOLDER"
    return train_command([model], source, split, size, place.parents[1], options)


def _facts(place: Path) -> dict:
    """What a study's data.json says; empty where that cannot be told."""
    try:
        return results.read_json(place.parent / "data.json")
    except ResultsError:
        return {}


def load_weights(run: Run) -> torch.nn.Module:
    """The run's module with its weights, frozen, on the CPU in float32. Raises PredictError.

    The file is read once, its sha256 compared with the record's, its tensors with the structure of
    the spec.
    """
    name, path = str(run.weights.get("file")), results.weights_path(run)
    if Path(name).name != name:
        raise PredictError(
            f"{shown(run.file)}: names weights outside of its own folder, {shown(name)!r}"
        )

    def refused(reason):
        again = "fetch it again, or train the run again with --force"
        return PredictError(f"{shown(path)}: {reason}; {again}")

    try:
        content = path.read_bytes()
    except OSError as error:
        raise refused(f"cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != run.weights.get("sha256"):
        raise refused("not what its record names (the checksum differs), cut off or altered")
    try:
        tensors = from_bytes(content)
        module = models.build(run.spec, run.image_size, device="meta")
    except (SafetensorError, ValueError) as error:
        raise refused(" ".join(str(error).split())[:120]) from None
    form = {key: (value.shape, value.dtype) for key, value in module.state_dict().items()}
    if form != {key: (value.shape, value.dtype) for key, value in tensors.items()}:
        size = f"{run.image_size}×{run.image_size}"
        raise refused(f"not the weights of model {run.spec.id} at {size} pixels")
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise refused("holds numbers that are not finite")
    module.load_state_dict(tensors, assign=True)
    return module.requires_grad_(False).eval()


# ---- which logit counts as pneumonia

NOTICE = "Research software, no medical device: nothing here may be used for a diagnosis."


class Threshold(NamedTuple):
    """Pneumonia where the logit is above `logit`."""

    name: str  # "paper", "sensitive" or "given"
    logit: float
    sensitivity: float  # on the validation images, fractions; nan where a class has none
    specificity: float
    temperature: float

    @property
    def probability(self) -> float:
        return float(expit(self.logit / self.temperature))


class Thresholds(NamedTuple):
    paper: Threshold  # logit > 0, probability above 0.5
    sensitive: Threshold | None  # finds SENSITIVITY of validation's pneumonia; None where of no use
    decision: Threshold | None  # the one that decides; None for a dead model
    reason: str  # why that one, in words
    # the probability is sigmoid(logit / temperature), fitted to the validation images
    temperature: float = 1.0
    # logits between which an answer is unsure: below the first lie at most 1 % of validation's
    # pneumonia, above the second at most 1 % of its normal images, and the threshold that decides
    # lies between; None where the classes do not overlap
    unsure: tuple[float, float] | None = None


def thresholds(run: Run, probability: float | None = None) -> Thresholds:
    """The thresholds of a run, from its stored validation logits; `probability`, in 0-1, is a
    person's own.

    A person's own decides where there is one, else `sensitive`, else, where that would call every
    validation image pneumonia (an MLP that shuts off more than 5 % of them) or cannot be had, the
    paper's.
    """
    stored, labels = run.logits["validation"], run.labels["validation"]
    warm = metrics.temperature(stored, labels) if len(stored) else 1.0

    def threshold(name, logit):
        positive = stored > logit
        found, called = (
            positive[labels == label].mean() if (labels == label).any() else math.nan
            for label in (1, 0)
        )
        return Threshold(name, float(logit), float(found), float(1 - called), warm)

    paper, sensitive = threshold("paper", 0.0), None
    why = "cannot be had from the validation images"
    if len(stored) and (stored == stored[0]).all():
        dead = f"it gave all {len(stored)} validation images the same logit, {stored[0]:g}"
        return Thresholds(paper, None, None, f"none: the model is dead, {dead}")
    try:
        logit = metrics.threshold_at_sensitivity(stored, labels, SENSITIVITY)
        found = threshold("sensitive", logit)
        why = "would call every normal validation image pneumonia"
        sensitive = found if found.specificity > 0 else None
    except ValueError:
        pass
    if probability is not None:
        own = threshold("given", warm * math.log(probability / (1 - probability)))
        more = warm, _unsure(stored, labels, own.logit)
        return Thresholds(paper, sensitive, own, "a threshold of your own", *more)
    if sensitive is None:
        reason = f"the paper's rule; one that finds {SENSITIVITY:.0%} of pneumonia {why}"
        return Thresholds(paper, None, paper, reason, warm, _unsure(stored, labels, 0.0))
    called = 1 - sensitive.specificity
    reason = (
        f"it found {sensitive.sensitivity:.0%} of pneumonia on the validation images, and called "
        f"{called:.0%} of the normal ones pneumonia"
    )
    more = warm, _unsure(stored, labels, sensitive.logit)
    return Thresholds(paper, sensitive, sensitive, reason, *more)


def _unsure(stored, labels, decision: float) -> tuple[float, float] | None:
    """See Thresholds.unsure."""
    try:
        low = metrics.threshold_at_sensitivity(stored, labels, SURE)
        high = -metrics.threshold_at_sensitivity(-stored, 1 - labels, SURE)
    except ValueError:
        return None
    return (min(low, decision), max(high, decision)) if low < high else None

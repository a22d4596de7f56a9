"""Which run predicts, its weights, and from which logit on it says pneumonia.

Most runs of a published study come without weights, so the errors here say which command makes
them.
"""

import hashlib
import math
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jinja2 import TemplateError
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from scipy.special import expit

from xray import metrics, models, predict_likeness, results
from xray.files import UserError, shown
from xray.results import ResultsError, Run
from xray.specs import KNOWN
from xray.study import command, in_order

NOTICE = "Research software, no medical device: nothing here may be used for a diagnosis."
SURE = 0.99  # share of either class's validation images that lie outside of the band of the unsure
FEW = 50  # validation images of a class, below which thresholds and probabilities are rough


class PredictError(UserError):
    """What keeps a model from being used: one line that names it, says why and what to do."""


# ---- which run


class Chosen(NamedTuple):
    run: Run
    study: str  # its name, as results.studies has it
    why: str  # why this model, in words
    facts: dict  # data.json
    notes: list[str]  # what a person should be told


def choose(folder: Path, model=None, study=None, seed=None, image_size=None) -> Chosen:
    """The run to predict with: of the first study that has weights of the model.

    Studies are asked in the order of study.in_order (what was trained last comes first), but those
    of the films in the box and of phantoms after all others; `study` names one alone. Without a
    model, that one of the study whose logits rank the validation images best. seed, image_size: of
    the run, None for any. Raises PredictError and ResultsError.
    """
    if model is not None and model not in KNOWN:
        raise PredictError(
            f"there is no model {shown(model)!r}; python scripts/train.py --list prints all"
        )
    studies, notes = in_order(Path(folder), study), []

    def not_own(name):
        with suppress(ResultsError):  # of a study that another one speaks for, it does not matter
            return facts_of(studies[name]).get("kind") in ("films", "phantom")
        return False

    for name in sorted(studies, key=not_own):  # equals stay in order
        runs = with_weights(studies[name], seed, image_size)
        if model in runs or (model is None and runs):
            break
        what = f"model {model}" if model else "any model"
        notes.append(f"study {shown(name)} has no weights of {what}; another study is used")
    else:
        raise PredictError(_missing(model, seed, image_size, studies))
    why = "as asked for"
    if model is None:
        model = max(runs, key=lambda model: _area(runs[model]))
        why = f"the best of {len(runs)} with weights on the validation films"
    facts = facts_of(studies[name])
    with told_if_altered(runs[model]):
        predict_likeness.check(facts)
    return Chosen(runs[model], name, why, facts, notes)


def facts_of(file: Path) -> dict:
    """The data.json beside a study's records. Raises ResultsError."""
    return results.read_json(file.parent / "data.json")


@contextmanager
def told_if_altered(run: Run):
    """A context in which data.json is used: what it raises where that is not as this version writes
    it becomes a PredictError."""
    kinds = ArithmeticError, AttributeError, LookupError, TemplateError, TypeError, ValueError
    try:
        yield
    except kinds as error:
        file, what = shown(run.file.parent / "data.json"), " ".join(shown(error).split())[:80]
        raise PredictError(
            f"{file}: altered by hand ({what}); delete it, and train.py makes it anew"
        ) from None


def with_weights(file: Path, seed=None, image_size=None) -> dict[str, Run]:
    """Model -> the run of a study that speaks for it (results.select, the lowest seed), of those
    whose weights are there, in the paper's order. Raises ResultsError."""
    runs = [
        run
        for run in results.load(file)
        if run.weights and results.weights_path(run).is_file()
        if seed in (None, run.seed) and image_size in (None, run.image_size)
    ]
    return {model: chosen[0] for model, chosen in results.select(runs).items()}


def _area(run: Run) -> float:
    """Under the ROC on the validation images; nan where they are of one class."""
    return metrics.scores(run.logits["validation"], run.labels["validation"])["roc_auc"]


def _missing(model: str | None, seed: int | None, image_size, studies: dict[str, Path]) -> str:
    """What to say where no study has the weights that are asked for, and how to make them."""
    runs, wanted = results.load(next(iter(studies.values()))), model or "20"
    recorded = [run for run in runs if run.spec.id == wanted]
    options = ["--seeds", str(seed)] if seed is not None else []
    options += ["--image-size", str(image_size)] if image_size is not None else []
    options += ["--force"] if recorded else []
    make = command(recorded or runs, [wanted], *options)
    source = runs[0].data["source"]
    if source.startswith((".", "/", "~")) and not Path(source).expanduser().exists():
        make = make.replace(f"--data {source}", "--data FOLDER")  # where its films lie is not known
    at_hand = dict.fromkeys(name for file in studies.values() for name in with_weights(file))
    return shown(
        f"no such weights of {f'model {model}' if model else 'any model'} are in "
        f"{', '.join(studies)}; to make them: {make}; models with weights at hand: "
        f"{', '.join(at_hand) or 'none'}"
    )


def load_weights(run: Run) -> torch.nn.Module:
    """The run's module with its weights, frozen, on the CPU in float32. Raises PredictError where
    they are not there, or not what the record names."""
    path = results.weights_path(run)
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != run.weights["sha256"]:
            raise ValueError("not what its record names (the checksum differs), cut off or altered")
        module = models.build(run.spec, run.image_size)
        module.load_state_dict(from_bytes(content))
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    except (ValueError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
    else:
        return module.requires_grad_(False).eval()
    again = "fetch it again, or train the run again with --force"
    raise PredictError(f"{shown(path)}: {reason}; {again}")


# ---- which logit counts as pneumonia


class Threshold(NamedTuple):
    """Pneumonia where the logit is above `logit`."""

    name: str  # "paper", "sensitive" or "given"
    logit: float
    probability: float  # the calibrated one of that logit
    sensitivity: float  # on the validation images, fractions; nan where a class has none
    specificity: float


class Thresholds(NamedTuple):
    paper: Threshold  # logit > 0, probability above 0.5
    # finds metrics.SENSITIVITY of validation's pneumonia; None where of no use
    sensitive: Threshold | None
    decision: Threshold | None  # the one that decides; None for a dead model
    reason: str  # why that one, in words
    temperature: float = 1.0  # fitted to the validation images
    # logits between which an answer is unsure: below the first lie at most 1 % of validation's
    # pneumonia, above the second at most 1 % of its normal images, and the threshold that decides
    # lies between; None where the classes do not overlap
    unsure: tuple[float, float] | None = None
    warning: str = ""  # where all of this rests on few images

    def probability(self, logits):
        """The calibrated probability of pneumonia, float64, of a logit or an array of them."""
        return expit(np.float64(logits) / self.temperature)


def thresholds(run: Run, probability: float | None = None) -> Thresholds:
    """The thresholds of a run, from its stored validation logits; `probability`, in 0-1, is a
    person's own.

    A person's own decides where there is one, else `sensitive`, else, where that would call every
    validation image pneumonia (an MLP that shuts off more than 5 % of them) or cannot be had, the
    paper's.
    """
    stored, labels = run.logits["validation"], run.labels["validation"]
    temperature = metrics.temperature(stored, labels)

    def threshold(name, logit):
        chance = float(expit(logit / temperature))
        return Threshold(name, logit, chance, *recalls(stored > logit, labels))

    paper, sensitive, unsure = threshold("paper", 0.0), None, None
    if (stored == stored[0]).all():
        dead = f"it gave all {len(stored)} validation images the same logit, {stored[0]:g}"
        return Thresholds(paper, None, None, f"none: the model is dead, {dead}")
    normal, ill = np.bincount(labels, minlength=2).tolist()
    why = "all validation images are of one class"
    if normal and ill:
        found = threshold("sensitive", metrics.threshold_at_sensitivity(stored, labels))
        sensitive = found if found.specificity > 0 else None
        why = f"one that finds {metrics.SENSITIVITY:.0%} of pneumonia would call every normal "
        why += "validation image pneumonia"
    if probability is not None:
        logit = temperature * math.log(probability / (1 - probability))
        decision, reason = threshold("given", logit), "a threshold of your own"
    elif sensitive:
        decision = sensitive
        reason = (
            f"it found {sensitive.sensitivity:.0%} of pneumonia on the validation images, and "
            f"called {1 - sensitive.specificity:.0%} of the normal ones pneumonia"
        )
    else:
        decision, reason = paper, f"the paper's rule; {why}"
    if normal and ill:
        low = metrics.threshold_at_sensitivity(stored, labels, SURE)
        high = -metrics.threshold_at_sensitivity(-stored, 1 - labels, SURE)
        if low < high:
            unsure = min(low, decision.logit), max(high, decision.logit)
    warning = ""
    if min(normal, ill) < FEW:
        warning = (
            f"only {normal} normal and {ill} pneumonia images to validate on; threshold, band and "
            f"probabilities are rough below {FEW} of each"
        )
    return Thresholds(paper, sensitive, decision, reason, temperature, unsure, warning)


def recalls(positive: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Sensitivity and specificity, fractions, of calling the `positive` pneumonia; nan where a
    class has no image."""
    ill, normal = positive[labels == 1], ~positive[labels == 0]
    return tuple(float(called.mean()) if len(called) else math.nan for called in (ill, normal))

"""A person's images through a trained run -> probabilities, decisions, maps, and a warning where an
image is of another kind than those of the training.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import expit

from xray import engine, metrics, predict_inputs, predict_maps
from xray.data_images import Unreadable, resize
from xray.files import write_atomically
from xray.predict_likeness import unlike
from xray.predict_weights import Chosen
from xray.results import Run

NOTICE = "Research software, no medical device: nothing here may be used for a diagnosis."
SENSITIVITY = 0.95
PIXELS_AT_ONCE = 2**21
AT_ONCE = 32  # images read, judged and drawn together


def logits(module, images: np.ndarray) -> np.ndarray:
    """float32 (N,), in fp32 whatever precision the run was trained in; images uint8 (N, 1, S,
    S).
    """
    at_once = max(1, min(64, PIXELS_AT_ONCE // images[0].size))
    return engine.predict(module, torch.from_numpy(images), batch_size=at_once).numpy()


# ---- decisions


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
        found, called = (
            positive[labels == label].mean() if (labels == label).any() else math.nan
            for label in (1, 0)
        )
        return Rule(name, float(logit), float(found), float(1 - called))

    paper, sensitive, why = rule("paper", 0.0), None, "cannot be had from the validation images"
    if len(stored) and (stored == stored[0]).all():
        dead = f"it gave all {len(stored)} validation images the same logit, {stored[0]:g}"
        return Rules(paper, None, None, f"none: the model is dead, {dead}")
    try:
        found = rule("sensitive", metrics.threshold_at_sensitivity(stored, labels, SENSITIVITY))
        why = "would call every normal validation image pneumonia"
        sensitive = found if found.specificity > 0 else None
    except ValueError:
        pass
    if probability is not None:
        own = rule("given", math.log(probability / (1 - probability)))
        return Rules(paper, sensitive, own, "a threshold of your own")
    if sensitive is None:
        reason = f"the paper's rule; one that finds {SENSITIVITY:.0%} of pneumonia {why}"
        return Rules(paper, None, paper, reason)
    called = 1 - sensitive.specificity
    reason = (
        f"it found {sensitive.sensitivity:.0%} of pneumonia on the validation images, and called "
        f"{called:.0%} of the normal ones pneumonia"
    )
    return Rules(paper, sensitive, sensitive, reason)


# ---- from files to answers


class Ready(NamedTuple):
    """A film made ready for a model, or the reason why it cannot be read."""

    reason: str = ""
    pixels: np.ndarray | None = None  # uint8 (S, S)
    shown: np.ndarray | None = None  # uint8, of predict_maps.thumbnail
    warnings: list[str] = []


def make_ready(path: Path, facts: dict, size: int) -> Ready:
    """Read one file. facts: of the study, see `unlike`; size: pixels a side of the model."""
    try:
        gray, chroma = predict_inputs.read(path)
        warnings = unlike(gray, chroma, facts, size)
        return Ready("", resize(gray, size), predict_maps.thumbnail(gray), warnings)
    except Unreadable as error:
        return Ready(str(error))
    except MemoryError:
        return Ready("too large for this machine's memory")


def judge(paths: list[Path], chosen: Chosen, module, rules: Rules, folder: Path | None):
    """Yield a dict for each image, in order: what is found, or image and reason where it cannot be
    read. folder: where maps go, None for none. Raises OSError where a map cannot be written.
    """
    run, taken = chosen.run, {predict_maps.key(path) for path in paths}
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(paths), AT_ONCE):
            part = paths[start : start + AT_ONCE]
            films = list(
                pool.map(lambda path: make_ready(path, chosen.facts, run.image_size), part)
            )
            good = [film.pixels for film in films if not film.reason]
            found = iter(logits(module, np.stack(good)[:, None]).tolist() if good else ())
            for path, film in zip(part, films):
                if film.reason:
                    yield {"image": str(path), "reason": film.reason}
                    continue
                answer = _answer(path, film, next(found), rules)
                if folder:
                    answer |= _draw_map(path, film, answer, run, module, folder, taken)
                yield answer


def _answer(path: Path, film: Ready, logit: float, rules: Rules) -> dict:
    def decision(rule):
        return rule and ("PNEUMONIA" if logit > rule.logit else "NORMAL")

    return {
        "image": str(path),
        "probability": float(expit(logit)),
        "logit": logit,
        "decision": decision(rules.decision),
        "decision_paper": decision(rules.paper),
        "decision_sensitive": decision(rules.sensitive),
        "map": None,
        "warnings": film.warnings,
    }


def _draw_map(path, film, answer, run, module, folder, taken) -> dict:
    values, rest = predict_maps.contributions(run.spec, module, film.pixels[None, None])
    target = predict_maps.place(folder, path, run.spec.id, taken)
    title = f"model {run.spec.id}: probability of pneumonia {answer['probability']:.3f}"
    write_atomically(target, predict_maps.draw(film.shown, values[0], title, NOTICE))
    parts = {"pixels": float(values.sum(dtype=np.float64)), "rest": float(rest[0])}
    return {"map": str(target), "contributions": parts}

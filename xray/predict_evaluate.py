"""A model judged on a person's own labelled images: folders named after the classes."""

from pathlib import Path

import numpy as np

from xray import intervals, metrics
from xray.predict_weights import PredictError, Thresholds

CLASSES = {"NORMAL": 0, "PNEUMONIA": 1}
AT_THRESHOLD = {
    "accuracy": "accuracy",
    "recall": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "npv": "negative predictive value",
    "f1": "F1",
}


def labels_of(paths: list[Path], classes: dict | None) -> dict[str, int]:
    """Image -> its label: that of the nearest folder above it with a class's name
    (`classes`: name -> label, those of the training; CLASSES beside them), capitals or not. Raises
    PredictError where an image has none."""
    known = {name.casefold(): label for name, label in (CLASSES | (classes or {})).items()}
    found = {}
    for path in paths:
        names = [part.casefold() for part in path.parts[-2::-1]]
        label = next((known[name] for name in names if name in known), None)
        if label is None:
            raise PredictError(
                f"--evaluate: {path.name} lies in no folder that is named after a class "
                f"({', '.join(sorted(known)).upper()})"
            )
        found[str(path)] = label
    return found


def evaluate(answers: list[dict], known: dict[str, int], thresholds: Thresholds) -> dict:
    """Scores of predict.answers, of one image or more, on the labels that labels_of gave: each as
    (value, low, high), fractions, with the 95 % interval over such images (intervals.of_model); nan
    where there is none, as for the average precision.

    images: count by label. at: threshold's name -> AT_THRESHOLD's scores. ranking: roc_auc,
    average_precision, brier.
    """
    logits = np.array([answer["logit"] for answer in answers], np.float64)
    labels = np.array([known[answer["image"]] for answer in answers])
    asked = [thresholds.decision, thresholds.sensitive, thresholds.paper]
    at = {}
    for threshold in filter(None, asked):
        above = logits - threshold.logit
        at[threshold.name] = _with_intervals(above, labels, AT_THRESHOLD)
    ranking = _with_intervals(logits, labels, metrics.RANK_METRICS)
    counts = {name: int((labels == label).sum()) for name, label in CLASSES.items()}
    return {"images": counts, "at": at, "ranking": ranking}


def _with_intervals(logits, labels, names) -> dict[str, tuple]:
    values, spans = metrics.scores(logits, labels), intervals.of_model(logits, labels)
    return {name: (values[name], *spans.get(name, (np.nan, np.nan))) for name in names}


def told(found: dict, thresholds: Thresholds) -> list[str]:
    """What `evaluate` found, in lines."""
    counts = ", ".join(f"{count} {name}" for name, count in found["images"].items())
    lines = [f"evaluated on {counts}; in brackets 95 % intervals over such images"]

    def listed(scores, names):
        texts = []
        for name, called in names.items():
            value, low, high = scores[name]
            span = f" [{low:.3f}, {high:.3f}]" if low == low else ""
            texts += [f"{called} {value:.3f}{span}"] if value == value else []
        return ", ".join(texts)

    for name, scores in found["at"].items():
        every = (thresholds.decision, thresholds.sensitive, thresholds.paper)
        threshold = next(one for one in every if one and one.name == name)
        at = f"  at probability {threshold.probability:.3f} ({name})"
        lines.append(f"{at}: {listed(scores, AT_THRESHOLD)}")
    names = {"roc_auc": "area under the ROC", "average_precision": "average precision"}
    return lines + [f"  {listed(found['ranking'], names | {'brier': 'Brier score'})}"]

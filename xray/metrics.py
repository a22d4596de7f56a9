"""Logits and labels -> scores and curves.

Everywhere: `logits` (N,) real numbers, +-inf allowed; `labels` (N,) of 0/1; 1 = PNEUMONIA =
positive; N images in the data's order. The prediction is `logit > 0`, which is the paper's
round(sigmoid(logit)): a logit of exactly 0, all that a dead ReLU gives, is class 0. The probability
is sigmoid(logit). Scores are fractions in 0-1.

Rules for what has no value: precision, recall, specificity, NPV and F1 with nothing to divide by
are 0; AUC and average precision are nan where only one class is there. Empty, unequal or nan input,
as of a diverged run, raises ValueError: callers leave such runs out (`run.status == "diverged"`).
"""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import rankdata

from xray import results

SENSITIVITY = 0.95  # of the threshold that finds most of pneumonia
CALIBRATION_BINS = 15  # equal width, as in Guo et al. 2017
COUNT_METRICS = ("accuracy", "precision", "recall", "f1", "specificity", "npv")
RANK_METRICS = ("roc_auc", "average_precision", "brier")


def checked(logits, labels) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels as arrays, labels int64. Raises ValueError (see the top)."""
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 1 or logits.shape != labels.shape:
        shapes = f"logits {logits.shape} and labels {labels.shape}"
        raise ValueError(f"{shapes} must be 1-D and of the same length")
    if not len(logits):
        raise ValueError("there are no logits: the run diverged or saw no image; leave it out")
    if np.isnan(logits.astype(np.float64)).any() or not ((labels == 0) | (labels == 1)).all():
        raise ValueError("logits must be numbers and labels 0 or 1")
    return logits, labels.astype(np.int64)


def predictions(logits) -> np.ndarray:
    """The predicted classes, int64 (N,): 1 where logit > 0."""
    return (np.asarray(logits) > 0).astype(np.int64)


def scores(logits, labels, batch_size: int = 32) -> dict:
    """All scores of one run on one split.

    accuracy, precision, recall (= sensitivity), f1, specificity, npv: see count_scores.
    batch_mean_accuracy: see that function; `batch_size` serves nothing else.
    roc_auc, average_precision: over all thresholds. brier: mean (p - y)^2, 0 is best.
    ece: expected calibration error, sum over 15 equal bins of p of (share of images) * |mean p -
        share positive|.
    tp, tn, fp, fn: int.
    """
    logits, labels = checked(logits, labels)
    probability, counts = expit(logits.astype(np.float64)), confusion(logits, labels)
    area, average = math.nan, math.nan
    if 0 < labels.sum() < len(labels):
        area, average = _ranking(logits, labels)
    bins = reliability(logits, labels)
    off = np.nansum(bins["count"] * np.abs(bins["probability"] - bins["positive"]))
    result = count_scores(**counts) | {
        "batch_mean_accuracy": batch_mean_accuracy(logits, labels, batch_size),
        "roc_auc": area,
        "average_precision": average,
        "brier": np.mean((probability - labels) ** 2),
        "ece": off / len(labels),
    }
    return {name: float(value) for name, value in result.items()} | counts


def _ranking(logits, labels) -> tuple[float, float]:
    """Area under the ROC curve and average precision, as scikit-learn's roc_auc_score and
    average_precision_score give them, without their checks: a study has a thousand runs."""
    positives, negatives = labels.sum(), (1 - labels).sum()
    above = rankdata(logits)[labels == 1].sum() - positives * (positives + 1) / 2  # of Mann-Whitney
    _, place = np.unique(-logits, return_inverse=True)
    called = np.cumsum(np.bincount(place))  # as the threshold falls from logit to logit
    right = np.cumsum(np.bincount(place, labels))
    average = np.sum(np.diff(right, prepend=0) * right / called) / positives
    return above / (positives * negatives), average


def batch_mean_accuracy(logits, labels, batch_size: int) -> float:
    """The mean over consecutive batches of their accuracy, as in the tutorial's loop.

    The last batch counts as much as a full one, however small: of 582 images in batches of 32 each
    of the last 6 weighs as much as 5.3 others. Equals the accuracy where batch_size divides N.
    """
    logits, labels = checked(logits, labels)
    right = (predictions(logits) == labels).astype(float)
    starts = np.arange(0, len(right), batch_size)
    sizes = np.diff(np.append(starts, len(right)))
    return float(np.mean(np.add.reduceat(right, starts) / sizes))


def always_pneumonia(labels) -> dict:
    """The scores of a model that surely calls all pneumonia: what any model must beat."""
    return scores(np.full(len(labels), np.inf), labels)


def confusion(logits, labels) -> dict:
    """tp, fp, fn, tn: int."""
    return results.confusion(*checked(logits, labels))


def count_scores(tp, tn, fp, fn) -> dict:
    """The count metrics from confusion counts: numbers, or arrays of one shape. 0/0 is 0."""

    def ratio(top, bottom):
        return np.divide(top, bottom, out=np.zeros(np.shape(bottom)), where=np.asarray(bottom) > 0)

    tp, tn, fp, fn = (np.asarray(count, np.float64) for count in (tp, tn, fp, fn))
    return {
        "accuracy": ratio(tp + tn, tp + tn + fp + fn),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "specificity": ratio(tn, tn + fp),
        "npv": ratio(tn, tn + fn),
    }


def reliability(logits, labels, bins: int = CALIBRATION_BINS) -> dict:
    """For equal bins of the probability: edges (bins + 1,), count, and mean probability and share
    of positives (bins,), both nan where a bin is empty (scikit-learn's calibration_curve leaves
    such bins out, and gives no counts)."""
    logits, labels = checked(logits, labels)
    probability = expit(logits.astype(np.float64))
    edges = np.linspace(0, 1, bins + 1)
    place = np.minimum(np.searchsorted(edges, probability, side="right") - 1, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, probability, bins) / count
        positive = np.bincount(place, labels, bins) / count
    return {"edges": edges, "count": count, "probability": mean, "positive": positive}


def threshold_at_sensitivity(logits, labels, sensitivity: float = SENSITIVITY) -> float:
    """The highest t, in the logits' own precision, where `logit > t` finds that share of positives.

    Chosen on the validation split, used on the test split. ValueError without a positive, or where
    even t = -inf would not do (a positive at -inf).
    """
    logits, labels = checked(logits, labels)
    positives = np.sort(logits[labels == 1])[::-1]
    if not len(positives) or not 0 < sensitivity <= 1:
        raise ValueError("a threshold at a sensitivity needs positives and a sensitivity in (0, 1]")
    # the weakest positive that must be found
    lowest = positives[math.ceil(sensitivity * len(positives) - 1e-9) - 1]
    if np.isneginf(lowest):
        raise ValueError("no threshold reaches that sensitivity: a logit is -inf")
    return float(np.nextafter(lowest, np.array(-np.inf, lowest.dtype)))


def temperature(logits, labels) -> float:
    """The T for which sigmoid(logit / T) has the lowest cross-entropy on these images, from 1/20 to
    20: temperature scaling (Guo et al. 2017), which changes no decision. 1 where only one class is
    there, or nothing depends on it."""
    logits, labels = checked(logits, labels)
    if labels.min() == labels.max() or not logits.any():
        return 1.0
    signed = np.where(labels == 1, 1, -1) * logits.astype(np.float64)

    def loss(log):
        return np.logaddexp(0, -signed / math.exp(log)).mean()

    return math.exp(minimize_scalar(loss, bounds=(-math.log(20), math.log(20))).x)


def wrong_probability(logits, labels) -> np.ndarray:
    """The probability that a run gave the wrong class where it erred, else 0: float64 (N,)."""
    probability = expit(np.asarray(logits, np.float64))
    wrong = predictions(logits) != labels
    return np.where(wrong, np.where(labels == 1, 1 - probability, probability), 0.0)

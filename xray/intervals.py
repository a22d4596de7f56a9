"""How far a score may lie from what was measured: other images, other seeds, other splits.

A score of one run is a mean over images, or a ratio or ranking of them; `influence` gives each
image's part in it, and the variance of their mean is the score's variance over test sets. With
that no image need be redrawn: the intervals are exact functions of the logits, without a random
number and without a digit that depends on one.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, ndtri, stdtr, stdtrit  # the normal's and Student's t, in numbers

from xray.metrics import checked, predictions

LEVEL = 0.95


def influence(logits, labels) -> dict[str, tuple[float, np.ndarray]]:
    """score -> (its value, float64 (N,) the influence of each image: mean 0, and the variance of
    their mean is that of the score over test sets of N images).

    logits, labels: (N,), as in metrics. accuracy, precision, recall, f1, specificity, npv are
    ratios of two sums over images, sum a / sum b, with influence (a - value · b) / mean b (the
    delta method); roc_auc has the structural components of DeLong, DeLong and Clarke-Pearson
    (Biometrics 44, 1988); brier is a mean. Scores without a value (0/0, one class) are left out.
    """
    logits, labels = checked(logits, labels)
    called = predictions(logits)
    found, both, neither = {}, called * labels, (1 - called) * (1 - labels)
    ratios = {
        "accuracy": (both + neither, np.ones(len(labels))),
        "precision": (both, called),
        "recall": (both, labels),
        "f1": (2 * both, called + labels),
        "specificity": (neither, 1 - labels),
        "npv": (neither, 1 - called),
    }
    for name, (top, bottom) in ratios.items():
        if bottom.sum():
            value = top.sum() / bottom.sum()
            found[name] = float(value), (top - value * bottom) / bottom.mean()
    if 0 < labels.sum() < len(labels):
        found["roc_auc"] = _ranking(logits, labels)
    error = (expit(logits.astype(np.float64)) - labels) ** 2
    return found | {"brier": (float(error.mean()), error - error.mean())}


def _ranking(logits, labels) -> tuple[float, np.ndarray]:
    """The area under the ROC curve and each image's influence on it (DeLong et al. 1988): for a
    positive the share of negatives below it, for a negative that of positives above, ties half."""
    positive = labels == 1
    above, below = np.sort(logits[positive]), np.sort(logits[~positive])
    part = np.empty(len(labels))

    def rank(among, values):  # of those not above, ties half
        left, right = (np.searchsorted(among, values, side) for side in ("left", "right"))
        return (left + right) / 2 / len(among)

    part[positive] = rank(below, logits[positive])
    part[~positive] = 1 - rank(above, logits[~positive])
    area = float(part[positive].mean())
    share = np.where(positive, positive.mean(), 1 - positive.mean())
    return area, (part - area) / share


def of_model(logits, labels) -> dict[str, tuple[float, float]]:
    """score -> 95 % interval of one model's score over all images of this kind, the model kept.

    Wilson's interval, with the number of images that a proportion of the same variance would have
    been counted on; so it stays within 0-1. Where a score is 0 or 1, which has no variance, that
    number is the score's own denominator: 10 normal films, all called normal, leave a specificity
    of 72 to 100 %, however many films of pneumonia there are.
    """
    logits, labels = checked(logits, labels)
    called, positives, images = predictions(logits).sum(), labels.sum(), len(labels)
    counted_on = dict.fromkeys(("accuracy", "brier"), images)
    counted_on |= {"precision": called, "npv": images - called}
    counted_on |= {"recall": positives, "specificity": images - positives}
    counted_on |= {"f1": (called + positives) / 2, "roc_auc": min(positives, images - positives)}
    found = {}
    for name, (value, parts) in influence(logits, labels).items():
        spread = parts.var(ddof=1) if 0 < value < 1 and images > 1 else 0.0
        number = images * value * (1 - value) / spread if spread > 0 else counted_on[name]
        found[name] = wilson(value * number, number)
    return found


def wilson(count: float, number: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share, `count` of `number`; either may be fractional."""
    z = ndtri((1 + LEVEL) / 2)
    share, more = count / number, z**2 / number
    middle = (share + more / 2) / (1 + more)
    reach = z / (1 + more) * math.sqrt(share * (1 - share) / number + more / (4 * number))
    return max(0.0, float(middle - reach)), min(1.0, float(middle + reach))


def wilson_of_groups(values: pd.Series, groups: pd.Series) -> tuple[float, float, float, int]:
    """(share, low, high, number of groups) of yes and no in groups that stand or fall together: the
    mean over groups of each one's share, and Wilson's interval of that on so many groups.

    Runs from one start are such a group: models 21 and 24 have the same weights at first, and most
    starts that are dead for one are dead for the other.
    """
    shares = values.astype(float).groupby(groups).mean()
    share, number = float(shares.mean()), len(shares)
    return share, *wilson(share * number, number), number


def of_new_run(logits: list, labels) -> dict[str, tuple[float, float]]:
    """score -> where one run with another seed lands on another test set of this size, 95 times in
    100 (a prediction interval): count metrics, roc_auc and brier.

    logits: (N,) each, of runs that differ in the seed alone. With n runs, s² the variance of their
    scores and c the variance over test sets that they have in common, a new run's score differs
    from their mean with variance (1 + 1/n) s² + 2c: new seed and uncertain mean, new images and old
    ones. Student's t on the scale of log odds, its degrees of freedom after Satterthwaite.
    Simulated, 93-97 % are covered with five runs, 91-93 % with three. For one run s² is not known:
    the interval is then that of the same run on other images.
    """
    found = [influence(one, labels) for one in logits]
    result = {}
    for name in set.intersection(*map(set, found)):
        values = np.array([one[name][0] for one in found])
        parts = np.array([one[name][1] for one in found])
        slopes = values * (1 - values)
        if slopes.all():  # on the scale of log odds, where a score near 1 is not skewed
            values, parts = np.log(values / (1 - values)), parts / slopes[:, None]
        n, images = parts.shape
        each = parts.var(axis=1).mean() / images
        shared, seeds = each, 0.0
        if n > 1:
            mean = parts.mean(axis=0).var() / images
            shared = max(0.0, (n * mean - each) / (n - 1))  # each run's own part taken out
            seeds = (1 + 1 / n) * values.var(ddof=1)
        half = reach((seeds, max(n - 1, 1)), (2 * shared, images))
        ends = np.array([values.mean() - half, values.mean() + half])
        low, high = expit(ends) if slopes.all() else np.clip(ends, 0, 1)
        result[name] = float(low), float(high)
    return result


def reach(*parts: tuple[float, float]) -> float:
    """Half of the 95 % interval of what has a variance that is a sum of estimated parts.

    parts: (variance, its degrees of freedom). Student's t, with Satterthwaite's degrees of freedom
    (Biometrics Bulletin 2, 1946); 0 where nothing varies.
    """
    total = sum(variance for variance, _ in parts)
    below = sum(variance**2 / free for variance, free in parts)
    if not below:
        return 0.0
    return float(stdtrit(total**2 / below, (1 + LEVEL) / 2)) * math.sqrt(total)


class Mean(NamedTuple):
    """A mean and what is known of it; `low` and `high` are its 95 % interval."""

    mean: float
    error: float  # standard error
    free: float  # degrees of freedom
    low: float
    high: float

    @property
    def ends(self) -> tuple[float, float, float]:
        return self.mean, self.low, self.high

    def p(self, than: float = 0.0) -> float:
        """Two-sided p of the mean being `than`; 1 and 0 where nothing varies."""
        if self.error == 0:
            return 1.0 if math.isclose(self.mean, than, abs_tol=1e-12) else 0.0
        return float(2 * stdtr(self.free, -abs(self.mean - than) / self.error))


def mean_of(values, test_share: float = 0.0) -> Mean:
    """The mean of two or more values, by Student's t with n - 1 degrees of freedom.

    test_share: test images over training images where the values are of re-splits of the same
    images. Those share most of their training images, so the variance of their mean is
    (1/n + test_share) · s² in place of s²/n (Nadeau and Bengio, Machine Learning 52, 2003, section
    5.1). It then covers other seeds, other training images and other test images alike.
    """
    values = np.asarray(values, np.float64)
    n, mean = len(values), float(np.mean(values))
    error = math.sqrt((1 / n + test_share) * values.var(ddof=1))
    error = error if error > 1e-12 else 0.0
    half = reach((error**2, n - 1))
    return Mean(mean, error, n - 1, mean - half, mean + half)


def holm(p: dict) -> dict:
    """Holm's adjustment of the p-values of a family of tests (Scandinavian Journal of Statistics 6,
    1979): name -> p, each at least as large as before, in the same order."""
    adjusted, largest = {}, 0.0
    for place, name in enumerate(sorted(p, key=p.get)):
        largest = max(largest, min(1.0, (len(p) - place) * p[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p}


def of_difference(logits: list, others: list, labels) -> dict[str, tuple[float, float, float]]:
    """score -> (the mean score of some runs less that of others on the same images, low, high), its
    95 % interval over other test images and, where there are several runs, other seeds.

    logits, others: lists of (N,), each of runs that differ in the seed alone. The images are the
    same, so what both find hard cancels out: the variance is that of the mean difference of their
    influences, and s²/n of either side's runs is added (`reach`).
    """
    sides = [[influence(one, labels) for one in side] for side in (logits, others)]
    result = {}
    for name in set.intersection(*(set(one) for side in sides for one in side)):
        values = [np.array([one[name][0] for one in side]) for side in sides]
        parts = [np.mean([one[name][1] for one in side], axis=0) for side in sides]
        images = (parts[0] - parts[1]).var() / len(parts[0])
        seeds = [(side.var(ddof=1) / len(side), len(side) - 1) for side in values if len(side) > 1]
        half = reach((images, len(parts[0])), *seeds)
        gap = float(values[0].mean() - values[1].mean())
        result[name] = gap, gap - half, gap + half
    return result

"""Statistics of training curves, each defined once. A curve is a sequence of one finite number an
epoch, from epoch 1.

All are over whole curves except where a part is named. Two curves that are compared are first cut
to the epochs that both have (`shared`). An empty curve raises ValueError.
"""

import math

import numpy as np

# by which accuracy must exceed the larger class's share to count as more than a constant answer's
MARGIN = 0.02


def _curve(values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError("a curve needs at least one epoch")
    return values


def shared(*curves) -> list[np.ndarray]:
    """The curves, cut to the length of the shortest."""
    length = min(map(len, curves))
    return [_curve(curve)[:length] for curve in curves]


def level(values) -> float:
    """Where a curve has got to: its mean over the last third of its epochs, rounded up."""
    return float(last_third(values).mean())


def average(values) -> float:
    """The mean over all epochs. Of a training loss: the lower, the sooner it fell."""
    return float(_curve(values).mean())


def oscillation(values) -> float:
    """How far a curve goes back and forth in an epoch, on average; in the curve's unit.

    With steps d[t] = v[t+1] - v[t], the mean over inner epochs of min(|d[t-1]|, |d[t]|) where the
    two steps go opposite ways, and 0 where they do not. A curve that only falls or only rises has 0
    however fast, one bend adds next to nothing, and +-a at every epoch gives 2a. 0 for fewer than
    three epochs.
    """
    steps = np.diff(_curve(values))
    if len(steps) < 2:
        return 0.0
    before, after = steps[:-1], steps[1:]
    return float(np.where(before * after < 0, np.minimum(np.abs(before), np.abs(after)), 0).mean())


def trend(values) -> float:
    """The change over the second half of the epochs by a least-squares line, from end to end.

    Negative where the curve falls. 0 where that half has fewer than two epochs.
    """
    half = _curve(values)[len(values) // 2 :]
    if len(half) < 2:
        return 0.0
    return float(np.polyfit(np.arange(len(half)), half, 1)[0] * (len(half) - 1))


def shape_difference(first, second) -> float:
    """How far two curves are from being parallel: the mean over epochs of |g - mean g|, where g is
    second - first. 0 where they have the same shape, whatever the distance."""
    first, second = shared(first, second)
    gap = second - first
    return float(np.abs(gap - gap.mean()).mean())


def relative(a: float, b: float) -> float:
    """How much larger a is than b, both >= 0, as a share of their mean: (a - b) / ((a + b) / 2).

    Between -2 and 2, 2/3 where a is twice b, relative(a, b) = -relative(b, a), 0 where both are 0.
    """
    return (a - b) / ((a + b) / 2) if a + b else 0.0


def converged(history: dict, larger_share: float) -> bool:
    """Whether training led anywhere: over the last third of the epochs training accuracy is at
    least 2 points above the share of the larger class (what a constant answer reaches), and
    training loss is below that of the first epoch."""
    accuracy, loss = level(history["train_accuracy"]), level(history["train_loss"])
    return accuracy >= larger_share + MARGIN and loss < history["train_loss"][0]


def left_plateau(accuracy, larger_share: float) -> int | None:
    """The first epoch (from 1) whose accuracy is MARGIN or more above the share of the larger
    class, which a constant answer reaches; None where no epoch's is."""
    above = np.flatnonzero(_curve(accuracy) >= larger_share + MARGIN)
    return int(above[0]) + 1 if len(above) else None


def last_third(values) -> np.ndarray:
    """The last third of the epochs, rounded up: the part of a curve that `level` is the mean of."""
    values = _curve(values)
    return values[-math.ceil(len(values) / 3) :]


def swing(values) -> float:
    """How far a curve goes up and down at its end: the standard deviation (n - 1) over its last
    third; nan for a single epoch."""
    end = last_third(values)
    return float(end.std(ddof=1)) if len(end) > 1 else math.nan


def distance(curve, others) -> float:
    """How far a curve lies from others: the mean over epochs of |curve - the others' mean|."""
    curve, *others = shared(curve, *others)
    return float(np.abs(curve - np.mean(others, axis=0)).mean())


def agreement(curve, others) -> float:
    """How far a curve lies from some others, against how far each of those lies from its fellows.

    The curve's `distance` from them over the mean of theirs (each from the rest). About 1 where the
    curve could be one of them. nan for fewer than three others, or where they do not differ.
    """
    if len(others) < 3:
        return math.nan
    among = [distance(own, others[:i] + others[i + 1 :]) for i, own in enumerate(others)]
    # a mean over one curve less is a little noisier, which makes the ratio a little too small
    fellows = float(np.mean(among))
    return distance(curve, others) / fellows if fellows > 0 else math.nan

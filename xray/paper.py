"""What the paper printed, and what follows from it by arithmetic. Facts only; nothing here comes
from a run.

G. Copetti, "Binary Classification of Chest X-rays for Prediction of Pneumonia". Models are named by
their ids of Tables 1 and 2 (`xray.specs`), figures by their printed numbers.
"""

from typing import NamedTuple

from xray.specs import MODELS

SPLIT_SIZES = {"train": 4077, "validation": 1165, "test": 582}  # section 2.1
BATCHES = {32: {"train": 128, "validation": 37, "test": 19}}  # Fig 5; none is printed for 64
CLASS_RATIO = 0.37  # normal images for each with pneumonia in the training split, section 2.3 ii
MAJORITY_SHARE = 0.70  # "about", of images with pneumonia, section 2.4
SAMPLE = {
    "mode": "RGB",
    "width": 640,
    "height": 640,
    "label": 0,
    "shape": (1, 640, 640),
    "range": (0.0, 1.0),
}
# Fig 1; shape and range after the transformations, section 2.2

# section 3.3, Fig 18: 411 positives, 171 negatives
CONFUSION_20 = {"tp": 400, "tn": 142, "fp": 29, "fn": 11}


def _scores(table: str) -> dict[str, dict[str, float]]:
    rows = [line.split() for line in table.strip().splitlines()]
    return {
        row[0]: dict(zip(("precision", "recall", "f1", "accuracy"), map(float, row[1:])))
        for row in rows
    }


# Test scores in percent, in the printed order (falling F1). The accuracy is a mean over batches:
#    see `implied`. id  precision recall f1 accuracy
FIG_20 = _scores("""
    21   92.4 98.3 95.3 93.4
    20   93.2 97.3 95.2 93.4
    24   93.2 96.8 95.0 93.1
    22   94.4 94.9 94.7 91.3
    23   95.7 92.0 93.8 91.1
    25   91.6 95.4 93.4 90.2
""")
FIG_23 = _scores("""
    22b  93.9 96.8 95.3 92.4
    25b  94.7 95.6 95.2 92.2
    20b  93.2 96.6 94.9 91.8
    21b  91.4 98.5 94.8 93.1
    24b  93.6 96.1 94.8 93.3
    23b  95.9 91.0 93.4 90.2
""")
FIG_25 = _scores("""
    26b  94.7 96.6 95.7 92.9
    27b  93.2 96.8 95.0 93.4
    28b  91.4 98.5 94.8 93.1
""")
SCORES = FIG_20 | FIG_23 | FIG_25

# Figure number -> its models, in the paper's order (misprinted captions put right).
CURVES = {
    9: ["0", "1", "2"],
    10: ["3", "0", "4"],
    11: ["8", "5", "9"],
    12: ["10", "11", "12"],
    13: ["11", "13"],
    14: ["0", "14"],
    15: ["5", "15"],
    16: ["11", "16"],
    17: ["14", "17", "0"],
    19: ["20", "23", "21", "24", "22", "25"],
    22: ["20b", "23b", "21b", "24b", "22b", "25b"],
    26: ["22b", "26b"],
}
CONFUSIONS = {18: ["20"]}
TABLES = {20: list(FIG_20), 23: list(FIG_23), 25: list(FIG_25)}
BARS = {  # pairs that stand side by side: unweighted and weighted, or without and with L2
    21: [("20", "23"), ("21", "24"), ("22", "25")],
    24: [("20b", "23b"), ("21b", "24b"), ("22b", "25b")],
    27: [("20b", "27b"), ("21b", "28b"), ("22b", "26b")],
}
DURATIONS = {28: ["27b", "28b", "26b"]}


class Implied(NamedTuple):
    """The counts behind a printed row of scores: percentages as fractions of 100."""

    model: str
    tp: int
    tn: int
    fp: int
    fn: int
    printed: float  # the accuracy in the paper's table
    accuracy: float  # (tp + tn) / 582
    batch_mean: float  # the mean over test batches that the printed accuracy is nearest to
    last_right: int  # of the last batch's 6 images, how many are then right


def implied(model: str) -> list[Implied]:
    """Every confusion matrix with 411 positives and 171 negatives that gives a printed row, to the
    digit printed.

    Precision and recall of one decimal leave one matrix for each of the 15 rows, and its F1 is the
    printed one. Its accuracy is not: the printed one is, in all 15 rows, the mean over batches of
    the test loader (19 of 32, or 10 of 64; the last holds 6 images), for a whole number of right
    answers among those 6. So the paper's accuracies carry the last 6 images with 5.3 (batch size
    32) or 10.7 (64) times the weight of the others.
    """
    positives, negatives = (
        CONFUSION_20["tp"] + CONFUSION_20["fn"],
        CONFUSION_20["tn"] + CONFUSION_20["fp"],
    )
    total, printed, batch = positives + negatives, SCORES[model], MODELS[model].batch_size

    def shown(value, name):
        return abs(100 * value - printed[name]) <= 0.05 + 1e-9

    found = []
    for tp in (tp for tp in range(1, positives + 1) if shown(tp / positives, "recall")):
        for fp in range(negatives + 1):
            if not (
                shown(tp / (tp + fp), "precision") and shown(2 * tp / (tp + fp + positives), "f1")
            ):
                continue
            right = tp + negatives - fp
            full, rest = divmod(total, batch)
            means = {
                last: 100 * ((right - last) / batch + last / rest) / (full + 1)
                for last in range(rest + 1)
            }
            last = min(means, key=lambda number: abs(means[number] - printed["accuracy"]))
            found.append(
                Implied(
                    model,
                    tp,
                    negatives - fp,
                    fp,
                    positives - tp,
                    printed["accuracy"],
                    100 * right / total,
                    means[last],
                    last,
                )
            )
    return found


class Claim(NamedTuple):
    id: str
    section: str
    text: str
    models: tuple[str, ...]  # whose runs decide it; empty where the data does


def _claims(table: str) -> list[Claim]:
    rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return [
        Claim(name, section, text, tuple(models.split())) for name, section, models, text in rows
    ]


CLAIMS = _claims("""
C01 | 2.1 | | The splits hold 4,077, 1,165 and 582 images
C02 | 2.1 | | There are no missing and no duplicated images
C03 | 2.1 | | The training split has 0.37 normal images for each with pneumonia
C04 | 2.2 | | A prepared sample is 1×640×640 with values in 0–1
C05 | 2.2 | | Batches of 32: 128 for training, 37 for validation, 19 for test
C06 | 3.1 | 0 1 2 | Linear: each added hidden layer slows the fall of the loss and lowers training accuracy
C07 | 3.1 | 3 0 4 1 2 | Linear: the number of units matters less than the number of layers
C08 | 3.1 | 3 0 4 | Linear: 10 units lower the loss fastest
C09 | 3.1 | 6 7 | MLP: 2 or 3 hidden layers do not converge, at any learning rate from 1e-1 to 1e-5
C10 | 3.1 | 8 5 9 | MLP: 10 units are fastest and most accurate
C11 | 3.1 | 10 11 12 0 1 2 3 4 5 8 9 | CNN: the validation loss oscillates more than in the other classes
C12 | 3.1 | 10 11 12 | CNN: 5 and 10 filters are alike, and better than 20
C13 | 3.1 | 11 13 | CNN: kernel 5 gives rougher loss curves and lower accuracy than kernel 3
C14 | 3.2 | 0 14 | Linear: weighting makes the accuracy level off lower
C15 | 3.2 | 0 14 11 16 | Linear and CNN: weighting makes validation accuracy oscillate more
C16 | 3.2 | 18 19 | Adam does not converge for the MLP and the CNN
C17 | 3.2 | 14 17 | Linear: Adam is very unstable
C18 | 3.3 | 21 24 | MLP: weighting changes the accuracy curves little
C19 | 3.3 | 20 23 | Linear: weighting lowers validation accuracy and adds oscillation
C20 | 3.3 | 22 25 | CNN: the training loss keeps falling while the validation loss levels off
C21 | 3.3 | 20 | Model 20 on the test split: TP 400, TN 142, FP 29, FN 11
C22 | 3.3 | 20 21 22 23 24 25 | Models 21 and 20 are the best of six: F1 above 95 %, accuracy 93.4 %
C23 | 3.3 | 20 23 21 24 22 25 | Weighting lowers accuracy and F1 in all three classes
C24 | 3.4 | 22 22b 25 25b | CNN: the curves oscillate less with batches of 64 than of 32
C25 | 3.4 | 22b 25b | CNN: with batches of 64 it still overfits
C26 | 3.4 | 20b 21b 22b 23b 24b 25b | Most models have an F1 of about 95 %; the MLP's accuracy is highest, about 93 %
C27 | 3.4 | 20b 23b 21b 24b 22b 25b | With batches of 64, weighting improves neither accuracy nor F1
C28 | 3.5 | 22b 26b | CNN: L2 gives training and validation curves the same shape, with less oscillation
C29 | 3.5 | 22b 26b 20b 27b | L2 improves the CNN's and the linear model's scores
C30 | 3.6 | 26b 27b 28b | The CNN takes much longer to train than the linear model and the MLP
C31 | 4 | 20 | One hidden layer of 10 linear units reaches an accuracy of about 93 % and an F1 of about 95 %
C32 | 4 | 20 21 22 20b 21b 22b 26b | A more complex architecture brings no significant improvement
C33 | 4 | 20 23 20b 23b 21 24 21b 24b 22 25 22b 25b | The MLP is the most consistent across batch sizes and weights
C34 | 4 | 20b 26b 27b | CNN with L2: F1 up by less than 1 point, at more than 20 % more compute
""")

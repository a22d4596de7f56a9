"""What the paper printed, what follows from it by arithmetic, and what the report cites. Facts
alone.

G. Copetti, "Binary Classification of Chest X-rays for Prediction of Pneumonia". Models are named by
their ids of Tables 1 and 2 (`xray.specs`), figures by their printed numbers.
"""

from typing import NamedTuple

SPLIT_SIZES = {"train": 4077, "validation": 1165, "test": 582}  # section 2.1
BATCHES = {32: {"train": 128, "validation": 37, "test": 19}}  # Fig 5; none is printed for 64
CLASS_RATIO = 0.37  # normal images for each with pneumonia in the training split, section 2.3 ii
# Fig 1; shape and range after the transformations, section 2.2
SAMPLE = {"mode": "RGB", "width": 640, "height": 640, "label": 0}
SAMPLE |= {"shape": (1, 640, 640), "range": (0.0, 1.0)}

# section 3.3, Fig 18: 411 positives, 171 negatives
CONFUSION_20 = {"tp": 400, "tn": 142, "fp": 29, "fn": 11}


def _scores(table: str) -> dict[str, dict[str, float]]:
    names = "precision", "recall", "f1", "accuracy"
    rows = [line.split() for line in table.strip().splitlines()]
    return {model: dict(zip(names, map(float, numbers))) for model, *numbers in rows}


# Test scores in percent, in the printed order (falling F1): precision, recall, F1 and accuracy,
# which is a mean over batches, see `implied`.
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
TABLES = {20: list(FIG_20), 23: list(FIG_23), 25: list(FIG_25)}
BARS = {  # pairs that stand side by side: unweighted and weighted, or without and with L2
    21: [("20", "23"), ("21", "24"), ("22", "25")],
    24: [("20b", "23b"), ("21b", "24b"), ("22b", "25b")],
    27: [("20b", "27b"), ("21b", "28b"), ("22b", "26b")],
}
DURATIONS = {28: ["27b", "28b", "26b"]}


class Implied(NamedTuple):
    """The counts behind a printed row of scores."""

    tp: int
    tn: int
    fp: int
    fn: int
    accuracy: float  # (tp + tn) / 582, in percent


def implied(model: str) -> list[Implied]:
    """Every confusion matrix of 411 positives and 171 negatives that gives the row as printed.

    Precision and recall of one decimal leave one matrix for each of the 15 rows, and its F1 is the
    printed one. Its accuracy is not: the printed one is, in all 15 rows, the mean over batches of
    the test loader (19 of 32, or 10 of 64; the last holds 6 images), for a whole number of right
    answers among those 6. So the paper's accuracies carry the last 6 images with 5.3 (batch size
    32) or 10.7 (64) times the weight of the others.
    """
    positives = CONFUSION_20["tp"] + CONFUSION_20["fn"]
    negatives = CONFUSION_20["tn"] + CONFUSION_20["fp"]
    printed = SCORES[model]

    def shown(value, name):
        return abs(100 * value - printed[name]) <= 0.05 + 1e-9

    found = []
    for tp in (tp for tp in range(1, positives + 1) if shown(tp / positives, "recall")):
        for fp in range(negatives + 1):
            f1 = 2 * tp / (tp + fp + positives)
            if not (shown(tp / (tp + fp), "precision") and shown(f1, "f1")):
                continue
            tn, fn = negatives - fp, positives - tp
            accuracy = 100 * (tp + tn) / (positives + negatives)
            found.append(Implied(tp, tn, fp, fn, accuracy))
    return found


class Reference(NamedTuple):
    key: str
    use: str  # what we cite it for
    url: str  # empty where it has none
    text: str


def _references(table: str) -> list[Reference]:
    found = []
    for entry in table.strip().split("\n\n"):
        head, *text = entry.split("\n")
        found.append(Reference(*(part.strip() for part in head.split("|")), " ".join(text)))
    return found


REFERENCES = _references("""
paper | the study that this report repeats |
G. Copetti, “Binary Classification of Chest X-rays for Prediction of Pneumonia”.

dataset | the paper's data set | https://huggingface.co/datasets/keremberke/chest-xray-classification
K. Berke, “chest-xray-classification”, Hugging Face, 2023.

kermany | where the radiographs were first published | https://doi.org/10.1016/j.cell.2018.02.010
D. S. Kermany, M. Goldbaum, W. Cai, et al., “Identifying Medical Diagnoses and Treatable Diseases by
Image-Based Deep Learning”, Cell 172(5), 1122–1131, 2018.

mendeley | the radiographs and their licence | https://doi.org/10.17632/rscbjbr9sj
D. Kermany, K. Zhang, M. Goldbaum, “Labeled Optical Coherence Tomography (OCT) and Chest X-Ray
Images for Classification”, Mendeley Data, 2018. CC BY 4.0.

bourke | the tutorial whose training loop the paper adapts | https://www.learnpytorch.io/
D. Bourke, “Zero to Mastery Learn PyTorch for Deep Learning”.

cnn-explainer | the TinyVGG structure | https://doi.org/10.1109/TVCG.2020.3030418
Z. J. Wang, R. Turko, O. Shaikh, et al., “CNN Explainer: Learning Convolutional Neural Networks with
Interactive Visualization”, IEEE Transactions on Visualization and Computer Graphics 27(2),
1396–1406, 2021.

pytorch | models, losses and optimizers | https://pytorch.org/
A. Paszke, S. Gross, F. Massa, et al., “PyTorch: An Imperative Style, High-Performance Deep Learning
Library”, Advances in Neural Information Processing Systems 32, 2019.

torchvision | image transformations | https://github.com/pytorch/vision
TorchVision maintainers and contributors, “TorchVision: PyTorch's Computer Vision library”, 2016.

datasets | reading the data | https://doi.org/10.18653/v1/2021.emnlp-demo.21
Q. Lhoest, A. Villanova del Moral, Y. Jernite, et al., “Datasets: A Community Library for Natural
Language Processing”, EMNLP 2021, System Demonstrations, 175–184.

scipy | the tests | https://doi.org/10.1038/s41592-019-0686-2
P. Virtanen, R. Gommers, T. E. Oliphant, et al., “SciPy 1.0: Fundamental Algorithms for Scientific
Computing in Python”, Nature Methods 17, 261–272, 2020.

adam | the optimizer of models 17 to 19 | https://arxiv.org/abs/1412.6980
D. P. Kingma, J. Ba, “Adam: A Method for Stochastic Optimization”, ICLR 2015.

nadeau-bengio | effects over re-splits, and re-splits by image against by patient | https://doi.org/10.1023/A:1024068626366
C. Nadeau, Y. Bengio, “Inference for the Generalization Error”, Machine Learning 52(3), 239–281,
2003.

holm | the primary claims together |
S. Holm, “A Simple Sequentially Rejective Multiple Test Procedure”, Scandinavian Journal of
Statistics 6(2), 65–70, 1979.

wilson | intervals of shares | https://doi.org/10.1080/01621459.1927.10502953
E. B. Wilson, “Probable Inference, the Law of Succession, and Statistical Inference”, Journal of the
American Statistical Association 22(158), 209–212, 1927.

delong | intervals of the area under the ROC curve | https://doi.org/10.2307/2531595
E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, “Comparing the Areas under Two or More Correlated
Receiver Operating Characteristic Curves: A Nonparametric Approach”, Biometrics 44(3), 837–845,
1988.

calibration | the calibration error | https://proceedings.mlr.press/v70/guo17a.html
C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, “On Calibration of Modern Neural Networks”, ICML 2017,
PMLR 70, 1321–1330.
""")

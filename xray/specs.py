"""The paper's 35 models (Tables 1, 2), its learning-rate search (section 3.1), and our Table 3,
which does what the paper left to others. Facts only."""

from dataclasses import dataclass, replace

IMAGE_SIZE = 640  # pixels a side, section 2.1


def pixel_step(image_size: int, own_size: int = IMAGE_SIZE) -> float:
    """By how much the step of the layer with one weight per pixel is multiplied at this image size:
    (640 / size)², where the spec's learning rate is made for 640×640.

    That layer is the first Linear one, or the CNN's classifier. A film scaled up from S×S to
    640×640 holds each pixel k² times, k = 640 / S; as each copy's weight takes the paper's step,
    the sum of the copies' weights, which is what the logit depends on, takes k² times that step. So
    a net at S×S takes it too and learns as at the paper's size: exactly so for Linear and MLP nets
    where each pixel is repeated k×k, approximately for others. The start needs no change: the sum
    of k² draws from U(-1/640, 1/640) has the variance of one from U(-1/S, 1/S).
    """
    return (own_size / image_size) ** 2


@dataclass(frozen=True)
class ModelSpec:
    """One row of Table 1, 2 or 3. What stands below `weight_decay` is Table 3's; the paper's models
    have its defaults."""

    id: str
    family: str  # "Linear", "Linear+ReLU" (the paper's MLP), "CNN" or, in Table 3, "ResNet"
    hidden_layers: int  # as the paper counts them; a CNN's 5 is its own count
    hidden_units: int  # nodes of each hidden layer, or filters of each convolution
    kernel_size: int | None  # of the convolutions; None where there are none
    class_weight: bool  # True: BCE's pos_weight is the training split's negatives / positives
    optimizer: str  # "SGD" (no momentum), "Adam" or "AdamW"
    learning_rate: float
    epochs: int
    batch_size: int
    weight_decay: float  # applied by the optimizer to every parameter: L2, AdamW's decoupled
    image_size: int = IMAGE_SIZE  # pixels a side that the learning rate is made for
    schedule: str = "constant"  # of the learning rate, or "one-cycle" (engine.rate_factor)
    patience: int = 0  # epochs without a lower validation loss that end a run; 0: all are made
    augment: float = 0.0  # strength of shift, rotation, scale and contrast (engine.draw); 0: none
    flip: bool = False  # half of the training images of each epoch with left and right exchanged
    batch_norm: bool = False
    last_relu: bool = True  # whether an MLP keeps the ReLU after its output
    equalise: bool = False  # whether it is shown films with equal grey levels (equalise.py)


def is_flat(spec: ModelSpec) -> bool:
    """Whether it is a Linear net or an MLP: its pixels enter a Linear layer."""
    return spec.family in ("Linear", "Linear+ReLU")


def trains_in_sample_space(spec: ModelSpec) -> bool:
    """Whether training stays in the images' span: SGD, and pixels enter one Linear layer."""
    return is_flat(spec) and spec.optimizer == "SGD"


def matched_step(spec: ModelSpec, image_size: int) -> float:
    """pixel_step of a run of this spec at this size; 1 for a ResNet, which has no such layer."""
    return 1.0 if spec.family == "ResNet" else pixel_step(image_size, spec.image_size)


def _rows(table: str, batch_size: int) -> dict[str, ModelSpec]:
    specs = {}
    for line in table.strip().splitlines():
        name, family, layers, units, kernel, weight, optimizer, rate, epochs, decay = line.split()
        structure = int(layers), int(units), None if kernel == "-" else int(kernel)
        training = weight == "yes", optimizer, float(rate), int(epochs), batch_size, float(decay)
        specs[name] = ModelSpec(name, family, *structure, *training)
    return specs


# id  class        layers units kernel weight optimizer rate epochs decay
TABLE_1 = _rows(
    """
0     Linear       1      10    -      no     SGD       1e-4 10     0
1     Linear       2      10    -      no     SGD       1e-4 10     0
2     Linear       3      10    -      no     SGD       1e-4 10     0
3     Linear       1      5     -      no     SGD       1e-4 10     0
4     Linear       1      20    -      no     SGD       1e-4 10     0
5     Linear+ReLU  1      10    -      no     SGD       1e-4 10     0
6     Linear+ReLU  2      10    -      no     SGD       1e-4 10     0
7     Linear+ReLU  3      10    -      no     SGD       1e-4 10     0
8     Linear+ReLU  1      5     -      no     SGD       1e-4 10     0
9     Linear+ReLU  1      20    -      no     SGD       1e-4 10     0
10    CNN          5      5     3      no     SGD       1e-2 10     0
11    CNN          5      10    3      no     SGD       1e-2 10     0
12    CNN          5      20    3      no     SGD       1e-2 10     0
13    CNN          5      10    5      no     SGD       1e-2 10     0
14    Linear       1      10    -      yes    SGD       1e-4 10     0
15    Linear+ReLU  1      10    -      yes    SGD       1e-4 10     0
16    CNN          5      10    3      yes    SGD       1e-2 10     0
17    Linear       1      10    -      yes    Adam      1e-4 10     0
18    Linear+ReLU  1      10    -      yes    Adam      1e-4 10     0
19    CNN          5      10    3      yes    Adam      1e-4 10     0
20    Linear       1      10    -      no     SGD       1e-4 50     0
21    Linear+ReLU  1      10    -      no     SGD       1e-4 50     0
22    CNN          5      10    3      no     SGD       1e-2 50     0
23    Linear       1      10    -      yes    SGD       1e-4 50     0
24    Linear+ReLU  1      10    -      yes    SGD       1e-4 50     0
25    CNN          5      10    3      yes    SGD       1e-2 50     0
""",
    batch_size=32,
)

TABLE_2 = _rows(
    """
20b   Linear       1      10    -      no     SGD       1e-4 60     0
21b   Linear+ReLU  1      10    -      no     SGD       1e-4 60     0
22b   CNN          5      10    3      no     SGD       1e-2 60     0
23b   Linear       1      10    -      yes    SGD       1e-4 60     0
24b   Linear+ReLU  1      10    -      yes    SGD       1e-4 60     0
25b   CNN          5      10    3      yes    SGD       1e-2 60     0
26b   CNN          5      10    3      no     SGD       1e-2 60     0.1
27b   Linear       1      10    -      no     SGD       1e-4 60     0.1
28b   Linear+ReLU  1      10    -      no     SGD       1e-4 60     0.1
""",
    batch_size=64,
)

MODELS: dict[str, ModelSpec] = TABLE_1 | TABLE_2

# Section 3.1: the MLPs that did not converge, at other learning rates than their own 1e-4. An id
# "6@…" is model 6 with one thing changed.
LEARNING_RATE_SEARCH: dict[str, ModelSpec] = {
    f"{name}@{rate}": replace(MODELS[name], id=f"{name}@{rate}", learning_rate=float(rate))
    for name in ("6", "7")
    for rate in ("1e-1", "1e-2", "1e-3", "1e-5")
}

# Variants of the paper's models for experiments of ours (experiments.py): an MLP without the ReLU
# after its output, of which about half the starts are dead.
VARIANTS: dict[str, ModelSpec] = {
    "21@no-last-relu": replace(MODELS["21"], id="21@no-last-relu", last_relu=False)
}

# Table 3: the CNN's full potential, which the paper's conclusion leaves to others. Row -> the model
# that it changes, and how. Rates, decays and strengths are what the search found (experiments.py);
# where structure or size is another, they are set anew.
CHANGES: dict[str, tuple[str, dict]] = {
    "31": (
        "26b",
        {
            "image_size": 64,
            "optimizer": "AdamW",
            "learning_rate": 1e-3,
            "weight_decay": 0.01,
            "schedule": "one-cycle",
        },
    ),
    "32": ("31", {"patience": 15}),
    "33": ("32", {"augment": 0.5}),
    "34": ("33", {"batch_norm": True}),
    # a net of other size and structure, so with its own rate, decay and strength
    "35": (
        "34",
        {
            "family": "ResNet",
            "hidden_layers": 7,
            "hidden_units": 32,
            "learning_rate": 3e-3,
            "weight_decay": 0.01,
            "augment": 1.0,
        },
    ),
    "36": (
        "35",
        {"image_size": 128, "epochs": 30, "learning_rate": 1e-3, "weight_decay": 0.1},
    ),
    "37": ("36", {"flip": True}),
    "38": ("28b", {"last_relu": False}),
}


def _table_3() -> dict[str, ModelSpec]:
    specs = dict(MODELS)
    for name, (before, change) in CHANGES.items():
        specs[name] = replace(specs[before], id=name, **change)
    return {name: specs[name] for name in CHANGES}


TABLE_3 = _table_3()

# Models as they are, on films with equal grey levels. Row -> the model.
PLAIN = {"39": "20", "40": "26b", "41": "35", "42": "36"}
EQUALISED: dict[str, ModelSpec] = {
    name: replace((MODELS | TABLE_3)[plain], id=name, equalise=True)
    for name, plain in PLAIN.items()
}

KNOWN: dict[str, ModelSpec] = MODELS | LEARNING_RATE_SEARCH | VARIANTS | TABLE_3 | EQUALISED

# The models of Figs 20, 23 and 25, which are trained on other splits of the same images too; CNNs
# where asked for.
RESPLIT = ("20", "21", "23", "24", "20b", "21b", "23b", "24b", "27b", "28b")
RESPLIT_CNN = ("22", "25", "22b", "25b", "26b")

# Seeds of the models whose result is a share of runs, not a score: do they learn at all (sections
# 3.1 and 3.2)? Those after the first five are recorded in short (results.in_short).
MANY_SEEDS = dict.fromkeys(("5", "8", "9"), 60) | dict.fromkeys(
    ("6", "7", *LEARNING_RATE_SEARCH), 30
)
WHOLE_RECORDS = 5

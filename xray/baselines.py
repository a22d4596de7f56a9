"""Baselines: what logistic regression tells from little of a film, much of it without any lung.

A model that scores no higher than a baseline need not see more than the baseline does. A baseline
is a function of images, uint8 (N, S, S), that gives features, float32 (N, F); `fit` is the same for
all. What they say lies beside the study's runs, for all of its splits in one file, baselines.json.
"""

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from xray.files import FORMAT, read_json, write_json

SIZE = 128  # pixels a side of the films that baselines are given
GRID = 32  # regions of a film are averaged over the cells of a grid this many cells wide
# top, bottom, left, right as shares of the side: holds the lungs of all but a few films
BOX = (0.05, 0.90, 0.05, 0.95)
CORNER = 0.15  # of the side, of each corner's square: where side markers stand
STRENGTHS = tuple(10.0**power for power in range(-4, 4))  # scikit-learn's C: inverse L2 penalty
FEWEST = 32  # training images at which the learning curve starts
CURVE = "thumbnail 16×16"  # the baseline whose learning curve is drawn
HEADER = "file size and header"
AT_ONCE = 256  # films averaged together


# ---- parts of a film: masks, bool (size, size)


def ring_mask(size: int, share: float) -> np.ndarray:
    """The outermost `share` of the side, at least one pixel, on all four."""
    width = max(1, round(share * size))
    mask = np.ones((size, size), bool)
    mask[width:-width, width:-width] = False
    return mask


def box_mask(size: int) -> np.ndarray:
    """The lung box."""
    top, bottom, left, right = (round(share * size) for share in BOX)
    mask = np.zeros((size, size), bool)
    mask[top:bottom, left:right] = True
    return mask


def corners_mask(size: int) -> np.ndarray:
    """A square in each corner."""
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]) < round(CORNER * size)
    return edge[:, None] & edge[None, :]


# ---- features


def averaged(images: np.ndarray, cells: int) -> np.ndarray:
    """uint8 (N, S, S) -> float32 (N, cells, cells): means over squares. S: a multiple of cells."""
    width = images.shape[1] // cells
    parts = torch.from_numpy(np.ascontiguousarray(images)).split(AT_ONCE)
    pooled = [functional.avg_pool2d(part.float()[:, None], width)[:, 0] for part in parts]
    return torch.cat(pooled).numpy()


def thumbnail(images: np.ndarray, cells: int) -> np.ndarray:
    """The whole film, coarsely."""
    return averaged(images, cells).reshape(len(images), -1)


def region(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What a mask shows, averaged over the cells of the grid that it touches."""
    touched = averaged(mask[None].astype(np.uint8), GRID)[0] > 0
    return averaged(images * mask, GRID)[:, touched]


def ring(images: np.ndarray, share: float) -> np.ndarray:
    return region(images, ring_mask(images.shape[1], share))


def pixels(images: np.ndarray, count: int) -> np.ndarray:
    """Pixels at random places, the same in all films; more of them hold the fewer."""
    flat = images.reshape(len(images), -1)
    chosen = np.random.default_rng(0).permutation(flat.shape[1])[:count]
    return flat[:, chosen].astype(np.float32)


def gray_shares(images: np.ndarray) -> np.ndarray:
    """The share of pixels with each of the 256 grays, float64 (N, 256)."""
    counts = [np.bincount(image.ravel(), minlength=256) for image in images]
    return np.array(counts) / images[0].size


def brightness(images: np.ndarray) -> np.ndarray:
    """The film's mean and the standard deviation of its pixels."""
    shares, grays = gray_shares(images), np.arange(256)
    mean = shares @ grays
    return np.stack([mean, np.sqrt(shares @ grays**2 - mean**2)], 1).astype(np.float32)


def histogram(images: np.ndarray) -> np.ndarray:
    """The share of pixels in each of 32 equal bands of gray."""
    return gray_shares(images).reshape(-1, 32, 8).sum(2).astype(np.float32)


BASELINES = {
    "class prior": lambda images: np.zeros((len(images), 1), np.float32),
    "brightness": brightness,
    "histogram": histogram,
    "1 % ring": lambda images: ring(images, 0.01),
    "10 % ring": lambda images: ring(images, 0.10),
    "20 % ring": lambda images: ring(images, 0.20),
    "corners": lambda images: region(images, corners_mask(images.shape[1])),
    "outside the lung box": lambda images: region(images, ~box_mask(images.shape[1])),
    "lung box alone": lambda images: region(images, box_mask(images.shape[1])),
    "4 random pixels": lambda images: pixels(images, 4),
    "16 random pixels": lambda images: pixels(images, 16),
    "64 random pixels": lambda images: pixels(images, 64),
    "thumbnail 4×4": lambda images: thumbnail(images, 4),
    "thumbnail 8×8": lambda images: thumbnail(images, 8),
    "thumbnail 16×16": lambda images: thumbnail(images, 16),
    "thumbnail 32×32": lambda images: thumbnail(images, 32),
}
WITHOUT_LUNG = ("class prior", HEADER, "1 % ring", "corners", "outside the lung box")
# those that re-splits are made for
RESPLIT = ("1 % ring", "corners", "outside the lung box", "lung box alone", CURVE)


def header(encoded: bytes) -> list[float]:
    """An image file's bytes, width, height, channels, and of a JPEG the sum of its quantisation
    tables, which is its quality."""
    with Image.open(io.BytesIO(encoded)) as image:
        tables = getattr(image, "quantization", {})
        quality = sum(sum(table) for table in tables.values())
        return [len(encoded), *image.size, len(image.getbands()), quality]


def headers(files) -> np.ndarray | None:
    """What files (encoded, in the images' order) tell before they are decoded, float32 (N, 5), see
    `header`; None where one is no image of Pillow's, as one in DICOM."""
    try:
        return np.array([header(encoded) for encoded in files], np.float32)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


# ---- logistic regression


def fit(features: np.ndarray, labels: np.ndarray, index: dict[str, np.ndarray]) -> dict:
    """Logistic regression on the training rows, its L2 penalty the one of STRENGTHS with the lowest
    log loss on the validation rows.

    features: (N, F), scaled here to mean 0 and deviation 1 over the training rows. labels: (N,),
    index: split -> rows. Gives strength; features, how many; validation and test: logits, float32;
    weights, float64 (F + 1,): of the features as they are, and last the bias.
    """
    scaler = StandardScaler().fit(features[index["train"]])
    part = {name: scaler.transform(features[rows]) for name, rows in index.items()}
    model = LogisticRegression(max_iter=300, tol=1e-3, warm_start=True)
    best, lowest = {}, np.inf
    for strength in STRENGTHS:
        model.C = strength
        with warnings.catch_warnings():  # one that is not quite at its end is a baseline as well
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(part["train"], labels[index["train"]])
        chances = model.predict_proba(part["validation"])[:, 1]
        loss = log_loss(labels[index["validation"]], chances, labels=(0, 1))
        if loss < lowest:
            lowest = loss
            weights = model.coef_[0] / scaler.scale_
            bias = model.intercept_ - weights @ scaler.mean_
            best = {"strength": strength, "features": features.shape[1]}
            best["weights"] = np.append(weights, bias)
            for name in ("validation", "test"):
                best[name] = model.decision_function(part[name]).astype(np.float32)
    return best


def logits(fitted: dict, features: np.ndarray) -> np.ndarray:
    """What a fitted baseline (`fit`, or `read` with weights) says of other films, float32 (N,)."""
    weights = fitted["weights"].astype(np.float64)
    return (features.astype(np.float64) @ weights[:-1] + weights[-1]).astype(np.float32)


def elsewhere(fitted: dict, images: np.ndarray, header_features) -> dict[str, np.ndarray]:
    """Baseline -> logits, float32 (N,), on other films, of those whose weights are known. fitted:
    name -> what `fit` gave; images: uint8 (N, SIZE, SIZE); header_features: of `headers`."""
    found = {}
    for name, one in fitted.items():
        features = header_features if name == HEADER else BASELINES[name](images)
        if "weights" in one and features is not None:
            found[name] = logits(one, features)
    return found


def learning_curve(features: np.ndarray, labels: np.ndarray, index: dict) -> dict[int, dict]:
    """Training images -> what `fit` gives with so many of them: 32, twice as many, ... as long as
    some are left, then all; drawn at random, the larger sets hold the smaller. Sets of one class
    are left out."""
    rows = np.random.default_rng(0).permutation(index["train"])
    counts = [FEWEST << step for step in range(32) if FEWEST << step < len(rows)]
    counts = [count for count in counts if len(set(labels[rows[:count]])) == 2]
    return {count: fit(features, labels, index | {"train": rows[:count]}) for count in counts}


def of_split(data, features: dict[str, np.ndarray], whole: bool) -> dict:
    """The baselines of one split of the data. features: name -> (N, F) of all images.

    Gives labels by part; baselines: name -> what `fit` gave; and curve: of learning_curve what the
    test films tell. whole: of the study's own split; of a re-split RESPLIT's alone, what the test
    films tell, and no curve.
    """
    parts = ("validation", "test") if whole else ("test",)
    labels = {part: data.labels[data.index[part]] for part in parts}
    found = {
        name: fit(values, data.labels, data.index)
        for name, values in features.items()
        if whole or name in RESPLIT
    }
    curve = {}
    if whole and (curve := learning_curve(features[CURVE], data.labels, data.index)):
        curve[len(data.index["train"])] = found[CURVE]

    def on_test(fitted):
        return {
            name: {key: one[key] for key in ("strength", "features", "test")}
            for name, one in fitted.items()
        }

    return {
        "labels": labels,
        "baselines": found if whole else on_test(found),
        "curve": on_test(curve),
    }


# ---- records


def write(folder: Path, splits: dict[str, dict]) -> Path:
    """folder: of the study; splits: its split and re-splits -> of_split. Raises OSError."""
    path = Path(folder) / "baselines.json"
    write_json(path, {"format": FORMAT, "splits": splits})
    return path


def read(folder: Path) -> dict[str, dict]:
    """What `write` was given; {} where nothing lies in a study's folder. Raises ResultsError."""
    path = Path(folder) / "baselines.json"
    splits = read_json(path, FORMAT)["splits"] if path.exists() else {}
    for one in splits.values():
        one["curve"] = {int(count): fitted for count, fitted in one["curve"].items()}
    return splits

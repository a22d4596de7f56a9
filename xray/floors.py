"""Floors: what logistic regression tells from little of a film, much of it without any lung.

A model that scores no higher than a floor need not see more than the floor does. Each floor is a
function of images, uint8 (N, S, S), that gives features, float32 (N, F); `fit` is the same for all.
The predictions are kept beside the study's runs, as RESULTS/<data>/<split>/floors.json.
"""

import base64
import io
import tempfile
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from xray.data_sources import SPLITS
from xray.files import read_json, write_json

SIZE = 128  # pixels a side of the films that floors are given
GRID = 32  # regions of a film are averaged over the cells of a grid this many cells wide
# top, bottom, left, right as shares of the side: holds the lungs of all but a few films
BOX = (0.05, 0.90, 0.05, 0.95)
CORNER = 0.15  # of the side, of each corner's square: where side markers stand
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # scikit-learn's C: the inverse of the L2 penalty
FEWEST = 32  # training images at which the learning curve starts
CURVE = "thumbnail 16×16"  # the floor whose learning curve is drawn
HEADER = "file size and header"
AT_ONCE = 256  # films averaged together


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


def ring_mask(size: int, share: float) -> np.ndarray:
    """bool (size, size): the outermost `share` of the side, at least one pixel, on all four."""
    width = max(1, round(share * size))
    mask = np.ones((size, size), bool)
    mask[width:-width, width:-width] = False
    return mask


def box_mask(size: int) -> np.ndarray:
    """bool (size, size): the lung box."""
    top, bottom, left, right = (round(share * size) for share in BOX)
    mask = np.zeros((size, size), bool)
    mask[top:bottom, left:right] = True
    return mask


def corners_mask(size: int) -> np.ndarray:
    """bool (size, size): a square in each corner."""
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]) < round(CORNER * size)
    return edge[:, None] & edge[None, :]


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


def brightness(images: np.ndarray) -> np.ndarray:
    """The film's mean and the standard deviation of its pixels."""
    shares, grays = _shares(images), np.arange(256)
    mean = shares @ grays
    return np.stack([mean, np.sqrt(shares @ grays**2 - mean**2)], 1).astype(np.float32)


def histogram(images: np.ndarray) -> np.ndarray:
    """The share of pixels in each of 32 equal bands of gray."""
    return _shares(images).reshape(-1, 32, 8).sum(2).astype(np.float32)


def _shares(images: np.ndarray) -> np.ndarray:
    """The share of pixels with each of the 256 grays, float64 (N, 256)."""
    return (
        np.array([np.bincount(image.ravel(), minlength=256) for image in images]) / images[0].size
    )


FLOORS = {
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


def headers(source, paths: list[str]) -> np.ndarray | None:
    """What files tell before they are decoded, float32 (N, 5), see `header`.

    source: what data.find gives; paths: of all images, in the data's order. None where not each
    file can be asked, as one in DICOM. Raises DataError as reading the source does.
    """
    with tempfile.TemporaryDirectory() as temporary:
        splits, *_ = source.open(Path(temporary) / "arrow", SIZE)
        there = defaultdict(list)  # two films may share a name, in different splits
        for split in sorted(splits, key=lambda name: (SPLITS + (name,)).index(name)):
            for row, path in enumerate(splits[split].paths):
                there[path].append((splits[split].read, row))
        if any(count > len(there[path]) for path, count in Counter(paths).items()):
            return None
        found = []
        for path in paths:
            read, row = there[path].pop(0)
            try:
                found.append(header(read(row)))
            except (OSError, ValueError, Image.DecompressionBombError):  # a DICOM file, say
                return None
        return np.array(found, np.float32)


def header(encoded: bytes) -> list[float]:
    """An image file's bytes, width, height, channels, and of a JPEG the sum of its quantisation
    tables, which is its quality."""
    with Image.open(io.BytesIO(encoded)) as image:
        tables = getattr(image, "quantization", {})
        quality = sum(sum(table) for table in tables.values())
        return [len(encoded), *image.size, len(image.getbands()), quality]


# ---- logistic regression


def fit(features: np.ndarray, labels: np.ndarray, index: dict[str, np.ndarray]) -> dict:
    """Logistic regression on the training rows, its L2 penalty the one of STRENGTHS with the lowest
    log loss on the validation rows.

    features: (N, F), scaled here to mean 0 and deviation 1 over the training rows. labels: (N,),
    index: split -> rows. Gives strength; validation and test: logits, float32; weights, float64
    (F + 1,): of the features as they are, and last the bias.
    """
    scaler = StandardScaler().fit(features[index["train"]])
    part = {name: scaler.transform(features[rows]) for name, rows in index.items()}
    model = LogisticRegression(max_iter=300, tol=1e-3, warm_start=True)
    best, lowest = {}, np.inf
    for strength in STRENGTHS:
        model.C = strength
        with warnings.catch_warnings():  # one that is not quite at its end is a floor as well
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(part["train"], labels[index["train"]])
        chances = model.predict_proba(part["validation"])[:, 1]
        loss = log_loss(labels[index["validation"]], chances, labels=(0, 1))
        if loss < lowest:
            logits = {name: model.decision_function(part[name]) for name in ("validation", "test")}
            logits = {name: values.astype(np.float32) for name, values in logits.items()}
            weights = model.coef_[0] / scaler.scale_
            weights = np.append(weights, model.intercept_ - weights @ scaler.mean_)
            best, lowest = {"strength": strength, "weights": weights} | logits, loss
    return best


def learning_curve(features: np.ndarray, labels: np.ndarray, index: dict) -> dict[int, dict]:
    """Training images -> what `fit` gives with so many of them: 32, twice as many, ... as long as
    some are left; drawn at random, the larger sets hold the smaller. Sets of one class are left
    out."""
    rows = np.random.default_rng(0).permutation(index["train"])
    counts = [FEWEST << step for step in range(32) if FEWEST << step < len(rows)]
    counts = [count for count in counts if len(set(labels[rows[:count]])) == 2]
    return {count: fit(features, labels, index | {"train": rows[:count]}) for count in counts}


def elsewhere(floors: dict, images: np.ndarray, encoded: list[bytes]) -> dict[str, np.ndarray]:
    """The logits that floors with weights give other films, float32 (N,), by floor.

    floors: as `read` gives them. images: uint8 (N, SIZE, SIZE); encoded: their files.
    """
    found = {}
    for name, one in floors.items():
        if "weights" in one:
            of_files = name == HEADER
            features = np.array(list(map(header, encoded))) if of_files else FLOORS[name](images)
            logits = features.astype(np.float64) @ one["weights"][:-1] + one["weights"][-1]
            found[name] = logits.astype(np.float32)
    return found


# ---- records


def record(data, features: dict[str, np.ndarray], whole: bool) -> dict:
    """The floors of one split of the data, as floors.json keeps them; features: name -> (N, F) of
    all images. whole: of the study's own split; of a re-split of it RESPLIT's alone, without
    validation logits, weights and learning curve."""
    names = [name for name in features if whole or name in RESPLIT]
    found = {name: fit(features[name], data.labels, data.index) for name in names}
    found = {name: one | {"features": features[name].shape[1]} for name, one in found.items()}
    payload = {"fingerprint": data.fingerprint, "split": data.split}
    parts = ("validation", "test") if whole else ("test",)
    labels = {part: data.labels[data.index[part]] for part in parts}
    payload["labels"] = {part: "".join(map(str, values)) for part, values in labels.items()}
    kept = (*parts, "weights") if whole else parts
    payload["floors"] = {name: _packed(one, kept) for name, one in found.items()}
    if whole:
        lines = learning_curve(features[CURVE], data.labels, data.index)
        if lines:
            lines[len(data.index["train"])] = found[CURVE]
        payload["curve"] = {str(count): _packed(one, parts) for count, one in lines.items()}
    return payload


FILE = "baselines.json"  # split -> what `record` gave


def write(folder: Path, payload: dict) -> Path:
    """Keep what `record` gave in the data's folder. Raises OSError."""
    path = Path(folder) / FILE
    kept = read_json(path) if path.exists() else {}
    write_json(path, kept | {payload["split"]: payload})
    return path


def read_whole(folder: Path, split: str = "given") -> dict:
    """As `read`, but {} also where what lies there is of a re-split of another study."""
    found = read(folder, split)
    return found if "validation" in found.get("labels", ()) else {}


def read(folder: Path, split: str = "given") -> dict:
    """What lies in the data's folder of a split: labels, floors and curve (what `fit` gave,
    float32), or {} where nothing does. Raises ResultsError."""
    path = Path(folder) / FILE
    payload = read_json(path).get(split) if path.exists() else None
    if payload is None:
        return {}
    payload["labels"] = {part: digits(text) for part, text in payload["labels"].items()}
    payload["floors"] = {name: _unpacked(one) for name, one in payload["floors"].items()}
    curve = payload.get("curve", {})
    payload["curve"] = {int(count): _unpacked(one) for count, one in curve.items()}
    return payload


def packed(logits) -> str:
    """Logits as text, exact: base64 of little-endian float32."""
    return base64.b64encode(np.asarray(logits, "<f4").tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def digits(text: str) -> np.ndarray:
    """Labels that were kept as "0110...", int64 (N,)."""
    return np.frombuffer(text.encode(), np.uint8).astype(np.int64) - ord("0")


def _packed(one: dict, parts) -> dict:
    kept = {key: one[key] for key in ("strength", "features") if key in one}
    return kept | {part: packed(one[part]) for part in parts}


def _unpacked(one: dict) -> dict:
    parts = [part for part in ("validation", "test", "weights") if part in one]
    return one | {part: unpacked(one[part]) for part in parts}

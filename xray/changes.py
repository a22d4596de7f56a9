"""Test films changed on purpose and shown to trained weights: which change moves their answers?

Nothing is trained. A part is taken away by putting the mean training film in its place, so that
what is left looks like a film. The logits are kept as RESULTS/<data>/<split>/changes.json.
"""

import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from xray import predict
from xray.files import read_json, write_json
from xray.floors import box_mask, digits, packed, ring_mask, unpacked

RING = 0.10  # of the side: the ring that is taken away or swapped
UNCHANGED = "unchanged"
AT_ONCE = 64  # films changed together
# shown changed films, where their weights were kept: each class, plain, weighted and with L2, and
# the best of Table 3
MODELS = ("20", "21", "22b", "25b", "26b", "36")


def coarse(films, cells: int) -> np.ndarray:
    """Averaged over cells × cells squares and drawn at the old size again, bilinear."""

    def through(values):
        small = functional.interpolate(values, (cells, cells), mode="area")
        return functional.interpolate(small, values.shape[2:], mode="bilinear")

    return _in_parts(films, through)


def encode_again(films, quality: int) -> np.ndarray:
    """Through a JPEG file of that quality."""
    return np.stack([_through_jpeg(film, quality) for film in films])


def _through_jpeg(film: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(film).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as image:
        return np.asarray(image)


def move(films, degrees=0.0, zoom=1.0, right=0.0, down=0.0) -> np.ndarray:
    """Turned, enlarged by `zoom` and shifted by shares of the side, bilinear; what comes into view
    is the film's edge carried on."""
    turn = math.radians(degrees)
    cos, sin = math.cos(turn) / zoom, math.sin(turn) / zoom
    theta = torch.tensor([[cos, -sin, -2 * right], [sin, cos, -2 * down]])

    def through(values):
        grid = functional.affine_grid(theta.expand(len(values), 2, 3), values.shape, False)
        return functional.grid_sample(values, grid, "bilinear", "border", align_corners=False)

    return _in_parts(films, through)


def _in_parts(films, through) -> np.ndarray:
    """What `through` makes of films, float32 (n, 1, S, S), few of them at a time."""
    parts = torch.from_numpy(np.ascontiguousarray(films)).split(AT_ONCE)
    made = [through(part.float()[:, None])[:, 0] for part in parts]
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in made]).numpy()


def scale_gray(films, factor: float) -> np.ndarray:
    return (films * np.float32(factor)).round().clip(0, 255).astype(np.uint8)


def take_away(films, mask: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The mean film where the mask is."""
    return np.where(mask, mean, films)


def swap(films, labels, mask: np.ndarray, other_class: bool) -> np.ndarray:
    """In each film, what the mask shows is taken from a film of the other class, or of its own,
    drawn at random."""
    generator, donors = np.random.default_rng(0), np.empty(len(labels), np.int64)
    for label in (0, 1):
        wanted = np.flatnonzero(labels == (1 - label if other_class else label))
        rows = np.flatnonzero(labels == label)
        donors[rows] = generator.choice(wanted, len(rows)) if len(wanted) else rows
    return np.where(mask, films[donors], films)


def every(films: np.ndarray, labels: np.ndarray, mean: np.ndarray) -> dict:
    """Name of a change -> a function without arguments that gives the changed films.

    films: uint8 (N, S, S); labels: (N,); mean: the mean training film, uint8 (S, S).
    """
    ring, box = ring_mask(films.shape[1], RING), box_mask(films.shape[1])
    return {
        UNCHANGED: lambda: films,
        "no finer than 32×32": lambda: coarse(films, 32),
        "no finer than 16×16": lambda: coarse(films, 16),
        "JPEG of quality 50": lambda: encode_again(films, 50),
        "JPEG of quality 10": lambda: encode_again(films, 10),
        "shifted 5 % to the right": lambda: move(films, right=0.05),
        "shifted 5 % down": lambda: move(films, down=0.05),
        "enlarged by 10 %": lambda: move(films, zoom=1.1),
        "made smaller by 10 %": lambda: move(films, zoom=1 / 1.1),
        "turned by 5°": lambda: move(films, degrees=5),
        "turned by 15°": lambda: move(films, degrees=15),
        "mirrored": lambda: np.ascontiguousarray(films[:, :, ::-1]),
        "darker by 20 %": lambda: scale_gray(films, 0.8),
        "brighter by 20 %": lambda: scale_gray(films, 1.2),
        "outer 10 % taken away": lambda: take_away(films, ring, mean),
        "lung box taken away": lambda: take_away(films, box, mean),
        "all but the lung box taken away": lambda: take_away(films, ~box, mean),
        "outer 10 % of the same class": lambda: swap(films, labels, ring, False),
        "outer 10 % of the other class": lambda: swap(films, labels, ring, True),
        "lung box of the same class": lambda: swap(films, labels, box, False),
        "lung box of the other class": lambda: swap(films, labels, box, True),
    }


def mean_film(images: np.ndarray) -> np.ndarray:
    """uint8 (N, 1, S, S) -> the mean film, uint8 (S, S)."""
    return images[:, 0].mean(0, dtype=np.float64).round().astype(np.uint8)


def answers(modules: dict, films, labels, mean, tick=None) -> dict[str, dict[str, np.ndarray]]:
    """Key of `modules` -> change -> logits, float32 (N,). The modules' image size is the films'.
    tick(): called after each change."""
    found = {key: {} for key in modules}
    for name, change in every(films, labels, mean).items():
        changed = np.ascontiguousarray(change())[:, None]
        for key, module in modules.items():
            found[key][name] = predict.logits(module, changed)
        if tick:
            tick()
    return found


def write(folder: Path, data, models: list[dict]) -> Path:
    """models: dicts of model, run (its record's name), seed, image_size, weights (their sha256) and
    logits (change -> (N,)). Raises OSError."""
    payload = {"fingerprint": data.fingerprint, "split": data.split}
    payload["labels"] = "".join(map(str, data.test.labels))
    payload["models"] = [
        one | {"logits": {name: packed(values) for name, values in one["logits"].items()}}
        for one in models
    ]
    path = Path(folder) / "changes.json"
    write_json(path, payload)
    return path


def read(folder: Path) -> dict:
    """labels, int64 (N,), and models as `write` had them, or {} where nothing was kept. Raises
    ResultsError."""
    path = Path(folder) / "changes.json"
    if not path.exists():
        return {}
    payload = read_json(path)
    payload["labels"] = digits(payload["labels"])
    for one in payload["models"]:
        one["logits"] = {name: unpacked(text) for name, text in one["logits"].items()}
    return payload

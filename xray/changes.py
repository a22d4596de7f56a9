"""Test films changed on purpose and shown to trained weights: which change moves their answers?

Nothing is trained. A part is taken away by putting the mean training film in its place, so that
what is left looks like a film. The answers lie beside the study's runs, in changes.json.

torchvision is loaded where films are changed: the report, which reads the answers, starts without
the second that takes.
"""

from pathlib import Path

import numpy as np
import torch

from xray import predict
from xray.baselines import box_mask, ring_mask
from xray.equalise import as_seen
from xray.files import FORMAT, read_json, write_json
from xray.specs import ModelSpec

RING = 0.10  # of the side: the ring that is taken away or swapped
UNCHANGED = "unchanged"
AT_ONCE = 64  # films changed together
# shown changed films, where their weights were kept: each class, plain, weighted and with L2, the
# best of Table 3, and two on equalised films
MODELS = ("20", "21", "22b", "25b", "26b", "36", "40", "41")


def in_parts(films: np.ndarray, change) -> np.ndarray:
    """What `change` makes of films, a tensor uint8 (n, 1, S, S), few of them at a time."""
    parts = torch.from_numpy(np.ascontiguousarray(films))[:, None].split(AT_ONCE)
    return torch.cat([change(part) for part in parts])[:, 0].numpy()


def coarse(films: np.ndarray, cells: int) -> np.ndarray:
    """Brought to cells × cells pixels and back to the old size."""
    from torchvision.transforms.v2 import functional as transforms

    def change(part):
        return transforms.resize(transforms.resize(part, [cells, cells]), list(part.shape[2:]))

    return in_parts(films, change)


def encode_again(films: np.ndarray, quality: int) -> np.ndarray:
    """Through a JPEG file of that quality."""
    from torchvision.transforms.v2 import functional as transforms

    return in_parts(films, lambda part: torch.stack([transforms.jpeg(f, quality) for f in part]))


def move(films: np.ndarray, degrees=0.0, zoom=1.0, right=0.0, down=0.0) -> np.ndarray:
    """Turned, enlarged by `zoom` and shifted by shares of the side, bilinear; what comes into view
    is the film's edge carried on."""
    from torchvision.transforms.v2 import functional as transforms

    size = films.shape[1]
    margin = size // 4  # more than any of these changes brings into view

    def change(part):
        wide = transforms.pad(part, [margin], padding_mode="edge")
        shift = [right * size, down * size]
        bilinear = transforms.InterpolationMode.BILINEAR
        wide = transforms.affine(wide, -degrees, shift, zoom, [0.0, 0.0], interpolation=bilinear)
        return transforms.center_crop(wide, [size, size])

    return in_parts(films, change)


def brighter(films: np.ndarray, factor: float) -> np.ndarray:
    from torchvision.transforms.v2 import functional as transforms

    return in_parts(films, lambda part: transforms.adjust_brightness(part, factor))


def swap(films: np.ndarray, labels, mask: np.ndarray, other_class: bool) -> np.ndarray:
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
        "mirrored": lambda: films[:, :, ::-1],
        "darker by 20 %": lambda: brighter(films, 0.8),
        "brighter by 20 %": lambda: brighter(films, 1.2),
        "outer 10 % taken away": lambda: np.where(ring, mean, films),
        "lung box taken away": lambda: np.where(box, mean, films),
        "all but the lung box taken away": lambda: np.where(box, films, mean),
        "outer 10 % of the same class": lambda: swap(films, labels, ring, False),
        "outer 10 % of the other class": lambda: swap(films, labels, ring, True),
        "lung box of the same class": lambda: swap(films, labels, box, False),
        "lung box of the other class": lambda: swap(films, labels, box, True),
    }


def answers(
    modules: dict, films, labels, mean, tick=None
) -> dict[ModelSpec, dict[str, np.ndarray]]:
    """Spec -> change -> logits, float32 (N,). modules: spec -> trained module, whose image size is
    the films'. tick(): called after each change."""
    found = {spec: {} for spec in modules}
    for name, change in every(films, labels, mean).items():
        changed = np.ascontiguousarray(change())[:, None]
        for spec, module in modules.items():
            found[spec][name] = predict.logits(module, as_seen(spec, changed))
        if tick:
            tick()
    return found


def write(folder: Path, splits: dict[str, dict]) -> Path:
    """folder: of the study. splits: the split that weights were trained on -> labels, of its test
    films, and models: dicts of model, seed, image_size, weights (their sha256) and logits (change
    -> (N,)). Raises OSError."""
    path = Path(folder) / "changes.json"
    write_json(path, {"format": FORMAT, "splits": splits})
    return path


def read(folder: Path) -> dict[str, dict]:
    """What `write` was given, or {} where nothing was kept. Raises ResultsError."""
    path = Path(folder) / "changes.json"
    return read_json(path, FORMAT)["splits"] if path.exists() else {}

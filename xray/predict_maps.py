"""What drove a prediction, pixel by pixel, and its picture over the radiograph."""

import io
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from xray.specs import ModelSpec

# of the image's side: the standard deviation of the Gaussian that maps are shown through
SMOOTHED = 1 / 40
SHOWN = 600  # pixels of a picture's longer side
STRONGEST = 0.65  # how much of the radiograph the strongest colour covers
# red and blue, as in the report
PNEUMONIA, NORMAL = np.array([235, 40, 45.0]), np.array([40, 120, 255.0])


def fold(module) -> tuple[np.ndarray, float]:
    """A Linear net's layers as one: its weight for each pixel, float64 (S * S,), and its bias."""
    weights, bias = np.eye(1), 0.0
    layers = [layer for layer in module.layer_stack if isinstance(layer, torch.nn.Linear)]
    for layer in reversed(layers):
        bias += (weights @ layer.bias.detach().double().numpy())[0]
        weights = weights @ layer.weight.detach().double().numpy()
    return weights[0], float(bias)


def contributions(spec: ModelSpec, module, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each pixel adds to the score of each image, and what is left: float32 (N, S, S) and
    float64 (N,).

    images: uint8 (N, 1, S, S). The sum of an image's contributions and its rest is the score. For
    Linear nets the score is the logit, a contribution is a pixel times its weight (fold), the rest
    is the bias: exact, the same weights for all images. The other nets are linear around each
    image, so a contribution is a pixel times the score's gradient there, and the rest is what the
    biases add: true for that image, and for others only as far as the same units are active. An
    MLP's score is taken before its last ReLU, so the logit is max(0, score), and an image that the
    ReLU shuts off has a map too. A black pixel contributes nothing, whatever it may mean that it is
    black.
    """
    if spec.family == "Linear":
        weights, bias = fold(module)
        maps = images.reshape(len(images), -1) / 255 * weights
        return maps.reshape(images[:, 0].shape).astype(np.float32), np.full(len(images), bias)
    pixels = torch.from_numpy(images).float().div_(255).requires_grad_()
    before_relu = spec.family == "Linear+ReLU"
    score = module.layer_stack[:-1](pixels)[:, 0] if before_relu else module(pixels)
    (gradient,) = torch.autograd.grad(score.sum(), pixels)
    maps = (gradient * pixels.detach())[:, 0]
    return maps.numpy(), (score.detach().double() - maps.double().sum((1, 2))).numpy()


def smooth(values: np.ndarray) -> np.ndarray:
    """A map (S, S) through a Gaussian of SMOOTHED of its side: single weights are mostly noise."""
    values = np.asarray(values, np.float64)
    return gaussian_filter(values, values.shape[-1] * SMOOTHED, mode="constant")


def thumbnail(gray: np.ndarray) -> np.ndarray:
    """uint8 (H, W) -> the picture with SHOWN pixels on its longer side, 24 or more on the other."""
    height, width = (max(24, round(side * SHOWN / max(gray.shape))) for side in gray.shape)
    return np.asarray(Image.fromarray(gray).resize((width, height), Image.Resampling.BICUBIC))


def draw(shown: np.ndarray, values: np.ndarray, title: str, note: str) -> bytes:
    """A PNG: the radiograph, beside it the same with the map over it, below them a legend and two
    lines of text.

    shown: uint8 (H, W), of thumbnail. values: (S, S), contributions; red adds to the score
    (pneumonia), blue takes from it (normal), full colour at the 99.5th percentile of this image's
    smoothed map.
    """
    height, width = shown.shape
    smoothed = smooth(values)
    limit = np.percentile(np.abs(smoothed), 99.5) or 1
    share = Image.fromarray(np.clip(smoothed / limit, -1, 1).astype(np.float32))
    share = np.asarray(share.resize((width, height), Image.Resampling.BILINEAR))
    gap, foot, side = 8, 92, max(width, 320)
    canvas = Image.new("RGB", (2 * side + 3 * gap, height + 2 * gap + foot), "white")
    margin = (side - width) // 2
    canvas.paste(Image.fromarray(shown).convert("RGB"), (gap + margin, gap))
    gray = np.repeat(shown[..., None], 3, 2).astype(np.float64)
    canvas.paste(Image.fromarray(_blend(gray, share)), (2 * gap + side + margin, gap))
    pen = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(17), ImageFont.load_default(14)
    top = height + 2 * gap
    pen.text((gap, top), title, "black", large)
    pen.text((gap, top + 62), note, "black", small)
    left, long = 2 * gap + side, 140
    before, after = "towards normal", "towards pneumonia"
    start = left + pen.textlength(before, small) + 8
    pen.text((left, top + 32), before, "black", small)
    strip = np.repeat(np.linspace(-1, 1, long)[None], 16, 0)
    legend = Image.fromarray(_blend(np.full((16, long, 3), 110.0), strip))
    canvas.paste(legend, (int(start), top + 33))
    pen.text((start + long + 8, top + 32), after, "black", small)
    pen.text((gap, top + 32), "left: as read; right: what drove the score", "black", small)
    stream = io.BytesIO()
    # the highest level takes 20 times as long for a tenth less
    canvas.save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def _blend(gray: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Colours over gray (H, W, 3): share (H, W) in -1 to 1, from NORMAL over nothing to
    PNEUMONIA.
    """
    cover = (np.abs(share) ** 0.8 * STRONGEST)[..., None]
    colour = np.where(share[..., None] > 0, PNEUMONIA, NORMAL)
    return np.rint(gray * (1 - cover) + colour * cover).astype(np.uint8)


def place(folder: Path, image: Path, model: str, taken: set[str]) -> Path:
    """Where an image's map goes: folder/<name>-<model>.png, numbered where that is taken, and takes
    it.

    The name keeps letters, digits, '.', '_' and '-' of the image's. taken: paths as `key` gives
    them, of all inputs and of the maps placed so far.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", image.stem).strip("-.")[:80] or "image"
    number, path = 1, folder / f"{stem}-{model}.png"
    while key(path) in taken:
        number += 1
        path = folder / f"{stem}-{model}-{number}.png"
    taken.add(key(path))
    return path


def key(path: Path) -> str:
    """A path as file systems compare it that do not tell A from a."""
    return str(Path(path).resolve()).casefold()

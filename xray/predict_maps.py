"""What drove a prediction, pixel by pixel, as a picture over the radiograph."""

import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.optimize
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from xray.specs import ModelSpec

# of the image's side: the standard deviation of the Gaussian that maps are shown through
SMOOTHED = 1 / 40
STRONGEST = 0.65  # how much of the radiograph the strongest colour covers
# red and blue, as in the report
PNEUMONIA, NORMAL = np.array([235, 40, 45.0]), np.array([40, 120, 255.0])


STEPS = 8, 16, 32, 64, 128, 256, 512  # of a path, until its sum is good enough
COMPLETE = 0.01  # of a logit, and of the difference: how far a map's sum may be off
PIXELS_AT_ONCE = 2**21


def score(spec: ModelSpec, module, films: torch.Tensor) -> torch.Tensor:
    """What a map explains, (N,), of films float32 (N, 1, S, S) in 0-1: the logit, of an MLP what
    comes before its last ReLU (the logit is that or 0), so that an image which the ReLU shuts off
    has a map too."""
    if spec.family == "Linear+ReLU":
        return module.layer_stack[:-1](films)[:, 0]
    return module(films)


class Baseline(NamedTuple):
    """What a film is compared with."""

    film: np.ndarray  # float32 (S, S) in 0-1
    score: float
    what: str  # in words


@torch.no_grad()
def baseline(spec: ModelSpec, module, averages: np.ndarray, threshold: float) -> Baseline:
    """A film that the model cannot decide on: the mixture of the average films of both classes
    (float32 (2, S, S) in 0-1) whose score stands at the threshold, a logit. Where no mixture's
    does, the even one."""

    def mixture(share):
        return (averages[0] + share * (averages[1] - averages[0])).astype(np.float32)

    def away(share):
        return float(score(spec, module, torch.from_numpy(mixture(share))[None, None])) - threshold

    share, what = 0.5, "the average training film"
    if away(0) * away(1) < 0:
        share = scipy.optimize.brentq(away, 0, 1)
        what = f"{1 - share:.0%} average normal film, {share:.0%} average pneumonia: undecided"
    return Baseline(mixture(share), away(share) + threshold, what)


def contributions(spec: ModelSpec, module, film: np.ndarray, base: Baseline) -> np.ndarray:
    """What each pixel of a film (uint8 (S, S)) adds to its score over the baseline's, float32
    (S, S): integrated gradients (Sundararajan et al. 2017).

    The gradient is averaged along the straight way from the baseline to the film, at the middles of
    STEPS, and multiplied by the way. So the sum is the film's score minus the baseline's: exactly
    so for Linear nets, whose gradient is the same everywhere, else within COMPLETE. Raises
    ValueError where 512 steps do not bring it there.
    """
    end = torch.from_numpy(film / np.float32(255))[None, None]
    start = torch.from_numpy(base.film)[None, None]
    with torch.no_grad():
        difference = float(score(spec, module, end)[0]) - base.score
    for steps in STEPS:
        total = torch.zeros_like(start, dtype=torch.float64)
        for shares in ((torch.arange(steps) + 0.5) / steps).split(
            max(1, PIXELS_AT_ONCE // film.size)
        ):
            way = (start + shares[:, None, None, None] * (end - start)).requires_grad_()
            (gradient,) = torch.autograd.grad(score(spec, module, way).sum(), way)
            total += gradient.double().sum(0, keepdim=True)
        values = ((end - start) * total / steps)[0, 0].numpy()
        if abs(values.sum() - difference) <= COMPLETE * max(1, abs(difference)):
            return values.astype(np.float32)
    raise ValueError("the contributions of its pixels do not add up to its score")


def smooth(values: np.ndarray) -> np.ndarray:
    """A map (S, S) through a Gaussian of SMOOTHED of its side: single weights are mostly noise."""
    values = np.asarray(values, np.float64)
    return gaussian_filter(values, values.shape[-1] * SMOOTHED, mode="constant")


def draw_map(shown: np.ndarray, values: np.ndarray, lines: list[str], warning: str = "") -> bytes:
    """A PNG: the radiograph, beside it the same with the map over it, below them a legend and lines
    of text, the first one large; a warning is red.

    shown: uint8 (H, W), of thumbnail. values: (S, S), contributions; red adds to the score
    (pneumonia), blue takes from it (normal), full colour at the 99.5th percentile of this image's
    smoothed map.
    """
    height, width = shown.shape
    smoothed = smooth(values)
    limit = np.percentile(np.abs(smoothed), 99.5) or 1
    share = Image.fromarray(np.clip(smoothed / limit, -1, 1).astype(np.float32))
    share = np.asarray(share.resize((width, height), Image.Resampling.BILINEAR))
    title, *lines = lines
    texts = [(line, "black") for line in lines] + [(warning, "#b00000")] * bool(warning)
    gap, foot, side = 8, 62 + 22 * len(texts), max(width, 380)
    canvas = Image.new("RGB", (2 * side + 3 * gap, height + 2 * gap + foot), "white")
    margin = (side - width) // 2
    canvas.paste(Image.fromarray(shown).convert("RGB"), (gap + margin, gap))
    gray = np.repeat(shown[..., None], 3, 2).astype(np.float64)
    canvas.paste(Image.fromarray(_blend(gray, share)), (2 * gap + side + margin, gap))
    pen = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(17), ImageFont.load_default(14)
    top, left, long = height + 2 * gap, 2 * gap + side, 140
    pen.text((gap, top), title, "black", large)
    pen.text((gap, top + 32), "left: as read; right: what drove the score", "black", small)
    before, after = "towards normal", "towards pneumonia"
    start = left + pen.textlength(before, small) + 8
    pen.text((left, top + 32), before, "black", small)
    strip = np.repeat(np.linspace(-1, 1, long)[None], 16, 0)
    legend = Image.fromarray(_blend(np.full((16, long, 3), 110.0), strip))
    canvas.paste(legend, (int(start), top + 33))
    pen.text((start + long + 8, top + 32), after, "black", small)
    for number, (line, colour) in enumerate(texts):
        pen.text((gap, top + 60 + 22 * number), line, colour, small)
    stream = io.BytesIO()
    # the highest level takes 20 times as long for a tenth less
    canvas.save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def _blend(gray: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Colours over gray (H, W, 3): share (H, W), -1 to 1, from NORMAL over none to PNEUMONIA."""
    cover = (np.abs(share) ** 0.8 * STRONGEST)[..., None]
    colour = np.where(share[..., None] > 0, PNEUMONIA, NORMAL)
    return np.rint(gray * (1 - cover) + colour * cover).astype(np.uint8)


def map_path(folder: Path, image: Path, model: str, taken: set[str]) -> Path:
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

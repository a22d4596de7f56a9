"""What drove a prediction, pixel by pixel, as a picture over the radiograph."""

import io
from typing import NamedTuple

import numpy as np
import scipy.optimize
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from xray.specs import ModelSpec

SHOWN = 600  # pixels of the radiograph's longer side in a picture
# of the image's side: the standard deviation of the Gaussian that maps are shown through
SMOOTHED = 1 / 40
STRONGEST = 0.65  # how much of the radiograph the strongest colour covers
LEGEND = "left: as read; right: what drove the score, red towards pneumonia, blue towards normal"
# red and blue, as in the report
PNEUMONIA = np.array([235.0, 40.0, 45.0])
NORMAL = np.array([40.0, 120.0, 255.0])
STEPS = 8, 16, 32, 64, 128, 256, 512  # of a path, until its sum is good enough
COMPLETE = 0.01  # of a logit, and of the difference: how far a map's sum may be off
PIXELS_AT_ONCE = 2**21


def score(spec: ModelSpec, module, films: torch.Tensor) -> torch.Tensor:
    """What a map explains, (N,), of films float32 (N, 1, S, S) in 0-1: the logit, of an MLP what
    comes before its last ReLU (the logit is that or 0), so that an image which the ReLU shuts off
    has a map too."""
    if spec.family == "Linear+ReLU" and spec.last_relu:
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
    (float32 (2, S, S) in 0-255) whose score stands at the threshold, a logit. Where no mixture's
    does, the even one."""
    normal, pneumonia = averages / np.float32(255)

    def mixture(share):
        return (normal + share * (pneumonia - normal)).astype(np.float32)

    def above(share):
        film = torch.from_numpy(mixture(share))[None, None]
        return float(score(spec, module, film)) - threshold

    share, what = 0.5, "the average training film"
    if above(0) * above(1) < 0:
        share = scipy.optimize.brentq(above, 0, 1)
        what = f"{1 - share:.0%} average normal film, {share:.0%} average pneumonia: undecided"
    return Baseline(mixture(share), above(share) + threshold, what)


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
    at_once = max(1, PIXELS_AT_ONCE // film.size)
    for steps in STEPS:
        total = torch.zeros_like(start, dtype=torch.float64)
        middles = (torch.arange(steps) + 0.5) / steps
        for shares in middles.split(at_once):
            way = start + shares[:, None, None, None] * (end - start)
            way.requires_grad_()
            (gradient,) = torch.autograd.grad(score(spec, module, way).sum(), way)
            total += gradient.double().sum(0, keepdim=True)
        values = ((end - start) * total / steps)[0, 0].numpy()
        if abs(values.sum() - difference) <= COMPLETE * max(1, abs(difference)):
            return values.astype(np.float32)
    raise ValueError("the contributions of its pixels do not add up to its score")


def thumbnail(gray: np.ndarray) -> np.ndarray:
    """uint8 (H, W) -> the picture with SHOWN pixels on its longer side, 24 or more on the other."""
    height, width = (max(24, round(side * SHOWN / max(gray.shape))) for side in gray.shape)
    return np.asarray(Image.fromarray(gray).resize((width, height), Image.Resampling.BICUBIC))


def draw_map(shown: np.ndarray, values: np.ndarray, lines: list[str], warning: str = "") -> bytes:
    """A PNG: the radiograph, beside it the same with the map over it, below them lines of text, the
    first one large; a warning is red.

    shown: uint8 (H, W), of thumbnail. values: (S, S), contributions; red adds to the score
    (pneumonia), blue takes from it (normal), full colour at the 99.5th percentile of this image's
    smoothed map.
    """
    height, width = shown.shape
    # single weights are mostly noise
    smoothed = gaussian_filter(np.float64(values), len(values) * SMOOTHED, mode="constant")
    limit = np.percentile(np.abs(smoothed), 99.5) or 1
    share = Image.fromarray(np.clip(smoothed / limit, -1, 1).astype(np.float32))
    share = np.asarray(share.resize((width, height), Image.Resampling.BILINEAR))[..., None]
    cover = np.abs(share) ** 0.8 * STRONGEST
    tint = np.where(share > 0, PNEUMONIA, NORMAL)
    coloured = np.rint(shown[..., None] * (1 - cover) + tint * cover).astype(np.uint8)

    title, *others = lines
    texts = [(line, "black") for line in (LEGEND, *others)]
    if warning:
        texts.append((warning, "#b00000"))
    gap, side = 8, max(width, 380)  # a narrow film leaves room for the text
    top, margin = height + 2 * gap, (side - width) // 2
    canvas = Image.new("RGB", (2 * side + 3 * gap, top + 32 + 22 * len(texts)), "white")
    canvas.paste(Image.fromarray(shown).convert("RGB"), (gap + margin, gap))
    canvas.paste(Image.fromarray(coloured), (2 * gap + side + margin, gap))
    pen = ImageDraw.Draw(canvas)
    pen.text((gap, top), title, "black", ImageFont.load_default(17))
    for number, (line, colour) in enumerate(texts):
        pen.text((gap, top + 30 + 22 * number), line, colour, ImageFont.load_default(14))
    stream = io.BytesIO()
    # the highest level takes 20 times as long for a tenth less
    canvas.save(stream, "PNG", compress_level=3)
    return stream.getvalue()

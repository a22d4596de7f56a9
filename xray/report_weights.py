"""A net's first-layer weights become images: what each unit looks at, and for a Linear net the one
image that it weighs a radiograph with, alone and over a phantom."""

import base64
import hashlib
import io
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw
from safetensors import SafetensorError
from safetensors.numpy import load as from_bytes
from scipy.ndimage import gaussian_filter

from xray import data_phantoms
from xray.report_pictures import LARGEST, NARROW, WIDTH, draw, png, shrink
from xray.results import ResultsError, Run, read_json, weights_path, write_json

LEVELS = 65  # an odd number, so that 0 has a colour of its own
SOFT = 1 / 213  # of the width: by how much a whole map is smoothed, 3 pixels of 640
FRAME = 0.1  # of width and height, on each side: hardly any lung lies there
SHARP = 5  # standard deviations from which a spot is said to stand out


class WeightsError(ValueError):
    """A weights file that is missing, damaged or not of that model; the message names it."""


@dataclass(frozen=True)
class Spot:
    """Where a map stands out most from its surroundings; left, top: fractions of the film."""

    left: float
    top: float
    deviations: float
    positive: bool

    @property
    def outside(self) -> bool:
        """Whether it lies in the outer frame of the film."""
        return min(self.left, self.top, 1 - self.left, 1 - self.top) < FRAME


@dataclass(frozen=True)
class Maps:
    """A run's weights as pictures. Red adds to the logit, blue takes from it.

    units: (PNG, output weight); each pixel's weight times that. unit_limit: full colour, for all
    of them. whole: their sum, a PNG of a Linear net, None for an MLP; over: the same over a
    phantom; limit: its full colour. spot: where it stands out, None where it does nowhere.
    frame: the share of all |weight| that lies in its outer frame.
    """

    units: list[tuple[bytes, float]]
    unit_limit: float
    whole: bytes | None = None
    over: bytes | None = None
    limit: float = 0.0
    spot: Spot | None = None
    frame: float = 0.0


def maps(run: Run) -> Maps:
    """The pictures of a Linear or MLP run with one hidden layer. Raises WeightsError."""
    kept = weight_images(run)
    parts = [weight * _values(content, kept["limit"]) for content, weight in kept["units"]]
    small = [shrink(part, 80) for part in parts]
    unit_limit = float(np.percentile(np.abs(small), 99.5))
    units = [
        (diverging(part, unit_limit), weight) for part, (_, weight) in zip(small, kept["units"])
    ]
    if not kept["product"]:
        return Maps(units, unit_limit)
    values = _values(kept["product"], kept["product_limit"])
    whole = gaussian_filter(values, SOFT * len(values))
    limit = float(np.percentile(np.abs(whole), 99.5))
    spot = find_spot(values)
    drawn = diverging(whole, limit), over_phantom(whole, limit, spot)
    return Maps(units, unit_limit, *drawn, limit, spot, frame_share(whole))


def find_spot(values: np.ndarray) -> Spot | None:
    """The sharpest spot of a map (S, S): of the smoothed map less one smoothed four times as far,
    the place of the largest value, if that is SHARP standard deviations or more."""
    size = len(values)
    sharp = gaussian_filter(values, SOFT * size) - gaussian_filter(values, 4 * SOFT * size)
    top, left = np.unravel_index(np.abs(sharp).argmax(), sharp.shape)
    deviations = float(abs(sharp[top, left]) / (sharp.std() or 1))
    if deviations < SHARP:
        return None
    place = (left + 0.5) / size, (top + 0.5) / size
    return Spot(*place, deviations, bool(sharp[top, left] > 0))


def frame_share(values: np.ndarray) -> float:
    """The share of all |values| of a map (S, S) that lies in its outer frame."""
    edge = round(FRAME * len(values))
    size = np.abs(values)
    return 1 - float(size[edge:-edge, edge:-edge].sum() / (size.sum() or 1))


def over_phantom(values: np.ndarray, limit: float, spot: Spot | None) -> bytes:
    """A map (S, S) laid over a phantom: the more a pixel weighs, the less of the film is seen; a
    ring around the spot."""
    film = data_phantoms.draw(0, False, len(values))[..., None].repeat(3, 2).astype(float)
    hues = np.where(values[..., None] > 0, (214, 47, 39), (33, 113, 198))
    weight = 0.8 * np.clip(np.abs(values) / (limit or 1), 0, 1)[..., None]
    picture = Image.fromarray(np.rint(film * (1 - weight) + hues * weight).astype(np.uint8))
    picture = picture.quantize(95, dither=Image.Dither.NONE)
    if spot:
        picture.putpalette((picture.getpalette() + [0] * 285)[:285] + [255, 214, 10])
        reach, middle = 0.045, np.array([spot.left, spot.top])
        box = np.concatenate([middle - reach, middle + reach]) * len(values)
        ImageDraw.Draw(picture).ellipse(list(box), outline=95, width=2)
    return png(picture)


def scale(name: str, title: str, found: Maps) -> dict:
    """The colour bar: what report_pictures.draw gives back. Beneath it the numbers of one unit,
    above it those of the whole map."""
    limits = [("one unit", found.unit_limit)]
    limits += [("whole map", found.limit)] if found.whole else []
    colours = matplotlib.colormaps["RdBu_r"](np.linspace(0, 1, LEVELS))[None]

    def paint(figure, stacked):
        axis = figure.subplots()
        axis.imshow(colours, extent=(-1, 1, 0, 1), aspect="auto", interpolation="nearest")
        axis.spines[:].set_visible(False)
        axis.grid(visible=False)
        sides = (0.15, 0.85) if found.whole else (0.5,)
        axis.set_yticks(sides, [words for words, _ in limits])
        axis.set_ylim(0, 1)
        places = np.array((-1, 0, 1) if stacked else (-1, -0.5, 0, 0.5, 1))
        for n, (_, limit) in enumerate(limits):
            side = axis.secondary_xaxis("top") if n else axis
            side.set_xticks(places, [_power(place * limit) for place in places])
            side.tick_params(length=0)
        style = {"xycoords": "axes fraction", "textcoords": "offset points", "fontweight": "bold"}
        axis.annotate("speaks for normal", (0, 0), xytext=(-10, -28), **style)
        axis.annotate("for pneumonia", (1, 0), xytext=(10, -28), ha="right", **style)

    words = [f"{word}: full colour at ±{_power(limit)[1:]}" for word, limit in limits]
    alt = f"{title}: blue below 0, white at 0, red above. Weight of a pixel, {'; '.join(words)}."
    return draw(name, title, alt, (WIDTH, 0.95), (NARROW, 0.95), paint)


def _power(value: float) -> str:
    """A weight such as "+9.3·10⁻⁴"."""
    if not value:
        return "0"
    digits, power = f"{value:+.1e}".split("e")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits}·10{raised}".replace("-", "−")


# ---- weights as images that are kept


def first_layer(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The weights of a Linear or MLP run with one hidden layer, from the file beside its record,
    which has to be the one that the record names by its sha256.

    Gives (units, S, S) float32, each unit's weights as an image, and (units,), what its output is
    multiplied by. Raises WeightsError.
    """
    path = weights_path(run)
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != run.weights.get("sha256"):
            raise WeightsError(f"{path.name}: not what its record names (the checksum differs)")
        tensors = from_bytes(content)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path.name}: cannot be read ({type(error).__name__})") from None
    layers = [value.astype(np.float32) for value in tensors.values() if value.ndim == 2]
    size = run.image_size
    hidden = [layer for layer in layers if layer.shape[1] == size * size]
    output = [layer for layer in layers if hidden and layer.shape == (1, len(hidden[0]))]
    if not output:
        model = f"model {run.spec.id} at {size}×{size}"
        raise WeightsError(f"{path.name}: does not hold the two layers of {model}")
    return hidden[0].reshape(-1, size, size), output[0][0]


def weight_images(run: Run) -> dict:
    """A run's weights as images of LEVELS steps: {"units": [(PNG, output weight)], "limit": float,
    "product": PNG or None, "product_limit"}.

    Units are 160 pixels wide or less, all on one scale: the last step is the 99.5th percentile of
    |w|. The product of the two layers is the one image that a Linear net weighs a radiograph with;
    an MLP has none. Weights are large and stay where they were trained. So these are kept beside
    the record, in <run>.pictures, and stand in where the weights are not: a report can then be
    written again from the records alone. Raises WeightsError where neither can be used.
    """
    kept = weights_path(run).with_suffix(".pictures")
    try:
        hidden, output = first_layer(run)
    except WeightsError:
        found = _read_kept(kept, run)
        if found is None:
            raise
        return found
    small = [shrink(unit, 160) for unit in hidden]
    limit = float(np.percentile(np.abs(small), 99.5))
    found = {
        "units": [(diverging(unit, limit), float(weight)) for unit, weight in zip(small, output)],
        "limit": limit,
        "product": None,
        "product_limit": 0.0,
    }
    if run.spec.family == "Linear":
        product = shrink(np.tensordot(output, hidden, 1))
        found["product_limit"] = float(np.percentile(np.abs(product), 99.5))
        found["product"] = diverging(product, found["product_limit"])
    if _read_kept(kept, run) != found:
        with suppress(OSError):  # a results folder that is only for reading
            _write_kept(kept, run, found)
    return found


def _write_kept(path: Path, run: Run, found: dict) -> None:
    kept = {"weights": run.weights.get("sha256")} | found
    kept["units"] = [[_base64(content), weight] for content, weight in found["units"]]
    kept["product"] = found["product"] and _base64(found["product"])
    write_json(path, kept)


def _read_kept(path: Path, run: Run) -> dict | None:
    """What _write_kept wrote of these very weights; None where nothing is that can be trusted."""
    try:
        payload = read_json(path)
        if payload["weights"] != run.weights.get("sha256"):
            return None
        units = [(_checked_png(text), weight) for text, weight in payload["units"]]
        product = payload["product"] and _checked_png(payload["product"])
        limits = {name: payload[name] for name in ("limit", "product_limit")}
        numbers = [weight for _, weight in units] + list(limits.values())
        right = len(units) == run.spec.hidden_units and all(map(math.isfinite, numbers))
        return {"units": units, "product": product} | limits if right else None
    except (ResultsError, KeyError, TypeError, ValueError, OSError, SyntaxError):
        return None


def _checked_png(text: str) -> bytes:
    """A kept picture's bytes; raises ValueError, OSError or SyntaxError where it is none that
    `diverging` drew."""
    content = base64.b64decode(text, validate=True)
    with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
        if picture.mode != "P" or max(picture.size) > LARGEST:
            raise ValueError("not a picture of weights")
        picture.verify()
    return content


def diverging(values: np.ndarray, limit: float) -> bytes:
    """(H, W) real numbers -> a PNG: blue below 0, white at 0, red above, full colour at ±limit."""
    steps = np.clip(np.nan_to_num(values) / (limit or 1), -1, 1)
    picture = Image.fromarray(np.rint((steps + 1) / 2 * (LEVELS - 1)).astype(np.uint8), "P")
    colours = matplotlib.colormaps["RdBu_r"](np.linspace(0, 1, LEVELS))[:, :3]
    picture.putpalette(np.rint(255 * colours).astype(np.uint8).ravel().tolist())
    return png(picture)


def _values(content: bytes, limit: float) -> np.ndarray:
    """The numbers that `diverging` drew, to the nearest level."""
    levels = np.asarray(Image.open(io.BytesIO(content)), float)
    return (2 * levels / (LEVELS - 1) - 1) * limit


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()

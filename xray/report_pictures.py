"""Numbers that are images -> small PNGs: a radiograph's pixels, a net's first-layer weights."""

import base64
import io
from contextlib import suppress
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file

from xray.results import FORMAT, ResultsError, Run, read_json, write_json

LARGEST = 320  # pixels a side of a picture in the report


class WeightsError(ValueError):
    """A weights file that is missing, damaged or not of that model; the message names it."""


def png(picture: Image.Image) -> bytes:
    """A PNG without any text or time in it."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def data_uri(content: bytes) -> str:
    """A PNG as the address of an img element."""
    return "data:image/png;base64," + _base64(content)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def shrink(values: np.ndarray, largest: int = LARGEST) -> np.ndarray:
    """(H, W) numbers -> means over squares of k×k; edges that fill no whole square are cut off.

    k is the smallest that brings both sides to `largest` or less.
    """
    k = -(-max(values.shape) // largest)
    height, width = (side // k * k for side in values.shape)
    return values[:height, :width].reshape(height // k, k, width // k, k).mean(axis=(1, 3))


def radiograph(pixels: np.ndarray) -> bytes:
    """uint8 (S, S) -> a gray PNG of at most LARGEST pixels a side."""
    return png(Image.fromarray(np.rint(shrink(pixels.astype(np.float64))).astype(np.uint8), "L"))


def diverging(values: np.ndarray, limit: float) -> bytes:
    """(H, W) real numbers -> a PNG: blue below 0, white at 0, red above, full colour at ±limit."""
    levels = 65  # an odd number, so that 0 has a colour of its own
    steps = np.clip(np.nan_to_num(values) / (limit or 1), -1, 1)
    picture = Image.fromarray(np.rint((steps + 1) / 2 * (levels - 1)).astype(np.uint8), "P")
    colours = matplotlib.colormaps["RdBu_r"](np.linspace(0, 1, levels))[:, :3]
    picture.putpalette(np.rint(255 * colours).astype(np.uint8).ravel().tolist())
    return png(picture)


def first_layer(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The weights of a Linear or MLP run with one hidden layer, from the file beside its record.

    Gives (units, S, S) float32, each unit's weights as an image, and (units,), what its output is
    multiplied by. Raises WeightsError.
    """
    path = Path(run.file).parent / Path(run.weights["file"]).name
    try:
        tensors = load_file(path)
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


def weight_pictures(run: Run) -> dict:
    """What a run looks at: {"units": [(PNG, output weight)], "limit": float, "product": PNG or
    None, "product_limit"}.

    Units are drawn at 160 pixels or less, all on one scale: full colour at the 99.5th percentile of
    |w| as drawn. The product of the two layers is the one image that a Linear net weighs a
    radiograph with; an MLP has none. Weights are large and stay where they were trained. So what
    was drawn is kept beside the record, in <run>.pictures, and stands in where the weights are not:
    a report can then be written again from the records alone. Raises WeightsError where neither can
    be used.
    """
    kept = Path(run.file).with_suffix(".pictures")
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
    kept = {"format": FORMAT, "weights": run.weights.get("sha256")} | found
    kept["units"] = [[_base64(content), weight] for content, weight in found["units"]]
    kept["product"] = found["product"] and _base64(found["product"])
    write_json(path, kept)


def _read_kept(path: Path, run: Run) -> dict | None:
    """What _write_kept wrote of these very weights; None where nothing is that can be trusted."""
    try:
        payload = read_json(path)
        if payload["weights"] != run.weights.get("sha256"):
            return None
        return {
            "units": [(base64.b64decode(content), weight) for content, weight in payload["units"]],
            "limit": payload["limit"],
            "product": payload["product"] and base64.b64decode(payload["product"]),
            "product_limit": payload["product_limit"],
        }
    except (ResultsError, KeyError, TypeError, ValueError):
        return None

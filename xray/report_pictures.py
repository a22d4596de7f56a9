"""A matplotlib figure becomes an SVG, one to stand inside the HTML page and one as a file; numbers
that are images (a radiograph, a net's first-layer weights) become small PNGs."""

import base64
import hashlib
import io
import re
from contextlib import suppress
from pathlib import Path

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load as from_bytes

from xray.results import FORMAT, ResultsError, Run, read_json, write_json
from xray.results_checks import number

# What a figure may be coloured with: name -> colour on white. Inside the page each becomes the CSS
# variable of that name, so that the page's light and dark schemes apply. The class hues are Okabe
# and Ito's, safe for the colour-blind.
COLOURS = {
    "ink": "#1d2329",
    "quiet": "#5c6670",
    "rule": "#d9dee3",
    "linear": "#0072b2",
    "linear-2": "#56a8dc",
    "mlp": "#c14b00",
    "mlp-2": "#ef9150",
    "cnn": "#007a5a",
    "cnn-2": "#3dbb93",
    "paper": "#7a4f9a",
    "none": "#8b949e",
    "class-0": "#c3ccd5",
    "class-1": "#8d9aa8",
    "page": "#fefefe",
    "on": "#fefeff",
    "on-2": "#0b0d0f",
}
FONTS = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', Arial, sans-serif"
)

STYLE = {
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    # comes with matplotlib, and is wide: what fits in it fits in the reader's font
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.parse_math": False,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["quiet"],
    "axes.edgecolor": COLOURS["rule"],
    "axes.titlecolor": COLOURS["ink"],
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": COLOURS["rule"],
    "grid.linewidth": 0.6,
    "xtick.color": COLOURS["rule"],
    "ytick.color": COLOURS["rule"],
    "xtick.labelcolor": COLOURS["quiet"],
    "ytick.labelcolor": COLOURS["quiet"],
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "path.simplify_threshold": 0.3,
}


def draw(name: str, title: str, description: str, size: tuple[float, float], paint) -> dict:
    """Call paint(figure) on an empty figure of `size` inches and give back the picture.

    name: unique on the page, [a-z0-9-]; title and description: its text alternative, any text.
    Returns {"inline": Markup for the HTML page, "file": str, a whole SVG file on white, "alt":
    description}. The same picture gives the same bytes.
    """
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    body, width, height = _bare(stream.getvalue(), name)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
    head += f' aria-labelledby="{name}-t {name}-d"'
    label = f' font-family="{FONTS}" stroke-linejoin="round">\n'
    label += f'<title id="{name}-t">{escape(title)}</title>\n'
    label += f'<desc id="{name}-d">{escape(description)}</desc>\n'
    white = '<rect width="100%" height="100%" fill="#fff"/>\n'
    inline = body
    for key, value in COLOURS.items():
        inline = inline.replace(value, f"var(--{key})")
    inline = f'{head} class="drawing" width="{width}"{label}{inline}</svg>'
    file = f'{head} width="{width}pt" height="{height}pt"{label}{white}{body}</svg>\n'
    return {"inline": Markup(inline), "file": file, "alt": description}


def _bare(text: str, name: str) -> tuple[str, str, str]:
    """matplotlib's SVG, bare, its ids prefixed or gone where unused; width and height in points."""
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups()
    body = text[text.index("</metadata>") + len("</metadata>") : text.rindex("</svg>")]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.S)
    body = re.sub(r"\bxlink:href", "href", body)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"font-family: [^;\"]*; ?", "", body)
    body = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", body)
    body = re.sub(r'(?<= d=")[^"]+', _short_path, body)
    body = re.sub(r"(?<=[ \"(-])(\d+\.\d{2})\d+", r"\1", body)
    body = re.sub(r"\n\s+", "\n", body)
    return body.strip() + "\n", width, height


def _short_path(match) -> str:
    """A path's data with one decimal (a tenth of a point cannot be seen) and no needless blanks."""

    def short(number):
        return f"{float(number[0]):.1f}".removesuffix(".0")

    text = re.sub(r"-?\d+\.\d+", short, match[0])
    return re.sub(r"\s+", " ", text).strip().replace("-0 ", "0 ")


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
    """The weights of a Linear or MLP run with one hidden layer, from the file beside its record,
    which has to be the one that the record names by its sha256.

    Gives (units, S, S) float32, each unit's weights as an image, and (units,), what its output is
    multiplied by. Raises WeightsError.
    """
    path = Path(run.file).parent / Path(run.weights["file"]).name
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
        units = [(_checked_png(text), weight) for text, weight in payload["units"]]
        product = payload["product"] and _checked_png(payload["product"])
        limits = {name: payload[name] for name in ("limit", "product_limit")}
        numbers = [weight for _, weight in units] + list(limits.values())
        right = len(units) == run.spec.hidden_units and all(map(number, numbers))
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

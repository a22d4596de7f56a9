"""A matplotlib figure becomes an SVG, for the HTML page and as a file; a radiograph becomes a small
PNG."""

import base64
import io
import re
from collections import Counter

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

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

# inches: a picture on a wide screen, shown at most 1.5 times that, and on a phone, where its
# smallest text, 8.5 points, is shown at 11 pixels or more
WIDTH, NARROW = 7.6, 3.6

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
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "path.simplify_threshold": 0.3,
}


def draw(name: str, title: str, description: str, size: tuple, narrow: tuple, paint) -> dict:
    """Draw a picture twice: for a wide screen, and with its panels stacked for a phone.

    name: unique on the page, [a-z0-9-]; title and description: its text alternative, any text.
    size, narrow: width and height in inches of the two; NARROW is as wide as a phone shows.
    paint(figure, stacked): draws on an empty figure. Returns {"inline", "narrow": Markup for the
    HTML page, of which the second is named by the first's title and description; "file": str, the
    wide one as a whole SVG file on white; "alt": description}. The same picture gives the same
    bytes.
    """
    head, body = _svg(name, name, painted(size, paint, False))
    label = f'<title id="{name}-t">{escape(title)}</title>\n'
    label += f'<desc id="{name}-d">{escape(description)}</desc>\n'
    white = '<rect width="100%" height="100%" fill="#fff"/>\n'
    small_head, small = _svg(f"{name}-narrow", name, painted(narrow, paint, True))
    return {
        "inline": _inline(head, label + body),
        "narrow": _inline(small_head, small),
        "file": f"{head}>\n{label}{white}{body}</svg>\n",
        "alt": description,
    }


def painted(size: tuple[float, float], paint, stacked: bool) -> Figure:
    """A figure of `size` inches with what paint(figure, stacked) draws on it."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure, stacked)
    return figure


def _inline(head: str, body: str) -> Markup:
    """For the page: colours become its variables."""
    for key, value in COLOURS.items():
        body = body.replace(value, f"var(--{key})")
    return Markup(f'{head} class="drawing">\n{body}</svg>')


def _svg(name: str, named: str, figure: Figure) -> tuple[str, str]:
    """The open tag of a figure's SVG, without its end, and what stands in it."""
    stream = io.StringIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups()
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
    head += f' aria-labelledby="{named}-t {named}-d" width="{width}" height="{height}"'
    return f'{head} font-family="{FONTS}" stroke-linejoin="round"', _bare(text, name)


def _bare(text: str, name: str) -> str:
    """What stands in matplotlib's SVG: its ids prefixed or gone where unused, numbers short, and
    each style that several elements have as a class."""
    body = text[text.index("</metadata>") + len("</metadata>") : text.rindex("</svg>")]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r"\bxlink:href", "href", body)
    used = list(dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', body)))
    short = {id: f"{name}-{n}" for n, id in enumerate(used)}
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{short[m[1]]}"' if m[1] in short else "", body)
    body = re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + short[m[2]], body)
    body = re.sub(r"font-family: [^;\"]*; ?", "", body)
    body = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", body)
    body = re.sub(r'(?<= d=")[^"]+', _short_path, body)
    body = re.sub(r"(?<=[ \"(-])(\d+\.\d{2})\d+", r"\1", body)
    styles = Counter(re.findall(r' style="([^"]+)"', body))
    classes = {
        style: f"{name}-s{n}"
        for n, style in enumerate(style for style, count in styles.items() if count > 1)
    }
    for style, word in classes.items():
        body = body.replace(f' style="{style}"', f' class="{word}"')
    rules = "\n".join(f".{word}{{{style}}}" for style, word in classes.items())
    body = re.sub(r"\n\s+", "\n", body).strip()
    return f"<style>\n{rules}\n</style>\n{body}\n" if rules else f"{body}\n"


def _short_path(match) -> str:
    """A path's data in steps from point to point, to a tenth of a point: less cannot be seen."""
    found, here, start, last = "", (0, 0), (0, 0), ""
    for letter, text in re.findall(r"([MLQCz])([^MLQCz]*)", match[0]):
        if letter == "z":
            found, here, last = f"{found}z", start, "z"
            continue
        numbers = [round(10 * float(number)) for number in text.split()]
        points = list(zip(numbers[::2], numbers[1::2]))
        # after a move come lines, unasked
        found += "" if letter == "L" and last in "ML" and last else letter.lower()
        for x, y in points:
            for step in (x - here[0], y - here[1]):
                found += ("" if step < 0 or found[-1].isalpha() else " ") + _tenths(step)
        here, last = points[-1], letter
        start = here if letter == "M" else start
    return found


def _tenths(value: int) -> str:
    text = f"{value / 10:.1f}".removesuffix(".0")
    return re.sub(r"^(-?)0(?=\.)", r"\1", text)


LARGEST = 320  # pixels a side of a picture in the report


def png(picture: Image.Image) -> bytes:
    """A PNG without any text or time in it."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def data_uri(content: bytes) -> str:
    """A PNG as the address of an img element."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


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

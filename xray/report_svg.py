"""A matplotlib figure becomes an SVG: one to stand inside the HTML page, and one as a file."""

import io
import re

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

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

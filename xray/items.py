"""What the chapters ask for by name: items (a picture, a table, a listing) and numbers in prose.

A module registers a function of the study, `@item("fig-21", "Scores of six models")`; a chapter
places it, `{{ show("fig-21") }}`. Nothing is computed that no chapter shows.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from xray.specs import KNOWN
from xray.study import EVALUATED, Study

FAMILIES = {"Linear": "Linear", "Linear+ReLU": "MLP", "CNN": "CNN"}  # as they are called in prose
ALL = "python scripts/train.py --all"


@dataclass(frozen=True)
class Item:
    """One item of the report; what is left empty is not shown.

    picture: a chart (SVG) or a PNG's bytes (films, weights: never inverted). alt: what it shows, in
    words. table: what is shown, each cell as it stands; its first column heads the row. A cell of
    Markup is Markdown; give a list of dicts then, or a frame of dtype=object. caption: a sentence
    over the table. listing: preformatted text. data: the numbers for a CSV, where there is more to
    them than the table says. numbers: what the prose around the item says, `numbers("fig-21")`.

    models: those shown; one without a run is said to be missing. missing: what is not there, where
    it is something else than models. html, script: what stands in the page alone.
    """

    picture: Figure | bytes | None = None
    alt: str = ""
    table: pd.DataFrame | list[dict] | None = None
    caption: str = ""
    listing: str = ""
    data: pd.DataFrame | None = None
    numbers: dict = field(default_factory=dict)
    models: tuple[str, ...] = ()
    missing: str = ""
    html: str = ""
    script: str = ""


TITLES = {}  # id -> title, without its label
AGAIN = {}  # id -> the command that makes the records it shows; empty for train.py --model of these
ITEMS = {}  # id -> function(study) -> Item, or None where those records are not there
NUMBERS = {}  # name -> function(study) -> dict


def item(name: str, title: str, again: str = ""):
    """Registers a function(study) -> Item or None. `name` is its anchor and the name of its files;
    again: see AGAIN."""

    def register(function):
        TITLES[name], AGAIN[name] = title, again
        ITEMS[name] = lru_cache(maxsize=1)(function)
        return ITEMS[name]

    return register


def numbers(name: str):
    """Registers a function(study) -> dict of numbers for the prose, `numbers(name)` there."""

    def register(function):
        NUMBERS[name] = lru_cache(maxsize=1)(function)
        return NUMBERS[name]

    return register


def label(name: str) -> str:
    """What an item's number is in words: "Figure 21", "Table 1"; empty where it has none."""
    kind, _, number = name.partition("-")
    kinds = {"fig": "Figure", "table": "Table"}
    return f"{kinds[kind]} {number}" if kind in kinds and number.isdigit() else ""


# ---- numbers and names in words


def escape(value) -> Markup:
    """Any value as one line of Markdown that shows just that text, in a table's cell too."""
    line = re.sub(r"\s+", " ", str(value))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_\[\]#!|~$])", r"\\\1", line)
    return Markup(re.sub(r"^([+\-]|\d+\.)(?=\s)", r"\\\1", line))


def percent(value: float, digits: int = 1) -> str:
    """A fraction as a percentage without its sign, "93.4"; "–" for nan."""
    return "–" if value != value else decimals(100 * value, digits)


def decimals(value: float, digits: int = 1) -> str:
    """A number with a true minus sign and no −0.0."""
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not re.search("[1-9]", text) else text.replace("-", "−")


def signed(value: float, digits: int = 1) -> str:
    """As `decimals`, with its plus: "+1.2", "−0.3", "0.0"."""
    text = decimals(value, digits)
    return f"+{text}" if value > 0 and re.search("[1-9]", text) else text


def points(value: float, low: float, high: float) -> str:
    """A difference of fractions and its interval in points: "+1.2 (−0.3 to 2.7)"."""
    return f"{signed(100 * value)} ({decimals(100 * low)} to {decimals(100 * high)})"


def span(value: float, low: float, high: float) -> str:
    """A score and its range or interval in percent: "92.1 (89.6–94.0)"."""
    return f"{percent(value)} ({percent(low)}–{percent(high)})"


def plus_minus(values, digits: int = 1) -> str:
    """Mean ± standard deviation; the mean alone for one number, a dash for none."""
    values = pd.Series(values, dtype=float)
    if values.empty:
        return "–"
    shown = decimals(values.mean(), digits)
    return shown if len(values) == 1 else f"{shown} ± {decimals(values.std(), digits)}"


def listed(words) -> str:
    """Words in a row: "20, 21 and 22"."""
    words = list(map(str, words))
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def two_formats(runs, whose: str) -> str:
    """The end of a caption of runs that machines of different kinds trained: ". Of {whose} 76 in
    bf16 and 24 in fp32"; "" where all have one number format."""
    formats = sorted(Counter(run.precision for run in runs).items())
    parts = listed(f"{count} in {name}" for name, count in formats)
    return f". Of {whose} {parts}" if len(formats) > 1 else ""


# ---- the models of a study


def what_it_is(model: str) -> str:
    """A model in few words: "CNN, weighted, L2"."""
    spec = KNOWN[model]
    words = FAMILIES[spec.family] + ", weighted" * spec.class_weight
    return words + ", L2" * (spec.weight_decay > 0)


def tested(study: Study, what: str = "learned") -> list[str]:
    """The models of Figs 20, 23 and 25 of which a run learned, or "finished"."""
    there = study.models.index[study.models[what] > 0]
    return [model for model in EVALUATED if model in there]


@lru_cache(maxsize=1)
def _learned(study: Study) -> dict:
    scores = study.scores
    good = scores[scores.chosen & scores.learned]
    return dict(iter(good.groupby(["model", "kind"], sort=False)))


def learned_rows(study: Study, model: str, kind: str = "given") -> pd.DataFrame:
    """The rows of study.scores of a model's runs shown that learned, on the given split or on
    re-splits of a kind."""
    return _learned(study).get((model, kind), study.scores.iloc[:0])


def learned_runs(study: Study, model: str, kind: str = "given") -> list:
    return list(learned_rows(study, model, kind).run)

"""Labelled films on which no model was trained, those of another hospital say: which of them are
known from training after all, how models and baselines score on them, and what is kept of it.

    <study>/external/<name>.json    labels, patients as numbers, groups, and all logits

Kept are no pixels, no names of files, and of a table's columns only view, sex and age (in bands),
unless a person names others.
"""

import base64
import math
import re
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from xray import intervals
from xray.data import DIGITS
from xray.data_splits import patient
from xray.files import FORMAT, ResultsError, read_json, write_json

MOST_KINDS = 8  # a column with more different values is no way to group films
LONGEST = 20  # characters of such a value; more are free text, whatever the column is called
AGES = ((0, 17), (18, 39), (40, 59), (60, 120))  # years, both ends included
GROUPS = {"view": "view", "viewposition": "view", "projection": "view"}
GROUPS |= {"sex": "sex", "gender": "sex", "age": "age"}
MOST_MODELS = 8  # that are shown such films unless others are asked for
FEWEST = 10  # films of either class, below which a group has no scores


# ---- films that a model knows


def trained_on(films, facts: dict, split: str) -> dict[str, np.ndarray]:
    """What tells that a film was trained on, or chosen by (the training and validation splits; of a
    re-split all) -> the films of which it does, bool (N,): equal bytes, pixels or names.

    films: data.Data; facts: the study's data.json. A name counts where it carries a patient or a
    number of five digits: 1.png is in many a folder.
    """
    known = len(facts["paths"]) - (facts["splits"]["test"] if split == "given" else 0)
    found = {}
    for kind, text in facts.get("digests", {}).items():
        digests = base64.b64decode(text).hex()
        there = {digests[row * DIGITS : (row + 1) * DIGITS] for row in range(known)}
        found[f"equal {kind}"] = films.table[kind].isin(there).to_numpy()
    names = {_telling(path) for path in facts["paths"][:known]} - {""}
    return found | {"equal names": np.array([_telling(path) in names for path in films.paths])}


def _telling(path: str) -> str:
    """A file's name without its ending, and without what the Hub's copies add; "" where many a
    folder has such a name."""
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", path)[-1]).casefold()
    stem = re.sub(r"[._](jpe?g|png)\.rf\.[0-9a-z]+$", "", name.rpartition(".")[0] or name)
    return stem if patient(path) or re.search(r"[^\W\d].*\d{5}|\d{5}.*[^\W\d]", stem) else ""


# ---- what is kept of a table


def columns(table: pd.DataFrame, keep=()) -> dict[str, list]:
    """Name -> a value a film, None where there is none: view, sex and age, as a band of years,
    where the table has them in few and short kinds, and the columns named in keep as they are."""
    found = {}
    for name in table.columns:
        values = [None if pd.isna(value) or value == "" else value for value in table[name]]
        group = GROUPS.get(re.sub(r"[\W_]+", "", name).casefold().removeprefix("patient"))
        if name in keep:
            found[name] = _numbers(values)
        elif group == "age":
            found["age"] = [_band(value) for value in values]
        elif group and len(set(values)) <= MOST_KINDS:
            if all(len(str(value)) <= LONGEST for value in values):
                found[group] = values
    return found


def numbers(patients: pd.Series) -> list[int]:
    """A number a film, the same for all films of a patient ("": not known, so of its own); [] where
    no patient is known."""
    who = np.array([name or row for row, name in enumerate(patients)], object)
    return pd.factorize(who)[0].tolist() if (patients != "").any() else []


def _numbers(values: list) -> list:
    """Floats where all are numbers or text of numbers, else as they are."""
    try:
        return [None if value is None else float(value) for value in values]
    except ValueError:
        return values


def _band(age) -> str | None:
    """40, "40" or DICOM's "040Y" -> "40–59"."""
    told = re.fullmatch(r"0*(\d{1,3})(\.\d+)?Y?", str(age).strip())
    bands = [f"{low}–{high}" for low, high in AGES if told and low <= int(told[1]) <= high]
    return bands[0] if bands else None


# ---- records


def write(folder: Path, name: str, record: dict) -> Path:
    """folder: of the study. record: split (that the models were trained on), fingerprint, labels
    (N,), patients (a number a film, or []), columns, models (dicts of model, seed, image_size,
    weights, their sha256, cut, the logit above which it says pneumonia, temperature and logits),
    baselines (name -> logits), carry_over (of carry_over.both_ways), environment. Raises
    OSError."""
    path = Path(folder) / "external" / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)[:60]}.json"
    write_json(path, {"format": FORMAT, "name": name} | record)
    return path


def read(folder: Path) -> list[dict]:
    """What `write` was given, with its name, for each data set shown to a study's models. Raises
    ResultsError."""
    found = []
    for path in sorted(Path(folder).glob("external/*.json")):
        films = read_json(path, FORMAT)
        every = [one["logits"] for one in films["models"]] + list(films["baselines"].values())
        if any(len(logits) != len(films["labels"]) for logits in every):
            raise ResultsError(f"{path}: logits and labels are of other films; evaluate again")
        found.append(films)
    return found


# ---- groups and scores


def groups(columns: dict[str, list], labels: np.ndarray) -> dict[str, np.ndarray]:
    """Name of a group -> its rows, bool (N,): the values of each column with 2 to 8 of them, other
    models' probabilities aside. Groups with fewer than 10 films of either class are left out."""
    found, aside = {}, references(columns)
    for name, values in columns.items():
        there = {value for value in values if value is not None}
        if name in aside or not 2 <= len(there) <= MOST_KINDS:
            continue
        for kind in sorted(there, key=str):
            rows = np.array([value == kind for value in values])
            if np.bincount(labels[rows], minlength=2).min() >= FEWEST and not rows.all():
                found[f"{name} {kind}"] = rows
    return found


def references(columns: dict[str, list]) -> dict[str, np.ndarray]:
    """Columns of probabilities by other models, float (N,), nan where a film has none: those of
    numbers with a fraction, all in 0-1."""
    found = {}
    for name, values in columns.items():
        there = [value for value in values if value is not None]
        shares = all(isinstance(value, float) and 0 <= value <= 1 for value in there)
        if shares and any(0 < value < 1 for value in there):
            found[name] = np.array(values, float)  # of None nan
    return found


def over_patients(value: float, influence: np.ndarray, owners) -> tuple[float, float, float]:
    """(value, low, high), its 95 % interval over other patients: films of one patient are not
    independent, so their influences are added up first. owners: a patient a film, or None or []
    where each film stands alone."""
    films = len(influence)
    known = owners is not None and len(owners)
    number = np.unique(owners, return_inverse=True)[1] if known else np.arange(films)
    sums = np.bincount(number, influence)
    reach = float(ndtri((1 + intervals.LEVEL) / 2)) * math.sqrt((sums**2).sum()) / films
    return value, float(value - reach), float(value + reach)


def scores(logits, labels, threshold: float, owners: list | None) -> dict:
    """score -> (value, low, high), see over_patients, of those that intervals.influence knows, but
    for the Brier score: pneumonia is a logit above the threshold."""
    found = intervals.influence(np.asarray(logits, np.float64) - threshold, labels)
    del found["brier"]  # of probabilities, which know no threshold
    result = {}
    for name, (value, part) in found.items():
        value, low, high = over_patients(value, part, owners)
        result[name] = value, max(0.0, low), min(1.0, high)
    return result


def area(runs: list, labels, owners: list | None) -> tuple[float, float, float]:
    """The mean AUC of the logits of some runs on the same films, see over_patients."""
    return over_patients(*_mean_area(runs, labels), owners)


def gain(runs: list, others: list, labels, owners: list | None) -> tuple[float, float, float]:
    """The mean AUC of some runs less that of others on the same films, see over_patients."""
    (value, part), (before, part_before) = (_mean_area(side, labels) for side in (runs, others))
    return over_patients(value - before, part - part_before, owners)


def _mean_area(runs: list, labels) -> tuple[float, np.ndarray]:
    values, parts = zip(*(intervals.influence(logits, labels)["roc_auc"] for logits in runs))
    return float(np.mean(values)), np.mean(parts, axis=0)

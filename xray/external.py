"""The trained models and the floors on labelled films of another hospital, on which none was
trained.

    RESULTS/<data>/external/<name>/films.json    names, labels and columns of the films
    RESULTS/<data>/external/<name>/<model>.json  a model's logits, in the films' order
    RESULTS/<data>/external/<name>/floors.json   the floors' logits, likewise

Columns are what the source says of each film beside its label, such as view, sex and age. No pixel
is kept.
"""

import hashlib
import math
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from xray import data, data_images, intervals
from xray.data_audit import names_patients
from xray.data_classes import class_of, label_mapping
from xray.data_sources import DataError, shown
from xray.files import ResultsError, read_json, write_json
from xray.floors import digits, packed, unpacked

MOST_KINDS = 8  # a column with more different values is no way to group films
AGES = ((0, 17), (18, 39), (40, 59), (60, 120))  # years, both ends included
FEWEST = 10  # films of either class, below which a group has no scores


@dataclass
class Films:
    name: str  # the source's
    fingerprint: str  # sha256 hex over path, label and encoded bytes of every film
    paths: list[str]
    labels: np.ndarray  # int64 (N,), 1 is PNEUMONIA
    columns: dict[str, list]  # name -> a value a film: str, int, float or None
    encoded: list[bytes]

    def images(self, size: int) -> np.ndarray:
        """uint8 (N, 1, size, size), brought to the size as the training's films were."""
        found = [data_images.decode(content, size).pixels for content in self.encoded]
        return np.stack(found)[:, None]


def load(source: str, skip_unreadable: bool = False) -> Films:
    """All films of a source, whatever splits it has. Raises DataError."""
    found = data.find(source)
    with tempfile.TemporaryDirectory() as temporary:
        splits, classes, _ = found.open(Path(temporary) / "arrow", 8)
        mapping = label_mapping(source, classes)
        rows = [
            (path, mapping[name], split.read(row) or b"")
            for split in splits.values()
            for row, (path, title) in enumerate(zip(split.paths, split.classes))
            if (name := class_of(title, mapping)) is not None
        ]
    bad = {path for path, _, content in rows if not _readable(content)}
    if bad and not skip_unreadable:
        raise DataError(
            f"{shown(source)}: {len(bad)} unreadable images, {shown(min(bad))} one of them; mend "
            "or remove them, or leave them out with --skip-unreadable"
        )
    rows = [row for row in rows if row[0] not in bad]
    if len({label for _, label, _ in rows}) < 2:
        raise DataError(f"{shown(source)}: images of both classes are needed")
    digest = hashlib.sha256()
    for path, label, content in rows:
        digest.update(f"{path}\0{label}\0".encode() + hashlib.sha256(content).digest())
    paths, labels, encoded = map(list, zip(*rows))
    columns = _columns(Path(source).expanduser(), paths)
    what = found.name, digest.hexdigest(), paths, np.array(labels, np.int64)
    return Films(*what, columns, encoded)


def _readable(content: bytes) -> bool:
    try:
        return bool(data_images.read(content))
    except data_images.Unreadable:
        return False


def _columns(folder: Path, paths: list[str]) -> dict[str, list]:
    """The columns of a folder's parquet files that hold one text or number a film, in the order of
    `paths`; none where no column of theirs holds the paths."""
    import pyarrow.parquet as parquet

    rows = []
    for path in sorted(folder.rglob("*.parquet")) if folder.is_dir() else []:
        there = parquet.ParquetFile(path).schema_arrow
        kinds = ("int", "float", "double", "string", "large_string", "bool")
        plain = [field.name for field in there if str(field.type).startswith(kinds)]
        rows += parquet.read_table(path, columns=plain).to_pylist()
    key = next((name for name in rows[:1] and rows[0] if rows[0][name] in set(paths)), None)
    by_path = {row.get(key): row for row in rows}
    if key is None or not set(paths) <= by_path.keys():
        return {}
    names = [name for name in rows[0] if name != key and name.lower() not in ("label", "labels")]
    return {name: [_plain(by_path[path].get(name)) for path in paths] for name in names}


def _plain(value):
    return None if isinstance(value, float) and math.isnan(value) else value


# ---- records


def folder_of(study: Path, films: Films) -> Path:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", films.name).strip("-.")[:60] or "films"
    return Path(study) / "external" / f"{name}-{films.fingerprint[:8]}"


def write_films(study: Path, films: Films, source: str) -> Path:
    """Raises OSError."""
    path = folder_of(study, films) / "films.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    payload = {"name": films.name, "source": source}
    payload |= {"fingerprint": films.fingerprint, "labels": "".join(map(str, films.labels))}
    write_json(path, payload | {"paths": films.paths, "columns": films.columns})
    return path


def write_model(folder: Path, run, logits, environment: dict) -> Path:
    """What a run of the study says of the films. run: results.Run, which has a file. Raises
    OSError."""
    path = Path(folder) / f"{run.spec.id}.json"
    payload = {"model": run.spec.id, "seed": run.seed, "run": run.name}
    payload |= {"image_size": run.image_size, "weights": run.weights.get("sha256", "")}
    write_json(path, payload | {"logits": packed(logits), "environment": environment})
    return path


def write_floors(folder: Path, logits: dict[str, np.ndarray], environment: dict) -> Path:
    """What the study's floors say of the films: floor -> (N,). Raises OSError."""
    path = Path(folder) / "floors.json"
    kept = {name: packed(values) for name, values in logits.items()}
    write_json(path, {"floors": kept, "environment": environment})
    return path


def read(study: Path) -> list[dict]:
    """What lies beside a study: for each other data set its films.json, labels as int64 (N,), with
    models: model -> dict of run, seed, image_size and logits (N,), and floors: floor -> logits.
    Raises ResultsError."""
    found = []
    for path in sorted(Path(study).glob("external/*/films.json")):
        films = read_json(path)
        films |= {"labels": digits(films["labels"]), "models": {}, "floors": {}}
        for other in sorted(path.parent.glob("*.json")):
            one = {} if other == path else read_json(other)
            if "model" in one:
                films["models"][one["model"]] = one | {"logits": unpacked(one["logits"])}
            elif "floors" in one:
                films["floors"] = {name: unpacked(text) for name, text in one["floors"].items()}
        of_models = [one["logits"] for one in films["models"].values()]
        for logits in [*of_models, *films["floors"].values()]:
            if len(logits) != len(films["labels"]):
                raise ResultsError(
                    f"{path.parent}: of other films than {path.name}; evaluate again"
                )
        found.append(films)
    return found


# ---- groups and scores


def groups(columns: dict[str, list], labels: np.ndarray) -> dict[str, np.ndarray]:
    """Name of a group -> its rows, bool (N,): the values of each column with 2 to 8 of them, and
    bands of age; patients and other models' probabilities aside. Groups with fewer than 10 films of
    either class are left out."""
    found, aside = {}, references(columns)
    for name, values in columns.items():
        if name in aside or names_patients(name):
            continue
        there = {value for value in values if value is not None}
        if name.lower() == "age" and all(isinstance(value, (int, float)) for value in there):
            ages = np.array([math.nan if value is None else value for value in values], float)
            for low, high in AGES:
                found[f"{name} {low}–{high}"] = (ages >= low) & (ages < high + 1)
        elif 2 <= len(there) <= MOST_KINDS:
            for kind in sorted(there, key=str):
                found[f"{name} {kind}"] = np.array([value == kind for value in values])
    both = [labels == 0, labels == 1]
    return {
        name: rows
        for name, rows in found.items()
        if all((rows & one).sum() >= FEWEST for one in both) and not rows.all()
    }


def references(columns: dict[str, list]) -> dict[str, np.ndarray]:
    """Columns of probabilities by other models, float (N,), nan where a film has none: those of
    numbers with a fraction, all in 0-1."""
    found = {}
    for name, values in columns.items():
        there = [value for value in values if value is not None]
        numbers = there and all(isinstance(value, float) and 0 <= value <= 1 for value in there)
        if numbers and any(0 < value < 1 for value in there):
            found[name] = np.array([math.nan if v is None else v for v in values], float)
    return found


def patients(columns: dict[str, list]) -> list | None:
    """The patient of each film, from a column of that name; None where there is none."""
    for name, values in columns.items():
        if names_patients(name) and None not in values:
            return values
    return None


def scores(logits, labels, threshold: float, owners: list | None) -> dict:
    """score -> (value, low, high): roc_auc, accuracy, recall and specificity where pneumonia is a
    logit above the threshold, and brier.

    The 95 % interval is over other patients: films of one patient are not independent, so their
    influences are added up first (of each film on its own without owners).
    """
    shifted = np.asarray(logits, np.float64) - threshold
    found = intervals.influence(shifted, labels)
    found["brier"] = intervals.influence(logits, labels)["brier"]
    number = np.unique(owners, return_inverse=True)[1] if owners else np.arange(len(labels))
    reach, result = stats.norm.ppf((1 + intervals.LEVEL) / 2), {}
    for name in ("roc_auc", "accuracy", "recall", "specificity", "brier"):
        if name in found:
            value, parts = found[name]
            sums = np.bincount(number, parts)
            error = float(reach * np.sqrt((sums**2).sum()) / len(labels))
            result[name] = value, max(0.0, value - error), min(1.0, value + error)
    return result


def within_patients(logits, labels, owners: list) -> tuple[float, int]:
    """Of the patients with films of both classes, the mean share of their pairs in which the film
    with pneumonia has the higher logit (ties half), and how many they are."""
    shares = []
    for owner in dict.fromkeys(owners):
        rows = np.array([one == owner for one in owners])
        sick, well = logits[rows & (labels == 1)], logits[rows & (labels == 0)]
        if len(sick) and len(well):
            gap = sick[:, None] - well[None, :]
            shares.append(float(np.mean((gap > 0) + (gap == 0) / 2)))
    return (float(np.mean(shares)) if shares else math.nan), len(shares)

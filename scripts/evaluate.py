#!/usr/bin/env python3
"""Show a study's trained models and baselines labelled films of another hospital. Trains nothing.

python scripts/evaluate.py --data FOLDER
python scripts/evaluate.py --data FOLDER --study DATA/SPLIT --model 20 22b
"""

import argparse
import hashlib
import math
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from xray import packages  # noqa: E402

if problem := packages.problem():
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)

from scripts.console import fail  # noqa: E402


def say(words: str) -> None:
    print(words, flush=True)


def arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="Show the trained models of a study, and its baselines (logistic regression on "
        "little of a film), labelled films of another hospital; the report tells how they did. "
        "Trains nothing.",
    )
    add = parser.add_argument
    words = "the films: parquet files or class folders, in one split or several"
    add("--data", required=True, metavar="FOLDER", help=words)
    words = "where the study's records lie (default: report/results)"
    add("--results", type=Path, default=ROOT / "report" / "results", metavar="DIR", help=words)
    words = "which study, DATA/SPLIT (default: the one trained last)"
    add("--study", metavar="NAME", help=words)
    words = "these models alone (default: all whose weights are there)"
    add("--model", nargs="+", metavar="ID", help=words)
    words = "columns of the table to keep in the record (view, sex and age bands are kept)"
    add("--keep", nargs="+", default=(), metavar="COLUMN", help=words)
    add("--skip-unreadable", action="store_true", help="leave unreadable images out")
    parser.error = fail
    args = parser.parse_args(argv)
    args.results = args.results.expanduser()  # OUT=~/x reaches us as it is
    return args


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
        from xray import data_images

        found = [data_images.decode(content, size).pixels for content in self.encoded]
        return np.stack(found)[:, None]


def load_films(source: str, skip_unreadable: bool = False) -> Films:
    """All films of a source, whatever splits it has. Raises DataError."""
    from xray import data
    from xray.data_classes import class_of, label_mapping
    from xray.data_sources import DataError, shown

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
    from xray import data_images

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


def evaluate(args) -> None:
    import pandas as pd

    from xray import baselines, equalise, external, predict, predict_weights, results, study
    from xray.data_audit import names_patients
    from xray.results import ResultsError
    from xray.training_record import environment

    name, file = next(iter(study.in_order(args.results, args.study).items()))
    folder = results.beside(file)
    chosen = {}
    for model in args.model or predict_weights.at_hand({name: file}):
        chosen[model] = predict_weights.choose(args.results, model, name).run
    if not chosen:
        raise ResultsError(
            f"{folder}: no model's weights are there; train one: python scripts/train.py --model 20"
        )
    say(f"study {name}: models {', '.join(chosen)}")
    films = load_films(args.data, args.skip_unreadable)
    say(f"{args.data}: {len(films.paths):,} films, {films.labels.sum():,} with pneumonia")
    owners = next((v for k, v in films.columns.items() if names_patients(k) and None not in v), [])
    numbers = {owner: number for number, owner in enumerate(dict.fromkeys(owners))}
    record = {"split": file.stem, "fingerprint": films.fingerprint, "labels": films.labels}
    record |= {"patients": [numbers[owner] for owner in owners], "models": [], "baselines": {}}
    record["columns"] = external.columns(pd.DataFrame(films.columns, dtype=object), args.keep)
    record["environment"] = environment("cpu")
    images = {}
    for model, run in chosen.items():
        started = time.perf_counter()
        if run.image_size not in images:
            images = {run.image_size: films.images(run.image_size)}
        seen = equalise.as_seen(run.spec, images[run.image_size])
        logits = predict.logits(predict_weights.load_weights(run), seen)
        thresholds = predict_weights.thresholds(run)
        cut = thresholds.decision.logit if thresholds.decision else 0.0
        about = {"model": model, "seed": run.seed, "image_size": run.image_size, "cut": cut}
        about |= {"weights": run.weights["sha256"], "temperature": thresholds.temperature}
        record["models"].append(about | {"logits": logits})
        tell(f"model {model}", logits, record, f", {time.perf_counter() - started:.1f} s")
    known = baselines.read(folder).get(file.stem, {}).get("baselines", {})
    if not any("weights" in one for one in known.values()):
        say(f"baselines: none in {folder}; scripts/shortcuts.py makes them")
    else:
        header = baselines.headers(films.encoded)
        images = films.images(baselines.SIZE)[:, 0]
        record["baselines"] = baselines.elsewhere(known, images, header)
    for name in (baselines.HEADER, *baselines.RESPLIT):
        if name in record["baselines"]:
            tell(name, record["baselines"][name], record)
    path = external.write(folder, films.name, record)
    say(f"{path}; python scripts/report.py shows it")


def tell(name: str, logits, record: dict, more: str = "") -> None:
    from xray import external

    area = external.scores(logits, record["labels"], 0.0, record["patients"])["roc_auc"]
    value, low, high = area
    say(f"{name}: AUC {value:.3f} ({low:.3f} to {high:.3f}){more}")


def main(argv=None) -> None:
    args = arguments(argv)
    say("loading")
    from xray.data_sources import DataError
    from xray.predict_weights import PredictError
    from xray.results import ResultsError

    try:
        evaluate(args)
    except (DataError, PredictError, ResultsError) as error:
        fail(error)
    except OSError as error:
        fail(f"{error.filename or args.results}: {error.strerror or error}")


if __name__ == "__main__":
    main()

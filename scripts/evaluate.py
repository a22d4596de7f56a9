#!/usr/bin/env python3
"""Show a study's trained models and baselines labelled films of another hospital. Trains nothing.

python scripts/evaluate.py --data FOLDER
python scripts/evaluate.py --data FOLDER --study DATA/SPLIT --model 20 22b
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from xray import packages  # noqa: E402

if problem := packages.problem():
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)

from scripts.options import fail  # noqa: E402


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


def evaluate(args) -> None:
    from xray import baselines, data, equalise, external, predict, predict_weights, results, study
    from xray.machine import environment
    from xray.results import ResultsError

    name, file = next(iter(study.in_order(args.results, args.study).items()))
    folder = results.beside(file)
    chosen = {}
    for model in args.model or predict_weights.with_weights(file):
        chosen[model] = predict_weights.choose(args.results, model, name).run
    if not chosen:
        raise ResultsError(
            f"{folder}: no model's weights are there; train one: python scripts/train.py --model 20"
        )
    say(f"study {name}: models {', '.join(chosen)}")
    films = data.load(args.data, baselines.SIZE, args.skip_unreadable, whole=True)
    say(f"{args.data}: {len(films.paths):,} films, {films.labels.sum():,} with pneumonia")
    record = {"split": file.stem, "fingerprint": films.fingerprint, "labels": films.labels}
    record |= {"patients": external.numbers(films.table.patient), "models": [], "baselines": {}}
    record["columns"] = external.columns(films.table, args.keep)
    record["environment"] = environment("cpu")
    images = {}
    for model, run in chosen.items():
        started = time.perf_counter()
        if run.image_size not in images:
            size = run.image_size
            found = data.load(args.data, size, args.skip_unreadable, whole=True)
            images = {size: found.images}
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
        header = baselines.headers(films.read(row) for row in range(len(films.paths)))
        images = films.images[:, 0]
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

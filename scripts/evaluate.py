#!/usr/bin/env python3
"""Show a study's trained models and floors labelled films of another hospital. Trains nothing.

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

from scripts.console import fail  # noqa: E402


def say(words: str) -> None:
    print(words, flush=True)


def arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="Show the trained models of a study, and its floors (logistic regression on "
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
    add("--skip-unreadable", action="store_true", help="leave unreadable images out")
    parser.error = fail
    args = parser.parse_args(argv)
    args.results = args.results.expanduser()  # OUT=~/x reaches us as it is
    return args


def evaluate(args) -> None:
    from xray import external, predict, predict_weights, results, study
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
    films = external.load(args.data, args.skip_unreadable)
    say(f"{args.data}: {len(films.paths):,} films, {films.labels.sum():,} with pneumonia")
    place = external.write_films(folder, films, films.name).parent
    images = {}
    for model, run in chosen.items():
        started = time.perf_counter()
        if run.image_size not in images:
            images = {run.image_size: films.images(run.image_size)}
        logits = predict.logits(predict_weights.load_weights(run), images[run.image_size])
        external.write_model(place, run, logits, environment("cpu"))
        threshold = predict_weights.thresholds(run).decision
        owners = external.patients(films.columns)
        cut = threshold.logit if threshold else 0.0
        value, low, high = external.scores(logits, films.labels, cut, owners)["roc_auc"]
        seconds = time.perf_counter() - started
        say(f"model {model}: AUC {value:.3f} ({low:.3f} to {high:.3f}), {seconds:.1f} s")
    show_floors(file, films, place)
    say(f"records in {place}; python scripts/report.py shows them")


def show_floors(file: Path, films, place: Path) -> None:
    """The floors of the study in `file` that have weights, on the films; a record in `place`."""
    from xray import external, floors
    from xray.training_record import environment

    known = floors.read(file.parent, file.stem).get("floors", {})
    if not any("weights" in one for one in known.values()):
        say(f"floors: none with weights in {file.parent}; scripts/shortcuts.py --force makes them")
        return
    found = floors.elsewhere(known, films.images(floors.SIZE)[:, 0], films.encoded)
    external.write_floors(place, found, environment("cpu"))
    owners = external.patients(films.columns)
    for name in (floors.HEADER, *floors.RESPLIT):
        if name in found:
            value, low, high = external.scores(found[name], films.labels, 0.0, owners)["roc_auc"]
            say(f"{name}: AUC {value:.3f} ({low:.3f} to {high:.3f})")


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

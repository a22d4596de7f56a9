#!/usr/bin/env python3
"""What can be told from a film without its lungs, and what moves the trained models.

python scripts/shortcuts.py
python scripts/shortcuts.py --data FOLDER --out DIR
"""

import argparse
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from xray import packages  # noqa: E402

if problem := packages.problem():
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)

from scripts.console import bar, fail, say  # noqa: E402
from scripts.options import add_choices, choices  # noqa: E402
from xray.data_sources import PAPER  # noqa: E402


def arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="Make the floors (logistic regression on little of a film) on the study's "
        "splits, and show its trained models changed test films. What is there is kept.",
    )
    add = parser.add_argument
    words = f"as for train.py (default: {PAPER}; phantoms where the Hub cannot be reached)"
    add("--data", metavar="SOURCE", help=words)
    add_choices(parser)
    add("--skip-unreadable", action="store_true", help="leave unreadable images out")
    words = "records go to DIR/results, beside the study's"
    add("--out", type=Path, default=ROOT / "report", metavar="DIR", help=words)
    add("--force", action="store_true", help="make again what has a record")
    parser.error = fail
    args = parser.parse_args(argv)
    args.choices = choices(args, fail)
    args.out = args.out.expanduser()  # OUT=~/x reaches us as it is
    return args


def make(args) -> None:
    from threadpoolctl import threadpool_limits

    from xray import floors, results
    from xray.training_jobs import open_source, split_of

    source, default = args.data or PAPER, args.data is None
    load = open_source(source, args.choices, args.skip_unreadable, default, bar, say)
    first = load(floors.SIZE)
    out = results.place(args.out, first.phantom)
    place = results.data_folder(out / "results", first.name, first.fingerprint)
    split = split_of(first, args.choices.split)
    with threadpool_limits(1):  # for such small products two threads take up to 20 times as long
        make_floors(args, place, split, first, load)
        change_films(args, results.records_file(place, split), load)


def make_floors(args, place: Path, given: str, first, load) -> None:
    """baselines.json of the study's split and of each re-split with runs, those not there yet."""
    from xray import data, floors, results

    resplits = {split for split, _ in results.runs_of(place / results.RESPLITS)}
    splits = [given, *sorted(resplits - {given})]
    there = {split: bool(floors.read(place, split)) for split in splits}
    there[given] = bool(floors.read_whole(place, given))
    todo = [split for split in splits if args.force or not there[split]]
    if not todo:
        say(f"floors: {len(splits)} splits, all there")
        return
    started, images = time.monotonic(), first.images[:, 0]
    count = len(floors.FLOORS) + len(floors.RESPLIT) * len(todo)
    with bar(total=count, initial=0, label="floors") as shown:
        features = {}
        for name, floor in floors.FLOORS.items():
            features[name] = floor(images)
            shown.update()
        if given in todo:
            found = floors.headers(data.find(first.source), first.paths)
            features |= {} if found is None else {floors.HEADER: found}
        for split in todo:
            made = floors.record(load(floors.SIZE, split), features, whole=split == given)
            floors.write(place, made)
            shown.update(len(floors.RESPLIT))
    say(f"floors: {len(todo)} splits, {time.monotonic() - started:.0f} s; {floors.FILE} in {place}")


def change_films(args, file: Path, load) -> None:
    """changes.json of the study's split, where it is not of the weights that are there."""
    from xray import changes, predict_weights, results

    folder, name = results.beside(file), f"{file.parent.name}/{file.stem}"
    there = predict_weights.at_hand({name: file})
    wanted = [model for model in changes.MODELS if model in there] or there[:2]
    if not wanted:
        say("changed films: no model's weights are there; training one keeps its first seed's")
        return
    runs = [predict_weights.choose(file.parents[1], model, name).run for model in wanted]
    kept = [] if args.force else changes.read(folder).get("models", [])
    if [one["weights"] for one in kept] == [run.weights["sha256"] for run in runs]:
        say(f"changed films: models {', '.join(wanted)}, all there")
        return
    started, found = time.monotonic(), {}
    for size in sorted({run.image_size for run in runs}):
        split, mine = load(size, file.stem), [run for run in runs if run.image_size == size]
        modules = {run.spec.id: predict_weights.load_weights(run) for run in mine}
        films, labels = split.test.images[:, 0], split.test.labels
        mean = changes.mean_film(split.train.images)
        count = len(changes.every(films, labels, mean))
        with bar(total=count, initial=0, label=f"changed films at {size}×{size}") as shown:
            found |= changes.answers(modules, films, labels, mean, shown.update)
    models = [
        {"model": run.spec.id, "seed": run.seed, "run": run.name}
        | {"image_size": run.image_size, "weights": run.weights["sha256"]}
        | {"logits": found[run.spec.id]}
        for run in runs
    ]
    path = changes.write(folder, split, models)
    seconds = time.monotonic() - started
    say(f"changed films: models {', '.join(wanted)}, {seconds:.0f} s; {path}")


def main(argv=None) -> None:
    sys.stdout.reconfigure(errors="backslashreplace")  # any file name can be said
    args = arguments(argv)
    try:
        from xray.data_sources import DataError
        from xray.predict_weights import PredictError
        from xray.results import ResultsError

        make(args)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nstopped; what is finished is kept, the same command goes on")
        sys.exit(130)
    except (DataError, PredictError, ResultsError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or args.out}: cannot be used ({error.strerror or error})")


if __name__ == "__main__":
    main()

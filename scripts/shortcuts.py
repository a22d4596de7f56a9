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

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from xray import packages  # noqa: E402

if problem := packages.problem():
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)

from scripts.options import add_choices, bar, choices, fail, open_source, say, split_of  # noqa: E402
from xray.data_sources import PAPER  # noqa: E402


def arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="Make the baselines (logistic regression on little of a film) on the study's "
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

    from xray import baselines, results

    load = open_source(args)
    first = load(baselines.SIZE)
    out = results.place(args.out, first.phantom)
    place = results.data_folder(out / "results", first.name, first.fingerprint)
    split = split_of(first, args)
    with threadpool_limits(1):  # for such small products two threads take up to 20 times as long
        file = results.records_file(place, split)
        make_baselines(args, file, first, load)
        change_films(args, file, load)


def make_baselines(args, file: Path, first, load) -> None:
    """The baselines of the study's split and of each re-split with runs, those that are not there
    yet, in its folder."""
    from xray import baselines, results

    place, split = results.beside(file), file.stem
    resplits = {name for name, _ in results.runs_of(file.parent / results.RESPLITS)}
    names = [split, *sorted(resplits - {split})]
    there = {} if args.force else baselines.read(place)
    todo = [name for name in names if name not in there]
    if not todo:
        say(f"baselines: {len(names)} splits, all there")
        return
    started, images = time.monotonic(), first.images[:, 0]
    count = len(baselines.BASELINES) + len(baselines.RESPLIT) * len(todo)
    with bar(total=count, label="baselines") as shown:
        features = {}
        for name, baseline in baselines.BASELINES.items():
            features[name] = baseline(images)
            shown.update()
        if split in todo:
            found = baselines.headers(first.read(row) for row in range(len(first.paths)))
            features |= {} if found is None else {baselines.HEADER: found}
        for name in todo:
            there[name] = baselines.of_split(load(baselines.SIZE, name), features, name == split)
            shown.update(len(baselines.RESPLIT))
    path = baselines.write(place, there)
    say(f"baselines: {len(todo)} splits, {time.monotonic() - started:.0f} s; {path}")


def change_films(args, file: Path, load) -> None:
    """What the study's weights say of changed test films, where it is not of these weights."""
    from xray import changes, predict_weights, results

    place, split, name = results.beside(file), file.stem, f"{file.parent.name}/{file.stem}"
    there = list(predict_weights.with_weights(file))
    wanted = [model for model in changes.MODELS if model in there] or there[:2]
    if not wanted:
        say("changed films: no model's weights are there; training one keeps its first seed's")
        return
    runs = [predict_weights.choose(file.parents[1], model, name).run for model in wanted]
    every = changes.read(place)
    kept = [] if args.force else every.get(split, {}).get("models", [])
    if [one["weights"] for one in kept] == [run.weights["sha256"] for run in runs]:
        say(f"changed films: models {', '.join(wanted)}, all there")
        return
    started, found = time.monotonic(), {}
    for size in sorted({run.image_size for run in runs}):
        films, mine = load(size, split), [run for run in runs if run.image_size == size]
        modules = {run.spec: predict_weights.load_weights(run) for run in mine}
        images, labels = films.test.images[:, 0], films.test.labels
        mean = films.train.images[:, 0].mean(0, dtype=np.float64).round().astype(np.uint8)
        count = len(changes.every(images, labels, mean))
        with bar(total=count, label=f"changed films at {size}×{size}") as shown:
            found |= changes.answers(modules, images, labels, mean, shown.update)
    models = [
        {"model": run.spec.id, "seed": run.seed, "image_size": run.image_size}
        | {"weights": run.weights["sha256"], "logits": found[run.spec]}
        for run in runs
    ]
    path = changes.write(place, every | {split: {"labels": labels, "models": models}})
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

#!/usr/bin/env python3
"""Try settings for Table 3's rows, on training and validation images alone; one line a trial.

python scripts/search.py --data FOLDER
python scripts/search.py --data FOLDER --row 31 33
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

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
        description="Try settings for Table 3's rows on validation images, those not tried yet.",
    )
    add = parser.add_argument
    add("--data", metavar="SOURCE", help=f"as for train.py (default: {PAPER})")
    add_choices(parser)
    add("--skip-unreadable", action="store_true", help="leave unreadable images out")
    add("--row", nargs="+", metavar="ID", help="only the trials of these rows")
    words = "the record goes to DIR/results, beside the study's"
    add("--out", type=Path, default=ROOT / "report", metavar="DIR", help=words)
    parser.error = fail
    args = parser.parse_args(argv)
    args.choices = choices(args, fail)
    args.out = args.out.expanduser()
    return args


def search(args) -> None:
    import torch

    from xray import engine, results
    from xray import search as trials
    from xray.machine import cnn_precision, keep_freed_memory

    if unknown := [row for row in args.row or () if row not in trials.TRIALS]:
        fail(f"--row {unknown[0]}: nothing is tried there; rows are {', '.join(trials.TRIALS)}")
    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = cnn_precision("auto", device, say)
    load = open_source(args)
    specs = trials.asked(args.row)
    first = load(specs[0].image_size)
    out = results.place(args.out, first.phantom)
    split = split_of(first, args)
    place = results.data_folder(out / "results", first.name, first.fingerprint)
    study = results.beside(results.records_file(place, split))
    done = [trial["spec"] for trial in trials.read(study)]
    todo = [spec for spec in specs if asdict(spec) not in done]
    say(f"trials: {len(specs)} asked for, {len(specs) - len(todo)} made before; {study}")
    for number, spec in enumerate(todo, 1):
        data = load(spec.image_size, split)
        parts = [engine.place(part, device) for part in (data.train, data.validation)]
        steps = spec.epochs * -(-len(data.train.labels) // spec.batch_size)
        shown = bar(total=steps, label=f"trial {number} of {len(todo)}")
        found = trials.try_one(spec, *parts, precision, device, shown.update)
        shown.close()
        trials.write(study, found)
        what = f"{spec.id} rate {spec.learning_rate:g}, decay {spec.weight_decay:g}"
        what += f", augmentation {spec.augment:g}"
        scores = f"validation loss {found['validation_loss']:.4f}"
        scores += (
            f", accuracy {found['validation_accuracy']:.1%}, AUC {found['validation_auc']:.4f}"
        )
        say(f"[{number}/{len(todo)}] {what}: {scores} ({found['seconds']:.0f} s)")


def main(argv=None) -> None:
    args = arguments(argv)
    from xray.data_sources import DataError
    from xray.results import ResultsError

    try:
        search(args)
    except KeyboardInterrupt:
        say("\nstopped; the trials made are kept, and the same command goes on")
        sys.exit(130)
    except (DataError, ResultsError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or args.out}: cannot be used ({error.strerror or error})")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Make the experiments beside the study: why MLPs die, and what the image size does.

python scripts/experiments.py
python scripts/experiments.py --data FOLDER --out DIR
"""

import argparse
import functools
import re
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

from scripts.options import add_choices, bar, choices, fail, open_source, say, split_of  # noqa: E402
from xray.data_sources import PAPER  # noqa: E402
from xray.specs import IMAGE_SIZE  # noqa: E402


def image_size(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text) or int(text) < 4 or int(text) % 4 or int(text) > 4096:
        raise argparse.ArgumentTypeError(f"{text!r} is not a multiple of 4 from 4 to 4096")
    return int(text)


def arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="Make the experiments beside the study, those that have no record yet.",
    )
    add = parser.add_argument
    words = f"as for train.py (default: {PAPER}; phantoms where the Hub cannot be reached)"
    add("--data", metavar="SOURCE", help=words)
    add_choices(parser)
    words = f"the study's, for the largest census of starts (default: {IMAGE_SIZE})"
    add("--image-size", type=image_size, default=IMAGE_SIZE, metavar="S", help=words)
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
    from xray import experiments, results
    from xray.jobs import MAX_GRAM

    load = open_source(args)
    split = split_of(load(experiments.SMALL), args)
    first = load(experiments.SMALL, split)
    out = results.place(args.out, first.phantom)
    data_folder = results.data_folder(out / "results", first.name, first.fingerprint)
    study = results.beside(results.records_file(data_folder, first.split))
    there = experiments.read(study)
    for name, experiment in experiments.every(args.image_size).items():
        images = len(first.labels)
        if name in experiments.OF_ALL_IMAGES and 8 * images**2 > MAX_GRAM:
            say(f"{name}: left out, the Gram matrix of {images:,} images takes too much memory")
            continue
        if name in there and not args.force:
            continue
        started = time.perf_counter()
        payload = experiment(functools.partial(load, split=split), bar)
        seconds = time.perf_counter() - started
        experiments.write(study, name, payload, first, seconds)
        say(f"{name}: {seconds:.0f} s; {study}")


def main(argv=None) -> None:
    sys.stdout.reconfigure(errors="backslashreplace")  # any file name can be said
    args = arguments(argv)
    try:
        from xray.data_sources import DataError
        from xray.results import ResultsError

        make(args)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nstopped; what is finished is kept, the same command goes on")
        sys.exit(130)
    except (DataError, ResultsError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or args.out}: cannot be used ({error.strerror or error})")


if __name__ == "__main__":
    main()

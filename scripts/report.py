#!/usr/bin/env python3
"""Write the report from saved records. Trains nothing.

python scripts/report.py
python scripts/report.py --results DIR --out DIR --study DATA/SPLIT --data SOURCE
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def fail(message: str):
    print("error: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(2)


def arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="Write index.html, report.md and figures/ from saved records. Trains nothing.",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "report" / "results",
        metavar="DIR",
        help="where the records lie (default: report/results)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "report",
        metavar="DIR",
        help="where the report goes (default: report)",
    )
    parser.add_argument(
        "--study", metavar="NAME", help="which study, DATA/SPLIT (default: the one trained last)"
    )
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="the study's own data, to show its first radiograph in Figs 2 and 4 in place of a "
        "phantom",
    )
    parser.error = fail
    return parser.parse_args(argv)


def first_radiograph(source: str, runs: list):
    """The first training image of `source`, uint8 (S, S), if it is the study's own data."""
    from xray import data

    shown = [0.0]

    def progress(done, total):
        if time.monotonic() - shown[0] > 2:
            shown[0] = time.monotonic()
            print(f"reading images: {done:,} of {total:,}", flush=True)

    found = data.load(
        source,
        max(run.image_size for run in runs),
        skip_unreadable=bool(runs[0].data["skipped"]),
        progress=progress,
    )
    if found.fingerprint != runs[0].data["fingerprint"]:
        fail(
            f"--data {source}: its fingerprint is {found.fingerprint[:16]}, the study's "
            f"{runs[0].data['fingerprint'][:16]}; name the data that the study was trained on"
        )
    return data.sample_image(found)


def main(argv=None) -> None:
    args = arguments(argv)
    print("loading", flush=True)
    from xray import report, study
    from xray.data_sources import DataError
    from xray.results import ResultsError

    try:
        name, others = study.choose(args.results, args.study)
        if others and args.study is None:
            print(f"study {name}: the one trained last; --study takes another: {', '.join(others)}")
        found = study.read(args.results, name, progress=lambda words: print(words, flush=True))
        sample = first_radiograph(args.data, found.runs) if args.data else None
        written = report.write(
            found, args.out, sample, progress=lambda words: print(words, flush=True)
        )
    except (ResultsError, DataError) as error:
        fail(error)
    except OSError as error:
        fail(f"{error.filename or args.out}: {error.strerror or error}")
    size = written[-1].stat().st_size / 1e6
    print(f"{written[-1]}: {len(found.runs):,} runs of {len(found.chosen)} models, {size:.1f} MB")


if __name__ == "__main__":
    main()

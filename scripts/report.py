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

from xray import packages  # noqa: E402

if problem := packages.problem():
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)


def fail(message: str):
    print("error: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(2)


def say(words: str) -> None:
    print(words, flush=True)


def arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="Write index.html, report.md and figures/ from saved records. Trains nothing.",
    )
    add, folder = parser.add_argument, {"type": Path, "metavar": "DIR"}
    words = "where the records lie (default: report/results)"
    add("--results", default=ROOT / "report" / "results", help=words, **folder)
    words = "where the report goes, of phantoms to its folder phantom (default: report)"
    add("--out", default=ROOT / "report", help=words, **folder)
    words = "which study, DATA/SPLIT (default: the one trained last)"
    add("--study", metavar="NAME", help=words)
    words = (
        "the study's own data, to show its first radiograph in Figs 2 and 4 in place of a phantom"
    )
    add("--data", metavar="SOURCE", help=words)
    parser.error = fail
    args = parser.parse_args(argv)
    args.results, args.out = args.results.expanduser(), args.out.expanduser()
    return args


def first_radiograph(source: str, runs: list):
    """The first training image of `source`, the study's data, uint8 (S, S), at the largest size."""
    from xray import data
    from xray.data_sources import Choices

    shown = [0.0]

    def progress(done, total):
        if time.monotonic() - shown[0] > 2:
            shown[0] = time.monotonic()
            say(f"reading images: {done:,} of {total:,}")

    size, skip = max(run.image_size for run in runs), bool(runs[0].data["skipped"])
    choices = Choices.of(runs[0].data.get("options", []))
    found = data.load(source, size, skip, progress=progress, choices=choices)
    if found.fingerprint != runs[0].data["fingerprint"]:
        fail(
            f"--data {source}: its fingerprint is {found.fingerprint[:16]}, the study's "
            f"{runs[0].data['fingerprint'][:16]}; name the data that the study was trained on"
        )
    return data.sample_image(found)


def main(argv=None) -> None:
    args = arguments(argv)
    say("loading")
    from xray import report, results, study
    from xray.data_sources import DataError
    from xray.results import ResultsError

    try:
        name, others = study.choose(args.results, args.study)
        if others and args.study is None:
            print(f"study {name}: the one trained last; --study takes another: {', '.join(others)}")
        found = study.read(args.results, name, say)
        sample = first_radiograph(args.data, found.runs) if args.data else None
        out = results.place(args.out, found.runs[0].data["phantom"])
        before = report.shown_in(out)
        written = report.write(found, out, sample, say)
    except (ResultsError, DataError) as error:
        fail(error)
    except OSError as error:
        fail(f"{error.filename or args.out}: {error.strerror or error}")
    if before not in ("", name):
        print(f"{written[-1]}: showed {before} before; --study {before} writes that again")
    size = written[-1].stat().st_size / 1e6
    print(f"{written[-1]}: {len(found.runs):,} runs of {len(found.chosen)} models, {size:.1f} MB")


if __name__ == "__main__":
    main()

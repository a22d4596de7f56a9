#!/usr/bin/env python3
"""Write the report from saved records. Trains nothing.

python scripts/report.py
python scripts/report.py --results DIR --out DIR --study DATA/SPLIT --data SOURCE
python scripts/report.py --claim C31
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

# what --claim ends with; 2 is a mistake of the user's, as everywhere
EXIT = {"holds": 0, "does not hold": 1, "within noise": 3, "not tested here": 4, "not run": 5}


def fail(message: str):
    print("error: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(2)


def say(words: str) -> None:
    print(words, flush=True)


def tell(words: str) -> None:
    """Progress where standard output is the result."""
    print(words, file=sys.stderr, flush=True)


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
    words = "print one claim's verdict, rule, numbers and records in place of a report; ends with "
    words += ", ".join(f"{code} where it {word}" for word, code in EXIT.items() if code < 2)
    words += ", 3 within noise, 4 not tested here, 5 not run"
    add("--claim", metavar="ID", help=words)
    words = "what is being trained still and how long that takes, told with the report"
    add("--to-come", metavar="TEXT", default="", help=words)
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


def print_claim(wanted: str, verdicts: list) -> int:
    """One claim on its own, as plain lines; gives the exit code of its verdict."""
    from xray.claims import MARKS

    found = [one for one in verdicts if one.id == wanted.upper()]
    if not found:
        fail(f"--claim {wanted}: there is no such claim; they are C01 to {verdicts[-1].id}")
    one = found[0]
    lines = {"claim": f"{one.id} (section {one.section}): {one.claim}", "verdict": one.verdict}
    lines["rule"] = one.rule
    if one.primary:
        of_p = "" if one.p is None else f"; p = {one.p:.2g} after Holm's adjustment"
        of_p += f", by itself: {one.alone}" if one.alone else ""
        lines["family"] = f"primary{of_p}"
    else:
        lines["family"] = "exploratory"
    lines |= {"note": one.note} if one.note else {}
    lines |= {"reason": one.figures} if not one.findings else {}
    for name, words in lines.items():
        print(f"{name + ':':11}{words}")
    for finding in one.findings:
        print(f"  {MARKS[finding.outcome]} {finding.words}")
    if one.records:
        print("records:")
    for runs in one.records:
        print(f"  {runs}")
    return EXIT[one.verdict]


def main(argv=None) -> None:
    args = arguments(argv)
    progress = tell if args.claim else say
    progress("loading")
    from xray import claims, report, results, study
    from xray.data_sources import DataError
    from xray.results import ResultsError

    try:
        name, others = study.choose(args.results, args.study)
        if others and args.study is None:
            progress(
                f"study {name}: the one trained last; --study takes another: {', '.join(others)}"
            )
        found = study.read(args.results, name, progress)
        if args.claim:
            sys.exit(print_claim(args.claim, claims.judge(found)))
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

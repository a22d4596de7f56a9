#!/usr/bin/env python3
"""Write the report from saved records. Trains nothing.

python scripts/report.py
python scripts/report.py --results DIR --out DIR --study DATA/SPLIT --data SOURCE
python scripts/report.py --claim C31
"""

import dataclasses
import gc
import sys

import options
from options import ROOT, fail

# what --claim ends with; 2 is a mistake of the user's, as everywhere
EXIT = {"holds": 0, "does not hold": 1, "within noise": 3, "not tested here": 4, "not run": 5}


def arguments(argv=None):
    parser = options.parser(
        "Write index.html, report.md and figures/ from saved records. Trains nothing."
    )
    add, folder = parser.add_argument, {"type": options.folder, "metavar": "DIR"}
    words = "where the records lie (default: report/results)"
    add("--results", default=ROOT / "report" / "results", help=words, **folder)
    words = "where the report goes, of phantoms to its folder phantom (default: report)"
    add("--out", default=ROOT / "report", help=words, **folder)
    words = "which study, DATA/SPLIT (default: the one trained last)"
    add("--study", metavar="NAME", help=words)
    words = "the study's own data, to show its first radiograph in Figs 2 and 4"
    add("--data", metavar="SOURCE", help=words)
    words = "print one claim's verdict, rule, numbers and records instead of a report; exit code "
    words += ", ".join(f"{code} if it {word}" for word, code in EXIT.items() if code < 2)
    words += ", 3 within noise, 4 not tested here, 5 not run"
    add("--claim", metavar="ID", help=words)
    words = "what is still being trained and how long it takes, said at the head of the report"
    add("--to-come", metavar="TEXT", default="", help=words)
    return parser.parse_args(argv)


def first_film(study, source: str):
    """The first training image of `source`, the study's data, uint8 (S, S), at the largest size."""
    about = study.runs[0].data
    words = [*about.get("options", []), *["--skip-unreadable"] * bool(about["skipped"])]
    found = options.reopened(source, words)(max(run.image_size for run in study.runs))
    if found.fingerprint != about["fingerprint"]:
        fail(
            f"--data {source}: its fingerprint is {found.fingerprint[:16]}, the study's "
            f"{about['fingerprint'][:16]}; name the data that the study was trained on"
        )
    return found.train.images[0, 0]


def print_claim(wanted: str, study) -> int:
    """One claim on its own, as plain lines; gives the exit code of its verdict."""
    from xray.claims import MARKS, judge

    verdicts = judge(study)
    found = [one for one in verdicts if one.id == wanted.upper()]
    if not found:
        fail(f"--claim {wanted}: there is no such claim; they are C01 to {verdicts[-1].id}")
    one = found[0]
    family = "primary" if one.primary else "exploratory"
    family += "" if one.p is None else f"; p = {one.p:.2g} after Holm's adjustment"
    family += f", by itself: {one.alone}" if one.alone else ""
    lines = {
        "claim": f"{one.id} (section {one.section}): {one.claim}",
        "verdict": one.verdict,
        "rule": one.rule,
        "family": family,
        "note": one.note,
        "reason": "" if one.findings else one.figures,
    }
    for name, words in lines.items():
        if words:
            print(f"{name + ':':11}{words}")
    for finding in one.findings:
        print(f"  {MARKS[finding.outcome]} {finding.words}")
    if one.records:
        print("records:", *one.records, sep="\n  ")
    sys.stdout.flush()  # here a reader who is gone is noticed, at the end it would be told
    return EXIT[one.verdict]


def work(args) -> None:
    def tell(words: str) -> None:  # progress, where standard output is the result of --claim
        print(words, file=sys.stderr if args.claim else sys.stdout, flush=True)

    tell("loading")
    from xray import report, results
    from xray import study as studies

    name, others = studies.choose(args.results, args.study)
    if others and args.study is None:
        tell(f"study {name}: the one trained last; --study takes another: {', '.join(others)}")
    study = studies.read(args.results, name, tell)
    gc.disable()  # a command of seconds: looking for what can be thrown away took a fifth of them
    if args.claim:
        sys.exit(print_claim(args.claim, study))
    told = {"to_come": args.to_come} if args.to_come else {}
    told |= {"film": first_film(study, args.data)} if args.data else {}
    study = dataclasses.replace(study, told=told)
    out = results.place(args.out, study.runs[0].data["phantom"])
    before = report.shown_in(out)
    tell("writing the report")
    page = report.write(study, out)[-1]
    if before not in ("", name):
        print(f"{page}: showed {before} before; --study {before} writes that again")
    size = page.stat().st_size / 1e6
    print(f"{page}: {len(study.runs):,} runs of {len(study.chosen)} models, {size:.1f} MB")


def main(argv=None) -> None:
    options.run(work, arguments(argv))


if __name__ == "__main__":
    main()

"""The rules that were changed after results were seen (deviations.txt), oldest first."""

from pathlib import Path
from typing import NamedTuple


class Deviation(NamedTuple):
    """One change of a rule. before: claim's id -> its verdict in the record of that day; empty
    where no verdict rests on the rule."""

    date: str  # of the change, "2026-11-24"
    before: dict[str, str]
    old: str  # the rule before and after, and why it was changed
    new: str
    why: str


def parse(table: str) -> list[Deviation]:
    """Entries of a date and verdicts ("holds: C11 C15; within noise: C33", or "none"), then three
    lines: Old, New, Why. A line that is indented twice goes on."""
    found = []
    for line in table.strip().splitlines():
        if not line.startswith(" "):
            date, _, verdicts = (part.strip() for part in line.partition("|"))
            found.append([date, _verdicts(verdicts)])
        elif line.startswith("    "):
            found[-1][-1] += " " + line.strip()
        else:
            found[-1].append(line.strip().split(": ", 1)[1])
    return [Deviation(*entry) for entry in found]


def _verdicts(words: str) -> dict[str, str]:
    parts = [part.split(":") for part in words.split(";") if ":" in part]
    pairs = [(name, verdict.strip()) for verdict, names in parts for name in names.split()]
    return dict(sorted(pairs))


DEVIATIONS = parse((Path(__file__).parent / "deviations.txt").read_text(encoding="utf-8"))

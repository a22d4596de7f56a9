"""The rules that were changed after results were seen (deviations.toml), oldest first."""

import tomllib
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


def read(path: Path) -> list[Deviation]:
    found = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["changed"]:
        groups = entry.pop("before", {}).items()
        before = {name: verdict for verdict, names in groups for name in names.split()}
        date = str(entry.pop("date"))
        found.append(Deviation(date=date, before=dict(sorted(before.items())), **entry))
    return found


DEVIATIONS = read(Path(__file__).with_name("deviations.toml"))

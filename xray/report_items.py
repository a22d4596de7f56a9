"""What the templates ask for by name: pictures, tables and listings, each with the numbers behind
it, the records that it was made from and the commands that make it again."""

import shlex
from collections import defaultdict
from pathlib import Path

from xray import report_data
from xray.report_pictures import data_uri
from xray.specs import KNOWN
from xray.study import (
    RESULTS,
    Study,
    Summary,
    apart,
    command,
    percent,
    seeds,
    source_words,
    train_command,
)

BADGES = {"holds": "good", "does not hold": "bad", "within noise": "open"}
BADGES |= {"not tested here": "apart", "not run": "none"}


def item(
    study: Study,
    models: list[str] = (),
    *,
    plot: dict | None = None,
    images: list[list[dict]] = (),
    table: dict | None = None,
    listing: str = "",
    data: str = "",
    runs: list | None = None,
    missing: list[str] | None = None,
    needs: list[str] = (),
    scripts: list[str] = (),
) -> dict:
    """One of the report's numbered pieces.

    models: those shown, whose records are named; those without a run get the command that trains
    them. runs, missing: the records and the models without one, where they are not the chosen ones.
    needs: further options of that command. scripts: the commands of other scripts whose records it
    is drawn from. images: groups of what `image` makes. listing: preformatted text. data: the
    numbers that a picture is drawn from, as report_data gives them; without them the table as shown
    stands for them.
    """
    if missing is None:
        missing = [model for model in models if model not in study.chosen]
    if runs is None:
        runs = [run for model in models for run in study.chosen.get(model, [])]
    return {
        "plot": plot,
        "images": images,
        "table": table,
        "listing": listing,
        "data": data,
        "sources": _sources(runs),
        "count": len(runs),
        "again": [*commands(runs), *scripts, report_command(study)],
        "missing": missing,
        "command": command(study.runs, missing, *needs) if missing else "",
    }


def _sources(runs: list) -> list[tuple[list[str], str]]:
    """The records behind something: (models, which runs of each)."""
    groups, found = defaultdict(list), defaultdict(list)
    for run in runs:
        groups[run.spec.id].append(run)
    for model, group in groups.items():
        splits = len({run.split for run in group})
        words = f"{'seeds' if len({run.seed for run in group}) > 1 else 'seed'} {seeds(group)}"
        found[words + (f", on {splits} splits" if splits > 1 else "")].append(model)
    return [(models, words) for words, models in found.items()]


def commands(runs: list) -> list[str]:
    """The calls of train.py that make these runs again, one for all models that share their seeds,
    splits, image size and all else that it can be told."""
    by_setting, groups = defaultdict(list), defaultdict(list)
    for run in runs:
        told = KNOWN[run.spec.id]
        options = list(run.data.get("options", []))
        if run.image_size != told.image_size or run.spec.family == "CNN":
            options += ["--image-size", str(run.image_size)]
        if run.spec.epochs != told.epochs:
            options += ["--epochs", str(run.spec.epochs)]
        if run.precision != "fp32":
            options += ["--precision", run.precision]
        if run.engine_reason == "forced":
            options += ["--engine", run.engine]
        by_setting[run.spec.id, *options].append(run)
    for (model, *options), group in by_setting.items():
        splits = {run.split for run in group}
        last = max(int(split.partition("-")[2] or -1) for split in splits)
        several = len(splits) > 1 or ("--split" in options and last >= 0)
        if several:
            options += ["--resplits", str(last + 1)]
        options += ["--seeds", seeds(group).replace("–", "-").replace(", ", ",")]
        split = "given" if several else group[0].split
        groups[split, *options].append((model, group[0]))
    found = []
    for (split, *options), pairs in groups.items():
        source, file = pairs[0][1].data["source"], pairs[0][1].file
        folder = Path(file).parents[1] if file else RESULTS
        models = [model for model, _ in pairs]
        found.append(train_command(models, source, split, None, folder, options))
    return found


def report_command(study: Study) -> str:
    """The call of report.py that draws all of a study, beside its records."""
    folder, words = study.runs[0].file.parents[1], ["python", "scripts/report.py"]
    if folder.resolve() != RESULTS:
        words += ["--results", str(folder), "--out", str(folder.parent)]
    return shlex.join(words)


def script_command(study: Study, script: str) -> str:
    """The call of a script in scripts/ that makes records beside a study's runs."""
    folder, run = study.runs[0].file.parents[1], study.runs[0]
    words = ["python", f"scripts/{script}", *source_words(run.data["source"], run.split)]
    words += run.data.get("options", [])
    words += ["--out", str(folder.parent)] if folder.resolve() != RESULTS else []
    return shlex.join(words)


def plot(name: str, draw, *about) -> dict:
    """What draw(name, *about) drew (report_pictures.draw), kept as figures/<name>.svg too."""
    drawing = draw(name, *about)
    return {
        "inline": drawing["inline"],
        "narrow": drawing["narrow"],
        "alt": drawing["alt"],
        "file": f"figures/{name}.svg",
        "content": drawing["file"].encode(),
    }


def image(content: bytes, name: str, alt: str, caption: str = "") -> dict:
    """A PNG, kept as figures/<name>.png too."""
    return {
        "src": data_uri(content),
        "alt": alt,
        "caption": caption,
        "file": f"figures/{name}.png",
        "content": content,
    }


def with_csv(shown: dict[str, dict]) -> dict[str, dict]:
    """The items, each that was made of numbers with them as "csv": {"file", "text"}, else None."""
    found = {}
    for name, one in shown.items():
        text = one.get("data") or (report_data.shown(one["table"]) if one.get("table") else "")
        csv = {"file": f"figures/{name}.csv", "text": text} if text and "again" in one else None
        found[name] = one | {"csv": csv}
    return found


def files(shown: dict[str, dict]) -> dict[str, bytes]:
    """The pictures of all items and the numbers behind them: file name, relative to the report's
    folder, -> content."""
    found = {
        one["csv"]["file"]: one["csv"]["text"].encode() for one in shown.values() if one["csv"]
    }
    for one in shown.values():
        drawn = [one["plot"]] if one.get("plot") else []
        for picture in drawn + sum(one.get("images", []), []):
            found[picture["file"]] = picture["content"]
    return found


def table(columns: str, rows: list[list], sortable: bool = False) -> dict:
    """A table. columns: their names, with " | " between. One that starts with ">" is of numbers,
    set to the right; the first column heads its row. A cell is any text or number, or what `cell`
    makes."""
    names = columns.split(" | ")
    return {
        "sortable": sortable,
        "columns": [{"name": name.lstrip(">"), "right": name.startswith(">")} for name in names],
        "rows": [[each if isinstance(each, dict) else cell(each) for each in row] for row in rows],
    }


def cell(content, *, href="", badge="", paper=False, code=False, files=()) -> dict:
    """A table's cell: text, a link, a coloured word of BADGES, the paper's value, code, or files,
    pairs of (name, path)."""
    found = {"text": str(content), "href": href, "badge": badge, "paper": paper, "code": code}
    return found | {"files": files}


def those_that_learned(runs: list) -> tuple[list, str]:
    """Of a model's runs those that learned, and how many of how many, "3 of 5"."""
    good, _ = apart(runs)
    return good, f"{len(good)} of {len(runs)}"


def with_range(summary: Summary, key: str) -> str:
    """Mean (lowest–highest) in percent over the runs that learned, "92.4 (90.9–93.3)"."""
    values = [row[key] for row in summary.scores]
    text = percent(summary.mean[key])
    return f"{text} ({percent(min(values))}–{percent(max(values))})" if len(values) > 1 else text


def signed(value: float, low: float, high: float) -> str:
    """A difference of fractions and its interval in points: "+1.2 (−0.3 to 2.7)"."""
    numbers = (f"{100 * number:.1f}".replace("-", "−") for number in (value, low, high))
    middle, low, high = numbers
    plus = "" if middle.startswith("−") or float(100 * value) == 0 else "+"
    return f"{plus}{middle} ({low} to {high})"


def within(value: float, low: float, high: float) -> str:
    """A score and its interval in percent: "92.1 (89.6–94.0)"."""
    return f"{percent(value)} ({percent(low)}–{percent(high)})"


NOT_TRAINED = cell("not trained", badge="none")

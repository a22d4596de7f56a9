"""What the templates ask for by name: pictures, tables and listings, with their records."""

from pathlib import Path

from xray.report_pictures import data_uri
from xray.results import COMPACT
from xray.study import Study, command, seeds

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
    runs: list | None = None,
    missing: list[str] | None = None,
    needs: list[str] = (),
) -> dict:
    """One of the report's numbered pieces.

    models: those shown, whose records are named; those without a run get the command that trains
    them. runs, missing: the records and the models without one, where they are not the chosen ones.
    needs: further options of that command. images: groups of what `image` makes. listing:
    preformatted text.
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
        "sources": _sources(runs),
        "count": len(runs),
        "missing": missing,
        "command": command(study.runs, missing, *needs) if missing else "",
    }


def _sources(runs: list) -> list[dict]:
    """The records behind something, by model: {"model", "seeds", "files": [{"name", "path"}]}.

    Runs that share a file, as those of re-splits do, are one entry with each file once.
    """
    groups = {}
    for run in runs:
        shared = run.file and Path(run.file).name == COMPACT
        groups.setdefault("" if shared else run.spec.id, []).append(run)
    found = []
    for model, group in groups.items():
        paths = dict.fromkeys(Path(run.file) for run in group if run.file)
        names = {path: path.name if model else f"{path.parent.name}/{path.name}" for path in paths}
        files = [{"name": name, "path": str(path)} for path, name in names.items()]
        models = model or ", ".join(dict.fromkeys(run.spec.id for run in group))
        found.append({"model": models, "seeds": seeds(group), "files": files})
    return found


def plot(name: str, draw, *about) -> dict:
    """What draw(name, *about) drew (report_pictures.draw), kept as figures/<name>.svg too."""
    drawing = draw(name, *about)
    return {
        "inline": drawing["inline"],
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


def files(shown: dict[str, dict]) -> dict[str, bytes]:
    """The pictures of all items: file name, relative to the report's folder, -> content."""
    found = {}
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


def cell(content, *, href="", badge="", paper=False, code=False) -> dict:
    """A table's cell: text, a link, a coloured word of BADGES, the paper's value, or code."""
    return {"text": str(content), "href": href, "badge": badge, "paper": paper, "code": code}


NOT_TRAINED = cell("not trained", badge="none")

"""What a report is made of: plain dicts that both templates know how to write.

A section is {"id", "number", "title", "level", "blocks"}. A block is a dict with a "kind", made by
the functions below.

Two sorts of text: prose is ours and may hold `code` and [links](#fig-9); everything that comes from
data (names of files, of data sets, of devices) goes into cells, captions of pictures or code, which
are escaped as they are.
"""

from pathlib import Path
from urllib.parse import quote

from xray.report_pictures import data_uri
from xray.study import Study, command, seeds


def section(id: str, number: str, title: str, *blocks: dict | None, level: int = 2) -> dict:
    """A section; blocks that are None are left out. level: 2 for "3", 3 for "3.1"."""
    return {
        "id": id,
        "number": number,
        "title": title,
        "level": level,
        "blocks": [b for b in blocks if b],
    }


def text(*sentences: str) -> dict:
    """A paragraph of prose."""
    return {"kind": "text", "text": " ".join(sentence for sentence in sentences if sentence)}


def code(content: str, label: str) -> dict:
    """Preformatted text; `label` names it to a screen reader."""
    return {"kind": "code", "text": content, "label": label}


def plot(drawing: dict, name: str) -> dict:
    """A picture that report_svg.draw made, kept as figures/<name>.svg too."""
    return {
        "kind": "plot",
        "inline": drawing["inline"],
        "alt": drawing["alt"],
        "file": f"figures/{name}.svg",
        "content": drawing["file"].encode(),
    }


def images(*pictures: tuple[bytes, str, str, str], wide: bool = False) -> dict:
    """PNGs side by side: (content, name, alternative text, caption), kept as figures/<name>.png
    too.
    """
    return {
        "kind": "images",
        "wide": wide,
        "images": [
            {
                "src": data_uri(content),
                "content": content,
                "file": f"figures/{name}.png",
                "alt": alt,
                "caption": caption,
            }
            for content, name, alt, caption in pictures
        ],
    }


def table(
    caption: str, columns: list[str], rows: list[list], sortable: bool = False, folded: str = ""
) -> dict:
    """A table. A column's name that starts with ">" is of numbers, set to the right; the first
    column heads its row.

    A cell is a str, a number, or a dict made by `cell`. `folded`: a few words, for a table that is
    shut at first.
    """
    return {
        "kind": "table",
        "caption": caption,
        "sortable": sortable,
        "folded": folded,
        "columns": [
            {"name": name.removeprefix(">"), "right": name.startswith(">")} for name in columns
        ],
        "rows": [
            [value if isinstance(value, dict) else cell(value) for value in row] for row in rows
        ],
    }


def cell(
    content, href: str = "", badge: str = "", paper: bool = False, code: bool = False, links=()
) -> dict:
    """A table cell: text, or a link, a coloured word (badge: "good", "bad", "open", "none"), a
    value of the paper's, code, or several links [(text, href)]."""
    return {
        "text": str(content),
        "href": href,
        "badge": badge,
        "paper": paper,
        "code": code,
        "links": list(links),
    }


def item(
    study: Study,
    id: str,
    label: str,
    title: str,
    *blocks: dict | None,
    models: list[str] = (),
    note: str = "",
    runs: list | None = None,
    missing: list[str] | None = None,
    needs: list[str] = (),
    asks: str = "",
) -> dict:
    """One of the paper's figures or tables: its number (`label`), a title, blocks, and where it
    comes from.

    models: those shown, whose records are named; those without a run get the command that trains
    them. runs, missing: the records and the models without one, where they are not the chosen ones.
    needs: what else that command needs;
    asks: what it does, in words of its own.
    """
    if missing is None:
        missing = [model for model in models if model not in study.chosen]
    if runs is None:
        runs = [run for model in models for run in study.chosen.get(model, [])]
    return {
        "kind": "item",
        "id": id,
        "label": label,
        "title": title,
        "blocks": [b for b in blocks if b],
        "note": note,
        "sources": sources(runs),
        "count": len(runs),
        "missing": missing,
        "asks": asks
        or f"Not trained yet: {', '.join(missing)}. This trains "
        f"{'them' if len(missing) > 1 else 'it'}:",
        "command": command(study, missing, *needs) if missing else "",
    }


def sources(runs: list) -> list[dict]:
    """The records behind something, by model: {"model", "seeds", "files": [{"name", "path"}]}."""
    by_model = {}
    for run in runs:
        by_model.setdefault(run.spec.id, []).append(run)
    return [
        {
            "model": model,
            "seeds": seeds(group),
            "files": [
                {"name": Path(run.file).name, "path": str(run.file)} for run in group if run.file
            ],
        }
        for model, group in by_model.items()
    ]


def link_to(path: str, out: Path) -> str:
    """The address of a file inside the report's folder, relative to it; "" where it lies
    outside.
    """
    try:
        return quote(Path(path).resolve().relative_to(Path(out).resolve()).as_posix())
    except ValueError:
        return ""


def walk(blocks: list[dict]):
    """All blocks, those inside items too."""
    for block in blocks:
        yield block
        if block["kind"] == "item":
            yield from walk(block["blocks"])

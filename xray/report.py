"""A study -> the report: Markdown from the chapters, and the page that is made from it."""

import contextlib
import html
import json
import re
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from xray import (  # noqa: F401  (to import those that have items is to register these)
    claims,
    items,
    page,
    paper,
    report_carry,
    report_films,
    report_headline,
    report_luck,
    report_more,
    report_paper,
    report_plots,
    report_shortcuts,
    report_table_3,
    report_tool,
    report_try,
    report_verdicts,
)
from xray.files import write_atomically
from xray.page import TEMPLATES
from xray.specs import MODELS
from xray.study import Study

CHAPTERS = (
    "0-summary.md",
    "1-introduction.md",
    "2-method.md",
    "3-results.md",
    "4-conclusions.md",
    "6-what-they-see.md",
    "6-luck.md",
    "6-carry-over.md",
    "7-beyond.md",
    "appendices.md",
)


class Report:
    """What the chapters call, `show` and `numbers`, and what has been shown for page and files."""

    def __init__(self, study: Study):
        self.study = study
        self.files = {}  # "figures/fig-21.svg" -> bytes
        self.extras = {}  # item -> HTML of the page alone
        self.scripts = ""

    def numbers(self, name: str) -> dict:
        """What the function of that name, or the item, has to say in prose."""
        if name in items.NUMBERS:
            return items.NUMBERS[name](self.study)
        return self._item(name).numbers

    def _item(self, name: str) -> items.Item:
        missing = f"Not made yet: {items.AGAIN[name]}"
        return items.ITEMS[name](self.study) or items.Item(missing=missing)

    def show(self, name: str) -> Markup:
        """An item as Markdown: heading, picture, table, listing, how it is made."""
        one, label = self._item(name), items.label(name)
        title = f"{label}. {items.TITLES[name]}" if label else items.TITLES[name]
        parts = [f'#### <a id="{name}"></a>{items.escape(title)}']
        if one.listing:
            parts.append(fenced(one.listing))
        if one.picture is not None:
            parts.append(f"![{items.escape(one.alt)}]({self._keep_picture(name, one.picture)})")
        if one.html:
            self.extras[name] = one.html
            self.scripts += one.script
            parts.append(f"<!-- page: {name} -->")
        if one.table is not None and len(one.table):
            parts += [f"*{items.escape(one.caption)}*"] if one.caption else []
            parts.append(as_markdown(pd.DataFrame(one.table, dtype=object)))
        lost = [model for model in one.models if model not in self.study.chosen]
        missing = one.missing or (f"Not trained yet: {', '.join(lost)}." if lost else "")
        parts += [f"> {items.escape(missing)}"] if missing else []
        parts.append(self.judged(name))
        parts.append(self._origin(name, one))
        return Markup("\n\n".join(part for part in parts if part))

    def judged(self, name: str) -> Markup:
        """The claims that an item, or a section, is the evidence for, with their verdicts."""
        return report_verdicts.on(self.study, name)

    def _keep_picture(self, name: str, picture) -> str:
        is_film = isinstance(picture, bytes)
        file = f"figures/{name}.{'png' if is_film else 'svg'}"
        self.files[file] = picture if is_film else report_plots.save(picture)
        return file

    def _origin(self, name: str, one: items.Item) -> str:
        """The line under an item: the command whose records it shows, and its numbers."""
        again = items.AGAIN[name]
        if one.models and not again:
            again = f"python scripts/train.py --model {' '.join(one.models)}"
        words = [f"<code>{again}</code>"] if again not in one.missing else []
        if one.data is not None and len(one.data):
            file = f"figures/{name}.csv"
            self.files[file] = one.data.to_csv(index=False, lineterminator="\n").encode()
            words.append(f"[CSV]({file})")
        return f"<sub>{' · '.join(words)}</sub>" if words else ""


def fenced(content: str) -> str:
    """A code block that its content cannot end."""
    longest = max((len(run) for run in re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{content.rstrip()}\n{fence}"


def as_markdown(frame) -> str:
    """A frame of cells as they stand -> a table. Markup stays as it is, all else is escaped."""
    rows = [list(frame.columns), *frame.itertuples(index=False)]
    rows = [
        [cell if isinstance(cell, Markup) else items.escape(cell) for cell in row] for row in rows
    ]
    lines = [" | ".join(row) for row in rows]
    if len(rows[0]) == 1 or not all(row[0] for row in rows):
        lines = [f"| {line} |" for line in lines]  # else no table, or a cell less
    return "\n".join([lines[0], "|".join(["---"] * len(rows[0])), *lines[1:]])


def markdown(report: Report, chapters: tuple[str, ...] = CHAPTERS) -> str:
    """The whole report as Markdown; fills report.files."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES / "chapters"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else items.escape(value),
    )
    made.globals |= {
        "study": report.study,
        "show": report.show,
        "numbers": report.numbers,
        "judged": report.judged,
        "paper": paper,
        "percent": items.percent,
        "decimals": items.decimals,
        "signed": items.signed,
        "points": items.points,
        "span": items.span,
        "plus_minus": items.plus_minus,
        "listed": items.listed,
        "models": MODELS,
    }
    text = "\n\n".join(made.get_template(name).render() for name in chapters)
    return re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n"


def pages(report: Report, chapters: tuple[str, ...] = CHAPTERS) -> dict[str, bytes]:
    """File -> content: report.md, index.html, claims.json and what the first two show."""
    text = markdown(report, chapters)
    made = page.page(text, report.files, report.extras, report.scripts, report.study.name)
    verdicts = claims.as_json(report_verdicts.judged(report.study))
    judged = {"study": report.study.name, "claims": verdicts}
    return report.files | {
        "report.md": text.encode(),
        "claims.json": f"{json.dumps(judged, indent=1, ensure_ascii=False)}\n".encode(),
        "index.html": made.encode(),
    }


def shown_in(out: Path) -> str:
    """The study that out/index.html shows; "" where there is none, or it is no report."""
    try:
        head = (Path(out) / "index.html").read_bytes()[:5000].decode("utf-8", "replace")
    except OSError:
        return ""
    found = re.search('<meta name="study" content="([^"]*)">', head)
    return html.unescape(found[1]) if found else ""


def write(study: Study, out: Path, chapters: tuple[str, ...] = CHAPTERS) -> list[Path]:
    """Writes the report into `out`, then removes what an earlier one there named in figures/ and
    this one does not; and index.html and claims.json beside the study's records, where these can be
    written to.
    Gives the paths, index.html last. Raises OSError."""
    out, files = Path(out), pages(Report(study), chapters)
    try:
        earlier = (out / "report.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        earlier = ""
    for name, content in files.items():
        write_atomically(out / name, content)
    for name in set(re.findall(r"\(figures/([\w.-]+)\)", earlier)):
        if f"figures/{name}" not in files:
            (out / "figures" / name).unlink(missing_ok=True)
    # alone, without the files that its links name
    alone = re.sub('( · )?<a href="figures/[^"]*">CSV</a>', "", files["index.html"].decode())
    with contextlib.suppress(OSError):
        write_atomically(study.folder / "index.html", alone.encode())
        write_atomically(study.folder / "claims.json", files["claims.json"])
    return [out / name for name in files]

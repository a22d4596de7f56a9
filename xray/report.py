"""A study -> the report: one content, written twice, as HTML and as Markdown.

What is said stands in templates/; report_*.py compute the numbers, tables and pictures.
"""

import base64
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from xray import (
    claims,
    comparisons,
    paper,
    report_appendices,
    report_beyond,
    report_evidence,
    report_experiments,
    report_findings,
    report_items,
    report_method,
    report_seeing,
    report_summary,
    report_thresholds,
    report_titles,
)
from xray.deviations import DEVIATIONS
from xray.files import write_atomically
from xray.report_items import BADGES, cell, table
from xray.report_pictures import FONTS
from xray.study import Study, percent, test_share

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def html(content: dict, out: Path) -> str:
    """The report as one HTML page that loads nothing: style, script and pictures are in it."""
    made = _environment(out, on_one_line, paragraphs=paragraphs, verbatim=_one_line)
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    names = ("script.js", "thresholds.js", "evidence.js")
    script = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)
    return made.get_template("index.html").render(
        **_fresh(content),
        style=Markup(style.replace("FONTS", FONTS)),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        evidence=report_evidence.packed(content["shown"]),
    )


def markdown(content: dict, out: Path) -> str:
    """The report as Markdown. Whatever does not stand in a template is escaped as it is put out."""
    made = _environment(out, escape_markdown, verbatim=fenced)
    page = made.get_template("report.md").render(**_fresh(content))
    return re.sub(r"\n{3,}", "\n\n", page)


def lines(name: str, content: dict) -> list[str]:
    """A template of plain text, as its lines."""
    made = _environment(Path(), on_one_line, autoescape=False)
    return made.get_template(name).render(**content).splitlines()


def _fresh(content: dict) -> dict:
    """The content, with the lists into which the macros enter sections and items as they come."""
    return content | {"contents": [], "index": []}


def _environment(out: Path, put, autoescape: bool = True, **filters) -> Environment:
    """put: what becomes of a value, such as a number or a name, where it is put out."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.do"],
        finalize=lambda value: value if isinstance(value, Markup) else put(value),
    )
    made.globals["link"] = lambda path: link_to(path, out)
    made.filters |= {"commas": "{:,}".format, "percent": percent, "as_table": as_table} | filters
    made.filters["json"] = report_evidence.as_json
    return made


def link_to(path: str, out: Path) -> str:
    """The address of a file inside the report's folder, relative to it; "" for one outside."""
    try:
        return quote(Path(path).resolve().relative_to(Path(out).resolve()).as_posix())
    except ValueError:
        return ""


def as_table(text: str, columns: str) -> dict:
    """A table written in a template: a blank line ends a row, a bar a cell."""
    rows = re.split(r"\n\s*\n", str(text).strip())
    return table(columns, [[_written(part) for part in row.split("|")] for row in rows])


def _written(text: str) -> dict:
    """A cell of a table that is written in a template; [words](#id) is a link."""
    words = on_one_line(text).strip()
    link = re.fullmatch(r"\[([^\]]+)\]\((#[a-z0-9-]+)\)", words)
    return cell(link[1], href=link[2]) if link else cell(words)


def on_one_line(value) -> str:
    """Any value as text in which each stretch of white space is one blank."""
    return re.sub(r"\s+", " ", str(value))


# ---- HTML


def paragraphs(text: Markup) -> Markup:
    """What stands in a section: a part up to a blank line that starts with a tag stays as it is,
    any other is a paragraph of prose."""
    parts = [part.strip() for part in re.split(r"\n\s*\n", text)]
    return Markup("\n").join(
        Markup(part) if part.startswith("<") else Markup(f"<p>{prose(Markup(part))}</p>")
        for part in parts
        if part
    )


def prose(text: str) -> Markup:
    """`code`, **strong** and [links](#fig-9) become HTML; what is not Markup is escaped. A number
    and its % stay on one line."""
    page = re.sub(r"(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", str(escape(text)))
    page = re.sub(r"`([^`]+)`", r"<code>\1</code>", page)
    page = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", page)
    return Markup(re.sub(r"\[([^\]]+)\]\((#[a-z0-9-]+)\)", r'<a href="\2">\1</a>', page))


def _one_line(text: str) -> Markup:
    """Preformatted text for a pre element, without a line break that `paragraphs` could cut at."""
    return Markup(str(escape(text)).replace("\n", "&#10;"))


# ---- Markdown


def escape_markdown(value) -> Markup:
    """Any text as one line of Markdown that shows just that text, in a table's cell too."""
    line = on_one_line(value)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_\[\]#!|~$])", r"\\\1", line)
    return Markup(re.sub(r"^([+\-]|\d+\.)(?=\s)", r"\\\1", line))


def fenced(content: str) -> Markup:
    """A code block that its content cannot end."""
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}\n{content}\n{fence}")


def context(study: Study, sample: np.ndarray | None = None) -> dict:
    """All that the templates show. sample: the data's first training image, uint8 (S, S), or None
    where no pixel of the data may be shown.

    shown: item's id -> its picture, table and records (report_items.item); alone: whether the page
    stands without the files beside it; the other names are numbers and short lists.
    """
    judged = claims.judge(study)
    compared = comparisons.compare(study.chosen, study.resplits, test_share(study))
    summary, items = report_summary.sections(study, judged, compared)
    method, of_method = report_method.sections(study, sample)
    findings, of_findings = report_findings.sections(study, judged)
    appendix, of_appendix = report_appendices.sections(study, compared)
    beside, of_beside = report_experiments.sections(study, compared)
    thresholds, of_thresholds = report_thresholds.sections(study)
    seeing, of_seeing = report_seeing.sections(study)
    beyond, of_beyond = report_beyond.sections(study)
    shown = items | of_method | of_findings | of_appendix | of_thresholds | of_seeing | of_beside
    shown |= of_beyond
    return {
        "study": study.name,
        "alone": False,
        "data": study.runs[0].data,
        "paper": paper,
        "banner": banner(study),
        "baseline": study.baseline,
        "verdicts": [row._asdict() | {"badge": BADGES[row.verdict]} for row in judged],
        "tally": _tally(judged),
        "filters": _filters(judged),
        "badges": BADGES,
        "marks": claims.MARKS,
        "plain": {"claims": claims.as_json(judged)},
        "summary": summary,
        "method": method,
        "findings": findings,
        "appendix": appendix,
        "seeing": seeing,
        "experiments": beside,
        "beyond": beyond,
        "primary": claims.PRIMARY,
        "deviations": len(DEVIATIONS),
        "checklist": report_summary.checklist(study),
        "seen": report_titles.numbers(study, compared),
        "thresholds": thresholds,
        "shown": report_items.with_csv(shown),
    }


def _tally(verdicts: list) -> dict:
    """The verdicts counted: a row for each kind of claim that there is, and one for all."""
    counts = claims.tally(verdicts)
    counts = {kind: row for kind, row in counts.items() if sum(row.values())}
    counts["all"] = claims.summary(verdicts)
    rows = [[kind, *row.values(), sum(row.values())] for kind, row in counts.items()]
    return table("About | >" + " | >".join(claims.VERDICTS) + " | >Claims", rows)


def _filters(verdicts: list) -> list[tuple]:
    """By what the table of claims can be narrowed: (field, its name, [(value, claims with it)])."""
    names = {"verdict": "Verdict", "kind": "About", "section": "Section"}
    order = {"verdict": claims.VERDICTS, "kind": claims.KINDS}
    found = []
    for key, name in names.items():
        counts = Counter(getattr(verdict, key) for verdict in verdicts)
        values = [value for value in order.get(key, counts) if counts[value]]
        found.append((key, name, [(value, counts[value]) for value in values]))
    return found


def banner(study: Study) -> list[str]:
    """In plain words, all that sets this study apart from the paper's; empty where nothing does."""
    return lines("banner.j2", report_summary.differences(study))


def shown_in(out: Path) -> str:
    """The study that out/index.html shows; "" where there is none, or it is no report."""
    try:
        head = (Path(out) / "index.html").read_bytes()[:10_000].decode("utf-8", "replace")
    except OSError:
        return ""
    found = re.search(r"<title>[^<]*repeated: ([^<]+)</title>", head)
    return found[1] if found else ""


def write(study: Study, out: Path, sample: np.ndarray | None = None, progress=None) -> list[Path]:
    """Write index.html, report.md, claims.json and figures/, each picture and the numbers behind
    it, into `out`, and index.html beside the study's records, where it stays; gives their paths.
    Files of figures of the report that was in `out` before, as its report.md names them, go.
    Raises OSError."""
    tell = progress or (lambda words: None)
    tell("drawing the figures")
    content, out = context(study, sample), Path(out)
    tell("writing the report")
    files = report_items.files(content["shown"])
    files["report.md"] = markdown(content, out).encode()
    plain = json.dumps({"study": study.name} | content["plain"], indent=1, ensure_ascii=False)
    files["claims.json"] = f"{plain}\n".encode()
    files["index.html"] = html(content, out).encode()
    if shown_in(out) and (out / "report.md").exists():
        earlier = (out / "report.md").read_text(encoding="utf-8", errors="replace")
        for name in set(re.findall(r"figures/[\w.-]+", earlier)) - set(files):
            (out / name).unlink(missing_ok=True)
    beside = study.folder / "index.html"
    if beside.parent.resolve() != out.resolve():
        write_atomically(beside, html(content | {"alone": True}, study.folder).encode())
    for name, page in files.items():
        write_atomically(out / name, page)
    return [out / name for name in files]

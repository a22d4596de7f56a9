"""A study -> the report: one content, written twice, as HTML and as Markdown.

What is said stands in templates/; report_*.py compute the numbers, tables and pictures.
"""

from pathlib import Path

import numpy as np

from xray import (
    claims,
    paper,
    report_appendices,
    report_findings,
    report_items,
    report_method,
    report_render,
    report_summary,
)
from xray.report_items import BADGES
from xray.study import Study


def context(study: Study, sample: np.ndarray | None = None) -> dict:
    """All that the templates show. sample: the data's first training image, uint8 (S, S), or None
    where no pixel of the data may be shown.

    shown: item's id -> its picture, table and records (report_items.item); the other names are
    numbers and short lists.
    """
    judged = claims.judge(study.chosen, study.facts, study.runs)
    summary, items = report_summary.sections(study, judged)
    method, of_method = report_method.sections(study, sample)
    findings, of_findings = report_findings.sections(study, judged)
    appendix, of_appendix = report_appendices.sections(study)
    words = [verdict.verdict for verdict in judged]
    return {
        "study": study.name,
        "data": study.runs[0].data,
        "paper": paper,
        "claims": claims,
        "banner": banner(study),
        "baseline": study.baseline,
        "verdicts": [row._asdict() | {"badge": BADGES[row.verdict]} for row in judged],
        "tally": [(word, badge, words.count(word)) for word, badge in BADGES.items()],
        "summary": summary,
        "method": method,
        "findings": findings,
        "appendix": appendix,
        "shown": items | of_method | of_findings | of_appendix,
    }


def banner(study: Study) -> list[str]:
    """In plain words, all that sets this study apart from the paper's; empty where nothing does."""
    return report_render.lines("banner.j2", report_summary.differences(study))


def write(study: Study, out: Path, sample: np.ndarray | None = None, progress=None) -> list[Path]:
    """Write index.html, report.md and figures/ into `out`; gives back their paths. OSError where
    that cannot be.
    """
    tell = progress or (lambda words: None)
    tell("drawing the figures")
    content, out = context(study, sample), Path(out)
    tell("writing the report")
    files = report_items.files(content["shown"])
    files["report.md"] = report_render.markdown(content, out).encode()
    files["index.html"] = report_render.html(content, out).encode()
    for name, page in files.items():
        files.write_atomically(out / name, page)
    return [out / name for name in files]

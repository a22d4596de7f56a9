"""What stands behind the report: the list of its records, and what the page carries along so that
it keeps its evidence when it is sent without its folder."""

import base64
import json
import zlib
from collections import defaultdict
from pathlib import Path

from markupsafe import Markup

from xray.report_items import cell, item, table
from xray.results import Run
from xray.study import Study, finished, seeds


def records(study: Study) -> dict:
    """The item that names every record of the study and of its re-splits, each file once."""
    groups = defaultdict(list)
    for run in study.runs:
        how = run.image_size, run.precision, run.engine, "shown" if _shown(study, run) else "aside"
        groups[run.spec.id, *how].append(run)
    rows = []
    for key, runs in groups.items():
        lost = sum(not finished(run) for run in runs)
        rows.append([key[0], len(runs), _linked(runs), *key[1:], lost or "–"])
    for model, runs in study.beyond.items():
        about = runs[0].image_size, runs[0].precision, runs[0].engine, "shown"
        lost = sum(not finished(run) for run in runs)
        rows.append([model, len(runs), _linked(runs), *about, lost or "–"])
    for protocol in ("image", "patient"):
        runs = _resplit(study, protocol)
        if runs:
            lost = sum(not finished(run) for run in runs)
            row = [f"re-splits by {protocol}", len(runs), _linked(runs)]
            rows.append([*row, "–", "–", "–", "shown", lost or "–"])
    names = "Model | >Runs | Files, by seed or split | >Image size | Precision | Engine"
    return item(study, table=table(f"{names} | In the figures | >Diverged", rows))


def _shown(study: Study, run: Run) -> bool:
    return any(run is one for one in study.chosen.get(run.spec.id, []))


def _resplit(study: Study, protocol: str) -> list[Run]:
    found = []
    for split in (study.resplits, study.beyond_resplits):
        for name, chosen in split.items():
            if name.startswith(protocol):
                found += [run for runs in chosen.values() for run in runs]
    return found


def _linked(runs: list[Run]) -> dict:
    """The files of these runs, each named by its seeds, or by its split where that is not given."""
    by_file = defaultdict(list)
    for run in runs:
        by_file[run.file].append(run)
    files = []
    for path, group in by_file.items():
        files.append((seeds(group) if group[0].split == "given" else group[0].split, path))
    return cell("; ".join(name for name, _ in files), files=files)


def packed(shown: dict[str, dict]) -> str:
    """The CSV of every item for the page's script: JSON, file name -> text; zlib; base64."""
    texts = {
        Path(one["csv"]["file"]).name: one["csv"]["text"] for one in shown.values() if one["csv"]
    }
    content = json.dumps(texts, ensure_ascii=False).encode()
    return base64.b64encode(zlib.compress(content, 9)).decode()


def as_json(values) -> Markup:
    """Values for a script element of type application/json, which no text in them can end."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))

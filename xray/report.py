"""A study -> the report: one context, written twice, as HTML and as Markdown."""

import base64
import hashlib
import math
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from xray import appendices, claims, curves, files, findings, method, paper, resplits
from xray import report_figures_scores as figures
from xray.blocks import cell, item, link_to, plot, section, table, text, walk
from xray.data_sources import PAPER
from xray.report_svg import FONTS
from xray.specs import IMAGE_SIZE, LEARNING_RATE_SEARCH, MODELS
from xray.study import (
    EVALUATED,
    Study,
    finished,
    is_dead,
    not_trained,
    percent,
    spread,
    test_share,
)

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def context(study: Study, sample: np.ndarray | None = None) -> dict:
    """All that the templates show. sample: the data's first training image, uint8 (S, S), or None
    where no pixel of the data may be shown."""
    verdicts = claims.judge(study.chosen, study.facts, study.runs)
    sections = [
        summary(study, verdicts),
        *method.sections(study, sample),
        *findings.sections(study),
        findings.conclusions(study, verdicts),
        findings.references(),
        *appendices.sections(study, verdicts),
        reproduction(study),
    ]
    for part in sections:
        for block in [part, *(block for block in walk(part["blocks"]) if block["kind"] == "item")]:
            block["verdicts"] = [
                {
                    "id": verdict.id,
                    "verdict": verdict.verdict,
                    "claim": verdict.claim,
                    "badge": findings.BADGES[verdict.verdict],
                }
                for verdict in verdicts
                if verdict.link == block["id"]
            ]
    return {
        "study": study.name,
        "data": study.runs[0].data,
        "banner": banner(study),
        "sections": sections,
        "contents": contents(sections),
        "index": index(sections),
    }


def contents(sections: list[dict]) -> list[dict]:
    """Sections as a tree: those of level 3 inside the one of level 2 before them."""
    tree = []
    for part in sections:
        entry = {key: part[key] for key in ("id", "number", "title")} | {"parts": []}
        (tree if part["level"] == 2 else tree[-1]["parts"]).append(entry)
    return tree


def index(sections: list[dict]) -> list[dict]:
    """The paper's numbered figures and tables, in order of appearance."""
    return [
        block
        for part in sections
        for block in part["blocks"]
        if block["kind"] == "item" and re.fullmatch(r"(fig|table)-\d+", block["id"])
    ]


# ------------------------------------------------------------------------------------------ banner
# and summary


def banner(study: Study) -> list[str]:
    """In plain words, all that sets this study apart from the paper's; empty where nothing does."""
    notes, data, total = [], study.runs[0].data, len(study.chosen)
    if data["phantom"]:
        notes.append(
            "The images are phantoms, drawn by a program: no figure here says anything about patients."
        )
    elif data["source"] != PAPER:
        notes.append(
            f"The images were read from “{data['source']}”, not from the paper's copy on the Hub ({PAPER})."
        )
    if study.name.split("/")[-1] != "given":
        notes.append(f"The splits are not the data's own but {study.name.split('/')[-1]}.")
    if data["skipped"]:
        notes.append(f"{data['skipped']} unreadable images were left out.")
    sizes = study.facts.get("splits", {})
    if sizes and sizes != paper.SPLIT_SIZES:
        notes.append(
            "The splits hold "
            + ", ".join(f"{sizes[part]:,}" for part in paper.SPLIT_SIZES)
            + " images instead of "
            + ", ".join(f"{n:,}" for n in paper.SPLIT_SIZES.values())
            + "."
        )
    groups = defaultdict(list)
    for model, runs in study.chosen.items():
        for note in {
            note for run in runs for note in run.differs if not note.startswith("synthetic")
        }:
            groups[note].append(model)
        for word in {run.precision for run in runs} - {"fp32"}:
            groups[f"{word} instead of fp32"].append(model)
    for note, models in sorted(groups.items()):
        notes.append(f"{_which(models, total)}: {note}.")
    native = study.facts.get("sizes", {})
    if native and not data["phantom"] and f"{IMAGE_SIZE}x{IMAGE_SIZE}" not in native:
        most = max(native, key=native.get)
        notes.append(
            f"The data's images are not stored at {IMAGE_SIZE}×{IMAGE_SIZE} (most are "
            f"{most.replace('x', '×')}); each was scaled to the size it was trained at."
        )
    missing = [model for model in not_trained(study) if model in MODELS]
    if missing:
        notes.append(f"{len(missing)} of the 35 models are not trained yet: {', '.join(missing)}.")
    searched = [model for model in not_trained(study) if model in LEARNING_RATE_SEARCH]
    if searched:
        notes.append(
            f"{len(searched)} of the 10 settings of the learning-rate search are not trained yet."
        )
    return notes


def _which(models: list[str], total: int) -> str:
    return (
        "All models"
        if len(models) == total
        else f"Model{'s' * (len(models) > 1)} {', '.join(models)}"
    )


def summary(study: Study, verdicts: list) -> dict:
    judged = [verdict for verdict in verdicts if verdict.verdict != "not run"]
    count = {word: sum(verdict.verdict == word for verdict in verdicts) for word in findings.BADGES}
    trained = [model for model in study.chosen if model in MODELS]
    words = (
        (
            f"Of the paper's {len(verdicts)} claims, **{count['holds']} hold**, {count['does not hold']} do not, "
            f"{count['within noise']} are within noise and {count['not run']} cannot be judged from these runs. "
            "Every [verdict](#claims) names its rule and its evidence."
        )
        if judged
        else ""
    )
    there = [model for model in EVALUATED if model in study.summaries]
    blocks = [
        text(
            f"{len(trained)} of the paper's 35 models, trained from scratch in {len(study.runs):,} runs on one data "
            "set."
        ),
        {"kind": "facts", "facts": _facts(study)},
        text(words) if words else None,
        *(text(words) for words in _to_know(study)),
    ]
    if there:
        blocks.append(
            item(
                study,
                "glance",
                "At a glance",
                "Test scores of the 15 evaluated models",
                plot(
                    figures.glance(
                        "glance", "Test scores of the evaluated models", study, paper.SCORES
                    ),
                    "glance",
                ),
                models=list(EVALUATED),
                note="The paper's accuracy is drawn as printed, a mean over batches. Always saying "
                f"pneumonia would give {percent(study.baseline['accuracy'])} and "
                f"{percent(study.baseline['f1'])} %.",
            )
        )
        blocks.append(
            item(
                study,
                "scores",
                "In figures",
                "The paper's scores beside ours",
                _score_table(study, there),
                models=list(EVALUATED),
                note="± is the standard deviation over seeds. The interval is where one run with another "
                "seed, on another test set of this size, lands 95 times in 100; “inside” says that "
                "the paper's score lies in it. The swing is the standard deviation of validation "
                "accuracy over the last third of a run's epochs, and its lowest and highest value: "
                "where it is large, the last epoch's score is a draw from an oscillating curve, in "
                "the paper as here. The paper's exact accuracy is what its precision and "
                "recall imply.",
            )
        )
    return section("summary", "", "Summary", *blocks)


def _to_know(study: Study) -> list[str]:
    """What a reader should know before the scores: nets that die, what the printed accuracy is,
    what patients change.
    """
    found = []
    runs = [
        run
        for model, runs in study.chosen.items()
        if model in MODELS and MODELS[model].family == "Linear+ReLU"
        for run in runs
        if finished(run)
    ]
    if any(map(is_dead, runs)):
        found.append(
            f"**Luck decides whether an MLP learns.** {sum(map(is_dead, runs))} of {len(runs)} runs of MLPs ended "
            "dead: the ReLU after the last layer cuts every output off at 0. The seed decides, that is the first "
            "weights and the order of batches. The paper shows one run of each; the [scores](#scores) here "
            "show all."
        )
    implied = {model: paper.implied(model)[0].accuracy for model in paper.SCORES}
    best = max(implied, key=implied.get)
    found.append(
        "**The accuracy that the paper prints is a mean over batches.** The counts behind its precision and recall "
        f"give another, and another best model: {best} with {implied[best]:.1f} %, not the printed "
        f"{paper.SCORES[best]['accuracy']:.1f} % ([all 15](#batch-means))."
    )
    for row in resplits.compare(study.chosen, study.resplits, test_share(study)):
        if row.model == "20" and row.score == "accuracy" and not math.isnan(row.gap):
            image, patient = row.sides["image"], row.sides["patient"]
            found.append(
                "**Splits by patient.** With no patient in two parts, model 20 scores "
                f"{percent(patient.mean())} % in place of {percent(image.mean())} % over "
                f"{len(patient)} re-splits each way; such a study would see a gap of "
                f"{percent(row.detectable)} points or more (p = {row.p:.2g}; "
                "[all models](#resplits))."
            )
    return found


def _facts(study: Study) -> list[tuple[str, str]]:
    data = study.runs[0].data
    devices = sorted({str(run.environment.get("device", "unknown")) for run in study.runs})
    sizes = sorted({run.image_size for run in study.runs}, reverse=True)
    seeds = sorted({len(runs) for runs in study.chosen.values()})
    dates = sorted(str(run.environment.get("finished", ""))[:10] for run in study.runs)
    return [
        ("Study", study.name),
        ("Data", data["source"]),
        ("Fingerprint", data["fingerprint"][:16]),
        ("Runs", f"{len(study.runs):,}"),
        ("Seeds per model", "–".join(str(n) for n in sorted({seeds[0], seeds[-1]}))),
        ("Image size", ", ".join(f"{size}×{size}" for size in sizes)),
        *_set_aside(study),
        ("Device", "; ".join(devices)),
        ("Trained", " to ".join(dict.fromkeys([dates[0], dates[-1]])) or "unknown"),
    ]


def _set_aside(study: Study) -> list[tuple[str, str]]:
    """The runs that no figure shows because their model is shown at another size."""
    aside = sorted(
        {
            (run.image_size, run.spec.id)
            for run in study.runs
            if run.engine_reason != "forced"
            and run.image_size != study.chosen[run.spec.id][0].image_size
        }
    )
    words = [
        f"{', '.join(model for other, model in aside if other == size)} at {size}×{size}"
        for size in dict.fromkeys(size for size, _ in aside)
    ]
    return [("Set aside", "; ".join(words))] if aside else []


def _score_table(study: Study, models: list[str]) -> dict:
    rows = []
    for model in models:
        summary, printed, implied = (
            study.summaries[model],
            paper.SCORES[model],
            paper.implied(model),
        )
        exact = implied[0].accuracy if len(implied) == 1 else printed["accuracy"]
        spec = MODELS[model]
        shut = sum(map(is_dead, filter(finished, summary.runs)))
        row = [
            cell(
                model, href=f"#fig-{next(n for n, group in paper.TABLES.items() if model in group)}"
            ),
            spec.family,
            f"{spec.batch_size}{', weighted' * spec.class_weight}{', L2' * (spec.weight_decay > 0)}",
            f"{len(summary.scores)}{f', {shut} dead' * bool(shut)}",
        ]
        for key, value in (("f1", printed["f1"]), ("accuracy", exact)):
            low, high = summary.interval[key]
            inside = round(100 * low, 1) <= round(value, 1) <= round(100 * high, 1)
            row += [
                cell(f"{value:.1f}", paper=True),
                spread(summary, key),
                cell(
                    f"{percent(low)}–{percent(high)} {'inside' if inside else 'outside'}",
                    badge="good" if inside else "bad",
                ),
            ]
        rows.append([*row, _swing(summary)])
    rows.append(
        [
            "–",
            "always pneumonia",
            "–",
            "–",
            "–",
            percent(study.baseline["f1"]),
            "–",
            "–",
            percent(study.baseline["accuracy"]),
            "–",
            "–",
        ]
    )
    return table(
        "Test scores in percent",
        [
            "Model",
            "Class",
            "Batch",
            ">Runs",
            ">F1, paper",
            ">F1, ours",
            "95 % interval: paper's is",
            ">Accuracy, paper, exact",
            ">Accuracy, ours",
            "95 % interval: paper's is",
            ">Swing within a run, points",
        ],
        rows,
        sortable=True,
    )


def _swing(summary) -> str:
    """How far validation accuracy goes up and down over the last third of a run's epochs: standard
    deviation, and the lowest and highest of any run that learned."""
    learned = [run for run in summary.runs if finished(run) and not is_dead(run)]
    ends = [curves.last_third(run.history["validation_accuracy"]) for run in learned]
    if not ends:
        return "–"
    lowest, highest = min(end.min() for end in ends), max(end.max() for end in ends)
    deviation = np.mean([end.std(ddof=1) for end in ends])
    return f"{100 * deviation:.1f} ({percent(lowest)}–{percent(highest)})"


def reproduction(study: Study) -> dict:
    groups, settings = defaultdict(list), defaultdict(list)
    for run in study.runs:
        where = run.environment
        versions = ", ".join(
            f"{name} {number}" for name, number in where.get("versions", {}).items()
        )
        settings[
            str(where.get("device", "unknown")),
            str(where.get("threads", "")),
            str(where.get("revision", "unknown")),
            versions,
        ].append(run)
        groups[
            run.spec.family,
            run.spec.optimizer,
            run.engine,
            run.engine_reason,
            run.image_size,
            run.precision,
        ].append(run)
    engines = []
    for key, runs in sorted(groups.items(), key=lambda pair: tuple(map(str, pair[0]))):
        seconds = [run.environment.get("seconds", 0) for run in runs]
        an_epoch = [
            time / max(len(run.history["train_loss"]), 1) for time, run in zip(seconds, runs)
        ]
        engines.append([*key, len(runs), f"{sum(seconds) / 60:.1f}", f"{np.median(an_epoch):.2g}"])
    return section(
        "reproduction",
        "G",
        "Reproduction",
        text(
            "A run depends on its settings, its data and its seed alone: weights and batch order are drawn from "
            "the seed, never from a global state. The records name all of it."
        ),
        {
            "kind": "facts",
            "facts": [
                ("Fingerprint of the data", study.runs[0].data["fingerprint"]),
                ("Records", str(len(study.runs))),
            ],
        },
        table(
            "Where the runs were made",
            ["Device", "Threads", "Code revision", "Versions", ">Runs"],
            [[*key, len(runs)] for key, runs in sorted(settings.items())],
        ),
        table(
            "How they were trained. “direct” is the plain loop over batches of pixels; “gram” makes the same "
            "steps in sample space, exact for Linear and MLP models under SGD",
            [
                "Class",
                "Optimizer",
                "Engine",
                "Why",
                ">Image size",
                "Precision",
                ">Runs",
                ">Minutes in all",
                ">Median seconds an epoch",
            ],
            engines,
            sortable=True,
        ),
        text(
            "`python scripts/train.py --all` trains what is missing; `python scripts/report.py` writes this report "
            "anew from the records, and the same records give the same bytes."
        ),
    )


# ------------------------------------------------------------------------------------------------------- writing


def write(study: Study, out: Path, sample: np.ndarray | None = None, progress=None) -> list[Path]:
    """Write index.html, report.md and figures/ into `out`; gives back their paths. OSError where
    that cannot be.
    """
    tell = progress or (lambda words: None)
    tell("drawing the figures")
    content, out = context(study, sample), Path(out)
    tell("writing the report")
    written = []
    for part in content["sections"]:
        for block in walk(part["blocks"]):
            for picture in (
                block["images"]
                if block["kind"] == "images"
                else [block]
                if block["kind"] == "plot"
                else []
            ):
                files.write_atomically(out / picture["file"], picture["content"])
                written.append(out / picture["file"])
    for name, page in (("report.md", markdown(content, out)), ("index.html", html(content, out))):
        files.write_atomically(out / name, page.encode())
        written.append(out / name)
    return written


def _environment(out: Path, **settings) -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        **settings,
    )
    made.globals["link"] = lambda path: link_to(path, out)
    return made


def html(content: dict, out: Path) -> str:
    """The report as one HTML page that loads nothing: style, script and pictures stand inside
    it.
    """
    made = _environment(out)
    made.filters["prose"] = prose_html
    style, script = (
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "script.js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return made.get_template("index.html").render(
        **content,
        style=Markup(style.replace("FONTS", FONTS)),
        script=Markup(script),
        script_hash=digest,
    )


def markdown(content: dict, out: Path) -> str:
    """The report as Markdown. Whatever is not our own prose is escaped, without exception, as it is
    put out.
    """
    made = _environment(
        out, finalize=lambda value: value if isinstance(value, Markup) else escape_markdown(value)
    )
    made.filters["prose"] = Markup
    made.filters["fenced"] = fenced
    page = made.get_template("report.md").render(**content)
    return re.sub(r"\n{3,}", "\n\n", page)


def prose_html(prose: str) -> Markup:
    """Our own prose: `code`, **strong** and [links](#fig-9) become HTML, all else is escaped."""
    page = str(escape(prose))
    page = re.sub(r"`([^`]+)`", r"<code>\1</code>", page)
    page = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", page)
    return Markup(re.sub(r"\[([^\]]+)\]\((#[a-z0-9-]+)\)", r'<a href="\2">\1</a>', page))


def escape_markdown(value) -> Markup:
    """Any text as one line of Markdown that shows just that text: no markup, no HTML, no end of a
    table's cell.
    """
    line = re.sub(r"\s+", " ", str(value))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_\[\]#!|~$])", r"\\\1", line)
    return Markup(re.sub(r"^([+\-]|\d+\.)(?=\s)", r"\\\1", line))


def fenced(content: str) -> Markup:
    """A code block that its content cannot end."""
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}\n{content}\n{fence}")

"""Numbers, tables and pictures of the report's banner, its summary, and how it can be repeated."""

from collections import Counter, defaultdict

import numpy as np

from xray import paper, report_data, report_evidence, report_figures_scores, report_headlines
from xray.comparisons import printed
from xray.data_sources import PAPER
from xray.report_items import BADGES, cell, item, plot, table, those_that_learned, with_range
from xray.specs import IMAGE_SIZE, LEARNING_RATE_SEARCH, MODELS
from xray.study import (
    EVALUATED,
    Study,
    Summary,
    not_trained,
    percent,
)

# beside data.json: what is known of the data and no program can see, a sentence a line
ABOUT = "about.txt"


def differences(study: Study) -> dict:
    """What templates/banner.j2 says: all that sets this study apart from the paper's."""
    data, missing, groups = study.runs[0].data, not_trained(study), defaultdict(list)
    for model, runs in study.chosen.items():
        notes = {note for run in runs for note in run.differs if not note.startswith("synthetic")}
        notes |= {f"{run.precision} instead of fp32" for run in runs if run.precision != "fp32"}
        for note in notes:
            groups[note].append(model)
    stored = study.facts.get("sizes", {})
    if data["phantom"] or f"{IMAGE_SIZE}x{IMAGE_SIZE}" in stored:
        stored = {}
    about = study.runs[0].file.parent / ABOUT
    return {
        "about": about.read_text(encoding="utf-8").splitlines() if about.exists() else [],
        "paper": paper,
        "hub": PAPER,
        "data": data,
        "split": study.name.split("/")[-1],
        "sizes": study.facts.get("splits", {}),
        "notes": study.facts.get("notes", []),
        "runs": sorted(groups.items()),
        "trained": len(study.chosen),
        "stored": max(stored, key=stored.get).replace("x", "×") if stored else "",
        "missing": [model for model in missing if model in MODELS],
        "unsearched": len([model for model in missing if model in LEARNING_RATE_SEARCH]),
    }


def sections(study: Study, verdicts: list, compared: list) -> tuple[dict, dict]:
    """The numbers that templates/0-summary.j2 and appendix G say, and their items by id. compared:
    what comparisons.compare gives."""
    count = Counter(verdict.verdict for verdict in verdicts)
    there = [model for model in EVALUATED if model in study.summaries]
    numbers = {
        "trained": len([model for model in study.chosen if model in MODELS]),
        "runs": len(study.runs),
        "verdicts": {word: count[word] for word in BADGES},
        "scored": len(there),
        "stand_in": study.runs[0].data["source"] != PAPER and not study.runs[0].data["phantom"],
        "sizes": sorted({run.image_size for runs in study.chosen.values() for run in runs}),
        "repeated_from": heading(study),
    } | report_headlines.numbers(study, compared)
    items = {"machines": {"table": _machines(study)}, "engines": {"table": _engines(study)}}
    items["records"] = report_evidence.records(study)
    if there and not study.runs[0].data["phantom"]:
        title = "Test scores of the evaluated models"
        drawn = plot("glance", report_figures_scores.glance, title, study, compared)
        data = report_data.resplits(study, there, ("given", "image"))
        items["glance"] = item(study, EVALUATED, plot=drawn, data=data)
        items["scores"] = item(study, EVALUATED, table=_score_table(study, there))
    return numbers, items


def heading(study: Study) -> list[tuple[str, str]]:
    """What is at the head of the report: which study this is, of what, and where it was made."""
    data = study.runs[0].data
    devices = sorted({str(run.environment.get("device", "unknown")) for run in study.runs})
    sizes = sorted({run.image_size for run in study.runs}, reverse=True)
    seeds = {len(runs) for runs in study.chosen.values()}
    dates = sorted(str(run.environment.get("finished", ""))[:10] for run in study.runs)
    return [
        ("Study", study.name),
        ("Data", data["source"]),
        ("Fingerprint", data["fingerprint"][:16]),
        ("Runs", f"{len(study.runs):,}"),
        ("Seeds per model", "–".join(map(str, sorted({min(seeds), max(seeds)})))),
        ("Image size", ", ".join(f"{size}×{size}" for size in sizes)),
        *_set_aside(study),
        ("Device", "; ".join(devices)),
        ("Trained", " to ".join(dict.fromkeys([dates[0], dates[-1]])) or "unknown"),
    ]


def _set_aside(study: Study) -> list[tuple[str, str]]:
    """The runs that no figure shows because their model is shown at another size."""
    aside = defaultdict(set)
    for run in study.runs:
        shown = study.chosen[run.spec.id][0].image_size
        if run.image_size != shown and run.engine_reason != "forced":
            aside[run.image_size].add(run.spec.id)
    words = [f"{', '.join(sorted(aside[size]))} at {size}×{size}" for size in sorted(aside)]
    return [("Set aside", "; ".join(words))] if words else []


def _score_table(study: Study, models: list[str]) -> dict:
    rows = []
    for model in models:
        spec, summary = MODELS[model], study.summaries[model]
        figure = next(number for number, group in paper.TABLES.items() if model in group)
        row = [cell(model, href=f"#fig-{figure}")]
        for key in ("f1", "accuracy"):
            theirs, (low, high) = printed(model, key), summary.interval[key]
            inside = round(100 * low, 1) <= round(100 * theirs, 1) <= round(100 * high, 1)
            words = f"{percent(low)}–{percent(high)} {'inside' if inside else 'outside'}"
            badge = cell(words, badge="good" if inside else "bad") if summary.learned else "–"
            row += [with_range(summary, key), cell(percent(theirs), paper=True), badge]
        what = f"{spec.family}, {spec.batch_size}" + ", weighted" * spec.class_weight
        what += ", L2" * (spec.weight_decay > 0)
        rows.append([*row, those_that_learned(summary.runs)[1], _swing(summary), what])
    f1, accuracy = percent(study.baseline["f1"]), percent(study.baseline["accuracy"])
    rows.append(["always pneumonia", f1, "–", "–", accuracy, *["–"] * 5])
    names = (
        "Model | >F1, ours | >F1, paper | 95 % interval: paper's is | >Accuracy, ours"
        " | >Accuracy, paper, exact | 95 % interval: paper's is | >Learned"
        " | >Swing within a run, points | Class, batch"
    )
    return table(names, rows, sortable=True)


def _swing(summary: Summary) -> str:
    """How far validation accuracy goes up and down over the last third of a run's epochs: standard
    deviation, and the lowest and highest of any run that learned."""
    ends = report_headlines.ends(summary)
    if not ends:
        return "–"
    lowest, highest = min(end.min() for end in ends), max(end.max() for end in ends)
    deviation = np.mean([end.std(ddof=1) for end in ends])
    return f"{100 * deviation:.1f} ({percent(lowest)}–{percent(highest)})"


def _machines(study: Study) -> dict:
    settings = Counter()
    for run in study.runs:
        where = run.environment
        versions = ", ".join(f"{name} {n}" for name, n in where.get("versions", {}).items())
        keys = (("device", "unknown"), ("threads", ""), ("revision", "unknown"))
        settings[*(str(where.get(*key)) for key in keys), versions] += 1
    rows = [[*key, number] for key, number in sorted(settings.items())]
    return table("Device | Threads | Code revision | Versions | >Runs", rows)


def _engines(study: Study) -> dict:
    groups = defaultdict(list)
    for run in study.runs:
        how = run.spec.optimizer, run.engine, run.engine_reason, run.image_size, run.precision
        groups[run.spec.family, *how].append(run)
    rows = []
    for key, runs in sorted(groups.items(), key=lambda pair: tuple(map(str, pair[0]))):
        seconds = np.array([run.environment.get("seconds", 0) for run in runs])
        epochs = [max(len(run.history["train_loss"]), 1) for run in runs]
        minutes = f"{seconds.sum() / 60:.1f}"
        rows.append([*key, len(runs), minutes, f"{np.median(seconds / epochs):.3g}"])
    names = (
        "Class | Optimizer | Engine | Why | >Image size | Precision | >Runs | >Minutes in all"
        " | >Median seconds an epoch"
    )
    return table(names, rows, sortable=True)


def checklist(study: Study) -> dict:
    """What the answers of templates/appendix-h*.j2 need; empty or None where it is not known."""
    facts, summary = study.facts, study.summaries.get("20")
    splits = Counter(name.split("-")[0] for name in study.resplits)
    seeds = sorted({len(runs) for runs in study.chosen.values()})
    known = facts.get("patients")
    keys = {"sensitivity": "recall", "specificity": "specificity"} if summary else {}
    return {
        "audit": facts.get("audit"),
        "counts": facts.get("counts", {}),
        "overlap": known["overlap"]["test in train"]["all"] if known else None,
        "given": study.name.endswith("/given"),
        "image": splits["image"],
        "patient": splits["patient"],
        "seeds": "–".join(dict.fromkeys(map(str, (seeds[0], seeds[-1])))),
        "sensitivity": None,
    } | {name: with_range(summary, key) for name, key in keys.items()}

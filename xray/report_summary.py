"""Numbers, tables and pictures of the report's banner, its summary, and how it can be repeated."""

import math
from collections import Counter, defaultdict

import numpy as np

from xray import curves, paper, report_figures
from xray.data_sources import PAPER
from xray.report_items import BADGES, cell, item, plot, table
from xray.specs import IMAGE_SIZE, LEARNING_RATE_SEARCH, MODELS
from xray.study import (
    EVALUATED,
    Study,
    Summary,
    finished,
    is_dead,
    not_trained,
    percent,
    with_spread,
)


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
    return {
        "paper": paper,
        "hub": PAPER,
        "data": data,
        "split": study.name.split("/")[-1],
        "sizes": study.facts.get("splits", {}),
        "runs": sorted(groups.items()),
        "trained": len(study.chosen),
        "stored": max(stored, key=stored.get).replace("x", "×") if stored else "",
        "missing": [model for model in missing if model in MODELS],
        "unsearched": len([model for model in missing if model in LEARNING_RATE_SEARCH]),
    }


def sections(study: Study, verdicts: list, compared: list) -> tuple[dict, dict]:
    """The numbers that templates/0-summary.j2 and appendix G say, and their items by id. compared:
    what comparisons.compare gives."""
    mlps = [
        run
        for model, runs in study.chosen.items()
        if model in MODELS and MODELS[model].family == "Linear+ReLU"
        for run in runs
        if finished(run)
    ]
    implied = {model: paper.implied(model)[0].accuracy for model in paper.SCORES}
    best = max(implied, key=implied.get)
    count = Counter(verdict.verdict for verdict in verdicts)
    there = [model for model in EVALUATED if model in study.summaries]
    numbers = {
        "trained": len([model for model in study.chosen if model in MODELS]),
        "runs": len(study.runs),
        "facts": heading(study),
        "judged": len(verdicts) - count["not run"],
        "verdicts": {word: count[word] for word in BADGES},
        "dead": sum(map(is_dead, mlps)),
        "mlps": len(mlps),
        "best": {
            "model": best,
            "accuracy": implied[best],
            "printed": paper.SCORES[best]["accuracy"],
        },
        "patients": _patients(compared),
        "scored": len(there),
        "repeated_from": [
            ("Fingerprint of the data", study.runs[0].data["fingerprint"]),
            ("Records", str(len(study.runs))),
        ],
    }
    items = {"machines": {"table": _machines(study)}, "engines": {"table": _engines(study)}}
    if there:
        title = "Test scores of the evaluated models"
        drawn = plot("glance", report_figures.glance, title, study, paper.SCORES)
        items["glance"] = item(study, EVALUATED, plot=drawn)
        items["scores"] = item(study, EVALUATED, table=_score_table(study, there))
    return numbers, items


def _patients(compared: list) -> dict | None:
    """Model 20's accuracy on splits by image and by patient; None where they cannot be compared."""
    for row in compared:
        if row.model == "20" and row.score == "accuracy" and not math.isnan(row.gap):
            return {
                "by_image": row.sides["image"].mean(),
                "by_patient": row.sides["patient"].mean(),
                "splits": len(row.sides["patient"]),
                "detectable": row.detectable,
                "p": row.p,
            }
    return None


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
        spec, summary, implied = MODELS[model], study.summaries[model], paper.implied(model)
        exact = implied[0].accuracy if len(implied) == 1 else paper.SCORES[model]["accuracy"]
        figure = next(number for number, group in paper.TABLES.items() if model in group)
        batch = str(spec.batch_size)
        row = [
            cell(model, href=f"#fig-{figure}"),
            spec.family,
            batch + ", weighted" * spec.class_weight + ", L2" * (spec.weight_decay > 0),
            f"{len(summary.learned)} of {len(summary.learned) + summary.lost}",
        ]
        for key, value in (("f1", paper.SCORES[model]["f1"]), ("accuracy", exact)):
            low, high = summary.interval[key]
            inside = round(100 * low, 1) <= round(value, 1) <= round(100 * high, 1)
            words = f"{percent(low)}–{percent(high)} {'inside' if inside else 'outside'}"
            printed = cell(f"{value:.1f}", paper=True)
            row += [
                printed,
                with_spread(summary, key),
                cell(words, badge="good" if inside else "bad"),
            ]
        rows.append([*row, _swing(summary)])
    f1, accuracy = percent(study.baseline["f1"]), percent(study.baseline["accuracy"])
    rows.append(["–", "always pneumonia", "–", "–", "–", f1, "–", "–", accuracy, "–", "–"])
    names = (
        "Model | Class | Batch | >Learned | >F1, paper | >F1, ours | 95 % interval: paper's is"
        " | >Accuracy, paper, exact | >Accuracy, ours | 95 % interval: paper's is"
        " | >Swing within a run, points"
    )
    return table(names, rows, sortable=True)


def _swing(summary: Summary) -> str:
    """How far validation accuracy goes up and down over the last third of a run's epochs: standard
    deviation, and the lowest and highest of any run that learned."""
    lines = [run.history["validation_accuracy"] for run in summary.learned]
    ends = list(map(curves.last_third, lines))
    if not ends:
        return "–"
    lowest, highest = min(end.min() for end in ends), max(end.max() for end in ends)
    deviation = np.mean(list(map(curves.swing, lines)))
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
        rows.append([*key, len(runs), minutes, f"{np.median(seconds / epochs):.2g}"])
    names = (
        "Class | Optimizer | Engine | Why | >Image size | Precision | >Runs | >Minutes in all"
        " | >Median seconds an epoch"
    )
    return table(names, rows, sortable=True)

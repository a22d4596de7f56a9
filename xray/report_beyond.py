"""Numbers and tables of chapter 7: Table 3, and what each of its changes is worth."""

import math
from dataclasses import replace

import numpy as np

from xray import baselines, changes, external, intervals, models, report_external, search
from xray import report_figures_beyond as figures
from xray.engine import kept_epoch
from xray.report_data import text
from xray.report_figures import time_words
from xray.report_items import (
    item,
    plot,
    script_command,
    signed,
    table,
    those_that_learned,
    within,
)
from xray.report_seeing import best_floor, made, moved, of_moved, over_resplits
from xray.results import Run
from xray.specs import CHANGES, KNOWN, TABLE_3
from xray.study import EVALUATED, Study, apart, finished, on_test, percent, seconds_of, test_share

SCORES = ("accuracy", "roc_auc", "f1")
WORDS = {
    "optimizer": "{}",
    "learning_rate": "rate {:.0e}",
    "weight_decay": "decay {:.0e}",
    "schedule": "{} schedule",
    "patience": "the epoch of the lowest validation loss is kept",
    "augment": "augmentation, strength {:g}",
    "batch_norm": "batch normalisation",
    "family": "a {}",
    "hidden_units": "{} filters",
    "image_size": "{0}×{0} pixels",
    "epochs": "{} epochs",
    "flip": "half of the films mirrored",
    "last_relu": "no ReLU after the output",
}


def sections(study: Study) -> tuple[dict, dict]:
    """The numbers that templates/7-beyond.j2 says, and its items by id."""
    ours = {model: runs for model, runs in study.beyond.items() if any(map(finished, runs))}
    missing = [model for model in TABLE_3 if model not in ours]
    if not ours:
        return {}, {"ladder": item(study, runs=[], missing=missing)}
    shown = {}  # each model after the one that it changes
    for model, runs in ours.items():
        before, _ = CHANGES[model]
        if before in study.chosen:
            shown.setdefault(before, study.chosen[before])
        shown[model] = runs
    rows = [_row(model, runs, shown) for model, runs in shown.items()]
    numbers = {"best": min(ours, key=lambda model: _validation_loss(ours[model]))}
    numbers["scores"] = {row["model"]: row for row in rows}
    seen = baselines.read(study.folder).get(study.split, {})
    lines = _lines(seen)
    drawn = plot("ladder", figures.ladder, "Table 3 on the test split", rows, lines)
    runs = [run for group in shown.values() for run in group]
    about = {"table": _ladder_table(rows), "data": _data(rows), "runs": runs, "missing": missing}
    items = {"ladder": item(study, plot=drawn, **about)}
    timed = _timed(study, rows)
    about = "Accuracy and time of training", timed, lines
    drawn = plot("per-second", figures.per_second, *about)
    data = text(["model", "class", "core_seconds", "accuracy"], timed)
    items["per-second"] = item(study, plot=drawn, data=data, runs=runs, missing=[])
    numbers["apart"], splits = _resplit(study, best_floor(seen) if seen else "")
    if splits:
        items["beyond-resplits"] = splits
    numbers["trials"], tried = _search(study)
    if tried:
        items["search"] = tried
    numbers["external"], elsewhere = _elsewhere(study, shown, seen)
    if elsewhere:
        items["beyond-elsewhere"] = elsewhere
    numbers["changes"], changed = _changes(study, shown)
    if changed:
        items["beyond-changes"] = changed
    return numbers, items


def _validation_loss(runs: list[Run]) -> float:
    """The mean over runs of the validation loss of the weights that were kept."""
    done = [run for run in runs if finished(run)]
    losses = [run.history["validation_loss"][kept_epoch(run.spec, run.history)] for run in done]
    return float(np.mean(losses)) if losses else math.nan


def _row(model: str, runs: list[Run], shown: dict) -> dict:
    """What the ladder says of a model. means and each: score -> mean, and a value a run that
    learned; gain: of accuracy against the model that it changes (value, low, high), or None."""
    good, lost = apart(runs)
    scores = [on_test(run) for run in good]
    each = {key: [one[key] for one in scores] for key in SCORES}
    before, change = CHANGES.get(model, ("", {}))
    against, _ = apart(shown.get(before, []))
    gain = None
    if good and against:
        labels = good[0].labels["test"]
        logits = ([run.logits["test"] for run in side] for side in (good, against))
        gain = intervals.of_difference(*logits, labels)["accuracy"]
        same = against[0].image_size == good[0].image_size
        change = {key: value for key, value in change.items() if key != "image_size" or not same}
    words = ", ".join(WORDS[key].format(value) for key, value in change.items() if key in WORDS)
    words = words.replace("e-0", "e-")
    seconds = float(np.median([_core_seconds(run) for run in runs]))
    module = models.build(runs[0].spec, runs[0].image_size, device="meta")
    return {
        "model": model,
        "family": runs[0].spec.family,
        "before": before,
        "change": words,
        "size": runs[0].image_size,
        "parameters": models.parameter_count(module),
        "seconds": seconds,
        "time": time_words(seconds),
        "epochs": sorted({len(run.history["validation_loss"]) for run in runs}),
        "each": each,
        "means": {key: float(np.mean(value)) if value else math.nan for key, value in each.items()},
        "validation_loss": _validation_loss(runs),
        "gain": gain,
        "learned": those_that_learned(runs)[1],
    }


def _core_seconds(run: Run) -> float:
    return seconds_of(run) * run.environment.get("threads", 1)


def _ladder_table(rows: list[dict]) -> dict:
    made = []
    for row in rows:
        values = row["each"]["accuracy"]
        score = f"{percent(min(values))}–{percent(max(values))}" if len(values) > 1 else ""
        what = f"{row['before']} with {row['change']}" if row["before"] else "the paper's"
        made.append(
            [row["model"], what, f"{row['size']}", f"{row['parameters']:,}"]
            + [f"{row['seconds']:,.0f}", f"{row['validation_loss']:.3f}"]
            + [percent(row["means"]["accuracy"]), score, percent(row["means"]["roc_auc"], 2)]
            + [percent(row["means"]["f1"]), signed(*row["gain"]) if row["gain"] else "–"]
            + [row["learned"]]
        )
    names = "Model | What it is | >Pixels a side | >Parameters | >Core seconds | >Validation loss"
    names += " | >Accuracy, % | >Lowest–highest | >AUC, % | >F1, % | >Gain in accuracy | >Learned"
    return table(names, made)


def _data(rows: list[dict]) -> str:
    names = ["model", "run", *SCORES]
    found = [
        [row["model"], place, *values]
        for row in rows
        for place, values in enumerate(zip(*(row["each"][key] for key in SCORES)))
    ]
    return text(names, found)


def _lines(seen: dict) -> dict[str, float]:
    """What Table 3 is held against: words -> accuracy. seen: of baselines.read."""
    found = {"the paper's best": figures.PAPERS_BEST}
    if not seen:
        return found
    right = (seen["baselines"][best_floor(seen)]["test"] > 0) == seen["labels"]["test"]
    return found | {"the best floor without lung": float(np.mean(right))}


def _timed(study: Study, rows: list[dict]) -> list[tuple]:
    """(model, class, core seconds of a run, mean accuracy) of the paper's tested models and Table
    3's."""
    found = []
    for model in EVALUATED:
        if model in study.summaries and study.summaries[model].learned:
            runs = study.summaries[model].learned
            seconds = float(np.median([_core_seconds(run) for run in runs]))
            about = KNOWN[model].family, seconds, study.summaries[model].mean["accuracy"]
            found.append((model, *about))
    ours = [row for row in rows if row["before"] and row["each"]["accuracy"]]
    return found + [
        (row["model"], row["family"], row["seconds"], row["means"]["accuracy"]) for row in ours
    ]


def _resplit(study: Study, floor: str) -> tuple[dict, dict | None]:
    """Over re-splits by patient: model -> what `_over_splits` finds, and of Table 3's `averaged`,
    the same of its runs' mean logits; and the table, with models of the paper on the same
    splits."""
    names = [name for name in study.beyond_resplits if name.startswith("patient")]
    every = baselines.read(study.folder)
    seen = {name: every.get(name, {}) for name in names}
    asked = dict.fromkeys(model for name in names for model in study.beyond_resplits[name])
    found, rows, used = {}, [], []
    for model in [*("20", "21", "22b"), *asked] if asked else ():
        splits = study.beyond_resplits if model in asked else study.resplits
        runs = {name: apart(splits.get(name, {}).get(model, []))[0] for name in names}
        runs = {name: group for name, group in runs.items() if group}
        if len(runs) < 2:
            continue
        found[model] = _over_splits(study, model, runs, seen, floor)
        used += [run for group in runs.values() for run in group]
        rows.append([model, KNOWN[model].family, *found[model]["cells"]])
        if model in asked and min(map(len, runs.values())) > 1:
            mean = {name: [_averaged(group)] for name, group in runs.items()}
            found[model]["averaged"] = _over_splits(study, model, mean, seen, floor)
            counts = {len(group) for group in runs.values()}
            each = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else min(counts)
            cells = [*found[model]["averaged"]["cells"][:-1], found[model]["runs"]]
            rows.append([model, f"the mean logit of a split's {each} runs", *cells])
    if not any(model in asked for model in found):
        return {}, None
    names = "Model | What | >Accuracy, % | >AUC, % | >Over the floor | >Splits | >Runs that learned"
    return found, item(study, table=table(names, rows), runs=used, missing=[])


def _over_splits(study: Study, model: str, runs: dict[str, list], seen: dict, floor: str) -> dict:
    """A model's mean accuracy and AUC over splits (intervals.Mean), its margin over the floor, how
    many splits and runs, and these as cells. runs: split -> those that learned, one or more."""
    scores = [[on_test(run) for run in group] for group in runs.values()]
    one = {}
    for key in ("accuracy", "roc_auc"):
        values = [float(np.mean([row[key] for row in group])) for group in scores]
        one[key] = intervals.mean_of(values, test_share(study))
    cells = [within(m.mean, m.low, m.high) for m in one.values()]
    splits = {name: {model: group} for name, group in runs.items()}
    over = over_resplits(study, splits, seen, model, floor, "patient")
    counts = {"splits": len(runs), "runs": sum(map(len, runs.values()))}
    cells += [signed(*over[:3]) if over else "–", *counts.values()]
    return one | counts | {"over": over, "cells": cells}


def _averaged(runs: list[Run]) -> Run:
    """As one run that answers with the mean of these runs' logits."""
    mean = np.mean([run.logits["test"] for run in runs], axis=0)
    return replace(runs[0], logits=runs[0].logits | {"test": mean})


def _search(study: Study) -> tuple[dict, dict | None]:
    trials = search.read(study.folder)
    if not trials:
        return {}, None
    names = dict.fromkeys(trial["spec"]["id"] for trial in trials)
    best = {name: search.chosen([t for t in trials if t["spec"]["id"] == name]) for name in names}
    rows = []
    for trial in sorted(trials, key=lambda trial: trial["spec"]["id"]):
        spec, row = trial["spec"], trial["spec"]["id"]
        rows.append(
            [row, f"{spec['learning_rate']:g}", f"{spec['weight_decay']:g}", f"{spec['augment']:g}"]
            + [spec["hidden_units"], spec["epochs"], trial["epoch"]]
            + [f"{trial['validation_loss']:.4f}", percent(trial["validation_accuracy"])]
            + [percent(trial["validation_auc"], 2), "chosen" if trial is best[row] else ""]
        )
    names = "Row | >Rate | >Decay | >Augmentation | >Filters | >Epochs | >Kept | >Validation loss"
    shown = table(f"{names} | >Accuracy, % | >AUC, % | Chosen", rows)
    again = [script_command(study, "search.py")]
    numbers = {"count": len(trials), "rows": len(best)}
    return numbers, item(study, table=shown, runs=[], missing=[], scripts=again)


def _elsewhere(study: Study, shown: dict, seen: dict) -> tuple[list[dict], dict | None]:
    """What a better score is made of: of each model with weights that were shown films of another
    hospital, the AUC here and there, and its accuracy over that of the best floor without lung."""
    numbers, rows, used = [], [], []
    for films in external.read(study.folder):
        owners = films["patients"]
        areas, seen_by = {}, report_external.by_model(films)
        for model in shown:
            one = seen_by.get(model)
            run = report_external.run_of(study, one) if one else None
            if run is None:
                continue
            there = external.scores(one["logits"], films["labels"], 0.0, owners)["roc_auc"]
            here = external.scores(run.logits["test"], run.labels["test"], 0.0, None)["roc_auc"]
            over = "–"
            if seen:
                floor = [seen["baselines"][best_floor(seen)]["test"]]
                about = [run.logits["test"]], floor, run.labels["test"]
                over = signed(*intervals.of_difference(*about)["accuracy"])
            areas[model] = {"here": here, "there": there}
            rows.append([films["name"], model, over, within(*here), within(*there)])
            used.append(run)
        if any(model in TABLE_3 for model in areas):
            numbers.append({"name": films["name"], "areas": areas})
    if not numbers:
        return [], None
    names = "Films | Model | >Over the floor, points | >AUC here, % | >AUC on those films, %"
    drawn = {"table": table(names, rows), "runs": used, "missing": []}
    return numbers, report_external.made(study, [one["name"] for one in numbers], **drawn)


def _changes(study: Study, shown: dict) -> tuple[dict, dict | None]:
    """What moves Table 3's models, and the models of the paper that they change, as in section 6.2:
    change -> model -> score -> the change in words."""
    found = changes.read(study.folder).get(study.split, {})
    ones = [one for one in found.get("models", []) if one["model"] in shown]
    ours = [one["model"] for one in ones if one["model"] in TABLE_3]
    if not ours or len(set(found["labels"])) < 2:
        return {}, None
    gaps = moved(ones, found["labels"])
    _, drawn = of_moved("beyond-changes", f"What moves model {' and '.join(ours)}", gaps)
    runs = [run for one in ones for run in shown[one["model"]] if run.seed == one["seed"]]
    words = {
        change: {
            model: {key: signed(*by[key]) for key in ("roc_auc", "specificity")}
            for model, by in by_model.items()
        }
        for change, by_model in gaps.items()
    }
    return {"models": ours, "words": words}, made(study, runs=runs, missing=[], **drawn)

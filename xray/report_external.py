"""Numbers and tables of section 6.3: the trained models on films of another hospital, beside this
study's own."""

import math
import shlex

import numpy as np

from xray import external, intervals, predict_weights
from xray.report_items import item, report_command, table, within
from xray.results import load_run
from xray.specs import MODELS
from xray.study import RESULTS, Study, finished, learned, percent


def sections(study: Study) -> tuple[list[dict], dict]:
    """The numbers that section 6.3 of templates/5-what-they-see.j2 says, and its items by id."""
    numbers, items = [], {}
    for place, films in enumerate(external.read(study.folder), 1):
        labels, owners = films["labels"], external.patients(films["columns"])
        models = [model for model in MODELS if model in films["models"]]
        runs = {
            model: load_run(study.folder / f"{films['models'][model]['run']}.json")
            for model in models
        }
        found = {model: _elsewhere(study, runs[model], films, owners) for model in models}
        rows = [row for model in models for row in _side_by_side(model, *found[model])]
        names = "Model | Score | >Given split | >No shared patient | >Elsewhere"
        own = {"table": table(names, rows), "runs": list(runs.values())}
        items[f"external-{place}"] = _made(study, films, **own)
        groups = external.groups(films["columns"], labels)
        by_group = _group_table(films, models, groups, owners)
        items[f"external-groups-{place}"] = _made(study, films, table=by_group)
        every = _score_table(films, runs, groups, owners)
        items[f"external-scores-{place}"] = _made(study, films, table=every)
        outside = [found[model][2]["roc_auc"] for model in models]
        inside = [found[model][0]["roc_auc"][0] for model in models]
        young = next((name for name in groups if name.startswith("age ")), "")
        first = {"name": films["name"], "place": place, "films": len(labels)}
        first |= {"pneumonia": int(labels.sum()), "patients": len(set(owners)) if owners else 0}
        areas = {"lowest": min(outside)[0], "highest": max(outside)[0]}
        areas |= {"lowest_inside": min(inside), "highest_inside": max(inside)}
        areas |= {"at_chance": np.median([low for _, low, _ in outside]) <= 0.5}
        numbers.append(
            first
            | areas
            | {"references": _references(films, owners), "youngest": young, "ages": bool(young)}
            | {"within": _within(films, models, owners)}
            | {"spans": {name: _span(films, models, mask) for name, mask in groups.items()}}
        )
    return numbers, items


def _made(study: Study, films: dict, **parts) -> dict:
    """An item that is drawn from the records of films elsewhere, and from runs."""
    words = ["python", "scripts/evaluate.py", "--data", films["name"]]
    if study.folder.parents[1].resolve() != RESULTS:
        words += ["--results", str(study.folder.parents[1])]
    found = item(study, **parts)
    again = [shlex.join(words), report_command(study)]
    return found | {"again": [*found["again"][:-1], *again]}


def _cut(run) -> float:
    """The logit above which a run says pneumonia, from its validation images."""
    threshold = predict_weights.thresholds(run).decision
    return threshold.logit if threshold else 0.0


def _elsewhere(study: Study, run, films: dict, owners) -> tuple[dict, dict, dict]:
    """Scores on the given test split; mean AUC and accuracy over the re-splits by patient; scores
    elsewhere."""
    logits, cut = films["models"][run.spec.id]["logits"], _cut(run)
    apart = [
        intervals.influence(one.logits["test"], one.labels["test"])
        for name, by_model in study.resplits.items()
        if name.startswith("patient")
        for one in by_model.get(run.spec.id, [])
        if finished(one) and learned(one)
    ]
    keys = ("roc_auc", "accuracy") if apart else ()
    means = {key: float(np.mean([one[key][0] for one in apart])) for key in keys}
    inside = external.scores(run.logits["test"], run.labels["test"], cut, None)
    return inside, means, external.scores(logits, films["labels"], cut, owners)


SCORES = {"roc_auc": "AUC", "accuracy": "accuracy", "recall": "sensitivity"}
SCORES |= {"specificity": "specificity", "brier": "Brier score"}


def _side_by_side(model: str, inside: dict, apart: dict, outside: dict) -> list[list]:
    return [
        [model, words, within(*inside[key]), percent(apart.get(key, math.nan))]
        + [within(*outside[key])]
        for key, words in SCORES.items()
    ]


def _group_table(films: dict, models: list, groups: dict, owners) -> dict:
    everyone = {"all": np.ones(len(films["labels"]), bool)} | groups
    logits = {model: films["models"][model]["logits"] for model in models}
    others = external.references(films["columns"])
    rows = []
    for name, mask in everyone.items():
        sick = int(films["labels"][mask].sum())
        row = [name, int(mask.sum()) - sick, sick]
        for values in [*logits.values(), *others.values()]:
            row.append(_area(values, films["labels"], mask & ~np.isnan(values), owners))
        rows.append(row)
    for name, values in others.items():  # the same films for all
        mask = ~np.isnan(values)
        sick = int(films["labels"][mask].sum())
        row = [f"with {name.replace('_', ' ')}", int(mask.sum()) - sick, sick]
        everything = [*logits.values(), *others.values()]
        rows.append(
            row + [_area(one, films["labels"], mask & ~np.isnan(one), owners) for one in everything]
        )
    heads = [f">{name.replace('_', ' ')}" for name in [*models, *others]]
    return table("Films | >Normal | >Pneumonia | " + " | ".join(heads), rows)


def _score_table(films: dict, runs: dict, groups: dict, owners) -> dict:
    """All scores of each group and model."""
    keys, rows = ("accuracy", "recall", "specificity", "brier"), []
    for name, mask in groups.items():
        mine = [one for one, inside in zip(owners, mask) if inside] if owners else None
        for model, run in runs.items():
            logits = films["models"][model]["logits"][mask]
            found = external.scores(logits, films["labels"][mask], _cut(run), mine)
            rows.append([name, model, *(within(*found[key]) for key in keys)])
    return table("Films | Model | >Accuracy | >Sensitivity | >Specificity | >Brier score", rows)


def _area(values, labels, mask, owners) -> str:
    counts = np.bincount(labels[mask], minlength=2)
    if counts.min() < external.FEWEST:
        return "–"
    mine = [one for one, inside in zip(owners, mask) if inside] if owners else None
    return within(*external.scores(values[mask], labels[mask], 0.0, mine)["roc_auc"])


def _span(films: dict, models: list, mask) -> tuple[float, float]:
    """The lowest and the highest AUC of any model in a group of films."""
    labels = films["labels"][mask]
    logits = [films["models"][model]["logits"][mask] for model in models]
    areas = [intervals.influence(one, labels)["roc_auc"][0] for one in logits]
    return min(areas), max(areas)


def _references(films: dict, owners) -> dict:
    found = {}
    for name, values in external.references(films["columns"]).items():
        mask = ~np.isnan(values)
        mine = [one for one, inside in zip(owners, mask) if inside] if owners else None
        area = external.scores(values[mask], films["labels"][mask], 0.5, mine)["roc_auc"]
        found[name] = {"films": int(mask.sum()), "area": area}
    return found


def _within(films: dict, models: list, owners) -> dict:
    """model -> external.within_patients, where patients are known and some have both classes."""
    if not owners:
        return {}
    pairs = {
        model: external.within_patients(films["models"][model]["logits"], films["labels"], owners)
        for model in models
    }
    return {model: pair for model, pair in pairs.items() if pair[1]}

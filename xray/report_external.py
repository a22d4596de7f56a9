"""Numbers, tables and the picture of section 6.3: the trained models, and the floors, on films of
another hospital, beside this study's own."""

import math
import shlex

import numpy as np

from xray import baselines, external, intervals, predict_weights, report_figures_seeing
from xray.report_data import text
from xray.report_items import item, plot, table, within
from xray.results import Run
from xray.specs import KNOWN, MODELS
from xray.study import RESULTS, Study, finished, learned, test_share

FILMS = report_figures_seeing.FILMS
IN_GROUPS = ("outside the lung box", baselines.CURVE)  # the floors that are shown group by group


def sections(study: Study) -> tuple[list[dict], dict]:
    """The numbers that section 6.3 of templates/5-what-they-see.j2 says, and its items by id."""
    numbers, items = [], {}
    seen = [films for films in external.read(study.folder) if films["models"]]
    for place, films in enumerate(seen, 1):
        films["models"] = by_model(films)
        one, shown = _section(study, films, str(place))
        numbers.append(one | {"name": films["name"], "place": str(place)})
        items |= shown
    return numbers, items


def by_model(films: dict) -> dict[str, dict]:
    """Model -> what its first seed says of films of external.read."""
    return {one["model"]: one for one in reversed(films["models"])}


def run_of(study: Study, one: dict) -> Run:
    """The run that was shown other films."""
    wanted = one["model"], one["seed"], one["image_size"]
    beyond = [run for runs in study.beyond.values() for run in runs]
    runs = [*study.runs, *beyond]
    return next(run for run in runs if (run.spec.id, run.seed, run.image_size) == wanted)


def _section(study: Study, films: dict, place: str) -> tuple[dict, dict]:
    labels, owners = films["labels"], films["patients"]
    there = [model for model in KNOWN if model in films["models"]]
    models = [model for model in there if model in MODELS] or there
    runs = {model: run_of(study, films["models"][model]) for model in models}
    found = {model: _of_model(study, runs[model], films, owners) for model in models}
    of_floors = _of_floors(study, films, owners)
    rows = [row for model in models for row in _side_by_side(model, *found[model])]
    rows += [_side_by_side(name, *three)[0] for name, three in of_floors.items()]
    names = "Model or floor | Score | >Given split | >No shared patient | >Elsewhere"
    references = _references(films, models, owners)
    groups = external.groups(films["columns"], labels)
    outside = [found[model][2]["roc_auc"] for model in models]
    inside = [found[model][0]["roc_auc"][0] for model in models]
    right = [found[model][2]["accuracy"][0] for model in models]
    without = [name for name in of_floors if name in baselines.WITHOUT_LUNG]
    numbers = {
        "films": len(labels),
        "pneumonia": int(labels.sum()),
        "patients": len(set(owners)) if owners else 0,
        "lowest": min(outside)[0],
        "highest": max(outside)[0],
        "lowest_inside": min(inside),
        "highest_inside": max(inside),
        "accuracies": (min(right), max(right)),
        "turned": [name for name in without if of_floors[name][2]["roc_auc"][2] < 0.5],
        "at_chance": bool(np.median([low for _, low, _ in outside]) <= 0.5),
        "references": references,
        "within": _within(films, models, owners),
        "spans": {name: _span(films, models, mask) for name, mask in groups.items()},
        "floors": {name: (one[0]["roc_auc"], one[2]["roc_auc"]) for name, one in of_floors.items()},
    }
    areas = _areas(found, of_floors, references)
    title = f"AUC on {films['name']} beside this study's own films"
    drawn = plot(f"external-{place}", report_figures_seeing.external, title, areas)
    shown = {"plot": drawn, "table": table(names, rows), "data": _area_data(areas)}
    by_group = _group_table(films, models, groups, owners)
    every = _score_table(films, runs, groups, owners)
    return numbers, {
        f"external-{place}": made(study, [films["name"]], **shown, runs=list(runs.values())),
        f"external-groups-{place}": made(study, [films["name"]], table=by_group),
        f"external-scores-{place}": made(study, [films["name"]], table=every),
    }


def _areas(found: dict, of_floors: dict, references: dict) -> list[tuple]:
    """The picture's rows: name, colour or model, and AUC by films."""
    rows = [(f"model {model}", model, three) for model, three in found.items()]
    for name, three in of_floors.items():
        rows.append((name, "paper" if name in baselines.WITHOUT_LUNG else "none", three))
    made = [
        (name, kind, {films: one["roc_auc"] for films, one in zip(FILMS, three) if one})
        for name, kind, three in rows
    ]
    for name, one in references.items():
        label = f"{name.replace('_', ' ')}, {one['films']} films"
        made.append((label, "ink", {"elsewhere": one["area"]}))
    return made


def _area_data(areas: list[tuple]) -> str:
    names = ["model_or_floor"]
    names += [f"auc_{films}{end}" for films in FILMS for end in ("", "_low", "_high")]
    unknown = (math.nan,) * 3
    rows = [
        [name, *(part for films in FILMS for part in by_films.get(films, unknown))]
        for name, _, by_films in areas
    ]
    return text(names, rows)


def made(study: Study, names: list[str], **parts) -> dict:
    """An item that is drawn from the records of films elsewhere, by their names, and from runs."""
    results = study.folder.parents[1]
    where = ["--results", str(results)] if results.resolve() != RESULTS else []
    words = ["python", "scripts/evaluate.py", "--data"]
    return item(study, scripts=[shlex.join([*words, name, *where]) for name in names], **parts)


def _cut(run) -> float:
    """The logit above which a run says pneumonia, from its validation images."""
    threshold = predict_weights.thresholds(run).decision
    return threshold.logit if threshold else 0.0


def _of_model(study: Study, run, films: dict, owners) -> tuple[dict, dict, dict]:
    """Scores on the given test split, over the re-splits by patient, and elsewhere; see `_apart`
    and external.scores."""
    logits, cut = films["models"][run.spec.id]["logits"], _cut(run)
    apart = [
        (one.logits["test"], one.labels["test"])
        for name, by_model in study.resplits.items()
        if name.startswith("patient")
        for one in by_model.get(run.spec.id, [])
        if finished(one) and learned(one)
    ]
    inside = external.scores(run.logits["test"], run.labels["test"], cut, None)
    outside = external.scores(logits, films["labels"], cut, owners)
    return inside, _apart(study, apart), outside


def _of_floors(study: Study, films: dict, owners) -> dict[str, tuple[dict, dict, dict]]:
    """Floor -> the same as `_of_model`, for those that re-splits have, and the file's header."""
    every, found = baselines.read(study.folder), {}
    given = every.get(study.split, {})
    by_patient = [name for name in study.resplits if name.startswith("patient")]
    others = [every.get(name, {}) for name in by_patient]
    for name in (baselines.HEADER, *baselines.RESPLIT):
        if name in films["baselines"] and name in given.get("baselines", {}):
            apart = [
                (one["baselines"][name]["test"], one["labels"]["test"])
                for one in others
                if name in one.get("baselines", {})
            ]
            mine = given["baselines"][name]["test"], given["labels"]["test"]
            inside = external.scores(*mine, 0.0, None)
            outside = external.scores(films["baselines"][name], films["labels"], 0.0, owners)
            found[name] = inside, _apart(study, apart), outside
    return found


def _apart(study: Study, pairs: list[tuple]) -> dict:
    """AUC and accuracy, by the paper's rule, over re-splits by patient: mean, low, high; {} for
    fewer than two. pairs: test logits and labels, one a run."""
    scored = [intervals.influence(logits, labels) for logits, labels in pairs]
    keys = ("roc_auc", "accuracy") if len(scored) > 1 else ()
    means = {
        key: intervals.mean_of([one[key][0] for one in scored], test_share(study)) for key in keys
    }
    return {key: (one.mean, one.low, min(1.0, one.high)) for key, one in means.items()}


SCORES = {"roc_auc": "AUC", "accuracy": "accuracy", "recall": "sensitivity"}
SCORES |= {"specificity": "specificity", "brier": "Brier score"}


def _side_by_side(name: str, inside: dict, apart: dict, outside: dict) -> list[list]:
    return [
        [name, words, within(*inside[key]), within(*apart[key]) if key in apart else "–"]
        + [within(*outside[key])]
        for key, words in SCORES.items()
    ]


def _group_table(films: dict, models: list, groups: dict, owners) -> dict:
    everyone = {"all": np.ones(len(films["labels"]), bool)} | groups
    logits = {model: films["models"][model]["logits"] for model in models}
    logits |= {name: films["baselines"][name] for name in IN_GROUPS if name in films["baselines"]}
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
    heads = [f">{name.replace('_', ' ')}" for name in [*logits, *others]]
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


def _references(films: dict, models: list, owners) -> dict:
    """Another model -> of how many films its probability is known, its AUC on these, and the lowest
    and the highest AUC of any of the models."""
    found = {}
    for name, values in external.references(films["columns"]).items():
        mask = ~np.isnan(values)
        mine = [one for one, inside in zip(owners, mask) if inside] if owners else None
        area = external.scores(values[mask], films["labels"][mask], 0.5, mine)["roc_auc"]
        found[name] = {"films": int(mask.sum()), "area": area}
        found[name]["models"] = _span(films, models, mask)
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

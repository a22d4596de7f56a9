"""What is seen in the report's figures and tables, in numbers for their titles (their words:
templates/titles.j2). None or an empty list where the runs that show it are not there."""

from collections import defaultdict

import numpy as np

from xray import curves, paper
from xray.comparisons import Standing, sizes_compared
from xray.report_items import those_that_learned
from xray.specs import LEARNING_RATE_SEARCH, MODELS
from xray.study import EVALUATED, Study

FAMILIES = {"Linear": "Linear", "Linear+ReLU": "MLP", "CNN": "CNN"}


def numbers(study: Study, compared: list) -> dict:
    """See the functions. compared: what comparisons.compare gives."""
    return {
        "ends": {number: _ends(study, models) for number, models in paper.CURVES.items()},
        "classes": {number: _classes(study, paper.CURVES[number]) for number in (19, 22)},
        "leaders": {number: _leader(study, models) for number, models in paper.TABLES.items()}
        | {"all": _leader(study, EVALUATED)},
        "changes": {number: _changes(study, pairs) for number, pairs in paper.BARS.items()},
        "found": _found(study),
        "lost": _lost(study),
        "search": _tried(study, LEARNING_RATE_SEARCH),
        "adam": _tried(study, ("17", "18", "19")),
        "ranker": _ranker(study),
        "accuracy": _by_family(study, "accuracy"),
        "ranking": _by_family(study, "roc_auc"),
        "calibration": _by_family(study, "ece"),
        "resplits": _resplits(compared),
        "sizes": _sizes(sizes_compared(study)),
        "exact": max((paper.implied(m)[0].accuracy, m) for m in EVALUATED),
    }


def _ends(study: Study, models: list[str]) -> dict | None:
    """The mean validation accuracy after the last epoch of each model's runs that learned, and how
    many runs did not."""
    everything = [study.chosen.get(model, []) for model in models]
    groups = [those_that_learned(runs)[0] for runs in everything]
    if not all(groups):
        return None
    lines = [[run.history["validation_accuracy"][-1] for run in group] for group in groups]
    lost = sum(map(len, everything)) - sum(map(len, groups))
    return {"values": [float(np.mean(line)) for line in lines], "lost": lost}


def _classes(study: Study, models: list[str]) -> list[tuple]:
    """(class, lowest, highest) of `_ends`, the highest class first."""
    groups, found = defaultdict(list), _ends(study, models)
    for model, end in zip(models, found["values"] if found else ()):
        groups[FAMILIES[MODELS[model].family]].append(end)
    found = [(family, min(values), max(values)) for family, values in groups.items()]
    return sorted(found, key=lambda row: -row[2])


def _leader(study: Study, models) -> dict | None:
    """The model with the highest mean F1 of those that were tested and learned, and the paper's."""
    means = {m: study.summaries[m].mean["f1"] for m in models if m in study.summaries}
    means = {model: mean for model, mean in means.items() if mean == mean}
    if len(means) < 2:
        return None
    best = max(means, key=means.get)
    theirs = max(models, key=lambda model: paper.SCORES[model]["f1"])
    return {"model": best, "f1": means[best], "paper": theirs}


def _changes(study: Study, pairs: list) -> list[tuple]:
    """(class, by how much mean F1 changes from the first of a pair to the second)."""
    found = []
    for pair in pairs:
        means = [study.summaries[m].mean["f1"] for m in pair if m in study.summaries]
        if len(means) == 2 and not np.isnan(means).any():
            found.append((FAMILIES[MODELS[pair[0]].family], means[1] - means[0]))
    return found if len(found) == len(pairs) else []


def _found(study: Study) -> dict | None:
    """Model 20's mean counts on the test split, of how many."""
    one = study.summaries.get("20")
    if one is None or not one.learned:
        return None
    count = one.mean
    positives, negatives = count["tp"] + count["fn"], count["tn"] + count["fp"]
    return {"tp": count["tp"], "of": positives, "fp": count["fp"], "normal": negatives}


def _lost(study: Study) -> dict | None:
    """Finished runs of the evaluated models that did not learn, of how many: of MLPs and of all
    others."""
    counts = {True: [0, 0], False: [0, 0]}
    for model, summary in study.summaries.items():
        side = counts[MODELS[model].family == "Linear+ReLU"]
        side[0] += summary.lost
        side[1] += summary.lost + len(summary.learned)
    return {"mlps": counts[True], "others": counts[False]} if counts[True][1] else None


def _ranker(study: Study) -> dict | None:
    """The evaluated model with the largest mean area under the ROC curve."""
    areas = {model: one.mean["roc_auc"] for model, one in study.summaries.items()}
    areas = {model: area for model, area in areas.items() if area == area}
    best = max(areas, key=areas.get, default=None)
    return best and {"model": best, "area": areas[best]}


def _tried(study: Study, models) -> list[tuple]:
    """(model, runs that learned, all its runs) of those with a run; empty where one has none."""
    groups = [(model, study.chosen.get(model, [])) for model in models]
    if not all(runs for _, runs in groups):
        return []
    return [(model, len(those_that_learned(runs)[0]), len(runs)) for model, runs in groups]


def _by_family(study: Study, key: str) -> list[tuple]:
    """(class, lowest, highest) of a score's means over the evaluated models that learned."""
    groups = defaultdict(list)
    for model, summary in study.summaries.items():
        if summary.mean[key] == summary.mean[key]:
            groups[FAMILIES[MODELS[model].family]].append(summary.mean[key])
    return [(family, min(values), max(values)) for family, values in groups.items()]


def _resplits(compared: list) -> dict | None:
    """How many models' accuracy differs between splits by image and by patient, of how many."""
    tested = [row for row in compared if row.score == "accuracy" and row.p == row.p]
    if not tested:
        return None
    return {"told": sum(row.p < 0.05 for row in tested), "models": len(tested)}


def _sizes(found: list[Standing]) -> dict | None:
    """The level of validation accuracy at the paper's size and at the smaller one, of the runs that
    learned, means over the models with such runs at both."""

    def level(runs):
        return np.mean([curves.level(run.history["validation_accuracy"]) for run in runs])

    pairs = [[those_that_learned(runs)[0] for runs in (one.full, one.matched)] for one in found]
    sides = {one.model: list(map(level, pair)) for one, pair in zip(found, pairs) if all(pair)}
    if not sides:
        return None
    full, matched = map(float, np.mean(list(sides.values()), axis=0))
    return {"full": full, "matched": matched, "models": list(sides)}

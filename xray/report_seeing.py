"""Numbers, tables and pictures of sections 6.1 and 6.2: what can be told without a lung, and what
moves the trained models."""

import math

import numpy as np

from xray import baselines, changes, intervals, metrics, report_external
from xray import report_figures_seeing as figures
from xray.comparisons import PROTOCOLS
from xray.report_data import text
from xray.report_items import item, plot, signed, table, within
from xray.specs import MODELS
from xray.study import EVALUATED, Study, finished, learned, test_share

SMALL = 0.01  # a change of AUC, sensitivity and specificity that surely is within it is none
AGAIN = "python scripts/evaluate.py"
SHOWN = {"20": "Linear", "21": "MLP", "22b": "CNN"}  # the levels in the learning curve


def sections(study: Study) -> tuple[dict, dict]:
    """The numbers that templates/5-what-they-see.j2 says, and their items by id."""
    of_floors, items = _floors(study)
    of_changes, more = _changes(study)
    of_others, others = report_external.sections(study)
    numbers = {"floors": of_floors, "changes": of_changes, "external": of_others}
    return numbers, items | more | others


def _missing(study: Study) -> dict:
    """An item that has no record yet, with the command that makes it."""
    return item(study, missing=["shortcuts"]) | {"command": AGAIN}


def made(study: Study, models: list[str] = (), **parts) -> dict:
    """An item that is drawn from that command's records, and the runs of models."""
    return item(study, models, scripts=[AGAIN], **parts)


def _columns(*scores: str) -> list[str]:
    """Names of a CSV's columns for scores with their intervals."""
    return [name for score in scores for name in (score, f"{score}_low", f"{score}_high")]


# ---- floors


def _scored(logits, labels) -> dict:
    """score -> (value, low, high) of one set of logits, nan for an AUC of one class."""
    values, ends = intervals.influence(logits, labels), intervals.of_model(logits, labels)
    unknown = {"roc_auc": (math.nan,) * 3}
    return unknown | {name: (values[name][0], *ends[name]) for name in values}


def best_floor(found: dict) -> str:
    """The floor without lung that is most often right on the validation images."""
    labels = found["labels"]["validation"]
    there = [name for name in baselines.WITHOUT_LUNG if name in found["baselines"]]
    logits = {name: found["baselines"][name]["validation"] for name in there}
    return max(there, key=lambda name: np.mean((logits[name] > 0) == labels))


def _floors(study: Study) -> tuple[dict, dict]:
    found = baselines.read(study.folder).get(study.split, {})
    if not found:
        return {}, {"floors": _missing(study)}
    labels = found["labels"]["test"]
    scored = {name: _scored(one["test"], labels) for name, one in found["baselines"].items()}
    rows = [
        (name, "paper" if name in baselines.WITHOUT_LUNG else "none", scores)
        for name, scores in sorted(
            scored.items(), key=lambda row: row[0] not in baselines.WITHOUT_LUNG
        )
    ]
    models = [model for model in EVALUATED if model in study.summaries]
    models = [model for model in models if study.summaries[model].learned]
    for model in models:
        one = study.summaries[model]
        scores = {key: (one.mean[key], *one.interval[key]) for key, _ in figures.PANELS}
        rows.append((f"model {model}", model, scores))
    drawn = plot("floors", figures.floors, "Floors beside the models, test split", rows)
    numbers, margins = _margins(study, found, models)
    shown = {"plot": drawn, "table": _floor_table(found, rows), "data": _floor_data(found, rows)}
    items = {"floors": made(study, models, **shown)} | margins
    right = [study.summaries[model].mean["accuracy"] for model in models]
    numbers |= {"scored": scored, "models": models, "thumbnail": baselines.CURVE}
    numbers["accuracies"] = (min(right), max(right)) if right else None
    numbers["box"], numbers["told"] = baselines.BOX, scored[numbers["best"]]["roc_auc"][1] > 0.5
    numbers["curve"] = {
        count: _scored(one["test"], labels)["accuracy"] for count, one in found["curve"].items()
    }
    if numbers["curve"]:
        items["learning-curve"] = _curve(study, found, models)
    return numbers, items


def _floor_table(found: dict, rows: list) -> dict:
    made = []
    for name, kind, scores in rows:
        one = found["baselines"].get(name, {})
        lung = "" if kind in MODELS else "none" if kind == "paper" else "some"
        both = [within(*scores[score]) for score, _ in figures.PANELS]
        made.append([name, lung, one.get("features", ""), *both])
    return table("Floor or model | Lung | >Numbers a film | >Accuracy, % | >AUC, %", made)


def _floor_data(found: dict, rows: list) -> str:
    keys, made = [key for key, _ in figures.PANELS], []
    for name, _, scores in rows:
        features = found["baselines"].get(name, {}).get("features", "")
        made.append([name, features, *(part for key in keys for part in scores[key])])
    return text(["floor_or_model", "numbers_a_film", *_columns(*keys)], made)


def _margins(study: Study, found: dict, models: list[str]) -> tuple[dict, dict]:
    """Each model's accuracy less that of the best floor without lung, and of the thumbnail: on the
    given split, and over re-splits."""
    labels = found["labels"]["test"]
    numbers, items = {"best": best_floor(found), "above": [], "spans": {}}, {}
    every = baselines.read(study.folder)
    resplits = {name: every.get(name, {}) for name in study.resplits}
    for name, floor in (("margins", numbers["best"]), ("margins-thumbnail", baselines.CURVE)):
        rows, gaps = [], []
        for model in models:
            logits = [run.logits["test"] for run in study.summaries[model].learned]
            other = [found["baselines"][floor]["test"]]
            given = intervals.of_difference(logits, other, labels)["accuracy"]
            if floor == baselines.CURVE and given[1] > 0:
                numbers["above"].append(model)
            gaps.append(given[0])
            row = [model, MODELS[model].family, signed(*given)]
            for kind in PROTOCOLS:
                over = over_resplits(study, study.resplits, resplits, model, floor, kind)
                row += [signed(*over[:3]), over[3]] if over else ["–", "–"]
            rows.append(row)
        names = "Model | Class | >Given split | >By image | >Splits | >By patient | >Splits"
        items[name] = made(study, models, table=table(names, rows))
        numbers["spans"][name] = (min(gaps), max(gaps)) if gaps else None
    return numbers, items


def over_resplits(study: Study, splits: dict, seen: dict, model: str, floor: str, kind: str):
    """A model's mean margin over a floor on re-splits of a kind: (mean, low, high, their number);
    None for fewer than two. splits: name -> model -> runs; seen: name -> of baselines.read."""
    gaps = []
    for name, found in seen.items():
        runs = splits.get(name, {}).get(model, [])
        good = [run for run in runs if finished(run) and learned(run)]
        if name.startswith(kind) and good and floor in found.get("baselines", {}):
            labels = found["labels"]["test"]
            right = [np.mean(metrics.predictions(run.logits["test"]) == labels) for run in good]
            of_floor = metrics.predictions(found["baselines"][floor]["test"]) == labels
            gaps.append(float(np.mean(right) - of_floor.mean()))
    if len(gaps) < 2:
        return None
    mean = intervals.mean_of(gaps, test_share(study))
    return mean.mean, mean.low, mean.high, len(gaps)


def _curve(study: Study, found: dict, models: list[str]) -> dict:
    labels = found["labels"]["test"]
    scored = {count: _scored(one["test"], labels) for count, one in found["curve"].items()}
    points = {count: scores["accuracy"] for count, scores in scored.items()}
    levels = {model: study.summaries[model].mean["accuracy"] for model in SHOWN if model in models}
    title = "Test accuracy of a 16×16 thumbnail by the number of training images"
    drawn = plot("learning-curve", figures.learning_curve, title, points, levels)
    rows = [
        [f"{n:,}", *(within(*scores[key]) for key, _ in figures.PANELS)]
        for n, scores in scored.items()
    ]
    keys = [key for key, _ in figures.PANELS]
    data = [[n, *(part for key in keys for part in scores[key])] for n, scores in scored.items()]
    shown = table("Training images | >Accuracy, % | >AUC, %", rows)
    data = text(["training_images", *_columns(*keys)], data)
    return made(study, plot=drawn, table=shown, data=data)


# ---- changed films


def _changes(study: Study) -> tuple[dict, dict]:
    found = changes.read(study.folder).get(study.split, {})
    if not found:
        return {}, {"changes": _missing(study)}
    if len(set(found["labels"])) < 2:  # neither AUC nor the other class
        return {}, {"changes": item(study)}
    ones = [one for one in found["models"] if one["model"] in MODELS] or found["models"]
    gaps = moved(ones, found["labels"])
    numbers, shown = of_moved("changes", "What moves the trained models", gaps)
    edge = all(by["roc_auc"][2] < 0 for by in gaps["outer 10 % of the other class"].values())
    numbers |= {"sizes": {one["model"]: one["image_size"] for one in ones}, "edge": edge}
    return numbers | {"nothing": _nothing(gaps)}, {"changes": made(study, **shown)}


def moved(ones: list[dict], labels) -> dict[str, dict[str, dict]]:
    """Change -> model -> score -> (its change in that score, low, high). ones: of changes.read."""
    found = {}
    for one in ones:
        before = [one["logits"][changes.UNCHANGED]]
        for name, logits in one["logits"].items():
            if name != changes.UNCHANGED:
                gaps = intervals.of_difference([logits], before, labels)
                found.setdefault(name, {})[one["model"]] = gaps
    return found


def of_moved(name: str, title: str, gaps: dict) -> tuple[dict, dict]:
    """The numbers said of `moved`, and its picture, table and CSV."""
    areas = {change: {m: by[m]["roc_auc"] for m in by} for change, by in gaps.items()}
    keys = ("roc_auc", "recall", "specificity")
    pairs = [(change, model, gaps[change][model]) for change in gaps for model in gaps[change]]
    rows = [[change, model, *(signed(*one[key]) for key in keys)] for change, model, one in pairs]
    data = [[*head, *(end for key in keys for end in one[key])] for *head, one in pairs]
    columns = "Change | Model | >AUC | >Sensitivity | >Specificity"
    spans = {change: _span([gap[0] for gap in by.values()]) for change, by in areas.items()}
    shown = {"plot": plot(name, figures.changes, title, areas), "table": table(columns, rows)}
    shown |= {"data": text(["change", "model", *_columns(*keys)], data)}
    return {"spans": spans}, shown


def _span(gaps: list[float]) -> str:
    """The lowest and the highest of differences in points, "−20.9 to −6.8"."""
    return " to ".join(f"{100 * gap:+.1f}".replace("-", "−") for gap in (min(gaps), max(gaps)))


def _nothing(gaps: dict) -> list[str]:
    """The changes under which no model's AUC can have moved by more than SMALL."""
    return [
        name
        for name, by_model in gaps.items()
        if all(max(abs(end) for end in one["roc_auc"][1:]) <= SMALL for one in by_model.values())
    ]

"""Numbers, tables and pictures of the report's appendices B to F: what accuracy does not tell,
patients, which test images are missed (no pixels), weights."""

import math
from collections import defaultdict

import numpy as np
from scipy.special import expit

from xray import comparisons, metrics, paper, report_figures_curves
from xray import report_pictures as pictures
from xray.data_audit import cause_of, patient
from xray.report_items import cell, image, item, plot, table
from xray.specs import MODELS
from xray.study import (
    EVALUATED,
    Study,
    Summary,
    finished,
    percent,
    plus_minus,
    with_spread,
)

# models whose first layer is drawn, where their weights were kept; the first two are asked for
LOOKED_AT = ("20", "21", "20b", "27b")


def sections(study: Study, found: list) -> tuple[dict, dict]:
    """The numbers that templates/appendix-*.j2 say, and their items by id. found: what
    comparisons.compare gives."""
    errors, items = _missed(study)
    numbers = {"patients": study.facts.get("patients"), "resplit": bool(found)}
    numbers |= {"missed": errors, "weights": []}
    items |= _beyond(study) | {"batch-means": item(study, EVALUATED, table=_batch_means(study))}
    if numbers["patients"]:
        items["overlap"] = {"table": _overlap(numbers["patients"]["overlap"])}
    items["resplits"] = _resplits(study, found)
    for model in LOOKED_AT:
        kept = next((run for run in study.chosen.get(model, []) if run.weights), None)
        if kept or model in LOOKED_AT[:2]:
            said, items[f"weights-{model}"] = _weights(study, model, kept)
            numbers["weights"].append(said)
    return numbers, items


def _batch_means(study: Study) -> dict:
    rows = []
    for model in EVALUATED:
        implied, summary = paper.implied(model), study.summaries.get(model)
        one = implied[0] if len(implied) == 1 else None
        theirs = [paper.SCORES[model]["accuracy"]]
        theirs += [one.accuracy, one.batch_mean] if one else [math.nan, math.nan]
        ours = ["–", "–", "–"]
        if summary:
            gap = summary.mean["batch_mean_accuracy"] - summary.mean["accuracy"]
            ours = [with_spread(summary, key) for key in ("accuracy", "batch_mean_accuracy")]
            ours.append(_signed(gap))
        printed = [cell(percent(value / 100), paper=True) for value in theirs]
        rows.append([model, MODELS[model].batch_size, *printed, *ours])
    names = (
        "Model | >Batch size | >Paper: printed | >Paper: implied, exact"
        " | >Paper: implied, batch mean | >Ours: exact | >Ours: batch mean | >Ours: difference"
    )
    return table(names, rows, sortable=True)


# ---- beyond accuracy


def _beyond(study: Study) -> dict:
    """Rankings, calibration, and a threshold for a given sensitivity."""
    there = [model for model in EVALUATED if model in study.summaries]
    names = ("ranking", "calibration", "ranking-scores", "threshold")
    items = {name: item(study, EVALUATED) for name in names}
    if not there:
        return items
    floor = study.baseline
    if floor["tp"] and floor["fp"]:  # with one class there is nothing to rank
        title = "ROC and precision-recall curves"
        items["ranking"]["plot"] = plot("ranking", report_figures_curves.ranking, title, study)
    drawn = plot("calibration", report_figures_curves.calibration, "Calibration", study)
    items["calibration"]["plot"] = drawn
    items["ranking-scores"]["table"] = _ranking(study, there)
    columns = "Model | Class | >Threshold, probability | >Sensitivity | >Specificity | >NPV"
    rows = [_at_sensitivity(model, study.summaries[model]) for model in there]
    items["threshold"]["table"] = table(f"{columns} | >Precision", rows, sortable=True)
    return items


def _ranking(study: Study, models: list[str]) -> dict:
    rows = []
    for model in models:
        summary = study.summaries[model]
        ranks = [_thousandths(summary.mean[key]) for key in metrics.RANK_METRICS]
        more = [with_spread(summary, key) for key in ("specificity", "npv")]
        rows.append([model, MODELS[model].family, *ranks, percent(summary.mean["ece"]), *more])
    floor = study.baseline
    ranks = [_thousandths(floor[key]) for key in metrics.RANK_METRICS]
    more = [percent(floor[key]) for key in ("ece", "specificity", "npv")]
    rows.append(["–", "always pneumonia", *ranks, *more])
    names = "Model | Class | >ROC AUC | >Average precision | >Brier | >ECE | >Specificity, %"
    return table(f"{names} | >NPV, %", rows, sortable=True)


def _thousandths(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _signed(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:+.1f}".replace("-", "−")


def _at_sensitivity(model: str, summary: Summary) -> list:
    found = defaultdict(list)
    for run in summary.learned:
        validation = run.logits["validation"], run.labels["validation"]
        try:
            threshold = metrics.threshold_at_sensitivity(*validation)
        except ValueError:  # no positive in the validation split
            continue
        shifted = np.where(run.logits["test"] > threshold, 1.0, -1.0)
        scores = metrics.scores(shifted, run.labels["test"])
        found["threshold"].append(100 * expit(threshold))
        for key in ("recall", "specificity", "npv", "precision"):
            found[key].append(100 * scores[key])
    keys = ("threshold", "recall", "specificity", "npv", "precision")
    return [model, MODELS[model].family, *(plus_minus(found[key], 1) for key in keys)]


# ---- patients


def _overlap(overlap: dict) -> dict:
    rows = []
    for pair, classes in overlap.items():
        for name in ("all", "NORMAL", "PNEUMONIA"):
            one = classes[name]
            share = f"{100 * one['shared'] / one['images']:.1f}" if one["images"] else "nan"
            images, shared, patients = (f"{one[key]:,}" for key in ("images", "shared", "patients"))
            rows.append([pair, name.lower(), images, shared, share, patients])
    names = "Images of … in … | Class | >Images | >With a patient seen there | >Share, %"
    return table(f"{names} | >Patients", rows)


def _resplits(study: Study, found: list[comparisons.Comparison]) -> dict:
    if not found:
        return item(study, runs=[], missing=["20", "21"], needs=["--resplits", "10"])
    names = dict.fromkeys(row.model for row in found)
    groups = study.resplits.values()
    runs = [run for chosen in groups for name in names for run in chosen.get(name, [])]
    title = "Test scores over re-splits"
    drawn = plot("resplits", report_figures_curves.resplits, title, study, found)
    return item(study, plot=drawn, table=_gaps(found), runs=runs)


def _gaps(found: list[comparisons.Comparison]) -> dict:
    rows = []
    for row in found:
        sides = []
        for protocol in comparisons.PROTOCOLS:
            lost, runs = row.lost[protocol]
            values = plus_minus(100 * row.sides[protocol], 1)
            more = f", {lost} of {runs} runs lost" if lost else ""
            sides.append(f"{values} ({len(row.sides[protocol])}{more})")
        interval = f"{_signed(row.gap)} ({_signed(row.low)} to {_signed(row.high)})"
        interval = interval if row.gap == row.gap else "–"
        ours = [row.model, "F1" if row.score == "f1" else row.score, percent(row.given), *sides]
        test = [interval, _thousandths(row.p), percent(row.detectable)]
        rows.append([*ours, *test, percent(row.paper), percent(row.percentile, 0)])
    names = (
        "Model | Score | >Given split, % | >By image, % | >By patient, %"
        " | >Gap, points (95 % interval) | >p | >Gap it could see, points | >The paper's, %"
        " | >Re-splits by image below it, %"
    )
    return table(names, rows, sortable=True)


# ---- weights


def _weights(study: Study, model: str, run) -> tuple[dict, dict]:
    """What is said of a model's first layer, and its pictures; run: one with weights, or None."""
    said = {"model": model, "family": MODELS[model].family, "limit": None, "damaged": False}
    try:
        found = pictures.weight_pictures(run) if run else None
    except pictures.WeightsError:
        found, said["damaged"] = None, True
    if found is None:
        runs = [run] if run else []
        return said, item(study, runs=runs, missing=[model], needs=["--force"])
    said |= {"limit": found["limit"], "seed": run.seed, "size": run.image_size}
    units, name = [], f"weights-{model}"
    for n, (content, weight) in enumerate(found["units"], 1):
        alt = f"First-layer weights of unit {n} of model {model} as an image."
        caption = f"unit {n}, × {weight:+.3f}".replace("-", "−")
        units.append(image(content, f"{name}-{n}", alt, caption))
    groups = [units]
    if found["product"]:
        alt = f"The two layers of model {model} as one: a weight for each pixel."
        limit = f"full colour at ±{found['product_limit']:.2g}"
        caption = f"both layers as one: red speaks for pneumonia; {limit}"
        groups.insert(0, [image(found["product"], name, alt, caption)])
    return said, item(study, images=groups, runs=[run])


MOST_MISSED = 15


def _missed(study: Study) -> tuple[dict | None, dict]:
    """The numbers that the appendix says, and its items by id, over all finished runs of the
    evaluated models; None and none without such runs on the given split or the data's description.
    """
    chosen = [study.chosen[model] for model in EVALUATED if model in study.summaries]
    runs = [run for group in chosen for run in group if finished(run)]
    if not runs or study.name.split("/")[-1] != "given" or not study.facts:
        return None, {}
    labels = runs[0].labels["test"]
    paths = study.facts["paths"][-len(labels) :]
    wrong = np.array([metrics.predictions(run.logits["test"]) != labels for run in runs])
    surety = np.array([metrics.wrong_probability(run.logits["test"], labels) for run in runs])
    shown = [_shown(path, label) for path, label in zip(paths, labels)]
    share = wrong.mean(0)
    numbers = {
        "runs": len(runs),
        "images": len(labels),
        "never": int((share == 0).sum()),
        "mostly": int((share > 0.5).sum()),
        "always": int((share == 1).sum()),
    }
    by_cause = _by_cause(runs, wrong, np.array(shown))
    most = _most_missed(paths, shown, wrong, surety)
    return numbers, {
        "error-causes": item(study, table=by_cause, runs=runs),
        "most-missed": item(study, table=most, runs=runs),
    }


def _shown(path: str, label: int) -> str:
    return (cause_of(path) or "pneumonia, cause not named") if label else "normal"


def _by_cause(runs: list, wrong: np.ndarray, shown: np.ndarray) -> dict:
    """wrong: bool (runs, images); shown: str (images,)."""
    families = {}
    for family in dict.fromkeys(spec.family for spec in MODELS.values()):
        mine = np.array([run.spec.family == family for run in runs])
        if mine.any():
            families[family] = wrong[mine]
    rows = []
    for name in sorted(set(shown)):
        shares = [f"{100 * part[:, shown == name].mean():.1f}" for part in families.values()]
        rows.append([name, int((shown == name).sum()), *shares])
    return table(" | ".join(["Shown", ">Images", *(f">{name}" for name in families)]), rows)


def _most_missed(paths: list[str], shown: list[str], wrong, surety) -> dict:
    """The images that most runs miss; surety: (runs, images), wrong class's probability."""
    share, sure = wrong.mean(0), surety.mean(0)
    order = sorted(range(len(paths)), key=lambda i: (-share[i], -sure[i], paths[i]))
    rows = []
    for i in order[:MOST_MISSED]:
        if wrong[:, i].any():
            file = cell(paths[i].replace("\\", "/").split("/")[-1], code=True)
            number = f"{wrong[:, i].sum()} of {len(wrong)}"
            certain = f"{100 * surety[wrong[:, i], i].mean():.1f}"
            rows.append([file, shown[i], patient(paths[i]) or "–", number, certain])
    names = "File | Shown | Patient | >Missed by | >Mean probability of the wrong class, %"
    return table(names, rows)

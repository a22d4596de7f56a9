"""Numbers, tables and pictures of the report's appendices B to H: what accuracy does not tell,
patients, weights, reporting checklists."""

import math
from collections import defaultdict

import numpy as np
from scipy.special import expit

from xray import (
    comparisons,
    metrics,
    paper,
    report_data,
    report_errors,
    report_figures_ranking,
    report_figures_scores,
    report_weights,
)
from xray.report_items import cell, image, item, plot, table, those_that_learned, with_range
from xray.specs import MODELS
from xray.study import (
    EVALUATED,
    Study,
    Summary,
    percent,
    plus_minus,
    with_spread,
)

# models whose first layer is drawn, where their weights were kept; the first two are asked for
LOOKED_AT = ("20", "21", "20b", "27b")


def sections(study: Study, found: list) -> tuple[dict, dict]:
    """The numbers that templates/appendix-*.j2 say, and their items by id. found: what
    comparisons.compare gives."""
    errors, items = report_errors.sections(study)
    numbers = {"patients": study.facts.get("patients"), "resplit": bool(found)}
    numbers |= {"missed": errors, "weights": []}
    beyond, numbers["threshold"] = _beyond(study)
    items |= beyond | {"batch-means": item(study, EVALUATED, table=_batch_means(study))}
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
        (implied,), summary = paper.implied(model), study.summaries.get(model)
        ours = ["–", "–", "–", "–"]
        if summary:
            gap = summary.mean["batch_mean_accuracy"] - summary.mean["accuracy"]
            ours = [with_range(summary, key) for key in ("accuracy", "batch_mean_accuracy")]
            ours += [_signed(gap), those_that_learned(summary.runs)[1]]
        theirs = implied.accuracy, implied.batch_mean, implied.printed
        printed = [cell(percent(value / 100), paper=True) for value in theirs]
        rows.append([model, *ours[:3], *printed, ours[3], MODELS[model].batch_size])
    names = (
        "Model | >Ours: exact | >Ours: batch mean | >Ours: difference | >Paper: implied, exact"
        " | >Paper: implied, batch mean | >Paper: printed | >Learned | >Batch size"
    )
    return table(names, rows, sortable=True)


# ---- beyond accuracy


def _beyond(study: Study) -> tuple[dict, dict | None]:
    """Items on rankings, calibration and a threshold for a given sensitivity, and what is said of
    the last."""
    there = [model for model in EVALUATED if model in study.summaries]
    names = ("ranking", "calibration", "ranking-scores", "threshold")
    items = {name: item(study, EVALUATED) for name in names}
    if not there:
        return items, None
    floor = study.baseline
    if floor["tp"] and floor["fp"]:  # with one class there is nothing to rank
        title = "ROC and precision-recall curves"
        rates = report_data.mean_rates(study)
        drawn = plot("ranking", report_figures_ranking.ranking, title, study, rates)
        items["ranking"] |= {"plot": drawn, "data": report_data.ranking(rates)}
    bins = report_data.bins(study)
    drawn = plot("calibration", report_figures_ranking.calibration, "Calibration", study, bins)
    items["calibration"] |= {"plot": drawn, "data": report_data.calibration(bins)}
    items["ranking-scores"]["table"] = _ranking(study, there)
    items["threshold"]["table"], said = _thresholds(study, there)
    return items, said


def _ranking(study: Study, models: list[str]) -> dict:
    rows = []
    for model in models:
        summary = study.summaries[model]
        area, *ranks = (_thousandths(summary.mean[key]) for key in metrics.RANK_METRICS)
        interval = "–".join(map(_thousandths, summary.interval["roc_auc"]))
        interval = interval if summary.learned else "–"
        more = [with_spread(summary, key) for key in ("specificity", "npv")]
        what = [those_that_learned(summary.runs)[1], MODELS[model].family]
        rows.append([model, area, interval, *ranks, percent(summary.mean["ece"]), *more, *what])
    floor = study.baseline
    area, *ranks = (_thousandths(floor[key]) for key in metrics.RANK_METRICS)
    more = [percent(floor[key]) for key in ("ece", "specificity", "npv")]
    rows.append(["always pneumonia", area, "–", *ranks, *more, "–", "–"])
    names = "Model | >ROC AUC | >95 % interval | >Average precision | >Brier | >ECE, points"
    return table(f"{names} | >Specificity, % | >NPV, % | >Learned | Class", rows, sortable=True)


def _thousandths(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _signed(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:+.1f}".replace("-", "−")


def _at_sensitivity(summary: Summary) -> dict[str, list]:
    """In percent, of each run that learned: its threshold that finds 95 % of pneumonia in its
    validation images, and the scores that this gives on the test images."""
    found = defaultdict(list)
    for run in summary.learned:
        try:
            validation = run.logits["validation"], run.labels["validation"]
            threshold = metrics.threshold_at_sensitivity(*validation)
        except (KeyError, ValueError):  # a record in short; no positive in the validation split
            continue
        shifted = np.where(run.logits["test"] > threshold, 1.0, -1.0)
        scores = metrics.scores(shifted, run.labels["test"])
        found["threshold"].append(100 * expit(threshold))
        for key in ("recall", "specificity", "npv", "precision"):
            found[key].append(100 * scores[key])
    return found


def _thresholds(study: Study, models: list[str]) -> tuple[dict, dict | None]:
    """The table of thresholds, and the model with the highest specificity there."""
    found = {model: _at_sensitivity(study.summaries[model]) for model in models}
    rows = []
    for model, values in found.items():
        keys = ("recall", "specificity", "npv", "precision", "threshold")
        learned = those_that_learned(study.summaries[model].runs)[1]
        cells = [plus_minus(values[key], 1) for key in keys]
        rows.append([model, *cells, learned, MODELS[model].family])
    names = (
        "Model | >Sensitivity | >Specificity | >NPV | >Precision | >Threshold, probability"
        " | >Learned | Class"
    )
    means = {m: float(np.mean(v["specificity"])) for m, v in found.items() if v["specificity"]}
    best = max(means, key=means.get, default=None)
    said = best and {
        "model": best,
        "specificity": means[best],
        "sensitivity": float(np.mean(found[best]["recall"])),
    }
    return table(names, rows, sortable=True), said


# ---- patients


def _overlap(overlap: dict) -> dict:
    rows = []
    for pair, classes in overlap.items():
        for name in ("all", "NORMAL", "PNEUMONIA"):
            one = classes[name]
            share = f"{100 * one['shared'] / one['images']:.1f}" if one["images"] else "nan"
            shared, images, patients = (f"{one[key]:,}" for key in ("shared", "images", "patients"))
            shown = "both" if name == "all" else name.lower()
            rows.append([pair, shown, share, shared, images, patients])
    names = "Images of … in … | Class | >Share, % | >With a patient seen there | >Of images"
    return table(f"{names} | >Such patients", rows)


def _resplits(study: Study, found: list[comparisons.Comparison]) -> dict:
    if not found:
        return item(study, runs=[], missing=["20", "21"], needs=["--resplits", "10"])
    names = dict.fromkeys(row.model for row in found)
    groups = study.resplits.values()
    runs = [run for chosen in groups for name in names for run in chosen.get(name, [])]
    title = "Test scores over re-splits"
    drawn = plot("resplits", report_figures_scores.resplits, title, study, found)
    data = report_data.resplits(study, list(names))
    return item(study, plot=drawn, data=data, table=_gaps(found), runs=runs)


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
        score = "F1" if row.score == "f1" else row.score
        ours = [row.model, score, sides[0], percent(row.paper), percent(row.percentile, 0)]
        test = [sides[1], interval, _thousandths(row.p), percent(row.detectable)]
        rows.append([*ours, *test, percent(row.given)])
    names = (
        "Model | Score | >By image, % | >The paper's, % | >By image, splits below it, %"
        " | >By patient, % | >Gap, points (95 % interval) | >p | >Gap it could see, points"
        " | >Given split, %"
    )
    return table(names, rows, sortable=True)


# ---- weights


def _weights(study: Study, model: str, run) -> tuple[dict, dict]:
    """What is said of a model's first layer, and its pictures; run: one with weights, or None."""
    said = {"model": model, "family": MODELS[model].family, "maps": None, "damaged": False}
    try:
        found = report_weights.maps(run) if run else None
    except report_weights.WeightsError:
        found, said["damaged"] = None, True
    if found is None:
        runs = [run] if run else []
        return said, item(study, runs=runs, missing=[model], needs=["--force"])
    said |= {"maps": found, "seed": run.seed, "size": run.image_size}
    units, name = [], f"weights-{model}"
    for n, (content, weight) in enumerate(found.units, 1):
        alt = f"What unit {n} of model {model} weighs each pixel with."
        caption = f"unit {n}, ×{weight:+.3f}".replace("-", "−")
        units.append(image(content, f"{name}-{n}", alt, caption))
    groups = [units]
    if found.whole:
        alt = f"What model {model} weighs each pixel with, {_seen(found)}."
        both = [image(found.whole, f"{name}-map", alt, "the whole map, the sum of the units below")]
        alt = f"The same weights over a drawn film, which is no radiograph: {_seen(found)}."
        over = "the same over a phantom, a drawn film"
        over += "; the ring: what stands out most sharply" if found.spot else ""
        groups.insert(0, [*both, image(found.over, f"{name}-over", alt, over)])
    bar = plot(name, report_weights.scale, f"Scale of the weights of model {model}", found)
    return said, item(study, plot=bar, images=groups, runs=[run])


def _seen(found: report_weights.Maps) -> str:
    """What can be said of a map without its picture."""
    words = f"{100 * found.frame:.0f} % of all weight in the outer tenth on each side"
    if spot := found.spot:
        place = f"{100 * spot.left:.0f} % from the left and {100 * spot.top:.0f} % from the top"
        words += f", the sharpest {'red' if spot.positive else 'blue'} spot {place}"
    return words

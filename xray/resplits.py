"""The same models on other splits of the same images: does it matter that patients are kept
apart?
"""

import math
from collections import defaultdict

import numpy as np
from scipy import stats

from xray import metrics, paper
from xray.specs import RESPLIT


def _finished(runs) -> list:
    return [run for run in runs if run.status == "finished"]


def _scores(run) -> dict:
    return metrics.count_scores(**metrics.confusion(run.logits["test"], run.labels["test"]))


def printed(model: str, score: str) -> float:
    """The paper's accuracy or F1 of a model as a fraction; the accuracy is the exact one, which its
    printed precision and recall imply (paper.implied): the accuracy in its tables is a batch
    mean."""
    return (
        paper.implied(model)[0].accuracy if score == "accuracy" else paper.SCORES[model][score]
    ) / 100


def compare(runs: dict, splits: dict) -> list[dict]:
    """Accuracy and F1 over re-splits of the same images, and whether it matters that patients are
    kept apart.

    runs: model -> runs on the given split. splits: "image-<seed>" or "patient-<seed>" -> model ->
    runs. A split's value is the mean over its seeds. Rows, for each model of RESPLIT with re-splits
    and score, and for model "all", the mean over the models that every split has (their scores on
    one split are not independent, so one value a split is tested): model, score, given (mean, nan
    where not run), image and patient (arrays of values, one a split), paper (nan for "all"),
    percentile: share of image re-splits below the paper's value, ties half (nan without any),
    gap: mean by image less mean by patient, gap_error: its standard error, p: Mann-Whitney's
    two-sided test of image against patient; nan where a side has fewer than two splits.
    """
    # (model, score) -> protocol -> split -> value
    values = defaultdict(lambda: {"image": {}, "patient": {}})
    for name, by_model in splits.items():
        for model in RESPLIT:
            table = [_scores(run) for run in _finished(by_model.get(model, []))]
            for score in ("accuracy", "f1") if table else ():
                values[model, score][name.split("-")[0]][name] = float(
                    np.mean([row[score] for row in table])
                )
    models = [model for model in RESPLIT if (model, "f1") in values]
    given = {model: [_scores(run) for run in _finished(runs.get(model, []))] for model in models}
    rows = []
    for score in ("accuracy", "f1"):
        for model in models:
            ours = [row[score] for row in given[model]]
            sides = {
                name: np.array(list(side.values())) for name, side in values[model, score].items()
            }
            rows.append(
                _resplit_row(
                    model,
                    score,
                    float(np.mean(ours)) if ours else math.nan,
                    sides,
                    printed(model, score),
                )
            )
        if len(models) > 1:
            sides = {}
            for name in ("image", "patient"):
                shared = set.intersection(*(set(values[model, score][name]) for model in models))
                sides[name] = np.array(
                    [
                        np.mean([values[model, score][name][split] for model in models])
                        for split in sorted(shared)
                    ]
                )
            means = [
                np.mean([row[score] for row in given[model]]) for model in models if given[model]
            ]
            rows.append(
                _resplit_row(
                    "all",
                    score,
                    float(np.mean(means)) if len(means) == len(models) else math.nan,
                    sides,
                    math.nan,
                )
            )
    return rows


def _resplit_row(model, score, given, sides, theirs) -> dict:
    # so that equal counts tie
    image, patients = (np.round(sides[name], 9) for name in ("image", "patient"))
    row = {
        "model": model,
        "score": score,
        "given": given,
        "image": image,
        "patient": patients,
        "paper": theirs,
        "percentile": math.nan,
        "gap": math.nan,
        "gap_error": math.nan,
        "p": math.nan,
    }
    if len(image) and theirs == theirs:
        row["percentile"] = float(
            stats.percentileofscore(image, round(theirs, 9), kind="mean") / 100
        )
    if min(len(image), len(patients)) > 1:
        row["gap"] = float(image.mean() - patients.mean())
        row["gap_error"] = float(
            math.sqrt(image.var(ddof=1) / len(image) + patients.var(ddof=1) / len(patients))
        )
        row["p"] = float(stats.mannwhitneyu(image, patients, alternative="two-sided").pvalue)
    return row

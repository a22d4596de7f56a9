"""Our scores beside the paper's, our splits beside each other, and the images that models miss. From records alone."""

import math
from collections import defaultdict

import numpy as np
from scipy import stats

from xray import metrics, paper
from xray.audit import kind, patient

SCORES = ("precision", "recall", "f1", "accuracy", "batch_mean_accuracy")
RESPLIT = ("20", "21", "23", "24", "20b", "21b", "23b", "24b")  # the Linear and MLP models of Figs 20 and 23


def _finished(runs) -> list:
    return [run for run in runs if run.status == "finished"]


def _scores(run) -> dict:
    logits, labels = run.logits["test"], run.labels["test"]
    exact = metrics.count_scores(**metrics.confusion(logits, labels))
    batch_mean = metrics.batch_mean_accuracy(logits, labels, run.spec.batch_size)
    return {name: float(value) for name, value in exact.items()} | {"batch_mean_accuracy": batch_mean}


def printed(model: str, score: str) -> float:
    """The paper's value of a score as a fraction. Its printed accuracy is a batch mean; the exact one is what its
    precision and recall imply (paper.implied)."""
    if score == "accuracy":
        return paper.implied(model)[0].accuracy / 100
    return paper.SCORES[model]["accuracy" if score == "batch_mean_accuracy" else score] / 100


def intervals(runs: dict) -> list[dict]:
    """Whether each of the paper's 15 × 5 scores could be one of ours: a row for each that has a finished run.

    runs: model -> runs. Rows: model, score, paper, ours (mean over seeds), seeds (their number);
    images: (low, high), 95 % bootstrap over the test images with the first seed's run, None for the batch mean, which
    depends on the images' order; over_seeds: (low, high), 95 % prediction interval for one more seed,
    mean ± t * sd * sqrt(1 + 1/n), None for fewer than three seeds; in_images, in_seeds: whether the paper's value lies
    in them, to the 0.05 points that it is rounded to, None where there is no interval. Fractions in 0-1.
    """
    rows = []
    for model in paper.SCORES:
        done = _finished(runs.get(model, []))
        if not done:
            continue
        table, n = [_scores(run) for run in done], len(done)
        bootstrap = metrics.bootstrap(done[0].logits["test"], done[0].labels["test"])
        for score in SCORES:
            values, theirs = np.array([row[score] for row in table]), printed(model, score)
            over_seeds = None
            if n >= 3:
                reach = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) * math.sqrt(1 + 1 / n)
                over_seeds = (float(values.mean() - reach), float(values.mean() + reach))
            images = bootstrap.get(score)
            rows.append({"model": model, "score": score, "paper": theirs, "ours": float(values.mean()), "seeds": n,
                         "images": images, "over_seeds": over_seeds,
                         "in_images": _inside(theirs, images), "in_seeds": _inside(theirs, over_seeds)})
    return rows


def _inside(value: float, interval) -> bool | None:
    return None if interval is None else bool(interval[0] - 5e-4 <= value <= interval[1] + 5e-4)


def resplits(runs: dict, splits: dict) -> list[dict]:
    """Accuracy and F1 over re-splits of the same images, and whether it matters that patients are kept apart.

    runs: model -> runs on the given split. splits: "image-<seed>" or "patient-<seed>" -> model -> runs. A split's value
    is the mean over its seeds. Rows, for each model of RESPLIT with re-splits and score, and for model "all", the mean
    over the models that every split has (their scores on one split are not independent, so one value a split is
    tested): model, score, given (mean, nan where not run), image and patient (arrays of values, one a split),
    paper (nan for "all"), percentile: share of image re-splits below the paper's value, ties half (nan without any),
    gap: mean by image less mean by patient, gap_error: its standard error, p: Mann-Whitney's two-sided test of image
    against patient; nan where a side has fewer than two splits.
    """
    values = defaultdict(lambda: {"image": {}, "patient": {}})  # (model, score) -> protocol -> split -> value
    for name, by_model in splits.items():
        for model in RESPLIT:
            table = [_scores(run) for run in _finished(by_model.get(model, []))]
            for score in ("accuracy", "f1") if table else ():
                values[model, score][name.split("-")[0]][name] = float(np.mean([row[score] for row in table]))
    models = [model for model in RESPLIT if (model, "f1") in values]
    given = {model: [_scores(run) for run in _finished(runs.get(model, []))] for model in models}
    rows = []
    for score in ("accuracy", "f1"):
        for model in models:
            ours = [row[score] for row in given[model]]
            sides = {name: np.array(list(side.values())) for name, side in values[model, score].items()}
            rows.append(_resplit_row(model, score, float(np.mean(ours)) if ours else math.nan, sides,
                                     printed(model, score)))
        if len(models) > 1:
            sides = {}
            for name in ("image", "patient"):
                shared = set.intersection(*(set(values[model, score][name]) for model in models))
                sides[name] = np.array([np.mean([values[model, score][name][split] for model in models])
                                        for split in sorted(shared)])
            means = [np.mean([row[score] for row in given[model]]) for model in models if given[model]]
            rows.append(_resplit_row("all", score, float(np.mean(means)) if len(means) == len(models) else math.nan,
                                     sides, math.nan))
    return rows


def _resplit_row(model, score, given, sides, theirs) -> dict:
    image, patients = (np.round(sides[name], 9) for name in ("image", "patient"))  # so that equal counts tie
    row = {"model": model, "score": score, "given": given, "image": image, "patient": patients, "paper": theirs,
           "percentile": math.nan, "gap": math.nan, "gap_error": math.nan, "p": math.nan}
    if len(image) and theirs == theirs:
        row["percentile"] = float(stats.percentileofscore(image, round(theirs, 9), kind="mean") / 100)
    if min(len(image), len(patients)) > 1:
        row["gap"] = float(image.mean() - patients.mean())
        row["gap_error"] = float(math.sqrt(image.var(ddof=1) / len(image) + patients.var(ddof=1) / len(patients)))
        row["p"] = float(stats.mannwhitneyu(image, patients, alternative="two-sided").pvalue)
    return row


def missed(runs: dict, paths: list[str]) -> dict:
    """Which test images models get wrong.

    runs: model -> runs on one split, all tested on the same images; a model's share is the mean over its seeds, and
    models count alike. paths: the test images' names, in order. Raises ValueError where they do not fit.

    images: a row each, most missed first: path, label, kind ("normal", "bacteria", "virus" or "pneumonia" where the
        name does not tell), patient (or None), missed (share of models, 0-1).
    by_kind: kind -> images, missed (mean share), never and mostly (images whose share is 0 and above a half).
    by_patient: the patients with two test images or more, most missed first: patient, images, missed (mean share).
    patients: how many are known by name; images_mostly, patients_mostly: images above a half, and their patients.
    """
    done = {model: _finished(group) for model, group in runs.items()}
    done = {model: group for model, group in done.items() if group}
    labels = next(iter(done.values()))[0].labels["test"] if done else np.empty(0, np.int64)
    if not len(labels) or len(paths) != len(labels):
        raise ValueError(f"{len(paths)} names do not fit {len(labels)} tested images")
    if any(not np.array_equal(run.labels["test"], labels) for group in done.values() for run in group):
        raise ValueError("the runs were not all tested on the same images")
    share = np.mean([np.mean([metrics.predictions(run.logits["test"]) != labels for run in group], axis=0)
                     for group in done.values()], axis=0)
    rows = [{"path": path, "label": int(label), "kind": (kind(path) or "pneumonia") if label else "normal",
             "patient": patient(path), "missed": float(value)} for path, label, value in zip(paths, labels, share)]
    by_kind, by_patient = defaultdict(list), defaultdict(list)
    for row in rows:
        by_kind[row["kind"]].append(row["missed"])
        if row["patient"]:
            by_patient[row["patient"]].append(row["missed"])
    several = [{"patient": name, "images": len(values), "missed": float(np.mean(values))}
               for name, values in by_patient.items() if len(values) > 1]
    return {
        "images": sorted(rows, key=lambda row: (-row["missed"], row["path"])),
        "by_kind": {name: {"images": len(values), "missed": float(np.mean(values)), "never": values.count(0.0),
                           "mostly": sum(value > 0.5 for value in values)} for name, values in sorted(by_kind.items())},
        "by_patient": sorted(several, key=lambda row: (-row["missed"], row["patient"])),
        "patients": len(by_patient), "images_mostly": sum(row["missed"] > 0.5 for row in rows),
        "patients_mostly": len({row["patient"] for row in rows if row["missed"] > 0.5 and row["patient"]}),
    }

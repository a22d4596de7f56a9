"""The four findings at the top of the report, in numbers (their words: templates/0-summary.j2)."""

import math

import numpy as np

from xray import curves
from xray.comparisons import printed
from xray.effects import ERROR, SPLITS, Evidence, NotRun, better
from xray.intervals import wilson
from xray.specs import MODELS
from xray.study import EVALUATED, Study, Summary


def numbers(study: Study, compared: list) -> dict:
    """simplest, complex, luck, moved, paper: see the functions. compared: what comparisons.compare
    gives."""
    exact = [printed(model, "accuracy") for model in EVALUATED]
    return {
        "simplest": _simplest(study, compared),
        "complex": _more_complex(study, compared),
        "luck": _luck(study),
        "moved": _moved(study, compared),
        "paper": {"span": max(exact) - min(exact), "models": len(exact)},
    }


def _over_images(compared: list) -> dict:
    """Model -> its accuracies over image re-splits, those with SPLITS of them or more."""
    rows = [row for row in compared if row.score == "accuracy"]
    return {row.model: row.sides["image"] for row in rows if len(row.sides["image"]) >= SPLITS}


def _simplest(study: Study, compared: list) -> dict | None:
    """How often model 20 is right: over re-splits where there are some, else over its runs."""
    found, summary = _over_images(compared).get("20"), study.summaries.get("20")
    if found is None and (summary is None or not summary.learned):
        return None
    values = [row["accuracy"] for row in summary.scores] if found is None else found
    theirs, learned = printed("20", "accuracy"), summary.learned if summary else []
    return {
        "given": summary.mean["accuracy"] if learned else None,
        "runs": len(learned),
        "mean": float(np.mean(values)),
        "low": min(values),
        "high": max(values),
        "splits": 0 if found is None else len(found),
        "paper": theirs,
        "among": bool(min(values) <= theirs <= max(values)),
    }


def _more_complex(study: Study, compared: list) -> list[dict]:
    """For MLPs and CNNs, the best of them less the best linear model, over image re-splits: the
    difference and its interval; without classes that have too few re-splits. sure: whether it is
    told from 0 although the best was picked on the same splits (Bonferroni, over the class)."""
    evidence, best = Evidence(study), {}
    means = {model: values.mean() for model, values in _over_images(compared).items()}
    for model in sorted(means, key=means.get):
        best[MODELS[model].family] = model
    found = []
    for family, name in (("CNN", "CNN"), ("Linear+ReLU", "MLP")):
        try:
            pair = best[family], best["Linear"]
            one = better(evidence, *pair, "accuracy")
        except (KeyError, NotRun):
            continue
        picked = sum(MODELS[model].family == family for model in means)
        ends = {"mean": one.mean, "low": one.low, "high": one.high, "splits": one.number}
        ends["sure"] = one.p * picked < ERROR
        found.append({"class": name, "model": pair[0], "linear": pair[1], **ends})
    return found


def _luck(study: Study) -> dict | None:
    """How many runs learned of the evaluated MLP of which there are most, and of the other
    classes' evaluated models together."""
    done = {model: len(one.learned) + one.lost for model, one in study.summaries.items()}
    mlps = [model for model in done if MODELS[model].family == "Linear+ReLU"]
    if not mlps:
        return None
    model = max(mlps, key=done.get)
    good = len(study.summaries[model].learned)
    low, high = wilson(good, done[model])
    others = [one for one in done if one not in mlps]
    return {
        "model": model,
        "learned": good,
        "runs": done[model],
        "low": low,
        "high": high,
        "dead": study.summaries[model].dead,
        "others": sum(done[one] for one in others),
        "others_lost": sum(study.summaries[one].lost for one in others),
    }


def _moved(study: Study, compared: list) -> dict:
    """By how much accuracy differs, as standard deviations, means over the evaluated models: from
    one split to the next, from seed to seed, from epoch to epoch at the end; nan without runs."""
    over = [values.std(ddof=1) for values in _over_images(compared).values()]
    several = [one for one in study.summaries.values() if len(one.learned) > 1]
    last = [end.std(ddof=1) for one in study.summaries.values() for end in ends(one)]
    found = {"split": over, "seed": [one.spread["accuracy"] for one in several], "epoch": last}
    return {name: float(np.mean(values)) if values else math.nan for name, values in found.items()}


def ends(summary: Summary) -> list[np.ndarray]:
    """Validation accuracy over the last third of the epochs of each run that learned, where that
    is more than one epoch."""
    found = [curves.last_third(run.history["validation_accuracy"]) for run in summary.learned]
    return [values for values in found if len(values) > 1]

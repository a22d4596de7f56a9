"""The report's head: what sets the study apart from the paper's, the findings, the scores."""

import math
from collections import defaultdict
from functools import lru_cache

import numpy as np
import pandas as pd

from xray import curves, paper
from xray.comparisons import printed
from xray.data_choices import PAPER
from xray.effects import ERROR, SPLITS, Evidence, NotRun, better
from xray.intervals import wilson
from xray.items import FAMILIES, Item, item, learned_rows, listed, numbers, tested, what_it_is
from xray.report_plots import Mark, colour_of, dots
from xray.report_shortcuts import elsewhere_table
from xray.report_table_3 import resplit_table
from xray.specs import IMAGE_SIZE, LEARNING_RATE_SEARCH, MODELS
from xray.study import EVALUATED, Study, not_trained

ABOUT = "about.txt"  # beside data.json: what is known of the data and no program can see
SCORES = ("accuracy", "f1")


@numbers("differences")
def differences(study: Study) -> dict:
    """All that sets this study apart from the paper's, a sentence each."""
    data, facts = study.runs[0].data, study.facts
    found = []
    if data["phantom"]:
        found.append("The images are phantoms, drawn by a program: no figure is about patients.")
    elif data["source"] != PAPER:
        found.append(
            f"The images were read from “{data['source']}”, not from the paper's copy on the Hub "
            f"({PAPER}), so their split may not be the paper's."
        )
    about = study.folder.parent / ABOUT
    found += about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    if study.split != "given":
        found.append(f"The splits are not the data's own but {study.split}.")
    if data["skipped"]:
        found.append(f"{data['skipped']} unreadable images were left out.")
    found += [f"{note}." for note in facts.get("notes", [])]
    sizes = facts.get("splits", paper.SPLIT_SIZES)
    if sizes != paper.SPLIT_SIZES:
        ours, theirs = (listed(f"{n:,}" for n in of.values()) for of in (sizes, paper.SPLIT_SIZES))
        found.append(f"The splits hold {ours} images instead of {theirs}.")
    found += _of_models(study)
    stored = facts.get("sizes", {})
    if stored and not data["phantom"] and f"{IMAGE_SIZE}x{IMAGE_SIZE}" not in stored:
        most = max(stored, key=stored.get).replace("x", "×")
        found.append(
            f"The data's images are not stored at 640×640 (most are {most}); each was scaled to "
            "the size of training."
        )
    missing = not_trained(study)
    models = [model for model in missing if model in MODELS]
    if models:
        found.append(f"{len(models)} of the 35 models are not trained yet: {', '.join(models)}.")
    rates = [model for model in missing if model in LEARNING_RATE_SEARCH]
    if rates:
        found.append(f"{len(rates)} settings of the learning-rate search are not trained yet.")
    return {"found": found, "phantom": data["phantom"]}


def _of_models(study: Study) -> list[str]:
    """How runs differ from the paper's, each with the models."""
    groups = defaultdict(list)
    for model, runs in study.chosen.items():
        notes = {note for run in runs for note in run.differs if not note.startswith("synthetic")}
        notes |= {f"{run.precision} instead of fp32" for run in runs if run.precision != "fp32"}
        for note in notes:
            groups[note].append(model)
    alike = defaultdict(list)
    for note, models in sorted(groups.items()):
        who = f"Models {', '.join(models)}" if len(models) > 1 else f"Model {models[0]}"
        alike["All models" if len(models) == len(study.chosen) else who].append(note)
    return [f"{who}: {'; '.join(notes)}." for who, notes in alike.items()]


# ---- the findings


@numbers("headline")
def headline(study: Study) -> dict:
    exact = [printed(model, "accuracy") for model in EVALUATED]
    return {
        "simplest": _simplest(study),
        "complex": _more_complex(study),
        "luck": _luck(study),
        "moved": _moved(study),
        "span": max(exact) - min(exact),
        "stand_in": study.runs[0].data["source"] != PAPER,
        "small_cnns": _small_cnns(study),
        "best": _best_of_ours(study),
    }


@lru_cache(maxsize=1)
def over_images(study: Study) -> dict[str, np.ndarray]:
    """Model -> its accuracies over image re-splits, those with SPLITS of them or more."""
    means = study.means.reset_index()
    means = means[means.kind == "image"].groupby("model", sort=False).accuracy
    return {model: values.to_numpy() for model, values in means if len(values) >= SPLITS}


def _small_cnns(study: Study) -> int:
    """The image size at which the paper's CNNs are shown, where it is not the paper's, else 0."""
    cnns = study.models[(study.models.family == "CNN") & study.models.index.isin(MODELS)]
    smallest = cnns.image_size.min() if len(cnns) else IMAGE_SIZE
    return int(smallest) if smallest < IMAGE_SIZE else 0


def _simplest(study: Study) -> dict | None:
    """How often model 20 is right: over re-splits where there are some, else over its runs."""
    given, found = learned_rows(study, "20").accuracy, over_images(study).get("20")
    values = given if found is None else found
    if not len(values):
        return None
    theirs = printed("20", "accuracy")
    return {
        "given": given.mean() if len(given) else None,
        "mean": float(np.mean(values)),
        "low": min(values),
        "high": max(values),
        "splits": 0 if found is None else len(found),
        "paper": theirs,
        "among": bool(min(values) <= theirs <= max(values)),
    }


def _more_complex(study: Study) -> list[dict]:
    """For CNNs and MLPs, the best of them less the best linear model, over image re-splits.

    sure: whether the difference is told from 0 although the best was picked on the same splits
    (Bonferroni, over the class).
    """
    evidence, best = Evidence(study), {}
    means = {model: values.mean() for model, values in over_images(study).items()}
    for model in sorted(means, key=means.get):
        best[MODELS[model].family] = model
    found = []
    for family in ("CNN", "Linear+ReLU"):
        try:
            one = better(evidence, best[family], best["Linear"], "accuracy")
        except (KeyError, NotRun):
            continue
        picked = sum(MODELS[model].family == family for model in means)
        found.append(
            {
                "class": FAMILIES[family],
                "model": best[family],
                "linear": best["Linear"],
                "mean": one.mean,
                "low": one.low,
                "high": one.high,
                "splits": one.number,
                "sure": one.p * picked < ERROR,
            }
        )
    return found


def _luck(study: Study) -> dict | None:
    """How many runs learned of the tested MLP of which there are most, and of the other classes'
    tested models together."""
    tested = study.models[study.models.index.isin(EVALUATED) & (study.models.finished > 0)]
    mlps, others = (tested[(tested.family == "Linear+ReLU") == is_mlp] for is_mlp in (True, False))
    if mlps.empty:
        return None
    one = mlps.loc[mlps.finished.idxmax()]
    low, high = wilson(one.learned, one.finished)
    return {
        "model": one.name,
        "learned": one.learned,
        "runs": one.finished,
        "low": low,
        "high": high,
        "dead": one.dead,
        "others": others.finished.sum(),
        "others_learned": others.learned.sum(),
    }


def _moved(study: Study) -> dict:
    """By how much accuracy differs, as standard deviations, means over the tested models: from one
    split to the next, from seed to seed, from epoch to epoch at the end; nan without runs."""
    found = {"split": [values.std(ddof=1) for values in over_images(study).values()]}
    scores = study.scores
    shown = scores[(scores.kind == "given") & scores.chosen & scores.learned]
    tested = shown[shown.model.isin(EVALUATED)]
    found["seed"] = tested.groupby("model").accuracy.std().dropna()
    ends = [curves.last_third(run.history["validation_accuracy"]) for run in tested.run]
    found["epoch"] = [end.std(ddof=1) for end in ends if len(end) > 1]
    return {what: float(np.mean(v)) if len(v) else math.nan for what, v in found.items()}


def _best_of_ours(study: Study) -> dict | None:
    """Table 3's model that is most accurate by patient, and how it ranks the films elsewhere."""
    over = resplit_table(study)
    ours = [row for row in over.itertuples() if row.model not in MODELS]
    if not ours:
        return None
    one = max(ours, key=lambda row: row.accuracy[0])
    there = elsewhere_table(study)
    there = there[(there.name == one.model) & (there["where"] == "there")]
    areas = there[there.score == "roc_auc"]
    elsewhere = list(zip(areas.films, areas.value))
    return {"model": one.model, "accuracy": one.accuracy[0], "elsewhere": elsewhere}


@item(
    "glance",
    "Test scores of the 15 models that the paper tests",
    again="python scripts/train.py --seeds 0-4 --resplits 30",
)
def glance(study: Study) -> Item:
    """A row a model: runs as dots, image re-splits as strokes, the paper's value."""
    there = tested(study, "finished")
    if not there:
        return Item(models=EVALUATED)
    there.sort(key=lambda model: list(FAMILIES).index(MODELS[model].family))
    marks, notes, rows = [], {}, []
    for model in there:
        about = study.models.loc[model]
        family, *more = what_it_is(model).split(", ")
        name = f"{model} · {', '.join([family, str(MODELS[model].batch_size), *more])}"
        if about.lost:
            notes[name] = f"{about.learned} of {about.finished} learned"
        runs = learned_rows(study, model)
        splits = learned_rows(study, model, "image").groupby("split")[list(SCORES)].mean()
        for panel, score in enumerate(SCORES):
            look = {"row": name, "colour": colour_of(model), "panel": panel}
            marks += [Mark(value=100 * v, lane=0.2, kind="|", **look) for v in splits[score]]
            marks += [Mark(value=100 * v, lane=-0.2, faint=True, **look) for v in runs[score]]
            theirs = 100 * printed(model, score)
            marks.append(Mark(name, theirs, colour="paper", kind="D", filled=False, panel=panel))
        rows.append(runs[["model", "split", "seed", *SCORES]])
        rows.append(splits.reset_index().assign(model=model))
    legend = {
        "a run on the given split": Mark("", 0, faint=True, colour="quiet"),
        "a re-split of the images": Mark("", 0, kind="|", colour="quiet"),
        "the paper": Mark("", 0, colour="paper", kind="D", filled=False),
    }
    return Item(
        picture=dots(marks, ("Accuracy, %", "F1, %"), legend, notes=notes),
        alt="Accuracy and F1 of each run and re-split; the means stand in Figures 20, 23 and 25.",
        data=pd.concat(rows),
    )

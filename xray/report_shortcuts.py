"""Sections 6.1 to 6.3: what can be told without a lung, what moves the trained models, and films of
another hospital.

Frames here have a row a value: value, low, high are fractions, the ends those of a 95 % interval.
"""

from functools import lru_cache
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from xray import baselines, changes, external, intervals
from xray.items import (
    Item,
    decimals,
    item,
    learned_runs,
    listed,
    percent,
    signed,
    tested,
)
from xray.report_plots import Line, Mark, colour, dots, lines
from xray.specs import KNOWN, MODELS
from xray.study import Study, test_share

LUNGLESS, SOME_LUNG, MODEL, OTHER = "no lung", "some lung", "model", "another's model"
HUES = {LUNGLESS: "paper", SOME_LUNG: "none", OTHER: "ink"}  # models have their class's
THUMBNAIL = baselines.CURVE
EVALUATE = "python scripts/evaluate.py"
ELSEWHERE = f"{EVALUATE} --data FOLDER --record NAME"
MARKS = "osD^vP*Xh<>"
EDGE_OF_OTHER = "outer 10 % of the other class"
BOX_OF_OTHER = "lung box of the other class"
ENLARGED = 12  # points to which the picture of small changes reaches
SMALL = 0.01  # a change of AUC that surely is within it is none


def frame(rows: list[tuple], columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def mark(row, name: str, **look) -> Mark:
    """A row's value and interval, in percent or points."""
    return Mark(name, 100 * row.value, 100 * row.low, 100 * row.high, **look)


def ends(values: pd.Series) -> tuple[float, float]:
    return values.min(), values.max()


def in_points(low: float, high: float) -> str:
    return f"{signed(100 * low)} to {signed(100 * high)}"


# ---- what lies beside the study's runs, each read once


@lru_cache(maxsize=1)
def baselines_by_split(study: Study) -> dict[str, dict]:
    return baselines.read(study.folder)


def baselines_of(study: Study) -> dict:
    """Those of the study's own split: labels, baselines, curve; {} without."""
    return baselines_by_split(study).get(study.split, {})


@lru_cache(maxsize=1)
def changes_of(study: Study) -> dict:
    """Changed films of the study's own split (changes.read): labels, models; {} without."""
    return changes.read(study.folder).get(study.split, {})


@lru_cache(maxsize=1)
def films_elsewhere(study: Study) -> list[dict]:
    return external.read(study.folder)


# ---- 6.1 baselines


def sees(baseline: str) -> str:
    return LUNGLESS if baseline in baselines.WITHOUT_LUNG else SOME_LUNG


def best_without_lung(found: dict) -> str:
    """The baseline without lung that classifies most validation films correctly."""
    labels = found["labels"]["validation"]
    there = [name for name in baselines.WITHOUT_LUNG if name in found["baselines"]]
    logits = {name: found["baselines"][name]["validation"] for name in there}
    return max(there, key=lambda name: np.mean((logits[name] > 0) == labels))


def right(found: dict, baseline: str) -> float:
    """A baseline's test accuracy. found: of one split."""
    return float(np.mean((found["baselines"][baseline]["test"] > 0) == found["labels"]["test"]))


def scored(logits, labels) -> list[tuple]:
    """(score, value, low, high) of accuracy and roc_auc, over other test films; the AUC of one
    class is left out."""
    values, reach = intervals.influence(logits, labels), intervals.of_model(logits, labels)
    both = [score for score in ("accuracy", "roc_auc") if score in values]
    return [(score, values[score][0], *reach[score]) for score in both]


@lru_cache(maxsize=1)
def baseline_table(study: Study) -> pd.DataFrame:
    """Accuracy and AUC of the baselines, then of the tested models: name, sees, numbers (that a
    film is reduced to; 0: all pixels), score, value, low, high: of models where one run of another
    seed lands (study.summary)."""
    found, rows = baselines_of(study), []
    for name, one in found.get("baselines", {}).items():
        about = name, sees(name), one["features"]
        rows += [(*about, *score) for score in scored(one["test"], found["labels"]["test"])]
    rows.sort(key=lambda row: row[1] != LUNGLESS)
    for model in tested(study) if found else ():
        for score in ("accuracy", "roc_auc"):
            three = study.summary.loc[(model, score), ["mean", "low", "high"]]
            rows.append((model, MODEL, 0, score, *three))
    return frame(rows, "name sees numbers score value low high")


@item("baselines", "Baselines beside the models", again=EVALUATE)
def _baselines(study: Study) -> Item | None:
    table, found = baseline_table(study), baselines_of(study)
    if table.empty:
        return None
    panels = {"accuracy": 0, "roc_auc": 1}
    marks = [
        mark(row, row_name(row), colour=hue(row), panel=panels[row.score])
        for row in table.itertuples()
    ]
    legend = {"baseline without lung": "paper", "other baseline": "none"}
    legend |= {"Linear": "linear", "MLP": "mlp", "CNN": "cnn"}
    names = table.name[table.sees != MODEL].nunique()
    leader = table.loc[table.value.where(table.score == "accuracy").idxmax()]
    return Item(
        picture=dots(
            marks,
            ("test accuracy, %", "AUC, %"),
            {words: Mark("", 0, colour=name) for words, name in legend.items()},
            high=0.19,
        ),
        alt=f"Accuracy and AUC of {names} baselines and of the models, with 95 % intervals; the "
        f"highest accuracy: {leader['name']}, {percent(leader.value)} %.",
        data=table,
        numbers=_baseline_numbers(table, found),
    )


def _baseline_numbers(table: pd.DataFrame, found: dict) -> dict:
    accuracy = table[table.score == "accuracy"].set_index("name")
    best = best_without_lung(found)
    asked = {"without_lung": best, "thumbnail": THUMBNAIL, "corners": "corners", "ring": "1 % ring"}
    asked |= {"header": baselines.HEADER} if baselines.HEADER in accuracy.index else {}
    said = {key: tuple(accuracy.loc[name, ["value", "low", "high"]]) for key, name in asked.items()}
    models = accuracy.value[accuracy.sees == MODEL]
    area = table[(table.name == best) & (table.score == "roc_auc")]
    return said | {
        "best": best,
        "tells_apart": bool((area.low > 0.5).any()),
        "models": ends(models) if len(models) else None,
        "box": [decimals(100 * share, 0) for share in baselines.BOX],
    }


def row_name(row) -> str:
    """row: of a frame's itertuples."""
    return f"model {row.name}" if row.sees == MODEL else row.name


def hue(row) -> str:
    return colour(KNOWN[row.name]) if row.sees == MODEL else HUES[row.sees]


@lru_cache(maxsize=1)
def margin_table(study: Study) -> pd.DataFrame:
    """A model's accuracy less a baseline's (the best without lung's, the thumbnail's) on the same
    films: model, baseline, kind of split, splits (how many), value, low, high. On the given split
    over other test films and seeds, on re-splits by the corrected t-test."""
    found, rows = baselines_of(study), []
    for baseline in (best_without_lung(found), THUMBNAIL) if found else ():
        theirs, labels = found["baselines"][baseline]["test"], found["labels"]["test"]
        for model in tested(study):
            logits = [run.logits["test"] for run in learned_runs(study, model)]
            gap = intervals.of_difference(logits, [theirs], labels)["accuracy"]
            rows.append((model, baseline, "given", 1, *gap))
        rows += _margins_over_splits(study, baseline)
    return frame(rows, "model baseline kind splits value low high")


def _margins_over_splits(study: Study, baseline: str) -> list[tuple]:
    """Rows of `margin_table` of all kinds with two re-splits or more."""
    rows, every = [], baselines_by_split(study).items()
    found = {split: one for split, one in every if baseline in one["baselines"]}
    means = study.means.accuracy.reset_index()
    means = means.assign(split=means.kind + "-" + means.number.astype(str))
    means = means[means.split.isin(found) & means.model.isin(tested(study))]
    gaps = means.accuracy - [right(found[split], baseline) for split in means.split]
    for (model, kind), values in gaps.groupby([means.model, means.kind]):
        if len(values) > 1:
            mean = intervals.mean_of(values, test_share(study))
            rows.append((model, baseline, kind, len(values), mean.mean, mean.low, mean.high))
    return rows


@item("margins", "What the models add to two baselines", again=EVALUATE)
def _margins(study: Study) -> Item | None:
    table = margin_table(study)
    if table.empty:
        return None
    names = list(table.baseline.unique())
    looks = {"given": "given split", "image": "re-splits by image", "patient": "by patient"}
    kinds = dict(zip(looks, MARKS))
    marks = []
    for model in tested(study):
        for row in table[table.model == model].itertuples():
            look = {"colour": colour(MODELS[model]), "panel": names.index(row.baseline)}
            look |= {"kind": kinds[row.kind], "filled": row.kind == "given"}
            lane = 0.26 * (list(kinds).index(row.kind) - 1)
            marks.append(mark(row, model, **look, lane=lane))
    legend = {
        words: Mark("", 0, kind=kinds[kind], filled=kind == "given")
        for kind, words in looks.items()
    }
    given = table[table.kind == "given"]
    said = [f"{name}: {in_points(*ends(of.value))}" for name, of in given.groupby("baseline")]
    other, thumbnail = (given[given.baseline == name] for name in names)
    return Item(
        picture=dots(
            marks,
            tuple(f"accuracy less that of “{name}”, points" for name in names),
            legend,
            references={"no difference": [0, 0]},
            high=0.36,
        ),
        alt=f"What each model adds on the given split, in points; {'; '.join(said)}.",
        data=table,
        numbers={
            "models": len(thumbnail),
            "baseline": names[0],
            "above_lungless": int((other.low > 0).sum()),
            "above_thumbnail": int((thumbnail.low > 0).sum()),
            "below_thumbnail": int((thumbnail.high < 0).sum()),
        },
    )


@item("learning-curve", "A 16×16 thumbnail learned from fewer films", again=EVALUATE)
def _learning_curve(study: Study) -> Item | None:
    found, rows = baselines_of(study), []
    for count, one in found.get("curve", {}).items():
        rows += [(count, *score) for score in scored(one["test"], found["labels"]["test"])]
    table = frame(rows, "films score value low high")
    if table.empty:
        return None
    shown = table[table.score == "accuracy"].drop(columns="score").set_index("films") * 100
    films, name = list(shown.index), "logistic regression on 16×16 pixels"
    models = [model for model in ("20", "22b") if model in tested(study)]
    said = [f"{decimals(value)} ({count:,})" for count, value in shown.value.items()]
    return Item(
        picture=lines(
            [Line(films, shown.value, "ink", name, marker="o", low=shown.low, high=shown.high)],
            x="training films",
            y="test accuracy, %",
            log=2,
            ticks=films,
            references={
                f"model {model}": 100 * study.summary.loc[(model, "accuracy"), "mean"]
                for model in models
            },
        ),
        alt=f"Test accuracy, % (training films): {', '.join(said)}.",
        data=table,
    )


# ---- 6.2 changed films


@lru_cache(maxsize=1)
def change_table(study: Study) -> pd.DataFrame:
    """What changes to the test films do to scores: change, model, image_size, score (roc_auc,
    recall, specificity), value (the difference), low, high, over other test films."""
    found, rows = changes_of(study), []
    for one in found.get("models", ()):
        before = [one["logits"][changes.UNCHANGED]]
        for change, logits in one["logits"].items():
            gaps = intervals.of_difference([logits], before, found["labels"])
            about = change, one["model"], one["image_size"]
            rows += [
                (*about, score, *gaps[score]) for score in ("roc_auc", "recall", "specificity")
            ]
    table = frame(rows, "change model image_size score value low high")
    return table[table.change != changes.UNCHANGED]


def change_picture(table: pd.DataFrame) -> Figure:
    """The change in AUC, a row a change, a mark a model: all, and small changes enlarged."""
    models = list(table.model.unique())
    looks = {m: {"colour": colour(KNOWN[m]), "kind": kind} for m, kind in zip(models, cycle(MARKS))}
    marks = []
    for panel in (0, 1):
        for row in table[table.score == "roc_auc"].itertuples():
            lane = 0.15 * (models.index(row.model) - (len(models) - 1) / 2)
            marks.append(mark(row, row.change, **looks[row.model], lane=lane, panel=panel))
    return dots(
        marks,
        ("change in AUC, points", "the same, small changes enlarged"),
        {f"model {model}": Mark("", 0, **look) for model, look in looks.items()},
        references={"no change": [0, 0]},
        limits={1: (-ENLARGED, ENLARGED / 4)},
        high=0.3,
    )


@item("changes", "The trained models on changed test films", again=EVALUATE)
def _changes(study: Study) -> Item | None:
    table = change_table(study)
    table = table[table.model.isin(MODELS)]
    auc = table[table.score == "roc_auc"]
    if auc.empty:
        return None
    cells = auc.groupby(["change", "model"], sort=False).value.first().unstack()
    cells = cells.map(lambda gap: signed(100 * gap))
    by_change = auc.groupby("change", sort=False)
    reach = by_change[["low", "high"]].agg(lambda side: side.abs().max()).max(axis=1)
    spans = {change: in_points(*ends(of.value)) for change, of in by_change}
    return Item(
        picture=change_picture(table),
        alt=f"The change in AUC of {auc.model.nunique()} models under {len(cells)} changes of the "
        "test films; the table holds the values.",
        table=cells.rename_axis("Change").reset_index(),
        caption="Change in AUC against the unchanged films, points, by model",
        data=table,
        numbers={
            "spans": spans,
            "edge_read": bool((auc.high[auc.change == EDGE_OF_OTHER] < 0).all()),
            "nothing": list(reach.index[reach <= SMALL]),
        },
    )


# ---- 6.3 another hospital


def first_seeds(models: list[dict]) -> list[dict]:
    """Of records of films elsewhere, each model's with the lowest seed, in the paper's order."""
    first = {}
    for one in sorted(models, key=lambda one: (list(KNOWN).index(one["model"]), one["seed"])):
        first.setdefault(one["model"], one)
    return list(first.values())


def in_words(name: str) -> str:
    return name.replace("_", " ")


def area(logits, labels, owners=None) -> tuple[float, float, float]:
    """AUC and its 95 % interval over other patients."""
    return external.scores(logits, labels, 0.0, owners)["roc_auc"]


def mean_area(study: Study, pairs: list[tuple]) -> tuple[float, float, float] | None:
    """Mean AUC of (logits, labels), one a re-split, and its interval; None for fewer than two."""
    if len(pairs) < 2:
        return None
    values = [intervals.influence(*pair)["roc_auc"][0] for pair in pairs]
    mean = intervals.mean_of(values, test_share(study))
    return mean.mean, mean.low, min(1.0, mean.high)


@lru_cache(maxsize=1)
def elsewhere_table(study: Study) -> pd.DataFrame:
    """Models with weights, Table 3's too, baselines, and models whose probabilities come with the
    films, here and elsewhere: films (the source's name), name, sees, image_size, where, score,
    value, low, high.

    where: "here", the given test split; "unshared", the mean over re-splits that share no patient;
    "there". score: roc_auc; of models there also accuracy, recall and specificity, at the threshold
    that finds 95 % of pneumonia on validation films. Intervals there are over other patients.
    """
    rows = []
    for films in films_elsewhere(study):
        labels, owners = films["labels"], films["patients"]
        for one in first_seeds(films["models"]):
            about = films["name"], one["model"], MODEL, one["image_size"]
            for where, three in _areas_of_model(study, one).items():
                rows += [(*about, where, "roc_auc", *three)] if three else []
            there = external.scores(one["logits"], labels, one["cut"], owners)
            for score in ("roc_auc", "accuracy", "recall", "specificity"):
                rows.append((*about, "there", score, *there[score]))
        for name in (baselines.HEADER, *baselines.RESPLIT):
            about = films["name"], name, sees(name), 0
            if name in films["baselines"] and name in baselines_of(study).get("baselines", {}):
                for where, three in _areas_of_baseline(study, name).items():
                    rows += [(*about, where, "roc_auc", *three)] if three else []
                there = area(films["baselines"][name], labels, owners)
                rows.append((*about, "there", "roc_auc", *there))
        for name, values in external.references(films["columns"]).items():
            there = _area_among(films, values, ~np.isnan(values))
            rows.append((films["name"], in_words(name), OTHER, 0, "there", "roc_auc", *there))
    return frame(rows, "films name sees image_size where score value low high")


def _areas_of_model(study: Study, one: dict) -> dict:
    """AUC here and unshared, of the run whose weights a record of films elsewhere was made with."""
    scores, found = study.scores, {}
    for run in scores.run[(scores.model == one["model"]) & (scores.kind == "given")]:
        if run.weights and run.weights.get("sha256") == one["weights"]:
            found["here"] = area(run.logits["test"], run.labels["test"])
            break
    runs = learned_runs(study, one["model"], "patient")
    pairs = [(run.logits["test"], run.labels["test"]) for run in runs]
    return found | {"unshared": mean_area(study, pairs)}


def _areas_of_baseline(study: Study, name: str) -> dict:
    pairs = {
        split: (one["baselines"][name]["test"], one["labels"]["test"])
        for split, one in baselines_by_split(study).items()
        if name in one["baselines"]
    }
    by_patient = [pair for split, pair in pairs.items() if split.startswith("patient")]
    return {"here": area(*pairs[study.split]), "unshared": mean_area(study, by_patient)}


def _area_among(films: dict, values: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """AUC of the films that the mask shows."""
    owners = [owner for owner, shown in zip(films["patients"], mask) if shown]
    return area(values[mask], films["labels"][mask], owners)


def of_paper(table: pd.DataFrame) -> pd.DataFrame:
    """A frame's rows without models that are not the paper's."""
    return table[(table.sees != MODEL) | table.name.isin(MODELS)]


@item("elsewhere", "The models on films of another hospital, and on this study's own", ELSEWHERE)
def _elsewhere(study: Study) -> Item | None:
    table = of_paper(elsewhere_table(study))
    if table.empty:
        return None
    auc = table[table.score == "roc_auc"]
    words = {"here": "this study's test films", "unshared": "re-splits without a shared patient"}
    kinds = dict(zip([*words, *auc.films.unique()], cycle(MARKS)))
    lanes = {"here": -0.24, "unshared": 0.0, "there": 0.24}
    marks = []
    for row in auc.itertuples():
        there = row.where == "there"
        look = {"kind": kinds[row.films if there else row.where], "filled": there}
        marks.append(mark(row, row_name(row), colour=hue(row), lane=lanes[row.where], **look))
    legend = {
        words.get(kind, f"films of {kind}"): Mark("", 0, kind=form, filled=kind not in words)
        for kind, form in kinds.items()
    }
    ours = auc[auc.sees == MODEL].groupby("where").value
    said = [f"{where} {percent(of.min())}–{percent(of.max())} %" for where, of in ours]
    told = [_told(study, films) for films in films_elsewhere(study)]
    return Item(
        picture=dots(marks, ("AUC, %",), legend, references={"chance": [50]}, high=0.3),
        alt="AUC of models and baselines here, on re-splits without a shared patient (unshared) "
        f"and there; of the models: {', '.join(said)}.",
        data=table,
        numbers={"films": [films for films in told if films["models"]]},
    )


def _told(study: Study, films: dict) -> dict:
    """What the chapter says of one source of films elsewhere; of the paper's models' scores the
    lowest and the highest."""
    table, groups = elsewhere_table(study), group_table(study)
    table, groups = table[table.films == films["name"]], groups[groups.films == films["name"]]
    models, there = table[table.name.isin(MODELS)], table[table["where"] == "there"]
    here = table[table["where"] == "here"].set_index("name").value
    sizes = models.groupby("name", sort=False).image_size.first()
    turned = there[(there.sees == LUNGLESS) & (there.high < 0.5)]
    return {
        "name": films["name"],
        "count": len(films["labels"]),
        "pneumonia": int(films["labels"].sum()),
        "patients": len(set(films["patients"])),
        "models": len(sizes),
        "runs": listed(f"{model} at {size}×{size}" for model, size in sizes.items()),
        "here": ends(models.value[models["where"] == "here"]) if len(here) else None,
        "scores": {score: ends(of.value) for score, of in models.groupby("score")},
        "groups": {
            name: {
                "auc": ends(of.value),
                "above": int((of.low > 0.5).sum()),
                "below": int((of.high < 0.5).sum()),
                "at_chance": bool(of.low.median() <= 0.5),
            }
            for name, of in groups[groups.name.isin(MODELS)].groupby("group", sort=False)
        },
        "others": [
            {"name": row.name, "auc": (row.value, row.low, row.high)}
            for row in there[there.sees == OTHER].itertuples(index=False)
        ],
        "turned": [
            {"name": row.name, "there": row.value, "here": here.get(row.name, np.nan)}
            for row in turned.itertuples(index=False)
        ],
    }


@lru_cache(maxsize=1)
def group_table(study: Study) -> pd.DataFrame:
    """AUC in groups of films elsewhere with external.FEWEST films of either class or more: films
    (the source's name), group, normal, pneumonia (how many), name, sees, value, low, high."""
    rows = []
    for films in films_elsewhere(study):
        labels, others = films["labels"], external.references(films["columns"])
        groups = {"all": np.ones(len(labels), bool)} | external.groups(films["columns"], labels)
        groups |= {f"with {in_words(name)}": ~np.isnan(v) for name, v in others.items()}
        asked = [(one["model"], MODEL, one["logits"]) for one in first_seeds(films["models"])]
        asked += [
            (name, sees(name), films["baselines"][name])
            for name in ("outside the lung box", THUMBNAIL)
            if name in films["baselines"]
        ]
        asked += [(in_words(name), OTHER, values) for name, values in others.items()]
        for group, inside in groups.items():
            for name, kind, values in asked:
                mask = inside & ~np.isnan(values)
                counts = np.bincount(labels[mask], minlength=2)
                if counts.min() >= external.FEWEST:
                    auc = _area_among(films, values, mask)
                    rows.append((films["name"], group, *counts, name, kind, *auc))
    return frame(rows, "films group normal pneumonia name sees value low high")


@item("groups", "The same by view, sex and age", again=ELSEWHERE)
def _groups(study: Study) -> Item | None:
    table = of_paper(group_table(study))
    if table.empty:
        return None
    names, several = list(table.name.unique()), table.films.nunique() > 1
    kinds, marks, counts, legend = dict(zip(names, cycle(MARKS))), [], {}, {}
    for row in table.itertuples():
        group = f"{row.films}: {row.group}" if several else row.group
        look = {"colour": hue(row), "kind": kinds[row.name]}
        lane = min(0.1, 0.9 / len(names)) * (names.index(row.name) - (len(names) - 1) / 2)
        marks.append(mark(row, group, **look, lane=lane))
        counts.setdefault(group, f"{row.normal} + {row.pneumonia}")
        legend.setdefault(row_name(row), Mark("", 0, **look))
    return Item(
        picture=dots(
            marks,
            ("AUC, %; at the right: films, normal + pneumonia",),
            legend,
            references={"chance": [50]},
            notes=counts,
            high=0.62,
        ),
        alt="AUC of models and baselines by group of films; the text says what matters.",
        data=table,
    )

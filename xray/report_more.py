"""The appendices: rules that were changed, ranking and calibration, patients and
re-splits, films that are missed, how it can be repeated."""

from collections import Counter
from functools import lru_cache

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from xray import claims, comparisons, metrics
from xray.data_splits import cause_of
from xray.deviations import DEVIATIONS
from xray.items import (
    ALL,
    FAMILIES,
    Item,
    item,
    learned_runs,
    listed,
    numbers,
    percent,
    plus_minus,
    points,
    span,
    tested,
    two_formats,
)
from xray.report_plots import Line, Mark, colour, dots, lines
from xray.report_verdicts import judged
from xray.specs import MODELS
from xray.study import EVALUATED, Study

FEWEST = 10  # films in a bin of the calibration curve, below which it is not drawn
MOST_MISSED = 7  # films shown; more where more are missed by all


# ---- A: rules that were changed


@item("deviations", "Rules that were changed after results were seen")
def _deviations(study: Study) -> Item:
    now = {verdict.id: verdict.verdict for verdict in judged(study)}
    rows = []
    for entry in DEVIATIONS:
        moved = [claim for claim, before in entry.before.items() if now[claim] != before]
        row = {"Date": entry.date, "Old rule": entry.old, "New rule": entry.new, "Why": entry.why}
        rows.append(row | {"Verdicts that differ": ", ".join(moved)})
    table = pd.DataFrame(rows)
    shown = table[table["Verdicts that differ"] != ""]
    return Item(
        table=shown.drop(columns="Why"),
        caption="Changes after which verdicts differ: on that day's records, against this study's "
        "by today's rules",
        data=table,
        numbers={"primary": listed(claims.PRIMARY), "without": len(table) - len(shown)},
    )


# ---- C: ranking and calibration


def _style(model: str) -> dict:
    """The look of a model's line: its class's hue, lighter where weighted; dashed for batches of
    64, dotted with L2."""
    spec = MODELS[model]
    dash = ":" if spec.weight_decay else "--" if spec.batch_size == 64 else "-"
    return {"colour": colour(spec, light=spec.class_weight), "dash": dash}


LOOKS = [
    Line([], [], "quiet", "batches of 32"),
    Line([], [], "quiet", "of 64", "--"),
    Line([], [], "quiet", "of 64, with L2", ":"),
    Line([], [], "none", "fainter: weighted loss"),
]


@lru_cache
def rate_table(study: Study) -> pd.DataFrame:
    """Mean curves of the runs that learned: model, x from 0 to 1, sensitivity (at a false-positive
    rate of x), precision (at a recall of x)."""
    grid, parts = np.linspace(0, 1, 201), []
    for model in tested(study):
        pairs = [_rates(run, grid) for run in learned_runs(study, model, "given")]
        sensitivity, precision = np.mean(pairs, axis=0)
        columns = {"model": model, "x": grid, "sensitivity": sensitivity, "precision": precision}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts) if parts else pd.DataFrame()


def _rates(run, grid) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = run.logits["test"], run.labels["test"]
    false_positives, sensitivity, _ = roc_curve(labels, logits, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(labels, logits)
    best = np.maximum.accumulate(precision)
    at_recall = np.interp(grid, recall[::-1], best[::-1])
    return np.interp(grid, false_positives, sensitivity), at_recall


@item("ranking", "How well the models rank films", again=ALL)
def _ranking(study: Study) -> Item:
    both = study.baseline and study.baseline["tp"] and study.baseline["fp"]
    table = rate_table(study) if both else pd.DataFrame()
    if table.empty:
        return Item(models=EVALUATED)
    series = list(LOOKS)
    for model, curve in table.groupby("model", sort=False):
        panel, x = list(FAMILIES).index(MODELS[model].family), 100 * curve.x
        for row, score in enumerate(("sensitivity", "precision")):
            y = list(100 * curve[score])
            series.append(Line(list(x), y, **_style(model), panel=panel + 3 * row))
    titles = (*FAMILIES.values(), "", "", "")
    limits = {panel: (0, 40, 60, 100.5) for panel in (0, 1, 2)}
    limits |= {panel: (60, 100.5, 60, 100.5) for panel in (3, 4, 5)}
    return Item(
        picture=lines(
            series,
            titles,
            x=("false positives, % of normal",) * 3 + ("sensitivity (recall), %",) * 3,
            y=("sensitivity, %", "", "", "precision, %", "", ""),
            limits=limits,
            columns=3,
            height=2.1,
        ),
        alt="ROC curves above, precision over recall below, one panel per class, one line per "
        "model; the table below holds the areas.",
        data=table,
    )


@lru_cache
def calibration_table(study: Study) -> pd.DataFrame:
    """Ten bins of the stated probability on the test split, runs that learned together: model,
    low, high (edges), films, stated (mean probability), pneumonia (share with it)."""
    parts = []
    for model in tested(study):
        runs = learned_runs(study, model, "given")
        logits = np.concatenate([run.logits["test"] for run in runs])
        labels = np.concatenate([run.labels["test"] for run in runs])
        found = metrics.reliability(logits, labels, bins=10)
        columns = {"model": model, "low": found["edges"][:-1], "high": found["edges"][1:]}
        columns |= {"films": found["count"], "stated": found["probability"]}
        parts.append(pd.DataFrame(columns | {"pneumonia": found["positive"]}))
    return pd.concat(parts) if parts else pd.DataFrame()


@item("calibration", "What a stated probability is worth", again=ALL)
def _calibration(study: Study) -> Item:
    table = calibration_table(study)
    if table.empty:
        return Item(models=EVALUATED)
    series = [Line([0, 100], [0, 100], "none", panel=panel) for panel in range(3)]
    series += LOOKS
    for model, bins in table[table.films >= FEWEST].groupby("model", sort=False):
        panel = list(FAMILIES).index(MODELS[model].family)
        ends = list(100 * bins.stated), list(100 * bins.pneumonia)
        series.append(Line(*ends, **_style(model), marker="o", panel=panel))
    return Item(
        picture=lines(
            series,
            tuple(FAMILIES.values()),
            x="stated probability, %",
            y="share with pneumonia, %",
            limits={panel: (0, 100, 0, 100) for panel in range(3)},
            square=True,
        ),
        alt="The share of films with pneumonia over the stated probability, one panel per class, "
        "one line per model; a perfect one follows the diagonal.",
        data=table,
    )


@item("ranking-scores", "AUC, and a threshold that may miss 1 in 20", again=ALL)
def _ranking_scores(study: Study) -> Item:
    rows = []
    for model in tested(study):
        scores = study.summary.loc[model]
        found = _at_sensitivity(learned_runs(study, model, "given"))
        area = scores.loc["roc_auc"]
        rows.append(
            {
                "Model": model,
                "AUC, %": span(area["mean"], area["low"], area["high"]),
                "Sensitivity, %": plus_minus(100 * found.recall),
                "Specificity, %": plus_minus(100 * found.specificity),
            }
        )
    return Item(
        table=pd.DataFrame(rows),
        caption="Means over the runs that learned (95 % interval of one run); sensitivity and "
        "specificity at the threshold that finds 95 % of pneumonia on validation films",
    )


def _at_sensitivity(runs) -> pd.DataFrame:
    """A row a run: the scores on its test films at the threshold that finds 95 % of pneumonia in
    its validation films; no row for a run without validation logits or positives there."""
    rows = []
    for run in runs:
        try:
            validation = run.logits["validation"], run.labels["validation"]
            threshold = metrics.threshold_at_sensitivity(*validation)
        except (KeyError, ValueError):
            continue
        called = np.where(run.logits["test"] > threshold, 1.0, -1.0)
        rows.append(metrics.count_scores(**metrics.confusion(called, run.labels["test"])))
    return pd.DataFrame(rows, columns=["recall", "specificity"], dtype=float)


# ---- D: patients and splits


@numbers("patients")
def _patients(study: Study) -> dict:
    known = study.facts.get("patients")
    if not known or known["overlap"]["test in train"]["all"]["shared"] is None:
        return {}
    both = known["overlap"]["test in train"]
    return {
        "from_names": not known.get("told"),
        "told": known.get("told", 0),
        "named": known["named"],
        "unnamed": known["unnamed"],
        "shared": both["all"]["shared"],
        "images": both["all"]["images"],
        "normal": (both["NORMAL"]["shared"], both["NORMAL"]["images"]),
        "pneumonia": (both["PNEUMONIA"]["shared"], both["PNEUMONIA"]["images"]),
    }


@item("overlap", "Films whose patient is in another split too")
def _overlap(study: Study) -> Item:
    rows = []
    for pair, classes in study.facts["patients"]["overlap"].items():
        row = {"Films of … in …": pair}
        for name, words in (("all", "All"), ("NORMAL", "Normal"), ("PNEUMONIA", "Pneumonia")):
            one = classes[name]
            share = percent(one["shared"] / one["images"]) if one["images"] else "–"
            row[words] = f"{one['shared']:,} of {one['images']:,} ({share} %)"
        rows.append(row)
    return Item(table=pd.DataFrame(rows))


@item(
    "resplits",
    "The same models on other splits of the same films",
    again=f"{ALL} --resplits 30",
)
def _resplits(study: Study) -> Item | None:
    table = comparisons.resplits(study)
    if table.empty:
        return None
    marks = []
    for row in table.itertuples():
        spec, panel = MODELS[row.model], int(row.score == "f1")
        name = f"{row.model}, {FAMILIES[spec.family]}"
        for lane, values, light in ((-0.2, row.image, False), (0.2, row.patient, True)):
            look = {"colour": colour(spec, light), "lane": lane, "panel": panel}
            marks += [Mark(name, 100 * value, **look, kind="|", faint=True) for value in values]
            if len(values):
                marks.append(Mark(name, 100 * values.mean(), **look))
        marks.append(Mark(name, 100 * row.given, kind="X", panel=panel))
        marks.append(Mark(name, 100 * row.paper, colour="paper", kind="D", panel=panel))
    legend = {
        "mean by image": Mark("", 0, colour="quiet"),
        "a split": Mark("", 0, colour="quiet", kind="|"),
        "lower: by patient": Mark("", 0, colour="none"),
        "the given split": Mark("", 0, kind="X"),
        "the paper": Mark("", 0, colour="paper", kind="D"),
    }
    cells = [
        {
            "Model": row.model,
            "By image, %": f"{plus_minus(100 * row.image)} ({len(row.image)})",
            "By patient, %": f"{plus_minus(100 * row.patient)} ({len(row.patient)})",
            "Gap, points": points(row.gap, row.low, row.high) if row.gap == row.gap else "–",
            "Smallest detectable gap, points": percent(row.detectable),
        }
        for row in table[table.score == "accuracy"].itertuples()
    ]
    caption = (
        "Test accuracy of the runs that learned, mean ± standard deviation over re-splits (their "
        "number); gap: by image less by patient (95 % interval)"
    )
    scores = study.scores[(study.scores.kind != "given") & (study.scores.family == "CNN")]
    shown = scores[scores.model.isin(table.model)]
    caption += two_formats(shown.run, "the CNNs' runs")
    return Item(
        picture=dots(marks, ("test accuracy, %", "F1, %"), legend, high=0.36),
        alt="Test accuracy and F1 of the models over re-splits by image and by patient, on the "
        "given split and in the paper; the table holds means and gaps.",
        table=pd.DataFrame(cells),
        caption=caption,
        data=study.means[["accuracy", "f1"]].reset_index(),
    )


# ---- E: films that are missed


@lru_cache
def missed_table(study: Study) -> pd.DataFrame:
    """A row a test film of the given split: path; shown: "normal", or the cause of the pneumonia
    where the file's name says it; label; missed: by how many of `runs`, the tested models' that
    learned; sure: the wrong class's mean probability over the runs that missed it; for each class
    of models the share of its runs. Empty without such runs or the data's description."""
    runs = [run for model in tested(study) for run in learned_runs(study, model, "given")]
    if not runs or study.split != "given" or not study.facts:
        return pd.DataFrame()
    labels = runs[0].labels["test"]
    paths = study.facts["paths"][-len(labels) :]
    causes = [cause_of(path) or "pneumonia, cause not named" for path in paths]
    wrong = np.array([metrics.predictions(run.logits["test"]) != labels for run in runs])
    surety = [metrics.wrong_probability(run.logits["test"], labels) for run in runs]
    table = pd.DataFrame(
        {
            "path": paths,
            "shown": [cause if label else "normal" for cause, label in zip(causes, labels)],
            "label": labels,
            "missed": wrong.sum(0),
            "runs": len(runs),
            "sure": np.sum(surety, axis=0) / np.maximum(wrong.sum(0), 1),
        }
    )
    families = np.array([run.spec.family for run in runs])
    for family, words in FAMILIES.items():
        if (families == family).any():
            table[words] = wrong[families == family].mean(0)
    return table


@numbers("missed")
def _missed(study: Study) -> dict:
    table = missed_table(study)
    if table.empty:
        return {}
    share = table.missed / table.runs
    return {
        "runs": int(table.runs.iloc[0]),
        "images": len(table),
        "never": int((share == 0).sum()),
        "mostly": int((share > 0.5).sum()),
        "always": int((share == 1).sum()),
    }


@item("error-causes", "Errors by what the film shows", again=ALL)
def _by_cause(study: Study) -> Item:
    table = missed_table(study)
    families = [words for words in FAMILIES.values() if words in table]
    groups = table.groupby("shown")
    cells = groups[families].mean().map(percent)
    cells.insert(0, "Films", groups.size())
    return Item(
        table=cells.rename_axis("Shown").reset_index(),
        caption="Share of test films misclassified, %, mean over the runs that learned; the cause "
        "of a pneumonia is taken from the file name",
    )


@item("most-missed", "Films that are misclassified most often", again=ALL)
def _most_missed(study: Study) -> Item:
    table = missed_table(study)
    order = ["missed", "sure", "path"]
    shown = table[table.missed > 0].sort_values(order, ascending=[False, False, True])
    shown = shown.head(max(MOST_MISSED, int((table.missed == table.runs).sum())))
    cells = pd.DataFrame(
        {
            "File": [path.replace("\\", "/").split("/")[-1] for path in shown.path],
            "Shown": shown.shown,
            "Misclassified by": [f"{row.missed} of {row.runs}" for row in shown.itertuples()],
            "Mean probability of the wrong class, %": shown.sure.map(percent),
        }
    )
    return Item(table=cells, data=table)


# ---- F: how it can be repeated


@numbers("record")
def _record(study: Study) -> list[tuple[str, str]]:
    """Which study this is, of what, and where it was made."""
    data, runs = study.runs[0].data, study.runs
    where = [run.environment for run in runs]
    devices = sorted({f"{one.get('device')}, threads: {one.get('threads')}" for one in where})
    versions = {
        ", ".join(f"{name} {number}" for name, number in one.get("versions", {}).items())
        for one in where
    }
    sizes = sorted({run.image_size for run in runs}, reverse=True)
    dates = sorted(str(run.environment.get("finished", ""))[:10] for run in runs)
    kinds = Counter(study.scores.kind)
    there = sum(model in MODELS for model in study.chosen)
    count = f"{len(runs):,} on the study's split, {kinds['image']:,} on re-splits by image, "
    return [
        ("Study", study.name),
        ("Data", data["source"]),
        ("Fingerprint of the data", data["fingerprint"][:16]),
        ("Models", f"{there} of the paper's 35"),
        ("Runs", f"{count}{kinds['patient']:,} by patient"),
        ("Image sizes", ", ".join(f"{size}×{size}" for size in sizes)),
        ("Devices", "; ".join(devices)),
        ("Versions", "; ".join(sorted(versions))),
        ("Trained", " to ".join(dict.fromkeys([dates[0], dates[-1]])) or "unknown"),
    ]

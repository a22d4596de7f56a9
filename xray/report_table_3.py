"""Chapter 7: Table 3, and what each of its changes is worth."""

from functools import lru_cache

import numpy as np
import pandas as pd

from xray import experiments, intervals, models, paper
from xray.comparisons import printed
from xray.engine import kept_epoch
from xray.items import Item, item, learned_runs, listed, numbers, percent, points, span
from xray.report_plots import Mark, colour, dots
from xray.report_shortcuts import (
    BOX_OF_OTHER,
    EDGE_OF_OTHER,
    ELSEWHERE,
    EVALUATE,
    THUMBNAIL,
    baselines_by_split,
    baselines_of,
    best_without_lung,
    change_picture,
    change_table,
    elsewhere_table,
    frame,
    right,
)
from xray.results import Run
from xray.specs import CHANGES, KNOWN, TABLE_3
from xray.study import OURS, Study, finished, test_share

BEYOND = "python scripts/train.py --beyond"
COMPARED = ("20", "21", "22b")  # the paper's models shown beside Table 3's on re-splits
WORDS = {
    "optimizer": "{}",
    "learning_rate": "rate {:.0e}",
    "weight_decay": "decay {:.0e}",
    "schedule": "{} schedule",
    "patience": "the epoch of the lowest validation loss kept",
    "augment": "augmentation, strength {:g}",
    "batch_norm": "batch normalisation",
    "family": "a {}",
    "hidden_units": "{} filters",
    "image_size": "{0}×{0} pixels",
    "epochs": "{} epochs",
    "flip": "half of the films mirrored",
    "last_relu": "no ReLU after the output",
}


# ---- the ladder


@lru_cache(maxsize=1)
def ladder_table(study: Study) -> pd.DataFrame:
    """A row a model of Table 3 that is trained, after each the model that it changes. Index:
    model.

    before: the model that it changes, "" for the paper's; words, settings: what is changed, how
    many settings it is; parameters; engine; core_seconds: the median run's seconds times its
    threads; alike: whether `before` was trained by the same engine; validation_loss: of the weights
    kept, the mean over runs; learned, runs: how many; accuracy, lowest, highest, roc_auc: of the
    runs that learned; gain: of accuracy over `before` (value, low, high), 95 %
    interval over other test films and other seeds, or None.
    """
    rows = {}
    for model in TABLE_3:
        before = CHANGES[model][0]
        if any(map(finished, study.beyond.get(model, []))):
            if before in study.chosen and before not in rows:
                rows[before] = _of_model(study, before, study.chosen[before])
            rows[model] = _of_model(study, model, study.beyond[model])
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def _of_model(study: Study, model: str, runs: list[Run]) -> dict:
    """A row of `ladder_table`."""
    before = CHANGES[model][0] if model in CHANGES else ""
    good, against = learned_runs(study, model), learned_runs(study, before)
    changed = _changed(model, against[0].image_size if against else None) if before else {}
    words = ", ".join(WORDS[key].format(value) for key, value in changed.items() if key in WORDS)
    seconds = [run.environment["seconds"] * run.environment["threads"] for run in runs]
    alike = not against or against[0].engine == runs[0].engine
    kept = [run for run in runs if finished(run)]
    losses = [run.history["validation_loss"][kept_epoch(run.spec, run.history)] for run in kept]
    scores, gain = study.summary.loc[model], None
    if good and against:
        logits = [[run.logits["test"] for run in side] for side in (good, against)]
        gain = intervals.of_difference(*logits, good[0].labels["test"])["accuracy"]
    return {
        "before": before,
        "words": f"{before} with {words}".replace("e-0", "e-") if before else "the paper's",
        "settings": len(changed),
        "parameters": models.parameter_count(
            models.build(runs[0].spec, runs[0].image_size, device="meta")
        ),
        "engine": runs[0].engine,
        "core_seconds": float(np.median(seconds)),
        "alike": alike,
        "validation_loss": float(np.mean(losses)),
        "learned": len(good),
        "runs": len(runs),
        "accuracy": scores.loc["accuracy", "mean"],
        "lowest": scores.loc["accuracy", "min"],
        "highest": scores.loc["accuracy", "max"],
        "roc_auc": scores.loc["roc_auc", "mean"],
        "gain": gain,
    }


def _changed(model: str, size_before: int | None) -> dict:
    """The settings that a row of Table 3 changes; a size that the runs of the model before had
    anyway is no change."""
    before, change = CHANGES[model]
    found = {key: new for key, new in change.items() if getattr(KNOWN[before], key) != new}
    if found.get("image_size") == size_before:
        del found["image_size"]
    return found


def _held_against(study: Study) -> dict[str, float]:
    """What Table 3 is held against: words -> accuracy in percent."""
    found = {"the paper's best": 100 * max(printed(model, "accuracy") for model in paper.SCORES)}
    if given := baselines_of(study):
        for name in (THUMBNAIL, best_without_lung(given)):
            found[name] = 100 * right(given, name)
    return found


@item("table-3", "What each change is worth", again=BEYOND)
def _ladder(study: Study) -> Item:
    table = ladder_table(study)
    if table.empty:
        return Item(models=tuple(TABLE_3))
    marks, rows = [], []
    for row in table.itertuples():
        name, hue = f"{row.Index}: {row.words}", colour(KNOWN[row.Index])
        for run in learned_runs(study, row.Index):
            share = ((run.logits["test"] > 0) == run.labels["test"]).mean()
            marks.append(Mark(name, 100 * share, colour=hue, faint=True))
        marks.append(Mark(name, 100 * row.accuracy, colour=hue))
        seconds = f"{row.core_seconds:,.0f}{'*' * (row.engine != 'direct')}"
        rows.append(
            {
                "Model": row.Index,
                "What it is": row.words,
                "Parameters": f"{row.parameters:,}",
                "Core seconds": seconds if row.alike else "–",
                "Accuracy, %": span(row.accuracy, row.lowest, row.highest),
                "Gain, points": points(*row.gain) if row.gain else "–",
                "AUC, %": percent(row.roc_auc),
                "Learned": f"{row.learned} of {row.runs}",
            }
        )
    ours, against = table[table.index.isin(TABLE_3)], _held_against(study)
    best, first = ours.loc[ours.validation_loss.idxmin()], table.iloc[0]
    return Item(
        picture=dots(
            marks,
            ("test accuracy, %",),
            {"mean of the runs": Mark("", 0), "a run": Mark("", 0, faint=True)},
            references={words: [value] for words, value in against.items()},
            high=0.32,
        ),
        alt=f"Test accuracy of {len(table)} models beside the paper's best and two baselines, from "
        f"{percent(table.accuracy.min())} to {percent(table.accuracy.max())} %.",
        table=pd.DataFrame(rows),
        caption="Means over the runs that learned (lowest–highest); gain: in accuracy, over the "
        "model that is changed (95 % interval). *: trained in sample space (appendix F), which is "
        "not compared with seconds of the plain loop",
        data=table.drop(columns="gain").reset_index(),
        numbers={
            "best": best.name,
            "accuracy": best.accuracy,
            "auc": best.roc_auc,
            "settings": ours.settings.max(),
            "first": {"model": first.name, "accuracy": first.accuracy},
            "thumbnail": against.get(THUMBNAIL),
        },
    )


# ---- re-splits, the search


@lru_cache(maxsize=1)
def resplit_table(study: Study) -> pd.DataFrame:
    """Over re-splits by patient, Table 3's models and COMPARED on the same splits, of the runs that
    learned: model, splits, runs, starts (different seeds); accuracy, roc_auc and margin (accuracy
    less the thumbnail baseline's), each (mean, low, high) by the corrected t-test, or None."""
    of_ours = {
        split: [one for one in there if one in OURS] for split, there in study.resplits.items()
    }
    names = [split for split, models in of_ours.items() if models and split.startswith("patient")]
    every = baselines_by_split(study).items()
    thumbnail = {split: right(one, THUMBNAIL) for split, one in every if split in names}
    ours = dict.fromkeys(model for split in names for model in of_ours[split])
    rows = []
    for model in [*COMPARED, *ours] if ours else ():
        runs = [run for run in learned_runs(study, model, "patient") if run.split in names]
        scores = [intervals.influence(run.logits["test"], run.labels["test"]) for run in runs]
        table = pd.DataFrame({"split": [run.split for run in runs]})
        for score in ("accuracy", "roc_auc"):
            table[score] = [one[score][0] for one in scores]
        means = table.groupby("split").mean()
        means["margin"] = means.accuracy - means.index.map(thumbnail.get).astype(float)
        three = [_mean(means[score].dropna(), study) for score in means]
        if len(means) > 1:
            rows.append((model, len(means), len(runs), len({run.seed for run in runs}), *three))
    return frame(rows, "model splits runs starts accuracy roc_auc margin")


def _mean(values: pd.Series, study: Study) -> tuple | None:
    if len(values) < 2:
        return None
    mean = intervals.mean_of(values, test_share(study))
    return mean.mean, mean.low, mean.high


@item("table-3-resplits", "Means over re-splits by patient", again=f"{BEYOND} --resplits 10")
def _resplits(study: Study) -> Item:
    table = resplit_table(study)
    ours = table[table.model.isin(TABLE_3)]
    rows = [
        {
            "Model": row.model,
            "Accuracy, %": span(*row.accuracy),
            "Over the 16×16 thumbnail, points": points(*row.margin) if row.margin else "–",
            "AUC, %": span(*row.roc_auc),
            "Splits": row.splits,
            "Runs": row.runs,
        }
        for row in table.itertuples()
    ]
    return Item(
        table=pd.DataFrame(rows),
        caption="Of the runs that learned (95 % interval of the corrected t-test)",
        numbers={"one_start": listed(ours.model[ours.starts < ours.splits])} if len(ours) else {},
    )


@item("search", "What was tried", again="python scripts/train.py --search")
def _search(study: Study) -> Item:
    """A row of Table 3 each: the settings that were tried, and those that were chosen."""
    trials = experiments.trials(study.folder)
    asked = {"learning_rate": "rate", "weight_decay": "decay", "augment": "augmentation"}
    asked |= {"hidden_units": "filters", "epochs": "epochs"}
    rows = []
    for row in sorted({trial["spec"]["id"] for trial in trials}):
        of_row = [trial for trial in trials if trial["spec"]["id"] == row]
        best, tried, chosen = experiments.chosen(of_row), [], []
        for name, words in asked.items():
            values = sorted({trial["spec"][name] for trial in of_row})
            if len(values) > 1:
                tried.append(f"{words} {', '.join(f'{value:g}' for value in values)}")
                chosen.append(f"{words} {best['spec'][name]:g}")
        about = {"Row": row, "Tried": "; ".join(tried), "Chosen": "; ".join(chosen)}
        rows.append(about | {"Its validation loss": f"{best['validation_loss']:.4f}"})
    columns = {f"spec.{name}": name for name in ("id", *asked)}
    columns |= {f"validation_{score}": score for score in ("loss", "accuracy", "auc")}
    data = pd.json_normalize(trials).reindex(columns=[*columns, "epoch"]).rename(columns=columns)
    return Item(table=pd.DataFrame(rows), data=data, numbers={"trials": len(trials)})


# ---- Table 3 under changed films, and elsewhere


@numbers("table-3-changes")
def _change_numbers(study: Study) -> dict:
    table, shown = change_table(study), ladder_table(study).index
    table = table[table.model.isin(shown)]
    if not table.model.isin(TABLE_3).any():
        return {}

    def said(change, score):
        rows = table[(table.change == change) & (table.score == score)].itertuples()
        return listed(f"{row.model} by {points(row.value, row.low, row.high)}" for row in rows)

    return {
        "models": listed(table.model[table.model.isin(TABLE_3)].unique()),
        "table": table,
        "edge": said(EDGE_OF_OTHER, "roc_auc"),
        "box": said(BOX_OF_OTHER, "roc_auc"),
        "coarse": said("no finer than 32×32", "specificity"),
    }


@item("table-3-changes", "Table 3 under changed films", again=EVALUATE)
def _under_changes(study: Study) -> Item:
    table = _change_numbers(study)["table"]
    return Item(
        picture=change_picture(table),
        alt=f"The change in AUC of models {listed(table.model.unique())} under the changes of "
        "section 6.2; the text says what matters.",
        data=table,
    )


@item("table-3-elsewhere", "Table 3 on films of another hospital", again=ELSEWHERE)
def _carried_over(study: Study) -> Item:
    table, shown = elsewhere_table(study), ladder_table(study).index
    table = table[table.name.isin(shown) & (table.score == "roc_auc")]
    if not table.name.isin(TABLE_3).any():
        return Item(numbers={"films": []})
    rows, said, three = [], [], ["value", "low", "high"]
    for films, of in table.groupby("films", sort=False):
        here, there = (of[of["where"] == where].set_index("name") for where in ("here", "there"))
        for row in there.itertuples():
            own = span(*here.loc[row.Index, three]) if row.Index in here.index else "–"
            about = {"Model": row.Index, "AUC here, %": own}
            rows.append(about | {f"AUC on {films}, %": span(row.value, row.low, row.high)})
        ours = there[there.index.isin(TABLE_3)]
        areas = {model: tuple(ours.loc[model, three]) for model in ours.index}
        said.append({"name": films, "highest": ours.value.max(), "models": areas})
    return Item(
        table=pd.DataFrame(rows).groupby("Model", sort=False).first().fillna("–").reset_index(),
        caption="One run per model (95 % interval)",
        data=table,
        numbers={"films": said},
    )

"""Section 6.7: what carries over to another hospital where films have equal grey levels."""

from functools import lru_cache
from itertools import chain

import pandas as pd

from xray import carry_over, changes, external, intervals, results
from xray.data_splits import patient
from xray.items import Item, item, percent, points
from xray.report_plots import Line, colour, lines
from xray.report_shortcuts import EVALUATE, baselines_of, changes_of, films_elsewhere
from xray.specs import KNOWN, PLAIN
from xray.study import Study, finished, test_share

AGAIN = "python scripts/evaluate.py --data films:elsewhere --record NAME"
# of section 6.2's changes those that the section's table has
TOLD = ("darker by 20 %", "brighter by 20 %", "outer 10 % of the other class")
WHERE = {"here": "this study's films", "there": "the other hospital's films"}


@lru_cache(maxsize=1)
def carry_table(study: Study) -> pd.DataFrame:
    """A row a source of films elsewhere, place of learning, model or thumbnail, and kind of film:
    films, learned, what, family ("" of thumbnails), equalised, runs, and the columns of
    carry_over.areas."""
    tables = [_of_thumbnails(study, films) for films in films_elsewhere(study)]
    tables += [_of_models(study, films) for films in films_elsewhere(study)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _groups(films: dict) -> dict:
    groups = external.groups(films["columns"], films["labels"])
    return {name: rows for name, rows in groups.items() if name.startswith("view ")}


def _of_thumbnails(study: Study, films: dict) -> pd.DataFrame:
    given = baselines_of(study)
    if not given or not films.get("carry_over"):
        return pd.DataFrame()
    here, there = (given["labels"]["test"], _owners(study)), (films["labels"], films["patients"])
    found = carry_over.areas(films["carry_over"], *here, *there, _groups(films))
    names = [f"thumbnail {cells}×{cells}" for cells in found.cells]
    return found.drop(columns="cells").assign(films=films["name"], what=names, family="", runs=1)


def _owners(study: Study) -> list[str]:
    """The patients of the given test films, by their names; a film that tells none is alone."""
    if study.split != "given":
        return []
    return [
        patient(path) or path for path in study.facts["paths"][-study.facts["splits"]["test"] :]
    ]


def _of_models(study: Study, films: dict) -> pd.DataFrame:
    """Models with a twin on equalised films, each the mean of its runs that were shown them."""
    # all of the study's, of sizes that the report does not show too
    every = results.load(next(iter([*study.runs, *chain(*study.beyond.values())])).file)
    runs = {(run.spec.id, run.seed, run.image_size): run for run in every}
    rows = []
    for twin, plain in PLAIN.items():
        shown = {
            model: [one for one in films["models"] if one["model"] == model]
            for model in (plain, twin)
        }
        if not all(shown.values()):
            continue
        labels, owners = films["labels"], films["patients"]
        before = [one["logits"] for one in shown[plain]]
        for model, entries in shown.items():
            away = [one["logits"] for one in entries]
            mine = [runs[model, one["seed"], one["image_size"]] for one in entries]
            home = [run.logits["test"] for run in mine]
            row = {"films": films["name"], "learned": "here", "what": f"model {plain}"}
            row |= {"family": KNOWN[plain].family, "equalised": model == twin, "runs": len(mine)}
            row |= carry_over.triple(
                "home", external.area(home, mine[0].labels["test"], _owners(study))
            )
            row |= carry_over.triple("away", external.area(away, labels, owners))
            row |= carry_over.triple("gain", external.gain(away, before, labels, owners))
            rows.append(row | carry_over.within(_groups(films), away, labels))
    return pd.DataFrame(rows)


@item(
    "carry-over", "AUC at home and elsewhere, films as they are and with equal grey levels", AGAIN
)
def _carry_over(study: Study) -> Item | None:
    table = carry_table(study)
    if table.empty:
        return None
    series = []
    pairs = table.groupby(["learned", "films", "what"], sort=False)
    for (learned, _, what), pair in pairs:
        pair = pair.sort_values("equalised")
        look = {"panel": list(WHERE).index(learned)}
        look["colour"] = colour(KNOWN[what[6:]]) if pair.family.iloc[0] else "none"
        x, y = list(100 * pair.home), list(100 * pair.away)
        kind, name = what.split()
        # names at the ends and on the sides where they do not lie on each other
        look["side"] = "left" if name in ("8×8", "32×32", "20") else "right"
        before, after = (name, "") if kind == "model" else ("", name)
        series.append(Line(x, y, **look))
        series.append(Line(x[:1], y[:1], dash="", marker="o", filled=False, label=before, **look))
        series.append(Line(x[1:], y[1:], dash="", marker="o", label=after, **look))
    return Item(
        picture=lines(
            series,
            tuple(f"Learned on {words}" for words in WHERE.values()),
            x="AUC where it was learned, %",
            y="AUC at the other place, %",
            references={"chance": 50},
            height=3.3,
        ),
        alt="AUC where it was learned against AUC at the other place: for each model and thumbnail "
        "a line from films as they are (hollow) to equalised films (full).",
        table=_shown(table),
        caption="AUC in percent, films as they are (hollow) → equalised (full; 95 % interval over "
        "patients); here: this study's films, there: the other hospital's",
        data=table,
        numbers=_numbers(table) | {"by_patient": _by_patient(study)},
    )


def _by_patient(study: Study) -> list[dict]:
    """Of models on equalised films and their twins, mean AUC on the re-splits without a shared
    patient that both have: model, twin, plain, equal (each a mean and its interval), splits."""
    found = []
    for twin, plain in PLAIN.items():
        areas = {plain: [], twin: []}
        for split, by_model in study.resplits.items():
            runs = {model: list(filter(finished, by_model.get(model, []))) for model in areas}
            if split.startswith("patient") and all(runs.values()):
                for model, mine in runs.items():
                    labels = mine[0].labels["test"]
                    logits = [run.logits["test"] for run in mine]
                    areas[model].append(external.area(logits, labels, None)[0])
        if len(areas[twin]) > 1:
            means = [intervals.mean_of(areas[model], test_share(study)) for model in areas]
            before, after = ((mean.mean, mean.low, mean.high) for mean in means)
            about = {"model": plain, "twin": twin, "plain": before, "equal": after}
            found.append(about | {"splits": len(areas[twin])})
    return found


def _shown(table: pd.DataFrame) -> list[dict]:
    """A row a model or thumbnail, "as it is → equalised"."""
    views = [name for name in table.columns if name.startswith("view ")]
    rows = []
    for (films, learned, what), pair in table.groupby(["films", "learned", "what"], sort=False):
        plain, equal = pair.sort_values("equalised").to_dict("records")
        cells = {"Learned": learned, "What": what, "AUC at home": _two(plain, equal, "home")}
        away = f"{_two(plain, equal, 'away')} ({percent(equal['away_low'])}–"
        cells["At the other place"] = f"{away}{percent(equal['away_high'])})"
        cells["Gain"] = points(equal["gain"], equal["gain_low"], equal["gain_high"])
        cells |= {f"Elsewhere, {name[5:]}": _two(plain, equal, name) for name in views}
        rows.append({"Films": films} | cells if table.films.nunique() > 1 else cells)
    return rows


def _two(plain: dict, equal: dict, name: str) -> str:
    return f"{percent(plain[name])} → {percent(equal[name])}"


def _numbers(table: pd.DataFrame) -> dict:
    """What the chapter says: by place of learning the thumbnails' lowest and highest AUC away and
    gains, and the models'."""
    found = {}
    for learned in WHERE:
        for kind, mine in (("thumbnails", table.family == ""), ("models", table.family != "")):
            of = table[mine & (table.learned == learned)]
            if of.empty:
                continue
            plain, equal = of[~of.equalised.astype(bool)], of[of.equalised.astype(bool)]
            found[f"{kind}_{learned}"] = {
                "plain": (plain.away.min(), plain.away.max()),
                "equal": (equal.away.min(), equal.away.max()),
                "home_plain": (plain.home.min(), plain.home.max()),
                "home_equal": (equal.home.min(), equal.home.max()),
                "surely": int((equal.gain_low > 0).sum()),
                "count": len(equal),
            }
    return found


@item("carry-changes", "What still moves models on equalised films", again=EVALUATE)
def _carry_changes(study: Study) -> Item | None:
    """The changes of section 6.2 on models on equalised films and their twins; of TOLD in words."""
    found = changes_of(study)
    logits = {one["model"]: one["logits"] for one in found.get("models", ())}
    shown = [pair for pair in PLAIN.items() if pair[0] in logits]
    models = [model for pair in shown for model in reversed(pair) if model in logits]
    if not shown:
        return None
    rows = []
    for change in logits[models[0]]:
        for model in models:
            both = [logits[model][change]], [logits[model][changes.UNCHANGED]]
            gap = intervals.of_difference(*both, found["labels"])["roc_auc"]
            rows.append((change, model, *gap))
    frame = pd.DataFrame(rows, columns=["change", "model", "auc", "low", "high"])
    table = [
        {"Change": change}
        | {
            f"{row.model}, equalised" if row.model in PLAIN else row.model: points(*row[3:])
            for row in frame[frame.change == change].itertuples()
        }
        for change in TOLD
    ]
    return Item(
        table=table,
        caption="Change in AUC on this study's test films, points (95 % interval over films); the "
        "CSV has all changes",
        data=frame[frame.change != changes.UNCHANGED],
    )

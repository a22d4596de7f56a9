"""Numbers, tables and pictures of the report's sections 3 to 5: this study beside the paper."""

from collections import defaultdict

import numpy as np

from xray import claims, paper, report_data, report_figures, report_figures_curves
from xray.comparisons import printed, timed_alike
from xray.deviations import DEVIATIONS
from xray.intervals import wilson
from xray.paper import REFERENCES
from xray.report_items import (
    BADGES,
    NOT_TRAINED,
    cell,
    item,
    plot,
    table,
    those_that_learned,
    with_range,
)
from xray.specs import KNOWN, LEARNING_RATE_SEARCH, MODELS
from xray.study import (
    Study,
    finished,
    is_dead,
    learned,
    percent,
    plus_minus,
    seconds_of,
    seeds,
)

# What tells the models of a figure apart, in the order of paper.CURVES; none where they are drawn
# by class.
PANEL_WORDS = {
    9: ("1 layer", "2 layers", "3 layers"),
    10: ("5 units", "10 units", "20 units"),
    11: ("5 units", "10 units", "20 units"),
    12: ("5 filters", "10 filters", "20 filters"),
    13: ("3×3", "5×5"),
    14: ("plain", "weighted"),
    15: ("plain", "weighted"),
    16: ("plain", "weighted"),
    17: ("SGD, weighted", "Adam, weighted", "SGD, plain"),
    19: (),
    22: (),
    26: ("no L2", "L2"),
}
WEIGHTED = ("plain loss", "weighted loss")
BAR_TONES = {21: WEIGHTED, 24: WEIGHTED, 27: ("without L2", "with L2")}
ADAM = ("17", "18", "19")
FEW = 4  # conditions of a claim that are said one by one in section 4


def sections(study: Study, verdicts: list) -> tuple[dict, dict]:
    """The numbers that templates/3-findings.j2 and 4-conclusions.j2 say, and their items by id."""
    duration, timed, exact = _duration(study)
    orders = {number: _by_f1(study, models) for number, models in paper.TABLES.items()}
    one = study.summaries.get("20")
    numbers = {
        "orders": orders,
        "tested": len(one.runs[0].labels["test"]) if one else 0,
        "tested_in_paper": sum(paper.CONFUSION_20.values()),
        "timed": timed,
        "exact": exact,
    }
    confusion, counts = None, ""
    if one and one.learned:
        title = "Confusion matrix of model 20 on the test split"
        confusion = plot("fig-18", report_figures.confusion, title, one, paper.CONFUSION_20)
        counts = report_data.confusion("20", one, paper.CONFUSION_20)
    items = {f"fig-{number}": _curves(study, number) for number in PANEL_WORDS}
    items |= {f"fig-{number}": _bars(study, number) for number in BAR_TONES}
    for number, ours in orders.items():
        rows = _score_table(study, ours)
        items[f"fig-{number}"] = item(study, paper.TABLES[number], table=rows)
    items |= {
        "deaths": item(
            study, list(MODELS | LEARNING_RATE_SEARCH), table=_deaths(study), missing=[]
        ),
        "learning-rates": item(study, list(LEARNING_RATE_SEARCH), table=_search(study)),
        "adam": item(study, ADAM, table=_adam(study)),
        "fig-18": item(study, paper.CONFUSIONS[18], plot=confusion, data=counts),
        "fig-28": duration,
        "conclusions": {"table": _conclusions(verdicts)},
        "deviations": item(study, table=_deviations(verdicts)),
        "references": {"table": _reference_table()},
    }
    return numbers, items


def _curves(study: Study, number: int) -> dict:
    """One of the paper's curve figures: a picture, and its end values as a table."""
    models, words, name = paper.CURVES[number], PANEL_WORDS[number], f"fig-{number}"
    there = [model for model in models if model in study.chosen]
    if not there:
        return item(study, models)

    def line(model):
        return f"model {model}", study.chosen[model], report_figures.colour(MODELS[model])

    panels = []
    for model, word in zip(models, words):
        panels.append((f"Model {model}: {word}", [line(model)] if model in there else []))
    families = dict.fromkeys(MODELS[model].family for model in models)
    for family in families if not words else ():
        group = [model for model in there if MODELS[model].family == family]
        heading = f"{family}: {' and '.join(group)}" if group else family
        panels.append((heading, [line(model) for model in group]))
    title = f"Loss and accuracy by epoch of models {', '.join(there)}"
    drawn = plot(name, report_figures_curves.curves, title, panels)
    data = report_data.history([run for model in there for run in study.chosen[model]])
    return item(study, models, plot=drawn, data=data, table=_ends(study, there))


def _ends(study: Study, models: list[str]) -> dict:
    """Where the curves of the runs that learned end."""
    rows = []
    for model in models:
        runs = study.chosen[model]
        good, of_all = those_that_learned(runs)
        row = [model]
        for key in ("validation_accuracy", "train_accuracy", "validation_loss", "train_loss"):
            factor, digits = (100, 1) if "accuracy" in key else (1, 3)
            row.append(plus_minus([factor * run.history[key][-1] for run in good], digits))
        rows.append([*row, of_all, runs[0].spec.epochs])
    names = (
        "Model | >Validation accuracy, % | >Training accuracy, % | >Validation loss"
        " | >Training loss | >Learned | >Epochs"
    )
    return table(names, rows)


def _deaths(study: Study) -> dict:
    """How often a run does not learn, for each MLP and each other model that has such a run, and
    for the rest of each class together."""
    lost, rest = _not_learned(study), defaultdict(lambda: [0, 0, 0])
    rows = []
    for model, counts in lost.items():
        family = KNOWN[model].family
        if family == "Linear+ReLU" or counts[0]:
            rows.append([model, *_share_lost(*counts), family])
        else:
            rest[family] = list(map(sum, zip(rest[family], counts)))
    rows += [[f"all other {family}", *_share_lost(*sums), family] for family, sums in rest.items()]
    names = "Model | >Did not learn | >Share, % | >95 % interval | >Of those, dead | Class"
    return table(names, rows, sortable=True)


def _share_lost(lost: int, dead: int, runs: int) -> list:
    low, high = wilson(lost, runs)
    share = f"{100 * lost / runs:.0f}"
    return [f"{lost} of {runs}", share, f"{100 * low:.0f}–{100 * high:.0f}", dead]


def _not_learned(study: Study) -> dict[str, tuple[int, int, int]]:
    """Model -> runs that did not learn, those of them that are dead, all finished runs."""
    found = {}
    for model, runs in study.chosen.items():
        done = list(filter(finished, runs))
        if done:
            lost = [run for run in done if not learned(run)]
            found[model] = len(lost), sum(map(is_dead, lost)), len(done)
    return found


def _search(study: Study) -> dict:
    """The learning-rate search of models 6 and 7: do they learn at all, and where do they end?"""
    rows = []
    for name in LEARNING_RATE_SEARCH:
        rows.append([*name.split("@"), *_tried(study.chosen.get(name, []))])
    names = (
        "Model | >Learning rate | >Learned | >Validation accuracy, % | >Training loss | >Dead"
        " | >Diverged | Seeds"
    )
    return table(names, rows)


def _tried(runs: list) -> list:
    """Of runs that may not learn: how many did, and where those ended; dead, diverged, seeds."""
    if not runs:
        return ["–", "–", "–", "–", "–", NOT_TRAINED]
    good, of_all = those_that_learned(runs)
    ends = [
        plus_minus([100 * run.history["validation_accuracy"][-1] for run in good], 1),
        plus_minus([run.history["train_loss"][-1] for run in good], 3),
    ]
    done = list(filter(finished, runs))
    return [of_all, *ends, sum(map(is_dead, done)), len(runs) - len(done), seeds(runs)]


def _adam(study: Study) -> dict:
    rows = []
    for model in ADAM:
        runs = study.chosen.get(model, [])
        row = _tried(runs)
        highest = [max(run.history["validation_loss"]) for run in those_that_learned(runs)[0]]
        rows.append([model, *row[:2], plus_minus(highest, 3), *row[2:], MODELS[model].family])
    names = (
        "Model | >Learned | >Validation accuracy, % | >Highest validation loss | >Training loss"
        " | >Dead | >Diverged | Seeds | Class"
    )
    return table(names, rows)


def _by_f1(study: Study, models: list[str]) -> list[str]:
    """The models with a run that learned, by falling mean F1; then those without."""
    there = [model for model in models if model in study.summaries]
    return sorted(there, key=lambda model: -np.nan_to_num(study.summaries[model].mean["f1"]))


def _score_table(study: Study, models: list[str]) -> dict | None:
    """Test scores, the paper's row beneath each of ours; None where no model was tested."""
    rows = []
    for model in models:
        spec, summary, theirs = MODELS[model], study.summaries[model], paper.SCORES[model]
        what = [spec.family, "yes" if spec.class_weight else "no"]
        keys = ("f1", "accuracy", "batch_mean_accuracy", "precision", "recall")
        ours = [with_range(summary, key) for key in keys]
        rows.append([model, "ours", *ours, those_that_learned(summary.runs)[1], *what])
        f1, *more = (f"{theirs[key]:.1f}" for key in ("f1", "accuracy", "precision", "recall"))
        row = [model, "paper", f1, percent(printed(model, "accuracy")), *more, "–", *what]
        rows.append([cell(part, paper=True) for part in row])
    names = (
        "Model | Whose | >F1, % | >Accuracy, % | >Accuracy, batch mean, % | >Precision, %"
        " | >Recall, % | >Learned | Class | Weighted"
    )
    return table(names, rows, sortable=True) if rows else None


def _bars(study: Study, number: int) -> dict:
    pairs, name, drawn, data = paper.BARS[number], f"fig-{number}", None, ""
    models = [model for pair in pairs for model in pair]
    if any(model in study.summaries for model in models):
        groups = [(MODELS[pair[0]].family, list(pair)) for pair in pairs]
        title = f"Accuracy and F1 on the test split, {' and '.join(BAR_TONES[number])}"
        about = study, groups, BAR_TONES[number]
        drawn = plot(name, report_figures.bars, title, *about)
        data = report_data.scores(study, models)
    return item(study, models, plot=drawn, data=data)


def _duration(study: Study) -> tuple[dict, dict, list]:
    """Figure 28; what its runs have in common, empty without any; (model, mean seconds, image size)
    of those trained in sample space."""
    runs, drawn, data, timed = timed_alike(study.runs), None, "", {}
    there = [model for model in paper.DURATIONS[28] if runs.get(model)]
    missing = [model for model in paper.DURATIONS[28] if model not in there]
    if there:
        rows = [(model, runs[model]) for model in there]
        drawn = plot("fig-28", report_figures.durations, "Training time of the three classes", rows)
        data = report_data.durations(rows)
        means = {model: np.mean(list(map(seconds_of, runs[model]))) for model in there}
        cnn = means.pop("26b", None)
        first = runs[there[0]][0]
        timed = {
            "size": first.image_size,
            "precision": first.precision,
            "threads": first.environment.get("threads", "?"),
            "epochs": first.spec.epochs,
            "ratios": [(model, cnn / mean) for model, mean in means.items()] if cnn else [],
        }
    exact = []
    for model in ("27b", "28b"):
        fast = [run for run in study.chosen.get(model, []) if run.engine == "gram"]
        if fast:
            seconds = np.mean([run.environment["seconds"] for run in fast])
            exact.append((model, seconds, fast[0].image_size))
    shown = [run for model in there for run in runs[model]]
    direct = ["--engine", "direct"]
    found = item(study, plot=drawn, data=data, runs=shown, missing=missing, needs=direct)
    return found, timed, exact


def _conclusions(verdicts: list) -> dict:
    """The paper's closing claims and what became of them."""
    rows = []
    for verdict in verdicts:
        if verdict.section == "4":
            name = cell(verdict.id, href=f"#claim-{verdict.id.lower()}")
            badge = cell(verdict.verdict, badge=BADGES[verdict.verdict])
            outcomes = [one.outcome for one in verdict.findings]
            measured = verdict.figures
            if len(outcomes) > FEW:
                said = ", ".join(f"{word} {outcomes.count(word)}" for word in claims.MARKS)
                measured = f"{len(outcomes)} conditions, listed with the claim: {said}"
            rows.append([name, badge, verdict.claim, measured])
    return table("Claim | Verdict | In our words | What we measured", rows)


def _deviations(verdicts: list) -> dict:
    """The rules that were changed, with the verdicts before and now of the claims that rest on
    them."""
    now, rows = {verdict.id: verdict.verdict for verdict in verdicts}, []
    for entry in DEVIATIONS:
        after = {name: now[name] for name in entry.before}
        words = _by_verdict(entry.before), _by_verdict(after)
        changed = ", ".join(name for name in after if after[name] != entry.before[name])
        rows.append([entry.date, entry.old, entry.new, entry.why, *words, changed or "none"])
    names = "Date | Old rule | New rule | Why | Verdicts before | Verdicts now | Claims that differ"
    return table(names, rows)


def _by_verdict(verdicts: dict) -> str:
    """Claims' verdicts in few words, "holds: C11, C15; within noise: C33"; a dash for none."""
    groups = defaultdict(list)
    for name, verdict in verdicts.items():
        groups[verdict].append(name)
    parts = [f"{verdict}: {', '.join(names)}" for verdict, names in groups.items()]
    return "; ".join(parts) or "–"


def _reference_table() -> dict:
    rows = [
        [number, cell(entry.text, href=entry.url), entry.use]
        for number, entry in enumerate(REFERENCES, 1)
    ]
    return table("No. | Source | Cited for", rows)

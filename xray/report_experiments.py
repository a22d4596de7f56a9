"""Numbers, tables and pictures of the experiments beside the study: why MLPs die, what the image
size does, and how much of a score is the luck of the last epoch."""

import math
from dataclasses import astuple, fields

from xray import deaths, experiments, report_data, report_figures_trials, swings
from xray.intervals import mean_of
from xray.metrics import count_scores
from xray.report_data import text
from xray.report_items import cell, item, plot, script_command, table
from xray.specs import MODELS
from xray.starts import NETS
from xray.study import Study, percent, plus_minus

SCRIPT = "experiments.py"
PLAIN, WEIGHTED = ("21", "21b"), ("24", "24b")  # alike but for the loss
FAST = ("6@1e-1", "7@1e-1")  # at the largest rate of the search


def sections(study: Study, compared: list) -> tuple[dict, dict]:
    """The numbers that templates/5-experiments.j2 says, and its items by id. compared: what
    comparisons.compare gives."""
    records = experiments.read(study.folder)
    census, of_census = _deaths(study, records)
    control, of_control = _control(study, records)
    sizes, of_sizes = _sizes(study, records)
    luck, of_luck = _luck(study, compared)
    numbers = {"deaths": census, "control": control, "sizes": sizes, "luck": luck}
    return numbers, of_census | of_control | of_sizes | of_luck


def _missing(study: Study) -> dict:
    """An item that has no record yet, with the command that makes it."""
    return item(study, missing=["experiments"]) | {"command": script_command(study, SCRIPT)}


def _made(study: Study, **parts) -> dict:
    """An item that is drawn from the experiments' records."""
    return item(study, scripts=[script_command(study, SCRIPT)], **parts)


def _words(net: str) -> str:
    """ "1x10" in words."""
    layers, units = net.split("x")
    return f"{layers} layer{'s' * (layers != '1')}, {units} units"


def _of(share: deaths.Share) -> str:
    low, high = share.interval
    return f"{percent(share.value)} ({percent(low)}–{percent(high)})"


# ---- why MLPs die


def _deaths(study: Study, records: dict) -> tuple[dict | None, dict]:
    found = deaths.censuses(records)
    if not found:
        return None, {"dead-starts": _missing(study), "starts-checked": _missing(study)}
    nets = [f"{layers}x{units}" for layers, units in NETS]
    kernel = records.get("kernel", {"dead": {}, "angles": {}})
    drawn = {
        _words(net): {size: deaths.starts(one, net)["dead"] for size, one in found.items()}
        for net in nets
    }
    wide = {_words(net): value for net, value in kernel["dead"].items()}
    title = "Starts that are dead for good, by layers and units"
    picture = plot("dead-starts", report_figures_trials.dead_starts, title, drawn, wide)
    checks = deaths.check(study, records)
    items = {
        "dead-starts": _made(
            study,
            plot=picture,
            table=_census_table(found, kernel, nets),
            data=_census_data(found, kernel, nets),
        ),
        "starts-checked": _made(study, table=_check_table(checks)),
    }
    most = max(found.values(), key=lambda one: one["seeds"])
    shares = [deaths.starts(most, net)["dead"].value for net in nets]
    on_split = [row for row in checks if not row.resplits]
    numbers = {
        "seeds": {size: one["seeds"] for size, one in found.items()},
        "most": most["image_size"],
        "one_layer": deaths.starts(found[max(found)], "1x10")["dead"],
        "size": max(found),
        "shares": (min(shares), max(shares)),
        "kernel": _kernel(kernel, most) if "kernel" in records else None,
        "dead": sum(row.dead for row in checks),
        "revived": sum(row.revived for row in checks),
        "died": {kind: deaths.died(on_split, (kind,), MODELS) for kind in ("both", "above")},
        "fast": deaths.died(on_split, models=FAST),
        "losses": [deaths.died(on_split, models=models) for models in (PLAIN, WEIGHTED)],
    }
    return numbers, items


def _kernel(kernel: dict, census: dict) -> dict:
    """What the text says of the films' angles, in degrees, and of how near the wide nets come."""
    pairs = [(deaths.starts(census, net)["both"], dead) for net, dead in kernel["dead"].items()]
    angles = {"films": kernel["films"]}
    angles |= {name: kernel["angles"][net] for name, net in (("least", "1x20"), ("most", "3x5"))}
    return {
        "apart": max(abs((1 - both.value) / 2 - dead) for both, dead in pairs),
        "angles": {name: [math.degrees(angle) for angle in pair] for name, pair in angles.items()},
    }


def _census_table(found: dict, kernel: dict, nets: list[str]) -> dict:
    rows = []
    for net in nets:
        for size, census in found.items():
            kinds = deaths.starts(census, net)
            row = [_words(net), f"{size}×{size}", census["seeds"], _of(kinds["dead"])]
            row += [_of(kinds["above"]), percent((1 - kinds["both"].value) / 2)]
            wide, angles = kernel["dead"].get(net, math.nan), kernel["angles"].get(net)
            bound = 0.5 - angles[1] / (2 * math.pi) if angles else math.nan
            rows.append([*row, percent(wide), percent(bound)])
    names = (
        "Net | Image size | >Seeds | >Dead: no output above 0, % (95 % interval)"
        " | >All above 0, % (95 % interval) | >(1 − both signs) / 2, % | >Wide nets, %"
        " | >At most, wide nets, %"
    )
    return table(names, rows)


def _census_data(found: dict, kernel: dict, nets: list[str]) -> str:
    rows = []
    for net in nets:
        for size, census in found.items():
            kinds = deaths.starts(census, net)
            counts = [kinds[kind].count for kind in ("dead", "above", "both")]
            ends = kinds["dead"].value, *kinds["dead"].interval
            wide = kernel["dead"].get(net, math.nan)
            rows.append([*net.split("x"), size, census["seeds"], *counts, *ends, wide])
    names = ["hidden_layers", "units", "image_size", "seeds", "dead", "all_above_0", "both_signs"]
    return text([*names, "share_dead", "low", "high", "wide_nets"], rows)


def _check_table(checks: list) -> dict:
    rows = []
    for row in checks:
        later = [f"{dead} of {runs}" if runs else "–" for dead, runs in row.died.values()]
        where = "re-splits" if row.resplits else "given split"
        rows.append([row.model, where, row.dead, row.revived, *later])
    names = (
        "Model | Runs on | >Started dead | >Of these moved"
        " | >Died later, from both signs | >Died later, from all above 0"
    )
    return table(names, rows)


# ---- without the last ReLU


def _control(study: Study, records: dict) -> tuple[dict | None, dict]:
    if "last-relu" not in records:
        return None, {"last-relu": _missing(study)}
    runs, rows, scores = records["last-relu"]["runs"], [], {}
    for last_relu in (True, False):
        own = [run for run in runs if run["last_relu"] == last_relu]
        lost = [run for run in own if run["tp"] + run["fp"] == 0]
        alive = {run["seed"]: _accuracy(run) for run in own if _beats_constant(run)}
        scores[last_relu] = alive
        words = "as in the paper" if last_relu else "without the last ReLU"
        accuracy = plus_minus([100 * value for value in alive.values()], 1)
        rows.append([words, len(own), len(lost), len(alive), accuracy])
    names = "MLP | >Seeds | >Dead | >Learned | >Test accuracy of those, %"
    both = scores[True].keys() & scores[False].keys()
    gaps = [scores[False][seed] - scores[True][seed] for seed in both]
    numbers = {
        "size": runs[0]["image_size"],
        "seeds": rows[0][1],
        "dead": [row[2] for row in rows],
        "pairs": len(gaps),
        "gap": _in_points(mean_of(gaps)) if len(gaps) > 1 else None,
    }
    shown = _made(study, table=table(names, rows), data=_runs_data(runs))
    return numbers, {"last-relu": shown}


def _runs_data(runs: list[dict]) -> str:
    """The runs of an experiment, their counts on the test split."""
    what = ["model", "seed", "image_size", "matched", "last_relu"]
    names = [*what, "accuracy", *report_data.COUNTS]
    values = [run | {"accuracy": _accuracy(run)} for run in runs]
    return text(names, [[run[name] for name in names] for run in values])


def _in_points(gap) -> list[str]:
    """intervals.Mean of a difference, with its interval, in points and with signs."""
    return [f"{100 * part:+.1f}".replace("-", "−") for part in (gap.mean, gap.low, gap.high)]


def _accuracy(run: dict) -> float:
    counts = {name: run[name] for name in ("tp", "tn", "fp", "fn")}
    return float(count_scores(**counts)["accuracy"])


def _beats_constant(run: dict) -> bool:
    return run["tp"] + run["tn"] > max(run["tp"] + run["fn"], run["tn"] + run["fp"])


# ---- image sizes


def _sizes(study: Study, records: dict) -> tuple[dict | None, dict]:
    if "sizes" not in records:
        return None, {"size-steps": _missing(study)}
    found = {}
    for run in records["sizes"]["runs"]:
        of = found.setdefault(run["model"], {}).setdefault(run["matched"], {})
        of.setdefault(run["image_size"], []).append((_accuracy(run), _beats_constant(run)))
    title = "Test accuracy over image sizes, with matched steps and without"
    drawn = plot("size-steps", report_figures_trials.over_sizes, title, found)
    sizes = sorted({size for of in found.values() for values in of.values() for size in values})
    rows = [
        [model, "matched" if matched else "not matched"]
        + [_those_that_learned(values.get(size, [])) for size in sizes]
        for model, of in found.items()
        for matched, values in of.items()
    ]
    names = "Model | Step | >" + " | >".join(f"{size}×{size}" for size in sizes)
    by_step = {step: report_figures_trials.of_learned(found["20"][step]) for step in (True, False)}
    numbers = {"smallest": sizes[0], "largest": sizes[-1], "full": by_step[True].get(sizes[-1])}
    numbers["matched"] = by_step[True].get(sizes[0])
    numbers["not_matched"] = by_step[False].get(sizes[0])
    data = _runs_data(records["sizes"]["runs"])
    shown = _made(study, plot=drawn, table=table(names, rows), data=data)
    return numbers, {"size-steps": shown}


def _those_that_learned(runs: list[tuple[float, bool]]) -> str:
    """Their mean accuracy in percent, and of how many runs where some did not learn."""
    good = [100 * accuracy for accuracy, learned in runs if learned]
    lost = f" ({len(good)} of {len(runs)})" if len(good) < len(runs) else ""
    return plus_minus(good, 1) + lost


# ---- the luck of the last epoch


def _luck(study: Study, compared: list) -> tuple[dict | None, dict]:
    found = swings.swings(study, compared)
    if not found:
        models = {"swings": item(study, ["20"]), "paper-differences": item(study, ["20"])}
        return None, models
    title = "How far accuracy varies over epochs, seeds and splits"
    drawn = plot("swings", report_figures_trials.swings, title, found)
    rows = [
        [swing.model, swing.runs]
        + [percent(getattr(swing, name)) for name in ("epochs", "seeds", "seeds_on_test")]
        + [percent(swing.splits), swing.resplits]
        for swing in found
    ]
    names = (
        "Model | >Runs | >Last third of the epochs | >Seeds, last epoch | >Seeds, test"
        " | >Re-splits by image, test | >Re-splits"
    )
    pairs = swings.differences(found)
    shown = [
        [f"Fig {row.table}", " over ".join(row.models), percent(row.paper)]
        + [
            cell(percent(noise), badge="good" if row.paper > noise else "none")
            for noise in (row.by_epochs, row.by_seeds)
        ]
        for row in pairs
    ]
    columns = "Table | Models | >The paper's difference | >Two last epochs | >Two seeds"
    cnn = [swing.epochs for swing in found if MODELS[swing.model].family == "CNN"]
    others = [swing.epochs for swing in found if MODELS[swing.model].family != "CNN"]
    numbers = {
        "pairs": len(pairs),
        "beyond_epochs": sum(row.paper > row.by_epochs for row in pairs),
        "beyond_seeds": sum(row.paper > row.by_seeds for row in pairs),
        "cnn": [min(cnn), max(cnn)] if cnn else None,
        "others": [min(others), max(others)] if others else None,
    }
    items = {
        "swings": item(
            study,
            [swing.model for swing in found],
            plot=drawn,
            table=table(names, rows),
            data=text([one.name for one in fields(swings.Swing)], map(astuple, found)),
        ),
        "paper-differences": item(study, table=table(columns, shown, sortable=True)),
    }
    return numbers, items

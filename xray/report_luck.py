"""Sections 6.4 to 6.6: dead starts, image sizes, and the luck of the last epoch."""

from functools import lru_cache

import pandas as pd

from xray import comparisons, experiments
from xray.intervals import mean_of, wilson
from xray.items import ALL, Item, item, numbers, percent, plus_minus, signed
from xray.report_plots import Line, Mark, colour, dots, lines
from xray.report_shortcuts import ends, mark
from xray.specs import IMAGE_SIZE, MODELS
from xray.study import Study, is_dead, learned, on_test

EXPERIMENTS = "python scripts/train.py --experiments"
STILL = 1e-5  # by which a loss that never moves may differ from epoch to epoch, in float32
TONES = ("mlp-2", "mlp", "ink")  # from the smallest image size up
PLAIN, WEIGHTED = ("21", "21b"), ("24", "24b")  # alike but for the loss
UNBOUNDED = "21@no-last-relu"


# ---- 6.4 why MLPs die


@item("dead-starts", "Starts that are dead for good, by layers and units", again=EXPERIMENTS)
def _dead_starts(study: Study) -> Item | None:
    starts = experiments.starts(study.folder)
    if starts.empty:
        return None
    groups = starts.assign(dead=starts.above == 0).groupby(["layers", "units", "image_size"])
    table = groups.dead.agg(seeds="size", dead="sum").reset_index()
    table["value"] = table.dead / table.seeds
    limits = [wilson(row.dead, row.seeds) for row in table.itertuples()]
    table["low"], table["high"] = zip(*limits)
    seeds = table.groupby("image_size").seeds.max()
    tones = dict(zip(seeds.index, TONES[-len(seeds) :]))
    marks = []
    for row in table.itertuples():
        name = f"{row.layers} layer{'s' * (row.layers > 1)}, {row.units} units"
        lane = 0.25 * (list(tones).index(row.image_size) - (len(tones) - 1) / 2)
        marks.append(mark(row, name, colour=tones[row.image_size], lane=lane))
    full, most = seeds.index.max(), seeds.idxmax()
    one = table[(table.layers == 1) & (table.units == 10) & (table.image_size == full)].iloc[0]
    return Item(
        picture=dots(
            marks,
            ("starts that are dead for good, %",),
            {f"{s}×{s}, {n:,} seeds": Mark("", 0, colour=tones[s]) for s, n in seeds.items()},
            references={"no net's probability is higher": [50]},
            limits={0: (0, 65)},
            high=0.3,
        ),
        alt="The share of seeds whose starting weights give no training film an output above 0 (95 "
        f"% interval after Wilson): {percent(table.value.min(), 0)} to "
        f"{percent(table.value.max(), 0)} %, more with more layers and with fewer units.",
        data=table,
        numbers={
            "size": full,
            "one_layer": (one.value, one.low, one.high),
            "most_size": most,
            "shares": ends(table.value[table.image_size == most]),
        },
    )


@numbers("dead-runs")
def _dead_runs(study: Study) -> dict:
    """The census held against the trained MLPs of the given split. A run starts from the weights of
    its seed, so all runs of one structure and seed start alike, and are counted once."""
    starts = experiments.starts(study.folder)
    if starts.empty:
        return {}
    scores = study.scores
    runs = scores[(scores.kind == "given") & (scores.family == "Linear+ReLU") & scores.finished]
    runs = runs[runs.run.map(lambda run: run.spec.last_relu).astype(bool)]
    if runs.empty:
        return {}
    runs = runs.assign(
        layers=[run.spec.hidden_layers for run in runs.run],
        units=[run.spec.hidden_units for run in runs.run],
        moved=[_moved(run) for run in runs.run],
    ).merge(starts, on=["layers", "units", "seed", "image_size"])
    dead, alive = runs[runs.above == 0], runs[(runs.above > 0) & runs.model.isin(MODELS)]

    def later(models):
        of = alive[alive.model.isin(models)].groupby(["layers", "units", "seed"]).dead.any()
        return {"count": int(of.sum()), "of": len(of)}

    return {
        "dead": len(dead),
        "revived": int((dead.learned | dead.moved).sum()),
        "later": later(MODELS),
        "plain": later(PLAIN),
        "weighted": later(WEIGHTED),
    }


def _moved(run) -> bool:
    """Whether a run's training loss ever moved."""
    loss = run.history.get("train_loss") or [0]
    return max(loss) - min(loss) > STILL


@lru_cache(maxsize=1)
def experiment_table(study: Study) -> pd.DataFrame:
    """A row a run of the experiments: model, seed, image_size, matched, accuracy, learned, dead."""
    rows = [
        (run.spec.id, run.seed, run.image_size, run.matched)
        + (on_test(run)["accuracy"], learned(run), is_dead(run))
        for run in experiments.runs(study.folder)
    ]
    columns = ["model", "seed", "image_size", "matched", "accuracy", "learned", "dead"]
    return pd.DataFrame(rows, columns=columns)


@item("last-relu", "Model 21 with and without its last ReLU", again=EXPERIMENTS)
def _control(study: Study) -> Item | None:
    table = experiment_table(study)
    if not (table.model == "21").any():
        return None
    size = table.image_size[table.model == "21"].iloc[0]
    table = table[(table.image_size == size) & table.matched]
    kept, without = (
        table[table.model == model].set_index("seed").sort_index() for model in ("21", UNBOUNDED)
    )
    both = kept.index[kept.learned].intersection(without.index[without.learned])
    gap = mean_of(without.accuracy[both] - kept.accuracy[both]) if len(both) > 1 else None
    three = [signed(100 * end) for end in (gap.mean, gap.low, gap.high)] if gap else []
    words = {"as in the paper": kept, "without the last ReLU": without}
    cells = [
        {
            "MLP": name,
            "Seeds": len(of),
            "Dead": of.dead.sum(),
            "Learned": of.learned.sum(),
            "Test accuracy of those, %": plus_minus(100 * of.accuracy[of.learned]),
        }
        for name, of in words.items()
    ]
    return Item(
        table=pd.DataFrame(cells),
        caption="Mean ± standard deviation over the seeds that learned",
        data=table,
        numbers={
            "size": size,
            "seeds": len(kept),
            "dead": [int(kept.dead.sum()), int(without.dead.sum())],
            "pairs": len(both),
            "gap": "{} points (95 % interval {} to {})".format(*three) if three else "",
        },
    )


# ---- 6.5 the image size


@item("size-steps", "From thumbnails to the paper's size", again=EXPERIMENTS)
def _size_steps(study: Study) -> Item | None:
    table = experiment_table(study)
    seeds = table.seed[table.model == "20"].unique()
    table = table[table.model.isin(["20", UNBOUNDED]) & table.seed.isin(seeds)]
    if table.empty:
        return None
    full = table[table.image_size == IMAGE_SIZE]  # matched or not is the same there
    table = pd.concat([table, full.assign(matched=~full.matched)])
    sizes, series, cells = sorted(table.image_size.unique()), [], []
    titles = {"20": "Model 20, Linear", UNBOUNDED: "Model 21, MLP without its last ReLU"}
    words = {True: "matched steps", False: "the paper's step at every size"}
    for (model, matched), runs in table.groupby(["model", "matched"]):
        panel, hue = list(titles).index(model), colour(MODELS[model.split("@")[0]])
        means = 100 * runs[runs.learned].groupby("image_size").accuracy.mean()
        name, dash = words[matched] if not panel else "", "-" if matched else "--"
        series.append(Line(list(means.index), list(means), hue, name, dash, panel=panel))
        for good, of in runs.groupby("learned"):
            look = {"dash": "", "marker": "o", "filled": matched, "panel": panel}
            tone = hue if good else "none"
            series.append(Line(list(of.image_size), list(100 * of.accuracy), tone, **look))
        row = {"Model": model.split("@")[0], "Step": "matched" if matched else "the paper's"}
        for size in sizes:
            row[f"{size}×{size}"] = _mean_of_learned(runs[runs.image_size == size])
        cells.append(row)
    of_20 = table[(table.model == "20") & table.learned]
    means = of_20.groupby(["matched", "image_size"]).accuracy.mean()

    def said(matched, size):
        there = (matched, size) in means.index
        return f"scores {percent(means[matched, size])} %" if there else "learns nothing"

    return Item(
        picture=lines(
            series,
            tuple(titles.values()),
            x="image size, pixels a side",
            y="test accuracy, %",
            log=2,
            ticks=sizes,
        ),
        alt="Test accuracy by image size, one dot per seed, grey where it did not learn; the table "
        "holds the means.",
        table=pd.DataFrame(cells),
        caption="Test accuracy, %, mean ± standard deviation over the seeds that learned (how "
        "many, where some did not)",
        data=table,
        numbers={
            "smallest": sizes[0],
            "largest": sizes[-1],
            "matched": said(True, sizes[0]),
            "not_matched": said(False, sizes[0]),
            "full": said(True, sizes[-1]),
        },
    )


def _mean_of_learned(runs: pd.DataFrame) -> str:
    good = 100 * runs.accuracy[runs.learned]
    lost = f" ({len(good)} of {len(runs)})" if len(good) < len(runs) else ""
    return plus_minus(good) + lost


# ---- 6.6 the last epoch


@item("swings", "How far accuracy varies over epochs, seeds and splits", again=ALL)
def _variation(study: Study) -> Item:
    table = comparisons.swings(study)
    if table.empty:
        return Item(models=("20",))
    kinds = {
        "epochs": ("last third of the epochs, one run (validation)", "o", -0.2),
        "seeds": ("seeds, last epoch (validation)", "s", 0.0),
        "splits": ("re-splits by image (test)", "^", 0.2),
    }
    marks = [
        Mark(
            row.model,
            100 * getattr(row, name),
            colour=colour(MODELS[row.model]),
            kind=kind,
            filled=False,
            lane=lane,
        )
        for row in table.itertuples()
        for name, (_, kind, lane) in kinds.items()
    ]
    legend = {words: Mark("", 0, kind=kind, filled=False) for words, kind, _ in kinds.values()}
    cnn = table.model.map(lambda model: MODELS[model].family == "CNN")
    return Item(
        picture=dots(marks, ("standard deviation of accuracy, points",), legend),
        alt="Standard deviations of accuracy, by model: over the last epochs of a run "
        f"{percent(table.epochs.min())} to {percent(table.epochs.max())} points, over seeds "
        f"{percent(table.seeds.min())} to {percent(table.seeds.max())}.",
        data=table,
        numbers={"cnn": ends(table.epochs[cnn]), "others": ends(table.epochs[~cnn])}
        if cnn.any() and not cnn.all()
        else {},
    )


@item("paper-differences", "The paper's differences that are larger than luck", again=ALL)
def _differences(study: Study) -> Item:
    table = comparisons.differences(comparisons.swings(study))
    if table.empty:
        return Item(models=("20", "21"))
    epochs, seeds = table.paper > table.by_epochs, table.paper > table.by_seeds
    shown = table[epochs | seeds]
    columns = {
        "Models": shown.better + " over " + shown.other,
        "Figure": shown.table,
        "The paper's difference, points": shown.paper.map(percent),
        "Luck of the epoch, points": shown.by_epochs.map(percent),
        "Luck of the seed, points": shown.by_seeds.map(percent),
    }
    return Item(
        table=pd.DataFrame(columns),
        caption=f"Exact accuracies; the other pairs of {len(table)} are in the CSV",
        data=table,
        numbers={
            "pairs": len(table),
            "beyond_epochs": int(epochs.sum()),
            "beyond_seeds": int(seeds.sum()),
        },
    )

"""A study read from its records and summed up: what all of the report starts from."""

import math
import shlex
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from xray import intervals, metrics, paper, results
from xray.data_choices import PAPER
from xray.results import ResultsError, Run
from xray.specs import (
    EQUALISED,
    IMAGE_SIZE,
    KNOWN,
    LEARNING_RATE_SEARCH,
    MODELS,
    TABLE_3,
    ModelSpec,
)

OURS = TABLE_3 | EQUALISED
EVALUATED = tuple(model for model in MODELS if model in paper.SCORES)  # Figs 20, 23 and 25


@dataclass(frozen=True, eq=False)  # hashable: what is computed of a study is kept
class Study:
    """All that is known of one study. `chosen`: the runs that the report shows (results.select).

    Table 3's runs are kept apart, in `beyond`: no claim of the paper's is about them.

    Four frames are worked out when first asked for.

    scores: a row a run, of the study's split and of the re-splits, of all models; see score_table.
    epochs: a row an epoch of the runs shown (`chosen` and `beyond`); see epoch_table.
    models: a row a model, index `model`, of the runs shown; see model_table.
    summary: a row a model and score, index (`model`, `score`), over the runs shown that learned;
        see summary_table.
    """

    name: str  # "<data>/<split>"
    folder: Path
    runs: list[Run]
    chosen: dict[str, list[Run]]
    facts: dict  # data.json, empty where there is none
    # "image-0" -> model -> runs, of the paper's models and ours
    resplits: dict[str, dict[str, list[Run]]] = field(default_factory=dict)
    beyond: dict[str, list[Run]] = field(default_factory=dict)  # as `chosen`
    # of its report: "film", the first training image, to be shown; "to_come", what is being trained
    told: dict = field(default_factory=dict)

    @property
    def split(self) -> str:
        """ "given", or "image-3" where the study is of a split of its own."""
        return self.name.rpartition("/")[2]

    @cached_property
    def baseline(self) -> dict:
        """metrics.always_pneumonia on the test split; empty without a finished run."""
        labels = next((run.labels["test"] for run in self.runs if finished(run)), None)
        return {} if labels is None else metrics.always_pneumonia(labels)

    @cached_property
    def scores(self) -> pd.DataFrame:
        return score_table(self)

    @cached_property
    def means(self) -> pd.DataFrame:
        """Mean accuracy and F1 of the runs that learned, of those shown and on re-splits: index
        (kind, number, model)."""
        good = self.scores[self.scores.chosen & self.scores.learned]
        return good.groupby(["kind", "number", "model"])[["accuracy", "f1"]].mean()

    @cached_property
    def epochs(self) -> pd.DataFrame:
        return epoch_table(self.scores)

    @cached_property
    def models(self) -> pd.DataFrame:
        return model_table(self.scores)

    @cached_property
    def summary(self) -> pd.DataFrame:
        return summary_table(self.scores)


# ---- frames


SCORES = (*metrics.COUNT_METRICS, "batch_mean_accuracy", *metrics.RANK_METRICS, "ece")
CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


COLUMNS = [
    *"model family seed start split kind number image_size chosen".split(),
    *"finished learned learned_on dead seconds".split(),
    *(*SCORES, "tp", "tn", "fp", "fn", "run"),
]


def score_table(study: Study) -> pd.DataFrame:
    """A row a run: of the study's split all, of the re-splits those selected.

    start: "Linear+ReLU 1×10, 640 px, seed 3", the weights that a run began with: alike for models
        of one structure.
    model, family, seed, image_size.
    split: "given", "image-3". kind: "given" for the study's own split, "image" or "patient" for
        re-splits; number: the re-split's, else 0.
    chosen: whether the report shows it; of re-splits all.
    finished, learned, dead: bool; the last two False where it is not finished. learned_on: the
        images that say so, "validation" or "test" (see learned_on).
    seconds: training time.
    accuracy ... npv, tp, tn, fp, fn: metrics.scores of its test images; nan where not finished.
    batch_mean_accuracy, roc_auc, average_precision, brier, ece: as these, of re-splits nan.
    run: the results.Run.
    """
    chosen = [run for runs in (study.chosen | study.beyond).values() for run in runs]
    shown = {id(run) for run in chosen}
    runs = {id(run): run for run in study.runs + chosen}.values()
    rows = [_score_row(run, "given", 0, id(run) in shown) for run in runs]
    for split, by_model in study.resplits.items():
        kind, number = split.split("-")
        for runs in by_model.values():
            rows += [_score_row(run, kind, int(number), True) for run in runs]
    return pd.DataFrame(rows, columns=COLUMNS)


def _score_row(run: Run, kind: str, number: int, chosen: bool) -> dict:
    done = finished(run)
    row = {
        "model": run.spec.id,
        "family": run.spec.family,
        "seed": run.seed,
        "start": start_of(run),
        "split": run.split,
        "kind": kind,
        "number": number,
        "image_size": run.image_size,
        "chosen": chosen,
        "finished": done,
        "seconds": seconds_of(run),
        "learned": done and learned(run),
        "learned_on": learned_on(run),
        "dead": done and is_dead(run),
        "run": run,
    }
    if not done:
        return row
    if kind == "given":
        return row | on_test(run)
    counts = counts_on_test(run)
    scores = metrics.count_scores(**counts)
    return row | counts | {name: float(value) for name, value in scores.items()}


def epoch_table(scores: pd.DataFrame) -> pd.DataFrame:
    """A row an epoch of the runs that the report shows: model, family, seed, learned,
    diverged, epoch (from 1), train_loss, train_accuracy, validation_loss, validation_accuracy (as
    results.Run.history)."""
    shown = scores[(scores.kind == "given") & scores.chosen]
    lengths = [len(run.history.get(CURVES[0], [])) for run in shown.run]
    table = shown.loc[shown.index.repeat(lengths), ["model", "family", "seed", "learned"]]
    table["diverged"] = np.repeat([run.status == "diverged" for run in shown.run], lengths)
    table["epoch"] = _end_to_end(np.arange(1, length + 1) for length in lengths).astype(int)
    for curve in CURVES:
        table[curve] = _end_to_end(run.history.get(curve, []) for run in shown.run)
    return table.reset_index(drop=True)


def _end_to_end(parts) -> np.ndarray:
    return np.concatenate([np.empty(0), *parts])


def model_table(scores: pd.DataFrame) -> pd.DataFrame:
    """A row a model, in the tables' order, of the runs that the report shows. Index: model.

    family, image_size; runs; finished, learned, dead: how many; lost: finished ones that did not
    learn; seeds: "0–4".
    """
    shown = scores[(scores.kind == "given") & scores.chosen]
    table = shown.groupby("model").agg(
        family=("family", "first"),
        image_size=("image_size", "first"),
        runs=("run", "size"),
        finished=("finished", "sum"),
        learned=("learned", "sum"),
        dead=("dead", "sum"),
        seeds=("run", lambda runs: seeds(list(runs))),
    )
    table["lost"] = table.finished - table.learned
    return table.loc[[model for model in KNOWN if model in table.index]]


def summary_table(scores: pd.DataFrame) -> pd.DataFrame:
    """A row a model and score, over the runs shown that learned. Index: (model, score), of SCORES.

    mean; spread: standard deviation (n - 1), nan for one run; min, max: of the runs; low, high:
    where one run of another seed that learns lands on another test set of this size, 95 times in
    100 (intervals.of_new_run), nan for scores that it does not know. Models of which no run learned
    have nan in all.
    """
    parts = {}
    for model, group in _shown(scores):
        good = group[group.learned]
        part = good[list(SCORES)].agg(["mean", "std", "min", "max"]).T
        logits = [run.logits["test"] for run in good.run]
        ends = intervals.of_new_run(logits, good.run.iloc[0].labels["test"]) if logits else {}
        for place, name in enumerate(("low", "high")):
            part[name] = [ends[key][place] if key in ends else math.nan for key in SCORES]
        if group.finished.any():
            parts[model] = part.rename(columns={"std": "spread"})
    if not parts:
        return pd.DataFrame(columns=["mean", "spread", "min", "max", "low", "high"])
    return pd.concat(parts, names=["model", "score"])


def _shown(scores: pd.DataFrame):
    shown = scores[(scores.kind == "given") & scores.chosen]
    groups = dict(iter(shown.groupby("model")))
    return [(model, groups[model]) for model in KNOWN if model in groups]


def in_order(folder: Path, wanted: str | None = None) -> dict[str, Path]:
    """The studies under a results folder, the one that is meant first: what train.py worked on last
    (folder/latest), then those on a given split, then others; among equals, what ended last.

    wanted: one alone; "<data>" means its given split. Raises ResultsError where it is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ResultsError(
            f"{folder}: no such folder; train something first, or name another with --results"
        )
    found = results.studies(folder)
    if not found:
        raise ResultsError(f"{folder}: holds no study (DATA/SPLIT.jsonl); train something first")
    if wanted is not None:
        name = wanted if wanted in found else f"{wanted}/given"
        if name not in found:
            there = ", ".join(found)
            raise ResultsError(f"{folder}: holds no study named {wanted!r}; there is {there}")
        return {name: found[name]}
    latest = results.latest(folder)
    others = [name for name in found if name != latest]

    def rank(name):
        return name.endswith("/given"), _last_finished(found[name]), name

    if len(others) > 1:  # else no record need be read
        others.sort(key=rank, reverse=True)
    return {name: found[name] for name in [latest] * (latest in found) + others}


def _last_finished(place: Path) -> str:
    """When the last run of a study ended; "" where its records cannot be read."""
    try:
        return max(str(run.environment.get("finished", "")) for run in results.load(place))
    except ResultsError:
        return ""


def choose(folder: Path, wanted: str | None = None) -> tuple[str, list[str]]:
    """The study to report, the first of `in_order`, and the names of the others: those on a given
    split, or all where there is none. Raises ResultsError."""
    name, there = next(iter(in_order(folder, wanted))), list(results.studies(folder))
    given = [other for other in there if other.endswith("/given")]
    return name, [other for other in given or there if other != name]


def read(folder: Path, name: str, progress=None) -> Study:
    """Read and sum up one study. progress(words): before each slow step. Raises ResultsError."""
    tell = progress or (lambda words: None)
    file = results.studies(folder)[name]
    place = results.beside(file)
    tell(f"reading the records of {name}")
    runs = results.load(file)
    if len({run.data["fingerprint"] for run in runs}) > 1:
        why = "holds runs on different data; a study is of one data set, move the others away"
        raise ResultsError(f"{place}: {why}")
    facts_file = file.parent / "data.json"
    facts = results.read_json(facts_file) if facts_file.exists() else {}
    chosen = results.select(runs)
    return Study(
        name=name,
        folder=place,
        runs=[run for run in runs if run.spec.id not in OURS] or runs,
        chosen={model: found for model, found in chosen.items() if model not in OURS} or chosen,
        facts=facts,
        resplits=_resplits(file, tell),
        beyond={model: found for model, found in chosen.items() if model in OURS},
    )


def _resplits(file: Path, tell) -> dict:
    """Re-split -> model -> runs, in the order of their numbers."""
    resplits = file.with_name(results.RESPLITS)
    if file.stem != "given" or not resplits.exists():
        return {}
    tell("reading the records of the re-splits")
    by_split = {}
    for run in results.load(resplits):
        by_split.setdefault(run.split, []).append(run)
    found = {}
    for split in sorted(by_split, key=lambda name: (len(name), name)):
        runs = by_split[split]
        if len({run.labels["test"].tobytes() for run in runs if finished(run)}) > 1:
            raise ResultsError(f"{resplits}: holds runs on different splits named {split}")
        found[split] = results.select(runs)
    return own_starts(found)


def own_starts(resplits: dict) -> dict:
    """Re-splits without the runs that start as on other splits, where there are others.

    resplits, and what is given back: split -> model -> runs. What is judged over re-splits is to
    cover the start too, so each split draws its own: split k has the seeds 3k, 3k + 1 and 3k + 2
    (train.py --resplits). Records of an earlier version have the same seeds on every split; they
    count where a split has no other.
    """
    splits = Counter()
    for split, by_model in resplits.items():
        kind = split.partition("-")[0]
        splits.update((kind, run.spec.id, run.seed) for runs in by_model.values() for run in runs)
    found = {}
    for split, by_model in resplits.items():
        kind, found[split] = split.partition("-")[0], {}
        for model, runs in by_model.items():
            own = [run for run in runs if splits[kind, model, run.seed] == 1]
            found[split][model] = own or runs
    return found


def finished(run: Run) -> bool:
    """Whether a run has logits to score."""
    return run.status == "finished" and len(run.logits.get("test", ())) > 0


def start_of(run: Run) -> str:
    """The weights that a run began with, in words: models of one structure share them."""
    spec = run.spec
    kernel = f", {spec.kernel_size}×{spec.kernel_size}" if spec.kernel_size else ""
    structure = f"{spec.family} {spec.hidden_layers}×{spec.hidden_units}{kernel}"
    return f"{structure}, {run.image_size} px, seed {run.seed}"


def is_dead(run: Run) -> bool:
    """Whether a finished run gives no image a logit above 0: its last ReLU shuts all off."""
    on_validation = run.validation_counts.get("tp", 0) + run.validation_counts.get("fp", 0)
    return not on_validation and not (run.logits["test"] > 0).any()


def seconds_of(run: Run) -> float:
    """A run's training time: its epochs' where they were kept, else the whole run's."""
    return float(sum(run.environment.get("epoch_seconds") or []) or run.environment["seconds"])


def learned(run: Run) -> bool:
    """Whether a run finished and beats the constant answers on its validation images.

    A dead net, which calls everything normal, does not, nor one that is all but dead, nor one that
    calls everything pneumonia. Test labels have no part in it, so that a mean of test scores over
    runs that learned is not picked by these scores; where the counts on validation are not known
    (`learned_on`), test images decide.
    """
    if not finished(run):
        return False
    counts = run.validation_counts or counts_on_test(run)
    positives, negatives = counts["tp"] + counts["fn"], counts["tn"] + counts["fp"]
    return counts["tp"] + counts["tn"] > max(positives, negatives)


def learned_on(run: Run) -> str:
    """The images by which `learned` tells: "validation" or, in records of an earlier version on
    re-splits, "test"."""
    return "validation" if run.validation_counts else "test"


def test_share(study: Study) -> float:
    """Test images over training images of the study's splits; the paper's where it has no facts."""
    sizes = study.facts.get("splits") or paper.SPLIT_SIZES
    return sizes["test"] / sizes["train"]


def on_test(run: Run) -> dict:
    """metrics.scores of a finished run on the test split."""
    return metrics.scores(run.logits["test"], run.labels["test"], run.spec.batch_size)


def counts_on_test(run: Run) -> dict:
    """metrics.confusion of a finished run on the test split."""
    return metrics.confusion(run.logits["test"], run.labels["test"])


def describe(spec: ModelSpec) -> str:
    """A model in a few words, such as "CNN, 10 filters 3×3, weighted, L2"."""
    words = ["MLP" if spec.family == "Linear+ReLU" else spec.family]
    if spec.kernel_size:
        words.append(f"{spec.hidden_units} filters {spec.kernel_size}×{spec.kernel_size}")
    else:
        layers = f"{spec.hidden_layers} hidden layer{'s' * (spec.hidden_layers > 1)}"
        words += [layers, f"{spec.hidden_units} units"]
    words += ["weighted"] * spec.class_weight + [spec.optimizer] * (spec.optimizer != "SGD")
    words += ["L2"] * (spec.weight_decay > 0)
    return ", ".join(words + ["equalised films"] * spec.equalise)


def seeds(runs: list[Run]) -> str:
    """The seeds of runs, in ranges: "0–9", "0, 2"."""
    numbers = sorted({run.seed for run in runs})
    parts, start = [], None
    for number, following in zip(numbers, numbers[1:] + [None]):
        start = number if start is None else start
        if following != number + 1:
            parts.append(str(number) if start == number else f"{start}–{number}")
            start = None
    return ", ".join(parts)


def not_trained(study: Study) -> list[str]:
    """The models and the learning-rate search's rows without a run, in the paper's order."""
    return [model for model in MODELS | LEARNING_RATE_SEARCH if model not in study.chosen]


# where train.py puts records unless told
RESULTS = Path(__file__).resolve().parent.parent / "report" / "results"


def command(runs: list[Run], models: list[str], *options: str) -> str:
    """The command that trains these models beside `runs`: on their data and split, at their image
    size where they share one that is not the paper's, into their folder; the paper's own study
    where there are none."""
    words = ["python", "scripts/train.py", "--model", *models]
    if not runs:
        return shlex.join([*words, *options])
    run, sizes = runs[0], {run.image_size for run in runs}
    if run.data["source"] != PAPER:
        words += ["--data", run.data["source"]]
    kind, _, number = run.split.partition("-")
    if number:
        words += ["--split", kind, "--split-seed", number]
    if len(sizes) == 1 and sizes != {IMAGE_SIZE}:
        words += ["--image-size", str(run.image_size)]
    words += [*run.data.get("options", ()), *options]
    folder = Path(run.file).parents[1] if run.file else RESULTS
    if folder.name == "results" and folder.resolve() != RESULTS:
        words += ["--out", str(folder.parent)]
    return shlex.join(words)

"""A study read from its records and summed up: what every figure, table and verdict of the report
starts from.
"""

import shlex
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xray import curves, metrics, paper, results
from xray.data_sources import PAPER
from xray.results import ResultsError, Run
from xray.specs import IMAGE_SIZE, LEARNING_RATE_SEARCH, MODELS, ModelSpec

EVALUATED = (
    "20",
    "21",
    "22",
    "23",
    "24",
    "25",
    "20b",
    "21b",
    "22b",
    "23b",
    "24b",
    "25b",
    "26b",
    "27b",
    "28b",
)
RESAMPLES = 1000  # of the test images, for each run


@dataclass(frozen=True)
class Summary:
    """One model's runs on the test split; fractions in 0-1.

    scores: one dict a finished run (metrics.scores). mean, spread: over those runs; spread is the
    standard deviation (n - 1), 0 for one run. interval: count metric -> (low, high), 95 %, of one
    run of another seed on another test set of that size (the runs' bootstrap draws together).
    """

    runs: list[Run]
    scores: list[dict]
    mean: dict
    spread: dict
    interval: dict


@dataclass(frozen=True)
class Study:
    """All that is known of one study. `chosen` is results.select's answer: the runs that the report
    shows.
    """

    name: str  # "<data>/<split>"
    folder: Path
    runs: list[Run]
    chosen: dict[str, list[Run]]
    facts: dict  # data.json, empty where there is none
    summaries: dict[str, Summary]  # of the models that the paper tests, those with a finished run
    baseline: dict  # metrics.always_pneumonia on the test split; empty without a finished run
    # "image-0" -> model -> runs, of sibling folders of the same data
    resplits: dict[str, dict[str, list[Run]]]


def choose(folder: Path, wanted: str | None = None) -> tuple[str, list[str]]:
    """The study to report, and the names of the others.

    Without a wish: the one that train.py worked on last, which folder/latest names; else of the
    studies on the data's given split (of all, where none is) the one whose last run ended last.
    Raises ResultsError where there is none, or none of that name ("<data>" alone means its given
    split).
    """
    if not Path(folder).is_dir():
        raise ResultsError(
            f"{folder}: no such folder; train something first, or name another with --results"
        )
    found = results.studies(folder)
    if not found:
        raise ResultsError(f"{folder}: holds no study (DATA/SPLIT/RUN.json); train something first")
    if wanted is not None:
        name = wanted if wanted in found else f"{wanted}/given"
        if name not in found:
            raise ResultsError(
                f"{folder}: holds no study named {wanted!r}; there is {', '.join(found)}"
            )
        return name, [other for other in found if other != name]
    candidates = [name for name in found if name.endswith("/given")] or list(found)
    chosen = results.latest(folder)
    if chosen not in found:
        chosen = max(
            candidates, key=lambda name: (max(map(_finished_at, results.load(found[name]))), name)
        )
    return chosen, [name for name in candidates if name != chosen]


def _finished_at(run: Run) -> str:
    return str(run.environment.get("finished", ""))


def read(folder: Path, name: str, progress=None) -> Study:
    """Read and sum up one study. progress(words) is called before each slow step. Raises
    ResultsError.
    """
    tell = progress or (lambda words: None)
    place = results.studies(folder)[name]
    tell(f"reading the records of {name}")
    runs = results.load(place)
    if len({run.data["fingerprint"] for run in runs}) > 1:
        raise ResultsError(
            f"{place}: holds runs on different data; a study is of one data set, move the others away"
        )
    facts_file = place.parent / "data.json"
    facts = results.read_json(facts_file) if facts_file.exists() else {}
    chosen = results.select(runs)
    tell(f"scoring {len(runs)} runs")
    summaries = {
        model: summarise(chosen[model])
        for model in EVALUATED
        if any(map(finished, chosen.get(model, [])))
    }
    labels = next((run.labels["test"] for run in runs if finished(run)), None)
    return Study(
        name,
        place,
        runs,
        chosen,
        facts,
        summaries,
        {} if labels is None else metrics.always_pneumonia(labels),
        _siblings(place, tell),
    )


def _siblings(place: Path, tell) -> dict:
    if place.name != "given":
        return {}
    found = {}
    for sibling in sorted(place.parent.iterdir(), key=lambda path: (len(path.name), path.name)):
        there = any(sibling.glob("*-seed*.json")) or (sibling / results.COMPACT).exists()
        if sibling.name.startswith(("image-", "patient-")) and there:
            tell(f"reading the records of {place.parent.name}/{sibling.name}")
            runs = results.load(sibling)
            if len({run.labels["test"].tobytes() for run in runs if finished(run)}) > 1:
                raise ResultsError(
                    f"{sibling}: holds runs on different splits; the older ones are an earlier version's, "
                    "move them away"
                )
            found[sibling.name] = results.select(runs)
    return found


def finished(run: Run) -> bool:
    """Whether a run has logits to score."""
    return run.status == "finished" and len(run.logits.get("test", ())) > 0


def is_dead(run: Run) -> bool:
    """Whether a finished run gives no image a logit above 0: its last ReLU shuts every image
    off.
    """
    return not any((values > 0).any() for values in run.logits.values())


def timed_alike(runs: list[Run]) -> dict[str, list[Run]]:
    """Model -> runs of 26b, 27b and 28b whose durations can be compared (Fig 28, C30, C34).

    Trained pixel by pixel and alike in image size, device, threads, precision and epochs. Of such
    groups the one with most of the three models, then most runs of 26b, then the largest images.
    """
    groups = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run.spec.id in paper.DURATIONS[28] and run.engine == "direct" and finished(run):
            machine = str(run.environment.get("device")), run.environment.get("threads", 0)
            alike = run.image_size, *machine, run.precision, run.spec.epochs
            groups[alike][run.spec.id].append(run)
    best = max(groups, key=lambda k: (len(groups[k]), len(groups[k]["26b"]), k), default=None)
    return {model: found for model, found in groups[best].items() if found} if best else {}


def seconds_of(run: Run) -> float:
    """A run's training time: its epochs' where they were kept, else the whole run's."""
    return float(sum(run.environment.get("epoch_seconds") or []) or run.environment["seconds"])


@dataclass(frozen=True)
class Standing:
    """A CNN's runs at the paper's size, and those at a smaller one with matched steps that stand for
    them in the figures. left: the epoch in which each run left the plateau (curves.left_plateau)."""

    model: str
    full: list[Run]
    matched: list[Run]
    left_full: list[int | None]
    left_matched: list[int | None]
    agreement: float  # curves.agreement of validation accuracy; the mean over `full`


def sizes_compared(study: Study) -> list[Standing]:
    """For each CNN with finished runs both at the paper's size and among the chosen ones at another,
    with the paper's epochs, how well the latter stand for the former."""
    found = []
    for model, chosen in study.chosen.items():
        spec = (MODELS | LEARNING_RATE_SEARCH)[model]
        matched = [run for run in chosen if finished(run) and run.matched]
        full = [
            run
            for run in study.runs
            if run.spec == spec and run.image_size == IMAGE_SIZE and finished(run)
        ]
        if spec.family != "CNN" or not full or not matched or matched[0].image_size == IMAGE_SIZE:
            continue
        lines = [run.history["validation_accuracy"] for run in matched]
        ratios = [curves.agreement(run.history["validation_accuracy"], lines) for run in full]
        left = [[_left(run) for run in runs] for runs in (full, matched)]
        found.append(Standing(model, full, matched, *left, float(np.mean(ratios))))
    return found


def _left(run: Run) -> int | None:
    share = float(np.mean(run.labels["validation"]))
    return curves.left_plateau(run.history["validation_accuracy"], max(share, 1 - share))


def test_share(study: Study) -> float:
    """Test images over training images of the study's splits; the paper's where it has no facts."""
    sizes = study.facts.get("splits") or paper.SPLIT_SIZES
    return sizes["test"] / sizes["train"]


def on_test(run: Run) -> dict:
    """metrics.scores of a finished run on the test split."""
    return metrics.scores(run.logits["test"], run.labels["test"], run.spec.batch_size)


def summarise(runs: list[Run]) -> Summary:
    """The test scores of a model's finished runs; at least one of them must be finished."""
    done = [run for run in runs if finished(run)]
    scores = [on_test(run) for run in done]
    table = {key: np.array([row[key] for row in scores], float) for key in scores[0]}
    counts = [{cell: row[cell] for cell in ("tp", "tn", "fp", "fn")} for row in scores]
    return Summary(
        runs,
        scores,
        {key: float(values.mean()) for key, values in table.items()},
        {
            key: float(values.std(ddof=1)) if len(values) > 1 else 0.0
            for key, values in table.items()
        },
        metrics.bootstrap_runs(counts, RESAMPLES),
    )


def describe(spec: ModelSpec) -> str:
    """A model in a few words, such as "CNN, 10 filters 3×3, weighted, L2"."""
    if spec.family == "CNN":
        words = [f"CNN, {spec.hidden_units} filters {spec.kernel_size}×{spec.kernel_size}"]
    else:
        plural = "s" if spec.hidden_layers > 1 else ""
        words = [
            f"{spec.family}, {spec.hidden_layers} hidden layer{plural}, {spec.hidden_units} units"
        ]
    words += ["weighted"] * spec.class_weight + ["Adam"] * (spec.optimizer != "SGD")
    return ", ".join(words + ["L2"] * (spec.weight_decay > 0))


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


def command(study: Study, models: list[str], *extra: str) -> str:
    """The command that trains these models on the study's data, at its image size where all its
    runs share one.
    """
    words = ["python", "scripts/train.py", "--model", *models]
    source, split = study.runs[0].data["source"], study.runs[0].split
    if source != PAPER:
        words += ["--data", source]
    if split != "given":
        words += ["--split", split.split("-")[0], "--split-seed", split.split("-")[1]]
    sizes = {run.image_size for run in study.runs}
    if len(sizes) == 1 and sizes != {IMAGE_SIZE}:
        words += ["--image-size", str(sizes.pop())]
    return shlex.join([*words, *extra])


def percent(value: float, digits: int = 1) -> str:
    """A fraction as a percentage without its sign, "93.4"; "–" for nan."""
    return "–" if value != value else f"{100 * value:.{digits}f}"


def plus_minus(values, digits: int) -> str:
    """Mean ± standard deviation of numbers; the mean alone for one; a dash for none."""
    values = np.asarray(values, float)
    if not len(values):
        return "–"
    big = abs(values.mean()) >= 1000
    shown = f"{values.mean():.2e}" if big else f"{values.mean():.{digits}f}"
    if len(values) == 1:
        return shown
    deviation = values.std(ddof=1)
    return f"{shown} ± {deviation:.1e}" if big else f"{shown} ± {deviation:.{digits}f}"


def spread(summary: Summary, key: str) -> str:
    """Mean ± standard deviation over runs in percent, "93.4 ± 0.5"; the mean alone for one run."""
    text = percent(summary.mean[key])
    return f"{text} ± {percent(summary.spread[key])}" if len(summary.scores) > 1 else text


def not_trained(study: Study) -> list[str]:
    """The models of Tables 1 and 2 and of the learning-rate search without a run, in the paper's
    order.
    """
    return [model for model in MODELS | LEARNING_RATE_SEARCH if model not in study.chosen]

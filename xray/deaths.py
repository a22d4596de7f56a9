"""Why MLPs die: the census of starts as probabilities, and held against the trained runs."""

import math
from dataclasses import dataclass, field

import numpy as np

from xray.intervals import wilson
from xray.results import Run
from xray.specs import LEARNING_RATE_SEARCH, MODELS
from xray.study import Study, finished, is_dead, learned

STILL = 1e-5  # by which a loss that never moves may differ from epoch to epoch, in float32
CERTAIN = 30  # films, of which any random split has some in its training part (0.3³⁰: never)


@dataclass(frozen=True)
class Share:
    """count of `of`, and the 95 % interval of the share after Wilson; nan where `of` is 0."""

    count: int
    of: int

    @property
    def value(self) -> float:
        return self.count / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        if not self.of:
            return math.nan, math.nan
        return wilson(self.count, self.of)


def censuses(records: dict) -> dict[int, dict]:
    """Image size -> census, from experiments.read, by size."""
    found = [record for name, record in records.items() if name.startswith("starts-")]
    return {one["image_size"]: one for one in sorted(found, key=lambda one: one["image_size"])}


def starts(census: dict, net: str) -> dict[str, Share]:
    """Of a census' starts of one net ("1x10"): "dead", with "both" signs of output, all "above"."""
    counts = np.array(census["counts"][net])
    found = {"dead": counts == 0, "above": counts == census["images"]}
    found["both"] = ~(found["dead"] | found["above"])
    return {kind: Share(int(which.sum()), len(counts)) for kind, which in found.items()}


@dataclass
class Check:
    """A model's finished runs whose start is in the census, on the given split or on re-splits.

    dead: runs that started dead. revived: of those, the ones that learned or whose training loss
    ever moved; 0 if the argument holds. died: start ("both", "above") -> [runs that ended dead,
    runs].
    """

    model: str
    resplits: bool
    dead: int = 0
    revived: int = 0
    died: dict = field(default_factory=lambda: {"both": [0, 0], "above": [0, 0]})


def check(study: Study, records: dict) -> list[Check]:
    """Each MLP's runs by start and end, in the paper's order: by seed, since a run starts from the
    weights of its seed, whatever its loss, optimizer and rate."""
    found, known = {}, censuses(records)
    groups = [(False, study.runs)]
    groups += [(True, runs) for split in study.resplits.values() for runs in split.values()]
    for resplits, runs in groups:
        for run in runs:
            spec = run.spec
            start = _start_of(run, known.get(run.image_size), resplits)
            if start and spec.family == "Linear+ReLU" and finished(run):
                row = found.setdefault((spec.id, resplits), Check(spec.id, resplits))
                if start == "dead":
                    loss = run.history.get("train_loss") or [0]  # a short record has none
                    row.dead += 1
                    row.revived += learned(run) or max(loss) - min(loss) > STILL
                else:
                    row.died[start][0] += is_dead(run)
                    row.died[start][1] += 1
    order = list(MODELS | LEARNING_RATE_SEARCH).index
    return sorted(found.values(), key=lambda row: (row.resplits, order(row.model)))


def died(checks: list[Check], kinds=("both", "above"), models=()) -> Share:
    """Runs that ended dead, of those that started with such outputs, of these models or of all."""
    rows = [row for row in checks if not models or row.model in models]
    pairs = [row.died[kind] for row in rows for kind in kinds]
    return Share(sum(dead for dead, _ in pairs), sum(runs for _, runs in pairs))


def _start_of(run: Run, census: dict | None, resplit: bool) -> str:
    """ "dead", "both" or "above"; "" where the census does not tell.

    It counts the given split's training images. On another split a net has an output above 0 too,
    where CERTAIN of them have one.
    """
    net = f"{run.spec.hidden_layers}x{run.spec.hidden_units}"
    if census is None or net not in census["counts"] or run.seed >= census["seeds"]:
        return ""
    count = census["counts"][net][run.seed]
    if resplit and count < CERTAIN:
        return ""
    return "dead" if count == 0 else "above" if count == census["images"] else "both"

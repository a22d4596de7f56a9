"""What is asked for -> jobs: which specs, seeds, splits, sizes, precisions, engines, in which
order.

torch is not needed here, so that a wrong word is told at once.
"""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from xray import results
from xray.files import UserError
from xray.specs import (
    EQUALISED,
    IMAGE_SIZE,
    KNOWN,
    LEARNING_RATE_SEARCH,
    MANY_SEEDS,
    MODELS,
    RESPLIT,
    RESPLIT_CNN,
    TABLE_3,
    WHOLE_RECORDS,
    ModelSpec,
    is_flat,
    matched_step,
    trains_in_sample_space,
)

CPU_CNN_SIZE = 64  # pixels a side; see the README for the measurement it follows from
RESPLITS = 10  # new splits of each kind that belong to the study
MAX_GRAM = 8 * 2**30  # bytes of K beyond which the direct loop is chosen


class OrderError(UserError):
    """What is asked for cannot be done: one line that says why."""


@dataclass(frozen=True)
class Job:
    """A run to be."""

    spec: ModelSpec
    seed: int
    image_size: int
    split: str
    engine: str  # "direct" or "gram"
    engine_reason: str
    precision: str
    pixel_step: float  # specs.matched_step, but in experiments on it
    file: Path  # that its record is a line of
    keep_weights: bool = False
    short: bool = False  # its record is kept in short (results.in_short)

    @property
    def name(self) -> str:
        forced = self.engine if self.engine_reason == "forced" else ""
        how = self.precision, forced, self.pixel_step
        return results.run_name(self.spec, self.seed, self.image_size, *how)

    @property
    def cost(self) -> float:
        return cost(self.spec, self.image_size)

    def recorded(self, note=None) -> bool:
        """Whether its record stands. note(text): told of a record that was cut off. Raises
        ResultsError where its file cannot be read."""
        return (self.split, self.name) in results.runs_of(self.file, note)


def cost(spec: ModelSpec, image_size: int) -> float:
    """How long a run takes beside others of its engine, in a unit of its own: the work is that of
    the first convolution or layer on all pixels, 16 units at a time, as processors take them."""
    filters = -(-spec.hidden_units // 16) * (spec.kernel_size or 1) ** 2
    return spec.epochs * image_size**2 * filters / 1e6


def duration(jobs: list[Job], rates: dict[str, float]) -> float | None:
    """Seconds that jobs will take, from the seconds that a unit of cost took, engine -> rate; None
    where an engine of theirs has not been measured."""
    if any(job.engine not in rates for job in jobs):
        return None
    return sum(rates[job.engine] * job.cost for job in jobs)


def choose_specs(
    models: list[str] | None, epochs: int | None = None, beyond: bool = False
) -> list[ModelSpec]:
    """The specs of these models, each once, or of the study, at these epochs. beyond: of Table 3
    too. Raises OrderError."""
    known = KNOWN if models or beyond else MODELS | LEARNING_RATE_SEARCH
    for name in models or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=4, cutoff=0.3) or list(MODELS)[:4]
            near = f"the nearest are {', '.join(near)} (--list prints all)"
            raise OrderError(f"there is no model {name!r}; {near}")
    specs = [known[name] for name in (dict.fromkeys(models) if models else known)]
    return [replace(spec, epochs=epochs or spec.epochs) for spec in specs]


def default_seeds(spec: ModelSpec) -> range:
    """0-2 for CNNs and for Adam, 0-4 for Linear models, 0-19 for MLPs of which no claim needs more
    (MANY_SEEDS): about half of theirs learn nothing."""
    if not trains_in_sample_space(spec):
        return range(3)
    return range(MANY_SEEDS.get(spec.id, 5 if spec.family == "Linear" else 20))


def resplit_seeds(spec: ModelSpec, number: int, asked: list[int] | None) -> list[int]:
    """The seeds of a re-split: its own, so that the start is drawn anew with it. Of CNNs one, of
    others as many of three as are asked for."""
    if spec.family == "CNN":
        return [number]
    return [3 * number + seed for seed in asked or [0]]


def default_size(spec: ModelSpec, device: str) -> int:
    """The spec's own, or for the paper's CNNs without a GPU CPU_CNN_SIZE."""
    reduced = spec.family == "CNN" and spec.image_size == IMAGE_SIZE and device == "cpu"
    return CPU_CNN_SIZE if reduced else spec.image_size


def choose_engine(spec: ModelSpec, n_images: int) -> tuple[str, str]:
    """("gram" or "direct", why, as one sentence): sample space wherever the spec has a form there
    and K, 8 bytes an entry, fits MAX_GRAM."""
    if not trains_in_sample_space(spec):
        return "direct", f"{spec.optimizer} {spec.family} models always are"
    needed, most = 8 * n_images**2 / 2**30, MAX_GRAM / 2**30
    size = f"the Gram matrix of {n_images} images takes {needed:,.2f} GiB of memory"
    return ("gram", size) if needed <= most else ("direct", f"{size}, more than {most:g}")


def plan(
    specs: list[ModelSpec],
    folder: Path,
    n_images: int,
    device: str,
    *,
    seeds: list[int] | None = None,
    image_size: int | None = None,
    split: str = "given",
    resplits: int = 0,
    study: bool = False,
    engine: str = "auto",
    precision: str = "fp32",
    flat_precision: str = "fp32",
    weights: str = "first",
) -> list[Job]:
    """The jobs of these specs, in the order of the paper.

    folder: the data's (results.data_folder). seeds, image_size: None for each spec's own. split:
    "given", or "image-3", "patient-3". resplits: how many new splits of each kind. study: the
    durations of Fig 28 too, and re-splits of the models alone that train in moments. precision: of
    CNNs and ResNets; flat_precision: of Linear nets and MLPs by the plain loop. weights: "first",
    "all" or "none" of a model's runs keep theirs. Raises OrderError.
    """
    again = RESPLIT if study else (*RESPLIT, *RESPLIT_CNN, *TABLE_3, *EQUALISED)
    unfit = [spec.id for spec in specs if not trains_in_sample_space(spec)]
    if engine == "gram" and unfit and not study:
        unfit = ", ".join(unfit)
        raise OrderError(f"--engine gram trains Linear and MLP models by SGD; not {unfit}")
    if resplits and split != "given":
        raise OrderError("--resplits makes its own splits; leave out --split")
    if resplits and not any(spec.id in again for spec in specs):
        raise OrderError(f"--resplits are of the models {', '.join(again)}")
    if resplits and seeds and max(seeds) > 2:
        raise OrderError("a re-split has up to three seeds of its own: --seeds 0-2 with --resplits")

    def job(spec, seed, split, **options) -> Job:
        size = image_size or default_size(spec, device)
        chosen = choose_engine(spec, n_images)
        if engine != "auto" and trains_in_sample_space(spec):
            chosen = engine, "forced"
        arithmetic = flat_precision if is_flat(spec) else precision
        return Job(
            spec=spec,
            seed=seed,
            image_size=size,
            split=split,
            engine=chosen[0],
            engine_reason=chosen[1],
            precision="fp32" if chosen[0] == "gram" else arithmetic,  # there it is float64
            pixel_step=matched_step(spec, size),
            **{"file": results.records_file(folder, split)} | options,
        )

    made = []
    for spec in specs:
        own = seeds or default_seeds(spec)
        for seed in own:
            short = split == "given" and spec.id in MANY_SEEDS and seed >= WHOLE_RECORDS
            keep = weights == "all" or (weights == "first" and seed == own[0])
            made.append(job(spec, seed, split, keep_weights=keep and not short, short=short))
    made += [
        job(spec, seed, f"{kind}-{number}", file=folder / results.RESPLITS, short=True)
        for spec in specs
        if spec.id in again
        for number in range(resplits)
        for kind in (("patient",) if spec.id in TABLE_3 | EQUALISED else ("image", "patient"))
        for seed in resplit_seeds(spec, number, seeds)
    ]
    if study and engine == "auto":
        # Fig 28 compares durations: all three by the direct loop, alike
        size = image_size or default_size(MODELS["26b"], device)
        made += [
            replace(
                job(spec, 0, split),
                engine="direct",
                engine_reason="forced",
                image_size=size,
                precision=precision,
                pixel_step=matched_step(spec, size),
            )
            for spec in specs
            if spec.id in ("27b", "28b")
        ]
    return made


def stages(jobs: list[Job]) -> list[list[Job]]:
    """The jobs of a study in the order that fills its report soonest: five seeds of the models that
    train in moments, each other model's first seed, what is left."""
    first, second, rest = [], [], []
    for job in jobs:
        ours = job.spec.id in MODELS and not job.short and job.engine_reason != "forced"
        if ours and job.engine == "gram" and job.seed < WHOLE_RECORDS:
            first.append(job)
        elif ours and job.engine == "direct" and job.seed == 0:
            second.append(job)
        else:
            rest.append(job)
    return [stage for stage in (first, second, rest) if stage]

"""What is asked for -> the jobs of a call: which specs, seeds, splits, sizes, precisions, engines.

torch and the data's libraries are imported where they are needed, so that a wrong word in an order
is told at once.
"""

import difflib
import functools
from dataclasses import dataclass, replace
from pathlib import Path

from xray import results
from xray.specs import (
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


class OrderError(ValueError):
    """What is asked for cannot be done: one line that says why."""


@dataclass(frozen=True)
class Order:
    """What is asked for: the options of scripts/train.py; None where its default is to hold."""

    out: Path  # where records and report go; phantoms in its folder "phantom"
    device: str  # "cpu" or "cuda:N"
    models: list[str] | None = None  # None: the study
    seeds: list[int] | None = None
    image_size: int | None = None
    split: str = "given"  # or "image-3", "patient-3"
    resplits: int | None = None
    engine: str = "auto"
    precision: str = "auto"
    weights: str = "first"


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
    file: Path  # that its record is a line of
    keep_weights: bool = True
    compact: bool = False  # its record is kept in short (results.in_short)

    @property
    def pixel_step(self) -> float:
        return matched_step(self.spec, self.image_size)

    @property
    def name(self) -> str:
        forced = self.engine if self.engine_reason == "forced" else ""
        return results.run_name(self.spec, self.seed, self.image_size, self.precision, forced)

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it apart from all other jobs of its data."""
        return self.file.name, self.split, self.name


def has_record(job: Job, note=None) -> bool:
    """Whether the job's record stands. Raises ResultsError where its file cannot be read."""
    return (job.split, job.name) in results.runs_of(job.file, note)


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


def choose_engine(spec: ModelSpec, n_images: int) -> tuple[str, str]:
    """("gram" or "direct", why, as one sentence): sample space wherever the spec has a form there
    and K, 8 bytes an entry, fits MAX_GRAM."""
    if not trains_in_sample_space(spec):
        return "direct", f"{spec.optimizer} {spec.family} models always are"
    needed, most = 8 * n_images**2 / 2**30, MAX_GRAM / 2**30
    size = f"the Gram matrix of {n_images} images takes {needed:,.2f} GiB of memory"
    return ("gram", size) if needed <= most else ("direct", f"{size}, more than {most:g}")


def choose_precision(asked: str, device: str, note) -> str:
    """The CNNs' number format: bf16 on a CPU with instructions for it, half the time; else fp32."""
    import torch

    if asked != "auto" or device != "cpu":
        return "fp32" if asked == "auto" else asked
    able = torch.cpu.get_capabilities()
    if able.get("avx512_bf16") or able.get("amx_bf16"):
        return "bf16"
    why = "this processor has no bf16 instructions"
    note(f"{why}, so CNNs are trained in fp32; that takes about twice as long")
    return "fp32"


def _check(order: Order, specs: list[ModelSpec], again: tuple) -> None:
    unfit = [spec.id for spec in specs if not trains_in_sample_space(spec)]
    if order.engine == "gram" and order.models and unfit:
        unfit = ", ".join(unfit)
        raise OrderError(f"--engine gram trains Linear and MLP models by SGD; not {unfit}")
    if order.resplits and not any(spec.id in again for spec in specs):
        raise OrderError(f"--resplits are of the models {', '.join(again)}")


def split_of(data, asked: str) -> str:
    """The split to work on where `asked` was asked for; "given" also where a source that lacks
    splits has had them made so."""
    return "given" if data.facts.get("made") else asked or "given"


def plan(order: Order, specs: list[ModelSpec], load, note) -> list[Job]:
    """The jobs of a call, in the order of the paper. load(image_size) gives the Data. note(text):
    called with what a person should be told. Raises OrderError."""
    again = (RESPLIT + RESPLIT_CNN + tuple(TABLE_3)) if order.models else RESPLIT
    _check(order, specs, again)

    def size_of(spec):
        reduced = spec.family == "CNN" and spec.image_size == IMAGE_SIZE and order.device == "cpu"
        return order.image_size or (CPU_CNN_SIZE if reduced else spec.image_size)

    data = load(max(map(size_of, specs)))
    order = replace(order, split=split_of(data, order.split))
    if order.resplits and order.split != "given":
        raise OrderError("--resplits makes its own splits; leave out --split")
    folder = results.place(order.out, data.phantom) / "results"
    study = results.data_folder(folder, data.name, data.fingerprint)
    resplits = study / results.RESPLITS
    cnn_precision = choose_precision(order.precision, order.device, note)
    flat_precision = "fp32" if order.precision == "auto" else order.precision

    def job(spec, seed, split, keep, compact=False, engine=order.engine):
        size, precision = size_of(spec), flat_precision if is_flat(spec) else cnn_precision
        chosen = choose_engine(spec, len(data.labels))
        if engine != "auto" and trains_in_sample_space(spec):
            chosen = engine, "forced"
        made = results.records_file(study, order.split) if split == order.split else resplits
        return Job(spec, seed, size, split, *chosen, precision, made, keep, compact)

    jobs = []
    for spec in specs:
        seeds = order.seeds or default_seeds(spec)
        for seed in seeds:
            keep = order.weights == "all" or (order.weights == "first" and seed == seeds[0])
            in_short = order.split == "given" and spec.id in MANY_SEEDS and seed >= WHOLE_RECORDS
            jobs.append(job(spec, seed, order.split, keep and not in_short, in_short))
    numbers = order.resplits
    if numbers is None:
        numbers = RESPLITS if order.models is None and order.split == "given" else 0
    jobs += [
        job(spec, seed, f"{kind}-{number}", keep=False, compact=True)
        for spec in specs
        if spec.id in again
        for number in range(numbers)
        for kind in (("patient",) if spec.id in TABLE_3 else ("image", "patient"))
        for seed in order.seeds or [0]
    ]
    if order.models is None and order.engine == "auto":
        # Fig 28 compares durations: all three by the direct loop, alike
        alike = {"image_size": size_of(MODELS["26b"]), "precision": cnn_precision}
        jobs += [
            replace(job(spec, 0, order.split, keep=False, engine="direct"), **alike)
            for spec in specs
            if spec.id in ("27b", "28b")
        ]
    return jobs


def share(jobs: list[Job], rank: int, ranks: int) -> list[Job]:
    """What a rank of several works off."""
    return jobs[rank::ranks]


def open_source(name: str, choices, skip_unreadable: bool, fall_back: bool, bar, say):
    """load(image_size, split) -> Data, each size read once, all of one source and one content.

    fall_back: where the Hub cannot be reached at the first reading, phantoms take its place, which
    say(text) tells. load raises DataError, also where a later reading finds another content.
    """
    from xray import data

    source = {"name": name}  # and the fingerprint that the first reading finds

    @functools.cache
    def given(size):
        progress = bar(total=1, initial=0, label=f"decoding images at {size}×{size}")

        def tick(done, total):
            progress.total = total
            progress.update(done - progress.n)

        try:
            found = data.load(source["name"], size, skip_unreadable, progress=tick, choices=choices)
        except data.HubUnreachable as error:
            if not fall_back or "fingerprint" in source:
                raise
            say(
                f"{error}\nGoing on with phantoms (synthetic images): nothing that follows is "
                "about real radiographs. For real ones: --data FOLDER"
            )
            source["name"] = "phantom"
            found = data.load("phantom", size, progress=tick)
        progress.close()
        if found.fingerprint != source.setdefault("fingerprint", found.fingerprint):
            raise data.DataError(
                f"{found.source}: changed while it was read; at {size}×{size} pixels it is another "
                "data set, so nothing more is trained; the same command reads it anew"
            )
        for note in found.notes:
            say(f"note: {note}")
        return found

    @functools.cache
    def load(size, split="given"):
        protocol, _, seed = split.partition("-")
        return data.resplit(given(size), protocol, int(seed or 0))

    return load

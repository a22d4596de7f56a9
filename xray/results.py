"""The run record: a line of JSON a run, added once and never changed.

    RESULTS/<data>/data.json          what the data is: counts, audit, labels, paths
    RESULTS/<data>/given.jsonl        the runs of the study, on the source's own splits
    RESULTS/<data>/resplits.jsonl     runs on new splits, by image and by patient, in short
    RESULTS/<data>/patient-3.jsonl    a study on such a split, as train.py --split makes it
    RESULTS/<data>/weights/           weights that were kept, a file a run

<data> is the source's name and the first 8 digits of its fingerprint, so records of different data
never meet. Scores are not stored: they are computed from the logits. Logits (float32), labels and
history (float64) are kept exactly, see files.packed.
"""

import functools
import re
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from xray.files import (  # noqa: F401  (also of this module's interface)
    ResultsError,
    append_line,
    read_json,
    read_lines,
    shown,
    write_json,
)
from xray.specs import KNOWN, ModelSpec, matched_step

PARTS = ("validation", "test")
SEEDS = 3  # from which the spread over seeds can be told
RESPLITS = "resplits.jsonl"
SPLIT = r"given|(image|patient)-\d{1,9}"


@dataclass(frozen=True)
class Run:
    """A model trained once.

    history: lists of one float an epoch: train_loss, train_accuracy (running, while the weights
        move), validation_loss, validation_accuracy (after the epoch). Losses as trained on
        (pos_weight included), means over images.
    logits, labels: 1-D arrays by split part, float32 and int64, in the data's order; computed
        in fp32, whatever precision trained; both empty for a diverged run.
    """

    spec: ModelSpec  # as trained: with other epochs than KNOWN[spec.id] where shortened
    seed: int
    image_size: int  # pixels a side
    split: str  # "given", "image-<seed>" or "patient-<seed>"
    # name, source, fingerprint, phantom (bool), skipped (count of unreadable images left out)
    data: dict
    engine: str  # "direct" or "gram"
    engine_reason: str  # why that one, as a sentence, or "forced"
    precision: str  # "fp32", "tf32" or "bf16"
    # specs.matched_step; 1 elsewhere than at the spec's size is a step that was not matched
    pixel_step: float
    status: str  # "finished" or "diverged"
    history: dict
    logits: dict
    labels: dict
    environment: dict  # device, threads, versions, revision, started (UTC), seconds, epoch_seconds
    # file (in the folder "weights" beside the record), sha256; empty where they were not kept
    weights: dict = field(default_factory=dict)
    # tp, fp, fn, tn on the validation images; empty where they are not known
    validation_counts: dict = field(default_factory=dict)
    file: Path | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """What tells it apart from the other runs of its split, see run_name."""
        forced = self.engine if self.engine_reason == "forced" else ""
        how = self.precision, forced, self.pixel_step
        return run_name(self.spec, self.seed, self.image_size, *how)

    @property
    def matched(self) -> bool:
        """Whether the layer with one weight per pixel took the paper's step (specs.pixel_step)."""
        return self.pixel_step == matched_step(self.spec, self.image_size)

    @property
    def differs(self) -> list[str]:
        """What sets this run apart from what its table says, in words; empty where nothing does."""
        told = KNOWN[self.spec.id]
        notes = ["synthetic images (phantoms)"] if self.data["phantom"] else []
        if self.image_size != told.image_size:
            step = "matched steps" if self.matched else "steps that are not matched to them"
            size = f"{self.image_size}×{self.image_size} pixels"
            notes.append(f"{size} instead of {told.image_size}×{told.image_size}, with {step}")
        if self.spec.epochs != told.epochs:
            notes.append(f"{self.spec.epochs} epochs instead of {told.epochs}")
        return notes


def run_name(
    spec: ModelSpec, seed: int, image_size: int, precision="fp32", forced_engine="", pixel_step=None
) -> str:
    """The name of a run among those of its split, without what its table fixes: "26b-seed0",
    "26b-seed0-64px-matched-bf16". pixel_step: None for the matched one."""
    parts = [spec.id, f"seed{seed}"]
    if image_size != spec.image_size:
        matched = pixel_step in (None, matched_step(spec, image_size))
        parts += [f"{image_size}px", "matched" if matched else "unmatched"]
    if spec.epochs != KNOWN[spec.id].epochs:
        parts.append(f"{spec.epochs}epochs")
    parts += [word for word in (precision, forced_engine) if word and word != "fp32"]
    return "-".join(parts)


def place(out: Path, phantom: bool) -> Path:
    """Where records and report go: `out`, for phantoms its folder "phantom". So no phantom is ever
    among a real study's records, `latest` or predictions."""
    out = Path(out)
    return out / "phantom" if phantom and out.name != "phantom" else out


def data_folder(results: Path, name: str, fingerprint: str) -> Path:
    """Where a data set's studies lie. `name` is cut down to letters, digits, '.', '_' and '-'."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60] or "data"
    return Path(results) / f"{safe}-{fingerprint[:8]}"


def records_file(folder: Path, split: str) -> Path:
    """Where the runs of a study on a split lie; folder: as data_folder gives it."""
    return Path(folder) / f"{split}.jsonl"


def beside(file: Path) -> Path:
    """The folder of all else that belongs to a study's runs in `file`: the data's own, or for a
    study on a new split a folder of that name in it."""
    return file.parent if file.stem == "given" else file.with_suffix("")


def weights_path(run: Run) -> Path:
    """Where a run's weights lie, whether or not they are there."""
    return run.file.parent / "weights" / Path(str(run.weights.get("file"))).name


def confusion(logits, labels) -> dict:
    """tp, fp, fn, tn of calling pneumonia what has a logit above 0."""
    called, true = np.asarray(logits) > 0, np.asarray(labels) == 1
    tn, fp, fn, tp = np.bincount(2 * true + called, minlength=4).tolist()
    return {"tp": tp, "fp": fp, "fn": fn, "tn": tn}


def counted(run: Run) -> Run:
    """The run with the counts that its validation logits give, where it has them."""
    if not len(run.logits.get("validation", ())):
        return run
    counts = confusion(run.logits["validation"], run.labels["validation"])
    return replace(run, validation_counts=counts)


def in_short(run: Run) -> Run:
    """The run without its validation logits (their counts stay), durations of its epochs and, on a
    re-split, its history: of thousands of runs more would be too much."""
    run = counted(run)
    about = {key: value for key, value in run.environment.items() if key != "epoch_seconds"}
    kept = [part for part in run.logits if part == "test"]
    return replace(
        run,
        history=run.history if run.split == "given" else {},
        logits={part: run.logits[part] for part in kept},
        labels={part: run.labels[part] for part in kept},
        environment=about,
        weights={},
    )


def append(file: Path, run: Run, again: bool = False) -> bool:
    """Add a run to a file of records; gives whether it was. One that another process has recorded
    meanwhile is not, but with `again`, where of two lines the later counts. Raises OSError."""
    payload = {"run": run.name, "split": run.split} | asdict(run)
    del payload["file"]
    usual = {each.name: each.default for each in fields(ModelSpec)}
    payload["spec"] = {k: v for k, v in payload["spec"].items() if v != usual[k]}
    if payload["validation_counts"] and "validation" in run.logits:
        del payload["validation_counts"]  # they follow from the logits
    for name, kind in (("history", "<f8"), ("logits", "<f4"), ("labels", "<i8")):
        payload[name] = {key: np.asarray(each, kind) for key, each in payload[name].items()}
    return append_line(file, payload, unless=0 if again else 2)


def load(place: Path, note=None) -> list[Run]:
    """All runs of a file of records, or of all in or under a folder (experiments aside), in the
    order of the paper's models, then by split and seed.

    note(text): called with what a person should be told. Raises ResultsError where there is no run,
    or a record cannot be read.
    """
    place = Path(place)
    if not place.exists():
        raise ResultsError(f"{place}: no such folder; train something first")
    files = record_files(place) if place.is_dir() else [place]
    runs = [run for file in files for run in runs_of(file, note).values()]
    if not runs:
        raise ResultsError(f"{place}: holds no run; train something first")
    order = list(KNOWN).index
    # the order of its file names in an earlier version, which had one a run
    return sorted(runs, key=lambda run: (order(run.spec.id), run.split, run.seed, f"{run.name}."))


def record_files(folder: Path) -> list[Path]:
    """The files of run records in or under a folder. Raises ResultsError where all that is there is
    of a format that is read no more."""
    found = sorted(
        path
        for path in Path(folder).rglob("*.jsonl")
        if re.fullmatch(SPLIT, path.stem, re.A) or path.name == RESPLITS
    )
    if not found and any(Path(folder).rglob("*-seed*.json")):
        raise ResultsError(
            f"{shown(folder)}: written by an earlier version, a file a run; train again into "
            "another folder (--out), or read it with that version"
        )
    return found


def runs_of(file: Path, note=None) -> dict[tuple[str, str], Run]:
    """(split, name) -> run, of one file; empty where it is not there. Raises ResultsError."""
    try:
        state = Path(file).stat()
    except FileNotFoundError:
        return {}
    return dict(_runs_of(Path(file), state.st_mtime_ns, state.st_size, note))


@functools.lru_cache(maxsize=32)
def _runs_of(file: Path, _changed: int, _size: int, note) -> dict[tuple[str, str], Run]:
    found = {}
    for number, payload in enumerate(read_lines(file, note), 1):
        try:
            del payload["run"]
            spec = ModelSpec(**payload.pop("spec"))
            payload["history"] = {key: each.tolist() for key, each in payload["history"].items()}
            run = counted(Run(spec=spec, file=file, **payload))
            if any(run.logits[part].size != labels.size for part, labels in run.labels.items()):
                raise ValueError("logits and labels are of different films")
            _ = run.differs, select([run])  # they read what other code relies on
            found[run.split, run.name] = run
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ResultsError(
                f"{shown(file)}, line {number}: no run's record of this version ({shown(error)})"
            ) from None
    return found


def select(runs: list[Run]) -> dict[str, list[Run]]:
    """For each model the runs to show, one a seed: alike, and those nearest to the paper's.

    Of a model's runs alike in epochs, image size, matched step, precision and choice of engine, the
    group with the paper's epochs comes first, then matched steps, then the setting in which its
    class has most runs (up to SEEDS a model, so that a CNN trained once at 640×640 is not compared
    with ten trained five times at a smaller size), then the largest images, then fp32, then an
    engine that was not forced, then more seeds.
    """
    groups, there = defaultdict(list), Counter()
    for run in runs:
        forced = run.engine_reason == "forced"
        whole = run.spec.epochs == KNOWN[run.spec.id].epochs
        setting = run.spec.family, run.image_size, run.matched, run.precision, forced
        groups[run.spec.id, whole, run.spec.epochs, setting].append(run)
    for (_, whole, _, setting), group in groups.items():
        there[whole, setting] += min(len(group), SEEDS)

    def nearness(key):
        _, whole, epochs, setting = key
        _, size, matched, precision, forced = setting
        first = whole, epochs, matched, there[whole, setting], size
        return *first, precision == "fp32", not forced, len(groups[key])

    best = {}
    for key in sorted(groups, key=nearness):
        best[key[0]] = sorted(groups[key], key=lambda run: run.seed)
    order = list(KNOWN)
    return {name: best[name] for name in sorted(best, key=order.index)}


def studies(results: Path) -> dict[str, Path]:
    """The studies with a record under a results folder: "<data>/<split>" -> its file of records.
    Raises ResultsError where all that is there is of a format that is read no more."""
    results = Path(results)
    files = [path for path in record_files(results) if path.name != RESPLITS]
    return {
        f"{file.parent.name}/{file.stem}": file for file in files if file.parent.parent == results
    }


def latest(results: Path) -> str:
    """The study that train.py worked on last, from the file `latest`: "<data>/<split>", or ""."""
    try:
        return (Path(results) / "latest").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""

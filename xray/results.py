"""The run record: one JSON file a run, written once, checked when read.

    RESULTS/<data>/data.json                      what the data is: counts, audit, labels, paths
    RESULTS/<data>/<split>/<run>.json             one run; <split> is given, image-3 or patient-3
    RESULTS/<data>/<split>/<run>.safetensors      its weights, where they were kept
    RESULTS/<data>/<split>/runs.jsonl             many runs in short, one a line: without
                                                  validation logits, of re-splits without history

<data> is the source's name and the first 8 digits of its fingerprint, so records of different data
never meet. A study is one folder <data>/<split>. Scores are not stored: they are computed from the
logits.
"""

import base64
import functools
import re
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from xray import results_checks
from xray.files import (  # noqa: F401  (also of this module's interface)
    FORMAT,
    Damaged,
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
COMPACT = "runs.jsonl"


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
    weights: dict = field(default_factory=dict)  # file, sha256; empty where they were not kept
    file: Path | None = field(default=None, compare=False)

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
    spec: ModelSpec, seed: int, image_size: int, precision: str = "fp32", forced_engine: str = ""
) -> str:
    """The file name, without suffix, of a run, without what its table fixes: "26b-seed0".

    In "26b-seed0-64px-matched" the last word keeps apart from records that an earlier version made,
    at a reduced size, without specs.pixel_step.
    """
    parts = [spec.id, f"seed{seed}"]
    if image_size != spec.image_size:
        parts.append(f"{image_size}px-matched")
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


def save(folder: Path, run: Run, name: str) -> Path:
    """Write a run's record to folder/name.json, over an earlier one; returns that path."""
    payload = {"format": FORMAT} | asdict(run)
    del payload["file"]
    # str() of a float32 is its shortest exact decimal form
    payload["logits"] = {
        part: [float(str(x)) for x in np.asarray(v, np.float32)] for part, v in run.logits.items()
    }
    payload["labels"] = {part: _digits(labels) for part, labels in run.labels.items()}
    path = Path(folder) / f"{name}.json"
    write_json(path, payload)
    return path


def _digits(labels) -> str:
    return "".join(str(int(label)) for label in labels)


def _numbers(digits: str) -> np.ndarray:
    return np.array([int(digit) for digit in digits], np.int64)


def append(folder: Path, run: Run, name: str) -> None:
    """Add a run to folder/runs.jsonl in short: without its validation logits and, of a re-split,
    its history.

    Of two lines of one name the later counts. Raises OSError.
    """
    payload = {"name": name} | asdict(run)
    del payload["file"], payload["weights"]
    if run.split != "given":
        del payload["history"]
    payload["environment"].pop("epoch_seconds", None)
    logits = {part: run.logits[part] for part in run.logits if part == "test"}
    content = {part: np.asarray(values, "<f4").tobytes() for part, values in logits.items()}
    payload["logits"] = {part: base64.b64encode(x).decode() for part, x in content.items()}
    payload["labels"] = {part: _digits(run.labels[part]) for part in logits}
    append_line(Path(folder) / COMPACT, payload)


def load_compact(folder: Path) -> dict[str, Run]:
    """Name -> run of folder/runs.jsonl; empty where there is none. Raises ResultsError."""
    path = Path(folder) / COMPACT
    try:
        state = path.stat()
    except OSError:
        return {}
    return _load_compact(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=128)
def _load_compact(path: Path, _changed: int, _size: int) -> dict[str, Run]:
    def logits(text):
        return np.frombuffer(base64.b64decode(text), "<f4")

    lines = read_lines(path)
    names = [str(payload.pop("name", "")) for payload in lines]
    runs = [_run({"history": {}} | payload, path, logits) for payload in lines]
    return dict(zip(names, runs))


def load_run(path: Path) -> Run:
    """Read one record. Raises ResultsError."""
    payload = read_json(path)
    del payload["format"]
    with np.errstate(over="ignore"):  # what is too large for a float32 is told as not finite
        return _run(payload, Path(path), lambda values: np.array(values, np.float32))


def _run(payload: dict, path: Path, logits) -> Run:
    """What a file holds, as a Run. logits: turns its form of a part's logits into an array."""
    payload.setdefault("pixel_step", 1.0)  # records of an earlier version, which knew no other
    whole_record = path.name != COMPACT
    try:
        payload["spec"] = ModelSpec(**payload["spec"])
        payload["logits"] = {part: logits(stored) for part, stored in payload["logits"].items()}
        payload["labels"] = {part: _numbers(text) for part, text in payload["labels"].items()}
        return results_checks.run(Run(**payload, file=path), whole_record)
    except results_checks.Wrong as error:
        why = f"not a run's record; what is wrong in it: {error}"
        raise ResultsError(f"{shown(path)}: {why}") from None
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        raise ResultsError(f"{shown(path)}: not a run's record") from None


def read_facts(path: Path) -> dict:
    """Read a data.json. Raises ResultsError."""
    try:
        return results_checks.facts(read_json(path))
    except results_checks.Wrong as error:
        why = f"not what training writes of its data; what is wrong in it: {error}"
        raise ResultsError(f"{shown(path)}: {why}") from None


def load(folder: Path) -> list[Run]:
    """All runs in or under `folder`, in the order of the paper's models, then by seed.

    Raises ResultsError where the folder is missing, a record is damaged, or there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ResultsError(f"{folder}: no such folder; train something first")
    runs = [load_run(path) for path in sorted(folder.rglob("*-seed*.json"))]
    for path in sorted(folder.rglob(COMPACT)):
        runs += load_compact(path.parent).values()
    if not runs:
        raise ResultsError(f"{folder}: holds no run; train something first")
    order = list(KNOWN).index
    return sorted(runs, key=lambda run: (order(run.spec.id), run.split, run.seed, str(run.file)))


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
    """The studies with a record under a results folder: "<data>/<split>" -> folder."""
    results = Path(results)
    folders = {path.parent for path in results.glob("*/*/*-seed*.json")}
    return {str(folder.relative_to(results)): folder for folder in sorted(folders)}


def latest(results: Path) -> str:
    """The study that train.py worked on last, from the file `latest`: "<data>/<split>", or ""."""
    try:
        return (Path(results) / "latest").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""

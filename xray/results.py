"""The run record: one JSON file a run, written once, checked when read.

    RESULTS/<data>/data.json                      what the data is: counts, audit, labels, paths
    RESULTS/<data>/<split>/<run>.json             one run; <split> is given, image-3 or patient-3
    RESULTS/<data>/<split>/<run>.safetensors      its weights, where they were kept

<data> is the source's name and the first 8 digits of its fingerprint, so records of different data never meet. A study
is one folder <data>/<split>. Scores are not stored: they are computed from the logits.
"""

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from xray.specs import IMAGE_SIZE, MODELS, LEARNING_RATE_SEARCH, ModelSpec

FORMAT = 1
PARTS = ("validation", "test")


class ResultsError(ValueError):
    """A results folder or a record that cannot be used: the message names it, says why and what to do."""


class Damaged(ResultsError):
    """A file that was cut off or altered."""


@dataclass(frozen=True)
class Run:
    """A model trained once.

    history: lists of one float an epoch: train_loss, train_accuracy (running, while the weights move), validation_loss,
        validation_accuracy (after the epoch). Losses as trained on (pos_weight included), means over images.
    logits, labels: 1-D arrays by split part, float32 and int64, in the data's order; both empty for a diverged run.
    """

    spec: ModelSpec  # as trained: differs from MODELS[spec.id] in epochs where the run was shortened
    seed: int
    image_size: int  # pixels a side
    split: str  # "given", "image-<seed>" or "patient-<seed>"
    data: dict  # name, source, fingerprint, phantom (bool), skipped (count of unreadable images left out)
    engine: str  # "direct" or "gram"
    engine_reason: str  # the estimate that chose it, or "forced"
    precision: str  # "fp32", "tf32" or "bf16"
    status: str  # "finished" or "diverged"
    history: dict
    logits: dict
    labels: dict
    environment: dict  # device, threads, versions, revision, started (UTC), seconds, epoch_seconds
    weights: dict = field(default_factory=dict)  # file, sha256; empty where they were not kept
    file: Path | None = field(default=None, compare=False)

    @property
    def differs(self) -> list[str]:
        """What sets this run apart from the paper's, in words; empty for a run of the paper's study."""
        paper = (MODELS | LEARNING_RATE_SEARCH)[self.spec.id]
        notes = ["synthetic images (phantoms)"] if self.data["phantom"] else []
        if self.image_size != IMAGE_SIZE:
            notes.append(f"{self.image_size}×{self.image_size} pixels instead of {IMAGE_SIZE}×{IMAGE_SIZE}")
        if self.spec.epochs != paper.epochs:
            notes.append(f"{self.spec.epochs} epochs instead of {paper.epochs}")
        return notes


def run_name(spec: ModelSpec, seed: int, image_size: int, precision: str = "fp32", forced_engine: str = "") -> str:
    """The file name, without suffix, of a run: what the paper fixes is left out. "26b-seed0", "26b-seed0-64px"."""
    parts = [spec.id, f"seed{seed}"]
    if image_size != IMAGE_SIZE:
        parts.append(f"{image_size}px")
    if spec.epochs != (MODELS | LEARNING_RATE_SEARCH)[spec.id].epochs:
        parts.append(f"{spec.epochs}epochs")
    return "-".join(parts + [word for word in (precision, forced_engine) if word and word != "fp32"])


def data_folder(results: Path, name: str, fingerprint: str) -> Path:
    """Where a data set's studies lie. `name` is cut down to letters, digits, '.', '_' and '-'."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60] or "data"
    return Path(results) / f"{safe}-{fingerprint[:8]}"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: a temporary file in the same folder, flushed to disk, then renamed.

    Raises OSError, with this path as its filename.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _temporary_file(path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _temporary_file(folder: Path) -> tuple[int, str]:
    """A new file's handle and name, locked while it is open: clear_leftovers takes only what nobody holds."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".writing-")
        with suppress(OSError):  # a file system without locks; nothing is cleared there either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else it was cleared before it was locked
            return handle, name
        os.close(handle)


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files in `folder` (not below it) of processes that were killed while they wrote."""
    for path in Path(folder).glob(".writing-*"):
        with suppress(OSError), open(path, "r+b") as stream:  # OSError: it is being written, or gone
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _checksum(payload: dict) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def write_json(path: Path, payload: dict) -> None:
    """Write a dict as JSON, one key a line, with its checksum as the last key; atomic."""
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
             for key, value in (payload | {"checksum": _checksum(payload)}).items()]
    write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def read_json(path: Path) -> dict:
    """Read what write_json wrote. Raises ResultsError where it is cut off, not JSON, of a later format, or altered."""
    path = Path(path)
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
        checksum = payload.pop("checksum")
        version = payload["format"]
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Damaged(f"{path}: damaged or not a record; delete it and train again") from None
    if version != FORMAT:
        raise ResultsError(f"{path}: written in format {version!r}, this program reads {FORMAT}; update the program")
    if checksum != _checksum(payload):
        raise Damaged(f"{path}: its checksum does not match, it was altered or damaged; delete it and train again")
    return payload


def save(folder: Path, run: Run, name: str) -> Path:
    """Write a run's record to folder/name.json and return that path. Overwrites only a file of the same name."""
    payload = {"format": FORMAT} | asdict(run)
    del payload["file"]
    # str() of a float32 is its shortest exact decimal form
    payload["logits"] = {part: [float(str(x)) for x in np.asarray(v, np.float32)] for part, v in run.logits.items()}
    payload["labels"] = {part: "".join(str(int(x)) for x in v) for part, v in run.labels.items()}
    path = Path(folder) / f"{name}.json"
    write_json(path, payload)
    return path


def load_run(path: Path) -> Run:
    """Read one record. Raises ResultsError."""
    payload = read_json(path)
    del payload["format"]
    try:
        payload["spec"] = ModelSpec(**payload["spec"])
        payload["logits"] = {part: np.array(v, np.float32) for part, v in payload["logits"].items()}
        payload["labels"] = {part: np.array([int(x) for x in v], np.int64) for part, v in payload["labels"].items()}
        run = Run(**payload, file=Path(path))
        known = run.spec.id in MODELS | LEARNING_RATE_SEARCH
    except (TypeError, KeyError, ValueError, AttributeError):
        raise ResultsError(f"{path}: not a run's record") from None
    if not known:
        raise ResultsError(f"{path}: names a model that does not exist, {run.spec.id!r}")
    return run


def load(folder: Path) -> list[Run]:
    """All runs in or under `folder`, in the order of the paper's models, then by seed.

    Raises ResultsError where the folder is missing, a record is damaged, or there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ResultsError(f"{folder}: no such folder; train something first")
    runs = [load_run(path) for path in sorted(folder.rglob("*-seed*.json"))]
    if not runs:
        raise ResultsError(f"{folder}: holds no run; train something first")
    order = list(MODELS | LEARNING_RATE_SEARCH)
    return sorted(runs, key=lambda run: (order.index(run.spec.id), run.split, run.seed, str(run.file)))


def select(runs: list[Run]) -> dict[str, list[Run]]:
    """For each model the runs to show, one a seed: those nearest to the paper's, and alike among themselves.

    Of a model's runs with the same epochs, image size, precision and choice of engine, the group with the paper's
    epochs comes first, then the image size at which most models of its class were trained so (a CNN at 640×640 is not
    compared with ten at 96×96), then the largest one, then fp32, then an engine that was not forced, then more seeds.
    """
    groups, there = defaultdict(list), defaultdict(set)

    def full(name, epochs):
        return epochs == (MODELS | LEARNING_RATE_SEARCH)[name].epochs

    for run in runs:
        spec, forced = run.spec, run.engine_reason == "forced"
        groups[spec.id, spec.family, spec.epochs, run.image_size, run.precision, forced].append(run)
        there[spec.family, run.image_size, full(spec.id, spec.epochs)].add(spec.id)

    def nearness(key):
        name, family, epochs, size, precision, forced = key
        whole = full(name, epochs)
        return whole, epochs, len(there[family, size, whole]), size, precision == "fp32", not forced, len(groups[key])

    best = {}
    for key in sorted(groups, key=nearness):
        best[key[0]] = sorted(groups[key], key=lambda run: run.seed)
    order = list(MODELS | LEARNING_RATE_SEARCH)
    return {name: best[name] for name in sorted(best, key=order.index)}


def studies(results: Path) -> dict[str, Path]:
    """The studies under a results folder: "<data>/<split>" -> folder, those with at least one record."""
    results = Path(results)
    folders = {path.parent for path in results.glob("*/*/*-seed*.json")}
    return {str(folder.relative_to(results)): folder for folder in sorted(folders)}


def latest(results: Path) -> str:
    """The study that train.py worked on last, which the file `latest` names: "<data>/<split>", or ""."""
    try:
        return (Path(results) / "latest").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""

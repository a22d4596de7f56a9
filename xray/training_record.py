"""What training leaves on disk: what the data is, beside its studies; an unfinished run's
checkpoint, in the cache; each run's weights and record, with the machine that it was made on."""

import ctypes
import hashlib
import json
import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from xray import files, results
from xray.data import Data
from xray.results import PARTS, Run
from xray.training_jobs import Job


@dataclass(frozen=True)
class Outcome:
    """What a job came to."""

    status: str  # "finished" or "diverged"
    history: dict  # four lists of one float an epoch (engine.HISTORY)
    logits: dict  # float32 arrays by part; empty where the run diverged
    epoch_seconds: list
    weights: dict | None  # name -> tensor


def write_facts(study: Path, data: Data, look, note) -> None:
    """Say beside the study's file of records what its data is, unless that stands there, and in the
    folder of all studies, which study was worked on last.

    look(images, labels) gives what predict.py compares images with (predict_likeness.learn); what
    an earlier version gave is replaced. note(text): called with what a person should be told.
    """
    path, facts = study.parent / "data.json", data.facts
    known = {}
    if path.exists():
        try:
            known = results.read_json(path)
        except results.ResultsError:
            note(f"{path} was damaged and is written again")
    if "likeness" in known.get("intensity", {"likeness": ""}):  # none, or an earlier version's
        facts = known or facts
        if len(data.index["train"]) >= 1000:  # a moment, which a person may wonder about
            note("what the training images look like is learned once, for predict.py")
        seen = look(data.train.images, data.train.labels)
        results.write_json(path, facts | {"intensity": seen})
    name = study.relative_to(study.parent.parent).with_suffix("")
    files.write_atomically(study.parent.parent / "latest", f"{name}\n".encode())


def write_run(job: Job, data: Data, outcome: Outcome, device: str, again: bool = False) -> Run:
    """Write the weights (where the job keeps them), then the record, and return the run. again:
    over an earlier record."""
    status, logits, kept = outcome.status, outcome.logits, {}
    if not all(np.isfinite(values).all() for values in logits.values()):
        status, logits = "diverged", {}
    if job.keep_weights and status == "finished" and outcome.weights is not None:
        split = "" if job.split == "given" else f"{job.split}-"
        name, tensors = f"{split}{job.name}.safetensors", outcome.weights.items()
        content = to_bytes({key: tensor.detach().cpu().contiguous() for key, tensor in tensors})
        files.write_atomically(job.file.parent / "weights" / name, content)
        kept = {"file": name, "sha256": hashlib.sha256(content).hexdigest()}
    run = Run(
        spec=job.spec,
        seed=job.seed,
        image_size=job.image_size,
        split=job.split,
        data={
            "name": data.name,
            "source": data.source,
            "fingerprint": data.fingerprint,
            "phantom": data.phantom,
            "skipped": len(data.facts["skipped"]),
        }
        | ({"options": options} if (options := data.facts.get("options")) else {}),
        engine=job.engine,
        engine_reason=job.engine_reason,
        precision=job.precision,
        pixel_step=job.pixel_step,
        status=status,
        history={key: [float(x) for x in values] for key, values in outcome.history.items()},
        logits=logits,
        labels={part: data.labels[data.index[part]] for part in PARTS} if logits else {},
        environment=environment(device)
        | {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(float(sum(outcome.epoch_seconds)), 3),
            "epoch_seconds": [round(x, 4) for x in outcome.epoch_seconds],
        },
        weights=kept,
        file=job.file,
    )
    run = results.in_short(run) if job.compact else results.counted(run)
    results.append(job.file, run, again)
    return run


ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "torchvision", "datasets", "numpy")


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next allocation instead of giving each large block back
    to the system.

    A CPU step allocates and frees the same few large activations; giving them back makes each step
    fault the pages in again. Measured on 2 cores: 1.2 to 1.4 times faster CNN steps. Elsewhere than
    glibc it does nothing.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block of its own for a large allocation
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: keep the top of the heap
    except (OSError, AttributeError):
        pass


def environment(device: str) -> dict:
    """Where a run was made: device name, threads, versions, code revision."""
    device = torch.device(device)
    describe = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        revision = subprocess.run(describe, capture_output=True, text=True).stdout.strip()
    except OSError:  # there is no git
        revision = ""
    versions = {name: version(name) for name in PACKAGES}
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()} | versions,
        "revision": revision or "unknown",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        [name, *_] = [line.split(":", 1)[1] for line in lines if line.startswith("model name")]
    except (OSError, ValueError):
        name = platform.processor() or platform.machine()
    return f"CPU, {name.strip()}, {os.cpu_count()} cores"


def checkpoint_path(job, data, cache: Path) -> Path:
    """Its name carries all that decides a run: no other run goes on from it."""
    identity = [
        job.spec.__dict__,
        *(job.seed, job.image_size, job.split, job.engine, job.precision, job.pixel_step),
        data.fingerprint,
    ]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return Path(cache) / "checkpoints" / f"{job.name}-{digest}.safetensors"


def _digest(tensors: dict, progress: str) -> str:
    """Over all that a run goes on from: progress, and each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(progress.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def write_checkpoint(path: Path, tensors: dict, progress: dict) -> None:
    """tensors: name -> tensor. progress: JSON-able (history, epoch_seconds). Raises OSError."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(progress)
    metadata = {"progress": text, "sha256": _digest(tensors, text)}
    files.write_atomically(path, to_bytes(tensors, metadata))


def keep_checkpoint(path: Path, tensors: dict, progress: dict, note) -> None:
    """write_checkpoint; where that cannot be the run goes on without, and note(text) says so."""
    try:
        write_checkpoint(path, tensors, progress)
    except OSError as error:
        note(
            f"{path.parent}: no checkpoint can be written ({error.strerror}); training goes on, "
            "but a run that is stopped starts again"
        )


def read_checkpoint(path: Path) -> tuple[dict, dict] | None:
    """(tensors, progress), or None where it is missing or damaged (the run starts again)."""
    try:
        with safe_open(path, "pt") as stored:
            metadata = stored.metadata()
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}
        progress = metadata["progress"]
        sound = _digest(tensors, progress) == metadata["sha256"]
        return (tensors, json.loads(progress)) if sound else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def forget_checkpoint(checkpoint: Path) -> None:
    """Remove it, where it is there and can be removed."""
    with suppress(OSError):
        checkpoint.unlink(missing_ok=True)


def state_of(model, optimizer, best: dict) -> dict:
    """Name -> tensor of a model, its optimizer and its best epoch's weights so far (a state_dict,
    or empty), for write_checkpoint."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    return tensors


def restore(model, optimizer, tensors: dict) -> dict:
    """Put back what state_of gave; returns the best epoch's weights."""
    states, moved = {"model": {}, "best": {}}, {}
    for name, tensor in tensors.items():
        kind, rest = name.split(".", 1)
        if kind == "optimizer":
            index, key = rest.split(".", 1)
            moved.setdefault(int(index), {})[key] = tensor
        else:
            states[kind][rest] = tensor
    model.load_state_dict(states["model"])
    if moved:
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moved})
    return states["best"]

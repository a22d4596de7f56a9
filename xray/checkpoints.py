"""An unfinished run's tensors and history, in the cache; gone when its record is written."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from xray import files


def locate(job, data, cache: Path) -> Path:
    """Its name carries all that decides a run: no other run goes on from it."""
    identity = [
        job.spec.__dict__,
        *(job.seed, job.image_size, job.split, job.engine, job.precision, job.pixel_step),
        data.fingerprint,
    ]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return Path(cache) / "checkpoints" / f"{job.name}-{digest}.safetensors"


def _digest(tensors: dict) -> str:
    content = b"".join(tensors[name].numpy().tobytes() for name in sorted(tensors))
    return hashlib.sha256(content).hexdigest()


def write(path: Path, tensors: dict, progress: dict) -> None:
    """tensors: name -> tensor. progress: JSON-able (history, epoch_seconds). Raises OSError."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"progress": json.dumps(progress), "sha256": _digest(tensors)}
    files.write_atomically(path, to_bytes(tensors, metadata))


def keep(path: Path, tensors: dict, progress: dict, note) -> None:
    """write; where it cannot be written the run goes on without, and note(text) says so."""
    try:
        write(path, tensors, progress)
    except OSError as error:
        note(
            f"{path.parent}: no checkpoint can be written ({error.strerror}); training goes on, "
            "but a run that is stopped starts again"
        )


def read(path: Path) -> tuple[dict, dict] | None:
    """(tensors, progress), or None where it is missing or damaged (the run starts again)."""
    try:
        with safe_open(path, "pt") as stored:
            metadata = stored.metadata()
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}
        sound = _digest(tensors) == metadata["sha256"]
        return (tensors, json.loads(metadata["progress"])) if sound else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def forget(checkpoint: Path) -> None:
    """Remove it, where it is there and can be removed."""
    with suppress(OSError):
        checkpoint.unlink(missing_ok=True)


def state(model, optimizer) -> dict:
    """Name -> tensor of a model and its optimizer, for write."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    return tensors


def restore(model, optimizer, tensors: dict) -> None:
    """Put back what state gave."""
    state, moved = {}, {}
    for name, tensor in tensors.items():
        kind, rest = name.split(".", 1)
        if kind == "model":
            state[rest] = tensor
        else:
            index, key = rest.split(".", 1)
            moved.setdefault(int(index), {})[key] = tensor
    model.load_state_dict(state)
    if moved:
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moved})

"""What training writes: what the data is, beside its studies; each run's weights and record."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from safetensors.torch import save as to_bytes

from xray import files, machine, predict_likeness, results
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


def write_facts(folder: Path, study: Path, data: Data, note) -> None:
    """Say beside the study what its data is, unless that stands there, and in `folder`, that of all
    studies, which study was worked on last. note(text): called with what a person should be told.
    """
    path = study.parent / "data.json"
    known = path.exists()
    if known:
        try:
            results.read_json(path)
        except results.Damaged:
            known = False
            note(f"{path} was damaged and is written again")
    if not known:
        # predict.py warns of images of another kind
        seen = {"intensity": predict_likeness.intensity(data.train.images)}
        results.write_json(path, {"format": results.FORMAT} | data.facts | seen)
    files.write_atomically(folder / "latest", f"{study.relative_to(folder)}\n".encode())


def write_run(job: Job, data: Data, outcome: Outcome, device: str) -> Run:
    """Write the weights (where the job keeps them), then the record, and return the run."""
    status, logits, kept = outcome.status, outcome.logits, {}
    if not all(np.isfinite(values).all() for values in logits.values()):
        status, logits = "diverged", {}
    if job.keep_weights and status == "finished" and outcome.weights is not None:
        name, tensors = f"{job.name}.safetensors", outcome.weights.items()
        content = to_bytes({key: tensor.detach().cpu().contiguous() for key, tensor in tensors})
        files.write_atomically(job.folder / name, content)
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
        },
        engine=job.engine,
        engine_reason=job.engine_reason,
        precision=job.precision,
        pixel_step=job.pixel_step,
        status=status,
        history={key: [float(x) for x in values] for key, values in outcome.history.items()},
        logits=logits,
        labels={part: data.labels[data.index[part]] for part in PARTS} if logits else {},
        environment=machine.environment(device)
        | {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(float(sum(outcome.epoch_seconds)), 3),
            "epoch_seconds": [round(x, 4) for x in outcome.epoch_seconds],
        },
        weights=kept,
        file=job.record,
    )
    (results.append if job.compact else results.save)(job.folder, run, job.name)
    return run

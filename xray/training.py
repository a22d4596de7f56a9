"""Jobs become records: who trains which run, alone or side by side."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from xray import engine, files, gram, models, sample_space, training_record
from xray.data import Data
from xray.results import Run
from xray.training_jobs import Job, has_record
from xray.training_record import Outcome, write_run


@dataclass(frozen=True)
class Desk:
    """Where jobs are worked off, and who hears of it.

    bar: called as bar(total, initial, label), returns an object with update, set_postfix and close,
    as tqdm's. note(text): called with what a person should be told.
    """

    device: str  # "cpu" or "cuda:N"
    cache: Path
    bar: Callable
    note: Callable
    force: bool = False  # train again what has a record


class DeviceError(RuntimeError):
    """The device cannot go on: the message is one line that says with what, and what to change."""


@contextmanager
def device_errors(job: Job):
    """Turns a device's failures into DeviceError; finished runs and the checkpoint are on disk."""
    asked = f"with batches of {job.spec.batch_size} images of {job.image_size}×{job.image_size}"
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's OutOfMemoryError is a RuntimeError
        if isinstance(error, torch.cuda.OutOfMemoryError):
            problem = (
                f"out of GPU memory {asked}; use a smaller --image-size, a GPU with more free "
                "memory, or --device cpu. What is finished is kept"
            )
        elif isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            problem = (
                f"out of main memory {asked}; use a smaller --image-size, or fewer models in one "
                "call. What is finished is kept"
            )
        elif "CUDA" in str(error) or "cuDNN" in str(error):
            problem = (
                f"the GPU failed ({str(error).splitlines()[0]}); the same command goes on where "
                "this one stopped, with --device cpu without the GPU"
            )
        else:
            raise
        raise DeviceError(f"{job.name}: {problem}") from None


def clear_leftovers(jobs: list[Job], done: list[Job], data: Data, cache: Path) -> None:
    """Remove what killed processes left: half-written files, checkpoints of finished jobs."""
    study = jobs[0].file.parent
    kept = [Path(cache) / name for name in ("images", "gram", "checkpoints")]
    for folder in [study, study / "weights", study.parent, *kept]:
        files.clear_leftovers(folder)
    for job in done:
        training_record.forget_checkpoint(training_record.checkpoint_path(job, data, cache))


def train_direct(job: Job, data: Data, train, validation, desk: Desk) -> Run:
    """Train one run with the mini-batch loop, from its checkpoint where it has one, and write its
    record. train, validation: engine.place of the data's splits."""
    spec, device = job.spec, desk.device
    model = models.build(spec, job.image_size, job.seed, device)
    model = model.to(memory_format=torch.channels_last)
    optimizer = engine.make_optimizer(model, spec, job.pixel_step)
    history, seconds, status, best = {key: [] for key in engine.HISTORY}, [], "finished", {}
    path = training_record.checkpoint_path(job, data, desk.cache)
    if (stored := training_record.read_checkpoint(path)) is not None:
        tensors, progress = stored
        history, seconds = progress["history"], progress["epoch_seconds"]
        best = training_record.restore(model, optimizer, tensors)
    batches = -(-len(train[1]) // spec.batch_size)
    steps = desk.bar(total=spec.epochs * batches, initial=len(seconds) * batches, label=job.name)
    options = history, job.precision, steps.update
    started = time.perf_counter()
    for history in engine.fit(model, optimizer, spec, train, validation, job.seed, *options):
        seconds.append(time.perf_counter() - started)
        last = {key: values[-1] for key, values in history.items()}
        if not np.isfinite([last["train_loss"], last["validation_loss"]]).all():
            history = {key: values[:-1] for key, values in history.items()}
            status = "diverged"
            break
        loss, accuracy = last["train_loss"], last["validation_accuracy"]
        steps.set_postfix(loss=f"{loss:.3f}", accuracy=f"{accuracy:.3f}")
        if spec.patience and engine.kept_epoch(spec, history) == len(seconds) - 1:
            best = {key: value.clone() for key, value in model.state_dict().items()}
        if len(seconds) < spec.epochs:
            progress = {"history": history, "epoch_seconds": seconds}
            state = training_record.state_of(model, optimizer, best)
            training_record.keep_checkpoint(path, state, progress, desk.note)
        started = time.perf_counter()
    steps.close()
    if best:
        model.load_state_dict(best)
    logits = {}
    if status == "finished":  # in fp32 always: bf16 would round them to 8 bits
        test = engine.place(data.test, "cpu")[0]
        for part, images in (("validation", validation[0]), ("test", test)):
            logits[part] = engine.predict(model, images, device).cpu().numpy()
    outcome = Outcome(status, history, logits, seconds, model.state_dict())
    run = write_run(job, data, outcome, device, desk.force)
    training_record.forget_checkpoint(path)
    return run


def train_together(jobs: list[Job], load, desk: Desk):
    """Train jobs in sample space, side by side; yields each Run when its record is written."""
    for size in sorted({job.image_size for job in jobs}):
        group = [job for job in jobs if job.image_size == size]
        data = {split: load(size, split) for split in {job.split for job in group}}
        yield from _train_group(group, data, desk)


def _train_group(jobs: list[Job], data: dict[str, Data], desk: Desk):
    """train_together for jobs of one image size; data: by split, of the same images."""
    any_split = next(iter(data.values()))
    matrix = _gram_matrix(any_split, desk)
    of = {}
    for job in jobs:
        index = data[job.split].index
        net = sample_space.Net(job.spec, job.seed, index, job.pixel_step, job.keep_weights)
        of[net] = job
    label = f"{len(jobs)} Linear and MLP runs side by side"
    epochs = desk.bar(total=sum(job.spec.epochs for job in jobs), initial=0, label=label)
    about = list(of), matrix, any_split.images, any_split.labels, desk.device
    for result in sample_space.train(*about, tick=epochs.update):
        job, count = of[result.net], len(result.history["train_loss"])
        logits = result.logits if result.status == "finished" else {}
        seconds = [result.seconds / max(count, 1)] * count
        outcome = Outcome(result.status, result.history, logits, seconds, result.weights)
        yield write_run(job, data[job.split], outcome, desk.device, desk.force)
    epochs.close()


def _gram_matrix(data: Data, desk: Desk) -> torch.Tensor:
    percent = desk.bar(total=100, initial=0, label="Gram matrix")

    def tick(done, total):
        percent.update(100 * done / total - percent.n)

    about = data.images, data.fingerprint, desk.cache, desk.device
    matrix, notes = gram.gram_matrix(*about, tick)
    percent.close()
    for text in notes:
        desk.note(text)
    return matrix


def work(jobs: list[Job], load, desk: Desk):
    """Train the jobs that have no record yet; yields each Run when its record is written.

    load(image_size, split) gives the Data.
    """
    alike = [job for job in jobs if job.engine == "gram" and _wanted(job, desk)]
    if alike:
        with device_errors(alike[0]):
            yield from train_together(alike, load, desk)
    placed, place = (), None  # the images of one size and split, on the device
    for job in jobs:
        if job.engine == "gram" or not _wanted(job, desk):
            continue
        data = load(job.image_size, job.split)
        with device_errors(job):
            if place != (job.image_size, job.split):
                placed, place = (), None  # the last are let go of first
                placed = [engine.place(part, desk.device) for part in (data.train, data.validation)]
                place = job.image_size, job.split
            run = train_direct(job, data, *placed, desk)
        yield run


def _wanted(job: Job, desk: Desk) -> bool:
    """Whether the job is to be trained: another process may have recorded it meanwhile."""
    return desk.force or not has_record(job)

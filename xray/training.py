"""Jobs become records: who trains which run, alone or side by side, and the record at the end."""

import hashlib
import os
import platform
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as to_bytes

from xray import checkpoints, engine, files, gram, models, results, samplespace
from xray.data import Data
from xray.results import PARTS, Run
from xray.specs import ModelSpec, pixel_step

ROOT = Path(__file__).resolve().parent.parent
SAVE_EVERY = 5  # seconds between checkpoints of a run in sample space


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
    folder: Path  # of the study
    keep_weights: bool = True
    compact: bool = False  # its record is a line of results.COMPACT

    @property
    def pixel_step(self) -> float:
        return pixel_step(self.image_size)

    @property
    def name(self) -> str:
        forced = self.engine if self.engine_reason == "forced" else ""
        return results.run_name(self.spec, self.seed, self.image_size, self.precision, forced)

    @property
    def record(self) -> Path:
        return self.folder / f"{self.name}.json"


def finished(job: Job) -> bool:
    """Whether the job's record stands and can be read. Raises ResultsError where it is damaged."""
    if job.compact and job.name in results.load_compact(job.folder):
        return True
    return job.record.exists() and results.load_run(job.record) is not None


def claim(job: Job, wait: bool):
    """A context: True while this process alone holds the job, False where another has it (never
    with wait). It lets go when a process dies and works on shared folders, see files.claim.
    """
    return files.claim(job.folder, job.name, wait)


class DeviceError(RuntimeError):
    """The device cannot go on: the message is one line that says with what, and what to change."""


@contextmanager
def device_errors(job: Job):
    """Turns a device's failures during a job into DeviceError. Finished runs are on disk, the job's
    checkpoint too.
    """
    asked = f"with batches of {job.spec.batch_size} images of {job.image_size}×{job.image_size}"
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise DeviceError(
            f"{job.name}: out of GPU memory {asked}; use a smaller --image-size, a GPU with more free "
            "memory, or --device cpu. What is finished is kept"
        ) from None
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise DeviceError(
                f"{job.name}: out of main memory {asked}; use a smaller --image-size, or fewer models in one "
                "call. What is finished is kept"
            ) from None
        if "CUDA" not in str(error) and "cuDNN" not in str(error):
            raise
        raise DeviceError(
            f"{job.name}: the GPU failed ({str(error).splitlines()[0]}); the same command goes on where "
            "this one stopped, with --device cpu without the GPU"
        ) from None


def environment(device: str) -> dict:
    """Where a run was made: device name, threads, versions, code revision."""
    device = torch.device(device)
    try:
        revision = subprocess.run(
            ["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
        ).stdout.strip()
    except OSError:  # there is no git
        revision = ""
    packages = ("torch", "torchvision", "datasets", "numpy")
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in packages},
        "revision": revision or "unknown",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"CPU, {name}, {os.cpu_count()} cores"


def clear_leftovers(jobs: list[Job], done: list[Job], data: Data, cache: Path) -> None:
    """Remove what killed processes left behind: half-written files, and checkpoints of the jobs
    that are done.
    """
    study = jobs[0].folder
    kept = {Path(cache) / name for name in ("images", "gram", "checkpoints")}
    for folder in {job.folder for job in jobs} | {study.parent, study.parent.parent} | kept:
        files.clear_leftovers(folder)
    for job in done:
        checkpoints.forget(checkpoints.locate(job, data, cache))


# ---- one run, the direct loop


def train_direct(
    job: Job, data: Data, train, validation, device: str, cache: Path, bar, note
) -> Run:
    """Train one run with the mini-batch loop, from its checkpoint where it has one, and write its
    record.

    train, validation: engine.place of the data's splits. bar: called as bar(total, initial, label),
    returns an object with update, set_postfix and close, as tqdm's. note: see work.
    """
    model = models.build(job.spec, job.image_size, job.seed, device).to(
        memory_format=torch.channels_last
    )
    optimizer = engine.make_optimizer(model, job.spec, job.pixel_step)
    history, epoch_seconds = {key: [] for key in engine.HISTORY}, []
    path = checkpoints.locate(job, data, cache)
    if (stored := checkpoints.read(path)) is not None:
        tensors, progress = stored
        history, epoch_seconds = progress["history"], progress["epoch_seconds"]
        checkpoints.restore(model, optimizer, tensors)
    batches = -(-len(train[1]) // job.spec.batch_size)
    steps = bar(
        total=job.spec.epochs * batches, initial=len(epoch_seconds) * batches, label=job.name
    )
    status = "finished"
    started = time.perf_counter()
    for history in engine.fit(
        model,
        optimizer,
        job.spec,
        train,
        validation,
        job.seed,
        history,
        job.precision,
        steps.update,
    ):
        epoch_seconds.append(time.perf_counter() - started)
        if not np.isfinite([history["train_loss"][-1], history["validation_loss"][-1]]).all():
            history = {key: values[:-1] for key, values in history.items()}
            status = "diverged"
            break
        steps.set_postfix(
            loss=f"{history['train_loss'][-1]:.3f}",
            accuracy=f"{history['validation_accuracy'][-1]:.3f}",
        )
        if len(epoch_seconds) < job.spec.epochs:
            progress = {"history": history, "epoch_seconds": epoch_seconds}
            checkpoints.keep(path, checkpoints.state(model, optimizer), progress, note)
        started = time.perf_counter()
    steps.close()
    logits = {}
    if status == "finished":  # in fp32 always: bf16 would round them to 8 bits
        test = engine.place(data.test, "cpu")[0]
        for part, images in (("validation", validation[0]), ("test", test)):
            logits[part] = engine.predict(model, images, device).cpu().numpy()
    run = write_run(job, data, history, logits, status, epoch_seconds, device, model.state_dict())
    checkpoints.forget(path)
    return run


def write_run(
    job: Job,
    data: Data,
    history: dict,
    logits: dict,
    status: str,
    epoch_seconds: list,
    device: str,
    weights: dict | None,
) -> Run:
    """Write the weights (where the job keeps them), then the record, and return the run."""
    if not all(np.isfinite(values).all() for values in logits.values()):
        status, logits = "diverged", {}
    kept = {}
    if job.keep_weights and status == "finished" and weights is not None:
        content = to_bytes(
            {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        )
        files.write_atomically(job.folder / f"{job.name}.safetensors", content)
        kept = {"file": f"{job.name}.safetensors", "sha256": hashlib.sha256(content).hexdigest()}
    seconds = float(sum(epoch_seconds))
    now = datetime.now(UTC).isoformat(timespec="seconds")
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
        history={key: [float(x) for x in values] for key, values in history.items()},
        logits=logits,
        labels={part: data.labels[data.index[part]] for part in PARTS} if logits else {},
        environment=environment(device)
        | {
            "finished": now,
            "seconds": round(seconds, 3),
            "epoch_seconds": [round(x, 4) for x in epoch_seconds],
        },
        weights=kept,
        file=job.record,
    )
    (results.append if job.compact else results.save)(job.folder, run, job.name)
    return run


# ---- many runs


def assign(jobs: list[Job], seconds: list[float], ranks: int) -> list[list[Job]]:
    """Share jobs out over ranks by estimated seconds, longest first to the rank with least; the
    same on every rank.
    """
    shares, loads = [[] for _ in range(ranks)], [0.0] * ranks
    for cost, index in sorted(zip(seconds, range(len(jobs))), key=lambda pair: (-pair[0], pair[1])):
        rank = loads.index(min(loads))
        shares[rank].append(index)
        loads[rank] += cost
    return [[jobs[index] for index in sorted(share)] for share in shares]


def work(jobs: list[Job], load, device: str, cache: Path, bar, note, force: bool = False):
    """Train the jobs that have no record yet; yields each Run when its record is written.

    load(image_size, split) gives the Data. Jobs that another process holds are left for the end and
    then waited for: a process that dies lets go of them. force: train again what is finished.
    note(text): called with what a person should be told.
    """
    for wait in (False, True):
        held = []
        with ExitStack() as claims:
            mine = []
            for job in jobs:
                if job.engine == "gram":
                    got = claims.enter_context(claim(job, wait))
                    if got and (force or not finished(job)):
                        mine.append(job)
                    elif not got:
                        held.append(job)
            if mine:
                with device_errors(mine[0]):
                    yield from train_together(mine, load, device, cache, bar, note)
        placed = {}
        for job in jobs:
            if job.engine == "direct":
                with claim(job, wait) as got:
                    if not got:
                        held.append(job)
                    elif force or not finished(job):
                        data = load(job.image_size, job.split)
                        with device_errors(job):
                            if placed.get("of") != (job.image_size, job.split):
                                # let go of the last size before the next takes its place
                                placed = {}
                                placed = {
                                    "of": (job.image_size, job.split),
                                    "train": engine.place(data.train, device),
                                    "validation": engine.place(data.validation, device),
                                }
                            run = train_direct(
                                job,
                                data,
                                placed["train"],
                                placed["validation"],
                                device,
                                cache,
                                bar,
                                note,
                            )
                        yield run
        # waiting in one order, none waits for the other
        jobs, force = sorted(held, key=lambda job: job.record), False


def train_together(jobs: list[Job], load, device: str, cache: Path, bar, note):
    """Train jobs in sample space, side by side; yields each Run when its record is written.

    The records of runs whose weights are kept come last: their weights are recovered in one pass
    over the images.
    """
    for size in sorted({job.image_size for job in jobs}):
        group = [job for job in jobs if job.image_size == size]
        data = {split: load(size, split) for split in {job.split for job in group}}
        images = next(iter(data.values())).images
        labels, fingerprint = (
            getattr(next(iter(data.values())), key) for key in ("labels", "fingerprint")
        )
        blocks = bar(total=100, initial=0, label="Gram matrix")
        matrix, notes = gram.gram_matrix(
            images,
            fingerprint,
            cache,
            device,
            lambda done, total: blocks.update(100 * done / total - blocks.n),
        )
        blocks.close()
        for text in notes:
            note(text)
        of = {samplespace.Job(job.spec, job.seed, data[job.split].index): job for job in group}
        paths = {job: checkpoints.locate(job, data[job.split], cache) for job in group}
        epochs = bar(
            total=sum(job.spec.epochs for job in group),
            initial=0,
            label=f"{len(group)} Linear and MLP runs side by side",
        )
        saved = dict.fromkeys(group, time.monotonic())

        def save(inner, tensors, history):
            job = of[inner]
            if time.monotonic() - saved[job] > SAVE_EVERY:
                checkpoints.keep(paths[job], tensors, {"history": history}, note)
                saved[job] = time.monotonic()

        def resume(inner):
            stored = checkpoints.read(paths[of[inner]])
            return stored and (stored[0], stored[1]["history"])

        waiting = []
        step = pixel_step(size)
        for result in samplespace.fit_together(
            list(of),
            matrix,
            images,
            labels,
            device,
            step,
            save=save,
            resume=resume,
            on_epoch=lambda *_: epochs.update(),
        ):
            job = of[result.job]
            if job.keep_weights and result.status == "finished":
                waiting.append(result)
            else:
                yield _write_result(job, data[job.split], result, device, None)
                checkpoints.forget(paths[job])
        epochs.close()
        for result, weights in samplespace.recover_weights(waiting, images, device, step):
            job = of[result.job]
            yield _write_result(job, data[job.split], result, device, weights)
            checkpoints.forget(paths[job])


def _write_result(job, data, result, device, weights) -> Run:
    logits = result.logits if result.status == "finished" else {}
    epochs = len(result.history["train_loss"])
    return write_run(
        job,
        data,
        result.history,
        logits,
        result.status,
        [result.seconds / max(epochs, 1)] * epochs,
        device,
        weights,
    )

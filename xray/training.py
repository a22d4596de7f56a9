"""Jobs become records: alone by the plain loop, side by side in sample space."""

import hashlib
import io
import pickle
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as to_bytes

from xray import engine, equalise, files, gram, models, results, sample_space
from xray.data import Data
from xray.jobs import Job
from xray.machine import device_errors, environment
from xray.results import PARTS, Run

SAVE_EVERY = 30  # seconds between checkpoints


def work(jobs: list[Job], load, device: str, cache: Path, *, bar, note, again: bool = False):
    """Train jobs; yields each Run when its record is written. Those of sample space come first.

    load(image_size, split): gives the Data. device: "cpu" or "cuda:N". bar(total, label): gives an
    object with update, set_description and close, as tqdm's. note(text): called with what a person
    should be told. again: train what has a record too; else what another process has recorded
    meanwhile is passed over. Raises DeviceError, DataError, OSError; all that was yielded stays.
    """
    together = [job for job in jobs if job.engine == "gram"]
    for size, equalised in sorted({(job.image_size, job.spec.equalise) for job in together}):
        alike = [j for j in together if (j.image_size, j.spec.equalise) == (size, equalised)]
        count = len(load(size, alike[0].split).labels)
        needs = f"for the Gram matrix of {count:,} images"
        with device_errors(f"{len(alike)} models side by side", needs, "--engine direct"):
            yield from _train_together(alike, load, device, cache, bar, note, again)
    single = [job for job in jobs if job.engine == "direct"]
    if not single:
        return
    steps = bar(total=sum(job.cost for job in single), label=f"{len(single)} runs")
    placed, place = (), None  # the images of one size and split, as they are seen, on the device
    for job in single:
        if not again and job.recorded():
            steps.update(job.cost)
            continue
        data = _as_seen(load(job.image_size, job.split), job)
        size = f"{job.image_size}×{job.image_size}"
        needs = f"with batches of {job.spec.batch_size} images of {size}"
        with device_errors(job.name, needs, "a smaller --image-size"):
            if place != (job.image_size, job.split, job.spec.equalise):
                placed = ()  # the last are let go of first
                placed = [engine.place(part, device) for part in (data.train, data.validation)]
                place = job.image_size, job.split, job.spec.equalise
            steps.set_description(job.name)
            run = _train_direct(job, data, *placed, device, cache, steps.update, note)
        if record(job, run, again):
            yield run
        forget_checkpoint(job, data, cache)
    steps.close()


def _as_seen(data: Data, job: Job) -> Data:
    """The data with its images as the job's model is shown them."""
    return replace(data, images=equalise.as_seen(job.spec, data.images))


# ---- side by side


def _train_together(jobs: list[Job], load, device, cache, bar, note, again):
    """Jobs of one image size in sample space, all on films as they are or all on equalised ones."""
    data = {split: load(jobs[0].image_size, split) for split in {job.split for job in jobs}}
    any_split = _as_seen(next(iter(data.values())), jobs[0])  # all have the same images
    nets = {
        sample_space.Net(
            job.spec, job.seed, data[job.split].index, job.pixel_step, job.keep_weights
        ): job
        for job in jobs
    }
    name = any_split.fingerprint  # by which the matrix is kept
    if jobs[0].spec.equalise:
        name = hashlib.sha256(f"{name}, equalised".encode()).hexdigest()
    matrix = _gram_matrix(any_split.images, name, device, cache, bar, note)
    label = f"{len(jobs)} Linear and MLP runs side by side"
    epochs = bar(total=sum(job.spec.epochs for job in jobs), label=label)
    for fitted in sample_space.train(
        list(nets), matrix, any_split.images, any_split.labels, device, epochs.update
    ):
        job = nets[fitted.net]
        count = max(len(fitted.history["train_loss"]), 1)
        run = run_of(
            job,
            data[job.split],
            device,
            status=fitted.status,
            history=fitted.history,
            logits=fitted.logits,
            epoch_seconds=[fitted.seconds / count] * count,
            weights=fitted.weights,
        )
        if record(job, run, again):
            yield run
    epochs.close()


def _gram_matrix(images, name: str, device: str, cache: Path, bar, note) -> torch.Tensor:
    percent = bar(total=100, label="Gram matrix")

    def tick(done, total):
        percent.update(100 * done / total - percent.n)

    matrix, notes = gram.gram_matrix(images, name, cache, device, tick)
    percent.close()
    for text in notes:
        note(text)
    return matrix


# ---- alone


def _train_direct(job: Job, data: Data, train, validation, device, cache, tick, note) -> Run:
    """One run by the mini-batch loop, from its checkpoint where it has one. train, validation:
    engine.place of the data's parts. tick(cost): called after each batch with its share of the
    job's."""
    spec = job.spec
    model = models.build(spec, job.image_size, job.seed, device)
    model = model.to(memory_format=torch.channels_last)
    optimizer = engine.make_optimizer(model, spec, job.pixel_step)
    history, seconds, best = {key: [] for key in engine.HISTORY}, [], {}
    path = checkpoint_path(job, data, cache)
    if (stored := read_checkpoint(path)) is not None:
        model.load_state_dict(stored["model"])
        # the moments alone: rates are the spec's, not those of a moment of its schedule
        optimizer.load_state_dict(optimizer.state_dict() | {"state": stored["optimizer"]})
        history, seconds, best = stored["history"], stored["epoch_seconds"], stored["best"]
    batches = -(-len(train[1]) // spec.batch_size)
    share = job.cost / (spec.epochs * batches)
    tick(share * batches * len(seconds))
    status, started, saved = "finished", time.perf_counter(), time.monotonic()
    for reached in engine.fit(
        model,
        optimizer,
        spec,
        train,
        validation,
        job.seed,
        history,
        job.precision,
        tick=lambda: tick(share),
    ):
        history = reached
        seconds.append(time.perf_counter() - started)
        if not np.isfinite([values[-1] for values in history.values()]).all():
            history = {key: values[:-1] for key, values in history.items()}
            status = "diverged"
            break
        if spec.patience and engine.kept_epoch(spec, history) == len(seconds) - 1:
            best = {key: value.clone() for key, value in model.state_dict().items()}
        if len(seconds) < spec.epochs and time.monotonic() - saved >= SAVE_EVERY:
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict()["state"],
                "history": history,
                "epoch_seconds": seconds,
                "best": best,
            }
            write_checkpoint(path, state, note)
            saved = time.monotonic()
        started = time.perf_counter()
    tick(share * batches * (spec.epochs - len(seconds)))  # where patience or divergence ended it
    if best:
        model.load_state_dict(best)
    logits = {}
    if status == "finished":  # in fp32 always: bf16 would round them to 8 bits
        test = engine.place(data.test, "cpu")[0]
        for part, images in (("validation", validation[0]), ("test", test)):
            logits[part] = engine.predict(model, images, device).cpu().numpy()
    return run_of(
        job,
        data,
        device,
        status=status,
        history=history,
        logits=logits,
        epoch_seconds=seconds,
        weights=model.state_dict(),
    )


class _Enough(Exception):
    pass


def seconds_a_cost(job: Job, load, device: str) -> float:
    """What a unit of Job.cost takes here by the plain loop, in seconds: from the median of 20
    batches of a job, or of fewer where they take long, the first not counted. Nothing is kept."""
    data = _as_seen(load(job.image_size, job.split), job)
    train, validation = (engine.place(part, device) for part in (data.train, data.validation))
    model = models.build(job.spec, job.image_size, job.seed, device)
    model = model.to(memory_format=torch.channels_last)
    optimizer = engine.make_optimizer(model, job.spec, job.pixel_step)
    moments = []

    def tick():
        moments.append(time.perf_counter())
        if len(moments) > 20 or (len(moments) > 3 and moments[-1] - moments[0] > 10):
            raise _Enough

    batches = -(-len(train[1]) // job.spec.batch_size)
    with suppress(_Enough):
        short = replace(job.spec, epochs=21)  # enough batches where one is an epoch
        for _ in engine.fit(
            model, optimizer, short, train, validation, 0, precision=job.precision, tick=tick
        ):
            pass
    a_batch = np.median(np.diff(moments))
    return a_batch * batches * job.spec.epochs / job.cost


def checkpoint_path(job: Job, data: Data, cache: Path) -> Path:
    """Its name carries all that decides a run: no other run goes on from it."""
    how = job.engine, job.precision, job.pixel_step, data.fingerprint
    identity = repr((job.spec, job.seed, job.image_size, job.split, how))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return Path(cache) / "checkpoints" / f"{job.name}-{digest}.pt"


def write_checkpoint(path: Path, state: dict, note) -> None:
    """Where it cannot be written the run goes on without, and note(text) says so."""
    content = io.BytesIO()
    torch.save(state, content)
    try:
        files.write_atomically(path, content.getvalue())
    except OSError as error:
        note(
            f"{path.parent}: no checkpoint can be written ({error.strerror}); training goes on, "
            "but a run that is stopped starts again"
        )


def read_checkpoint(path: Path) -> dict | None:
    """What write_checkpoint wrote; None where it is missing or damaged, and the run starts
    again."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
        return None


def forget_checkpoint(job: Job, data: Data, cache: Path) -> None:
    with suppress(OSError):  # it cannot be removed; nothing goes on from it any more
        checkpoint_path(job, data, cache).unlink(missing_ok=True)


# ---- what is kept


def run_of(job: Job, data: Data, device, *, status, history, logits, epoch_seconds, weights) -> Run:
    """What a job came to. weights: name -> tensor, or None; they are written beside the records
    where the job keeps them. Raises OSError."""
    if status == "diverged" or not all(np.isfinite(values).all() for values in logits.values()):
        status, logits = "diverged", {}
    kept = {}
    if job.keep_weights and status == "finished":
        split = "" if job.split == "given" else f"{job.split}-"
        name = f"{split}{job.name}.safetensors"
        content = to_bytes(
            {key: value.detach().cpu().contiguous() for key, value in weights.items()}
        )
        files.write_atomically(job.file.parent / "weights" / name, content)
        kept = {"file": name, "sha256": hashlib.sha256(content).hexdigest()}
    about = {name: getattr(data, name) for name in ("name", "source", "fingerprint", "phantom")}
    about |= {"skipped": len(data.facts["skipped"])}
    if options := data.facts.get("options"):
        about["options"] = options
    when = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(float(sum(epoch_seconds)), 3),
        "epoch_seconds": [round(x, 4) for x in epoch_seconds],
    }
    return results.counted(
        Run(
            spec=job.spec,
            seed=job.seed,
            image_size=job.image_size,
            split=job.split,
            data=about,
            engine=job.engine,
            engine_reason=job.engine_reason,
            precision=job.precision,
            pixel_step=job.pixel_step,
            status=status,
            history={key: [float(x) for x in values] for key, values in history.items()},
            logits=logits,
            labels={part: data.labels[data.index[part]] for part in PARTS} if logits else {},
            environment=environment(device) | when,
            weights=kept,
            file=job.file,
        )
    )


def record(job: Job, run: Run, again: bool = False) -> bool:
    """Add the run to its file; gives whether it was, see results.append. Raises OSError."""
    return results.append(job.file, results.in_short(run) if job.short else run, again)


def write_facts(file: Path, data: Data, look, note) -> None:
    """Say beside a file of records what its data is, unless that stands there, and in the folder of
    all studies, which study was worked on last.

    look(images, labels) gives what predict.py compares images with (predict_likeness.learn); what
    an earlier version gave is replaced, digests that it did not give are added. note(text): called
    with what a person should be told.
    """
    path, facts, known = file.parent / "data.json", data.facts, {}
    if path.exists():
        try:
            known = files.read_json(path)
        except files.ResultsError:
            note(f"{path} was damaged and is written again")
    told = {**(known or facts)}
    if "digests" in facts:
        told.setdefault("digests", facts["digests"])
    if "likeness" in known.get("intensity", {"likeness": ""}):  # none, or an earlier version's
        if len(data.index["train"]) >= 1000:  # a moment, which a person may wonder about
            note("what the training images look like is learned once, for predict.py")
        told["intensity"] = look(data.train.images, data.train.labels)
    if told != known:
        files.write_json(path, told)
    folder = file.parent.parent
    name = file.relative_to(folder).with_suffix("")
    files.write_atomically(folder / "latest", f"{name}\n".encode())


def clear_leftovers(folder: Path, done: list[Job], data: Data, cache: Path) -> None:
    """Remove what killed processes left: half-written files, checkpoints of finished jobs."""
    kept = [Path(cache) / name for name in ("images", "gram", "checkpoints")]
    for place in [folder, folder / "weights", folder.parent, *kept]:
        files.clear_leftovers(place)
    for job in done:
        forget_checkpoint(job, data, cache)

"""From jobs to records: resumed, stopped early, failed; alone and side by side. And the machine
that does it."""

import itertools
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import options
import pytest
import torch
from commands import content
from samples import noise_images

from xray import machine, results, training
from xray.data import Data
from xray.jobs import Job
from xray.specs import KNOWN, MODELS

SIZE, N = 8, 60
IMAGES, LABELS = noise_images(N, SIZE)
HIDDEN = partial(options.bar, shown=False)


def data(size=SIZE, split="given"):
    rows = np.arange(N) if split == "given" else np.random.default_rng(0).permutation(N)
    return Data(
        name="made-up",
        source="made-up",
        fingerprint="0" * 64,
        phantom=False,
        image_size=SIZE,
        images=IMAGES,
        labels=LABELS,
        paths=[f"{i}.png" for i in range(N)],
        split=split,
        index={"train": rows[:36], "validation": rows[36:48], "test": rows[48:]},
        facts={"skipped": []},
    )


def job(folder, name, seed=0, engine="direct", split="given", **changes):
    usual = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-5}
    return Job(
        spec=replace(KNOWN[name], **usual | changes),
        seed=seed,
        image_size=SIZE,
        split=split,
        engine=engine,
        engine_reason="because",
        precision="fp32",
        pixel_step=1.0,
        file=folder / "results" / "made-up" / f"{split}.jsonl",
        keep_weights=True,
    )


def work(folder, *jobs, bar=HIDDEN):
    return list(training.work(jobs, data, "cpu", folder / "cache", bar=bar, note=print))


def logits(run):
    return run.logits["test"]


@pytest.fixture
def save_each_epoch(monkeypatch):
    monkeypatch.setattr(training, "SAVE_EVERY", 0)


class Stopped(Exception):
    pass


def stops_in_epoch_3(**_):
    """A bar that does so; an epoch has 5 batches."""
    steps = itertools.count(1)

    def update(cost):
        if cost > 0 and next(steps) == 12:
            raise Stopped

    return SimpleNamespace(update=update, set_description=print)


@pytest.mark.parametrize(
    "name, engine, split",
    [("11", "direct", "given"), ("18", "direct", "given"), ("20", "gram", "image-1")],
)
def test_a_record_says_all_and_reads_back(tmp_path, name, engine, split):
    one = job(tmp_path, name, 4, engine, split)
    [run] = work(tmp_path, one)
    [read] = results.load(tmp_path / "results")
    assert content(read) == content(run)
    about = run.status, run.seed, run.engine, run.image_size, run.name
    assert about == ("finished", 4, engine, SIZE, one.name)
    assert all(len(values) == 3 for values in run.history.values())
    assert logits(run).shape == run.labels["test"].shape == (12,)
    assert sum(run.validation_counts.values()) == 12
    assert run.environment["versions"]["torch"] and run.environment["threads"] >= 1
    assert len(run.environment["epoch_seconds"]) == 3
    assert run.differs[-1] == f"3 epochs instead of {MODELS[name].epochs}"
    start = "" if split == "given" else f"{split}-"
    assert run.weights["file"].startswith(f"{start}{name}-seed4") and run.file.stem == split
    assert results.weights_path(run).exists()
    assert not list((tmp_path / "cache").glob("checkpoints/*")), "a finished run leaves none"


@pytest.mark.parametrize("name", ["11", "17", "19", "26b", "31", "34"])
def test_a_run_stopped_after_an_epoch_ends_as_one_that_ran_through(tmp_path, name, save_each_epoch):
    [whole] = work(tmp_path / "a", job(tmp_path / "a", name))
    folder = tmp_path / "b"
    with pytest.raises(Stopped):
        work(folder, job(folder, name), bar=stops_in_epoch_3)
    assert not list(folder.rglob("*.jsonl")), "an unfinished run has no record"
    [checkpoint] = (folder / "cache" / "checkpoints").iterdir()
    assert len(training.read_checkpoint(checkpoint)["history"]["train_loss"]) == 2
    [resumed] = work(folder, job(folder, name))
    assert content(resumed) == content(whole)


def test_checkpoints_are_kept_by_time(tmp_path, monkeypatch):
    clock, written = itertools.count(0, 16), []  # seconds: two looks at it are no reason to save
    stub = SimpleNamespace(monotonic=lambda: next(clock), perf_counter=time.perf_counter)
    monkeypatch.setattr(training, "time", stub)

    def write(path, state, note):
        written.append(len(state["epoch_seconds"]))

    monkeypatch.setattr(training, "write_checkpoint", write)
    work(tmp_path, job(tmp_path, "20", epochs=6))
    assert written == [2, 4]


def test_a_run_with_patience_ends_early_and_keeps_its_best_epoch(tmp_path):
    hot = {"learning_rate": 0.03, "schedule": "constant", "batch_size": 8}
    [run] = work(tmp_path / "a", job(tmp_path / "a", "32", epochs=40, patience=4, **hot))
    losses = run.history["validation_loss"]
    kept = int(np.argmin(losses))
    assert len(losses) == kept + 1 + 4 < 40
    short = job(tmp_path / "b", "32", epochs=kept + 1, patience=0, **hot)
    [until] = work(tmp_path / "b", short)
    assert logits(until).tolist() == logits(run).tolist()
    assert until.history["validation_loss"] == losses[: kept + 1]


def test_a_run_that_patience_ended_is_not_resumed_for_another_epoch(
    tmp_path, monkeypatch, save_each_epoch
):
    """Without a rate nothing improves: the best epoch is the first."""
    still = job(tmp_path, "20", learning_rate=0.0, epochs=20, patience=2)
    predict = training.engine.predict

    def stopped(model, images, device="cpu", *precision):
        if not precision:  # of the finished run's logits
            raise Stopped
        return predict(model, images, device, *precision)

    monkeypatch.setattr(training.engine, "predict", stopped)
    with pytest.raises(Stopped):
        work(tmp_path, still)
    monkeypatch.undo()
    assert list((tmp_path / "cache" / "checkpoints").iterdir())
    [run] = work(tmp_path, still)
    assert len(run.history["validation_loss"]) == 3


def test_what_a_run_will_take_is_measured_and_nothing_kept(tmp_path):
    one = job(tmp_path, "11", epochs=10)
    rate = training.seconds_a_cost(one, data, "cpu")
    assert 0 < rate * one.cost < 60 and not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_not_used(tmp_path):
    path, notes = tmp_path / "x.pt", []
    state = {"model": {"w": torch.arange(400.0)}, "history": {"train_loss": [0.5]}}
    training.write_checkpoint(path, state, notes.append)
    assert training.read_checkpoint(path)["model"]["w"].tolist() == list(range(400))
    good = path.read_bytes()
    for stored in (good[:-30], good[: len(good) // 2], b"", b"no checkpoint"):
        path.write_bytes(stored)
        assert training.read_checkpoint(path) is None
    assert training.read_checkpoint(tmp_path / "missing") is None and notes == []


@pytest.mark.parametrize("engine", ["direct", "gram"])
def test_a_diverged_run_is_recorded_and_the_others_go_on(tmp_path, engine):
    hot = job(tmp_path, "20", engine=engine, learning_rate=1e30)
    found = {run.spec.id: run for run in work(tmp_path, hot, job(tmp_path, "14", engine=engine))}
    lost = found["20"]
    assert (lost.status, lost.logits, lost.weights) == ("diverged", {}, {})
    assert len(lost.history["train_loss"]) < 3
    assert found["14"].status == "finished"
    assert {run.status for run in results.load(hot.file)} == {"diverged", "finished"}


def test_splits_and_seeds_side_by_side_are_told_apart(tmp_path):
    jobs = [
        job(tmp_path, name, seed, "gram", split)
        for name in ("20", "21", "2")
        for seed in (0, 1)
        for split in ("given", "image-1")
    ]
    together = {(run.split, run.name): run for run in work(tmp_path, *jobs)}
    for one in jobs[:4]:
        moved = replace(one, file=tmp_path / "alone" / one.file.name)
        [alone] = work(tmp_path, moved)
        other = together[one.split, one.name]
        assert np.array_equal(other.labels["test"], alone.labels["test"])
        np.testing.assert_allclose(logits(other), logits(alone), atol=1e-4)


def test_a_model_of_equalised_films_is_shown_these(tmp_path):
    found = {}
    for engine in ("direct", "gram"):
        names, rate = ("20", "39"), {"learning_rate": 1e-4}
        jobs = [job(tmp_path / engine, name, 0, engine, **rate) for name in names]
        found[engine] = [logits(run) for run in work(tmp_path / engine, *jobs)]
    np.testing.assert_allclose(found["direct"], found["gram"], atol=1e-4)
    assert not np.allclose(*found["gram"])


@pytest.mark.parametrize(
    "error, words",
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"), "out of GPU memory"),
        (RuntimeError("CUDA error: launch failure\nmore lines"), "the GPU failed.*launch failure"),
        (MemoryError("Unable to allocate 2 TiB"), "out of main memory with batches of 8.*8×8"),
    ],
)
def test_a_device_that_fails_costs_only_the_run_it_was_at(tmp_path, monkeypatch, error, words):
    plain = training._train_direct

    def fails_at_21(one, *rest):
        if one.spec.id == "21":
            raise error
        return plain(one, *rest)

    monkeypatch.setattr(training, "_train_direct", fails_at_21)
    both = job(tmp_path, "20"), job(tmp_path, "21")
    with pytest.raises(machine.DeviceError, match=words) as caught:
        work(tmp_path, *both)
    assert "\n" not in str(caught.value)
    assert [run.spec.id for run in results.load(tmp_path)] == ["20"]
    monkeypatch.undo()
    assert [run.spec.id for run in work(tmp_path, *both)] == ["21"]


def test_smaller_images_are_no_help_where_the_gram_matrix_is_too_large(tmp_path, monkeypatch):
    def fails(*rest):
        raise MemoryError

    monkeypatch.setattr(training.gram, "gram_matrix", fails)
    with pytest.raises(machine.DeviceError, match="Gram matrix of .* --engine direct") as caught:
        work(tmp_path, job(tmp_path, "20", 0, "gram"))
    assert "image-size" not in str(caught.value)


def test_each_of_torchruns_processes_has_a_gpu_of_its_own(monkeypatch):
    said = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert machine.pick_device("auto", said.append) == "cuda:0"
    assert machine.pick_device("cuda:1", said.append) == "cuda:1" and not said
    with pytest.raises(machine.DeviceError, match="there are 2 GPUs"):
        machine.pick_device("cuda:2", said.append)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for asked in ("auto", "cuda", "cuda:0"):
        for rank in "01":
            monkeypatch.setenv("LOCAL_RANK", rank)
            assert machine.pick_device(asked, said.append) == f"cuda:{rank}"
    assert len(said) == 2 and "--device cuda:0" in said[0]
    assert machine.pick_device("cpu", said.append) == "cpu"


def test_where_there_is_no_gpu_that_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine.pick_device("auto", print) == "cpu"
    with pytest.raises(machine.DeviceError, match="use --device cpu"):
        machine.pick_device("cuda", print)

"""From jobs to records: resumed, repeated, stopped early, failed; alone and side by side."""

import itertools
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xray import machine, results, training
from xray.data import Data
from xray.jobs import Job
from xray.specs import KNOWN, MODELS

SIZE = 8


class Bar:
    """tqdm's face without its output."""

    n = 0

    def __init__(self, **_):
        pass

    def update(self, *_):
        pass

    set_description = close = update


def data(seed=0, split="given"):
    generator = np.random.default_rng(seed)
    labels = np.tile([0, 1, 1], 20)
    pixels = generator.integers(0, 200, (60, 1, SIZE, SIZE), dtype=np.uint8)
    pixels[labels == 1, :, :3] += 55
    rows = np.arange(60) if split == "given" else generator.permutation(60)
    return Data(
        name="made-up",
        source="made-up",
        fingerprint=f"{seed:064d}",
        phantom=False,
        image_size=SIZE,
        images=pixels,
        labels=labels,
        paths=[f"{i}.png" for i in range(60)],
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
        file=Path(folder) / "results" / "made-up" / f"{split}.jsonl",
        keep_weights=True,
    )


def work(jobs, folder, bar=Bar, again=False, notes=None):
    def load(size, split="given"):
        return data(split=split)

    told = [] if notes is None else notes
    cache = Path(folder) / "cache"
    return list(training.work(jobs, load, "cpu", cache, bar=bar, note=told.append, again=again))


def content(run):
    """A record without what differs from machine to machine and from time to time."""
    found = asdict(run)
    del found["environment"], found["file"]
    found["logits"] = {part: values.tolist() for part, values in run.logits.items()}
    found["labels"] = {part: values.tolist() for part, values in run.labels.items()}
    return found


@pytest.fixture
def save_each_epoch(monkeypatch):
    monkeypatch.setattr(training, "SAVE_EVERY", 0)


class Stopped(Exception):
    pass


def stopped_in_epoch(number):
    """A bar that stops the run in its epoch of that number, of 5 batches each."""

    class Stops(Bar):
        steps = 0

        def update(self, cost):
            self.steps += cost > 0
            if self.steps == 5 * (number - 1) + 2:
                raise Stopped

    return Stops


@pytest.mark.parametrize(
    "name, engine", [("11", "direct"), ("18", "direct"), ("20", "direct"), ("20", "gram")]
)
def test_a_record_says_all_and_reads_back(tmp_path, name, engine):
    one = job(tmp_path, name, seed=4, engine=engine)
    [run] = work([one], tmp_path)
    [read] = results.load(tmp_path / "results")
    assert content(read) == content(run)
    about = run.status, run.seed, run.engine, run.image_size, run.name
    assert about == ("finished", 4, engine, SIZE, one.name)
    assert all(len(values) == 3 for values in run.history.values())
    assert run.logits["test"].shape == run.labels["test"].shape == (12,)
    assert sum(run.validation_counts.values()) == 12
    assert run.environment["versions"]["torch"] and run.environment["threads"] >= 1
    assert len(run.environment["epoch_seconds"]) == 3
    assert run.differs[-1] == f"3 epochs instead of {MODELS[name].epochs}"
    assert results.weights_path(run).exists()
    assert not list((tmp_path / "cache").glob("checkpoints/*")), "a finished run leaves none"


def test_weights_of_another_split_have_another_name(tmp_path):
    [run] = work([job(tmp_path, "20", engine="gram", split="image-1")], tmp_path)
    assert run.weights["file"].startswith("image-1-20-seed0") and run.file.stem == "image-1"


@pytest.mark.parametrize("engine", ["direct", "gram"])
def test_a_finished_run_is_recorded_once_unless_forced(tmp_path, engine):
    one = job(tmp_path, "20", engine=engine)
    assert len(work([one], tmp_path)) == 1
    before = one.file.read_bytes()
    assert work([one], tmp_path) == [] and one.file.read_bytes() == before
    assert len(work([one], tmp_path, again=True)) == 1 and one.file.read_bytes() != before
    assert len(results.load(one.file)) == 1


@pytest.mark.parametrize("name", ["11", "19", "20", "31", "34"])
def test_a_run_stopped_after_an_epoch_ends_as_one_that_ran_through(tmp_path, name, save_each_epoch):
    [whole] = work([job(tmp_path / "a", name)], tmp_path / "a")
    with pytest.raises(Stopped):
        work([job(tmp_path / "b", name)], tmp_path / "b", bar=stopped_in_epoch(3))
    assert not list((tmp_path / "b").rglob("*.jsonl")), "an unfinished run has no record"
    [checkpoint] = (tmp_path / "b" / "cache" / "checkpoints").iterdir()
    assert len(training.read_checkpoint(checkpoint)["history"]["train_loss"]) == 2
    [resumed] = work([job(tmp_path / "b", name)], tmp_path / "b")
    assert content(resumed) == content(whole)


def test_checkpoints_are_kept_by_time(tmp_path, monkeypatch):
    clock, written = itertools.count(0, 16), []  # seconds: two looks at it are no reason to save
    stub = SimpleNamespace(monotonic=lambda: next(clock), perf_counter=time.perf_counter)
    monkeypatch.setattr(training, "time", stub)

    def write(path, state, note):
        written.append(len(state["epoch_seconds"]))

    monkeypatch.setattr(training, "write_checkpoint", write)
    work([job(tmp_path, "20", epochs=6)], tmp_path)
    assert written == [2, 4]


def test_a_run_with_patience_ends_early_and_keeps_its_best_epoch(tmp_path):
    hot = {"learning_rate": 0.03, "schedule": "constant", "batch_size": 8}
    [run] = work([job(tmp_path / "a", "32", epochs=40, patience=4, **hot)], tmp_path / "a")
    losses = run.history["validation_loss"]
    kept = int(np.argmin(losses))
    assert len(losses) == kept + 1 + 4 < 40
    short = job(tmp_path / "b", "32", epochs=kept + 1, patience=0, **hot)
    [until] = work([short], tmp_path / "b")
    assert until.logits["test"].tolist() == run.logits["test"].tolist()
    assert until.history["validation_loss"] == losses[: kept + 1]


def test_a_run_that_patience_ended_is_not_resumed_for_another_epoch(
    tmp_path, monkeypatch, save_each_epoch
):
    still = job(tmp_path, "20", learning_rate=0.0, epochs=20, patience=2)
    predict = training.engine.predict

    def stopped(model, images, device="cpu", *precision):
        if not precision:  # of the finished run's logits
            raise Stopped
        return predict(model, images, device, *precision)

    monkeypatch.setattr(training.engine, "predict", stopped)
    with pytest.raises(Stopped):
        work([still], tmp_path)
    monkeypatch.undo()
    assert list((tmp_path / "cache" / "checkpoints").iterdir())
    [run] = work([still], tmp_path)
    assert len(run.history["validation_loss"]) == 3


def test_what_a_run_will_take_is_measured_and_nothing_kept(tmp_path):
    one = job(tmp_path, "11", epochs=10)
    rate = training.seconds_a_cost(one, lambda size, split: data(split=split), "cpu")
    assert 0 < rate * one.cost < 60 and not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_not_used(tmp_path):
    path, notes = tmp_path / "x.pt", []
    state = {"model": {"w": torch.arange(400.0)}, "history": {"train_loss": [0.5]}}
    training.write_checkpoint(path, state, notes.append)
    assert training.read_checkpoint(path)["model"]["w"].tolist() == list(range(400))
    good = path.read_bytes()
    for content_ in (good[:-30], good[: len(good) // 2], b"", b"no checkpoint"):
        path.write_bytes(content_)
        assert training.read_checkpoint(path) is None
    assert training.read_checkpoint(tmp_path / "missing") is None
    (tmp_path / "file").write_text("")
    training.write_checkpoint(tmp_path / "file" / "x.pt", state, notes.append)
    assert len(notes) == 1 and "no checkpoint can be written" in notes[0]


@pytest.mark.parametrize("engine", ["direct", "gram"])
def test_a_diverged_run_is_recorded_and_the_others_go_on(tmp_path, engine):
    hot = job(tmp_path, "20", engine=engine, learning_rate=1e30)
    runs = work([hot, job(tmp_path, "14", engine=engine)], tmp_path)
    by_model = {run.spec.id: run for run in runs}
    lost = by_model["20"]
    assert (lost.status, lost.logits, lost.weights) == ("diverged", {}, {})
    assert len(lost.history["train_loss"]) < 3
    assert by_model["14"].status == "finished"
    assert {run.status for run in results.load(hot.file)} == {"diverged", "finished"}


def test_splits_and_seeds_side_by_side_are_told_apart(tmp_path):
    jobs = [
        job(tmp_path, name, seed, "gram", split)
        for name in ("20", "21", "2")
        for seed in (0, 1)
        for split in ("given", "image-1")
    ]
    together = {(run.split, run.name): run for run in work(jobs, tmp_path)}
    for one in jobs[:4]:
        moved = replace(one, file=tmp_path / "alone" / one.file.name)
        [alone] = work([moved], tmp_path)
        other = together[one.split, one.name]
        assert np.array_equal(other.labels["test"], alone.labels["test"])
        np.testing.assert_allclose(other.logits["test"], alone.logits["test"], atol=1e-4)


def test_a_model_of_equalised_films_is_shown_these(tmp_path):
    names, found = ("20", "39"), {}
    for engine in ("direct", "gram"):
        jobs = [job(tmp_path / engine, name, 0, engine, learning_rate=1e-4) for name in names]
        found |= {(engine, run.spec.id): run for run in work(jobs, tmp_path / engine)}
    for name in names:
        one, other = (found[engine, name].logits["test"] for engine in ("direct", "gram"))
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert not np.allclose(found["gram", "20"].logits["test"], found["gram", "39"].logits["test"])


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
    both = [job(tmp_path, "20"), job(tmp_path, "21")]
    with pytest.raises(machine.DeviceError, match=words) as caught:
        work(both, tmp_path)
    assert "\n" not in str(caught.value)
    assert [run.spec.id for run in results.load(tmp_path)] == ["20"]
    monkeypatch.undo()
    assert [run.spec.id for run in work(both, tmp_path)] == ["21"]


def test_smaller_images_are_no_help_where_the_gram_matrix_is_too_large(tmp_path, monkeypatch):
    def fails(*rest):
        raise MemoryError

    monkeypatch.setattr(training.gram, "gram_matrix", fails)
    with pytest.raises(machine.DeviceError, match="Gram matrix of .* --engine direct") as caught:
        work([job(tmp_path, "20", 0, "gram")], tmp_path)
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

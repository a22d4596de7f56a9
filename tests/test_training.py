"""From jobs to records: resumed, repeated, claimed, shared out; alone or side by side."""

import multiprocessing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xray import results, training, training_record
from xray.data import Data
from xray.specs import KNOWN, MODELS
from xray.training import Desk
from xray.training_jobs import Job

SIZE = 8


class Bar:
    """tqdm's face without its output."""

    n = 0

    def __init__(self, **_):
        pass

    def update(self, *_):
        pass

    def set_postfix(self, **_):
        pass

    close = update


def data(seed=0, split="given"):
    generator = np.random.default_rng(seed)
    labels = np.tile([0, 1, 1], 20)
    pixels = generator.integers(0, 200, (60, 1, SIZE, SIZE), dtype=np.uint8)
    pixels[labels == 1, :, :3] += 55
    rows = np.arange(60) if split == "given" else generator.permutation(60)
    index = {"train": rows[:36], "validation": rows[36:48], "test": rows[48:]}
    return Data(
        "made-up",
        "made-up",
        f"{seed:064d}",
        False,
        SIZE,
        pixels,
        labels,
        [f"{i}.png" for i in range(60)],
        split,
        index,
        {"skipped": []},
    )


def load(size, split="given"):
    return data(split=split)


def job(folder, name, seed=0, engine="direct", **changes):
    spec = replace(
        KNOWN[name],
        **{"epochs": 3, "batch_size": 8, "learning_rate": 1e-5} | changes,
    )
    return Job(
        spec,
        seed,
        SIZE,
        "given",
        engine,
        "because",
        "fp32",
        Path(folder) / "results" / "made-up" / "given",
    )


def work(jobs, folder, **options):
    bar = options.pop("bar", Bar)
    desk = Desk("cpu", Path(folder) / "cache", bar, lambda text: None, **options)
    return list(training.work(jobs, load, desk))


def content(run):
    """A record without what differs from machine to machine and from time to time."""
    found = asdict(run)
    del found["environment"], found["file"]
    found["logits"] = {part: values.tolist() for part, values in run.logits.items()}
    found["labels"] = {part: values.tolist() for part, values in run.labels.items()}
    return found


@pytest.mark.parametrize(
    "name, engine", [("11", "direct"), ("18", "direct"), ("20", "direct"), ("20", "gram")]
)
def test_a_record_says_all_and_reads_back(tmp_path, name, engine):
    one = job(tmp_path, name, seed=4, engine=engine)
    [run] = work([one], tmp_path)
    [read] = results.load(tmp_path / "results")
    assert content(read) == content(run)
    assert (
        run.status == "finished"
        and run.seed == 4
        and run.engine == engine
        and run.image_size == SIZE
    )
    assert all(len(values) == 3 for values in run.history.values())
    assert run.logits["test"].shape == run.labels["test"].shape == (12,)
    assert run.environment["versions"]["torch"] and run.environment["threads"] >= 1
    assert len(run.environment["epoch_seconds"]) == 3
    assert run.differs == [
        "8×8 pixels instead of 640×640, with matched steps",
        f"3 epochs instead of {MODELS[name].epochs}",
    ]
    assert (one.folder / run.weights["file"]).exists()
    assert not list((tmp_path / "cache" / "checkpoints").glob("*")), (
        "a finished run leaves no checkpoint"
    )


def test_a_finished_run_is_left_alone_unless_forced(tmp_path):
    one = job(tmp_path, "20")
    work([one], tmp_path)
    before = one.record.stat().st_mtime_ns
    assert work([one], tmp_path) == [] and one.record.stat().st_mtime_ns == before
    assert len(work([one], tmp_path, force=True)) == 1 and one.record.stat().st_mtime_ns != before


@pytest.mark.parametrize("name", ["11", "19", "20", "34"])
def test_a_run_stopped_after_an_epoch_ends_as_one_that_ran_through(tmp_path, name):
    [whole] = work([job(tmp_path / "a", name)], tmp_path / "a")

    class Stopped(Exception):
        pass

    class StopInThirdEpoch(Bar):
        steps = 0

        def update(self, *_):
            self.steps += 1
            if self.steps == 12:
                raise Stopped

    with pytest.raises(Stopped):
        work([job(tmp_path / "b", name)], tmp_path / "b", bar=StopInThirdEpoch)
    assert not list((tmp_path / "b").rglob("*.json")), "an unfinished run has no record"
    [checkpoint] = (tmp_path / "b" / "cache" / "checkpoints").glob("*.safetensors")
    _, progress = training_record.read_checkpoint(checkpoint)
    assert len(progress["history"]["train_loss"]) == 2
    [resumed] = work([job(tmp_path / "b", name)], tmp_path / "b")
    assert content(resumed) == content(whole)


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


def test_a_damaged_checkpoint_is_not_used(tmp_path):
    path = tmp_path / "x.safetensors"
    training_record.write_checkpoint(path, {"w": torch.arange(4.0)}, {"history": {}})
    assert training_record.read_checkpoint(path)[0]["w"].tolist() == [0, 1, 2, 3]
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert training_record.read_checkpoint(path) is None
    path.write_bytes(good[:20])
    assert training_record.read_checkpoint(path) is None
    assert training_record.read_checkpoint(tmp_path / "missing") is None


def test_no_flipped_bit_of_a_checkpoint_goes_unnoticed(tmp_path):
    """Of its header, its progress or its tensors; the header's padding says nothing."""
    path = tmp_path / "x.safetensors"
    tensors = {"w": torch.arange(4.0), "v": torch.arange(4.0) + 9}
    progress = {"history": {"train_loss": [0.7, 0.6]}, "epoch_seconds": [1.5, 2.5]}
    training_record.write_checkpoint(path, tensors, progress)
    good = path.read_bytes()
    for place in range(len(good)):
        for bit in (0, 1, 5):
            changed = bytearray(good)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            if (stored := training_record.read_checkpoint(path)) is not None:
                assert stored[1] == progress and stored[0].keys() == tensors.keys(), place
                assert all(torch.equal(stored[0][name], tensors[name]) for name in tensors)


def test_a_diverged_run_is_recorded_and_the_others_go_on(tmp_path):
    for engine in ("direct", "gram"):
        jobs = [
            job(tmp_path, "20", engine=engine, learning_rate=1e30),
            job(tmp_path, "14", engine=engine),
        ]
        runs = {run.spec.id: run for run in work(jobs, tmp_path, force=True)}
        assert (
            runs["20"].status == "diverged" and runs["20"].logits == {} and not runs["20"].weights
        )
        assert len(runs["20"].history["train_loss"]) < 3
        assert runs["14"].status == "finished"
        assert results.load_run(jobs[0].record).status == "diverged"


def test_side_by_side_gives_what_each_gives_alone(tmp_path):
    names = ["20", "21", "14", "1", "27b", "9"]
    jobs = [job(tmp_path / "together", name, seed, "gram") for name in names for seed in (0, 1)]
    together = {(run.spec.id, run.seed): run for run in work(jobs, tmp_path / "together")}
    for one in jobs:
        alone_job = replace(one, folder=tmp_path / "alone")
        [alone] = work([alone_job], tmp_path)
        other = together[one.spec.id, one.seed]
        for key in ("train_loss", "validation_loss"):
            np.testing.assert_allclose(other.history[key], alone.history[key], rtol=1e-5)
        np.testing.assert_allclose(other.logits["test"], alone.logits["test"], atol=1e-4)


def hold(one, ready, let_go):
    with training.claim(one, wait=True) as got:
        ready.put(got)
        let_go.get()


def test_two_processes_never_train_the_same_run(tmp_path):
    one = job(tmp_path, "20")
    one.folder.mkdir(parents=True)
    context = multiprocessing.get_context("fork")
    ready, let_go = context.Queue(), context.Queue()
    other = context.Process(target=hold, args=(one, ready, let_go))
    other.start()
    assert ready.get(timeout=20)
    with training.claim(one, wait=False) as got:
        assert not got
    with training.claim(job(tmp_path, "21"), wait=False) as got:
        assert got, "another run is free"
    let_go.put(True)
    other.join(20)
    with training.claim(one, wait=False) as got:
        assert got, "a process that ends lets go"


@pytest.mark.parametrize(
    "error, words",
    [
        (
            torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            ["out of GPU memory", "batches of 8", "8×8"],
        ),
        (
            RuntimeError("CUDA error: unspecified launch failure\nmore lines"),
            ["the GPU failed", "unspecified launch failure"],
        ),
        ("too much", ["out of main memory", "batches of 8", "8×8"]),
        (MemoryError("Unable to allocate 2 TiB"), ["out of main memory"]),
    ],
)
def test_a_device_that_fails_costs_only_the_run_it_was_at(tmp_path, monkeypatch, error, words):
    plain = training.train_direct

    def fails_at_21(one, *rest):
        if one.spec.id == "21" and error == "too much":
            torch.empty(1 << 60)
        if one.spec.id == "21":
            raise error
        return plain(one, *rest)

    monkeypatch.setattr(training, "train_direct", fails_at_21)
    with pytest.raises(training.DeviceError) as caught:
        work([job(tmp_path, "20"), job(tmp_path, "21")], tmp_path)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)
    assert [run.spec.id for run in results.load(tmp_path)] == ["20"]
    monkeypatch.undo()
    assert [run.spec.id for run in work([job(tmp_path, "20"), job(tmp_path, "21")], tmp_path)] == [
        "21"
    ]

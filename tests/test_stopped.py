"""scripts/train.py killed, out of room, and in several processes at once: what was finished stays,
whole, and the same command ends as if nothing had happened."""

import functools
import multiprocessing.forkserver
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch._dynamo  # noqa: F401  (the first optimizer loads it: once for all forks, as the rest)
from commands import ROOT, TINY, assert_same, command, fails, records, room, runs, train

from xray import experiments, predict_likeness, results, training  # noqa: F401

# in sample space, and a CNN by Adam
MIXED = (*TINY, *"--model 20 19 --seeds 0 --epochs 2".split())
SHARED = (*TINY, *"--model 20 21 11 17 --seeds 0-1 --epochs 6 --weights all".split())
WIDE = "--image-size 32 --device cpu --engine direct --seeds 0 --epochs 3 --weights none".split()


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """arguments -> (records of a study that ran through, a cache that holds its images)."""

    @functools.cache
    def made(arguments):
        folder = tmp_path_factory.mktemp("whole")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XRAY_CACHE", str(folder / "cache"))
            assert train("--data", images, *arguments, "--out", folder / "out") == 0
        return records(folder / "out"), folder / "cache"

    return made


@functools.cache
def nursery():
    """A process that has loaded what training needs and runs no thread, from which others are
    forked. A fork of the tests' own process could inherit a lock that a thread of it holds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(os.path.abspath, sys.path)))
        multiprocessing.forkserver.ensure_running()
    return context


def in_fork(arguments, cache, log, before):
    for number, path in ((1, log), (2, f"{log}.err")):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    os.environ["XRAY_CACHE"] = str(cache)
    if before:
        before()
    sys.exit(train(*arguments))


def start(folder, arguments, before=None, log="log"):
    """scripts/train.py in a process of its own, in which before() is called first; its records go
    to folder/out."""
    folder.mkdir(exist_ok=True)
    given = (*arguments, "--out", folder / "out"), folder / "cache", folder / log, before
    process = nursery().Process(target=in_fork, args=given)
    process.start()
    return process


def lines_of(out) -> list[bytes]:
    """The whole lines of all files of records."""
    files = {run.file for run in runs(out)}
    lines = [line for file in files for line in file.read_bytes().splitlines(keepends=True)]
    return [line for line in lines if line.endswith(b"\n")]


# ---- killed


class Killer:
    """Kills the process at its n-th step in writing: before a flush to disk, and after a renaming.
    In between nothing changes on the disk."""

    def __init__(self, at, count_file=None):
        self.at, self.count_file, self.step = at, count_file, 0

    def __call__(self):
        training.SAVE_EVERY = 0
        fsync, replace = os.fsync, os.replace
        os.fsync = lambda handle: (self.reach(), fsync(handle))
        os.replace = lambda *names: (replace(*names), self.reach())

    def reach(self):
        if self.step == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.step += 1
        if self.count_file:
            self.count_file.write_text(str(self.step))


def test_killed_at_steps_of_writing(whole, images, tmp_path, monkeypatch):
    expected, _ = whole(MIXED)
    assert {record["engine"] for record in expected.values()} == {"gram", "direct"}
    asked = "--data", images, *MIXED
    start(tmp_path / "counted", asked, Killer(-1, tmp_path / "steps")).join(300)
    assert_same(expected, records(tmp_path / "counted" / "out"))
    steps = int((tmp_path / "steps").read_text())
    assert steps >= 12
    for step in range(1, steps, 2):
        folder = tmp_path / f"at{step}"
        process = start(folder, asked, Killer(step))
        process.join(300)
        assert process.exitcode == -signal.SIGKILL
        finished = lines_of(folder / "out")
        monkeypatch.setenv("XRAY_CACHE", str(folder / "cache"))
        assert train(*asked, "--out", folder / "out") == 0
        assert_same(expected, records(folder / "out"))
        now = lines_of(folder / "out")
        assert set(finished) <= set(now), "a finished run was written again or lost"
        assert len(now) == len(expected), "recorded twice"
        assert not list((folder / "cache").glob("checkpoints/*.pt"))


# ---- no room


def test_no_room_for_a_record_or_a_checkpoint(whole, images, tmp_path, monkeypatch, capsys):
    expected, cache = whole((*WIDE, "--model", "20", "18"))
    shutil.copytree(cache, tmp_path / "cache")
    some = "--data", images, *WIDE, "--out", tmp_path
    with room(10000):  # a checkpoint takes 40 kB, a record 2
        monkeypatch.setattr(training, "SAVE_EVERY", 0)
        assert train(*some, "--model", "20") == 0
    said = capsys.readouterr()
    assert "no checkpoint can be written" in said.out and said.err == ""
    [file] = {run.file for run in runs(tmp_path)}
    with room(file.stat().st_size + 300):
        code = train(*some, "--model", "20", "18")
    fails((code, *capsys.readouterr()), "File too large", "--out", file)
    assert len(runs(tmp_path)) == 1
    assert train(*some, "--model", "20", "18") == 0
    assert_same(expected, records(tmp_path))


@pytest.mark.parametrize(
    "place, words",
    [
        ("out", ["out", "--out"]),
        ("out/results", ["--out"]),
        ("cache/images", ["cache/images", "XRAY_CACHE"]),
        ("out/results/STUDY", ["--out"]),
    ],
)
def test_a_file_where_a_folder_should_be(whole, images, tmp_path, capsys, place, words):
    about = next(iter(whole(MIXED)[0].values()))["data"]
    name = results.data_folder(Path(), about["name"], about["fingerprint"]).name
    file = tmp_path / place.replace("STUDY", name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    code = train("--data", images, *MIXED, "--out", tmp_path / "out")
    fails((code, *capsys.readouterr()), *words)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("place", ["checkpoints", "gram"])
def test_a_file_in_the_place_of_a_folder_that_training_can_do_without(
    whole, images, tmp_path, monkeypatch, capsys, place
):
    expected, cache = whole(MIXED)
    shutil.copytree(cache, tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache" / place, ignore_errors=True)
    (tmp_path / "cache" / place).write_text("mine")
    monkeypatch.setattr(training, "SAVE_EVERY", 0)
    assert train("--data", images, *MIXED, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert said.count("note: ") == 1 and f"note: {tmp_path / 'cache' / place}" in said
    assert (tmp_path / "cache" / place).read_text() == "mine"
    assert_same(expected, records(tmp_path / "out"))


# ---- several processes


def test_two_commands_at_once_record_nothing_twice(whole, images, tmp_path):
    expected, cache = whole(SHARED)
    shutil.copytree(cache, tmp_path / "cache")
    asked = "--data", images, *SHARED
    started = [start(tmp_path, asked, log=f"log{number}") for number in range(2)]
    for process in started:
        process.join(300)
    assert [process.exitcode for process in started] == [0, 0]
    assert len(lines_of(tmp_path / "out")) == 8
    assert_same(expected, records(tmp_path / "out"))


def test_torchruns_processes_take_shares(whole, images, tmp_path):
    """The real command, called from another folder."""
    expected, cache = whole(SHARED)
    shutil.copytree(cache, tmp_path / "cache")
    process = command(
        *"-m torch.distributed.run --standalone --nproc-per-node 2".split(),
        ROOT / "scripts" / "train.py",
        *("--data", images, *SHARED, "--out", "out", "--force"),
        cache=tmp_path / "cache",
        cwd=tmp_path,
    )
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert said.count("runs: 8 asked for") == 1
    assert said.count("done: 4 runs") == 1 and "4 by other processes" in said
    assert len(lines_of(tmp_path / "out")) == 8, "each was trained once"
    assert_same(expected, records(tmp_path / "out"))
    assert not list(tmp_path.rglob(".writing*")) + list(tmp_path.rglob("checkpoints/*"))

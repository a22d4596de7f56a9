"""The same records however the work is shared out: in another order, alone, by processes at once, or over ranks."""

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections import Counter
from pathlib import Path

import pytest
from commands import ROOT, TINY, assert_same, command, fork, leftovers, record_files, records, run_fork, train, wait_for

SCRIPT = ROOT / "scripts" / "train.py"
STUDY = (*TINY, "--model", "20", "21", "11", "18", "--seeds", "0-2", "--epochs", "20", "--weights", "all")
LONG = (*TINY, "--engine", "direct", "--model", "20", "18", "11", "--seeds", "0,1", "--epochs", "80")
ONCE = Counter(f"{model} seed {seed}" for model in ("20", "21", "11", "18") for seed in range(3))


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    """arguments -> the records of one process; made once."""
    folder, made = tmp_path_factory.mktemp("alone"), {}

    def get(*arguments):
        if arguments not in made:
            code, *said = run_fork("--data", images, *arguments, "--out", folder / str(len(made)),
                                   cache=folder / "cache", log=folder / "log")
            assert code == 0, said
            made[arguments] = records(folder / str(len(made)))
        return made[arguments]
    return get


def trained(*outputs) -> Counter:
    """What these outputs say was trained: "20 seed 1" -> how often."""
    return Counter(name for said in outputs for name in re.findall(r"^\[\d+/\d+\] (.*?): ", said, re.MULTILINE))


def test_another_order_or_one_run_at_a_time(alone, images, tmp_path, capsys):
    for engine, models in (("direct", ("18", "11", "21", "20")), ("gram", ("21", "20"))):
        some = ("--data", images, *TINY, "--engine", engine, "--epochs", "20", "--weights", "all")
        out = tmp_path / engine
        for model in models:
            for seed in "201":
                assert train(*some, "--model", model, "--seeds", seed, "--out", out) == 0
        expected = alone(*STUDY[:5], *sorted(models), *STUDY[STUDY.index("--seeds"):], "--engine", engine)
        assert_same(expected, records(out))


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_at_once(alone, images, tmp_path, processes):
    logs = [tmp_path / f"log{number}" for number in range(processes)]
    started = [fork("--data", images, *STUDY, "--out", tmp_path / "out", cache=tmp_path / "cache", log=log)
               for log in logs]
    for process in started:
        process.join(60)
    outputs = [log.read_text() for log in logs]
    assert [process.exitcode for process in started] == [0] * processes
    assert trained(*outputs) == ONCE
    assert_same(alone(*STUDY), records(tmp_path / "out"))
    assert leftovers(tmp_path) == []


def test_two_real_commands_at_once(alone, images, tmp_path):
    backwards = list(STUDY)
    backwards[5:9] = reversed(backwards[5:9])
    started = [command(SCRIPT, "--data", images, *arguments, "--out", "out", cache=tmp_path / "cache", cwd=tmp_path)
               for arguments in (STUDY, backwards)]
    outputs = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert trained(*(said for said, _ in outputs)) == ONCE and [errors for _, errors in outputs] == ["", ""]
    assert_same(alone(*STUDY), records(tmp_path / "out"))
    assert leftovers(tmp_path) == []


# ---- ranks

def torchrun(ranks, *arguments, cache, cwd):
    return command("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", ranks, SCRIPT, *arguments,
                   cache=cache, cwd=cwd)


def test_three_ranks(alone, images, tmp_path):
    process = torchrun(3, "--data", images, *STUDY, "--out", "out", cache=tmp_path / "cache", cwd=tmp_path)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert trained(said) == ONCE and said.count("done: ") == 1
    assert_same(alone(*STUDY), records(tmp_path / "out"))
    assert leftovers(tmp_path) == []


def rank_of(pid) -> int | None:
    """A process's rank, as its environment has it."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((int(variable[5:]) for variable in variables if variable.startswith(b"RANK=")), None)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="ranks are found in /proc")
def test_a_rank_that_dies_costs_only_its_unfinished_runs(alone, images, tmp_path):
    def start():
        return torchrun(2, "--data", images, *LONG, "--out", "out", cache=tmp_path / "cache", cwd=tmp_path)

    process = start()
    assert wait_for(lambda: record_files(tmp_path / "out"), process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    [victim] = [int(pid) for pid in children if rank_of(pid) == 1]
    os.kill(victim, signal.SIGKILL)
    first, _ = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    before = {path: path.stat().st_mtime_ns for path in record_files(tmp_path / "out").values()}
    kept = records(tmp_path / "out")
    assert 0 < len(kept) < 6

    process = start()
    second, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert f"6 asked for, {len(kept)} finished before, {6 - len(kept)} to train" in second
    assert len(trained(second)) == 6 - len(kept) and set(trained(second).values()) == {1}
    assert_same(alone(*LONG), records(tmp_path / "out"))
    assert before.items() <= {path: path.stat().st_mtime_ns for path in record_files(tmp_path / "out").values()}.items()
    assert leftovers(tmp_path) == []


def as_rank(rank, ranks, terminal=None):
    """A fork's first deed: take the rank's environment, and a terminal for its stderr."""
    def become():
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
        if terminal:
            os.dup2(terminal, 2)
            sys.stderr = open(2, "w", closefd=False)
    return become


def test_forced_over_ranks_trains_each_once(images, tmp_path):
    arguments = ("--data", images, *STUDY, "--out", tmp_path / "out")
    assert run_fork(*arguments, cache=tmp_path / "cache", log=tmp_path / "log")[0] == 0
    old = {path: path.stat().st_mtime_ns for path in record_files(tmp_path / "out").values()}
    ranks = [fork(*arguments, "--force", cache=tmp_path / "cache", log=tmp_path / f"log{rank}", before=as_rank(rank, 2))
             for rank in range(2)]
    for process in ranks:
        process.join(60)
    assert [process.exitcode for process in ranks] == [0, 0]
    assert trained(*((tmp_path / f"log{rank}").read_text() for rank in range(2))) == ONCE
    assert all(path.stat().st_mtime_ns > time for path, time in old.items())


@pytest.mark.parametrize("rank, bars", [(0, True), (1, False)])
def test_only_the_first_rank_draws_bars(images, tmp_path, rank, bars):
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # rows and columns
    process = fork("--data", images, *TINY, "--model", "20", "11", "--seeds", "0", "--epochs", "2", "--out", tmp_path,
                   cache=tmp_path / "cache", log=tmp_path / "log", before=as_rank(rank, 2, terminal))
    os.close(terminal)
    drawn = b""
    while True:
        try:
            part = os.read(master, 1000)
        except OSError:  # the last to hold the other end has gone
            break
        drawn += part
    process.join(60)
    os.close(master)
    assert process.exitcode == 0
    assert (b"%|" in drawn) == bars and (b"11-seed0" in drawn) == bars, drawn
    assert trained((tmp_path / "log").read_text()) == {"20 seed 0": 1, "11 seed 0": 1}, "it helps the other rank out"
    assert ("done: 2 runs" in (tmp_path / "log").read_text()) == (rank == 0)

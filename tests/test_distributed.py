"""The same records however the work is shared out: in another order, alone, by processes at once,
or over ranks.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from commands import (
    ROOT,
    TINY,
    assert_same,
    command,
    fork,
    leftovers,
    record_files,
    records,
    run_fork,
    train,
    wait_for,
)

from xray import files

SCRIPT = ROOT / "scripts" / "train.py"
STUDY = (*TINY, *"--model 20 21 11 18 --seeds 0-2 --epochs 20 --weights all".split())
LONG = (*TINY, *"--engine direct --model 20 18 11 --seeds 0,1 --epochs 80".split())
ONCE = Counter(f"{model} seed {seed}" for model in ("20", "21", "11", "18") for seed in range(3))


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    """arguments -> the records of one process; made once."""
    folder, made = tmp_path_factory.mktemp("alone"), {}

    def get(*arguments):
        if arguments not in made:
            code, *said = run_fork(
                "--data",
                images,
                *arguments,
                "--out",
                folder / str(len(made)),
                cache=folder / "cache",
                log=folder / "log",
            )
            assert code == 0, said
            made[arguments] = records(folder / str(len(made)))
        return made[arguments]

    return get


def trained(*outputs) -> Counter:
    """What these outputs say was trained: "20 seed 1" -> how often."""
    return Counter(
        name for said in outputs for name in re.findall(r"^\[\d+/\d+\] (.*?): ", said, re.MULTILINE)
    )


@pytest.mark.parametrize("engine, models", [("direct", ("11", "18", "20")), ("gram", ("20", "21"))])
def test_another_order_or_one_run_at_a_time(alone, images, tmp_path, engine, models):
    some = (*TINY, "--engine", engine, "--epochs", "6", "--weights", "all", "--model")
    together = alone(*some, *models, "--seeds", "0,1")
    for seed in "10":
        assert (
            train(
                "--data",
                images,
                *some,
                *reversed(models),
                "--seeds",
                seed,
                "--out",
                tmp_path / "reversed",
            )
            == 0
        )
        for model in models:
            assert (
                train("--data", images, *some, model, "--seeds", seed, "--out", tmp_path / "alone")
                == 0
            )
    assert_same(together, records(tmp_path / "reversed"))
    assert_same(together, records(tmp_path / "alone"))


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_at_once(alone, images, tmp_path, processes):
    logs = [tmp_path / f"log{number}" for number in range(processes)]
    started = [
        fork("--data", images, *STUDY, "--out", tmp_path / "out", cache=tmp_path / "cache", log=log)
        for log in logs
    ]
    for process in started:
        process.join(60)
    outputs = [log.read_text() for log in logs]
    assert [process.exitcode for process in started] == [0] * processes
    assert trained(*outputs) == ONCE
    assert_same(alone(*STUDY), records(tmp_path / "out"))
    assert leftovers(tmp_path) == []


def slow_claims():
    take = files._take
    files._take = lambda *what: (take(*what), time.sleep(0.2))[0]


def test_waiting_processes_do_not_wait_for_each_other(images, tmp_path):
    some = ("--data", images, *TINY, *"--engine gram --epochs 2 --seeds 0 --out".split())
    some = (*some, tmp_path / "out")
    assert run_fork(*some, "--model", "5", cache=tmp_path / "cache", log=tmp_path / "log")[0] == 0
    [record] = record_files(tmp_path / "out").values()
    with ExitStack() as held:
        for model in ("20", "21"):
            name = record.stem.replace("5-", f"{model}-", 1)
            held.enter_context(files.claim(record.parent, name))
        started = [
            fork(
                *some,
                "--model",
                *models,
                cache=tmp_path / "cache",
                log=tmp_path / "log",
                before=slow_claims,
            )
            for models in (("20", "21"), ("21", "20"))
        ]
        time.sleep(2)
        assert all(process.is_alive() for process in started)
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0, 0], Path(
        tmp_path / "log.err"
    ).read_text()
    assert len(record_files(tmp_path / "out")) == 3


def test_two_real_commands_at_once(alone, images, tmp_path):
    backwards = list(STUDY)
    backwards[7:11] = reversed(backwards[7:11])
    started = [
        command(
            SCRIPT,
            "--data",
            images,
            *arguments,
            *"--out out".split(),
            cache=tmp_path / "cache",
            cwd=tmp_path,
        )
        for arguments in (STUDY, backwards)
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert trained(*(said for said, _ in outputs)) == ONCE and [
        errors for _, errors in outputs
    ] == ["", ""]
    assert_same(alone(*STUDY), records(tmp_path / "out"))
    assert leftovers(tmp_path) == []


# ---- ranks


def torchrun(ranks, *arguments, cache, cwd):
    return command(
        *"-m torch.distributed.run --standalone --nproc-per-node".split(),
        ranks,
        SCRIPT,
        *arguments,
        cache=cache,
        cwd=cwd,
    )


def test_three_ranks(alone, images, tmp_path):
    process = torchrun(
        3, "--data", images, *STUDY, "--out", "out", cache=tmp_path / "cache", cwd=tmp_path
    )
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
    return next(
        (int(variable[5:]) for variable in variables if variable.startswith(b"RANK=")), None
    )


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="ranks are found in /proc")
def test_a_rank_that_dies_costs_only_its_unfinished_runs(alone, images, tmp_path):
    arguments = ("--data", images, *LONG, "--out", tmp_path / "out")
    process = torchrun(2, *arguments, cache=tmp_path / "cache", cwd=tmp_path)
    assert wait_for(lambda: record_files(tmp_path / "out"), process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    [victim] = [int(pid) for pid in children if rank_of(pid) == 1]
    os.kill(victim, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    before = {path: path.stat().st_mtime_ns for path in record_files(tmp_path / "out").values()}
    kept = len(records(tmp_path / "out"))
    assert 0 < kept < 6

    code, said, errors = run_fork(*arguments, cache=tmp_path / "cache", log=tmp_path / "log")
    assert code == 0, errors
    assert f"6 asked for, {kept} finished before, {6 - kept} to train" in said
    assert len(trained(said)) == 6 - kept and set(trained(said).values()) == {1}
    assert_same(alone(*LONG), records(tmp_path / "out"))
    assert (
        before.items()
        <= {
            path: path.stat().st_mtime_ns for path in record_files(tmp_path / "out").values()
        }.items()
    )
    assert leftovers(tmp_path) == []


def become_rank(rank, ranks, terminal=""):
    """What a rank finds in its environment; and a terminal to write its errors and bars to."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
    if terminal:
        os.dup2(os.open(terminal, os.O_WRONLY | os.O_NOCTTY), 2)
        sys.stderr = open(2, "w", closefd=False)


def test_forced_over_ranks_trains_each_once(images, tmp_path):
    arguments = ("--data", images, *STUDY, "--out", tmp_path / "out")
    assert run_fork(*arguments, cache=tmp_path / "cache", log=tmp_path / "log")[0] == 0
    old = {path: path.stat().st_mtime_ns for path in record_files(tmp_path / "out").values()}
    ranks = [
        fork(
            *arguments,
            "--force",
            cache=tmp_path / "cache",
            log=tmp_path / f"log{rank}",
            before=partial(become_rank, rank, 2),
        )
        for rank in range(2)
    ]
    for process in ranks:
        process.join(60)
    assert [process.exitcode for process in ranks] == [0, 0]
    assert trained(*((tmp_path / f"log{rank}").read_text() for rank in range(2))) == ONCE
    assert all(path.stat().st_mtime_ns > time for path, time in old.items())


@pytest.mark.parametrize("rank, bars", [(0, True), (1, False)])
def test_only_the_first_rank_draws_bars(images, tmp_path, rank, bars):
    master, terminal = pty.openpty()
    # rows and columns
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = fork(
        "--data",
        images,
        *TINY,
        *"--model 20 11 --seeds 0 --epochs 2 --out".split(),
        tmp_path,
        cache=tmp_path / "cache",
        log=tmp_path / "log",
        before=partial(become_rank, rank, 2, os.ttyname(terminal)),
    )
    drawn = b""
    while process.is_alive() or select.select([master], [], [], 0)[0]:
        if select.select([master], [], [], 0.1)[0]:
            drawn += os.read(master, 1000)
    os.close(terminal)
    os.close(master)
    assert process.exitcode == 0
    assert (b"%|" in drawn) == bars and (b"11-seed0" in drawn) == bars, drawn
    assert trained((tmp_path / "log").read_text()) == {"20 seed 0": 1, "11 seed 0": 1}, (
        "it helps the other rank out"
    )
    assert ("done: 2 runs" in (tmp_path / "log").read_text()) == (rank == 0)

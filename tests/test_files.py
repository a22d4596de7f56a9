"""Files of several processes: whole or not there, locked by one at a time, cleared of what killed
processes left.
"""

import errno
import fcntl
import multiprocessing
import os
import signal
import time
from contextlib import ExitStack

import pytest

from xray import files

FORK = multiprocessing.get_context("fork")


@pytest.fixture(params=["locks", "no locks"])
def disk(request, monkeypatch):
    """A file system with locks, and one without."""
    if request.param == "no locks":

        def refuse(*_):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)


def started(work, *arguments):
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- writing


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x"
    files.write_atomically(path, b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        files.write_atomically(path, b"new")
    assert error.value.filename == str(path) and error.value.errno == 28
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with files.writing(tmp_path / "x") as temporary:
            temporary.mkdir()
            (temporary / "part").write_text("1")
            raise KeyboardInterrupt
    assert names(tmp_path) == []
    with files.writing(tmp_path / "x") as temporary:
        temporary.mkdir()
        (temporary / "part").write_text("1")
        assert not (tmp_path / "x").exists()
    assert names(tmp_path) == ["x"] and names(tmp_path / "x") == ["part"]


def test_only_what_nobody_writes_is_cleared(disk, tmp_path):
    dead, folder, record = (
        tmp_path / ".writing-dead",
        tmp_path / ".writing-folder",
        tmp_path / "x.json",
    )
    for path in (dead, record, tmp_path / ".writing-dead.lock"):
        path.write_text("x")
    folder.mkdir()
    (folder / "pixels").write_text("x")
    with files.writing(tmp_path / "y") as alive:
        alive.write_text("x")
        files.clear_leftovers(tmp_path)
        assert [name for name in names(tmp_path) if ".lock" not in name] == [alive.name, "x.json"]
    assert names(tmp_path) == ["x.json", "y"]
    files.clear_leftovers(tmp_path / "missing")


def write_and_die(folder):
    with files.claim(folder, "a"), files.writing(folder / "x") as temporary:
        temporary.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_process_held_is_free(disk, tmp_path):
    started(write_and_die, tmp_path).join(20)
    left = [name for name in names(tmp_path) if ".lock" not in name]
    assert len(left) == 2
    files.clear_leftovers(tmp_path)
    with files.claim(tmp_path, "a", wait=False) as got:
        assert got
    assert names(tmp_path) == []


# ---- locks


def count_up(path, times):
    for _ in range(times):
        with files.lock(path.with_suffix(".lock")):
            number = int(path.read_text())
            time.sleep(0.0005)
            path.write_text(str(number + 1))


def test_one_at_a_time(disk, tmp_path):
    """The lock's file is made and removed all the time, while others try to lock it."""
    path = tmp_path / "number"
    path.write_text("0")
    processes = [started(count_up, path, 50) for _ in range(4)]
    for process in processes:
        process.join(60)
    assert path.read_text() == "200" and names(tmp_path) == ["number"]


def test_who_does_not_wait_is_told(disk, tmp_path):
    with files.lock(tmp_path / "x") as first, files.lock(tmp_path / "x", wait=False) as second:
        assert first and not second
    with files.lock(tmp_path / "x", wait=False) as third:
        assert third
    assert names(tmp_path) == []


def test_a_lock_taken_away_before_it_was_held_is_made_anew(tmp_path, monkeypatch):
    lock, taken = fcntl.flock, []

    def late(handle, how):
        if not taken:
            taken.extend(tmp_path.iterdir())
            for path in taken:
                path.unlink()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with files.lock(tmp_path / "x"), files.lock(tmp_path / "x", wait=False) as second:
        assert taken == [tmp_path / "x"] == list(tmp_path.iterdir()) and not second


def test_a_lock_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        with files.lock(tmp_path / "file" / "x"):
            pass


# ---- claims


def hold(folder, claimed, ready, let_go):
    with files.claim(folder, claimed) as got:
        ready.put(got)
        let_go.get()


def test_a_claim_is_one_process_s_alone(disk, tmp_path):
    ready, let_go = FORK.Queue(), FORK.Queue()
    other = started(hold, tmp_path, "a", ready, let_go)
    assert ready.get(timeout=20)
    with ExitStack() as stack:
        got = {name: stack.enter_context(files.claim(tmp_path, name, False)) for name in "aba"}
        assert got == {"a": False, "b": True}
    let_go.put(True)
    with files.claim(tmp_path, "a") as got:
        assert got
    other.join(20)
    assert names(tmp_path) == []


def test_claims_by_the_thousand_take_few_files(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with ExitStack() as stack:
        for number in range(2000):
            assert stack.enter_context(files.claim(tmp_path, f"20-seed{number}", wait=False))
        assert len(names(tmp_path)) == 2 and len(os.listdir("/proc/self/fd")) < before + 5
        with files.claim(tmp_path, "20-seed7", wait=False) as got:
            assert not got
    assert names(tmp_path) == []


def take_all(folder, numbers, ready):
    for number in numbers:
        with files.claim(folder, str(number), wait=False) as got:
            if got:
                with open(folder / "done", "a") as stream:
                    stream.write(f"{os.getpid()} takes {number}\n")
                time.sleep(0.002)
                with open(folder / "done", "a") as stream:
                    stream.write(f"{os.getpid()} leaves {number}\n")


def test_no_name_is_held_by_two(tmp_path):
    processes = [started(take_all, tmp_path, list(range(20)) * 3, None) for _ in range(3)]
    for process in processes:
        process.join(60)
    holders = {}
    for line in (tmp_path / "done").read_text().splitlines():
        process, does, number = line.split()
        if does == "takes":
            assert number not in holders
            holders[number] = process
        else:
            assert holders.pop(number) == process
    assert holders == {} and names(tmp_path) == ["done"]

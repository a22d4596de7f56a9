"""Killed, or without room: no finished run is ever lost, and the next start ends a study as if
nothing had happened.
"""

import json
import os
import random
import resource
import shutil
import signal
import tempfile
from functools import partial
from pathlib import Path

import pytest
from commands import (
    MIXED,
    ROOT,
    TINY,
    Study,
    assert_same,
    command,
    fails,
    leftovers,
    record_files,
    records,
    wait_for,
)

from xray import results, training_record

DIRECT = (*TINY, *"--engine direct --model 20 18 11 --seeds 0,1 --epochs 4".split())
GRAM = (*TINY, *"--engine gram --model 20 21 23 --seeds 0-2 --epochs 15".split())
LONG = (*TINY, *"--engine direct --model 20 18 --seeds 0 --epochs 100".split())
WIDE = "--image-size 32 --device cpu --engine direct --model 20 18 --seeds 0 --epochs 3".split()


# ---- killed


@pytest.mark.parametrize("args, seed", [(DIRECT, 1), (DIRECT, 2), (GRAM, 3)])
def test_killed_at_random_moments(whole, images, tmp_path, args, seed):
    expected, cache = whole(args)
    moments = random.Random(seed)
    kills = studies = 0
    while kills < 5:
        studies += 1
        study = Study(tmp_path / f"study{studies}", images, args, cache if studies > 1 else None)
        while len(record_files(study.out)) < len(expected) and kills < 5:
            process = study.start()
            process.join(moments.uniform(0.02, 0.5))
            kills += process.is_alive()
            process.kill()
            process.join()
            study.check()
        study.finish(expected)


class Killer:
    """Kills the process at its n-th step in writing: before a flush to disk, and after a
    renaming.
    """

    def __init__(self, at, count_file=None):
        self.at, self.count_file, self.step = at, count_file, 0

    def __call__(self):
        fsync, replace, rename = os.fsync, os.replace, os.rename
        os.fsync = lambda handle: (self.reach(), fsync(handle))
        os.replace = lambda *names: (replace(*names), self.reach())
        os.rename = lambda *names: (rename(*names), self.reach())

    def reach(self):
        if self.step == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.step += 1
        if self.count_file:
            self.count_file.write_text(str(self.step))


def test_killed_at_every_step_of_writing(whole, images, tmp_path):
    expected, _ = whole(MIXED)
    assert {record["engine"] for record in expected.values()} == {"gram", "direct"}
    counted = Study(tmp_path / "counted", images, MIXED)
    counted.start(Killer(-1, tmp_path / "steps")).join()
    steps = int((tmp_path / "steps").read_text())
    assert steps >= 20
    for step in range(steps):
        study = Study(tmp_path / f"at{step}", images, MIXED)
        process = study.start(Killer(step))
        process.join()
        assert process.exitcode == -signal.SIGKILL
        study.check()
        study.finish(expected)


def newest(folder, pattern="*"):
    return max((path.stat().st_mtime_ns for path in folder.glob(pattern)), default=0)


def test_the_command_killed_and_interrupted(whole, images, tmp_path):
    expected, cache = whole(LONG)
    study = Study(tmp_path / "study", images, LONG, cache)
    folder = study.cache / "checkpoints"

    def start_and_wait(condition):
        process = command(
            ROOT / "scripts" / "train.py", *study.arguments, cache=study.cache, cwd=tmp_path
        )
        assert wait_for(condition, process)
        return process

    def progress():  # of the checkpoints: the seconds of each finished epoch
        found = [training_record.read_checkpoint(path) for path in folder.glob("*.safetensors")]
        return [
            round(seconds, 4)
            for checkpoint in found
            if checkpoint
            for seconds in checkpoint[1]["epoch_seconds"]
        ]

    process = start_and_wait(lambda: len(progress()) > 5)
    process.kill()
    process.communicate()
    assert record_files(study.out) == {}
    epochs = progress()

    process = start_and_wait(lambda: record_files(study.out))
    process.kill()
    process.communicate()
    study.check()
    [(_, record)] = record_files(study.out).items()
    seconds = json.loads(record.read_text())["environment"]["epoch_seconds"]
    assert len(epochs) > 5 and seconds[: len(epochs)] == epochs, (
        "it did not go on after the last finished epoch"
    )

    before = newest(folder)
    process = start_and_wait(lambda: newest(folder, "*.safetensors") > before)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate()
    assert process.returncode == 130 and "Traceback" not in errors
    assert (
        said.splitlines()[-1]
        == "stopped: 0 runs written, 1 not; the same command goes on where this one stopped"
    )
    study.finish(expected)


def test_interrupted_while_it_loads(images, tmp_path):
    arguments = ("--data", images, *LONG, "--out", tmp_path / "out")
    process = command(ROOT / "scripts" / "train.py", *arguments, cache=tmp_path / "cache")
    maps = Path(f"/proc/{process.pid}/maps")
    assert wait_for(lambda: "libtorch" in maps.read_text(), process)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate()
    assert (process.returncode, errors) == (130, "")
    assert said == "\nstopped before any training; the same command starts again\n"


def test_a_damaged_checkpoint_is_left_unused(whole, images, tmp_path):
    expected, cache = whole(DIRECT)
    study = Study(tmp_path / "study", images, DIRECT, cache)
    process = study.start(Killer(10))
    process.join()
    [checkpoint] = (study.cache / "checkpoints").glob("*.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1] + b"x")
    study.finish(expected)


# ---- disks that are full, folders that cannot be written


def limit(size):
    """No file can grow beyond `size` bytes: writing more fails with EFBIG, as a full disk does with
    ENOSPC.
    """
    return partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))


def as_nobody():
    if os.geteuid() == 0:  # permissions do not bind root
        os.setuid(65534)


def test_no_room_for_the_cache(whole, images, tmp_path):
    study = Study(tmp_path / "study", images, MIXED)
    fails(study.run(limit(1000)), study.cache, "XRAY_CACHE")
    assert leftovers(study.cache) == [] and record_files(study.out) == {}
    study.finish(whole(MIXED)[0])


@pytest.mark.parametrize("what", ["json", "safetensors"])
def test_no_room_for_a_record_or_its_weights(whole, images, tmp_path, what):
    arguments = (*WIDE, "--weights", "none" if what == "json" else "all")
    expected, cache = whole(arguments)
    study = Study(tmp_path / "study", images, arguments, cache)
    whole_study = study.arguments
    study.arguments = [word for word in whole_study if word != "18"]
    assert study.run()[0] == 0
    study.check()
    [(name, record)] = record_files(study.out).items()
    study.arguments = whole_study
    fails(
        study.run(limit(record.stat().st_size - 300 if what == "json" else 10000)),
        "File too large",
        "--out",
        record.parent / f"18-seed0-32px-matched-3epochs.{what}",
    )
    study.check()
    assert list(record_files(study.out)) == [name] and leftovers(study.out) == []
    study.log.unlink()
    Path(f"{study.log}.err").unlink()
    study.finish(expected)


def test_a_run_outlives_a_cache_without_room_for_its_checkpoints(whole, images, tmp_path):
    arguments = (*WIDE, "--weights", "none")
    expected, cache = whole(arguments)
    study = Study(tmp_path / "study", images, arguments, cache)
    code, said, errors = study.run(limit(10000))  # a checkpoint takes 40 kB, a record 2
    assert (code, errors) == (0, "")
    assert (
        said.count("note: ") == 1
        and f"note: {study.cache / 'checkpoints'}: no checkpoint can be written" in said
    )
    assert_same(expected, records(study.out))
    assert leftovers(study.out, study.cache) == []


@pytest.mark.parametrize(
    "place, words",
    [
        ("out", ["study/out", "--out"]),
        ("out/results", ["--out"]),
        ("cache", ["cache", "XRAY_CACHE"]),
        ("cache/images", ["cache/images", "XRAY_CACHE"]),
        ("out/results/STUDY", ["--out"]),
        ("out/results/STUDY/given", ["--out"]),
    ],
)
def test_a_file_where_a_folder_should_be(whole, images, tmp_path, place, words):
    whole(MIXED)
    study = Study(tmp_path / "study", images, MIXED)
    name = results.data_folder(
        Path(), images.name, next(iter(whole(MIXED)[0].values()))["data"]["fingerprint"]
    ).name
    file = tmp_path / "study" / place.replace("STUDY", name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    fails(study.run(), *words)
    assert file.read_text() == "mine"
    file.unlink()
    study.log.unlink()
    Path(f"{study.log}.err").unlink()
    study.finish(whole(MIXED)[0])


@pytest.mark.parametrize("place", ["checkpoints", "gram"])
def test_a_file_in_the_place_of_a_folder_that_training_can_do_without(
    whole, images, tmp_path, place
):
    expected, cache = whole(MIXED)
    study = Study(tmp_path / "study", images, MIXED, cache)
    shutil.rmtree(study.cache / place)
    (study.cache / place).write_text("mine")
    code, said, errors = study.run()
    assert (code, errors, said.count("note: ")) == (0, "", 1)
    assert f"note: {study.cache / place}: " in said
    assert (study.cache / place).read_text() == "mine"
    assert_same(expected, records(study.out))


@pytest.mark.parametrize("place", ["out", "cache"])
def test_a_folder_without_permission(whole, images, place):
    with tempfile.TemporaryDirectory() as base:  # pytest's own folder is closed to others
        os.chmod(base, 0o755)
        source = shutil.copytree(images, Path(base) / "images")
        os.chmod(source, 0o755)
        study = Study(Path(base) / "study", source, MIXED)
        for folder in (study.out, study.cache):
            folder.mkdir()
            os.chmod(folder, 0o555 if folder == getattr(study, place) else 0o777)
        study.log.touch()
        Path(f"{study.log}.err").touch()
        result = study.run(as_nobody)
        fails(
            result,
            getattr(study, place),
            "Permission denied",
            {"out": "--out", "cache": "XRAY_CACHE"}[place],
        )

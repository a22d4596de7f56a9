"""scripts/train.py as a person calls it: arguments that fit and that do not, places to write to,
what it says, stopped, killed, out of room, in several processes at once."""

import os
import random
import resource
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
import records as records_
from commands import (
    MIXED,
    ROOT,
    TINY,
    Study,
    assert_same,
    command,
    fails,
    fork,
    leftovers,
    record_files,
    records,
    script,
    train,
)

from xray import results, training
from xray.files import write_json
from xray.specs import EQUALISED, MODELS, TABLE_3

SOURCE = object()  # stands for a folder of images in the cases below
FILE, EMPTY = object(), object()

REFUSED = [  # arguments, words of the one line
    ([], "one of the arguments --model --all --experiments --search --list is required"),
    (["--model"], "--model"),
    (["--model", "2x"], "no model '2x'; the nearest are 2, "),
    (["--model", "20", "21c"], "'21c'"),
    (["--model", ""], "no model ''"),
    (["--model", "20", "--all"], "not allowed with"),
    (["--model", "20", "--image-size", "30"], "multiple of 4"),
    (["--model", "20", "--image-size", "2"], "'2' is not a whole number from 4"),
    (["--model", "20", "--image-size", "1e9"], "'1e9'"),
    (["--model", "20", "--image-size", "100000"], "from 4 to 4096"),
    (["--model", "20", "--epochs", "0"], "'0' is not a whole number from 1"),
    (["--model", "20", "--seeds", "3-1"], "'3-1' is not a list of seeds"),
    (["--model", "20", "--seeds", ""], "'' is not a list of seeds"),
    (["--model", "20", "--seeds", "0-999999"], "more than 1000"),
    (["--model", "20", "--device", "gpu"], "auto, cpu, cuda, cuda:N"),
    (["--model", "20", "--precision", "fp16"], "fp16"),
    (["--model", "20", "--device", "cpu", "--precision", "tf32"], "use fp32 or bf16"),
    (["--model", "20", "26b", "--engine", "gram", *TINY, "--data", SOURCE], "not 26b"),
    (["--model", "20", "--split", "sideways"], "sideways"),
    (["--model", "20", "--split-seed", "0"], "--split-seed needs --split"),
    (
        ["--model", "20", "--split", "image", "--resplits", "2", *TINY, "--data", SOURCE],
        "leave out --split",
    ),
    (["--model", "20", "--data", ""], "--data names no source"),
    (["--model", "20", *TINY, "--data", "/no/such/folder"], "/no/such/folder"),
    (["--model", "20", *TINY, "--data", EMPTY], "empty"),
    (["--model", "20", *TINY, "--data", FILE], "a file"),
    (["--model", "20", *TINY, "--data", "two\nlines"], "two"),
    (["--model", "20", "--out", FILE], "a file: cannot be used"),
    (["--model", "20", "--out", "/dev/null/below"], "/dev/null/below"),
    (["--model", "20", "--out", "x" * 300], "File name too long"),
    (["--all", "two\nlines"], "two lines"),
    (["--mod", "20"], "--mod"),
]


@pytest.mark.parametrize("arguments, words", REFUSED, ids=lambda value: None)
def test_refused_in_one_line(images, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_text("mine")
    (tmp_path / "empty").mkdir()
    stands_for = {SOURCE: str(images), FILE: "a file", EMPTY: "empty"}
    arguments = [stands_for.get(word, word) for word in arguments]
    if "--out" not in arguments:
        arguments += ["--out", "out"]
    assert train(*arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: ") and words in said
    assert not list(tmp_path.rglob("*.jsonl")) and (tmp_path / "a file").read_text() == "mine"


def test_the_real_command_refuses_at_once(tmp_path):
    """And a Python that lacks packages says so: -S and -E, without what is installed for it."""
    before = os.times()
    process = command(
        ROOT / "scripts" / "train.py", "--model", "2O", cache=tmp_path / "cache", cwd=tmp_path
    )
    said, errors = process.communicate(timeout=300)
    now = os.times()
    assert (process.returncode, said, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("error: there is no model '2O'") and not list(tmp_path.iterdir())
    used = now.children_user + now.children_system - before.children_user - before.children_system
    assert used < 0.9, "seconds of processor time; torch alone takes more"


def test_list_and_help(capsys):
    assert train("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*MODELS, *TABLE_3, *EQUALISED]
    assert train("--help") == 0
    said = capsys.readouterr().out
    assert all(option in said for option in ("--model", "--all", "--data", "--out", "--force"))


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    process = command(ROOT / "scripts" / "train.py", "--list", cache=tmp_path)
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(300) == 128 + signal.SIGPIPE


def test_what_is_said_and_what_is_trained_again(images, tmp_path, capsys):
    some = ("--data", images, *TINY, "--model", "20", "20", "19", "--epochs", "1")
    arguments = (*some, "--seeds", "0,0,1,0-1", "--out", tmp_path)
    assert train(*arguments) == 0
    said = capsys.readouterr().out
    assert "4 asked for, 0 finished before, 4 to train" in said
    lines = [line for line in said.splitlines() if line.startswith(("20: ", "19: "))]
    assert [line.split(" ")[:2] for line in lines] == [["20:", "2"], ["19:", "2"]]
    assert "done: 4 runs" in said and len(record_files(tmp_path)) == 4
    [file] = set(record_files(tmp_path).values())
    before = file.read_bytes()
    assert train(*arguments) == 0
    assert "4 finished before, 0 to train" in capsys.readouterr().out
    assert file.read_bytes() == before
    assert train(*arguments, "--force") == 0
    assert "0 finished before, 4 to train" in capsys.readouterr().out
    assert len(file.read_bytes().splitlines()) == 8 and len(results.load(file)) == 4


@pytest.mark.parametrize("model, size", [("20", "4"), ("10", "4"), ("13", "4"), ("28b", "12")])
def test_the_smallest_sizes(images, tmp_path, model, size):
    some = ("--data", images, "--image-size", size, *"--device cpu --epochs 1 --seeds 0".split())
    assert train(*some, "--model", model, "--out", tmp_path) == 0
    assert len(record_files(tmp_path)) == 1


def test_splits_weights_and_precisions(images, tmp_path):
    some = ("--data", images, *TINY, *"--model 20 11 --epochs 1 --seeds 0 --out".split(), tmp_path)
    assert train(*some, "--split", "image", "--split-seed", "3") == 0
    assert train(*some, "--resplits", "2", "--weights", "none") == 0
    assert train(*some, "--precision", "bf16", "--weights", "all") == 0
    [folder] = (tmp_path / "results").glob("images*-*")
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert there == {
        "given.jsonl",
        "image-3.jsonl",
        "resplits.jsonl",
        "data.json",
        "weights",
    }
    assert (tmp_path / "results" / "latest").read_text() == f"{folder.name}/given\n"
    own = [run.name for run in results.load(folder / "image-3.jsonl")]
    assert own == ["11-seed0-8px-matched-1epochs", "20-seed0-8px-matched-1epochs"]
    runs = results.load(folder / "resplits.jsonl")
    assert {run.spec.id for run in runs} == {"20"}
    assert {run.split for run in runs} == {"image-0", "image-1", "patient-0", "patient-1"}
    assert all(list(run.logits) == ["test"] and not run.weights for run in runs)
    assert all(sum(run.validation_counts.values()) == 6 for run in runs)
    before = (folder / "resplits.jsonl").read_bytes()
    assert train(*some, "--resplits", "2", "--weights", "none") == 0
    assert (folder / "resplits.jsonl").read_bytes() == before


@pytest.mark.parametrize("able, precision", [({"avx512_bf16": True}, "-bf16"), ({}, "")])
def test_cnns_take_bf16_where_the_processor_has_it(
    images, tmp_path, monkeypatch, capsys, able, precision
):
    import torch

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    some = ("--data", images, "--image-size", "8", "--device", "cpu", "--model", "11", "20")
    assert train(*some, "--epochs", "1", "--seeds", "0", "--out", tmp_path) == 0
    names = {name.split("/")[1] for name in record_files(tmp_path)}
    assert names == {"20-seed0-8px-matched-1epochs", f"11-seed0-8px-matched-1epochs{precision}"}
    assert ("no bf16 instructions" in capsys.readouterr().out) == (not able)


PLACES = ["-dash", "new\nline 肺 quo'te\"s", "glob*[x] %20/below", os.fsdecode(b"not utf-8 \xff")]


@pytest.mark.parametrize("place", PLACES, ids=range(len(PLACES)))
def test_any_folder_can_be_written_to_and_read(images, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "films" / place.replace("/", " ")
    source.parent.mkdir()
    source.symlink_to(images)
    some = (*TINY, *"--model 20 --seeds 0 --epochs 1".split(), f"--out={place}")
    assert train(f"--data={source}", *some) == 0
    assert len(record_files(tmp_path / place)) == 1
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {"films", "cache", place.split("/")[0]}


def test_out_may_be_a_link(images, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "dangling").symlink_to("nowhere")
    some = ("--data", images, *TINY, "--model", "20", "--seeds", "0", "--epochs", "1")
    assert train(*some, "--out", tmp_path / "link") == 0
    assert len(record_files(tmp_path / "there")) == 1 and (tmp_path / "link").is_symlink()
    assert train(*some, "--out", tmp_path / "dangling") == 2


def test_from_another_folder_with_relative_names(images, tmp_path, monkeypatch):
    """The real command, called from elsewhere; the records are those of a call with absolute
    names."""
    (tmp_path / "pictures").symlink_to(images)
    arguments = (*"--data pictures".split(), *TINY, *"--model 20 11 --seeds 0 --epochs 2".split())
    process = command(
        ROOT / "scripts" / "train.py",
        *arguments,
        "--out",
        "my runs",
        cache=tmp_path / "cache",
        cwd=tmp_path,
    )
    said, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "") and "done: 2 runs" in said
    monkeypatch.chdir(tmp_path)
    assert train(*arguments, "--out", tmp_path / "other") == 0
    assert_same(records(tmp_path / "my runs"), records(tmp_path / "other"))


def test_the_line_of_a_model_tells_of_the_epoch_that_it_kept():
    module = script("train")
    kept = records_.run("36", 0)  # its history's last epoch is another
    counts = kept.validation_counts
    right = (counts["tp"] + counts["tn"]) / sum(counts.values())
    assert right != kept.history["validation_accuracy"][-1]
    assert module.in_a_line([kept]) == f"36: 1 run, validation accuracy {100 * right:.1f} %"
    dead, lost = records_.run("21", 1, dead=True), records_.run("21", 2, diverged=True)
    line = module.in_a_line([records_.run("21"), dead, lost])
    assert line.startswith("21: 3 runs, validation accuracy ")
    assert line.endswith(" %; 1 learned nothing; 1 diverged")


# ---- damaged files


def test_a_damaged_record_is_named_and_the_others_kept(images, tmp_path, capsys):
    arguments = ("--data", images, *MIXED, "--out", tmp_path)
    assert train(*arguments) == 0
    whole = records(tmp_path)
    [file] = set(record_files(tmp_path).values())
    good, lines = file.read_bytes(), file.read_bytes().splitlines(keepends=True)
    assert len(lines) == 2
    file.write_bytes(lines[0][:200] + b"\n" + lines[1])
    capsys.readouterr()
    assert train(*arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {file}, line 1: damaged; delete this line")
    file.write_bytes(good[:-200])  # as a killed process leaves it
    [facts] = file.parent.glob("data.json")
    was = facts.read_bytes()
    facts.write_bytes(was[:200])
    assert train(*arguments) == 0
    said = capsys.readouterr().out
    assert f"note: {file}: its last line is cut off" in said
    assert f"note: {facts} was damaged and is written again" in said
    assert "1 finished before, 1 to train" in said
    assert_same(whole, records(tmp_path))
    assert facts.read_bytes() == was


# ---- stopped and killed


def save_each_epoch():
    training.SAVE_EVERY = 0


def test_interrupted(images, tmp_path, monkeypatch, capsys):
    plain = training._train_direct

    def interrupted(job, *rest):
        if job.seed == 1:
            raise KeyboardInterrupt
        return plain(job, *rest)

    monkeypatch.setattr(training, "_train_direct", interrupted)
    some = ("--data", images, *TINY, "--model", "19", "--epochs", "1", "--seeds", "0-1")
    assert train(*some, "--out", tmp_path) == 130
    signal.signal(signal.SIGINT, signal.default_int_handler)
    last = capsys.readouterr().out.splitlines()[-1]
    how = "the same command goes on where this one stopped"
    assert last == f"stopped: 1 runs written, 1 not; {how}"
    monkeypatch.undo()
    assert train(*some, "--out", tmp_path, "--device", "cpu") == 0
    assert "1 finished before, 1 to train" in capsys.readouterr().out


DIRECT = (*TINY, *"--engine direct --model 20 18 11 --seeds 0,1 --epochs 4".split())


def test_killed_at_random_moments(whole, images, tmp_path):
    expected, cache = whole(DIRECT)
    moments, kills = random.Random(1), 0
    study = Study(tmp_path / "study", images, DIRECT, cache)
    while len(record_files(study.out)) < len(expected) and kills < 4:
        process = study.start(save_each_epoch)
        process.join(moments.uniform(0.02, 0.5))
        kills += process.is_alive()
        process.kill()
        process.join()
        study.check()
    study.finish(expected)


class Killer:
    """Kills the process at its n-th step in writing: before a flush to disk, and after a
    renaming."""

    def __init__(self, at, count_file=None):
        self.at, self.count_file, self.step = at, count_file, 0

    def __call__(self):
        save_each_epoch()
        fsync, replace = os.fsync, os.replace
        os.fsync = lambda handle: (self.reach(), fsync(handle))
        os.replace = lambda *names: (replace(*names), self.reach())

    def reach(self):
        if self.step == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.step += 1
        if self.count_file:
            self.count_file.write_text(str(self.step))


def test_killed_at_steps_of_writing(whole, images, tmp_path):
    expected, _ = whole(MIXED)
    assert {record["engine"] for record in expected.values()} == {"gram", "direct"}
    counted = Study(tmp_path / "counted", images, MIXED)
    counted.start(Killer(-1, tmp_path / "steps")).join()
    steps = int((tmp_path / "steps").read_text())
    assert steps >= 12
    for step in range(1, steps, 3):
        study = Study(tmp_path / f"at{step}", images, MIXED)
        process = study.start(Killer(step))
        process.join()
        assert process.exitcode == -signal.SIGKILL
        study.check()
        study.finish(expected)


# ---- no room, no permission


def limit(size):
    """No file can grow beyond `size` bytes: writing more fails with EFBIG, as a full disk does with
    ENOSPC."""
    return partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))


def test_no_room_for_the_cache(whole, images, tmp_path):
    study = Study(tmp_path / "study", images, MIXED)
    fails(study.run(limit(1000)), study.cache, "XRAY_CACHE")
    assert leftovers(study.cache) == [] and record_files(study.out) == {}


WIDE = "--image-size 32 --device cpu --engine direct --model 20 18 --seeds 0 --epochs 3".split()


def test_no_room_for_a_record_or_a_checkpoint(whole, images, tmp_path):
    arguments = (*WIDE, "--weights", "none")
    expected, cache = whole(arguments)
    study = Study(tmp_path / "study", images, arguments, cache)
    both = study.arguments
    study.arguments = [word for word in both if word != "18"]
    code, said, errors = study.run(limit(10000))  # a checkpoint takes 40 kB, a record 2
    assert (code, errors) == (0, "")
    [file] = set(record_files(study.out).values())
    study.arguments = both
    full = file.stat().st_size
    fails(study.run(limit(full + 300)), "File too large", "--out", file)
    assert len(record_files(study.out)) == 1
    study.log.unlink()
    Path(f"{study.log}.err").unlink()
    study.finish(expected)


@pytest.mark.parametrize(
    "place, words",
    [
        ("out", ["study/out", "--out"]),
        ("out/results", ["--out"]),
        ("cache/images", ["cache/images", "XRAY_CACHE"]),
        ("out/results/STUDY", ["--out"]),
    ],
)
def test_a_file_where_a_folder_should_be(
    whole, images, tmp_path, monkeypatch, capsys, place, words
):
    about = next(iter(whole(MIXED)[0].values()))["data"]
    name = results.data_folder(Path(), about["name"], about["fingerprint"]).name
    file = tmp_path / "study" / place.replace("STUDY", name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    monkeypatch.setenv("XRAY_CACHE", str(tmp_path / "study" / "cache"))
    assert train("--data", images, *MIXED, "--out", tmp_path / "study" / "out") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words) and file.read_text() == "mine"


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

STUDY = (*TINY, *"--model 20 21 11 18 --seeds 0-1 --epochs 6 --weights all".split())


def test_two_commands_at_once_record_nothing_twice(whole, images, tmp_path):
    expected, cache = whole(STUDY)
    shutil.copytree(cache, tmp_path / "cache")
    arguments = ("--data", images, *STUDY, "--out", tmp_path / "out")
    started = [
        fork(*arguments, cache=tmp_path / "cache", log=tmp_path / f"log{number}")
        for number in range(2)
    ]
    for process in started:
        process.join(300)
    assert [process.exitcode for process in started] == [0, 0]
    [file] = set(record_files(tmp_path / "out").values())
    assert len(file.read_bytes().splitlines()) == 8
    assert_same(expected, records(tmp_path / "out"))


def test_torchruns_processes_take_shares(whole, images, tmp_path):
    expected, cache = whole(STUDY)
    shutil.copytree(cache, tmp_path / "cache")
    process = command(
        *"-m torch.distributed.run --standalone --nproc-per-node 2".split(),
        ROOT / "scripts" / "train.py",
        *("--data", images, *STUDY, "--out", "out", "--force"),
        cache=tmp_path / "cache",
        cwd=tmp_path,
    )
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert said.count("runs: 8 asked for") == 1
    assert said.count("done: 4 runs") == 1 and "4 by other processes" in said
    [file] = set(record_files(tmp_path / "out").values())
    assert len(file.read_bytes().splitlines()) == 8, "each was trained once"
    assert_same(expected, records(tmp_path / "out"))
    assert leftovers(tmp_path) == []


# ---- reports on the way


def test_a_study_is_reported_as_it_fills(images, tmp_path, monkeypatch, capsys):
    module, written = script("train"), []

    def write(args, study, to_come=""):
        written.append((len(results.load(study)), to_come))
        return 0

    monkeypatch.setattr(module, "write_report", write)
    some = ("--data", str(images), *TINY, "--seeds", "0", "--epochs", "1", "--resplits", "1")
    with pytest.raises(SystemExit) as end:
        module.main(["--all", "--report", *some, "--out", str(tmp_path)])
    assert end.value.code == 0
    quick = sum(spec.family != "CNN" and spec.optimizer == "SGD" for spec in MODELS.values())
    runs, to_come = zip(*written)
    assert runs[:2] == (quick, len(MODELS)) and len(runs) == 3 and runs[2] > len(MODELS)
    left = len(record_files(tmp_path)) - quick
    assert to_come[0] == f"{left} runs, about 1 minute" and to_come[2] == ""
    module.main(["--all", "--report", "filling", *some, "--out", str(tmp_path)])
    assert len(written) == 3, "nothing was left to do"


def test_what_is_still_to_come_in_words(tmp_path):
    module, todo = script("train"), [None] * 14
    assert module.in_time(todo, None) == "14 runs"
    assert module.in_time(todo, 3) == "14 runs, about 1 minute"
    assert module.in_time(todo, 1500) == "14 runs, about 25 minutes"
    assert module.in_time(todo, 17.4 * 3600) == "14 runs, about 17 hours"


def test_the_verdicts_are_held_against_the_study_of_record(tmp_path, monkeypatch, capsys):
    module = script("train")
    monkeypatch.setattr(module, "RECORD", tmp_path / "record")
    study = tmp_path / "mine" / "given.jsonl"
    module.say_how_much_is_the_same(study)
    for folder, word in (("mine", "holds"), ("record", "within noise")):
        claims = [{"id": "C01", "verdict": "holds"}, {"id": "C02", "verdict": word}]
        write_json(tmp_path / folder / "claims.json", {"claims": claims})
    module.say_how_much_is_the_same(tmp_path / "record" / "given.jsonl")
    assert capsys.readouterr().out == ""
    module.say_how_much_is_the_same(study)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "verdicts: 1 of 2 are those of record"
    assert second == "  C02: holds; in the study of record: within noise"

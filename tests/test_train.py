"""scripts/train.py as a person calls it: arguments that fit and that do not, places to write to,
what it says, damaged files, reports on the way."""

import os
import signal

import pytest
import records as made_up
from commands import ROOT, TINY, assert_same, command, records, runs, script, train

from xray import results, training
from xray.files import write_json
from xray.specs import EQUALISED, MODELS, TABLE_3

SOURCE = object()  # stands for a folder of images in the cases below
FILE, EMPTY = object(), object()
ON_IMAGES = (*TINY, "--data", SOURCE)
ONE = (*TINY, "--model", "20", "--seeds", "0", "--epochs", "1")

REFUSED = [  # arguments, words of the one line
    ([], "one of the arguments --model --all --experiments --search --list is required"),
    (["--model"], "--model"),
    (["--model", "2x"], "no model '2x'; the nearest are 2, "),
    (["--model", "26B"], "nearest are 26b"),
    (["--model", "6@1e-9"], "nearest are 6@1e-"),
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
    (["--model", "20", "26b", "--engine", "gram", *ON_IMAGES], "not 26b"),
    (["--model", "20", "--split", "sideways"], "sideways"),
    (["--model", "20", "--split-seed", "0"], "--split-seed needs --split"),
    (["--model", "20", "--split", "image", "--resplits", "2", *ON_IMAGES], "leave out --split"),
    (["--model", "11", "--resplits", "2", *ON_IMAGES], "--resplits are of the models 20"),
    (["--model", "20", "--resplits", "2", "--seeds", "0,3", *ON_IMAGES], "--seeds 0-2"),
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


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    process = command(ROOT / "scripts" / "train.py", "--list", cache=tmp_path)
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(300) == 128 + signal.SIGPIPE


def test_list_and_help(capsys):
    assert train("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*MODELS, *TABLE_3, *EQUALISED]
    assert train("--help") == 0
    said = capsys.readouterr().out
    assert all(option in said for option in ("--model", "--all", "--data", "--out", "--force"))


def test_what_is_said_and_what_is_trained_again(images, tmp_path, capsys):
    some = ("--data", images, *TINY, "--model", "20", "20", "19", "--epochs", "1")
    arguments = (*some, "--seeds", "0,0,1,0-1", "--out", tmp_path)
    assert train(*arguments) == 0
    said = capsys.readouterr().out
    assert "4 asked for, 0 finished before, 4 to train" in said
    lines = [line for line in said.splitlines() if line.startswith(("20: ", "19: "))]
    assert [line.split(" ")[:2] for line in lines] == [["20:", "2"], ["19:", "2"]]
    assert "done: 4 runs" in said and len(runs(tmp_path)) == 4
    [file] = {run.file for run in runs(tmp_path)}
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
    assert len(runs(tmp_path)) == 1


def test_splits_weights_and_precisions(images, tmp_path):
    some = ("--data", images, *TINY, *"--model 20 11 --epochs 1 --seeds 0 --out".split(), tmp_path)
    assert train(*some, "--split", "image", "--split-seed", "3") == 0
    assert train(*some, "--resplits", "2", "--weights", "none") == 0
    assert train(*some, "--precision", "bf16", "--weights", "all") == 0
    [folder] = (tmp_path / "results").glob("images*-*")
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert there == {"given.jsonl", "image-3.jsonl", "resplits.jsonl", "data.json", "weights"}
    assert (tmp_path / "results" / "latest").read_text() == f"{folder.name}/given\n"
    own = [run.name for run in results.load(folder / "image-3.jsonl")]
    assert own == ["11-seed0-8px-matched-1epochs", "20-seed0-8px-matched-1epochs"]
    found = results.load(folder / "resplits.jsonl")
    assert {run.spec.id for run in found} == {"20"}
    assert {run.split for run in found} == {"image-0", "image-1", "patient-0", "patient-1"}
    assert all(list(run.logits) == ["test"] and not run.weights for run in found)
    assert all(sum(run.validation_counts.values()) == 6 for run in found)
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
    names = {run.name for run in runs(tmp_path)}
    assert names == {"20-seed0-8px-matched-1epochs", f"11-seed0-8px-matched-1epochs{precision}"}
    assert ("no bf16 instructions" in capsys.readouterr().out) == (not able)


def test_runs_that_another_machine_made_in_bf16_are_told(images, tmp_path, monkeypatch, capsys):
    import torch

    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    some = ("--data", images, "--image-size", "8", "--device", "cpu", "--model", "11", "20")
    some = (*some, "--epochs", "1", "--seeds", "0", "--out", tmp_path)
    assert train(*some, "--precision", "bf16") == 0
    assert "of these already" not in capsys.readouterr().out
    assert train(*some) == 0
    assert "note: in bf16 the record has 1 of these already;" in capsys.readouterr().out
    assert train(*some, "--force") == 0
    assert "of these already" in capsys.readouterr().out
    assert train(*some, "--precision", "bf16") == 0
    assert "2 finished before, 0 to train" in capsys.readouterr().out


PLACES = ["-dash", "new\nline 肺 quo'te\"s", "glob*[x] %20/below", os.fsdecode(b"not utf-8 \xff")]


@pytest.mark.parametrize("place", PLACES, ids=range(len(PLACES)))
def test_any_folder_can_be_written_to_and_read_by_relative_names(
    images, tmp_path, monkeypatch, place
):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "films" / place.replace("/", " ")
    source.parent.mkdir()
    source.symlink_to(images)
    assert train(f"--data={source.relative_to(tmp_path)}", *ONE, f"--out={place}") == 0
    assert len(runs(tmp_path / place)) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"films", "cache", place.split("/")[0]}


def test_out_may_be_a_link(images, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert train("--data", images, *ONE, "--out", tmp_path / "link") == 0
    assert len(runs(tmp_path / "there")) == 1 and (tmp_path / "link").is_symlink()
    assert train("--data", images, *ONE, "--out", tmp_path / "dangling") == 2


def test_a_home_folder_is_not_a_folder_called_tilde(images, tmp_path, monkeypatch):
    """make hands OUT=~/x on as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").symlink_to(images)
    assert train("--data", "~/films", *ONE, "--out", "~/x") == 0
    assert len(runs(tmp_path / "x")) == 1 and not (tmp_path / "~").exists()
    args = script("report").arguments(["--results", "~/x/results", "--out", "~/x"])
    assert (args.results, args.out) == (tmp_path / "x" / "results", tmp_path / "x")


def test_the_line_of_a_model_tells_of_the_epoch_that_it_kept():
    module = script("train")
    kept = made_up.run("36", 0)  # its history's last epoch is another
    counts = kept.validation_counts
    right = (counts["tp"] + counts["tn"]) / sum(counts.values())
    assert right != kept.history["validation_accuracy"][-1]
    assert module.in_a_line([kept]) == f"36: 1 run, validation accuracy {100 * right:.1f} %"
    dead, lost = made_up.run("21", 1, dead=True), made_up.run("21", 2, diverged=True)
    line = module.in_a_line([made_up.run("21"), dead, lost])
    assert line.startswith("21: 3 runs, validation accuracy ")
    assert line.endswith(" %; 1 learned nothing; 1 diverged")


def test_a_damaged_record_is_named_and_the_others_kept(images, tmp_path, capsys):
    arguments = ("--data", images, *TINY, "--model", "20", "19", "--seeds", "0", "--epochs", "1")
    arguments = (*arguments, "--out", tmp_path)
    assert train(*arguments) == 0
    whole = records(tmp_path)
    [file] = {run.file for run in runs(tmp_path)}
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


def test_interrupted(images, tmp_path, monkeypatch, capsys):
    plain = training._train_direct

    def interrupted(job, *rest):
        if job.seed == 1:
            raise KeyboardInterrupt
        return plain(job, *rest)

    some = ("--data", images, *TINY, "--model", "19", "--epochs", "1", "--seeds", "0-1")
    with monkeypatch.context() as patch:
        patch.setattr(training, "_train_direct", interrupted)
        assert train(*some, "--out", tmp_path) == 130
    last = capsys.readouterr().out.splitlines()[-1]
    how = "the same command goes on where this one stopped"
    assert last == f"stopped: 1 runs written, 1 not; {how}"
    assert train(*some, "--out", tmp_path) == 0
    assert "1 finished before, 1 to train" in capsys.readouterr().out


# ---- reports on the way


def test_a_study_is_reported_as_it_fills(images, tmp_path, monkeypatch):
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
    there, to_come = zip(*written)
    assert there[:2] == (quick, len(MODELS)) and len(there) == 3 and there[2] > len(MODELS)
    left = len(runs(tmp_path)) - quick
    assert to_come[0] == f"{left} runs, about 1 minute" and to_come[2] == ""
    module.main(["--all", "--report", "filling", *some, "--out", str(tmp_path)])
    assert len(written) == 3, "nothing was left to do"


def test_what_is_still_to_come_in_words():
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

"""What a person can type: arguments that fit and that do not, and places to write to."""

import os
from pathlib import Path

import pytest
from commands import ROOT, TINY, assert_same, command, record_files, records, script, train

from xray import results
from xray.specs import MODELS, TABLE_3

SOURCE = object()  # stands for a folder of images in the cases below
FILE, EMPTY = object(), object()
GPU = pytest.mark.skipif(os.path.exists("/dev/nvidia0"), reason="there is a GPU here")

REFUSED = [  # arguments, words of the one line
    ([], "one of the arguments --model --all --list is required"),
    (["--model"], "--model"),
    (["--model", "2x"], "no model '2x'; the nearest are 2, "),
    (["--model", "26B"], "nearest are 26b"),
    (["--model", "20", "21c"], "'21c'"),
    (["--model", ""], "no model ''"),
    (["--model", "../../x"], "no model '../../x'"),
    (["--model", "6@1e-9"], "nearest are 6@1e-"),
    (["--model", "20", "--all"], "not allowed with"),
    (["--list", "--all"], "not allowed with"),
    (["--model", "20", "--image-size", "30"], "multiple of 4"),
    (["--model", "20", "--image-size", "0"], "'0' is not a whole number from 4"),
    (["--model", "20", "--image-size", "-4"], "--image-size"),
    (["--model", "20", "--image-size", "2"], "'2' is not a whole number from 4"),
    (["--model", "20", "--image-size", "1e9"], "'1e9'"),
    (["--model", "20", "--image-size", "100000"], "from 4 to 4096"),
    (["--model", "20", "--image-size", "64.0"], "'64.0'"),
    (["--model", "20", "--epochs", "0"], "'0' is not a whole number from 1"),
    (["--model", "20", "--epochs", "-1"], "--epochs"),
    (["--model", "20", "--epochs", "x"], "'x'"),
    (["--model", "20", "--seeds", "3-1"], "'3-1' is not a list of seeds"),
    (["--model", "20", "--seeds", "a"], "'a' is not a list of seeds"),
    (["--model", "20", "--seeds", ""], "'' is not a list of seeds"),
    (["--model", "20", "--seeds", "0-"], "'0-' is not a list of seeds"),
    (["--model", "20", "--seeds", "0-999999"], "more than 1000"),
    (["--model", "20", "--device", "gpu"], "auto, cpu, cuda, cuda:N"),
    (["--model", "20", "--device", "cuda:x"], "auto, cpu, cuda, cuda:N"),
    pytest.param(["--model", "20", "--device", "cuda"], "use --device cpu", marks=GPU),
    pytest.param(["--model", "20", "--device", "cuda:99"], "--device cuda:99", marks=GPU),
    (["--model", "20", "--precision", "fp16"], "fp16"),
    (["--model", "20", "--device", "cpu", "--precision", "tf32"], "use fp32 or bf16"),
    (["--model", "20", "--engine", "fast"], "fast"),
    (["--model", "20", "26b", "--engine", "gram", *TINY, "--data", SOURCE], "not 26b"),
    (["--model", "17", "--engine", "gram", *TINY, "--data", SOURCE], "not 17"),
    (["--model", "20", "--split", "sideways"], "sideways"),
    (["--model", "20", "--split-seed", "3"], "--split-seed needs --split"),
    (["--model", "20", "--split-seed", "0"], "--split-seed needs --split"),
    (["--model", "20", "--split", "image", "--split-seed", "-1"], "--split-seed"),
    (
        ["--model", "20", "--split", "image", "--resplits", "2", *TINY, "--data", SOURCE],
        "leave out --split",
    ),
    (
        ["--model", "11", "--resplits", "2", *TINY, "--data", SOURCE],
        "--resplits are of the models 20",
    ),
    (["--model", "20", "--weights", "some"], "some"),
    (["--model", "20", "--data", ""], "--data names no source"),
    (["--model", "20", *TINY, "--data", "/no/such/folder"], "/no/such/folder"),
    (["--model", "20", *TINY, "--data", EMPTY], "empty"),
    (["--model", "20", *TINY, "--data", FILE], "a file"),
    (["--model", "20", *TINY, "--data", "phantom:3"], "phantom:3"),
    (["--model", "20", *TINY, "--data", "two\nlines"], "two"),
    (["--model", "20", "--out", FILE], "a file"),
    (["--model", "20", "--out", "/dev/null/below"], "/dev/null/below"),
    (["--model", "20", "--out", "/proc/here"], "/proc/here"),
    (["--model", "20", "--out", "x" * 300], "File name too long"),
    (["--modle", "20"], "--model"),
    (["--all", "extra"], "extra"),
    (["--all", "two\nlines"], "two lines"),
    (["--mod", "20"], "--mod"),
]


@pytest.fixture(scope="module")
def trainer():
    return script("train")


@pytest.mark.parametrize("arguments, words", REFUSED, ids=lambda value: None)
def test_refused_in_one_line(trainer, images, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_text("mine")
    (tmp_path / "empty").mkdir()
    stands = {SOURCE: images, FILE: tmp_path / "a file", EMPTY: tmp_path / "empty"}
    arguments = [str(stands.get(argument, argument)) for argument in arguments]
    if "--out" not in arguments:
        arguments += ["--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as end:
        trainer.main(arguments)
    said, errors = capsys.readouterr()
    assert (end.value.code, said) == (2, "")
    assert errors.count("\n") == 1 and errors.startswith("error: ") and words in errors, errors
    assert (
        not list((tmp_path / "out").rglob("*.json")) and (tmp_path / "a file").read_text() == "mine"
    )


@pytest.mark.parametrize("words", [["2O"], ["20", "--out", "/proc/x"]])
def test_the_real_command_refuses_at_once(tmp_path, words):
    before = os.times()
    process = command(
        ROOT / "scripts" / "train.py", "--model", *words, cache=tmp_path / "cache", cwd=tmp_path
    )
    said, errors = process.communicate(timeout=60)
    now = os.times()
    assert process.returncode == 2
    assert errors.count("\n") == 1 and errors.startswith("error: "), errors
    assert list(tmp_path.iterdir()) == []
    used = now.children_user + now.children_system - before.children_user - before.children_system
    assert used < 0.9, "seconds of processor time; torch alone takes more"


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["--results", "empty"], "empty"),
        (["--results", "missing"], "missing"),
        (["--nonsense"], "--nonsense"),
        (["--results", "a file"], "a file"),
    ],
)
def test_a_report_needs_a_study(tmp_path, monkeypatch, capsys, arguments, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a file").write_text("mine")
    with pytest.raises(SystemExit) as end:
        script("report").main([*arguments, "--out", "report"])
    errors = capsys.readouterr().err
    assert end.value.code == 2
    assert errors.count("\n") == 1 and errors.startswith("error: ") and word in errors, errors
    assert not (tmp_path / "report").exists()


def test_list_and_help(trainer, capsys):
    trainer.main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*MODELS, *TABLE_3]
    with pytest.raises(SystemExit) as end:
        trainer.main(["--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0 and all(
        option in said for option in ("--model", "--all", "--data", "--out", "--force")
    )


def test_a_model_or_seed_named_twice_is_trained_once(images, tmp_path, capsys):
    arguments = (
        "--data",
        images,
        *TINY,
        *"--model 20 20 --seeds 0,0,1,0-1 --epochs 1 --out".split(),
        tmp_path,
    )
    assert train(*arguments) == 0
    assert "2 asked for, 0 finished before, 2 to train" in capsys.readouterr().out
    assert len(record_files(tmp_path)) == 2
    before = {path: path.stat().st_mtime_ns for path in record_files(tmp_path).values()}
    assert train(*arguments) == 0
    assert "2 finished before, 0 to train" in capsys.readouterr().out
    assert train(*arguments, "--force") == 0
    assert "0 finished before, 2 to train" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns > time for path, time in before.items())


@pytest.mark.parametrize("model, size", [("20", "4"), ("10", "4"), ("13", "4"), ("28b", "12")])
def test_the_smallest_sizes(images, tmp_path, model, size):
    assert (
        train(
            "--data",
            images,
            "--image-size",
            size,
            *"--device cpu --model".split(),
            model,
            *"--epochs 1 --seeds 0 --out".split(),
            tmp_path,
        )
        == 0
    )
    assert len(record_files(tmp_path)) == 1


def test_splits_weights_and_precisions(images, tmp_path):
    some = ("--data", images, *TINY, *"--model 20 11 --epochs 1 --seeds 3 --out".split(), tmp_path)
    assert train(*some, "--split", "image", "--split-seed", "3") == 0
    assert train(*some, "--resplits", "2", "--weights", "none") == 0
    assert train(*some, "--precision", "bf16", "--weights", "all") == 0
    given = {
        f"given/{model}-seed3-8px-matched-1epochs{more}"
        for model in ("20", "11")
        for more in ("", "-bf16")
    }
    assert set(record_files(tmp_path)) == given | {
        "image-3/20-seed3-8px-matched-1epochs",
        "image-3/11-seed3-8px-matched-1epochs",
    }
    (facts,) = tmp_path.glob("results/*/data.json")
    study = facts.parent
    for split in ("image-0", "image-1", "patient-0", "patient-1"):
        assert list(results.load_compact(study / split)) == ["20-seed3-8px-matched-1epochs"]
        assert not list((study / split).glob("*.safetensors"))
    before = {path: path.stat().st_mtime_ns for path in study.rglob(results.COMPACT)}
    assert train(*some, "--resplits", "2", "--weights", "none") == 0
    assert {path: path.stat().st_mtime_ns for path in study.rglob(results.COMPACT)} == before


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


PLACES = [
    "plain",
    "a folder/with  spaces",
    "quo'te\"s",
    "Lungenröntgen-肺",
    "-dash",
    "new\nline",
    "glob*[x]",
    "percent%20",
    os.fsdecode(b"not utf-8 \xff"),
]


@pytest.mark.parametrize("place", PLACES, ids=range(len(PLACES)))
def test_any_folder_can_be_written_to(images, tmp_path, monkeypatch, capsys, place):
    monkeypatch.chdir(tmp_path)
    assert (
        train("--data", images, *TINY, *"--model 20 --seeds 0 --epochs 1".split(), f"--out={place}")
        == 0
    )
    assert len(record_files(tmp_path / place)) == 1


def test_any_source_folder_can_be_named(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outside = set(tmp_path.iterdir())
    for number, name in enumerate(
        ["../../evil", "..", "spaces and 'quotes'", "肺", os.fsdecode(b"\xff")]
    ):
        base = tmp_path / "deep" / "er" / str(number) / "x" / "y"
        base.mkdir(parents=True)
        monkeypatch.chdir(base)
        source = Path(name)
        if name != "..":
            source.parent.mkdir(parents=True, exist_ok=True)
            source.symlink_to(images)
        else:
            for part in images.iterdir():
                (base.parent / part.name).symlink_to(part)
        out = tmp_path / "out" / str(number)
        assert (
            train("--data", name, *TINY, *"--model 20 --seeds 0 --epochs 1 --out".split(), out) == 0
        )
        assert len(list((out / "results").glob("*/given/*-seed0*.json"))) == 1
    assert (
        set(tmp_path.iterdir()) - outside
        == {tmp_path / "deep", tmp_path / "out", tmp_path / "cache"} - outside
    )


def test_out_may_be_a_link(images, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "dangling").symlink_to("nowhere")
    some = ("--data", images, *TINY, "--model", "20", "--seeds", "0", "--epochs", "1")
    assert train(*some, "--out", tmp_path / "link") == 0
    assert len(record_files(tmp_path / "there")) == 1 and (tmp_path / "link").is_symlink()
    assert train(*some, "--out", tmp_path / "dangling") == 2


def test_from_another_folder_with_relative_names(images, tmp_path, monkeypatch):
    """The real command, called through a link from elsewhere; the records are those of a call with
    absolute names.
    """
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
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "") and "done: 2 runs" in said
    monkeypatch.chdir(tmp_path)
    assert train(*arguments, "--out", tmp_path / "other") == 0
    assert_same(records(tmp_path / "my runs"), records(tmp_path / "other"))

"""A study is of one source with one content, and phantoms never stand among real images."""

import subprocess

import options
import pytest
from commands import ROOT, TINY, command, fails, runs, script, train
from samples import class_folders, encode, pixels

from xray import data, jobs, report, results, study
from xray.data_sources import DataError, HubUnreachable

ONCE = ("--seeds", "0", "--epochs", "1")
CNN = ("--model", "20", "11", *ONCE, "--device", "cpu")
LINEAR = ("--model", "20", *ONCE, *TINY)


def opened(name=None):
    parser = options.parser("")
    options.add_source(parser)
    return options.open_source(parser.parse_args(["--data", name] if name else []))


def gone(*_, **__):
    raise HubUnreachable("owner/name: the Hub cannot be reached (no answer in 10 s)")


def test_a_folder_that_changes_between_two_readings_is_refused(tmp_path):
    folder = class_folders(tmp_path / "set")
    load = opened(str(folder))
    first = load(16)
    (folder / "train" / "NORMAL" / "new.png").write_bytes(encode(pixels(77)))
    assert load(16) is first
    with pytest.raises(DataError, match="changed while it was read"):
        load(8)


def test_the_hub_gone_after_the_first_reading_brings_no_other_films(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(options, "PAPER", str(class_folders(tmp_path / "set")))
    load = opened()
    assert load(16).name == "set"
    monkeypatch.setattr(data, "find", gone)
    with pytest.raises(HubUnreachable):
        load(8)
    assert capsys.readouterr().out == ""


def test_the_hub_gone_before_it_brings_the_projects_films(tmp_path, monkeypatch, capsys):
    few, found = class_folders(tmp_path / "set"), data.find

    def find(name, *_):
        return found(str(few)) if name == "films" else gone()

    monkeypatch.setattr(data, "find", find)
    load = opened()
    assert load(640).image_size == 64 and load(8).fingerprint == load(640).fingerprint
    assert load(640) is load(64) or load(640).images is load(64).images
    said = capsys.readouterr().out
    assert said.count("going on with the films that come with the project, 64×64 copies") == 1
    assert said.count("\n") == 1 and "cannot be reached" in said
    with pytest.raises(HubUnreachable):
        opened("owner/name")(16)


def test_nothing_is_trained_before_all_is_read(images, tmp_path, monkeypatch, capsys):
    """Linear models at 640, CNNs at 64: the second reading fails, so no run is written."""
    load = data.load

    def second_fails(source, size, *args, **options):
        if size == jobs.CPU_CNN_SIZE:
            gone()
        return load(source, size, *args, **options)

    monkeypatch.setattr(data, "load", second_fails)
    assert train("--data", images, *CNN, "--out", tmp_path) == 2
    assert capsys.readouterr().err.startswith("error: owner/name: the Hub cannot be reached")
    assert runs(tmp_path) == []


def test_phantoms_have_a_folder_of_their_own(images, tmp_path, capsys):
    assert train("--data", images, *LINEAR, "--out", tmp_path) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("results/**/*") if path.is_file()}
    assert train("--data", "phantom:20", *LINEAR, "--out", tmp_path) == 0
    assert f"study: {tmp_path / 'phantom' / 'results'}" in capsys.readouterr().out
    assert all(path.read_bytes() == content for path, content in before.items())
    assert results.latest(tmp_path / "results").startswith("images")
    assert results.latest(tmp_path / "phantom" / "results").startswith("phantom")
    assert results.place(tmp_path / "phantom", True) == tmp_path / "phantom"
    assert all("phantom" not in name for name in study.in_order(tmp_path / "results"))


def test_without_the_hub_a_study_of_the_projects_films(tmp_path):
    """The whole command on its default source, with a Hub that nobody runs."""
    hub = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path / "hf")}
    words = ROOT / "scripts" / "train.py", *LINEAR, "--out", tmp_path / "out"
    process = command(*words, cache=tmp_path / "cache", environment=hub)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "cannot be reached" in said and "going on with the films" in said
    [name] = results.studies(tmp_path / "out" / "results")
    assert name.startswith("films-") and name.endswith("/given")
    assert len(runs(tmp_path / "out")) == 1


def test_larger_films_than_there_are_are_refused(tmp_path, capsys):
    assert train("--data", "films", "--model", "20", "--image-size", "128", "--out", tmp_path) == 2
    assert "these films are 64×64" in capsys.readouterr().err


def test_a_report_says_what_it_replaces_and_leaves_no_picture_of_it(images, tmp_path, capsys):
    splits = {"train": (4, 5), "validation": (2, 3), "test": (2, 2)}
    other, out = class_folders(tmp_path / "others", splits), tmp_path / "out"

    def write_report(*words) -> str:
        """The study that the report now shows."""
        script("report").main(["--results", str(out / "results"), "--out", str(out), *words])
        return report.shown_in(out)

    def figures():
        return {path.name for path in (out / "figures").iterdir()}

    assert train("--data", images, *TINY, *ONCE, "--model", "20", "--out", out) == 0
    first = write_report()
    assert first.startswith("images") and "showed" not in capsys.readouterr().out
    drawn = figures()
    (out / "figures" / "mine.png").write_bytes(b"a person's own")

    assert train("--data", other, *TINY, *ONCE, "--model", "11", "--out", out) == 0
    second = write_report()
    assert f"showed {first} before; --study {first} writes that again" in capsys.readouterr().out
    assert second.startswith("others-") and "mine.png" in figures()
    assert drawn - figures(), "what the second does not show is gone"
    text = (out / "report.md").read_text()
    assert all(f"figures/{name}" in text for name in figures() - {"mine.png"})
    for name in (first, second):
        beside = (out / "results" / name).parent
        assert report.shown_in(beside) == name and (beside / "claims.json").exists()
    assert write_report("--study", first) == first
    assert drawn <= figures()


def test_the_committed_report_is_not_touched_by_phantoms():
    """What git would see: report/phantom and the reports beside records are ignored."""
    paths = ["report/phantom/index.html", "report/results/x-01234567/index.html"]
    asked = subprocess.run(["git", "check-ignore", *paths], capture_output=True, text=True)
    assert asked.stdout.split() == paths


def test_several_processes_do_not_fall_back(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "find", gone)
    monkeypatch.setenv("WORLD_SIZE", "2")
    code = train(*LINEAR, "--out", tmp_path)
    fails((code, "", capsys.readouterr().err), "cannot be reached")

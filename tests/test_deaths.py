"""The census as probabilities and against trained runs, and the experiments' command."""

import math

import pytest
import records
from commands import fails, script

from xray import deaths, experiments, study

NET = "1x10"  # models 5, 21 and the like


def made_up(counts, size=640, images=50) -> dict:
    census = {"image_size": size, "images": images, "seeds": len(counts), "counts": {NET: counts}}
    return {f"starts-{size}px": census}


def read(folder, *runs, splits=()):
    for run in [*runs, *splits]:
        records.save(folder, run)
    return study.read(folder, "made-up-01234567/given")


def test_wilsons_interval():
    assert deaths.Share(5, 10).interval == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert deaths.Share(0, 10).interval == pytest.approx((0, 0.2775), abs=1e-4)
    assert math.isnan(deaths.Share(0, 0).value) and math.isnan(deaths.Share(0, 0).interval[0])


def test_starts_are_counted_by_kind():
    [census] = deaths.censuses(made_up([0, 0, 1, 49, 50])).values()
    kinds = deaths.starts(census, NET)
    assert {kind: share.count for kind, share in kinds.items()} == {
        "dead": 2,
        "both": 2,
        "above": 1,
    }


def test_runs_are_held_against_the_start_of_their_seed(tmp_path):
    runs = [records.run("21", seed, dead=seed in (0, 1)) for seed in range(5)]
    found = read(tmp_path, *runs, records.run("20", 0), records.run("6", 0, dead=True))
    [row] = deaths.check(found, made_up([0, 7, 9, 50]))  # seed 4 and other nets are not in it
    assert (row.model, row.resplits, row.dead, row.revived) == ("21", False, 1, 0)
    assert row.died == {"both": [1, 2], "above": [0, 1]}


def test_a_run_that_started_dead_and_yet_learned_is_told(tmp_path):
    found = read(tmp_path, records.run("21", 0), records.run("21", 1, dead=True))
    [row] = deaths.check(found, made_up([0, 0]))
    assert (row.dead, row.revived) == (2, 1)


def test_runs_at_another_size_need_a_census_of_it(tmp_path):
    found = read(tmp_path, records.run("21", 0, dead=True, image_size=64))
    assert deaths.check(found, made_up([0])) == []
    assert deaths.check(found, made_up([0], size=64))[0].dead == 1


def test_on_resplits_a_start_counts_where_it_is_certain(tmp_path):
    splits = [records.run("21", seed, split="image-0", dead=True) for seed in range(3)]
    found = read(tmp_path, records.run("20", 0), splits=splits)
    [row] = deaths.check(found, made_up([0, 5, 40]))
    assert row.resplits and row.dead == 0 and row.died == {"both": [1, 1], "above": [0, 0]}


# ---- the command


def run(*arguments) -> int:
    try:
        script("experiments").main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code or 0
    return 0


@pytest.fixture
def quick(monkeypatch):
    """The experiments with fewer seeds and sizes."""
    monkeypatch.setattr(experiments, "CENSUS_SEEDS", 6)
    monkeypatch.setattr(experiments, "SMALL", 8)
    monkeypatch.setattr(experiments, "SIZES", (8, 12))
    monkeypatch.setattr(experiments, "CONTROL_SEEDS", range(2))


def test_the_command_makes_what_is_missing_and_keeps_what_is_there(images, tmp_path, quick, capsys):
    asked = "--data", images, "--image-size", "16", "--out", tmp_path
    assert run(*asked) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    [folder] = (tmp_path / "results").glob("*/given")
    made = experiments.read(folder)
    assert list(made) == ["starts-16px", "kernel", "last-relu", "sizes"]
    assert all(len(counts) == 6 for counts in made["starts-16px"]["counts"].values())
    assert made["starts-16px"]["images"] == 14 and made["starts-16px"]["split"] == "given"
    assert len(made["last-relu"]["runs"]) == 2 * 2 and len(made["sizes"]["runs"]) == 3 * 4 * 3
    assert not [run for run in made["last-relu"]["runs"] if not run["last_relu"] and not run["tp"]]

    (folder / "kernel.json").unlink()
    before = (folder / "sizes.json").stat().st_mtime_ns
    assert run(*asked) == 0
    assert "kernel" in capsys.readouterr().out and (folder / "kernel.json").exists()
    assert (folder / "sizes.json").stat().st_mtime_ns == before


def test_a_damaged_record_is_told_in_one_line(images, tmp_path, quick, capsys):
    asked = "--data", images, "--image-size", "16", "--out", tmp_path
    assert run(*asked) == 0
    [path] = (tmp_path / "results").glob("*/given/sizes.json")
    path.write_text(path.read_text().replace('"matched": true', '"matched": false', 1))
    capsys.readouterr()
    code = run(*asked)
    fails((code, *capsys.readouterr()), path, "checksum")
    assert run(*asked, "--force") == 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--image-size", "30"], "multiple of 4"),
        (["--image-size", "x"], "'x'"),
        (["--data", " "], "names no source"),
        (["--data", "/no/such"], "no such folder"),
        (["--sizes"], "--sizes"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(arguments, words, tmp_path, capsys):
    code = run(*arguments, "--out", tmp_path)
    fails((code, *capsys.readouterr()), words)

"""The search for Table 3's settings sees no test film and is recorded."""

from dataclasses import asdict

import commands
import pytest

from xray import data, engine, search
from xray.specs import TABLE_3

TINY = {"epochs": 2, "image_size": 16, "batch_size": 32}


@pytest.fixture
def few(monkeypatch):
    tried = {"33": [TINY | {"augment": 0.5}, TINY | {"augment": 1.0}]}
    monkeypatch.setattr(search, "TRIALS", tried)


def test_a_trial_is_judged_by_the_epoch_that_it_keeps(few):
    films = data.load("phantom", 16)
    parts = [engine.place(part) for part in (films.train, films.validation)]
    found = search.try_one(search.asked()[0], *parts)
    assert found["spec"] == asdict(TABLE_3["33"]) | TINY | {"augment": 0.5}
    assert found["epochs"] == 2 and found["epoch"] in (1, 2)
    assert 0 <= found["validation_auc"] <= 1 and found["validation_loss"] > 0


def test_each_trial_is_recorded_once(few, tmp_path, capsys):
    script = commands.script("search")
    script.main(["--data", "phantom", "--out", str(tmp_path)])
    assert "2 asked for, 0 made before" in capsys.readouterr().out
    script.main(["--data", "phantom", "--out", str(tmp_path)])
    assert "2 asked for, 2 made before" in capsys.readouterr().out
    [path] = tmp_path.rglob(search.RECORD)
    trials = search.read(path.parent)
    assert [trial["spec"]["augment"] for trial in trials] == [0.5, 1.0]
    assert not [key for trial in trials for key in trial if "test" in key]


def test_a_row_without_trials_is_told(few, capsys):
    with pytest.raises(SystemExit):
        commands.script("search").main(["--data", "phantom", "--row", "20"])
    assert "nothing is tried there" in capsys.readouterr().err


def test_of_trials_as_good_as_the_best_the_fastest_is_chosen():
    figures = ((0.100, 60), (0.1005, 30), (0.102, 10))
    trials = [{"validation_loss": loss, "seconds": seconds} for loss, seconds in figures]
    assert search.chosen(trials) is trials[1]

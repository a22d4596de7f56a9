"""What a person says of a source holds for all that is made of it, and for the report."""

import pytest
from commands import TINY, fails, script, train
from samples import class_folders

from xray import baselines, changes, experiments, report, results, study

SAID = ("--positive", "BACTERIA,VIRUS", "--negative", "NORMAL")
NAMES = ("NORMAL", "BACTERIA", "TB", "VIRUS")
SPLIT = ("--split", "patient", "--split-seed", "2")


@pytest.mark.parametrize("own", [False, True], ids=["splits that are made", "other splits"])
def test_all_commands_take_the_same_choices(tmp_path, monkeypatch, capsys, own):
    """Classes of four, two of them joined and one left out, from images in no split and in three:
    all records lie in the study's folder and the report shows them."""
    small = {"SMALL": 8, "SIZES": (), "LAST_RELU_SEEDS": range(1), "CENSUS": {}, "CENSUS_SEEDS": 2}
    for constant, value in small.items():
        monkeypatch.setattr(experiments, constant, value)
    if own:
        splits = {"train": (40, 30, 5, 30), "validation": (9, 9, 1, 9), "test": (9, 9, 1, 9)}
        folder = class_folders(tmp_path / "films", splits, NAMES)
    else:
        folder = class_folders(tmp_path / "films", {"all": (60, 50, 7, 50)}, NAMES) / "all"
    where = ("--data", str(folder), *SAID, *SPLIT, "--out", str(tmp_path / "out"))
    assert train(*TINY, "--model", "20", "--seeds", "0", "--epochs", "2", *where) == 0
    assert train("--experiments", "--image-size", "8", *where) == 0
    script("evaluate").main(["--results", str(tmp_path / "out" / "results")])
    said = capsys.readouterr().out
    assert said.count("7 images of other classes are left out: 7 of TB") == 3, "each command once"
    name = results.latest(tmp_path / "out" / "results")
    assert name.endswith("/patient-2" if own else "/given")
    file = results.studies(tmp_path / "out" / "results")[name]
    assert len(list(file.parents[1].glob("*/data.json"))) == 1, "one study, not several"
    place = results.beside(file)
    assert "validation" in baselines.read(place)[file.stem]["labels"]
    assert changes.read(place) and experiments.runs(place)
    found = study.read(tmp_path / "out" / "results", name)
    call = study.command(found.runs, ["21"])
    assert all(word in call for word in (" ".join(SAID), " ".join(SPLIT)))

    words = ["--results", str(tmp_path / "out" / "results"), "--out", str(tmp_path / "out")]
    script("report").main([*words, "--data", str(folder)])  # the choices are those of the record
    assert report.shown_in(tmp_path / "out") == name
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "python scripts/evaluate.py" in page


@pytest.mark.parametrize("name", ["train"])
@pytest.mark.parametrize(
    "words, problem",
    [
        (["--split-seed", "3"], "--split-seed needs --split"),
        (["--positive", "A,,B"], "is not a list of classes"),
        (["--split", "sideways"], "sideways"),
        (["--split", "image", "--split-seed", "-1"], "--split-seed"),
    ],
)
def test_what_contradicts_itself_is_refused_alike(capsys, name, words, problem):
    more = ["--model", "20"] if name == "train" else []
    with pytest.raises(SystemExit) as end:
        script(name).arguments([*more, *words])
    fails((end.value.code, "", capsys.readouterr().err), problem)

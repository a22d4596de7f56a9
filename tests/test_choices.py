"""What a person says of a source holds for all that is made of it, and for the report."""

import pytest
from commands import TINY, fails, script, train
from samples import class_folders, films, lay

from xray import baselines, changes, experiments, files, items, report, results, study

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


def test_what_is_taken_is_asked_for_said_recorded_and_reported(tmp_path, capsys):
    """Classes that cannot be told, a split that is missing, a column of patients, a film too many:
    from the first message to the report."""
    lines = ["{part},cat,x{n}.png,{k}", "{part},dog,x{n}.png,{k}"]
    lines = [line.replace("{part}", part) for part in ("train", "train", "test") for line in lines]
    folder = lay(tmp_path / "set", tables={"labels.csv": ["part,label,image,patient_id", *lines]})
    films(folder, ["one more.png"])
    out = tmp_path / "out"
    some = ("--data", folder, *TINY, "--model", "20", "--seeds", "0", "--epochs", "1", "--out", out)

    def refused(*words) -> str:
        assert train(*some, *words) == 2
        return capsys.readouterr().err

    classes = ("--positive", "dog", "--negative", "cat")
    assert "--positive cat --negative dog" in refused() and "other way round" in refused()
    assert "is not a list of classes" in refused("--positive", "dog,")
    assert "--split patient (or --split image) makes what is missing" in refused(*classes)
    words = *classes, "--split", "patient", "--split-seed", "3"
    assert train(*some, *words) == 0
    said = capsys.readouterr().out
    notes = ["1 images that the table does not name are left out"]
    notes += ["The source has no validation split of its own; made by patient from the train split"]
    assert "classes: dog: pneumonia (1); cat: normal (0)" in said
    assert all(f"note: {note}" in said for note in notes)
    assert train(*some, *words) == 0
    assert "1 finished before, 0 to train" in capsys.readouterr().out

    [run] = results.load(out / "results")
    assert run.split == "given" and len(run.labels["validation"]) == 4, "two of nine"
    assert run.data["options"] == [*words]
    facts = files.read_json(next(out.rglob("data.json")))
    assert all(note in " ".join(facts["notes"]) for note in notes)
    name, _ = study.choose(out / "results")
    read = study.read(out / "results", name)
    assert " ".join(words) in study.command(read.runs, ["21"])
    banner = " ".join(items.NUMBERS["differences"](read)["found"])
    assert all(note in banner for note in notes)
    page = " ".join(report.markdown(report.Report(read)).split())
    assert "images that the table does not name: 1" in page
    assert "data's own column tells the patient of 24 images, file names that of 0 more" in page
    assert (
        "test in train or validation | 8 of 8 (100" in page
        and "File names say who is shown" not in page
    )


@pytest.mark.parametrize(
    "words, problem",
    [
        (["--split-seed", "3"], "--split-seed needs --split"),
        (["--positive", "A,,B"], "is not a list of classes"),
        (["--split", "sideways"], "sideways"),
        (["--split", "image", "--split-seed", "-1"], "--split-seed"),
    ],
)
def test_what_contradicts_itself_is_refused(capsys, words, problem):
    with pytest.raises(SystemExit) as end:
        script("train").arguments(["--model", "20", *words])
    fails((end.value.code, "", capsys.readouterr().err), problem)

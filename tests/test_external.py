"""Another hospital: films with columns through trained weights, the scripts, and the chapter."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import samples
from commands import fails, script, train
from PIL import Image
from predicting import ALL, SIZE

from xray import (
    baselines,
    carry_over,
    changes,
    equalise,
    external,
    files,
    predict,
    predict_weights,
    results,
)


def run(capsys, records, *arguments):
    """evaluate.py in this process: (exit code, stdout, stderr)."""
    try:
        words = ["--results", records, *arguments]
        script("evaluate").main([str(word) for word in words])
        code = 0
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


def evaluated(capsys, records, *arguments) -> str:
    """What evaluate.py says."""
    code, said, errors = run(capsys, records, *arguments)
    assert code == 0, (said, errors)
    return said


def in_turn(**columns):
    """A change of samples.parquet: further columns, of whose values each film has one in turn."""

    def change(content, features):
        import datasets

        kinds = {str: "string", int: "int32", float: "float32"}
        for name, values in columns.items():
            content[name] = [values[row % len(values)] for row in range(len(content["labels"]))]
            features[name] = datasets.Value(kinds[type(values[0])])

    return change


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with one split alone: 24 films of each class, with columns."""
    folder = tmp_path_factory.mktemp("elsewhere") / "other-hospital"
    patients = [f"p{row // 2}" for row in range(48)]
    columns = {"view": ["AP", "PA"], "age": [9, 35], "other_model": [0.2, 0.7]}
    change = in_turn(patient=patients, **columns)
    return samples.parquet(folder, {"test": (24, 24)}, change=change)


@pytest.fixture(autouse=True)
def one_thumbnail(monkeypatch):
    """What carries over is asked of one size: eighty regressions a time are seconds."""
    monkeypatch.setattr(carry_over, "CELLS", (4,))


def beside(results_folder):
    """The folder of the one study there."""
    [file] = results.studies(results_folder).values()
    return results.beside(file)


def test_groups_are_of_views_sex_and_bands_of_age():
    ages = [9, "034Y", "x"] * 20
    table = pd.DataFrame({"View Position": ["AP", "PA", ""] * 20, "patient_age": ages})
    kept = external.columns(table)
    assert kept["view"][:3] == ["AP", "PA", None] and kept["age"][:3] == ["0–17", "18–39", None]
    labels = np.arange(60) // 3 % 2
    found = external.groups(kept, labels)
    assert set(found) == {"view AP", "view PA", "age 0–17", "age 18–39"}
    assert (found["age 0–17"] == found["view AP"]).all() and found["view AP"].sum() == 20
    other = external.columns(pd.DataFrame({"model": ["0.2", "0.7"] * 30}), ["model"])
    assert list(external.references(other)) == ["model"] and not external.groups(other, labels)
    report = "PA, no acute finding, seen by Dr Smith"
    assert not external.columns(pd.DataFrame({"view": [report] * 60}))


def test_nothing_is_kept_unless_it_is_asked_for(elsewhere, records, capsys):
    before = sorted(records.rglob("*"))
    said = evaluated(capsys, records, "--data", elsewhere)
    assert "48 films, 24 with pneumonia" in said and "model 20" in said and "AUC" in said
    assert "patients: known of 48 of 48" in said and "specificity" in said
    assert sorted(records.rglob("*")) == before


def test_a_record_holds_what_was_shown_and_keeps_what_is_not_shown_again(
    elsewhere, records, tmp_path, capsys
):
    there = "--record", "there"
    evaluated(capsys, records, "--data", elsewhere, *there)
    evaluated(capsys, records, "--data", elsewhere, *there, "--model", "20")
    [films] = external.read(beside(records))
    assert films["name"] == "there" and set(films["columns"]) == {"view", "age"}
    assert films["patients"][:4] == [0, 0, 1, 1] and films["baselines"] == {}
    assert sorted(one["model"] for one in films["models"]) == ["11", "20", "21"]
    for one in films["models"]:
        assert len(one["logits"]) == 48 and np.isfinite(one["logits"]).all()
    other = samples.class_folders(tmp_path / "other", {"all": (3, 3)}) / "all"
    fails(run(capsys, records, "--data", other, *there), "choose another")


def test_of_many_models_those_are_shown_of_which_the_report_speaks(
    elsewhere, records, capsys, monkeypatch
):
    monkeypatch.setattr(external, "MOST_MODELS", 2)
    said = evaluated(capsys, records, "--data", elsewhere)
    assert "models 20, 21 of 3 with weights; others with --model" in said
    assert "model 20, seed" in said and "model 11, seed" not in said
    said = evaluated(capsys, records, "--data", elsewhere, "--model", "20", "21", "11")
    assert "model 11, seed" in said


def test_a_model_of_equal_grey_levels_is_shown_such_films(records):
    [plain] = [run for run in results.load(records) if run.spec.id == "20"]
    equal = replace(plain, spec=replace(plain.spec, equalise=True))
    films = samples.phantoms(0, 12, SIZE)[:, None]
    record = {"labels": np.arange(12) % 2, "patients": []}
    found = script("evaluate").show(equal, films, record)["logits"]
    module = predict_weights.load_weights(plain)
    assert (found == predict.logits(module, equalise.equalise(films))).all()
    assert (found != predict.logits(module, films)).any()


def test_no_name_and_no_birth_date_is_kept(records, tmp_path, capsys):
    private = in_turn(
        patient_name=["Doe^Jane0", "Doe^Jane1"],
        birth_date=["1931-05-07"],
        report=["Mrs Doe was seen"],
        view=["AP", "PA"],
        patient=[f"secret-{row // 2}" for row in range(16)],
        image_file_path=[f"doe_jane_{row:05d}.png" for row in range(16)],
    )
    films = samples.parquet(tmp_path / "doe", {"test": (8, 8)}, change=private)
    evaluated(capsys, records, "--data", films, "--record", "there")
    for path in filter(Path.is_file, beside(records).rglob("*.json")):
        content = path.read_text().casefold()
        assert not any(word in content for word in ("doe", "jane", "1931", "secret")), path
    assert external.read(beside(records))[0]["columns"] == {"view": ["AP", "PA"] * 8}


def test_films_that_a_model_knows_are_left_out(study, records, tmp_path, capsys):
    """Equal files, equal pixels in another file, and a name that tells."""
    films = tmp_path / "films"
    for name in ("NORMAL", "PNEUMONIA"):
        shutil.copytree(study / "films" / "test" / name, films / name)  # these stay
        [first, *_] = sorted((study / "films" / "train" / name).glob("*.png"))
        shutil.copy(first, films / name / "copy.png")
        with Image.open(sorted((study / "films" / "val" / name).glob("*.png"))[0]) as image:
            image.save(films / name / "other.bmp")
    said = evaluated(capsys, records, "--data", films)
    assert "4 of 12 films are left out" in said and "2 equal bytes, 4 equal pixels" in said
    assert "8 films, 4 with pneumonia" in said
    known = study / "films" / "train"
    fails(run(capsys, records, "--data", known), "left")


def test_digests_that_an_earlier_version_did_not_keep_are_added(study, records, tmp_path):
    place = beside(records) / "data.json"
    known = files.read_json(place)
    digests = known.pop("digests")
    assert [len(text) for text in digests.values()] == [8 * len(known["paths"])] * 2
    files.write_json(place, known)
    words = f"--image-size {SIZE} --epochs 2 --seeds 1 --device cpu --out".split()
    assert train("--data", study / "films", "--model", *ALL, *words, tmp_path) == 0
    assert files.read_json(place) == known | {"digests": digests}


def test_a_name_tells_where_it_is_no_mere_number():
    trained = ["a/person7_virus_9.jpeg", "1.png", "00000013_005.png"]
    facts = {"paths": trained, "splits": {"test": 0}}
    paths = ["person7_virus_9_jpeg.rf.0a1b.jpg", "x/1.png", "00000013_005.jpg", "00000014_005.png"]
    films = SimpleNamespace(paths=paths)
    known = external.trained_on(films, facts, "given")["equal names"]
    assert known.tolist() == [True, False, True, False]


def test_films_may_be_of_several_classes(records, tmp_path, capsys):
    films = samples.class_folders(tmp_path / "films", {"all": (3, 4, 2)}, ("A", "B", "C")) / "all"
    words = "--data", films, "--positive", "B,C", "--negative", "A"
    assert "9 films, 6 with pneumonia" in evaluated(capsys, records, *words)


def test_evaluate_says_what_is_wrong(elsewhere, records, tmp_path, capsys):
    fails(run(capsys, records, "--data", tmp_path / "none"), "none")
    fails(run(capsys, tmp_path / "nothing", "--data", tmp_path), "nothing")
    fails(run(capsys, records, "--record", "x"), "--data")
    keep = "--data", elsewhere, "--keep", "age", "veiw"
    fails(run(capsys, records, *keep), "--keep veiw: no such column", "view")
    for weights in records.rglob("*.safetensors"):
        weights.unlink()
    fails(run(capsys, records, "--data", tmp_path), "weights")


def test_baselines_and_changed_films_are_made_once(records, capsys, monkeypatch):
    monkeypatch.setattr(baselines, "SIZE", 32)
    said = evaluated(capsys, records)
    place = beside(records)
    found, moved = baselines.read(place)["given"], changes.read(place)["given"]
    assert set(found["baselines"]) == set(baselines.BASELINES) | {baselines.HEADER}
    for one in found["baselines"].values():
        assert len(one["test"]) == len(found["labels"]["test"])
    assert moved["models"] and changes.UNCHANGED in moved["models"][0]["logits"]
    assert len(moved["labels"]) == len(found["labels"]["test"])
    before = {path: path.stat().st_mtime_ns for path in place.glob("*.json")}
    said = evaluated(capsys, records)
    assert said.count("all there") == 2
    assert before == {path: path.stat().st_mtime_ns for path in place.glob("*.json")}


def test_what_carries_over_is_said_and_kept(elsewhere, records, capsys, monkeypatch):
    monkeypatch.setattr(carry_over, "SIZE", 32)
    monkeypatch.setattr(carry_over, "CELLS", (4, 32))
    said = evaluated(capsys, records, "--data", elsewhere, "--record", "there")
    assert "learned here, 4×4" in said and "learned there, 32×32" in said
    found = external.read(beside(records))[0]["carry_over"]
    assert [one["cells"] for one in found] == [4, 32] * 2
    assert all(len(one["elsewhere"]) == len(one["own"]) == 48 for one in found)


def test_a_study_whose_films_are_gone_is_told(elsewhere, records, tmp_path, capsys):
    facts = beside(records) / "data.json"
    files.write_json(facts, files.read_json(facts) | {"source": str(tmp_path / "gone")})
    fails(run(capsys, records), "--source")
    said = evaluated(capsys, records, "--data", elsewhere)
    assert "equal grey levels: not tried" in said


def test_scores_count_patients_not_films():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(100) % 2, 4)  # four films a patient, all but the same
    logits = np.repeat(labels[::4] + random.normal(0, 1, 100), 4)
    owners = list(np.repeat(np.arange(100), 4))
    alone = external.scores(logits, labels, 0.5, None)["roc_auc"]
    grouped = external.scores(logits, labels, 0.5, owners)["roc_auc"]
    once = external.scores(logits[::4], labels[::4], 0.5, None)["roc_auc"]
    assert np.allclose([alone[0], grouped[0]], once[0])
    assert np.allclose(grouped, once) and alone[1] > grouped[1]
    threshold = external.scores(logits, labels, 0.5, None)
    assert threshold["accuracy"][0] == np.mean((logits > 0.5) == labels)


def test_a_record_whose_logits_are_of_other_films_is_told(tmp_path):
    record = {"labels": [0, 1], "models": [], "baselines": {"corners": [0.5, 1.0, 2.0]}}
    external.write(tmp_path, "there", record)
    with pytest.raises(files.ResultsError, match="of other films; evaluate again"):
        external.read(tmp_path)

"""Another hospital: films with columns through trained weights, the scripts, and the chapter."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
import records as made_up
import samples
from commands import fails, script

from xray import baselines, changes, external, intervals, report, results
from xray.data_sources import DataError
from xray.study import in_order, read

evaluate = script("evaluate")


def run(capsys, name: str, *arguments):
    """A script in this process: (exit code, stdout, stderr)."""
    try:
        script(name).main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


def with_columns(columns, features):
    import datasets

    count = len(columns["labels"])
    more = {"view": ["AP", "PA"], "age": [9, 35], "patient": ["a", "b"], "other_model": [0.2, 0.7]}
    for name, values in more.items():
        columns[name] = [values[row % 2] for row in range(count)]
        kind = {str: "string", int: "int32", float: "float32"}[type(values[0])]
        features[name] = datasets.Value(kind)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with one split alone: 24 films of each class, with columns."""
    folder = tmp_path_factory.mktemp("elsewhere") / "other-hospital"
    return samples.parquet(folder, {"test": (24, 24)}, change=with_columns)


def test_films_are_read_with_their_columns(elsewhere):
    films = evaluate.load_films(str(elsewhere))
    assert films.name == "other-hospital" and films.labels.sum() == 24 == len(films.labels) / 2
    assert set(films.columns) == {"view", "age", "patient", "other_model"}
    assert films.columns["view"][:3] == ["AP", "PA", "AP"]
    assert films.images(8).shape == (48, 1, 8, 8)
    table = pd.DataFrame(films.columns)
    kept = external.columns(table, ["other_model"])
    assert external.columns(table).keys() == {"view", "age"}
    assert list(external.references(kept)) == ["other_model"]
    found = external.groups(kept, films.labels)
    assert set(found) == {"view AP", "view PA", "age 0–17", "age 18–39"}
    assert (found["age 0–17"] == found["view AP"]).all() and found["view AP"].sum() == 24


def test_films_of_one_class_or_damaged_are_refused(elsewhere, tmp_path):
    one = samples.class_folders(tmp_path / "one", {"test": (3, 0)})
    (one / "test" / "PNEUMONIA").mkdir(parents=True, exist_ok=True)
    with pytest.raises(DataError):
        evaluate.load_films(str(one))
    bad = samples.class_folders(tmp_path / "bad", {"test": (3, 3)})
    broken = next((bad / "test" / "NORMAL").iterdir())
    broken.write_bytes(b"no image")
    with pytest.raises(DataError, match="skip-unreadable"):
        evaluate.load_films(str(bad))
    assert len(evaluate.load_films(str(bad), skip_unreadable=True).paths) == 5


def test_evaluate_writes_a_record_a_model(elsewhere, records, capsys):
    code, said, _ = run(capsys, "evaluate", "--data", elsewhere, "--results", records)
    assert code == 0, said
    name = next(iter(in_order(records)))
    [films] = external.read(results.beside(results.studies(records)[name]))
    assert films["models"] and films["columns"]["age"][:2] == ["0–17", "18–39"]
    assert films["baselines"] == {}
    for one in films["models"]:
        assert len(one["logits"]) == 48 and np.isfinite(one["logits"]).all()
    assert len(read(records, name).runs) == len(results.load(records))


def test_evaluate_says_what_is_wrong(records, tmp_path, capsys):
    missing = run(capsys, "evaluate", "--data", tmp_path / "none", "--results", records)
    fails(missing, "none")
    fails(run(capsys, "evaluate", "--data", tmp_path, "--results", tmp_path / "nothing"), "nothing")
    for weights in records.rglob("*.safetensors"):
        weights.unlink()
    fails(run(capsys, "evaluate", "--data", tmp_path, "--results", records), "weights")


def test_shortcuts_are_made_once(study, records, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(baselines, "SIZE", 32)
    out = records.parent
    arguments = ("shortcuts", "--data", study / "films", "--out", out)
    code, said, errors = run(capsys, *arguments)
    assert code == 0, (said, errors)
    [place] = [path.parent for path in out.rglob("baselines.json")]
    found, moved = baselines.read(place)["given"], changes.read(place)["given"]
    names = set(found["baselines"])
    assert names == set(baselines.BASELINES) | {baselines.HEADER}
    assert all(
        len(one["test"]) == len(found["labels"]["test"]) for one in found["baselines"].values()
    )
    assert moved["models"] and changes.UNCHANGED in moved["models"][0]["logits"]
    assert len(moved["labels"]) == len(found["labels"]["test"])
    before = {path: path.stat().st_mtime_ns for path in place.glob("*.json")}
    code, said, _ = run(capsys, *arguments)
    assert code == 0 and "all there" in said
    assert before == {path: path.stat().st_mtime_ns for path in place.glob("*.json")}


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


def test_pairs_within_patients():
    logits, labels = np.array([3.0, 1.0, 2.0, 2.0, 9.0]), np.array([1, 0, 1, 0, 1])
    share, patients = external.within_patients(logits, labels, ["a", "a", "b", "b", "c"])
    assert (share, patients) == (0.75, 2)


def test_the_chapter_shows_what_there_is(study, records, elsewhere, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(baselines, "SIZE", 32)
    name = next(iter(in_order(records)))
    without = report.markdown(report.context(read(records, name)), tmp_path)
    assert "This makes them" in without and "python scripts/shortcuts.py" in without
    assert "make external" in without
    assert run(capsys, "shortcuts", "--data", study / "films", "--out", records.parent)[0] == 0
    assert run(capsys, "evaluate", "--data", elsewhere, "--results", records)[0] == 0
    [there] = external.read(results.beside(results.studies(records)[name]))
    assert set(there["baselines"]) == set(baselines.BASELINES) | {baselines.HEADER}
    assert all(len(one) == 48 and np.isfinite(one).all() for one in there["baselines"].values())
    content = report.context(read(records, name))
    for page in (report.markdown(content, tmp_path), report.html(content, tmp_path)):
        assert "This makes them" not in page and "make external" not in page
        for words in ("outside the lung box", "lung box of the other class", "other-hospital"):
            assert words in page
        assert "view AP" in page
        assert ("need not see a lung" in page) == content["seeing"]["floors"]["told"]
        assert ("No floor without lung tells" in page) != content["seeing"]["floors"]["told"]


@pytest.fixture(scope="module")
def section(tmp_path_factory):
    """A study of two models with re-splits by patient, and 80 films of another hospital: its
    context and what lies beside it of these films."""
    folder = tmp_path_factory.mktemp("section") / "results"
    for model in ("20", "22b"):
        made_up.save(folder, made_up.run(model))
        for number in range(2):
            made_up.save(folder, made_up.run(model, number, split=f"patient-{number}"))
    [given] = folder.glob("*")
    for split in ("given", "patient-0", "patient-1"):
        made_up.shortcuts(given, validation=120, test=60, split=split)
    made_up.elsewhere(given, ("20", "22b"))
    [films] = external.read(given)
    return report.context(read(folder, next(iter(in_order(folder))))), films


def test_the_picture_holds_home_no_shared_patient_and_elsewhere(section):
    content, films = section
    item, [one] = content["shown"]["external-1"], content["seeing"]["external"]
    rows = {row.pop("model_or_floor"): row for row in csv.DictReader(io.StringIO(item["data"]))}
    names = ["model 20", "model 22b", *baselines.RESPLIT, "other model, 70 films"]
    assert sorted(rows) == sorted(names)
    run = made_up.run("20")
    places = {"given": (run.logits["test"], run.labels["test"])}
    places["elsewhere"] = films["models"][0]["logits"], films["labels"]
    for place, about in places.items():
        area = intervals.influence(*about)["roc_auc"][0]
        assert float(rows["model 20"][f"auc_{place}"]) == pytest.approx(area, abs=1e-4)
        assert float(rows["model 20"][f"auc_{place}_low"]) < area
    apart = [made_up.run("20", number) for number in range(2)]
    apart = [intervals.influence(run.logits["test"], run.labels["test"]) for run in apart]
    mean = np.mean([each["roc_auc"][0] for each in apart])
    assert float(rows["model 20"]["auc_apart"]) == pytest.approx(mean, abs=1e-4)
    assert rows["other model, 70 films"]["auc_given"] == ""
    assert float(rows["other model, 70 films"]["auc_elsewhere"]) == 1
    assert item["plot"]["narrow"] and "chance is 50" in item["plot"]["inline"]
    assert all(name in item["plot"]["alt"] for name in names)
    assert one["at_chance"] and one["references"]["other_model"]["films"] == 70


def test_baselines_that_mislead_elsewhere_are_named(section, tmp_path):
    content, _ = section
    [one] = content["seeing"]["external"]
    assert one["turned"] == [name for name in baselines.RESPLIT if name in baselines.WITHOUT_LUNG]
    for page in (report.markdown(content, tmp_path), report.html(content, tmp_path)):
        said = " ".join(page.split())
        assert "the wrong way round there" in said and "the models' AUC is" in said.replace(
            "&#39;", "'"
        )
        assert "at chance" in said and "nan" not in said.split()
    rows = content["shown"]["external-1"]["table"]["rows"]
    assert [row[0]["text"] for row in rows[-len(baselines.RESPLIT) :]] == list(baselines.RESPLIT)
    groups = content["shown"]["external-groups-1"]["table"]
    assert [c["name"] for c in groups["columns"]][-3:] == [
        "outside the lung box",
        baselines.CURVE,
        "other model",
    ]


def test_the_brier_score_is_of_the_probability_that_is_printed():
    logits, labels = np.array([4.0, -4.0, 2.0]), np.array([1, 0, 0])
    printed = 1 / (1 + np.exp(-logits / 2.5))
    found = external.scores(logits, labels, 3.0, None, temperature=2.5)
    assert found["brier"][0] == pytest.approx(np.mean((printed - labels) ** 2))
    assert found["recall"][0] == 1 and found["specificity"][0] == 1

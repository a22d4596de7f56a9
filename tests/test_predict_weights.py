"""Which run predicts, weights that are missing or spoiled, and which threshold decides."""

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest
from predicting import SIZE, ask, call, refused, save_film
from records import run as made_up

from xray import files, predict_weights, results


@pytest.fixture
def film(tmp_path):
    return save_film(tmp_path / "x.png")


# ---- which run


def test_the_run_of_the_lowest_seed_and_the_largest_size_is_taken(records):
    run = predict_weights.choose(records, "20").run
    content = results.weights_path(run).read_bytes()
    for seed, size in ((0, SIZE), (0, 8), (2, SIZE)):  # beside seed 1
        other = replace(run, seed=seed, image_size=size)
        other = replace(other, weights=run.weights | {"file": f"{other.name}.safetensors"})
        results.weights_path(other).write_bytes(content)
        results.append(run.file, other)
    found = []
    for wanted in ({}, {"seed": 1}, {"image_size": 8}):
        run = predict_weights.choose(records, "20", **wanted).run
        found.append((run.seed, run.image_size))
    assert found == [(0, SIZE), (1, SIZE), (0, 8)]


def test_without_a_model_the_best_on_validation_speaks_and_why_is_said(records, film, capsys):
    """Not the one of a fixed list, which a study of one's own may lack."""
    file = predict_weights.choose(records, "20").run.file
    runs = predict_weights.with_weights(file)
    assert list(runs) == ["11", "20", "21"]
    labels = runs["11"].labels["validation"]
    for model, sign in (("11", 1), ("20", -1), ("21", -1)):
        right = sign * np.where(labels == 1, 2.0, -2.0).astype(np.float32)
        logits = runs[model].logits | {"validation": right}
        results.append(file, replace(runs[model], logits=logits), again=True)
    code, out, _ = call(capsys, "--results", records, "--no-map", film)
    assert code == 0
    assert "model 11 (the best of 3 with weights on the validation films)" in out


def copied(records, name: str, **facts):
    """Another study: a copy of the first one under a name, with other facts of its data."""
    first = next(path for path in records.iterdir() if path.is_dir())
    shutil.copytree(first, records / name)
    known = files.read_json(first / "data.json")
    files.write_json(records / name / "data.json", known | facts)
    return f"{name}/given"


def test_the_study_trained_last_speaks_and_each_answer_says_so(records, film, capsys):
    first = predict_weights.choose(records).study
    other = copied(records, "other-00000000")
    for last in (other, first):
        (records / "latest").write_text(f"{last}\n")
        found = ask(capsys, records, "--no-map", film)
        assert found["study"] == last
        assert [(one["study"], one["model"]) for one in found["images"]] == [(last, found["model"])]
    code, out, _ = call(capsys, "--results", records, "--no-map", "--model", "20", film)
    assert code == 0 and f"says model 20 of {first}" in out and f"study {first}, trained on" in out
    names = (other, other.split("/")[0])
    assert {predict_weights.choose(records, "20", study=name).study for name in names} == {other}


def test_another_studys_damaged_facts_stop_no_answer(records, film, capsys):
    first = predict_weights.choose(records).study
    copied(records, "other-00000000")
    (records / "latest").write_text(f"{first}\n")
    (records / "other-00000000" / "data.json").write_text("{")
    assert ask(capsys, records, "--no-map", film)["study"] == first
    (records / first.split("/")[0] / "data.json").unlink()
    assert "data.json" in refused(capsys, records, "--no-map", film)


def test_a_study_without_such_weights_is_passed_over_with_a_note(records, film, capsys):
    first = predict_weights.choose(records).study
    other = copied(records, "other-00000000")
    (records / "latest").write_text(f"{other}\n")
    for path in (records / "other-00000000" / "weights").glob("20-*"):
        path.unlink()
    code, out, err = call(capsys, "--results", records, "--no-map", "--model", "20", film)
    assert code == 0 and f"study {first}" in out
    assert err == f"note: study {other} has no weights of model 20; another study is used\n"


@pytest.mark.parametrize("kind", ["films", "phantom"])
def test_films_in_the_box_and_phantoms_do_not_displace_a_study(records, kind):
    first = predict_weights.choose(records).study
    box = copied(records, "box-00000000", kind=kind)
    (records / "latest").write_text(f"{box}\n")
    assert predict_weights.choose(records).study == first
    assert predict_weights.choose(records, study=box).study == box
    shutil.rmtree(records / first.split("/")[0])
    assert predict_weights.choose(records).study == box, "the only one"


def test_a_model_without_weights_says_how_to_make_them(records, film, tmp_path, capsys):
    def told(*words):
        return refused(capsys, records, *words, film)

    text = told("--model", "22")
    assert "scripts/train.py --model 22" in text and "at hand: 11, 20, 21" in text
    assert "--force" not in text
    for path in records.rglob("20-*.safetensors"):
        path.unlink()
    text = told("--model", "20")
    assert "--model 20" in text and f"--image-size {SIZE}" in text and "--force" in text
    assert "--seeds 7" in told("--model", "20", "--seed", "7")
    assert "at hand: 11, 21" in text
    unknown = "error: there is no model '99x'; python scripts/train.py --list prints all\n"
    assert told("--model", "99x") == unknown
    assert "no study named 'no-such'" in told("--study", "no-such")
    for path in records.rglob("*.safetensors"):
        path.unlink()
    assert "no such weights of any model" in told()
    assert "train something first" in refused(capsys, tmp_path / "none", film)


@pytest.mark.parametrize(
    "facts",
    [
        {"sizes": ["40x40"]},
        {"sizes": {"large": 3}},
        {"intensity": [1, 2]},
        {"intensity": {"brightness": "dark", "contrast": [1, 2, 3]}},
        {"intensity": {"averages": ["AAAA"], "brightness": [1, 2, 3], "contrast": [1, 2, 3]}},
        {"bits": "sixteen"},
        {"bits": None},
    ],
)
def test_a_data_json_altered_by_hand_is_told(records, film, capsys, facts):
    place = next(records.glob("*/data.json"))
    files.write_json(place, files.read_json(place) | facts)
    text = refused(capsys, records, "--no-map", film)
    assert text.startswith(f"error: {place}: altered by hand") and "train.py makes it anew" in text


@pytest.mark.parametrize("facts", [{"classes": ["NORMAL"]}, {"counts": None}, {"patients": [1]}])
def test_a_card_of_altered_facts_is_told(records, tmp_path, capsys, facts):
    place = next(records.glob("*/data.json"))
    files.write_json(place, files.read_json(place) | facts)
    words = "--results", records, "--model", "20", "--export", tmp_path / "m.pt2"
    code, _, err = call(capsys, *words)
    assert code == 2 and f"error: {place}: altered by hand" in err
    assert not list(tmp_path.glob("m*"))


# ---- its weights


def test_spoiled_weights_are_refused_in_one_line(records, film, capsys):
    run = predict_weights.choose(records, "20").run
    path = results.weights_path(run)
    content = path.read_bytes()

    def told(changed: bytes, recorded=True) -> str:
        """What is said where the file is `changed`, and its record too or not."""
        path.write_bytes(changed)
        digest = {"sha256": hashlib.sha256(changed).hexdigest()} if recorded else {}
        results.append(run.file, replace(run, weights=run.weights | digest), again=True)
        return refused(capsys, records, "--model", "20", film)

    altered = content[:-1] + bytes([content[-1] ^ 1])
    assert "checksum differs" in told(altered, recorded=False)
    assert "checksum differs" in told(b"", recorded=False)
    assert "train the run again with --force" in told(content[:-100])
    other = results.weights_path(predict_weights.choose(records, "11").run).read_bytes()
    assert "Missing key" in told(other)


# ---- which threshold decides


def thresholds(model: str, stored, labels, *wanted):
    """The rules of a run with these logits of validation films."""
    logits = {"validation": np.array(stored, np.float32)}
    run = replace(made_up(model), logits=logits, labels={"validation": np.array(labels)})
    return predict_weights.thresholds(run, *wanted)


def test_the_decision_is_the_threshold_for_95_percent_sensitivity():
    stored = np.linspace(-3, 3, 200)
    labels = (np.arange(200) >= 80).astype(int)
    found = thresholds("20", stored, labels)
    assert found.decision is found.sensitive and found.paper.logit == 0
    assert found.sensitive.sensitivity >= 0.95 > found.paper.sensitivity
    assert found.sensitive.specificity > 0.9
    own = thresholds("20", stored, labels, 0.9)
    assert own.decision.name == "given" and own.sensitive
    assert own.decision.probability == pytest.approx(0.9)


def test_a_threshold_that_calls_everything_pneumonia_does_not_decide():
    stored = np.maximum(0, np.linspace(-3, 3, 100))  # an MLP that shuts off half of the pneumonia
    found = thresholds("21", stored, np.tile([0, 1], 50))
    assert found.sensitive is None and found.decision is found.paper
    assert "every normal" in found.reason


def test_a_model_with_one_answer_decides_nothing():
    found = thresholds("6", np.zeros(20), np.tile([0, 1], 10), 0.2)
    assert found.decision is None and "dead" in found.reason


def test_one_class_of_validation_images_leaves_the_papers_rule():
    found = thresholds("20", [1.0, 2, 3], [0, 0, 0])
    assert found.sensitive is None and found.decision is found.paper
    assert np.isnan(found.paper.sensitivity) and found.paper.specificity == 0


def test_the_probability_is_calibrated_on_the_validation_images():
    logits = np.repeat([-4.0, 4.0], 100)  # right in nine of ten, whatever the logit claims
    labels = np.tile(np.arange(10) == 0, 20).astype(int)
    labels[100:] = 1 - labels[100:]
    found = thresholds("20", logits, labels, 0.8)
    assert found.temperature == pytest.approx(4 / np.log(9), rel=1e-3)
    assert found.decision.logit == pytest.approx(found.temperature * np.log(4))
    assert found.decision.probability == pytest.approx(0.8)
    assert found.probability(np.float32([-4, 0, 4])) == pytest.approx([0.1, 0.5, 0.9], rel=1e-3)


def test_an_answer_is_unsure_where_both_classes_lie():
    logits = np.concatenate([np.arange(-100, 0), np.arange(-10, 90)]).astype(float)
    labels = np.repeat([0, 1], 100)
    low, high = thresholds("20", logits, labels).unsure
    assert low == pytest.approx(-9) and high == pytest.approx(-2)
    clear = np.where(labels == 1, 5.0 + logits % 3, -5.0 - logits % 3)
    assert thresholds("20", clear, labels).unsure is None


@pytest.mark.parametrize("normal, ill, told", [(50, 50, False), (49, 900, True), (900, 3, True)])
def test_a_small_validation_set_is_said(normal, ill, told):
    labels = np.repeat([0, 1], [normal, ill])
    logits = np.linspace(-3, 3, normal + ill)
    warning = thresholds("20", logits, labels).warning
    assert bool(warning) == told
    assert not told or f"only {normal} normal and {ill} pneumonia images" in warning

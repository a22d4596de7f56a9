"""A person's images through a trained run: the same numbers as in training, honest maps, and errors
in one line.
"""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from predicting import ALL, ask, call
from safetensors.torch import load_file, save_file
from samples import dicom_file

from xray import data_phantoms, intervals, metrics, predict, predict_weights, results

# ---- the same numbers as in training


@pytest.mark.parametrize("name", ALL)
def test_an_image_gets_the_logit_that_training_stored_for_it(study, capsys, name):
    found = ask(
        capsys, study / "out" / "results", "--model", name, "--no-map", study / "films" / "test"
    )
    run = predict_weights.choose(study / "out" / "results", name).run
    facts = results.read_json(next((study / "out" / "results").glob("*/data.json")))
    order = {path: row for row, path in enumerate(facts["paths"][-8:])}
    assert len(found["images"]) == 8 and found["data"] == run.data
    for image in found["images"]:
        row = next(row for path, row in order.items() if image["image"].endswith(path))
        stored = run.logits["test"][row]
        assert image["logit"] == pytest.approx(float(stored), abs=2e-5)
        warm = found["thresholds"]["temperature"]
        probability = 1 / (1 + np.exp(-float(stored) / warm))
        assert image["probability"] == pytest.approx(probability, abs=1e-5)
        assert image["decision_paper"] == ("PNEUMONIA" if image["logit"] > 0 else "NORMAL")
    assert len({image["logit"] for image in found["images"]}) > 1
    assert "no medical device" in found["notice"]


def test_many_images_are_judged_as_each_alone(study, capsys, tmp_path):
    for number in range(predict.AT_ONCE + 3):
        Image.fromarray(data_phantoms.draw(900 + number, number % 2 == 1, 24)).save(
            tmp_path / f"{number:03}.png"
        )
    together = ask(capsys, study / "out" / "results", "--model", "11", "--no-map", tmp_path)[
        "images"
    ]
    assert [Path(image["image"]).stem for image in together] == [
        f"{n:03}" for n in range(predict.AT_ONCE + 3)
    ]
    last = ask(
        capsys, study / "out" / "results", "--model", "11", "--no-map", tmp_path / "034.png"
    )["images"][0]
    assert last["logit"] == pytest.approx(together[34]["logit"], abs=1e-5)


# ---- its maps


def test_maps_take_safe_names_and_overwrite_no_input(study, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    film = data_phantoms.draw(1, True, 24)
    names = [
        "a/x.png",
        "b/x.png",
        "b/x.bmp",
        "b/x-20.png",
        "b/two\nlines ..png",
        "b/..png",
        "b/\x1b[31m-é.png",
    ]
    for name in names:
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(film).save(name, "BMP" if name.endswith("bmp") else "PNG")
    before = {path: path.read_bytes() for path in map(Path, names)}
    answer = ask(capsys, study / "out" / "results", "--model", "20", "--maps", "b", *names)
    written = [Path(image["map"]) for image in answer["images"]]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(set(written)) == len(names) and all(path.parent == Path("b") for path in written)
    assert all(
        path.name.isascii() and path.name.isprintable() and not path.name.startswith(".")
        for path in written
    )
    assert all(Image.open(path).format == "PNG" for path in written)
    code, out, err = call(
        capsys, "--results", study / "out" / "results", "--model", "20", "--no-map", *names
    )
    assert code == 0 and r"two\nlines" in out and r"\x1b[31m" in out and "\x1b" not in out


# ---- a dead model


def test_a_dead_model_decides_nothing(records, tmp_path, capsys):
    run = predict_weights.choose(records, "21").run
    tensors = {
        key: torch.zeros_like(value)
        for key, value in load_file(run.file.with_suffix(".safetensors")).items()
    }
    save_file(tensors, run.file.with_suffix(".safetensors"))
    digest = hashlib.sha256(run.file.with_suffix(".safetensors").read_bytes()).hexdigest()
    run = replace(
        run,
        weights=run.weights | {"sha256": digest},
        logits={k: v * 0 for k, v in run.logits.items()},
    )
    results.save(run.file.parent, run, run.file.stem)
    Image.fromarray(data_phantoms.draw(1, True, 24)).save(tmp_path / "x.png")
    code, out, _ = call(
        capsys,
        "--results",
        records,
        *"--model 21 --maps".split(),
        tmp_path / "maps",
        tmp_path / "x.png",
    )
    assert code == 0 and "probability 0.500, no decision" in out and "dead" in out


# ---- images of another kind


def test_a_colour_photograph_is_warned_about_and_a_gray_rgb_file_is_not(study, tmp_path, capsys):
    film = Image.fromarray(data_phantoms.draw(5000, True, 40))
    film.convert("RGB").save(tmp_path / "gray.jpg")
    colours = np.stack([np.asarray(film), np.asarray(film) // 2, np.asarray(film) // 4], 2)
    Image.fromarray(colours).save(tmp_path / "photo.png")
    answers = ask(capsys, study / "out" / "results", "--model", "20", "--no-map", tmp_path)[
        "images"
    ]
    assert answers[0]["warnings"] == [] and any(
        "in colour" in text for text in answers[1]["warnings"]
    )


# ---- images that cannot be read


def test_unreadable_images_are_named_and_the_others_predicted(study, tmp_path, capsys):
    place = tmp_path / "in"
    (place / "empty").mkdir(parents=True)
    Image.fromarray(data_phantoms.draw(1, True, 24)).save(place / "good.png")
    (place / "cut.png").write_bytes((place / "good.png").read_bytes()[:200])
    (place / "text\n.jpg").write_text("not an image")
    (place / "notes.txt").write_text("left alone")
    (place / ".hidden.png").write_text("left alone")
    (place / "none.png").touch()
    os.mkfifo(place / "pipe.png")
    code, out, err = call(
        capsys,
        "--results",
        study / "out" / "results",
        *"--model 20 --no-map".split(),
        place,
        place / "empty",
        place / "missing.png",
        place / "pipe.png",
        "\0",
        place / "good.png",
    )
    assert code == 2
    assert sum("good.png: probability 0." in line for line in out.splitlines()) == 1
    lines = err.splitlines()
    assert len(lines) == 7 and all(line.startswith("error: ") for line in lines)
    for text in (
        "cut.png: damaged",
        r"text\n.jpg: not an image",
        "none.png: empty",
        "empty: a folder without images",
        "missing.png: no such file",
        "pipe.png: not a file",
        r"\x00",
    ):
        assert sum(text in line for line in lines) == 1, text
    assert out.splitlines()[-1] == predict_weights.NOTICE
    assert (
        call(capsys, "--results", study / "out" / "results", "--model", "20", place / "empty")[0]
        == 2
    )
    assert call(capsys, "--model", "20")[::2] == (
        2,
        "error: name images or folders of them; --help tells more\n",
    )
    answer = call(
        capsys, "--results", study / "out" / "results", "--model", "20", "--no-map", "--json", place
    )
    assert (
        answer[0] == 2
        and len(json.loads(answer[1])["failed"]) == 3
        and len(json.loads(answer[1])["images"]) == 1
    )


def test_own_maps_are_not_taken_for_input(study, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data_phantoms.draw(1, True, 24)).save("x.png")
    for _ in range(2):
        assert len(ask(capsys, study / "out" / "results", "--model", "20", ".")["images"]) == 1
    assert sorted(path.name for path in Path("maps").iterdir()) == ["x-20.png"]


@pytest.mark.parametrize(
    "words",
    [
        ["--threshold", "1"],
        ["--threshold", "x"],
        ["--seed", "-1"],
        ["--export", "m.onnx"],
        ["--maps", "/dev/null/x"],
    ],
)
def test_wrong_options_end_in_one_line(study, tmp_path, capsys, words):
    Image.fromarray(data_phantoms.draw(1, True, 24)).save(tmp_path / "x.png")
    code, _, err = call(
        capsys, "--results", study / "out" / "results", "--model", "20", *words, tmp_path / "x.png"
    )
    assert code == 2 and len(err.splitlines()) == 1 and err.startswith("error: ")


# ---- what a person asks for


def test_what_dicom_says_it_is_decides_and_any_overrides_with_a_warning(study, tmp_path, capsys):
    film = data_phantoms.draw(1, True, 24).astype(int) * 16
    (tmp_path / "knee").write_bytes(dicom_file(film, Modality="MR", BodyPartExamined="KNEE"))
    (tmp_path / "chest").write_bytes(dicom_file(film, Modality="DX", BodyPartExamined="CHEST"))
    (tmp_path / "notes").write_text("left alone")
    words = "--results", study / "out" / "results", "--model", "20", "--maps", tmp_path / "maps"
    code, out, err = call(capsys, *words, tmp_path)
    assert code == 2 and "chest: probability" in out and "knee: probability" not in out
    [line] = err.splitlines()
    assert line.endswith("knee: no frontal chest film by its tags (Modality MR)")
    code, out, err = call(capsys, *words, "--any", tmp_path)
    assert code == 0 and err == ""
    assert "warning: no frontal chest film by its tags (Modality MR), read since --any is" in out
    found = ask(capsys, *words[1:], "--any", tmp_path / "knee")
    assert any("Modality MR" in text for text in found["images"][0]["warnings"])
    drawn = np.asarray(Image.open(found["images"][0]["map"]).convert("RGB"), int)
    assert ((drawn[..., 0] > 150) & (drawn[..., 1] < 50) & (drawn[..., 2] < 50))[-30:].any()


def test_pages_after_the_first_are_told(study, tmp_path, capsys):
    pages = [Image.fromarray(data_phantoms.draw(n, True, 40)) for n in (1, 2)]
    pages[0].save(tmp_path / "x.tiff", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "y.png")
    both = ask(capsys, study / "out" / "results", "--model", "20", "--no-map", tmp_path)["images"]
    assert "several pages or frames" in both[0]["warnings"][0] and both[1]["warnings"] == []
    assert both[0]["logit"] == both[1]["logit"]


def test_an_empty_name_is_not_this_folder(study, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data_phantoms.draw(1, True, 24)).save("x.png")
    code, out, err = call(capsys, "--results", study / "out" / "results", "--model", "20", "")
    assert code == 2 and out == "" and err.startswith("error: '': an empty name")


@pytest.mark.parametrize(
    "words", [["missing.png"], [""], ["--model", "zz", "x.png"], ["--threshold", "7"], []]
)
def test_json_is_printed_of_errors_too(study, tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data_phantoms.draw(1, True, 24)).save("x.png")
    code, out, err = call(capsys, "--results", study / "out" / "results", "--json", *words)
    assert code == 2 and len(json.loads(out)["error"]) > 5 and err.startswith("error: ")


def test_a_labelled_folder_is_scored(study, tmp_path, capsys):
    results_folder, films = study / "out" / "results", study / "films" / "test"
    found = ask(capsys, results_folder, "--model", "20", "--no-map", "--evaluate", films)
    run = predict_weights.choose(results_folder, "20").run
    thresholds = predict_weights.thresholds(run)
    scores, spans = (
        judge(run.logits["test"] - thresholds.decision.logit, run.labels["test"])
        for judge in (metrics.scores, intervals.of_model)
    )
    assert found["evaluated"]["images"] == {"NORMAL": 4, "PNEUMONIA": 4}
    for name in ("accuracy", "recall", "specificity"):
        expected = [scores[name], *spans[name]]
        assert found["evaluated"]["at"][thresholds.decision.name][name] == pytest.approx(expected)
    area = metrics.scores(run.logits["test"], run.labels["test"])["roc_auc"]
    assert found["evaluated"]["ranking"]["roc_auc"][0] == pytest.approx(area)
    words = "--results", results_folder, "--model", "20", "--no-map", "--evaluate"
    code, out, _ = call(capsys, *words, films)
    assert code == 0 and "evaluated on 4 NORMAL, 4 PNEUMONIA" in out
    assert f"area under the ROC {area:.3f} [" in out
    Image.fromarray(data_phantoms.draw(1, True, 24)).save(tmp_path / "x.png")
    code, _, err = call(capsys, *words, tmp_path / "x.png")
    assert code == 2 and "no folder that is named after a class" in err

"""A person's images through a trained run: the same numbers as in training, honest maps, and errors
in one line."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from predicting import ALL, answers, ask, call, save_film
from safetensors.torch import load_file, save_file
from samples import dicom_file, encode, put

from xray import data_images, data_phantoms, equalise, files, predict, predict_weights, results


@pytest.fixture
def place(study):
    """The folder of the study's records."""
    return study / "out" / "results"


# ---- the same numbers as in training


@pytest.mark.parametrize("name", ALL)
def test_an_image_gets_the_logit_that_training_stored_for_it(study, place, capsys, name):
    found = ask(capsys, place, "--model", name, "--no-map", study / "films" / "test")
    run = predict_weights.choose(place, name).run
    facts = files.read_json(next(place.glob("*/data.json")))
    order = {path: row for row, path in enumerate(facts["paths"][-8:])}
    assert len(found["images"]) == 8 and found["data"] == run.data
    for image in found["images"]:
        row = next(row for path, row in order.items() if image["image"].endswith(path))
        stored = float(run.logits["test"][row])
        assert image["logit"] == pytest.approx(stored, abs=2e-5)
        probability = 1 / (1 + np.exp(-stored / found["thresholds"]["temperature"]))
        assert image["probability"] == pytest.approx(probability, abs=1e-5)
        assert image["decision_paper"] == ("PNEUMONIA" if image["logit"] > 0 else "NORMAL")
        assert (image["model"], image["study"]) == (name, found["study"])
    assert len({image["logit"] for image in found["images"]}) > 1
    assert "no medical device" in found["notice"]


def test_many_images_are_judged_as_each_alone(place, capsys, tmp_path):
    for number in range(predict.AT_ONCE + 3):
        save_film(tmp_path / f"{number:03}.png", 900 + number)
    together = ask(capsys, place, "--model", "11", "--no-map", tmp_path)["images"]
    names = [Path(image["image"]).stem for image in together]
    assert names == [f"{n:03}" for n in range(predict.AT_ONCE + 3)]
    [last] = ask(capsys, place, "--model", "11", "--no-map", tmp_path / "034.png")["images"]
    assert last["logit"] == pytest.approx(together[34]["logit"], abs=1e-5)


def test_nothing_of_a_film_is_kept(study, place, capsys, tmp_path, monkeypatch):
    save_film(tmp_path / "x.png")
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    ask(capsys, place, "--no-map", "x.png")
    assert [path.name for path in tmp_path.rglob("*")] == ["x.png"], "and no cache beside it"
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


def test_a_model_of_equal_grey_levels_is_shown_such_films(place, tmp_path):
    chosen = predict_weights.choose(place, "20")
    run = replace(chosen.run, spec=replace(chosen.run.spec, equalise=True))
    film = save_film(tmp_path / "x.png", size=16)
    plain = predict.make_ready(film, chosen).pixels
    equal = predict.make_ready(film, chosen._replace(run=run)).pixels
    assert (equal == equalise.equalise(plain)).all() and len(np.unique(equal)) == 256


# ---- films of other kinds


def test_a_dark_film_has_the_range_of_those_of_the_training(place, tmp_path):
    values = np.array([[0, 100], [500, 900]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    chosen = predict_weights.choose(place, "20")
    brightest = {}
    for bits in (12, 16):
        known = chosen._replace(facts={"bits": bits})
        brightest[bits] = int(predict.make_ready(tmp_path / "a.png", known).pixels.max())
    assert brightest[12] < 60 < 200 < brightest[16]


FILM = data_phantoms.draw(3, True, 40)
WIDE = np.rint(FILM / FILM.max() * 4095).astype(np.uint16)
PAGES = {"save_all": True, "append_images": [Image.fromarray(255 - FILM)]}
PHOTO = np.stack([FILM, FILM // 2, FILM // 4], 2)


@pytest.mark.parametrize(
    "kind, same, warning",
    [
        (encode(np.stack([FILM] * 3, 2)), FILM, ""),
        (dicom_file(FILM.astype(int) * 16, WindowCenter=2040.5, WindowWidth=4081), FILM, ""),
        # a film that stands alone is read by the range that its own values need
        (encode(WIDE), FILM / FILM.max() * 255, "reach 4,095: read as 12 bits of 16"),
        (encode(FILM, "TIFF", **PAGES), FILM, "it has several pages or frames"),
        (encode(PHOTO), PHOTO @ [0.299, 0.587, 0.114], "in colour"),
    ],
    ids=["gray in RGB", "DICOM", "12 bits in 16", "pages", "a photograph"],
)
def test_of_whatever_kind_it_is_the_same_film(place, tmp_path, capsys, kind, same, warning):
    put(tmp_path / "a", kind)
    put(tmp_path / "b.png", encode(np.rint(same).astype(np.uint8)))
    found, plain = answers(capsys, place, tmp_path)
    assert found["logit"] == pytest.approx(plain["logit"], abs=0.02)
    more = [text for text in found["warnings"] if text not in plain["warnings"]]
    assert [warning in text for text in more] == [True] * bool(warning)


def test_what_dicom_says_it_is_decides_and_any_overrides_with_a_warning(place, tmp_path, capsys):
    film = data_phantoms.draw(1, True, 24).astype(int) * 16
    put(tmp_path / "knee", dicom_file(film, Modality="MR", BodyPartExamined="KNEE"))
    put(tmp_path / "chest", dicom_file(film, Modality="DX", BodyPartExamined="CHEST"))
    put(tmp_path / "notes", b"passed over")
    words = "--results", place, "--model", "20", "--maps", tmp_path / "maps"
    code, out, err = call(capsys, *words, tmp_path)
    assert code == 2 and "chest: probability" in out and "knee: probability" not in out
    note, line = sorted(err.splitlines(), reverse=True)
    assert line.endswith("knee: no frontal chest film by its tags (Modality MR)")
    assert note == f"note: ignored, no films: 1 file ({tmp_path / 'notes'})"
    code, out, err = call(capsys, *words, "--any", tmp_path)
    assert code == 0 and err.startswith("note: ignored")
    assert "warning: no frontal chest film by its tags (Modality MR), read since --any is" in out
    [found] = ask(capsys, *words[1:], "--any", tmp_path / "knee")["images"]
    assert any("Modality MR" in text for text in found["warnings"])
    drawn = np.asarray(Image.open(found["map"]).convert("RGB"), int)
    assert ((drawn[..., 0] > 150) & (drawn[..., 1] < 50) & (drawn[..., 2] < 50))[-30:].any()


# ---- its maps


def test_maps_take_safe_names_and_overwrite_no_input(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["a/x.png", "b/x.png", "b/x.bmp", "b/x-20.png", "b/..png"]
    names += ["b/two\nlines ..png", "b/\x1b[31m-é.png"]
    film = data_phantoms.draw(1, True, 24)
    before = {Path(name): encode(film, "BMP" if "bmp" in name else "PNG") for name in names}
    for path, content in before.items():
        put(path, content)
    words = place, "--model", "20"
    written = [Path(image["map"]) for image in ask(capsys, *words, "--maps", "b", *names)["images"]]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(set(written)) == len(names)
    for path in written:
        assert path.parent == Path("b") and Image.open(path).format == "PNG"
        assert path.name.isascii() and path.name.isprintable() and path.name[0] != "."
    code, out, _ = call(capsys, "--results", *words, "--no-map", *names)
    assert code == 0 and r"two\nlines" in out and r"\x1b[31m" in out and "\x1b" not in out


def test_own_maps_are_not_taken_for_input(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_film(Path("x.png"))
    for _ in range(2):
        assert len(ask(capsys, place, "--model", "20", ".")["images"]) == 1
    assert sorted(path.name for path in Path("maps").iterdir()) == ["x-20.png"]


def test_a_dead_model_decides_nothing(records, tmp_path, capsys):
    run = predict_weights.choose(records, "21").run
    weights = results.weights_path(run)
    save_file({key: torch.zeros_like(value) for key, value in load_file(weights).items()}, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    logits = {part: values * 0 for part, values in run.logits.items()}
    dead = replace(run, weights=run.weights | {"sha256": digest}, logits=logits)
    results.append(run.file, dead, again=True)
    words = "--results", records, "--model", "21", "--maps", tmp_path / "maps"
    code, out, _ = call(capsys, *words, save_film(tmp_path / "x.png"))
    assert code == 0 and "probability 0.500, no decision" in out and "dead" in out
    assert "no map: the model decides nothing" in out


# ---- which files are films, and those that cannot be read


def test_masks_in_a_folder_are_passed_over(tmp_path):
    film = save_film(tmp_path / "films" / "x.png")
    mask = save_film(tmp_path / "lung masks" / "x.png")
    found = predict.find([str(tmp_path)])
    assert found.images == [film] and found.passed_over == [mask.parent]
    beside = save_film(film.with_name(f"{film.stem}_mask.png"))
    found = predict.find([str(tmp_path)])
    assert found.images == [film] and set(found.passed_over) == {mask.parent, beside}
    assert len(predict.find([str(mask.parent)]).images) == 1, "where it is named"


def test_unreadable_images_are_named_and_the_others_predicted(place, tmp_path, capsys):
    folder = tmp_path / "in"
    good = save_film(folder / "good.png")
    put(folder / "cut.png", good.read_bytes()[:200])
    put(folder / "text\n.jpg", b"not an image")
    put(folder / ".hidden.png", b"left alone")
    put(folder / "none.png", b"")
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe.png")
    asked = folder, folder / "empty", folder / "missing.png", folder / "pipe.png", "\0", good
    words = "--results", place, "--model", "20", "--no-map"
    code, out, err = call(capsys, *words, *asked)
    assert code == 2
    assert sum("good.png: probability 0." in line for line in out.splitlines()) == 1
    assert out.splitlines()[-1] == predict_weights.NOTICE
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
    assert call(capsys, *words, folder / "empty")[0] == 2
    code, out, _ = call(capsys, *words, "--json", folder)
    found = json.loads(out)
    assert code == 2 and len(found["failed"]) == 3 and len(found["images"]) == 1


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    def walk(top, onerror):
        onerror(PermissionError(13, "Permission denied", str(Path(top) / "locked")))
        yield str(top), [], ["x.png"]

    monkeypatch.setattr(os, "walk", walk)
    save_film(tmp_path / "x.png")
    found = predict.find([str(tmp_path)])
    reason = "a folder that cannot be read (Permission denied)"
    assert found.problems == [(str(tmp_path / "locked"), reason)] and len(found.images) == 1


def test_a_large_file_is_refused_before_it_is_read(place, tmp_path, capsys):
    with open(tmp_path / "x.png", "wb") as stream:
        stream.truncate(data_images.LARGEST_FILE + 1)
    code, _, err = call(capsys, "--results", place, "--model", "20", tmp_path / "x.png")
    assert code == 2 and err.endswith("x.png: 150 MB, more than the 150 that are sensible\n")


def test_a_fault_of_the_program_is_not_called_a_damaged_image(place, tmp_path, monkeypatch):
    def broken(*_):
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(data_images, "resize", broken)
    with pytest.raises(KeyError):
        chosen = predict_weights.choose(place, "20")
        predict.make_ready(save_film(tmp_path / "x.png"), chosen)


# ---- what a person asks for


def test_the_folder_that_one_stands_in(place, tmp_path, capsys, monkeypatch):
    save_film(tmp_path / "PNEUMONIA" / "x.png")
    monkeypatch.chdir(tmp_path / "PNEUMONIA")
    assert [one["image"] for one in answers(capsys, place, ".")] == ["x.png"]
    code, out, err = call(capsys, "--results", place, "--model", "20", "")
    assert code == 2 and out == "" and err.startswith("error: '': an empty name")


@pytest.mark.parametrize(
    "words",
    ["--threshold 1", "--threshold x", "--seed -1", "--export m.onnx", "--maps /dev/null/x"]
    + ["--evaluate"],
)
def test_wrong_options_end_in_one_line(place, tmp_path, capsys, words):
    film = save_film(tmp_path / "x.png")
    words = "--results", place, "--model", "20", *words.split(), film
    code, _, err = call(capsys, *words)
    assert code == 2 and len(err.splitlines()) == 1 and err.startswith("error: ")


def test_no_images_and_nothing_to_export(capsys):
    said = "error: name images or folders of them; --help tells more\n"
    assert call(capsys, "--model", "20")[::2] == (2, said)


@pytest.mark.parametrize(
    "words", [["missing.png"], [""], ["--model", "zz", "x.png"], ["--threshold", "7"], []]
)
def test_json_is_printed_of_errors_too(place, tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    save_film(Path("x.png"))
    code, out, err = call(capsys, "--results", place, "--json", *words)
    assert code == 2 and len(json.loads(out)["error"]) > 5 and err.startswith("error: ")

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

from xray import data_images, data_phantoms, equalise, files, predict, predict_weights, results


def save_film(path: Path, number: int = 1, size: int = 24) -> Path:
    Image.fromarray(data_phantoms.draw(number, True, size)).save(path)
    return path


# ---- the same numbers as in training


@pytest.mark.parametrize("name", ALL)
def test_an_image_gets_the_logit_that_training_stored_for_it(study, capsys, name):
    place = study / "out" / "results"
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


def test_many_images_are_judged_as_each_alone(study, capsys, tmp_path):
    place = study / "out" / "results"
    for number in range(predict.AT_ONCE + 3):
        save_film(tmp_path / f"{number:03}.png", 900 + number)
    together = ask(capsys, place, "--model", "11", "--no-map", tmp_path)["images"]
    names = [Path(image["image"]).stem for image in together]
    assert names == [f"{n:03}" for n in range(predict.AT_ONCE + 3)]
    [last] = ask(capsys, place, "--model", "11", "--no-map", tmp_path / "034.png")["images"]
    assert last["logit"] == pytest.approx(together[34]["logit"], abs=1e-5)


def test_nothing_of_a_film_is_kept(study, capsys, tmp_path, monkeypatch):
    save_film(tmp_path / "x.png")
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    ask(capsys, study / "out" / "results", "--no-map", "x.png")
    assert [path.name for path in tmp_path.rglob("*")] == ["x.png"], "and no cache beside it"
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


def test_a_model_of_equal_grey_levels_is_shown_such_films(study, tmp_path):
    chosen = predict_weights.choose(study / "out" / "results", "20")
    run = replace(chosen.run, spec=replace(chosen.run.spec, equalise=True))
    film = save_film(tmp_path / "x.png", size=16)
    plain, equal = (
        predict.make_ready(film, one).pixels for one in (chosen, chosen._replace(run=run))
    )
    assert (equal == equalise.equalise(plain)).all() and len(np.unique(equal)) == 256


# ---- 16 bits


def test_12_bits_in_16_are_the_film_that_8_bits_are(study, capsys, tmp_path):
    """A film that stands alone is read by the range that its own values need; that is said."""
    film = data_phantoms.draw(3, True, 64)
    Image.fromarray(film).save(tmp_path / "8.png")
    wide = np.round(film.astype(float) / film.max() * 4095).astype(np.uint16)
    Image.fromarray(wide).save(tmp_path / "12.png")
    found = ask(capsys, study / "out" / "results", "--model", "20", "--no-map", tmp_path)["images"]
    assert "reach 4,095: read as 12 bits of 16" in found[0]["warnings"][0]
    stretched = film.astype(float) * 255 / film.max()
    Image.fromarray(np.rint(stretched).astype(np.uint8)).save(tmp_path / "8.png")
    [same] = ask(
        capsys, study / "out" / "results", "--no-map", "--model", "20", tmp_path / "8.png"
    )["images"]
    assert found[0]["logit"] == pytest.approx(same["logit"], abs=0.02)


def test_a_dark_film_has_the_range_of_those_of_the_training(study, tmp_path):
    values = np.array([[0, 100], [500, 900]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    chosen = predict_weights.choose(study / "out" / "results", "20")
    brightest = {}
    for bits in (12, 16):
        known = chosen._replace(facts={"bits": bits})
        brightest[bits] = int(predict.make_ready(tmp_path / "a.png", known).pixels.max())
    assert brightest[12] < 60 < 200 < brightest[16]


# ---- its maps


def test_maps_take_safe_names_and_overwrite_no_input(study, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    film = Image.fromarray(data_phantoms.draw(1, True, 24))
    names = "a/x.png b/x.png b/x.bmp b/x-20.png b/..png".split()
    names += ["b/two\nlines ..png", "b/\x1b[31m-é.png"]
    for name in names:
        Path(name).parent.mkdir(exist_ok=True)
        film.save(name, "BMP" if name.endswith("bmp") else "PNG")
    before = {path: path.read_bytes() for path in map(Path, names)}
    words = study / "out" / "results", "--model", "20"
    written = [Path(image["map"]) for image in ask(capsys, *words, "--maps", "b", *names)["images"]]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(set(written)) == len(names)
    for path in written:
        assert path.parent == Path("b") and Image.open(path).format == "PNG"
        assert path.name.isascii() and path.name.isprintable() and path.name[0] != "."
    code, out, _ = call(capsys, "--results", *words, "--no-map", *names)
    assert code == 0 and r"two\nlines" in out and r"\x1b[31m" in out and "\x1b" not in out


def test_own_maps_are_not_taken_for_input(study, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_film("x.png")
    for _ in range(2):
        assert len(ask(capsys, study / "out" / "results", "--model", "20", ".")["images"]) == 1
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


# ---- images of another kind


def test_a_colour_photograph_is_warned_about_and_a_gray_rgb_file_is_not(study, tmp_path, capsys):
    film = Image.fromarray(data_phantoms.draw(5000, True, 40))
    film.convert("RGB").save(tmp_path / "gray.jpg")
    colours = np.stack([np.asarray(film), np.asarray(film) // 2, np.asarray(film) // 4], 2)
    Image.fromarray(colours).save(tmp_path / "photo.png")
    place = study / "out" / "results"
    gray, photo = ask(capsys, place, "--model", "20", "--no-map", tmp_path)["images"]
    assert gray["warnings"] == [] and any("in colour" in text for text in photo["warnings"])


def test_what_dicom_says_it_is_decides_and_any_overrides_with_a_warning(study, tmp_path, capsys):
    film = data_phantoms.draw(1, True, 24).astype(int) * 16
    (tmp_path / "knee").write_bytes(dicom_file(film, Modality="MR", BodyPartExamined="KNEE"))
    (tmp_path / "chest").write_bytes(dicom_file(film, Modality="DX", BodyPartExamined="CHEST"))
    (tmp_path / "notes").write_text("passed over")
    words = "--results", study / "out" / "results", "--model", "20", "--maps", tmp_path / "maps"
    code, out, err = call(capsys, *words, tmp_path)
    assert code == 2 and "chest: probability" in out and "knee: probability" not in out
    note, line = sorted(err.splitlines(), reverse=True)
    assert line.endswith("knee: no frontal chest film by its tags (Modality MR)")
    assert note == f"note: passed over, no films: 1 file ({tmp_path / 'notes'})"
    code, out, err = call(capsys, *words, "--any", tmp_path)
    assert code == 0 and err.startswith("note: passed over")
    assert "warning: no frontal chest film by its tags (Modality MR), read since --any is" in out
    [found] = ask(capsys, *words[1:], "--any", tmp_path / "knee")["images"]
    assert any("Modality MR" in text for text in found["warnings"])
    drawn = np.asarray(Image.open(found["map"]).convert("RGB"), int)
    assert ((drawn[..., 0] > 150) & (drawn[..., 1] < 50) & (drawn[..., 2] < 50))[-30:].any()


def test_a_dicom_film_is_the_film(study, tmp_path, capsys):
    film = data_phantoms.draw(7, True, 40)
    content = dicom_file(film.astype(int) * 16, WindowCenter=2040.5, WindowWidth=4081)
    (tmp_path / "a.dcm").write_bytes(content)
    Image.fromarray(film).save(tmp_path / "b.png")
    place = study / "out" / "results"
    dicom, png = ask(capsys, place, "--model", "20", "--no-map", tmp_path)["images"]
    assert dicom["logit"] == pytest.approx(png["logit"], abs=0.02)


def test_pages_after_the_first_are_told(study, tmp_path, capsys):
    pages = [Image.fromarray(data_phantoms.draw(n, True, 40)) for n in (1, 2)]
    pages[0].save(tmp_path / "x.tiff", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "y.png")
    place = study / "out" / "results"
    both, first = ask(capsys, place, "--model", "20", "--no-map", tmp_path)["images"]
    assert "several pages or frames" in both["warnings"][0] and first["warnings"] == []
    assert both["logit"] == first["logit"]


def test_masks_in_a_folder_are_passed_over(tmp_path):
    for name in ("films", "lung masks"):
        (tmp_path / name).mkdir()
        save_film(tmp_path / name / "x.png")
    found = predict.find([str(tmp_path)])
    assert found.images == [tmp_path / "films" / "x.png"]
    assert found.passed_over == [tmp_path / "lung masks"]
    assert len(predict.find([str(tmp_path / "lung masks")]).images) == 1, "where it is named"


# ---- images that cannot be read


def test_unreadable_images_are_named_and_the_others_predicted(study, tmp_path, capsys):
    place = tmp_path / "in"
    (place / "empty").mkdir(parents=True)
    good = save_film(place / "good.png")
    (place / "cut.png").write_bytes(good.read_bytes()[:200])
    (place / "text\n.jpg").write_text("not an image")
    (place / ".hidden.png").write_text("left alone")
    (place / "none.png").touch()
    os.mkfifo(place / "pipe.png")
    asked = place, place / "empty", place / "missing.png", place / "pipe.png", "\0", good
    words = "--results", study / "out" / "results", "--model", "20", "--no-map"
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
    assert call(capsys, *words, place / "empty")[0] == 2
    code, out, _ = call(capsys, *words, "--json", place)
    assert code == 2 and len(json.loads(out)["failed"]) == 3 and len(json.loads(out)["images"]) == 1


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    save_film(tmp_path / "x.png")

    def walk(top, onerror):
        onerror(PermissionError(13, "Permission denied", str(Path(top) / "locked")))
        yield str(top), [], ["x.png"]

    monkeypatch.setattr(os, "walk", walk)
    found = predict.find([str(tmp_path)])
    reason = "a folder that cannot be read (Permission denied)"
    assert found.problems == [(str(tmp_path / "locked"), reason)] and len(found.images) == 1


def test_a_large_file_is_refused_before_it_is_read(study, tmp_path, capsys):
    with open(tmp_path / "x.png", "wb") as stream:
        stream.truncate(data_images.LARGEST_FILE + 1)
    words = "--results", study / "out" / "results", "--model", "20", tmp_path / "x.png"
    code, _, err = call(capsys, *words)
    assert code == 2 and err.endswith("x.png: 150 MB, more than the 150 that are sensible\n")


def test_a_fault_of_the_program_is_not_called_a_damaged_image(study, tmp_path, monkeypatch):
    chosen = predict_weights.choose(study / "out" / "results", "20")

    def broken(*_):
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(data_images, "resize", broken)
    with pytest.raises(KeyError):
        predict.make_ready(save_film(tmp_path / "x.png"), chosen)


# ---- what a person asks for


def test_the_folder_that_one_stands_in(study, tmp_path, capsys, monkeypatch):
    (tmp_path / "PNEUMONIA").mkdir()
    monkeypatch.chdir(tmp_path / "PNEUMONIA")
    save_film("x.png")
    words = study / "out" / "results", "--model", "20", "--no-map"
    assert [one["image"] for one in ask(capsys, *words, ".")["images"]] == ["x.png"]
    code, out, err = call(capsys, "--results", *words, "")
    assert code == 2 and out == "" and err.startswith("error: '': an empty name")


@pytest.mark.parametrize(
    "words",
    [
        ["--threshold", "1"],
        ["--threshold", "x"],
        ["--seed", "-1"],
        ["--export", "m.onnx"],
        ["--maps", "/dev/null/x"],
        ["--evaluate"],
    ],
)
def test_wrong_options_end_in_one_line(study, tmp_path, capsys, words):
    film = save_film(tmp_path / "x.png")
    place = study / "out" / "results"
    code, _, err = call(capsys, "--results", place, "--model", "20", *words, film)
    assert code == 2 and len(err.splitlines()) == 1 and err.startswith("error: ")


def test_no_images_and_nothing_to_export(capsys):
    said = "error: name images or folders of them; --help tells more\n"
    assert call(capsys, "--model", "20")[::2] == (2, said)


@pytest.mark.parametrize(
    "words", [["missing.png"], [""], ["--model", "zz", "x.png"], ["--threshold", "7"], []]
)
def test_json_is_printed_of_errors_too(study, tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    save_film("x.png")
    code, out, err = call(capsys, "--results", study / "out" / "results", "--json", *words)
    assert code == 2 and len(json.loads(out)["error"]) > 5 and err.startswith("error: ")

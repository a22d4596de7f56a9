"""A person's images through a trained run: the same numbers as in training, honest maps, and errors
in one line.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from xray import data_phantoms, models, predict, results

ROOT = Path(__file__).resolve().parent.parent
SIZE = 16
ALL = ("20", "21", "11")


def script(name: str):
    made = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    return module


PREDICT = script("predict")


def films(folder: Path) -> Path:
    """Class folders of phantoms, 40x40: gray PNGs, RGB PNGs and JPEGs."""
    number = 0
    for split, count in (("train", 16), ("val", 8), ("test", 4)):
        for label, name in enumerate(("NORMAL", "PNEUMONIA")):
            (folder / split / name).mkdir(parents=True)
            for row in range(count):
                number += 1
                image = Image.fromarray(data_phantoms.draw(number, label == 1, 40))
                image = image if row % 2 else image.convert("RGB")
                image.save(folder / split / name / f"{number}.{'jpg' if row % 3 == 2 else 'png'}")
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with the source ("films") and the records of three short runs ("out/results"), made
    by train.py.
    """
    place = tmp_path_factory.mktemp("study")
    films(place / "films")
    train = script("train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAY_CACHE", str(place / "cache"))
        patch.setattr(
            sys,
            "argv",
            [
                "train.py",
                "--model",
                *ALL,
                "--data",
                str(place / "films"),
                "--image-size",
                str(SIZE),
                "--epochs",
                "2",
                "--seeds",
                "3",
                "--device",
                "cpu",
                "--out",
                str(place / "out"),
            ],
        )
        train.main()
    return place


@pytest.fixture
def records(study, tmp_path):
    """A copy of the study's records that a test may spoil: the results folder."""
    subprocess.run(["cp", "-r", study / "out" / "results", tmp_path / "results"], check=True)
    return tmp_path / "results"


def call(capsys, *words) -> tuple[int, str, str]:
    """predict.py in this process: exit code, output, errors. No call may show a traceback."""
    capsys.readouterr()
    try:
        code = PREDICT.run([str(word) for word in words])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def ask(capsys, results_folder, *words) -> dict:
    code, out, err = call(capsys, "--results", results_folder, "--json", *words)
    assert code == 0, err
    return json.loads(out)


# ---- the same numbers as in training


@pytest.mark.parametrize("name", ALL)
def test_an_image_gets_the_logit_that_training_stored_for_it(study, capsys, name):
    found = ask(
        capsys, study / "out" / "results", "--model", name, "--no-map", study / "films" / "test"
    )
    run = predict.choose(study / "out" / "results", name).run
    facts = results.read_json(next((study / "out" / "results").glob("*/data.json")))
    order = {path: row for row, path in enumerate(facts["paths"][-8:])}
    assert len(found["images"]) == 8 and found["data"] == run.data
    for image in found["images"]:
        row = next(row for path, row in order.items() if image["image"].endswith(path))
        stored = run.logits["test"][row]
        assert image["logit"] == pytest.approx(float(stored), abs=2e-5)
        assert image["probability"] == pytest.approx(1 / (1 + np.exp(-float(stored))), abs=1e-5)
        assert image["decision_paper"] == ("PNEUMONIA" if image["logit"] > 0 else "NORMAL")
    assert len({image["logit"] for image in found["images"]}) > 1
    assert "no medical device" in found["notice"]


def test_many_images_are_judged_as_each_alone(study, capsys, tmp_path):
    for number in range(PREDICT.AT_ONCE + 3):
        Image.fromarray(data_phantoms.draw(900 + number, number % 2 == 1, 24)).save(
            tmp_path / f"{number:03}.png"
        )
    together = ask(capsys, study / "out" / "results", "--model", "11", "--no-map", tmp_path)[
        "images"
    ]
    assert [Path(image["image"]).stem for image in together] == [
        f"{n:03}" for n in range(PREDICT.AT_ONCE + 3)
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
    run = predict.choose(records, "21").run
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
        "--model",
        "21",
        "--maps",
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


# ---- which run, and its weights


def test_the_run_of_the_lowest_seed_and_the_largest_size_is_taken(records):
    run = predict.choose(records, "20").run
    content = run.file.with_suffix(".safetensors").read_bytes()
    for seed, size in ((0, SIZE), (0, 8), (2, SIZE)):
        name = results.run_name(run.spec, seed, size)
        (run.file.parent / f"{name}.safetensors").write_bytes(content)
        results.save(
            run.file.parent,
            replace(
                run,
                seed=seed,
                image_size=size,
                weights=run.weights | {"file": f"{name}.safetensors"},
            ),
            name,
        )
    found = [
        predict.choose(records, "20", seed=seed, image_size=size).run
        for seed, size in ((None, None), (3, None), (None, 8))
    ]
    assert [(run.seed, run.image_size) for run in found] == [(0, SIZE), (3, SIZE), (0, 8)]


def test_a_study_is_found_by_latest_or_by_name(records):
    first = predict.choose(records, "20").study
    other = records / "other-00000000" / "given"
    subprocess.run(["cp", "-r", records / first.split("/")[0], other.parent], check=True)
    assert (records / "latest").read_text().strip() == first == predict.choose(records, "20").study
    (records / "latest").write_text("other-00000000/given\n")
    assert predict.choose(records, "20").study == "other-00000000/given"
    assert [
        predict.choose(records, "20", study=name).study for name in (first, first.split("/")[0])
    ] == [first] * 2
    for path in other.glob("20-*.safetensors"):
        path.unlink()
    assert predict.choose(records, "20").study == first  # the latest has no weights of that model
    with pytest.raises(predict.PredictError, match="holds no study 'no-such'"):
        predict.choose(records, "20", study="no-such")


def test_a_model_without_weights_says_how_to_make_them(records, tmp_path, capsys, monkeypatch):
    film = tmp_path / "x.png"
    Image.fromarray(data_phantoms.draw(1, True, 24)).save(film)
    code, out, err = call(capsys, "--results", records, "--model", "22", film)
    assert (
        code == 2
        and len(err.splitlines()) == 1
        and "scripts/train.py --model 22" in err
        and "11, 20, 21" in err
    )
    code, out, err = call(capsys, "--results", records, "--no-map", film)
    assert code == 0 and "model 20" in out + err, "without --model the best with weights at hand"
    monkeypatch.setattr(predict, "DEFAULTS", ("26b",))
    code, out, err = call(capsys, "--results", records, film)
    assert code == 2 and "no --model is given" in err and "--model 26b" in err
    for path in records.rglob("20-*.safetensors"):
        path.unlink()
    code, out, err = call(capsys, "--results", records, "--model", "20", film)
    assert (
        code == 2
        and "--image-size 16 --seeds 3 --epochs 2" in err
        and "--force" in err
        and "11, 21" in err
    )
    assert call(capsys, "--results", records, "--model", "99x", film)[::2] == (
        2,
        "error: there is no model '99x'; python scripts/train.py --list prints all\n",
    )
    code, out, err = call(capsys, "--results", tmp_path / "none", "--model", "20", film)
    assert code == 2 and "holds no records" in err and len(err.splitlines()) == 1


def test_spoiled_weights_are_refused_in_one_line(records, tmp_path, capsys):
    film = tmp_path / "x.png"
    Image.fromarray(data_phantoms.draw(1, True, 24)).save(film)
    run = predict.choose(records, "20").run
    path = run.file.with_suffix(".safetensors")
    content = path.read_bytes()

    def refused(changed: bytes, sha256: str | None = None, file: str = path.name) -> str:
        path.write_bytes(changed)
        weights = {"file": file, "sha256": sha256 or run.weights["sha256"]}
        results.save(run.file.parent, replace(run, weights=weights), run.file.stem)
        code, out, err = call(capsys, "--results", records, "--model", "20", film)
        assert code == 2 and out == "" and len(err.splitlines()) == 1 and err.startswith("error: ")
        return err

    def digest(changed: bytes) -> str:
        return hashlib.sha256(changed).hexdigest()

    altered = content[:-1] + bytes([content[-1] ^ 1])
    assert "checksum differs" in refused(altered) and "checksum differs" in refused(content[:-100])
    assert "checksum differs" in refused(b"")
    assert refused(content[:-100], digest(content[:-100]))
    other = predict.choose(records, "11").run.file.with_suffix(".safetensors").read_bytes()
    assert "not the weights of model 20" in refused(other, digest(other))
    path.write_bytes(content)
    infinite = {key: value / 0 for key, value in load_file(path).items()}
    save_file(infinite, tmp_path / "inf")
    assert "not finite" in refused(
        (tmp_path / "inf").read_bytes(), digest((tmp_path / "inf").read_bytes())
    )
    (path.parent.parent / "out.safetensors").write_bytes(content)
    assert "outside of its own folder" in refused(content, file="../out.safetensors")
    run.file.write_text("{")
    code, out, err = call(capsys, "--results", records, "--model", "20", film)
    assert code == 2 and "damaged" in err and len(err.splitlines()) == 1


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
        "--model",
        "20",
        "--no-map",
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
    assert out.splitlines()[-1] == predict.NOTICE
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


# ---- for use elsewhere


def test_an_exported_model_gives_the_same_logits_in_another_process(study, tmp_path, capsys):
    pixels = np.stack([data_phantoms.draw(number, True, SIZE) for number in range(3)])
    np.save(tmp_path / "pixels.npy", pixels[:, None].astype(np.float32) / 255)
    for number, film in enumerate(pixels):
        Image.fromarray(film).save(tmp_path / f"{number}.png")
    found = ask(
        capsys,
        study / "out" / "results",
        "--model",
        "11",
        "--no-map",
        "--export",
        tmp_path / "m.pt2",
        *sorted(tmp_path.glob("*.png")),
    )
    code = (
        "import json, sys, numpy, torch; m = torch.export.load(sys.argv[1]).module(); "
        "x = torch.from_numpy(numpy.load(sys.argv[2])); print(json.dumps([m(x).tolist(), m(x[:1]).tolist()]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, tmp_path / "m.pt2", tmp_path / "pixels.npy"],
        capture_output=True,
        text=True,
        check=True,
    )
    together, alone = json.loads(done.stdout)
    expected = [image["logit"] for image in found["images"]]
    np.testing.assert_allclose(together, expected, atol=1e-5)
    np.testing.assert_allclose(alone, expected[:1], atol=1e-5)
    card = (tmp_path / "m-card.md").read_text()
    run = predict.choose(study / "out" / "results", "11").run
    for text in (
        predict.NOTICE,
        run.data["fingerprint"],
        found["study"],
        run.weights["sha256"],
        "95 % interval",
        'torch.export.load("m.pt2")',
        "16×16 pixels instead of",
        "CC BY 4.0",
    ):
        assert text in card, text


def test_an_export_that_differs_is_not_kept(study, tmp_path, monkeypatch):
    from xray import export

    chosen = predict.choose(study / "out" / "results", "20")
    module = predict.load_weights(chosen.run)
    other = models.build(chosen.run.spec, SIZE, seed=9)
    real = torch.export.export
    monkeypatch.setattr(
        torch.export, "export", lambda _, *rest, **options: real(other, *rest, **options)
    )
    pixels = data_phantoms.draw(1, True, SIZE)[None, None]
    with pytest.raises(predict.PredictError, match="other logits"):
        export.write(chosen, module, predict.rules(chosen.run), pixels, tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []

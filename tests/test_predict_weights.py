"""Which run predicts, and weights that are missing or spoiled."""

import hashlib
import subprocess
from dataclasses import replace

import pytest
from PIL import Image
from predicting import SIZE, call
from safetensors.torch import load_file, save_file

from xray import data_phantoms, predict_weights, results


def test_the_run_of_the_lowest_seed_and_the_largest_size_is_taken(records):
    run = predict_weights.choose(records, "20").run
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
        predict_weights.choose(records, "20", seed=seed, image_size=size).run
        for seed, size in ((None, None), (3, None), (None, 8))
    ]
    assert [(run.seed, run.image_size) for run in found] == [(0, SIZE), (3, SIZE), (0, 8)]


def test_a_study_is_found_by_latest_or_by_name(records):
    first = predict_weights.choose(records, "20").study
    other = records / "other-00000000" / "given"
    subprocess.run(["cp", "-r", records / first.split("/")[0], other.parent], check=True)
    assert (
        (records / "latest").read_text().strip()
        == first
        == predict_weights.choose(records, "20").study
    )
    (records / "latest").write_text("other-00000000/given\n")
    assert predict_weights.choose(records, "20").study == "other-00000000/given"
    assert [
        predict_weights.choose(records, "20", study=name).study
        for name in (first, first.split("/")[0])
    ] == [first] * 2
    for path in other.glob("20-*.safetensors"):
        path.unlink()
    assert (
        predict_weights.choose(records, "20").study == first
    )  # the latest has no weights of that model
    with pytest.raises(predict_weights.PredictError, match="holds no study 'no-such'"):
        predict_weights.choose(records, "20", study="no-such")


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
    monkeypatch.setattr(predict_weights, "DEFAULTS", ("26b",))
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
    run = predict_weights.choose(records, "20").run
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
    other = predict_weights.choose(records, "11").run.file.with_suffix(".safetensors").read_bytes()
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

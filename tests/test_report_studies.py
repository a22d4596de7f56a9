"""What the report says of studies that are not whole or not the paper's, and its script."""

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import records
import samples
from safetensors.torch import save as save_tensors
from test_report import NUMBERED

from xray import (
    claims,
    data,
    files,
    models,
    report,
    report_summary,
    report_weights,
    results,
    study,
)
from xray.specs import LEARNING_RATE_SEARCH, MODELS

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "report.py"


def test_the_banner_tells_what_differs(tmp_path):
    data = records.DATA | {"phantom": True, "skipped": 3}
    short = results.ModelSpec(**{**MODELS["20"].__dict__, "epochs": 2})
    records.save(tmp_path, records.run("20", data=data, spec=short))
    records.save(tmp_path, records.run("22", data=data, image_size=64))
    notes = " ".join(report.banner(study.read(tmp_path, study.choose(tmp_path)[0])))
    for words in (
        "phantoms",
        "3 unreadable",
        "Model 20: 2 epochs instead of 50",
        "Model 22: 64×64",
        "33 of the 35 models",
    ):
        assert words in notes, words


@pytest.mark.parametrize("phantom", [False, True])
def test_a_report_of_phantoms_starts_without_findings(tmp_path, phantom):
    for seed in (0, 1):
        records.save(tmp_path, records.run("20", seed, data=records.DATA | {"phantom": phantom}))
    found = report.context(study.read(tmp_path, study.choose(tmp_path)[0]))
    for page in (report.html(found, tmp_path), report.markdown(found, tmp_path)):
        top = page[re.search(r'id="summary"|## Summary', page).start() :]
        top = top[: re.search(r'<section id="section-1"|\n## 1', top).start()]
        assert ("The images are synthetic" in top) == ("make all DATA=folder" in top) == phantom
        for finding in ("Ten linear units are right on", "At a glance", "In figures", "claims"):
            assert (finding in top) != phantom, finding
        assert ("%" in top) != phantom


def test_the_banner_is_empty_for_the_papers_own_study(tmp_path):
    data = records.DATA | {"source": "keremberke/chest-xray-classification"}
    for model in MODELS | LEARNING_RATE_SEARCH:
        records.save(tmp_path, records.run(model, data=data))
    assert report.banner(study.read(tmp_path, study.choose(tmp_path)[0])) == []


def test_runs_that_no_figure_shows_are_named(tmp_path):
    for made in (
        records.run("22", image_size=96),
        records.run("26b", image_size=96),
        records.run("20"),
    ):
        records.save(tmp_path, made)
    name = study.choose(tmp_path)[0]
    assert "Set aside" not in dict(report_summary.heading(study.read(tmp_path, name)))
    for made in (
        records.run("26b", image_size=224),
        records.run("20", image_size=64),
        records.run("22", image_size=64),
    ):
        records.save(tmp_path, made)
    read = study.read(tmp_path, name)
    assert dict(report_summary.heading(read))["Set aside"] == "20, 22 at 64×64; 26b at 224×224"
    assert [run.image_size for run in read.chosen["26b"]] == [96]


def test_the_script_reports_one_run_and_asks_for_the_rest(tmp_path):
    records.save(tmp_path / "results", records.run("20", image_size=64))
    older = records.DATA | {"fingerprint": "f" * 64}
    made = records.run("20", data=older)
    made.environment["finished"] = "2020-01-01T00:00:00+00:00"
    records.save(tmp_path / "results", made)
    done = subprocess.run(
        [sys.executable, SCRIPT, "--results", "results", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "study made-up-01234567/given" in done.stdout and "made-up-ffffffff/given" in done.stdout
    # as train.py leaves it, records or not
    (tmp_path / "results" / "latest").write_text("made-up-ffffffff/given\n")
    assert study.choose(tmp_path / "results") == (
        "made-up-ffffffff/given",
        ["made-up-01234567/given"],
    )
    assert study.choose(tmp_path / "results", "made-up-01234567")[0] == "made-up-01234567/given"
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "python scripts/train.py --model 22b 26b --data made-up --image-size 64" in page
    for id in NUMBERED:
        assert f'id="{id}"' in page
    # the records lie outside of the report's folder, so they are not linked
    assert "results/made-up" not in page
    assert not Path(tmp_path / "out" / "results").exists()


def load_script():
    spec = importlib.util.spec_from_file_location("report_script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_data_sets_own_image_is_shown_only_where_asked_and_only_if_it_is_the_same_data(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XRAY_CACHE", str(tmp_path / "cache"))
    source = samples.class_folders(tmp_path / "images")
    found = data.load(str(source), 16)
    about = {
        "name": found.name,
        "source": str(source),
        "fingerprint": found.fingerprint,
        "phantom": False,
        "skipped": 0,
    }
    records.save(
        tmp_path / "results",
        records.run("20", data=about, image_size=16, validation=4, test=3),
        found.facts,
    )
    script = load_script()
    runs = results.load(tmp_path / "results")
    assert (script.first_radiograph(str(source), runs) == found.train.images[0, 0]).all()
    phantom = report.context(
        study.read(tmp_path / "results", study.choose(tmp_path / "results")[0])
    )
    assert "the report carries no pixel of the data" in report.html(phantom, tmp_path)
    next(source.rglob("*.png")).unlink()
    with pytest.raises(SystemExit):
        script.first_radiograph(str(source), runs)


def test_the_script_refuses_what_it_cannot_report(tmp_path, capsys):
    damaged = records.save(tmp_path / "damaged", records.run("20"))
    text = json.loads(damaged.read_text())
    damaged.write_text(json.dumps(text | {"seed": 7}))
    (tmp_path / "empty").mkdir()
    script = load_script()
    for arguments, words in (
        (["--results", "nowhere"], "nowhere"),
        (["--results", "empty"], "no study"),
        (["--results", "damaged"], damaged.name),
        (["--wrong"], "--wrong"),
    ):
        arguments = [
            str(tmp_path / word) if word in ("nowhere", "empty", "damaged") else word
            for word in arguments
        ]
        with pytest.raises(SystemExit) as stop:
            script.main([*arguments, "--out", str(tmp_path / "out")])
        said = capsys.readouterr().err
        assert stop.value.code == 2 and words in said
        assert said.startswith("error: ") and said.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_a_test_split_of_one_class_and_runs_without_data_description_still_make_a_report(tmp_path):
    made = records.run("21", validation=12, test=8)
    for part in made.labels:
        made.labels[part][:] = 1
    records.save(tmp_path, made)
    records.save(tmp_path, records.run("26b", diverged=True))
    content = report.context(study.read(tmp_path, study.choose(tmp_path)[0]))
    page = report.html(content, tmp_path)
    assert ">nan<" not in page and "does not lie beside these records" in page
    for id in NUMBERED:
        assert f'id="{id}"' in page


def test_the_command_for_what_is_missing_names_data_split_size_and_folder(tmp_path):
    folder, source = tmp_path / "my study" / "results", records.DATA | {"source": "my films"}
    for split in ("given", "patient-2"):
        made = records.run("20", split=split, image_size=64, data=source)
        records.save(folder, made)
        (kept,) = results.load(folder / "made-up-01234567" / split)
        words = "python scripts/train.py --model 6 7 --data 'my films' "
        words += "--split patient --split-seed 2 " * (split != "given")
        words += f"--image-size 64 --force --out '{folder.parent}'"
        assert study.command([kept], ["6", "7"], "--force") == words
    (verdict,) = [
        one
        for one in claims.judge(study.read(folder, f"made-up-01234567/{split}"))
        if one.id == "C09"
    ]
    assert verdict.figures.endswith(study.command([kept], verdict.missing))
    assert study.train_command(["20"]) == "python scripts/train.py --model 20"


def test_studies_come_in_one_order(tmp_path):
    for number, (split, day) in enumerate(
        (("given", 2), ("image-0", 9), ("given", 5), ("image-1", 1))
    ):
        data = records.DATA | {"fingerprint": f"{number // 2}" * 64}
        made = records.run("20", split=split, data=data)
        made.environment["finished"] = f"2026-01-0{day}T00:00:00+00:00"
        records.save(tmp_path, made)
    first, second = "made-up-00000000", "made-up-11111111"
    order = [f"{second}/given", f"{first}/given", f"{first}/image-0", f"{second}/image-1"]
    assert list(study.in_order(tmp_path)) == order
    assert study.choose(tmp_path) == (order[0], [order[1]])
    (tmp_path / "latest").write_text(f"{second}/image-1\n")
    assert list(study.in_order(tmp_path)) == [order[3], *order[:3]]
    assert list(study.in_order(tmp_path, first)) == [f"{first}/given"]


def test_an_unknown_study_is_refused_by_name(tmp_path):
    records.save(tmp_path, records.run("20"))
    with pytest.raises(results.ResultsError, match="other/given.*made-up-01234567/given"):
        study.choose(tmp_path, "other/given")


def test_pictures_of_weights_stay_when_the_weights_go(tmp_path):
    made = records.run("20", image_size=16)
    content = save_tensors(models.build(made.spec, 16, 0).state_dict())
    (tmp_path / "w.safetensors").write_bytes(content)
    kept_weights = {"file": "w.safetensors", "sha256": hashlib.sha256(content).hexdigest()}
    run = replace(made, file=tmp_path / "20-seed0.json", weights=kept_weights)
    drawn = report_weights.weight_images(run)
    (tmp_path / "w.safetensors").unlink()
    assert report_weights.weight_images(run) == drawn
    with pytest.raises(report_weights.WeightsError):  # pictures of other weights are not these
        report_weights.weight_images(replace(run, weights=kept_weights | {"sha256": "0" * 64}))
    kept = tmp_path / "20-seed0.pictures"
    kept.write_text(kept.read_text().replace('"limit": ', '"limit": 1', 1))
    with pytest.raises(report_weights.WeightsError):
        report_weights.weight_images(run)


def test_pictures_are_of_the_weights_that_the_record_names(tmp_path):
    """Another model's weights of the same shapes are not drawn, and leave no picture behind."""
    made = records.run("20", image_size=16)
    right, wrong = (save_tensors(models.build(made.spec, 16, s).state_dict()) for s in (0, 1))
    named = {"file": "w.safetensors", "sha256": hashlib.sha256(right).hexdigest()}
    run = replace(made, file=tmp_path / "20-seed0.json", weights=named)
    (tmp_path / "w.safetensors").write_bytes(wrong)
    with pytest.raises(report_weights.WeightsError, match="checksum differs"):
        report_weights.weight_images(run)
    assert not (tmp_path / "20-seed0.pictures").exists()
    (tmp_path / "w.safetensors").write_bytes(right)
    drawn = report_weights.weight_images(run)
    (tmp_path / "w.safetensors").write_bytes(wrong)
    assert report_weights.weight_images(run) == drawn


@pytest.mark.parametrize(
    "change",
    [
        {"units": []},
        {"limit": "1"},
        {"product_limit": float("inf")},
        {"product": "AAAA"},
        {"product": 5},
        {"units": [["AAAA", 1.0]] * 10},
        {"units": [[None, 1.0]] * 10},
    ],
)
def test_kept_pictures_of_a_stranger_are_checked(tmp_path, change):
    made = records.run("20", image_size=16)
    content = save_tensors(models.build(made.spec, 16, 0).state_dict())
    named = {"file": "w.safetensors", "sha256": hashlib.sha256(content).hexdigest()}
    run = replace(made, file=tmp_path / "20-seed0.json", weights=named)
    (tmp_path / "w.safetensors").write_bytes(content)
    report_weights.weight_images(run)
    (tmp_path / "w.safetensors").unlink()
    kept = tmp_path / "20-seed0.pictures"
    payload = results.read_json(kept) | change
    kept.write_text(json.dumps(payload | {"checksum": files._checksum(payload)}))
    with pytest.raises(report_weights.WeightsError):
        report_weights.weight_images(run)

"""Records from strangers: no traceback, no hang, no escape codes."""

import json
import os
from dataclasses import asdict, replace

import pytest
from records import run

from xray import files, results
from xray.results_checks import CURVES
from xray.specs import MODELS

SPEC = MODELS["20"]


@pytest.mark.parametrize(
    "change, field",
    [
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"seed": "0"}, "seed"),
        ({"image_size": 10**9}, "image_size"),
        ({"image_size": 64.5}, "image_size"),
        ({"split": "../../x"}, "split"),
        ({"split": "image-٣"}, "split"),
        ({"data": {"name": "x"}}, "data.source"),
        ({"engine": "other"}, "engine"),
        ({"precision": None}, "precision"),
        ({"pixel_step": 0}, "pixel_step"),
        ({"pixel_step": float("1e308") * 10}, "pixel_step"),
        ({"status": "lost"}, "status"),
        ({"history": {}}, "history"),
        ({"history": dict.fromkeys(CURVES, ["x"])}, "history"),
        ({"history": dict.fromkeys(CURVES, [1.0] * 9999)}, "history"),
        ({"labels": {"validation": "0123", "test": "010"}}, "labels"),
        ({"labels": {"validation": "01", "test": "010"}}, "labels"),
        ({"logits": {"validation": [[1]] * 4, "test": [1, 2, 3]}}, "logits"),
        ({"logits": {"validation": [1e39] * 4, "test": [1, 2, 3]}}, "logits"),
        ({"environment": {"seconds": "long"}}, "environment.seconds"),
        ({"environment": [1]}, "environment"),
        ({"weights": {"file": 3, "sha256": "0" * 64}}, "weights.file"),
        ({"weights": {"file": "x", "sha256": "0"}}, "weights.sha256"),
        ({"spec": asdict(replace(SPEC, epochs=10**12))}, "spec.epochs"),
        ({"spec": asdict(replace(SPEC, hidden_units=10**9))}, "spec.hidden_units"),
        ({"spec": asdict(replace(SPEC, id=["20"]))}, "spec.id"),
    ],
)
def test_a_strangers_record_is_checked_field_by_field(tmp_path, change, field):
    path = results.save(tmp_path, run("20", validation=4, test=3), "20-seed0")
    payload = results.read_json(path) | change
    text = json.dumps({"format": 1} | payload | {"checksum": files._checksum(payload)})
    path.write_text(text)
    with pytest.raises(results.ResultsError) as error:
        results.load_run(path)
    assert str(error.value).startswith(f"{path}: not a run's record; what is wrong in it: {field}")


def test_a_strangers_texts_do_nothing_to_a_terminal(tmp_path):
    made = run("20", validation=4, test=3)
    made = replace(
        made,
        data=made.data | {"source": "a\x1b[2Jb"},
        environment=made.environment | {"device": "\x9b2J", "versions": {"torch": "\x1b]0;x\x07"}},
    )
    read = results.load_run(results.save(tmp_path, made, "20-seed0"))
    texts = [read.data["source"], read.environment["device"], read.environment["versions"]["torch"]]
    assert texts == [r"a\x1b[2Jb", r"\x9b2J", r"\x1b]0;x\x07"]


def test_a_record_that_never_ends_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "20-seed0.json")
    with pytest.raises(results.ResultsError, match="not a file"):
        results.load(tmp_path)


def test_half_a_character_is_no_text(tmp_path):
    path = results.save(tmp_path, run("20", validation=4, test=3), "20-seed0")
    path.write_text(path.read_text().replace("a made-up processor", r"\ud800"))
    with pytest.raises(results.ResultsError, match="altered or damaged"):
        results.load_run(path)


@pytest.mark.parametrize(
    "change, field",
    [
        ({"phantom": "no"}, "phantom"),
        ({"paths": ["a"]}, "labels"),
        ({"paths": [1], "labels": "1"}, "paths"),
        ({"paths": ["a"], "labels": "7"}, "labels"),
        ({"sizes": {"4x4": "many"}}, "sizes"),
        ({"sizes": {"4x4x4": 1}}, "sizes"),
        ({"counts": {"train": 5}}, "counts"),
        ({"classes": {"NORMAL": [0]}}, "classes"),
        ({"audit": []}, "audit"),
    ],
)
def test_a_strangers_data_is_checked_too(tmp_path, change, field):
    sound = {"format": 1, "source": "a\x1b[2J", "sizes": {"4x4": 2}, "paths": [], "labels": ""}
    results.write_json(tmp_path / "data.json", sound)
    assert results.read_facts(tmp_path / "data.json")["source"] == r"a\x1b[2J"
    results.write_json(tmp_path / "data.json", sound | change)
    with pytest.raises(results.ResultsError, match=f"wrong in it: {field}"):
        results.read_facts(tmp_path / "data.json")

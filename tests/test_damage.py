"""Damaged files: what cannot be made again is named, what can is made again, and nothing good is
touched.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
from commands import MIXED, Study, assert_same, record_files, records, run_fork, train

from xray import results


def cut(path):
    path.write_bytes(path.read_bytes()[:200])


def empty(path):
    path.write_bytes(b"")


def not_json(path):
    path.write_bytes(b"\xff\xfe not JSON")


def another_number(path):
    text = path.read_text()
    path.write_text(text.replace('"seed": 0', '"seed": 1'))
    assert path.read_text() != text


def later_format(path):
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))


def no_checksum(path):
    payload = json.loads(path.read_text())
    del payload["checksum"]
    path.write_text(json.dumps(payload))


def not_a_run(path):
    path.unlink()
    results.write_json(path, {"format": results.FORMAT, "logits": None})


@pytest.mark.parametrize(
    "damage, word",
    [
        (cut, "damaged"),
        (empty, "damaged"),
        (not_json, "damaged"),
        (another_number, "checksum"),
        (later_format, "format 99"),
        (no_checksum, "damaged"),
        (not_a_run, "not a run's record"),
    ],
)
def test_a_damaged_record_is_named_and_the_others_kept(
    whole, images, finished, tmp_path, capsys, damage, word
):
    shutil.copytree(finished, tmp_path / "study")
    out = tmp_path / "study" / "out"
    broken = record_files(out)["given/19-seed0-8px-matched-2epochs"]
    damage(broken)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    os.environ["XRAY_CACHE"] = str(tmp_path / "study" / "cache")
    arguments = ("--data", images, *MIXED, "--out", out)
    assert train(*arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {broken}: ") and word in line
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    broken.unlink()
    assert train(*arguments) == 0
    assert "1 finished before, 1 to train" in capsys.readouterr().out
    assert_same(whole(MIXED)[0], records(out))


@pytest.fixture(scope="module")
def finished(whole, images, tmp_path_factory):
    """A folder of a finished study and its cache."""
    study = Study(tmp_path_factory.mktemp("finished") / "study", images, MIXED, whole(MIXED)[1])
    assert study.run()[0] == 0
    return tmp_path_factory.getbasetemp() / study.out.parent


def flip_last(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "what, damage, note",
    [
        ("images/*/pixels.u8", flip_last, "damaged"),
        ("images/*/pixels.u8", cut, "damaged"),
        ("images/*/meta.json", cut, "damaged"),
        ("images/*/meta.json", Path.unlink, "damaged"),
        ("gram/*.safetensors", flip_last, "computed again"),
        ("gram/*.safetensors", cut, "computed again"),
        ("gram/*.safetensors", empty, "computed again"),
    ],
)
def test_a_damaged_cache_is_made_again(whole, images, tmp_path, what, damage, note):
    expected, cache = whole(MIXED)
    study = Study(tmp_path / "study", images, MIXED, cache)
    [path] = study.cache.glob(what)
    good = path.stat().st_size
    damage(path)
    code, said, errors = study.run()
    assert (code, errors) == (0, "") and said.count("note: ") == 1
    [line] = [line for line in said.splitlines() if line.startswith("note: ")]
    assert note in line
    assert [path.stat().st_size for path in study.cache.glob(what)] == [good]
    assert_same(expected, records(study.out))
    study.arguments += ("--force",)
    assert study.run()[1].count("note: ") == 1, "it was not mended"


def test_damaged_facts_are_written_again(finished, images, tmp_path):
    shutil.copytree(finished, tmp_path / "study")
    [facts] = (tmp_path / "study" / "out" / "results").glob("*/data.json")
    good = facts.read_bytes()
    cut(facts)
    code, said, _ = run_fork(
        "--data",
        images,
        *MIXED,
        "--out",
        tmp_path / "study" / "out",
        cache=tmp_path / "study" / "cache",
        log=tmp_path / "log",
    )
    assert code == 0 and f"note: {facts} was damaged and is written again" in said
    assert facts.read_bytes() == good

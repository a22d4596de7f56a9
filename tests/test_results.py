"""Records: what is written is what is read, and what is not sound is never taken for a run."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from records import run, save

from xray import files, results
from xray.results import ResultsError
from xray.specs import LEARNING_RATE_SEARCH, MODELS

SPEC = MODELS["20"]


def same(one, other):
    left, right = asdict(one), asdict(other)
    for name in ("logits", "labels"):
        a, b = left.pop(name), right.pop(name)
        assert a.keys() == b.keys()
        for part in a:
            assert a[part].dtype == b[part].dtype and a[part].tobytes() == b[part].tobytes()
    del left["file"], right["file"]
    return left == right


@pytest.mark.parametrize(
    "made",
    [
        run("26b", 3),
        run("6@1e-1", diverged=True),
        run("20", image_size=64, engine="gram", forced=True, split="patient-4"),
        run(
            "17",
            data={
                "name": "x",
                "source": 'a "quoted"\npath\\肺',
                "fingerprint": "0" * 64,
                "phantom": True,
                "skipped": 2,
            },
            weights={"file": "17.safetensors", "sha256": "0" * 64},
        ),
    ],
)
def test_a_record_comes_back_as_it_was_written(tmp_path, made):
    path = results.save(tmp_path, made, "x-seed0")
    read = results.load_run(path)
    assert same(made, read) and read.file == path and read == replace(read, file=None)
    assert list(tmp_path.iterdir()) == [path] and path.stat().st_mode & 0o777 == 0o644
    first = path.read_bytes()
    assert results.save(tmp_path, read, "x-seed0").read_bytes() == first, (
        "written again it is the same file"
    )


def test_every_float32_comes_back_to_the_bit(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2**32, 4000, dtype=np.uint32).view(np.float32)
    extremes = np.array(
        [0, -0.0, 1e-45, np.finfo(np.float32).max, np.finfo(np.float32).tiny, 1 / 3], np.float32
    )
    values = np.concatenate([bits[np.isfinite(bits)], extremes])
    labels = dict.fromkeys(results.PARTS, np.zeros(len(values), np.int64))
    logits = {"validation": values, "test": values[::-1]}
    made = replace(run("20"), logits=logits, labels=labels)
    read = results.load_run(results.save(tmp_path, made, "x-seed0"))
    assert (
        read.logits["validation"].tobytes() == values.tobytes()
        and read.logits["test"].dtype == np.float32
    )


def test_a_number_that_is_not_finite_is_never_written(tmp_path):
    with pytest.raises(ValueError):
        results.save(
            tmp_path, replace(run("20"), logits={"test": np.array([np.nan], np.float32)}), "x-seed0"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "spec, seed, size, precision, engine, name",
    [
        (SPEC, 0, 640, "fp32", "", "20-seed0"),
        (MODELS["26b"], 4, 64, "fp32", "", "26b-seed4-64px-matched"),
        (replace(SPEC, epochs=3), 0, 640, "fp32", "", "20-seed0-3epochs"),
        (SPEC, 0, 640, "bf16", "direct", "20-seed0-bf16-direct"),
        (
            replace(LEARNING_RATE_SEARCH["6@1e-1"], epochs=2),
            1,
            8,
            "tf32",
            "gram",
            "6@1e-1-seed1-8px-matched-2epochs-tf32-gram",
        ),
    ],
)
def test_names(spec, seed, size, precision, engine, name):
    assert results.run_name(spec, seed, size, precision, engine) == name


def test_names_of_different_runs_differ():
    names = {
        results.run_name(replace(spec, epochs=epochs), seed, size, precision, engine)
        for spec in (MODELS | LEARNING_RATE_SEARCH).values()
        for epochs in (7, 8)
        for seed in (0, 1, 10)
        for size in (64, 640)
        for precision in ("fp32", "tf32", "bf16")
        for engine in ("", "direct", "gram")
    }
    assert len(names) == len(MODELS | LEARNING_RATE_SEARCH) * 2 * 3 * 2 * 3 * 3


@pytest.mark.parametrize(
    "name",
    [
        "../../evil",
        "/etc/passwd",
        "..",
        ".",
        "",
        "-rf",
        ".hidden",
        "a/b\\c",
        "new\nline",
        "肺",
        "x" * 500,
        "nul\0",
        "~",
        "C:\\x",
        "a b",
        "keremberke/chest-xray-classification",
    ],
)
def test_a_data_folder_lies_right_under_the_results(tmp_path, name):
    folder = results.data_folder(tmp_path, name, "0123456789abcdef")
    assert folder.parent == tmp_path and folder.resolve().parent == tmp_path.resolve()
    assert (
        folder.name.endswith("-01234567")
        and not folder.name.startswith((".", "-"))
        and len(folder.name) <= 69
    )
    folder.mkdir()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"7",
        b"{}",
        b"\xff\xfe\x00",
        b'{"format": 1}',
        b'{"checksum": "x"}',
        b"[" * 100_000,
        b'{"format": 1, "checksum": "' + b"0" * 64 + b'"}',
    ],
)
def test_other_content_is_not_a_record(tmp_path, content):
    path = tmp_path / "20-seed0.json"
    path.write_bytes(content)
    for read in (results.read_json, results.load_run):
        with pytest.raises(results.Damaged) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    with pytest.raises(ResultsError, match="20-seed0"):
        results.load(tmp_path)


def test_a_record_cut_anywhere_or_with_any_byte_changed_is_refused(tmp_path):
    path = results.save(tmp_path, run("20", validation=4, test=3), "20-seed0")
    good = path.read_bytes()
    generator = np.random.default_rng(0)
    for cut in [*generator.integers(0, len(good) - 3, 200), len(good) - 3]:
        path.write_bytes(good[:cut])
        with pytest.raises(ResultsError):
            results.load_run(path)
    refused = 0
    for place in generator.integers(0, len(good), 400):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        try:
            assert same(results.load_run(path), run("20", validation=4, test=3)), (
                "only space between values may change"
            )
        except ResultsError:
            refused += 1
    assert refused > 350


@pytest.mark.parametrize(
    "change, words",
    [
        ({"format": 2}, "written in format 2"),
        ({"format": "1"}, "written in format '1'"),
        ({"spec": None}, "not a run"),
        ({"spec": {"id": "20"}}, "not a run"),
        ({"logits": None}, "not a run"),
        ({"labels": 3}, "not a run"),
        ({"labels": {"test": "01x"}}, "not a run"),
        ({"logits": {"test": ["x"]}}, "not a run"),
        ({"extra": 1}, "not a run"),
        ({"seed": ...}, "not a run"),
        ({"spec": asdict(replace(SPEC, id="99"))}, "does not exist: '99'"),
    ],
)
def test_a_sound_file_that_is_not_a_run_of_this_program_is_refused(tmp_path, change, words):
    path = results.save(tmp_path, run("20", validation=4, test=3), "20-seed0")
    payload = {"format": 1} | results.read_json(path) | change
    results.write_json(path, {key: value for key, value in payload.items() if value is not ...})
    with pytest.raises(ResultsError, match=words) as error:
        results.load_run(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_loading_a_folder(tmp_path):
    for model, seed, split in (
        ("26b", 1, "given"),
        ("3", 0, "given"),
        ("26b", 0, "image-3"),
        ("26b", 0, "given"),
        ("6@1e-5", 0, "given"),
        ("20b", 0, "given"),
        ("10", 0, "given"),
    ):
        save(tmp_path, run(model, seed, split=split, validation=4, test=3), {"name": "made-up"})
    (tmp_path / "notes.json").write_text("not a record, and not named as one")
    found = [(one.spec.id, one.split, one.seed) for one in results.load(tmp_path)]
    assert found == [
        ("3", "given", 0),
        ("10", "given", 0),
        ("20b", "given", 0),
        ("26b", "given", 0),
        ("26b", "given", 1),
        ("26b", "image-3", 0),
        ("6@1e-5", "given", 0),
    ]
    assert list(results.studies(tmp_path)) == ["made-up-01234567/given", "made-up-01234567/image-3"]
    assert len(results.load(results.studies(tmp_path)["made-up-01234567/image-3"])) == 1


def test_a_folder_without_runs(tmp_path):
    for folder, words in ((tmp_path / "missing", "no such folder"), (tmp_path, "holds no run")):
        with pytest.raises(ResultsError, match=words) as error:
            results.load(folder)
        assert str(folder) in str(error.value)
        assert results.studies(folder) == {}


def test_json_is_one_key_a_line_with_its_checksum_last(tmp_path):
    results.write_json(tmp_path / "x", {"format": 1, "b": [1, 2.5], "a": "肺"})
    lines = (tmp_path / "x").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6 and lines[3] == '"a": "肺",' and lines[4].startswith('"checksum": ')
    assert results.read_json(tmp_path / "x") == {"format": 1, "b": [1, 2.5], "a": "肺"}
    assert json.loads(Path(tmp_path / "x").read_text(encoding="utf-8"))["format"] == 1


def test_runs_in_short_come_back(tmp_path):
    made = run("21", 3, split="image-4")
    results.append(tmp_path / "image-4", made, "21-seed3")
    results.append(tmp_path / "image-4", run("20", 0, split="image-4"), "20-seed0")
    found = results.load_compact(tmp_path / "image-4")
    assert list(found) == ["21-seed3", "20-seed0"]
    back = found["21-seed3"]
    assert (back.spec, back.seed, back.split, back.pixel_step) == (made.spec, 3, "image-4", 1.0)
    assert np.array_equal(back.logits["test"], made.logits["test"]) and set(back.logits) == {"test"}
    assert np.array_equal(back.labels["test"], made.labels["test"]) and back.history == {}
    assert {r.file for r in results.load(tmp_path)} == {tmp_path / "image-4" / results.COMPACT}


def test_a_line_that_was_cut_off_is_passed_over_and_an_altered_one_is_not(tmp_path):
    for seed in (0, 1):
        results.append(tmp_path, run("20", seed), f"20-seed{seed}")
    path = tmp_path / results.COMPACT
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert list(results.load_compact(tmp_path)) == ["20-seed0"]
    results.append(tmp_path, run("20", 2), "20-seed2")
    assert list(results.load_compact(tmp_path)) == ["20-seed0", "20-seed2"]
    path.write_bytes(whole.replace(b'"seed": 1', b'"seed": 7'))
    with pytest.raises(results.Damaged, match="line 2"):
        results.load_compact(tmp_path)


def test_the_later_of_two_lines_counts(tmp_path):
    results.append(tmp_path, run("20", 0), "20-seed0")
    results.append(tmp_path, run("20", 0, skill=0.1), "20-seed0")
    (back,) = results.load_compact(tmp_path).values()
    assert np.array_equal(back.logits["test"], run("20", 0, skill=0.1).logits["test"])


def test_lines_that_are_no_runs_record_are_said_in_one_line(tmp_path):
    path = tmp_path / results.COMPACT
    for payload, words in (({"name": "x"}, "not a run's record"), ({"x": [1]}, "not a run's")):
        path.unlink(missing_ok=True)
        files.append_line(path, payload)
        with pytest.raises(results.ResultsError, match=words):
            results.load_compact(tmp_path)
    for line, words in (("[1]", "line 1: not a record"), ('{"a": 1}', "line 1: not a record")):
        path.write_text(f"{line}\n")
        with pytest.raises(results.Damaged, match=words):
            results.load_compact(tmp_path)
    path.write_text('{"format": 2, "checksum": "x"}\n')
    with pytest.raises(results.ResultsError, match="written in format 2"):
        results.load_compact(tmp_path)

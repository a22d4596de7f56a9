"""Records: what is written is what is read, and what is not sound is never taken for a run."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from records import run, save

from xray import results
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
    made = replace(run("20"), logits={"validation": values, "test": values[::-1]})
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
        ({"spec": asdict(replace(SPEC, id="99"))}, "does not exist, '99'"),
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


def test_the_runs_to_show_are_those_nearest_to_the_papers():
    short = replace(SPEC, epochs=3)
    wrong = [
        run("20", 0, spec=short),
        run("20", 0, image_size=64),
        run("20", 0, forced=True),
        replace(run("20", 0), precision="bf16"),
    ]
    right = [run("20", seed) for seed in (2, 0, 1)]
    assert results.select(wrong + right) == {"20": [right[1], right[2], right[0]]}
    ranking = [  # each is nearer than those after it
        run("20", 0),
        run("20", 0, forced=True),
        replace(run("20", 0), precision="bf16"),
        run("20", 0, image_size=64),
        run("20", 0, image_size=32),
        run("20", 0, spec=replace(SPEC, epochs=40)),
        run("20", 0, spec=short),
    ]
    for place in range(len(ranking)):
        assert results.select(ranking[place:][::-1]) == {"20": [ranking[place]]}
    chosen = results.select([run(model) for model in reversed(MODELS | LEARNING_RATE_SEARCH)])
    assert list(chosen) == list(MODELS | LEARNING_RATE_SEARCH)
    assert results.select([]) == {}


def test_models_of_a_class_are_shown_at_the_size_that_most_of_them_have():
    small = [run(model, image_size=96) for model in ("22", "22b", "26b")]
    large = [run(model) for model in ("22", "22b", "26b")]
    assert list(results.select(small + large[2:]).values()) == [[one] for one in small]
    assert list(results.select(small + large).values()) == [[one] for one in large]
    short = [run(model, spec=replace(MODELS[model], epochs=1)) for model in ("22", "22b")]
    assert list(results.select(small + short + large[2:]).values()) == [[one] for one in small]
    # another class, its own size
    assert results.select(small + [run("20", image_size=224)])["20"][0].image_size == 224


def test_what_differs_from_the_paper_is_said():
    assert run("20").differs == []
    (old,) = replace(run("26b", image_size=96), pixel_step=1.0).differs
    assert old.endswith("with steps that are not matched to them")
    odd = run("20", spec=replace(SPEC, epochs=3), image_size=96, data={"phantom": True})
    assert odd.differs == [
        "synthetic images (phantoms)",
        "96×96 pixels instead of 640×640, with matched steps",
        "3 epochs instead of 50",
    ]


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


def test_unmatched_runs_of_an_earlier_version_never_stand_in(tmp_path):
    old = [replace(run("22", seed, image_size=96), pixel_step=1.0) for seed in range(5)]
    new = [run("22", seed, image_size=64) for seed in range(2)]
    assert results.select(old + new) == {"22": new}
    path = results.save(tmp_path, old[0], "22-seed0-96px")
    record = results.read_json(path)
    del record["pixel_step"]
    results.write_json(path, record)
    assert not results.load_run(path).matched and results.load_run(path).pixel_step == 1.0


def test_one_run_at_the_papers_size_does_not_displace_five_matched_ones():
    matched = [run(name, seed, image_size=64) for name in ("22", "25") for seed in range(5)]
    single = run("22", 0)
    chosen = results.select([*matched, single])
    assert all(found.image_size == 64 for group in chosen.values() for found in group)
    several = [run(name, seed) for name in ("22", "25") for seed in range(3)]
    chosen = results.select([*matched, *several])
    assert all(found.image_size == 640 for group in chosen.values() for found in group)

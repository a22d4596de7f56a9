"""Records: what is written is what is read, and what is not sound is never taken for a run."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from records import run, save

from xray import files, results
from xray.results import ResultsError
from xray.specs import LEARNING_RATE_SEARCH, MODELS

SPEC = MODELS["20"]
STRANGE = {"name": "x", "source": 'a "quoted"\npath\\肺', "fingerprint": "0" * 64}
STRANGE |= {"phantom": True, "skipped": 2}
KEPT = {"file": "17.safetensors", "sha256": "0" * 64}


def same(one, other):
    left, right = asdict(one), asdict(other)
    for name in ("logits", "labels"):
        a, b = left.pop(name), right.pop(name)
        assert a.keys() == b.keys()
        for part in a:
            assert a[part].dtype == b[part].dtype and a[part].tobytes() == b[part].tobytes()
    del left["file"], right["file"]
    return left == right


def again(tmp_path, made):
    """The run as it comes back from its record."""
    results.append(tmp_path / "given.jsonl", made)
    return list(results.runs_of(tmp_path / "given.jsonl").values())[-1]


@pytest.mark.parametrize(
    "made",
    [
        run("26b", 3),
        run("6@1e-1", diverged=True),
        run("20", image_size=64, engine="gram", forced=True, split="patient-4"),
        run("36", image_size=128),
        replace(run("21", image_size=64), pixel_step=1.0),
        run("17", data=STRANGE, weights=KEPT),
        results.in_short(run("20", split="image-3")),
    ],
)
def test_a_record_comes_back_as_it_was_written(tmp_path, made):
    read = again(tmp_path, made)
    assert same(made, read) and read.file == tmp_path / "given.jsonl"
    assert (read.name, read.matched, read.differs) == (made.name, made.matched, made.differs)
    [line] = (tmp_path / "given.jsonl").read_text().splitlines()
    payload = json.loads(line)
    assert list(payload)[:2] == ["run", "split"] and payload["run"] == made.name


def test_every_float32_comes_back_to_the_bit(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2**32, 4000, dtype=np.uint32).view(np.float32)
    limits = np.finfo(np.float32)
    extremes = np.array([0, -0.0, 1e-45, limits.max, limits.tiny, 1 / 3], np.float32)
    values = np.concatenate([bits[np.isfinite(bits)], extremes])
    labels = dict.fromkeys(results.PARTS, np.arange(len(values)) % 3 % 2)
    logits = {"validation": values, "test": values[::-1]}
    read = again(tmp_path, replace(run("20"), logits=logits, labels=labels))
    for part in results.PARTS:
        assert read.logits[part].tobytes() == logits[part].tobytes()
        assert read.logits[part].dtype == np.float32
        assert np.array_equal(read.labels[part], labels[part]) and read.labels[part].dtype == int


def test_in_short_the_counts_stand_for_the_validation_logits(tmp_path):
    made = run("20", split="image-3", weights=KEPT)
    true, called = made.labels["validation"] == 1, made.logits["validation"] > 0
    counts = {"tp": (called & true).sum(), "fp": (called & ~true).sum()}
    counts |= {"fn": (~called & true).sum(), "tn": (~called & ~true).sum()}
    short = results.in_short(made)
    assert made.validation_counts == short.validation_counts == counts
    assert list(short.logits) == list(short.labels) == ["test"]
    assert (short.history, short.weights) == ({}, {})
    assert "epoch_seconds" not in short.environment and short.environment["seconds"]
    assert again(tmp_path, short).validation_counts == counts
    given = results.in_short(run("20", 7))
    assert given.history == run("20", 7).history and list(given.logits) == ["test"]
    assert results.counted(run("20", diverged=True)).validation_counts == {}


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


def test_unmatched_steps_have_a_name_of_their_own():
    matched = run("21", image_size=64)
    assert matched.name == "21-seed0-64px-matched"
    assert replace(matched, pixel_step=1.0).name == "21-seed0-64px-unmatched"
    assert replace(run("21"), pixel_step=1.0).name == "21-seed0"


@pytest.mark.parametrize(
    "change",
    [
        {"spec": None},
        {"spec": {"id": "20"}},
        {"spec": asdict(replace(SPEC, id="99"))},
        {"logits": None},
        {"logits": {"test": "x"}},
        {"labels": 3},
        {"extra": 1},
        {"seed": ...},
        {"run": ...},
    ],
)
def test_a_line_that_is_no_run_of_this_program_is_named(tmp_path, change):
    path = tmp_path / "given.jsonl"
    results.append(path, run("21", validation=4, test=3))
    results.append(path, run("20", validation=4, test=3))
    good, line = path.read_text().splitlines()
    payload = {key: value for key, value in (json.loads(line) | change).items() if value is not ...}
    path.write_text(f"{good}\n{json.dumps(payload)}\n")
    with pytest.raises(ResultsError, match="line 2: no run's record") as error:
        results.load(tmp_path)
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
    place = tmp_path / "made-up-01234567"
    files.append_line(place / "experiments.jsonl", {"no": "run"})
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
    assert results.studies(tmp_path) == {"made-up-01234567/given": place / "given.jsonl"}
    results.append(place / "patient-0.jsonl", run("20", split="patient-0", test=3))
    own = results.studies(tmp_path)["made-up-01234567/patient-0"]
    assert [one.split for one in results.load(own)] == ["patient-0"]
    assert results.beside(own) == place / "patient-0"
    assert results.beside(place / "given.jsonl") == place


def test_a_folder_without_runs(tmp_path):
    for folder, words in ((tmp_path / "missing", "no such folder"), (tmp_path, "holds no run")):
        with pytest.raises(ResultsError, match=words) as error:
            results.load(folder)
        assert str(folder) in str(error.value)
        assert results.studies(folder) == {}


def test_a_folder_of_an_earlier_version_is_told_in_one_line(tmp_path):
    (tmp_path / "made-up-01234567" / "given").mkdir(parents=True)
    (tmp_path / "made-up-01234567" / "given" / "20-seed0.json").write_text("{}")
    for read in (results.load, results.studies):
        with pytest.raises(ResultsError, match="earlier version") as error:
            read(tmp_path)
        assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_run_is_recorded_once_or_again_over_the_earlier(tmp_path):
    path, other = tmp_path / "given.jsonl", run("20", 0, skill=0.1)
    assert results.append(path, run("20", 0))
    assert not results.append(path, other)
    assert results.append(path, replace(other, split="image-3"))
    assert len(results.load(path)) == 2 and same(results.load(path)[0], run("20", 0))
    assert results.append(path, other, again=True)
    assert len(results.load(path)) == 2 and same(results.load(path)[0], other)


def test_a_run_that_was_cut_off_is_told_and_left_out(tmp_path):
    path, told = tmp_path / "given.jsonl", []
    for seed in (0, 1):
        results.append(path, run("20", seed))
    path.write_bytes(path.read_bytes()[:-100])
    assert [one.seed for one in results.load(path, told.append)] == [0] and len(told) == 1
    assert results.append(path, run("20", 1))
    assert [one.seed for one in results.load(path)] == [0, 1]

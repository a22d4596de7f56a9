"""What stands beside the study: its runs, the census of starts, the search for Table 3."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from commands import train
from samples import noise_images

from xray import data, engine, experiments, gram, models, results
from xray.specs import KNOWN, MODELS, TABLE_3

SIZE = 8
NETS = [(layers, units) for layers in experiments.LAYERS for units in experiments.UNITS]


# ---- runs


def test_jobs_are_the_runs_that_the_report_compares(tmp_path):
    jobs = experiments.jobs(tmp_path, n_images=100)
    assert {job.file for job in jobs} == {tmp_path / "experiments.jsonl"}
    assert {job.engine for job in jobs} == {"gram"}
    assert len({job.name for job in jobs}) == len(jobs)

    def seeds(model, size, matched):
        return {
            job.seed
            for job in jobs
            if (job.spec.id, job.image_size) == (model, size)
            and (job.pixel_step == (640 / size) ** 2) == matched
        }

    for model in ("21", "21@no-last-relu"):
        assert seeds(model, 64, True) == set(range(24))
    for model in ("20", "21@no-last-relu"):
        for size in (16, 32, 128, 256):
            assert seeds(model, size, True) == seeds(model, size, False) == {0, 1, 2}
        # at the study's size matched or not is one run
        assert seeds(model, 640, True) == {0, 1, 2} and not seeds(model, 640, False)
    assert len(jobs) == 2 * 24 + 2 * 3 * (2 * 5 + 1) - 3
    assert max(job.image_size for job in experiments.jobs(tmp_path, 100, image_size=96)) == 96


def test_the_command_makes_what_is_missing(images, tmp_path, monkeypatch, capsys):
    for name, value in {
        "SMALL": 8,
        "SIZES": (8,),
        "LAST_RELU_SEEDS": range(1),
        "CENSUS": {8: 5},
        "CENSUS_SEEDS": 4,
    }.items():
        monkeypatch.setattr(experiments, name, value)
    asked = "--experiments", "--data", images, "--image-size", "16", "--out", tmp_path
    assert train(*asked) == 0
    [path] = (tmp_path / "results").glob("*/experiments.jsonl")
    runs = experiments.runs(path.parent)
    assert len(runs) == 2 * 1 + 2 * 2 * 2 * 3 - 1 == len(path.read_text().splitlines())
    assert {run.spec.id for run in runs} == {"20", "21", "21@no-last-relu"}
    assert {run.matched for run in runs if run.image_size == 8} == {True, False}
    assert all(run.validation_counts and list(run.logits) == ["test"] for run in runs)  # in short
    assert not [
        run for run in runs if run.spec.id == "21@no-last-relu" and not run.logits["test"].any()
    ]
    starts = experiments.starts(path.parent)
    assert len(starts) == 9 * (5 + 4) and set(starts.images) == {14}
    assert results.studies(tmp_path / "results") == {}  # no run of the study itself
    before = path.read_bytes()
    capsys.readouterr()
    assert train(*asked) == 0
    assert "0 to train" in capsys.readouterr().out and path.read_bytes() == before


@pytest.mark.parametrize(
    "words", [["--experiments", "--seeds", "1"], ["--search", "20"], ["--search", "--epochs", "3"]]
)
def test_what_does_not_fit_is_told_in_one_line(words, tmp_path, capsys):
    assert train(*words, "--data", "phantom", "--out", tmp_path) == 2
    said = capsys.readouterr().err
    assert words[1] in said and said.count("\n") == 1


# ---- the census of starts


def start_of(net, seed, **changes):
    layers, units = net
    spec = replace(MODELS["21"], hidden_layers=layers, hidden_units=units, **changes)
    return spec, models.build(spec, SIZE, seed)


def test_counts_are_those_of_the_models_themselves(monkeypatch):
    films, _ = noise_images(40, SIZE)
    monkeypatch.setattr(experiments, "TOGETHER", 2)
    ticks = []
    found = experiments.census(films, range(5), lambda: ticks.append(1))
    pixels = torch.from_numpy(films) / 255
    for layers, units in NETS:
        with torch.no_grad():
            outputs = [start_of((layers, units), seed)[1](pixels) for seed in range(5)]
        assert found[f"{layers}x{units}"] == [int((values > 0).sum()) for values in outputs]
    assert len(ticks) == 5


def test_starts_are_a_row_each(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "CENSUS_SEEDS", 12)
    assert experiments.starts(tmp_path).empty
    films, _ = noise_images(40, SIZE)
    split = data.Split(films, np.zeros(40, np.int64), [""] * 40)

    class Given:
        train = split

    class Bar:
        update = close = lambda self, *_: None

    def load(size, split):
        return Given

    made = experiments.count_starts(tmp_path, load, image_size=16, bar=lambda **_: Bar())
    assert list(made) == [16]
    found = experiments.starts(tmp_path)
    assert list(found) == ["image_size", "images", "layers", "units", "seed", "above"]
    counts = experiments.census(films, range(experiments.CENSUS_SEEDS))
    own = found[(found.layers == 2) & (found.units == 10)]
    assert own.above.tolist() == counts["2x10"] and own.seed.tolist() == list(range(12))
    again = experiments.count_starts(tmp_path, load, image_size=16, bar=lambda **_: Bar())
    assert list(again) == []


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_start_counted_as_dead_never_moves_and_another_does(optimizer):
    films, labels = noise_images(40, SIZE)
    counts = experiments.census(films, range(30))["1x10"]
    pair = torch.from_numpy(films), torch.from_numpy(labels).float()
    for seed, moves in ((counts.index(0), False), (int(np.argmax(counts)), True)):
        assert (counts[seed] > 0) == moves
        spec, model = start_of((1, 10), seed, optimizer=optimizer, epochs=2, learning_rate=0.1)
        list(engine.fit(model, engine.make_optimizer(model, spec), spec, pair, pair, seed))
        start = start_of((1, 10), seed)[1].state_dict()
        same = [torch.equal(value, start[name]) for name, value in model.state_dict().items()]
        assert all(same) != moves


def test_of_films_that_are_all_alike_half_the_starts_are_dead():
    film = np.random.default_rng(0).integers(0, 256, (1, 1, SIZE, SIZE))
    films = np.repeat(film, 6, axis=0).astype(np.uint8)
    for counts in experiments.census(films, range(100)).values():
        assert set(counts) == {0, 6}
        assert 0.35 < np.mean(np.array(counts) == 0) < 0.65


def dead_in_wide_nets(matrix, image_size: int, layers: int, units: int, draws=2000) -> float:
    """P(dead) from the films' Gram matrix alone. Two normal inputs of a ReLU, with deviations s and
    s' and the angle a between them, come out with the mean product s s' (sin a + (pi - a) cos a) /
    (2 pi) (Cho and Saul 2009); weights and biases have the variance 1 / (3 inputs)."""
    covariance = (matrix / 255**2 + 1) / (3 * image_size**2)
    for _ in range(layers):
        deviation = covariance.diagonal().sqrt()
        scale = deviation[:, None] * deviation
        angle = (covariance / scale).clamp(-1, 1).arccos()
        product = scale * (angle.sin() + (math.pi - angle) * angle.cos()) / (2 * math.pi)
        covariance = (product + 1 / units) / 3
    normal = torch.distributions.MultivariateNormal(
        torch.zeros(len(covariance), dtype=torch.float64), covariance
    )
    torch.manual_seed(0)
    above = (normal.sample((draws,)) > 0).sum(1)
    return float(((above == 0) | (above == len(covariance))).double().mean()) / 2


def test_films_that_share_no_pixel_die_as_often_as_the_arc_cosine_kernel_says():
    films = np.zeros((16, 1, 32, 32), np.uint8)
    for number, film in enumerate(films):
        film[0, 2 * number : 2 * number + 2] = 255
    counts = experiments.census(films, range(150))
    for layers in experiments.LAYERS:
        expected = dead_in_wide_nets(gram.compute_gram(films), 32, layers, units=20)
        share = np.mean(np.array(counts[f"{layers}x20"]) == 0)
        assert share == pytest.approx(expected, abs=0.12)
        assert expected < (0.35 if layers == 1 else 0.5)


# ---- the search for Table 3

TINY = {"epochs": 2, "image_size": 16, "batch_size": 8}


@pytest.fixture
def few(monkeypatch):
    tried = {"33": [TINY | {"augment": 0.5}, TINY | {"augment": 1.0}]}
    monkeypatch.setattr(experiments, "TRIED", tried)
    monkeypatch.setattr(experiments, "SMALL", 16)


def test_each_trial_is_judged_by_the_epoch_that_it_keeps_and_recorded_once(
    few, images, tmp_path, capsys
):
    asked = "--search", "--data", images, "--out", tmp_path, "--device", "cpu"
    assert train(*asked) == 0
    [path] = tmp_path.rglob(experiments.SEARCH)
    trials = experiments.trials(path.parent)
    assert [trial["spec"]["augment"] for trial in trials] == [0.5, 1.0]
    for trial in trials:
        assert trial["spec"] == asdict(TABLE_3["33"]) | TINY | {"augment": trial["spec"]["augment"]}
        assert trial["epochs"] == 2 and trial["epoch"] in (1, 2)
        assert 0 <= trial["validation_auc"] <= 1 and trial["validation_loss"] > 0
        assert not [key for key in trial if "test" in key]
    assert "0 made before" in capsys.readouterr().out
    assert train("--search", "33", *asked[1:]) == 0
    assert "2 made before" in capsys.readouterr().out and len(path.read_text().splitlines()) == 2


def test_of_trials_as_good_as_the_best_the_fastest_is_chosen():
    figures = ((0.100, 60), (0.1005, 30), (0.102, 10))
    trials = [{"validation_loss": loss, "seconds": seconds} for loss, seconds in figures]
    assert experiments.chosen(trials) is trials[1]


def test_what_is_tried_are_rows_of_table_3_and_variants_are_known():
    assert set(experiments.TRIED) <= set(TABLE_3) and "21@no-last-relu" in KNOWN

"""The census of starts: draws, counts, and what the Gram matrix says of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import noise_images

from xray import engine, gram, starts
from xray.models import build
from xray.specs import MODELS

SIZE = 8
NETS = [pytest.param(net, id=f"{net[0]} layers, {net[1]} units") for net in starts.NETS]


def spec_of(net, **changes):
    layers, units = net
    return replace(MODELS["21"], hidden_layers=layers, hidden_units=units, **changes)


def kernel(matrix, size, layers, units):
    return list(starts.kernels(matrix, size, units))[layers - 1]


@pytest.mark.parametrize("net", NETS)
def test_a_draw_is_the_start_that_a_model_is_built_with(net):
    first, later = starts.draw(SIZE, seed=3)
    built = list(build(spec_of(net), SIZE, seed=3).state_dict().values())
    drawn = [first[: net[1]], *later[net]]
    assert len(drawn) == len(built)
    assert all(torch.equal(one, other) for one, other in zip(drawn, built))


@pytest.mark.parametrize("net", NETS)
def test_counts_are_those_of_the_models_themselves(net, monkeypatch):
    images, _ = noise_images(40, SIZE)
    monkeypatch.setattr(starts, "WEIGHTS", 4 * 20 * SIZE**2 * 2)  # two seeds at once
    said = []
    found = starts.census(images, range(5), lambda *done: said.append(done))[net]
    with torch.no_grad():
        films = torch.from_numpy(images) / 255
        outputs = [build(spec_of(net), SIZE, seed)(films) for seed in range(5)]
    assert found.tolist() == [int((values > 0).sum()) for values in outputs]
    assert said == [(2, 5), (4, 5), (5, 5)]


def test_of_films_that_are_all_alike_half_the_starts_are_dead():
    film = np.random.default_rng(0).integers(0, 256, (1, 1, SIZE, SIZE))
    films = np.repeat(film, 6, axis=0).astype(np.uint8)
    for counts in starts.census(films, range(400)).values():
        assert set(counts) == {0, 6}
        assert 0.4 < np.mean(counts == 0) < 0.6


@pytest.mark.parametrize("net", [(1, 20), (2, 20), (3, 20)])
def test_films_that_share_no_pixel_die_as_often_as_their_kernel_says(net):
    films = np.zeros((16, 1, 32, 32), np.uint8)
    for number, film in enumerate(films):
        film[0, 2 * number : 2 * number + 2] = 255
    expected = starts.dead_by_kernel(kernel(gram.compute_gram(films), 32, *net))
    counts = starts.census(films, range(300))[net]
    assert np.mean(counts == 0) == pytest.approx(expected, abs=0.09)
    assert expected < (0.35 if net[0] == 1 else 0.5)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_start_counted_as_dead_never_moves_and_another_does(optimizer):
    images, labels = noise_images(40, SIZE)
    counts = starts.census(images, range(30))[1, 10]
    pair = torch.from_numpy(images), torch.from_numpy(labels).float()
    spec = spec_of((1, 10), optimizer=optimizer, epochs=2, learning_rate=0.1)
    for seed, moves in ((int(np.argmin(counts)), False), (int(np.argmax(counts)), True)):
        assert (counts[seed] > 0) == moves
        model = build(spec, SIZE, seed)
        list(engine.fit(model, engine.make_optimizer(model, spec), spec, pair, pair, seed))
        start = build(spec, SIZE, seed).state_dict()
        same = [torch.equal(value, start[name]) for name, value in model.state_dict().items()]
        assert all(same) != moves


def test_the_kernel_is_the_covariance_of_many_starts():
    """For one hidden layer at any width, but for its pre-activations being nearly normal."""
    images, _ = noise_images(4, 16)
    found = []
    for seed in range(1500):
        first, later = starts.draw(16, seed)
        found.append(starts.outputs(gram.project(images, first[:10]), later[1, 10]))
    found = torch.stack(found)  # (seeds, films)
    expected = kernel(gram.compute_gram(images), 16, 1, 10)
    assert torch.allclose(found.T @ found / len(found), expected, rtol=0.1)


def test_two_films_at_an_angle_die_as_often_as_the_angle_says():
    for degrees in (0, 30, 90, 180):
        angle = math.radians(degrees)
        covariance = torch.tensor([[4.0, 6 * math.cos(angle)], [6 * math.cos(angle), 9.0]])
        median, widest = starts.spread(covariance.double())
        assert median == widest == pytest.approx(angle, abs=1e-6)
        dead = starts.dead_by_kernel(covariance.double(), draws=20_000)
        assert dead == pytest.approx(0.5 - angle / (2 * math.pi), abs=0.01)


def test_layers_and_few_units_bring_films_nearer():
    matrix = gram.compute_gram(noise_images(10, 16)[0])
    widest = {net: starts.spread(kernel(matrix, 16, *net))[1] for net in starts.NETS}
    assert widest[1, 20] > widest[1, 10] > widest[1, 5]
    assert widest[1, 20] > widest[2, 20] > widest[3, 20]
    assert starts.spread(matrix)[1] > widest[1, 20]

"""Models with one thing changed, against the study's engine and the plain loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import noise_images
from torch.nn.functional import binary_cross_entropy_with_logits

from xray import gram, metrics, sample_space, starts, trials
from xray.engine import batch_order
from xray.models import build
from xray.specs import MODELS, pixel_step
from xray.trials import Trial

SIZE, N = 16, 130
IMAGES, LABELS = noise_images(N, SIZE)
GRAM = gram.compute_gram(IMAGES)
INDEX = {"train": np.arange(75), "validation": np.arange(75, 90), "test": np.arange(90, N)}


def short(model, **changes):
    """A small image's weights barely move at the paper's rate: raised, so that some learn."""
    return replace(
        MODELS[model], **{"epochs": 3, "learning_rate": 1e-4, "batch_size": 16} | changes
    )


def counts(logits) -> dict:
    return metrics.confusion(logits, LABELS[INDEX["test"]])


@pytest.mark.parametrize("matched", [True, False])
def test_trials_end_as_the_studys_engine_does(matched):
    asked = [Trial(short(model), matched) for model in ("20", "21")]
    found = trials.train(asked, range(6), GRAM, IMAGES, LABELS, INDEX)
    assert [(run["trial"], run["seed"]) for run in found[:2]] == [(0, 0), (1, 0)]
    step = pixel_step(SIZE) if matched else 1.0
    nets = [sample_space.Net(trial.spec, seed, INDEX, step) for seed in range(6) for trial in asked]
    fitted = sample_space.train(nets, GRAM, IMAGES, LABELS)
    logits = {(one.net.spec.id, one.net.seed): one.logits["test"] for one in fitted}
    for run in found:
        expected = counts(logits[asked[run["trial"]].spec.id, run["seed"]])
        assert {name: run[name] for name in expected} == expected
    assert len({tuple(run.items())[2:] for run in found}) > 2  # they do differ


def test_without_the_last_relu_is_the_plain_loop_of_that_net():
    spec = short("21", learning_rate=0.1, epochs=20)
    found = trials.train([Trial(spec, False, False)], [2], GRAM, IMAGES, LABELS, INDEX)
    net = build(spec, SIZE, seed=2).layer_stack[:-1]
    optimizer = torch.optim.SGD(net.parameters(), spec.learning_rate)
    films, truth = torch.from_numpy(IMAGES) / 255, torch.from_numpy(LABELS).float()
    for epoch in range(spec.epochs):
        for batch in batch_order(75, 2, epoch).split(spec.batch_size):
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(net(films[batch])[:, 0], truth[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        expected = counts(net(films[INDEX["test"]])[:, 0].numpy())
    assert [found[0][name] for name in expected] == list(expected.values())
    assert min(expected["tp"] + expected["fp"], expected["tn"] + expected["fn"]) > 0


def test_dead_starts_stay_dead_and_without_the_last_relu_none_is():
    dead = np.flatnonzero(starts.census(IMAGES, range(30))[1, 10] == 0)[:5].tolist()
    assert len(dead) == 5
    asked = [Trial(short("21", epochs=8), last_relu=last_relu) for last_relu in (True, False)]
    for run in trials.train(asked, dead, GRAM, IMAGES, LABELS, INDEX):
        called = run["tp"] + run["fp"]
        assert called == 0 if run["trial"] == 0 else called > 0


def test_each_epoch_of_a_group_is_told():
    said = []
    asked = [Trial(short("20"))]
    trials.train(asked, range(6), GRAM, IMAGES, LABELS, INDEX, lambda: said.append(1))
    assert len(said) == 2 * 3

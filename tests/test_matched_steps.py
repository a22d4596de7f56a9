"""A small film with matched steps learns what the large one does whose pixels are each repeated
(specs.pixel_step).
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from xray import engine, models
from xray.sample_space import Net, train
from xray.specs import IMAGE_SIZE, MODELS, pixel_step

SIZE, TIMES = 8, 3  # a film of 8×8, and of 24×24 with each pixel 3×3 times
random = np.random.default_rng(5)
SMALL = random.integers(0, 256, (60, 1, SIZE, SIZE), dtype=np.uint8)
LARGE = SMALL.repeat(TIMES, 2).repeat(TIMES, 3)
LABELS = random.integers(0, 2, 60)
INDEX = {"train": np.arange(40), "validation": np.arange(40, 50), "test": np.arange(50, 60)}
SPECS = [
    replace(MODELS[name], learning_rate=rate, epochs=3, batch_size=16, weight_decay=decay)
    for name, rate in (("20", 1e-2), ("24", 1e-2), ("2", 1e-2), ("17", 1e-3))
    for decay in (0, 0.5)
]


def spread_out(weight):
    """Weights of the small film -> those of the large one that give the same logit, shared out
    among the copies.
    """
    image = weight.reshape(len(weight), SIZE, SIZE) / TIMES**2
    return image.repeat_interleave(TIMES, 1).repeat_interleave(TIMES, 2).reshape(len(weight), -1)


def gathered(weight):
    """The sum over each pixel's copies: back from spread_out."""
    return (
        weight.reshape(len(weight), SIZE, TIMES, SIZE, TIMES).sum((2, 4)).reshape(len(weight), -1)
    )


def place(images, part):
    return torch.from_numpy(images[INDEX[part]]), torch.tensor(
        LABELS[INDEX[part]], dtype=torch.float32
    )


def trained(spec, images, state, step):
    model = models.build(spec, images.shape[-1])
    model.load_state_dict(state)
    optimizer = engine.make_optimizer(model, spec, step)
    parts = place(images, "train"), place(images, "validation")
    *_, history = engine.fit(model, optimizer, spec, *parts, 0)
    return history, model.state_dict()


def test_the_step_is_one_at_the_papers_size():
    assert pixel_step(IMAGE_SIZE) == 1.0 and pixel_step(64) == 100.0
    assert pixel_step(SIZE) / pixel_step(SIZE * TIMES) == pytest.approx(TIMES**2)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.id}-decay{spec.weight_decay:g}")
def test_the_direct_loop_on_repeated_pixels(spec):
    small = models.build(spec, SIZE, seed=2).state_dict()
    first = next(iter(small))
    large = small | {first: spread_out(small[first])}
    history, after = trained(spec, LARGE, large, step=1.0)
    matched, state = trained(spec, SMALL, small, step=TIMES**2)
    for key, values in history.items():
        assert matched[key] == pytest.approx(values, rel=1e-4, abs=1e-5), key
    torch.testing.assert_close(state[first], gathered(after[first]), rtol=1e-4, atol=1e-5)
    assert (state[first] - small[first]).abs().max() > 1e-3  # it did learn
    unmatched, _ = trained(spec, SMALL, small, step=1.0)
    assert unmatched["train_loss"] != pytest.approx(history["train_loss"], rel=1e-4)


@pytest.mark.parametrize(
    "spec",
    [spec for spec in SPECS if spec.optimizer == "SGD"],
    ids=lambda spec: f"{spec.id}-decay{spec.weight_decay:g}",
)
def test_sample_space_takes_the_direct_loops_steps(spec):
    step = 9.0
    pixels = torch.from_numpy(SMALL.reshape(60, -1)).double()
    net = Net(spec, 2, INDEX, step, keep_weights=True)
    (result,) = train([net], pixels @ pixels.T, SMALL, LABELS)
    model = models.build(spec, SIZE, seed=2)
    optimizer = engine.make_optimizer(model, spec, step)
    parts = place(SMALL, "train"), place(SMALL, "validation")
    *_, history = engine.fit(model, optimizer, spec, *parts, 2)
    for key, values in history.items():
        assert result.history[key] == pytest.approx(values, rel=1e-4, abs=1e-5), key
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(result.weights[name], tensor, rtol=1e-3, atol=1e-5)


def test_a_cnns_classifier_alone_takes_it():
    model = models.build(MODELS["26b"], 16)
    groups = engine.make_optimizer(model, MODELS["26b"], 4.0).param_groups
    (scaled,) = [group for group in groups if group["lr"] != MODELS["26b"].learning_rate]
    assert (
        scaled["params"] == [model.classifier[1].weight]
        and scaled["lr"] == 4 * MODELS["26b"].learning_rate
    )
    assert all(group["lr"] * group["weight_decay"] == pytest.approx(1e-3) for group in groups)

"""The direct loop against hand-written arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from xray import engine, models
from xray.data import Split
from xray.specs import IMAGE_SIZE, MODELS, TABLE_3, ModelSpec, pixel_step

SIZE = 8


def split(n=10):
    images = np.random.default_rng(0).integers(0, 256, (n, 1, SIZE, SIZE), dtype=np.uint8)
    return Split(images, np.array([0, 1, 1] * n)[:n], [""] * n)


def train(spec, data, seed=0, step=1.0, start=None):
    model = models.build(spec, data.images.shape[-1], seed)
    model.load_state_dict(start or model.state_dict())
    optimizer = engine.make_optimizer(model, spec, step)
    part = engine.place(data)
    *_, history = engine.fit(model, optimizer, spec, part, part, seed)
    return model, history


def spec_like(name, **changes):
    return ModelSpec(**MODELS[name].__dict__ | changes)


def test_one_step_of_a_weighted_linear_net_with_decay_is_the_hand_written_one():
    data = split(6)
    spec = spec_like("23b", epochs=1, batch_size=6, learning_rate=0.1, weight_decay=0.1)
    before = [p.detach().double().numpy() for p in models.build(spec, SIZE, 0).parameters()]
    model, history = train(spec, data)
    w1, b1, w2, b2 = before
    x = data.images.reshape(6, -1).astype(float) / 255
    y = data.labels.astype(float)
    weight = (y == 0).sum() / (y == 1).sum()
    hidden = x @ w1.T + b1
    logit = (hidden @ w2.T + b2)[:, 0]
    p = 1 / (1 + np.exp(-logit))
    assert history["train_loss"][0] == pytest.approx(
        np.mean(-(weight * y * np.log(p) + (1 - y) * np.log(1 - p))), rel=1e-5
    )
    assert history["train_accuracy"][0] == pytest.approx(np.mean((logit > 0) == (y == 1)))
    slope = ((1 - y) * p - weight * y * (1 - p)) / 6  # of the mean loss by each logit
    by_hidden = slope[:, None] * w2
    gradients = [
        by_hidden.T @ x,
        by_hidden.sum(0),
        (slope[:, None] * hidden).sum(0)[None],
        slope.sum()[None],
    ]
    for parameter, old, gradient in zip(model.parameters(), before, gradients):
        expected = old - 0.1 * (gradient + 0.1 * old)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_a_logit_of_0_is_class_0():
    class Dead(torch.nn.Module):
        def forward(self, images):
            return torch.relu(images.sum((1, 2, 3)) * 0 * self.weight)

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

    data, model = split(9), Dead()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    spec = spec_like("21", epochs=1)
    history = next(engine.fit(model, optimizer, spec, engine.place(data), engine.place(data), 0))
    # the normal ones
    assert history["train_accuracy"] == history["validation_accuracy"] == [pytest.approx(3 / 9)]
    assert history["validation_loss"][0] == pytest.approx(np.log(2), rel=1e-6)


def test_losses_are_means_over_images_also_with_a_smaller_last_batch():
    data = split(7)
    spec = spec_like("20", epochs=1, batch_size=4, learning_rate=0.0)
    model, history = train(spec, data)
    logits = engine.predict(model, engine.place(data)[0])
    exact = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.tensor(data.labels).float()
    )
    assert history["train_loss"][0] == pytest.approx(exact.item(), rel=1e-6)
    assert history["validation_loss"][0] == pytest.approx(exact.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["21", "18", "25", "13", "26b"])
def test_an_epoch_is_the_plain_loops(name):
    data, spec = split(30), spec_like(name, epochs=1, batch_size=8)
    fitted, history = train(spec, data, seed=1)
    images, labels = torch.tensor(data.images / np.float32(255)), torch.tensor(data.labels).float()
    plain = models.build(spec, SIZE, 1)
    optimizer = getattr(torch.optim, spec.optimizer)(
        plain.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay
    )
    # 10 of 30 are 0
    criterion = torch.nn.BCEWithLogitsLoss(
        pos_weight=torch.tensor(0.5 if spec.class_weight else 1.0)
    )
    losses, hits = [], 0
    for rows in engine.batch_order(30, 1, 0).split(8):
        logits = plain(images[rows])
        loss = criterion(logits, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += [loss.item()] * len(rows)
        hits += ((logits > 0).float() == labels[rows]).sum().item()
    assert history["train_loss"][0] == pytest.approx(np.mean(losses), rel=1e-5)
    assert history["train_accuracy"][0] == pytest.approx(hits / 30)
    for ours, theirs in zip(fitted.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_every_epoch_sees_each_image_once_in_an_order_of_its_own():
    orders = [engine.batch_order(50, seed, epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] == engine.batch_order(50, 0, 0).tolist()


def test_models_learn_a_task_that_can_be_learned():
    data = split(60)
    data.images[data.labels == 1, :, :4] //= 4  # darker upper half
    for name, changes in {
        "20": {"learning_rate": 0.05},
        "11": {"learning_rate": 0.1, "epochs": 30},
    }.items():
        _, history = train(spec_like(name, **{"epochs": 10, "batch_size": 8} | changes), data)
        assert history["validation_accuracy"][-1] > 0.9, name


def test_pos_weight_is_negatives_over_positives_or_1():
    labels = torch.tensor([1.0, 1, 1, 0])
    assert engine.pos_weight(MODELS["14"], labels) == pytest.approx(1 / 3)
    assert engine.pos_weight(MODELS["0"], labels) == 1


def test_predictions_in_fp32_are_exact_and_the_precision_of_training_stays():
    class Asked(torch.nn.Module):
        def forward(self, images):
            flags = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
            self.seen = flags
            return images[:, 0, 0, 0]

    model, images = Asked(), engine.place(split(3))[0]
    try:
        engine.set_precision("tf32")
        engine.predict(model, images)
        assert model.seen == ("highest", False)
        engine.predict(model, images, precision="tf32")
        assert model.seen == ("high", True)
    finally:
        engine.set_precision("fp32")
    assert not torch.backends.cudnn.allow_tf32


def test_the_one_cycle_schedule_rises_and_falls_and_a_constant_one_does_not():
    spec = spec_like("26b", schedule="one-cycle")
    assert [engine.rate_factor(spec, share) for share in (0, 0.05, 0.1)] == [0, 0.5, 1]
    assert engine.rate_factor(spec, 0.55) == pytest.approx(0.5)
    assert engine.rate_factor(spec, 1) == pytest.approx(0)
    assert engine.rate_factor(MODELS["26b"], 0.7) == 1


def test_the_rate_of_each_step_is_the_schedules():
    spec = spec_like("20", epochs=2, batch_size=5, learning_rate=0.1, schedule="one-cycle")
    data, rates = engine.place(split(10)), []
    model = models.build(spec, SIZE)
    optimizer = engine.make_optimizer(model, spec, 4.0)
    seen = lambda: rates.append([group["lr"] for group in optimizer.param_groups])  # noqa: E731
    list(engine.fit(model, optimizer, spec, data, data, 0, tick=seen))
    expected = [engine.rate_factor(spec, share) for share in (1 / 8, 3 / 8, 5 / 8, 7 / 8)]
    assert [rate for rate, _ in rates] == pytest.approx([0.1 * factor for factor in expected])
    assert [rate for _, rate in rates] == pytest.approx([0.4 * factor for factor in expected])


# ---- matched steps (specs.pixel_step)

TIMES = 3  # a film of 8×8 has its pixels each 3×3 times in one of 24×24
RATES = {"20": 1e-2, "24": 1e-2, "2": 1e-2, "17": 1e-3}


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


def test_the_step_is_one_at_the_papers_size():
    assert pixel_step(IMAGE_SIZE) == 1.0 and pixel_step(64) == 100.0
    assert pixel_step(SIZE) / pixel_step(SIZE * TIMES) == pytest.approx(TIMES**2)


@pytest.mark.parametrize("decay", [0, 0.5])
@pytest.mark.parametrize("name", RATES)
def test_a_small_film_learns_what_the_large_one_does_whose_pixels_are_each_repeated(name, decay):
    spec = spec_like(name, learning_rate=RATES[name], epochs=3, batch_size=16, weight_decay=decay)
    film = split(60)
    repeated = replace(film, images=film.images.repeat(TIMES, 2).repeat(TIMES, 3))
    start = models.build(spec, SIZE, seed=2).state_dict()
    first = next(iter(start))
    large, history = train(spec, repeated, start=start | {first: spread_out(start[first])})
    small, matched = train(spec, film, step=TIMES**2, start=start)
    for key, values in history.items():
        assert matched[key] == pytest.approx(values, rel=1e-4, abs=1e-5), key
    learned = small.state_dict()[first]
    torch.testing.assert_close(learned, gathered(large.state_dict()[first]), rtol=1e-4, atol=1e-5)
    assert (learned - start[first]).abs().max() > 1e-3
    _, unmatched = train(spec, film, start=start)
    assert unmatched["train_loss"] != pytest.approx(history["train_loss"], rel=1e-4)


def test_a_cnns_classifier_alone_takes_it():
    model = models.build(MODELS["26b"], 16)
    groups = engine.make_optimizer(model, MODELS["26b"], 4.0).param_groups
    (scaled,) = [group for group in groups if group["lr"] != MODELS["26b"].learning_rate]
    assert (
        scaled["params"] == [model.classifier[1].weight]
        and scaled["lr"] == 4 * MODELS["26b"].learning_rate
    )
    assert all(group["lr"] * group["weight_decay"] == pytest.approx(1e-3) for group in groups)


# ---- augmentation: what is drawn, and what that does to an image

TUNED = TABLE_3["33"]
STILL = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


def changed(image, **values):
    """An image (S, S) with one thing done to it, by its place in `draw`."""
    names = ("right", "down", "angle", "scale", "contrast", "brightness", "flip")
    drawn = torch.tensor([[values.get(name, still) for name, still in zip(names, STILL)]])
    return engine.augmented(image.clone()[None, None], drawn)[0, 0]


def picture():
    return torch.rand(32, 32, generator=torch.Generator().manual_seed(0))


def test_draws_come_from_seed_and_epoch_alone_and_scale_with_the_strength():
    first = engine.draw(TUNED, 50, 3, 7)
    assert torch.equal(first, engine.draw(TUNED, 50, 3, 7))
    assert not torch.equal(first, engine.draw(TUNED, 50, 3, 8))
    assert not torch.equal(first, engine.draw(TUNED, 50, 4, 7))
    half = engine.draw(replace(TUNED, augment=TUNED.augment / 2), 50, 3, 7)
    assert torch.allclose(2 * half[:, :6], first[:, :6])


def test_only_a_spec_that_says_so_mirrors_films_and_then_half_of_them():
    assert (engine.draw(TUNED, 400, 0, 0)[:, 6] == 1).all()
    flips = engine.draw(replace(TUNED, flip=True), 400, 0, 0)[:, 6]
    assert 150 < (flips == -1).sum() < 250 and set(flips.tolist()) == {1, -1}


def test_nothing_drawn_changes_nothing_and_a_flip_mirrors():
    assert torch.allclose(changed(picture()), picture(), atol=1e-4)
    assert torch.allclose(changed(picture(), flip=-1.0), picture().flip(1), atol=1e-4)


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_a_shift_moves_the_film_right_and_down_and_leaves_black_behind(flip):
    moved = changed(picture(), right=0.25, down=0.5, flip=flip)  # 4 and 8 of 32 pixels
    still = picture() if flip == 1 else picture().flip(1)
    assert torch.allclose(moved[8:, 4:], still[:-8, :-4], atol=1e-4)
    assert moved[:8].abs().max() < 1e-4 and moved[:, :4].abs().max() < 1e-4


def test_a_quarter_turn_and_a_doubling_are_those():
    assert torch.allclose(changed(picture(), angle=torch.pi / 2), picture().rot90(-1), atol=1e-4)
    twice = changed(torch.nn.functional.pad(torch.ones(8, 8), (12,) * 4), scale=0.6931472)
    assert twice.sum() == pytest.approx(256, rel=0.02)


def test_contrast_and_brightness_change_the_spread_and_the_mean():
    plain = 0.4 + 0.2 * picture()
    assert changed(plain, contrast=0.5).std() == pytest.approx(1.5 * plain.std().item(), rel=1e-3)
    assert changed(plain, contrast=0.5).mean() == pytest.approx(plain.mean().item(), rel=1e-3)
    assert changed(plain, brightness=0.1).mean() == pytest.approx(plain.mean().item() + 0.1)
    wild = changed(picture(), contrast=3.0, brightness=0.5)
    assert wild.min() >= 0 and wild.max() <= 1

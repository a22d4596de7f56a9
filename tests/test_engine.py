"""The direct loop against hand-written arithmetic."""

import numpy as np
import pytest
import torch

from xray import engine, models
from xray.data import Split
from xray.specs import MODELS, ModelSpec

SIZE = 8


def split(n=10, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.array([0, 1, 1] * n)[:n]
    return Split(
        generator.integers(0, 256, (n, 1, SIZE, SIZE), dtype=np.uint8),
        labels,
        [f"{i}.png" for i in range(n)],
    )


def train(spec, data, validation=None, seed=0, history=None):
    model = models.build(spec, SIZE, seed)
    optimizer = engine.make_optimizer(model, spec)
    parts = engine.place(data), engine.place(validation or data)
    *_, history = engine.fit(model, optimizer, spec, *parts, seed, history)
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


@pytest.mark.parametrize("name", ["17", "18", "19", "11", "26b", "7"])
def test_interrupted_and_resumed_is_as_run_through(name):
    data, spec = split(12), spec_like(name, epochs=4, batch_size=5)
    whole, history = train(spec, data, seed=2)
    model = models.build(spec, SIZE, 2)
    optimizer = engine.make_optimizer(model, spec)
    part = {key: [] for key in engine.HISTORY}
    loop = engine.fit(model, optimizer, spec, engine.place(data), engine.place(data), 2, part)
    next(loop), next(loop)
    assert len(part["train_loss"]) == 2
    for _ in engine.fit(model, optimizer, spec, engine.place(data), engine.place(data), 2, part):
        pass
    assert part == history
    for a, b in zip(whole.parameters(), model.parameters()):
        assert torch.equal(a, b)


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


def test_a_run_that_patience_ended_is_not_taken_up_again():
    """Without a rate nothing improves: the best epoch is the first."""
    data, spec = split(12), spec_like("20", learning_rate=0.0, patience=2, epochs=9)
    model, history = train(spec, data)
    assert len(history["train_loss"]) == 3
    parts = engine.place(data), engine.place(data)
    again = engine.fit(model, engine.make_optimizer(model, spec), spec, *parts, 0, history)
    assert list(again) == [] and len(history["train_loss"]) == 3


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


def test_patience_counts_from_the_lowest_validation_loss():
    spec, losses = spec_like("26b", patience=2), [3.0, 1.0, 2.0]
    history = {"validation_loss": losses}
    assert engine.kept_epoch(spec, history) == 1 and not engine.is_over(spec, history)
    history = {"validation_loss": [*losses, 1.5]}
    assert engine.is_over(spec, history)
    assert engine.kept_epoch(MODELS["26b"], history) == 3
    assert not engine.is_over(MODELS["26b"], history)

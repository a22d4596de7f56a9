"""Training in sample space against the plain loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import noise_images
from torch.nn.functional import binary_cross_entropy_with_logits

from xray import gram, gram_training
from xray.engine import HISTORY, batch_order, pos_weight
from xray.gram_training import Net, fit_together, recover_weights
from xray.models import build
from xray.specs import LEARNING_RATE_SEARCH, MODELS

SIZE, N = 16, 120
SGD = [name for name, spec in MODELS.items() if gram_training.trains_in_sample_space(spec)]
IMAGES, LABELS = noise_images(N, SIZE)
GRAM = gram.compute_gram(IMAGES)


def make_split(seed=0, sizes=(75, 25, 20)):
    """Rows of a split; seed 0 leaves them in order."""
    rows = np.arange(N) if seed == 0 else np.random.default_rng(seed).permutation(N)
    ends = np.cumsum(sizes)
    return {
        "train": rows[: ends[0]],
        "validation": rows[ends[0] : ends[1]],
        "test": rows[ends[1] : ends[2]],
    }


def livelier(spec, epochs=4):
    """A small image's weights barely move at the paper's rates: raise them, shorten the run."""
    rate = spec.learning_rate * (100 if "@" not in spec.id else 5)
    return replace(spec, learning_rate=rate, epochs=epochs)


def direct(net, images=IMAGES, labels=LABELS):
    """The plain loop in float32: history, logits and model."""
    pixels, truth = torch.from_numpy(images) / 255, torch.from_numpy(labels).float()
    rows = {part: torch.from_numpy(np.asarray(index)) for part, index in net.index.items()}
    spec, train, validation = net.spec, rows["train"], rows["validation"]
    model = build(spec, images.shape[-1], net.seed)
    optimizer = torch.optim.SGD(
        model.parameters(), spec.learning_rate, weight_decay=spec.weight_decay
    )
    weight = torch.tensor(pos_weight(spec, truth[train]))
    history = {name: [] for name in HISTORY}
    for epoch in range(spec.epochs):
        loss_sum = correct = 0
        for batch in train[batch_order(len(train), net.seed, epoch)].split(spec.batch_size):
            logits = model(pixels[batch])
            loss = binary_cross_entropy_with_logits(logits, truth[batch], pos_weight=weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(batch)
            correct += ((logits > 0) == (truth[batch] > 0)).sum().item()
        with torch.no_grad():
            logits = model(pixels[validation])
        loss = binary_cross_entropy_with_logits(logits, truth[validation], pos_weight=weight).item()
        accuracy = ((logits > 0) == (truth[validation] > 0)).float().mean().item()
        values = loss_sum / len(train), correct / len(train), loss, accuracy
        if not np.isfinite(values).all():
            break
        for name, value in zip(HISTORY, values):
            history[name].append(value)
    with torch.no_grad():
        return (
            history,
            {part: model(pixels[rows[part]]).numpy() for part in ("validation", "test")},
            model,
        )


def together(nets, **options):
    """fit_together's results in the order of the nets."""
    results = {result.net: result for result in fit_together(nets, GRAM, IMAGES, LABELS, **options)}
    return [results[net] for net in nets]


def same_history(one, other, tolerance):
    for name in HISTORY:
        np.testing.assert_allclose(
            one[name], other[name], rtol=tolerance if "loss" in name else 1e-6, err_msg=name
        )


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks and waves so small that these few images and runs fill several."""
    monkeypatch.setattr(gram_training, "AHEAD", 32)
    monkeypatch.setattr(gram_training, "STREAMS", 3)


def test_specs():
    assert len(SGD) == 22 and not {"17", "18", "10", "19"} & set(SGD)


@pytest.mark.parametrize(
    "specs",
    [[MODELS[name] for name in SGD], list(LEARNING_RATE_SEARCH.values())],
    ids=["tables", "search"],
)
def test_every_spec_gives_what_the_direct_loop_gives(specs):
    nets = [Net(livelier(spec), 4, make_split()) for spec in specs]  # with seed 4 model 7 is alive
    results = together(nets)
    weights = dict(recover_weights(results, IMAGES))
    moved = 0
    for net, result in zip(nets, results):
        history, logits, model = direct(net)
        assert result.status == "finished"
        same_history(result.history, history, 1e-4)
        for part, expected in logits.items():
            np.testing.assert_allclose(result.logits[part], expected, rtol=1e-3, atol=1e-4)
        moved += abs(history["train_loss"][-1] / history["train_loss"][0] - 1) > 0.01
        fresh = build(net.spec, SIZE)
        fresh.load_state_dict(weights[result])
        for name, parameter in model.state_dict().items():
            error = (fresh.state_dict()[name] - parameter).norm() / parameter.norm()
            assert error < 1e-3, (net.spec.id, name)
    assert moved > len(nets) / 3  # the comparison would mean nothing if nothing moved


def test_together_gives_what_each_gives_alone():
    """Different seeds, splits, lengths of splits and epochs, batch sizes, widths and depths."""
    names = ["0", "5", "14", "1", "7", "8", "27b", "28b", "24b"]
    splits = [make_split(), make_split(1, (70, 30, 20)), make_split(2, (64, 20, 10))]
    nets = [
        Net(livelier(MODELS[name], 2 + i % 3), i % 2, splits[i % 3])
        for i, name in enumerate(names * 2)
    ]
    nets.append(Net(replace(livelier(MODELS["15"]), batch_size=24, weight_decay=0.2), 1, splits[1]))
    for net, result in zip(nets, together(nets)):
        (alone,) = together([net])
        history, logits, _ = direct(net)
        assert len(result.history["train_loss"]) == net.spec.epochs
        same_history(result.history, alone.history, 1e-5)
        same_history(result.history, history, 1e-4)
        for part, expected in logits.items():
            assert result.logits[part].dtype == np.float32
            np.testing.assert_allclose(
                result.logits[part], alone.logits[part], rtol=1e-5, atol=1e-6
            )
            np.testing.assert_allclose(result.logits[part], expected, rtol=1e-3, atol=1e-4)


def test_a_run_that_diverges_leaves_the_others_alone():
    wild = [
        Net(replace(MODELS[name], learning_rate=rate, epochs=4), 1, make_split())
        for name, rate in (("1", 3.0), ("2", 100.0), ("27b", 1e8))
    ]
    calm = Net(livelier(MODELS["1"]), 1, make_split())
    results = together([*wild, calm])
    for net, result in zip(wild, results):
        assert result.status == "diverged" and all(
            len(part) == 0 for part in result.logits.values()
        )
        expected, _, _ = direct(net)
        assert len(result.history["train_loss"]) == len(expected["train_loss"]) < 4
    assert results[-1].status == "finished"
    same_history(results[-1].history, together([calm])[0].history, 1e-5)


def test_a_dead_net_stays_dead():
    net = Net(livelier(MODELS["28b"]), 0, make_split())
    (alive,) = together([net])
    dead = {name: tensor.clone() for name, tensor in alive.tensors.items()}
    dead[max(name for name in dead if name.endswith("bias"))] -= 1000
    begun = {name: values[:1] for name, values in alive.history.items()}
    (result,) = together([net], resume=lambda net: (dead, begun))
    assert not result.logits["test"].any()
    np.testing.assert_allclose(result.history["train_loss"][1:], np.log(2))
    # weight decay goes on: 3 epochs of 2 batches
    factor = (1 - 0.1 * net.spec.learning_rate) ** (3 * 2)
    np.testing.assert_allclose(result.tensors["scale"], dead["scale"] * factor)


def test_resumed_runs_go_on_as_if_never_interrupted():
    nets = [
        Net(livelier(MODELS[name], epochs), seed, make_split(seed))
        for name, epochs, seed in (("0", 3, 0), ("27b", 5, 0), ("6", 5, 1), ("15", 5, 0))
    ]
    kept, seen = {}, []

    def save(net, tensors, history):
        kept[net, len(history["train_loss"])] = tensors, history

    whole = together(
        nets, save=save, on_epoch=lambda net, epoch, values: seen.append((net, epoch, values))
    )
    assert sorted(epoch for net, epoch, _ in seen if net is nets[1]) == [0, 1, 2, 3, 4]
    for net, epoch, values in seen:
        assert values["train_loss"] == whole[nets.index(net)].history["train_loss"][epoch]
    for one, other in zip(whole, together(nets, resume=lambda net: kept[net, 2])):
        assert one.history == other.history
        assert all(np.array_equal(one.logits[part], other.logits[part]) for part in one.logits)
        assert all(
            torch.equal(one.tensors[name], other.tensors[name])
            for name in one.tensors
            if name != "seconds"
        )
    mixed = {nets[0]: 3, nets[1]: 1, nets[2]: 4}  # at different epochs: one finished, one not begun
    for one, other in zip(
        whole, together(nets, resume=lambda net: kept.get((net, mixed.get(net))))
    ):
        same_history(one.history, other.history, 1e-9)
        np.testing.assert_allclose(one.logits["test"], other.logits["test"], rtol=1e-5, atol=1e-7)


def test_weights_are_recovered_in_several_passes(monkeypatch):
    nets = [Net(livelier(MODELS["27b"]), seed, make_split(seed)) for seed in range(3)]
    results = together(nets)
    expected = dict(recover_weights(results, IMAGES))
    monkeypatch.setattr(gram_training, "WEIGHTS", 10 * SIZE**2 * 4)
    monkeypatch.setattr(gram, "BUFFER", 7 * SIZE**2)
    monkeypatch.setattr(gram, "TILE", 100)
    for result, state in recover_weights(results, IMAGES):
        model = build(result.net.spec, SIZE)
        model.load_state_dict(state)
        rows = result.net.index["test"]
        with torch.no_grad():
            logits = model(torch.from_numpy(IMAGES[rows]) / 255)
        np.testing.assert_allclose(logits, result.logits["test"], rtol=1e-4, atol=1e-5)
        assert all(torch.allclose(state[name], expected[result][name], atol=1e-6) for name in state)
    assert list(recover_weights([], IMAGES)) == []


def test_other_models_are_refused():
    for name in ("17", "10"):
        with pytest.raises(ValueError, match=f"model {name} cannot"):
            together([Net(MODELS[name], 0, make_split())])

"""Training in sample space against the plain loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import noise_images

from xray import engine, gram, sample_space
from xray.engine import HISTORY
from xray.models import build
from xray.sample_space import Net, train
from xray.specs import KNOWN, LEARNING_RATE_SEARCH, MODELS, VARIANTS, trains_in_sample_space

SIZE, N = 16, 120
SGD = [name for name, spec in KNOWN.items() if trains_in_sample_space(spec)]
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
    rate = spec.learning_rate * (5 if "@" in spec.id else 100)
    return replace(spec, learning_rate=rate, epochs=epochs)


def direct(net):
    """The plain loop, which test_engine.py holds against its definition: history, logits, model."""
    truth = torch.from_numpy(LABELS).float()
    parts = {
        part: (torch.from_numpy(IMAGES[rows]), truth[rows]) for part, rows in net.index.items()
    }
    model = build(net.spec, SIZE, net.seed)
    optimizer = engine.make_optimizer(model, net.spec, net.pixel_step)
    history = {name: [] for name in HISTORY}
    of_training = parts["train"], parts["validation"], net.seed
    for _ in engine.fit(model, optimizer, net.spec, *of_training, history):
        if not np.isfinite([values[-1] for values in history.values()]).all():
            history = {name: values[:-1] for name, values in history.items()}
            break
    logits = {
        part: engine.predict(model, parts[part][0]).numpy() for part in ("validation", "test")
    }
    return history, logits, model


def together(nets, **options):
    """train's results in the order of the nets."""
    results = {result.net: result for result in train(nets, GRAM, IMAGES, LABELS, **options)}
    return [results[net] for net in nets]


def same_history(one, other, tolerance):
    for name in HISTORY:
        np.testing.assert_allclose(
            one[name], other[name], rtol=tolerance if "loss" in name else 1e-6, err_msg=name
        )


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks and stacks so small that these few images and runs fill several."""
    monkeypatch.setattr(sample_space, "AHEAD", 32)
    monkeypatch.setattr(sample_space, "STREAMS", 3)


def test_specs():
    papers = set(SGD) & set(MODELS)
    assert len(papers) == 22 and not {"17", "18", "10", "19"} & papers
    assert set(SGD) - papers == {*LEARNING_RATE_SEARCH, *VARIANTS, "38", "39"}


def test_every_spec_gives_what_the_direct_loop_gives():
    # with seed 4 model 7 is alive
    nets = [Net(livelier(KNOWN[name]), 4, make_split(), keep_weights=True) for name in SGD]
    results = together(nets)
    moved = 0
    for net, result in zip(nets, results):
        history, logits, model = direct(net)
        assert result.status == "finished"
        same_history(result.history, history, 1e-4)
        for part, expected in logits.items():
            np.testing.assert_allclose(result.logits[part], expected, rtol=1e-3, atol=1e-4)
        moved += abs(history["train_loss"][-1] / history["train_loss"][0] - 1) > 0.01
        fresh = build(net.spec, SIZE)
        fresh.load_state_dict(result.weights)
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
        Net(replace(MODELS[name], learning_rate=rate, epochs=4), 1, make_split(), keep_weights=True)
        for name, rate in (("1", 3.0), ("2", 100.0), ("21", 1e30))
    ]
    wild.append(Net(replace(MODELS["27b"], learning_rate=1e8, epochs=4), 1, make_split()))
    calm = [Net(livelier(MODELS[name]), 1, make_split()) for name in ("1", "2", "27b")]
    results = together([*wild, *calm])
    for net, result in zip(wild, results):
        assert result.status == "diverged" and result.weights is None
        assert all(len(part) == 0 for part in result.logits.values())
        expected, _, _ = direct(net)
        assert len(result.history["train_loss"]) == len(expected["train_loss"]) < 4
        same_history(result.history, expected, 1e-3)
    for net, result in zip(calm, results[len(wild) :]):
        (alone,) = together([net])
        assert result.status == "finished"
        same_history(result.history, alone.history, 1e-12)  # BLAS rounds by the products' shapes
        for part, expected in alone.logits.items():
            np.testing.assert_allclose(result.logits[part], expected, rtol=1e-6, atol=1e-7)


def test_a_dead_net_stays_dead_and_without_its_last_relu_it_learns():
    """Seeds whose output is at or below 0 on each image before any step."""
    pixels = torch.from_numpy(IMAGES) / 255
    with torch.no_grad():
        dead = [seed for seed in range(30) if not build(MODELS["28b"], SIZE, seed)(pixels).any()]
    assert len(dead) > 3
    specs = livelier(MODELS["28b"]), livelier(KNOWN["38"])
    for seed in dead[:3]:
        paper, ours = together([Net(spec, seed, make_split(), keep_weights=True) for spec in specs])
        assert not paper.logits["test"].any() and ours.logits["test"].all()
        np.testing.assert_allclose(paper.history["train_loss"], np.log(2))
        assert ours.history["train_loss"][-1] < ours.history["train_loss"][0]
        # weight decay goes on: 4 epochs of 2 batches
        factor = (1 - 0.1 * specs[0].learning_rate) ** (4 * 2)
        for name, start in build(specs[0], SIZE, seed).state_dict().items():
            torch.testing.assert_close(paper.weights[name], start * factor)


def test_the_pixel_step_is_each_nets_own():
    nets = [
        Net(replace(livelier(MODELS[name]), weight_decay=decay), 2, make_split(), step, True)
        for name in ("20", "24", "2")
        for decay in (0, 0.5)
        for step in (1.0, 4.0)
    ]
    for net, result in zip(nets, together(nets)):
        history, _, model = direct(net)
        same_history(result.history, history, 1e-4)
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(result.weights[name], tensor, rtol=1e-3, atol=1e-5)


def test_weights_are_recovered_in_several_chunks_of_images(monkeypatch):
    nets = [
        Net(livelier(MODELS["27b"]), seed, make_split(seed), keep_weights=seed > 0)
        for seed in range(3)
    ]
    expected = [result.weights for result in together(nets)]
    assert expected[0] is None
    monkeypatch.setattr(gram, "BUFFER", 7 * SIZE**2)
    monkeypatch.setattr(gram, "TILE", 100)
    for result, whole in zip(together(nets[1:]), expected[1:]):
        model = build(result.net.spec, SIZE)
        model.load_state_dict(result.weights)
        with torch.no_grad():
            logits = model(torch.from_numpy(IMAGES[result.net.index["test"]]) / 255)
        np.testing.assert_allclose(logits, result.logits["test"], rtol=1e-4, atol=1e-5)
        assert all(torch.allclose(result.weights[name], whole[name], atol=1e-6) for name in whole)


def test_one_thread_in_the_loop_and_as_many_as_before_after_it():
    seen = []
    torch.set_num_threads(2)
    try:
        together(
            [Net(livelier(MODELS[name], 2), 0, make_split()) for name in ("0", "5", "8")],
            tick=lambda count: seen.append((count, torch.get_num_threads())),
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert sorted(seen) == [(1, 1), (1, 1), (2, 1), (2, 1)]  # 0 and 5 share a stack


def test_other_models_are_refused():
    for name in ("17", "10"):
        with pytest.raises(ValueError, match=f"model {name} cannot"):
            together([Net(MODELS[name], 0, make_split())])


@pytest.fixture
def threads():
    """Sets the number of threads; afterwards it is what it was."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_stacks_side_by_side_give_what_one_after_the_other_gives(threads):
    nets = [
        Net(livelier(MODELS[name]), seed, make_split())
        for name in ("1", "3", "20b")
        for seed in (1, 2)
    ]
    results = []
    for count in (1, 3):
        threads(count)
        results.append(together(nets))
        assert torch.get_num_threads() == count
    for one, other in zip(*results):
        assert one.history == other.history
        assert all(np.array_equal(one.logits[part], other.logits[part]) for part in one.logits)


def test_who_stops_waits_for_an_epoch_and_not_for_the_end(threads):
    quick, endless = livelier(MODELS["1"], epochs=1), livelier(MODELS["3"], epochs=10**6)
    nets = [Net(spec, 1, make_split()) for spec in (quick, endless)]
    threads(2)
    fits = train(nets, GRAM, IMAGES, LABELS)
    assert next(fits).net is nets[0]
    fits.close()
    assert torch.get_num_threads() == 2

"""The GPU's path without a GPU: PyTorch's fake tensors have a device, a shape and a type, and no
content.

They stop where content is asked for (a host synchronisation) and where tensors of two devices meet.
Where there is a GPU, the last tests train on it; elsewhere they are not collected (conftest.py).
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import noise_images
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from xray import engine, gram, models, sample_space
from xray.data import Split
from xray.specs import MODELS

SIZE = 8


class Transfers(TorchDispatchMode):
    """Counts the operations that bring something from the GPU to the CPU, which waits, and the
    other way round.
    """

    def __init__(self):
        super().__init__()
        self.to_cpu = self.to_gpu = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **kwargs or {})
        came = {
            tensor.device.type
            for tensor in tree_leaves((args, kwargs))
            if isinstance(tensor, torch.Tensor)
        }
        left = {
            tensor.device.type for tensor in tree_leaves(result) if isinstance(tensor, torch.Tensor)
        }
        self.to_cpu += "cuda" in came and "cpu" in left
        self.to_gpu += came == {"cpu"} and "cuda" in left
        return result


def fake_model(spec):
    model = models.build(spec, SIZE, device="meta")
    for layer in model.modules():
        for name, parameter in list(layer._parameters.items()):
            layer._parameters[name] = nn.Parameter(torch.empty(parameter.shape, device="cuda"))
    return model


def where_it_waited(stop) -> str:
    """The project's line that asked for the content of a tensor on the GPU."""
    ours = [entry for entry in stop.traceback if entry.path.parent.name == "xray"]
    return str(ours[-1].statement)


# the images fit on the GPU, or are sent batch by batch
@pytest.mark.parametrize("where", ["cuda", "cpu"])
@pytest.mark.parametrize("name", ["20", "18", "26b"])
def test_an_epoch_asks_the_gpu_for_nothing_before_its_end(name, where, monkeypatch):
    spec, ticks = replace(MODELS[name], batch_size=4, epochs=1), []
    # once a run it counts the labels
    monkeypatch.setattr(engine, "pos_weight", lambda spec, labels: 0.5)
    with FakeTensorMode():
        model = fake_model(spec)

        def backward(loss):  # autograd itself needs the driver
            for parameter in model.parameters():
                parameter.grad = torch.zeros_like(parameter)

        monkeypatch.setattr(torch.Tensor, "backward", backward)
        images = torch.zeros((10, 1, SIZE, SIZE), dtype=torch.uint8, device=where)
        part = images, torch.ones(10, device="cuda")
        optimizer = engine.make_optimizer(model, spec)
        loop = engine.fit(model, optimizer, spec, part, part, 0, tick=lambda: ticks.append(1))
        transfers = Transfers()
        with transfers, pytest.raises(DataDependentOutputException) as stop:
            next(loop)
    assert "tolist" in where_it_waited(stop)  # the epoch's four figures
    assert len(ticks) == 3 and transfers.to_cpu == 0
    # orders and constants; 3 batches of each part
    assert transfers.to_gpu <= 5 + (6 if where == "cpu" else 0)


@pytest.mark.parametrize("where", ["cuda", "cpu"])
def test_predictions_stay_on_the_gpu(where):
    with FakeTensorMode(), Transfers() as transfers:
        images = torch.zeros((10, 1, SIZE, SIZE), dtype=torch.uint8, device=where)
        logits = engine.predict(fake_model(MODELS["11"]), images, "cuda", batch_size=4)
        assert (
            logits.device.type == "cuda" and logits.shape == (10,) and logits.dtype == torch.float32
        )
    assert transfers.to_cpu == 0


def test_an_epoch_in_sample_space_asks_the_gpu_for_nothing(monkeypatch):
    monkeypatch.setattr(sample_space, "pos_weight", lambda spec, labels: 0.5)
    zeros = lambda outputs, inputs, slope: [torch.zeros_like(one) for one in inputs]  # noqa: E731
    monkeypatch.setattr(torch.autograd, "grad", zeros)  # autograd itself needs the driver
    index = {"train": np.arange(12), "validation": np.arange(12, 16), "test": np.arange(16, 20)}
    specs = [replace(MODELS[name], batch_size=4, epochs=1) for name in ("20", "21", "1", "6")]
    streams = [[sample_space.Net(spec, seed, index) for spec in specs] for seed in (0, 1)]
    built = {(spec, seed): models.build(spec, SIZE, seed) for spec in specs for seed in (0, 1)}
    monkeypatch.setattr(sample_space, "build", lambda spec, size, seed: built[spec, seed])
    images, _ = noise_images(20, SIZE)
    with FakeTensorMode(allow_non_fake_inputs=True):
        gram, labels = (
            torch.zeros(shape, dtype=torch.float64, device="cuda") for shape in ((20, 20), 20)
        )
        starts = sample_space.project_starts(sum(streams, []), images, "cuda")
        stack = sample_space.Stack(streams, gram, SIZE, labels, starts)
        with Transfers() as transfers:
            history = stack.epoch(0)
    assert history.shape == (4, 8) and history.device.type == "cuda"
    assert transfers.to_cpu == 0


def test_products_with_the_images_run_where_they_are_asked_to():
    images = np.zeros((20, 1, SIZE, SIZE), np.uint8)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert gram.project(images, torch.zeros(10, SIZE * SIZE), "cuda").device.type == "cuda"
        left, right = (
            torch.zeros(rows, 4096, dtype=torch.int8, device="cuda") for rows in (512, 192)
        )
        for multiply in (gram._multiply_int8, gram._multiply_float32):
            assert multiply(left, right).device.type == "cuda"


# ---- with a GPU


PART = Split(*noise_images(70, 16), [""] * 70)


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["20", "21", "18", "11", "26b"])
def test_an_epoch_on_the_gpu_is_the_cpus(name):
    spec, found = replace(MODELS[name], epochs=1), {}
    engine.set_precision("fp32")
    for device in ("cpu", "cuda:0"):
        model = models.build(spec, 16, 0, device)
        placed = engine.place(PART, device)
        optimizer = engine.make_optimizer(model, spec)
        history = next(engine.fit(model, optimizer, spec, placed, placed, 0))
        found[device] = history, engine.predict(model, placed[0], device).cpu()
    for key in ("train_loss", "validation_loss"):
        assert found["cpu"][0][key] == pytest.approx(found["cuda:0"][0][key], rel=1e-4)
    torch.testing.assert_close(found["cpu"][1], found["cuda:0"][1], rtol=1e-3, atol=1e-4)


@pytest.mark.cuda
def test_batches_sent_to_the_gpu_are_those_that_lie_there():
    spec, histories = replace(MODELS["20"], epochs=2), []
    for where in ("cpu", "cuda:0"):
        model = models.build(spec, 16, 0, "cuda:0")
        labels = torch.as_tensor(PART.labels, dtype=torch.float32, device="cuda:0")
        placed = torch.from_numpy(PART.images).to(where), labels
        optimizer = engine.make_optimizer(model, spec)
        *_, history = engine.fit(model, optimizer, spec, placed, placed, 0)
        histories.append(history)
    assert histories[0] == histories[1]


@pytest.mark.cuda
def test_the_gram_matrix_on_the_gpu_is_exact():
    images, _ = noise_images(600, 32)
    pixels = images.reshape(600, -1).astype(np.int64)
    assert np.array_equal(gram.compute_gram(images, "cuda:0").numpy(), pixels @ pixels.T)


@pytest.mark.cuda
def test_sample_space_on_the_gpu_is_the_cpus():
    index = {"train": np.arange(40), "validation": np.arange(40, 50), "test": np.arange(50, 60)}
    specs = [replace(MODELS[name], learning_rate=1e-2, epochs=3) for name in ("20", "6", "1")]
    matrix, found = gram.compute_gram(PART.images), {}
    for device in ("cpu", "cuda:0"):
        nets = [sample_space.Net(spec, 1, index, keep_weights=True) for spec in specs]
        for fitted in sample_space.train(nets, matrix, PART.images, PART.labels, device):
            found.setdefault(fitted.net.spec.id, []).append(fitted)
    for one, other in found.values():
        np.testing.assert_allclose(one.logits["test"], other.logits["test"], rtol=1e-5, atol=1e-6)
        for name, tensor in one.weights.items():
            torch.testing.assert_close(tensor, other.weights[name], rtol=1e-4, atol=1e-6)

"""Plain SGD of the Linear and Linear+ReLU nets, trained exactly without touching a pixel.

Such a net sees an image only through h = W x + b. Each step moves W by a combination of the batch's
images, so at any time W = c·W0 + Aᵀ X, and the pre-activations of any images are c·H0 + K A with K
= X Xᵀ (pixels in 0-1) and H0 = X W0ᵀ. What is trained is A (training images, units), the scale c (1
unless there is weight decay), and the few numbers of the biases and later layers. Batches, starting
weights and arithmetic are those of the direct loop, in another order, in float64. Many nets advance
together: those with the same batches share the rows of K, those of one shape each operation
(gram_steps).
"""

import math
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch

from xray.engine import HISTORY, pos_weight
from xray.gram import combine, project
from xray.gram_steps import Group, Stream, forward, stack
from xray.models import build
from xray.specs import ModelSpec, trains_in_sample_space

AHEAD = 256  # images of an epoch whose pre-activations are brought up to date at once
STREAMS = 8  # sequences of batches followed side by side; each may hold its split's part of K
WEIGHTS = 2**30  # bytes of first-layer weights held at once


@dataclass(frozen=True, eq=False)
class Net:
    """A net to train: index has the rows of its "train", "validation" and "test" images."""

    spec: ModelSpec
    seed: int
    index: dict  # of int arrays


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a net came to.

    history: four lists of floats (HISTORY), one entry an epoch, finite epochs only. logits:
    "validation" and "test" -> float32 arrays, empty where the run diverged. seconds: the net's
    share of the time (an epoch's, by the number of nets in it). tensors: the state after the last
    epoch, see `fit_together`; `recover_weights` needs it.
    """

    net: Net
    status: str  # "finished" or "diverged"
    history: dict
    logits: dict
    seconds: float
    tensors: dict


def fit_together(
    nets, gram, images, labels, device="cpu", pixel_step=1.0, on_epoch=None, save=None, resume=None
):
    """Train nets side by side; yields a Fitted as soon as each is done. The order is not that of
    the nets.

    gram: float64 (N, N) from gram_matrix; images: uint8 (N, 1, S, S), read once for the start of
    all nets; labels (N,). Each net gives the history and logits that it gives alone and, but for
    rounding, in the direct loop. A loss that is not finite, in float32's range, ends its run as
    "diverged"; the others go on.
    pixel_step: see specs.pixel_step; the first layer's step is multiplied by it, which is K's
        product with it.
    on_epoch(net, epoch, values): after each finite epoch (0, 1, ...), values a dict of HISTORY.
    save(net, tensors, history): likewise, the state after that epoch: tensors is a dict of CPU
    tensors (safetensors can hold it), history the lists so far. resume(net) -> (tensors, history)
    of a save, or None: goes on after that epoch with what an uninterrupted run gives.
    Raises ValueError for a spec that is not trained by SGD through one Linear layer.
    """
    for net in nets:
        if not trains_in_sample_space(net.spec):
            raise ValueError(
                f"model {net.spec.id} cannot be trained in sample space; use the direct loop"
            )
    scaled = gram.to(device, torch.float64) / (255**2 / pixel_step)
    labels = torch.as_tensor(np.asarray(labels), dtype=torch.float64).to(device)
    states = {net: resume(net) if resume else None for net in nets}
    starts = _starting_points([net for net in nets if states[net] is None], images, device)
    waves, streams = defaultdict(list), {}
    for net in nets:
        rows = [np.asarray(net.index[part]) for part in ("train", "validation", "test")]
        split = tuple(part.tobytes() for part in rows)
        block = net.spec.batch_size * max(1, AHEAD // net.spec.batch_size)
        stream = streams.setdefault((block, split, net.seed), len(streams))
        waves[block, stream // STREAMS].append((net, split))
    for (block, _), wave in waves.items():
        views = {}
        for net, split in wave:
            if split not in views:
                views[split] = _View(scaled, labels, net.index)
        size = images.shape[-1]
        fits = [_Fit(net, views[split], states[net] or starts[net], size) for net, split in wave]
        yield from _fit_wave(fits, block, on_epoch, save)


def _starting_points(nets, images, device):
    """Each net's state before its first epoch, as save gives it; few passes over the images."""
    size, later, start = images.shape[-1], {}, {}

    def first_layers():  # of nets that start alike once; fills `later`
        drawn = set()
        for net in nets:
            key = net.seed, net.spec.hidden_units
            if (key, net.spec.hidden_layers) not in later:
                weight, *rest = build(net.spec, size, net.seed).state_dict().values()
                later[key, net.spec.hidden_layers] = [tensor.double() for tensor in rest]
                if key not in drawn:
                    drawn.add(key)
                    yield key, weight

    for wave in _waves(first_layers(), lambda item: item[1].nbytes):
        keys, weights = zip(*wave)
        columns = project(images, torch.cat(weights), device).cpu()  # (N, units of the wave)
        start.update(zip(keys, columns.split([len(weight) for weight in weights], dim=1)))
    states = {}
    for net in nets:
        key = net.seed, net.spec.hidden_units
        tensors = dict(zip(_names(net.spec, size)[1:], later[key, net.spec.hidden_layers]))
        shape = len(net.index["train"]), net.spec.hidden_units
        tensors["coefficients"] = torch.zeros(shape, dtype=torch.float64)
        tensors["start"] = start[key].contiguous()
        tensors["scale"] = torch.ones((), dtype=torch.float64)
        tensors["seconds"] = torch.zeros((), dtype=torch.float64)
        states[net] = tensors, {name: [] for name in HISTORY}
    return states


def _waves(items, nbytes):
    """Items in lists that hold WEIGHTS bytes at most, or one item; nbytes(item) is its part."""
    wave, held = [], 0
    for item in items:
        if wave and held + nbytes(item) > WEIGHTS:
            yield wave
            wave, held = [], 0
        wave.append(item)
        held += nbytes(item)
    if wave:
        yield wave


def _names(spec, size) -> list[str]:
    return list(build(spec, size, device="meta").state_dict())


class _View:
    """K as one split sees it: its parts' rows and labels, K's columns of its training images."""

    def __init__(self, gram, labels, index):
        device = gram.device
        self.rows = {}
        for part in ("train", "validation", "test"):
            rows = np.asarray(index[part], np.int64)
            first, last = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
            in_order = np.array_equal(rows, np.arange(first, last))  # then K[rows] is no copy
            self.rows[part] = slice(first, last) if in_order else torch.from_numpy(rows).to(device)
        self.labels = {part: labels[rows] for part, rows in self.rows.items()}
        self.gram = gram[:, self.rows["train"]]  # (N, n)
        self.train = torch.as_tensor(np.asarray(index["train"], np.int64)).to(device)  # (n,)


class _Fit:
    """One net's training under way."""

    def __init__(self, net, view, state, image_size):
        tensors, history = state
        self.net, self.view, self.names = net, view, _names(net.spec, image_size)[1:]
        self.history = {name: list(history[name]) for name in HISTORY}
        device = view.gram.device
        tensors = {name: tensor.to(device, copy=True) for name, tensor in tensors.items()}
        self.coefficients = tensors["coefficients"]  # (n, units): A
        self.start = tensors["start"]  # (N, units): H0
        self.scale = tensors["scale"]  # (): c
        self.parameters = [tensors[name] for name in self.names]
        self.seconds = float(tensors["seconds"])
        self.pos_weight = pos_weight(net.spec, view.labels["train"])

    @property
    def epoch(self) -> int:
        return len(self.history["train_loss"])

    @property
    def shape(self):
        return self.net.spec.batch_size, self.net.spec.hidden_layers, self.net.spec.hidden_units

    def logits(self, hidden):
        """(images, units), the first layer's output without its bias -> (images,)."""
        return forward(*stack([self]), hidden[None]).flatten()

    def tensors(self) -> dict:
        named = dict(zip(self.names, self.parameters))
        named |= {"coefficients": self.coefficients, "start": self.start, "scale": self.scale}
        named = {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in named.items()}
        return named | {"seconds": torch.tensor(self.seconds, dtype=torch.float64)}

    def result(self, status) -> Fitted:
        logits = {part: np.empty(0, np.float32) for part in ("validation", "test")}
        if status == "finished":
            for part in logits:
                rows = self.view.rows[part]
                start = self.start[rows] * self.scale
                hidden = torch.addmm(start, self.view.gram[rows], self.coefficients)
                logits[part] = self.logits(hidden).float().cpu().numpy()
        return Fitted(self.net, status, self.history, logits, self.seconds, self.tensors())


def _fit_wave(fits, block, on_epoch, save):
    """Train what has a batch size that divides block; yields Fitted."""
    for fit in [fit for fit in fits if fit.epoch >= fit.net.spec.epochs]:
        fits.remove(fit)
        yield fit.result("finished")
    while fits:
        started = time.perf_counter()
        _epoch(fits, block)
        share = (time.perf_counter() - started) / len(fits)
        for fit in list(fits):
            fit.seconds += share
            if not all(math.isfinite(value) for value in fit.values.values()):
                fits.remove(fit)
                yield fit.result("diverged")
                continue
            for name, value in fit.values.items():
                fit.history[name].append(value)
            if on_epoch:
                on_epoch(fit.net, fit.epoch - 1, fit.values)
            if save:
                history = {name: list(column) for name, column in fit.history.items()}
                save(fit.net, fit.tensors(), history)
            if fit.epoch == fit.net.spec.epochs:
                fits.remove(fit)
                yield fit.result("finished")


def _epoch(fits, block):
    """One epoch of every net: moves its tensors and sets its `values`, the epoch's four numbers."""
    by_stream, by_shape = defaultdict(list), defaultdict(list)
    for fit in sorted(fits, key=lambda fit: fit.shape):
        by_stream[id(fit.view), fit.net.seed, fit.epoch].append(fit)
    streams = [Stream(members) for members in by_stream.values()]
    for stream in streams:
        for fit in stream.fits:
            by_shape[fit.shape].append(fit)
    groups = [Group(members, streams) for members in by_shape.values()]
    for start in range(0, max(len(stream.order) for stream in streams), block):
        for stream in streams:
            stream.open_block(start, block)
        for group in groups:
            group.train_block(block)
        for stream in streams:
            stream.close_block()
    for stream in streams:
        stream.hand_back()
    for group in groups:
        group.hand_back()


def recover_weights(results, images, device="cpu", pixel_step=1.0):
    """Yields (Fitted, state_dict) for results of fit_together with this pixel_step: float32 tensors
    on the CPU that models.build's module of the spec loads. One pass over the images for as many
    results as their first layers fit WEIGHTS bytes."""
    size, pixels = images.shape[-1], images[0].size
    for wave in _waves(results, lambda result: result.net.spec.hidden_units * pixels * 4):
        scattered = []  # each (N, units): A, with zeros for images that were not trained on
        for result in wave:
            shape = len(images), result.net.spec.hidden_units
            scattered.append(torch.zeros(shape, dtype=torch.float64))
            train = torch.as_tensor(np.asarray(result.net.index["train"], np.int64))
            scattered[-1][train] = result.tensors["coefficients"]
        moved = combine(images, torch.cat(scattered, 1), device).cpu()  # (units of the wave, S²)
        for result, part in zip(wave, moved.split([columns.shape[1] for columns in scattered])):
            state = build(result.net.spec, size, result.net.seed).state_dict()
            first, *rest = state
            state[first] = state[first] * float(result.tensors["scale"]) + pixel_step * part
            yield result, state | {name: result.tensors[name].float() for name in rest}

"""Plain SGD of Linear nets and MLPs without touching a pixel.

Such a net sees an image only through h = W x + b, and a step moves W by a combination of the
batch's images. So at any time W = c (W0 + Aᵀ X) and h = c (H0 + K A) + b, with K = X Xᵀ (pixels in
0-1) and H0 = X W0ᵀ. What is trained is A, a number for each image and unit; the scale c, which
weight decay multiplies at each step; and the few numbers behind h, by autograd. Batches, starting
weights and arithmetic are those of the plain loop, in another order and in float64.

Nets of one width and one schedule take their steps as one stack. Those with fewer layers than the
deepest are filled up with identity layers, which no step moves.

Shapes: S streams (a seed and a split: nets that start alike and see the same batches), R nets in
each, Q = S·R nets in all; U units of a layer, N images, T of them for training, B of a batch.
"""

import threading
import time
from collections import defaultdict
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from xray.engine import HISTORY, batch_order, pos_weight
from xray.gram import BUFFER, combine, project
from xray.models import build
from xray.specs import ModelSpec, trains_in_sample_space

PARTS = ("train", "validation", "test")
STREAMS = 8  # in one stack
MAX_WORKERS = 4  # stacks trained beside each other, of which each holds its own part of K
AHEAD = 256  # images of an epoch that are multiplied with A at once
MAX_AMONG = 2**29  # bytes of K among the training images of a stack's splits


@dataclass(frozen=True, eq=False)
class Net:
    """A net to train."""

    spec: ModelSpec
    seed: int
    index: dict  # the rows of its "train", "validation" and "test" images: int arrays
    pixel_step: float = 1.0  # by which the first layer's step is multiplied: specs.matched_step
    keep_weights: bool = False


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a net came to."""

    net: Net
    status: str  # "finished" or "diverged"
    history: dict  # HISTORY's lists of floats, an entry an epoch, finite epochs only
    logits: dict  # "validation" and "test" -> float32 arrays, empty where it diverged
    seconds: float  # its share of the time that all took
    weights: dict | None  # float32 tensors that models.build's module loads, where they are kept


def train(nets, gram, images, labels, device="cpu", tick=None):
    """Train nets, many side by side; yields a Fitted for each, not in their order.

    gram: X Xᵀ of all images (gram.gram_matrix), float64 (N, N); images: uint8 (N, 1, S, S), read
    for the starts and for the weights that are kept; labels: (N,) of 0 and 1. Each net gives what
    it gives alone and, but for rounding, what the plain loop gives. A loss that is not finite, in
    float32's range, ends its run as "diverged"; the others go on. tick(count): called, from any
    thread, when so many nets have made an epoch. Raises ValueError for a spec that is not trained
    by SGD through one Linear layer.
    """
    for net in nets:
        if not trains_in_sample_space(net.spec):
            raise ValueError(
                f"model {net.spec.id} cannot be trained in sample space; use the direct loop"
            )
    gram = gram.to(device, torch.float64) / 255**2
    labels = torch.as_tensor(np.asarray(labels), dtype=torch.float64, device=device)
    starts = project_starts(nets, images, device)
    threads, ended = torch.get_num_threads(), threading.Event()
    under_way = {}  # future -> its stack
    workers = min(threads, MAX_WORKERS) if torch.device(device).type == "cpu" else 1
    # stacks beside each other, each in one thread: its small products gain nothing from more
    torch.set_num_threads(1)
    with ThreadPoolExecutor(workers) as pool:
        try:
            # the longest first, so that none is left to end alone
            for streams in sorted(_stacks(nets), key=_work, reverse=True):
                if len(under_way) == workers:
                    yield from _fitted(*_first_done(under_way), images, workers)
                stack = Stack(streams, gram, images.shape[-1], labels, starts)
                under_way[pool.submit(_fit, stack, ended, tick)] = stack
                del stack  # it holds much memory
            while under_way:
                yield from _fitted(*_first_done(under_way), images, workers)
        finally:
            ended.set()
            torch.set_num_threads(threads)


def project_starts(nets, images, device="cpu"):
    """H0 = X W0ᵀ of all images, (seed, units) -> float64 (N, units): nets of one seed and width
    start with the same first layer, whatever their split. Few passes over the images serve all."""
    alike = {(net.seed, net.spec.hidden_units): net for net in nets}
    found, waiting = {}, iter(alike.items())
    at_once = max(1, BUFFER // (4 * images[0].size * max((units for _, units in alike), default=1)))
    while group := dict(islice(waiting, at_once)):
        weights = [
            next(iter(build(net.spec, images.shape[-1], net.seed).state_dict().values()))
            for net in group.values()
        ]
        projected = project(images, torch.cat(weights), device)
        found |= zip(group, projected.split([units for _, units in group], dim=1))
    return found


def _fit(stack, ended, tick):
    """Train a stack to its end, or until `ended` is set -> its history, float64 (epochs, 4, Q), and
    logits, part -> float32 (Q, images), on the CPU; seconds."""
    torch.set_num_threads(1)  # a setting of each thread's own
    started, found = time.perf_counter(), []
    for epoch in range(stack.epochs):
        if ended.is_set():  # somebody has pressed Ctrl-C
            return None
        found.append(stack.epoch(epoch))
        if tick:
            tick(sum(map(len, stack.streams)))
    logits = {part: stack.predict(part).float().cpu() for part in PARTS[1:]}
    return torch.stack(found).cpu(), logits, time.perf_counter() - started


def _first_done(under_way):
    """Takes a stack that is trained out of those under way, waiting for one; and its future."""
    fit = next(iter(wait(under_way, return_when=FIRST_COMPLETED).done))
    return under_way.pop(fit), fit


def _fitted(stack, fit, images, workers):
    """Yields a Fitted for each net of a stack when it is trained; fit: the future of `_fit`."""
    history, logits, seconds = fit.result()
    nets = [net for stream in stack.streams for net in stream]
    finite = history.float().isfinite().all(1)  # (epochs, Q)
    weights = {}
    for s in range(len(stack.streams)):
        weights |= stack.weights(s, images)
    for place, net in enumerate(nets):
        ran = finite[:, place].tolist()
        epochs = len(ran) if all(ran) else ran.index(False)
        ended = epochs == net.spec.epochs
        yield Fitted(
            net=net,
            status="finished" if ended else "diverged",
            history=dict(zip(HISTORY, history[:epochs, :, place].T.tolist())),
            logits={
                part: values[place].numpy()[: None if ended else 0]
                for part, values in logits.items()
            },
            seconds=seconds / len(nets) / workers,
            weights=weights.get(net) if ended else None,
        )


def _stacks(nets):
    """Lists of streams, which are lists of nets: those that train as one stack."""
    streams = defaultdict(list)
    for net in nets:
        schedule = net.spec.batch_size, net.spec.epochs, net.spec.hidden_units
        split = tuple(np.asarray(net.index[part]).tobytes() for part in PARTS)
        streams[schedule, net.seed, split].append(net)
    alike = defaultdict(list)
    for stream in streams.values():
        specs = tuple((net.spec, net.pixel_step) for net in stream)
        counts = tuple(len(stream[0].index[part]) for part in PARTS)
        alike[specs, counts].append(stream)
    for (_, counts), found in alike.items():
        at_once = min(STREAMS, max(1, MAX_AMONG // (8 * counts[0] ** 2)))
        for first in range(0, len(found), at_once):
            yield found[first : first + at_once]


def _work(streams):
    """How long a stack takes, beside others."""
    spec = streams[0][0].spec
    return spec.epochs * spec.hidden_units * sum(map(len, streams))


class Stack:
    """The nets of some streams, R in each; gram: K of pixels in 0-1; starts: project_starts."""

    def __init__(self, streams, gram, image_size, labels, starts):
        def a_net(values, kind=torch.float64):  # one for each net: (Q, 1, 1)
            return torch.tensor(values, dtype=kind, device=gram.device)[:, None, None]

        nets = [net for stream in streams for net in stream]
        specs = [net.spec for net in nets]
        self.streams, self.gram, self.labels = streams, gram, labels
        self.seeds = [stream[0].seed for stream in streams]
        self.batch_size, self.epochs = specs[0].batch_size, specs[0].epochs
        rows = {part: np.stack([stream[0].index[part] for stream in streams]) for part in PARTS}
        self.one_split = all((there == there[0]).all() for there in rows.values())
        self.rows = {  # part -> (S, images of the part)
            part: torch.from_numpy(there).to(gram.device, torch.int64)
            for part, there in rows.items()
        }
        self.stream = torch.arange(len(streams), device=gram.device)[:, None]  # (S, 1)
        self.of_training, self.of_validation = map(self.between_training, PARTS[:2])
        of_training = labels[self.rows["train"]].repeat_interleave(len(streams[0]), 0)
        self.pos_weight = a_net([pos_weight(*pair) for pair in zip(specs, of_training)])[..., 0]
        rate = a_net([spec.learning_rate for spec in specs])
        decay = a_net([spec.weight_decay for spec in specs])
        self.first_rate = rate * a_net([net.pixel_step for net in nets])
        self.kept = 1 - rate * decay  # of a parameter, after a step's decay
        self.relu = a_net([spec.family == "Linear+ReLU" for spec in specs], torch.bool)
        self.last_relu = self.relu & a_net([spec.last_relu for spec in specs], torch.bool)

        # What training moves: A, c, and the parameters behind h
        self.units, depths = specs[0].hidden_units, [spec.hidden_layers for spec in specs]
        behind = self._behind(image_size, max(depths))
        first = torch.stack([starts[seed, self.units] for seed in self.seeds])
        self.start = first[:, :, None]  # H0: (S, N, 1, U)
        # A: (S, T, R·U); of other images it stays 0
        shape = *self.rows["train"].shape, len(streams[0]) * self.units
        self.moved = torch.zeros(shape, dtype=torch.float64, device=gram.device)
        self.scale = torch.ones_like(rate)  # c
        # the first layer's bias (Q, 1, U), then weight (Q, U, out) and bias (Q, 1, out) of each
        # layer behind it
        self.parameters = [tensor.to(first).requires_grad_() for tensor in behind]
        self.moves = []  # of each parameter: its nets' learning rate, and what decay leaves
        for place in range(len(behind)):
            layer = (place + 1) // 2
            there = a_net([layer < depth or layer == max(depths) for depth in depths])
            self.moves.append((-rate * there, 1 - (1 - self.kept) * there))

    def _behind(self, image_size, deepest):
        """The parameters behind the first layer's weight as all nets start, a tensor each."""
        behind = []
        for stream in self.streams:
            drawn = {}  # nets of one structure start alike
            for net in stream:
                layers, units = net.spec.hidden_layers, net.spec.hidden_units
                if layers not in drawn:
                    drawn[layers] = build(net.spec, image_size, net.seed).state_dict().values()
                _, bias, *between, out, last = drawn[layers]
                between += [torch.eye(units), torch.zeros(units)] * (deepest - layers)
                matrices = [tensor.T if tensor.ndim == 2 else tensor[None] for tensor in between]
                behind.append([bias[None], *matrices, out.T, last[None]])
        return [torch.stack(tensors) for tensors in zip(*behind)]

    def between_training(self, part):
        """K of a part's images and the training images, (S, B, T); held once where all streams have
        one split."""
        count = 1 if self.one_split else len(self.streams)
        pairs = zip(self.rows[part][:count], self.rows["train"][:count])
        found = torch.stack([self.gram[rows[:, None], columns] for rows, columns in pairs])
        return found.expand(len(self.streams), -1, -1)

    def rows_of_training(self, places):
        """The rows of of_training at these places, (S, L) -> (S, L, T); by index_select, since
        indexing with two tensors takes four times as long."""
        count = 1 if self.one_split else len(self.streams)
        rows = places + self.stream % count * self.of_training.shape[1]
        flat = self.of_training[:count].flatten(0, 1)
        return flat.index_select(0, rows.flatten()).unflatten(0, places.shape)

    def unscaled(self, rows, gram):
        """H0 + K A of some images: rows (S, B), K of them and the training images (S, B, T)
        -> (S, B, R·U)."""
        value = gram @ self.moved
        value.unflatten(2, (-1, self.units)).add_(self.start[self.stream, rows])
        return value

    def by_net(self, values):
        """(S, B, R·U) -> (Q, B, U)."""
        return values.unflatten(2, (-1, self.units)).transpose(1, 2).flatten(0, 1)

    def by_stream(self, values):
        """(Q, B, U) -> (S, B, R·U)."""
        return values.unflatten(0, (len(self.streams), -1)).transpose(1, 2).flatten(2)

    def logits(self, hidden):
        """The first layer's output without its bias, (Q, B, U) -> (Q, B)."""
        bias, *behind = self.parameters
        value = hidden + bias
        for weight, bias in zip(behind[::2], behind[1::2]):
            # not a number stays, so that it reaches the loss
            value = value.masked_fill(self.relu & (value <= 0), 0)
            value = torch.baddbmm(bias, value, weight)
        return value.masked_fill(self.last_relu & (value <= 0), 0)[..., 0]

    def sums(self, logits, truth):
        """Over images, the sums of losses and of correct answers: twice (Q, B) -> (2, Q)."""
        losses = binary_cross_entropy_with_logits(
            logits, truth, pos_weight=self.pos_weight, reduction="none"
        )
        return torch.stack([losses.sum(1), ((logits > 0) == (truth > 0)).sum(1)])

    def step(self, unscaled, truth):
        """A step of SGD on the mean loss of a batch; truth: (Q, B).

        unscaled: H0 + K A, (S, B, R·U). Gives the logits before the step, (Q, B), and what is to be
        taken from the batch's A, (S, B, R·U).
        """
        hidden = (self.by_net(unscaled) * self.scale).requires_grad_()
        logits = self.logits(hidden)
        before = logits.detach()
        weight = (truth * (self.pos_weight - 1) + 1) / truth.shape[1]
        slope = (before.sigmoid() - truth) * weight  # of the mean loss, by each logit
        by_hidden, *gradients = torch.autograd.grad(logits, [hidden, *self.parameters], slope)
        with torch.no_grad():
            for parameter, gradient, (rate, kept) in zip(self.parameters, gradients, self.moves):
                parameter.mul_(kept).addcmul_(rate, gradient)
            self.scale *= self.kept
            return before, self.by_stream(by_hidden * (self.first_rate / self.scale))

    def block(self, places):
        """The steps of an epoch's next images, by their places among the training images, (S, L);
        gives their `sums`.

        H0 + K A is brought up to date for all of them at once and, after each batch, for those that
        follow.
        """
        rows = self.rows["train"].gather(1, places)
        gram = self.rows_of_training(places)  # (S, L, T)
        unscaled = self.unscaled(rows, gram)  # (S, L, R·U)
        among = gram.gather(2, places[:, None].expand(-1, places.shape[1], -1))  # (S, L, L)
        truth = self.truth(rows)  # (Q, L)
        logits, changes = [], []
        for first in range(0, places.shape[1], self.batch_size):
            end = first + self.batch_size
            before, change = self.step(unscaled[:, first:end], truth[:, first:end])
            unscaled[:, end:].baddbmm_(among[:, end:, first:end], change, alpha=-1)
            logits.append(before)
            changes.append(change)
        self.moved[self.stream, places] -= torch.cat(changes, 1)
        return self.sums(torch.cat(logits, 1), truth)

    def truth(self, rows):
        """The labels of these rows, (S, B) -> (Q, B)."""
        return self.labels[rows].repeat_interleave(len(self.streams[0]), 0)

    def epoch(self, number):
        """Train epoch 0, 1, ...; gives HISTORY's four values of each net, (4, Q)."""
        count, validation = self.moved.shape[1], self.rows["validation"]
        orders = [batch_order(count, seed, number) for seed in self.seeds]
        order = torch.stack(orders).to(self.moved.device)
        ahead = self.batch_size * max(1, AHEAD // self.batch_size)
        of_training = sum(self.block(places) for places in order.split(ahead, dim=1))
        logits = self.predict("validation")
        of_validation = self.sums(logits, self.truth(validation))
        return torch.cat([of_training / count, of_validation / validation.shape[1]])

    @torch.no_grad()
    def predict(self, part):
        """Logits of the images of validation or test, (Q, images)."""
        gram = self.of_validation if part == "validation" else self.between_training(part)
        return self.logits(self.by_net(self.unscaled(self.rows[part], gram)) * self.scale)

    def weights(self, s, images):
        """Net -> state_dict, of the nets of stream s whose weights are kept; one pass over the
        images."""
        places = [r for r, net in enumerate(self.streams[s]) if net.keep_weights]
        if not places:
            return {}
        of_stream = slice(s * len(self.streams[s]), (s + 1) * len(self.streams[s]))
        scale = self.scale[of_stream].flatten()
        moved = self.moved[s].unflatten(1, (len(scale), -1)) * scale[:, None]
        coefficients = moved.new_zeros(len(images), len(places) * self.units)
        coefficients[self.rows["train"][s]] = moved[:, places].flatten(1)
        changes = combine(images, coefficients, moved.device).cpu()
        found = {}
        for r, change in zip(places, changes.chunk(len(places))):
            net = self.streams[s][r]
            state = build(net.spec, images.shape[-1], net.seed).state_dict()
            first, *rest = state
            state[first] = state[first] * float(scale[r]) + change
            # without the identity layers, which stand before the last
            own = self.parameters[: 2 * net.spec.hidden_layers - 1] + self.parameters[-2:]
            for name, parameter in zip(rest, own):
                value = parameter[of_stream][r].detach().float().cpu().T  # (out, U), or (out, 1)
                state[name] = value.reshape(state[name].shape).contiguous()
            found[net] = state
        return found

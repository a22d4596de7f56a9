"""Plain SGD of Linear nets and MLPs without touching a pixel.

Such a net sees an image only through h = W x + b, and a step moves W by a combination of the
batch's images. So at any time W = c (W0 + Aᵀ X) and h = c (H0 + K A) + b, with K = X Xᵀ (pixels in
0-1) and H0 = X W0ᵀ. What is trained is A, a number for each image and unit; the scale c, which
weight decay multiplies at each step; and the few numbers behind h, by autograd. Batches, starting
weights and arithmetic are those of the plain loop, in another order and in float64.

Nets of one width and one schedule take their steps as one stack. Those with fewer layers than the
deepest are filled up with identity layers, which no step moves.

Shapes: S streams (a seed and a split: nets that start alike and see the same batches), R nets in
each, Q = S·R nets in all; U units of a layer, N images, B of a batch.
"""

import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from xray.engine import HISTORY, batch_order, pos_weight
from xray.gram import combine, project
from xray.models import build
from xray.specs import ModelSpec, trains_in_sample_space

PARTS = ("train", "validation", "test")
STREAMS = 8  # in one stack
AHEAD = 256  # images of an epoch that are multiplied with A at once


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
    seconds: float  # its share of the time of its stack
    weights: dict | None  # float32 tensors that models.build's module loads, where they are kept


def train(nets, gram, images, labels, device="cpu", tick=None):
    """Train nets, many side by side; yields a Fitted for each, not in their order.

    gram: X Xᵀ of all images (gram.gram_matrix), float64 (N, N); images: uint8 (N, 1, S, S), read
    for the start of each stack and for the weights that are kept; labels: (N,) of 0 and 1. Each net
    gives what it gives alone and, but for rounding, what the plain loop gives. A loss that is not
    finite, in float32's range, ends its run as "diverged"; the others go on. tick(count): called
    when so many nets have made an epoch. Raises ValueError for a spec that is not trained by SGD
    through one Linear layer.
    """
    for net in nets:
        if not trains_in_sample_space(net.spec):
            raise ValueError(
                f"model {net.spec.id} cannot be trained in sample space; use the direct loop"
            )
    gram = gram.to(device, torch.float64) / 255**2
    labels = torch.as_tensor(np.asarray(labels), dtype=torch.float64, device=device)
    for streams in _stacks(nets):
        started = time.perf_counter()
        stack = Stack(streams, gram, images, labels)
        history = _epochs(stack, tick)
        logits = {part: stack.predict(stack.rows[part]).float().cpu() for part in PARTS[1:]}
        seconds = (time.perf_counter() - started) / sum(len(stream) for stream in streams)
        for s, stream in enumerate(streams):
            weights = stack.weights(s, images)
            for r, net in enumerate(stream):
                place = s * len(stream) + r
                own = {part: values[place].numpy() for part, values in logits.items()}
                yield _fitted(net, history[:, :, place], own, seconds, weights.get(net))


def _fitted(net, history, logits, seconds, weights):
    """history: float64 (epochs, 4)."""
    finite = history.float().isfinite().all(1).tolist()
    epochs = len(finite) if all(finite) else finite.index(False)
    lists = dict(zip(HISTORY, history[:epochs].T.tolist()))
    if epochs == net.spec.epochs:
        return Fitted(net, "finished", lists, logits, seconds, weights)
    none = {part: values[:0] for part, values in logits.items()}
    return Fitted(net, "diverged", lists, none, seconds, None)


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
    for found in alike.values():
        for first in range(0, len(found), STREAMS):
            yield found[first : first + STREAMS]


def _epochs(stack, tick):
    """Train a stack to its end -> its history, float64 (epochs, 4, Q) on the CPU."""
    threads, found = torch.get_num_threads(), []
    torch.set_num_threads(1)  # small products gain nothing from more, and wait for each other
    try:
        for epoch in range(stack.epochs):
            found.append(stack.epoch(epoch))
            if tick:
                tick(sum(map(len, stack.streams)))
    finally:
        torch.set_num_threads(threads)
    return torch.stack(found).cpu()


class Stack:
    """The nets of some streams, R in each; gram: K of pixels in 0-1."""

    def __init__(self, streams, gram, images, labels):
        def a_net(values, kind=torch.float64):  # one for each net: (Q, 1, 1)
            return torch.tensor(values, dtype=kind, device=gram.device)[:, None, None]

        nets = [net for stream in streams for net in stream]
        specs = [net.spec for net in nets]
        self.streams, self.gram, self.labels = streams, gram, labels
        self.seeds = [stream[0].seed for stream in streams]
        self.batch_size, self.epochs = specs[0].batch_size, specs[0].epochs
        self.rows = {}  # part -> (S, images of the part)
        for part in PARTS:
            rows = np.stack([np.asarray(stream[0].index[part]) for stream in streams])
            self.rows[part] = torch.from_numpy(rows).to(gram.device, torch.int64)
        self.stream = torch.arange(len(streams), device=gram.device)[:, None]  # (S, 1)
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
        first, behind = self._starts(images.shape[-1], max(depths))
        projected = project(images, torch.cat(first), gram.device)  # (N, S·U)
        self.start = projected.unflatten(1, (-1, 1, self.units)).transpose(0, 1)  # H0: (S, N, 1, U)
        shape = len(streams), len(images), len(streams[0]) * self.units
        self.moved = torch.zeros(shape, dtype=torch.float64, device=gram.device)  # A: (S, N, R·U)
        self.scale = torch.ones_like(rate)  # c
        # the first layer's bias (Q, 1, U), then weight (Q, U, out) and bias (Q, 1, out) of each
        # layer behind it
        self.parameters = [tensor.to(projected).requires_grad_() for tensor in behind]
        self.moves = []  # of each parameter: its nets' learning rate, and what decay leaves
        for place in range(len(behind)):
            layer = (place + 1) // 2
            there = a_net([layer < depth or layer == max(depths) for depth in depths])
            self.moves.append((-rate * there, 1 - (1 - self.kept) * there))

    def _starts(self, image_size, deepest):
        """The first layer's weight of each stream, and the parameters behind it of all nets, a
        tensor each."""
        first, behind = [], []
        for stream in self.streams:
            drawn = {}  # nets of one structure start alike
            for net in stream:
                layers, units = net.spec.hidden_layers, net.spec.hidden_units
                if layers not in drawn:
                    drawn[layers] = build(net.spec, image_size, net.seed).state_dict().values()
                weight, bias, *between, out, last = drawn[layers]
                between += [torch.eye(units), torch.zeros(units)] * (deepest - layers)
                matrices = [tensor.T if tensor.ndim == 2 else tensor[None] for tensor in between]
                behind.append([bias[None], *matrices, out.T, last[None]])
            first.append(weight)  # the same in all nets of a stream
        return first, [torch.stack(tensors) for tensors in zip(*behind)]

    def unscaled(self, rows, gram):
        """H0 + K A of some images: rows (S, B), their rows of K (S, B, N) -> (S, B, R·U)."""
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

    def block(self, rows):
        """The steps of an epoch's next images, rows (S, L); gives their `sums`.

        H0 + K A is brought up to date for all of them at once and, after each batch, for those that
        follow.
        """
        gram = self.gram[rows]  # (S, L, N)
        unscaled = self.unscaled(rows, gram)  # (S, L, R·U)
        among = gram.gather(2, rows[:, None].expand(-1, rows.shape[1], -1))  # (S, L, L)
        truth = self.truth(rows)  # (Q, L)
        logits, changes = [], []
        for first in range(0, rows.shape[1], self.batch_size):
            end = first + self.batch_size
            before, change = self.step(unscaled[:, first:end], truth[:, first:end])
            unscaled[:, end:].baddbmm_(among[:, end:, first:end], change, alpha=-1)
            logits.append(before)
            changes.append(change)
        self.moved[self.stream, rows] -= torch.cat(changes, 1)
        return self.sums(torch.cat(logits, 1), truth)

    def truth(self, rows):
        """The labels of these rows, (S, B) -> (Q, B)."""
        return self.labels[rows].repeat_interleave(len(self.streams[0]), 0)

    def epoch(self, number):
        """Train epoch 0, 1, ...; gives HISTORY's four values of each net, (4, Q)."""
        train, validation = self.rows["train"], self.rows["validation"]
        orders = [batch_order(train.shape[1], seed, number) for seed in self.seeds]
        order = train.gather(1, torch.stack(orders).to(train.device))
        ahead = self.batch_size * max(1, AHEAD // self.batch_size)
        of_training = sum(self.block(rows) for rows in order.split(ahead, dim=1))
        of_validation = self.sums(self.predict(validation), self.truth(validation))
        return torch.cat([of_training / train.shape[1], of_validation / validation.shape[1]])

    @torch.no_grad()
    def predict(self, rows):
        """Logits of these rows: (S, images) -> (Q, images)."""
        return self.logits(self.by_net(self.unscaled(rows, self.gram[rows])) * self.scale)

    def weights(self, s, images):
        """Net -> state_dict, of the nets of stream s whose weights are kept; one pass over the
        images."""
        places = [r for r, net in enumerate(self.streams[s]) if net.keep_weights]
        if not places:
            return {}
        of_stream = slice(s * len(self.streams[s]), (s + 1) * len(self.streams[s]))
        scale = self.scale[of_stream].flatten()
        moved = self.moved[s].unflatten(1, (len(scale), -1)) * scale[:, None]
        changes = combine(images, moved[:, places].flatten(1), moved.device).cpu()
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

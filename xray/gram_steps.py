"""The steps of gram_training, taken by many nets at once: a Stream is those with the same batches,
a Group those of one shape.

A Stream brings h of the epoch's next images up to date from K, a Group takes the steps of their
batches, and the Stream adds those to its coefficients. Everything is float64. A net here (a `fit`)
has: net, view, epoch, shape (batch size, hidden layers, hidden units), pos_weight; coefficients (n,
U), start (N, U), scale () and the list of parameters: the first layer's bias, then weight and bias
of each later layer.

Shapes: N all images, n training images, L images of a block, B of a batch, R nets of a group, U
units of each, C columns of a stream (the units of all of its nets).
"""

import math

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from xray.engine import HISTORY, batch_order

FLOAT32_MAX = torch.finfo(torch.float32).max


class Stream:
    """Nets that see the same batches in an epoch; coefficients side by side, a column a unit."""

    def __init__(self, fits):
        self.fits, self.view = fits, fits[0].view
        order = batch_order(len(self.view.train), fits[0].net.seed, fits[0].epoch)
        self.order = order.to(self.view.gram.device)  # (n,)
        # (C, n): the faster way to multiply
        self.coefficients = torch.cat([fit.coefficients.T for fit in fits])
        self.start = torch.cat([fit.start for fit in fits], 1)  # (N, C)
        self.scale = torch.cat([fit.scale.expand(fit.start.shape[1]) for fit in fits])  # (C,)
        ends = np.cumsum([0] + [fit.start.shape[1] for fit in fits]).tolist()
        self.columns = dict(zip(fits, zip(ends, ends[1:])))

    def pre_activations(self, rows, gram):
        """c·H0 + K A of these rows of K, (L, n) -> (L, C)."""
        return torch.addmm((self.start[rows] * self.scale).T, self.coefficients, gram.T).T

    def open_block(self, start, block):
        """Bring `hidden` of the epoch's next images up to date."""
        self.block = self.order[start : start + block]  # (L,) of 0 to n - 1
        rows = self.view.train[self.block]  # (L,) of 0 to N - 1
        gram = self.view.gram[rows]  # (L, n)
        self.hidden = self.pre_activations(rows, gram)  # (L, C)
        self.gram = gram[:, self.block]  # (L, L)
        # to be set: what the block adds to its images' coefficients,
        self.steps = torch.zeros_like(self.hidden)  # (L, C)
        self.decay = torch.ones_like(self.scale)  # (C,), and what it multiplies all before by

    def close_block(self):
        self.scale = self.scale * self.decay  # (C,)
        self.coefficients *= self.decay[:, None]  # (C, n)
        self.coefficients[:, self.block] += self.steps.T  # (C, L)

    def hand_back(self):
        rows = self.view.rows["validation"]
        hidden = self.pre_activations(rows, self.view.gram[rows])  # (validation images, C)
        for fit, (first, last) in self.columns.items():
            fit.coefficients = self.coefficients[first:last].T.clone()  # (n, U)
            fit.scale = self.scale[first].clone()  # ()
            fit.validation = hidden[:, first:last]  # (validation images, U)


def stack(fits):
    """The parameters of R nets of one shape, (R, out, in) and for biases (R, 1, out), and which of
    them have ReLUs, (R, 1, 1)."""
    stacked = [torch.stack(tensors) for tensors in zip(*(fit.parameters for fit in fits))]
    relu = [fit.net.spec.family == "Linear+ReLU" for fit in fits]
    relu = torch.tensor(relu, device=stacked[0].device)[:, None, None]
    return [tensor[:, None] if tensor.ndim == 2 else tensor for tensor in stacked], relu


def forward(parameters, relu, hidden, tape=None):
    """hidden (R, B, U) without bias -> logits (R, B, 1). tape: takes outputs and closed ReLUs."""
    value = hidden + parameters[0]  # (R, B, U)
    for weight, bias in [(None, None), *zip(parameters[1::2], parameters[2::2])]:
        if weight is not None:
            value = torch.baddbmm(bias, value, weight.mT)  # (R, B, out)
        closed = relu & (value <= 0)  # not-a-number stays open, so that it reaches the loss
        value = value.masked_fill(closed, 0)
        if tape is not None:
            tape.append((value, closed))
    return value


def backward(parameters, gradient, tape):
    """gradient (R, B, 1) at the logits -> that at `hidden`, (R, B, U), and the parameters'."""
    gradients = []
    gradient = gradient.masked_fill(tape[-1][1], 0)  # (R, B, 1)
    for weight, (value, closed) in zip(reversed(parameters[1::2]), reversed(tape[:-1])):
        gradients.append(gradient.sum(1, keepdim=True))  # (R, 1, out)
        gradients.append(gradient.mT @ value)  # (R, out, in)
        gradient = (gradient @ weight).masked_fill(closed, 0)  # (R, B, in)
    gradients.append(gradient.sum(1, keepdim=True))  # (R, 1, U)
    return gradient, gradients[::-1]


def _losses(logits, labels, weight):
    """Each image's loss, (images, R); infinite beyond float32's range, as in the direct loop."""
    losses = binary_cross_entropy_with_logits(logits, labels, pos_weight=weight, reduction="none")
    return losses.masked_fill(losses > FLOAT32_MAX, math.inf)


class Group:
    """Nets of one shape: their small tensors stacked along a first axis of nets, R."""

    def __init__(self, fits, streams):
        def column(values):
            return torch.tensor(values, dtype=torch.float64, device=fits[0].start.device)

        self.fits, (self.batch, _, self.units) = fits, fits[0].shape
        specs = [fit.net.spec for fit in fits]
        self.rate = column([spec.learning_rate for spec in specs])  # (R,)
        self.weight_decay = column([spec.weight_decay for spec in specs])  # (R,)
        self.pos_weight = column([fit.pos_weight for fit in fits])  # (R,)
        self.decays = any(spec.weight_decay for spec in specs)
        self.parameters, self.relu = stack(fits)
        self.loss, self.correct = torch.zeros_like(self.rate), torch.zeros_like(self.rate)
        self.spans = []  # (stream, its nets here as first:last, their columns there)
        for stream in streams:
            here = [i for i, fit in enumerate(fits) if fit in stream.columns]
            if here:
                columns = slice(stream.columns[fits[here[0]]][0], stream.columns[fits[here[-1]]][1])
                self.spans.append((stream, here[0], here[-1] + 1, columns))

    def train_block(self, block):
        """The steps of the streams' open blocks; what is missing in a short one weighs 0."""
        hidden = self.rate.new_zeros((block, len(self.fits), self.units))  # (L, R, U)
        labels = self.rate.new_zeros((block, len(self.fits)))  # (L, R)
        present = torch.zeros_like(labels)  # (L, R): 1 where there is an image
        for stream, first, last, columns in self.spans:
            here, shape = slice(len(stream.block)), (last - first, self.units)
            hidden[here, first:last] = stream.hidden[:, columns].unflatten(1, shape)
            present[here, first:last] = 1
            labels[here, first:last] = stream.view.labels["train"][stream.block, None]
        steps, decay, logits = self._take_steps(hidden, labels, present)
        for stream, first, last, columns in self.spans:
            stream.steps[:, columns] = steps[: len(stream.block), first:last].flatten(1)
            whole = decay.prod(0)[first:last].flatten()  # (last - first,)
            stream.decay[columns] = whole.repeat_interleave(self.units)
        losses = _losses(logits, labels, self.pos_weight)  # (L, R)
        self.loss += (losses * present).sum(0)  # (R,)
        self.correct += (((logits > 0) == (labels > 0)) * present).sum(0)  # (R,)

    def _take_steps(self, hidden, labels, present):
        """Batch by batch through a block; moves the parameters. Gives what is added to the
        images' coefficients (L, R, U), each batch's decay (L / B, R, 1, 1) and the logits before
        its step (L, R)."""
        steps, logits = torch.zeros_like(hidden), torch.zeros_like(labels)
        counts = present.unflatten(0, (-1, self.batch)).sum(1)  # (L / B, R): images of each batch
        weight = present / counts.clamp(min=1).repeat_interleave(self.batch, 0)  # (L, R)
        # d loss / d logit = both · sigmoid(logit) - positive
        positive = (weight * labels * self.pos_weight).T[..., None]  # (R, L, 1)
        both = positive + (weight * (1 - labels)).T[..., None]  # (R, L, 1)
        rates = (self.rate * (counts > 0))[:, :, None, None]  # (L / B, R, 1, 1)
        decay = 1 - rates * self.weight_decay[:, None, None]  # (L / B, R, 1, 1)
        for batch in range(-(-max(len(stream.block) for stream, *_ in self.spans) // self.batch)):
            rows, tape = slice(batch * self.batch, (batch + 1) * self.batch), []
            value = forward(self.parameters, self.relu, hidden[rows].transpose(0, 1), tape)
            logits[rows] = value[..., 0].T  # (B, R)
            gradient = value.sigmoid_().mul_(both[:, rows]).sub_(positive[:, rows])  # (R, B, 1)
            gradient, gradients = backward(self.parameters, gradient, tape)  # (R, B, U)
            if self.decays:
                steps[: rows.start] *= decay[batch, :, 0]  # before, R, U
                hidden[rows.stop :] *= decay[batch, :, 0]  # after, R, U
                for parameter in self.parameters:
                    parameter *= decay[batch]  # (R, out, in)
            for parameter, change in zip(self.parameters, gradients):
                parameter.addcmul_(rates[batch], change, value=-1)  # (R, out, in)
            steps[rows] = (gradient * -rates[batch]).transpose(0, 1)  # (B, R, U)
            for stream, first, last, _ in self.spans:
                after = slice(rows.stop, len(stream.block))  # images that the step moves h of
                if after.stop > after.start:
                    own = slice(first * self.units, last * self.units)
                    gram = stream.gram[after, rows]  # (after, B)
                    hidden.flatten(1)[after, own].addmm_(gram, steps.flatten(1)[rows, own])
        return steps, decay, logits

    def hand_back(self):
        """Give each net its parameters and its `values` (HISTORY) of the epoch."""
        for i, fit in enumerate(self.fits):
            for own, parameter in zip(fit.parameters, self.parameters):
                own.copy_(parameter[i].view_as(own))
            logits = fit.logits(fit.validation)[:, None]  # (validation images, 1)
            labels = fit.view.labels["validation"][:, None]
            losses = _losses(logits, labels, self.pos_weight[i])
            hits = ((logits > 0) == (labels > 0)).double()
            count = len(fit.view.train)
            sums = self.loss[i] / count, self.correct[i] / count
            numbers = torch.stack([*sums, losses.mean(), hits.mean()])  # (4,)
            fit.values = dict(zip(HISTORY, numbers.tolist()))

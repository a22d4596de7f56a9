"""What runs of `xray.samplespace` do together: Stream for those with the same batches, Group for
those of one shape.

A run here has: job, split, epoch, shape (batch size, hidden layers, hidden units), pos_weight;
coefficients (n, units), start (N, units), scale () and the list of parameters: the first layer's
bias, then weight and bias of each later layer. Everything is float64. A Stream brings h of the
epoch's next images up to date from K, a Group takes the steps of their batches, and the Stream adds
those to its coefficients.
"""

import math

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from xray.engine import HISTORY, batch_order

FLOAT32_MAX = torch.finfo(torch.float32).max


class Stream:
    """Runs that see the same batches in an epoch: their coefficients side by side, a column a
    unit.
    """

    def __init__(self, runs):
        self.runs, self.split = runs, runs[0].split
        self.order = batch_order(len(self.split.train), runs[0].job.seed, runs[0].epoch).to(
            self.split.gram.device
        )
        # (columns, n): the faster way to multiply
        self.coefficients = torch.cat([run.coefficients.T for run in runs])
        self.start = torch.cat([run.start for run in runs], 1)
        self.scale = torch.cat([run.scale.expand(run.start.shape[1]) for run in runs])
        ends = np.cumsum([0] + [run.start.shape[1] for run in runs]).tolist()
        self.columns = dict(zip(runs, zip(ends, ends[1:])))

    def pre_activations(self, rows, gram):
        return torch.addmm((self.start[rows] * self.scale).T, self.coefficients, gram.T).T

    def open_block(self, start, block):
        """Bring `hidden` (images, columns) of the epoch's next images up to date."""
        self.block = self.order[start : start + block]
        rows = self.split.train[self.block]
        gram = self.split.gram[rows]
        self.hidden = self.pre_activations(rows, gram)
        self.gram = gram[:, self.block]
        # to be set: what the block adds to its images' coefficients,
        self.steps = torch.zeros_like(self.hidden)
        self.decay = torch.ones_like(self.scale)  # and what it multiplies everything before by

    def close_block(self):
        self.scale = self.scale * self.decay
        self.coefficients *= self.decay[:, None]
        self.coefficients[:, self.block] += self.steps.T

    def hand_back(self):
        rows = self.split.rows["validation"]
        hidden = self.pre_activations(rows, self.split.gram[rows])
        for run, (first, last) in self.columns.items():
            run.coefficients, run.scale = (
                self.coefficients[first:last].T.clone(),
                self.scale[first].clone(),
            )
            run.validation = hidden[:, first:last]


def stack(runs):
    """The parameters of R runs of one shape, (R, out, in) and for biases (R, 1, out), and which of
    them have ReLUs.
    """
    stacked = [torch.stack(tensors) for tensors in zip(*(run.parameters for run in runs))]
    relu = torch.tensor(
        [run.job.spec.family == "Linear+ReLU" for run in runs], device=stacked[0].device
    )
    return [tensor[:, None] if tensor.ndim == 2 else tensor for tensor in stacked], relu[
        :, None, None
    ]


def forward(parameters, relu, hidden, tape=None):
    """hidden (R, B, units) without bias -> logits (R, B, 1). tape collects each layer's output and
    its closed ReLUs.
    """
    value = hidden + parameters[0]
    for weight, bias in [(None, None), *zip(parameters[1::2], parameters[2::2])]:
        if weight is not None:
            value = torch.baddbmm(bias, value, weight.mT)
        closed = relu & (value <= 0)  # not-a-number stays open, so that it reaches the loss
        value = value.masked_fill(closed, 0)
        if tape is not None:
            tape.append((value, closed))
    return value


def backward(parameters, gradient, tape):
    """gradient (R, B, 1) at the logits -> that at `hidden`, and those of the parameters."""
    gradients = []
    gradient = gradient.masked_fill(tape[-1][1], 0)
    for weight, (value, closed) in zip(reversed(parameters[1::2]), reversed(tape[:-1])):
        gradients += [gradient.sum(1, keepdim=True), gradient.mT @ value]
        gradient = (gradient @ weight).masked_fill(closed, 0)
    gradients.append(gradient.sum(1, keepdim=True))
    return gradient, gradients[::-1]


def _losses(logits, labels, weight):
    """Each image's loss, (images, R); beyond float32's range it is infinite, as it is in the direct
    loop.
    """
    losses = binary_cross_entropy_with_logits(logits, labels, pos_weight=weight, reduction="none")
    return losses.masked_fill(losses > FLOAT32_MAX, math.inf)


class Group:
    """Runs of one shape: their small tensors stacked along a first axis of runs, R."""

    def __init__(self, runs, streams):
        def column(values):
            return torch.tensor(values, dtype=torch.float64, device=runs[0].start.device)

        self.runs, (self.batch, _, self.units) = runs, runs[0].shape
        specs = [run.job.spec for run in runs]
        self.rate = column([spec.learning_rate for spec in specs])
        self.weight_decay = column([spec.weight_decay for spec in specs])
        self.pos_weight = column([run.pos_weight for run in runs])
        self.decays = any(spec.weight_decay for spec in specs)
        self.parameters, self.relu = stack(runs)
        self.loss, self.correct = torch.zeros_like(self.rate), torch.zeros_like(self.rate)
        self.spans = []  # (stream, its runs here as first:last, their columns there)
        for stream in streams:
            here = [i for i, run in enumerate(runs) if run in stream.columns]
            if here:
                columns = slice(stream.columns[runs[here[0]]][0], stream.columns[runs[here[-1]]][1])
                self.spans.append((stream, here[0], here[-1] + 1, columns))

    def train_block(self, block):
        """The steps of the streams' open blocks. A stream's block may be short or empty: what is
        missing weighs 0.
        """
        runs = len(self.runs)
        hidden = self.rate.new_zeros((block, runs, self.units))
        steps, logits = torch.zeros_like(hidden), self.rate.new_zeros((block, runs))
        present, labels = torch.zeros_like(logits), torch.zeros_like(logits)
        for stream, first, last, columns in self.spans:
            length = len(stream.block)
            hidden[:length, first:last] = stream.hidden[:, columns].unflatten(
                1, (last - first, self.units)
            )
            present[:length, first:last] = 1
            labels[:length, first:last] = stream.split.labels["train"][stream.block, None]
        counts = present.unflatten(0, (-1, self.batch)).sum(1)  # (batches, R)
        weight = present / counts.clamp(min=1).repeat_interleave(self.batch, 0)
        # d loss / d logit = all · sigmoid(logit) - positive
        positive = (weight * labels * self.pos_weight).T[..., None]
        both = positive + (weight * (1 - labels)).T[..., None]
        rates = (self.rate * (counts > 0))[:, :, None, None]
        decay = 1 - rates * self.weight_decay[:, None, None]
        for batch in range(-(-max(len(stream.block) for stream, *_ in self.spans) // self.batch)):
            rows, tape = slice(batch * self.batch, (batch + 1) * self.batch), []
            value = forward(self.parameters, self.relu, hidden[rows].transpose(0, 1), tape)
            logits[rows] = value[..., 0].T
            gradient = value.sigmoid_().mul_(both[:, rows]).sub_(positive[:, rows])
            gradient, gradients = backward(self.parameters, gradient, tape)
            if self.decays:
                steps[: rows.start] *= decay[batch, :, 0]
                hidden[rows.stop :] *= decay[batch, :, 0]
                for parameter in self.parameters:
                    parameter *= decay[batch]
            for parameter, change in zip(self.parameters, gradients):
                parameter.addcmul_(rates[batch], change, value=-1)
            steps[rows] = (gradient * -rates[batch]).transpose(0, 1)
            for stream, first, last, _ in self.spans:
                if len(stream.block) > rows.stop:
                    own = slice(first * self.units, last * self.units)
                    hidden.flatten(1)[rows.stop : len(stream.block), own].addmm_(
                        stream.gram[rows.stop :, rows], steps.flatten(1)[rows, own]
                    )
        for stream, first, last, columns in self.spans:
            stream.steps[:, columns] = steps[: len(stream.block), first:last].flatten(1)
            stream.decay[columns] = (
                decay.prod(0)[first:last].flatten().repeat_interleave(self.units)
            )
        losses = _losses(logits, labels, self.pos_weight)
        self.loss += (losses * present).sum(0)
        self.correct += (((logits > 0) == (labels > 0)) * present).sum(0)

    def hand_back(self):
        """Give each run its parameters and its `values` (HISTORY) of the epoch."""
        for i, run in enumerate(self.runs):
            for own, parameter in zip(run.parameters, self.parameters):
                own.copy_(parameter[i].view_as(own))
            logits = run.logits(run.validation)[:, None]
            labels = run.split.labels["validation"][:, None]
            losses = _losses(logits, labels, self.pos_weight[i])
            hits = ((logits > 0) == (labels > 0)).double()
            count = len(run.split.train)
            numbers = torch.stack(
                [self.loss[i] / count, self.correct[i] / count, losses.mean(), hits.mean()]
            )
            run.values = dict(zip(HISTORY, numbers.tolist()))

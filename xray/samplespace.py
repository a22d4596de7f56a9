"""Plain SGD of the Linear and Linear+ReLU nets, trained exactly without touching a pixel.

Such a net sees an image only through h = W x + b. Each step moves W by a combination of the batch's images, so at any
time W = c·W0 + Aᵀ X, and the pre-activations of any images are c·H0 + K A with K = X Xᵀ (pixels in 0-1) and H0 = X W0ᵀ.
What is trained is A (training images, units), the scale c (1 unless there is weight decay), and the few numbers of the
biases and later layers. Batches, starting weights and arithmetic are those of the direct loop, in another order, in
float64. Many runs advance together: those with the same batches share the rows of K, those of one shape each operation.
"""

import math
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from xray.engine import batch_order, pos_weight
from xray.gram import combine, project
from xray.models import build
from xray.specs import ModelSpec

BLOCK = 256  # images of an epoch whose pre-activations are brought up to date at once
STREAMS = 8  # sequences of batches followed side by side; each may hold its split's part of K
WEIGHTS = 2**30  # bytes of first-layer weights held at once
HISTORY = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
FLOAT32_MAX = torch.finfo(torch.float32).max
MAX_GRAM = 8 * 2**30  # bytes of K beyond which choose_engine says "direct"


@dataclass(frozen=True, eq=False)
class Job:
    """A run to train: index gives the rows of the images for "train", "validation" and "test" (int arrays)."""

    spec: ModelSpec
    seed: int
    index: dict


@dataclass(frozen=True, eq=False)
class Result:
    """What a job came to.

    history: four lists of floats (HISTORY), one entry an epoch, finite epochs only. logits: "validation" and "test" ->
    float32 arrays, empty where the run diverged. seconds: the run's share of the time (an epoch's, by the number of
    runs in it). tensors: the state after the last epoch, see `fit_together`; `recover_weights` needs it.
    """

    job: Job
    status: str  # "finished" or "diverged"
    history: dict
    logits: dict
    seconds: float
    tensors: dict


def trains_in_sample_space(spec: ModelSpec) -> bool:
    """Whether a spec's training stays in the span of the images: SGD, and pixels enter through one Linear layer."""
    return spec.family != "CNN" and spec.optimizer == "SGD"


def fit_together(jobs, gram, images, labels, device="cpu", on_epoch=None, save=None, resume=None):
    """Train jobs side by side; yields a Result as soon as each is done. The order is not that of the jobs.

    gram: float64 (N, N) from gram_matrix; images: uint8 (N, 1, S, S), read once for the start of all jobs; labels (N,).
    Each job gives the history and logits that it gives alone and, but for rounding, in the direct loop. A loss that
    is not finite, in float32's range, ends its run as "diverged"; the others go on.
    on_epoch(job, epoch, values): after each finite epoch (0, 1, ...), values a dict of HISTORY.
    save(job, tensors, history): likewise, the state after that epoch: tensors is a dict of CPU tensors (safetensors
    can hold it), history the lists so far. resume(job) -> (tensors, history) of a save, or None: goes on after that
    epoch with what an uninterrupted run gives.
    Raises ValueError for a spec that is not trained by SGD through one Linear layer.
    """
    for job in jobs:
        if not trains_in_sample_space(job.spec):
            raise ValueError(f"model {job.spec.id} cannot be trained in sample space; use the direct loop")
    scaled = gram.to(device, torch.float64) / 255**2
    labels = torch.as_tensor(np.asarray(labels), dtype=torch.float64).to(device)
    states = {job: resume(job) if resume else None for job in jobs}
    starts = _starting_points([job for job in jobs if states[job] is None], images, device)
    waves, streams = defaultdict(list), {}
    for job in jobs:
        split = tuple(np.asarray(job.index[part]).tobytes() for part in ("train", "validation", "test"))
        block = job.spec.batch_size * max(1, BLOCK // job.spec.batch_size)
        stream = streams.setdefault((block, split, job.seed), len(streams))
        waves[block, stream // STREAMS].append((job, split))
    for (block, _), wave in waves.items():
        splits = {}
        for job, key in wave:
            if key not in splits:
                splits[key] = _Split(scaled, labels, job.index)
        runs = [_Run(job, splits[key], states[job] or starts[job], images.shape[-1]) for job, key in wave]
        yield from _fit_wave(runs, block, on_epoch, save)


def _starting_points(jobs, images, device):
    """For each job the state before its first epoch, as save gives it. One pass over the images, where memory allows."""
    size, drawn, start = images.shape[-1], {}, {}
    pending = {}

    def flush():
        if pending:
            columns = project(images, torch.cat(list(pending.values())), device).cpu()
            start.update(zip(pending, columns.split([len(weight) for weight in pending.values()], dim=1)))
            pending.clear()

    for job in jobs:
        spec = job.spec
        structure = job.seed, spec.hidden_layers, spec.hidden_units
        if structure not in drawn:
            weight, *rest = (tensor for tensor in build(spec, size, job.seed).state_dict().values())
            drawn[structure] = [tensor.double() for tensor in rest]
            if structure[::2] not in start and structure[::2] not in pending:
                pending[structure[::2]] = weight
                if sum(weight.nbytes for weight in pending.values()) > WEIGHTS:
                    flush()
    flush()
    states = {}
    for job in jobs:
        key = job.seed, job.spec.hidden_units
        names = _names(job.spec, size)[1:]
        tensors = dict(zip(names, drawn[job.seed, job.spec.hidden_layers, job.spec.hidden_units]))
        tensors["coefficients"] = torch.zeros((len(job.index["train"]), job.spec.hidden_units), dtype=torch.float64)
        tensors |= {"start": start[key].contiguous(), "scale": torch.ones((), dtype=torch.float64)}
        tensors["seconds"] = torch.zeros((), dtype=torch.float64)
        states[job] = tensors, {name: [] for name in HISTORY}
    return states


def _names(spec, size) -> list[str]:
    return list(build(spec, size, device="meta").state_dict())


def _rows(index, device):
    """A slice where the rows lie together in order, which makes K[rows] a view; else a tensor."""
    index = np.asarray(index, np.int64)
    first, last = (int(index[0]), int(index[-1]) + 1) if len(index) else (0, 0)
    return slice(first, last) if np.array_equal(index, np.arange(first, last)) else torch.from_numpy(index).to(device)


class _Split:
    """The rows of one split, their labels, and K between all images and its training images."""

    def __init__(self, gram, labels, index):
        self.rows = {part: _rows(index[part], gram.device) for part in ("train", "validation", "test")}
        self.labels = {part: labels[rows] for part, rows in self.rows.items()}
        self.gram = gram[:, self.rows["train"]]
        self.train = torch.as_tensor(np.asarray(index["train"], np.int64)).to(gram.device)


class _Run:
    """One job under way."""

    def __init__(self, job, split, state, image_size):
        tensors, history = state
        self.job, self.split, self.names = job, split, _names(job.spec, image_size)[1:]
        self.history = {name: list(history[name]) for name in HISTORY}
        tensors = {name: tensor.to(split.gram.device, copy=True) for name, tensor in tensors.items()}
        self.coefficients, self.start, self.scale = tensors["coefficients"], tensors["start"], tensors["scale"]
        self.parameters = [tensors[name] for name in self.names]
        self.seconds = float(tensors["seconds"])
        self.pos_weight = pos_weight(job.spec, split.labels["train"])

    @property
    def epoch(self) -> int:
        return len(self.history["train_loss"])

    @property
    def shape(self):
        return self.job.spec.batch_size, self.job.spec.hidden_layers, self.job.spec.hidden_units

    def tensors(self) -> dict:
        named = dict(zip(self.names, self.parameters))
        named |= {"coefficients": self.coefficients, "start": self.start, "scale": self.scale}
        named = {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in named.items()}
        return named | {"seconds": torch.tensor(self.seconds, dtype=torch.float64)}

    def result(self, status) -> Result:
        logits = {part: np.empty(0, np.float32) for part in ("validation", "test")}
        if status == "finished":
            group = _Group([self])
            for part in logits:
                rows = self.split.rows[part]
                hidden = torch.addmm(self.start[rows] * self.scale, self.split.gram[rows], self.coefficients)
                logits[part] = group.forward(hidden[None])[0].flatten().float().cpu().numpy()
        return Result(self.job, status, self.history, logits, self.seconds, self.tensors())


def _fit_wave(runs, block, on_epoch, save):
    """Train runs whose batch size divides block; yields Results."""
    for run in [run for run in runs if run.epoch >= run.job.spec.epochs]:
        runs.remove(run)
        yield run.result("finished")
    while runs:
        started = time.perf_counter()
        _epoch(runs, block)
        share = (time.perf_counter() - started) / len(runs)
        for run in list(runs):
            run.seconds += share
            if not all(math.isfinite(value) for value in run.values.values()):
                runs.remove(run)
                yield run.result("diverged")
                continue
            for name, value in run.values.items():
                run.history[name].append(value)
            if on_epoch:
                on_epoch(run.job, run.epoch - 1, run.values)
            if save:
                save(run.job, run.tensors(), {name: list(column) for name, column in run.history.items()})
            if run.epoch == run.job.spec.epochs:
                runs.remove(run)
                yield run.result("finished")


def _epoch(runs, block):
    """One epoch of every run: moves its tensors and sets its `values`, the epoch's four numbers."""
    by_stream, by_shape = defaultdict(list), defaultdict(list)
    for run in sorted(runs, key=lambda run: run.shape):
        by_stream[id(run.split), run.job.seed, run.epoch].append(run)
    streams = [_Stream(members) for members in by_stream.values()]
    for stream in streams:
        for run in stream.runs:
            by_shape[run.shape].append(run)
    groups = [_Group(members, streams) for members in by_shape.values()]
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


class _Stream:
    """Runs that see the same batches in an epoch: their coefficients side by side, a column a unit."""

    def __init__(self, runs):
        self.runs, self.split = runs, runs[0].split
        self.order = batch_order(len(self.split.train), runs[0].job.seed, runs[0].epoch).to(self.split.gram.device)
        self.coefficients = torch.cat([run.coefficients.T for run in runs])  # (columns, n): the faster way to multiply
        self.start = torch.cat([run.start for run in runs], 1)
        self.scale = torch.cat([run.scale.expand(run.start.shape[1]) for run in runs])
        ends = np.cumsum([0] + [run.start.shape[1] for run in runs]).tolist()
        self.columns = dict(zip(runs, zip(ends, ends[1:])))

    def pre_activations(self, rows, gram):
        return torch.addmm((self.start[rows] * self.scale).T, self.coefficients, gram.T).T

    def open_block(self, start, block):
        """Bring `hidden` (images, columns) of the epoch's next images up to date."""
        self.block = self.order[start:start + block]
        rows = self.split.train[self.block]
        gram = self.split.gram[rows]
        self.hidden = self.pre_activations(rows, gram)
        self.gram = gram[:, self.block]
        self.steps = torch.zeros_like(self.hidden)  # to be set: what the block adds to its images' coefficients,
        self.decay = torch.ones_like(self.scale)  # and what it multiplies everything before by

    def close_block(self):
        self.scale = self.scale * self.decay
        self.coefficients *= self.decay[:, None]
        self.coefficients[:, self.block] += self.steps.T

    def hand_back(self):
        rows = self.split.rows["validation"]
        hidden = self.pre_activations(rows, self.split.gram[rows])
        for run, (first, last) in self.columns.items():
            run.coefficients, run.scale = self.coefficients[first:last].T.clone(), self.scale[first].clone()
            run.validation = hidden[:, first:last]


class _Group:
    """Runs of one shape: their small tensors stacked along a first axis of runs, R."""

    def __init__(self, runs, streams=()):
        def column(values):
            return torch.tensor(values, dtype=torch.float64, device=runs[0].start.device)

        self.runs, (self.batch, _, self.units) = runs, runs[0].shape
        specs = [run.job.spec for run in runs]
        self.relu = column([spec.family == "Linear+ReLU" for spec in specs]).bool()[:, None, None]
        self.rate = column([spec.learning_rate for spec in specs])
        self.weight_decay = column([spec.weight_decay for spec in specs])
        self.pos_weight = column([run.pos_weight for run in runs])
        self.decays = any(spec.weight_decay for spec in specs)
        # first layer's bias, then weight and bias of each later layer; biases (R, 1, units)
        stacked = [torch.stack(tensors) for tensors in zip(*(run.parameters for run in runs))]
        self.parameters = [tensor[:, None] if tensor.ndim == 2 else tensor for tensor in stacked]
        self.loss, self.correct = torch.zeros_like(self.rate), torch.zeros_like(self.rate)
        self.spans = []  # (stream, its runs here as first:last, their columns there)
        for stream in streams:
            here = [i for i, run in enumerate(runs) if run in stream.columns]
            if here:
                columns = slice(stream.columns[runs[here[0]]][0], stream.columns[runs[here[-1]]][1])
                self.spans.append((stream, here[0], here[-1] + 1, columns))

    def forward(self, hidden, tape=None):
        """hidden (R, B, units) without bias -> logits (R, B, 1). tape collects each layer's output and closed ReLUs."""
        value = hidden + self.parameters[0]
        for weight, bias in [(None, None), *zip(self.parameters[1::2], self.parameters[2::2])]:
            if weight is not None:
                value = torch.baddbmm(bias, value, weight.mT)
            closed = self.relu & (value <= 0)  # not-a-number stays open, so that it reaches the loss
            value = value.masked_fill(closed, 0)
            if tape is not None:
                tape.append((value, closed))
        return value

    def backward(self, gradient, tape):
        """gradient (R, B, 1) at the logits -> that at `hidden`, and those of the parameters."""
        gradients = []
        gradient = gradient.masked_fill(tape[-1][1], 0)
        for weight, (value, closed) in zip(reversed(self.parameters[1::2]), reversed(tape[:-1])):
            gradients += [gradient.sum(1, keepdim=True), gradient.mT @ value]
            gradient = (gradient @ weight).masked_fill(closed, 0)
        gradients.append(gradient.sum(1, keepdim=True))
        return gradient, gradients[::-1]

    def train_block(self, block):
        """The steps of the streams' open blocks. A stream's block may be short or empty: what is missing weighs 0."""
        runs = len(self.runs)
        hidden = self.rate.new_zeros((block, runs, self.units))
        steps, logits = torch.zeros_like(hidden), self.rate.new_zeros((block, runs))
        present, labels = torch.zeros_like(logits), torch.zeros_like(logits)
        for stream, first, last, columns in self.spans:
            length = len(stream.block)
            hidden[:length, first:last] = stream.hidden[:, columns].unflatten(1, (last - first, self.units))
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
            value = self.forward(hidden[rows].transpose(0, 1), tape)
            logits[rows] = value[..., 0].T
            gradient = value.sigmoid_().mul_(both[:, rows]).sub_(positive[:, rows])
            gradient, gradients = self.backward(gradient, tape)
            if self.decays:
                steps[:rows.start] *= decay[batch, :, 0]
                hidden[rows.stop:] *= decay[batch, :, 0]
                for parameter in self.parameters:
                    parameter *= decay[batch]
            for parameter, change in zip(self.parameters, gradients):
                parameter.addcmul_(rates[batch], change, value=-1)
            steps[rows] = (gradient * -rates[batch]).transpose(0, 1)
            for stream, first, last, _ in self.spans:
                if len(stream.block) > rows.stop:
                    own = slice(first * self.units, last * self.units)
                    hidden.flatten(1)[rows.stop:len(stream.block), own].addmm_(
                        stream.gram[rows.stop:, rows], steps.flatten(1)[rows, own])
        for stream, first, last, columns in self.spans:
            stream.steps[:, columns] = steps[:len(stream.block), first:last].flatten(1)
            stream.decay[columns] = decay.prod(0)[first:last].flatten().repeat_interleave(self.units)
        losses = self.losses(logits, labels)
        self.loss += (losses * present).sum(0)
        self.correct += (((logits > 0) == (labels > 0)) * present).sum(0)

    def losses(self, logits, labels):
        """Each image's loss, (images, R); beyond float32's range it is infinite, as it is in the direct loop."""
        losses = binary_cross_entropy_with_logits(logits, labels, pos_weight=self.pos_weight, reduction="none")
        return losses.masked_fill(losses > FLOAT32_MAX, math.inf)

    def hand_back(self):
        """Give each run its parameters and the epoch's values. Splits may differ in length, so one run at a time."""
        for i, run in enumerate(self.runs):
            run.parameters = [parameter[i].clone().view_as(old)
                              for parameter, old in zip(self.parameters, run.parameters)]
            alone = _Group([run])
            logits = alone.forward(run.validation[None])[0]
            labels = run.split.labels["validation"][:, None]
            count = len(run.split.train)
            numbers = torch.stack([
                self.loss[i] / count, self.correct[i] / count, alone.losses(logits, labels).mean(),
                ((logits > 0) == (labels > 0)).double().mean(),
            ])
            run.values = dict(zip(HISTORY, numbers.tolist()))


def recover_weights(results, images, device="cpu"):
    """Yields (result, state_dict) for results of fit_together: float32 tensors on the CPU that models.build's module
    of the spec loads. One pass over the images for as many results as their first layers fit WEIGHTS bytes."""
    size, pixels = images.shape[-1], images[0].size
    waves, held = [[]], 0
    for result in results:
        need = result.job.spec.hidden_units * pixels * 4
        if waves[-1] and held + need > WEIGHTS:
            waves.append([])
            held = 0
        waves[-1].append(result)
        held += need
    for wave in waves:
        scattered = []
        for result in wave:
            coefficients = torch.zeros((len(images), result.job.spec.hidden_units), dtype=torch.float64)
            coefficients[torch.as_tensor(np.asarray(result.job.index["train"], np.int64))] = result.tensors["coefficients"]
            scattered.append(coefficients)
        moved = combine(images, torch.cat(scattered, 1), device).cpu() if wave else None
        for result, part in zip(wave, moved.split([c.shape[1] for c in scattered]) if wave else ()):
            state = build(result.job.spec, size, result.job.seed).state_dict()
            first, *rest = state
            state[first] = state[first] * float(result.tensors["scale"]) + part
            yield result, state | {name: result.tensors[name].float() for name in rest}

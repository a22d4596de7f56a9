"""Plain SGD of the Linear and Linear+ReLU nets, trained exactly without touching a pixel.

Such a net sees an image only through h = W x + b. Each step moves W by a combination of the batch's
images, so at any time W = c·W0 + Aᵀ X, and the pre-activations of any images are c·H0 + K A with K
= X Xᵀ (pixels in 0-1) and H0 = X W0ᵀ. What is trained is A (training images, units), the scale c (1
unless there is weight decay), and the few numbers of the biases and later layers. Batches, starting
weights and arithmetic are those of the direct loop, in another order, in float64. Many runs advance
together: those with the same batches share the rows of K, those of one shape each operation.
"""

import math
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch

from xray.engine import HISTORY, pos_weight
from xray.gram import combine, project
from xray.models import build
from xray.sidebyside import Group, Stream, forward, stack
from xray.specs import ModelSpec

BLOCK = 256  # images of an epoch whose pre-activations are brought up to date at once
STREAMS = 8  # sequences of batches followed side by side; each may hold its split's part of K
WEIGHTS = 2**30  # bytes of first-layer weights held at once
MAX_GRAM = 8 * 2**30  # bytes of K beyond which choose_engine says "direct"


@dataclass(frozen=True, eq=False)
class Job:
    """A run to train: index gives the rows of the images for "train", "validation" and "test" (int
    arrays).
    """

    spec: ModelSpec
    seed: int
    index: dict


@dataclass(frozen=True, eq=False)
class Result:
    """What a job came to.

    history: four lists of floats (HISTORY), one entry an epoch, finite epochs only. logits:
    "validation" and "test" -> float32 arrays, empty where the run diverged. seconds: the run's
    share of the time (an epoch's, by the number of runs in it). tensors: the state after the last
    epoch, see `fit_together`; `recover_weights` needs it.
    """

    job: Job
    status: str  # "finished" or "diverged"
    history: dict
    logits: dict
    seconds: float
    tensors: dict


def trains_in_sample_space(spec: ModelSpec) -> bool:
    """Whether a spec's training stays in the span of the images: SGD, and pixels enter through one
    Linear layer.
    """
    return spec.family != "CNN" and spec.optimizer == "SGD"


def estimate(
    specs, n_images: int, image_size: int, gram_known: bool = False
) -> tuple[float, float]:
    """Rough seconds for runs of these specs (SGD, Linear or MLP) in sample space, and by the direct
    loop.

    Rates were measured on one core of a server CPU (Zen 4); on other machines the ratio is what
    counts. With N images, P = image_size² pixels, u hidden units and E epochs:
    sample space  N²/2 · P multiply-adds for K, unless it is known, at 200 G a second (int8), N · P
                  · u for each start at 30 G (runs of one seed and width share it; here each width
                  counts once), then E · N² · u at 20 G (float64) and 0.1 ms a step for each run;
    direct loop   E · N · (P · 5 ns + 15 µs): it is bound by memory, whatever u is.
    """
    pixels = image_size**2
    once = 0 if gram_known else n_images**2 / 2 * pixels / 200e9
    once += n_images * pixels * sum({spec.hidden_units for spec in specs}) / 30e9
    steps = sum(
        spec.epochs * (n_images**2 * spec.hidden_units / 20e9 + 1e-4 * n_images / spec.batch_size)
        for spec in specs
    )
    direct = sum(spec.epochs for spec in specs) * n_images * (pixels * 5e-9 + 15e-6)
    return once + steps, direct


def choose_engine(
    specs, n_images: int, image_size: int, gram_known: bool = False
) -> tuple[str, str]:
    """("gram" or "direct", the reason as one sentence) for runs of these specs, trained together;
    see `estimate`.
    """
    for spec in specs:
        if not trains_in_sample_space(spec):
            what = "a CNN" if spec.family == "CNN" else f"trained by {spec.optimizer}"
            return "direct", f"model {spec.id} is {what}, which has no form in sample space"
    memory = 8 * n_images**2
    images = f"{n_images} images of {image_size}×{image_size} pixels and {len(specs)} run{'s' * (len(specs) != 1)}"
    if memory > MAX_GRAM:
        return (
            "direct",
            f"for {images} the Gram matrix would take {memory / 2**30:.0f} GiB of memory",
        )
    together, direct = estimate(specs, n_images, image_size, gram_known)
    if together > direct:
        return (
            "direct",
            f"for {images} it is estimated at {direct:.3g} s, sample space at {together:.3g} s",
        )
    return (
        "gram",
        f"for {images} it is estimated at {together:.3g} s, the direct loop at {direct:.3g} s",
    )


def fit_together(
    jobs, gram, images, labels, device="cpu", pixel_step=1.0, on_epoch=None, save=None, resume=None
):
    """Train jobs side by side; yields a Result as soon as each is done. The order is not that of
    the jobs.

    gram: float64 (N, N) from gram_matrix; images: uint8 (N, 1, S, S), read once for the start of
    all jobs; labels (N,). Each job gives the history and logits that it gives alone and, but for
    rounding, in the direct loop. A loss that is not finite, in float32's range, ends its run as
    "diverged"; the others go on.
    pixel_step: see specs.pixel_step; the first layer's step is multiplied by it, which is K's
        product with it.
    on_epoch(job, epoch, values): after each finite epoch (0, 1, ...), values a dict of HISTORY.
    save(job, tensors, history): likewise, the state after that epoch: tensors is a dict of CPU
    tensors (safetensors can hold it), history the lists so far. resume(job) -> (tensors, history)
    of a save, or None: goes on after that epoch with what an uninterrupted run gives.
    Raises ValueError for a spec that is not trained by SGD through one Linear layer.
    """
    for job in jobs:
        if not trains_in_sample_space(job.spec):
            raise ValueError(
                f"model {job.spec.id} cannot be trained in sample space; use the direct loop"
            )
    scaled = gram.to(device, torch.float64) / (255**2 / pixel_step)
    labels = torch.as_tensor(np.asarray(labels), dtype=torch.float64).to(device)
    states = {job: resume(job) if resume else None for job in jobs}
    starts = _starting_points([job for job in jobs if states[job] is None], images, device)
    waves, streams = defaultdict(list), {}
    for job in jobs:
        split = tuple(
            np.asarray(job.index[part]).tobytes() for part in ("train", "validation", "test")
        )
        block = job.spec.batch_size * max(1, BLOCK // job.spec.batch_size)
        stream = streams.setdefault((block, split, job.seed), len(streams))
        waves[block, stream // STREAMS].append((job, split))
    for (block, _), wave in waves.items():
        splits = {}
        for job, key in wave:
            if key not in splits:
                splits[key] = _Split(scaled, labels, job.index)
        runs = [
            _Run(job, splits[key], states[job] or starts[job], images.shape[-1])
            for job, key in wave
        ]
        yield from _fit_wave(runs, block, on_epoch, save)


def _starting_points(jobs, images, device):
    """For each job the state before its first epoch, as save gives it; one pass over the images
    where memory allows.
    """
    size, drawn, start = images.shape[-1], {}, {}
    pending = {}

    def flush():
        if pending:
            columns = project(images, torch.cat(list(pending.values())), device).cpu()
            start.update(
                zip(pending, columns.split([len(weight) for weight in pending.values()], dim=1))
            )
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
        tensors["coefficients"] = torch.zeros(
            (len(job.index["train"]), job.spec.hidden_units), dtype=torch.float64
        )
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
    return (
        slice(first, last)
        if np.array_equal(index, np.arange(first, last))
        else torch.from_numpy(index).to(device)
    )


class _Split:
    """The rows of one split, their labels, and K between all images and its training images."""

    def __init__(self, gram, labels, index):
        self.rows = {
            part: _rows(index[part], gram.device) for part in ("train", "validation", "test")
        }
        self.labels = {part: labels[rows] for part, rows in self.rows.items()}
        self.gram = gram[:, self.rows["train"]]
        self.train = torch.as_tensor(np.asarray(index["train"], np.int64)).to(gram.device)


class _Run:
    """One job under way."""

    def __init__(self, job, split, state, image_size):
        tensors, history = state
        self.job, self.split, self.names = job, split, _names(job.spec, image_size)[1:]
        self.history = {name: list(history[name]) for name in HISTORY}
        tensors = {
            name: tensor.to(split.gram.device, copy=True) for name, tensor in tensors.items()
        }
        self.coefficients, self.start, self.scale = (
            tensors["coefficients"],
            tensors["start"],
            tensors["scale"],
        )
        self.parameters = [tensors[name] for name in self.names]
        self.seconds = float(tensors["seconds"])
        self.pos_weight = pos_weight(job.spec, split.labels["train"])

    @property
    def epoch(self) -> int:
        return len(self.history["train_loss"])

    @property
    def shape(self):
        return self.job.spec.batch_size, self.job.spec.hidden_layers, self.job.spec.hidden_units

    def logits(self, hidden):
        """(images, units), the first layer's output without its bias -> (images,)."""
        return forward(*stack([self]), hidden[None]).flatten()

    def tensors(self) -> dict:
        named = dict(zip(self.names, self.parameters))
        named |= {"coefficients": self.coefficients, "start": self.start, "scale": self.scale}
        named = {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in named.items()}
        return named | {"seconds": torch.tensor(self.seconds, dtype=torch.float64)}

    def result(self, status) -> Result:
        logits = {part: np.empty(0, np.float32) for part in ("validation", "test")}
        if status == "finished":
            for part in logits:
                rows = self.split.rows[part]
                hidden = torch.addmm(
                    self.start[rows] * self.scale, self.split.gram[rows], self.coefficients
                )
                logits[part] = self.logits(hidden).float().cpu().numpy()
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
                save(
                    run.job,
                    run.tensors(),
                    {name: list(column) for name, column in run.history.items()},
                )
            if run.epoch == run.job.spec.epochs:
                runs.remove(run)
                yield run.result("finished")


def _epoch(runs, block):
    """One epoch of every run: moves its tensors and sets its `values`, the epoch's four numbers."""
    by_stream, by_shape = defaultdict(list), defaultdict(list)
    for run in sorted(runs, key=lambda run: run.shape):
        by_stream[id(run.split), run.job.seed, run.epoch].append(run)
    streams = [Stream(members) for members in by_stream.values()]
    for stream in streams:
        for run in stream.runs:
            by_shape[run.shape].append(run)
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
    """Yields (result, state_dict) for results of fit_together with this pixel_step: float32 tensors
    on the CPU that models.build's module of the spec loads. One pass over the images for as many
    results as their first layers fit WEIGHTS bytes."""
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
            scattered.append(
                torch.zeros((len(images), result.job.spec.hidden_units), dtype=torch.float64)
            )
            train = torch.as_tensor(np.asarray(result.job.index["train"], np.int64))
            scattered[-1][train] = result.tensors["coefficients"]
        moved = combine(images, torch.cat(scattered, 1), device).cpu() if wave else None
        for result, part in zip(wave, moved.split([c.shape[1] for c in scattered]) if wave else ()):
            state = build(result.job.spec, size, result.job.seed).state_dict()
            first, *rest = state
            state[first] = state[first] * float(result.tensors["scale"]) + pixel_step * part
            yield result, state | {name: result.tensors[name].float() for name in rest}

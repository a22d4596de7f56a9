#!/usr/bin/env python3
"""How fast it is: ratios of two things measured in one run on one machine.

python scripts/bench.py                      on phantoms, or --data FOLDER for a real source
python scripts/bench.py --only space step    some of: read space step
"""

import multiprocessing
import os
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import options  # first: it says what the Python lacks

# isort: split
import numpy as np
import torch
from options import say
from torch.nn.functional import binary_cross_entropy_with_logits

from xray import data, engine, gram, machine, models, sample_space
from xray.specs import MODELS, trains_in_sample_space

MEASURED = ("read", "space", "step")


def row(what: str, *figures: str) -> None:
    say(f"  {what:58}" + "".join(f"{figure:>20}" for figure in figures))


def timed(work) -> tuple[float, object]:
    """Seconds of one call, and what it gave."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def shortest(work, device: str, tries: int = 3) -> float:
    """Seconds of the shortest of a few calls, after one that is not counted."""

    def whole():
        work()
        if device != "cpu":
            torch.cuda.synchronize(device)

    return min([timed(whole)[0] for _ in range(tries + 1)][1:])


@contextmanager
def busy_process():
    """Another process that computes meanwhile."""
    process = multiprocessing.Process(target=_spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _spin() -> None:
    while True:
        pass


def first_of(split, n: int):
    """The first n images of a split, a third of them normal."""
    images = np.ascontiguousarray(split.images[:n])
    return data.Split(images, np.tile([0, 1, 1], n)[: len(images)], split.paths[:n])


def read(args) -> None:
    """A first load into an empty cache, and one from it."""
    source = args.data or "phantom"
    how = {"skip_unreadable": args.skip_unreadable, "choices": options.choices(args)}
    with tempfile.TemporaryDirectory() as folder:
        how["cache"] = Path(folder)
        cold, found = timed(lambda: data.load(source, args.image_size, **how))
        cached, _ = timed(lambda: data.load(source, args.image_size, **how))
    n = len(found.labels)
    say(f"read: {n:,} images to {found.image_size}×{found.image_size}")
    row("decoded, resized, audited", f"{n / cold:,.0f} images/s")
    row("from the cache", f"{n / cached:,.0f} images/s", f"{cold / cached:.0f} ×")


def eager_epoch(spec, batches, size: int, device: str) -> None:
    """The simplest loop over (images, labels): the loss read back at each step."""
    model = models.build(spec, size, 0, device)
    optimizer = engine.make_optimizer(model, spec)
    for images, labels in batches:
        logits = model(images.to(device))
        loss = binary_cross_entropy_with_logits(logits, labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()


def our_epoch(spec, placed, size: int, device: str, precision: str = "fp32") -> None:
    """placed: engine.place of the training images. One image is predicted after the epoch."""
    model = models.build(spec, size, 0, device).to(memory_format=torch.channels_last)
    optimizer = engine.make_optimizer(model, spec)
    one = placed[0][:1], placed[1][:1]
    list(engine.fit(model, optimizer, replace(spec, epochs=1), placed, one, 0, None, precision))


def space(found, device: str) -> None:
    """K against a float32 product; the 22 models on an idle machine, beside a busy process, and
    against the plain loop."""
    n, size, side = len(found.labels), found.image_size, 4096
    say(f"space: {n:,} images at {size}×{size}")
    of_k, matrix = timed(lambda: gram.compute_gram(found.images, device))
    rate = n * (n + 1) / 2 * size**2 / of_k
    square = torch.rand(side, side, device=device)
    plain = side**3 / shortest(lambda: square @ square, device)
    figures = f"{rate / 1e9:.0f} G/s", f"{plain / 1e9:.0f} G/s", f"{rate / plain:.2f} ×"
    row(f"K in {of_k:.0f} s, multiply-adds; a float32 product's", *figures)
    specs = [spec for spec in MODELS.values() if trains_in_sample_space(spec)]

    def fit(seeds: int) -> float:
        nets = [
            sample_space.Net(spec, seed, found.index) for seed in range(seeds) for spec in specs
        ]
        about = matrix, found.images, found.labels, device
        return timed(lambda: list(sample_space.train(nets, *about)))[0]

    idle = fit(1)
    with busy_process():
        busy = fit(1)
    figures = f"{idle:.1f} s", f"{busy:.1f} s", f"{busy / idle:.2f} ×"
    row(f"{len(specs)} models, 1 seed, K given: idle, beside a busy process", *figures)
    row("each further seed", f"{(fit(3) - idle) / 2:.1f} s")
    part = first_of(found.train, 512)
    placed = engine.place(part, device)
    epoch = shortest(lambda: our_epoch(MODELS["20"], placed, size, device), device, 1)
    epochs = sum(spec.epochs for spec in specs)
    direct = epochs * epoch * len(found.train.labels) / len(part.labels)
    what = f"{epochs} epochs by the plain loop, from a measured one"
    row(what, f"{direct:.0f} s", f"{direct / idle:.0f} ×", f"{direct / (of_k + idle):.0f} × with K")


def step(found, device: str, size: int = 96) -> None:
    """A CNN's step against the simplest eager loop, and in bf16."""
    spec, count = MODELS["22b"], 8
    n = count * spec.batch_size
    pixels = np.random.default_rng(0).integers(0, 256, (n, 1, size, size), dtype=np.uint8)
    part = data.Split(pixels, np.tile([0, 1], n // 2), [""] * n)
    placed = engine.place(part, device)
    images = torch.tensor(pixels, device=device).float() / 255
    pairs = list(zip(images.split(spec.batch_size), placed[1].split(spec.batch_size)))
    eager = shortest(lambda: eager_epoch(spec, pairs, size, device), device) / count
    say(f"step: model {spec.id} (CNN) at {size}×{size}, batch {spec.batch_size}")
    row("the simplest eager loop", f"{eager * 1e3:.1f} ms")
    for precision in ("fp32", "bf16"):
        ours = shortest(lambda form=precision: our_epoch(spec, placed, size, device, form), device)
        figures = f"{ours / count * 1e3:.1f} ms", f"{eager * count / ours:.1f} ×"
        row(f"ours in {precision}", *figures)


def bench(args) -> None:
    device = machine.pick_device(args.device, say)
    machine.keep_freed_memory()
    name = torch.cuda.get_device_name(device) if device != "cpu" else "CPU"
    say(f"{name}, {torch.get_num_threads()} threads, {os.cpu_count()} cores; {torch.__version__}")
    if "read" in args.only:
        read(args)
    args.data = args.data or "phantom"
    found = options.open_source(args)(args.image_size)
    for name, measure in (("space", space), ("step", step)):
        if name in args.only:
            measure(found, device)


def main(argv=None) -> None:
    parser = options.parser("Measure how fast reading and training are.")
    options.add_source(parser)
    parser.add_argument("--image-size", type=options.count(4, 4096), default=640, metavar="S")
    parser.add_argument("--device", type=options.device, default="auto", metavar="NAME")
    parser.add_argument("--only", nargs="+", choices=MEASURED, default=MEASURED)
    options.run(bench, parser.parse_args(argv))


if __name__ == "__main__":
    main()

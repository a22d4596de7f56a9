#!/usr/bin/env python3
"""The figures that the README quotes, each a ratio of two things measured in one run on one
machine.

python scripts/bench.py                      on phantoms, or --data FOLDER for a real source
python scripts/bench.py --only steps gram    some of: decode pipeline gram steps
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from xray import packages  # noqa: E402

if problem := packages.problem():
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.nn.functional import binary_cross_entropy_with_logits as bce  # noqa: E402

from xray import data, engine, gram, machine, models, sample_space  # noqa: E402
from xray.specs import MODELS, trains_in_sample_space  # noqa: E402

MEASURED = ("decode", "pipeline", "gram", "steps")


def timed(work) -> tuple[float, object]:
    """Seconds of one call, and what it gave."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def seconds(work, device, tries=5) -> float:
    """The shortest of a few tries, after one that is not counted; waits for the device."""

    def finished():
        work()
        if device != "cpu":
            torch.cuda.synchronize()

    return min([timed(finished)[0] for _ in range(tries + 1)][1:])


def row(what, *figures):
    print(f"  {what:44}" + "".join(f"{figure:>17}" for figure in figures), flush=True)


def first_of(split, n, labels=None):
    """The first n images of a split."""
    images = np.ascontiguousarray(split.images[:n])
    return data.Split(images, split.labels[:n] if labels is None else labels, split.paths[:n])


# ---- reading images


def decode(source, size):
    """A first load into an empty cache against a second one."""
    with tempfile.TemporaryDirectory() as folder:
        cold, first = timed(lambda: data.load(source, size, cache=Path(folder)))
        cached, _ = timed(lambda: data.load(source, size, cache=Path(folder)))
    n = len(first.labels)
    print(f"decode: {n:,} images to {size}×{size}")
    row("cold: read, decoded, resized, audited", f"{cold:.1f} s", f"{n / cold:,.0f} images/s")
    figures = f"{cached:.2f} s", f"{n / cached:,.0f} images/s", f"{cold / cached:.0f} ×"
    row("cached: checked against its checksum", *figures)


# ---- the paper's pipeline


def paper_loader(images, labels, batch_size):
    """The paper's section 2.2 on RGB images (n, S, S, 3): set_format, map in batches of 32 for one
    channel and for 0-1, DataLoader with shuffling. Kept as JPEG, as the Hub's files are."""
    import io

    import datasets
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision.transforms.functional import rgb_to_grayscale

    datasets.disable_progress_bars()

    def jpeg(pixels):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=90)
        return {"bytes": stream.getvalue(), "path": None}

    features = datasets.Features({"image": datasets.Image(), "labels": datasets.Value("int64")})
    content = {"image": [jpeg(x) for x in images], "labels": list(map(int, labels))}
    table = datasets.Dataset.from_dict(content, features=features)
    table.set_format("torch", columns=["image", "labels"], dtype=torch.float)

    def to_gray(batch):
        return {"gray": [rgb_to_grayscale(x).numpy() for x in batch["image"]]}

    def to_share(batch):
        return {"gray": [(x / 255).numpy() for x in batch["gray"]]}

    gray = table.map(to_gray, batched=True, batch_size=32, remove_columns="image")
    scaled = gray.map(to_share, batched=True, batch_size=32)
    scaled.set_format("torch", columns=["gray", "labels"], dtype=torch.float)
    return DataLoader(scaled, batch_size=batch_size, shuffle=True)


def eager_epoch(spec, batches, size, device):
    """The simplest loop over (images, labels): default layout, the loss read back each step."""
    model = models.build(spec, size, 0, device)
    optimizer = engine.make_optimizer(model, spec)
    for images, labels in batches:
        loss = bce(model(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()


def one_epoch(spec, placed, size, device, precision="fp32", compiled=False):
    """placed: engine.place of the training images. One image is predicted after the epoch."""
    model = models.build(spec, size, 0, device).to(memory_format=torch.channels_last)
    optimizer, spec = engine.make_optimizer(model, spec), replace(spec, epochs=1)
    model = torch.compile(model) if compiled else model
    one_image = placed[0][:1], placed[1][:1]
    list(engine.fit(model, optimizer, spec, placed, one_image, 0, precision=precision))


def pipeline(found, device, n=96):
    """An epoch over n images by the paper's pipeline and by ours, scaled to the training split."""
    size, whole = found.image_size, len(found.train.labels)
    n = min(n, whole)
    part = first_of(found.train, n, np.tile([0, 1, 1], n)[:n])
    scale = whole / n
    what = f"an epoch of {whole:,} images at {size}×{size}, measured on {n}"
    print(f"pipeline: {what}, without validation")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_DATASETS_CACHE"] = folder
        loader = paper_loader(np.repeat(part.images.transpose(0, 2, 3, 1), 3, 3), part.labels, 32)
        loading = seconds(lambda: sum(1 for _ in loader), device, 1)
        figures = f"{loading * scale:.1f} s", f"{loading / n * 1e3:.1f} ms/image"
        row("the paper's loading alone", *figures)
        placed = engine.place(part, device)
        for spec in (MODELS[name] for name in ("20", "21", "11")):

            def papers(spec=spec):
                batches = ((batch["gray"], batch["labels"]) for batch in loader)
                eager_epoch(spec, batches, size, device)

            slow = seconds(papers, device, 1) * scale
            quick = seconds(lambda s=spec: one_epoch(s, placed, size, device), device, 2) * scale
            what = f"model {spec.id} ({spec.family}): the paper's, ours"
            row(what, f"{slow:.1f} s", f"{quick:.2f} s", f"{slow / quick:.0f} ×")


# ---- sample space


def fit_all(specs, seeds, found, matrix, device) -> list:
    nets = [sample_space.Net(spec, seed, found.index) for seed in range(seeds) for spec in specs]
    return list(sample_space.train(nets, matrix, found.images, found.labels, device))


def in_sample_space(found, device):
    """The Gram matrix against a float32 product, the 22 models against the direct loop's epoch."""
    n, size, side = len(found.labels), found.image_size, 4096
    print(f"gram: {n:,} images at {size}×{size}")
    a = torch.rand(side, side, device=device)
    build, matrix = timed(lambda: gram.compute_gram(found.images, device))
    rate = n * (n + 1) / 2 * size**2 / build
    plain = side**3 / seconds(lambda: (a @ a)[0, 0].item(), device, 3)
    row("Gram matrix, N(N+1)/2·S² multiply-adds", f"{build:.1f} s", f"{rate / 1e9:.0f} G/s")
    figures = "", f"{plain / 1e9:.0f} G/s", f"{rate / plain:.2f} ×"
    row("plain float32 product of 4096², the same run", *figures)
    specs = [spec for spec in MODELS.values() if trains_in_sample_space(spec)]
    alone, _ = timed(lambda: fit_all(specs, 1, found, matrix, device))
    row(f"{len(specs)} models, 1 seed, matrix given", f"{alone:.1f} s")
    five, _ = timed(lambda: fit_all(specs, 5, found, matrix, device))
    row(f"{len(specs)} models, 5 seeds, matrix given", f"{five:.1f} s")
    row("each further seed of all of them", f"{(five - alone) / 4:.1f} s")
    part = first_of(found.train, 512)
    placed = engine.place(part, device)
    epoch = seconds(lambda: one_epoch(MODELS["20"], placed, size, device), device, 1)
    epochs = sum(spec.epochs for spec in specs)
    direct = epochs * epoch * len(found.train.labels) / len(part.labels)
    ratios = f"{direct / (build + alone):.1f} ×", f"{direct / alone:.0f} × w/o matrix"
    row(f"direct loop: {epochs} epochs at the measured rate", f"{direct:.0f} s", *ratios)
    against_direct_loop(found, matrix, device)


def against_direct_loop(found, matrix, device, epochs=2):
    """Losses and predictions after a few epochs, sample space against the direct loop."""
    specs = [replace(MODELS[name], epochs=epochs) for name in ("20", "21", "27b")]
    together = {fitted.net.spec.id: fitted for fitted in fit_all(specs, 1, found, matrix, device)}
    train, validation = engine.place(found.train, device), engine.place(found.validation, device)
    for spec in specs:
        model = models.build(spec, found.image_size, 0, device)
        optimizer = engine.make_optimizer(model, spec)
        *_, history = engine.fit(model, optimizer, spec, train, validation, 0)
        ours, logits = together[spec.id].history, together[spec.id].logits["validation"]
        apart = max(
            abs(a / b - 1)
            for key in ("train_loss", "validation_loss")
            for a, b in zip(ours[key], history[key])
        )
        direct = engine.predict(model, validation[0], device).cpu().numpy()
        other = f"{int(((logits > 0) != (direct > 0)).sum())} of {len(direct)} differ"
        what = f"model {spec.id}, {epochs} epochs: losses apart by at most"
        row(what, f"{apart:.1e}", other)


# ---- one step against the machine's limits


def product_rate(device, precision) -> float:
    """Operations a second of a large matrix product in that precision."""
    engine.set_precision(precision)
    side = 2048 if device == "cpu" else 8192
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.rand(side, side, device=device, dtype=kind)
    return 2 * side**3 / seconds(lambda: a @ a, device)


def steps(found, device, precision, cnn_size, compiled):
    block = torch.rand(1 << 26, device=device)
    target = torch.empty_like(block)
    bandwidth = 2 * block.nbytes / seconds(lambda: target.copy_(block), device)
    # On a GPU, PyTorch's default lets convolutions, and them alone, round float32 to TF32.
    convolutions = "tf32" if device != "cpu" and precision == "fp32" else precision
    rates = {form: product_rate(device, form) for form in {convolutions, precision}}
    engine.set_precision(precision)
    products = [f"{rate / 1e9:,.0f} Gop/s in {form}" for form, rate in sorted(rates.items())]
    print(
        f"steps: copies move {bandwidth / 1e9:,.0f} GB/s; a large matrix product runs at "
        f"{', '.join(products)}; precision {precision}"
    )
    row("", "a step", "must move", "must compute", "share of limit", "plain loop")
    for spec in (MODELS[name] for name in ("20", "21", "11", "22b")):
        cnn = spec.family == "CNN"
        size = cnn_size if cnn else found.image_size
        rate = rates[convolutions if cnn else precision]
        one_step(spec, size, device, precision, bandwidth, rate, compiled)


def one_step(spec, size, device, precision, bandwidth, rate, compiled):
    """A step of ours and of the plain loop against bytes and operations a second at best."""
    count = 8 if device == "cpu" else 32
    n = count * spec.batch_size
    pixels = np.random.default_rng(0).integers(0, 256, (n, 1, size, size), dtype=np.uint8)
    part = data.Split(pixels, np.tile([0, 1], n // 2), [""] * n)
    placed = engine.place(part, device)
    images = torch.tensor(part.images, device=device).float() / 255
    labels = torch.tensor(part.labels, device=device).float()

    def eager():
        orders = torch.randperm(n).to(device).split(spec.batch_size)
        eager_epoch(spec, ((images[rows], labels[rows]) for rows in orders), size, device)

    plain = seconds(eager, device) / count
    moved, done = models.step_cost(spec, size, width=2 if precision == "bf16" else 4)
    limit = max(moved / bandwidth, done / rate)
    bound = "bytes" if moved / bandwidth > done / rate else "operations"
    needs = f"{moved / 1e6:.0f} MB", f"{done / 1e9:.2f} Gop"
    what = f"model {spec.id} ({spec.family}) at {size}, batch {spec.batch_size}"
    ours = spec, placed, size, device, precision
    rows = [(what, needs, False), ("  the same by torch.compile", ("", ""), True)]
    for what, needs, compile_it in rows[: 1 + compiled]:
        step = seconds(lambda how=compile_it: one_epoch(*ours, how), device) / count
        ratios = f"{limit / step:.0%} {bound}", f"{plain / step:.2f} ×"
        row(what, f"{step * 1e3:.2f} ms", *needs, *ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the README quotes.")
    add = parser.add_argument
    add("--data", default="phantom", metavar="SOURCE")
    add("--image-size", type=int, default=640)
    add("--cnn-size", type=int, help="of the CNN's step (default: 640, 96 without a GPU)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    words = "the steps through torch.compile too (wants a C++ compiler)"
    add("--compiled", action="store_true", help=words)
    add("--only", nargs="+", choices=MEASURED, default=MEASURED)
    args = parser.parse_args()
    device, cpu = args.device, args.device == "cpu"
    machine.keep_freed_memory()
    engine.set_precision(args.precision)
    name = f"CPU, {torch.get_num_threads()} threads" if cpu else torch.cuda.get_device_name()
    print(f"{name}; torch {torch.__version__}; source {args.data}", flush=True)
    try:
        if "decode" in args.only:
            decode(args.data, args.image_size)
        found = data.load(args.data, args.image_size)
    except data.DataError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if "pipeline" in args.only:
        pipeline(found, device)
    if "gram" in args.only:
        in_sample_space(found, device)
    if "steps" in args.only:
        cnn_size = args.cnn_size or (96 if cpu else 640)
        steps(found, device, args.precision, cnn_size, args.compiled)


if __name__ == "__main__":
    main()

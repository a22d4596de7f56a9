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

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from xray import data, engine, gram, models, samplespace  # noqa: E402
from xray.specs import MODELS  # noqa: E402

PARTS = ("decode", "pipeline", "gram", "steps")


def seconds(work, device, tries=5) -> float:
    """The shortest of a few tries, after one that is not counted; waits for the device."""
    times = []
    for _ in range(tries + 1):
        if device != "cpu":
            torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def row(what, *figures):
    print(f"  {what:44}" + "".join(f"{figure:>17}" for figure in figures), flush=True)


# ---- reading images


def decode(source, size):
    """A first load into an empty cache against a second one."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        first = data.load(source, size, cache=Path(folder))
        cold = time.perf_counter() - started
        started = time.perf_counter()
        data.load(source, size, cache=Path(folder))
        cached = time.perf_counter() - started
    n = len(first.labels)
    print(f"decode: {n:,} images to {size}×{size}")
    row("cold: read, decoded, resized, audited", f"{cold:.1f} s", f"{n / cold:,.0f} images/s")
    row(
        "cached: checked against its checksum",
        f"{cached:.2f} s",
        f"{n / cached:,.0f} images/s",
        f"{cold / cached:.0f} ×",
    )


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
    table = datasets.Dataset.from_dict(
        {"image": [jpeg(x) for x in images], "labels": list(map(int, labels))}, features=features
    )
    table.set_format("torch", columns=["image", "labels"], dtype=torch.float)
    gray = table.map(
        lambda batch: {"gray": [rgb_to_grayscale(x).numpy() for x in batch["image"]]},
        batched=True,
        batch_size=32,
        remove_columns="image",
    )
    scaled = gray.map(
        lambda batch: {"gray": [(x / 255).numpy() for x in batch["gray"]]},
        batched=True,
        batch_size=32,
    )
    scaled.set_format("torch", columns=["gray", "labels"], dtype=torch.float)
    return DataLoader(scaled, batch_size=batch_size, shuffle=True)


def pipeline(found, device, n=96):
    """An epoch over n images through the paper's pipeline and loop against ours, scaled to the
    whole training split.
    """
    train = found.train
    n = min(n, len(train.labels))
    part = data.Split(
        np.ascontiguousarray(train.images[:n]), np.tile([0, 1, 1], n)[:n], train.paths[:n]
    )
    scale = len(train.labels) / n
    print(
        f"pipeline: an epoch of {len(train.labels):,} images at {found.image_size}×{found.image_size}, "
        f"measured on {n}, without validation"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_DATASETS_CACHE"] = folder
        loader = paper_loader(np.repeat(part.images.transpose(0, 2, 3, 1), 3, 3), part.labels, 32)
        loading = seconds(lambda: sum(1 for _ in loader), device, 1)
        row(
            "the paper's loading alone",
            f"{loading * scale:.1f} s",
            f"{loading / n * 1e3:.1f} ms/image",
        )
        for name in ("20", "21", "11"):
            spec = MODELS[name]

            def papers():
                model = models.build(spec, found.image_size, 0, device)
                optimizer = engine.make_optimizer(model, spec)
                for batch in loader:
                    logits = model(batch["gray"].to(device))
                    loss = F.binary_cross_entropy_with_logits(logits, batch["labels"].to(device))
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    loss.item()

            slow = seconds(papers, device, 1) * scale
            placed = engine.place(part, device)
            quick = (
                seconds(lambda: one_epoch(spec, placed, found.image_size, device), device, 2)
                * scale
            )
            row(
                f"model {name} ({spec.family}): the paper's, ours",
                f"{slow:.1f} s",
                f"{quick:.2f} s",
                f"{slow / quick:.0f} ×",
            )


def one_epoch(spec, placed, size, device, precision="fp32", compiled=False):
    """placed: engine.place of the training images. The prediction after the epoch is of one
    image.
    """
    model = models.build(spec, size, 0, device).to(memory_format=torch.channels_last)
    optimizer = engine.make_optimizer(model, spec)
    one_image = placed[0][:1], placed[1][:1]
    for _ in engine.fit(
        torch.compile(model) if compiled else model,
        optimizer,
        replace(spec, epochs=1),
        placed,
        one_image,
        0,
        precision=precision,
    ):
        pass


# ---- sample space


def sample_space(found, device):
    """The Gram matrix against a plain float32 product, and the 22 models against the direct loop's
    measured epoch.
    """
    n, size = len(found.labels), found.image_size
    print(f"gram: {n:,} images at {size}×{size}")
    side = 4096
    a = torch.rand(side, side, device=device)
    started = time.perf_counter()
    matrix = gram.compute_gram(found.images, device)
    build = time.perf_counter() - started
    rate = n * (n + 1) / 2 * size**2 / build
    plain = side**3 / seconds(lambda: (a @ a)[0, 0].item(), device, 3)
    row("Gram matrix, N(N+1)/2·S² multiply-adds", f"{build:.1f} s", f"{rate / 1e9:.0f} G/s")
    row(
        "plain float32 product of 4096², the same run",
        "",
        f"{plain / 1e9:.0f} G/s",
        f"{rate / plain:.2f} ×",
    )
    specs = [spec for spec in MODELS.values() if samplespace.trains_in_sample_space(spec)]
    for seeds in (1, 5):
        jobs = [samplespace.Job(spec, seed, found.index) for seed in range(seeds) for spec in specs]
        started = time.perf_counter()
        for _ in samplespace.fit_together(jobs, matrix, found.images, found.labels, device):
            pass
        spent = time.perf_counter() - started
        row(f"{len(specs)} models, {seeds} seed{'s' * (seeds > 1)}, matrix given", f"{spent:.1f} s")
        if seeds == 1:
            alone = spent
    row("each further seed of all of them", f"{(spent - alone) / 4:.1f} s")
    part = data.Split(
        np.ascontiguousarray(found.train.images[:512]),
        found.train.labels[:512],
        found.train.paths[:512],
    )
    placed = engine.place(part, device)
    epoch = (
        seconds(lambda: one_epoch(MODELS["20"], placed, size, device), device, 1)
        * len(found.train.labels)
        / len(part.labels)
    )
    epochs = sum(spec.epochs for spec in specs)
    row(
        f"direct loop: {epochs} epochs at the measured rate",
        f"{epochs * epoch:.0f} s",
        f"{epochs * epoch / (build + alone):.1f} ×",
        f"{epochs * epoch / alone:.0f} × w/o matrix",
    )

    agreement(found, matrix, device)


def agreement(found, matrix, device, epochs=2):
    """The losses of a few epochs, and the predictions after them, in sample space against the
    direct loop.
    """
    specs = [replace(MODELS[name], epochs=epochs) for name in ("20", "21", "27b")]
    jobs = [samplespace.Job(spec, 0, found.index) for spec in specs]
    together = {
        result.job.spec.id: result
        for result in samplespace.fit_together(jobs, matrix, found.images, found.labels, device)
    }
    train, validation = engine.place(found.train, device), engine.place(found.validation, device)
    for spec in specs:
        model = models.build(spec, found.image_size, 0, device)
        for history in engine.fit(
            model, engine.make_optimizer(model, spec), spec, train, validation, 0
        ):
            pass
        ours, logits = together[spec.id].history, together[spec.id].logits["validation"]
        apart = max(
            abs(a / b - 1)
            for key in ("train_loss", "validation_loss")
            for a, b in zip(ours[key], history[key])
        )
        direct = engine.predict(model, validation[0], device).cpu().numpy()
        row(
            f"model {spec.id}, {epochs} epochs: losses apart by at most",
            f"{apart:.1e}",
            f"{int(((logits > 0) != (direct > 0)).sum())} of {len(direct)} differ",
        )


# ---- one step against the machine's limits


def counts(spec, size, batch, width=4) -> tuple[float, float]:
    """(bytes that must move, operations that must be done) by one training step; an operation is
    one add or multiply.
    width: bytes of an activation, 2 in bf16.

    Linear and MLP: the batch's bytes are read once as uint8, the first layer's weights (4 bytes
    each) read once and written once; two products of batch × S² × units multiply-adds (forward,
    gradient of the weights).
    CNN: three convolution products a layer (forward, gradients of weights and of inputs; the first
    layer has no use for the last), k²·in·out multiply-adds a pixel; each activation kept for the
    backward pass is written, read by the next layer, read again going back, and its gradient
    written and read: five times its width.
    """
    pixels, units = size * size, spec.hidden_units
    if spec.family != "CNN":
        return batch * pixels + 8 * units * pixels, 2 * 2 * batch * pixels * units
    square = spec.kernel_size**2
    products = batch * pixels * square * (2 * units + 3 * units**2 + 2 * 3 * units**2 / 4)
    products += 3 * batch * units * pixels / 16
    kept = batch * units * pixels * (1 + 1 + 1 / 4 + 1 / 4 + 1 / 4 + 1 / 16)
    return batch * pixels + 5 * width * kept, 2 * products


def plain_epoch(spec, images, labels, size, device):
    """The simplest eager loop: float32 images on the device, default layout, the loss read back
    each step.
    """
    model = models.build(spec, size, 0, device)
    optimizer = engine.make_optimizer(model, spec)
    for rows in torch.randperm(len(labels)).to(device).split(spec.batch_size):
        loss = F.binary_cross_entropy_with_logits(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()


def product_rate(device, precision) -> float:
    """Operations a second of a large matrix product in that precision."""
    engine.set_precision(precision)
    side = 2048 if device == "cpu" else 8192
    a = torch.rand(
        side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32
    )
    return 2 * side**3 / seconds(lambda: a @ a, device)


def steps(found, device, precision, cnn_size, compiled):
    block = torch.rand(1 << 26, device=device)
    target = torch.empty_like(block)
    bandwidth = 2 * block.nbytes / seconds(lambda: target.copy_(block), device)
    # On a GPU, PyTorch's default lets convolutions, and them alone, round float32 to TF32.
    convolutions = "tf32" if device != "cpu" and precision == "fp32" else precision
    rates = {form: product_rate(device, form) for form in {convolutions, precision}}
    engine.set_precision(precision)
    print(
        f"steps: copies move {bandwidth / 1e9:,.0f} GB/s; a large matrix product runs at "
        + ", ".join(f"{rate / 1e9:,.0f} Gop/s in {form}" for form, rate in sorted(rates.items()))
        + f"; precision {precision}"
    )
    row("", "a step", "must move", "must compute", "share of limit", "plain loop")
    for name in ("20", "21", "11", "22b"):
        spec = MODELS[name]
        size = cnn_size if spec.family == "CNN" else found.image_size
        count = 8 if device == "cpu" else 32
        n = count * spec.batch_size
        generator = np.random.default_rng(0)
        part = data.Split(
            generator.integers(0, 256, (n, 1, size, size), dtype=np.uint8),
            np.tile([0, 1], n // 2),
            [""] * n,
        )
        placed = engine.place(part, device)
        step = seconds(lambda: one_epoch(spec, placed, size, device, precision), device) / count
        images = torch.tensor(part.images, device=device).float() / 255
        labels = torch.tensor(part.labels, device=device).float()
        plain = seconds(lambda: plain_epoch(spec, images, labels, size, device), device) / count
        moved, done = counts(spec, size, spec.batch_size, 2 if precision == "bf16" else 4)
        rate = rates[convolutions if spec.family == "CNN" else precision]
        limit = max(moved / bandwidth, done / rate)
        bound = "bytes" if moved / bandwidth > done / rate else "operations"
        row(
            f"model {name} ({spec.family}) at {size}, batch {spec.batch_size}",
            f"{step * 1e3:.2f} ms",
            f"{moved / 1e6:.0f} MB",
            f"{done / 1e9:.2f} Gop",
            f"{limit / step:.0%} {bound}",
            f"{plain / step:.2f} ×",
        )
        if compiled:
            step = (
                seconds(
                    lambda: one_epoch(spec, placed, size, device, precision, compiled=True), device
                )
                / count
            )
            row(
                "  the same by torch.compile",
                f"{step * 1e3:.2f} ms",
                "",
                "",
                f"{limit / step:.0%} {bound}",
                f"{plain / step:.2f} ×",
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the README quotes.")
    parser.add_argument("--data", default="phantom", metavar="SOURCE")
    parser.add_argument("--image-size", type=int, default=640)
    parser.add_argument(
        "--cnn-size", type=int, help="of the CNN's step (default: 640, 96 without a GPU)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument(
        "--compiled",
        action="store_true",
        help="the steps through torch.compile too (wants a C++ compiler)",
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    engine.keep_freed_memory()
    engine.set_precision(args.precision)
    name = (
        torch.cuda.get_device_name()
        if args.device != "cpu"
        else f"CPU, {torch.get_num_threads()} threads"
    )
    print(f"{name}; torch {torch.__version__}; source {args.data}", flush=True)
    try:
        if "decode" in args.only:
            decode(args.data, args.image_size)
        found = data.load(args.data, args.image_size)
    except data.DataError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if "pipeline" in args.only:
        pipeline(found, args.device)
    if "gram" in args.only:
        sample_space(found, args.device)
    if "steps" in args.only:
        steps(
            found,
            args.device,
            args.precision,
            args.cnn_size or (640 if args.device != "cpu" else 96),
            args.compiled,
        )


if __name__ == "__main__":
    main()

"""Fit and predict: the plain mini-batch loop of the paper's tutorial, any model, any device.

What makes it fast changes no arithmetic: images stay uint8 on the device and are scaled there, sums
of loss and hits stay on the device until an epoch ends, and convolutions run in channels-last
order. Augmentation, which Table 3 adds, runs on the device too, on a batch at once.
"""

import math
from contextlib import contextmanager, nullcontext

import torch
from torch.nn import functional as F

from xray.models import pixel_weight

WARM_UP = 0.1  # share of the steps of the one-cycle schedule in which the rate rises
HISTORY = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")

# Augmentation at strength 1: each drawn evenly between minus and plus this
SHIFT = 0.08  # of a side
ROTATION = 10.0  # degrees
SCALE = 0.12
CONTRAST = 0.25
BRIGHTNESS = 0.1  # of the range of gray


def batch_order(n: int, seed: int, epoch: int) -> torch.Tensor:
    """The order in which epoch 0, 1, ... visits n training images: a permutation, int64 (n,), CPU.

    It depends on nothing but its arguments, so every engine, device and resumed run sees the same
    batches. The last batch keeps what is left over (the paper's DataLoader does not drop it).
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch + 1)
    return torch.randperm(n, generator=generator)


def pos_weight(spec, labels) -> float:
    """BCE's pos_weight (section 2.3 ii): negatives / positives of the training labels, or 1."""
    positives = int((labels == 1).sum())
    return (len(labels) - positives) / positives if spec.class_weight else 1.0


def place(split, device="cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """A split on the device, where it fits: images uint8 (N, 1, S, S), labels float32 (N,).

    On a GPU, images that would take more than 60 % of its free memory stay on the CPU and are sent
    batch by batch.
    """
    device = torch.device(device)
    images = torch.from_numpy(split.images)
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what PyTorch keeps for itself is free too
        if images.numel() < 0.6 * torch.cuda.mem_get_info(device)[0]:
            images = images.to(device)
    return images, torch.tensor(split.labels, dtype=torch.float32, device=device)


def _batch(images: torch.Tensor, rows: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Rows (int64, where the images are) as float32 in 0-1, channels-last, on the device."""
    batch = images[rows].to(device, non_blocking=True)
    return batch.to(torch.float32, memory_format=torch.channels_last).div_(255)


def make_optimizer(model, spec, pixel_step: float = 1.0) -> torch.optim.Optimizer:
    """SGD without momentum, Adam or AdamW; weight decay applies to every parameter, as in
    torch.optim.

    pixel_step: see specs.pixel_step. The learning rate of the weight with one number per pixel is
    multiplied by it and that weight's decay divided by it, so that the decay a step (rate × decay)
    stays the spec's.
    """
    kinds = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}
    first = pixel_weight(model)
    others = [parameter for parameter in model.parameters() if parameter is not first]
    scaled = {
        "params": [first],
        "lr": spec.learning_rate * pixel_step,
        "weight_decay": spec.weight_decay / pixel_step,
    }
    groups = [{"params": others}, scaled]
    options = {"lr": spec.learning_rate, "weight_decay": spec.weight_decay}
    return kinds[spec.optimizer](groups, **options)


def rate_factor(spec, done: float) -> float:
    """What the learning rate is multiplied by when this share (0-1) of all steps is done: 1, or in
    the one-cycle schedule up from 0 to 1 and down to 0 along half a cosine (after Smith 2018)."""
    if spec.schedule == "constant":
        return 1.0
    if done < WARM_UP:
        return done / WARM_UP
    return (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2


def kept_epoch(spec, history) -> int:
    """The epoch, from 0, whose weights a run keeps: its last, or with patience that of the lowest
    validation loss."""
    losses = history["validation_loss"]
    return losses.index(min(losses)) if spec.patience else len(losses) - 1


def is_over(spec, history) -> bool:
    """Whether a run with patience ends here: none of its last `patience` epochs was its best."""
    if not spec.patience or not history["validation_loss"]:
        return False
    waited = len(history["validation_loss"]) - 1 - kept_epoch(spec, history)
    return waited >= spec.patience


def set_precision(precision: str) -> None:
    """How float32 is multiplied in this process: exactly, or, in "tf32", as a GPU's TF32, in
    products and convolutions alike. ("bf16" is autocast, in fit.)"""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


@contextmanager
def full_precision():
    """float32 multiplied exactly, whatever set_precision said."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    set_precision("fp32")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def _autocast(device: torch.device, precision: str):
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


# ---- augmentation


def draw(spec, n: int, seed: int, epoch: int) -> torch.Tensor:
    """What is done to each of n images in epoch 0, 1, ...: float32 (n, 7), CPU: shifts right and
    down (halves of a side), rotation (radians), log of the scale, contrast, brightness, flip
    (-1 where left and right are exchanged, else 1)."""
    generator = torch.Generator().manual_seed(2**40 + seed * 1_000_003 + epoch)
    drawn = 2 * torch.rand(n, 7, generator=generator) - 1
    flip = torch.where(drawn[:, 6] < 0, -1.0, 1.0) if spec.flip else torch.ones(n)
    most = [2 * SHIFT, 2 * SHIFT, torch.pi / 180 * ROTATION, SCALE, CONTRAST, BRIGHTNESS]
    return torch.cat([drawn[:, :6] * spec.augment * torch.tensor(most), flip[:, None]], dim=1)


def augmented(images: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """images: float32 (N, 1, S, S) in 0-1; drawn: rows of `draw`, on their device. -> the same
    shape and range; what comes from outside of an image is black."""
    right, down, angle, scale, contrast, brightness, flip = drawn.unbind(1)
    # where in the image each pixel of the result comes from
    cos, sin = angle.cos() / scale.exp(), angle.sin() / scale.exp()
    across = torch.stack([flip * cos, flip * sin, -flip * (cos * right + sin * down)])
    along = torch.stack([-sin, cos, sin * right - cos * down])
    theta = torch.stack([across, along]).permute(2, 0, 1)  # (N, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, align_corners=False)
    mean = moved.mean((2, 3), keepdim=True)
    factor, change = (1 + contrast)[:, None, None, None], brightness[:, None, None, None]
    return moved.sub_(mean).mul_(factor).add_(mean + change).clamp_(0, 1)


# ---- training and prediction


def fit(model, optimizer, spec, train, validation, seed, history=None, precision="fp32", tick=None):
    """Train epoch by epoch: a generator that yields the history after each one.

    model: on its device. train, validation: pairs as place() gives them. history: dict of HISTORY's
    lists; one that holds k epochs, with model and optimizer as they stood then, goes on from epoch
    k. tick: called after each batch. Losses are BCE with logits, pos_weight from the training
    labels, means over images (section 2.3 ii). The training loss and accuracy are those of each
    batch before its step. A loss that is not finite is yielded like any other. With patience a run
    ends early (is_over); to keep the weights of kept_epoch is the caller's.
    """
    history = history or {key: [] for key in HISTORY}
    images, labels = train
    device = labels.device
    weight = torch.tensor(pos_weight(spec, labels), device=device)
    rates = [group["lr"] for group in optimizer.param_groups]
    batches = -(-len(labels) // spec.batch_size)
    for epoch in range(len(history["train_loss"]), spec.epochs):
        if is_over(spec, history):
            return
        model.train()
        order = batch_order(len(labels), seed, epoch).to(images.device)
        loss_sum = torch.zeros((), device=device)
        hits = torch.zeros((), device=device)
        of_labels = labels[order.to(device)].split(spec.batch_size)
        changes = None
        if spec.augment or spec.flip:
            changes = draw(spec, len(labels), seed, epoch).to(device).split(spec.batch_size)
        for i, (rows, batch_labels) in enumerate(zip(order.split(spec.batch_size), of_labels)):
            factor = rate_factor(spec, (epoch * batches + i + 0.5) / (spec.epochs * batches))
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * factor
            batch = _batch(images, rows, device)
            batch = batch if changes is None else augmented(batch, changes[i])
            with _autocast(device, precision):
                logits = model(batch)
            loss = F.binary_cross_entropy_with_logits(
                logits.float(), batch_labels, pos_weight=weight
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach() * len(rows)
            hits += ((logits.detach() > 0) == (batch_labels > 0)).sum()
            if tick:
                tick()
        logits = predict(model, validation[0], device, precision)
        validation_loss = F.binary_cross_entropy_with_logits(
            logits, validation[1], pos_weight=weight
        )
        validation_hits = ((logits > 0) == (validation[1] > 0)).float().mean()
        of_training = loss_sum / len(labels), hits / len(labels)
        figures = torch.stack([*of_training, validation_loss, validation_hits])
        for key, value in zip(HISTORY, figures.tolist()):
            history[key].append(value)
        yield history


@torch.no_grad()
def predict(model, images, device="cpu", precision="fp32", batch_size=64) -> torch.Tensor:
    """Logits float32 (N,), on the device, of uint8 images (N, 1, S, S), in their order. In "fp32"
    each product is exact, whatever set_precision said."""
    device = torch.device(device)
    model.eval()
    logits = []
    with full_precision() if precision == "fp32" else _autocast(device, precision):
        for rows in torch.arange(len(images), device=images.device).split(batch_size):
            logits.append(model(_batch(images, rows, device)).float())
    return torch.cat(logits)

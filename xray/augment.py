"""Augmentation: each training image anew in each epoch, a little moved, turned, scaled, brighter.

It runs on the device, on a batch at once. What is done to an image is drawn from seed and epoch
alone, so a resumed run goes on with the same images.
"""

import torch
from torch.nn import functional as F

# at strength 1, each drawn evenly between minus and plus this
SHIFT = 0.08  # of a side
ROTATION = 10.0  # degrees
SCALE = 0.12
CONTRAST = 0.25
BRIGHTNESS = 0.1  # of the range of gray
COLUMNS = 7


def draw(spec, n: int, seed: int, epoch: int) -> torch.Tensor:
    """What is done to each of n images in epoch 0, 1, ...: float32 (n, COLUMNS), CPU: shifts right
    and down (halves of a side), rotation (radians), log of the scale, contrast, brightness, flip
    (-1 where left and right are exchanged, else 1)."""
    generator = torch.Generator().manual_seed(2**40 + seed * 1_000_003 + epoch)
    drawn = 2 * torch.rand(n, COLUMNS, generator=generator) - 1
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

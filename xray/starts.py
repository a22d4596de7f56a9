"""A census of starting weights: which MLPs are dead before they have learnt anything.

An MLP of the paper ends in a ReLU: output = max(0, w·h + b). Where w·h + b is at or below 0 the
ReLU's derivative is 0, so such an image adds nothing to any gradient. A net that starts so on every
training image therefore never takes a step, by SGD or by Adam: it is dead for good. (Weight decay
alone still shrinks it.) To know it takes one pass over the images and no training.

The draw of w and b is symmetric about 0, so outputs all below 0 are as likely as all above 0:
P(dead) = (1 - P(both signs)) / 2, never more than 1/2. How likely both signs are depends on how
much the films differ as the last layer sees them: `wide_net` tells it from their Gram matrix.
"""

import math

import numpy as np
import torch

from xray.gram import project

LAYERS, UNITS = (1, 2, 3), (5, 10, 20)
NETS = [(layers, units) for layers in LAYERS for units in UNITS]
WEIGHTS = 2**30  # bytes of first-layer weights held at once
JITTER = 1e-9  # of its mean diagonal, added to a kernel's: copies of a film make it singular


def draw(image_size: int, seed: int) -> tuple[torch.Tensor, dict]:
    """The starting weights of NETS, as models.build draws them from this seed.

    Returns the first layer's of the widest net, float32 (20, S²), whose first 5 and 10 rows are
    those of the others, since all take the same draws in the same order; and (layers, units) ->
    what follows it: the first bias, then weight and bias of each later layer.
    """
    generator, pixels = torch.Generator().manual_seed(seed), image_size**2
    first, later, there = torch.empty(max(UNITS), pixels), {}, 0

    def uniform(tensor, inputs, source):
        bound = 1 / math.sqrt(inputs)
        return tensor.uniform_(-bound, bound, generator=source)

    for units in UNITS:
        uniform(first[there:units], pixels, generator)
        there = units
        for layers in LAYERS:  # each goes on from here
            own = torch.Generator().set_state(generator.get_state())
            later[layers, units] = [uniform(torch.empty(units), pixels, own)]
            for outputs in [units] * (layers - 1) + [1]:
                for shape in ((outputs, units), (outputs,)):
                    later[layers, units].append(uniform(torch.empty(shape), units, own))
    return first, later


def outputs(hidden: torch.Tensor, later: list[torch.Tensor]) -> torch.Tensor:
    """hidden (N, units), the first layer's output without its bias -> the last layer's before its
    ReLU, float64 (N,). later: as `draw` gives it."""
    value = hidden + later[0].double()
    for weight, bias in zip(later[1::2], later[2::2]):
        value = torch.addmm(bias.double(), value.relu(), weight.double().T)
    return value[:, 0]


def census(images, seeds: range, progress=None) -> dict[tuple[int, int], np.ndarray]:
    """(layers, units) -> for each seed, on how many images the starting net's output is above 0:
    int64 (seeds,). 0 is dead for good, where images are all that it trains on.

    images: uint8 (N, 1, S, S), read once for as many seeds as WEIGHTS bytes hold.
    progress(done, total): called as seeds are done.
    """
    size = images.shape[-1]
    at_once = max(1, WEIGHTS // (4 * max(UNITS) * size**2))
    found = {net: [] for net in NETS}
    for start in range(0, len(seeds), at_once):
        group = seeds[start : start + at_once]
        drawn = [draw(size, seed) for seed in group]
        hidden = project(images, torch.cat([first for first, _ in drawn]))
        for columns, (_, later) in zip(hidden.split(max(UNITS), dim=1), drawn):
            for net in NETS:
                above = outputs(columns[:, : net[1]], later[net]) > 0
                found[net].append(int(above.sum()))
        if progress:
            progress(start + len(group), len(seeds))
    return {net: np.array(counts) for net, counts in found.items()}


# ---- the same from the films' Gram matrix alone


def kernels(gram: torch.Tensor, image_size: int, units: int):
    """Yields the covariance of two films' outputs over starts of a net with 1, 2 and 3 hidden
    layers, as it would be with many units: float64 (N, N).

    gram: X Xᵀ of the films, pixels in 0-255 (gram.gram_matrix). A layer's weights and biases have
    the variance 1 / (3 inputs). Two normal inputs of a ReLU, with deviations s and s' and the angle
    a between them (cos a their correlation), come out with the mean product s s' (sin a + (pi - a)
    cos a) / (2 pi) (Cho and Saul 2009).
    """
    covariance = (gram / 255**2 + 1) / (3 * image_size**2)
    for _ in LAYERS:
        deviation = covariance.diagonal().sqrt()
        scale, angle = deviation[:, None] * deviation, _angles(covariance)
        product = scale * (angle.sin() + (math.pi - angle) * angle.cos()) / (2 * math.pi)
        covariance = (product + 1 / units) / 3
        yield covariance


def _angles(covariance: torch.Tensor) -> torch.Tensor:
    deviation = covariance.diagonal().sqrt()
    return (covariance / (deviation[:, None] * deviation)).clamp(-1, 1).arccos()


def spread(covariance: torch.Tensor) -> tuple[float, float]:
    """The median and the widest angle between two films, in radians, of (N, N) products or
    covariances. A draw with this covariance gives two films different signs with the probability
    angle / pi, so P(dead) is at most 1/2 - widest angle / (2 pi) in wide nets."""
    rows, columns = torch.tril_indices(len(covariance), len(covariance), -1)
    angles = _angles(covariance)[rows, columns]
    return float(angles.median()), float(angles.max())


def dead_by_kernel(covariance: torch.Tensor, draws: int = 2000, seed: int = 0) -> float:
    """P(dead) in wide nets: half the share of normal draws with this covariance whose values have
    one sign."""
    jitter = JITTER * covariance.diagonal().mean()
    root = torch.linalg.cholesky(
        covariance + jitter * torch.eye(len(covariance), dtype=torch.float64)
    )
    generator = torch.Generator().manual_seed(seed)
    above = (root.float() @ torch.randn(len(root), draws, generator=generator) > 0).sum(0)
    return float(((above == 0) | (above == len(covariance))).double().mean()) / 2

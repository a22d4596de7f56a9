"""Films with equal grey levels: each pixel replaced by its rank among its film's pixels."""

import numpy as np

AT_ONCE = 1 << 22  # pixels that are sorted together


def scattered(pixels: int) -> np.ndarray:
    """The order of the positions in which pixels of one grey are ranked."""
    return np.random.default_rng(0).permutation(pixels)


def equalise(images: np.ndarray) -> np.ndarray:
    """uint8 (..., S, S) -> uint8 alike, in which every film has the same histogram: of P pixels the
    one with rank r (from 0, darkest first) becomes r · 256 // P.

    Pixels of one grey are ranked in one scattered order of the positions, the same for all films of
    a size: so the result depends on the film alone, an even area becomes noise whose local mean is
    the area's middle rank, and no ramp is drawn across it, as an order by position would.
    """
    pixels = images.shape[-2] * images.shape[-1]
    flat = images.reshape(-1, pixels)
    places = scattered(pixels)
    levels = (np.arange(pixels) * 256 // pixels).astype(np.uint8)
    made = np.empty_like(flat)
    for start in range(0, len(flat), max(1, AT_ONCE // pixels)):
        part = slice(start, start + max(1, AT_ONCE // pixels))
        order = np.argsort(flat[part][:, places], axis=1, kind="stable")  # by rank: position
        np.put_along_axis(made[part], places[order], levels[None], axis=1)
    return made.reshape(images.shape)


def as_seen(spec, images: np.ndarray) -> np.ndarray:
    """Films as a model of this spec is shown them: equalised where it was trained on such films."""
    return equalise(images) if spec.equalise else images

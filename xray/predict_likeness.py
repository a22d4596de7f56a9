"""What images look like from afar, so that one of another kind than the training images is told:
a photograph, a negative, a blank film.
"""

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from xray.data_images import resize

AFAR = 32  # squares a side of an image seen from afar
LAYOUT = 8  # squares a side of what the images share
# mean chroma of 255, see predict_inputs.Film: tinted scans stay under it, photographs do not
COLOURFUL = 12
# How far out of the training images' 99 % range an image may lie, in such ranges. Of 582 test
# radiographs 1 is then told, of their negatives all, on their side more than 99 %; upside down few,
# since a chest is much alike both ways.
MARGINS = {"brightness": 0.1, "contrast": 0.1, "likeness": 0.5}


def from_afar(images: np.ndarray) -> np.ndarray:
    """uint8 (N, 1, S, S) -> float32 (N, AFAR, AFAR): means over squares, 0-255, about the same
    whatever S is.
    """
    step = max(1, images.shape[-1] // 160)  # of a large image a grid of pixels is enough
    found = [
        adaptive_avg_pool2d(
            torch.from_numpy(np.array(images[start : start + 256, 0, ::step, ::step])).float(), AFAR
        )
        for start in range(0, len(images), 256)
    ]
    return torch.cat(found).numpy()


def look(afar: np.ndarray, layout: np.ndarray) -> dict[str, np.ndarray]:
    """Three numbers for each image (N, AFAR, AFAR) of from_afar, each float32 (N,).

    brightness: the mean, 0-255. contrast: the standard deviation, 0-255. likeness: the correlation
    with `layout` (LAYOUT, LAYOUT), -1 to 1, of the image brought to that size; 0 for a blank image.
    """
    coarse = _coarse(afar).reshape(len(afar), -1)
    coarse = coarse - coarse.mean(1, keepdims=True)
    shared = np.asarray(layout, np.float32).ravel()
    shared = shared - shared.mean()
    scale = np.linalg.norm(coarse, axis=1) * np.linalg.norm(shared)
    likeness = np.divide(
        coarse @ shared, scale, out=np.zeros(len(afar), np.float32), where=scale > 0
    )
    return {"brightness": afar.mean((1, 2)), "contrast": afar.std((1, 2)), "likeness": likeness}


def _coarse(afar: np.ndarray) -> np.ndarray:
    block = AFAR // LAYOUT
    return afar.reshape(-1, LAYOUT, block, LAYOUT, block).mean((2, 4))


def intensity(images: np.ndarray) -> dict:
    """How bright, how rich in contrast and how alike images are, uint8 (N, 1, S, S), N > 0:
    JSON-able, a few numbers.

    brightness, contrast, likeness: percentiles 0.5, 50 and 99.5 over the images of what `look`
    measures. layout: the mean image, LAYOUT squares a side, whole numbers 0-255. An image far
    outside is of another kind (a photograph, a negative, a blank film). 5,824 images of 640 x 640
    took 3 s on one core.
    """
    afar = from_afar(images)
    layout = np.rint(_coarse(afar).mean(0)).astype(int)
    found = {
        name: [round(float(x), 4) for x in np.percentile(values, [0.5, 50, 99.5])]
        for name, values in look(afar, layout).items()
    }
    return found | {"layout": layout.tolist()}


def unlike(gray: np.ndarray, chroma: float, facts: dict, image_size: int) -> list[str]:
    """In what an image differs from those of the training, one line each; facts: the study's
    data.json.

    gray: uint8 (H, W). Told are: the ratio of its sides, where that is more than a tenth outside of
    the training images' range; its size, where its longer side is less than half of theirs; colour,
    above COLOURFUL; and what `look` measures, where it lies outside of the 99 % range of the
    training images by more than MARGINS of that range (a likeness can only be too low). What
    data.json does not say is not compared.
    """
    found = []
    height, width = gray.shape
    if counts := facts.get("sizes"):
        sizes = [[int(side) for side in name.split("x")] for name in counts]
        sides = np.repeat(sizes, list(counts.values()), axis=0)
        ratio, (low, high) = width / height, np.percentile(sides[:, 0] / sides[:, 1], [0.5, 99.5])
        if not low / 1.1 <= ratio <= high * 1.1:
            span = " to ".join(dict.fromkeys([f"{low:.2f}", f"{high:.2f}"]))
            found.append(
                f"its width is {ratio:.2f} times its height, {span} in training images: it is "
                "pressed into a square"
            )
        least = np.percentile(sides.max(1), 0.5)
        if max(width, height) < least / 2:
            found.append(
                f"it has {width}×{height} pixels, training images have {least:.0f} or more on the "
                "longer side"
            )
    if chroma > COLOURFUL:
        found.append(f"it is in colour (chroma {chroma:.0f} of 255), radiographs are gray")
    if ranges := facts.get("intensity"):
        found += _unlike_from_afar(resize(gray, image_size)[None, None], ranges)
    return found


def _unlike_from_afar(pixels: np.ndarray, ranges: dict) -> list[str]:
    """pixels: uint8 (1, 1, S, S). ranges: of the training images, from `intensity`."""
    found = []
    measured = look(from_afar(pixels), np.array(ranges["layout"]))
    for name, (value, *_) in measured.items():
        low, _, high = ranges[name]
        margin, likeness = MARGINS[name] * (high - low), name == "likeness"
        if value < low - margin or (value > high + margin and not likeness):
            words = "likeness to the mean image" if likeness else name
            value, low, high = (f"{x:.{2 if likeness else 0}f}" for x in (value, low, high))
            guess = " (a negative, on its side, cropped, no chest film?)" * likeness
            found.append(f"its {words} is {value}, {low} to {high} in training images{guess}")
    return found

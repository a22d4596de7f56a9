"""Phantoms: synthetic chest radiographs, drawn from a seed, for where no real data can be read."""

import hashlib
import json
import math
import re

import numpy as np
import torch
from torch.nn import functional

from xray.data_sources import DataError, Encoded, Source

# images, 420 of them for training: model 20 gets 93 % of the test split right at 640 pixels
COUNT = 600
SEED = 20230118
NORMAL_PER_PNEUMONIA = 0.37  # the paper's training split, section 2.1
DRAWN = 256  # pixels a side of the drawing
VERSION = 4  # of the drawing: a change of it is another data set


def named(source: str) -> bool:
    """Whether a source string asks for phantoms: "phantom" or "phantom:<number of images>"."""
    return source.split(":")[0] == "phantom"


def class_counts(count: int) -> dict[str, tuple[int, int]]:
    """(normal, pneumonia) images of each split: 70, 20 and 10 %, classes as in the paper."""
    test, validation = round(count * 0.1), round(count * 0.2)
    images_of = {"train": count - validation - test, "validation": validation, "test": test}
    result = {}
    for split, images in images_of.items():
        normal = round(images * NORMAL_PER_PNEUMONIA / (1 + NORMAL_PER_PNEUMONIA))
        result[split] = normal, images - normal
    return result


def phantom_source(text: str) -> Source:
    """What "phantom" or "phantom:<number>" names. Raises DataError under 20 or over 100,000."""
    found = re.fullmatch(r"phantom(?::(\d{1,7}))?", text)
    count = int(found[1] or COUNT) if found else 0
    if not 20 <= count <= 100_000:
        raise DataError(
            f"{text}: phantoms are asked for as phantom or phantom:<number of images, 20 to 100000>"
        )
    identity = {"kind": "phantom", "version": VERSION, "count": count, "seed": SEED}

    def open_(temporary, image_size):
        splits, start = {}, 0
        for split, (normal, pneumonia) in class_counts(count).items():
            splits[split] = _split(split, start, normal, pneumonia, image_size)
            start += normal + pneumonia
        return splits, ["NORMAL", "PNEUMONIA"], []

    fingerprint = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return Source("phantom", "phantom", identity, open_, fingerprint)


def _split(split: str, start: int, normal: int, pneumonia: int, size: int) -> Encoded:
    classes = ["NORMAL"] * normal + ["PNEUMONIA"] * pneumonia
    numbers = list(range(1, normal + 1)) + list(range(1, pneumonia + 1))
    paths = [f"phantom/{split}/{name}/{number:04d}.png" for name, number in zip(classes, numbers)]

    def read(row):
        pixels = draw(start + row, classes[row] == "PNEUMONIA", size)
        # as a file, so that it goes the way of all images
        return f"P5 {size} {size} 255\n".encode() + pixels.tobytes()

    return Encoded(paths, classes, read)


def draw(number: int, pneumonia: bool, size: int) -> np.ndarray:
    """Phantom `number`: uint8 (size, size), a frontal chest film.

    The same number gives the same patient at every size, but for the grain. The anatomy is drawn
    DRAWN pixels wide and brought to the size (torchvision, bilinear, antialiased); the film's grain
    is drawn at the size.
    """
    # here: two seconds, spent only to decode
    from torchvision.transforms.v2 import functional as transforms

    generator = np.random.default_rng([SEED, number])
    image = torch.from_numpy(_anatomy(generator, pneumonia))[None]
    image = transforms.resize(image, [size, size], antialias=True)[0].numpy()
    grain = generator.standard_normal(image.shape, np.float32) * generator.uniform(0.008, 0.022)
    image = image + grain
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def _anatomy(generator, pneumonia: bool) -> np.ndarray:
    """A film without grain, float32 (DRAWN, DRAWN), about 0 (air) to 1 (bone): soft-edged shapes
    laid over each other.

    Coordinates x and y run from -1 to 1 over the film.
    """
    uniform = generator.uniform
    y, x = np.mgrid[0:DRAWN, 0:DRAWN].astype(np.float32) * (2 / DRAWN) + (1 / DRAWN - 1)
    # the patient is never quite straight, centred or of one size
    angle, scale = uniform(-0.06, 0.06), uniform(0.9, 1.06)
    x, y = x - uniform(-0.06, 0.06), y - uniform(-0.07, 0.07)
    along, across = math.cos(angle) / scale, math.sin(angle) / scale
    x, y = x * along + y * across, y * along - x * across
    side = np.abs(x)
    texture = _texture(generator)

    shoulders = 0.5 * np.minimum(0, y + 0.75)
    body = _inside(1 - ((side / uniform(0.86, 0.98)) ** 2) ** 2 + shoulders, 0.04)
    image = 0.05 + body * (0.56 + 0.06 * y + 0.03 * texture[0])

    # lungs: narrow apex, wide base cut off by the diaphragm, one a little lower than the other
    width, top = uniform(0.29, 0.34), uniform(-0.80, -0.72)
    dome = uniform(0.42, 0.58) + np.where(x < 0, -0.04, 0.03) + 1.3 * (side - 0.40) ** 2
    reach = np.clip((y - top) / 0.75, 1e-3, 1) ** 0.45 * width
    lungs = _inside(1 - np.abs(side - 0.44 - 0.05 * y) / reach, 0.10)
    lungs = lungs * _inside(dome - y, 0.025) * _inside(y - top, 0.03)
    air = uniform(0.38, 0.46)  # how far the lungs are filled
    image -= lungs * (air + 0.03 * texture[1])

    heart_x, heart_y, heart = uniform(0.08, 0.15), uniform(0.20, 0.28), uniform(0.27, 0.34)
    # its tip points down and left
    along, across = x - heart_x + 0.7 * (y - heart_y), y - heart_y - 0.5 * (x - heart_x)
    ball = _inside(1 - (along / (heart * 1.15)) ** 2 - (across / (heart * 1.05)) ** 2, 0.16)
    image += ball * (0.07 + 0.85 * air * lungs)
    clear = lungs * (1 - ball)

    # vessels spread from the root of each lung
    root = np.exp(-(((side - 0.22) / 0.20) ** 2) - ((y + 0.02) / 0.38) ** 2)
    image += clear * root * (0.08 + 0.10 * np.maximum(0, texture[2]))

    # spine with its vertebrae, belly, mediastinum
    spine = np.exp(-(((x / 0.11) ** 2) ** 2))
    image += body * spine * (0.17 + 0.025 * np.sin(y * 32 + uniform(0, 6)))
    image += body * _inside(y - dome, 0.03) * 0.14
    image += np.exp(-((x / 0.17) ** 2) - ((y + 0.45) / 0.25) ** 2) * 0.12 * body

    _add_bones(image, uniform, side, y, body)

    # the classes meet: some pneumonias are hardly seen, some sound lungs are a little cloudy
    strength = 1.1 * uniform(0, 1) ** 0.5 if pneumonia else 0.4 * uniform(0, 1) ** 4
    image += clear * air * strength * _opacity(generator, x, y, texture[3])

    # uneven field, then the film's S-shaped response with its exposure and contrast
    image = image + uniform(-0.03, 0.03) * x + uniform(-0.03, 0.03) * y
    return _inside(image - 0.40 - uniform(-0.03, 0.03), 2 / uniform(6.0, 7.5))


def _add_bones(image: np.ndarray, uniform, side: np.ndarray, y: np.ndarray, body: np.ndarray):
    """Ribs and collar bones, laid over the image in place."""
    # ribs fall off towards the side behind, rise in front (fainter); collar bones
    cage = body * _inside(0.88 - side, 0.05) * _inside(y + 0.85, 0.05) * _inside(0.75 - y, 0.1)
    pitch, phase = uniform(0.185, 0.21), uniform(0, 1)
    out = side - 0.15
    behind = _ribs((y - 0.62 * out + 0.75 * out**2) / pitch + phase) * _inside(side - 0.09, 0.03)
    out = side - 0.45
    before = _ribs((y + 0.75 * out - 0.5 * out**2) / (pitch * 1.1) + phase * 2)
    before = before * _inside(side - 0.28, 0.1)
    image += cage * (0.075 * behind + 0.035 * before)
    collar = y + 0.66 + 0.22 * (side - 0.35) - uniform(-0.04, 0.04)
    collar = np.exp(-(((collar / 0.03) ** 2) ** 2)) * _inside(side - 0.10, 0.02)
    image += 0.13 * body * (collar * _inside(0.75 - side, 0.05))


def _inside(distance: np.ndarray, softness: float) -> np.ndarray:
    """0 where distance is negative, 1 where it is positive, with an edge as wide as softness."""
    return 0.5 + 0.5 * np.tanh(distance / softness)


def _ribs(phase: np.ndarray) -> np.ndarray:
    """Ribs, one a unit of phase: 0 between them, 1 on them, brighter along their edges."""
    wave = np.cos(phase * 2 * np.pi)
    return _inside(wave - 0.05, 0.35) * (1 - 0.2 * np.maximum(0, wave))


def _texture(generator) -> np.ndarray:
    """Four smooth random fields, float32 (4, DRAWN, DRAWN), mean 0, deviation about 1."""
    fields = 0
    for cells, weight in ((6, 0.6), (14, 0.6), (40, 0.5)):
        noise = torch.from_numpy(generator.standard_normal((1, 4, cells, cells), np.float32))
        smooth = functional.interpolate(noise, (DRAWN, DRAWN), mode="bicubic")[0].numpy()
        fields = fields + weight * 1.6 * smooth
    return fields


def _opacity(generator, x, y, texture) -> np.ndarray:
    """How much of the lungs' air is lost, 0 to 1: a haze and one to four cloudy patches."""
    lost = 0.5 * np.exp(-((y / 0.7) ** 2))
    for _ in range(generator.integers(1, 5)):
        left = float(generator.choice([-1, 1])) * generator.uniform(0.25, 0.55)
        low = generator.uniform(-0.4, 0.4)
        wide, high = generator.uniform(0.14, 0.34), generator.uniform(0.14, 0.34)
        patch = np.exp(-(((x - left) / wide) ** 2) - ((y - low) / high) ** 2)
        patch = patch * (1 + 0.25 * texture)
        lost = np.maximum(lost, generator.uniform(0.6, 1.0) * patch)
    return lost.clip(0, 1)

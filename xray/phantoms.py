"""Phantoms: synthetic chest radiographs, drawn from a seed. A stand-in for where no real data can be read."""

import hashlib
import json
import re

import numpy as np
import torch

from xray.sources import DataError, Source, Split

COUNT = 600
SEED = 20230118
NORMAL_PER_PNEUMONIA = 0.37  # the paper's training split, section 2.1
VERSION = 1  # of the drawing: a change of it is another data set


def named(source: str) -> bool:
    """Whether a source string asks for phantoms: "phantom" or "phantom:<number of images>"."""
    return source.split(":")[0] == "phantom"


def sizes(count: int) -> dict[str, tuple[int, int]]:
    """(normal, pneumonia) images of each split: 70, 20 and 10 % of them, classes as in the paper."""
    test, validation = round(count * 0.1), round(count * 0.2)
    result = {}
    for split, images in (("train", count - validation - test), ("validation", validation), ("test", test)):
        normal = round(images * NORMAL_PER_PNEUMONIA / (1 + NORMAL_PER_PNEUMONIA))
        result[split] = normal, images - normal
    return result


def source(text: str) -> Source:
    """The source that "phantom" or "phantom:<number>" names. Raises DataError for a number under 20 or over 100,000."""
    found = re.fullmatch(r"phantom(?::(\d{1,7}))?", text)
    count = int(found[1] or COUNT) if found else 0
    if not 20 <= count <= 100_000:
        raise DataError(f"{text}: phantoms are asked for as phantom or phantom:<number of images, 20 to 100000>")
    identity = {"kind": "phantom", "version": VERSION, "count": count, "seed": SEED}

    def open_(temporary, image_size):
        splits, start = {}, 0
        for split, (normal, pneumonia) in sizes(count).items():
            splits[split] = _split(split, start, normal, pneumonia, image_size)
            start += normal + pneumonia
        return splits, ["NORMAL", "PNEUMONIA"], []
    return Source("phantom", "phantom", identity, open_, hashlib.sha256(json.dumps(identity).encode()).hexdigest())


def _split(split: str, start: int, normal: int, pneumonia: int, size: int) -> Split:
    classes = ["NORMAL"] * normal + ["PNEUMONIA"] * pneumonia
    numbers = list(range(1, normal + 1)) + list(range(1, pneumonia + 1))
    paths = [f"phantom/{split}/{name}/{number:04d}.png" for name, number in zip(classes, numbers)]

    def read(row):
        pixels = draw(start + row, classes[row] == "PNEUMONIA", size)
        return f"P5 {size} {size} 255\n".encode() + pixels.tobytes()  # as a file, so that it goes the way of all images
    return Split(paths, classes, read)


def draw(number: int, pneumonia: bool, size: int) -> np.ndarray:
    """Phantom `number`: uint8 (size, size). The same number gives the same patient at every size, but for the grain."""
    generator = np.random.default_rng([SEED, number])
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size * 2 - 1
    image = 0.8 - 0.5 * np.exp(-((np.abs(x) - 0.4) / 0.25) ** 2 - (y / 0.6) ** 2)
    if pneumonia:
        side = generator.choice([-1, 1])
        image += 0.3 * np.exp(-((x - side * 0.4) / 0.2) ** 2 - ((y - generator.uniform(-0.4, 0.4)) / 0.3) ** 2)
    image = image * generator.uniform(0.8, 1.1) + generator.normal(0, 0.03, image.shape)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)

"""Phantoms: synthetic chest radiographs, drawn from a seed, for tests."""

import hashlib
import json
import re

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from xray.data_choices import DataError, Source
from xray.data_images import resize

COUNT = 600  # images, 420 of them for training
SEED = 20230118
NORMAL_PER_PNEUMONIA = 0.37  # the paper's training split, section 2.1
DRAWN = 128  # pixels a side of the drawing
VERSION = 5  # of the drawing: a change of it is another data set


def class_counts(count: int) -> dict[str, tuple[int, int]]:
    """(normal, pneumonia) images of each split: 70, 20 and 10 %, classes as in the paper."""
    test, validation = round(count * 0.1), round(count * 0.2)
    result = {"train": count - validation - test, "validation": validation, "test": test}
    for split, images in result.items():
        normal = round(images * NORMAL_PER_PNEUMONIA / (1 + NORMAL_PER_PNEUMONIA))
        result[split] = normal, images - normal
    return result


def source(text: str) -> Source:
    """What "phantom" or "phantom:<number>" names. Raises DataError under 20 or over 100,000."""
    found = re.fullmatch(r"phantom(?::(\d{1,7}))?", text)
    count = int(found[1] or COUNT) if found else 0
    if not 20 <= count <= 100_000:
        raise DataError(
            "phantoms are asked for as phantom or phantom:<number of images, 20 to 100000>"
        )
    rows = [
        (f"phantom/{split}/{title}/{number:04d}.png", title, split, "")
        for split, counts in class_counts(count).items()
        for title, images in zip(("NORMAL", "PNEUMONIA"), counts)
        for number in range(1, images + 1)
    ]

    def read(row):
        pixels = draw(row, rows[row][1] == "PNEUMONIA", DRAWN)
        # as a file, so that it goes the way of all images
        return f"P5 {DRAWN} {DRAWN} 255\n".encode() + pixels.tobytes()

    identity = {"kind": "phantom", "version": VERSION, "count": count, "seed": SEED}
    return Source(
        name="phantom",
        kind="phantom",
        identity=identity,
        films=pd.DataFrame(rows, columns=["path", "title", "split", "patient"]),
        read=read,
        classes=["NORMAL", "PNEUMONIA"],
        taken={"labels": "as they were drawn", "splits": "as they were drawn"},
        fingerprint=hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
    )


def draw(number: int, pneumonia: bool, size: int) -> np.ndarray:
    """Phantom `number`: uint8 (size, size), a frontal chest film of soft-edged shapes laid over
    each other. x and y run from -1 to 1 over the film; values from about 0 (air) to 1 (bone)."""
    generator = np.random.default_rng([SEED, number])
    uniform = generator.uniform
    y, x = np.mgrid[0:DRAWN, 0:DRAWN].astype(np.float32) * (2 / DRAWN) + (1 / DRAWN - 1)
    x, y = (x - uniform(-0.06, 0.06)) / uniform(0.9, 1.06), y - uniform(-0.07, 0.07)
    side = np.abs(x)
    texture = _texture(generator)

    body = _inside(1 - ((side / uniform(0.86, 0.98)) ** 4) + 0.5 * np.minimum(0, y + 0.75), 0.04)
    image = 0.05 + body * (0.56 + 0.06 * y + 0.03 * texture)
    # lungs: narrow apex, wide base cut off by the diaphragm
    top = uniform(-0.80, -0.72)
    dome = uniform(0.42, 0.58) + 1.3 * (side - 0.40) ** 2
    reach = np.clip((y - top) / 0.75, 1e-3, 1) ** 0.45 * uniform(0.29, 0.34)
    lungs = _inside(1 - np.abs(side - 0.44 - 0.05 * y) / reach, 0.10)
    lungs *= _inside(dome - y, 0.025) * _inside(y - top, 0.03)
    air = uniform(0.38, 0.46)  # how far they are filled
    heart = (
        1 - ((x - 0.12 + 0.5 * (y - 0.25)) / 0.36) ** 2 - ((y - 0.25) / uniform(0.27, 0.34)) ** 2
    )
    heart = _inside(heart, 0.16)
    image += heart * (0.07 + 0.85 * air * lungs) - lungs * air
    ribs = np.cos((y + 0.5 * (side - 0.45) ** 2) / uniform(0.185, 0.21) * 2 * np.pi)
    image += body * (0.05 * _inside(ribs, 0.35) + 0.17 * np.exp(-((x / 0.11) ** 4)))
    image += body * _inside(y - dome, 0.03) * 0.14

    # the classes meet: some pneumonias are hardly seen, some sound lungs are a little cloudy
    strength = 1.1 * uniform(0, 1) ** 0.5 if pneumonia else 0.4 * uniform(0, 1) ** 4
    lost = 0.5 * np.exp(-((y / 0.7) ** 2))  # of the lungs' air: a haze and cloudy patches
    for _ in range(generator.integers(1, 5)):
        left, low = generator.choice([-1, 1]) * uniform(0.25, 0.55), uniform(-0.4, 0.4)
        wide, high = uniform(0.14, 0.34, 2)
        patch = np.exp(-(((x - left) / wide) ** 2) - ((y - low) / high) ** 2)
        lost = np.maximum(lost, uniform(0.6, 1.0) * patch * (1 + 0.25 * texture))
    image += lungs * (1 - heart) * air * strength * lost

    # the film's S-shaped response with its exposure and contrast, and its grain
    image = _inside(image - 0.40 - uniform(-0.03, 0.03), 2 / uniform(6.0, 7.5))
    image += generator.standard_normal(image.shape) * uniform(0.008, 0.022)
    return resize((image.clip(0, 1) * 255).round().astype(np.uint8), size)


def _inside(distance: np.ndarray, softness: float) -> np.ndarray:
    """0 where distance is negative, 1 where it is positive, with an edge as wide as softness."""
    return 0.5 + 0.5 * np.tanh(distance / softness)


def _texture(generator) -> np.ndarray:
    """A smooth random field, float32 (DRAWN, DRAWN), mean 0, deviation about 1."""
    noise = torch.from_numpy(generator.standard_normal((1, 1, 14, 14), np.float32))
    return 1.6 * functional.interpolate(noise, (DRAWN, DRAWN), mode="bicubic")[0, 0].numpy()

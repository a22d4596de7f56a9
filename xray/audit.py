"""What stands in a data set: copies of images, contradictory labels, patients in two splits
(section 2.1, claim C02), and what its images look like from afar."""

import re
from collections import Counter, defaultdict

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

CLASSES = ("NORMAL", "PNEUMONIA")  # labels 0 and 1
SHOWN = 20  # how many examples of a finding are kept
AFAR = 32  # squares a side of an image seen from afar
LAYOUT = 8  # squares a side of what the images share


def patient(path: str) -> str | None:
    """The patient that a file name carries, None where it carries none.

    "person1000_bacteria_2931.jpeg" -> "person1000_bacteria", "IM-0115-0001.jpeg" -> "IM-0115",
    "NORMAL2-IM-1427-0001-0002.jpeg" -> "NORMAL2-IM-1427"; what follows (the Hub's
    "_jpeg.rf.<hash>.jpg") does not matter. Each cause has a series of numbers of its own:
    person1000_virus is another child.
    """
    name = re.split(r"[/\\]", path)[-1]
    found = re.match(r"(person\d+_(?:bacteria|virus))_", name) or re.match(
        r"((?:NORMAL\d*-)?IM-\d+)-\d", name
    )
    return found[1] if found else None


def kind(path: str) -> str | None:
    """The cause of a pneumonia that a file name carries, "bacteria" or "virus", else None."""
    found = re.match(r"person\d+_(bacteria|virus)_", re.split(r"[/\\]", path)[-1])
    return found[1] if found else None


def patients(paths: list[str], labels: np.ndarray, index: dict[str, np.ndarray]) -> dict:
    """Who is in which split, by file name. An image whose name carries no patient is its own
    patient.

    named, unnamed: images whose names do and do not carry a patient. by_split: distinct patients.
    overlap: for "test in train", "test in validation", "test in train or validation" and
    "validation in train", by class and in "all": the images of the first split, how many of them
    show a patient of the second, and how many patients that are.
    causes: bacteria, virus and unknown among the PNEUMONIA images, by split.
    """
    names = [patient(path) for path in paths]
    keys = [name or f"\0{row}" for row, name in enumerate(names)]
    by_split = {split: {keys[row] for row in rows} for split, rows in index.items()}
    overlap = {}
    for first, second in (
        ("test", ["train"]),
        ("test", ["validation"]),
        ("test", ["train", "validation"]),
        ("validation", ["train"]),
    ):
        others = set().union(*(by_split[split] for split in second))
        found = {}
        for name, wanted in (("NORMAL", (0,)), ("PNEUMONIA", (1,)), ("all", (0, 1))):
            rows = [row for row in index[first] if labels[row] in wanted]
            shared = [row for row in rows if keys[row] in others]
            found[name] = {
                "images": len(rows),
                "shared": len(shared),
                "patients": len({keys[row] for row in shared}),
            }
        overlap[f"{first} in {' or '.join(second)}"] = found
    causes = {
        split: dict(
            sorted(
                Counter(kind(paths[row]) or "unknown" for row in rows if labels[row] == 1).items()
            )
        )
        for split, rows in index.items()
    }
    return {
        "named": sum(name is not None for name in names),
        "unnamed": sum(name is None for name in names),
        "by_split": {split: len(keys) for split, keys in by_split.items()},
        "overlap": overlap,
        "causes": causes,
    }


def copies(
    digests: list[str], paths: list[str], labels: np.ndarray, index: dict[str, np.ndarray]
) -> dict:
    """Images with the same digest.

    groups: sets of identical images; images: images in them; surplus: images that would go if one
    of each set were kept; within: surplus in each split alone; across: "train/test" -> sets that
    have an image in both splits;
    conflicting: sets whose images differ in label; examples, conflicting_examples: lists of "split:
        path", the first few sets.
    """
    split_of = {int(row): split for split, rows in index.items() for row in rows}
    groups = defaultdict(list)
    for row, digest in enumerate(digests):
        groups[digest].append(row)
    groups = [rows for rows in groups.values() if len(rows) > 1]
    within, across = Counter(), Counter()
    for rows in groups:
        counts = Counter(split_of[row] for row in rows)
        within.update({split: count - 1 for split, count in counts.items()})
        present = [split for split in index if split in counts]
        across.update(f"{a}/{b}" for i, a in enumerate(present) for b in present[i + 1 :])
    conflicting = [rows for rows in groups if len({int(labels[row]) for row in rows}) > 1]
    names = list(index)
    pairs = [f"{a}/{b}" for i, a in enumerate(names) for b in names[i + 1 :]]

    def examples(sets):
        return [[f"{split_of[row]}: {paths[row]}" for row in rows] for rows in sets[:SHOWN]]

    return {
        "groups": len(groups),
        "images": sum(map(len, groups)),
        "surplus": sum(len(rows) - 1 for rows in groups),
        "within": {split: within[split] for split in names},
        "across": {pair: across[pair] for pair in pairs},
        "conflicting": len(conflicting),
        "examples": examples(groups),
        "conflicting_examples": examples(conflicting),
    }


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

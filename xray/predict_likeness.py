"""Is an image of the kind that the model was trained on? Learned from the training images alone, as
small gray pictures: what they have in common, how far they stray from it, and how they would look
tilted, upside down or cut in half."""

import base64

import numpy as np
import torch
from torch.nn import functional

from xray.data_images import resize

AFAR = 32  # squares a side of an image seen from afar
COARSE = 16  # squares a side of what films are compared by
AXES = 64  # principal axes of the films, at most
LEAST = 100  # films from which their likeness can be learned
MOST = 2000  # films that it is learned from, at most
# mean chroma of 255 (see data_images.Film): tinted scans stay under it, photographs do not
COLOURFUL = 12
MARGIN = 0.1  # of the training images' 99 % range: how far brightness and contrast may lie outside
# Width over height of a film, where the training's are unknown, since their images were brought to
# one square: films of infants are wide, of adults often high.
SHAPES = (0.7, 2.4)
KINDS = {
    "upright": "",
    "tilted": "a tilted film",
    "tilted back": "a tilted film",
    "mirrored": "a film upside down",
    "turned": "a film upside down",
    "left": "the left half of a film",
    "right": "the right half of a film",
    "top": "the upper half of a film",
    "bottom": "the lower half of a film",
}
# Percentiles of held-out training films at which an image is told: together they tell less than 2 %
# of those.
PERCENTILES = {"layout": 99.0, "distance": 99.5}


# ---- learned once a study, kept in its data.json


def learn(images: np.ndarray, labels: np.ndarray) -> dict:
    """What `unlike` compares with, of training images uint8 (N, 1, S, S), N > 0, and their labels;
    JSON-able.

    brightness, contrast: percentiles 0.5, 50 and 99.5 over the images of their mean and standard
    deviation, 0-255. averages: the mean normal film and the mean one with pneumonia (AFAR, AFAR),
    whole numbers 0-255, packed. films, from LEAST images on: what `measure` needs, learned from
    four of five images (at most MOST), and `limits`, PERCENTILES of the fifth.
    """
    afar = from_afar(images)
    found = {}
    for name, values in (("brightness", afar.mean((1, 2))), ("contrast", afar.std((1, 2)))):
        found[name] = [round(float(x), 4) for x in np.percentile(values, [0.5, 50, 99.5])]
    if 0 < labels.sum() < len(labels):
        means = [np.rint(afar[labels == label].mean(0)) for label in (0, 1)]
        found["averages"] = [_packed(mean, np.uint8) for mean in means]
    if len(afar) >= LEAST:
        held_out = np.arange(len(afar)) % 5 == 4
        rest = afar[~held_out]
        films = _learn_films(rest[:: -(-len(rest) // MOST)])
        measured = measure(afar[held_out], films)
        found["films"] = {name: _packed(values) for name, values in films.items()}
        found["films"]["limits"] = {
            name: round(float(np.percentile(measured[name], q)), 4)
            for name, q in PERCENTILES.items()
        }
    return found


def from_afar(images: np.ndarray) -> np.ndarray:
    """uint8 (N, 1, S, S) -> float32 (N, AFAR, AFAR): means over squares, 0-255, for any S."""
    step = max(1, images.shape[-1] // 160)  # of a large image a grid of pixels is enough
    found = []
    for start in range(0, len(images), 256):
        part = np.array(images[start : start + 256, 0, ::step, ::step])
        found.append(functional.adaptive_avg_pool2d(torch.from_numpy(part).float(), AFAR))
    return torch.cat(found).numpy()


def _learn_films(afar: np.ndarray) -> dict[str, np.ndarray]:
    """mean (COARSE²,) of the films' standardised small pictures; axes (K, COARSE²), principal;
    spread (K,), standard deviations along them; rest (1,), the median square that they leave;
    readout (K + 1, KINDS), weights and biases of a softmax regression that tells how a film was
    moved."""
    seen = _standard(afar)
    mean = seen.mean(0)
    _, scale, axes = np.linalg.svd(seen - mean, full_matrices=False)
    axes = axes[: min(AXES, len(seen) // 4)]
    spread = scale[: len(axes)] / np.sqrt(len(seen)) + 1e-6
    place = (seen - mean) @ axes.T
    rest = np.median(((seen - mean) ** 2).sum(1) - (place**2).sum(1))

    from sklearn.linear_model import LogisticRegression  # a second to load, once a study

    moved = np.concatenate([_standard(move(afar, kind)) for kind in KINDS])
    kinds = np.repeat(np.arange(len(KINDS)), len(afar))
    # C: a penalty of 1e-3 times the squared weights on the mean cross-entropy
    regression = LogisticRegression(C=500 / len(moved), max_iter=500)
    regression.fit((moved - mean) @ axes.T / spread, kinds)
    return {
        "mean": mean,
        "axes": axes,
        "spread": spread,
        "rest": np.array([max(rest, 1e-6)]),
        "readout": np.vstack([regression.coef_.T, regression.intercept_]),
    }


def _standard(afar: np.ndarray) -> np.ndarray:
    """float32 (N, AFAR, AFAR) -> (N, COARSE²), each of mean 0 and standard deviation 1; a blank one
    is all 0."""
    block = AFAR // COARSE
    coarse = afar.reshape(-1, COARSE, block, COARSE, block).mean((2, 4)).reshape(len(afar), -1)
    coarse = coarse - coarse.mean(1, keepdims=True)
    return coarse / (coarse.std(1, keepdims=True) + 4)  # 4: noise of a blank film stays small


def move(afar: np.ndarray, kind: str) -> np.ndarray:
    """Films (N, AFAR, AFAR) as one of KINDS would show them: tilted by 12 to 30 degrees, or a part
    of 44 to 62 %, drawn from a fixed seed; what lies outside is black in one half of them and like
    their edge in the other."""
    if kind == "upright":
        return afar
    draw = np.random.default_rng(0).random(len(afar))
    part, angle = 0.44 + 0.18 * draw, np.radians(12 + 18 * draw)
    cos, sin = np.cos(angle), np.sin(angle)
    # from places (x, y, 1) in the picture to x and y in the film, all -1 to 1
    places = {
        "tilted": ((cos, -sin, 0), (sin, cos, 0)),
        "tilted back": ((cos, sin, 0), (-sin, cos, 0)),
        "mirrored": ((1, 0, 0), (0, -1, 0)),
        "turned": ((-1, 0, 0), (0, -1, 0)),
        "left": ((part, 0, part - 1), (0, 1, 0)),
        "right": ((part, 0, 1 - part), (0, 1, 0)),
        "top": ((1, 0, 0), (0, part, part - 1)),
        "bottom": ((1, 0, 0), (0, part, 1 - part)),
    }
    grid = np.empty((len(afar), 2, 3), np.float32)
    for row, column in np.ndindex(2, 3):
        grid[:, row, column] = places[kind][row][column]
    grid = functional.affine_grid(
        torch.from_numpy(grid), (len(afar), 1, AFAR, AFAR), align_corners=False
    )
    moved, films = np.empty_like(afar), torch.from_numpy(afar)[:, None]
    for first, outside in ((0, "zeros"), (1, "border")):
        moved[first::2] = functional.grid_sample(
            films[first::2], grid[first::2], padding_mode=outside, align_corners=False
        )[:, 0]
    return moved


def _packed(values: np.ndarray, kind="<f2") -> str:
    """An array as text, its numbers of that kind."""
    return base64.b64encode(values.astype(kind).tobytes()).decode()


def _unpacked(text: str, kind="<f2") -> np.ndarray:
    """What _packed was given, flat, float32."""
    return np.frombuffer(base64.b64decode(text), kind).astype(np.float32)


# ---- used at each prediction; facts: the study's data.json


def unlike(gray: np.ndarray, chroma: float, facts: dict, image_size: int) -> list[str]:
    """In what an image differs from those of the training, one line each.

    gray: uint8 (H, W). Told are: the ratio of its sides; its size, where its longer side is less
    than half of theirs; colour, above COLOURFUL; brightness and contrast, where they lie outside of
    the 99 % range of the training images by more than MARGIN of it; a layout and a distance (see
    `measure`) above their limits. What data.json does not say is not compared.
    """
    found = _unlike_in_shape(gray.shape, facts["sizes"]) if facts.get("sizes") else []
    if chroma > COLOURFUL:
        found.append(f"it is in colour (chroma {chroma:.0f} of 255), radiographs are gray")
    if not (ranges := facts.get("intensity")):
        return found
    afar = from_afar(resize(gray, image_size)[None, None])
    for name, value in (("brightness", afar.mean()), ("contrast", afar.std())):
        low, _, high = ranges[name]
        margin = MARGIN * (high - low)
        if not low - margin <= value <= high + margin:
            found.append(f"its {name} is {value:.0f}, {low:.0f} to {high:.0f} in training images")
    if "films" not in ranges:
        return found
    films = dict(ranges["films"])
    limits = films.pop("limits")
    measured = measure(afar, {name: _unpacked(text) for name, text in films.items()})
    if measured["layout"][0] > limits["layout"]:
        like = list(KINDS.values())[measured["kind"][0]]
        found.append(
            f"its layout is not that of an upright, whole, frontal film: most like {like} (or it "
            "is a lateral, or no chest film)"
        )
    if (distance := measured["distance"][0]) > limits["distance"]:
        found.append(
            f"its distance from the training films is {distance:.1f}, at most "
            f"{limits['distance']:.1f} for 995 in 1,000 of them (another kind of film or of "
            "patients, a negative, no chest film?)"
        )
    return found


def check(facts: dict) -> None:
    """Raises what there is where data.json is of another shape than `learn` and data.load give."""
    unlike(np.zeros((8, 8), np.uint8), 0.0, facts, 8)
    average_films(facts, 8)
    _ = facts.get("bits", 16) < 16


def measure(afar: np.ndarray, films: dict) -> dict[str, np.ndarray]:
    """Of images (N, AFAR, AFAR), each (N,): distance, the mean square along the films' axes, in
    their spreads, and what the axes leave, in its median: about 2 for a training film; layout,
    -ln of the probability that it stands upright and is whole; kind, int64, of KINDS, the likeliest
    besides upright."""
    axes, readout = films["axes"].reshape(-1, COARSE**2), films["readout"].reshape(-1, len(KINDS))
    away = _standard(afar) - films["mean"]
    place = away @ axes.T
    left = (away**2).sum(1) - (place**2).sum(1)
    place = place / films["spread"]
    distance = (place**2).mean(1) + left / films["rest"]
    scores = torch.from_numpy(place @ readout[:-1] + readout[-1]).float()
    layout = -functional.log_softmax(scores, 1)[:, 0].numpy()
    return {"distance": distance, "layout": layout, "kind": scores[:, 1:].argmax(1).numpy() + 1}


def average_films(facts: dict, size: int) -> np.ndarray:
    """The mean normal film of the training and the mean one with pneumonia, float32 (2, size, size)
    in 0-255; both an even gray where data.json does not hold them."""
    if not (stored := facts.get("intensity", {}).get("averages")):
        return np.full((2, size, size), 127.5, np.float32)
    films = np.stack([_unpacked(one, np.uint8) for one in stored]).reshape(2, 1, AFAR, AFAR)
    films = functional.interpolate(torch.from_numpy(films), (size, size), mode="bilinear")
    return films[:, 0].numpy()


def _unlike_in_shape(shape: tuple[int, int], sizes: dict[str, int]) -> list[str]:
    """sizes: {"640x480": images}, of the training. Where they are all one square, they were brought
    to it, and the films' own shapes are unknown; else their 99 % range counts, and a tenth more."""
    (height, width), found = shape, []
    sides = np.array([name.split("x") for name in sizes], int)
    sides = np.repeat(sides, list(sizes.values()), axis=0)
    low, high = np.percentile(sides[:, 0] / sides[:, 1], [0.5, 99.5]) * [1 / 1.1, 1.1]
    if len(sizes) == 1 and sides[0, 0] == sides[0, 1]:
        low, high = SHAPES
    if not low <= width / height <= high:
        found.append(
            f"its width is {width / height:.2f} times its height, {low:.2f} to {high:.2f} is "
            "usual: it is pressed into a square"
        )
    least = np.percentile(sides.max(1), 0.5)
    if max(width, height) < least / 2:
        found.append(
            f"it has {width}×{height} pixels, training images have {least:.0f} or more on the "
            "longer side"
        )
    return found

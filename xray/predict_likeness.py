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
# mean chroma of 255, see predict_inputs.Film: tinted scans stay under it, photographs do not
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


def from_afar(images: np.ndarray) -> np.ndarray:
    """uint8 (N, 1, S, S) -> float32 (N, AFAR, AFAR): means over squares, 0-255, for any S."""
    step = max(1, images.shape[-1] // 160)  # of a large image a grid of pixels is enough
    found = []
    for start in range(0, len(images), 256):
        part = np.array(images[start : start + 256, 0, ::step, ::step])
        found.append(functional.adaptive_avg_pool2d(torch.from_numpy(part).float(), AFAR))
    return torch.cat(found).numpy()


def learn(images: np.ndarray, labels: np.ndarray) -> dict:
    """What `unlike` compares with, of training images uint8 (N, 1, S, S), N > 0, and their labels;
    JSON-able. 4,077 images took 6 s on one core.

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
        means = [np.rint(afar[labels == label].mean(0)).astype(np.uint8) for label in (0, 1)]
        found["averages"] = [base64.b64encode(mean.tobytes()).decode() for mean in means]
    if len(afar) >= LEAST:
        held_out = np.arange(len(afar)) % 5 == 4
        rest = afar[~held_out]
        films = _learn_films(rest[:: -(-len(rest) // MOST)])
        measured = measure(afar[held_out], films)
        limits = {name: np.percentile(measured[name], q) for name, q in PERCENTILES.items()}
        found["films"] = {name: _packed(values) for name, values in films.items()}
        found["films"]["limits"] = {name: round(float(x), 4) for name, x in limits.items()}
    return found


def _learn_films(afar: np.ndarray) -> dict:
    """mean (COARSE²,) of the films' standardised small pictures; axes (K, COARSE²), principal;
    spread (K,), standard deviations along them; rest (1,), the median square that they leave;
    readout (K + 1, KINDS), weights and biases of a softmax regression that tells how a film was
    moved."""
    seen = _standard(afar)
    mean = seen.mean(0)
    _, scale, axes = np.linalg.svd(seen - mean, full_matrices=False)
    count = min(AXES, len(seen) // 4)
    axes, spread = axes[:count], scale[:count] / np.sqrt(len(seen)) + 1e-6
    place = (seen - mean) @ axes.T
    rest = np.median(((seen - mean) ** 2).sum(1) - (place**2).sum(1))
    films = {"mean": mean, "axes": axes, "spread": spread, "rest": np.array([max(rest, 1e-6)])}
    moved = np.concatenate([_standard(move(afar, kind)) for kind in KINDS])
    inputs = torch.from_numpy(((moved - mean) @ axes.T / spread).astype(np.float32))
    target = torch.arange(len(KINDS)).repeat_interleave(len(afar))
    readout = torch.zeros(count + 1, len(KINDS), requires_grad=True)
    optimizer = torch.optim.LBFGS([readout], max_iter=120, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        error = functional.cross_entropy(inputs @ readout[:-1] + readout[-1], target)
        error = error + 1e-3 * (readout[:-1] ** 2).sum()
        error.backward()
        return error

    optimizer.step(loss)
    return films | {"readout": readout.detach().numpy()}


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
    part, none, one = 0.44 + 0.18 * draw, np.zeros(len(afar)), np.ones(len(afar))
    angle = np.radians(12 + 18 * draw) * (-1 if kind == "tilted back" else 1)
    across, up = {"mirrored": (one, -one), "turned": (-one, -one)}.get(kind, (one, one))
    rows = {
        "left": [part, none, part - 1, none, one, none],
        "right": [part, none, 1 - part, none, one, none],
        "top": [one, none, none, none, part, part - 1],
        "bottom": [one, none, none, none, part, 1 - part],
    }.get(kind, [across, none, none, none, up, none])
    if kind.startswith("tilted"):
        cosine, sine = np.cos(angle), np.sin(angle)
        rows = [cosine, -sine, none, sine, cosine, none]
    grid = torch.from_numpy(np.stack(rows, 1).reshape(-1, 2, 3).astype(np.float32))
    grid = functional.affine_grid(grid, (len(afar), 1, AFAR, AFAR), align_corners=False)
    moved, films = np.empty_like(afar), torch.from_numpy(afar)[:, None]
    for half, outside in ((slice(0, None, 2), "zeros"), (slice(1, None, 2), "border")):
        shown = functional.grid_sample(
            films[half], grid[half], padding_mode=outside, align_corners=False
        )
        moved[half] = shown[:, 0].numpy()
    return moved


def measure(afar: np.ndarray, films: dict) -> dict[str, np.ndarray]:
    """Of images (N, AFAR, AFAR), each (N,): distance, the mean square along the films' axes, in
    their spreads, and what the axes leave, in its median: about 2 for a training film; layout,
    -ln of the probability that it stands upright and is whole; kind, int64, of KINDS, the likeliest
    besides upright."""
    away = _standard(afar) - films["mean"]
    place = away @ films["axes"].T
    left = (away**2).sum(1) - (place**2).sum(1)
    place = place / films["spread"]
    distance = (place**2).mean(1) + left / films["rest"]
    scores = torch.from_numpy(place @ films["readout"][:-1] + films["readout"][-1]).float()
    layout = -functional.log_softmax(scores, 1)[:, 0].numpy()
    return {"distance": distance, "layout": layout, "kind": scores[:, 1:].argmax(1).numpy() + 1}


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(np.asarray(values, "<f2").tobytes()).decode()


def films_of(facts: dict) -> dict | None:
    """What data.json holds of the films, unpacked, with its limits; None where it holds nothing.
    Raises ValueError, KeyError or TypeError where that is not what `learn` gave."""
    if (stored := facts.get("intensity", {}).get("films")) is None:
        return None
    films = {}
    for name in ("mean", "axes", "spread", "rest", "readout"):
        values = np.frombuffer(base64.b64decode(stored[name]), "<f2").astype(np.float32)
        shape = {"axes": (-1, COARSE**2), "readout": (-1, len(KINDS))}.get(name, (-1,))
        films[name] = values.reshape(shape)
    count = len(films["spread"])
    shapes = [values.shape for values in films.values()]
    right = [(COARSE**2,), (count, COARSE**2), (count,), (1,), (count + 1, len(KINDS))]
    if shapes != right or not all(np.isfinite(values).all() for values in films.values()):
        raise ValueError("not the films' likeness")
    return films | {"limits": {name: float(stored["limits"][name]) for name in PERCENTILES}}


class Unusable(ValueError):
    """A data.json that holds other things than training writes."""


def check(facts: dict) -> None:
    """Raises Unusable where `unlike` or average_films would stumble over a study's data.json."""
    try:
        if sum(facts.get("sizes", {}).values()) > 10**8:
            raise ValueError
        unlike(np.zeros((2, 2), np.uint8), 0.0, facts, 4)
        average_films(facts, 4)
        named = all(isinstance(x, str) for x in facts.get("classes", {}))
        if not named or not set(facts.get("classes", {}).values()) <= {0, 1}:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
        raise Unusable("data.json: not as training writes it") from None


def average_films(facts: dict, size: int) -> np.ndarray:
    """The mean normal film of the training and the mean one with pneumonia, float32 (2, size, size)
    in 0-1; both an even gray where data.json does not hold them. Raises as films_of."""
    if not (stored := facts.get("intensity", {}).get("averages")):
        return np.full((2, size, size), 0.5, np.float32)
    films = np.stack([np.frombuffer(base64.b64decode(one), np.uint8) for one in stored])
    films = torch.from_numpy(films.reshape(2, 1, AFAR, AFAR) / np.float32(255))
    return functional.interpolate(films, (size, size), mode="bilinear")[:, 0].numpy()


def unlike(gray: np.ndarray, chroma: float, facts: dict, image_size: int) -> list[str]:
    """In what an image differs from those of the training, one line each; facts: the study's
    data.json.

    gray: uint8 (H, W). Told are: the ratio of its sides; its size, where its longer side is less
    than half of theirs; colour, above COLOURFUL; brightness and contrast, where they lie outside of
    the 99 % range of the training images by more than MARGIN of it; a layout and a distance (see
    `measure`) above their limits. What data.json does not say is not compared.
    """
    found = _unlike_in_shape(gray.shape, facts.get("sizes"))
    if chroma > COLOURFUL:
        found.append(f"it is in colour (chroma {chroma:.0f} of 255), radiographs are gray")
    if not (ranges := facts.get("intensity")):
        return found
    afar = from_afar(resize(gray, image_size)[None, None])
    for name, value in (("brightness", afar.mean()), ("contrast", afar.std())):
        low, _, high = ranges[name]
        margin = MARGIN * (high - low)
        if not low - margin <= value <= high + margin:
            span = f"{low:.0f} to {high:.0f}"
            found.append(f"its {name} is {value:.0f}, {span} in training images")
    if films := films_of(facts):
        measured, limits = measure(afar, films), films["limits"]
        if measured["layout"][0] > limits["layout"]:
            like = list(KINDS.values())[measured["kind"][0]]
            found.append(
                f"its layout is not that of an upright, whole, frontal film: most like {like} (or "
                "it is a lateral, or no chest film)"
            )
        if (distance := measured["distance"][0]) > limits["distance"]:
            found.append(
                f"its distance from the training films is {distance:.1f}, at most "
                f"{limits['distance']:.1f} for 995 in 1,000 of them (another kind of film or of "
                "patients, a negative, no chest film?)"
            )
    return found


def _unlike_in_shape(shape: tuple[int, int], counts: dict | None) -> list[str]:
    """counts: {"640x480": images}, of the training. Where they are all one square, they were
    brought to it, and the films' own shapes are unknown; else their 99 % range counts, and a tenth
    more."""
    if not counts:
        return []
    (height, width), found = shape, []
    sizes = [[int(side) for side in name.split("x")] for name in counts]
    sides = np.repeat(sizes, list(counts.values()), axis=0)
    low, high = np.percentile(sides[:, 0] / sides[:, 1], [0.5, 99.5])
    low, high, of = low / 1.1, high * 1.1, "in training images"
    if len(sizes) == 1 and sizes[0][0] == sizes[0][1]:
        (low, high), of = SHAPES, "for a chest film"
    if not low <= width / height <= high:
        found.append(
            f"its width is {width / height:.2f} times its height, {low:.2f} to {high:.2f} is usual "
            f"{of}: it is pressed into a square"
        )
    least = np.percentile(sides.max(1), 0.5)
    if max(width, height) < least / 2:
        found.append(
            f"it has {width}×{height} pixels, training images have {least:.0f} or more on the "
            "longer side"
        )
    return found

"""What a prediction leaves behind: what drove it, pixel by pixel, as a picture over the radiograph;
and the model for use elsewhere (torch.export), with its card."""

import io
import re
import warnings
from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from xray import data_phantoms, intervals, metrics
from xray.data_sources import PAPER
from xray.files import write_atomically
from xray.paper import REFERENCES
from xray.predict_inputs import make_ready
from xray.predict_weights import NOTICE, Chosen, PredictError, Thresholds
from xray.results import Run
from xray.specs import ModelSpec
from xray.study import describe

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
TOLERANCE = 1e-4  # of a logit, absolute and relative: float32 sums in another order
CALLED = {
    "accuracy": "accuracy",
    "recall": "sensitivity (recall)",
    "specificity": "specificity",
    "precision": "precision",
    "npv": "negative predictive value",
    "f1": "F1",
    "roc_auc": "area under the ROC",
    "average_precision": "average precision",
    "brier": "Brier score (0 is best)",
}


def write(chosen: Chosen, module, thresholds: Thresholds, paths: list[Path], file: Path) -> dict:
    """Write the module to `file` (.pt2) and its card beside it (-card.md); what was written is read
    again and checked, on those of the images at `paths` that can be read, else on phantoms.

    The program takes float32 (N, 1, S, S) in 0-1, N of 1 or more, and gives logits float32 (N,).
    Gives file, card, largest_difference (of a logit) and checked_on, in words. Raises PredictError
    where logits differ by more than TOLERANCE, and OSError.
    """
    size = chosen.run.image_size
    films = [make_ready(path, {}, size) for path in paths]
    films, which = [film.pixels for film in films if not film.reason], "of the images given"
    if not films:
        films = [data_phantoms.draw(number, number % 2 == 1, size) for number in range(4)]
        which = "phantoms"
    worst = _write_program(module, np.stack(films)[:, None], file)
    described = file.with_name(file.stem + "-card.md")
    write_atomically(described, card(chosen, thresholds, file.name).encode())
    checked = f"{len(films)} {which}"
    names = {"file": str(file), "card": str(described)}
    return names | {"largest_difference": worst, "checked_on": checked}


def _write_program(module, images: np.ndarray, file: Path) -> float:
    """The largest difference of a logit, over images uint8 (N, 1, S, S)."""
    pixels = torch.from_numpy(images).float().div_(255)
    batch = torch.export.Dim("batch", min=1)
    example = torch.zeros(2, *pixels.shape[1:])
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (example,), dynamic_shapes=({0: batch},))
        program.example_inputs = None  # they would be stored as a pickle
        torch.export.save(program, content)
    write_atomically(file, content.getvalue())
    try:
        program = torch.export.load(io.BytesIO(file.read_bytes())).module()
        worst = 0.0
        for part in (*pixels.split(1), *pixels.split(16)):  # one by one, and together
            expected, found = module(part), program(part)
            if not torch.allclose(expected, found, rtol=TOLERANCE, atol=TOLERANCE):
                raise PredictError(
                    f"{file}: the exported model gives other logits than the one it came from; "
                    "removed"
                )
            worst = max(worst, float((expected - found).abs().max()))
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return worst


def card(chosen: Chosen, thresholds: Thresholds, file: str) -> str:
    """The model card, Markdown."""
    run = chosen.run
    logits, labels = run.logits["test"], run.labels["test"]
    asked = dict.fromkeys((thresholds.paper, thresholds.sensitive, thresholds.decision))
    wanted = {"paper"} | ({"kermany", "mendeley"} if not run.data["phantom"] else set())
    wanted |= {"dataset"} if run.data["source"] == PAPER else set()
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return made.get_template("card.md").render(
        run=run,
        spec=run.spec,
        size=run.image_size,
        file=file,
        study=chosen.study,
        notice=NOTICE,
        structure=describe(run.spec),
        thresholds=[(one, _shares(run, one)) for one in asked if one],
        decision=thresholds.decision,
        reason=thresholds.reason,
        images=len(labels),
        positives=int(labels.sum()),
        called=CALLED,
        scores=metrics.scores(logits, labels, run.spec.batch_size),
        intervals=intervals.of_model(logits, labels),
        base=max(labels.mean(), 1 - labels.mean()),
        patients_mix=run.split == "given" or run.split.startswith("image"),
        references=[reference for reference in REFERENCES if reference.key in wanted],
    )


def _shares(run: Run, threshold) -> list[str]:
    """Sensitivity and specificity on validation, then on test, in percent."""
    labels, positive = run.labels["test"], run.logits["test"] > threshold.logit
    shares = [threshold.sensitivity, threshold.specificity] + [
        (positive == label)[labels == label].mean() if (labels == label).any() else np.nan
        for label in (1, 0)
    ]
    return ["–" if np.isnan(share) else f"{100 * share:.1f} %" for share in shares]


# of the image's side: the standard deviation of the Gaussian that maps are shown through
SMOOTHED = 1 / 40
STRONGEST = 0.65  # how much of the radiograph the strongest colour covers
# red and blue, as in the report
PNEUMONIA, NORMAL = np.array([235, 40, 45.0]), np.array([40, 120, 255.0])


def fold(module) -> tuple[np.ndarray, float]:
    """A Linear net's layers as one: its weight for each pixel, float64 (S * S,), and its bias."""
    weights, bias = np.eye(1), 0.0
    layers = [layer for layer in module.layer_stack if isinstance(layer, torch.nn.Linear)]
    for layer in reversed(layers):
        bias += (weights @ layer.bias.detach().double().numpy())[0]
        weights = weights @ layer.weight.detach().double().numpy()
    return weights[0], float(bias)


def contributions(spec: ModelSpec, module, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each pixel adds to the score of each image, and what is left: float32 (N, S, S) and
    float64 (N,).

    images: uint8 (N, 1, S, S). The sum of an image's contributions and its rest is the score. For
    Linear nets the score is the logit, a contribution is a pixel times its weight (fold), the rest
    is the bias: exact, the same weights for all images. The other nets are linear around each
    image, so a contribution is a pixel times the score's gradient there, and the rest is what the
    biases add: true for that image, and for others only as far as the same units are active. An
    MLP's score is taken before its last ReLU, so the logit is max(0, score), and an image that the
    ReLU shuts off has a map too. A black pixel contributes nothing, whatever it may mean that it is
    black.
    """
    if spec.family == "Linear":
        weights, bias = fold(module)
        maps = images.reshape(len(images), -1) / 255 * weights
        return maps.reshape(images[:, 0].shape).astype(np.float32), np.full(len(images), bias)
    pixels = torch.from_numpy(images).float().div_(255).requires_grad_()
    before_relu = spec.family == "Linear+ReLU"
    score = module.layer_stack[:-1](pixels)[:, 0] if before_relu else module(pixels)
    (gradient,) = torch.autograd.grad(score.sum(), pixels)
    maps = (gradient * pixels.detach())[:, 0]
    return maps.numpy(), (score.detach().double() - maps.double().sum((1, 2))).numpy()


def smooth(values: np.ndarray) -> np.ndarray:
    """A map (S, S) through a Gaussian of SMOOTHED of its side: single weights are mostly noise."""
    values = np.asarray(values, np.float64)
    return gaussian_filter(values, values.shape[-1] * SMOOTHED, mode="constant")


def draw_map(shown: np.ndarray, values: np.ndarray, title: str, note: str) -> bytes:
    """A PNG: the radiograph, beside it the same with the map over it, below them a legend and two
    lines of text.

    shown: uint8 (H, W), of thumbnail. values: (S, S), contributions; red adds to the score
    (pneumonia), blue takes from it (normal), full colour at the 99.5th percentile of this image's
    smoothed map.
    """
    height, width = shown.shape
    smoothed = smooth(values)
    limit = np.percentile(np.abs(smoothed), 99.5) or 1
    share = Image.fromarray(np.clip(smoothed / limit, -1, 1).astype(np.float32))
    share = np.asarray(share.resize((width, height), Image.Resampling.BILINEAR))
    gap, foot, side = 8, 92, max(width, 320)
    canvas = Image.new("RGB", (2 * side + 3 * gap, height + 2 * gap + foot), "white")
    margin = (side - width) // 2
    canvas.paste(Image.fromarray(shown).convert("RGB"), (gap + margin, gap))
    gray = np.repeat(shown[..., None], 3, 2).astype(np.float64)
    canvas.paste(Image.fromarray(_blend(gray, share)), (2 * gap + side + margin, gap))
    pen = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(17), ImageFont.load_default(14)
    top = height + 2 * gap
    pen.text((gap, top), title, "black", large)
    pen.text((gap, top + 62), note, "black", small)
    left, long = 2 * gap + side, 140
    before, after = "towards normal", "towards pneumonia"
    start = left + pen.textlength(before, small) + 8
    pen.text((left, top + 32), before, "black", small)
    strip = np.repeat(np.linspace(-1, 1, long)[None], 16, 0)
    legend = Image.fromarray(_blend(np.full((16, long, 3), 110.0), strip))
    canvas.paste(legend, (int(start), top + 33))
    pen.text((start + long + 8, top + 32), after, "black", small)
    pen.text((gap, top + 32), "left: as read; right: what drove the score", "black", small)
    stream = io.BytesIO()
    # the highest level takes 20 times as long for a tenth less
    canvas.save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def _blend(gray: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Colours over gray (H, W, 3): share (H, W), -1 to 1, from NORMAL over none to PNEUMONIA."""
    cover = (np.abs(share) ** 0.8 * STRONGEST)[..., None]
    colour = np.where(share[..., None] > 0, PNEUMONIA, NORMAL)
    return np.rint(gray * (1 - cover) + colour * cover).astype(np.uint8)


def map_path(folder: Path, image: Path, model: str, taken: set[str]) -> Path:
    """Where an image's map goes: folder/<name>-<model>.png, numbered where that is taken, and takes
    it.

    The name keeps letters, digits, '.', '_' and '-' of the image's. taken: paths as `key` gives
    them, of all inputs and of the maps placed so far.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", image.stem).strip("-.")[:80] or "image"
    number, path = 1, folder / f"{stem}-{model}.png"
    while key(path) in taken:
        number += 1
        path = folder / f"{stem}-{model}-{number}.png"
    taken.add(key(path))
    return path


def key(path: Path) -> str:
    """A path as file systems compare it that do not tell A from a."""
    return str(Path(path).resolve()).casefold()

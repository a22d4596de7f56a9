"""A person's own image files -> gray pixels: found in folders, decoded as training images are;
DICOM with pydicom. And what images look like from afar, so that one of another kind than the
training images is told: a photograph, a negative, a blank film."""

import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import adaptive_avg_pool2d

from xray import data_images
from xray.data_images import Unreadable, resize

SUFFIXES = tuple(".png .jpg .jpeg .tif .tiff .bmp .webp .gif .pgm .dcm .dicom".split())
LARGEST_FILE = 500_000_000  # bytes; the largest detectors' films take a tenth of it


class Film(NamedTuple):
    gray: np.ndarray  # uint8 (H, W)
    # how colourful the file is: mean of max - min over R, G, B, 0-255; 0 for a gray one
    chroma: float


def find_files(names: list[str], leave_out: Path | None = None) -> tuple[list[Path], list[tuple]]:
    """Files and folders -> (image files in order, each once; what cannot be used: path, reason).

    A folder stands for the files under it whose names end as images' do, by path, without hidden
    ones, links to folders, and what lies in `leave_out`.
    """
    found, problems = {}, []
    for name in map(Path, names):
        try:
            inside, reason = [name], ""
            if name.is_dir():
                inside = _walk(name, leave_out and leave_out.resolve())
                reason = "" if inside else "a folder without images"
            elif not name.is_file():
                there = os.path.lexists(name) and name.exists()
                inside, reason = [], "not a file" if there else "no such file"
            if reason:
                problems.append((name, reason))
            for path in inside:
                found.setdefault(os.path.abspath(path), path)
        except (OSError, ValueError) as error:  # ValueError: a null character
            problems.append((name, getattr(error, "strerror", None) or "not a path"))
    return list(found.values()), problems


def _walk(folder: Path, leave_out: Path | None) -> list[Path]:
    inside = []
    for root, folders, files in os.walk(folder):
        root, seen = Path(root), sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in seen if (root / name).resolve() != leave_out]
        names = sorted(name for name in files if not name.startswith("."))
        paths = [root / name for name in names if name.lower().endswith(SUFFIXES)]
        inside += [path for path in paths if path.is_file()]
    return inside


def read_film(path: Path) -> Film:
    """Read one file as data_images.read does. Raises Unreadable with the reason."""
    try:
        size = os.stat(path).st_size
        if size > LARGEST_FILE:
            raise Unreadable(f"{size / 1e6:.0f} MB, more than is sensible")
        encoded = Path(path).read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    if encoded[128:132] == b"DICM" or Path(path).suffix.lower() in (".dcm", ".dicom"):
        return Film(dicom(encoded), 0.0)
    gray = data_images.read(encoded).pixels
    return Film(gray, _chroma(encoded))


def _chroma(encoded: bytes) -> float:
    """Of a file that could be read."""
    with Image.open(io.BytesIO(encoded)) as image:
        if image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I"):
            return 0.0
        image.draft("RGB", (64, 64))
        small = image.convert("RGB").resize((64, 64), Image.Resampling.BOX)
        channels = np.asarray(small, np.float32)
    return float((channels.max(2) - channels.min(2)).mean())


# ---- DICOM


def dicom(encoded: bytes) -> np.ndarray:
    """A DICOM file of one gray frame -> uint8 (H, W), white is dense.

    Stored values go through the modality transform (rescale slope and intercept), then the first
    window or VOI table, or where there is none the range of the values (padding left out);
    MONOCHROME1 is inverted. Raises Unreadable.
    """
    try:
        import pydicom
        from pydicom import pixels  # noqa: F401  (since version 3)
    except ImportError:
        raise Unreadable(
            "a DICOM file; to read it: pip install pydicom (3 or later), or save it as PNG"
        ) from None
    try:
        file = pydicom.dcmread(io.BytesIO(encoded), force=True)
        frames = int(file.get("NumberOfFrames") or 1)
        kind = str(file.get("PhotometricInterpretation"))
        if "PixelData" not in file:
            raise Unreadable("a DICOM file without an image")
        if frames > 1:
            raise Unreadable(f"a DICOM file of {frames} frames; save the one to use as PNG")
        if kind not in ("MONOCHROME1", "MONOCHROME2"):
            raise Unreadable(f"a DICOM file in colours ({kind[:20]}); save it as PNG")
        if file.Rows * file.Columns > data_images.MAX_PIXELS:
            raise Unreadable(f"{file.Columns}x{file.Rows} pixels, more than is sensible")
        if not getattr(file.file_meta, "TransferSyntaxUID", None):
            # what a file without a header is in
            file.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        share = _displayed(file)
    except Unreadable:
        raise
    # pydicom raises anything on damaged files, and where a compression needs a package
    except Exception as error:
        raise Unreadable(
            "a damaged DICOM file, or one in a compression that pydicom cannot read here: "
            + " ".join(str(error).split())[:100]
        ) from None
    if kind == "MONOCHROME1":
        share = 1 - share
    return np.rint(255 * share).astype(np.uint8)


def _displayed(file) -> np.ndarray:
    """What a pydicom data set displays, float64 (H, W) in 0-1, MONOCHROME1 not yet inverted."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    stored = file.pixel_array
    values = np.asarray(apply_modality_lut(stored, file), np.float64)
    if table := file.get("VOILUTSequence"):
        shown = apply_voi_lut(values.astype(np.int64), file)
        return np.clip(shown / (2 ** table[0].LUTDescriptor[2] - 1), 0, 1)
    names = "WindowCenter", "WindowWidth"
    centre, width = (np.atleast_1d(file.get(name, np.nan))[0] for name in names)
    if centre is None or width is None or not float(width) > 0:
        padded = "PixelPaddingValue" in file
        real = values[stored != file.PixelPaddingValue] if padded else values
        low, high = (real.min(), real.max()) if real.size else (0, 0)
        return np.clip((values - low) / ((high - low) or 1), 0, 1)
    centre, width, shape = float(centre), float(width), str(file.get("VOILUTFunction") or "LINEAR")
    if shape == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if shape == "LINEAR":  # PS3.3 C.11.2.1.2.1: the window's ends are pixel centres
        centre, width = centre - 0.5, max(width - 1, 1e-9)
    return np.clip((values - centre) / width + 0.5, 0, 1)


AFAR = 32  # squares a side of an image seen from afar
LAYOUT = 8  # squares a side of what the images share
# mean chroma of 255, see Film: tinted scans stay under it, photographs do not
COLOURFUL = 12
# How far out of the training images' 99 % range an image may lie, in such ranges. Of 582 test
# radiographs 1 is then told, of their negatives all, on their side more than 99 %; upside down few,
# since a chest is much alike both ways.
MARGINS = {"brightness": 0.1, "contrast": 0.1, "likeness": 0.5}


def from_afar(images: np.ndarray) -> np.ndarray:
    """uint8 (N, 1, S, S) -> float32 (N, AFAR, AFAR): means over squares, 0-255, for any S."""
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


SHOWN = 600  # pixels of a picture's longer side


def thumbnail(gray: np.ndarray) -> np.ndarray:
    """uint8 (H, W) -> the picture with SHOWN pixels on its longer side, 24 or more on the other."""
    height, width = (max(24, round(side * SHOWN / max(gray.shape))) for side in gray.shape)
    return np.asarray(Image.fromarray(gray).resize((width, height), Image.Resampling.BICUBIC))


class Ready(NamedTuple):
    """A film made ready for a model, or the reason why it cannot be read."""

    reason: str = ""
    pixels: np.ndarray | None = None  # uint8 (S, S)
    shown: np.ndarray | None = None  # uint8, of thumbnail
    warnings: list[str] = []


def make_ready(path: Path, facts: dict, size: int) -> Ready:
    """Read one file. facts: of the study, see `unlike`; size: pixels a side of the model."""
    try:
        gray, chroma = read_film(path)
        warnings = unlike(gray, chroma, facts, size)
        return Ready("", resize(gray, size), thumbnail(gray), warnings)
    except Unreadable as error:
        return Ready(str(error))
    except MemoryError:
        return Ready("too large for this machine's memory")

"""A person's own image files -> gray pixels: found in folders, decoded as training images are;
DICOM with pydicom.
"""

import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from xray import data_images
from xray.data_images import Unreadable

SUFFIXES = tuple(".png .jpg .jpeg .tif .tiff .bmp .webp .gif .pgm .dcm .dicom".split())
LARGEST_FILE = 500_000_000  # bytes; the largest detectors' films take a tenth of it


class Film(NamedTuple):
    gray: np.ndarray  # uint8 (H, W)
    # how colourful the file is: mean of max - min over R, G, B, 0-255; 0 for a gray one
    chroma: float


def find(names: list[str], leave_out: Path | None = None) -> tuple[list[Path], list[tuple]]:
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


def read(path: Path) -> Film:
    """Read one file as training images are (images.read). Raises Unreadable with the reason."""
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

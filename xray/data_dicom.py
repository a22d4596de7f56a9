"""One DICOM file -> one gray frame of pixels, as a viewer shows it. What keeps a file from being
read is in data_dicom_header.py."""

import io
from typing import NamedTuple

import numpy as np

from xray import data_dicom_header as header
from xray.data_images import LARGEST_FILE, NO_MEMORY, Unreadable, too_large


class Shown(NamedTuple):
    gray: np.ndarray  # uint8 (H, W), white is dense
    other: str  # the tag by which it is no frontal chest film, "Modality MR", or ""
    notes: list[str]  # how it was read where that is not plain, one line each


def read(encoded: bytes, any_kind: bool = True) -> Shown:
    """A DICOM file of one gray frame, as it is to be displayed.

    Stored values go through the modality transform (rescale or table), then the first VOI table or
    window, or where there is none that can be used the range of the values (padding left out);
    MONOCHROME1 is inverted. any_kind False: what is tagged as no frontal chest film is refused
    before its pixels are read. Raises Unreadable.
    """
    try:
        import pydicom
        from pydicom import pixels  # noqa: F401  (since version 3)
    except ImportError:
        why = f"a DICOM file; to read it: {header.GET}, or save it as PNG"
        raise Unreadable(why) from None
    if len(encoded) > LARGEST_FILE:
        raise Unreadable(too_large(len(encoded)))
    try:
        stream = io.BytesIO(header.inflated(encoded, pydicom))
        file = pydicom.dcmread(stream, force=True, specific_tags=header.TAGS)
        other = header.not_frontal(file)
        if other and not any_kind:
            raise Unreadable(f"no frontal chest film by its tags ({other})")
        header.check(file, pydicom)
        gray, notes = _displayed(file, pydicom)
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable(NO_MEMORY) from None
    # pydicom and the decoders raise anything on damaged files
    except Exception as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise Unreadable(f"a damaged DICOM file: {reason}") from None
    return Shown(gray, other, notes)


def _displayed(file, pydicom) -> tuple[np.ndarray, list[str]]:
    """uint8 (H, W), and notes: see read."""
    notes, stored = [], _stored(file, pydicom)
    modality, shade = _modality(file, notes), _voi(file, notes)
    padding = _padding(file, stored.dtype)
    step = max(1, 2**20 // stored.shape[1])  # rows at once: float64 of all would be large
    blocks = [stored[start : start + step] for start in range(0, len(stored), step)]
    if shade is None:
        ends = []
        for block in blocks:
            values = modality(block)[(block < padding[0]) | (block > padding[1])]
            ends += [values.min(), values.max()] if values.size else []
        low, high = (min(ends), max(ends)) if ends else (0, 0)

        def shade(values):
            return (values - low) / ((high - low) or 1)

    gray = np.empty(stored.shape, np.uint8)
    for number, block in enumerate(blocks):
        share = np.clip(shade(modality(block)), 0, 1)
        share = 1 - share if file.PhotometricInterpretation == "MONOCHROME1" else share
        gray[number * step : (number + 1) * step] = np.rint(255 * share)
    return gray, list(dict.fromkeys(notes))


def _stored(file, pydicom) -> np.ndarray:
    """Stored values (H, W), of the bits that hold them: the others may hold an overlay."""
    bits, high = (file.get(name) for name in ("BitsStored", "HighBit"))
    packed = file.file_meta.TransferSyntaxUID.is_encapsulated or "PixelData" not in file
    if packed or high in (None, bits - 1) or not bits - 1 <= high < file.BitsAllocated:
        stored = _decoded(file, pydicom)
    else:
        stored = pydicom.pixels.pixel_array(file, index=0, correct_unused_bits=False)
        left, right = file.BitsAllocated - 1 - high, file.BitsAllocated - bits
        stored = (stored << left) >> right  # of its own type: a sign is carried along
    if stored.ndim != 2:
        raise Unreadable("a DICOM file that is not one gray frame")
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise Unreadable("a DICOM file with numbers that are not finite")
    return stored


def _decoded(file, pydicom) -> np.ndarray:
    """The first frame; where a decoder is there but fails, the error names those that are not."""
    syntax = file.file_meta.TransferSyntaxUID
    try:
        return pydicom.pixels.pixel_array(file, index=0)
    except Exception:
        if syntax.is_encapsulated and pydicom.pixels.get_decoder(syntax).missing_dependencies:
            raise Unreadable(
                header.no_decoder(syntax, "cannot be read with what is here")
            ) from None
        raise


def _padding(file, kind: np.dtype) -> tuple[float, float]:
    """The range of stored values that pad the image, in the stored type; an empty one for none."""
    if not isinstance(pad := file.get("PixelPaddingValue"), int) or kind.kind == "f":
        return np.inf, -np.inf
    limit = file.get("PixelPaddingRangeLimit")
    limit = limit if isinstance(limit, int) else pad
    # some write -2000 as 63536, or the other way round
    ends = [int(np.array(value).astype(kind)) for value in (pad, limit)]
    return min(ends), max(ends)


def _number(file, name: str) -> float:
    """A tag's first value, nan where it has none that is a number."""
    value = file.get(name)
    value = value if isinstance(value, (str, float, int)) or value is None else [*value, None][0]
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def _modality(file, notes):
    """What turns stored values into those that windows speak of, float64."""
    if table := _table(file, "ModalityLUTSequence", notes):
        return lambda stored: _look_up(table, stored)
    slope, shift = _number(file, "RescaleSlope"), _number(file, "RescaleIntercept")
    if not np.isfinite(slope) or slope == 0:
        if "RescaleSlope" in file:
            notes.append("its rescale slope is no number to multiply with: not applied")
        slope = 1.0
    shift = shift if np.isfinite(shift) else 0.0
    return lambda stored: stored.astype(np.float64) * slope + shift


def _voi(file, notes):
    """What turns those values into shares of white, or None where the file does not say."""
    if table := _table(file, "VOILUTSequence", notes):
        top = 2 ** max(1, int(table[1].max()).bit_length()) - 1
        if top != 2 ** table[2] - 1:
            notes.append("its table has other bits than it says: scaled by those in use")
        return lambda values: _look_up(table, values) / top
    centre, width = _number(file, "WindowCenter"), _number(file, "WindowWidth")
    shape = str(file.get("VOILUTFunction") or "LINEAR").upper()
    if not np.isfinite([centre, width]).all() or width <= 0:
        if "WindowWidth" in file:
            notes.append("its window cannot be used: the range of its values is")
        return None
    if shape == "SIGMOID":
        return lambda values: 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if shape == "LINEAR" and width < 1:  # PS3.3 C.11.2.1.2.1 defines it from 1 on
        notes.append(f"its window is {width:g} wide, less than LINEAR allows: read as LINEAR_EXACT")
    elif shape == "LINEAR":  # its ends are pixel centres
        centre, width = centre - 0.5, max(width - 1, 1e-9)
    return lambda values: (values - centre) / width + 0.5


def _table(file, name: str, notes) -> tuple[float, np.ndarray, int] | None:
    """The first entry's value, the entries and their declared bits of a sequence's first table that
    has any; None where none has."""
    for item in file.get(name) or []:
        described, data = item.get("LUTDescriptor"), item.get("LUTData")
        if not data or not described or len(described) != 3:
            notes.append(f"an empty table in {name} is passed over")
            continue
        count, first, bits = described
        if isinstance(data, bytes):
            order = "<" if file.file_meta.TransferSyntaxUID.is_little_endian else ">"
            kind = "u1" if len(data) < 2 * (count or 2**16) - 1 and bits <= 8 else f"{order}u2"
            data = np.frombuffer(data[: len(data) // 2 * 2], kind)
        entries = np.atleast_1d(np.asarray(data)).astype(np.int64)[: count or 2**16]
        signed = file.get("PixelRepresentation") or _number(file, "RescaleIntercept") < 0
        return first - 2**16 * (first >= 2**15 and bool(signed)), entries, bits
    return None


def _look_up(table, values: np.ndarray) -> np.ndarray:
    first, entries, _ = table
    place = np.clip(np.rint(values.astype(np.float64) - first), 0, len(entries) - 1)
    return entries[place.astype(np.int64)].astype(np.float64)

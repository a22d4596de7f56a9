"""One DICOM file -> one gray film, as a viewer shows it; what it says it is and promises is looked
at before any pixel is decoded."""

import io
import re
import struct
import zlib
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom import pixels  # noqa: F401  (pydicom.pixels, since version 3)

# A header that promises more is taken for a bomb; the largest detectors give a third of it.
MAX_PIXELS = 64_000_000
LARGEST_FILE = 150_000_000  # bytes: such an image in 16 bits, not packed

CHEST = {"CHEST", "THORAX", "TORAX", "LUNG", "LUNGS"}
ELSEWHERE = {"ABDOMEN", "ABD", "PELVIS", "SPINE"}
FRONTAL = {"AP", "PA", "FRONTAL", "ANTEROPOSTERIOR", "POSTEROANTERIOR"}
UNKNOWN = {"", "UNKNOWN", "NONE", "NA", "OTHER"}
# what is read of a file; the rest, however much, is passed over
TAGS = (
    "SOPClassUID Modality BodyPartExamined ViewPosition PresentationIntentType PatientOrientation "
    "ViewCodeSequence AnatomicRegionSequence NumberOfFrames SamplesPerPixel "
    "PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation "
    "PlanarConfiguration PixelPaddingValue PixelPaddingRangeLimit RescaleSlope RescaleIntercept "
    "ModalityLUTSequence VOILUTSequence WindowCenter WindowWidth VOILUTFunction PixelData "
    "FloatPixelData DoubleFloatPixelData ExtendedOffsetTable ExtendedOffsetTableLengths"
).split()


class Unreadable(ValueError):
    """An image that cannot be decoded; the message is the reason, in a few words."""


class Shown(NamedTuple):
    pixels: np.ndarray  # uint8 (H, W), white is dense
    notes: list[str]  # how it was read where that is not plain, one line each


def read(encoded: bytes, any_kind: bool = False) -> Shown:
    """A DICOM file of one gray frame, as it is to be displayed.

    Stored values go through the modality transform (rescale or table), then the first VOI table or
    window, or where there is none that can be used the range of the values (padding left out);
    MONOCHROME1 is inverted. any_kind: what is tagged as no frontal chest film is read, and notes
    say so; else it is refused before its pixels are read. Raises Unreadable, MemoryError.
    """
    try:
        file = pydicom.dcmread(io.BytesIO(_inflated(encoded)), force=True, specific_tags=TAGS)
        other = not_frontal(file)
        if other and not any_kind:
            raise Unreadable(f"no frontal chest film by its tags ({other})")
        _check(file)
        gray, notes = _displayed(file)
    except (Unreadable, MemoryError):
        raise
    # pydicom and the decoders raise anything on damaged files
    except Exception as error:
        text = "".join(filter(str.isprintable, " ".join(str(error).split())))
        reason = text[:100] or type(error).__name__
        raise Unreadable(f"a damaged DICOM file: {reason}") from None
    if other:
        notes = [f"no frontal chest film by its tags ({other}), read since --any is given", *notes]
    return Shown(gray, notes)


def _displayed(file) -> tuple[np.ndarray, list[str]]:
    """uint8 (H, W), and notes: see read."""
    notes, stored = [], _stored(file)
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


def _stored(file) -> np.ndarray:
    """Stored values (H, W), of the bits that hold them: the others may hold an overlay."""
    bits, high = (file.get(name) for name in ("BitsStored", "HighBit"))
    packed = file.file_meta.TransferSyntaxUID.is_encapsulated or "PixelData" not in file
    if packed or high in (None, bits - 1) or not bits - 1 <= high < file.BitsAllocated:
        stored = pydicom.pixels.pixel_array(file, index=0)
    else:
        stored = pydicom.pixels.pixel_array(file, index=0, correct_unused_bits=False)
        left, right = file.BitsAllocated - 1 - high, file.BitsAllocated - bits
        stored = (stored << left) >> right  # of its own type: a sign is carried along
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise Unreadable("a DICOM file with numbers that are not finite")
    return stored


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
            notes.append("its rescale slope is not a usable number: not applied")
        slope = 1.0
    shift = shift if np.isfinite(shift) else 0.0
    return lambda stored: stored.astype(np.float64) * slope + shift


def _voi(file, notes):
    """What turns those values into shares of white, or None where the file does not say."""
    if table := _table(file, "VOILUTSequence", notes):
        top = 2 ** max(1, int(table[1].max()).bit_length()) - 1
        if top != 2 ** table[2] - 1:
            notes.append("its table has not as many bits as it says: scaled by those in use")
        return lambda values: _look_up(table, values) / top
    centre, width = _number(file, "WindowCenter"), _number(file, "WindowWidth")
    shape = str(file.get("VOILUTFunction") or "LINEAR").upper()
    if not np.isfinite([centre, width]).all() or width <= 0:
        if "WindowWidth" in file:
            notes.append("its window cannot be used: the range of its values is taken")
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
            notes.append(f"an empty table in {name} is ignored")
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


# ---- what it says it is


def not_frontal(file) -> str:
    """The tag, with its value, by which a pydicom data set is no frontal chest film; "" where none
    says so: CR, DX or RG (or unknown), of the chest (or unknown), AP or PA (or unknown), processed
    for display."""
    modality = _text(file.get("Modality"))
    if _plain(modality) not in UNKNOWN | {"CR", "DX", "RG"}:
        return f"Modality {modality}"
    for name, sequence in (
        ("BodyPartExamined", "AnatomicRegionSequence"),
        ("ViewPosition", "ViewCodeSequence"),
    ):
        value = _text(file.get(name))
        if _plain(value) in UNKNOWN and (items := file.get(sequence)):
            name, value = sequence, _text(items[0].get("CodeMeaning"))
        words = set(re.split(r"[\W_\d]+", value.upper()))
        right = words & CHEST and not words & ELSEWHERE
        if name.startswith("View"):
            right = words & FRONTAL or _plain(value) in FRONTAL
        if _plain(value) not in UNKNOWN and not right:
            return f"{name} {value}"
        if name.startswith("View") and _plain(value) in UNKNOWN:
            axes = file.get("PatientOrientation") or [""]
            if _text(axes[0])[:1] in ("A", "P"):  # its rows run from back to front
                return "PatientOrientation " + "\\".join(map(_text, axes))
    intent = _text(file.get("PresentationIntentType"))
    return f"PresentationIntentType {intent}" if _plain(intent) == "FORPROCESSING" else ""


def _text(value) -> str:
    """A tag's value as one short line of plain characters."""
    text = "" if value is None else str(value)
    return "".join(c for c in text if c.isprintable()).strip()[:40]


def _plain(text: str) -> str:
    return re.sub(r"[^A-Z]", "", text.upper())


# ---- what its header promises, before its pixels are decoded


def _inflated(encoded: bytes) -> bytes:
    """The file, and where it is deflated as a whole, the same not deflated."""
    if encoded[128:132] != b"DICM":
        return encoded
    stream = io.BytesIO(encoded)
    stream.seek(132)
    meta = pydicom.filereader.read_dataset(
        stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2
    )
    uid = pydicom.uid
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return encoded
    start = stream.tell()
    if length := meta.get("FileMetaInformationGroupLength"):
        start = 132 + 12 + length
    deflated = zlib.decompressobj(-zlib.MAX_WBITS)
    content = deflated.decompress(encoded[start:], LARGEST_FILE)
    if deflated.unconsumed_tail:
        raise Unreadable(f"a DICOM file that inflates to more than {LARGEST_FILE / 1e6:.0f} MB")
    syntax = uid.ExplicitVRLittleEndian.encode() + b"\0"
    return bytes(128) + b"DICM\x02\0\x10\0UI" + struct.pack("<H", len(syntax)) + syntax + content


def _check(file) -> None:
    """Raises Unreadable where it has no image that can be shown here, or more than is sensible."""
    frames, kind = int(file.get("NumberOfFrames") or 1), str(file.get("PhotometricInterpretation"))
    keywords = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    if not any(name in file for name in keywords):
        raise Unreadable("a DICOM file without an image")
    if frames > 1:
        raise Unreadable(f"a DICOM file of {frames} frames; save the one to use as PNG")
    if "PhotometricInterpretation" not in file:
        raise Unreadable("a damaged DICOM file: it has no PhotometricInterpretation")
    if kind not in ("MONOCHROME1", "MONOCHROME2") or file.get("SamplesPerPixel", 1) != 1:
        raise Unreadable(f"a DICOM file in colours ({_text(kind)}); save it as PNG")
    if file.Rows * file.Columns > MAX_PIXELS:
        raise Unreadable(too_large(file.Columns, file.Rows))
    if not getattr(file.file_meta, "TransferSyntaxUID", None):
        # what a file without a header is in
        file.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    syntax = file.file_meta.TransferSyntaxUID
    try:
        pydicom.pixels.get_decoder(syntax)
    except NotImplementedError:
        raise Unreadable(
            f"a DICOM file in {_text(syntax.name)}, which cannot be read here"
        ) from None
    if syntax.is_encapsulated:
        _check_frame(file)


def _check_frame(file) -> None:
    """Compare what is packed with what the header says: a decoder believes the former."""
    frame = pydicom.encaps.get_frame(file.PixelData, 0, number_of_frames=1)
    promised = file.Columns * file.Rows
    if file.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless:
        unpacked, most = _unpacked(frame, 2 * promised * (file.BitsAllocated // 8)), None
    else:
        unpacked, most = frame_size(frame), (file.Columns, file.Rows, 1)
    if unpacked is None or most and unpacked != most:
        inside = "more than that" if unpacked is None else "{}x{} of {}".format(*unpacked)
        raise Unreadable(
            f"a damaged DICOM file: {file.Columns}x{file.Rows} pixels by its header, {inside} "
            "in its frame"
        )


def frame_size(frame: bytes) -> tuple[int, int, int]:
    """Columns, rows and channels that a JPEG, JPEG-LS or JPEG 2000 stream promises; raises
    ValueError where it promises none."""
    at = frame.find(b"\xff\x4f\xff\x51")  # JPEG 2000, bare or in the boxes of a JP2 file
    if at >= 0 and not frame.startswith(b"\xff\xd8"):
        right, lower, left, upper = struct.unpack(">4I", frame[at + 8 : at + 24])
        return right - left, lower - upper, struct.unpack(">H", frame[at + 40 : at + 42])[0]
    at = 2
    while frame.startswith(b"\xff\xd8") and at + 10 <= len(frame):
        if frame[at] != 0xFF:
            break
        code = frame[at + 1]
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC) or code == 0xF7:
            rows, columns, channels = struct.unpack(">HHB", frame[at + 5 : at + 10])
            return columns, rows, channels
        at += 1 if code == 0xFF else 2 + struct.unpack(">H", frame[at + 2 : at + 4])[0]
    raise ValueError("no JPEG stream that names its size")


def _unpacked(frame: bytes, most: int) -> int | None:
    """How many bytes an RLE frame's segments unpack to; None where that is more than `most`."""
    count, *starts = struct.unpack("<16I", frame[:64])
    starts = [*starts[: min(count, 15)], len(frame)]
    total = 0
    for start, end in zip(starts, starts[1:]):
        segment, at = frame[start:end], 0
        while at < len(segment) and total <= most:
            code = segment[at]
            total += code + 1 if code < 128 else (257 - code) * (code > 128)
            at += code + 2 if code < 128 else 1 + (code > 128)
    return total if total <= most else None


def too_large(*size: int) -> str:
    """The reason why a file of so many bytes, or an image of that width and height, is not read."""
    if len(size) == 1:
        return f"{size[0] / 1e6:.0f} MB, more than the {LARGEST_FILE / 1e6:.0f} that are sensible"
    most = f"the {MAX_PIXELS / 1e6:.0f} million that are sensible"
    return f"{size[0]}x{size[1]} pixels, more than {most}"


def is_dicom(start: bytes, name: str = "") -> bool:
    """Whether a file is one, from its first 132 bytes or its name."""
    return start[128:132] == b"DICM" or name.lower().endswith((".dcm", ".dicom"))

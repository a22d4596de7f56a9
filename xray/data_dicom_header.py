"""What a DICOM file says it is, and what keeps it from being read: all of it known from its header,
before any pixel is decoded."""

import io
import re
import struct
import zlib

from xray.data_images import LARGEST_FILE, MAX_PIXELS, Unreadable, too_large

GET = "pip install -r requirements-dicom.txt (make dicom does)"
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


def is_dicom(start: bytes, name: str = "") -> bool:
    """Whether a file is one, from its first 132 bytes or its name."""
    return start[128:132] == b"DICM" or name.lower().endswith((".dcm", ".dicom"))


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


def inflated(encoded: bytes, pydicom) -> bytes:
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


def check(file, pydicom) -> None:
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
    if not file.Rows * file.Columns:
        raise Unreadable("a DICOM file without an image: 0 pixels")
    if file.Rows * file.Columns > MAX_PIXELS:
        raise Unreadable(too_large(file.Columns, file.Rows))
    if not getattr(file.file_meta, "TransferSyntaxUID", None):
        # what a file without a header is in
        file.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    syntax = file.file_meta.TransferSyntaxUID
    try:
        decoder = pydicom.pixels.get_decoder(syntax)
    except NotImplementedError:
        raise Unreadable(
            f"a DICOM file in {_text(syntax.name)}, which cannot be read here"
        ) from None
    if not decoder.is_available:
        raise Unreadable(no_decoder(syntax, "needs a decoder"))
    if syntax.is_encapsulated:
        _check_frame(file, pydicom)


def no_decoder(syntax, why: str) -> str:
    """The reason where a compression cannot be read here."""
    named = f"a DICOM file in {_text(syntax.name)} {why}; pylibjpeg and its plug-ins may read it"
    return f"{named}: {GET}"


def _check_frame(file, pydicom) -> None:
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

"""DICOM files become the gray pixels that a viewer would show, or are refused in one line; what
they say they are is believed."""

import struct
import sys

import numpy as np
import pytest
from samples import dicom_file

from xray import data_dicom, data_dicom_header, data_images, predict_inputs


def dicom(path, values, kind="MONOCHROME2", **fields):
    path.write_bytes(dicom_file(np.asarray(values), kind, **fields))
    return path


def shown(values, kind="MONOCHROME2", **fields) -> data_dicom.Shown:
    return data_dicom.read(dicom_file(np.asarray(values), kind, **fields))


def refused(encoded: bytes, any_kind: bool = True) -> str:
    with pytest.raises(data_images.Unreadable) as caught:
        data_dicom.read(encoded, any_kind)
    text = str(caught.value)
    assert len(text) < 300 and text.isprintable()
    return text


RAMP = np.array([[0, 1000], [2000, 3000]])


def test_dicom_is_shown_through_its_window(tmp_path):
    values = np.array([[0, 1000], [2000, 3000]])
    assert predict_inputs.read_film(dicom(tmp_path / "a.dcm", values)).gray.tolist() == [
        [0, 85],
        [170, 255],
    ]
    window = {"WindowCenter": 1500.5, "WindowWidth": 1001}
    assert predict_inputs.read_film(dicom(tmp_path / "a.dcm", values, **window)).gray.tolist() == [
        [0, 0],
        [255, 255],
    ]
    exact = {"WindowCenter": 1500, "WindowWidth": 4000, "VOILUTFunction": "LINEAR_EXACT"}
    assert predict_inputs.read_film(dicom(tmp_path / "a.dcm", values, **exact)).gray.tolist() == [
        [32, 96],
        [159, 223],
    ]
    # stored 2000 is 1000 - 500 = 500 after the rescale: the middle of the window
    rescaled = {
        "RescaleSlope": 0.5,
        "RescaleIntercept": -500,
        "WindowCenter": [500, 9],
        "WindowWidth": [1000, 9],
        "VOILUTFunction": "LINEAR_EXACT",
    }
    assert predict_inputs.read_film(dicom(tmp_path / "a", values, **rescaled)).gray.tolist() == [
        [0, 0],
        [128, 255],
    ]
    inverted = predict_inputs.read_film(dicom(tmp_path / "a.dcm", values, "MONOCHROME1")).gray
    assert inverted.tolist() == [[255, 170], [85, 0]]
    padded = predict_inputs.read_film(
        dicom(tmp_path / "a.dcm", np.array([[4000, 1000], [2000, 3000]]), PixelPaddingValue=4000)
    )
    assert padded.gray.tolist() == [[255, 0], [128, 255]]


def test_dicom_that_is_no_gray_frame_is_refused(tmp_path):
    values = np.zeros((2, 4, 4))
    with pytest.raises(data_images.Unreadable, match="2 frames"):
        predict_inputs.read_film(dicom(tmp_path / "a.dcm", values, NumberOfFrames=2))
    with pytest.raises(data_images.Unreadable, match="in colours"):
        predict_inputs.read_film(dicom(tmp_path / "a.dcm", values[0], "RGB"))
    content = dicom(tmp_path / "a.dcm", values[0]).read_bytes()
    for damaged in (content[:-10], content[:200], b"not DICOM at all", b""):
        (tmp_path / "b.dcm").write_bytes(damaged)
        with pytest.raises(data_images.Unreadable):
            predict_inputs.read_film(tmp_path / "b.dcm")


# ---- windows, tables, padding and bits that are not as they should be


def test_a_window_narrower_than_linear_allows_is_read_as_exact():
    found = shown(RAMP, WindowCenter=1000, WindowWidth=0.5)
    assert found.gray.tolist() == [[0, 128], [255, 255]]
    assert found.notes == ["its window is 0.5 wide, less than LINEAR allows: read as LINEAR_EXACT"]
    assert shown(RAMP, WindowCenter=1000, WindowWidth=1).gray.tolist() == [[0, 255], [255, 255]]


@pytest.mark.parametrize("width", [0, -5, None, "nan"])
def test_a_window_that_cannot_be_used_gives_way_to_the_range(width):
    found = shown(RAMP, WindowCenter=1000, WindowWidth=width)
    assert found.gray.tolist() == [[0, 85], [170, 255]]
    assert found.notes == ["its window cannot be used: the range of its values is"]


def table(entries, first=0, bits=12, packed=False):
    pydicom = pytest.importorskip("pydicom")
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    if packed:
        item.add_new("LUTData", "OW", np.asarray(entries, "<u2").tobytes())
    else:
        item.add_new("LUTData", "US", list(entries))
    return pydicom.Sequence([item])


@pytest.mark.parametrize("packed", [False, True])
def test_a_table_shows_what_it_says(packed):
    entries = [0, 1365, 2730, 4095]
    found = shown([[0, 1], [2, 9]], VOILUTSequence=table(entries, packed=packed))
    assert found.gray.tolist() == [[0, 85], [170, 255]] and found.notes == []


def test_a_table_of_fewer_bits_than_declared_is_scaled_by_those_in_use():
    found = shown([[0, 1], [2, 3]], VOILUTSequence=table([0, 85, 170, 255], bits=16))
    assert found.gray.tolist() == [[0, 85], [170, 255]]
    assert found.notes == ["its table has other bits than it says: scaled by those in use"]


@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
def test_an_empty_table_is_passed_over(name):
    pydicom = pytest.importorskip("pydicom")
    window = {"WindowCenter": 1500, "WindowWidth": 3000, "VOILUTFunction": "LINEAR_EXACT"}
    for items in ([], [pydicom.Dataset()]):
        found = shown(RAMP, **window, **{name: pydicom.Sequence(items)})
        assert found.gray.tolist() == [[0, 85], [170, 255]]
        assert len(found.notes) == len(items)


def test_a_modality_table_comes_before_the_window():
    exact = {"WindowCenter": 50, "WindowWidth": 100, "VOILUTFunction": "LINEAR_EXACT"}
    found = shown([[5, 6], [7, 8]], ModalityLUTSequence=table([0, 50, 100], 5), **exact)
    assert found.gray.tolist() == [[0, 128], [255, 255]]


def test_a_table_starts_at_a_negative_value_written_as_unsigned():
    values = np.array([[-2, -1], [0, 1]])
    found = shown(
        values,
        PixelRepresentation=1,
        BitsStored=16,
        HighBit=15,
        VOILUTSequence=table([0, 85, 170, 255], 2**16 - 2, 8),
    )
    assert found.gray.tolist() == [[0, 85], [170, 255]]


def test_high_bits_other_than_the_lowest():
    """12 bits in the upper end of 16, with an overlay's bit below them."""
    found = shown((RAMP << 4) | 1, HighBit=15)
    assert found.gray.tolist() == [[0, 85], [170, 255]]
    overlay = shown(RAMP | 1 << 14)
    assert overlay.gray.tolist() == [[0, 85], [170, 255]]


@pytest.mark.parametrize("padding", [-2000, 63536])
def test_padding_of_either_sign(padding):
    values = np.array([[-2000, -100], [0, 100]])
    found = shown(
        values, PixelRepresentation=1, BitsStored=16, HighBit=15, PixelPaddingValue=padding
    )
    assert found.gray.tolist() == [[0, 0], [128, 255]]


def test_a_range_of_padding():
    values = np.array([[4000, 3950, 1000], [2000, 3000, 3900]])
    found = shown(values, PixelPaddingValue=4000, PixelPaddingRangeLimit=3900)
    assert found.gray.tolist() == [[255, 255, 0], [128, 255, 255]]


def test_float_pixels():
    assert shown(np.array([[0, 0.5], [1, 2]], np.float32)).gray.tolist() == [[0, 64], [128, 255]]
    infinite = np.array([[0, np.inf]], np.float32)
    assert "not finite" in refused(dicom_file(infinite))


@pytest.mark.parametrize("slope", ["0", "", "nan"])
def test_a_rescale_that_is_none(slope):
    found = shown(RAMP, RescaleSlope=slope, RescaleIntercept="")
    assert found.gray.tolist() == [[0, 85], [170, 255]] and "rescale slope" in found.notes[0]


# ---- what it says it is


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "PA"},
        {"Modality": "CR", "BodyPartExamined": "Thorax", "ViewPosition": "AP"},
        {"Modality": "RG", "BodyPartExamined": "", "ViewPosition": ""},
        {"Modality": "CR", "BodyPartExamined": "CHEST_1_VIEW", "ViewPosition": "antero-posterior"},
        {"Modality": "DX", "PresentationIntentType": "FOR PRESENTATION"},
        {"Modality": "CR", "BodyPartExamined": "UNKNOWN", "PatientOrientation": ["L", "F"]},
        {"Modality": "CR", "ViewPosition": "PA", "PatientOrientation": ["A", "F"]},
    ],
)
def test_a_frontal_chest_film_is_read(fields):
    assert data_dicom.read(dicom_file(RAMP, **fields), any_kind=False).other == ""


@pytest.mark.parametrize(
    "fields, tag",
    [
        ({"Modality": "MR"}, "Modality MR"),
        ({"Modality": "CT", "BodyPartExamined": "CHEST"}, "Modality CT"),
        ({"Modality": "CR", "BodyPartExamined": "KNEE"}, "BodyPartExamined KNEE"),
        ({"Modality": "DX", "BodyPartExamined": "CHESTABDOMEN"}, "BodyPartExamined CHESTABDOMEN"),
        ({"Modality": "DX", "BodyPartExamined": "CHEST-ABDOMEN"}, "BodyPartExamined CHEST-ABDOMEN"),
        ({"BodyPartExamined": "CHEST", "ViewPosition": "LL"}, "ViewPosition LL"),
        ({"ViewPosition": "LATERAL"}, "ViewPosition LATERAL"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "PresentationIntentType FOR PROCESSING"),
        ({"Modality": "CR", "PatientOrientation": ["A", "F"]}, "PatientOrientation A\\F"),
    ],
)
def test_what_is_tagged_as_another_thing_is_refused_with_its_tag(tmp_path, fields, tag):
    encoded = dicom_file(RAMP, **fields)
    assert refused(encoded, any_kind=False) == f"no frontal chest film by its tags ({tag})"
    (tmp_path / "x.dcm").write_bytes(encoded)
    film = predict_inputs.read_film(tmp_path / "x.dcm", any_kind=True)
    assert film.gray.tolist() == [[0, 85], [170, 255]]
    [note] = film.notes
    assert tag in note and "--any" in note


def test_codes_of_view_and_region_count_where_the_tags_are_empty():
    pydicom = pytest.importorskip("pydicom")

    def code(text):
        item = pydicom.Dataset()
        item.CodeMeaning = text
        return pydicom.Sequence([item])

    lateral = dicom_file(RAMP, ViewCodeSequence=code("lateral"))
    assert "ViewCodeSequence lateral" in refused(lateral, any_kind=False)
    frontal = dicom_file(
        RAMP,
        ViewCodeSequence=code("postero-anterior"),
        AnatomicRegionSequence=code("Chest"),
    )
    assert data_dicom.read(frontal, any_kind=False).other == ""


# ---- decoders that lack


def test_without_pydicom_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert "requirements-dicom.txt" in refused(bytes(128) + b"DICM" + bytes(100))


def test_a_decoder_that_lacks_is_named(monkeypatch):
    pydicom = pytest.importorskip("pydicom")
    encoded = packed(pydicom.uid.JPEGLSLossless, jpeg(2, 2, 0xF7))
    monkeypatch.setattr(pydicom.pixels.decoders.base.Decoder, "is_available", False)
    text = refused(encoded)
    assert "JPEG-LS Lossless" in text and "pylibjpeg" in text
    assert text.endswith("requirements-dicom.txt (make dicom does)")


# ---- what a frame promises


def jpeg(columns: int, rows: int, marker: int = 0xC0, channels: int = 1) -> bytes:
    """The start of a JPEG stream."""
    size = struct.pack(">HBHHB", 8 + 3 * channels, 8, rows, columns, channels)
    return b"\xff\xd8\xff\xe0\0\x04ab\xff" + bytes([marker]) + size + b"\1\x11\0" * channels


def jpeg_2000(columns: int, rows: int) -> bytes:
    size = struct.pack(">4I", columns, rows, 0, 0) * 2 + struct.pack(">H", 1)
    return b"\xff\x4f\xff\x51" + struct.pack(">HH", 41, 0) + size + b"\7\1\1"


def packed(syntax, frame: bytes, **fields) -> bytes:
    pydicom = pytest.importorskip("pydicom")
    content = pydicom.encaps.encapsulate([frame + b"\0" * (len(frame) % 2)])
    return dicom_file(RAMP, syntax=syntax, content=content, **fields)


def test_sizes_inside_of_frames():
    assert data_dicom_header.frame_size(jpeg(30, 20)) == (30, 20, 1)
    assert data_dicom_header.frame_size(jpeg(30, 20, 0xC3, 3)) == (30, 20, 3)
    assert data_dicom_header.frame_size(jpeg(30, 20, 0xF7)) == (30, 20, 1)
    assert data_dicom_header.frame_size(b"boxes" + jpeg_2000(30, 20)) == (30, 20, 1)
    for junk in (b"", b"\xff\xd8", b"\xff\xd8\xff\xc4\0\2" * 3, bytes(99)):
        with pytest.raises(ValueError):
            data_dicom_header.frame_size(junk)


@pytest.mark.parametrize("frame", [jpeg(60000, 60000), jpeg(2, 2, channels=3)])
def test_a_frame_larger_than_the_header_says_is_not_decoded(frame, monkeypatch):
    pydicom = pytest.importorskip("pydicom")
    monkeypatch.setattr(data_dicom, "_displayed", None)  # would be a TypeError
    assert "2x2 pixels by its header" in refused(packed(pydicom.uid.JPEGBaseline8Bit, frame))
    text = refused(packed(pydicom.uid.JPEG2000Lossless, jpeg_2000(50000, 50000)))
    assert "50000x50000" in text


def test_rle_that_unpacks_to_more_than_the_header_says():
    pydicom = pytest.importorskip("pydicom")
    segment = bytes([129, 0]) * 1000  # 128 bytes each
    frame = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13) + segment * 2
    assert "more than that" in refused(packed(pydicom.uid.RLELossless, frame))
    right = bytes([3, 0, 3, 7, 11, 0])  # 4 upper bytes, as they are
    lower = bytes([3, 0, 232, 208, 184, 0])
    frame = struct.pack("<16I", 2, 64, 64 + len(right), *[0] * 13) + right + lower
    gray = data_dicom.read(packed(pydicom.uid.RLELossless, frame)).gray
    assert gray.tolist() == [[0, 85], [170, 255]]


def test_a_decoder_that_fails_names_those_that_lack(monkeypatch):
    """As Pillow's, which reads 8 bits of what JPEG 2000 may hold."""
    pydicom = pytest.importorskip("pydicom")
    encoded = packed(pydicom.uid.JPEG2000Lossless, jpeg_2000(2, 2))
    base = pydicom.pixels.decoders.base.Decoder
    monkeypatch.setattr(base, "missing_dependencies", ["pylibjpeg - requires pylibjpeg"])
    assert "JPEG 2000" in refused(encoded) and "pylibjpeg and its plug-ins" in refused(encoded)
    monkeypatch.setattr(base, "missing_dependencies", [])
    assert "a damaged DICOM file" in refused(encoded)

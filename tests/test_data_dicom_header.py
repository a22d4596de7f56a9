"""DICOM files are believed in what they say they are, and what they promise is checked before they
are decoded."""

import io
import struct

import numpy as np
import pydicom
import pytest
from samples import dicom_file

from xray import data_dicom, data_images

RAMP = np.array([[0, 1000], [2000, 3000]])


def refused(encoded: bytes, any_kind: bool = True) -> str:
    with pytest.raises(data_images.Unreadable) as caught:
        data_dicom.read(encoded, any_kind)
    text = str(caught.value)
    assert len(text) < 300 and text.isprintable()
    return text


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
    assert data_dicom.read(dicom_file(RAMP, **fields)).notes == []


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
def test_what_is_tagged_as_another_thing_is_refused_with_its_tag(fields, tag):
    encoded = dicom_file(RAMP, **fields)
    assert refused(encoded, any_kind=False) == f"no frontal chest film by its tags ({tag})"
    film = data_images.read(encoded, any_kind=True)
    assert film.pixels.tolist() == [[0, 85], [170, 255]]
    [note] = film.notes
    assert tag in note and "--any" in note


def test_codes_of_view_and_region_count_where_the_tags_are_empty():
    def code(text):
        item = pydicom.Dataset()
        item.CodeMeaning = text
        return pydicom.Sequence([item])

    lateral = dicom_file(RAMP, ViewCodeSequence=code("lateral"))
    assert "ViewCodeSequence lateral" in refused(lateral, any_kind=False)
    codes = {"ViewCodeSequence": "postero-anterior", "AnatomicRegionSequence": "Chest"}
    frontal = dicom_file(RAMP, **{name: code(text) for name, text in codes.items()})
    assert data_dicom.read(frontal).notes == []


def test_pixels_of_no_stated_kind_are_named_as_that():
    file = pydicom.dcmread(io.BytesIO(dicom_file(RAMP)))
    del file.PhotometricInterpretation
    stream = io.BytesIO()
    file.save_as(stream)
    assert refused(stream.getvalue()) == "a damaged DICOM file: it has no PhotometricInterpretation"


# ---- what a frame promises


def jpeg(columns: int, rows: int, marker: int = 0xC0, channels: int = 1) -> bytes:
    """The start of a JPEG stream."""
    size = struct.pack(">HBHHB", 8 + 3 * channels, 8, rows, columns, channels)
    return b"\xff\xd8\xff\xe0\0\x04ab\xff" + bytes([marker]) + size + b"\1\x11\0" * channels


def jpeg_2000(columns: int, rows: int) -> bytes:
    size = struct.pack(">4I", columns, rows, 0, 0) * 2 + struct.pack(">H", 1)
    return b"\xff\x4f\xff\x51" + struct.pack(">HH", 41, 0) + size + b"\7\1\1"


@pytest.mark.parametrize(
    "syntax, frame, said",
    [
        (pydicom.uid.JPEGBaseline8Bit, jpeg(60000, 60000), "60000x60000"),
        (pydicom.uid.JPEGBaseline8Bit, jpeg(2, 2, channels=3), "2x2"),
        (pydicom.uid.JPEGLossless, jpeg(30, 20, 0xC3), "30x20"),
        (pydicom.uid.JPEGLSLossless, jpeg(30, 20, 0xF7), "30x20"),
        (pydicom.uid.JPEG2000Lossless, jpeg_2000(50000, 50000), "50000x50000"),
        (pydicom.uid.JPEG2000Lossless, b"boxes" + jpeg_2000(30, 20), "30x20"),
    ],
)
def test_a_frame_larger_than_the_header_says_is_not_decoded(syntax, frame, said, monkeypatch):
    monkeypatch.setattr(data_dicom, "_displayed", None)  # would be a TypeError
    text = refused(dicom_file(RAMP, syntax=syntax, frame=frame))
    assert "2x2 pixels by its header" in text and said in text


@pytest.mark.parametrize("junk", [b"\xff\xd8", b"\xff\xd8\xff\xc4\0\2" * 3, bytes(99)])
def test_a_frame_without_a_size_is_refused(junk):
    refused(dicom_file(RAMP, syntax=pydicom.uid.JPEGBaseline8Bit, frame=junk))


def test_rle_that_unpacks_to_more_than_the_header_says():
    segment = bytes([129, 0]) * 1000  # 128 bytes each
    frame = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13) + segment * 2
    syntax = pydicom.uid.RLELossless
    assert "more than that" in refused(dicom_file(RAMP, syntax=syntax, frame=frame))
    right = bytes([3, 0, 3, 7, 11, 0])  # 4 upper bytes, as they are
    lower = bytes([3, 0, 232, 208, 184, 0])
    frame = struct.pack("<16I", 2, 64, 64 + len(right), *[0] * 13) + right + lower
    gray = data_dicom.read(dicom_file(RAMP, syntax=syntax, frame=frame)).pixels
    assert gray.tolist() == [[0, 85], [170, 255]]

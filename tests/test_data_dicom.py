"""DICOM files become the gray pixels that a viewer would show, or are refused in one line."""

import numpy as np
import pydicom
import pytest
from samples import dicom_file

from xray import data_dicom, data_images


def dicom(path, values, kind="MONOCHROME2", **fields):
    path.write_bytes(dicom_file(np.asarray(values), kind, **fields))
    return path


def film_of(path) -> data_images.Film:
    return data_images.read(path.read_bytes(), path.name)


def shown(values, kind="MONOCHROME2", **fields) -> data_images.Film:
    return data_images.read(dicom_file(np.asarray(values), kind, **fields))


RAMP = np.array([[0, 1000], [2000, 3000]])


def test_dicom_is_shown_through_its_window(tmp_path):
    values = np.array([[0, 1000], [2000, 3000]])
    assert film_of(dicom(tmp_path / "a.dcm", values)).pixels.tolist() == [
        [0, 85],
        [170, 255],
    ]
    window = {"WindowCenter": 1500.5, "WindowWidth": 1001}
    assert film_of(dicom(tmp_path / "a.dcm", values, **window)).pixels.tolist() == [
        [0, 0],
        [255, 255],
    ]
    exact = {"WindowCenter": 1500, "WindowWidth": 4000, "VOILUTFunction": "LINEAR_EXACT"}
    assert film_of(dicom(tmp_path / "a.dcm", values, **exact)).pixels.tolist() == [
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
    assert film_of(dicom(tmp_path / "a", values, **rescaled)).pixels.tolist() == [
        [0, 0],
        [128, 255],
    ]
    inverted = film_of(dicom(tmp_path / "a.dcm", values, "MONOCHROME1")).pixels
    assert inverted.tolist() == [[255, 170], [85, 0]]
    padded = film_of(
        dicom(tmp_path / "a.dcm", np.array([[4000, 1000], [2000, 3000]]), PixelPaddingValue=4000)
    )
    assert padded.pixels.tolist() == [[255, 0], [128, 255]]


def test_dicom_that_is_no_gray_frame_is_refused(tmp_path):
    values = np.zeros((2, 4, 4))
    with pytest.raises(data_images.Unreadable, match="2 frames"):
        film_of(dicom(tmp_path / "a.dcm", values, NumberOfFrames=2))
    with pytest.raises(data_images.Unreadable, match="in colours"):
        film_of(dicom(tmp_path / "a.dcm", values[0], "RGB"))
    content = dicom(tmp_path / "a.dcm", values[0]).read_bytes()
    for damaged in (content[:-10], content[:200], b"not DICOM at all", b""):
        (tmp_path / "b.dcm").write_bytes(damaged)
        with pytest.raises(data_images.Unreadable):
            film_of(tmp_path / "b.dcm")


# ---- windows, tables, padding and bits that are not as they should be


def test_a_window_narrower_than_linear_allows_is_read_as_exact():
    found = shown(RAMP, WindowCenter=1000, WindowWidth=0.5)
    assert found.pixels.tolist() == [[0, 128], [255, 255]]
    assert found.notes == ["its window is 0.5 wide, less than LINEAR allows: read as LINEAR_EXACT"]
    assert shown(RAMP, WindowCenter=1000, WindowWidth=1).pixels.tolist() == [[0, 255], [255, 255]]


@pytest.mark.parametrize("width", [0, -5, None, "nan"])
def test_a_window_that_cannot_be_used_gives_way_to_the_range(width):
    found = shown(RAMP, WindowCenter=1000, WindowWidth=width)
    assert found.pixels.tolist() == [[0, 85], [170, 255]]
    assert found.notes == ["its window cannot be used: the range of its values is"]


def table(entries, first=0, bits=12, packed=False):
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
    assert found.pixels.tolist() == [[0, 85], [170, 255]] and found.notes == []


def test_a_table_of_fewer_bits_than_declared_is_scaled_by_those_in_use():
    found = shown([[0, 1], [2, 3]], VOILUTSequence=table([0, 85, 170, 255], bits=16))
    assert found.pixels.tolist() == [[0, 85], [170, 255]]
    assert found.notes == ["its table has other bits than it says: scaled by those in use"]


@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
def test_an_empty_table_is_passed_over(name):
    window = {"WindowCenter": 1500, "WindowWidth": 3000, "VOILUTFunction": "LINEAR_EXACT"}
    for items in ([], [pydicom.Dataset()]):
        found = shown(RAMP, **window, **{name: pydicom.Sequence(items)})
        assert found.pixels.tolist() == [[0, 85], [170, 255]]
        assert len(found.notes) == len(items)


def test_a_modality_table_comes_before_the_window():
    exact = {"WindowCenter": 50, "WindowWidth": 100, "VOILUTFunction": "LINEAR_EXACT"}
    found = shown([[5, 6], [7, 8]], ModalityLUTSequence=table([0, 50, 100], 5), **exact)
    assert found.pixels.tolist() == [[0, 128], [255, 255]]


def test_a_table_starts_at_a_negative_value_written_as_unsigned():
    values = np.array([[-2, -1], [0, 1]])
    found = shown(
        values,
        PixelRepresentation=1,
        BitsStored=16,
        HighBit=15,
        VOILUTSequence=table([0, 85, 170, 255], 2**16 - 2, 8),
    )
    assert found.pixels.tolist() == [[0, 85], [170, 255]]


def test_high_bits_other_than_the_lowest():
    """12 bits in the upper end of 16, with an overlay's bit below them."""
    found = shown((RAMP << 4) | 1, HighBit=15)
    assert found.pixels.tolist() == [[0, 85], [170, 255]]
    overlay = shown(RAMP | 1 << 14)
    assert overlay.pixels.tolist() == [[0, 85], [170, 255]]


@pytest.mark.parametrize("padding", [-2000, 63536])
def test_padding_of_either_sign(padding):
    values = np.array([[-2000, -100], [0, 100]])
    found = shown(
        values, PixelRepresentation=1, BitsStored=16, HighBit=15, PixelPaddingValue=padding
    )
    assert found.pixels.tolist() == [[0, 0], [128, 255]]


def test_a_range_of_padding():
    values = np.array([[4000, 3950, 1000], [2000, 3000, 3900]])
    found = shown(values, PixelPaddingValue=4000, PixelPaddingRangeLimit=3900)
    assert found.pixels.tolist() == [[255, 255, 0], [128, 255, 255]]


def test_float_pixels():
    assert shown(np.array([[0, 0.5], [1, 2]], np.float32)).pixels.tolist() == [[0, 64], [128, 255]]
    infinite = np.array([[0, np.inf]], np.float32)
    with pytest.raises(data_images.Unreadable, match="not finite"):
        data_dicom.read(dicom_file(infinite))


@pytest.mark.parametrize("slope", ["0", "", "nan"])
def test_a_rescale_that_is_none(slope):
    found = shown(RAMP, RescaleSlope=slope, RescaleIntercept="")
    assert found.pixels.tolist() == [[0, 85], [170, 255]] and "rescale slope" in found.notes[0]

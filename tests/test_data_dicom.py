"""DICOM files become the gray pixels that a viewer would show, or are refused in one line."""

import numpy as np
import pydicom
import pytest
from samples import dicom_file

from xray import data_images

RAMP = np.array([[0, 1000], [2000, 3000]])
EVEN = [[0, 85], [170, 255]]  # the ramp from its darkest to its brightest value
EXACT = {"VOILUTFunction": "LINEAR_EXACT"}
SIGNED = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}


def shown(values, **fields) -> data_images.Film:
    return data_images.read(dicom_file(np.asarray(values), **fields))


def table(entries, first=0, bits=12, packed=False):
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    if packed:
        item.add_new("LUTData", "OW", np.asarray(entries, "<u2").tobytes())
    else:
        item.add_new("LUTData", "US", list(entries))
    return pydicom.Sequence([item])


FOURTHS = [0, 1365, 2730, 4095]

SHOWN = {  # values, fields, the pixels shown
    "no window: the whole range": (RAMP, {}, EVEN),
    "a window": (RAMP, {"WindowCenter": 1500.5, "WindowWidth": 1001}, [[0, 0], [255, 255]]),
    "an exact window": (
        RAMP,
        {"WindowCenter": 1500, "WindowWidth": 4000, **EXACT},
        [[32, 96], [159, 223]],
    ),
    "a sigmoid window": (
        RAMP,
        {"WindowCenter": 1500, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"},
        [[1, 30], [225, 254]],
    ),
    "a window of one": (RAMP, {"WindowCenter": 1000, "WindowWidth": 1}, [[0, 255], [255, 255]]),
    # stored 2000 is 1000 - 500 = 500 after it: the middle of the first window
    "a rescale before the window": (
        RAMP,
        {"RescaleSlope": 0.5, "RescaleIntercept": -500, **EXACT}
        | {"WindowCenter": [500, 9], "WindowWidth": [1000, 9]},
        [[0, 0], [128, 255]],
    ),
    "white is zero": (RAMP, {"PhotometricInterpretation": "MONOCHROME1"}, [[255, 170], [85, 0]]),
    "padding": ([[4000, 1000], [2000, 3000]], {"PixelPaddingValue": 4000}, [[255, 0], [128, 255]]),
    "a range of padding": (
        [[4000, 3950, 1000], [2000, 3000, 3900]],
        {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 3900},
        [[255, 255, 0], [128, 255, 255]],
    ),
    "padding below zero": (
        [[-2000, -100], [0, 100]],
        {"PixelPaddingValue": -2000, **SIGNED},
        [[0, 0], [128, 255]],
    ),
    "padding below zero, written as unsigned": (
        [[-2000, -100], [0, 100]],
        {"PixelPaddingValue": 63536, **SIGNED},
        [[0, 0], [128, 255]],
    ),
    "a table": ([[0, 1], [2, 9]], {"VOILUTSequence": table(FOURTHS)}, EVEN),
    "a packed table": ([[0, 1], [2, 9]], {"VOILUTSequence": table(FOURTHS, packed=True)}, EVEN),
    "a table from a negative value, written as unsigned": (
        [[-2, -1], [0, 1]],
        {"VOILUTSequence": table([0, 85, 170, 255], 2**16 - 2, 8), **SIGNED},
        EVEN,
    ),
    "a modality table before the window": (
        [[5, 6], [7, 8]],
        {"ModalityLUTSequence": table([0, 50, 100], 5), "WindowCenter": 50, "WindowWidth": 100}
        | EXACT,
        [[0, 128], [255, 255]],
    ),
    "an empty list of tables": (RAMP, {"VOILUTSequence": pydicom.Sequence([])}, EVEN),
    "12 bits at the upper end of 16, an overlay's below": ((RAMP << 4) | 1, {"HighBit": 15}, EVEN),
    "12 bits at the lower end, an overlay's above": (RAMP | 1 << 14, {}, EVEN),
    "floats": (np.array([[0, 0.5], [1, 2]], np.float32), {}, [[0, 64], [128, 255]]),
}


@pytest.mark.parametrize("case", SHOWN)
def test_a_film_is_shown_as_its_header_says(case):
    values, fields, pixels = SHOWN[case]
    found = shown(values, **fields)
    assert found.pixels.tolist() == pixels and found.notes == []


NARROW = "its window is 0.5 wide, less than LINEAR allows: read as LINEAR_EXACT"
USELESS = "its window cannot be used: the range of its values is taken"
OTHER_BITS = "its table has not as many bits as it says: scaled by those in use"


@pytest.mark.parametrize(
    "values, fields, pixels, note",
    [
        (RAMP, {"WindowCenter": 1000, "WindowWidth": 0.5}, [[0, 128], [255, 255]], NARROW),
        (RAMP, {"WindowCenter": 1000, "WindowWidth": 0}, EVEN, USELESS),
        (RAMP, {"WindowCenter": 1000, "WindowWidth": -5}, EVEN, USELESS),
        (RAMP, {"WindowCenter": 1000, "WindowWidth": None}, EVEN, USELESS),
        (RAMP, {"WindowCenter": 1000, "WindowWidth": "nan"}, EVEN, USELESS),
        ([[0, 1], [2, 3]], {"VOILUTSequence": table([0, 85, 170, 255], bits=16)}, EVEN, OTHER_BITS),
        (RAMP, {"VOILUTSequence": pydicom.Sequence([pydicom.Dataset()])}, EVEN, "table"),
        (RAMP, {"ModalityLUTSequence": pydicom.Sequence([pydicom.Dataset()])}, EVEN, "table"),
        (RAMP, {"RescaleSlope": "0", "RescaleIntercept": ""}, EVEN, "rescale slope"),
        (RAMP, {"RescaleSlope": "", "RescaleIntercept": ""}, EVEN, "rescale slope"),
        (RAMP, {"RescaleSlope": "nan", "RescaleIntercept": ""}, EVEN, "rescale slope"),
    ],
)
def test_what_its_header_says_wrongly_is_passed_over_and_said(values, fields, pixels, note):
    found = shown(values, **fields)
    [said] = found.notes
    assert found.pixels.tolist() == pixels and note in said


SOUND = dicom_file(np.zeros((4, 4)))


@pytest.mark.filterwarnings("ignore:Expected implicit VR")  # of what is none
@pytest.mark.parametrize(
    "content, reason",
    [
        (dicom_file(np.zeros((2, 4, 4)), NumberOfFrames=2), "2 frames"),
        (dicom_file(np.zeros((4, 4)), "RGB"), "in colours"),
        (dicom_file(np.array([[0, np.inf]], np.float32)), "not finite"),
        (SOUND[:-10], "a damaged DICOM file: The number of bytes of pixel data is less"),
        (SOUND[:200], "a DICOM file without an image"),
        (b"not DICOM at all", "a DICOM file without an image"),
    ],
)
def test_what_is_no_gray_frame_is_refused(content, reason):
    with pytest.raises(data_images.Unreadable, match=reason):
        data_images.read(content, "a.dcm")

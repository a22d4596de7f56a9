"""A person's DICOM files become the gray pixels that a viewer would show, or are refused in one
line.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from xray import data_images, predict_inputs


def test_dicom_without_pydicom_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    (tmp_path / "film").write_bytes(bytes(128) + b"DICM" + bytes(100))
    with pytest.raises(data_images.Unreadable, match="pip install pydicom"):
        predict_inputs.read_film(tmp_path / "film")


def dicom(path: Path, values: np.ndarray, kind: str = "MONOCHROME2", **fields) -> Path:
    pydicom = pytest.importorskip("pydicom")
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = pydicom.uid.generate_uid()
    file.Rows, file.Columns = values.shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, kind, 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
    file.PixelData = values.astype("<u2").tobytes()
    for name, value in fields.items():
        setattr(file, name, value)
    file.save_as(path, enforce_file_format=True)
    return path


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

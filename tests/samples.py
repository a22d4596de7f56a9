"""Tiny synthetic images, class folders and parquet files to read."""

import argparse
import functools
import io
import shlex
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from xray import data, data_images, data_phantoms
from xray.data_choices import Choices, DataError

SPLITS = {"train": (3, 4), "validation": (2, 2), "test": (1, 2)}  # NORMAL, PNEUMONIA
COUNT = 14
ANY = Choices(split="image-0")
TITLES = WELL, ILL = "NORMAL", "PNEUMONIA"


def pixels(seed: int, height: int = 24, width: int | None = None) -> np.ndarray:
    """uint8 (height, width): a smooth slope, different for each seed."""
    y, x = np.mgrid[0:height, 0 : width or height]
    return ((x * 3 + y * (1 + seed % 5) + seed * 11) % 200).astype(np.uint8)


def noise_images(n: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise images (n, 1, size, size), brighter in one half for label 1, and their labels."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < 0.7).astype(np.int64)
    images = generator.integers(0, 200, (n, 1, size, size))
    images[labels == 1, :, : size // 2] += 55
    return images.astype(np.uint8), labels


@functools.cache
def phantoms(start: int, count: int, size: int) -> np.ndarray:
    """uint8 (count, size, size), every second one with pneumonia; not to be written to."""
    numbers = range(start, start + count)
    return np.stack([data_phantoms.draw(n, n % 2 == 1, size) for n in numbers])


def encode(image, kind: str = "PNG", **options) -> bytes:
    """An array or Pillow image as a file's bytes."""
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(
        stream, kind, **options
    )
    return stream.getvalue()


def gray(encoded: bytes, size: int = 24) -> np.ndarray:
    """What an image file is decoded into."""
    return data_images.resize(data_images.read(encoded).pixels, size)


def load(source, folder: Path, size: int = 8, **options) -> data.Data:
    """A source, read with a cache in `folder`."""
    return data.load(str(source), size, cache=folder / "cache", **options)


def error_of(tmp_path, source, **options) -> str:
    """The one line that reading a source fails with."""
    with pytest.raises(DataError) as caught:
        data.load(str(source), 8, cache=tmp_path / "cache", **options)
    text = str(caught.value)
    assert "\n" not in text and "Traceback" not in text and len(text) < 2500
    assert not list((tmp_path / "cache").glob("images/.writing-*")), (
        "half-built images are left behind"
    )
    return text


def rows(splits=SPLITS, names=("NORMAL", "PNEUMONIA")):
    """(split, class name, label, file name, encoded bytes) of a small data set, every image
    another.
    """
    number = 0
    for split, counts in splits.items():
        for label, (name, count) in enumerate(zip(names, counts)):
            for _ in range(count):
                number += 1
                title = (
                    f"person{number}_bacteria_{number}.png"
                    if label
                    else f"IM-{number:04d}-0001.png"
                )
                yield split, name, label, title, encode(pixels(number))


def class_folders(root: Path, splits=SPLITS, names=("NORMAL", "PNEUMONIA")) -> Path:
    for split, name, _, title, encoded in rows(splits, names):
        folder = root / split / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / title).write_bytes(encoded)
    return root


def films(folder: Path, names) -> Path:
    """Files of these names, every image another."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode(pixels(number)))
    return folder


def table(folder: Path, header: str, lines, name="labels.csv", eol="\n") -> Path:
    (folder / name).write_bytes((eol.join([header, *lines]) + eol).encode())
    return folder


def said(text: str) -> Choices:
    """What the options that a message offers say."""
    from scripts import options

    words = shlex.split(text)
    start = next(at for at, word in enumerate(words) if word.startswith("--"))
    parser = argparse.ArgumentParser(exit_on_error=False)
    options.add_choices(parser)
    args, _ = parser.parse_known_args(words[start:])
    return Choices(args.positive, args.negative, "image-0", args.label, args.image, args.patient)


def parquet(
    root: Path,
    splits=SPLITS,
    names=("NORMAL", "PNEUMONIA"),
    layout="{split}/0000.parquet",
    change=None,
) -> Path:
    """Parquet files with the columns of the paper's data set; `change` edits a split's (columns,
    features) in place.
    """
    import datasets

    found = list(rows(splits, names))
    for split in splits:
        mine = [row for row in found if row[0] == split]
        columns = {
            "image_file_path": [f"{split}/{row[1]}/{row[3]}" for row in mine],
            "image": [{"bytes": row[4], "path": row[3]} for row in mine],
            "labels": [row[2] for row in mine],
        }
        features = {
            "image_file_path": datasets.Value("string"),
            "image": datasets.Image(decode=False),
            "labels": datasets.ClassLabel(names=list(names)),
        }
        if change:
            change(columns, features)
        path = root / layout.format(split=split)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
        table.to_parquet(str(path))
    return root


def dicom_file(
    values: np.ndarray, kind="MONOCHROME2", syntax=None, content=None, **fields
) -> bytes:
    """A DICOM file of (H, W) or (frames, H, W) values, 12 bits in 16, or floats; `content` stands
    in for the pixels, `fields` are set last."""
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = syntax or pydicom.uid.ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = pydicom.uid.generate_uid()
    file.Rows, file.Columns = values.shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, kind, 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
    if values.dtype.kind == "f" and values.dtype.itemsize == 4:
        file.BitsAllocated, file.FloatPixelData = 32, values.tobytes()
        del file.BitsStored, file.HighBit, file.PixelRepresentation
    else:
        signed = fields.get("PixelRepresentation", 0)
        file.PixelData = content or values.astype("<i2" if signed else "<u2").tobytes()
        file["PixelData"].is_undefined_length = content is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that no file should hold
        pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
        for name, value in fields.items():
            kind = pydicom.datadict.dictionary_VR(name).split(" ")[0]  # of "US or SS" the first
            kind = "SS" if kind == "US" and np.min(value) < 0 else kind
            tag, unchecked = pydicom.datadict.tag_for_keyword(name), pydicom.config.IGNORE
            file[name] = pydicom.DataElement(tag, kind, value, validation_mode=unchecked)
        stream = io.BytesIO()
        file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()

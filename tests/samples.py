"""Tiny synthetic films, and the folders and tables that hold them."""

import functools
import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from xray import data_images, data_phantoms

SPLITS = {"train": (3, 4), "validation": (2, 2), "test": (1, 2)}  # NORMAL, PNEUMONIA
COUNT = 14
TITLES = WELL, ILL = "NORMAL", "PNEUMONIA"
N = range(24)  # the films of `lay`


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


def bare_png(width: int, height: int, bits: int = 8, colours: int = 0, lines=b"") -> bytes:
    """A PNG file of this header, whatever its lines of pixels are."""

    def chunk(name, body):
        checksum = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + checksum

    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def lay(folder: Path, names="x{n}.png", tables=None) -> Path:
    """24 films, every second one with pneumonia, and tables of them: name -> [header, line, ...].

    Names and lines are templates: {n} the film's number, {title} NORMAL or PNEUMONIA, {ill} and
    {well} 0 or 1, {who} its patient, {split} train, val or test, {k} its number in that. Several
    are taken in turn: the first one for film 0, the next for film 1, and so on.
    """
    names = [names] if isinstance(names, str) else names
    texts = {}
    for n in N:
        told = {"n": n, "title": TITLES[n % 2], "ill": n % 2, "well": 1 - n % 2, "who": n // 2}
        told |= {"split": ("train", "val", "test")[n // 2 % 3], "k": n // 6 * 2 + n % 2}
        put(folder / names[n % len(names)].format(**told), encode(pixels(n)))
        for name, (header, *lines) in (tables or {}).items():
            text = texts.setdefault(name.format(**told), [header])
            text.append(lines[n % len(lines)].format(**told))
    for name, text in texts.items():
        put(folder / name, ("\n".join(text) + "\n").encode())
    return folder


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def dataset(columns: dict[str, list], **features):
    """A table of `datasets`; what features do not say is as its first cell: an image, a text, a
    number."""
    import datasets

    kinds = {dict: datasets.Image(decode=False), str: datasets.Value("string")}
    kinds |= {int: datasets.Value("int64")}
    told = {name: kinds[type(cells[0])] for name, cells in columns.items() if name not in features}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(told | features))


def cell(n: int, path: str | None = None) -> dict:
    """A film of `lay` as a table of `datasets` holds it."""
    return {"bytes": encode(pixels(n)), "path": path}


def rows(splits=SPLITS, names=("NORMAL", "PNEUMONIA")):
    """(split, class name, label, file name, encoded bytes) of a small data set, every image
    another.
    """
    number = 0
    for split, counts in splits.items():
        for label, (name, count) in enumerate(zip(names, counts)):
            for _ in range(count):
                number += 1
                well, ill = f"IM-{number:04d}-0001.png", f"person{number}_bacteria_{number}.png"
                yield split, name, label, ill if label else well, encode(pixels(number))


def class_folders(root: Path, splits=SPLITS, names=("NORMAL", "PNEUMONIA")) -> Path:
    for split, name, _, title, encoded in rows(splits, names):
        put(root / split / name / title, encoded)
    return root


def films(folder: Path, names) -> Path:
    """Files of these names, every image another."""
    for number, name in enumerate(names):
        put(folder / name, encode(pixels(number)))
    return folder


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

    for split in splits:
        mine = [row for row in rows(splits, names) if row[0] == split]
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
        dataset(columns, **features).to_parquet(str(path))
    return root


def dicom_file(values: np.ndarray, kind="MONOCHROME2", syntax=None, frame=b"", **fields) -> bytes:
    """A DICOM file of (H, W) or (frames, H, W) values, 12 bits in 16, or floats; an encoded `frame`
    stands in for the pixels, `fields` are set last."""
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
        file.PixelData = values.astype("<i2" if signed else "<u2").tobytes()
        if frame:
            file.PixelData = pydicom.encaps.encapsulate([frame + b"\0" * (len(frame) % 2)])
        file["PixelData"].is_undefined_length = bool(frame)
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

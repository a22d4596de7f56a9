"""Made-up headers, records and tables: what cannot be used is refused in one line, and nothing else
happens."""

import json
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import records
from commands import run_limited
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import encode

from xray import data, data_dicom, data_images, results
from xray.data_sources import DataError

QUIET = {"deadline": None, "derandomize": True, "database": None}
QUIET |= {"suppress_health_check": list(HealthCheck)}


# ---- DICOM

LONG = (b"OB", b"OW", b"OF", b"SQ", b"UN", b"UT")
SYNTAXES = "1.2.840.10008.1.2.1 1.2.840.10008.1.2.1.99 1.2.840.10008.1.2.2 1.2.840.10008.1.2.5"
SYNTAXES += " 1.2.840.10008.1.2.4.50 1.2.840.10008.1.2.4.70 1.2.840.10008.1.2.4.80"
SYNTAXES += " 1.2.840.10008.1.2.4.90 1.2.840.10008.1.2.4.201 1.2.840.10008.1.2.4.100 9.9"
SHORT = st.sampled_from([0, 1, 2, 4, 7, 8, 12, 15, 16, 32, 64, 255, 4096, 60000, 65535])
NUMBERS = st.lists(SHORT, min_size=0, max_size=4).map(lambda x: struct.pack(f"<{len(x)}H", *x))
WORDS = (
    "0 1 -1 1e400 nan 0.5\\4 x MONOCHROME1 MONOCHROME2 RGB LINEAR SIGMOID CR MR CHEST AP\\F A\\F"
)
TEXTS = st.sampled_from([b"", *WORDS.encode().split(), b"\xff\xfe", b"9" * 99])
VALUES = NUMBERS | TEXTS | st.binary(max_size=64)
TAGS = [(8, 0x60), (0x18, 0x15), (0x18, 0x5101), (0x20, 0x20), (8, 0x68), (0x28, 2), (0x28, 4)]
TAGS += [(0x28, 8), (0x28, 0x10), (0x28, 0x11), (0x28, 0x100), (0x28, 0x101), (0x28, 0x102)]
TAGS += [(0x28, 0x103), (0x28, 0x120), (0x28, 0x121), (0x28, 0x1050), (0x28, 0x1051)]
TAGS += [(0x28, 0x1052), (0x28, 0x1053), (0x28, 0x1056), (0x28, 0x3000), (0x28, 0x3010)]
TAGS += [(0x54, 0x220), (8, 0x2218), (0x7FE0, 8), (0x7FE0, 9), (0x7FE0, 0x10)]
KINDS = st.sampled_from([b"US", b"SS", b"CS", b"DS", b"IS", b"OB", b"OW", b"SQ", b"UN", b"LO"])
SOUND = {
    (0x28, 2): (b"US", b"\1\0"),
    (0x28, 4): (b"CS", b"MONOCHROME2 "),
    (0x28, 0x10): (b"US", b"\4\0"),
    (0x28, 0x11): (b"US", b"\4\0"),
    (0x28, 0x100): (b"US", b"\x10\0"),
    (0x28, 0x101): (b"US", b"\x0c\0"),
    (0x28, 0x102): (b"US", b"\x0b\0"),
    (0x28, 0x103): (b"US", b"\0\0"),
    (0x7FE0, 0x10): (b"OW", bytes(range(32))),
}


def _element(tag, kind: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    size = (
        b"\0\0" + struct.pack("<I", len(value)) if kind in LONG else struct.pack("<H", len(value))
    )
    return struct.pack("<HH", *tag) + kind + size + value


@given(
    st.dictionaries(st.sampled_from(TAGS), st.tuples(KINDS, VALUES), max_size=6),
    st.sampled_from(SYNTAXES.split()),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
    st.integers(0, 600),
    st.booleans(),
)
def dicom_headers(fields, syntax, flips, end, any_kind):
    meta = _element((2, 0x10), b"UI", syntax.encode())
    elements = sorted((SOUND | fields).items())
    content = bytearray(bytes(128) + b"DICM" + meta)
    content += b"".join(_element(tag, kind, value) for tag, (kind, value) in elements)
    for place, value in flips:
        content[place % len(content)] = value
    content = bytes(content[: max(end, 1)] if end < 250 else content)
    try:
        found = data_dicom.read(content, any_kind)
    except data_images.Unreadable as error:
        assert str(error).isprintable() and len(str(error)) < 400
        return
    assert found.pixels.dtype == np.uint8 and found.pixels.ndim == 2


# ---- images


def _sound_images() -> list[bytes]:
    gray = np.arange(400, dtype=np.uint8).reshape(20, 20)
    kinds = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
    films = [Image.fromarray(gray).convert(mode) for mode in ("L", "RGB")]
    return [encode(film, kind) for kind in kinds for film in films]


@given(
    st.sampled_from(_sound_images()),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(1, 2000),
)
def image_headers(content, flips, end):
    changed = bytearray(content)
    for place, value in flips:
        changed[place % len(changed)] = value
    try:
        found = data_images.read(bytes(changed[:end]))
    except data_images.Unreadable as error:
        assert len(str(error)) < 200
        return
    assert found.pixels.dtype == np.uint8 and found.pixels.ndim == 2


# ---- records

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def _places(value, above=()) -> list[tuple]:
    """All places in JSON, as tuples of keys and indices; of a list the first items."""
    inside = value.items() if isinstance(value, dict) else enumerate(value[:2])
    found = [above] if above else []
    for key, item in inside:
        nested = isinstance(item, (dict, list))
        found += _places(item, (*above, key)) if nested else [(*above, key)]
    return found


def _record() -> dict:
    with tempfile.TemporaryDirectory() as folder:
        weights = {"file": "20.safetensors", "sha256": "0" * 64}
        file = Path(folder) / "given.jsonl"
        results.append(file, records.run("20", validation=4, test=3, weights=weights))
        return json.loads(file.read_text())


RECORD = _record()


@given(st.lists(st.tuples(st.sampled_from(_places(RECORD)), JSON), min_size=1, max_size=2))
def strangers_records(changes):
    payload = json.loads(json.dumps(RECORD))
    for place, value in changes:
        target = payload
        try:
            for key in place[:-1]:
                target = target[key]
            if isinstance(target, dict) == isinstance(place[-1], str):
                target[place[-1]] = value
        except (KeyError, IndexError, TypeError):  # a first change took it away
            continue
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "given.jsonl"
        file.write_bytes(json.dumps(payload).encode("utf-8", "surrogatepass") + b"\n")
        try:
            found = results.load(file)
        except results.ResultsError as error:
            assert str(error).isprintable()
            return
        assert all(isinstance(run.differs, list) for run in found) and results.select(found)


# ---- tables

PNG = _sound_images()[0]
COLUMN = {
    "bytes": lambda n: pyarrow.array([PNG] * n),
    "struct": lambda n: pyarrow.array([{"bytes": PNG, "path": "a.png"}] * n),
    "junk": lambda n: pyarrow.array([{"bytes": b"junk", "path": None}] * n),
    "text": lambda n: pyarrow.array([f"IM-{i}.png" for i in range(n)]),
    "classes": lambda n: pyarrow.array(["NORMAL", "PNEUMONIA"] * (n // 2) + ["NORMAL"] * (n % 2)),
    "whole": lambda n: pyarrow.array([i % 2 for i in range(n)]),
    "real": lambda n: pyarrow.array([float(i % 2) for i in range(n)]),
    "none": lambda n: pyarrow.nulls(n),
    "holes": lambda n: pyarrow.array([None, *range(n - 1)][:n], pyarrow.int64()),
    "list": lambda n: pyarrow.array([[1, 2]] * n),
}
NAMES = st.sampled_from(
    ["image", "img", "labels", "label", "image_file_path", "patient", "x\x1b[2J"]
)
TABLE = st.dictionaries(NAMES, st.sampled_from(sorted(COLUMN)), min_size=1, max_size=4)


@given(
    st.fixed_dictionaries({"image": st.sampled_from(["bytes", "struct", "junk", "text", "none"])})
    | TABLE,
    TABLE,
    st.integers(0, 4),
    st.booleans(),
)
def parquet_schemas(schema, other, rows, same):
    with tempfile.TemporaryDirectory() as folder:
        for split in ("train", "validation", "test"):
            columns = schema | other if same or split == "train" else schema
            columns = {name: COLUMN[kind](rows) for name, kind in columns.items()}
            (Path(folder) / split).mkdir()
            pyarrow.parquet.write_table(pyarrow.table(columns), f"{folder}/{split}/0000.parquet")
        try:
            found = data.load(folder, 8, cache=Path(folder) / "cache")
        except DataError as error:
            assert "\n" not in str(error) and "\x1b" not in str(error)
            return
        assert len(found.paths) == 3 * rows


def check(holds, examples: int) -> None:
    settings(max_examples=examples, **QUIET)(holds)()


PROPERTIES = {dicom_headers: 30, image_headers: 30, strangers_records: 30, parquet_schemas: 3}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda holds: holds.__name__)
def test_fuzz(holds):
    check(holds, PROPERTIES[holds])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_fuzz_longer_and_with_little_memory():
    code = "from test_fuzz import PROPERTIES, check\n"
    code += "for holds, few in PROPERTIES.items():\n    check(holds, 7 * few)\nprint('done')"
    assert run_limited(code, 2500).splitlines()[-1] == "done"

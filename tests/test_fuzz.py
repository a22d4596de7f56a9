"""Thousands of made-up headers, records and tables (fuzz.py), read with a limit on memory: what
cannot be used is refused in one line, and nothing else happens."""

import sys

import pytest
from memory import run_limited


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize(
    "what",
    ["dicom_headers", "image_headers", "strangers_records", "parquet_schemas"],
)
def test_fuzz(what):
    if what == "dicom_headers":
        pytest.importorskip("pydicom")
    code = f"import fuzz\nfuzz.{what}()\nprint('done')"
    assert run_limited(code, 2500).splitlines()[-1] == "done"

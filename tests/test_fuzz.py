"""Made-up headers, records and tables (fuzz.py), read with a limit on memory: what cannot be used
is refused in one line, and nothing else happens."""

import sys

import pytest
from memory import run_limited


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("examples", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_fuzz(examples):
    code = f"import fuzz\nfuzz.check({examples})\nprint('done')"
    assert run_limited(code, 2500).splitlines()[-1] == "done"

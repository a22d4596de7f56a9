"""The commands as tests run them, in this process or for real, and what they leave behind."""

import hashlib
import importlib.util
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from xray import results

ROOT = Path(__file__).resolve().parent.parent
# fp32: alike on processors with and without bf16
TINY = ("--image-size", "8", "--device", "cpu", "--precision", "fp32")


def script(name: str):
    """scripts/<name>.py as a module."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(*arguments) -> int:
    """scripts/train.py in this process; its exit code."""
    try:
        script("train").main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code or 0
    return 0


def command(*words, cache: Path, **options) -> subprocess.Popen:
    """A real command, started: the words after python."""
    environment = (
        os.environ
        | {"XRAY_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        | options.pop("environment", {})
    )
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def runs(out: Path) -> list[results.Run]:
    """All runs recorded under an --out folder."""
    folder = Path(out) / "results"
    files = results.record_files(folder) if folder.is_dir() else []
    return [run for file in files for run in results.runs_of(file).values()]


def content(run: results.Run) -> dict:
    """A record without what differs from place to place and from time to time; its weights, where
    it has any, are whole."""
    found = asdict(run)
    del found["environment"], found["file"]
    for part in ("logits", "labels"):
        found[part] = {key: values.tolist() for key, values in found[part].items()}
    if weights := found["weights"]:
        stored = results.weights_path(run).read_bytes()
        assert hashlib.sha256(stored).hexdigest() == weights["sha256"], run.name
    return found


def records(out: Path) -> dict[str, dict]:
    """Name -> content of all records under an --out folder."""
    return {f"{run.split}/{run.name}": content(run) for run in runs(out)}


def assert_same(one: dict[str, dict], other: dict[str, dict]):
    """Records of the direct loop agree to the bit; those in sample space, whose sums depend on
    company, to 1e-5.
    """
    assert sorted(one) == sorted(other)
    for name, left in one.items():
        left, right = dict(left), dict(other[name])
        if left["engine"] == "gram":
            for key in ("history", "logits"):
                numbers, others = left.pop(key), right.pop(key)
                assert numbers.keys() == others.keys()
                for part in numbers:
                    np.testing.assert_allclose(
                        numbers[part], others[part], 1e-5, 1e-5, err_msg=f"{name} {part}"
                    )
            assert bool(left.pop("weights")) == bool(right.pop("weights"))
        assert left == right, name


def fails(result, *words) -> str:
    """One line of error, exit code 2."""
    code, _, errors = result
    assert code == 2, result
    [line] = errors.splitlines()
    assert line.startswith("error: ") and all(str(word) in line for word in words), line
    return line


# ---- little room


@contextmanager
def room(size: int):
    """No file can grow beyond `size` bytes: writing more fails with EFBIG, as a full disk does with
    ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# What is loaded before the limit: the libraries alone take gigabytes of addresses.
START = """
import resource, sys, warnings
warnings.simplefilter("ignore")
sys.path[:0] = [{root!r}, {tests!r}]
import io, numpy, torch, PIL.Image
from xray import data_dicom, data_images
torch.set_num_threads(1)
stream = io.BytesIO()
PIL.Image.new("RGB", (9, 9)).save(stream, "PNG")
data_images.resize(data_images.read(stream.getvalue()).pixels, 8)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + {megabytes} * 10**6
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
"""


def run_limited(code: str, megabytes: int, *arguments, timeout: int = 300) -> str:
    """What Python code prints that may use that much more memory than its libraries do; it fails
    the test where the code does."""
    places = {"root": str(ROOT), "tests": str(ROOT / "tests"), "megabytes": megabytes}
    done = subprocess.run(
        [sys.executable, "-c", START.format(**places) + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout

"""A process with a limit on its memory, for files that unpack to more than they should."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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

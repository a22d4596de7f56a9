"""The computer that trains: its device, its number formats, what it is called, how it fails."""

import ctypes
import functools
import os
import platform
import subprocess
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

from xray.files import UserError

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "torchvision", "datasets", "numpy")


class DeviceError(UserError):
    """The device is not there, or cannot go on: with what, and what to change."""


def pick_device(asked: str, note) -> str:
    """ "auto", "cpu", "cuda" or "cuda:N" -> "cpu" or "cuda:N". Of several processes that torchrun
    starts each has a GPU of its own, whatever was asked. note(text): told where that is another.

    Raises DeviceError where there is no such GPU.
    """
    there = torch.cuda.is_available()
    if asked == "cpu" or (asked == "auto" and not there):
        return "cpu"
    if not there:
        raise DeviceError(f"--device {asked}: no GPU can be used here; use --device cpu")
    count = torch.cuda.device_count()
    number = int(asked.partition(":")[2] or 0)
    if number >= count:
        raise DeviceError(f"--device {asked}: there are {count} GPUs, counted from 0")
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        if ":" in asked:
            note(f"--device {asked} is for one process; under torchrun each takes a GPU of its own")
        number = int(os.environ.get("LOCAL_RANK", 0)) % count
    return f"cuda:{number}"


def cnn_precision(asked: str, device: str, note) -> str:
    """The number format of CNNs: what is asked, or where that is "auto" bf16 on a CPU with
    instructions for it, half the time, and fp32 elsewhere."""
    if asked != "auto" or device != "cpu":
        return "fp32" if asked == "auto" else asked
    able = torch.cpu.get_capabilities()
    if able.get("avx512_bf16") or able.get("amx_bf16"):
        return "bf16"
    why = "this processor has no bf16 instructions"
    note(f"{why}, so CNNs are trained in fp32; that takes about twice as long")
    return "fp32"


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next allocation instead of giving each large block back
    to the system.

    A CPU step allocates and frees the same few large activations; giving them back makes each step
    fault the pages in again. Measured on 2 cores: 1.2 to 1.4 times faster CNN steps. Elsewhere than
    glibc it does nothing.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block of its own for a large allocation
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: keep the top of the heap
    except (OSError, AttributeError):
        pass


def environment(device: str) -> dict:
    """Where a run was made: device name, threads, versions, code revision."""
    device = torch.device(device)
    versions = {name: version(name) for name in PACKAGES}
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()} | versions,
        "revision": _revision(),
    }


@functools.cache
def _revision() -> str:
    """Of the code that this process has loaded."""
    describe = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(describe, capture_output=True, text=True).stdout.strip()
    except OSError:  # there is no git
        found = ""
    return found or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        [name, *_] = [line.split(":", 1)[1] for line in lines if line.startswith("model name")]
    except (OSError, ValueError):
        name = platform.processor() or platform.machine()
    return f"CPU, {name.strip()}, {os.cpu_count()} cores"


@contextmanager
def device_errors(what: str, needs: str, less: str):
    """Turns a device's failures into DeviceError, which says that it was at `what`. needs: what
    takes the memory; less: what would need less of it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's OutOfMemoryError is a RuntimeError
        if isinstance(error, torch.cuda.OutOfMemoryError):
            problem = (
                f"out of GPU memory {needs}; use {less}, a GPU with more free memory, or "
                "--device cpu. What is finished is kept"
            )
        elif isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            problem = f"out of main memory {needs}; use {less}. What is finished is kept"
        elif "CUDA" in str(error) or "cuDNN" in str(error):
            problem = (
                f"the GPU failed ({str(error).splitlines()[0]}); the same command goes on where "
                "this one stopped, with --device cpu without the GPU"
            )
        else:
            raise
        raise DeviceError(f"{what}: {problem}") from None

"""The machine that runs are made on: what it is, what it can do, and how it keeps memory."""

import ctypes
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "torchvision", "datasets", "numpy")


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


def multiplies_in_bf16() -> bool:
    """Whether the CPU has instructions for bf16; CNNs take half the time in it there."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def environment(device: str) -> dict:
    """Where a run was made: device name, threads, versions, code revision."""
    device = torch.device(device)
    describe = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        revision = subprocess.run(describe, capture_output=True, text=True).stdout.strip()
    except OSError:  # there is no git
        revision = ""
    versions = {name: version(name) for name in PACKAGES}
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()} | versions,
        "revision": revision or "unknown",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        [name, *_] = [line.split(":", 1)[1] for line in lines if line.startswith("model name")]
    except (OSError, ValueError):
        name = platform.processor() or platform.machine()
    return f"CPU, {name.strip()}, {os.cpu_count()} cores"

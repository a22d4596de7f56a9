"""The commands as tests run them: in this process, in a fork (without another start of torch), or
for real.
"""

import functools
import hashlib
import importlib.util
import multiprocessing.forkserver
import os
import shutil
import subprocess
import sys
import traceback
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torchvision.transforms.v2  # noqa: F401  (what the command needs is loaded once, here, for all forks)

from xray import data, engine, results, sample_space, training  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent
# fp32: alike on processors with and without bf16
TINY = ("--image-size", "8", "--device", "cpu", "--precision", "fp32")
# in sample space, and a CNN by Adam
MIXED = (*TINY, "--model", "20", "19", "--seeds", "0", "--epochs", "2")


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


@functools.cache
def _nursery():
    """A process that has loaded what the command needs and runs no thread, from which others are
    forked. A fork of the tests' own process could inherit a lock that a thread of it holds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["commands", "pytest"])
    given = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests"), given])
    multiprocessing.forkserver.ensure_running()
    os.environ["PYTHONPATH"] = given
    return context


def fork(*arguments, cache: Path, log: Path, before=None):
    """scripts/train.py in a process of its own, started: a Process. Its output goes to `log`,
    stderr to `log`.err.
    before(): called there first."""
    process = _nursery().Process(target=_child, args=(arguments, cache, log, before))
    process.start()
    return process


def _child(arguments, cache, log, before):
    for number, path in ((1, log), (2, Path(f"{log}.err"))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    os.environ["XRAY_CACHE"] = str(cache)
    code = 1
    try:
        if before:
            before()
        code = train(*arguments)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run_fork(*arguments, **options) -> tuple[int, str, str]:
    """A fork run to its end: (exit code, stdout, stderr) of this run and of earlier ones with the
    same log.
    """
    process = fork(*arguments, **options)
    process.join(300)
    assert process.exitcode is not None, "still running after five minutes"
    log = options["log"]
    return process.exitcode, log.read_text(), Path(f"{log}.err").read_text()


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


def record_files(out: Path) -> dict[str, Path]:
    """ "<split>/<run>" -> file that holds it, of all records under an --out folder."""
    folder = Path(out) / "results"
    files = results.record_files(folder) if folder.is_dir() else []
    return {
        f"{split}/{name}": file for file in files for split, name in sorted(results.runs_of(file))
    }


def records(out: Path) -> dict[str, dict]:
    """Name -> content of all records, each whole and with sound weights, without what may differ:
    the environment.
    """
    found = {}
    for name, path in record_files(out).items():
        run = results.runs_of(path)[tuple(name.split("/"))]
        payload = asdict(run)
        del payload["environment"], payload["file"]
        for part in ("logits", "labels"):
            payload[part] = {key: values.tolist() for key, values in payload[part].items()}
        if weights := payload["weights"]:
            content = results.weights_path(run).read_bytes()
            assert hashlib.sha256(content).hexdigest() == weights["sha256"], (
                f"{path}: other weights than it names"
            )
        found[name] = payload
    return found


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


def leftovers(*folders: Path) -> list[Path]:
    """Temporary files and checkpoints that should not outlive a study that ran to its end."""
    return [
        path
        for folder in folders
        for path in Path(folder).rglob("*")
        if path.name.startswith(".writing") or path.parent.name == "checkpoints"
    ]


def whole_lines(file: Path) -> list[bytes]:
    """The whole lines of a file."""
    return [line for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


class Study:
    """A study under test: its folders, what it asks for, and when its finished runs were
    written.
    """

    def __init__(self, folder, images, arguments, cache=None):
        folder.mkdir()
        self.out, self.cache, self.log = folder / "out", folder / "cache", folder / "log"
        self.arguments = ("--data", images, *arguments, "--out", self.out)
        self.kept = {}
        if cache:
            shutil.copytree(cache, self.cache)

    def start(self, before=None):
        return fork(*self.arguments, cache=self.cache, log=self.log, before=before)

    def run(self, before=None):
        return run_fork(*self.arguments, cache=self.cache, log=self.log, before=before)

    def check(self):
        """What was finished is whole and untouched."""
        found = records(self.out)
        now = {name: repr(record) for name, record in found.items()}
        assert self.kept.items() <= now.items(), "a finished run was written again or lost"
        files = set(record_files(self.out).values())
        assert sum(len(whole_lines(file)) for file in files) == len(found), "recorded twice"
        self.kept = now

    def finish(self, expected):
        code, said, errors = self.run()
        assert code == 0 and "Traceback" not in errors, (said, errors)
        self.check()
        assert_same(expected, records(self.out))
        left = leftovers(self.out, self.cache)  # what was half written goes after a day
        assert [path for path in left if not path.name.startswith(".writing")] == []


def fails(result, *words) -> str:
    """One line of error, exit code 2."""
    code, _, errors = result
    assert code == 2, result
    [line] = errors.splitlines()
    assert line.startswith("error: ") and all(str(word) in line for word in words), line
    return line

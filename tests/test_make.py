"""What can be typed after make, and a Python that cannot run the scripts. Nothing is installed."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from commands import ROOT

FAKE = """#!/bin/sh
# a Python that makes environments and installs at once: it notes what it is asked
case "$1" in
  -V) echo "Python {version}" ;;
  -c) exit {wrong} ;;
  *) echo "$0 $*" >> "$(dirname "$(readlink -f "$0")")/asked"
     [ "$2" = venv ] && mkdir -p .venv/bin && cp "$0" .venv/bin/python
     [ "$2" = pip ] && exit {fails} ;;
esac
exit 0
"""


def make(*words, folder=ROOT):
    words = ["make", "-C", folder, *words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def checkout(tmp_path):
    """A folder with the Makefile alone."""
    folder = tmp_path / "check out"
    folder.mkdir()
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def python(folder, name, version="3.12.0", wrong=0, fails=0):
    path = folder / name
    path.write_text(FAKE.format(version=version, wrong=wrong, fails=fails))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("word", ["data=films", "MODEL=26b", "Device=cpu", "SEED=3"])
def test_a_variable_that_does_not_exist_is_refused(word):
    code, said, errors = make("-n", "all", word)
    assert code == 2 and said.count("scripts/train.py") == 0
    assert f"there is no variable {word.split('=')[0]}; there are PYTHON DATA" in errors


def test_those_that_exist_reach_the_script():
    words = "DATA=my films", "SIZE=64", "MODELS=20 21", "SEEDS=0-2", "DEVICE=cpu", "OUT=~/x"
    code, said, errors = make("-n", "train", *words)
    assert (code, errors) == (0, "")
    line = next(line for line in said.splitlines() if "scripts/train.py" in line)
    words = "--model 20 21 --data='my films' --image-size 64 --seeds 0-2 --device cpu --out \"~/x\""
    assert words in " ".join(line.split())


def test_what_is_said_of_a_source_reaches_all_that_read_it():
    words = "DATA=my films", "POSITIVE=A b,C", "NEGATIVE=D", "LABEL=it's", "SPLIT=patient"
    code, said, errors = make("-n", "all", *words)
    assert (code, errors) == (0, "")
    lines = [" ".join(line.split()) for line in said.splitlines() if "/python scripts/" in line]
    scripts = ("train", "train", "evaluate", "evaluate", "train")
    for line, script in zip(lines, scripts, strict=True):
        assert f"scripts/{script}.py" in line
        if script == "evaluate":  # it takes what the study's records say
            continue
        said = "--data='my films' --positive='A b,C' --negative='D' --label='it'\\''s'"
        assert f'{said} --split "patient"' in line
    assert "--report filling" in lines[0] and "--experiments" in lines[1]
    assert lines[-1].endswith("--report"), "the last writes it, when all is there"
    alone = make("-n", "all", "MODELS=20", *words)[1]
    assert alone.count("/python scripts/train.py") == 2 and "--experiments" not in alone


def test_a_wrong_python_can_be_put_right(checkout):
    old = python(checkout, "old", "3.9.1", wrong=1)
    code, _, errors = make(".venv/ready", f"PYTHON={old.name}", folder=checkout)
    assert code == 2, "it is not found by its bare name"
    code, _, errors = make(".venv/ready", "PYTHON=./old", folder=checkout)
    assert code == 2 and "error: PYTHON=./old is no Python 3.11 or later" in errors
    assert not (checkout / ".venv").exists()


def test_a_python_without_wheels_does_not_stay(checkout):
    python(checkout, "young", "3.16.0", fails=1)
    python(checkout, "good", "3.12.0")
    code, _, errors = make(".venv/ready", "PYTHON=./young", folder=checkout)
    assert code == 2 and "error: the packages cannot be installed; the README says" in errors
    assert not (checkout / ".venv" / "ready").exists()
    code, said, errors = make(".venv/ready", "PYTHON=./good", folder=checkout)
    assert code == 0 and (checkout / ".venv" / "ready").exists()
    version = subprocess.run([checkout / ".venv/bin/python", "-V"], capture_output=True, text=True)
    assert version.stdout == "Python 3.12.0\n"


def test_a_moved_checkout_still_works(checkout, tmp_path):
    """Commands in .venv/bin name the folder that they were installed in; python itself does not."""
    python(checkout, "good")
    assert make(".venv/ready", "PYTHON=./good", folder=checkout)[0] == 0
    moved = checkout.rename(tmp_path / "elsewhere")
    for target in ("lint", "test", "train", "report", "bench"):
        code, said, _ = make("-n", target, folder=moved)
        used = [line.strip().split()[0] for line in said.splitlines() if ".venv/bin" in line]
        assert code == 0 and used and set(used) == {".venv/bin/python"}, said


@pytest.mark.parametrize("name", ["train", "report", "predict", "bench"])
def test_a_python_without_packages_is_told_in_one_line(name):
    """-S and -E: this Python without what is installed for it."""
    done = subprocess.run(
        [sys.executable, "-S", "-E", ROOT / "scripts" / f"{name}.py", "--help"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": ""},
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {sys.executable} lacks packages (torch, ")
    assert "use .venv/bin/python, which `make .venv/ready` sets up" in line


def test_an_old_python_is_told(monkeypatch):
    from xray import packages

    assert packages.problem() == ""
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    assert "is version 3.9, older than 3.11" in packages.problem()


def test_the_packages_are_those_of_the_requirements():
    from xray import packages

    for_users = (ROOT / "requirements.txt").read_text().split("# for the tests\n")[0]
    named = [line.split("==")[0] for line in for_users.splitlines() if "==" in line]
    # pydicom loads its decoders itself
    named = [name for name in named if not name.startswith("pylibjpeg")]
    modules = {"scikit-learn": "sklearn", "markdown-it-py": "markdown_it"}
    assert packages.MODULES.split() == [modules.get(name, name) for name in named]


def test_make_help_names_every_target_and_variable():
    said, makefile = make("help")[1], (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*) help$", makefile, re.M)[1].split()
    variables = re.search(r"^KNOWN *:= (.*)$", makefile, re.M)[1].split()
    assert len(targets) > 5 and all(f"make {target}" in said for target in targets)
    assert len(variables) > 5 and all(f"{variable}=" in said for variable in variables)

"""For all tests: one thread, so that results are the same to the bit and forks are safe, a cache of
their own, and what is made once a process."""

import os
import shutil
import sys
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before anything loads torch
# scripts find what they share beside them
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

# what takes long to make; of two processes the first gets all tests that need it (see below)
SHARED = ("full", "browser", "study", "whole")


def pytest_configure(config):
    config.addinivalue_line("markers", "cuda: trains on a GPU; left out where there is none")
    config.addinivalue_line("markers", "slow: left out of make test; make test-all runs it")


def pytest_collection_modifyitems(config, items):
    """Tests that share something stand together, at the start: processes side by side are dealt the
    list in halves, and who is done takes from the end of another's."""
    import torch

    if not torch.cuda.is_available():
        on_gpu = [item for item in items if item.get_closest_marker("cuda")]
        config.hook.pytest_deselected(items=on_gpu)
        items[:] = [item for item in items if item not in on_gpu]
    items.sort(key=lambda item: [name not in item.fixturenames for name in SHARED])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAY_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A folder of class folders: 24 small images, 14 of them to train on."""
    from samples import class_folders

    splits = {"train": (5, 9), "validation": (2, 4), "test": (1, 3)}
    return class_folders(tmp_path_factory.mktemp("images"), splits)


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A folder with a source ("films") and the records of three short runs ("out/results")."""
    from predicting import make_study

    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """A folder with a whole study in "results" and its report."""
    from report_world import whole

    return whole(tmp_path_factory.mktemp("full"))


@pytest.fixture
def records(study, tmp_path):
    """A copy of the study's records that a test may spoil: the results folder."""
    return shutil.copytree(study / "out" / "results", tmp_path / "results")

"""The cache of decoded images."""

import multiprocessing
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import room
from reading import error_of, load
from samples import COUNT, class_folders, encode, pixels

from xray import data, data_images


@pytest.fixture
def folder(tmp_path):
    return class_folders(tmp_path / "set")


def test_the_second_reading_does_not_decode_and_is_the_same(folder, monkeypatch):
    first = load(folder)
    expected = np.array(first.images)
    first.images[:] = 7  # which does not reach the cache
    monkeypatch.setattr(data_images, "read", None)
    second = load(folder)
    assert (second.images == expected).all() and second.facts == first.facts
    assert second.notes == []


def test_a_changed_source_is_read_anew_and_another_size_is_the_same_data(folder):
    first = load(folder)
    assert load(folder, 12).fingerprint == first.fingerprint
    (folder / "train" / "NORMAL" / "IM-0001-0001.png").write_bytes(encode(pixels(99)))
    second = load(folder)
    assert second.fingerprint != first.fingerprint and (second.images[0] != first.images[0]).any()


@pytest.mark.parametrize("file", ["pixels.u8", "films.json"])
@pytest.mark.parametrize("damage", ["cut off", "gone"])
def test_a_damaged_cache_is_noticed_and_made_anew(folder, tmp_path, file, damage):
    first = load(folder)
    expected = np.array(first.images)
    [path] = (tmp_path / "cache" / "images").glob(f"*/{file}")
    content = path.read_bytes()
    path.unlink()
    if damage == "cut off":
        path.write_bytes(content[:-1])
    second = load(folder)
    assert (second.images == expected).all() and second.facts == first.facts


def test_what_a_killed_process_left_is_removed(folder, tmp_path):
    left = tmp_path / "cache" / "images" / ".writing-0123"
    left.mkdir(parents=True)
    (left / "pixels.u8").write_bytes(b"x" * 1000)
    os.utime(left, (0, 0))
    load(folder)
    assert not left.exists()


def load_and_count(folder, cache, queue):
    calls, decode = [], data_images.read

    def slow(encoded, *how):
        calls.append(1)
        time.sleep(0.02)
        return decode(encoded, *how)

    data_images.read = slow
    found = data.load(str(folder), 8, cache=cache)
    queue.put((len(calls), found.fingerprint, int(found.images.sum()), found.notes))


def test_two_processes_at_once_decode_once(folder, tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    words = (folder, tmp_path / "cache", queue)
    processes = [context.Process(target=load_and_count, args=words) for _ in range(2)]
    for process in processes:
        process.start()
    first, second = sorted(queue.get(timeout=300) for _ in processes)
    for process in processes:
        process.join()
    assert (first[0], second[0]) == (0, COUNT) and first[1:] == second[1:] and first[3] == []


def test_no_space_for_the_cache(folder):
    """What happens on a full disk, at the write itself."""
    with room(1000):
        text = error_of(folder, size=64)
    assert "cache cannot be written (File too large)" in text and "XRAY_CACHE" in text
    assert len(load(folder, 64).labels) == COUNT


def test_too_little_space_is_said_before_decoding(folder, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=100))
    text = error_of(folder)
    assert "0.0 GB are free" in text and "set XRAY_CACHE" in text


def test_a_cache_folder_that_cannot_be(folder, tmp_path):
    (tmp_path / "cache").write_text("a file")
    text = error_of(folder)
    assert "set XRAY_CACHE to another folder" in text


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("XRAY_CACHE", "/somewhere")
    assert data.cache_folder() == Path("/somewhere")
    monkeypatch.delenv("XRAY_CACHE")
    assert data.cache_folder() == Path.home() / ".cache" / "xray"


def test_progress_is_told(folder):
    told = []
    load(folder, progress=lambda *now: told.append(now))
    assert told[-1] == (COUNT, COUNT)

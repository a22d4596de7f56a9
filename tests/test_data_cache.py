"""The cache of decoded images."""

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from commands import room
from samples import COUNT, class_folders, encode, load, pixels

from xray import data, data_images
from xray.data_sources import DataError


def entry(folder):
    [found] = (folder / "cache" / "images").glob("*/films.json")
    return found.parent


def test_the_second_reading_does_not_decode(tmp_path, monkeypatch):
    folder = class_folders(tmp_path / "set")
    first = load(folder, tmp_path)
    monkeypatch.setattr(data_images, "read", None)
    second = load(folder, tmp_path)
    assert (
        (first.images == second.images).all() and first.facts == second.facts and second.notes == []
    )


def test_a_changed_source_is_read_anew_and_another_size_is_the_same_data(tmp_path):
    folder = class_folders(tmp_path / "set")
    first = load(folder, tmp_path)
    assert load(folder, tmp_path, 12).fingerprint == first.fingerprint
    (folder / "train" / "NORMAL" / "IM-0001-0001.png").write_bytes(encode(pixels(99)))
    second = load(folder, tmp_path)
    assert second.fingerprint != first.fingerprint and (second.images[0] != first.images[0]).any()


@pytest.mark.parametrize(
    "damage",
    [
        lambda e: (e / "pixels.u8").write_bytes((e / "pixels.u8").read_bytes()[:-1]),
        lambda e: (e / "pixels.u8").unlink(),
        lambda e: (e / "films.json").write_text("{"),
        lambda e: (e / "films.json").unlink(),
    ],
    ids=[
        "pixels cut off",
        "pixels gone",
        "facts cut off",
        "facts gone",
    ],
)
def test_a_damaged_cache_is_noticed_and_made_anew(tmp_path, damage):
    folder = class_folders(tmp_path / "set")
    first = load(folder, tmp_path)
    expected = np.array(first.images)
    damage(entry(tmp_path))
    second = load(folder, tmp_path)
    assert (second.images == expected).all() and second.facts == first.facts


def test_writing_to_the_images_does_not_reach_the_cache(tmp_path):
    folder = class_folders(tmp_path / "set")
    first = load(folder, tmp_path)
    first.images[:] = 7
    assert load(folder, tmp_path).notes == []


def test_what_a_killed_process_left_is_removed(tmp_path):
    folder = class_folders(tmp_path / "set")
    left = tmp_path / "cache" / "images" / ".writing-0123"
    left.mkdir(parents=True)
    (left / "pixels.u8").write_bytes(b"x" * 1000)
    os.utime(left, (0, 0))
    load(folder, tmp_path)
    assert not left.exists()


def load_and_count(folder, cache, queue):
    calls = []
    decode = data_images.read
    data_images.read = lambda encoded, *how: (
        calls.append(1),
        time.sleep(0.02),
        decode(encoded, *how),
    )[-1]
    found = data.load(str(folder), 8, cache=cache)
    queue.put((len(calls), found.fingerprint, int(found.images.sum()), found.notes))


def test_two_processes_at_once_decode_once(tmp_path):
    folder = class_folders(tmp_path / "set")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [
        context.Process(target=load_and_count, args=(folder, tmp_path / "cache", queue))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    first, second = sorted(queue.get(timeout=300) for _ in processes)
    for process in processes:
        process.join()
    assert (first[0], second[0]) == (0, COUNT) and first[1:] == second[1:] and first[3] == []


def test_no_space_for_the_cache(tmp_path):
    """What happens on a full disk, at the write itself."""
    folder = class_folders(tmp_path / "set")
    with room(1000), pytest.raises(DataError) as caught:
        load(folder, tmp_path, 64)
    text = str(caught.value)
    assert "cache cannot be written (File too large)" in text and "XRAY_CACHE" in text
    assert not list((tmp_path / "cache" / "images").glob(".writing-*"))
    assert len(load(folder, tmp_path, 64).labels) == COUNT


def test_too_little_space_is_said_before_decoding(tmp_path, monkeypatch):
    from collections import namedtuple

    monkeypatch.setattr("shutil.disk_usage", lambda folder: namedtuple("Usage", "free")(100))
    with pytest.raises(DataError, match="set XRAY_CACHE"):
        load(class_folders(tmp_path / "set"), tmp_path)


def test_a_cache_folder_that_cannot_be(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match="set XRAY_CACHE to another folder"):
        load(class_folders(tmp_path / "set"), tmp_path)


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("XRAY_CACHE", "/somewhere")
    assert data.cache_folder() == Path("/somewhere")
    monkeypatch.delenv("XRAY_CACHE")
    assert data.cache_folder() == Path.home() / ".cache" / "xray"


def test_progress_is_told(tmp_path):
    told = []
    load(
        class_folders(tmp_path / "set"),
        tmp_path,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (COUNT, COUNT)

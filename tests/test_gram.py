"""The Gram matrix against integer arithmetic."""

import threading

import numpy as np
import pytest
import torch
from samples import noise_images

from xray import files, gram

SIZE = 16
IMAGES, _ = noise_images(120, SIZE)


def exact(images):
    pixels = images.reshape(len(images), -1).astype(np.int64)
    return pixels @ pixels.T


@pytest.mark.parametrize("int8", [True, False])
@pytest.mark.parametrize(
    "n, size, block, buffer", [(67, 20, 32, 67 * 150), (3, 4, 512, 2**20), (130, 12, 64, 1)]
)
def test_gram_is_exact(monkeypatch, int8, n, size, block, buffer):
    """Blocks and strips that do not divide the images; extreme pixels; both ways to multiply."""
    monkeypatch.setattr(gram, "SIDE", block)
    monkeypatch.setattr(gram, "BUFFER", buffer)
    monkeypatch.setattr(gram, "FLOAT32_COLUMNS", 30)
    monkeypatch.setattr(gram, "_has_int8", lambda device: int8)
    images, _ = noise_images(n, size)
    images[0], images[1] = 0, 255
    calls = []
    matrix = gram.compute_gram(images, progress=lambda done, total: calls.append((done, total)))
    assert matrix.dtype == torch.float64 and np.array_equal(matrix.numpy(), exact(images))
    assert calls[-1][0] == calls[-1][1] == len(calls)


def test_gram_of_many_pixels_does_not_overflow(monkeypatch):
    images = np.zeros((2, 1, 400, 400), np.uint8)
    images[1] = 255
    for int8 in (True, False):
        monkeypatch.setattr(gram, "_has_int8", lambda device, int8=int8: int8)
        assert np.array_equal(gram.compute_gram(images).numpy(), exact(images))


def test_gram_is_kept_and_checked(tmp_path, monkeypatch):
    images, _ = noise_images(120, SIZE)
    count = []
    compute = gram.compute_gram
    monkeypatch.setattr(gram, "compute_gram", lambda *rest: count.append(1) or compute(*rest))

    def ask(fingerprint="a" * 64, images=images):
        matrix, notes = gram.gram_matrix(images, fingerprint, tmp_path)
        assert np.array_equal(matrix.numpy(), exact(images))
        return notes

    assert ask() == [] and ask() == [] and len(count) == 1
    assert ask("b" * 64) == [] and len(count) == 2
    path = tmp_path / "gram" / f"{'a' * 16}-{SIZE}px.npy"
    good = path.read_bytes()

    other = np.zeros((3, 3))
    np.save(tmp_path / "other.npy", other)
    for content in (good[:-9], b"", (tmp_path / "other.npy").read_bytes()):
        path.write_bytes(content)
        (note,) = ask()
        assert "computed again" in note
        assert ask() == []
    (note,) = ask("a" * 16 + "c" * 48, 255 - images)
    assert "of other images" in note
    assert ask("a" * 16 + "c" * 48, 255 - images) == []
    assert not list(tmp_path.glob("gram/.writing-*"))


def test_a_second_process_waits_for_the_first(tmp_path):
    """Another one's lock is held here; a thread asks, and gets what the holder leaves."""
    gram.gram_matrix(IMAGES, "a" * 64, tmp_path)
    lock = tmp_path / "gram" / f"{'a' * 16}-{SIZE}px.lock"
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(gram.gram_matrix(IMAGES, "a" * 64, tmp_path))
    )
    with files.lock(lock):
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and not answers
    thread.join(10)
    assert np.array_equal(answers[0][0].numpy(), exact(IMAGES))


def test_gram_without_a_place_to_keep_it(tmp_path):
    (tmp_path / "file").write_text("")
    matrix, (note,) = gram.gram_matrix(IMAGES, "a" * 64, tmp_path / "file")
    assert "not kept" in note and np.array_equal(matrix.numpy(), exact(IMAGES))
    with pytest.raises(ValueError, match="uint8"):
        gram.gram_matrix(IMAGES.astype(np.float32), "a" * 64, tmp_path)

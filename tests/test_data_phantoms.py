"""Phantoms: the same from a seed, in the paper's proportions, and with something to learn in
them.
"""

import numpy as np
import pytest

from xray import data, data_phantoms


@pytest.mark.parametrize("size", [16, 64])
def test_drawing_depends_on_the_number_alone(size):
    image = data_phantoms.draw(3, True, size)
    assert image.shape == (size, size) and image.dtype == np.uint8
    assert (image == data_phantoms.draw(3, True, size)).all()
    assert (image != data_phantoms.draw(4, True, size)).any()
    assert (image != data_phantoms.draw(3, False, size)).any()


def test_sizes_show_the_same_patient():
    small, large = (
        data_phantoms.draw(5, True, 32).astype(float),
        data_phantoms.draw(5, True, 128).astype(float),
    )
    shrunk = large.reshape(32, 4, 32, 4).mean((1, 3))
    assert np.abs(small - shrunk).mean() < 6  # the grain differs


def test_proportions_are_the_papers():
    sizes = data_phantoms.class_counts(600)
    assert {split: sum(n) for split, n in sizes.items()} == {
        "train": 420,
        "validation": 120,
        "test": 60,
    }
    for normal, pneumonia in sizes.values():
        assert normal / pneumonia == pytest.approx(0.37, abs=0.03)


def test_as_a_source(tmp_path):
    found = data.load("phantom:20", 16, cache=tmp_path)
    assert (
        found.phantom
        and found.facts["phantom"]
        and found.name == "phantom"
        and found.source == "phantom:20"
    )
    assert found.facts["splits"] == {"train": 14, "validation": 4, "test": 2}
    assert found.paths[0] == "phantom/train/NORMAL/0001.png" and len(set(found.paths)) == 20
    assert found.facts["patients"]["unnamed"] == 20
    assert found.facts["audit"]["identical_pixels"]["surplus"] == 0
    assert (found.images[0, 0] == data_phantoms.draw(0, False, 16)).all()
    assert (found.images[-1, 0] == data_phantoms.draw(19, True, 16)).all()
    other = data.load("phantom:20", 20, cache=tmp_path)
    assert other.fingerprint == found.fingerprint and other.paths == found.paths
    assert data.load("phantom:21", 16, cache=tmp_path).fingerprint != found.fingerprint


def test_opacities_can_be_learned_but_not_from_one_number():
    """Least squares on coarse pixels tells most apart; no threshold on the mean brightness does."""
    normal = np.stack([data_phantoms.draw(i, False, 16) for i in range(60)]).reshape(60, -1) / 255.0
    sick = (
        np.stack([data_phantoms.draw(i + 1000, True, 16) for i in range(60)]).reshape(60, -1)
        / 255.0
    )
    train = np.concatenate([normal[:45], sick[:45]])
    target = np.repeat([-1.0, 1.0], 45)
    mean = train.mean(0)
    weights = np.linalg.solve(
        (train - mean).T @ (train - mean) + 0.1 * np.eye(256), (train - mean).T @ target
    )
    right = np.concatenate(
        [(normal[45:] - mean) @ weights < 0, (sick[45:] - mean) @ weights > 0]
    ).mean()
    assert right > 0.8
    brightness = np.concatenate([normal.mean(1), sick.mean(1)])
    best = max(
        max(
            (found := np.concatenate([brightness[:60] < cut, brightness[60:] >= cut]).mean()),
            1 - found,
        )
        for cut in brightness
    )
    assert best < 0.9

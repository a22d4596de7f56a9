"""Phantoms: the same from a seed, in the paper's proportions, and with something to learn in
them."""

import numpy as np
import pytest
from reading import load
from samples import phantoms

from xray import data_phantoms


@pytest.mark.parametrize("size", [16, 64])
def test_drawing_depends_on_the_number_alone(size):
    image = data_phantoms.draw(3, True, size)
    assert image.shape == (size, size) and image.dtype == np.uint8
    assert (image == data_phantoms.draw(3, True, size)).all()
    assert (image != data_phantoms.draw(4, True, size)).any()
    assert (image != data_phantoms.draw(3, False, size)).any()


def test_sizes_show_the_same_patient():
    small, large = (data_phantoms.draw(5, True, size).astype(float) for size in (32, 128))
    shrunk = large.reshape(32, 4, 32, 4).mean((1, 3))
    assert np.abs(small - shrunk).mean() < 6  # the grain differs


def test_proportions_are_the_papers():
    counts = data_phantoms.class_counts(600)
    assert [sum(n) for n in counts.values()] == [420, 120, 60]
    for normal, pneumonia in counts.values():
        assert normal / pneumonia == pytest.approx(0.37, abs=0.03)


def test_as_a_source():
    found = load("phantom:20", 16)
    assert found.phantom and found.facts["phantom"]
    assert (found.name, found.source) == ("phantom", "phantom:20")
    assert found.facts["splits"] == {"train": 14, "validation": 4, "test": 2}
    assert found.paths[0] == "phantom/train/NORMAL/0001.png" and len(set(found.paths)) == 20
    assert found.facts["patients"]["unnamed"] == 20
    assert found.facts["audit"]["identical_pixels"]["surplus"] == 0
    assert (found.images[0, 0] == data_phantoms.draw(0, False, 16)).all()
    assert (found.images[-1, 0] == data_phantoms.draw(19, True, 16)).all()
    other = load("phantom:20", 20)
    assert other.fingerprint == found.fingerprint and other.paths == found.paths
    assert load("phantom:21", 16).fingerprint != found.fingerprint


def test_opacities_can_be_learned_but_not_from_one_number():
    """Least squares on coarse pixels tells most apart; no threshold on the mean brightness does."""
    films = phantoms(0, 240, 16).reshape(240, -1) / 255.0
    target = np.tile([-1.0, 1.0], 120)
    centred = films - films[:180].mean(0)
    train, signs = centred[:180], target[:180]
    weights = np.linalg.solve(train.T @ train + 0.1 * np.eye(256), train.T @ signs)
    assert (np.sign(centred[180:] @ weights) == target[180:]).mean() > 0.8
    brightness = films.mean(1)
    above = [(np.where(brightness >= cut, 1, -1) == target).mean() for cut in brightness]
    assert max(*above, 1 - min(above)) < 0.9

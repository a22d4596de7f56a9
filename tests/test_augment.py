"""Augmentation: what is drawn, and what that does to an image."""

from dataclasses import replace

import pytest
import torch

from xray.engine import augmented, draw
from xray.specs import TABLE_3

SPEC = TABLE_3["33"]
SIZE = 32
STILL = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


def changed(image, **values):
    """An image (S, S) with one thing done to it, by its place in `draw`."""
    names = ("right", "down", "angle", "scale", "contrast", "brightness", "flip")
    drawn = torch.tensor([[values.get(name, still) for name, still in zip(names, STILL)]])
    return augmented(image.clone()[None, None], drawn)[0, 0]


def picture():
    return torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def test_draws_come_from_seed_and_epoch_alone_and_scale_with_the_strength():
    first = draw(SPEC, 50, 3, 7)
    assert torch.equal(first, draw(SPEC, 50, 3, 7))
    assert not torch.equal(first, draw(SPEC, 50, 3, 8))
    assert not torch.equal(first, draw(SPEC, 50, 4, 7))
    half = draw(replace(SPEC, augment=SPEC.augment / 2), 50, 3, 7)
    assert torch.allclose(2 * half[:, :6], first[:, :6])


def test_only_a_spec_that_says_so_mirrors_films_and_then_half_of_them():
    assert (draw(SPEC, 400, 0, 0)[:, 6] == 1).all()
    flips = draw(replace(SPEC, flip=True), 400, 0, 0)[:, 6]
    assert 150 < (flips == -1).sum() < 250 and set(flips.tolist()) == {1, -1}


def test_nothing_drawn_changes_nothing_and_a_flip_mirrors():
    assert torch.allclose(changed(picture()), picture(), atol=1e-4)
    assert torch.allclose(changed(picture(), flip=-1.0), picture().flip(1), atol=1e-4)


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_a_shift_moves_the_film_right_and_down_and_leaves_black_behind(flip):
    moved = changed(picture(), right=0.25, down=0.5, flip=flip)  # 4 and 8 of 32 pixels
    still = picture() if flip == 1 else picture().flip(1)
    assert torch.allclose(moved[8:, 4:], still[:-8, :-4], atol=1e-4)
    assert moved[:8].abs().max() < 1e-4 and moved[:, :4].abs().max() < 1e-4


def test_a_quarter_turn_and_a_doubling_are_those():
    assert torch.allclose(changed(picture(), angle=torch.pi / 2), picture().rot90(-1), atol=1e-4)
    twice = changed(torch.nn.functional.pad(torch.ones(8, 8), (12,) * 4), scale=0.6931472)
    assert twice.sum() == pytest.approx(256, rel=0.02)


def test_contrast_and_brightness_change_the_spread_and_the_mean():
    plain = 0.4 + 0.2 * picture()
    assert changed(plain, contrast=0.5).std() == pytest.approx(1.5 * plain.std().item(), rel=1e-3)
    assert changed(plain, contrast=0.5).mean() == pytest.approx(plain.mean().item(), rel=1e-3)
    assert changed(plain, brightness=0.1).mean() == pytest.approx(plain.mean().item() + 0.1)
    wild = changed(picture(), contrast=3.0, brightness=0.5)
    assert wild.min() >= 0 and wild.max() <= 1

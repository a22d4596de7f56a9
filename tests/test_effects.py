"""What counts as an effect: seeds against noise, one seed, divergence, durations."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
from claim_world import FACTS, judge, made, study

from xray import claims, effects
from xray.effects import FAILS, HOLDS, NOISE


def one_of_three(good, bad):
    return lambda seed: bad if seed == 0 else good


@pytest.mark.parametrize(
    "claim, changes",
    [
        ("C06", {"1": one_of_three({}, dict(pace=1))}),
        ("C08", {"4": one_of_three({}, dict(pace=1))}),
        ("C09", {"6@1e-3": one_of_three({}, dict(dead=False))}),
        (
            "C12",
            {"11": lambda seed: dict(validation=0.80 + 0.1 * seed), "12": dict(validation=0.7)},
        ),
        ("C14", {"14": one_of_three({}, dict(validation=0.98))}),
        ("C15", {"14": one_of_three({}, dict(rough=0.0001))}),
        ("C18", {"24": one_of_three({}, dict(validation=0.80))}),
        ("C23", {"24": one_of_three({}, dict(right=(404, 141)))}),
        ("C31", {"20": lambda seed: dict(right=(400 - 10 * seed, 142))}),
        ("C33", {"24b": one_of_three({}, dict(right=(380, 142)))}),
        ("C34", {"26b": one_of_three({}, dict(right=(380, 142)))}),
    ],
)
def test_effects_smaller_than_the_spread_are_within_noise(claim, changes):
    assert judge(claim, study(changes)).verdict == NOISE


def test_one_seed_falls_back_on_the_test_images():
    close = judge("C23", study(seeds=1))
    assert (
        close.verdict == NOISE and "McNemar" in close.figures and "fewer than 3 seeds" in close.note
    )
    far = study(
        {"23": dict(right=(300, 120)), "24": dict(right=(310, 120)), "25": dict(right=(300, 100))},
        seeds=1,
    )
    assert judge("C23", far).verdict == HOLDS
    assert judge("C23", study({"23": dict(right=(411, 171))}, seeds=2)).verdict == FAILS


def test_one_seed_needs_a_minimum_effect_on_curves():
    assert judge("C14", study(seeds=1)).verdict == HOLDS
    # 0.3 points
    assert judge("C14", study({"14": dict(validation=0.917)}, seeds=1)).verdict == NOISE
    # the same on three seeds
    assert judge("C14", study({"14": dict(validation=0.917)})).verdict == HOLDS
    assert judge("C14", study({"14": dict(validation=0.93)}, seeds=1)).verdict == FAILS


def test_divergence_counts_where_convergence_is_asked():
    wild = study(
        {"6@1e-1": dict(diverged=True), "18": dict(diverged=True), "17": dict(diverged=True)}
    )
    assert [judge(claim, wild).verdict for claim in ("C09", "C16", "C17")] == [HOLDS] * 3


def test_durations_are_compared_alike():
    """The runs that the report shows may be trained otherwise; the timed ones are found among
    all.
    """
    shown = study({"27b": dict(engine="gram", seconds=1), "28b": dict(engine="gram", seconds=1)})
    timed = [made("26b"), made("27b"), made("28b"), made("27b", size=64, seconds=1)]
    threads = made("27b", seconds=1)  # alike in all but the threads
    timed.append(replace(threads, environment=threads.environment | {"threads": 1}))
    (verdict,) = [found for found in claims.judge(shown, FACTS, timed) if found.id == "C30"]
    assert verdict.verdict == HOLDS and "6.7 times as long as 27b" in verdict.figures


def test_decide():
    assert effects.decide([1, 1, 1], 0) == HOLDS and effects.decide([-1, -1, -1], 9) == FAILS
    assert effects.decide([0, 0, 0], 0) == NOISE
    # mean 1; standard error 1/sqrt(3) = 0.58, twice that is above 1; with a smaller spread it is
    # not
    assert effects.decide([0, 1, 2], 0) == NOISE and effects.decide([0.5, 1, 1.5], 0) == HOLDS
    assert effects.decide([0.4], 0.5) == NOISE and effects.decide([0.6, 0.6], 0.5) == HOLDS


def test_noise_alone_is_rarely_called_an_effect():
    """Five seeds of pure noise: two standard errors leave about 12 % on both sides (t with 4
    degrees of freedom).
    """
    random = np.random.default_rng(zlib.crc32(b"noise"))
    called = np.mean(
        [effects.decide(values, 0) != NOISE for values in random.normal(size=(2000, 5))]
    )
    assert 0.08 < called < 0.16

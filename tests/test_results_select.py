"""Which of many runs are shown: those nearest to the paper's, and alike among themselves."""

from dataclasses import replace

from records import run

from xray import results
from xray.specs import LEARNING_RATE_SEARCH, MODELS

SPEC = MODELS["20"]


def test_the_runs_to_show_are_those_nearest_to_the_papers():
    short = replace(SPEC, epochs=3)
    wrong = [
        run("20", 0, spec=short),
        run("20", 0, image_size=64),
        run("20", 0, forced=True),
        replace(run("20", 0), precision="bf16"),
    ]
    right = [run("20", seed) for seed in (2, 0, 1)]
    assert results.select(wrong + right) == {"20": [right[1], right[2], right[0]]}
    ranking = [  # each is nearer than those after it
        run("20", 0),
        run("20", 0, forced=True),
        replace(run("20", 0), precision="bf16"),
        run("20", 0, image_size=64),
        run("20", 0, image_size=32),
        run("20", 0, spec=replace(SPEC, epochs=40)),
        run("20", 0, spec=short),
    ]
    for place in range(len(ranking)):
        assert results.select(ranking[place:][::-1]) == {"20": [ranking[place]]}
    chosen = results.select([run(model) for model in reversed(MODELS | LEARNING_RATE_SEARCH)])
    assert list(chosen) == list(MODELS | LEARNING_RATE_SEARCH)
    assert results.select([]) == {}


def test_models_of_a_class_are_shown_at_the_size_that_most_of_them_have():
    small = [run(model, image_size=96) for model in ("22", "22b", "26b")]
    large = [run(model) for model in ("22", "22b", "26b")]
    assert list(results.select(small + large[2:]).values()) == [[one] for one in small]
    assert list(results.select(small + large).values()) == [[one] for one in large]
    short = [run(model, spec=replace(MODELS[model], epochs=1)) for model in ("22", "22b")]
    assert list(results.select(small + short + large[2:]).values()) == [[one] for one in small]
    # another class, its own size
    assert results.select(small + [run("20", image_size=224)])["20"][0].image_size == 224


def test_unmatched_runs_never_stand_in():
    old = [replace(run("22", seed, image_size=96), pixel_step=1.0) for seed in range(5)]
    new = [run("22", seed, image_size=64) for seed in range(2)]
    assert results.select(old + new) == {"22": new}


def test_one_run_at_the_papers_size_does_not_displace_five_matched_ones():
    matched = [run(name, seed, image_size=64) for name in ("22", "25") for seed in range(5)]
    single = run("22", 0)
    chosen = results.select([*matched, single])
    assert all(found.image_size == 64 for group in chosen.values() for found in group)
    several = [run(name, seed) for name in ("22", "25") for seed in range(3)]
    chosen = results.select([*matched, *several])
    assert all(found.image_size == 640 for group in chosen.values() for found in group)


def test_what_differs_from_the_paper_is_said():
    assert run("20").differs == []
    (old,) = replace(run("26b", image_size=96), pixel_step=1.0).differs
    assert old.endswith("with steps that are not matched to them")
    odd = run("20", spec=replace(SPEC, epochs=3), image_size=96, data={"phantom": True})
    assert odd.differs == [
        "synthetic images (phantoms)",
        "96×96 pixels instead of 640×640, with matched steps",
        "3 epochs instead of 50",
    ]

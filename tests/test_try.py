"""The box in which a reader tries films answers in a browser as the models do in PyTorch, and each
of its buttons does what it says. Weights are those of the record, films those of the project."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from commands import ROOT
from samples import encode, gray

from xray import (
    baselines,
    equalise,
    page,
    predict,
    predict_weights,
    report_films,
    report_try,
    study,
)

MODELS = ("linear", "cnn", "equalised", "thumbnail")
PRESSED = "[data-part=films] button:nth-child({})[aria-pressed=true]"


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """The page's file; the films to pick from, uint8 (12, 64, 64), and their labels; the mean film;
    logits(pixels) -> what each of the models says of films, (N, 4)."""
    folder, results = tmp_path_factory.mktemp("try"), ROOT / "report" / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAY_CACHE", str(folder / "cache"))
        found = study.read(results, study.choose(results)[0])
        item, films = report_try.try_a_film(found), report_films.films_of(found)
    text = "# Try a film\n\nA picture.\n\n<!-- page: try -->\n"
    made = page.page(text, {}, {"try": item.html}, item.script)
    (folder / "index.html").write_text(made, encoding="utf-8")
    nets, thumbnail, _ = report_try._parts(found)
    names = [path.rpartition("/")[2] for path in films.test.paths]

    def logits(pixels):
        means = baselines.thumbnail(pixels, report_try.CELLS)
        of_nets = []
        for name in MODELS[:-1]:
            seen = equalise.as_seen(nets[name].spec, pixels[:, None])
            of_nets.append(predict.logits(predict_weights.load_weights(nets[name]), seen))
        weights = thumbnail["weights"]
        return np.stack([*of_nets, means @ weights[:-1] + weights[-1]], axis=1)

    return SimpleNamespace(
        file=folder / "index.html",
        films=lambda titles: films.test.images[[names.index(one) for one in titles], 0],
        mean=report_films.mean_film(films.train.images),
        logits=logits,
    )


@pytest.fixture
def tab(browser, box):
    """The page, opened; what it complains of is kept on it."""
    tab = browser.new_page()
    tab.complaints = []
    tab.on("console", lambda said: tab.complaints.append(said.text))
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.goto(f"file://{box.file}")
    tab.wait_for_selector(PRESSED.format(1))
    yield tab
    tab.close()


def answers(tab) -> list[float]:
    return [float(tab.get_attribute(f"[data-part={name}]", "data-logit")) for name in MODELS]


def titles(tab) -> list[str]:
    return [one.get_attribute("title") for one in tab.locator("[data-part=films] button").all()]


def test_each_film_is_answered_as_by_pytorch(tab, box):
    films = box.films(titles(tab))
    assert len(films) == report_try.FILMS
    found = []
    for number in range(1, len(films) + 1):
        tab.click(f"[data-part=films] button:nth-child({number})")
        tab.wait_for_selector(PRESSED.format(number))
        found.append(answers(tab))
    np.testing.assert_allclose(found, box.logits(films), atol=1e-3)
    assert tab.complaints == [] and np.ptp(found, axis=0).min() > 1


def test_a_picture_of_ones_own_is_answered_nearly_so(tab, box, tmp_path):
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:300, 0:260]
    slope = 90 + 80 * np.sin(rows / 50) * np.cos(columns / 40)
    colours = slope[..., None] + random.normal(0, 12, (300, 260, 3))
    content = encode(colours.clip(0, 255).astype(np.uint8))
    (tmp_path / "mine.png").write_bytes(content)
    tab.set_input_files("[data-part=file]", tmp_path / "mine.png")
    # by a locator: the page's policy lets no function be made of a text
    tab.locator("[data-part=name]", has_text=re.compile("^mine.png")).wait_for()
    pixels = np.asarray(gray(content, report_try.SIZE)).reshape(1, report_try.SIZE, -1)
    np.testing.assert_allclose(answers(tab), box.logits(pixels)[0], atol=0.1)
    (tmp_path / "words.png").write_text("no picture")
    tab.set_input_files("[data-part=file]", tmp_path / "words.png")
    tab.locator("[data-part=name]", has_text="not").wait_for()


def test_the_film_is_shown_as_it_is_or_equalised(tab, box):
    def shown():
        drawn = "canvas => [...canvas.getContext('2d').getImageData(0, 0, 64, 64).data]"
        return np.array(tab.eval_on_selector("[data-part=film]", drawn)).reshape(64, 64, 4)[..., 0]

    film = box.films(titles(tab))[0]
    assert (shown() == film).all()
    tab.check("[data-part=equal]")
    assert (shown() == equalise.equalise(film)).all()
    tab.uncheck("[data-part=equal]")
    assert (shown() == film).all()


def test_buttons_paint_and_undo_by_the_keyboard_alone(tab, box):
    def press(what: str):
        for _ in range(60):
            tab.keyboard.press("Tab")
            if tab.evaluate("what => document.activeElement.matches(what)", what):
                return tab.keyboard.press("Enter")
        raise AssertionError(f"Tab does not reach {what}")

    press("[data-part=films] button:nth-child(3)")
    tab.wait_for_selector(PRESSED.format(3))
    whole = answers(tab)
    film = box.films(titles(tab))[2]
    painted = report_try.painted(film, film, box.mean)
    for what, words in (("no-lungs", "without lungs"), ("no-edge", "without edge")):
        press(f"[data-part={what}]")
        expected = box.logits(painted[words][None])[0]
        np.testing.assert_allclose(answers(tab), expected, atol=1e-3)
        assert np.abs(np.subtract(answers(tab), whole)).max() > 0.1
        assert tab.inner_text("[data-part=said]").count(":") == len(MODELS)
        press("[data-part=undo]")
        assert answers(tab) == whole and tab.is_disabled("[data-part=undo]")
        press("[data-part=films] button:nth-child(3)")
    press("[data-part=darker]")
    expected = box.logits((film * 0.8).round().astype(np.uint8)[None])[0]
    np.testing.assert_allclose(answers(tab), expected, atol=1e-3)
    moved = dict(zip(MODELS, np.abs(np.subtract(answers(tab), whole))))
    assert moved["equalised"] < moved["cnn"] / 5
    press("[data-part=undo]")
    press("[data-part=other-edge]")
    tab.wait_for_selector("[data-part=undo]:not([disabled])")
    assert answers(tab) != whole

"""The report in a real browser: it loads without complaint, fits a phone, can be read by all, and
its tool counts as Python does."""

import re
from pathlib import Path

import pytest
import records
from axe_playwright_python.sync_playwright import Axe

from xray import metrics, report, report_tool, study


@pytest.fixture
def made(full) -> Path:
    return full / "index.html"


@pytest.fixture
def opened(browser, made):
    """(width, dark) -> the page; what it complains of and asks for are kept on it."""
    pages = []

    def open_at(width: int, dark: bool = False, path: Path = made, **more):
        scheme = "dark" if dark else "light"
        size = {"width": width, "height": 900}
        page = browser.new_page(viewport=size, color_scheme=scheme, **more)
        page.complaints, page.requests = [], []
        page.on("console", lambda said: page.complaints.append(said.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda asked: page.requests.append(asked.url))
        page.goto(f"file://{path}")
        pages.append(page)
        return page

    yield open_at
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_it_loads_cleanly_and_never_scrolls_sideways(opened, made, width):
    page = opened(width)
    assert page.complaints == []
    kinds = ("data:", "blob:")
    assert [url for url in page.requests if not url.startswith(kinds)] == [f"file://{made}"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width, dark", [(390, False), (1440, True)])
def test_axe_finds_nothing(opened, width, dark):
    found = Axe().run(opened(width, dark)).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found] == []


def test_dark_inverts_charts_and_never_films(opened):
    page = opened(1440, dark=True)
    filters = "kind => [...new Set([...document.querySelectorAll(kind)].map(" + (
        "one => getComputedStyle(one).filter))]"
    )
    assert "invert" in page.evaluate(filters, "img.chart")[0]
    assert page.evaluate(filters, "img.film") == ["none"]
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", dark)[:3])) < 60


def test_contents_stand_at_the_side_and_are_folded_away_on_a_phone(opened):
    assert opened(1440).locator("nav details").get_attribute("open") is not None
    assert opened(390).locator("nav details").get_attribute("open") is None


def test_a_box_that_scrolls_is_a_stop_for_the_keyboard_and_no_other(opened):
    page = opened(390)
    wrong = page.evaluate(
        """[...document.querySelectorAll(".scroll")].filter(box =>
           (box.scrollWidth > box.clientWidth + 1) !== box.hasAttribute("tabindex")).length"""
    )
    assert wrong == 0
    assert page.locator(".scroll[tabindex]").count() > 20


def test_a_picture_on_a_phone_keeps_its_size_and_scrolls(opened):
    page = opened(390)
    widths = "kind => [...document.querySelectorAll(kind)].map(one => one.clientWidth)"
    assert min(page.evaluate(widths, "img.chart")) >= 729  # of 547 points, whose text has 8.5
    assert max(page.evaluate(widths, "img.film")) >= 729


def test_in_print_nothing_is_folded(opened):
    page = opened(1440)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("main details:not([open])").count() == 0
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()


# ---- the tool for thresholds


@pytest.fixture(scope="module")
def tool(tmp_path_factory) -> tuple[study.Study, Path]:
    out = tmp_path_factory.mktemp("tool")
    for model in ("20", "21", "22"):
        records.save(out / "results", records.run(model, 0))
    found = study.read(out / "results", study.choose(out / "results")[0])
    report.write(found, out, ("appendices.md",))
    return found, out / "index.html"


def counts(page) -> dict:
    return {name: int(page.inner_text(f"#tool [data-part={name}]")) for name in metrics_names}


metrics_names = ("tp", "fn", "fp", "tn")


def test_the_tool_counts_what_python_counts(opened, tool):
    found, path = tool
    page = opened(1440, path=path)
    for place, model in enumerate(("20", "21", "22")):
        page.select_option("#tool [data-part=model]", str(place))
        run = found.chosen[model][0]
        logits = report_tool.hundredths(run.logits["test"])
        for cut in (0, 50, -100):
            page.evaluate(
                """cut => { const bar = document.querySelector("#tool [data-part=threshold]");
                bar.value = cut; bar.dispatchEvent(new Event("input")); }""",
                cut,
            )
            at = int(page.input_value("#tool [data-part=threshold]"))
            expected = metrics.confusion(logits - at, run.labels["test"])
            assert counts(page) == {name: expected[name] for name in metrics_names}


def test_the_keyboard_moves_the_threshold_and_it_is_said_in_words(opened, tool):
    page = opened(1440, path=tool[1])
    page.focus("#tool [data-part=threshold]")
    page.keyboard.press("ArrowRight")
    said = page.get_attribute("#tool [data-part=threshold]", "aria-valuetext")
    assert said.startswith("logit 0.05, probability 51.2 %")
    page.click("#tool [data-rule] >> nth=0")
    assert page.inner_text("#tool [data-part=logit]").startswith("logit 0.00")


def test_without_script_the_tool_stays_hidden(opened, tool):
    page = opened(1440, path=tool[1], java_script_enabled=False)
    assert not page.locator("#tool").is_visible()
    assert page.locator("#threshold-tool").count() == 1

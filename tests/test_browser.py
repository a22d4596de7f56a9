"""The report in a real browser: it loads without complaint, fits a phone, sorts its tables, narrows
its claims, can be read by all and prints.
"""

import base64
import io

import checkers
import chromium
import numpy as np
import pytest
import records
from PIL import Image

from xray import claims, report, study

DARK = [{"name": "prefers-color-scheme", "value": "dark"}]

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """A report of a few models, some of them missing, some with long names to fit in."""
    out = tmp_path_factory.mktemp("site")
    data = records.DATA | {"source": "/a/long/folder/" + "name" * 30}
    for model in ("0", "1", "2", "20", "21", "22", "23", "27b", "6@1e-2"):
        for seed in range(2):
            records.save(out / "results", records.run(model, seed, data=data))
    content = report.context(study.read(out / "results", study.choose(out / "results")[0]))
    (out / "index.html").write_text(report.html(content, out), encoding="utf-8")
    return f"file://{out}/index.html"


@pytest.fixture(scope="module")
def page():
    with chromium.browser() as tab:
        yield tab


def picture(page) -> np.ndarray:
    content = page.ask("Page.captureScreenshot", format="png")["data"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("L"), np.float32)


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_it_loads_cleanly_and_never_scrolls_sideways(page, address, width):
    page.open(address, width)
    assert page.complaints() == []
    assert page.requests() == [address]
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("document.body.innerText.length") > 10_000
    assert picture(page).std() > 5  # not blank


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_the_summary_comes_first_and_what_differs_is_one_line(page, address, width, height):
    page.open(address, width, height)
    top = "document.querySelector('{}').getBoundingClientRect().{}"
    assert page.run(top.format(".banner", "height")) < 45
    assert page.run(top.format("#summary", "top")) < 0.36 * height
    page.run("document.querySelector('.banner summary').click()")
    assert page.run("document.querySelector('.banner li').checkVisibility()")


@pytest.mark.parametrize(("width", "shown"), [(390, "narrow"), (1440, "wide")])
def test_of_a_picture_in_two_variants_one_is_shown(page, address, width, shown):
    page.open(address, width)
    found = page.run("""["wide", "narrow"].filter(name =>
      [...document.querySelectorAll(".plot." + name)].some(box => box.checkVisibility()))""")
    assert found == [shown]


def test_dark_is_dark_and_light_is_light_and_both_can_be_read(page, address):
    contrast = """(() => {
      const light = text => {
        const parts = text.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255);
        const [r, g, b] = parts.map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const behind = node => {
        for (; node; node = node.parentElement) {
          const colour = getComputedStyle(node).backgroundColor;
          if (!/, 0\\)$/.test(colour)) return colour;
        }
        return "rgb(255, 255, 255)";
      };
      const found = [];
      const texts = "p, a, td, th, dt, dd, li, h2, h3, h4, summary, .badge, svg text";
      for (const node of document.querySelectorAll(texts)) {
        if (!node.textContent.trim() || node.closest(".anchor, .skip")) continue;
        const style = getComputedStyle(node), drawn = node.namespaceURI.endsWith("svg");
        const fill = drawn ? style.fill : style.color;
        if (drawn && /700/.test(style.fontWeight)) continue;  // some lie on coloured bars
        const [a, b] = [light(fill), light(behind(node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const words = node.textContent.trim().slice(0, 30);
        if (ratio < 4.5) found.push(`${ratio.toFixed(1)} ${node.tagName} ${words}`);
      }
      return found;
    })()"""
    brightness = {}
    for dark in (False, True):
        page.open(address, 1440, dark=dark)
        brightness[dark] = picture(page).mean()
        assert page.run(contrast) == []
    assert brightness[False] > 200 and brightness[True] < 80


def test_tables_sort_by_button_and_say_so(page, address):
    page.open(address, 1440)
    column = (
        "[...document.querySelectorAll('#table-1 tbody tr')].map(row => row.cells[{}].textContent)"
    )
    given = page.run(column.format(0))
    assert given == [str(n) for n in range(26)]
    head = "document.querySelectorAll('#table-1 thead th')[3]"
    page.run(f"{head}.querySelector('button').click()")
    assert page.run(f"{head}.getAttribute('aria-sort')") == "descending"
    units = [int(text) for text in page.run(column.format(3))]
    assert units == sorted(units, reverse=True)
    page.run(f"{head}.querySelector('button').click()")
    assert page.run(f"{head}.getAttribute('aria-sort')") == "ascending"
    page.run(f"{head}.querySelector('button').click()")
    assert page.run(f"{head}.getAttribute('aria-sort')") is None
    assert page.run(column.format(0)) == given


def test_contents_stay_in_view_on_a_wide_screen_and_fold_on_a_narrow_one(page, address):
    page.open(address, 1440)
    page.run("document.getElementById('claims').scrollIntoView({behavior: 'instant'})")
    top = page.run("document.querySelector('nav.contents').getBoundingClientRect().top")
    assert 0 <= top < 100
    page.open(address, 390)
    assert page.run("document.querySelector('nav.contents details').open") is False


def test_the_keyboard_reaches_the_skip_link_first(page, address):
    page.open(address, 1440)
    for kind in ("keyDown", "keyUp"):
        page.ask(
            "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
        )
    assert page.run("document.activeElement.className") == "skip"


STOPS = """[...document.querySelectorAll(".scroll")].filter(box => box.checkVisibility()).map(
  box => [box.scrollWidth > box.clientWidth, box.tabIndex === 0, box.ariaLabel])"""


@pytest.mark.parametrize("width", [390, 1440])
def test_of_the_boxes_only_those_that_scroll_are_stops(page, address, width):
    page.open(address, width)
    folded = len(page.run(STOPS))
    page.run("document.querySelectorAll('main details').forEach(part => { part.open = true; })")
    page.run("new Promise(done => setTimeout(done, 100))")
    found = page.run(STOPS)
    assert len(found) > folded
    assert all(scrolls == stop for scrolls, stop, _ in found)
    assert any(stop for _, stop, _ in found) or width == 1440
    assert not all(stop for _, stop, _ in found)
    assert all(name.endswith("(scrolls sideways)") for _, stop, name in found if stop)


SHOWN = "[...document.querySelectorAll('.claims tbody tr')].filter(row => row.checkVisibility())"
COUNT = "document.querySelector('.filters [role=status]').textContent"


def choose(page, key: str, value: str) -> None:
    page.run(f"""(list => {{
      list.value = "{value}";
      list.dispatchEvent(new Event("change", {{ bubbles: true }}));
    }})(document.querySelector("[data-filter={key}]"))""")


def test_claims_narrow_by_verdict_kind_and_section_and_are_counted_aloud(page, address):
    page.open(address, 1440)
    every = page.run(f"{SHOWN}.map(row => ({{ ...row.dataset }}))")
    assert page.run(COUNT) == f"{len(every)} of {len(every)} claims"
    kind = {"kind": "Linear"}
    for chosen in (
        kind,
        kind | {"section": "3.1"},
        kind | {"section": "3.1", "verdict": "not run"},
    ):
        for key, value in chosen.items():
            choose(page, key, value)
        wanted = [row for row in every if chosen.items() <= row.items()]
        assert page.run(f"{SHOWN}.map(row => ({{ ...row.dataset }}))") == wanted
        assert page.run(COUNT) == f"{len(wanted)} of {len(every)} claims"
        assert 0 < len(wanted) < len(every)
    page.run("document.querySelector('.filters button').click()")
    assert page.run(f"{SHOWN}.length") == len(every)


def test_a_link_to_a_claim_finds_it_though_it_was_left_out(page, address):
    page.open(address, 1440)
    choose(page, "section", "3.1")
    row = "document.getElementById('claim-c01')"
    assert page.run(f"{row}.checkVisibility()") is False
    page.run("location.hash = 'claim-c01', new Promise(done => setTimeout(done, 100))")
    assert page.run(f"{row}.checkVisibility() && {row}.querySelector('details').open")


def test_without_script_all_is_shown_and_no_control(page, address):
    page.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(address, 390)
        assert page.run(f"{SHOWN}.length") == len(claims.CLAIMS)
        controls = "[...document.querySelectorAll('main :is(button, select, input)')]"
        assert page.run(f"{controls}.filter(one => one.checkVisibility()).length") == 0
        assert not any(stop for _, stop, _ in page.run(STOPS))
        assert page.run("document.documentElement.scrollWidth") <= 390
    finally:
        page.ask("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing(page, address, width):
    page.open(address, width)
    assert checkers.inaccessible(page) == []
    page.open(address, width, dark=True)  # which changes colours alone
    assert checkers.inaccessible(page, "color-contrast") == []


def test_it_prints_all_that_is_folded_or_left_out_and_no_control(page, address):
    page.open(address, 1440, dark=True)
    choose(page, "section", "3.1")
    content = base64.b64decode(page.ask("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert content.startswith(b"%PDF") and len(content) > 50_000
    page.ask("Emulation.setEmulatedMedia", media="print", features=DARK)
    page.run("dispatchEvent(new Event('beforeprint'))")
    style = "getComputedStyle(document.querySelector('{}')).{}"
    try:
        for control in ("nav.contents", ".filters", ".skip"):
            assert page.run(style.format(control, "display")) == "none"
        assert page.run(f"{SHOWN}.length") == len(claims.CLAIMS)
        assert (
            page.run("document.querySelectorAll(':is(main, .banner) details:not([open])').length")
            == 0
        )
        assert page.run(style.format(".claims thead", "display")) == "table-header-group"
        assert page.run(style.format("table button", "display")) == "contents"  # else left blank
        assert page.run(style.format(".scroll", "overflowX")) == "visible"
        assert page.run(style.format(".badge", "breakInside")) == "avoid"
        assert page.run(style.format("body", "color")) == "rgb(29, 35, 41)"  # dark ink
    finally:
        page.ask("Emulation.setEmulatedMedia", media="")

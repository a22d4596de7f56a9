"""The report in a real browser: it loads without complaint, fits a phone, sorts its tables and
prints.
"""

import base64
import io

import chromium
import numpy as np
import pytest
import records
from PIL import Image

from xray import report, study

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """A report of a few models, some of them missing, some with long names to fit in."""
    out = tmp_path_factory.mktemp("site")
    data = records.DATA | {"source": "/a/long/folder/" + "name" * 30}
    for model in ("0", "1", "2", "20", "21", "22", "23", "27b", "6@1e-2"):
        for seed in range(2):
            records.save(out / "results", records.run(model, seed, data=data))
    report.write(study.read(out / "results", study.choose(out / "results")[0]), out)
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


def test_it_prints(page, address):
    page.open(address, 1440)
    content = base64.b64decode(page.ask("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert content.startswith(b"%PDF") and len(content) > 50_000
    page.ask("Emulation.setEmulatedMedia", media="print")
    hidden = page.run("getComputedStyle(document.querySelector('nav.contents')).display")
    page.ask("Emulation.setEmulatedMedia", media="")
    assert hidden == "none"

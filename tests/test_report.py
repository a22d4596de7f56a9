"""The report of a whole study: complete in both formats, safe, repeatable."""

import base64
import hashlib
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import checkers
import pytest
import report_world

from xray import claims, report, study
from xray.deviations import DEVIATIONS

NUMBERED = [f"fig-{n}" for n in range(1, 29)] + ["table-1", "table-2"]
NUMBERS = "1 2 2-1 2-2 2-3 2-4 3 3-1 3-2 3-3 3-4 3-5 3-6 4 5".split()
APPENDICES = ["claims", "misprints", "beyond", "patients", "errors", "weights", "reproduction"]
APPENDICES += ["checklists"]
EXPERIMENTS = ["why-mlps-die", "image-size", "last-epoch"]
SECTIONS = ["summary", *(f"section-{n}" for n in NUMBERS), *EXPERIMENTS, *APPENDICES]


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    return report_world.whole(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def page(full) -> str:
    return (full / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def markdown(full) -> str:
    return (full / "report.md").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """All tags of a page with their attributes, and the ids in order."""

    def __init__(self, text: str):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def test_every_item_is_in_both_formats_in_the_papers_order(page, markdown):
    ids = Tags(page).values("id")
    anchors = re.findall(r'<a id="([^"]+)"></a>', markdown)
    for found in (ids, anchors):
        assert [id for id in found if re.fullmatch(r"fig-\d+", id)] != []
        for id in NUMBERED + SECTIONS + [f"claim-c{n:02d}" for n in range(1, 35)]:
            assert found.count(id) == 1, id
    # sections 3.5 and 2.3 of the paper show Fig 25 before 26, and the tables after Fig 8
    assert [id for id in ids if id in SECTIONS] == SECTIONS


def test_ids_are_unique_and_links_lead_somewhere(page, markdown, full):
    tags = Tags(page)
    ids = tags.values("id")
    assert len(ids) == len(set(ids))
    for address in tags.values("href"):
        if address.startswith("#"):
            assert address[1:] in ids, address
        elif not re.match(r"https?:|data:", address):
            assert (full / unquote(address)).is_file(), address
    anchors = re.findall(r'<a id="([^"]+)"></a>', markdown)
    for address in re.findall(r"\]\(#([^)]+)\)", markdown):
        assert address in anchors, address
    for address in re.findall(r"!\[[^\n]*\]\((figures/[^)]+)\)", markdown):
        assert (full / address).is_file(), address
    for label in tags.values("aria-labelledby"):
        assert all(part in ids for part in label.split()), label


def test_every_verdict_points_to_something_in_the_report(page):
    assert {claim.link for claim in claims.CLAIMS} <= set(Tags(page).values("id"))


def test_the_page_is_valid_html(full, page, tmp_path):
    assert checkers.invalid(full / "index.html") == []
    spoilt = tmp_path / "spoilt.html"
    spoilt.write_text(page.replace('id="fig-1"', 'id="fig-2"'), encoding="utf-8")
    assert any("Duplicate ID" in words for words in checkers.invalid(spoilt))


def test_nothing_hostile_gets_through(page, markdown, full):
    tags = Tags(page)
    # two elements that hold data and run nothing, and our script
    kinds = [attributes.get("type") for tag, attributes in tags.tags if tag == "script"]
    assert kinds == ["application/json", "text/plain", None]
    assert not [name for _, attributes in tags.tags for name in attributes if name.startswith("on")]
    assert "alert(1)" in page  # shown, as text
    # of code blocks, which show what they hold
    outside = re.sub(r"^(`{3,})\n.*?^\1$", "", markdown, flags=re.S | re.M)
    assert "alert(1)" in outside and "<script" not in outside and "<img" not in outside
    assert not re.search(r"^# \$y", outside, re.M)
    for line in outside.splitlines():
        if "alert" in line and line.startswith("|"):  # the name's own | must not split its cell
            assert "\\|" in line
    for file in (full / "figures").glob("*.svg"):
        assert "<script" not in file.read_text(encoding="utf-8")


def test_the_page_loads_nothing_and_its_policy_names_its_script(page):
    tags = Tags(page)
    assert all(value.startswith("data:image/png;base64,") for value in tags.values("src"))
    assert {tag for tag, _ in tags.tags} & {
        "link",
        "iframe",
        "object",
        "video",
        "audio",
        "form",
    } <= {"link"}
    assert [attributes["href"] for tag, attributes in tags.tags if tag == "link"] == ["data:,"]
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(
        attributes["content"] for tag, attributes in tags.tags if attributes.get("http-equiv")
    )
    assert "default-src 'none'" in policy and f"'sha256-{digest}'" in policy
    assert len(page.encode()) < 5_000_000


def without_tool(page: str) -> str:
    return re.sub(r'<div class="tool" hidden>.*?</output>\s*</div>', "", page, flags=re.S)


def test_each_drawing_has_a_text_alternative_with_numbers(page):
    drawings = re.findall(r"<svg .*?</svg>", without_tool(page), re.S)
    described = [drawing for drawing in drawings if "<desc" in drawing]
    assert len(described) >= 20
    assert all('role="img"' in drawing[:400] for drawing in drawings)
    for drawing in described:
        description = re.search(r"<desc [^>]*>(.*?)</desc>", drawing, re.S)[1]
        assert len(description) > 60 and re.search(r"\d", description)
        # every colour is one of the page's, so that dark mode reaches the legends too
        assert "var(--" in drawing and not re.search(r"(fill|stroke): ?#", drawing)
    assert all(attributes.get("alt") for tag, attributes in Tags(page).tags if tag == "img")


def test_the_same_records_give_the_same_bytes(full):
    paths = [full / "index.html", full / "report.md", *(full / "figures").iterdir()]
    before = {path: path.read_bytes() for path in paths}
    report.write(study.read(full / "results", "made-up-01234567/given"), full)
    assert {path: path.read_bytes() for path in before} == before
    assert len(before) == 2 + len(list((full / "figures").iterdir()))


def test_records_are_named_and_linked(page, markdown):
    for text in (page, markdown):
        assert "results/made-up-01234567/given/26b-seed1.json" in text
        assert "results/made-up-01234567/image-0/20-seed0.json" in text


def test_learned_weights_are_shown(page, full):
    assert page.count("What unit ") == 20
    # an MLP has no one image that it weighs a radiograph with
    drawn = {path.name for path in (full / "figures").glob("weights-2?-*.png")}
    whole = {"weights-20-map.png", "weights-20-over.png"}
    units = {f"weights-{model}-{n}.png" for model in ("20", "21") for n in range(1, 11)}
    assert drawn == units | whole


def test_dead_nets_and_divergence_are_told(page):
    search, lost = (
        re.search(rf'id="{name}".*?</figure>', page, re.S)[0]
        for name in ("learning-rates", "deaths")
    )
    assert search.count(">0 of 2<") == 10  # learned
    rows = re.findall(r"<tr>.*?</tr>", search, re.S)
    dead_and_diverged = [re.findall(r">([\d–]+)</td>", row)[-3:-1] for row in rows]
    assert dead_and_diverged.count(["2", "0"]) == 9 and ["0", "2"] in dead_and_diverged
    (row,) = re.findall(r"<tr>\s*<th[^>]*>7@1e-2</th>(.*?)</tr>", lost, re.S)
    # Wilson's interval of 2 of 2
    assert plain(row).split() == ["2", "of", "2", "100", "34–100", "2", "Linear+ReLU"]


def test_each_changed_rule_is_a_row_with_its_verdicts_before_and_now(page):
    listed = re.search(r'id="deviations".*?</figure>', page, re.S)[0]
    rows = [plain(row) for row in re.findall(r"<tr>.*?</tr>", listed, re.S)[1:]]
    assert len(rows) == len(DEVIATIONS) > 0
    for row, entry in zip(rows, DEVIATIONS):
        assert row.startswith(entry.date) and entry.why in row
        assert all(name in row for name in entry.before)


def test_the_checklists_answer_every_item(page):
    tables = re.search(r'id="checklists".*?</section>', page, re.S)[0].split("</table>")[:2]
    letters = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef"}
    letters |= {20: "abc", 23: "ab", 27: "abc"}
    parts = [f"{n}{letter}" for n in range(1, 28) for letter in letters.get(n, [""])]
    for table, items in zip(tables, ([str(n) for n in range(1, 45)], parts)):
        assert re.findall(r'<th scope="row">([^<]*)</th>', table) == items
        rows = re.findall(r"<tr>.*?</tr>", table, re.S)[1:]
        cells = [[plain(cell) for cell in re.findall(r"<td.*?</td>", row, re.S)] for row in rows]
        assert all(len(row) == 3 and all(row) for row in cells)
    assert len(parts) == 52


class Asked(dict):
    """A dict that keeps the keys that it was asked for."""

    def __getitem__(self, key):
        self.__dict__.setdefault("keys_asked", set()).add(key)
        return super().__getitem__(key)


@pytest.mark.parametrize("write", [report.html, report.markdown])
def test_every_placeholder_resolves_and_nothing_is_computed_in_vain(full, write):
    content = report.context(study.read(full / "results", study.choose(full / "results")[0]))
    content["shown"] = Asked(content["shown"])
    text = write(content, full)  # StrictUndefined: a name that is not handed over raises
    assert not re.search(r"\{\{|\{%|%\}|\}\}", text)
    assert content["shown"].keys_asked == set(content["shown"])


@pytest.fixture(scope="module")
def body(page) -> str:
    """The report between banner and foot, without the tool that a script moves."""
    return without_tool(page[page.index("<section") : page.index("</main>")])


@pytest.fixture(scope="module")
def text(markdown) -> str:
    """The Markdown without code blocks, which show what they hold."""
    return re.sub(r"^(`{3,})\n.*?^\1$", "", markdown, flags=re.S | re.M)


def plain(html: str) -> str:
    """The text of a piece of HTML, blanks made one."""
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def unmarked(line: str) -> str:
    """The text of a piece of Markdown, blanks made one."""
    line = re.sub(r"(?<!\\)\[((?:[^\]\\]|\\.)*)\]\([^)]*\)", r"\1", line)
    line = re.sub(r"\\(.)", r"\1", unescape(re.sub(r"(?<!\\)(\*\*|`)", "", line)))
    return " ".join(line.split())


def test_both_formats_carry_the_same_headings_in_the_same_order(body, text):
    found = re.findall(r"<h([234]) [^>]*>(.*?)</h[234]>", body, re.S)
    found = [(int(level), plain(words).removesuffix("#")) for level, words in found]
    theirs = re.findall(r"^(#{2,4}) (.*)$", text, re.M)
    # "Figure 9. Title" there is "Figure 9 Title" here, where its number is set apart by colour
    theirs = [(len(marks), unmarked(line).replace(". ", " ")) for marks, line in theirs]
    assert theirs == found
    assert len(found) > 60
    levels = [1, *(level for level, _ in found)]
    assert all(below - above <= 1 for above, below in zip(levels, levels[1:]))


def test_both_formats_carry_the_same_tables(body, text):
    found = re.findall(r"<caption>(.*?)</caption>.*?<tbody>(.*?)</tbody>", body, re.S)
    theirs = re.findall(r"^\*([^*\n]+)\*\n\n\|.*\n\n?\|[ :|-]+\|\n\n?((?:\|.*\n)+)", text, re.M)
    assert [(unmarked(caption), rows.count("\n")) for caption, rows in theirs] == [
        (plain(caption), rows.count("<tr")) for caption, rows in found
    ]
    assert len(found) > 35


def test_both_formats_carry_the_same_figures_and_prose(body, text):
    found = re.findall(r"<desc [^>]*>(.*?)</desc>|<img [^>]*alt=\"([^\"]*)\"", body, re.S)
    theirs = re.findall(r"^!\[(.*)\]\(figures/", text, re.M)
    assert [unmarked(words) for words in theirs] == [plain(svg or alt) for svg, alt in found]
    said, everything = re.findall(r"<p>(.*?)</p>", body, re.S), unmarked(text)
    assert len(said) > 60
    assert [words for words in map(plain, said) if words not in everything] == []

"""Markdown becomes a page that loads nothing; items and numbers in words."""

import base64
import hashlib
import re

import pytest
from markupsafe import Markup

from xray import items, page, report
from xray.report_plots import Figure, save

TEXT = """# A title & more

> **2 differences**

## <a id="section-3"></a>3 Results

See [it](#fig-9): **holds**, **does not hold**.

#### <a id="fig-9"></a>Figure 9. A `title`

![Two *lines* & a dot.](figures/fig-9.svg)

*What the table is.*

| Model | Accuracy, % | Words |
| --- | --- | --- |
| 0 | 91.4 ± 1.2 | a |
| 1 | – | 3 |

<!-- page: fig-9 -->
"""


@pytest.fixture(scope="module")
def made() -> str:
    files = {"figures/fig-9.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}
    return page.page(TEXT, files, {"fig-9": "<b>tool</b>"}, "/* more */")


def test_headings_carry_their_anchors_and_stand_in_the_contents(made):
    assert '<h2 id="section-3">3 Results</h2>' in made
    assert '<h3 id="fig-9" class="item">Figure 9. A <code>title</code></h3>' in made
    contents = made[made.index("<nav") : made.index("</nav>")]
    assert '<a href="#section-3">3 Results</a>' in contents
    assert '<a href="#fig-9" title="Figure 9. A title">9</a>' in contents
    assert "<title>A title &amp; more</title>" in made


def test_a_table_has_its_caption_scopes_and_columns_of_numbers(made):
    table = made[made.index("<table") : made.index("</table>")]
    assert re.search(r"<caption><em>What the table is.</em></caption>\s*<thead>", table)
    assert table.count('scope="col"') == 3 and table.count('scope="row"') == 2
    assert '<td class="number">91.4 ± 1.2</td>' in table
    assert '<th scope="col" class="number">Accuracy, %</th>' in table
    assert "<td>a</td>" in table and "<td>3</td>" in table  # one word makes it a column of words


def test_verdicts_are_badges(made):
    assert '<strong class="badge good">holds</strong>' in made
    assert '<strong class="badge bad">does not hold</strong>' in made
    assert "<strong>2 differences</strong>" in made


def test_pictures_are_carried_along_with_their_text_alternative(made):
    content = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'/>").decode()
    assert f'src="data:image/svg+xml;base64,{content}"' in made
    assert 'alt="Two lines &amp; a dot."' in made


def test_what_stands_in_the_page_alone_replaces_its_mark(made):
    assert "<b>tool</b>" in made and "<!-- page:" not in made


def test_the_policy_allows_just_the_pages_own_script(made):
    script = re.search(r"<script>(.*)</script>", made, re.S)[1]
    assert script.endswith("/* more */")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', made)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert not re.search(r'(src|href)="(?!#|data:)', made)


HOSTILE = 'x"><script>alert(1)</script>|`*_[a](b)\n# $y$ & <img src=q onerror=alert(2)>'


def test_hostile_words_stay_words():
    line = items.escape(HOSTILE)
    made = page.page(f"# a\n\n{line}\n\n| A |\n| --- |\n| {line} |\n", {}, {})
    body = made[made.index("<main") : made.index("</main>")]
    assert "<script" not in body and "<img" not in body and "<a " not in body
    assert body.count("alert(1)") == 2 and "\n#" not in line


def test_a_code_block_cannot_be_ended_by_its_content():
    assert report.fenced("a ``` b").splitlines()[0] == "````"


def test_cells_are_escaped_but_for_markup():
    table = report.as_markdown(
        report.pd.DataFrame([{"A": "a|b", "B": Markup("**holds**")}], dtype=object)
    )
    assert table.splitlines() == ["A | B", "---|---", "a\\|b | **holds**"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (items.decimals(-0.04), "0.0"),
        (items.decimals(-1.26), "−1.3"),
        (items.decimals(1234.5), "1,234.5"),
        (items.signed(0.04), "0.0"),
        (items.signed(1.25), "+1.2"),
        (items.percent(float("nan")), "–"),
        (items.percent(0.9336), "93.4"),
        (items.points(0.012, -0.003, 0.027), "+1.2 (−0.3 to 2.7)"),
        (items.span(0.921, 0.896, 0.94), "92.1 (89.6–94.0)"),
        (items.plus_minus([]), "–"),
        (items.plus_minus([2.0]), "2.0"),
        (items.plus_minus([1.0, 3.0]), "2.0 ± 1.4"),
        (items.listed([1]), "1"),
        (items.listed("abc"), "a, b and c"),
        (items.label("fig-21"), "Figure 21"),
        (items.label("table-1"), "Table 1"),
        (items.label("table-tool"), ""),
    ],
)
def test_numbers_in_words(made, words):
    assert made == words


def test_an_item_is_computed_once_a_study_and_only_where_it_is_asked_for():
    asked = []

    @items.item("made-up", "A title")
    def made_up(study):
        asked.append(study)
        return items.Item()

    try:
        assert asked == []
        assert made_up("one") is made_up("one") and asked == ["one"]
        assert items.TITLES["made-up"] == "A title"
    finally:
        del items.ITEMS["made-up"], items.TITLES["made-up"], items.AGAIN["made-up"]


def test_the_same_figure_gives_the_same_bytes_without_a_date():
    def drawn():
        figure = Figure()
        figure.subplots().plot([1, 2], [3, 4.123456])
        return save(figure)

    assert drawn() == drawn()
    assert b"<dc:date>" not in drawn()

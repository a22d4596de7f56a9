"""How the report's templates are filled in: prose, Markdown, tables written in the body."""

from markupsafe import Markup

from xray import report


def test_escape_markdown_leaves_no_markup():
    assert report.escape_markdown("a|b\nc <i> *x* `y` [z](w) # & $1$") == (
        "a\\|b c &lt;i&gt; \\*x\\* \\`y\\` \\[z\\](w) \\# &amp; \\$1\\$"
    )
    assert report.escape_markdown("- x").startswith("\\-") and report.escape_markdown(
        "1. x"
    ).startswith("\\1.")


def test_fenced_code_cannot_end_its_own_block():
    assert str(report.fenced("a\n```\nb")).startswith("````\n")


def test_prose_knows_code_strong_and_links_and_escapes_the_rest():
    assert report.prose("`a<b` **c** [d](#fig-9) <e> [f](javascript:1)") == (
        '<code>a&lt;b</code> <strong>c</strong> <a href="#fig-9">d</a> &lt;e&gt; [f](javascript:1)'
    )


def test_a_number_and_its_percent_sign_stay_on_one_line():
    assert report.prose("93.1 % of 582, % and 5%") == "93.1\u00a0% of 582, % and 5%"


def test_paragraphs_are_all_parts_that_start_with_no_tag():
    body = Markup("One,\ntwo & `three`.\n\n<div>\n<p>kept</p>\n</div>\n\n\n**Four**\n")
    assert report.paragraphs(body) == (
        "<p>One,\ntwo & <code>three</code>.</p>\n<div>\n<p>kept</p>\n</div>\n"
        "<p><strong>Four</strong></p>"
    )


def test_a_table_can_be_written_in_the_body():
    found = report.as_table("\na\n| b,\n  c\n| d <e>\n\nf | g | h\n", "X | Y | >Z")
    assert [column["name"] for column in found["columns"]] == ["X", "Y", "Z"]
    rows = [[cell["text"] for cell in row] for row in found["rows"]]
    assert rows == [["a", "b, c", "d <e>"], ["f", "g", "h"]]

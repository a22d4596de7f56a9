"""The report's Markdown becomes one HTML page that loads nothing."""

import base64
import hashlib
import html
import re
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
# A verdict in bold becomes a badge: its class, and a mark that tells it apart without colour.
BADGES = {
    "holds": "good",
    "does not hold": "bad",
    "within noise": "open",
    "not tested here": "none",
    "not run": "none",
    "inside": "good",
    "outside": "bad",
}
NUMBER = re.compile(r"[−+<>]?\d[\d,.]*(\s?%)?( ± .*| \(.*\)| of \d+|[–-]\d+)?|–|")


def page(text: str, files: dict[str, bytes], extras: dict[str, str], script="", study="") -> str:
    """Markdown -> HTML. files: the pictures by their address in `text`. extras: name -> HTML that
    replaces `<!-- page: name -->`. script: what runs beside the page's own. study: its name."""
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = reader.parse(re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text))
    contents = _headings(tokens)
    _tables(tokens)
    for token in tokens:
        for child in token.children or []:
            if child.type == "image":
                _picture(child, files)
    body = reader.renderer.render(tokens, reader.options, {})
    for word, kind in BADGES.items():
        badge = f'<strong class="badge {kind}">{word}</strong>'
        body = body.replace(f"<strong>{word}</strong>", badge)
    for name, extra in extras.items():
        body = body.replace(f"<!-- page: {name} -->", extra)
    body = body.replace("<table", '<div class="scroll" role="group" tabindex="0"><table')
    body = body.replace("</table>", "</table></div>")
    body = body.replace("<pre>", '<pre class="scroll" role="group" tabindex="0">')
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8") + script
    made = (TEMPLATES / "page.html").read_text(encoding="utf-8")
    title = next(token.content for token in tokens if token.type == "inline")
    parts = {
        "TITLE": html.escape(title),
        "STUDY": html.escape(study, quote=True),
        "HASH": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "STYLE": (TEMPLATES / "page.css").read_text(encoding="utf-8"),
        "CONTENTS": _contents(contents),
        "BODY": body,
        "SCRIPT": script,
    }
    return re.sub("{(" + "|".join(parts) + ")}", lambda found: parts[found[1]], made)


def _headings(tokens: list[Token]) -> list[tuple[str, str, str]]:
    """Each heading's `<a id>` becomes its own id; an item's heading right under a chapter's is one
    level up, so that none is left out. Gives (tag, id, words) of all that have one."""
    found, above = [], ""
    for token, inline, close in zip(tokens, tokens[1:], tokens[2:]):
        if token.type != "heading_open" or not inline.content.startswith("<a id="):
            continue
        name = re.match(r'<a id="([^"]+)"></a>', inline.content)
        inline.children = inline.children[2:]
        token.attrSet("id", name[1])
        found.append((token.tag, name[1], inline.content[name.end() :].strip()))
        if token.tag == "h4" and above == "h2":
            token.tag = close.tag = "h3"
            token.attrSet("class", "item")
        else:
            above = token.tag if token.tag in ("h2", "h3") else above
    return found


def _contents(headings: list[tuple[str, str, str]]) -> str:
    """The list at the side: chapters and sections, then figures and tables by their numbers."""
    rows = [
        f'<li class="{tag}"><a href="#{name}">{html.escape(_plain(words))}</a></li>'
        for tag, name, words in headings
        if tag in ("h2", "h3")
    ]
    numbered = [
        f'<li><a href="#{name}" title="{html.escape(_plain(words), quote=True)}">{short}</a></li>'
        for _, name, words in headings
        if (
            short := re.sub("fig-|table-(?=.$)", lambda m: m[0][0].upper() * (m[0] != "fig-"), name)
        )
        and re.fullmatch(r"(fig|table)-\d+", name)
    ]
    index = '<p id="index">Figures and tables</p>\n<ol class="index" aria-labelledby="index">'
    return "\n".join(["<ol>", *rows, "</ol>", index, *numbered, "</ol>"])


def _plain(words: str) -> str:
    """Markdown in a heading without its marks."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"[`*]", "", words))


def _tables(tokens: list[Token]) -> None:
    """A paragraph in italics over a table becomes its caption; heads get their scope; a column of
    numbers is set to the right."""
    for n, token in enumerate(tokens):
        if token.type != "table_open":
            continue
        kinds = [part.type for part in tokens[n - 2].children or []] if n > 2 else []
        # nothing but one stretch in italics
        if kinds[:1] == ["em_open"] and kinds.index("em_close") == len(kinds) - 1:
            for each, new in zip(tokens[n - 3 : n], ("caption_open", "inline", "caption_close")):
                each.type, each.tag = new, "caption" if new != "inline" else ""
            tokens[n - 3 : n + 1] = [token, *tokens[n - 3 : n]]
        _cells(tokens, n)


def _cells(tokens: list[Token], start: int) -> None:
    heads, columns, row = [], [], []
    for token, inline in zip(tokens[start:], tokens[start + 1 :]):
        if token.type == "th_open":
            token.attrSet("scope", "col")
            heads.append(token)
        elif token.type == "tr_open":
            row = []
        elif token.type == "td_open":
            row.append(token)
            if len(row) == 1:
                token.tag = "th"
                token.attrSet("scope", "row")
            else:
                columns.append((len(row) - 1, token, _plain(inline.content)))
        elif token.type == "td_close" and len(row) == 1:
            token.tag = "th"
        elif token.type == "table_close":
            break
    words = {column for column, _, text in columns if not NUMBER.fullmatch(text)}
    for column, token, _ in columns + [(n, head, "") for n, head in enumerate(heads) if n]:
        if column not in words:
            token.attrSet("class", "number")


def _picture(token: Token, files: dict[str, bytes]) -> None:
    """A picture that the page carries with it, in a box that scrolls where it is too wide."""
    name = token.attrGet("src")
    content, kind = files[name], KINDS[Path(name).suffix]
    address = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    alt = html.escape("".join(part.content for part in token.children), quote=True)
    shape = 'class="chart"'
    if kind == "image/png":  # of 144 dots an inch, where a page has 96
        shape = f'class="film" width="{round(int.from_bytes(content[16:20], "big") * 96 / 144)}"'
    token.type = "html_inline"
    token.content = (
        f'<span class="scroll picture" role="group" tabindex="0">'
        f'<img {shape} src="{address}" alt="{alt}"></span>'
    )

"""The report of a whole study: complete in both formats, safe, repeatable."""

import base64
import hashlib
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import records

from xray import claims, report, study

HOSTILE = 'x"><script>alert(1)</script>|`*_[a](b)\n# $y$ & <img src=q onerror=alert(2)>'
NUMBERED = [f"fig-{n}" for n in range(1, 29)] + ["table-1", "table-2"]
NUMBERS = "1 2 2-1 2-2 2-3 2-4 3 3-1 3-2 3-3 3-4 3-5 3-6 4 5".split()
APPENDICES = ["claims", "misprints", "beyond", "patients", "errors", "weights", "reproduction"]
EXPERIMENTS = ["why-mlps-die", "image-size", "last-epoch"]
SECTIONS = ["summary", *(f"section-{n}" for n in NUMBERS), *EXPERIMENTS, *APPENDICES]


def facts(validation: int, test: int) -> dict:
    """A data set's facts as data.py gives them, with hostile file names."""
    sizes = {"train": 200, "validation": validation, "test": test}
    labels = {part: records.labels(n) for part, n in sizes.items()}
    none = {
        "groups": 0,
        "images": 0,
        "surplus": 0,
        "within": {},
        "across": {},
        "conflicting": 0,
        "examples": [],
        "conflicting_examples": [],
    }
    overlap = {
        name: {"images": 9, "shared": 3, "patients": 2} for name in ("NORMAL", "PNEUMONIA", "all")
    }
    return {
        "name": "made-up",
        "source": HOSTILE,
        "kind": "folders",
        "fingerprint": records.DATA["fingerprint"],
        "phantom": False,
        "splits": sizes,
        "counts": {
            part: {"NORMAL": int(sum(y == 0)), "PNEUMONIA": int(sum(y == 1))}
            for part, y in labels.items()
        },
        "paths": [f"{part}/{HOSTILE}{n}.png" for part, size in sizes.items() for n in range(size)],
        "labels": "".join(str(label) for y in labels.values() for label in y),
        "sample": {"path": HOSTILE, "mode": "RGB", "width": 640, "height": 640, "label": 0},
        "sizes": {"640x640": sum(sizes.values())},
        "modes": {"RGB": sum(sizes.values())},
        "skipped": [],
        "audit": {
            "missing": 0,
            "unreadable": [],
            "reasons": [],
            "identical_bytes": none,
            "identical_pixels": none,
            "conflicting_labels": [],
        },
        "patients": {
            "named": 5,
            "unnamed": 7,
            "by_split": {},
            "overlap": {"test in train": overlap},
            "causes": {},
        },
    }


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    """A whole study in out/results with re-splits and weights, and its report in out."""
    from safetensors.numpy import save_file

    out = tmp_path_factory.mktemp("full")
    data = records.DATA | {"source": HOSTILE}
    sizes = {"validation": 60, "test": 40}
    records.whole_study(out / "results", seeds=2, facts=facts(**sizes), data=data, **sizes)
    records.experiments(next((out / "results").glob("*/given")))
    for split in ("image-0", "image-1", "patient-0", "patient-1"):
        records.save(out / "results", records.run("20", 0, split=split, data=data, **sizes))
    random = np.random.default_rng(0)
    for model in ("20", "21"):
        kept = records.run(
            model,
            0,
            data=data,
            image_size=32,
            **sizes,
            weights={"file": f"{model}-seed0-32px-matched.safetensors"},
        )
        path = records.save(out / "results", kept)
        for beside in path.parent.glob(f"{model}-seed?.json"):
            beside.unlink()
        save_file(
            {
                "layer_stack.1.weight": random.normal(size=(10, 1024)).astype(np.float32),
                "layer_stack.2.weight": random.normal(size=(1, 10)).astype(np.float32),
            },
            path.with_suffix(".safetensors"),
        )
    found = study.read(out / "results", study.choose(out / "results")[0])
    report.write(found, out)
    return out


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
    assert {verdict.link for verdict in claims.judge({}, {})} <= set(Tags(page).values("id"))


def test_nothing_hostile_gets_through(page, markdown, full):
    tags = Tags(page)
    assert [tag for tag, _ in tags.tags].count("script") == 1
    assert not [name for _, attributes in tags.tags for name in attributes if name.startswith("on")]
    assert "alert(1)" in page  # shown, as text
    # of code blocks, which show what they hold
    outside = re.sub(r"^(`{3,})\n.*?^\1$", "", markdown, flags=re.S | re.M)
    assert "alert(1)" in outside and "<script" not in outside and "<img" not in outside
    assert not re.search(r"^# \$y", markdown, re.M)
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


def test_each_drawing_has_a_text_alternative_with_numbers(page):
    drawings = re.findall(r"<svg .*?</svg>", page, re.S)
    assert len(drawings) >= 20
    for drawing in drawings:
        assert 'role="img"' in drawing[:400]
        description = re.search(r"<desc [^>]*>(.*?)</desc>", drawing, re.S)[1]
        assert len(description) > 60 and re.search(r"\d", description)
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
    assert page.count("First-layer weights of unit") == 20
    assert (full / "figures" / "weights-20.png").is_file() and not (
        full / "figures" / "weights-21.png"
    ).exists()


def test_dead_nets_and_divergence_are_told(page):
    rows = re.search(r'id="learning-rates".*?</figure>', page, re.S)[0]
    assert rows.count("2 of 2") == 9 and rows.count("0.693 ± 0.000") == 9


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
    """The report between banner and foot."""
    return page[page.index("<section") : page.index("</main>")]


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
    found = [plain(words) for words in re.findall(r"<h[234] [^>]*>(.*?)</h[234]>", body, re.S)]
    found = [words.removesuffix("#") for words in found if not re.match(r"C\d\d ", words)]
    theirs = [unmarked(line) for line in re.findall(r"^#{2,4} (.*)$", text, re.M)]
    # "Figure 9. Title" there is "Figure 9 Title" here, where its number is set apart by colour
    assert [words.replace(". ", " ") for words in theirs] == found
    assert len(found) > 60


def test_both_formats_carry_the_same_tables(body, text):
    found = re.findall(r"<caption>(.*?)</caption>.*?<tbody>(.*?)</tbody>", body, re.S)
    theirs = re.findall(r"^\*([^*\n]+)\*\n\n\|.*\n\n?\|[ :|-]+\|\n\n?((?:\|.*\n)+)", text, re.M)
    assert [(unmarked(caption), rows.count("\n")) for caption, rows in theirs] == [
        (plain(caption), rows.count("<tr>")) for caption, rows in found
    ]
    assert len(found) > 35


def test_both_formats_carry_the_same_figures_and_prose(body, text):
    found = re.findall(r"<desc [^>]*>(.*?)</desc>|<img [^>]*alt=\"([^\"]*)\"", body, re.S)
    theirs = re.findall(r"^!\[(.*)\]\(figures/", text, re.M)
    assert [unmarked(words) for words in theirs] == [plain(svg or alt) for svg, alt in found]
    said, everything = re.findall(r"<p>(.*?)</p>", body, re.S), unmarked(text)
    assert len(said) > 60
    assert [words for words in map(plain, said) if words not in everything] == []

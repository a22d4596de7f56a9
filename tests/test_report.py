"""The report of a whole study with hostile names, and of studies that are not whole."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import records

from xray import claims, items, report, report_verdicts, study
from xray.page import TEMPLATES
from xray.specs import LEARNING_RATE_SEARCH, MODELS

NUMBERED = [f"fig-{n}" for n in range(1, 29)] + ["table-1", "table-2"]
CLAIMS = [f"claim-c{n:02d}" for n in range(1, 38)]
NUMBERS = "1 2 2-1 2-2 2-3 2-4 3 3-1 3-2 3-3 3-4 3-5 3-6 4 5 6 7".split()


@pytest.fixture(scope="module")
def page(full) -> str:
    return (full / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def markdown(full) -> str:
    return (full / "report.md").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """All tags of a page with their attributes, in order."""

    def __init__(self, text: str):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def read(folder) -> study.Study:
    return study.read(folder, study.choose(folder)[0])


def text_of(found: study.Study, *chapters: str) -> str:
    """The Markdown of some chapters on one line."""
    return " ".join(report.markdown(report.Report(found), chapters or report.CHAPTERS).split())


def test_every_figure_table_section_and_claim_is_there_once(page, markdown):
    ids, anchors = Tags(page).values("id"), re.findall(r'<a id="([^"]+)"></a>', markdown)
    for name in [*NUMBERED, *CLAIMS, "summary", *(f"section-{n}" for n in NUMBERS)]:
        assert ids.count(name) == anchors.count(name) == 1, name
    assert len(ids) == len(set(ids))


def test_links_lead_somewhere(page, markdown, full):
    tags = Tags(page)
    ids = tags.values("id")
    for address in tags.values("href"):
        if address.startswith("#"):
            assert address[1:] in ids, address
        elif not re.match(r"https?:|data:", address):
            assert (full / unquote(address)).is_file(), address
    anchors = re.findall(r'<a id="([^"]+)"></a>', markdown)
    assert set(re.findall(r"\]\(#([^)]+)\)", markdown)) <= set(anchors)
    assert {claim.link for claim in claims.CLAIMS} <= set(ids)


def test_nothing_hostile_gets_through(page, markdown, full):
    tags = Tags(page)
    kinds = [attributes.get("type") for tag, attributes in tags.tags if tag == "script"]
    assert kinds.count(None) == 1 and set(kinds) <= {None, "application/json"}
    assert not [name for _, attributes in tags.tags for name in attributes if name.startswith("on")]
    outside = re.sub(r"^(`{3,})\n.*?^\1$", "", markdown, flags=re.S | re.M)
    assert "alert(1)" in page and "alert(1)" in outside  # shown, as text
    assert "<script" not in outside and "<img" not in outside
    for file in (full / "figures").glob("*.svg"):
        assert "<script" not in file.read_text(encoding="utf-8")


def test_the_page_loads_nothing(page):
    tags = Tags(page)
    assert all(value.startswith("data:image/") for value in tags.values("src"))
    assert not {tag for tag, _ in tags.tags} & {"iframe", "object", "video", "audio", "form"}
    assert "@import" not in page and "url(" not in page
    assert len(page.encode()) < 6_000_000


def test_every_picture_has_a_text_alternative_and_no_number_is_nan(page, markdown):
    pictures = [attributes for tag, attributes in Tags(page).tags if tag == "img"]
    assert len(pictures) > 25 and all(len(one["alt"]) > 10 for one in pictures)
    assert not re.search(r"\bnan\b|−0\.0\b|\bNone\b", markdown)


def test_the_same_records_give_the_same_bytes(full, page, markdown, tmp_path):
    report.write(read(full / "results"), tmp_path)
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == markdown
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == page


def test_all_that_is_registered_is_shown_by_a_chapter(markdown):
    """In this study's report, or where there is more to show: films, other image sizes."""
    shown = set(re.findall(r'#### <a id="([^"]+)"></a>', markdown))
    for chapter in (TEMPLATES / "chapters").iterdir():
        shown |= set(re.findall(r'show\("([^"]+)"\)', chapter.read_text(encoding="utf-8")))
    assert set(items.ITEMS) - shown == set()


SHORT = ("4-conclusions.md",)  # a report in a moment


def earlier(out: Path) -> study.Study:
    """A study in out/results, and in out an earlier report that shows old.csv; mine.csv is a
    person's."""
    records.save(out / "results", records.run("20"))
    (out / "figures").mkdir()
    for name in ("old.csv", "mine.csv"):
        (out / "figures" / name).write_text("a")
    (out / "report.md").write_text("[CSV](figures/old.csv) ![a](figures/fig-3.svg)")
    return read(out / "results")


def refuse(monkeypatch, where, error: OSError) -> None:
    """Writing of a file fails where(path)."""
    write = report.write_atomically

    def written(path, content):
        if where(Path(path)):
            raise error
        write(path, content)

    monkeypatch.setattr(report, "write_atomically", written)


def test_what_an_earlier_report_left_goes_and_a_persons_own_stays(tmp_path):
    found = earlier(tmp_path)
    report.write(found, tmp_path, SHORT)
    assert not (tmp_path / "figures" / "old.csv").exists()
    assert (tmp_path / "figures" / "mine.csv").exists()
    beside = (found.folder / "index.html").read_text(encoding="utf-8")
    assert report.shown_in(found.folder) == found.name and 'href="figures/' not in beside


def test_a_report_that_cannot_be_written_leaves_what_the_earlier_one_shows(tmp_path, monkeypatch):
    found = earlier(tmp_path)
    refuse(monkeypatch, lambda path: path.name == "index.html", OSError(28, "No space left"))
    with pytest.raises(OSError, match="No space left"):
        report.write(found, tmp_path, SHORT)
    assert (tmp_path / "figures" / "old.csv").exists()


def test_records_in_a_place_that_cannot_be_written_to_are_no_error(tmp_path, monkeypatch):
    found = earlier(tmp_path)
    denied = PermissionError(13, "Permission denied")
    refuse(monkeypatch, lambda path: path.is_relative_to(found.folder), denied)
    report.write(found, tmp_path / "out", SHORT)
    assert report.shown_in(tmp_path / "out") == found.name
    assert not (found.folder / "index.html").exists()


# ---- studies that are not whole


def test_what_differs_is_told(tmp_path):
    data = records.DATA | {"phantom": True, "skipped": 3}
    short = replace(MODELS["20"], epochs=2)
    records.save(tmp_path, records.run("20", data=data, spec=short))
    records.save(tmp_path, records.run("22", data=data, image_size=64))
    notes = " ".join(items.NUMBERS["differences"](read(tmp_path))["found"])
    for words in (
        "phantoms",
        "3 unreadable",
        "Model 20: 2 epochs instead of 50",
        "Model 22: 64×64",
        "33 of the 35 models",
    ):
        assert words in notes, words


def test_nothing_differs_in_the_papers_own_study(tmp_path):
    data = records.DATA | {"source": "keremberke/chest-xray-classification"}
    for model in MODELS | LEARNING_RATE_SEARCH:
        records.save(tmp_path, records.run(model, data=data))
    assert items.NUMBERS["differences"](read(tmp_path))["found"] == []


@pytest.mark.parametrize("phantom", [False, True])
def test_a_report_of_phantoms_starts_without_findings(tmp_path, phantom):
    for seed in (0, 1):
        records.save(tmp_path, records.run("20", seed, data=records.DATA | {"phantom": phantom}))
    top = text_of(read(tmp_path), "0-summary.md")
    assert ("The images are synthetic" in top) == phantom
    assert ("A net of ten linear units classifies" in top) != phantom


@pytest.mark.parametrize(
    "runs",
    [
        [records.run("20")],
        [records.run("21", dead=True)],
        [records.run("26b", diverged=True)],
        [records.run("36", image_size=128)],
        [records.run("26b", 0, diverged=True), records.run("26b", 1)],
    ],
    ids=["one", "dead", "diverged", "table 3", "both"],
)
def test_a_few_runs_make_a_whole_report(tmp_path, runs):
    for run in runs:
        records.save(tmp_path, run)
    files = report.pages(report.Report(read(tmp_path)))
    text = files["report.md"].decode()
    assert not re.search(r"\bnan\b", text)
    for name in NUMBERED:
        assert f'<a id="{name}"></a>' in text
    assert "Not trained yet" in text and "does not lie beside these records" in text


def test_a_test_split_of_one_class_makes_a_report(tmp_path):
    made = records.run("21", validation=12, test=8)
    for part in made.labels:
        made.labels[part][:] = 1
    records.save(tmp_path, made)
    assert "nan" not in text_of(read(tmp_path)).split()


def test_what_is_still_to_come_is_told(tmp_path):
    records.save(tmp_path, records.run("20"))
    found = read(tmp_path)
    assert "Still being trained" not in text_of(found, "0-summary.md")
    told = replace(found, told={"to_come": "214 runs, about 25 minutes"})
    assert "Still being trained:** 214 runs, about 25 minutes." in text_of(told, "0-summary.md")


# ---- the findings


def right(run, share: float):
    """The run with `share` of its images right, of both classes alike."""
    logits = {}
    for part, truth in run.labels.items():
        logits[part] = np.where(truth == 1, 2.0, -2.0).astype(np.float32)
        for label in (0, 1):
            among = np.flatnonzero(truth == label)
            logits[part][among[: round(len(among) * (1 - share))]] *= -1
    return replace(run, logits=logits)


def with_resplits(folder, linear, cnn) -> study.Study:
    """A study of models 20, 21 and 22 with six re-splits; linear, cnn: accuracy on each."""
    for model in ("20", "22"):
        for seed in range(3):
            records.save(folder, right(records.run(model, seed, test=1000), 0.9))
    for seed in range(4):
        records.save(folder, records.run("21", seed, test=1000, dead=seed < 3))
    for number, shares in enumerate(zip(linear, cnn)):
        for model, share in zip(("20", "22"), shares):
            made = records.run(model, 0, test=1000, split=f"image-{number}")
            records.save(folder, right(made, share))
    return read(folder)


LINEAR = [0.90, 0.92, 0.94, 0.92, 0.91, 0.93]


def test_the_findings_are_the_studys_own_numbers(tmp_path):
    said = items.NUMBERS["headline"](
        with_resplits(tmp_path, LINEAR, [share + 0.04 for share in LINEAR])
    )
    one = said["simplest"]
    assert one["mean"] == pytest.approx(np.mean(LINEAR)) and one["splits"] == 6
    assert one["low"] == pytest.approx(0.9) and one["high"] == pytest.approx(0.94)
    assert one["given"] == pytest.approx(0.9)
    assert one["among"]  # the paper's 93.1 %
    (cnn,) = said["complex"]
    assert (cnn["class"], cnn["model"], cnn["linear"]) == ("CNN", "22", "20")
    assert cnn["low"] == pytest.approx(cnn["mean"]) == pytest.approx(0.04)
    luck = said["luck"]
    assert (luck["model"], luck["learned"], luck["runs"], luck["dead"]) == ("21", 1, 4, 3)
    assert 0.04 < luck["low"] < 0.05 and 0.69 < luck["high"] < 0.70  # Wilson's, 1 of 4
    assert said["moved"]["split"] == pytest.approx(np.std(LINEAR, ddof=1))
    assert said["moved"]["seed"] == pytest.approx(0)


@pytest.mark.parametrize(
    "gain, words",
    [
        ([0.04] * 6, "The best CNN does better than the best linear net"),
        ([-0.04] * 6, "No CNN does better than the best linear net"),
        (
            [0.04, -0.04] * 3,
            "It is not shown that the best CNN does better than the best linear net",
        ),
    ],
)
def test_the_second_finding_follows_the_interval(tmp_path, gain, words):
    found = with_resplits(tmp_path, LINEAR, np.add(LINEAR, gain))
    assert f"**{words}.**" in text_of(found, "0-summary.md")


def test_re_splits_of_two_number_formats_are_told(tmp_path):
    caption = items.ITEMS["resplits"](with_resplits(tmp_path / "one", LINEAR, LINEAR)).caption
    assert caption.endswith("(95 % interval)")
    made = replace(records.run("22", 6, test=1000, split="image-6"), precision="bf16")
    records.save(tmp_path / "one", made)
    caption = items.ITEMS["resplits"](read(tmp_path / "one")).caption
    assert caption.endswith(". Of the CNNs' runs 1 in bf16 and 6 in fp32")


def test_sizes_compared_in_two_number_formats_are_told(tmp_path):
    for size, seed in ((64, 0), (64, 1), (64, 2), (640, 0)):
        records.save(tmp_path, replace(records.run("12", seed, image_size=size), precision="bf16"))
    assert items.ITEMS["sizes"](read(tmp_path)).caption.endswith("accuracies in percent")
    records.save(tmp_path, records.run("12", 1, image_size=640))
    caption = items.ITEMS["sizes"](read(tmp_path)).caption
    assert caption.endswith(". Of all these runs 4 in bf16 and 1 in fp32")


def test_the_test_accuracies_of_two_sizes_are_compared(tmp_path):
    for size, seeds, share in ((64, 3, 0.8), (640, 2, 0.9)):
        for seed in range(seeds):
            made = records.run("12", seed, test=1000, image_size=size)
            records.save(tmp_path, right(made, share))
    numbers = items.ITEMS["sizes"](read(tmp_path)).numbers
    assert numbers["higher"] == 1 and numbers["runs"] == 2
    assert numbers["gaps"] == pytest.approx([10.0], abs=0.2)


def test_the_paper_value_is_inside_or_outside_our_interval(tmp_path):
    for seed in range(3):
        records.save(tmp_path, right(records.run("20", seed, test=1000), 0.75))
    table = items.ITEMS["fig-20"](read(tmp_path)).table
    assert table[0]["Model"] == "20 · Linear" and table[0]["Accuracy, %"].startswith("75.0 (")
    assert table[1]["Accuracy, %"] == "93.1 **outside**"


# ---- verdicts


def test_a_verdict_says_what_decided_it(tmp_path):
    finding = claims.Finding(
        words="accuracy, 22 − 20: +1.2 points (95 %: +0.2 to +2.3; 6 re-splits; given split −0.4)",
        outcome=claims.FAILS,
        p=0.03,
    )
    share = claims.Finding("runs of 26b that converged: 5 of 5 (57–100 %)", claims.HOLDS)
    alone = claims.judge_alone(claims.CLAIMS[30], with_resplits(tmp_path, LINEAR, LINEAR))
    verdict = alone._replace(findings=(finding, share, share), verdict=claims.FAILS, p=0.01)
    assert report_verdicts.conditions(verdict) == (
        "1 ✗ 2 ✓: ✗ accuracy, 22 − 20: +1.2 points (+0.2 to +2.3)"
    )
    only = alone._replace(findings=(share,), verdict=claims.HOLDS)
    assert report_verdicts.conditions(only) == f"✓ {share.words}"
    kept = verdict._replace(alone=claims.HOLDS, verdict=claims.NOISE, primary=True, p=0.087)
    said = "Primary: by itself it holds; p = 0.087 after Holm."
    assert report_verdicts.adjusted(kept) == said

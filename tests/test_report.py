"""The report: complete in both formats, safe, repeatable, and clear about what is missing."""

import base64
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import records
import samples
from safetensors.torch import save as save_tensors

from xray import claims, data, models, report, results, study
from xray import report_pictures as pictures
from xray.specs import LEARNING_RATE_SEARCH, MODELS

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "report.py"
HOSTILE = 'x"><script>alert(1)</script>|`*_[a](b)\n# $y$ & <img src=q onerror=alert(2)>'
NUMBERED = [f"fig-{n}" for n in range(1, 29)] + ["table-1", "table-2"]
SECTIONS = [
    "summary",
    *(
        f"section-{n}"
        for n in (
            "1",
            "2",
            "2-1",
            "2-2",
            "2-3",
            "2-4",
            "3",
            "3-1",
            "3-2",
            "3-3",
            "3-4",
            "3-5",
            "3-6",
            "4",
            "5",
        )
    ),
    "claims",
    "misprints",
    "beyond",
    "patients",
    "errors",
    "weights",
    "reproduction",
]


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
    assert report.prose_html("`a<b` **c** [d](#fig-9) <e> [f](javascript:1)") == (
        '<code>a&lt;b</code> <strong>c</strong> <a href="#fig-9">d</a> &lt;e&gt; [f](javascript:1)'
    )


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


def test_the_banner_tells_what_differs(tmp_path):
    data = records.DATA | {"phantom": True, "skipped": 3}
    short = results.ModelSpec(**{**MODELS["20"].__dict__, "epochs": 2})
    records.save(tmp_path, records.run("20", data=data, spec=short))
    records.save(tmp_path, records.run("22", data=data, image_size=64))
    notes = " ".join(report.banner(study.read(tmp_path, study.choose(tmp_path)[0])))
    for words in (
        "phantoms",
        "3 unreadable",
        "Model 20: 2 epochs instead of 50",
        "Model 22: 64×64",
        "33 of the 35 models",
    ):
        assert words in notes, words


def test_the_banner_is_empty_for_the_papers_own_study(tmp_path):
    data = records.DATA | {"source": "keremberke/chest-xray-classification"}
    for model in MODELS | LEARNING_RATE_SEARCH:
        records.save(tmp_path, records.run(model, data=data))
    assert report.banner(study.read(tmp_path, study.choose(tmp_path)[0])) == []


def test_runs_that_no_figure_shows_are_named(tmp_path):
    for made in (
        records.run("22", image_size=96),
        records.run("26b", image_size=96),
        records.run("20"),
    ):
        records.save(tmp_path, made)
    name = study.choose(tmp_path)[0]
    assert "Set aside" not in dict(report._facts(study.read(tmp_path, name)))
    for made in (
        records.run("26b", image_size=224),
        records.run("20", image_size=64),
        records.run("22", image_size=64),
    ):
        records.save(tmp_path, made)
    read = study.read(tmp_path, name)
    assert dict(report._facts(read))["Set aside"] == "20, 22 at 64×64; 26b at 224×224"
    assert [run.image_size for run in read.chosen["26b"]] == [96]


def test_the_script_reports_one_run_and_asks_for_the_rest(tmp_path):
    records.save(tmp_path / "results", records.run("20", image_size=64))
    older = records.DATA | {"fingerprint": "f" * 64}
    made = records.run("20", data=older)
    made.environment["finished"] = "2020-01-01T00:00:00+00:00"
    records.save(tmp_path / "results", made)
    done = subprocess.run(
        [sys.executable, SCRIPT, "--results", "results", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "study made-up-01234567/given" in done.stdout and "made-up-ffffffff/given" in done.stdout
    # as train.py leaves it, records or not
    (tmp_path / "results" / "latest").write_text("made-up-ffffffff/given\n")
    assert study.choose(tmp_path / "results") == (
        "made-up-ffffffff/given",
        ["made-up-01234567/given"],
    )
    assert study.choose(tmp_path / "results", "made-up-01234567")[0] == "made-up-01234567/given"
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "python scripts/train.py --model 22b 26b --data made-up --image-size 64" in page
    for id in NUMBERED:
        assert f'id="{id}"' in page
    # the records lie outside of the report's folder, so they are not linked
    assert "results/made-up" not in page
    assert not Path(tmp_path / "out" / "results").exists()


def load_script():
    spec = importlib.util.spec_from_file_location("report_script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_data_sets_own_image_is_shown_only_where_asked_and_only_if_it_is_the_same_data(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XRAY_CACHE", str(tmp_path / "cache"))
    source = samples.class_folders(tmp_path / "images")
    found = data.load(str(source), 16)
    about = {
        "name": found.name,
        "source": str(source),
        "fingerprint": found.fingerprint,
        "phantom": False,
        "skipped": 0,
    }
    records.save(
        tmp_path / "results",
        records.run("20", data=about, image_size=16, validation=4, test=3),
        found.facts,
    )
    script = load_script()
    runs = results.load(tmp_path / "results")
    assert (script.first_radiograph(str(source), runs) == found.train.images[0, 0]).all()
    phantom = report.context(
        study.read(tmp_path / "results", study.choose(tmp_path / "results")[0])
    )
    assert "the report carries no pixel of the data" in report.html(phantom, tmp_path)
    next(source.rglob("*.png")).unlink()
    with pytest.raises(SystemExit):
        script.first_radiograph(str(source), runs)


def test_the_script_refuses_what_it_cannot_report(tmp_path, capsys):
    damaged = records.save(tmp_path / "damaged", records.run("20"))
    text = json.loads(damaged.read_text())
    damaged.write_text(json.dumps(text | {"seed": 7}))
    (tmp_path / "empty").mkdir()
    script = load_script()
    for arguments, words in (
        (["--results", "nowhere"], "nowhere"),
        (["--results", "empty"], "no study"),
        (["--results", "damaged"], damaged.name),
        (["--wrong"], "--wrong"),
    ):
        arguments = [
            str(tmp_path / word) if word in ("nowhere", "empty", "damaged") else word
            for word in arguments
        ]
        with pytest.raises(SystemExit) as stop:
            script.main([*arguments, "--out", str(tmp_path / "out")])
        said = capsys.readouterr().err
        assert stop.value.code == 2 and words in said
        assert said.startswith("error: ") and said.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_a_test_split_of_one_class_and_runs_without_data_description_still_make_a_report(tmp_path):
    made = records.run("21", validation=12, test=8)
    for part in made.labels:
        made.labels[part][:] = 1
    records.save(tmp_path, made)
    records.save(tmp_path, records.run("26b", diverged=True))
    content = report.context(study.read(tmp_path, study.choose(tmp_path)[0]))
    page = report.html(content, tmp_path)
    assert ">nan<" not in page and "does not lie beside these records" in page
    for id in NUMBERED:
        assert f'id="{id}"' in page


def test_an_unknown_study_is_refused_by_name(tmp_path):
    records.save(tmp_path, records.run("20"))
    with pytest.raises(results.ResultsError, match="other/given.*made-up-01234567/given"):
        study.choose(tmp_path, "other/given")


def test_pictures_of_weights_stay_when_the_weights_go(tmp_path):
    made = records.run("20", image_size=16)
    content = save_tensors(models.build(made.spec, 16, 0).state_dict())
    (tmp_path / "w.safetensors").write_bytes(content)
    kept_weights = {"file": "w.safetensors", "sha256": hashlib.sha256(content).hexdigest()}
    run = replace(made, file=tmp_path / "20-seed0.json", weights=kept_weights)
    drawn = pictures.weight_pictures(run)
    (tmp_path / "w.safetensors").unlink()
    assert pictures.weight_pictures(run) == drawn
    with pytest.raises(pictures.WeightsError):  # pictures of other weights are not these
        pictures.weight_pictures(replace(run, weights=kept_weights | {"sha256": "0" * 64}))
    kept = tmp_path / "20-seed0.pictures"
    kept.write_text(kept.read_text().replace('"limit": ', '"limit": 1', 1))
    with pytest.raises(pictures.WeightsError):
        pictures.weight_pictures(run)

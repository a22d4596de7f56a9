"""Chapters 6 and 7 and the appendices: from a bare study, from a whole one, and with films."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import records

from xray import (  # noqa: F401 (items of the appendices)
    changes,
    experiments,
    report,
    report_films,
    report_luck,
    report_more,
    report_shortcuts,
    report_tool,
    report_verdicts,
    study,
)
from xray import report_table_3 as table_3
from xray.items import ITEMS, NUMBERS
from xray.specs import MODELS, TABLE_3

CHAPTERS = ("6-what-they-see.md", "6-luck.md", "7-beyond.md", "appendices.md")
SIZES = {"validation": 40, "test": 30}
PATHS = {part: [f"{part}/{n}.jpeg" for n in range(30)] for part in ("train", "validation", "test")}


def starts(layers: int, units: int, above: list[int]) -> pd.DataFrame:
    """A census of one structure at 640×640: a row a seed."""
    about = {"image_size": 640, "images": 50, "layers": layers, "units": units}
    return pd.DataFrame([about | {"seed": seed, "above": n} for seed, n in enumerate(above)])


@pytest.fixture(autouse=True)
def no_experiments(monkeypatch):
    nothing = pd.DataFrame(columns=list(starts(1, 10, [0])))
    monkeypatch.setattr(experiments, "starts", lambda folder: nothing)
    monkeypatch.setattr(experiments, "runs", lambda folder: [], raising=False)


def read(folder) -> study.Study:
    return study.read(folder, study.choose(folder)[0])


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> study.Study:
    """One run and nothing beside it."""
    folder = tmp_path_factory.mktemp("bare")
    records.save(folder, records.run("20", **SIZES))
    return read(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> study.Study:
    """Models of each class, Table 3, re-splits, baselines, changed films, films elsewhere."""
    folder = tmp_path_factory.mktemp("whole")
    for model in ("20", "21", "22b", "26b", "28b"):
        for seed in range(2):
            file = records.save(folder, records.run(model, seed, **SIZES))
    for split in ("image-0", "image-1", "patient-0", "patient-1"):
        records.save(folder, records.run("20", split=split, **SIZES))
    records.beyond(folder, file.parent, **SIZES)
    for split in ("given", "image-0", "image-1", "patient-0", "patient-1"):
        records.shortcuts(file.parent, split=split, **SIZES)
    records.elsewhere(file.parent, ["20", "26b", "32", "33", "36"])
    return read(folder)


def markdown(of: study.Study) -> str:
    return report.markdown(report.Report(of), CHAPTERS)


def test_a_bare_study_has_all_sections_and_says_what_is_missing(bare):
    text = markdown(bare)
    for name in ("6", "6-1", "6-2", "6-3", "6-4", "6-5", "6-6", "7"):
        assert f'id="section-{name}"' in text
    for command in ("evaluate.py", "train.py --experiments", "train.py --beyond", "--resplits"):
        assert command in text
    assert "nan" not in text.split() and "None" not in text.split("appendix-a")[0]


def test_a_whole_study_has_all_items_with_words_for_each_picture(whole):
    shown = report.Report(whole)
    text = report.markdown(shown, CHAPTERS)
    for name in ("baselines", "margins", "changes", "elsewhere", "groups", "swings", "table-3"):
        assert f'<a id="{name}"></a>' in text and len(ITEMS[name](whole).alt) > 40, name
        assert f"figures/{name}.svg" in shown.files and f"figures/{name}.csv" in shown.files, name
    assert "rank" in text and "other-hospital" in text
    assert "−0.0" not in text and " nan" not in text


def test_a_margin_is_the_accuracy_over_the_baselines_on_the_same_films(whole):
    table = report_shortcuts.margin_table(whole).set_index(["model", "baseline", "kind"])
    of_split = report_shortcuts.baselines_of(whole)
    theirs = report_shortcuts.right(of_split, "thumbnail 16×16")
    ours = whole.summary.loc[("20", "accuracy"), "mean"]
    assert table.loc[("20", "thumbnail 16×16", "given"), "value"] == pytest.approx(ours - theirs)
    assert table.loc[("20", "thumbnail 16×16", "patient"), "splits"] == 2
    assert ("21", "thumbnail 16×16", "patient") not in table.index  # no re-splits


def test_the_baseline_without_lung_is_picked_on_validation_films():
    names = {"class prior": [1, 1, 1, 1], "corners": [1, -1, 1, -1], "1 % ring": [1, -1, 1, 1]}
    logits = {name: np.array(values, float) for name, values in names.items()}
    found = {
        "labels": {"validation": np.array([1, 0, 1, 0]), "test": np.array([0, 1, 0, 1])},
        "baselines": {name: {"validation": v, "test": v} for name, v in logits.items()},
    }
    assert report_shortcuts.best_without_lung(found) == "corners"
    assert report_shortcuts.right(found, "corners") == 0


def test_another_hospitals_films_are_told_by_view(whole):
    (films,) = ITEMS["elsewhere"](whole).numbers["films"]
    assert films["count"] == 80 and {"all", "view AP", "view PA"} <= set(films["groups"])
    assert films["turned"]  # the records' baselines rank these films the wrong way round
    assert "36" not in films["runs"]  # Table 3's models stand in chapter 7 alone
    assert "36" in ITEMS["table-3-elsewhere"](whole).numbers["films"][0]["models"]


def test_more_models_than_marks_have_shapes_are_shown_elsewhere(tmp_path):
    for model in MODELS:
        file = records.save(tmp_path, records.run(model, 0, **SIZES))
    records.shortcuts(file.parent, split="given", **SIZES)
    records.elsewhere(file.parent, list(MODELS))
    found = read(tmp_path)
    for name in ("elsewhere", "groups"):
        assert set(MODELS) <= set(ITEMS[name](found).data.name)


def test_rows_of_table_3_say_what_they_change(whole):
    table = table_3.ladder_table(whole)
    assert table.loc["31", "words"].startswith("26b with 64×64 pixels, AdamW, rate 1e-3")
    assert table.loc["37", ["settings", "words"]].tolist() == [
        1,
        "36 with half of the films mirrored",
    ]
    assert table.settings.max() > 3  # not one change at a time
    assert "decay" not in table.loc["35", "words"]  # as in 34
    assert ITEMS["table-3-resplits"](whole).numbers["one_start"] == ""  # two starts, two splits


def test_the_best_of_table_3_is_that_of_the_lowest_validation_loss(whole):
    table = table_3.ladder_table(whole)
    ours = table[table.index.isin(TABLE_3)]
    assert ITEMS["table-3"](whole).numbers["best"] == ours.validation_loss.idxmin()
    gain = table.loc["33", "gain"]
    assert gain[0] == pytest.approx(table.accuracy["33"] - table.accuracy["32"])


def test_a_study_of_table_3_alone_has_its_chapters(tmp_path):
    file = records.save(tmp_path, records.run("36", image_size=128, **SIZES))
    records.shortcuts(file.parent, **SIZES)
    changed = changes.read(file.parent)
    changed["given"]["models"] = [o for o in changed["given"]["models"] if o["model"] == "36"]
    changes.write(file.parent, changed)
    records.elsewhere(file.parent, ["36"])
    text = markdown(read(tmp_path))
    assert "What moves model 36" in text and "On the films of other-hospital" in text


def test_runs_that_start_alike_are_counted_once(tmp_path, monkeypatch):
    for model in ("21", "24"):  # 24 starts as 21 does
        for seed, dead in enumerate((True, False, True)):
            records.save(tmp_path, records.run(model, seed, dead=dead, **SIZES))
    monkeypatch.setattr(experiments, "starts", lambda folder: starts(1, 10, [0, 50, 20]))
    found = NUMBERS["dead-runs"](read(tmp_path))
    assert (found["dead"], found["revived"]) == (2, 0)
    assert found["later"] == {"count": 1, "of": 2}  # seeds 1 and 2 lived; 2 died in both models


def test_dead_starts_are_shares_with_wilsons_interval(bare, monkeypatch):
    monkeypatch.setattr(experiments, "starts", lambda folder: starts(1, 10, [0, 0, 7, 50]))
    one = ITEMS["dead-starts"].__wrapped__(bare).numbers["one_layer"]
    assert one == pytest.approx((0.5, 0.150, 0.850), abs=1e-3)


def test_without_the_last_relu_and_over_sizes(bare, monkeypatch):
    runs = [records.run("21", seed, dead=seed == 0, image_size=64, **SIZES) for seed in range(3)]
    free = replace(MODELS["21"], id="21@no-last-relu", last_relu=False)
    sizes = ((size, seed) for size in (16, 64, 640) for seed in range(3))
    runs += [records.run("21", s, image_size=n, spec=free, **SIZES) for n, s in sizes]
    sizes = ((size, seed) for size in (16, 640) for seed in range(3))
    runs += [records.run("20", s, image_size=n, **SIZES) for n, s in sizes]
    monkeypatch.setattr(experiments, "runs", lambda folder: runs)
    report_luck.experiment_table.cache_clear()
    control = ITEMS["last-relu"].__wrapped__(bare)
    assert control.numbers["seeds"] == 3 and control.numbers["dead"] == [1, 0]
    steps = ITEMS["size-steps"].__wrapped__(bare)
    assert steps.numbers["not_matched"] == "learns nothing"  # no such run at 16×16
    assert steps.numbers["matched"].startswith("scores ")
    report_luck.experiment_table.cache_clear()


# ---- films


def box(paths) -> SimpleNamespace:
    """As data.load("films", 64): 30 films a split, those with pneumonia brighter."""
    random, labels = np.random.default_rng(0), records.labels(30)
    images = random.integers(0, 100, (30, 1, 64, 64), np.uint8) + 100 * labels[:, None, None, None]
    part = SimpleNamespace(images=images.astype(np.uint8), labels=labels, paths=paths[-30:])
    index = {name: np.arange(30) for name in PATHS}
    return SimpleNamespace(index=index, paths=paths, train=part, test=part)


def test_films_are_shown_where_they_are_the_studys_own_and_nowhere_else(tmp_path, monkeypatch):
    facts = {"splits": dict.fromkeys(PATHS, 30), "paths": sum(PATHS.values(), [])}
    facts["counts"] = dict.fromkeys(PATHS, {"NORMAL": 9, "PNEUMONIA": 21})
    own = dict(SIZES, validation=30)
    about = records.DATA | {"source": "films"}
    runs = [records.run("20", seed, skill=9, data=about, **own) for seed in range(2)]
    wrong = runs[0].logits["test"].copy()
    wrong[0] = -wrong[0] * 9
    runs = [replace(run, logits=run.logits | {"test": wrong}) for run in runs]
    for run in runs:
        file = records.save(tmp_path, run, facts)
    records.shortcuts(file.parent, **own)
    monkeypatch.setattr(report_films.data, "load", lambda source, size: box(facts["paths"]))
    found = read(tmp_path)
    shown = report.Report(found)
    text = report.markdown(shown, ("6-what-they-see.md", "appendices.md"))
    pictures = ["regions", "changed-films", "always-missed"]
    assert [name for name in pictures if f"figures/{name}.png" in shown.files] == pictures
    assert text.count("), resized to 64×64") >= text.count(".png)") >= 3
    assert report_more.missed_table(found).missed.iloc[0] == 2
    report_films.films_of.cache_clear()
    monkeypatch.setattr(report_films.data, "load", lambda source, size: box(facts["paths"][::-1]))
    assert report_films.films_of(found) is None
    report_films.films_of.cache_clear()

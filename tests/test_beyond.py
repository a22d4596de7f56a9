"""Chapter 7: Table 3 held against what it changes; the paper's own claims are left alone."""

from dataclasses import replace

import numpy as np
import pytest
import records
import report_world

from xray import files, metrics, report, report_beyond, report_seeing, study
from xray.specs import KNOWN, TABLE_3


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    out = report_world.whole(tmp_path_factory.mktemp("beyond"))
    return study.read(out / "results", study.choose(out / "results")[0])


def test_table_3_is_kept_apart_from_the_papers_models(world):
    assert list(world.beyond) == list(TABLE_3) and not set(TABLE_3) & set(world.chosen)
    assert {run.spec.id for run in world.runs} == set(world.chosen)
    assert all(set(by_model) == {"36"} for by_model in world.beyond_resplits.values())
    alone = {"chosen": world.chosen, "resplits": world.resplits}
    assert not any("36" in by_model for by_model in alone["resplits"].values())


def test_each_row_is_held_against_the_model_that_it_changes(world):
    numbers, items = report_beyond.sections(world)
    rows = numbers["scores"]
    assert list(rows) == ["26b", "31", "32", "33", "34", "35", "36", "37", "28b", "38"]
    assert [rows[model]["before"] for model in ("26b", "31", "32", "38")] == [
        "",
        "26b",
        "31",
        "28b",
    ]
    gain, low, high = rows["33"]["gain"]
    means = [rows[model]["means"]["accuracy"] for model in ("33", "32")]
    assert gain == pytest.approx(means[0] - means[1]) and low <= gain <= high
    assert "rate 1e-3" in rows["31"]["change"] or "rate 3e-3" in rows["31"]["change"]
    assert rows["34"]["change"] == "batch normalisation"
    assert rows["36"]["parameters"] < 1_000_000
    assert [row[0]["text"] for row in items["ladder"]["table"]["rows"]] == list(rows)


def test_the_best_is_that_of_the_lowest_validation_loss(world):
    numbers, _ = report_beyond.sections(world)
    losses = {model: row["validation_loss"] for model, row in numbers["scores"].items()}
    assert numbers["best"] == min(TABLE_3, key=losses.get)
    kept = [min(run.history["validation_loss"]) for run in world.beyond["36"]]
    assert losses["36"] == pytest.approx(np.mean(kept))


def test_a_splits_runs_are_averaged_logit_by_logit(world):
    numbers, items = report_beyond.sections(world)
    found, by_split = numbers["apart"]["36"], world.beyond_resplits
    areas = []
    for by_model in by_split.values():
        runs = by_model["36"]
        mean = sum(run.logits["test"].astype(float) for run in runs) / len(runs)
        areas.append(metrics.scores(mean, runs[0].labels["test"])["roc_auc"])
    assert len(runs) == 2 and found["averaged"]["roc_auc"].mean == pytest.approx(np.mean(areas))
    assert found["averaged"]["roc_auc"].mean != found["roc_auc"].mean
    cells = [[cell["text"] for cell in row] for row in items["beyond-resplits"]["table"]["rows"]]
    assert cells[-1][1] == "the mean logit of a split's 2 runs" and cells[-1][-2:] == ["2", "4"]


def test_one_run_a_split_is_not_averaged(world):
    alone = {name: {"36": by["36"][:1]} for name, by in world.beyond_resplits.items()}
    numbers, _ = report_beyond.sections(replace(world, beyond_resplits=alone))
    assert "averaged" not in numbers["apart"]["36"]


def test_what_moves_table_3_stands_apart_from_what_moves_the_papers_models(world):
    numbers, items = report_beyond.sections(world)
    assert numbers["changes"]["models"] == ["36"]
    gap = numbers["changes"]["words"]["lung box of the other class"]["36"]["roc_auc"]
    assert gap.startswith("−") and "evaluate.py" in " ".join(items["beyond-changes"]["again"])
    _, of_papers = report_seeing.sections(world)
    shown = {row[1]["text"] for row in of_papers["changes"]["table"]["rows"]}
    assert shown == {"20"} and items["beyond-changes"]["count"] == 1


def test_the_search_says_which_trial_its_row_carries(world):
    numbers, items = report_beyond.sections(world)
    assert numbers["trials"] == {"count": 2, "rows": 1}
    marks = [row[-1]["text"] for row in items["search"]["table"]["rows"]]
    assert marks == ["", "chosen"] and "search.py" in items["search"]["again"][0]


def test_a_study_of_the_paper_alone_names_the_command(tmp_path):
    records.save(tmp_path, records.run("20"))
    found = study.read(tmp_path, study.choose(tmp_path)[0])
    numbers, items = report_beyond.sections(found)
    assert numbers == {} and "--model 31 32" in items["ladder"]["command"]


def test_a_study_of_table_3_alone_has_a_report(tmp_path):
    spec = KNOWN["36"]
    records.save(tmp_path / "results", records.run("36", image_size=spec.image_size))
    found = study.read(tmp_path / "results", study.choose(tmp_path / "results")[0])
    report.write(found, tmp_path)
    assert "Beyond the paper" in (tmp_path / "index.html").read_text()


def test_what_moves_table_3_is_shown_where_no_model_of_the_paper_was_tried(tmp_path):
    out = report_world.whole(tmp_path)
    path = next((out / "results").glob("*/changes.json"))
    record = files.read_json(path)
    given = record["splits"]["given"]
    given["models"] = [one for one in given["models"] if one["model"] == "36"]
    files.write_json(path, record)
    report.write(study.read(out / "results", study.choose(out / "results")[0]), out)
    assert "What moves model 36" in (out / "report.md").read_text()


def test_films_elsewhere_that_table_3_alone_was_shown_have_a_report(tmp_path):
    out = report_world.whole(tmp_path)
    given = next((out / "results").glob("*"))
    records.elsewhere(given, ("36",))
    records.elsewhere(given, (), "cut-off")  # evaluate.py was stopped before its first model
    found = study.read(out / "results", study.choose(out / "results")[0])
    report.write(found, out)
    words = (out / "report.md").read_text()
    assert "Does the better score carry over?" in words and "cut-off" not in words

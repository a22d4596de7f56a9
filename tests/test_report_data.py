"""What stands under the report's figures and tables: data as CSV, commands, records."""

import base64
import csv
import io
import json
import re
import shlex
import zlib
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import records
from report_world import facts
from test_report import Tags

from xray import comparisons, metrics, paper, report, report_data, report_items, results, study

SIZES = {"validation": 60, "test": 40}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, study, content) of a study of some models, two seeds each, CNNs at two sizes."""
    out = tmp_path_factory.mktemp("site")
    place = out / "results"
    for model in ("0", "1", "2", "20", "21", "23", "27b"):
        for seed in range(2):
            records.save(place, records.run(model, seed, **SIZES), facts(**SIZES))
    for seed in range(3):
        records.save(place, records.run("26b", seed, image_size=64, **SIZES))
    records.save(place, records.run("26b", 0, **SIZES))
    records.save(place, records.run("21", 2, dead=True, **SIZES))
    records.save(place, records.run("27b", 0, image_size=64, engine="direct", forced=True, **SIZES))
    for split in ("image-0", "image-1", "patient-0", "patient-1"):
        records.save(place, records.run("20", 0, split=split, **SIZES))
    found = study.read(place, study.choose(place)[0])
    report.write(found, out)
    return out, found, report.context(found)


def rows(made, name: str) -> list[dict]:
    """The lines of an item's CSV."""
    text = (made[0] / "figures" / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def the(found: list[dict], **wanted) -> dict:
    (row,) = [row for row in found if all(row[key] == str(wanted[key]) for key in wanted)]
    return row


def test_every_picture_of_numbers_and_every_table_has_its_csv(made):
    out, _, content = made
    named = {}
    for name, one in content["shown"].items():
        if one.get("plot") or (one.get("table") and "again" in one):
            assert (out / one["csv"]["file"]).read_text(encoding="utf-8") == one["csv"]["text"]
            assert len(rows(made, name)) > 0, name
            named[f"{name}.csv"] = one["csv"]["text"]
    assert len(named) > 25 and {"fig-9.csv", "fig-28.csv", "sizes.csv", "table-1.csv"} <= set(named)
    page = (out / "index.html").read_text(encoding="utf-8")
    packed = re.search(r'<script type="text/plain" id="evidence">(.*?)</script>', page)[1]
    assert json.loads(zlib.decompress(base64.b64decode(packed))) == named
    links = [tag["href"] for _, tag in Tags(page).tags if tag.get("class") == "csv"]
    assert sorted(links) == sorted(f"figures/{name}" for name in named)
    text = (out / "report.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\[CSV\]\((.*?)\)", text)) == sorted(links)


def test_curves_are_the_records_histories(made):
    run = the_run(made[1], "1", 1)
    row = the(rows(made, "fig-9"), model=1, seed=1, epoch=3)
    for key in report_data.HISTORY:
        assert float(row[key]) == pytest.approx(run.history[key][2], rel=1e-4)
    assert len(rows(made, "fig-9")) == 3 * 2 * 10
    shown = [row for row in rows(made, "fig-19") if row["model"] == "21"]
    assert {row["seed"]: row["learned"] for row in shown} == {"0": "yes", "1": "yes", "2": "no"}
    sizes = {(row["image_size"], row["seed"]) for row in rows(made, "sizes")}
    assert sizes == {("640", "0"), ("64", "0"), ("64", "1"), ("64", "2")}


def the_run(found: study.Study, model: str, seed: int):
    return next(run for run in found.chosen[model] if run.seed == seed)


def test_scores_are_those_of_the_runs_that_learned_beside_the_papers(made):
    found, shown = made[1], rows(made, "fig-21")
    row = the(shown, model=20, seed=1)
    run = the_run(found, "20", 1)
    scores = metrics.scores(run.logits["test"], run.labels["test"])
    low, high = found.summaries["20"].interval["f1"]
    wanted = {"accuracy": scores["accuracy"], "f1": scores["f1"], "f1_low": low, "f1_high": high}
    wanted |= {"paper_f1": 0.952, "paper_accuracy": comparisons.printed("20", "accuracy")}
    for key, value in wanted.items():
        assert float(row[key]) == pytest.approx(value, rel=1e-4), key
    assert int(row["tp"]) == scores["tp"] and int(row["fn"]) == scores["fn"]
    assert [row["seed"] for row in shown if row["model"] == "21"] == ["0", "1"]  # seed 2 is dead
    assert the(shown, model="always pneumonia")["accuracy"] == "0.7"
    row = the(rows(made, "fig-18"), model=20, seed="paper")
    assert {key: int(row[key]) for key in report_data.COUNTS} == paper.CONFUSION_20


def test_the_other_pictures_numbers(made):
    found = made[1]
    row = the(rows(made, "fig-3"), split="train", **{"class": "PNEUMONIA"})
    assert int(row["images"]) == found.facts["counts"]["train"]["PNEUMONIA"]
    assert float(the(rows(made, "fig-28"), model="27b")["seconds"]) == pytest.approx(90)
    ranks = [row for row in rows(made, "ranking") if row["model"] == "20"]
    ends = ranks[-1]
    assert len(ranks) == 201 and float(ends["sensitivity_at_false_positive_rate_x"]) == 1
    bins = [row for row in rows(made, "calibration") if row["model"] == "20"]
    assert sum(int(row["images"]) for row in bins) == 2 * SIZES["test"]  # two seeds
    images = sum(int(row["images"]) * float(row["share_with_pneumonia"] or 0) for row in bins)
    assert images == pytest.approx(2 * 0.7 * SIZES["test"], abs=0.01)


def test_resplits_name_split_and_seed_and_give_what_is_compared(made):
    found = made[1]
    compared = comparisons.compare(found.chosen, found.resplits, study.test_share(found))
    (one,) = [row for row in compared if row.model == "20" and row.score == "accuracy"]
    for protocol, values in one.sides.items():
        mine = [row for row in rows(made, "resplits") if row["protocol"] == protocol]
        assert [row["split"] for row in mine] == ["0", "1"]
        ours = [float(row["accuracy"]) for row in mine if row["learned"] == "yes"]
        assert ours == pytest.approx(values, rel=1e-4)


def test_at_a_glance_are_the_given_split_the_resplits_by_image_and_the_paper(made):
    found = rows(made, "glance")
    assert {row["protocol"] for row in found} == {"given", "image", "the paper"}
    assert the(found, model=21, protocol="given", seed=2)["learned"] == "no"
    row = the(found, model=20, protocol="image", split=1)
    run = made[1].resplits["image-1"]["20"][0]
    scores = metrics.scores(run.logits["test"], run.labels["test"])
    assert float(row["f1"]) == pytest.approx(scores["f1"], rel=1e-4)
    assert the(found, model=20, protocol="the paper")["f1"] == "0.952"


def test_a_tables_csv_is_the_table_as_shown(made):
    table = made[2]["shown"]["fig-20"]["table"]
    found = rows(made, "fig-20")
    assert list(found[0]) == [column["name"] for column in table["columns"]]
    assert [list(row.values()) for row in found] == [
        [cell["text"] for cell in row] for row in table["rows"]
    ]


def test_a_csv_keeps_commas_quotes_and_lines():
    text = report_data.text(["a", "b"], [['x, "y"\nz', 0.1234567], [1, np.nan]])
    assert list(csv.reader(io.StringIO(text)))[1:] == [['x, "y"\nz', "0.12346"], ["1", ""]]


def test_the_commands_make_just_those_runs_again(made, monkeypatch):
    _, found, content = made
    out = shlex.quote(str(made[0]))
    train, more = "python scripts/train.py --model", f"--out {out}"
    assert content["shown"]["fig-9"]["again"] == [
        f"{train} 0 1 2 --data made-up --seeds 0-1 {more}",
        f"python scripts/report.py --results {out}/results --out {out}",
    ]
    assert content["shown"]["sizes"]["again"][:2] == [
        f"{train} 26b --data made-up --image-size 640 --seeds 0 {more}",
        f"{train} 26b --data made-up --image-size 64 --seeds 0-2 {more}",
    ]
    assert content["shown"]["fig-28"]["again"][0] == (
        f"{train} 27b --data made-up --image-size 64 --engine direct --seeds 0 {more}"
    )
    assert content["shown"]["resplits"]["again"][0] == (
        f"{train} 20 --data made-up --resplits 2 --seeds 0 {more}"
    )
    short = records.run(
        "0", 7, spec=results.ModelSpec(**{**study.MODELS["0"].__dict__, "epochs": 2})
    )
    assert report_items.commands([short]) == [f"{train} 0 --data made-up --epochs 2 --seeds 7"]
    monkeypatch.setattr(report_items, "RESULTS", (made[0] / "results").resolve())
    assert report_items.report_command(found) == "python scripts/report.py"


def test_the_commands_are_such_as_the_scripts_take(made):
    """Every call that the report names is understood by the script that it calls."""
    import importlib.util

    root = Path(__file__).resolve().parent.parent
    parsers = {}
    for name in ("train", "report"):
        spec = importlib.util.spec_from_file_location(name, root / "scripts" / f"{name}.py")
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        parsers[f"scripts/{name}.py"] = script
    calls = {call for one in made[2]["shown"].values() for call in one.get("again", [])}
    assert len(calls) > 5
    for call in calls:
        python, script, *words = shlex.split(call)
        assert python == "python"
        if script == "scripts/report.py":
            parsers[script].arguments(words)
        else:
            parsers[script].options().parse_args(words)


def test_each_record_is_linked_once_and_found(made):
    out, found, _ = made
    files = {run.file for run in found.runs}
    files |= {run.file for runs in found.resplits.values() for one in runs.values() for run in one}
    page = (out / "index.html").read_text(encoding="utf-8")
    links = [address for address in Tags(page).values("href") if address.startswith("results/")]
    text = (out / "report.md").read_text(encoding="utf-8")
    for addresses in (links, re.findall(r"\]\((results/[^)]+)\)", text)):
        assert sorted((out / unquote(one)).resolve() for one in addresses) == sorted(
            Path(file).resolve() for file in files
        )
    assert "[6 records](#records)" in text

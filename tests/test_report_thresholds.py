"""The report's table of five thresholds, and what the page's own tool counts in."""

import base64
import json
import re

import numpy as np
import pytest
import records

from xray import metrics, report, report_thresholds, study

LABELS = np.array([1, 1, 1, 1, 0, 0, 0, 0])


def test_hundredths_count_exactly_at_whole_thresholds():
    logits = np.array([0.0, 1e-30, -1e-30, 0.01, 0.010001, -0.5, 400, -np.inf], np.float32)
    found = report_thresholds.hundredths(logits)
    assert found.tolist()[:2] == [0, 1] and found.tolist()[-2:] == [32767, -32767]
    logits = np.random.default_rng(0).normal(0, 4, 5000).astype(np.float32)
    numbers = report_thresholds.hundredths(logits)
    for threshold in range(-300, 301, 7):
        assert ((numbers > threshold) == (logits.astype(float) > threshold / 100)).all()


def test_the_five_thresholds_by_hand():
    # positives 5, 4, 3, -1; negatives 2, 0, -2, -3
    logits = np.array([500, 400, 300, -100, 200, 0, -200, -300])
    half, most, nearly_all, clear, youden = report_thresholds.choose(logits, LABELS)
    assert half == 0
    assert most == nearly_all == -101  # of four positives, 95 % are all four
    assert clear == 200  # of four negatives, likewise
    assert youden == 200  # finds 3 of 4 and clears 4 of 4: 1.75
    many = np.concatenate([np.arange(100) + 1, -np.arange(100)])
    half, most, nearly_all, clear, _ = report_thresholds.choose(many, np.repeat([1, 0], 100))
    assert (many[:100] > most).sum() == 95 and (many[:100] > nearly_all).sum() == 99
    assert (many[100:] <= clear).sum() == 95 and (many[100:] <= clear - 1).sum() == 94


def test_of_equal_sums_youden_takes_the_lowest_threshold():
    logits = np.array([4, 3, 0, 2, 1, -1])
    labels = np.array([1, 1, 1, 0, 0, 0])
    # above 2: 2/3 + 1; above -1: 1 + 1/3; above 0: 2/3 + 1/3
    assert report_thresholds.choose(logits, labels)[4] == 2
    logits = np.array([4, 2, 3, 1])  # above 3 or 1: 1.5
    assert report_thresholds.choose(logits, np.array([1, 1, 0, 0]))[4] == 1


@pytest.mark.parametrize("only, left", [(1, [0, 1, 3]), (0, [0])])
def test_a_split_of_one_class_leaves_out_what_it_cannot_choose(only, left):
    found = report_thresholds.choose(np.array([100, 200]), np.array([only, only]))
    missing = {1: [3, 4], 0: [1, 2, 4]}[only]
    assert [place for place, value in enumerate(found) if value is None] == missing


def test_predictive_values_follow_bayes():
    # of 1,000 with 10 %: 90 of 100 found, 180 of 900 called ill too
    ppv, npv = report_thresholds.predictive(0.9, 0.8, 0.1)
    assert ppv == pytest.approx(90 / 270) and npv == pytest.approx(720 / 730)
    assert np.isnan(report_thresholds.predictive(0, 1, 0.5)[0])
    assert np.isnan(report_thresholds.predictive(1, 0, 0.5)[1])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(study, content) of model 20, of 21 whose first seed is dead, and of 24, all dead."""
    place = tmp_path_factory.mktemp("results")
    for seed in range(5):
        records.save(place, records.run("20", seed))
        records.save(place, records.run("21", seed, dead=seed == 0))
    records.save(place, records.run("24", 0, dead=True))
    found = study.read(place, study.choose(place)[0])
    return found, report.context(found)


def test_the_table_holds_what_metrics_says_of_each_threshold(made):
    found, content = made
    names = [column["name"] for column in content["shown"]["thresholds"]["table"]["columns"]]
    rows = content["shown"]["thresholds"]["table"]["rows"]
    rows = [dict(zip(names, [cell["text"] for cell in row])) for row in rows]
    assert [(row["Model"], row["Seed"]) for row in rows] == [("20", "0")] * 5 + [("21", "1")] * 5
    for row in rows:
        run = next(r for r in found.chosen[row["Model"]] if r.seed == int(row["Seed"]))
        logits = run.logits["test"].astype(float) - float(row["Logit"].replace("−", "-"))
        scores = metrics.scores(logits, run.labels["test"])
        shown = {"Found": "tp", "Missed": "fn", "False alarms": "fp", "Cleared": "tn"}
        assert {name: int(row[name]) for name in shown} == {n: scores[k] for n, k in shown.items()}
        shown = {"Sensitivity, %": "recall", "Specificity, %": "specificity", "PPV, %": "precision"}
        for name, key in (shown | {"NPV, %": "npv"}).items():
            assert row[name] == (
                "–" if not scores[key] and key != "specificity" else f"{100 * scores[key]:.1f}"
            )
        rare = 0.1 * scores["recall"] / (0.1 * scores["recall"] + 0.9 * (1 - scores["specificity"]))
        assert row["PPV at prevalence 10 %"] == f"{100 * rare:.1f}"
    run = found.chosen["20"][0]
    found = metrics.threshold_at_sensitivity(run.logits["validation"], run.labels["validation"])
    assert 0 <= found - float(rows[1]["Logit"].replace("−", "-")) <= 0.011


def test_the_page_holds_the_logits_of_runs_that_learned(made, tmp_path):
    found, content = made
    page = report.html(content, tmp_path)
    text = re.search(r'<script type="application/json" id="threshold-data">(.*?)</script>', page)[1]
    embedded = json.loads(text)
    runs = found.chosen["20"][:3], found.chosen["21"][1:4]
    assert [[one["seed"] for one in group] for group in embedded["models"]] == [
        [0, 1, 2],
        [1, 2, 3],
    ]
    for group, theirs in zip(embedded["models"], runs):
        for one, run in zip(group, theirs):
            numbers = np.frombuffer(base64.b64decode(one["logits"]), "<i2")
            assert (numbers == report_thresholds.hundredths(run.logits["test"])).all()
    assert [int(label) for label in embedded["labels"]] == runs[0][0].labels["test"].tolist()
    assert "Five thresholds" in report.markdown(content, tmp_path)


def test_where_nothing_learned_there_is_no_tool(tmp_path):
    records.save(tmp_path, records.run("24", 0, dead=True))
    content = report.context(study.read(tmp_path, study.choose(tmp_path)[0]))
    page = report.html(content, tmp_path)
    assert 'id="threshold-data"' not in page and 'class="tool"' not in page
    assert "No run of the evaluated models learned" in page

"""What the report says in words: the findings at the top, titles that state what is seen, notes."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import records

from xray import comparisons, paper, report, report_headlines, report_titles, study
from xray.specs import MODELS


def right(run, share: float):
    """The run with `share` of its test images right, of both classes alike."""
    truth = run.labels["test"]
    logits = np.where(truth == 1, 2.0, -2.0)
    for label in (0, 1):
        among = np.flatnonzero(truth == label)
        logits[among[: round(len(among) * (1 - share))]] *= -1
    return replace(run, logits=run.logits | {"test": logits.astype(np.float32)})


def read(folder) -> study.Study:
    return study.read(folder, study.choose(folder)[0])


def compared(found: study.Study) -> list:
    return comparisons.compare(found.chosen, found.resplits, study.test_share(found))


def with_resplits(folder, linear, cnn):
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
    found = with_resplits(tmp_path, LINEAR, [share + 0.04 for share in LINEAR])
    said = report_headlines.numbers(found, compared(found))
    one = said["simplest"]
    assert one["mean"] == pytest.approx(np.mean(LINEAR)) and one["splits"] == 6
    assert (one["low"], one["high"]) == (0.90, 0.94) and one["given"] == pytest.approx(0.9)
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
        ([0.04, -0.04] * 3, "That the best CNN does better than the best linear net is not shown"),
    ],
)
def test_the_second_finding_follows_the_interval(tmp_path, gain, words):
    found = with_resplits(tmp_path, LINEAR, np.add(LINEAR, gain))
    text = report.markdown(report.context(found), tmp_path)
    assert f"**{words}.**" in text


def test_a_model_that_learned_on_other_splits_alone(tmp_path):
    for seed in range(2):
        records.save(tmp_path, right(records.run("20", seed, test=1000), 0.3))
    for number, share in enumerate(LINEAR):
        made = records.run("20", 0, test=1000, split=f"image-{number}")
        records.save(tmp_path, right(made, share))
    found = read(tmp_path)
    assert report_headlines.numbers(found, compared(found))["simplest"]["given"] is None
    text = report.markdown(report.context(found), tmp_path)
    assert "model 20 scores 90.0 to 94.0 %; the paper's" in " ".join(text.split())


def test_without_resplits_the_findings_say_less(tmp_path):
    records.save(tmp_path, right(records.run("20", test=1000), 0.9))
    found = read(tmp_path)
    said = report_headlines.numbers(found, [])
    assert said["simplest"]["splits"] == 0 and said["complex"] == [] and said["luck"] is None
    assert math.isnan(said["moved"]["split"]) and math.isnan(said["moved"]["seed"])
    text = report.markdown(report.context(found), tmp_path)
    assert "right on 90.0 % of the test films" in text and "is not shown" not in text


def test_a_title_states_where_the_curves_of_runs_that_learned_end(tmp_path):
    ends = {"8": 0.801, "5": 0.902, "9": 0.853}
    for model, end in ends.items():
        for seed in range(2):
            made = records.run(model, seed, dead=model == "5" and seed == 1)
            if not (model == "5" and seed == 1):
                made.history["validation_accuracy"][-1] = end
            records.save(tmp_path, made)
    found = read(tmp_path)
    assert report_titles.numbers(found, [])["ends"][11] == {"values": [*ends.values()], "lost": 1}
    text = report.markdown(report.context(found), tmp_path)
    stated = "end at 80.1, 90.2 and 85.3 % validation accuracy where they learn"
    assert f"Figure 11. MLPs with 5, 10 and 20 units {stated}\n" in text
    assert "Figure 12. CNNs with 5, 10 and 20 filters\n" in text  # not trained: the plain title


def test_titles_name_the_leader_and_the_papers(tmp_path):
    for model, share in (("20", 0.95), ("21", 0.9), ("22", 0.93)):
        records.save(tmp_path, right(records.run(model, test=1000), share))
    seen = report_titles.numbers(read(tmp_path), [])
    assert seen["leaders"][20]["model"] == "20" and seen["leaders"][20]["paper"] == "21"
    assert seen["leaders"][23] is None and seen["changes"][21] == []
    assert seen["lost"] == {"mlps": [0, 1], "others": [0, 2]}
    assert seen["exact"][1] == "26b" and seen["exact"][0] == paper.implied("26b")[0].accuracy


def test_every_title_of_a_macro_is_one_line(tmp_path):
    for model in MODELS:
        for seed in range(2):
            records.save(tmp_path, records.run(model, seed))
    text = report.markdown(report.context(read(tmp_path)), tmp_path)
    titles = [line for line in text.splitlines() if re.match(r"#+ \D.*\. ", line)]
    assert len(titles) > 40
    assert all(20 < len(line) < 140 and "  " not in line for line in titles), titles


def test_what_is_known_of_the_data_stands_in_the_banner(tmp_path):
    path = records.save(tmp_path, records.run("20"))
    before = report.banner(read(tmp_path))
    (path.parents[1] / "about.txt").write_text("Two copies were left out.\nOf <one> ward.\n")
    assert [note for note in report.banner(read(tmp_path)) if note not in before] == [
        "Two copies were left out.",
        "Of <one> ward.",
    ]

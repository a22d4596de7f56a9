"""What the report says of the experiments beside the study, with their records and without."""

import re

import pytest
import records

from xray import report, study

ITEMS = ("dead-starts", "starts-checked", "last-relu", "size-steps")


def written(folder, made: bool, leave_out=()) -> tuple[dict, str]:
    """The context and the Markdown of a small study."""
    for seed in range(3):
        records.save(folder / "results", records.run("20", seed))
        records.save(folder / "results", records.run("21", seed, dead=seed == 0))
    found = study.read(folder / "results", "made-up-01234567/given")
    if made:
        records.experiments(found.folder, leave_out)
    content = report.context(found)
    assert report.html(content, folder)
    return content, report.markdown(content, folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return written(tmp_path_factory.mktemp("made"), made=True)


@pytest.fixture(scope="module")
def unmade(tmp_path_factory):
    return written(tmp_path_factory.mktemp("unmade"), made=False)


def cells(content: dict, name: str) -> list[list[str]]:
    return [[one["text"] for one in row] for row in content["shown"][name]["table"]["rows"]]


def test_without_records_the_command_that_makes_them_is_named(unmade):
    content, text = unmade
    for name in ITEMS:
        assert content["shown"][name]["command"].startswith("python scripts/experiments.py --data")
    assert text.count("python scripts/experiments.py") == len(ITEMS)
    assert "What a last epoch is worth" in text and content["shown"]["swings"]["table"]


def test_the_census_is_told_with_its_interval_and_held_against_the_runs(made):
    content, text = made
    assert "40.0 % (95 % interval 16.8 to 68.7) give no training image" in " ".join(text.split())
    rows = cells(content, "dead-starts")
    assert len(rows) == 2 * 9
    assert rows[0][2:] == ["10", "40.0 (16.8–68.7)", "30.0 (10.8–60.3)", "35.0", "33.0", "46.8"]
    assert cells(content, "starts-checked") == [["21", "given split", "3", "2", "–", "–"]]
    assert not re.search(r"\bnan\b", text)


def test_the_control_and_the_sizes_are_told(made):
    content, text = made
    assert cells(content, "last-relu") == [
        ["as in the paper", "4", "1", "3", "80.0 ± 0.0"],
        ["without the last ReLU", "4", "0", "4", "90.0 ± 0.0"],
    ]
    said = " ".join(text.split())
    assert "by +10.0 points (95 % interval +10.0 to +10.0)" in said
    assert "model 20 learns nothing with" in said and "and scores 90.0 % where" in said
    assert cells(content, "size-steps")[:2] == [
        ["20", "matched", "90.0", "90.0"],
        ["20", "not matched", "– (0 of 1)", "– (0 of 1)"],
    ]


@pytest.mark.parametrize(
    "left_out, told",
    [(["kernel", "starts-640px"], []), (["last-relu", "sizes"], ["last-relu", "size-steps"])],
)
def test_each_record_may_be_missing(left_out, told, tmp_path):
    content, text = written(tmp_path, made=True, leave_out=left_out)
    assert [name for name in ITEMS if content["shown"][name]["missing"]] == told
    assert not re.search(r"\bnan\b", text)


def test_a_difference_of_the_paper_is_marked_where_it_is_larger(unmade):
    content, _ = unmade
    [row] = content["shown"]["paper-differences"]["table"]["rows"]
    printed, by_epochs, by_seeds = (one["text"] for one in row[2:])
    for noise, one in ((by_epochs, row[3]), (by_seeds, row[4])):
        if noise != printed:
            assert (one["badge"] == "good") == (float(printed) > float(noise))

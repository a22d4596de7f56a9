"""From what is asked for to jobs: specs, seeds, splits, engines, files, order."""

from collections import Counter

import pytest

from xray import jobs
from xray.specs import MODELS, matched_step


def planned(tmp_path, *models, device="cpu", **options):
    return jobs.plan(jobs.choose_specs(list(models) or None), tmp_path, 100, device, **options)


def test_engine_choice():
    assert jobs.choose_engine(MODELS["8"], 5824) == (
        "gram",
        "the Gram matrix of 5824 images takes 0.25 GiB of memory",
    )
    assert jobs.choose_engine(MODELS["8"], 10**6) == (
        "direct",
        "the Gram matrix of 1000000 images takes 7,450.58 GiB of memory, more than 8",
    )
    assert jobs.choose_engine(MODELS["17"], 100) == ("direct", "Adam Linear models always are")
    assert "CNN" in jobs.choose_engine(MODELS["10"], 100)[1]


def test_the_study(tmp_path):
    found = planned(tmp_path, study=True, resplits=2)
    assert len({(job.file, job.split, job.name) for job in found}) == len(found)
    given = [job for job in found if job.split == "given"]
    seeds = Counter(job.spec.id for job in given)
    assert (seeds["20"], seeds["21"], seeds["5"], seeds["6"], seeds["22"]) == (5, 20, 60, 30, 3)
    assert all(job.file == tmp_path / "given.jsonl" for job in given)
    kept = Counter(job.spec.id for job in given if job.keep_weights)
    assert set(kept.values()) == {1} and set(MODELS) <= set(kept)
    assert {job.seed for job in given if job.spec.id == "5" and job.short} == set(range(5, 60))
    others = [job for job in found if job.split != "given"]
    assert {job.split for job in others} == {"image-0", "image-1", "patient-0", "patient-1"}
    assert all(job.short and job.file == tmp_path / "resplits.jsonl" for job in others)
    assert {job.spec.family for job in others} == {"Linear", "Linear+ReLU"}
    timed = {job.name: job.image_size for job in found if job.engine_reason == "forced"}
    assert timed == {f"{name}-seed0-64px-matched-direct": 64 for name in ("27b", "28b")}


def test_sizes_steps_and_formats(tmp_path):
    found = planned(tmp_path, "20", "22", "36", seeds=[4], precision="bf16")
    assert [(job.image_size, job.precision) for job in found] == [
        (640, "fp32"),
        (64, "bf16"),
        (128, "bf16"),
    ]
    assert [job.pixel_step for job in found] == [1, matched_step(MODELS["22"], 64), 1]
    assert [job.image_size for job in planned(tmp_path, "22", device="cuda:0")] == [640] * 3
    [one] = planned(tmp_path, "20", seeds=[0], engine="direct", image_size=8)
    assert one.name == "20-seed0-8px-matched-direct" and one.engine == "direct"


def test_runs_in_sample_space_are_no_bf16_runs(tmp_path):
    formats = {"precision": "bf16", "flat_precision": "bf16"}
    found = planned(tmp_path, "20", "17", "22", seeds=[0], **formats)
    assert [job.precision for job in found] == ["fp32", "bf16", "bf16"]
    [alone] = planned(tmp_path, "20", seeds=[0], engine="direct", **formats)
    assert alone.precision == "bf16"


def test_a_study_on_a_split_of_its_own_has_a_file_of_its_own(tmp_path):
    [one] = planned(tmp_path, "20", seeds=[0], split="patient-3")
    assert (one.file, one.short, one.keep_weights) == (tmp_path / "patient-3.jsonl", False, True)


def test_each_resplit_has_starts_of_its_own(tmp_path):
    def seeds(model, asked):
        found = planned(tmp_path, model, resplits=3, seeds=asked)
        return [(job.split, job.seed) for job in found if job.split.startswith("patient")]

    assert seeds("20", [0, 1, 2]) == [
        (f"patient-{k}", 3 * k + i) for k in range(3) for i in range(3)
    ]
    assert seeds("20", None) == [("patient-0", 0), ("patient-1", 3), ("patient-2", 6)]
    assert seeds("36", [1]) == [("patient-0", 1), ("patient-1", 4), ("patient-2", 7)]
    assert seeds("22", [0, 1]) == [("patient-0", 0), ("patient-1", 1), ("patient-2", 2)]


def test_resplits_of_table_3_are_by_patient(tmp_path):
    found = planned(tmp_path, "36", resplits=2, seeds=[0])
    assert [job.split for job in found] == ["given", "patient-0", "patient-1"]


def test_the_order_fills_the_report_soonest(tmp_path):
    found = planned(tmp_path, study=True, resplits=1)
    first, second, rest = jobs.stages(found)
    assert sorted(first + second + rest, key=found.index) == found
    assert Counter(job.spec.id for job in first).keys() | {job.spec.id for job in second} == set(
        MODELS
    )
    assert set(Counter(job.spec.id for job in first).values()) == {5}
    assert all(job.engine == "gram" for job in first)
    assert [job.seed for job in second] == [0] * len(second)
    assert {job.spec.id for job in second} == {
        name for name, spec in MODELS.items() if spec.family == "CNN" or spec.optimizer == "Adam"
    }
    assert jobs.stages(first) == [first] and jobs.stages([]) == []


def test_larger_runs_cost_more_and_their_time_is_told_once_it_is_measured(tmp_path):
    found = planned(tmp_path, "10", "11", "12", "22", seeds=[0])
    costs = [job.cost for job in found]
    assert costs == sorted(costs) and costs[0] > 0
    assert jobs.duration(found, {"direct": 2.0}) == pytest.approx(2 * sum(costs))
    assert jobs.duration(found, {"gram": 2.0}) is None and jobs.duration([], {}) == 0

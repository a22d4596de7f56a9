"""From what is asked for to jobs: engines, shares of ranks."""

from pathlib import Path

from xray import training_jobs
from xray.specs import MODELS
from xray.training_jobs import Job


def test_engine_choice():
    assert training_jobs.choose_engine(MODELS["8"], 5824) == (
        "gram",
        "the Gram matrix of 5824 images takes 0.25 GiB of memory",
    )
    assert training_jobs.choose_engine(MODELS["8"], 10**6) == (
        "direct",
        "the Gram matrix of 1000000 images takes 7,450.58 GiB of memory, more than 8",
    )
    assert training_jobs.choose_engine(MODELS["17"], 100) == (
        "direct",
        "Adam Linear models always are",
    )
    assert "CNN" in training_jobs.choose_engine(MODELS["10"], 100)[1]


def test_ranks_take_all_jobs_or_with_force_each_its_own():
    jobs = [
        Job(spec, 0, 8, "given", "direct", "because", "fp32", Path("x")) for spec in MODELS.values()
    ]
    for ranks in (1, 2, 3):
        shares = [training_jobs.share(jobs, rank, ranks, force=False) for rank in range(ranks)]
        assert all(sorted(share, key=jobs.index) == jobs for share in shares)
        assert len({share[0] for share in shares}) == ranks
        forced = [training_jobs.share(jobs, rank, ranks, force=True) for rank in range(ranks)]
        assert sorted(sum(forced, []), key=jobs.index) == jobs

"""By the commands of the README: the four layouts that people have most, from the films to a report
and an answer; and all that `make all` does."""

import pytest
from commands import ROOT, TINY, command
from samples import class_folders, encode, lay, parquet, pixels, put, rows

FILMS = {"train": (16, 24), "validation": (6, 8), "test": (6, 8)}


def class_folders_with_splits(folder):
    return class_folders(folder, FILMS), (), "labels: the names of class folders"


def metadata_in_each_split(folder):
    """As imagefolder of `datasets` has it; each split numbers its films anew."""
    table = ["file_name,label", "{k:04d}.png,{title}"]
    lay(folder, "{split}/{k:04d}.png", {"{split}/metadata.csv": table})
    return folder, (), "labels: column label"


def one_csv(folder):
    table = ["image,who,diagnosis", "x{n}.png,p{who},{title}"]
    lay(folder, "images/x{n}.png", {"labels.csv": table})
    words = ("--label", "diagnosis", "--patient", "who", "--split", "patient")
    return folder / "labels.csv", words, "labels: column diagnosis"


def parquet_files(folder):
    return parquet(folder, FILMS), (), "labels: column labels"


@pytest.fixture
def run(tmp_path):
    """A command, run to its end: run(script, *words) gives what it said."""

    def run_it(script, *words):
        process = command(ROOT / "scripts" / script, *words, cache=tmp_path / "cache", cwd=tmp_path)
        said, errors = process.communicate(timeout=600)
        assert process.returncode == 0 and "Traceback" not in errors, (said, errors)
        return said

    return run_it


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout", [class_folders_with_splits, metadata_in_each_split, one_csv, parquet_files]
)
def test_from_films_to_report_and_answer(tmp_path, run, layout):
    source, words, labels = layout(tmp_path / "films")
    some = (*TINY, "--model", "20", "--seeds", "0", "--epochs", "2", "--out", "out", "--report")
    said = run("train.py", "--data", source, *words, *some)
    classes = "classes: PNEUMONIA: pneumonia (1); NORMAL: normal (0)"
    assert labels in said and classes in said
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert labels in page and classes in page and (tmp_path / "out" / "index.html").exists()
    film = put(tmp_path / "film.png", encode(pixels(1)))
    answer = run("predict.py", film, "--results", "out/results")
    assert "film.png: probability 0." in answer and "says model 20 of " in answer
    assert "; map maps/film-20.png" in answer or "; no map: " in answer


@pytest.mark.slow
def test_all_that_make_all_does_ends_in_a_report(tmp_path, run):
    """All models, what stands beside the study, and films elsewhere, each as short as it can be."""
    films = "--data", class_folders(tmp_path / "films", FILMS)
    small = *TINY, "--out", "out"
    short = "--seeds", "0", "--epochs", "1", "--resplits", "2"
    run("train.py", "--all", *films, *small, *short)
    run("train.py", "--experiments", *films, *small)
    results = "--results", "out/results"
    run("evaluate.py", *results)
    for number, (_, title, *_) in enumerate(rows(FILMS)):
        place = tmp_path / "elsewhere" / title / f"{number}.png"
        put(place, encode(pixels(number, height=31)))
    run("evaluate.py", "--data", "elsewhere", "--record", "there", *results)
    said = run("train.py", "--all", *films, *small, *short, "--report")
    assert " 0 to train on cpu" in said and "verdicts: " in said
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    for name in ("baselines", "changes", "elsewhere", "carry-over"):
        assert f"figures/{name}." in text, name

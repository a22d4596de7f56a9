"""The four layouts that people have most, from the films to a report and an answer, by the commands
of the README."""

import csv

import pytest
from commands import ROOT, TINY, command
from samples import SPLITS, class_folders, parquet, rows

FILMS = {"train": (16, 24), "validation": (6, 8), "test": (6, 8)}


def class_folders_with_splits(folder):
    return class_folders(folder, FILMS), (), "labels: the names of class folders"


def metadata_in_each_split(folder):
    """As imagefolder of `datasets` has it; each split numbers its films anew."""
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        with open(folder / split / "metadata.csv", "w", newline="") as stream:
            lines = csv.writer(stream)
            lines.writerow(["file_name", "label"])
            mine = [row for row in rows(FILMS) if row[0] == split]
            for number, (_, title, _, _, encoded) in enumerate(mine):
                (folder / split / f"{number:04d}.png").write_bytes(encoded)
                lines.writerow([f"{number:04d}.png", title])
    return folder, (), "labels: column label"


def one_csv(folder):
    (folder / "images").mkdir(parents=True)
    lines = ["image,who,diagnosis"]
    for number, (_, title, _, name, encoded) in enumerate(rows(FILMS)):
        (folder / "images" / name).write_bytes(encoded)
        lines.append(f"{name},p{number // 2},{title}")
    (folder / "labels.csv").write_text("\n".join(lines))
    words = ("--label", "diagnosis", "--patient", "who", "--split", "patient")
    return folder / "labels.csv", words, "labels: column diagnosis"


def parquet_files(folder):
    return parquet(folder, FILMS), (), "labels: column labels"


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout", [class_folders_with_splits, metadata_in_each_split, one_csv, parquet_files]
)
def test_from_films_to_report_and_answer(tmp_path, layout):
    def run(script, *words):
        process = command(ROOT / "scripts" / script, *words, cache=tmp_path / "cache", cwd=tmp_path)
        said, errors = process.communicate(timeout=600)
        assert process.returncode == 0 and "Traceback" not in errors, (said, errors)
        return said

    source, words, labels = layout(tmp_path / "films")
    some = (*TINY, "--model", "20", "--seeds", "0", "--epochs", "2", "--out", "out", "--report")
    said = run("train.py", "--data", source, *words, *some)
    classes = "classes: PNEUMONIA: pneumonia (1); NORMAL: normal (0)"
    assert labels in said and classes in said
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert labels in page and classes in page and (tmp_path / "out" / "index.html").exists()
    film = tmp_path / "film.png"
    film.write_bytes(next(rows(FILMS))[4])
    answer = run("predict.py", film, "--results", "out/results")
    assert "film.png: probability 0." in answer and "says model 20 of " in answer
    assert "; map maps/film-20.png" in answer or "; no map: " in answer

"""Columns of a table that tell patients, or name files by numbers."""

import json
import re

import pytest
from samples import SPLITS, encode, gray, load, pixels
from test_data_tables import ANY, check, films, table

from xray.data import resplit
from xray.data_sources import Choices


@pytest.mark.parametrize(
    "column", ["patient", "patient_id", "Patient ID", "subject_id", "PatientID", "SUBJECT-ID"]
)
def test_a_column_of_patients_holds_for_splits_and_audit(tmp_path, column):
    """Names of files say nothing; each patient has two films, the last two rows none named."""
    folder, names = tmp_path / "set", ("NORMAL", "PNEUMONIA")
    folder.mkdir()
    lines = []
    for number in range(62):
        (folder / f"{number}.png").write_bytes(encode(pixels(number)))
        who = 7000 + number % 30 if number < 60 else ""
        lines.append((f"{number}.png", names[number % 2], who))
    table(folder / "films.csv", lines, ("path", "label", column))
    found = load(folder, tmp_path, choices=Choices(split="patient-0"))
    who = {f"{number}.png": number % 30 for number in range(60)}
    seen = [{who.get(path, path) for path in found.part(split).paths} for split in SPLITS]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    patients = found.facts["patients"]
    assert [patients[key] for key in ("told", "named", "unnamed")] == [60, 60, 2]
    assert sum(patients["by_split"].values()) == 32
    assert all(one["all"]["shared"] == 0 for one in patients["overlap"].values())
    assert found.facts["taken"][-1] == f"patients: known of 60 of 62 images, by column {column}"
    assert found.notes[1].startswith("Of 2 of 62 images no patient is known")
    assert not re.search(r"\b70[0-2]\d\b", json.dumps(found.facts)), "who they are is kept out"
    again = resplit(found, "patient", 5)
    seen = [{who.get(path, path) for path in again.part(split).paths} for split in SPLITS]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]

    by_image = load(folder, tmp_path, choices=Choices(split="image-0"))
    overlap = by_image.facts["patients"]["overlap"]["test in train or validation"]["all"]
    rest = {who.get(path) for path in by_image.train.paths + by_image.validation.paths}
    shared = sum(who.get(path, path) in rest for path in by_image.test.paths)
    assert overlap["shared"] == shared > 0


def test_a_column_of_another_name_tells_no_patients(tmp_path):
    made = films(tmp_path / "set", "{split}/{title}")
    lines = [(path, name, "one") for path, _, name in made]
    table(tmp_path / "set" / "metadata.csv", lines, ("file_name", "label", "patient_age"))
    found = load(tmp_path / "set", tmp_path, 24)
    check(found)
    assert found.facts["patient_numbers"] == [] and "told" not in found.facts["patients"]
    other = [(path, name, n // 2) for n, (path, _, name) in enumerate(made)]
    table(tmp_path / "set" / "metadata.csv", other, ("file_name", "label", "patient_id"))
    told = load(tmp_path / "set", tmp_path, 24)
    assert told.facts["patient_numbers"] == [n // 2 for n in range(len(made))]
    assert told.fingerprint != found.fingerprint, "splits by patient are others"


def test_the_report_says_whence_patients_are_known(tmp_path):
    from commands import TINY, train

    from xray import report, study

    made = films(tmp_path / "set", "{split}/{title}")
    lines = [(path, name, n % 5) for n, (path, _, name) in enumerate(made)]
    table(tmp_path / "set" / "metadata.csv", lines, ("file_name", "label", "patient_id"))
    some = ("--data", tmp_path / "set", *TINY, "--model", "20", "--seeds", "0", "--epochs", "1")
    assert train(*some, "--out", tmp_path / "out") == 0
    place = tmp_path / "out" / "results"
    page = report.markdown(report.Report(study.read(place, study.choose(place)[0])))
    page = " ".join(page.split())
    assert "data's own column says who is shown in 14 images, file names in 0 more" in page
    assert "3 of 3 test images show a patient who is in training too" in page
    assert "File names say who is shown" not in page


@pytest.mark.parametrize(
    "header, line, told",
    [
        ("id,Target", "{n},{label}", False),
        ("Target,patient_id,id", "{label},{who},{n}", True),
        ("patientId,Target", "{n},{label}", True),
        ("patient,Target,path", "{n},{label},{n}.png", True),
    ],
)
def test_files_whose_names_are_numbers(tmp_path, header, line, told):
    """The column that names them is found beside one of patients and one of labels, 0 and 1."""
    folder = tmp_path / "set"
    folder.mkdir()
    lines = []
    for n in range(20):
        (folder / f"{n}.png").write_bytes(encode(pixels(n)))
        lines.append(line.format(n=n, label=n % 2, who=n // 2).split(","))
    table(folder / "films.csv", lines, header.split(","))
    found = load(folder, tmp_path, 24, choices=ANY)
    for i, path in enumerate(found.paths):
        number = int(path.removesuffix(".png"))
        assert found.labels[i] == number % 2
        assert (found.images[i, 0] == gray(encode(pixels(number)))).all()
    assert len(set(found.paths)) == 20 and bool(found.facts["patient_numbers"]) == told


def test_rows_of_one_image_are_one(tmp_path):
    """As where each opacity has a row with its box; readers who contradict each other are said."""
    folder = tmp_path / "set"
    folder.mkdir()
    lines = []
    for n in range(20):
        (folder / f"{n}.png").write_bytes(encode(pixels(n)))
        lines += [(f"{n}.png", 10 * box, n % 2) for box in range(1 + n % 2 * 2)]
    table(folder / "boxes.csv", lines, ("file", "x", "Target"))
    found = load(folder, tmp_path, choices=ANY)
    assert len(found.labels) == len(set(found.paths)) == 20
    table(folder / "boxes.csv", [*lines, ("0.png", 0, 1)], ("file", "x", "Target"))
    found = load(folder, tmp_path, choices=ANY)
    assert len(found.labels) == 19 and "0.png" not in found.paths
    assert found.notes[0] == "1 images whose rows contradict each other are left out: 0.png"

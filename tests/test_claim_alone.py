"""One claim from the command line, and all of them as claims.json."""

import io
import json
import os
import sys

import pytest
import records
from commands import script

from xray import report, study
from xray.claims import PRIMARY


def study_of_twenty(folder):
    """Model 20 with three seeds, and one run of it on each of six re-splits."""
    for seed in range(3):
        records.save(folder, records.run("20", seed, skill=1.5))
    for split in range(6):
        records.save(folder, records.run("20", split, skill=1.5, split=f"image-{split}"))


def ask(claim, folder, capsys):
    with pytest.raises(SystemExit) as stop:
        script("report").main(["--claim", claim, "--results", str(folder)])
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err


def test_a_claim_alone(tmp_path, capsys):
    study_of_twenty(tmp_path)
    code, out, progress = ask("c31", tmp_path, capsys)
    lines = out.splitlines()
    assert lines[0].startswith("claim:     C31 (section 4): One hidden layer")
    # by itself it does not hold, which the other six primary claims' adjustment takes back
    assert lines[1] == "verdict:   within noise" and code == 3
    assert (
        "primary; p = " in out
        and "by itself: does not hold" in out
        and "6 re-splits; given split" in out
        and "loading" in progress
    )
    assert lines[lines.index("records:") + 1 :] == [
        "  20 on given: seeds 0–2",
        "  20 on image: 6 runs, 6 splits",
    ]
    code, out, _ = ask("C01", tmp_path, capsys)
    assert code == 5 and "reason:    there is no data.json" in out  # not run
    assert ask("C35", tmp_path, capsys)[0] == 0
    code, out, _ = ask("C30", tmp_path, capsys)
    assert code == 5 and "--model 26b" in out
    assert not (tmp_path.parent / "report").exists()


def test_where_a_terminal_lacks_its_signs_the_exit_code_stays(tmp_path, monkeypatch):
    study_of_twenty(tmp_path)
    told = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(told, encoding="cp1252"))
    with pytest.raises(SystemExit) as stop:
        script("report").main(["--claim", "C31", "--results", str(tmp_path)])
    assert stop.value.code == 3 and b"verdict:   within noise" in told.getvalue()


def test_a_reader_who_is_gone_is_no_error(tmp_path, monkeypatch, capsys):
    study_of_twenty(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(sys, "stdout", open(writing, "w", encoding="utf-8"))
    with pytest.raises(SystemExit) as stop:
        script("report").main(["--claim", "C31", "--results", str(tmp_path)])
    sys.stdout.close()
    assert stop.value.code == 141 and "roken" not in capsys.readouterr().err


def test_an_unknown_claim_is_told(tmp_path, capsys):
    study_of_twenty(tmp_path)
    code, out, told = ask("C99", tmp_path, capsys)
    assert code == 2 and not out
    assert (
        told.splitlines()[-1] == "error: --claim C99: there is no such claim; they are C01 to C37"
    )


def test_all_claims_lie_beside_the_report(tmp_path):
    study_of_twenty(tmp_path / "results")
    name, _ = study.choose(tmp_path / "results")
    found = study.read(tmp_path / "results", name)
    report.write(found, tmp_path, ("4-conclusions.md",))
    content = json.loads((tmp_path / "claims.json").read_text())
    assert content["study"] == name and len(content["claims"]) == 37
    by_id = {row["id"]: row for row in content["claims"]}
    assert by_id["C31"]["alone"] == "does not hold" and by_id["C31"]["findings"][0]["number"] == 6
    assert {claim for claim, row in by_id.items() if row["primary"]} == set(PRIMARY)

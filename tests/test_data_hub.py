"""Data sets of the Hub, on a stand-in of it on loopback."""

import shutil
import socket
import time

import hub
import pytest
from reading import load
from samples import SPLITS, class_folders, parquet

from xray import data, data_sources
from xray.data_choices import NO_CHOICES, DataError, HubUnreachable


@pytest.fixture
def read_from_hub(tmp_path, monkeypatch, capfd):
    """read(name) -> what comes of reading it from a stand-in of the Hub that holds tmp_path/files,
    in all its moods, and after it is gone."""
    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", False)

    def one(name, size=16):
        try:
            found = data.load(name, size)
        except DataError as error:
            return [type(error).__name__, str(error)]
        counts = {split: len(rows) for split, rows in found.index.items()}
        return [found.name, counts, found.facts["classes"], found.fingerprint, found.notes]

    def read(name):
        capfd.readouterr()
        with hub.serve(name, tmp_path / "files") as served:
            found = {"first": one(name)}
            found["fetched"] = sum("/resolve/" in path for path in served.asked)
            before = len(served.asked)
            found["again"] = one(name)
            found["fetched again"] = sum("/resolve/" in path for path in served.asked[before:])
            found["other"] = one("some-one/else")
            for served.status in (429, 503, 403):
                found[str(served.status)] = one(name)
        found["gone"], found["gone, another size"] = one(name), one(name, 12)
        if (tmp_path / "files" / "full").exists():
            [file] = (tmp_path / "hf").rglob("snapshots/*/**/*train*/*.parquet")
            file.unlink()
            found["gone, a part is lost"] = one(name, 8)
        shutil.rmtree(tmp_path / "hf" / "hub")
        found["gone, nothing fetched"] = one(name, 8)
        assert capfd.readouterr().err == "", "neither progress bars nor warnings"
        return found

    return read


COUNTS = {split: sum(n) for split, n in SPLITS.items()}


def test_the_papers_data_set_from_the_hub(tmp_path, read_from_hub):
    parquet(tmp_path / "files", layout="full/{split}/0000.parquet")
    parquet(tmp_path / "files", dict.fromkeys(SPLITS, (2, 2)), layout="mini/{split}/0000.parquet")
    found = read_from_hub(data_sources.PAPER)
    name, counts, classes, fingerprint, notes = found["first"]
    assert name == "chest-xray-classification" and notes == [] and found["fetched"] > 0
    assert counts == COUNTS, "full alone, not merged with mini"
    assert fingerprint == load(tmp_path / "files").fingerprint, "as read from a folder"
    assert found["again"] == found["first"] and found["fetched again"] == 0, "from the cache"
    for case, reason in {
        "429": "it answers 429",
        "503": "it answers 503",
        "gone": "refused",
        "gone, another size": "refused",
    }.items():
        assert found[case][:4] == found["first"][:4], case
        [note] = found[case][4]
        assert note.startswith(f"{data_sources.PAPER}: the Hub (http://127") and reason in note
        assert note.endswith(" before is used")
    for case in ("gone, nothing fetched", "gone, a part is lost"):
        kind, message = found[case]
        assert kind == "HubUnreachable"
        assert message.endswith("or films (those that come with the project)")
    kind, message = found["403"]
    assert kind == "DataError" and "the Hub refuses it" in message and "403" in message
    assert not list((tmp_path / "cache").rglob("*.arrow"))


def test_another_data_set_of_the_hub(tmp_path, read_from_hub):
    layout = "data/{split}-00000-of-00001.parquet"
    parquet(tmp_path / "files", names=("sick", "healthy"), layout=layout)
    found = read_from_hub("some-one/lungs")
    assert found["first"][:3] == ["lungs", COUNTS, {"sick": 1, "healthy": 0}]
    kind, message = found["other"]
    assert kind == "DataError" and "no such data set on the Hub" in message
    assert "HF_TOKEN" in message


def test_a_data_set_of_image_files_on_the_hub(tmp_path, read_from_hub):
    class_folders(tmp_path / "files")
    found = read_from_hub("some-one/films")
    assert found["first"][1:3] == [COUNTS, {"NORMAL": 0, "PNEUMONIA": 1}]


def test_a_hub_that_does_not_answer_is_waited_for_for_a_while(monkeypatch):
    assert data_sources.HUB_SECONDS == 10
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, never answers
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        start = time.perf_counter()
        with pytest.raises(HubUnreachable, match="time|no answer in 0.3 s"):
            data_sources.hub_source("some-one/else", NO_CHOICES, 0.3)
        assert time.perf_counter() - start < 5

"""Files of several processes: whole or not there, added to by one at a time, cleared of what killed
processes left."""

import multiprocessing
import os

import numpy as np
import pytest

from xray import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x"
    files.write_atomically(path, b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        files.write_atomically(path, b"new")
    assert error.value.filename == str(path) and error.value.errno == 28
    assert path.read_bytes() == b"old" and names(tmp_path) == ["x"]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with files.writing(tmp_path / "x") as temporary:
            temporary.mkdir()
            (temporary / "part").write_text("1")
            raise KeyboardInterrupt
    assert names(tmp_path) == []
    with files.writing(tmp_path / "x") as temporary:
        temporary.mkdir()
        (temporary / "part").write_text("1")
        assert not (tmp_path / "x").exists()
    assert names(tmp_path / "x") == ["part"]


def test_what_was_left_half_written_a_day_ago_is_cleared(tmp_path):
    for name in (".writing-old", ".writing-new", "x.json"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".writing-folder").mkdir()
    for name in (".writing-old", ".writing-folder", "x.json"):
        os.utime(tmp_path / name, (1, 1))
    files.clear_leftovers(tmp_path)
    files.clear_leftovers(tmp_path / "missing")
    assert names(tmp_path) == [".writing-new", "x.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000, b'{"a":{"<f4":"x"}}', b'{"format":2}'],
)
def test_what_is_no_json_of_ours_is_told_in_one_line(tmp_path, content):
    path = tmp_path / "data.json"
    path.write_bytes(content)
    with pytest.raises(files.ResultsError) as error:
        files.read_json(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    with pytest.raises(files.ResultsError, match="cannot be read"):
        files.read_json(tmp_path / "missing")


def test_json_comes_back_and_holds_a_key_a_line(tmp_path):
    payload = {"a": [1, 2.5], "肺": {"x": 'a "quoted"\nline\u2028'}}
    files.write_json(tmp_path / "x", payload)
    assert files.read_json(tmp_path / "x") == payload
    assert len((tmp_path / "x").read_bytes().splitlines()) == 4


@pytest.mark.parametrize("kind", sorted(files.ARRAYS))
def test_arrays_come_back_to_the_bit(tmp_path, kind):
    every = np.random.default_rng(0).integers(0, 256, 800, np.uint8).view(kind)
    for array in (every, every[::-2], every[:0]):
        files.write_json(tmp_path / "x", {"format": files.FORMAT, "in": {"a": [array]}})
        files.append_line(tmp_path / "y", {"a": array})
        found = [*files.read_json(tmp_path / "x", files.FORMAT)["in"]["a"]]
        for one in (*found, files.read_lines(tmp_path / "y")[-1]["a"]):
            assert one.dtype == array.dtype and one.tobytes() == array.tobytes()
    with pytest.raises(files.ResultsError, match="no record of this version"):
        files.read_json(tmp_path / "x")
    with pytest.raises(TypeError, match="an array of"):
        files.write_json(tmp_path / "x", {"a": every > 0})


def add(path, who):
    for number in reversed(range(20)):
        files.append_line(path, {"who": who, "number": number, "more": "x" * 5000})
        files.append_line(path, {"shared": number, "who": who}, unless=1)


def test_processes_add_whole_lines_and_none_twice(tmp_path):
    path = tmp_path / "x.jsonl"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=add, args=(path, who)) for who in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    lines = files.read_lines(path)
    assert len([line for line in lines if "number" in line]) == 60
    assert sorted(line["shared"] for line in lines if "shared" in line) == list(range(20))


def test_a_last_line_that_was_cut_off_is_told_left_out_and_made_again(tmp_path):
    path, told = tmp_path / "x.jsonl", []
    for number in range(3):
        files.append_line(path, {"number": number, "more": "肺"})
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert [line["number"] for line in files.read_lines(path, told.append)] == [0, 1]
    assert len(told) == 1 and str(path) in told[0]
    assert files.append_line(path, {"number": 2, "more": "肺"}, unless=1)
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-1])  # the last line is whole but for its end
    assert not files.append_line(path, {"number": 2}, unless=1)
    files.append_line(path, {"number": 3})
    assert [line["number"] for line in files.read_lines(path, told.append)] == [0, 1, 2, 3]
    assert len(told) == 1


def test_a_line_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "x.jsonl"
    for content in (b'{"a": 1}\n{"a":\n{"a": 2}\n', b"{}\n[1]\n", b"{}\n\n"):
        path.write_bytes(content)
        with pytest.raises(files.ResultsError, match="line 2: damaged"):
            files.read_lines(path)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as error:
        files.append_line(tmp_path / "file" / "x.jsonl", {"a": 1})
    assert error.value.filename == str(tmp_path / "file" / "x.jsonl")

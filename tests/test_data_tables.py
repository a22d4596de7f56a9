"""Labels that stand in a table: how it is written, which files it names, rows of one image."""

import os

import pytest
from reading import ANY, SPLIT, TRUTH, error_of, labels, load, numbers, splits
from samples import SPLITS, TITLES, N, cell, dataset, dicom_file, encode, films, lay, pixels, put

from xray import data_sources
from xray.data_choices import Choices

LABELS = ["file,label", "x{n}.png,{title}"]


# ---- how tables are written


@pytest.mark.parametrize(
    "names, table, header, line",
    [
        ("{split}/{k}.png", "{split}/metadata.csv", "file_name,label", "{k}.png,{title}"),
        ("{split}/{k:04d}.png", "{split}/metadata.tsv", "file_name\tlabel", "{k:04d}\t{title}"),
        (
            "{split}/films/{k}.png",
            "{split}/metadata.jsonl",
            "\ufeff",  # a byte order mark
            '{{"file_name": "films/{k}.png", "label": "{title}"}}',
        ),
        ("{split}/x{n}.png", "metadata.csv", "file_name,label", "{split}/x{n}.png,{title}"),
        ("images/part_{k}/x{n}.png", "a.csv", "image,label,set", "x{n}.png,{title},{split}"),
        ("{split}/{k}.png", "{split}.csv", "file_name,label", "{k}.png,{title}"),
    ],
)
def test_films_come_to_their_splits_by_tables_paths_or_a_column(
    tmp_path, names, table, header, line
):
    found = load(lay(tmp_path / "set", names, {table: [header, line]}))
    assert labels(found) == TRUTH and splits(found) == SPLIT


def test_a_name_that_several_folders_have_names_none_of_their_files(tmp_path):
    """One table for films that are numbered anew in each folder."""
    folder = lay(tmp_path / "set", "{split}/{k}.png")
    lay(folder, "more/0.png", {"labels.csv": ["file,label", "{k}.png,{title}"]})
    said = error_of(folder, choices=ANY)
    assert "several are called so" in said and "test/" in said and "train/" in said


@pytest.mark.parametrize("parts", [2, 8])
def test_numbered_parts_beside_a_table_are_no_classes(tmp_path, parts):
    folder = lay(tmp_path / "set", tables={"labels.csv": ["image,label", "x{n}.png,{title}"]})
    for number, path in enumerate(sorted(folder.glob("*.png"))):
        (folder / str(number % parts)).mkdir(exist_ok=True)
        path.rename(folder / str(number % parts) / path.name)
    if parts == 2:
        said = error_of(folder, choices=ANY)
        assert "may be classes or parts" in said and said.endswith("--positive 1 --negative 0")
        assert len(load(folder, choices=Choices(("1",), ("0",), "image-0")).paths) == 24
        folder = folder / "labels.csv"
    assert labels(load(folder, choices=ANY)) == TRUTH


@pytest.mark.parametrize(
    "names, header, line",
    [
        ("{n:05d}.png", "id,label", "{n:05d},{title}"),  # leading zeros
        ("x{n}.png", "label, path", "{title}, x{n}.png"),  # blanks after commas
        ("x{n}.png", "sep=;\npath;label", "x{n}.png;{title}"),  # as Excel writes it
        ("rö_{n}.png", "path,label", "RÖ_{n}.PNG,{title}"),
        ("ro\u0308_{n}.png", "path,label", "r\u00f6_{n}.png,{title}"),  # as macOS has accents
        ("images/{title}/x{n}.png", "path,target", "images/{title}/x{n}.png,{ill}"),
        ("img/{n}.png", "file,label", "/home/me/lungs/img/{n}.png,{title}"),  # another machine's
        ("img/{n}.png", "file,label", "C:\\lungs\\img\\{n}.png,{title}"),
        ("img/{n}.png", "file,label", "lungs/img/{n}.png,{title}"),
        ("x{n}.png", "file,label", "C:\\data\\x{n}.png,{title}"),
    ],
)
def test_tables_as_people_have_them(tmp_path, names, header, line):
    folder = lay(tmp_path / "set", names, {"labels.csv": [header, line]})
    assert labels(load(folder, choices=ANY)) == TRUTH


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"])
def test_text_tables_with_byte_order_marks_and_quotes(tmp_path, sep, eol):
    rows = [sep.join(('"a, b; c"', f"x{n}.png", f'"{TITLES[n % 2]} "')) for n in N]
    text = eol.join([sep.join(('"remarks, all; of them"', "image", "label")), *rows])
    put(lay(tmp_path / "set") / "labels.csv", b"\xef\xbb\xbf" + text.encode())
    assert labels(load(tmp_path / "set", choices=ANY)) == TRUTH


@pytest.mark.parametrize(
    "text, message",
    [
        ("path,label\na.png,x\n", "no image column; it has path (a.png), label (x), none of which"),
        ("path,colour\nx0.png,red", "no label column (label, class, diagnosis, finding or the"),
        ("path,label\n", "is empty"),
        # ages name files 0.png, 1.png, …, and are no names
        ("case,age,label\na,1,NORMAL\nb,2,PNEUMONIA\n", "no image column"),
        (
            'file,label\nx0.png,"NORMAL\nx1.png,PNEUMONIA"\nx2.png,NORMAL\n',
            "a cell of its table holds whole rows (NORMAL\\nx1.png,PNEUMONIA), as where a quote is "
            "not closed; correct the table",
        ),
        ("path,label,é\nx0.png,NORMAL,é".encode("utf-16"), "not UTF-8; save it as UTF-8"),
        ("path,label,é\nx0.png,NORMAL,é".encode("latin-1"), "not UTF-8; save it as UTF-8"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, message):
    folder = lay(lay(tmp_path / "set"), "{n}.png")
    put(folder / "labels.csv", text if isinstance(text, bytes) else text.encode())
    assert message in error_of(folder)


def test_each_of_several_tables_may_be_given(tmp_path):
    other = ["file,label", "x{n}.png,healthy", "x{n}.png,sick"]
    folder = lay(tmp_path / "set", tables={"a.csv": LABELS, "b.csv": other})
    first, second = (load(folder / f"{name}.csv", choices=ANY) for name in "ab")
    assert (first.name, first.facts["classes"]) == ("a", {"NORMAL": 0, "PNEUMONIA": 1})
    assert (second.name, second.facts["classes"]) == ("b", {"healthy": 0, "sick": 1})


@pytest.mark.parametrize("option", ["label", "image", "patient"])
def test_an_option_that_names_a_column_needs_a_table(tmp_path, option):
    folder = lay(tmp_path / "set", "{title}/x{n}.png")
    assert "there is no table" in error_of(folder, choices=Choices(**{option: "a"}))


# ---- tables of the datasets library


def split_tables(image) -> dict:
    """A table for each split, whose images are image(n)."""
    rows = {split: [n for n in N if SPLIT[n] == split] for split in SPLITS}
    return {
        split: dataset({"image": list(map(image, mine)), "label": [TITLES[n % 2] for n in mine]})
        for split, mine in rows.items()
    }


def test_a_folder_of_save_to_disk(tmp_path):
    import datasets

    tables = split_tables(cell)
    tables["unlabelled"] = tables["test"]
    datasets.DatasetDict(tables).save_to_disk(tmp_path / "set")
    found = load(tmp_path / "set")
    assert labels(found) == TRUTH and splits(found) == SPLIT
    assert found.notes == ["8 images of its split unlabelled are left out"]


@pytest.mark.parametrize("as_image", [False, True])
def test_parquet_with_paths_only(tmp_path, as_image):
    def image(n):
        name = f"images/x{n}.png"
        return {"bytes": None, "path": name} if as_image else name

    folder = lay(tmp_path / "set", "images/x{n}.png")
    for split, made in split_tables(image).items():
        made.to_parquet(str(folder / f"{split}.parquet"), batch_size=100)
    found = load(folder)
    assert labels(found) == TRUTH and splits(found) == SPLIT
    put(folder / "images" / "x0.png", encode(pixels(40)))
    assert load(folder).fingerprint != found.fingerprint, "another film lies there"


def test_images_without_names_are_numbered(tmp_path):
    import pandas as pd

    (tmp_path / "set").mkdir()
    for shard, part in enumerate((N[:12], N[12:])):
        content = {
            "image": [encode(pixels(n)) for n in part],
            "label": [TITLES[n % 2] for n in part],
        }
        path = tmp_path / "set" / f"part-{shard}.parquet"
        pd.DataFrame(content).to_parquet(path, row_group_size=5)
    found = load(tmp_path / "set", choices=ANY)
    assert labels(found) == TRUTH
    for row, n in enumerate(numbers(found)):
        assert found.paths[row] == f"whole/{n:06d}" and found.read(row) == encode(pixels(n))


def test_one_image_in_several_rows_of_parquet(tmp_path):
    rows = [(n, TITLES[n % 2]) for n in (*N, *range(5))]
    rows += [(5, "NORMAL")]  # a reader who saw nothing
    cells = [cell(n, f"x{n}.png") for n, _ in rows]
    (tmp_path / "set").mkdir()
    made = dataset({"image": cells, "label": [title for _, title in rows]})
    made.to_parquet(str(tmp_path / "set" / "0000.parquet"))
    found = load(tmp_path / "set", choices=ANY)
    assert labels(found) == {n: n % 2 for n in N if n != 5}
    assert found.notes[0].startswith("1 images whose rows contradict each other are left out: x5")


# ---- which file a name is


def test_dicom_files_without_suffix_in_the_table(tmp_path):
    for n in N:
        film = dicom_file(pixels(n).astype(int) * 16, WindowCenter=2040.5, WindowWidth=4081)
        put(tmp_path / "set" / f"{n:03d}.dcm", film)
    text = "\n".join(["file,label", *(f"{n:03d},{TITLES[n % 2]}" for n in N)])
    put(tmp_path / "set" / "labels.csv", text.encode())
    found = load(tmp_path / "set", choices=ANY)
    assert labels(found) == TRUTH and found.facts["modes"] == {"DICOM": 24}


@pytest.mark.parametrize(
    "missing, there",
    [
        ("train/n90.png", "test/n90.png"),
        ("train/n90", "val/n90.png"),
        ("train\\n90.png", "val/n90.png"),
        ("a/train/n90.png", "b/train/n90.png"),
        ("train/n90.png", "n90.png"),
        ("train/n90.png", "train/more/n90.png"),
        # what lies outside of the folder is never read
        ("../secret.png", "../secret.png"),
        ("PLACE/secret.png", "../secret.png"),
    ],
)
def test_a_missing_file_stays_missing(tmp_path, missing, there):
    missing = missing.replace("PLACE", str(tmp_path))
    lines = ["{split}/n{n}.png,{title}"] * 23 + ["{split}/n{n}.png,{title}\n" + missing + ",NORMAL"]
    folder = lay(tmp_path / "set", "{split}/n{n}.png", {"labels.csv": ["file,label", *lines]})
    text = error_of(films(folder, [there]), choices=ANY)
    assert f"1 unreadable image: {missing[:20]}" in text
    assert "(cannot be read (no such file in the source's folder))" in text


def test_a_name_missing_in_its_split_is_not_found_in_another(tmp_path):
    lines = ["{k}.png,{title}"] * 23 + ["{k}.png,{title}\n9.png,NORMAL"]  # film 23 is of test
    tables = {"{split}/metadata.csv": ["file_name,label", *lines]}
    folder = lay(tmp_path / "set", "{split}/{k}.png", tables)
    assert "9.png" in error_of(films(folder, ["train/9.png"]))


def test_rows_without_a_file_name_are_so_many_missing_images(tmp_path):
    lines = ["x{n}.png,{title}"] * 20 + [",{title}"] * 4
    folder = lay(tmp_path / "set", tables={"labels.csv": ["file,label", *lines]})
    assert "4 unreadable images" in error_of(folder, choices=ANY)


def test_a_table_alone_looks_at_no_more_than_it_names(tmp_path, monkeypatch):
    """DATA=downloads/labels.csv: what else lies in downloads is not its own."""
    folder = films(lay(tmp_path / "downloads", tables={"labels.csv": LABELS}), ["other/a.png"])
    seen, listdir, scandir = [], os.listdir, os.scandir
    monkeypatch.setattr(os, "listdir", lambda path: (seen.append(str(path)), listdir(path))[1])
    monkeypatch.setattr(os, "scandir", lambda path: (seen.append(str(path)), scandir(path))[1])
    first = data_sources.find(str(folder / "labels.csv"))
    assert set(seen) == {str(folder)}
    films(folder, ["out/given.jsonl", "notes.png"])
    assert data_sources.find(str(folder / "labels.csv")).identity == first.identity
    assert labels(load(folder / "labels.csv", choices=ANY)) == TRUTH


def test_records_beside_the_films_change_nothing_and_changed_films_do(tmp_path):
    """--out in the folder of the films."""
    folder = lay(tmp_path / "set", tables={"labels.csv": LABELS})
    first, known = data_sources.find(str(folder)), load(folder, choices=ANY)
    films(folder / "out", ["results/latest", "results/set/given.jsonl", "fig-1.png", "report.csv"])
    again = data_sources.find(str(folder))
    assert again.identity == first.identity and again.left_out == first.left_out
    put(folder / "x3.png", encode(pixels(27)))
    assert load(folder, choices=ANY).fingerprint != known.fingerprint


def test_images_that_the_table_does_not_name_are_counted(tmp_path):
    folder = lay(tmp_path / "set", "{split}/x{n}.png", {"{split}/metadata.csv": LABELS})
    found = load(films(folder, ["train/new1.png", "train/new2.png"]))
    assert labels(found) == TRUTH
    assert found.notes == ["2 images that the table does not name are left out"]


# ---- rows of one image


@pytest.mark.parametrize(
    "table, header, line, more, what",
    [
        ("a.csv", "file,label", "a/{n},{title}", "3,PNEUMONIA", "names"),
        ("a.csv", "file,label,split", "a/{n},{title},train", "a/3,PNEUMONIA,test", "splits"),
        ("a.csv", "file,label,patient", "a/{n},{title},{who}", "a/3,PNEUMONIA,7", "patients"),
        ("{split}.csv", "file,label", "a/{n},{title}", "a/3,PNEUMONIA", "splits"),
    ],
)
def test_rows_that_tell_two_things_of_one_image_are_refused(
    tmp_path, table, header, line, more, what
):
    lines = [line] * 23 + [f"{line}\n{more}"]  # film 23 is of test, film 3 of validation
    folder = lay(tmp_path / "set", "a/{n}.png", {table: [header, *lines]})
    text = error_of(folder, choices=ANY)
    assert f"rows of one image, a/3, tell two {what}, " in text and "correct the table" in text


def test_readers_who_contradict_each_other_are_counted(tmp_path):
    lines = ["x{n},{title},R1\nx{n},{title},R2"] * 7 + ["x{n},NORMAL,R1\nx{n},PNEUMONIA,R2"]
    folder = lay(tmp_path / "set", tables={"labels.csv": ["image,label,reader", *lines]})
    found = load(folder, choices=ANY)
    assert labels(found) == {n: n % 2 for n in N if n % 8 != 7}
    assert "3 images whose rows contradict each other" in found.notes[0]
    assert found.facts["left_out"] == {"images whose rows contradict each other": 3}
    folder = lay(tmp_path / "none", tables={"labels.csv": ["image,label,reader", lines[-1]]})
    text = error_of(folder, whole=True)
    assert "no image is left: images whose rows contradict each other: x0, " in text

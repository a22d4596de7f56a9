"""Sources, decoding, the cache, the audit, splits."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from samples import COUNT, SPLITS, class_folders, encode, parquet, pixels, rows
from torchvision.transforms.v2 import functional as transforms

from xray import audit, data, images, tables
from xray.data import DataError, HubUnreachable


def load(source, folder, size=8, **options):
    return data.load(str(source), size, cache=folder / "cache", **options)


def gray(encoded, size=None):
    decoded = images.decode(encoded, size or 24)
    return decoded.pixels


# ---- one image


@pytest.mark.parametrize("value", range(256))
def test_a_gray_pixel_keeps_its_value(value):
    rgb = np.full((2, 3, 3), value, np.uint8)
    assert (images.to_gray(rgb) == value).all()


def test_torchvision_on_integers_would_darken():
    """The reason for to_gray; once this fails, to_gray can go."""
    assert transforms.rgb_to_grayscale(torch.full((3, 1, 1), 100, dtype=torch.uint8)).item() == 99


def test_colours_are_weighted_as_torchvision_does():
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]], np.uint8)
    expected = [0.2989 * 255, 0.587 * 255, 0.114 * 255, 0.2989 * 10 + 0.587 * 20 + 0.114 * 30]
    assert images.to_gray(rgb)[0].tolist() == [round(v) for v in expected]


GRAY = pixels(3)
RGB = np.stack([GRAY] * 3, -1)
WIDE = np.arange(24 * 24, dtype=np.uint16).reshape(24, 24) * 113
MASK = np.where(np.arange(24) < 12, 255, 0).astype(np.uint8)[None].repeat(24, 0)  # left half opaque


def cmyk(array):
    """CMYK with the gray in its black channel."""
    none = np.zeros_like(array)
    return Image.merge(
        "CMYK", [Image.fromarray(channel) for channel in (none, none, none, 255 - array)]
    )


def without_adobe(jpeg: bytes) -> bytes:
    """A JPEG without its Adobe segment: the marker FFEE, its length and its 12 bytes."""
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 16 :]


def with_palette():
    image = Image.fromarray((GRAY // 20).astype(np.uint8), "P")
    image.putpalette([channel for i in range(256) for channel in [min(255, i * 20)] * 3])
    return image


FORMATS = {  # encoded, expected pixels, tolerance (JPEG and WebP lose some)
    "PNG L": (encode(GRAY), GRAY, 0),
    "PNG RGB": (encode(RGB), GRAY, 0),
    "BMP": (encode(GRAY, "BMP"), GRAY, 0),
    "GIF": (encode(GRAY, "GIF"), GRAY, 0),
    "TIFF": (encode(GRAY, "TIFF"), GRAY, 0),
    "TIFF, compressed": (encode(GRAY, "TIFF", compression="tiff_lzw"), GRAY, 0),
    "WebP": (encode(RGB, "WEBP", lossless=True), GRAY, 0),
    "JPEG": (encode(np.full_like(RGB, 77), "JPEG"), np.full_like(GRAY, 77), 0),
    "palette": (encode(with_palette()), GRAY // 20 * 20, 0),
    "1 bit": (
        encode(Image.fromarray(GRAY).point(lambda v: 255 * (v > 99), "1")),
        np.where(GRAY > 99, 255, 0),
        0,
    ),
    "16 bits": (encode(WIDE), np.round(WIDE / 257), 0),
    "16 bits, TIFF": (encode(WIDE, "TIFF"), np.round(WIDE / 257), 0),
    "16 bits, ends": (
        encode(np.array([[0, 65535] * 12] * 24, np.uint16)),
        np.array([[0, 255] * 12] * 24),
        0,
    ),
    "LA": (
        encode(Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(MASK)])),
        np.where(MASK, GRAY, 0),
        0,
    ),
    "RGBA over black": (encode(np.dstack([RGB, MASK])), np.where(MASK, GRAY, 0), 0),
    "one transparent gray": (
        encode(GRAY, transparency=int(GRAY[0, 0])),
        np.where(GRAY == GRAY[0, 0], 0, GRAY),
        0,
    ),
    "CMYK, TIFF": (encode(cmyk(GRAY), "TIFF"), GRAY, 1),
    "CMYK, Adobe's JPEG": (
        encode(cmyk(np.full_like(GRAY, 77)), "JPEG", quality=100),
        np.full_like(GRAY, 77),
        1,
    ),
    "CMYK, plain JPEG": (
        without_adobe(
            encode(
                Image.fromarray(255 - np.asarray(cmyk(np.full_like(GRAY, 77))), "CMYK"),
                "JPEG",
                quality=100,
            )
        ),
        np.full_like(GRAY, 77),
        1,
    ),
    "animated, the first frame": (
        encode(GRAY, "GIF", save_all=True, append_images=[Image.fromarray(255 - GRAY)]),
        GRAY,
        0,
    ),
}


@pytest.mark.parametrize("case", FORMATS)
def test_formats_and_modes(case):
    encoded, expected, tolerance = FORMATS[case]
    found = gray(encoded)
    assert found.shape == (24, 24) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= tolerance


@pytest.mark.parametrize(
    "orientation, turn",
    {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        6: lambda a: np.rot90(a, -1),
        8: np.rot90,
    }.items(),
)
def test_exif_orientation(orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (gray(encode(GRAY, exif=exif)) == turn(GRAY)).all()


def test_a_damaged_exif_block_does_not_matter():
    assert gray(encode(RGB, "JPEG", exif=b"Exif\0\0nonsense")).shape == (24, 24)


@pytest.mark.parametrize("height, width", [(24, 24), (48, 48), (7, 60), (60, 7), (1, 1)])
def test_resizing(height, width):
    source = pixels(5, height, width)
    found = gray(encode(source), 16)
    expected = transforms.resize(torch.from_numpy(source)[None].float(), [16, 16], antialias=True)[
        0
    ].numpy()
    assert found.shape == (16, 16) and np.abs(found - expected).max() <= 1


def test_what_was_decoded_is_described():
    decoded = images.decode(encode(np.zeros((30, 20, 3), np.uint8)), 16)
    assert (decoded.mode, decoded.width, decoded.height) == ("RGB", 20, 30)
    assert decoded.digest == images.decode(encode(np.zeros((30, 20), np.uint8)), 8).digest
    assert decoded.digest != images.decode(encode(np.zeros((20, 30), np.uint8)), 16).digest


# ---- sources


def check(found, source, name):
    expected = list(rows())
    assert (found.name, found.source, found.split) == (name, str(source), "given")
    assert not found.phantom and found.image_size == 24
    assert found.images.shape == (COUNT, 1, 24, 24) and found.images.dtype == np.uint8
    assert found.labels.dtype == np.int64 and found.labels.tolist() == [row[2] for row in expected]
    assert [Path(path).name for path in found.paths] == [row[3] for row in expected]
    for i, row in enumerate(expected):
        assert (found.images[i, 0] == gray(row[4])).all()
    assert {split: len(found.part(split).labels) for split in SPLITS} == {
        split: sum(n) for split, n in SPLITS.items()
    }
    assert (found.test.images == found.images[-3:]).all() and found.test.paths == found.paths[-3:]
    assert np.shares_memory(found.train.images, found.images)
    json.dumps(found.facts, allow_nan=False)


@pytest.mark.parametrize(
    "layout",
    [
        "{split}/0000.parquet",
        "full/{split}/0000.parquet",
        "data/{split}/0000.parquet",
        "{split}-00000-of-00001.parquet",
        "data/{split}-00000-of-00001-0a1b2c.parquet",
        "{split}.parquet",
        "we [ir]d * ?/{split}.parquet",
    ],
)
def test_parquet_layouts(tmp_path, layout):
    check(
        load(parquet(tmp_path / "a set", layout=layout), tmp_path, 24), tmp_path / "a set", "a set"
    )


def test_full_is_taken_where_mini_lies_beside_it(tmp_path):
    parquet(tmp_path / "set", layout="full/{split}/0000.parquet")
    parquet(
        tmp_path / "set", {split: (1, 1) for split in SPLITS}, layout="mini/{split}/0000.parquet"
    )
    check(load(tmp_path / "set", tmp_path, 24), tmp_path / "set", "set")
    check(load(tmp_path / "set" / "full", tmp_path, 24), tmp_path / "set" / "full", "full")
    assert len(load(tmp_path / "set" / "mini", tmp_path).labels) == 6


@pytest.mark.parametrize(
    "names",
    [name.split() for name in ("train validation test", "train valid test", "Train VAL Test")],
)
@pytest.mark.parametrize("classes", [("NORMAL", "PNEUMONIA"), ("normal", "Pneumonia")])
def test_class_folders(tmp_path, names, classes):
    folder = class_folders(tmp_path / "set", dict(zip(names, SPLITS.values())), classes)
    check(load(folder, tmp_path, 24), folder, "set")


def test_the_well_known_archive(tmp_path):
    """A copy inside the copy, the packer's leftovers, and stray files; given by the folder above it
    too.
    """
    splits = {"train": (3, 4), "val": (2, 2), "test": (1, 2)}
    inner = class_folders(tmp_path / "archive" / "chest_xray", splits)
    class_folders(inner / "chest_xray", splits)
    class_folders(inner / "__MACOSX" / "chest_xray", splits)
    (inner / "train" / "NORMAL" / ".DS_Store").write_bytes(b"x")
    (inner / "train" / "NORMAL" / "._IM-0001-0001.png").write_bytes(b"x")
    (inner / "train" / "NORMAL" / "notes.txt").write_text("x")
    (inner / "train" / "loose.png").write_bytes(encode(GRAY))
    for folder in (inner, tmp_path / "archive"):
        found = load(folder, tmp_path, 24)
        check(found, folder, folder.name)
        assert found.notes == ["1 images outside of class folders are left out"]
    assert not any(path.startswith(str(tmp_path)) for path in found.paths)


def test_links_that_lead_in_a_circle_end(tmp_path):
    folder = class_folders(tmp_path / "set")
    (folder / "train" / "NORMAL" / "back").symlink_to(folder)
    (folder / "train" / "NORMAL" / "self").symlink_to(folder / "train" / "NORMAL" / "self")
    assert len(load(folder, tmp_path).labels) == COUNT


def test_odd_names(tmp_path):
    folder = class_folders(tmp_path / "a 'set' <b>&amp;\nрентген [0] %s")
    names = [
        "with space.png",
        "quo\"te'.png",
        "new\nline.png",
        "<script>.png",
        "胸部.png",
        "%d{}.png",
        os.fsdecode(b"\xff.png"),
    ]
    for i, name in enumerate(names):
        (folder / "train" / "NORMAL" / name).write_bytes(encode(pixels(50 + i)))
    found = load(folder, tmp_path)
    assert len(found.labels) == COUNT + len(names) and "train/NORMAL/new\\nline.png" in found.paths
    json.dumps(found.facts, ensure_ascii=False).encode()
    again = load(folder, tmp_path)
    assert again.paths == found.paths


@pytest.mark.parametrize(
    "names, mapping",
    [
        (("PNEUMONIA", "NORMAL"), {"PNEUMONIA": 1, "NORMAL": 0}),
        (("Pneumonia", "healthy"), {"Pneumonia": 1, "healthy": 0}),
        (("pneumonia", "no pneumonia"), {"pneumonia": 1, "no pneumonia": 0}),
        (("positive", "negative"), {"positive": 1, "negative": 0}),
        (("abnormal", "normal"), {"abnormal": 1, "normal": 0}),
        (("1", "0"), {"1": 1, "0": 0}),
        (("dog", "cat"), {"dog": 0, "cat": 1}),
    ],
)
def test_classes_are_told_by_name(tmp_path, names, mapping):
    folder = parquet(tmp_path / "set", names=names)
    found = load(folder, tmp_path)
    assert found.facts["classes"] == mapping
    assert found.labels.tolist() == [mapping[names[row[2]]] for row in rows(names=names)]


def test_text_as_labels_and_columns_of_other_names(tmp_path):
    def change(columns, features):
        import datasets

        columns["label"] = ["pneumonia" if value else "normal" for value in columns.pop("labels")]
        columns["xray"] = columns.pop("image")
        del columns["image_file_path"], features["image_file_path"], features["labels"]
        features["label"], features["xray"] = datasets.Value("string"), features.pop("image")

    found = load(parquet(tmp_path / "set", change=change), tmp_path)
    assert found.facts["classes"] == {"normal": 0, "pneumonia": 1}
    assert found.labels.tolist() == [row[2] for row in rows()]
    assert found.paths == [row[3] for row in rows()]


def test_an_existing_folder_comes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "owner" / "name")
    assert data.find("owner/name").kind == "folders"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubUnreachable, match="cannot be reached"):
        data.find("owner/other")


# ---- the Hub

READ = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import hub, os
name, folder, other = sys.argv[2], Path(sys.argv[3]), sys.argv[4]
with hub.serve(name, folder / "files") as (os.environ["HF_ENDPOINT"], asked):
    from xray import data
    def read(name):
        try:
            found = data.load(name, 16)
        except data.DataError as error:
            return str(error)
        return [found.name, {split: len(rows) for split, rows in found.index.items()}, found.facts["classes"],
                found.fingerprint, found.notes]
    result = {"first": read(name), "fetched": sum("/resolve/" in path for path in asked)}
    before = len(asked)
    result["again"] = read(name)
    result |= {"fetched again": sum("/resolve/" in path for path in asked[before:]), "other": read(other)}
result["gone"] = read(name)
print(json.dumps(result))
"""


def read_from_hub(name, folder) -> dict:
    """Reading a stand-in of the Hub in a process of its own: the library reads its endpoint when it
    is imported.
    """
    environment = os.environ | {
        "XRAY_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "0",
    }
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            READ,
            str(Path(__file__).parent),
            name,
            str(folder),
            "some-one/else",
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "neither progress bars nor warnings"
    return json.loads(done.stdout)


def test_the_papers_data_set_from_the_hub(tmp_path):
    parquet(tmp_path / "files", layout="full/{split}/0000.parquet")
    parquet(
        tmp_path / "files", {split: (2, 2) for split in SPLITS}, layout="mini/{split}/0000.parquet"
    )
    found = read_from_hub(tables.PAPER, tmp_path)
    name, counts, classes, fingerprint, notes = found["first"]
    assert name == "chest-xray-classification" and notes == [] and found["fetched"] > 0
    assert counts == {split: sum(n) for split, n in SPLITS.items()}, (
        "full alone, not merged with mini"
    )
    assert fingerprint == load(tmp_path / "files", tmp_path).fingerprint, (
        "the same data by another way"
    )
    assert found["again"] == found["first"] and found["fetched again"] == 0, (
        "the second time it comes from the cache"
    )
    assert found["gone"][:4] == found["first"][:4]
    assert found["gone"][4] == [
        f"{tables.PAPER}: the Hub cannot be reached; the copy read from it before is used"
    ]
    assert not list((tmp_path / "cache").rglob("*.arrow"))


def test_other_data_sets_of_the_hub(tmp_path):
    parquet(
        tmp_path / "files", names=("sick", "healthy"), layout="data/{split}-00000-of-00001.parquet"
    )
    found = read_from_hub("some-one/lungs", tmp_path)
    assert found["first"][:3] == [
        "lungs",
        {split: sum(n) for split, n in SPLITS.items()},
        {"sick": 0, "healthy": 1},
    ]
    assert "no such data set on the Hub" in found["other"]


def test_a_hub_that_does_not_answer_costs_a_few_seconds(monkeypatch):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, never answers
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.perf_counter()
        assert not data.hub_reachable(0.3)
        assert time.perf_counter() - start < 2


# ---- the cache


def entry(folder):
    [found] = (folder / "cache" / "images").glob("*/meta.json")
    return found.parent


def test_the_second_reading_does_not_decode(tmp_path, monkeypatch):
    folder = class_folders(tmp_path / "set")
    first = load(folder, tmp_path)
    monkeypatch.setattr(images, "decode", None)
    second = load(folder, tmp_path)
    assert (
        (first.images == second.images).all() and first.facts == second.facts and second.notes == []
    )


def test_a_changed_source_is_read_anew_and_another_size_is_the_same_data(tmp_path):
    folder = class_folders(tmp_path / "set")
    first = load(folder, tmp_path)
    assert load(folder, tmp_path, 12).fingerprint == first.fingerprint
    (folder / "train" / "NORMAL" / "IM-0001-0001.png").write_bytes(encode(pixels(99)))
    second = load(folder, tmp_path)
    assert second.fingerprint != first.fingerprint and (second.images[0] != first.images[0]).any()


@pytest.mark.parametrize(
    "damage",
    [
        lambda e: (e / "pixels.u8").write_bytes(b"\1" + (e / "pixels.u8").read_bytes()[1:]),
        lambda e: (e / "pixels.u8").write_bytes((e / "pixels.u8").read_bytes()[:-1]),
        lambda e: (e / "pixels.u8").unlink(),
        lambda e: (e / "meta.json").write_text("{"),
        lambda e: (e / "meta.json").write_text(
            (e / "meta.json").read_text().replace('"labels": "0', '"labels": "1')
        ),
        lambda e: (e / "meta.json").unlink(),
    ],
    ids=[
        "pixels changed",
        "pixels cut off",
        "pixels gone",
        "facts cut off",
        "facts changed",
        "facts gone",
    ],
)
def test_a_damaged_cache_is_noticed_and_made_anew(tmp_path, damage):
    folder = class_folders(tmp_path / "set")
    first = load(folder, tmp_path)
    expected = np.array(first.images)
    damage(entry(tmp_path))
    second = load(folder, tmp_path)
    assert (second.images == expected).all() and second.facts == first.facts
    assert len(second.notes) == 1 and "damaged" in second.notes[0]
    assert load(folder, tmp_path).notes == []


def test_writing_to_the_images_does_not_reach_the_cache(tmp_path):
    folder = class_folders(tmp_path / "set")
    first = load(folder, tmp_path)
    first.images[:] = 7
    assert load(folder, tmp_path).notes == []


def test_what_a_killed_process_left_is_removed(tmp_path):
    folder = class_folders(tmp_path / "set")
    left = tmp_path / "cache" / "images" / ".building-0123"
    left.mkdir(parents=True)
    (left / "pixels.u8").write_bytes(b"x" * 1000)
    load(folder, tmp_path)
    assert not left.exists()


def load_and_count(folder, cache, queue):
    calls = []
    decode = images.decode
    images.decode = lambda encoded, size: (
        calls.append(1),
        time.sleep(0.02),
        decode(encoded, size),
    )[-1]
    found = data.load(str(folder), 8, cache=cache)
    queue.put((len(calls), found.fingerprint, int(found.images.sum()), found.notes))


def test_two_processes_at_once_decode_once(tmp_path):
    folder = class_folders(tmp_path / "set")
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [
        context.Process(target=load_and_count, args=(folder, tmp_path / "cache", queue))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    first, second = sorted(queue.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert (first[0], second[0]) == (0, COUNT) and first[1:] == second[1:] and first[3] == []


def test_no_space_for_the_cache(tmp_path):
    """The process may write no file above 1000 bytes: what happens on a full disk, at the write
    itself.
    """
    folder = class_folders(tmp_path / "set")
    code = (
        "import resource, sys; from xray import data; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: data.load(sys.argv[1], 64)\n"
        "except data.DataError as error: print(error)"
    )
    environment = os.environ | {"XRAY_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (
        "cache cannot be written (File too large)" in done.stdout and "XRAY_CACHE" in done.stdout
    ), done.stderr
    assert not list((tmp_path / "cache" / "images").glob(".building-*"))
    assert len(load(folder, tmp_path, 64).labels) == COUNT


def test_too_little_space_is_said_before_decoding(tmp_path, monkeypatch):
    from collections import namedtuple

    monkeypatch.setattr("shutil.disk_usage", lambda folder: namedtuple("Usage", "free")(100))
    with pytest.raises(DataError, match="set XRAY_CACHE"):
        load(class_folders(tmp_path / "set"), tmp_path)


def test_a_cache_folder_that_cannot_be(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match="set XRAY_CACHE to another folder"):
        load(class_folders(tmp_path / "set"), tmp_path)


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("XRAY_CACHE", "/somewhere")
    assert data.cache_folder() == Path("/somewhere")
    monkeypatch.delenv("XRAY_CACHE")
    assert data.cache_folder() == Path.home() / ".cache" / "xray"


def test_progress_is_told(tmp_path):
    told = []
    load(
        class_folders(tmp_path / "set"),
        tmp_path,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (COUNT, COUNT)


# ---- audit


@pytest.mark.parametrize(
    "path, expected, cause",
    [
        ("test/PNEUMONIA/person1000_bacteria_2931.jpeg", "person1000", "bacteria"),
        ("person1000_virus_1681.jpeg", "person1000", "virus"),
        ("person1571_virus_2728_0.jpeg", "person1571", "virus"),
        ("/x/y/person1000_bacteria_2931_jpeg.rf.0a1b2c.jpg", "person1000", "bacteria"),
        ("NORMAL/IM-0003-0001.jpeg.rf.3ffffcf9c33575f8f928b017484f99a64.jpg", "IM-0003", None),
        ("IM-0115-0001_jpeg.rf.0a1b.jpg", "IM-0115", None),
        ("IM-0115-0001.jpeg", "IM-0115", None),
        ("IM-0115-0001-0002.jpeg", "IM-0115", None),
        ("a/NORMAL2-IM-1427-0001.jpeg", "NORMAL2-IM-1427", None),
        ("NORMAL2-IM-1427-0001-0002.jpeg", "NORMAL2-IM-1427", None),
        ("C:\\x\\person7_virus_1.jpeg", "person7", "virus"),
        ("phantom/train/PNEUMONIA/0001.png", None, None),
        ("person1000/image.png", None, None),
        ("scan.png", None, None),
        ("", None, None),
    ],
)
def test_patients_and_causes_are_read_off_the_name(path, expected, cause):
    assert data.patient(path) == expected and data.kind(path) == cause


def test_copies_are_found(tmp_path):
    folder = class_folders(tmp_path / "set")
    picture = encode(pixels(1))  # of train/NORMAL/IM-0001-0001.png
    (folder / "train" / "NORMAL" / "copy.png").write_bytes(picture)
    (folder / "test" / "NORMAL" / "copy.png").write_bytes(picture)
    (folder / "test" / "PNEUMONIA" / "same pixels.bmp").write_bytes(encode(pixels(1), "BMP"))
    found = load(folder, tmp_path).facts["audit"]
    same, alike = found["identical_bytes"], found["identical_pixels"]
    assert (same["groups"], same["images"], same["surplus"], same["conflicting"]) == (1, 3, 2, 0)
    assert same["within"] == {"train": 1, "validation": 0, "test": 0}
    assert same["across"] == {"train/validation": 0, "train/test": 1, "validation/test": 0}
    assert (alike["groups"], alike["images"], alike["within"]["test"], alike["conflicting"]) == (
        1,
        4,
        1,
        1,
    )
    assert (
        found["conflicting_labels"] == alike["conflicting_examples"]
        and len(found["conflicting_labels"][0]) == 4
    )
    assert "test: test/PNEUMONIA/same pixels.bmp" in found["conflicting_labels"][0]


def test_the_audit_counts_what_is_missing(tmp_path):
    def change(columns, features):
        columns["image"][0] = None
        columns["image"][1] = {"bytes": b"bad", "path": "b.png"}

    found = load(parquet(tmp_path / "set", change=change), tmp_path, skip_unreadable=True).facts
    assert (
        found["audit"]["missing"] == 3
        and len(found["audit"]["unreadable"]) == len(found["skipped"]) == 6
    )
    assert found["splits"] == {"train": 5, "validation": 2, "test": 1}


def test_patients_in_two_splits_are_counted():
    # train
    paths = [
        "person1_virus_1.jpeg",
        "person1_virus_2.jpeg",
        "IM-0001-0001.jpeg",
        "scan.png",
        "person2_bacteria_1.jpeg",
        "IM-0001-0002.jpeg",  # validation
        # test
        "person1_virus_3.jpeg",
        "person2_bacteria_2.jpeg",
        "IM-0009-0001.jpeg",
        "scan.png",
    ]
    labels = np.array([1, 1, 0, 0, 1, 0, 1, 1, 0, 0])
    index = {"train": np.arange(4), "validation": np.arange(4, 6), "test": np.arange(6, 10)}
    found = audit.patients(paths, labels, index)
    assert (found["named"], found["unnamed"]) == (8, 2)
    assert found["by_split"] == {"train": 3, "validation": 2, "test": 4}
    assert found["overlap"]["test in train"]["PNEUMONIA"] == {
        "images": 2,
        "shared": 1,
        "patients": 1,
    }
    assert found["overlap"]["test in train"]["NORMAL"] == {"images": 2, "shared": 0, "patients": 0}
    assert found["overlap"]["test in train or validation"]["all"] == {
        "images": 4,
        "shared": 2,
        "patients": 2,
    }
    assert found["overlap"]["validation in train"]["NORMAL"] == {
        "images": 1,
        "shared": 1,
        "patients": 1,
    }
    assert found["causes"]["train"] == {"virus": 2} and found["causes"]["test"] == {
        "bacteria": 1,
        "virus": 1,
    }


def test_the_sample_and_the_counts(tmp_path):
    found = load(class_folders(tmp_path / "set"), tmp_path)
    assert found.facts["sample"] == {
        "path": "train/NORMAL/IM-0001-0001.png",
        "mode": "L",
        "width": 24,
        "height": 24,
        "label": 0,
    }
    assert (data.sample_image(found) == found.images[0, 0]).all()
    assert found.facts["counts"]["test"] == {"NORMAL": 1, "PNEUMONIA": 2}
    assert found.facts["sizes"] == {"24x24": COUNT} and found.facts["modes"] == {"L": COUNT}
    assert found.facts["labels"] == "".join(map(str, found.labels))


# ---- other splits


def many_patients():
    """A Data without images: 400 images, patients of one to eight images, both classes."""
    generator = np.random.default_rng(0)
    paths, labels = [], []
    for number in range(130):
        for shot in range(int(generator.choice([1, 1, 1, 2, 3, 8]))):
            sick = number % 4 != 0
            paths.append(
                f"person{number}_virus_{shot}.jpeg" if sick else f"IM-{number:04d}-{shot:04d}.jpeg"
            )
            labels.append(int(sick))
    count = len(labels)
    order = generator.permutation(count)
    paths, labels = [paths[i] for i in order], np.array(labels)[order]
    sizes = {"train": count - 100, "validation": 60, "test": 40}
    images_ = np.zeros((count, 1, 1, 1), np.uint8)
    return data.Data(
        "x", "x", "f", False, 1, images_, labels, paths, "given", {}, {"splits": sizes}
    )


@pytest.mark.parametrize("protocol", ["image", "patient"])
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_resplit(protocol, seed):
    whole = many_patients()
    given, found = data.resplit(whole, "given", 0), data.resplit(whole, protocol, seed)
    assert found.split == f"{protocol}-{seed}"
    assert sorted(np.concatenate(list(found.index.values()))) == list(range(len(whole.labels)))
    for split in SPLITS:
        rows_ = found.index[split]
        assert (np.diff(rows_) > 0).all() and rows_.dtype == np.int64
        assert len(rows_) == len(given.index[split])
        assert found.labels[rows_].sum() == given.labels[given.index[split]].sum(), (
            "the class ratio is kept"
        )
    who = {
        split: {data.patient(found.paths[row]) for row in found.index[split]} for split in SPLITS
    }
    shared = (
        who["train"] & who["test"]
        | who["train"] & who["validation"]
        | who["validation"] & who["test"]
    )
    assert (not shared) == (protocol == "patient")
    same, other = data.resplit(given, protocol, seed), data.resplit(whole, protocol, seed + 1)
    assert all((same.index[split] == found.index[split]).all() for split in SPLITS)
    assert any((other.index[split] != found.index[split]).any() for split in SPLITS)
    back = data.resplit(found, "given", 0)
    assert back.split == "given" and all(
        (back.index[split] == given.index[split]).all() for split in SPLITS
    )


def test_resplit_of_patients_who_are_too_large_to_fit():
    whole = many_patients()
    # ten patients, each of many images
    whole.paths = [f"person{label}{i % 5}_virus_{i}.jpeg" for i, label in enumerate(whole.labels)]
    found = data.resplit(whole, "patient", 0)
    who = [{data.patient(found.paths[row]) for row in rows_} for rows_ in found.index.values()]
    assert not (who[0] & who[1] or who[0] & who[2] or who[1] & who[2])
    assert (
        len(found.index["train"]) > len(found.index["validation"]) >= len(found.index["test"]) > 0
    )


def test_resplit_errors():
    whole = many_patients()
    whole.paths = ["person1_virus_1.jpeg"] * len(whole.paths)
    with pytest.raises(DataError, match="too few"):
        data.resplit(whole, "patient", 0)
    with pytest.raises(DataError, match="no split protocol"):
        data.resplit(whole, "other", 0)


def test_a_split_that_is_scattered_is_a_copy(tmp_path):
    found = load(class_folders(tmp_path / "set"), tmp_path, split="image", split_seed=3)
    assert found.split == "image-3"
    assert (found.train.images == found.images[found.index["train"]]).all()
    assert found.train.paths == [found.paths[row] for row in found.index["train"]]

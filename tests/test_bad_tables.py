"""Parquet files that cannot be used: one line says what is wrong."""

import pytest
from samples import SPLITS, error_of, parquet


def drop(name):
    def change(columns, features):
        del columns[name], features[name]

    return change


def labels_as(make, feature):
    def change(columns, features):
        import datasets

        columns["labels"] = make(columns["labels"])
        features["labels"] = datasets.Value(feature)

    return change


def without_image(columns, features):
    columns["image"][0] = None


def without_bytes(columns, features):
    columns["image"][0] = {"bytes": None, "path": "/etc/hostname"}


def damaged_image(columns, features):
    columns["image"][0]["bytes"] = b"bad"


def text_as_image(columns, features):
    import datasets

    columns["image"] = ["x"] * len(columns["image"])
    features["image"] = datasets.Value("string")


PARQUET = {  # change of the columns, message
    "no image column": (drop("image"), "no image column; it has image_file_path ("),
    "no label column": (drop("labels"), "no label column (label, class"),
    "text for images": (text_as_image, "no image column"),
    "a row without an image": (without_image, "no image"),
    "a row with a path only": (without_bytes, "no image"),
    "a damaged image": (damaged_image, "not an image"),
    "a row without a label": (
        labels_as(lambda v: [None] + v[1:], "int64"),
        "images without a label",
    ),
    "one class": (labels_as(lambda v: [1] * len(v), "int64"), "it has 1: 1"),
    "three classes": (labels_as(lambda v: [2] + v[1:], "int64"), "it has 3: 0, 1, 2"),
    "labels all different": (
        labels_as(lambda v: [f"x{i}" for i in range(len(v))], "string"),
        "two classes are needed",
    ),
}


@pytest.mark.parametrize("case", PARQUET)
def test_unusable_table(tmp_path, case):
    change, message = PARQUET[case]
    assert message in error_of(tmp_path, parquet(tmp_path / "set", change=change))


def bad_parquet(case, folder):
    if case == "no test split":
        parquet(folder, {"train": (2, 2), "validation": (2, 2)})
    elif case == "an empty split":
        parquet(folder, SPLITS | {"test": (0, 0)})
    elif case == "no split names":
        parquet(folder, {"train": (2, 2)}, layout="0000.parquet")
    elif case == "several configurations":
        parquet(folder / "one")
        parquet(folder / "two")
    else:
        path = parquet(folder) / "train" / "0000.parquet"
        content = path.read_bytes()
        path.write_bytes(
            {
                "cut off": content[:-50],
                "empty file": b"",
                "not parquet": b"x" * 500,
                "git lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                "damaged inside": content[:200] + bytes(400) + content[600:],
            }[case]
        )
    return folder


PARQUET_FILES = {
    "no test split": "the test split is missing",
    "an empty split": "the test split is empty",
    "no split names": "the validation and the test split is missing or has no images; it has train",
    "several configurations": "several data sets (one, two)",
    "cut off": "its parquet files cannot be read: 0000.parquet",
    "empty file": "its parquet files cannot be read: 0000.parquet",
    "not parquet": "its parquet files cannot be read: 0000.parquet",
    "git lfs pointer": "0000.parquet: a Git LFS pointer, not the file itself; run git lfs pull",
    "damaged inside": "",  # noticed while reading or as an unreadable image, as the damage falls
}


@pytest.mark.parametrize("case", PARQUET_FILES)
def test_unusable_parquet_file(tmp_path, case):
    text = error_of(tmp_path, bad_parquet(case, tmp_path / "set"))
    assert PARQUET_FILES[case] in text and str(tmp_path) in text

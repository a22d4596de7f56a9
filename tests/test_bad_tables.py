"""Parquet files that cannot be used: one line says what is wrong."""

import pytest
from reading import ANY, error_of
from samples import SPLITS, TITLES, N, cell, dataset, parquet

FILMS = [cell(n, f"x{n}.png") for n in N]
LABELS = [TITLES[n % 2] for n in N]
FIRST = FILMS[:-1]


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"label": LABELS}, "no image column; it has label (NORMAL)"),
        ({"image": FILMS, "age": [*N]}, "no label column (label, class"),
        ({"image": FIRST + [None], "label": LABELS}, "(no image)"),
        ({"image": FIRST + [{"bytes": None, "path": "/etc/hosts"}], "label": LABELS}, "(no image)"),
        ({"image": FIRST + [{"bytes": b"bad", "path": "a"}], "label": LABELS}, "not an image"),
        ({"image": FILMS, "label": LABELS[:-1] + [None]}, "1 images without a label"),
        ({"image": FILMS, "label": [2] + [0, 1] * 11 + [0]}, "it has 3: 0, 1, 2"),
    ],
)  # fmt: skip
def test_unusable_columns(tmp_path, columns, message):
    dataset(columns).to_parquet(tmp_path / "films.parquet")
    assert message in error_of(tmp_path / "films.parquet", choices=ANY)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
FILES = {  # how a sound file is changed, what is said of it
    "cut off": (lambda sound: sound[:-50], "its parquet files cannot be read: 0000.parquet"),
    "empty": (lambda sound: b"", "its parquet files cannot be read: 0000.parquet"),
    "not parquet": (lambda sound: b"x" * 500, "its parquet files cannot be read: 0000.parquet"),
    "git lfs pointer": (lambda sound: LFS, "0000.parquet: a Git LFS pointer, not the file itself;"),
    # noticed while reading or as an unreadable image, as the damage falls
    "damaged inside": (lambda sound: sound[:200] + bytes(400) + sound[600:], ""),
}


@pytest.mark.parametrize("case", FILES)
def test_unusable_file(tmp_path, case):
    change, message = FILES[case]
    path = parquet(tmp_path / "set") / "train" / "0000.parquet"
    path.write_bytes(change(path.read_bytes()))
    text = error_of(tmp_path / "set")
    assert message in text and str(tmp_path) in text


def test_an_empty_split_is_told(tmp_path):
    folder = parquet(tmp_path / "set", SPLITS | {"test": (0, 0)})
    assert "the test split is empty" in error_of(folder)

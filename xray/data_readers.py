"""Tables read, and the rows of several: CSV (with commas, semicolons, tabs), JSON lines, parquet,
and the folders of save_to_disk of `datasets`. No code that comes with a data set is ever run."""

import io
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from xray.data_choices import SEVERAL, SPLIT_NAMES, WHOLE, DataError, listed, shown
from xray.data_images import LFS, LFS_POINTER, SUFFIXES

TABLES = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".jsonl": "json"}
# names of columns of labels, as `plain` has them
LABELS = set(
    "label labels class classes classname classlabel target targets diagnosis diagnoses finding "
    "findings findinglabel findinglabels category imagelabel imagelabels labelname".split()
)
HEADER = LABELS | set("file filename path image imageid id patient patientid split".split())
IMAGES = {"image", "images", "img"}  # and of images that lie in the table


@dataclass
class Table:
    """One table file, read but for its images."""

    split: str  # after which its file or folder is named, or WHOLE
    base: Path  # the folder that it lies in
    frame: pd.DataFrame  # its columns of texts, numbers and lists
    order: dict[str, list[str]] = field(default_factory=dict)  # column -> its classes, if known
    image: str = ""  # the column of images in it
    inside: list = field(default_factory=list)  # the names that those carry, None for none
    cell: Callable[[int], dict | bytes | None] | None = None  # row -> what that column holds


def plain(column: str) -> str:
    return re.sub(r"[\W_]+", "", str(column)).lower()


def _short(error: Exception) -> str:
    return shown(" ".join(str(error).split())[:150])


def _content(path: Path) -> str:
    """The text of a table."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{shown(path.name)}: cannot be read ({error.strerror})") from None
    if content.startswith(LFS):
        raise DataError(f"{shown(path.name)}: {LFS_POINTER}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{shown(path.name)}: its text is not UTF-8; save it as UTF-8") from None


def _text(path: Path, split: str) -> Table:
    """A CSV file, all cells as they stand. `pandas` guesses the separator wrongly (it splits the
    column "image" into "i" and "age"), so it is the one that the header has most of."""
    text = _content(path)
    said = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)
    text = text[said.end() :] if said else text
    header = re.sub(r'"[^"]*"', "", next(filter(str.strip, text.splitlines()), ""))
    if not header:
        raise DataError(f"its table {shown(path.name)} is empty")
    sep = said[1] if said else max(",;\t|", key=header.count)
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=sep,
            header=None,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"its table {shown(path.name)} cannot be read: {_short(error)}") from None
    frame = frame.fillna("").map(str.strip)
    _check_quotes(frame, sep)
    names, body = list(frame.iloc[0]), frame.iloc[1:].reset_index(drop=True)
    # a header names no image, and where none of its names is known, is no value of its own column
    known = any(plain(name) in HEADER for name in names)
    if any(Path(name).suffix.lower() in SUFFIXES for name in names) or (
        not known and any(name and (body[at] == name).any() for at, name in enumerate(names))
    ):
        body, names = frame, list(map(str, range(1, len(names) + 1)))
    names = [name or f"column {at}" for at, name in enumerate(names, 1)]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(
            f"{shown(path.name)}: two columns are called {shown(twice[0])}; rename one of them"
        )
    body.columns = names
    return Table(split, path.parent, body)


def _check_quotes(frame: pd.DataFrame, sep: str) -> None:
    """Raises DataError where a cell holds whole rows, which a quote that is not closed makes."""
    for column in frame:
        for text in frame[column][frame[column].str.contains("\n")]:
            later = [line.split(sep) for line in text.split("\n")[1:]]
            if all(len(row) == frame.shape[1] > 1 and " " not in row[0] for row in later):
                raise DataError(
                    f"a cell of its table holds whole rows ({shown(text[:60])}), as where a quote "
                    "is not closed; correct the table"
                )


def _lines(path: Path, split: str) -> Table:
    text = _content(path)
    try:
        frame = pd.DataFrame([json.loads(line) for line in text.splitlines() if line], dtype=object)
        frame.columns = frame.columns.map(str)  # numbers, where lines are lists
    except (ValueError, AttributeError) as error:
        raise DataError(f"its table {shown(path.name)} cannot be read: {_short(error)}") from None
    return Table(split, path.parent, frame)


def _parquet(path: Path, split: str) -> Table:
    """A parquet file; its images are read a row group at once, when they are asked for."""
    import pyarrow.parquet as parquet

    try:
        with open(path, "rb") as stream:
            if stream.read(len(LFS)) == LFS:
                raise DataError(f"{shown(path.name)}: {LFS_POINTER}")
        file = parquet.ParquetFile(path)
        table = _columns(
            split, path.parent, file.schema_arrow, lambda kept: file.read(columns=kept)
        )
    except DataError:
        raise
    except Exception as error:  # pyarrow raises anything on damaged files
        why = f"its parquet files cannot be read: {shown(path.name)}: {_short(error)}"
        raise DataError(f"{why}; fetch that file again") from None
    groups = range(file.num_row_groups)
    starts = np.cumsum([0, *(file.metadata.row_group(group).num_rows for group in groups)])
    lock, held = threading.Lock(), {}

    def cell(row):
        group = int(np.searchsorted(starts, row, "right")) - 1
        with lock:
            if group not in held:
                held.clear()
                try:
                    held[group] = file.read_row_group(group, columns=[table.image]).column(0)
                except Exception as error:
                    why = f"its parquet file is damaged: {_short(error)}"
                    raise OSError(None, why) from None
            return held[group][row - int(starts[group])].as_py()

    table.cell = cell
    return table


def saved(folder: Path, left: Counter) -> list[Table]:
    """What save_to_disk wrote."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # whatever goes wrong inside of it
        why = "cannot be loaded as a folder of save_to_disk"
        raise DataError(f"{why}: {_short(error)}") from None
    tables = []
    for name, whole in (loaded if isinstance(loaded, dict) else {WHOLE: loaded}).items():
        split = SPLIT_NAMES.get(name.lower()) if name else WHOLE
        if split is None or split in {table.split for table in tables}:
            left[f"images of its split {shown(name)}"] += len(whole)
        else:
            tables.append(_arrow(whole.with_format("arrow"), folder, split))
    return tables


def _arrow(rows, folder: Path, split: str) -> Table:
    def read(names):
        return rows.select_columns([name.removesuffix(".path") for name in names])[:]

    table = _columns(split, folder, rows.features.arrow_schema, read)
    table.cell = lambda row: rows[row].column(table.image)[0].as_py()
    return table


def _columns(split: str, base: Path, schema, read) -> Table:
    """A table of Arrow but for `cell`. read(names) gives columns; "image.path" the part of one.
    `datasets` writes names of classes into the schema; importing it takes seconds."""
    import pyarrow.compute as compute

    about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = about.get("info", {}).get("features", {})
    order, pictures, encoded, kept = {}, [], [], []
    for column in schema:
        feature = features.get(column.name)
        feature = feature if isinstance(feature, dict) else {}
        inner = feature.get("feature") if isinstance(feature.get("feature"), dict) else feature
        if inner.get("_type") == "ClassLabel":
            order[column.name] = inner["names"]
        kind = str(column.type)
        if feature.get("_type") == "Image":
            pictures.append(column.name)
        elif re.match(r"struct<.*\bbytes: (large_)?binary|(large_)?binary$", kind):
            encoded.append(column.name)
        elif not kind.startswith("struct"):
            kept.append(column.name)
    # bytes are images where their column is called so, or is the only one
    pictures += [name for name in encoded if plain(name) in IMAGES]
    if not pictures and len(encoded) == 1:
        pictures = encoded
    named = [name for name in pictures if plain(name) in IMAGES]
    if len(pictures) > 1 and len(named) != 1:
        both = listed(pictures)
        raise DataError(f"several columns hold images ({both}); rename the films' one to image")
    image, inside = (named or pictures or [""])[0], []
    if image and re.search(r"\bpath: ", str(schema.field(image).type)):
        paths = read([f"{image}.path"]).column(0)
        inside = compute.struct_field(paths, "path").to_pylist()
    columns = read(kept) if kept else None
    frame = pd.DataFrame({name: columns.column(name).to_pylist() for name in kept}, dtype=object)
    for name, classes in order.items():
        frame[name] = [_named(value, classes) for value in frame[name]]
    return Table(split, base, frame, order, image, inside)


def _named(value, classes: list[str]):
    """The class, or classes, that a ClassLabel's numbers stand for; None for no label."""
    if isinstance(value, list):
        return [_named(one, classes) for one in value]
    return classes[value] if isinstance(value, int) and 0 <= value < len(classes) else None


READERS = {"parquet": _parquet, "csv": _text, "json": _lines}


def read(path: Path, split: str) -> Table:
    """A table, named after a split or WHOLE. Raises DataError."""
    return READERS[TABLES[path.suffix.lower()]](path, split)


# ---- several tables


def _alike(frames: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Frames whose columns have one spelling: "File" in one is "file" in another."""
    spelled, found = {}, []
    for frame in frames:
        called = [plain(name) for name in frame]
        names = [
            spelled.setdefault(short, name) if called.count(short) == 1 else name
            for short, name in zip(called, frame)
        ]
        found.append(frame.set_axis(names, axis=1))
    return found


class Rows:
    """The rows of all tables, one after another. finder: finds the files that they name, see
    data_files.Finder."""

    def __init__(self, tables: list[Table], finder):
        self.tables, self.finder = tables, finder
        self.frame = pd.concat(_alike([table.frame for table in tables]), ignore_index=True)
        self.texts = self.frame.map(_told)
        self.order = tables[0].order
        # the names that images in tables carry
        names = [table.inside or [None] * len(table.frame) for table in tables]
        self.inside = [_told(name) for part in names for name in part]
        # the number of each one's table, and its row there
        self.of = [(at, row) for at, one in enumerate(tables) for row in range(len(one.frame))]

    def files(self, column: str, most: int | None = None, deep=True) -> list[Path | None]:
        """The files that a column's first cells name."""
        found, cells = [], list(self.texts[column][:most])
        for table in self.tables:
            names = cells[len(found) : len(found) + len(table.frame)]
            found += self.finder(names, table.base, table.split, deep)
        return found

    def cell(self, row: int) -> dict:
        """What a row holds of its image."""
        number, inside = self.of[row]
        table = self.tables[number]
        found = table.cell(inside) if table.image else None
        return {"bytes": found} if isinstance(found, bytes) else found or {}

    def encoded(self, row: int, file: Path | None) -> bytes | None:
        """A row's image; file: that it names. Raises OSError."""
        table, cell = self.tables[self.of[row][0]], self.cell(row)
        if cell.get("bytes") is not None:
            return cell["bytes"]
        if file is None and cell.get("path"):
            [file] = self.finder([cell["path"]], table.base, table.split)
        if file:
            return file.read_bytes()
        if table.image:
            return None
        raise FileNotFoundError(2, "no such file in the source's folder")


def _told(value) -> str:
    """A cell as text; "" where it holds nothing."""
    if isinstance(value, list):
        return SEVERAL.join(map(_told, value))
    if value is None or value != value:
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()

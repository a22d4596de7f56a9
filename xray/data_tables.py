"""Tables of images and labels, read with the `datasets` library: parquet, CSV and JSON lines files,
and folders that its save_to_disk wrote. Images lie in the table or are named there.

No code that comes with a data set is ever run: `datasets` refuses it.
"""

import errno
import glob
import logging
import os
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from xray import data_columns
from xray.data_classes import SEVERAL, parts
from xray.data_images import LFS, LFS_POINTER
from xray.data_sources import SPLIT_NAMES, WHOLE, DataError, Encoded, left_out, shown
from xray.data_splits import take

SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".jsonl": "json"}

FROM_COLUMN = "Which images show the same patient is read from the table's column of patients"


@contextmanager
def quiet_hub():
    """huggingface_hub without its log."""
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def quiet():
    """`datasets` with its progress bars, log and warnings off: what is printed, scripts decide."""
    import datasets  # here, since it takes a second that reading from the cache need not spend
    from datasets.utils import logging as log

    bars, level = datasets.are_progress_bars_disabled(), log.get_verbosity()
    datasets.disable_progress_bars()
    log.set_verbosity(logging.CRITICAL)
    try:
        with quiet_hub(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield datasets
    finally:
        log.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()


@contextmanager
def errors(given: str, doing: str):
    """Turns whatever goes wrong inside `datasets` into one DataError of its innermost cause."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        while error.__cause__ is not None:
            error = error.__cause__
        if isinstance(error, UnicodeDecodeError):
            raise DataError(f"{shown(given)}: {doing}: not UTF-8; save it as that") from None
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"{shown(given)}: no space left to read it; free some, or set XRAY_CACHE, and "
                "HF_HOME for what the Hub sends, to other folders"
            ) from None
        reason = shown(" ".join(str(error).split())[:200]) or type(error).__name__
        raise DataError(f"{shown(given)}: {doing}: {reason}") from None


def open_tables(given: str, kind: str, files: dict[str, list[Path]], locate, temporary: Path):
    """Open files of one kind (a value of SUFFIXES, or "arrow" for a folder of save_to_disk), see
    Source.open. files: by split, under WHOLE those that are named after none. locate: what a table
    names -> the file's path, or None. `datasets` puts a copy into the temporary folder."""
    if kind == "arrow":
        [folder] = files[WHOLE]
        with quiet() as datasets, errors(given, "cannot be loaded as a folder of save_to_disk"):
            loaded = datasets.load_from_disk(str(folder))
            tables = loaded if isinstance(loaded, dict) else {WHOLE: loaded}
        return _splits(given, tables, locate, datasets)
    names = {split or "whole": [str(path.resolve()) for path in files[split]] for split in files}
    patterns = {split: list(map(glob.escape, paths)) for split, paths in names.items()}
    options = {}
    if kind == "csv":
        with errors(given, "its table cannot be read"):
            head = next(iter(files.values()))[0].read_bytes()[:10_000].splitlines()[:1]
        options["sep"] = max(",;\t", key=b"".join(head).decode("utf-8", "replace").count)
        options |= {"keep_default_na": False, "na_values": [""]}  # a class may be called None
    with quiet() as datasets, errors(given, f"its {kind} files cannot be read"):
        for split, paths in files.items():
            _check(given, kind, split, paths)
        loaded = datasets.load_dataset(
            kind, data_files=patterns, cache_dir=str(temporary), **options
        )
    tables = {split: loaded[split or "whole"] for split in files}
    return _splits(given, tables, locate, datasets)


def _check(given: str, kind: str, split: str, paths: list[Path]) -> None:
    """Name the file that is no table, for which `datasets` gives an unclear message."""
    import pyarrow.parquet

    rows = 0
    for path in paths:
        with open(path, "rb") as stream:
            if stream.read(len(LFS)) == LFS:
                raise DataError(f"{shown(path)}: {LFS_POINTER}")
        if kind != "parquet":
            content = path.read_bytes().strip()
            rows += content.count(b"\n") + (kind == "json" and bool(content))
            continue
        try:
            rows += pyarrow.parquet.read_metadata(path).num_rows
        except (OSError, pyarrow.ArrowException) as error:
            reason = shown(" ".join(str(error).split())[:150])
            why = f"its parquet files cannot be read: {shown(path.name)}: {reason}"
            raise DataError(f"{shown(given)}: {why}; fetch that file again") from None
    if not rows:
        raise DataError(f"{shown(given)}: the {split or 'only'} split is empty")


def _splits(given: str, tables: dict, locate, datasets):
    """Tables by split -> what open_tables gives: their image, label, path and split columns,
    however called."""
    splits, order, used, notes = {}, {}, set(), []
    for name, table in tables.items():
        split = SPLIT_NAMES.get(name.lower()) if name else WHOLE
        if split is None or split in splits:
            notes.append(left_out(len(table), f"images of its split {shown(name)}"))
            continue
        image, label, path, where = data_columns.find(given, split, table, locate, datasets)
        if image is None:  # a table of findings has a row for each of them
            rows = _once(table, [path, label, *filter(None, [where])])
            if again := len(table) - len(rows):
                notes.append(left_out(again, "rows that name an image with its class again"))
                table = table.select(rows)
        titles, names = _titles(given, split, table, label)
        order.update({title: place for place, title in enumerate(names)})
        used |= {part for title in set(titles) for part in parts(title)}
        paths, read = _images(given, split, table, image, path, locate, datasets)
        patients = data_columns.patients(table)
        if any(patients) and not notes.count(FROM_COLUMN):
            notes.append(FROM_COLUMN)
        whole = Encoded(paths, titles, read, patients)
        if split != WHOLE:
            splits[split] = whole
            continue
        names = table[where] if where else ()
        belongs = [SPLIT_NAMES[text.strip().lower()] for text in names]
        splits |= _by_split(whole, belongs or [_split_in(text) for text in paths])
    return splits, sorted(used, key=lambda title: (order.get(title, len(order)), title)), notes


def _once(table, columns: list[str]) -> list[int]:
    """The first row of each that differ in these columns."""
    first = {}
    for row, key in enumerate(zip(*(map(str, table[name]) for name in columns))):
        first.setdefault(key, row)
    return list(first.values())


def _titles(given: str, split: str, table, label: str) -> tuple[list[str], list[str]]:
    """Each image's label as text, of a list of labels as data_classes.parts reads it; the names in
    the column's own order, where it has one. Raises DataError where a label is missing."""
    feature, values = table.features[label], list(table[label])
    names = getattr(getattr(feature, "feature", feature), "names", None)

    def text(value):
        if isinstance(value, list):
            return SEVERAL.join(map(text, value))
        if value is None or value != value or (names and value == -1):
            return ""
        return names[value] if names else str(value).strip()

    titles = [text(value) for value in values]
    if "" in titles:
        why = "has images without a label; fill it in, or take their rows out"
        raise DataError(f"{shown(given)}: the {split or 'only'} split {why}")
    return titles, names or []


def _split_in(path: str) -> str:
    """The split that a path's folders name, else WHOLE."""
    parts = path.replace("\\", "/").split("/")[:-1]
    return next((SPLIT_NAMES[p.lower()] for p in parts if p.lower() in SPLIT_NAMES), WHOLE)


def _by_split(whole: Encoded, belongs: list[str]) -> dict[str, Encoded]:
    if WHOLE in belongs:
        return {WHOLE: whole}
    return {
        split: take(whole, [row for row, name in enumerate(belongs) if name == split])
        for split in dict.fromkeys(belongs)
    }


def _images(given, split, table, image, path, locate, datasets) -> tuple[list[str], Callable]:
    """The images' names, and what reads the encoded bytes of a row."""
    if image is None:
        paths = [str(text) for text in table[path]]
        images, there = None, [locate(text) for text in paths]
    else:
        with errors(given, f"its column {shown(image)} holds no images"):
            images = table.select_columns([image]).cast_column(image, datasets.Image(decode=False))
        inside = table[path] if path else ((cell or {}).get("path") for cell in images[image])
        paths = [str(text or f"{split or 'whole'}/{row:06d}") for row, text in enumerate(inside)]

    def read(row):
        if images is None:
            if there[row] is None:
                raise FileNotFoundError(errno.ENOENT, "no such file in the source's folder")
            return there[row].read_bytes()
        cell = images[row][image] or {}
        found = locate(cell["path"]) if cell.get("bytes") is None and cell.get("path") else None
        return found.read_bytes() if found else cell.get("bytes")

    return paths, read


class Locator:
    """Finds the files that a table names: below one of `bases`, with or without the name's first
    folders, or where one file of `files` alone has that name. What lies outside of `folder` is
    never found."""

    def __init__(self, folder: Path, bases: list[Path], files: list[Path]):
        self.folder, self.bases, self.files, self.known = os.path.abspath(folder), bases, files, {}
        self.found = set()
        for path in files:
            for name in {path.name, path.stem}:
                self.known[name] = None if name in self.known else path

    def __call__(self, text: str) -> Path | None:
        path = self._below(str(text).replace("\\", "/"))
        self.found.add(path)
        return path

    def _below(self, text: str) -> Path | None:
        parts = [part for part in text.split("/") if part]
        for names in [text] * bool(text) + ["/".join(parts[i:]) for i in range(1, len(parts))]:
            for base in self.bases:
                path = os.path.abspath(os.path.join(base, names))
                inside = os.path.commonpath([path, self.folder]) == self.folder
                if inside and os.path.isfile(path):
                    return Path(path)
        return self.known.get(parts[-1]) if parts else None

    def not_named(self) -> int:
        """How many of `files` were not found, if any was."""
        named = {os.path.abspath(path) for path in self.found if path}
        return sum(os.path.abspath(path) not in named for path in self.files) if named else 0

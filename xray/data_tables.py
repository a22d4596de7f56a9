"""Tables of images and labels: CSV (with commas, semicolons, tabs), JSON lines, parquet, and the
folders of save_to_disk of `datasets`. Images lie in the table or are named there.

Columns are taken by their whole names, and only where one alone has such a name; else the message
says what is there and which option says it. No code that comes with a data set is ever run.
"""

import hashlib
import io
import json
import os
import re
import shlex
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from xray.data_choices import (
    PATIENTS,
    SEVERAL,
    SPLIT_NAMES,
    WHOLE,
    Choices,
    DataError,
    Source,
    join_names,
    means_healthy,
    names_patients,
    option,
    plain,
    shown,
    split_names,
    title_parts,
)
from xray.data_images import LFS, LFS_POINTER, SUFFIXES

TABLES = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".jsonl": "json"}
# what systems put beside images: thumbnails, copies, bins
NOT_THE_PERSONS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "thumbs.db", "desktop.ini"}
HIDDEN = "hidden files and files of other systems (__MACOSX, @eaDir, …)"
MASKS = "masks and other drawings beside films"
DRAWN = (
    "masks? lungmasks? seg segmentations? annotations? groundtruth gt overlays? heatmaps?".split()
)

# names of columns, in small letters without what stands between their words
LABELS = set(
    "label labels class classes classname classlabel target targets diagnosis diagnoses finding "
    "findings findinglabel findinglabels category imagelabel imagelabels labelname".split()
)
FILES = set("path imagepath imagefilepath filepath file filename imagefile imagefilename".split())
NAMES = FILES | set("imagename image images img imageid imageindex id xrayimagename".split())
ONE_HOT = {"0", "1", "0.0", "1.0", "", "true", "false", "yes", "no", "-1", "-1.0"}
YES = {"1", "1.0", "true", "yes"}


@dataclass
class Part:
    """One table file, read but for its images."""

    split: str  # after which its file or folder is named, or WHOLE
    base: Path  # the folder that it lies in
    frame: pd.DataFrame  # its columns of texts, numbers and lists
    names: dict[str, list[str]]  # column -> names of its classes, where it has them
    images: str = ""  # the column of images in it
    inside: tuple = ()  # the names that those images carry, None for none
    cell: Callable[[int], dict] | None = None  # row -> {"bytes": ..., "path": ...}
    numbered: bool = False  # it has no header: its columns are called 1, 2, ...


def source(folder: Path, files, left: Counter, choices: Choices, images=(), named=False) -> Source:
    """The source that tables in a folder are. files: the tables, or a folder of save_to_disk.
    images: the image files there. named: the table itself is the source. Raises DataError."""
    missing = ()
    if files[0].is_dir():
        kind, parts = "arrow", _saved(files[0], left)
        used = sorted(path for path in files[0].rglob("*") if path.is_file())
    else:
        kind, chosen = _choose(folder, files)
        used = [path for paths in chosen.values() for path in paths]
        missing = _missing_shards(used)
        other = "tables of another data set, or named after no split,"
        left[other] += len(files) - len(used)
        read = {"parquet": _parquet, "csv": _text, "json": _lines}[kind]
        parts = [read(path, split) for split, paths in chosen.items() for path in paths]
    for split in dict.fromkeys(part.split for part in parts):
        if not sum(len(part.frame) for part in parts if part.split == split):
            raise DataError(f"the {split or 'only'} split is empty")
    finder = Finder(folder)
    opened = [_films(part, finder, choices) for part in parts]
    _check_splits(opened)
    films = pd.concat([one.films for one in opened], ignore_index=True)
    nameless = films.path == ""
    if nameless.any():
        number = films.groupby("split").cumcount()
        made = (films.split.replace(WHOLE, "whole") + "/").str.cat(number.map("{:06d}".format))
        films["path"] = films.path.where(~nameless, made)
    rows = [(one, row) for one in opened for row in range(len(one.films))]
    found = {path for one in opened for path in one.files if path}
    if images and found:
        there = {os.path.abspath(path) for path in found}
        left["images that the table does not name"] += sum(
            os.path.abspath(path) not in there for path in images
        )
    order = {title: place for place, title in reversed(list(enumerate(opened[0].order)))}
    used_titles = {one for title in set(films.title) for one in title_parts(title)}
    return Source(
        name=(files[0].stem if named else folder.resolve().name) or "data",
        kind=kind,
        identity=identity(kind, folder, [*used, *sorted(found)]),
        films=films,
        read=lambda row: rows[row][0].read(rows[row][1]),
        classes=sorted(used_titles, key=lambda title: (order.get(title, len(order)), title)),
        taken=opened[0].taken,
        left_out=+left,
        missing=missing,
        loose=next((one.loose for one in opened if one.loose), ""),
    )


def _check_splits(opened: list["Opened"]) -> None:
    """Raises DataError where tables of two splits name one file."""
    known = {}
    for one in opened:
        for file, split in zip(one.files, one.films.split):
            if file and known.setdefault(file, split) != split:
                both = f"in the {known[file] or 'one'} and in the {split or 'other'} split"
                raise DataError(f"{shown(file.name)} is {both}; mend the tables")


# ---- which files


def _split_of(part: str) -> str | None:
    """The split that a folder or file is named after: "val", "train-00000-of-00002.parquet"."""
    stem = re.sub(r"\.(parquet|csv|tsv|jsonl)$", "", part.lower())
    return SPLIT_NAMES.get(re.sub(r"[-_.]\d+([-_]of[-_]\d+)?([-_.][0-9a-f]+)?$", "", stem))


def _choose(folder: Path, files: list[Path]) -> tuple[str, dict[str, list[Path]]]:
    """The kind of a folder's tables, and those by split of one configuration: `full` and `mini`
    side by side are two. Parquet files come before others, files named metadata before those."""
    ranks = {}
    for path in files:
        kind = TABLES[path.suffix.lower()]
        rank = (kind != "parquet", path.stem.lower() != "metadata", kind)
        ranks.setdefault(rank, []).append(path)
    *_, kind = first = min(ranks)
    found, whole = {}, []
    for path in ranks[first]:
        parts = path.relative_to(folder).parts
        depth = next((i for i, part in enumerate(parts) if _split_of(part)), None)
        if depth is None:
            whole.append(path)
        else:
            name = "/".join(part for part in parts[:depth] if part != "data")
            found.setdefault(name, {}).setdefault(_split_of(parts[depth]), []).append(path)
    if found and len(files) > 1:
        return kind, found[choose_one(list(found))]
    if len(whole) > 1 and kind != "parquet":
        listed = ", ".join(shown(path.relative_to(folder)) for path in whole[:6])
        one = shown(shlex.join(["--data", str(whole[0])]))
        raise DataError(f"holds several tables ({listed}); give one of them, such as {one}")
    return kind, {WHOLE: whole} if whole else next(iter(found.values()))


def _missing_shards(files: list[Path]) -> tuple[str, ...]:
    """The files that names such as train-00000-of-00003.parquet promise and that are not there."""
    there, promised = set(), {}
    for path in files:
        match = re.match(r"(.*[-_.])(\d+)([-_]of[-_])(\d+)", path.name)
        if match and int(match[4]) < 100_000:
            start, number, of, count = match.groups()
            there.add(match[0])
            for i in range(int(count)):
                promised[f"{start}{i:0{len(number)}}{of}{count}"] = path.suffix
    return tuple(name + end for name, end in promised.items() if name not in there)


# ---- one file


def _short(error: Exception) -> str:
    return shown(" ".join(str(error).split())[:150])


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{shown(path.name)}: cannot be read ({error.strerror})") from None
    if content.startswith(LFS):
        raise DataError(f"{shown(path.name)}: {LFS_POINTER}")
    return content


def _text(path: Path, split: str) -> Part:
    """A CSV file, all cells as they stand. `pandas` guesses the separator wrongly (it splits the
    column "image" into "i" and "age"), so it is the one that the header has most of."""
    try:
        text = _content(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{shown(path.name)}: its text is not UTF-8; save it as that") from None
    said = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)
    text = text[said.end() :] if said else text
    header = re.sub(r'"[^"]*"', "", next(filter(str.strip, text.splitlines()), ""))
    if not header:
        raise DataError(f"its table {shown(path.name)} is empty")
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=said[1] if said else max(",;\t|", key=header.count),
            header=None,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"its table {shown(path.name)} cannot be read: {_short(error)}") from None
    frame = frame.fillna("").map(str.strip)
    names = list(frame.iloc[0])
    body = frame.iloc[1:].reset_index(drop=True)
    # a header names no image and is no value of its own column
    numbered = any(Path(name).suffix.lower() in SUFFIXES for name in names)
    numbered = numbered or any(name and (body[at] == name).any() for at, name in enumerate(names))
    if numbered:
        body, names = frame, list(map(str, range(1, len(names) + 1)))
    names = [name or f"column {at}" for at, name in enumerate(names, 1)]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(
            f"{shown(path.name)}: two columns are called {shown(twice[0])}; rename one of them"
        )
    body.columns = names
    return Part(split, path.parent, body, {}, numbered=numbered)


def _lines(path: Path, split: str) -> Part:
    try:
        rows = [
            json.loads(line) for line in _content(path).decode("utf-8-sig").splitlines() if line
        ]
        frame = pd.DataFrame(rows, dtype=object)
    except ValueError as error:
        raise DataError(f"its table {shown(path.name)} cannot be read: {_short(error)}") from None
    return Part(split, path.parent, frame, {})


def _parquet(path: Path, split: str) -> Part:
    """A parquet file; its images are read a row group at once, when they are asked for."""
    import pyarrow.parquet as parquet

    with open(path, "rb") as stream:
        if stream.read(len(LFS)) == LFS:
            raise DataError(f"{shown(path.name)}: {LFS_POINTER}")
    try:
        file = parquet.ParquetFile(path)
        columns = _columns(file.schema_arrow, lambda kept: file.read(columns=kept))
    except Exception as error:  # pyarrow raises anything on damaged files
        why = f"its parquet files cannot be read: {shown(path.name)}: {_short(error)}"
        raise DataError(f"{why}; fetch that file again") from None
    starts, lock, held = [0], threading.Lock(), {}
    for group in range(file.num_row_groups):
        starts.append(starts[-1] + file.metadata.row_group(group).num_rows)

    def cell(row):
        group = next(at for at in range(len(starts)) if row < starts[at + 1])
        with lock:
            if group not in held:
                held.clear()
                try:
                    held[group] = file.read_row_group(group, columns=[columns[2]]).column(0)
                except Exception as error:
                    why = f"its parquet file is damaged: {_short(error)}"
                    raise OSError(None, why) from None
        return _as_cell(held[group][row - starts[group]].as_py())

    return Part(split, path.parent, *columns, cell)


def _saved(folder: Path, left: Counter) -> list[Part]:
    """What save_to_disk wrote."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # whatever goes wrong inside of it
        why = "cannot be loaded as a folder of save_to_disk"
        raise DataError(f"{why}: {_short(error)}") from None
    parts = []
    for name, table in (loaded if isinstance(loaded, dict) else {WHOLE: loaded}).items():
        split = SPLIT_NAMES.get(name.lower()) if name else WHOLE
        if split is None or split in {part.split for part in parts}:
            left[f"images of its split {shown(name)}"] += len(table)
            continue
        raw = table.with_format("arrow")

        def read(kept, raw=raw):
            return raw.select_columns([name.removesuffix(".path") for name in kept])[:]

        columns = _columns(raw.features.arrow_schema, read)

        def cell(row, raw=raw, images=columns[2]):
            return _as_cell(raw[row].column(images)[0].as_py())

        parts.append(Part(split, folder, *columns, cell))
    return parts


def _as_cell(value) -> dict:
    if isinstance(value, bytes):
        return {"bytes": value}
    return value if isinstance(value, dict) else {}


def _columns(schema, read) -> tuple[pd.DataFrame, dict, str, list]:
    """The columns but those of images; the names of their classes, where `datasets` wrote them into
    the schema (importing it takes seconds); the column of images, "" where there is none, and the
    names that its images carry."""
    import pyarrow.compute as compute

    about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = about.get("info", {}).get("features", {})
    names, pictures, kept = {}, [], []
    for column in schema:
        feature = features.get(column.name) or {}
        feature = feature if isinstance(feature, dict) else {}
        inner = feature.get("feature") if isinstance(feature.get("feature"), dict) else feature
        if inner.get("_type") == "ClassLabel":
            names[column.name] = inner["names"]
        kind = str(column.type)
        picture = kind.startswith("struct<bytes: ") or kind in ("binary", "large_binary")
        if feature.get("_type") == "Image":
            pictures.insert(0, column.name)
        elif picture and plain(column.name) in ("image", "images", "img"):
            pictures.append(column.name)
        elif not picture and not kind.startswith("struct"):
            kept.append(column.name)
    table = read(kept) if kept else None
    frame = pd.DataFrame({name: table.column(name).to_pylist() for name in kept}, dtype=object)
    if not pictures:
        return frame, names, "", []
    image = pictures[0]
    if not str(schema.field(image).type).startswith("struct") or "path" not in {
        field.name for field in schema.field(image).type
    }:
        return frame, names, image, []
    inside = read([f"{image}.path"]).column(0)
    return frame, names, image, compute.struct_field(inside, "path").to_pylist()


# ---- columns


@dataclass
class Opened:
    films: pd.DataFrame
    read: Callable[[int], bytes | None]
    files: list[Path | None]  # that rows name
    order: list[str]  # of the classes, where the table has one
    taken: dict[str, str]
    loose: str


def _films(part: Part, finder: "Finder", choices: Choices) -> Opened:
    """What Source.films is, of one table. Raises DataError where a column has to be said."""
    frame = part.frame
    titles, order, label = _titles(part, choices)
    taken = {"labels": f"column {label}"}
    used = {label} if label in frame else set(split_names(label))
    path, files = _paths(part, finder, choices, used)
    taken["images"] = f"column {part.images or path}"
    patients = _one_named(part, choices.patient, "patient", PATIENTS)
    films = pd.DataFrame({"title": titles, "patient": ""})
    named = frame[path] if path else part.inside or [""] * len(frame)
    films["path"] = [shown(_told(name)) for name in named]
    if patients:
        films["patient"] = frame[patients].map(_told)
        taken["patients"] = f"column {patients}"
    where = "" if part.split else _split_column(frame, used | {path, patients})
    places = [file or name for file, name in zip(files, films.path)]
    films["split"], how, loose = _splits(part, where, places, finder.root)
    taken |= {"splits": how} if how else {}
    rest = [name for name in frame if name not in used | {path, where, patients} - {""}]
    films = films.join(frame[[name for name in rest if name not in films]])
    names = [file or key(name) for file, name in zip(files, films.path)]
    if part.images:  # a name may be of several images, which the bytes tell
        names = _keys_of_images(films.path, part)
    films, rows, files = _once(films, files, names)

    def read(at):
        row = rows[at]
        cell = part.cell(row) if part.images else {}
        if cell.get("bytes") is not None:
            return cell["bytes"]
        file = files[at]
        if file is None and cell.get("path"):
            [file] = finder([cell["path"]], part.base, part.split)
        if file is None and part.images:
            return None
        if file is None:
            raise FileNotFoundError(2, "no such file in the source's folder")
        return file.read_bytes()

    return Opened(films, read, files, order, taken, loose)


def _told(value) -> str:
    """A cell as text; "" where it holds nothing."""
    if value is None or value != value:
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()


def _there(part: Part) -> str:
    """The columns with an example each, for a message."""
    listed = []
    for name in list(part.frame)[:12]:
        value = next(filter(None, map(_text_of, part.frame[name][:20])), "")
        listed.append(f"{shown(name)} ({shown(value[:30])})")
    more = f" and {len(part.frame.columns) - 12} more" * (len(part.frame.columns) > 12)
    head = "it has no header, so its columns are numbered: " if part.numbered else "it has "
    return head + (", ".join(listed) or "none") + more


def _text_of(value) -> str:
    return SEVERAL.join(map(_told, value)) if isinstance(value, list) else _told(value)


def _one_named(part: Part, asked: str, what: str, known: set) -> str:
    """The column that is asked for, or the one whose whole name is known; "" where there is none.
    Raises DataError with the option that says it."""
    if asked:
        if asked not in part.frame:
            same = [name for name in part.frame if plain(name) == plain(asked)]
            if len(same) != 1:
                raise DataError(f"--{what} {shown(asked)}: no such column; {_there(part)}")
            return same[0]
        return asked
    found = [name for name in part.frame if plain(name) in known]
    typed = [name for name in found or part.frame if name in part.names]
    if what == "label" and len(typed) == 1:
        return typed[0]
    if len(found) > 1:
        listed = " and ".join(map(shown, found))
        one = shown(shlex.join(option(what, found[0])))
        raise DataError(f"its columns {listed} may each hold the {what}; say which, such as {one}")
    return found[0] if found else ""


def _titles(part: Part, choices: Choices) -> tuple[list[str], list[str], str]:
    """Each image's label as text, of a list of labels as title_parts reads it; the names in the
    column's own order, where it has one; and the column. Raises DataError."""
    frame, several = part.frame, split_names(choices.label)
    if choices.label not in frame and len(several) > 1:
        return _one_hot(part, several), list(several), choices.label
    label = _one_named(part, choices.label, "label", LABELS)
    binary = [
        name
        for name in frame
        if name != label and plain(name) not in PATIENTS | NAMES and _is_binary(frame[name])
    ]
    if not label and len(binary) == 1 and plain(binary[0]) == "pneumonia":
        label = binary[0]
    if not label:
        few = [name for name in frame if 2 <= frame[name].map(_text_of).nunique() <= 20]
        few = [name for name in few if plain(name) not in PATIENTS | NAMES]
        how = "call the one that holds it label"
        if len(binary) > 1:
            how = "say which of 0 and 1 are its classes, such as "
            how += shown(shlex.join(option("label", join_names(binary))))
        elif few:
            how = f"say which holds it, such as {shown(shlex.join(option('label', few[-1])))}"
        raise DataError(
            f"the {part.split or 'only'} split has no label column (label, class, "
            f"diagnosis, finding or the like); {_there(part)}; {how}"
        )
    names = part.names.get(label, [])

    def text(value):
        if isinstance(value, list):
            return SEVERAL.join(map(text, value))
        if names and isinstance(value, int):
            return names[value] if 0 <= value < len(names) else ""
        return "" if value is None or value != value else str(value).strip()

    titles = [text(value) for value in frame[label]]
    if "" in titles:
        raise DataError(
            f"the {part.split or 'only'} split has {titles.count('')} images "
            f"without a label in column {shown(label)}; fill it in, or take their rows out"
        )
    if choices.label and means_healthy(label) and _is_binary(frame[label]):
        titles = ["normal" if title.lower() in YES else "not normal" for title in titles]
    return titles, names, label


def _is_binary(column: pd.Series) -> bool:
    found = {_text_of(value).lower() for value in column.unique()} if _hashable(column) else {"x"}
    return found <= ONE_HOT and bool(found & YES)


def _hashable(column: pd.Series) -> bool:
    return not column.map(lambda value: isinstance(value, list)).any()


def _one_hot(part: Part, columns) -> list[str]:
    """Each image's label of several columns of 0 and 1: the names of those that are 1."""
    for name in columns:
        if name not in part.frame:
            raise DataError(f"--label {shown(name)}: no such column; {_there(part)}")
        if not _is_binary(part.frame[name]):
            raise DataError(
                f"--label names several columns, and {shown(name)} does not hold 0 and 1 alone"
            )
    flags = {name: [_told(v).lower() in YES for v in part.frame[name]] for name in columns}
    titles = [
        SEVERAL.join(name for name in columns if flags[name][row]) for row in range(len(part.frame))
    ]
    none = f"none of {join_names(columns)}"
    return [title or none for title in titles]


def _split_column(frame: pd.DataFrame, used: set) -> str:
    """The column that tells splits: all its values do, or two of them at least, or it is called
    split."""
    for name in frame:
        if name in used or not _hashable(frame[name]):
            continue
        values = {_told(value).lower() for value in frame[name].unique()}
        found = {SPLIT_NAMES[value] for value in values if value in SPLIT_NAMES}
        if len(found) > 1 or (found and values <= SPLIT_NAMES.keys()) or plain(name) == "split":
            return name
    return ""


def _splits(part: Part, where: str, places: list, root: Path) -> tuple[list[str], str, str]:
    """Each image's split, WHOLE where none is known; what tells them; and why some have none where
    others have one."""
    if part.split:
        return [part.split] * len(places), "the names of files and folders", ""
    if where:
        told = [_told(value) for value in part.frame[where]]
        splits = [SPLIT_NAMES.get(text.lower(), WHOLE) for text in told]
        others = Counter(text for text, split in zip(told, splits) if not split)
        listed = [f"{shown(text) or 'nothing'} ({n:,})" for text, n in others.most_common(6)]
        loose = f"its column {shown(where)} says {', '.join(listed)}, which is no split"
        return splits, f"column {where}", loose if others else ""
    splits = [_split_in_path(place, root) for place in places]
    if not any(splits):
        return splits, "", ""
    outside = [place for place, split in zip(places, splits) if not split][:1]
    loose = [f"{shown(os.path.basename(place))} lies in no folder of a split" for place in outside]
    return splits, "the names of folders", "".join(loose)


def _split_in_path(path, root: Path) -> str:
    """The split that a path's folders below the root name, else WHOLE."""
    text = os.path.relpath(path, root) if isinstance(path, Path) else path
    parts = text.replace("\\", "/").split("/")[:-1]
    return next((SPLIT_NAMES[p.lower()] for p in parts if p.lower() in SPLIT_NAMES), WHOLE)


# ---- the files that rows name


def _paths(part: Part, finder: "Finder", choices: Choices, used: set, deep=False):
    """The column that names the images' files ("" where they lie in the table unnamed), and the
    file of each row, None where there is none. Raises DataError."""
    frame = part.frame
    texts = [
        name
        for name in frame
        if name not in used and not isinstance(_first(frame[name]), (list, dict))
    ]
    if choices.image:
        name = _one_named(part, choices.image, "image", NAMES)
        return name, finder(list(map(_told, frame[name])), part.base, part.split)
    if part.images:
        named = [
            name for name in texts if plain(name) in FILES and isinstance(_first(frame[name]), str)
        ]
        return (named[0] if named else ""), [None] * len(frame)
    found = {}
    for name in texts:
        cells = list(map(_told, frame[name]))
        there = finder(cells[:20], part.base, part.split, deep)
        # 7 names 7.png, if all do so
        number = all(cell.isdigit() for cell in cells[:20])
        if any(there) and (all(there) or not number):
            found[name] = finder(cells, part.base, part.split)
    if not found and not deep:
        return _paths(part, finder, choices, used, deep=True)
    if len(found) > 1 and any(not names_patients(name) for name in found):
        found = {name: files for name, files in found.items() if not names_patients(name)}
    if len(found) > 1 and (known := [name for name in found if plain(name) in NAMES]):
        found = {name: found[name] for name in known}
    first = next(iter(found.values()), None)
    if any(files != first for files in found.values()):
        one = shown(shlex.join(option("image", next(iter(found)))))
        raise DataError(
            f"its columns {' and '.join(map(shown, found))} name different files; "
            f"say which names the images, such as {one}"
        )
    if not found:
        raise DataError(
            f"the {part.split or 'only'} split has no image column; "
            f"{_there(part)}, none of which holds images or names files that are there"
        )
    return next(iter(found)), first


def _first(column: pd.Series):
    return next((value for value in column if value is not None), None)


def _keys_of_images(paths: pd.Series, part: Part) -> list:
    """A key an image in a table: its row, or where several have its name, name and bytes."""
    several = paths.duplicated(keep=False) & paths.astype(bool)
    return [
        (path, hashlib.sha256(part.cell(row).get("bytes") or b"").digest()) if several[row] else row
        for row, path in enumerate(paths)
    ]


def _once(films: pd.DataFrame, files: list, keys: list):
    """Rows with one key are one image, with their titles in `readings`: the films, the row and the
    file of each. Raises DataError where they tell two splits or two patients, or where one file
    would serve two names."""
    groups, called = {}, {}
    for row, (path, file, one) in enumerate(zip(films.path, files, keys)):
        groups.setdefault(one, []).append(row)
        if file and called.setdefault(file, key(path)) != key(path):
            both = f"{shown(films.path[groups[file][0]])} and {shown(path)}"
            raise DataError(f"its names {both} are one file, {shown(file.name)}")
    if len(groups) == len(films):
        return films, range(len(films)), files
    for name, what in (("split", "splits"), ("patient", "patients")):
        values = films[name]
        for group in groups.values():
            told = {values[row] for row in group} - {""}
            if len(told) > 1:
                raise DataError(
                    f"rows of the one image {shown(films.path[group[0]])} name two "
                    f"{what}; mend the table"
                )
    first = [group[0] for group in groups.values()]
    readings = [list(dict.fromkeys(films.title[row] for row in group)) for group in groups.values()]
    films = films.loc[first].reset_index(drop=True)
    films["readings"] = readings
    films["title"] = [SEVERAL.join(titles) for titles in readings]
    return films, first, [files[row] for row in first]


def key(name: str) -> str:
    """Names with one key are one: however composed, in capitals or not."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()


class Finder:
    """The files below a folder that a table names, with or without their suffix.

    A name is looked for in the table's own folder, then in the source's. Folders that all names of
    a column begin with may be none of the source's. A name without any folder may lie in any one
    place, though not in another split's. Nothing outside of the folder is ever found.
    """

    def __init__(self, root: Path):
        self.root, self.lists, self.below_root = root, {}, None

    def __call__(self, names: list[str], base: Path, split="", deep=True) -> list[Path | None]:
        pieces = [_pieces(name) for name in names]
        common = os.path.commonprefix([parts[:-1] for parts in pieces if parts])
        for cut in range(len(common) + 1):
            found = [
                self._search(parts, cut, base, split, deep, name.startswith(("/", "\\")))
                for name, parts in zip(names, pieces)
            ]
            if any(found):
                return found
        return [None] * len(names)

    def _search(self, parts, cut, base, split, deep, absolute) -> Path | None:
        rest = parts[cut:]
        for place in dict.fromkeys([base, self.root]):
            # of a name with folders one has to be left, or be the place's own
            told = len(rest) > 1 or not cut or absolute or key(place.name) == key(parts[cut - 1])
            if rest and told and (found := self._below(place, rest)):
                return found
        return self._anywhere(parts[0], base, split) if deep and len(parts) == 1 else None

    def _below(self, folder: Path, parts) -> Path | None:
        *folders, name = parts
        for part in folders:
            folder = _pick(self._listing(folder)[0].get(key(part), []), part)
            if folder is None:
                return None
        names, stems = self._listing(folder)
        found = _pick(names.get(key(name), []), name) or _pick(stems.get(key(name), []), name)
        return found if found and os.path.isfile(found) else None

    def _listing(self, folder: Path) -> tuple[dict, dict]:
        if folder not in self.lists:
            try:
                there = sorted(os.listdir(folder))
            except OSError:
                there = []
            self.lists[folder] = _by_name([folder / name for name in there])
        return self.lists[folder]

    def _anywhere(self, name: str, base: Path, split: str) -> Path | None:
        if self.below_root is None:
            self.below_root = _by_name(walk(self.root, Counter()))
        own = split or _split_in_path(base / name, self.root)
        for known in self.below_root:
            found = known.get(key(name), [])
            inside = [path for path in found if path.is_relative_to(base)]
            others = [path for path in found if _split_in_path(path, self.root) in (WHOLE, own)]
            if path := _pick(inside, name) or _pick(others if own else found, name):
                return path
        return None


def _pieces(name: str) -> tuple[str, ...]:
    """A name's folders and file; () where it leads out of where it starts."""
    parts = os.path.normpath(name.replace("\\", "/")).split("/")
    parts = tuple(part for part in parts if part not in ("", "."))
    return () if ".." in parts else parts


def _by_name(paths) -> tuple[dict, dict]:
    """Files by their names, and images by their names without the suffix."""
    names, stems = {}, {}
    for path in paths:
        names.setdefault(key(path.name), []).append(path)
        if path.suffix.lower() in SUFFIXES:
            stems.setdefault(key(path.stem), []).append(path)
    return names, stems


def _pick(paths: list[Path], name: str) -> Path | None:
    """The one of these; of several the one of exactly that name."""
    exact = [path for path in paths if path.name == name]
    return exact[0] if exact else paths[0] if len(paths) == 1 else None


# ---- what lies in a folder


def walk(folder: Path, left: Counter, above: frozenset = frozenset()):
    """The files under a folder in name order; `left` takes the number of those left out: hidden
    ones, those of systems, masks. A link back to a folder above, which would never end, is not
    followed."""
    above = above | {os.path.realpath(folder)}
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{shown(folder.name)}: cannot be read ({error.strerror})") from None
    names = {entry.name.lower() for entry in entries}
    for entry in entries:
        name, is_folder = entry.name.lower(), os.path.isdir(entry.path)
        hidden = name.startswith(".") or name in NOT_THE_PERSONS
        drawn = _is_drawn(entry.name) if is_folder else _mask_of(name) in names
        if hidden or drawn:
            count = sum(len(names) for _, _, names in os.walk(entry.path)) if is_folder else 1
            left[HIDDEN if hidden else MASKS] += count
        elif is_folder:
            # what this program writes, where --out lies in the folder, is no part of its source
            ours = os.path.exists(os.path.join(entry.path, "results", "latest"))
            if not ours and os.path.realpath(entry.path) not in above:
                yield from walk(Path(entry.path), left, above)
        # no pipes or devices, which may never end
        elif os.path.isfile(entry.path) or os.path.islink(entry.path):
            yield Path(entry.path)


def _is_drawn(name: str) -> bool:
    """Whether a folder is named after masks: "masks", "lung masks", "Lung_Mask", "LungMasks"."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    return any(re.fullmatch(kind, word.lower()) for kind in DRAWN for word in words)


def _mask_of(name: str) -> str:
    """The film that a file is a mask of, by its name: "x_mask.png" -> "x.png"."""
    found = re.fullmatch(r"(.+)[-_ ](?:mask|seg|segmentation)(\.\w+)", name)
    return found[1] + found[2] if found else ""


def choose_one(names: list[str]) -> str:
    """Which of several data sets in a folder to use: the only one, `full`, `default`, the top's."""
    for wanted in (names[0] if len(names) == 1 else "full", "full", "default", ""):
        if wanted in names:
            return wanted
    listed = ", ".join(sorted(shown(name) for name in names)[:6])
    why = f"holds several data sets ({listed}); give the folder of one of them"
    raise DataError(f"{why}")


def identity(kind: str, folder: Path, files) -> dict:
    listing = []
    for path in files:
        status = path.stat() if path.exists() else path.lstat()  # lstat: a link that leads nowhere
        name = shown(os.path.relpath(path, folder))
        listing.append([name, status.st_size, status.st_mtime_ns])
    return {"kind": kind, "folder": shown(folder.resolve()), "files": listing}

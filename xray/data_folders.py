"""Folders: of class folders with images, or of tables (data_tables.py). Nothing in them is left out
without a note."""

import os
import re
from collections import Counter
from pathlib import Path

from xray.data_classes import means_healthy
from xray.data_images import SUFFIXES, is_image
from xray.data_sources import SPLIT_NAMES, WHOLE, DataError, Encoded, Source, left_out, shown
from xray.data_tables import SUFFIXES as TABLES
from xray.data_tables import Locator, open_tables

# what systems put beside images: thumbnails, copies, bins
NOT_THE_PERSONS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "thumbs.db", "desktop.ini"}
HIDDEN = "hidden files and files of other systems (__MACOSX, @eaDir, …)"
MASKS = "files in folders named masks"
SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk leaves at the top
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


def folder_source(given: str, folder: Path, table: Path | None = None) -> Source:
    """The source that a folder is, or a table in it. Raises DataError.

    In this order: a folder of `datasets`' save_to_disk; class folders in split folders; tables
    (parquet files, a metadata.csv or another one); class folders alone.
    """
    left = Counter()
    files = list(_walk(folder, left))
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    tables = [table] if table else [path for path in files if path.suffix.lower() in TABLES]
    roots, loose = _in_splits(folder, files)
    missing, used = (), files
    if table is None and any((folder / name).exists() for name in SAVED):
        kind, splits = "arrow", {WHOLE: [folder]}
    elif table or (tables and not _tells(roots)):
        kind, splits = _tables(given, folder, tables)
        missing = _missing_shards(splits)
        other = "tables of another data set, or named after no split,"
        left[other] = len(tables) - sum(map(len, splits.values()))
    else:
        kind, splits = "folders", _class_folders(given, roots) if roots else {}
        if not roots:
            splits, loose = _classes_alone(given, folder, files)
        splits, others = _images_alone(splits)
        used = [path for classes in splits.values() for paths in classes.values() for path in paths]
        left["images outside of class folders"] = loose
        left["files that are not taken for images"] = others
        left["tables (class folders say the classes)"] = len(tables)
    notes = [left_out(n, what) for what, n in left.items() if n]

    def open_(temporary, image_size):
        if kind == "folders":
            return *_open(folder, splits), notes
        bases = {path.parent for paths in splits.values() for path in paths} | {folder}
        locate = Locator(folder, sorted(bases, reverse=True), images)
        opened, classes, more = open_tables(given, kind, splits, locate, temporary)
        if others := locate.not_named():
            more.append(left_out(others, "images that the table does not name"))
        return opened, classes, notes + more

    listing = []
    for path in used:
        status = path.stat() if path.exists() else path.lstat()  # lstat: a link that leads nowhere
        listing.append([shown(path.relative_to(folder)), status.st_size, status.st_mtime_ns])
    identity = {"kind": kind, "folder": shown(folder.resolve()), "files": listing}
    identity |= {"table": shown(table.name)} if table else {}
    name = table.stem if table else folder.resolve().name
    return Source(name or "data", kind, identity, open_, missing=missing)


def _walk(folder: Path, left: Counter, above: frozenset = frozenset()):
    """The files under a folder in name order; `left` takes the number of those left out: hidden
    ones, those of systems, masks. A link back to a folder above, which would never end, is not
    followed."""
    above = above | {os.path.realpath(folder)}
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read ({error.strerror})") from None
    for entry in entries:
        name, is_folder = entry.name.lower(), os.path.isdir(entry.path)
        hidden = name.startswith(".") or name in NOT_THE_PERSONS
        if hidden or (is_folder and name in ("mask", "masks")):
            count = sum(len(names) for _, _, names in os.walk(entry.path)) if is_folder else 1
            left[HIDDEN if hidden else MASKS] += count
        elif is_folder:
            if os.path.realpath(entry.path) not in above:
                yield from _walk(Path(entry.path), left, above)
        # no pipes or devices, which may never end
        elif os.path.isfile(entry.path) or os.path.islink(entry.path):
            yield Path(entry.path)


# ---- tables


def _split_of(part: str) -> str | None:
    """The split that a folder or file is named after: "val", "train-00000-of-00002.parquet"."""
    stem = re.sub(r"\.(parquet|csv|tsv|jsonl)$", "", part.lower())
    return SPLIT_NAMES.get(re.sub(r"[-_.]\d+([-_]of[-_]\d+)?([-_.][0-9a-f]+)?$", "", stem))


def _tables(given: str, folder: Path, files: list[Path]) -> tuple[str, dict[str, list[Path]]]:
    """The kind of a folder's tables, and those by split of one configuration: `full` and `mini`
    side by side are two. Parquet files come before others, files named metadata before those."""
    ranks = {}
    for path in files:
        kind = TABLES[path.suffix.lower()]
        ranks.setdefault((kind != "parquet", path.stem.lower() != "metadata", kind), []).append(
            path
        )
    *_, kind = first = min(ranks)
    found, whole = {}, []
    for path in ranks[first]:
        parts = path.relative_to(folder).parts
        depth = next((i for i, part in enumerate(parts) if _split_of(part)), None)
        if depth is None:
            whole.append(path)
        else:
            name = "/".join(p for p in parts[:depth] if p != "data")
            found.setdefault(name, {}).setdefault(_split_of(parts[depth]), []).append(path)
    if found:
        return kind, found[_choose(given, list(found))]
    if len(whole) > 1 and kind != "parquet":
        listed = ", ".join(shown(path.relative_to(folder)) for path in whole[:6])
        raise DataError(f"{shown(given)}: holds several tables ({listed}); give one of them")
    return kind, {WHOLE: whole}


def _missing_shards(splits: dict[str, list[Path]]) -> tuple[str, ...]:
    """The files that names such as train-00000-of-00003.parquet promise and that are not there."""
    there, promised = set(), {}
    for path in (path for paths in splits.values() for path in paths):
        match = re.match(r"(.*[-_.])(\d+)([-_]of[-_])(\d+)", path.name)
        if match and int(match[4]) < 100_000:
            start, number, of, count = match.groups()
            there.add(match[0])
            for i in range(int(count)):
                promised[f"{start}{i:0{len(number)}}{of}{count}"] = path.suffix
    return tuple(name + end for name, end in promised.items() if name not in there)


def _choose(given: str, names: list[str]) -> str:
    """Which of several data sets in a folder to use: the only one, `full`, `default`, the top's."""
    for wanted in (names[0] if len(names) == 1 else "full", "full", "default", ""):
        if wanted in names:
            return wanted
    listed = ", ".join(sorted(shown(name) for name in names)[:6])
    why = f"holds several data sets ({listed}); give the folder of one of them"
    raise DataError(f"{shown(given)}: {why}")


# ---- class folders


def _in_splits(folder: Path, files: list[Path]) -> tuple[dict, int]:
    """Folder that holds split folders -> split folder's name -> class folder's name -> files; and
    how many images lie in no class folder of a split. No folder where no image is in one."""
    roots, loose = {}, 0
    for path in files:
        parts = path.relative_to(folder).parts
        depth = next((i for i, part in enumerate(parts[:-1]) if part.lower() in SPLIT_NAMES), None)
        if depth is None or depth + 2 == len(parts):
            loose += path.suffix.lower() in SUFFIXES
        else:
            root = roots.setdefault(parts[:depth], {})
            root.setdefault(parts[depth], {}).setdefault(parts[depth + 1], []).append(path)
    held = (
        p for root in roots.values() for classes in root.values() for p in sum(classes.values(), [])
    )
    return (roots if any(path.suffix.lower() not in TABLES for path in held) else {}), loose


def _tells(roots: dict) -> bool:
    """Whether class folders are that: one is healthy by its name, else they may be patients'."""
    return any(means_healthy(name) for r in roots.values() for c in r.values() for name in c)


def _class_folders(given: str, roots: dict) -> dict[str, dict[str, list[Path]]]:
    """Files by split and class, class names in capitals. Of nested copies (the well-known archive
    holds one) the one nearest to the top is used."""
    nearest = min(map(len, roots))
    at_top = {"/".join(root): splits for root, splits in roots.items() if len(root) == nearest}
    result = {}
    for name, classes in at_top[_choose(given, list(at_top))].items():
        split = SPLIT_NAMES[name.lower()]
        if split in result:
            raise DataError(f"{shown(given)}: two folders are the {split} split; keep one of them")
        result[split] = _in_capitals(classes)
    return result


def _in_capitals(classes: dict[str, list[Path]]) -> dict[str, list[Path]]:
    result = {}
    for title, paths in classes.items():
        result.setdefault(title.upper(), []).extend(paths)
    return result


def _classes_alone(given: str, folder: Path, files: list[Path]) -> tuple[dict, int]:
    """{WHOLE: files by class} of class folders in no split folder, below the first folder that
    holds more than one folder with files; and how many images lie in none of them."""
    inside = [(path, path.relative_to(folder).parts) for path in files]
    depth = 0
    while len({parts[: depth + 1] for _, parts in inside if len(parts) > depth + 1}) == 1:
        depth += 1
    classes, loose = {}, 0
    for path, parts in inside:
        if len(parts) > depth + 1:
            classes.setdefault(parts[depth], []).append(path)
        else:
            loose += path.suffix.lower() in SUFFIXES
    if not any(
        path.suffix.lower() in SUFFIXES or is_image(path) for path in sum(classes.values(), [])
    ):
        why = "no images in class folders"
        for path in files:
            if path.suffix.lower() in ARCHIVES:
                why = f"holds {shown(path.name)}; unpack it"
            elif path.suffix.lower() in (".xlsx", ".xls", ".ods"):
                why = f"{why}; holds {shown(path.name)}; save it as CSV"
        raise DataError(
            f"{shown(given)}: {why}; it needs the folders train, validation and test with NORMAL "
            "and PNEUMONIA in each of them, or NORMAL and PNEUMONIA alone, or a table of images"
        )
    return {WHOLE: _in_capitals(classes)}, loose


def _images_alone(splits: dict) -> tuple[dict, int]:
    """The same without what is no image, by suffix, or else by content; and how many that were."""
    others, result = 0, {}
    for split, classes in splits.items():
        result[split] = {}
        for title, paths in classes.items():
            images = [p for p in paths if p.suffix.lower() in SUFFIXES or is_image(p)]
            others += len(paths) - len(images)
            if images:
                result[split][title] = images
    return result, others


def _open(folder: Path, splits: dict):
    opened = {}
    for split, classes in splits.items():
        rows = [(path, name) for name in sorted(classes) for path in classes[name]]
        opened[split] = Encoded(
            [shown(path.relative_to(folder).as_posix()) for path, _ in rows],
            [name for _, name in rows],
            lambda row, rows=rows: rows[row][0].read_bytes(),
        )
    return opened, sorted({name for classes in splits.values() for name in classes})

"""What lies in a folder: its files without masks and what systems put there, the splits that
folders are named after, the tables that are one data set, and the files that a table names."""

import os
import re
import unicodedata
from collections import Counter
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from xray.data_choices import SPLIT_NAMES, WHOLE, DataError, listed, offer, shown, words_of
from xray.data_images import SUFFIXES
from xray.data_readers import LABELS, TABLES, plain

# what systems put beside images: thumbnails, copies, bins
NOT_THE_PERSONS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "thumbs.db", "desktop.ini"}
HIDDEN = "hidden files and files of other systems (__MACOSX, @eaDir, …)"
MASKS = "masks and other drawings beside films"
DRAWN = "masks? lungmasks? seg segmentations? annotations? groundtruth overlays? heatmaps?".split()
# what the name of a split's folder may say besides
OF_NO_CLASS = set("image images img imgs film films xray xrays data set dataset split v".split())


def walk(folder: Path, left: Counter, above: frozenset = frozenset(), drawn: bool = False):
    """The files under a folder in name order; `left` takes the number of those left out: hidden
    ones, those of systems, masks (drawn: whether the folder is of such, where tables may lie too).
    A link back to a folder above, which would never end, is not followed."""
    above = above | {os.path.realpath(folder)}
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{shown(folder.name)}: cannot be read ({error.strerror})") from None
    stems = {Path(entry.name).stem.lower() for entry in entries}
    for entry in entries:
        path, name, is_folder = Path(entry.path), entry.name.lower(), os.path.isdir(entry.path)
        if name.startswith(".") or name in NOT_THE_PERSONS:
            left[HIDDEN] += sum(len(names) for *_, names in os.walk(path)) if is_folder else 1
        elif is_folder:
            # what this program writes, where --out lies in the folder, is no part of its source
            ours = (path / "results" / "latest").exists()
            if not ours and os.path.realpath(path) not in above:
                yield from walk(path, left, above, drawn or is_drawn(entry.name))
        elif path.suffix.lower() not in TABLES and (drawn or film_of(path.stem.lower()) in stems):
            left[MASKS] += 1
        # no pipes or devices, which may never end
        elif path.is_file() or path.is_symlink():
            yield path


def is_drawn(name: str) -> bool:
    """Whether a folder is named after masks: "masks", "lung masks", "Lung_Mask", "LungMasks", or
    "GT" alone, which is part of other names too."""
    words = words_of(name)
    drawn = any(re.fullmatch(kind, word) for kind in DRAWN for word in words)
    return drawn or name.lower() == "gt"


def film_of(stem: str) -> str:
    """The film that a file is a mask of, by its name: "x_mask", "mask-x" -> "x"; else ""."""
    word = "(?:masks?|seg|segmentation)"
    found = re.fullmatch(rf"(.+)[-_ ]{word}|{word}[-_ ](.+)", stem)
    return (found[1] or found[2]) if found else ""


def identity(kind: str, folder: Path, files) -> dict:
    listing = []
    for path in files:
        status = path.stat() if path.exists() else path.lstat()  # lstat: a link that leads nowhere
        name = shown(os.path.relpath(path, folder))
        listing.append([name, status.st_size, status.st_mtime_ns])
    return {"kind": kind, "folder": shown(folder.resolve()), "files": listing}


# ---- splits by the names of folders


def split_of(folder: str) -> str:
    """The split that a folder is named after ("val", "Test_Images", "trainData", "test 2"), else
    WHOLE."""
    told = [word for word in words_of(folder) if word not in OF_NO_CLASS]
    return SPLIT_NAMES.get(told[0], WHOLE) if len(told) == 1 else WHOLE


def split_in_path(path, root: Path) -> str:
    """The split that a path's folders below the root name, else WHOLE."""
    text = os.path.relpath(path, root) if isinstance(path, Path) else path
    parts = text.replace("\\", "/").split("/")[:-1]
    first, end = split_run(parts)
    return split_of(parts[end - 1]) if first < end else WHOLE


def split_run(parts) -> tuple[int, int]:
    """Where the first folders named after splits begin and end. Of several in each other
    (test/test, train/val) the innermost tells the split."""
    told = [split_of(part) != WHOLE for part in parts] + [False]
    first = told.index(True) if any(told) else len(parts)
    return first, first + told[first:].index(False)


# ---- which tables are one data set


def choose_one(places: dict[str, Path]) -> str:
    """Which of several data sets in a folder to use: the only one, `full`, `default`, the top's.
    places: their names and folders."""
    wanted = list(places) if len(places) == 1 else ["full", "default", ""]
    for name in wanted:
        if name in places:
            return name
    one = offer(data=str(places[min(places)]))
    raise DataError(f"holds several data sets ({listed(sorted(places))}); give one, such as {one}")


def _stem(path: Path) -> str:
    """A table's name in small letters, without what numbers its parts: "train" of
    train-00000-of-00002.parquet."""
    return re.sub(r"[-_.]\d+([-_]of[-_]\d+)?([-_.][0-9a-f]+)?$", "", path.stem.lower())


def _by_word(files: list[Path]) -> dict[str, list[Path]]:
    """Tables whose names differ by a word alone that is a split ("labels_train.csv"), by split;
    empty where they do not."""
    found, others = {}, set()
    for path in files:
        words = re.split(r"[-_. ]+", _stem(path))
        split = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)
        found.setdefault(split, []).append(path)
        others.add(tuple(word for word in words if word not in SPLIT_NAMES))
    return found if None not in found and len(found) > 1 and len(others) == 1 else {}


def tables_of_one(folder: Path, files: list[Path]) -> dict[str, list[Path]]:
    """The tables of one data set in a folder, by split: `full` and `mini` side by side are two.
    Parquet files come before others; files named metadata, where they hold labels, before those."""
    labelled = [path for path in files if _has_labels(path)]
    parquet = [path for path in files if path.suffix.lower() == ".parquet"]
    metadata = [path for path in files if path.stem.lower() == "metadata"]
    files = parquet or (metadata if {*metadata} & {*labelled} else files)
    found, places, whole = {}, {}, []
    for path in files:
        folders = path.relative_to(folder).parts[:-1]
        splits = [split_of(part) for part in (*folders, _stem(path))]
        at = next((at for at, split in enumerate(splits) if split != WHOLE), None)
        if at is None:
            whole.append(path)
            continue
        name = "/".join(part for part in folders[:at] if part != "data")
        places[name] = folder.joinpath(*folders[:at])
        found.setdefault(name, {}).setdefault(splits[at], []).append(path)
    if found:
        return found[choose_one(places)]
    if splits := _by_word(whole):
        return splits
    if len(whole) > 1 and not parquet:
        names = listed(path.relative_to(folder) for path in whole)
        one = offer(data=str(next((path for path in whole if path in labelled), whole[0])))
        raise DataError(f"holds several tables ({names}); give one of them, such as {one}")
    return {WHOLE: whole}


def _has_labels(path: Path) -> bool:
    """Whether the first line of a text names a column of labels."""
    with suppress(OSError), open(path, "rb") as stream:
        first = stream.readline(10_000).decode("utf-8", "replace")
        names = {plain(name) for name in re.split(r'[",;\t|:{}]', first)}
        return bool(names & (LABELS | {"pneumonia"}))
    return False


def missing_shards(files: list[Path]) -> tuple[str, ...]:
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


# ---- the files that a table names


def key(name: str) -> str:
    """Names with one key are one: however composed, in capitals or not."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()


ABSOLUTE = r"([A-Za-z]:)?[/\\]"  # how an absolute path begins, on Windows too


class Finder:
    """The files below a folder that a table names, with or without their suffix.

    A name is looked for in the table's own folder, then in the source's. Folders that all names of
    a column begin with may be none of the source's. A name without any folder may lie in any one
    place, though not in another split's, and in no two. Nothing outside of the folder is ever
    found.
    """

    def __init__(self, root: Path):
        self.root, self.lists = root, {}
        self.several: list[str] = []  # files that one name may be, so that it is none

    def __call__(self, names: list[str], base: Path, split="", deep=True) -> list[Path | None]:
        pieces = [_pieces(name) for name in names]
        common = os.path.commonprefix([parts[:-1] for parts in pieces if parts])
        for cut in range(len(common) + 1):
            found = [
                self._search(parts, cut, base, split, deep, re.match(ABSOLUTE, name) is not None)
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
        for part in parts:
            folder = _pick(self._listing(folder).get(key(part), []), part)
            if folder is None:
                return None
        return folder if os.path.isfile(folder) else None

    def _listing(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self.lists:
            try:
                there = sorted(os.listdir(folder))
            except OSError:
                there = []
            self.lists[folder] = _by_name([folder / name for name in there])
        return self.lists[folder]

    @cached_property
    def _all(self) -> dict[str, list[Path]]:
        return _by_name(walk(self.root, Counter()))

    def _anywhere(self, name: str, base: Path, split: str) -> Path | None:
        found = self._all.get(key(name), [])
        if own := split or split_in_path(base / name, self.root):
            found = [path for path in found if split_in_path(path, self.root) in (WHOLE, own)]
        inside = [path for path in found if path.is_relative_to(base)]
        one = _pick(inside, name) or _pick(found, name)
        if found and one is None:
            self.several = [os.path.relpath(path, self.root) for path in found]
        return one


def _pieces(name: str) -> tuple[str, ...]:
    """A name's folders and file; () where it leads out of where it starts."""
    parts = os.path.normpath(name.replace("\\", "/")).split("/")
    parts = tuple(part for part in parts if part not in ("", "."))
    return () if ".." in parts else parts


def _by_name(paths) -> dict[str, list[Path]]:
    """Files and folders by their names, images by those without the suffix too."""
    found = {}
    for path in paths:
        for name in {path.name, path.stem} if path.suffix.lower() in SUFFIXES else {path.name}:
            found.setdefault(key(name), []).append(path)
    return found


def _pick(paths: list[Path], name: str) -> Path | None:
    """The one of these; of several the only one of exactly that name."""
    exact = [path for path in paths if path.name == name]
    paths = exact or paths
    return paths[0] if len(paths) == 1 else None

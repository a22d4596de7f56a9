"""A source -> a table of films, a row an image, and a way to read a row's bytes.

A source is one string: a folder of class folders; a table, or a folder of tables (data_tables.py);
a data set of the Hub; "films", the 64×64 films that come with the project, or "films:elsewhere",
those of another hospital; "phantom" (data_phantoms.py). What it does not say plainly is asked for,
and Choices say it.
"""

import difflib
import errno
import logging
import os
import re
import sys
import threading
from collections import Counter
from concurrent.futures import Future
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from xray import data_phantoms, data_tables
from xray.data_choices import (
    NO_CHOICES,
    PAPER,
    WHOLE,
    Choices,
    DataError,
    HubUnreachable,
    Source,
    listed,
    means_healthy,
    offer,
    shown,
)
from xray.data_files import choose_one, identity, split_of, split_run, walk
from xray.data_images import is_image
from xray.data_readers import TABLES


def find(text: str, choices: Choices = NO_CHOICES) -> Source:
    """What a source names: phantoms, else a folder or a table, else the films that come with the
    project, else a Hub data set. Raises DataError, without the source's name."""
    if text.split(":")[0] == "phantom":
        return data_phantoms.source(text)
    try:
        place = Path(text).expanduser()
    except RuntimeError:
        raise DataError("no such folder: that user has no home here") from None
    if text.strip() and place.is_dir():
        found = folder_source(place, choices)
        if text in BOX:
            found.notes.append(f"The folder {text} is read, not the project's own films")
        return found
    if text.strip() and place.exists():
        if place.suffix.lower() in TABLES:
            found = data_tables.source(place.parent, [place], Counter(), choices)
            found.name = place.stem
            return found
        raise DataError(
            "a file, but no table; give the folder of the images, unpack an archive, save a sheet "
            "as CSV"
        )
    if text in BOX:
        return _box(text, choices)
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", text, re.ASCII):
        try:
            return hub_source(text, choices)
        except DataError as error:
            raise type(error)(f"{error}{_meant(place)}") from None
    path = text[:1] in ("", ".", "~", "/") or (text.count("/") > 1 and "://" not in text)
    hint = _meant(place) or ("" if path else ", and a data set of the Hub is named owner/name")
    raise DataError(f"no such folder{hint}")


def _meant(place: Path) -> str:
    """The folder that a wrong name may mean, as the end of a message; "" where there is none."""
    try:
        there = [path.name for path in place.parent.iterdir() if path.is_dir()]
    except (OSError, ValueError):
        return ""
    near = difflib.get_close_matches(place.name, there, n=1)
    return f"; did you mean {shown(place.parent / near[0])}?" if near else ""


# ---- the films that come with the project

CHILDREN = "CC BY 4.0 (Kermany, Zhang, Goldbaum: doi.org/10.17632/rscbjbr9sj)"
RECORD = "d420e3f6c94b9352a5e892b385a5e606e819ed127b367515daca47e2707d38c4"  # its fingerprint
ADULTS = "NIH Clinical Center, ChestX-ray14 (Wang et al. 2017): nihcc.app.box.com/v/ChestXray-NIHCC"
BOX = {
    "films": (["train", "validation", "test"], CHILDREN),
    "films:elsewhere": (["elsewhere"], ADULTS),
}


def licence(source: str, fingerprint: str = "") -> str:
    """Under which terms a source's films stand, where that is known; else ""."""
    if source in BOX and not Path(source).is_dir():
        return BOX[source][1]
    return CHILDREN if source.lower() == PAPER or fingerprint == RECORD else ""


def _box(text: str, choices: Choices) -> Source:
    names, whence = BOX[text]
    folder = Path(__file__).parent / "films"
    files = [folder / f"{name}.parquet" for name in names]
    found = data_tables.source(folder, files, Counter(), choices)
    found.name, found.kind = text.replace(":", "-"), "films"
    found.notes.append(f"64×64 copies that come with the project: {whence}")
    return found


# ---- folders

NESTED = "images of a further copy, deeper in the folder,"
SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk leaves at the top


def folder_source(folder: Path, choices: Choices) -> Source:
    """The source that a folder is: of save_to_disk; of class folders whose names tell the classes;
    of tables; of class folders. Raises DataError."""
    left = Counter()
    files = list(walk(folder, left))
    if any((folder / name).exists() for name in SAVED):
        return data_tables.source(folder, [folder], left, choices)
    tables = [path for path in files if path.suffix.lower() in TABLES]
    others = [path for path in files if path.suffix.lower() not in TABLES]
    images = [path for path in others if is_image(path)]
    films = _class_folders(folder, images)
    asked = [name for name in ("label", "image", "patient") if getattr(choices, name)]
    said = choices.positive + choices.negative
    if tables and not asked and not said and {*films.title} == {"0", "1"}:
        one = offer(data=str(tables[0]))
        raise DataError(
            f"its folders 0 and 1 may be classes or parts; take the labels from the table with "
            f"{one}, or from these folders with --positive 1 --negative 0"
        )
    if tables and (asked or not _tells(films, choices)):
        return data_tables.source(folder, tables, left, choices, images)
    if films.empty:
        if saved := sorted(path.parent for path in others if path.name in SAVED):
            one = offer(data=str(saved[0]))
            raise DataError(f"a data set of save_to_disk lies deeper in it; give that, {one}")
        raise DataError(
            "no images in class folders; it needs the folders train, validation and test with "
            "NORMAL and PNEUMONIA in each of them, or NORMAL and PNEUMONIA alone, or a table of "
            "images (CSV, JSON lines, parquet)"
        )
    if asked:
        raise DataError(f"--{asked[0]} names a column, and there is no table")
    films = _one_data_set(folder, films, left)
    return _of_class_folders(folder, files, tables, images, films, left)


def _class_folders(folder: Path, images: list[Path]) -> pd.DataFrame:
    """A row an image that lies in a class folder: path, root (the folders above class and split),
    folder (its split's), title, split.

    Class folders lie in split folders, or split folders in class folders, or class folders alone.
    Of split folders in split folders (test/test, train/val) the innermost counts.
    """
    below, above, alone = [], [], []
    for path in images:
        parts = tuple(map(shown, path.relative_to(folder).parts[:-1]))
        first, end = split_run(parts)
        split = "/".join(parts[first:end])
        if not split:
            alone.append((path, parts))
        if split and end < len(parts):
            below.append((path, parts[:first], split, parts[end:]))
        if split and first > 0:
            above.append((path, parts[: first - 1], split, parts[first - 1]))
    below = _below_splits(below)
    healthy = [
        any(means_healthy(title) for *_, title in rows if not title.isdigit())
        for rows in (below, above)
    ]
    if len(alone) == len(images):
        at = _class_level([parts for _, parts in alone])
        rows = [(path, parts[:at], "", parts[at]) for path, parts in alone if len(parts) > at]
    elif healthy[0] or not healthy[1]:
        rows = below
    else:
        rows = above if len(above) > len(alone) else []
    films = pd.DataFrame(rows, columns=["path", "root", "folder", "title"])
    return films.assign(split=[split_of(name.split("/")[-1]) for name in films.folder])


def _below_splits(found: list[tuple]) -> list[tuple]:
    """Rows of `_class_folders` below split folders, which have the class in place of the folders
    down to the image: sites, say, may lie above the classes."""
    levels = {}
    for _, _, split, folders in found:
        levels.setdefault(split, []).append(folders)
    for split, folders in levels.items():
        at = _class_level(folders)
        levels[split] = at if at < max(map(len, folders)) else 0
    return [
        (path, root, split, folders[levels[split]])
        for path, root, split, folders in found
        if len(folders) > levels[split]
    ]


def _class_level(folders: list[tuple[str, ...]]) -> int:
    """How deep class folders lie without splits: where there are several folders first, but
    deeper where these tell no class and those below do: these are several data sets."""
    levels = [set(filter(None, level)) for level in zip_longest(*folders)]
    # a number is no class: images lie in numbered folders too
    words = [{name for name in level if not name.isdigit()} for level in levels]
    told = [any(map(means_healthy, level)) for level in words] + [False]
    for depth, level in enumerate(levels):
        if len(level) > 1 and (told[depth] or not told[depth + 1]):
            return depth
    return len(levels)


def _one_data_set(folder: Path, films: pd.DataFrame, left: Counter) -> pd.DataFrame:
    """Of class folders those of one data set: of nested copies (the well-known archive holds one)
    the one nearest to the top. Raises DataError where there are several."""
    count = len(films)
    films = films[films.root.map(len) == films.root.map(len).min()]
    places = {"/".join(root): folder.joinpath(*root) for root in films.root.unique()}
    films = films[films.root.map("/".join) == choose_one(places)]
    left[NESTED] = count - len(films)
    twice = films.groupby(["split", films.title.str.upper()]).folder.nunique()
    if (twice > 1).any():
        raise DataError(f"two folders are the {twice.idxmax()[0]} split; keep one of them")
    return films


def _tells(films: pd.DataFrame, choices: Choices) -> bool:
    """Whether class folders are that: one is healthy by its name, which is no number, or named in
    `choices`; else they may be patients' or parts."""
    titles = {title.upper() for title in films.title}
    said = {name.upper() for name in choices.positive + choices.negative}
    healthy = any(means_healthy(title) for title in titles if not title.isdigit())
    return len(titles) > 1 and (healthy or bool(titles & said))


def _of_class_folders(folder, files, tables, images, films: pd.DataFrame, left: Counter) -> Source:
    spelled = films.title.groupby(films.title.str.upper()).unique()
    alike = [f" ({listed(sorted(names))} are one)" for names in spelled if len(names) > 1]
    # class names are in capitals; within a split by class, then in name order
    films = films.assign(title=films.title.str.upper(), patient="")
    films = films.sort_values("title", kind="stable", ignore_index=True)
    paths = list(films.path)
    beside, taken = {path.parent for path in paths}, {*images, *tables}
    left["images outside of class folders"] += len(images) - len(paths) - left[NESTED]
    left["tables (class folders say the classes)"] += len(tables)
    left["files that are not taken for images"] += sum(
        path.parent in beside and path not in taken for path in files
    )
    films["path"] = [shown(path.relative_to(folder).as_posix()) for path in paths]
    splits = {"splits": "the names of folders"} if (films.split != WHOLE).any() else {}
    return Source(
        name=folder.resolve().name or "data",
        kind="folders",
        identity=identity("folders", folder, paths),
        films=films[["path", "split", "title", "patient"]],
        read=lambda row: paths[row].read_bytes(),
        classes=sorted(films.title.unique()),
        taken={"labels": "the names of class folders" + "".join(alike)} | splits,
        left_out=left,
    )


# ---- the Hub: huggingface_hub's proxies, certificates, tokens and cache are used

CONVERTED = "refs/convert/parquet"  # the Hub's own copy of each data set as parquet files
HUB_SECONDS = 10  # how long the Hub may take to answer at all


def hub_source(given: str, choices: Choices, seconds: float = HUB_SECONDS) -> Source:
    """What a Hub id names, fetched; where the Hub cannot be asked, what was fetched of it before.
    Raises HubUnreachable with the reason, and DataError where there is no such data set."""
    place, note = _fetch(given, seconds)
    tops = [place / name for name in ("full", "default") if (place / name).is_dir()]
    found = folder_source(tops[0] if tops else place, choices)
    found.name, found.kind = given.split("/")[1], "hub"
    found.identity = {"kind": "hub", "id": given, "commit": place.name}
    found.notes += [note] if note else []
    return found


def _fetch(given: str, seconds: float) -> tuple[Path, str]:
    """The folder, named after its commit, that holds a revision's files; and what to say of it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from huggingface_hub.utils import disable_progress_bars

    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    if not sys.stderr.isatty():  # on a terminal it shows how far it is
        disable_progress_bars()
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    how = {"repo_type": "dataset", "endpoint": endpoint}
    paper = given.lower() == PAPER
    how |= {"allow_patterns": "full/**"} if paper else {}
    try:
        revision = _in_time(lambda: _revision(given, endpoint), seconds)
        return Path(snapshot_download(given, revision=revision, **how)), ""
    except Exception as error:
        why = f"the Hub ({endpoint}) cannot be reached ({_why_unreachable(error)})"
    for revision in (CONVERTED,) if paper else (None, CONVERTED):
        with suppress(LocalEntryNotFoundError):
            kept = snapshot_download(given, revision=revision, local_files_only=True, **how)
            return Path(kept), f"{given}: {why}; what was fetched from it before is used"
    raise HubUnreachable(f"{why}; give a local folder, or films (those that come with the project)")


def _revision(given: str, endpoint: str) -> str | None:
    """The revision to read: main where it holds parquet files, else the Hub's copy as parquet files
    where that is whole, else main; of the paper's data set that copy."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    def files(revision):
        info = HfApi(endpoint=endpoint).dataset_info(given, revision=revision)
        return [sibling.rfilename for sibling in info.siblings or []]

    if given.lower() == PAPER:
        files(CONVERTED)  # raises what is wrong with it
        return CONVERTED
    if any(name.endswith(".parquet") for name in files(None)):
        return None
    try:
        return None if any("/partial-" in name for name in files(CONVERTED)) else CONVERTED
    except RevisionNotFoundError:
        return None


def _why_unreachable(error: Exception) -> str:
    """Why the Hub gave nothing, where it may tomorrow. Raises DataError where it will not."""
    from huggingface_hub import errors

    # snapshot_download wraps what stopped it
    while error.__cause__ is not None and not isinstance(error, errors.HfHubHTTPError):
        error = error.__cause__
    text = " ".join(str(error).split())
    if isinstance(error, errors.GatedRepoError):
        why = "accept its conditions on the Hub, then set HF_TOKEN"
    elif isinstance(error, errors.RepositoryNotFoundError):
        why = "no such folder, and no such data set on the Hub (or it needs a login: set HF_TOKEN)"
    elif isinstance(error, errors.HfHubHTTPError):
        code = error.response.status_code
        if code == 429 or code >= 500:
            return f"it answers {code}"
        why = f"the Hub refuses it: {text[:150]}"
    elif getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EACCES):
        why = (
            f"what the Hub sends cannot be kept ({error.strerror}); free some space, or set "
            "HF_HOME to another folder"
        )
    elif isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    else:
        return text[:120] or type(error).__name__
    raise DataError(why) from None


def _in_time(ask, seconds: float):
    """ask(), but no longer than that: a name server's wait cannot be limited otherwise."""
    answer = Future()

    def wait():
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=wait, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        raise TimeoutError(f"no answer in {seconds:g} s") from None

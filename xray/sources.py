"""A source, one string -> the paths, labels and encoded bytes of its three splits. Nothing is decoded here.

A source is a data set id of the Hub, a folder of parquet files in the Hub's layout, or a folder of class folders
train|valid|validation|val|test/NORMAL|PNEUMONIA. All of them are read with the `datasets` library or as plain files; no
code that comes with a data set is ever run.
"""

import glob
import logging
import os
import re
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PAPER = "keremberke/chest-xray-classification"  # section 2.1
CONVERTED = "refs/convert/parquet"  # the Hub's own copy of each data set as parquet files
SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {"train": "train", "training": "train", "validation": "validation", "valid": "validation",
               "val": "validation", "dev": "validation", "test": "test", "testing": "test"}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".pgm",
                  ".ppm", ".avif"}
HUB_SECONDS = 4  # how long the Hub may take to answer at all


class DataError(ValueError):
    """A source that cannot be used: the message is one line that names it, says why and what to do."""


class HubUnreachable(DataError):
    """The Hub does not answer."""


@dataclass
class Split:
    """One split of a source, before decoding."""

    paths: list[str]  # as in the source
    classes: list[str]  # each image's class, as the source calls it
    read: Callable[[int], bytes | None]  # row -> encoded bytes, None where there are none; may raise OSError


@dataclass
class Source:
    """What a source is, known without reading its images.

    identity: JSON-able; changes when the source's content does (file names, sizes and times, or the Hub's commit).
    open: (temporary folder, image size) -> (splits by name, class names in the source's order, notes). The size is for
        images that are drawn, not read. Raises DataError.
    fingerprint: of the content, where it is known without reading it, else "".
    """

    name: str
    kind: str  # "hub", "parquet", "folders" or "phantom"
    identity: dict
    open: Callable[[Path, int], tuple[dict[str, Split], list[str], list[str]]]
    fingerprint: str = ""


def shown(text) -> str:
    """A name as it can stand in a one-line message."""
    text = os.fsencode(str(text)).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def find(source: str) -> Source:
    """Tell what kind of source a string names. An existing local folder comes before the Hub. Raises DataError."""
    folder = Path(source).expanduser()
    if source.strip() and folder.is_dir():
        return _folder_source(source, folder)
    if source.strip() and folder.exists():
        raise DataError(f"{shown(source)}: a file; give the folder that holds the train, validation and test splits")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", source):
        raise DataError(f"{shown(source)!r}: no such folder")
    if "/" not in source:
        raise DataError(f"{shown(source)!r}: no such folder, and a data set of the Hub is named owner/name")
    return _hub_source(source)


# ---- local folders

def _walk(folder: Path, skip_links: set | None = None):
    """Regular files under a folder, in name order, without hidden ones and __MACOSX; a folder linked to twice in one
    branch (a loop) is entered once."""
    above = (skip_links or set()) | {os.path.realpath(folder)}
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read ({error.strerror})") from None
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if entry.is_dir():
            if os.path.realpath(entry.path) not in above:
                yield from _walk(Path(entry.path), above)
        elif entry.is_file() or entry.is_symlink():
            yield Path(entry.path)


def _folder_source(source: str, folder: Path) -> Source:
    name = folder.resolve().name or "data"
    files = list(_walk(folder))
    parquet = [path for path in files if path.suffix.lower() == ".parquet"]
    if parquet:
        kind, chosen = "parquet", _parquet_files(source, folder, parquet)
        used = [path for paths in chosen.values() for path in paths]

        def open_(temporary, image_size):
            return _open_parquet(source, chosen, temporary)
    else:
        kind = "folders"
        chosen, notes = _class_folders(source, folder, files)
        used = [path for by_class in chosen.values() for paths in by_class.values() for path in paths]

        def open_(temporary, image_size):
            return _open_folders(folder, chosen, notes)
    listing = []
    for path in used:
        status = path.stat() if path.exists() else path.lstat()
        listing.append([shown(path.relative_to(folder)), status.st_size, status.st_mtime_ns])
    return Source(name, kind, {"kind": kind, "folder": shown(folder.resolve()), "files": listing}, open_)


def _split_of(part: str) -> str | None:
    """The split that a folder or file is named after: "val", "train-00000-of-00002.parquet"."""
    stem = re.sub(r"\.parquet$", "", part.lower())
    stem = re.sub(r"[-_.]\d+([-_]of[-_]\d+)?([-_.][0-9a-f]+)?$", "", stem)
    return SPLIT_NAMES.get(stem)


def _parquet_files(source: str, folder: Path, files: list[Path]) -> dict[str, list[Path]]:
    """Parquet files by split, of one configuration: the only one, else `full`, else `default`."""
    configs = {}
    for path in files:
        parts = path.relative_to(folder).parts
        for depth, part in enumerate(parts):
            if split := _split_of(part):
                config = "/".join(p for p in parts[:depth] if p != "data")
                configs.setdefault(config, {}).setdefault(split, []).append(path)
                break
    if not configs:
        raise DataError(f"{shown(source)}: holds parquet files but no train, validation and test split among them")
    return configs[_choose(source, list(configs), "configurations")]


def _choose(source: str, names: list[str], what: str) -> str:
    """The one of several folders to use: the only one, `full`, `default`, or the top one. Raises DataError."""
    if len(names) == 1:
        return names[0]
    for wanted in ("full", "default", ""):
        if wanted in names:
            return wanted
    listed = ", ".join(sorted(shown(name) for name in names)[:6])
    raise DataError(f"{shown(source)}: holds several {what} ({listed}); point to one of them")


def _class_folders(source, folder, files) -> tuple[dict[str, dict[str, list[Path]]], list[str]]:
    """Images by split and class, and notes. Of nested copies the one nearest to the top is used."""
    found = {}  # root that holds the split folders -> split -> class -> paths
    loose = 0
    for path in files:
        parts = path.relative_to(folder).parts
        depth = next((i for i, part in enumerate(parts[:-1]) if part.lower() in SPLIT_NAMES), None)
        if depth is None:
            continue
        root = found.setdefault("/".join(parts[:depth]), {})
        if path.suffix.lower() in (".dcm", ".dicom"):
            raise DataError(f"{shown(path)}: DICOM is not read here; convert the images to PNG first "
                            "(for example with dcmtk's dcm2pnm)")
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if depth + 2 == len(parts):
            loose += 1
            continue
        root.setdefault(parts[depth], {}).setdefault(parts[depth + 1], []).append(path)
    if not found:
        raise DataError(f"{shown(source)}: neither parquet files nor the folders train, validation and test with "
                        "NORMAL and PNEUMONIA inside; see the README for the layouts that are read")
    nearest = min(root.count("/") + bool(root) for root in found)
    at_top = [root for root in found if root.count("/") + bool(root) == nearest]
    splits = {}
    for name, classes in found[_choose(source, at_top, "data sets")].items():
        split = SPLIT_NAMES[name.lower()]
        if split in splits:
            raise DataError(f"{shown(source)}: two folders are the {split} split; keep one")
        splits[split] = {}
        for title, paths in classes.items():
            splits[split].setdefault(title.upper(), []).extend(paths)
    notes = [f"{loose} images outside of class folders are left out"] if loose else []
    return splits, notes


def _open_folders(folder: Path, splits: dict, notes: list[str]):
    opened = {}
    for split, classes in splits.items():
        rows = [(path, name) for name in sorted(classes) for path in classes[name]]

        def read(row, rows=rows):
            return rows[row][0].read_bytes()
        opened[split] = Split([shown(path.relative_to(folder).as_posix()) for path, _ in rows],
                              [name for _, name in rows], read)
    return opened, sorted({name for classes in splits.values() for name in classes}), notes


# ---- parquet files and the Hub, both through `datasets`

@contextmanager
def _quiet():
    """Import `datasets` and keep its progress bars and warnings to itself; they belong to the calling script."""
    import datasets
    from datasets.utils import logging as chatter
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    bars, hub_bars, level = datasets.utils.are_progress_bars_disabled(), are_progress_bars_disabled(), chatter.get_verbosity()
    datasets.disable_progress_bars()
    disable_progress_bars()
    chatter.set_verbosity(logging.CRITICAL)
    hub_logger = logging.getLogger("huggingface_hub")
    hub_level = hub_logger.level
    hub_logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield datasets
    finally:
        hub_logger.setLevel(hub_level)
        chatter.set_verbosity(level)
        bars or datasets.enable_progress_bars()
        hub_bars or enable_progress_bars()


def _reason(error: BaseException) -> str:
    """The innermost cause of an error, as one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return shown(" ".join(str(error).split())[:200]) or type(error).__name__


def _open_parquet(source: str, files: dict[str, list[Path]], temporary: Path):
    patterns = {split: [glob.escape(str(path.resolve())) for path in paths] for split, paths in files.items()}
    with _quiet() as datasets:
        try:
            loaded = datasets.load_dataset("parquet", data_files=patterns, cache_dir=str(temporary))
        except Exception as error:
            raise DataError(f"{shown(source)}: its parquet files cannot be read: {_reason(error)}") from None
        return _columns(source, loaded, datasets)


def _columns(source: str, loaded, datasets):
    """The path, image and label columns of a DatasetDict, whatever they are called."""
    splits, classes = {}, []
    for given, table in loaded.items():
        split = SPLIT_NAMES.get(given.lower())
        if split is None:
            continue
        if split in splits:
            raise DataError(f"{shown(source)}: two splits are the {split} split; keep one")
        image, label, path = _column_names(source, split, table.features, datasets)
        feature, values = table.features[label], list(table[label])
        if any(value is None for value in values) or (hasattr(feature, "names") and -1 in values):
            raise DataError(f"{shown(source)}: the {split} split has images without a label")
        named = [feature.names[v] for v in values] if hasattr(feature, "names") else [str(v) for v in values]
        order = feature.names if hasattr(feature, "names") else sorted(set(named))
        classes += [name for name in order if name in set(named) and name not in classes]
        try:
            images = table.select_columns([image]).cast_column(image, datasets.Image(decode=False))
        except Exception as error:
            raise DataError(f"{shown(source)}: column {image!r} holds no images: {_reason(error)}") from None
        if path:
            paths = [str(p) if p else f"{split}/{i:06d}" for i, p in enumerate(table[path])]
        else:
            paths = [(cell or {}).get("path") or f"{split}/{i:06d}" for i, cell in enumerate(images[image])]

        def read(row, images=images, image=image):
            return (images[row][image] or {}).get("bytes")
        splits[split] = Split(paths, named, read)
    return splits, classes, []


def _column_names(source, split, features, datasets) -> tuple[str, str, str | None]:
    """The image, label and path columns. Raises DataError where there is no image or no label column."""
    def first(test):
        return next((name for name, feature in features.items() if test(name.lower(), feature)), None)

    def is_text(feature):
        return getattr(feature, "dtype", None) in ("string", "large_string")

    image = first(lambda n, f: isinstance(f, datasets.Image)) or first(
        lambda n, f: n in ("image", "img", "images") and (isinstance(f, dict) and "bytes" in f or getattr(f, "dtype", None) == "binary"))
    label = first(lambda n, f: n in ("labels", "label")) or first(lambda n, f: isinstance(f, datasets.ClassLabel))
    path = first(lambda n, f: is_text(f) and n != label and ("path" in n or "file" in n))
    for column, what in ((image, "image"), (label, "label")):
        if column is None:
            raise DataError(f"{shown(source)}: the {split} split has no {what} column; it has "
                            + (", ".join(shown(name) for name in features) or "none"))
    return image, label, path


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def hub_reachable(seconds: float = HUB_SECONDS) -> bool:
    """Whether the Hub (HF_ENDPOINT) answers at all within a few seconds; `datasets` itself retries for half a minute."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    answers = []

    def ask():
        try:
            urllib.request.urlopen(urllib.request.Request(_endpoint(), method="HEAD"), timeout=seconds).close()
            answers.append(True)
        except urllib.error.HTTPError:
            answers.append(True)  # any answer is one
        except (OSError, ValueError):
            pass
    thread = threading.Thread(target=ask, daemon=True)  # a name server's own wait cannot be limited otherwise
    thread.start()
    thread.join(seconds)
    return bool(answers)


def _hub_source(source: str) -> Source:
    if not hub_reachable():
        raise HubUnreachable(f"{source}: the Hub ({_endpoint()}) cannot be reached; give a local folder, or phantom")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError
    api = HfApi(endpoint=_endpoint())
    try:
        revision = CONVERTED if source.lower() == PAPER else None
        info = api.dataset_info(source, revision=revision, timeout=20)
        files = [sibling.rfilename for sibling in info.siblings or []]
        if any(name.endswith(".py") for name in files):  # a loader script: never run, the Hub keeps a converted copy
            revision = CONVERTED
            info = api.dataset_info(source, revision=revision, timeout=20)
            files = [sibling.rfilename for sibling in info.siblings or []]
    except RepositoryNotFoundError:
        raise DataError(f"{source}: no such folder, and no such data set on the Hub (or it needs a login)") from None
    except Exception as error:
        raise DataError(f"{source}: the Hub refuses it: {_reason(error)}") from None
    tops = {name.split("/")[0] for name in files if name.count("/")}
    folder = next((top for top in ("full", "default") if top in tops), None)

    def open_(temporary, image_size):
        with _quiet() as datasets:
            try:
                loaded = datasets.load_dataset(source, data_dir=folder, revision=revision, cache_dir=str(temporary))
            except Exception as error:
                raise DataError(f"{source}: cannot be loaded from the Hub: {_reason(error)}") from None
            return _columns(source, loaded, datasets)
    return Source(source.split("/")[1], "hub", {"kind": "hub", "id": source, "commit": info.sha}, open_)

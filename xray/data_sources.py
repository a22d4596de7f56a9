"""What a source is, and the sources that are tables: parquet files and data sets of the Hub, both
read with the `datasets` library. Folders are found in data_images.py, phantoms drawn in
data_phantoms.py.

No code that comes with a data set is ever run: `datasets` refuses it, and the Hub's parquet copy is
taken instead.
"""

import errno
import glob
import logging
import os
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xray.files import shown

PAPER = "keremberke/chest-xray-classification"  # the paper's data set, section 2.1
CONVERTED = "refs/convert/parquet"  # the Hub's own copy of each data set as parquet files
HUB_SECONDS = 4  # how long the Hub may take to answer at all
SPLITS = ("train", "validation", "test")
SPLIT_NAMES = dict.fromkeys(("train", "training"), "train")
SPLIT_NAMES |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
SPLIT_NAMES |= dict.fromkeys(("test", "testing"), "test")


class DataError(ValueError):
    """A source that cannot be used: one line that names it, says why and what to do."""


class HubUnreachable(DataError):
    """The Hub does not answer."""


@dataclass
class Encoded:
    """One split of a source, before decoding."""

    paths: list[str]  # as in the source
    classes: list[str]  # each image's class, as the source calls it
    # row -> encoded bytes, None where there are none; may raise OSError
    read: Callable[[int], bytes | None]


@dataclass
class Source:
    """What a source is, known without reading its images.

    identity: JSON-able; changes when the source's content does (file names, sizes and times, or the
        Hub's commit).
    open: (temporary folder, image size) -> (splits by name, class names in the source's order,
        notes). The size is for images that are drawn, not read. Raises DataError.
    fingerprint: of the content, where it is known without reading it, else "".
    """

    name: str
    kind: str  # "hub", "parquet", "folders" or "phantom"
    identity: dict
    open: Callable[[Path, int], tuple[dict[str, Encoded], list[str], list[str]]]
    fingerprint: str = ""


# ---- tables


@contextmanager
def _quiet():
    """`datasets` with its progress bars, log and warnings off: what is printed, scripts decide."""
    import datasets  # here, since it takes a second that reading from the cache need not spend
    from datasets.utils import logging as log

    bars, level = datasets.are_progress_bars_disabled(), log.get_verbosity()
    hub_log = logging.getLogger("huggingface_hub")
    hub_level = hub_log.level
    datasets.disable_progress_bars()
    log.set_verbosity(logging.CRITICAL)
    hub_log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield datasets
    finally:
        hub_log.setLevel(hub_level)
        log.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()


@contextmanager
def _errors(given: str, doing: str):
    """Turns whatever goes wrong inside `datasets` into one DataError of its innermost cause."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        while error.__cause__ is not None:
            error = error.__cause__
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"{shown(given)}: no space left to read it; free some, or set XRAY_CACHE, and "
                "HF_HOME for what the Hub sends, to other folders"
            ) from None
        reason = shown(" ".join(str(error).split())[:200]) or type(error).__name__
        raise DataError(f"{shown(given)}: {doing}: {reason}") from None


def open_parquet(given: str, files: dict[str, list[Path]], temporary: Path):
    """Open parquet files, see Source.open; `datasets` puts a copy into the temporary folder."""
    names = {split: [str(path.resolve()) for path in paths] for split, paths in files.items()}
    patterns = {split: list(map(glob.escape, paths)) for split, paths in names.items()}
    with _quiet() as datasets, _errors(given, "its parquet files cannot be read"):
        import pyarrow.parquet

        # `datasets` gives an unclear message for a split without rows
        for split, paths in files.items():
            if not sum(pyarrow.parquet.read_metadata(path).num_rows for path in paths):
                raise DataError(f"{shown(given)}: the {split} split is empty")
        loaded = datasets.load_dataset("parquet", data_files=patterns, cache_dir=str(temporary))
    return _columns(given, loaded, datasets)


def _columns(given: str, loaded, datasets):
    """A DatasetDict's image, label and path columns, however called, as Source.open gives them."""
    splits, order, used = {}, {}, set()
    for name, table in loaded.items():
        split = SPLIT_NAMES.get(name.lower())
        if split is None or split in splits:
            continue
        image, label, path = _column_names(given, split, table.features, datasets)
        feature, values = table.features[label], list(table[label])
        names = getattr(feature, "names", None)
        if any(value is None or (names and value == -1) for value in values):
            raise DataError(f"{shown(given)}: the {split} split has images without a label")
        titles = [names[value] if names else str(value).strip() for value in values]
        order.update({title: place for place, title in enumerate(names or [])})
        used |= set(titles)
        with _errors(given, f"its column {shown(image)} holds no images"):
            images = table.select_columns([image]).cast_column(image, datasets.Image(decode=False))
        inside = table[path] if path else ((cell or {}).get("path") for cell in images[image])
        splits[split] = Encoded(
            [str(text or f"{split}/{row:06d}") for row, text in enumerate(inside)],
            titles,
            lambda row, images=images, image=image: (images[row][image] or {}).get("bytes"),
        )
    return splits, sorted(used, key=lambda title: (order.get(title, len(order)), title)), []


def _column_names(given: str, split: str, features, datasets) -> tuple[str, str, str | None]:
    """The image, label and path columns. Raises DataError without an image or a label column."""

    def first(test):
        found = (name for name, feature in features.items() if test(name.lower(), feature))
        return next(found, None)

    def is_bytes(name, feature):
        binary = getattr(feature, "dtype", "") in ("binary", "large_binary")
        binary = binary or isinstance(feature, dict) and "bytes" in feature
        return binary and name in ("image", "images", "img")

    def is_path(name, feature):
        text = getattr(feature, "dtype", "") in ("string", "large_string")
        return text and name != label and ("path" in name or "file" in name)

    image = first(lambda _, feature: isinstance(feature, datasets.Image)) or first(is_bytes)
    label = first(lambda name, _: name in ("labels", "label"))
    label = label or first(lambda _, feature: isinstance(feature, datasets.ClassLabel))
    path = first(is_path)
    for column, what in ((image, "image"), (label, "label")):
        if column is None:
            there = ", ".join(map(shown, features)) or "none"
            why = f"the {split} split has no {what} column; it has {there}"
            raise DataError(f"{shown(given)}: {why}")
    return image, label, path


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def hub_reachable(seconds: float = HUB_SECONDS) -> bool:
    """Whether the Hub (HF_ENDPOINT) answers soon; `datasets` itself tries for half a minute."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    answers = []

    def ask():
        try:
            request = urllib.request.Request(_endpoint(), method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
            answers.append(True)
        except urllib.error.HTTPError:
            answers.append(True)  # any answer is one
        except (OSError, ValueError):
            pass

    # a name server's own wait cannot be limited otherwise
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers)


def hub_source(given: str) -> Source:
    """What a Hub id names. Raises HubUnreachable, and DataError where there is no such data set."""
    if not hub_reachable():
        why = f"the Hub ({_endpoint()}) cannot be reached; give a local folder, or phantom"
        raise HubUnreachable(f"{given}: {why}")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    def ask(revision):
        info = HfApi(endpoint=_endpoint()).dataset_info(given, revision=revision, timeout=20)
        return info.sha, [sibling.rfilename for sibling in info.siblings or []]

    try:
        with _errors(given, "the Hub refuses it"):
            revision = CONVERTED if given.lower() == PAPER else None
            commit, files = ask(revision)
            if any(name.endswith(".py") for name in files):  # a loader script
                revision = CONVERTED
                commit, files = ask(revision)
    except DataError as error:
        if isinstance(error.__context__, RepositoryNotFoundError):
            why = "no such folder, and no such data set on the Hub (or it needs a login)"
            raise DataError(f"{given}: {why}") from None
        raise
    tops = {name.split("/")[0] for name in files if "/" in name}
    # else `datasets` merges full and mini
    folder = next((top for top in ("full", "default") if top in tops), None)

    def open_(temporary, image_size):
        with _quiet() as datasets, _errors(given, "cannot be loaded from the Hub"):
            loaded = datasets.load_dataset(
                given, data_dir=folder, revision=revision, cache_dir=str(temporary)
            )
        return _columns(given, loaded, datasets)

    return Source(given.split("/")[1], "hub", {"kind": "hub", "id": given, "commit": commit}, open_)

"""What a source is: the words that its readers (folders.py, tables.py, phantoms.py) and its users
share.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


class DataError(ValueError):
    """A source that cannot be used: the message is one line that names it, says why and what to
    do.
    """


class HubUnreachable(DataError):
    """The Hub does not answer."""


@dataclass
class Split:
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
    open: Callable[[Path, int], tuple[dict[str, Split], list[str], list[str]]]
    fingerprint: str = ""


def shown(text) -> str:
    """A name as it can stand in a one-line message."""
    text = os.fsencode(str(text)).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

"""What a source is, what may be said of it where it does not say so itself, and its errors. Each
kind is found in a module of its own: data_folders, data_tables, data_hub, data_phantoms."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from xray.files import shown  # noqa: F401  (also of this module's interface)

PAPER = "keremberke/chest-xray-classification"  # the paper's data set, section 2.1
SPLITS = ("train", "validation", "test")
WHOLE = ""  # the one "split" of a source that has none
SPLIT_NAMES = dict.fromkeys(("train", "training"), "train")
SPLIT_NAMES |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
SPLIT_NAMES |= dict.fromkeys(("test", "testing"), "test")


class DataError(ValueError):
    """A source that cannot be used: one line that names it, says why and what to do."""


class HubUnreachable(DataError):
    """The Hub does not answer, or cannot now."""


def left_out(count: int, what: str, which: str = "") -> str:
    """A note of so many things that are left out; which: them in detail."""
    return f"{count:,} {what} are left out" + (f": {which}" if which else "")


def counts_left_out(notes: list[str]) -> list[tuple[str, int]]:
    """What notes say is left out, and how many."""
    found = (re.match(r"(\d[\d,]{0,14}) (.*?) are left out(?::|$)", note) for note in notes)
    return [(one[2], int(one[1].replace(",", ""))) for one in found if one]


INSTEAD = "; give a local folder, or phantom"  # how the message of one goes on


class SplitsMissing(DataError):
    """The source lacks a split, and Choices.split does not say how to make it."""


@dataclass(frozen=True)
class Choices:
    """What a person says of a source. positive, negative: names of classes, none where the names
    tell; a class named in neither is left out. split: "image-<seed>" or "patient-<seed>", how
    splits that are missing are made; "" where none may be."""

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    split: str = ""

    @property
    def options(self) -> list[str]:
        """The same as options of scripts/train.py."""
        words = ["--positive", ",".join(self.positive)] if self.positive else []
        words += ["--negative", ",".join(self.negative)] if self.negative else []
        protocol, _, seed = self.split.partition("-")
        return words + (["--split", protocol, "--split-seed", seed] if self.split else [])

    @staticmethod
    def of(options: list[str]) -> "Choices":
        """What `options` gave."""
        told = dict(zip(options[::2], options[1::2]))
        names = (tuple(told.get(key, "").split(",")) for key in ("--positive", "--negative"))
        split = f"{told['--split']}-{told['--split-seed']}" if "--split" in told else ""
        return Choices(*(name if name != ("",) else () for name in names), split)


NO_CHOICES = Choices()


@dataclass
class Encoded:
    """One split of a source, before decoding."""

    paths: list[str]  # as in the source
    classes: list[str]  # each image's class, as the source calls it
    # row -> encoded bytes, None where there are none; may raise OSError
    read: Callable[[int], bytes | None]
    # each image's patient where the source tells it, "" where it does not; empty if it tells none
    patients: list[str] = field(default_factory=list)


@dataclass
class Source:
    """What a source is, known without reading its images.

    identity: JSON-able; changes when the source's content does (file names, sizes and times, or the
        Hub's commit).
    open: (temporary folder, image size) -> (splits by name, WHOLE where there are none; class names
        in the source's order; notes, each a sentence). The size is for images that are drawn, not
        read. Raises DataError.
    fingerprint: of the content, where it is known without reading it, else "".
    missing: names of files that are known to be missing; they can be skipped as unreadable ones.
    note: what a person should be told of this reading of it, not of the data.
    """

    name: str
    kind: str  # "hub", "folders", "phantom", or a table's: "parquet", "csv", "json" or "arrow"
    identity: dict
    open: Callable[[Path, int], tuple[dict[str, Encoded], list[str], list[str]]]
    fingerprint: str = ""
    missing: tuple[str, ...] = ()
    note: str = ""

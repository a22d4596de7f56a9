"""What a source is, what a person says of it where it does not say so itself, and which of its
classes are pneumonia."""

import csv
import io
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xray.files import UserError, shown

if TYPE_CHECKING:  # which takes a second that a wrong option need not wait for
    import pandas as pd

PAPER = "keremberke/chest-xray-classification"  # the paper's data set, section 2.1
SPLITS = ("train", "validation", "test")
WHOLE = ""  # the "split" of an image of which none is known
SPLIT_NAMES = dict.fromkeys(("train", "training"), "train")
SPLIT_NAMES |= dict.fromkeys(("validation", "valid", "validate", "val", "dev"), "validation")
SPLIT_NAMES |= dict.fromkeys(("test", "testing"), "test")
SEVERAL = "|"  # stands between the classes of an image that has several
UNCERTAIN = {"-1", "-1.0"}  # where 1 is yes and 0 is no, as in CheXpert's tables
NONE_OF = "none of "  # begins the class of an image of which all columns of classes are 0


class DataError(UserError):
    """A source that cannot be used: one line that names it, says why and what to do."""


class HubUnreachable(DataError):
    """The Hub does not answer, or cannot now, and nothing was fetched from it before."""


# ---- what a person says


def split_names(text: str) -> tuple[str, ...]:
    """Names with commas between them, read as CSV is: those that hold one stand in quotes."""
    return tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))


def join_names(names) -> str:
    """What split_names reads."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(names)
    return stream.getvalue()


def option_words(said: dict[str, str]) -> list[str]:
    """Options, those that say something, as the words of a command."""
    words = []
    for name, value in said.items():
        if value:
            words += [f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value]
    return words


def offer(**said) -> str:
    """Options as a line that works when pasted; a list of names as split_names reads it."""
    texts = {name: v if isinstance(v, str) else join_names(v) for name, v in said.items()}
    return shown(shlex.join(option_words(texts)))


def listed(names, most: int = 6) -> str:
    """The first few names, for a message."""
    names = list(names)
    more = f" and {len(names) - most:,} more" * (len(names) > most)
    return (", ".join(map(shown, names[:most])) or "none") + more


@dataclass(frozen=True)
class Choices:
    """What a person says of a source, each "" or empty where it says it itself.

    positive, negative: names of classes; a class named in neither is left out.
    split: "image-<seed>" or "patient-<seed>", how splits that are missing are made.
    label, image, patient: the columns that hold them; several columns of 0 and 1 as label are the
        classes themselves.
    """

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    split: str = ""
    label: str = ""
    image: str = ""
    patient: str = ""

    @property
    def options(self) -> list[str]:
        """The same as options of scripts/train.py, a word each."""
        said = {
            "positive": join_names(self.positive),
            "negative": join_names(self.negative),
            "label": self.label,
            "image": self.image,
            "patient": self.patient,
        }
        if self.split:
            said["split"], _, said["split-seed"] = self.split.partition("-")
        return option_words(said)


NO_CHOICES = Choices()


# ---- a source


@dataclass
class Source:
    """What a source holds.

    kind: "folders", "csv", "json", "parquet", "arrow", "hub", "films" or "phantom".
    identity: JSON-able; another one where the content may be another (names, sizes and times of the
        files, or the Hub's commit).
    films: a row an image: path, title (its class as the source calls it, "A|B" for several; the
        titles of several rows in `readings`), split ("" where none is known), patient (as a table
        tells it, else ""), then the table's further columns.
    read: row -> encoded bytes, None where there are none. Raises OSError.
    classes: the titles in the source's own order. taken: what was taken for images, labels, splits
    and patients. left_out: what is no film, and how many. missing: files known to be missing.
    loose: why rows have no split, where others have one. fingerprint: where it is known, else "".
    """

    name: str
    kind: str
    identity: dict
    films: "pd.DataFrame"
    read: Callable[[int], bytes | None]
    classes: list[str]
    taken: dict[str, str] = field(default_factory=dict)
    left_out: Counter = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    missing: tuple[str, ...] = ()
    loose: str = ""
    fingerprint: str = ""


# ---- classes

# in English, and the ten commonest words of other languages
HEALTHY = set("normal normals healthy clear unremarkable nofinding nofindings".split())
HEALTHY |= set("normale sain sano saudavel gesund unauffallig zdrowy норма 正常 정상".split())
NEGATIVE = set("negative negatives negativ negativo negatif absent".split())
NOT = set("no non not never without un ab sans pas sin sem nao ohne kein keine nicht senza".split())
NOT |= set("absence absenz assenza ausencia без нет не".split())
# no evidence of pneumonia, absence de pneumonie
BETWEEN = set("for of any evidence sign signs acute de di da d von".split())
# what is no health, unless it is negated; pneumonia in all the languages that begin it alike
FINDING = set(
    "finding findings opacity opacities disease covid infection infected abnormality pathology "
    "abnormalities consolidation tuberculosis tb hallazgos befund".split()
)
# what is no diagnosis: a class called so may be healthy, ill or no film of a chest at all
UNTOLD = set(
    "other others unknown uncertain unsure unclear unlabeled unlabelled equivocal indeterminate "
    "undetermined ungradable bad poor quality artifact artifacts artefact artefacts rejected "
    "excluded lateral misc na nan".split()
)
PNEUMONIA = "pneumon neumon pnevmon пневмон lungenentz zatur polmonit 肺炎 폐렴".split()
FALSE = {"0", "0.0", "false", "no"}


def _plain(text: str) -> str:
    """A name in lower case and without accents, however they are encoded."""
    parts = unicodedata.normalize("NFKD", text.strip().casefold().replace("ı", "i"))
    return unicodedata.normalize("NFC", "".join(c for c in parts if not unicodedata.combining(c)))


def _pneumonia(word: str) -> bool:
    return any(part in word for part in PNEUMONIA)


def words_of(name: str) -> list[str]:
    """The words of a name, plain: those of NoFinding, nonCOVID two each."""
    return re.findall(r"[^\W\d_]+", _plain(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)))


def _untold(name: str) -> bool:
    """Whether a class name says that its films have no diagnosis: "unknown", "bad_quality", "?"."""
    words = words_of(name)
    blank = not words and not re.search(r"\d", name)
    return blank or (bool(UNTOLD & {*words}) and not any(map(_pneumonia, words)))


def tells_health(name: str) -> bool:
    """Whether a name, of a column say, is of health or of a finding: "normal", "Lung Opacity"."""
    words = words_of(name)
    return means_healthy(name) or any(word in FINDING or _pneumonia(word) for word in words)


def means_healthy(name: str) -> bool:
    """Whether a class name means healthy: "NORMAL", "0_Healthy", "No Finding", "sain", "negative
    for pneumonia"; not "abnormal", "not normal", "non-COVID pneumonia", "not sure"."""
    if _plain(name) in FALSE:
        return True
    words, healthy = words_of(name), False
    for at, word in enumerate(words):
        before = [other for other in words[:at] if other not in BETWEEN]
        last = before[-1] if before else ""
        if word in FINDING or _pneumonia(word):
            negated = last in NOT or (last in NEGATIVE and words[at - 1] == "for")
            negated = negated or (set(words[at + 1 :]) <= NEGATIVE | NOT and at + 1 < len(words))
            if not negated:
                return False
            healthy = True
        elif last in NOT and word not in NEGATIVE | BETWEEN | NOT:
            return False  # not healthy, not sure
        elif word in HEALTHY | NEGATIVE:
            healthy = True
    return healthy


def label_mapping(classes: list[str], choices: Choices = NO_CHOICES) -> dict[str, int]:
    """Class names -> 0 and 1, the names of no interest left out.

    As `choices` says; where it names the classes of one label alone, the other one of two has the
    other label. Without it, of two classes the one whose name means healthy is 0, if it is one.
    Nothing is guessed: raises DataError, with the options that say it, where there are more
    classes, or one whose name is no diagnosis.
    """
    if choices.positive or choices.negative:
        return _chosen(classes, choices)
    healthy = [name for name in classes if means_healthy(name)]
    told = not UNCERTAIN & {*classes} and not any(map(_untold, classes))
    if len(classes) == 2 and len(healthy) == 1 and told:
        return {name: int(name not in healthy) for name in classes}
    what = f"two classes are needed; it has {len(classes)}: {listed(classes)}"
    if len(classes) < 2:
        raise DataError(what)
    if len(classes) == 2:
        what = (
            f"which of the classes {listed(classes)} is pneumonia cannot be told from their names"
        )
    untold = not healthy and not any(map(_pneumonia, map(_plain, classes)))
    turned = ", or the other way round" * untold
    raise DataError(
        f"{what}; say it with {offered(classes)} (a class named in neither is left out){turned}"
    )


def offered(classes: list[str]) -> str:
    """Options that work for these classes, two at least."""
    certain = [name for name in classes if name not in UNCERTAIN]
    classes = certain if len(certain) > 1 else classes
    words = {name: set(words_of(name)) for name in classes}
    none = [name for name in classes if name.startswith(NONE_OF)]
    healthy = [name for name in classes if means_healthy(name)] or none
    # beside a plain NORMAL, what is healthy for it lacks one thing may be ill of another
    negative = [name for name in healthy if words[name] & HEALTHY or not words[name]] or healthy
    positive = [name for name in classes if name not in healthy + none]
    if any(map(_pneumonia, map(_plain, positive))):
        positive = [name for name in positive if not _untold(name)]
    if len(classes) > 6 or not negative:
        named = [name for name in positive if any(map(_pneumonia, words[name]))]
        positive = named if 0 < len(named) < len(classes) else (positive or classes)[:1]
    positive = positive or [name for name in classes if name not in negative] or classes[:1]
    negative = [name for name in negative or classes if name not in positive]
    return offer(positive=positive, negative=negative)


def _chosen(classes: list[str], choices: Choices) -> dict[str, int]:
    mapping = {}
    for label, option in ((1, "positive"), (0, "negative")):
        for name in getattr(choices, option):
            same = [one for one in classes if _plain(one) == _plain(name)]
            if not same:
                there = listed(classes, 20)
                raise DataError(f"--{option} {shown(name)}: no such class; there is {there}")
            if any(mapping.setdefault(one, label) != label for one in same):
                raise DataError(f"{shown(name)} cannot be both --positive and --negative")
    left = [name for name in classes if name not in mapping]
    labels = set(mapping.values())
    if len(labels) == 1:
        if len(left) != 1 or len(classes) != 2:
            lacking = "--positive" if labels == {0} else "--negative"
            raise DataError(f"{lacking} is needed too; the other classes: {listed(left, 20)}")
        mapping[left[0]] = 1 - labels.pop()
    return {name: mapping[name] for name in classes if name in mapping}


def title_parts(title: str) -> list[str]:
    """The classes that an image's label names: "Infiltration|Pneumonia" two."""
    return [part.strip() for part in title.split(SEVERAL) if part.strip()] or [title]


def class_of(title: str, mapping: dict[str, int]) -> str | None:
    """The class in `mapping` that an image with this label counts as: one of label 1 if any part of
    it is, one of label 0 if all are, else None."""
    found = [title] if title in mapping else title_parts(title)
    positive = [part for part in found if mapping.get(part) == 1]
    healthy = all(mapping.get(part) == 0 for part in found)
    return positive[0] if positive else found[0] if healthy else None


def in_words(mapping: dict[str, int]) -> str:
    """ "BACTERIA, VIRUS: pneumonia (1); NORMAL: normal (0)"."""
    names = {label: [shown(name) for name in mapping if mapping[name] == label] for label in (1, 0)}
    return f"{', '.join(names[1])}: pneumonia (1); {', '.join(names[0])}: normal (0)"

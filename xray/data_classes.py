"""Which classes of a source are pneumonia (label 1) and which are normal (label 0)."""

import re
import unicodedata

from xray.data_sources import NO_CHOICES, Choices, DataError, shown


def _plain(text: str) -> str:
    """A name in lower case and without accents, however they are encoded."""
    parts = unicodedata.normalize("NFKD", text.strip().casefold().replace("ı", "i"))
    return "".join(c for c in parts if not unicodedata.combining(c))


def _words(text: str) -> set[str]:
    return {_plain(word) for word in text.split()}


# as public data sets say it
HEALTHY = _words(
    "normal normals normale normales normaux normalny normalna normalne normalni normaal normalt "
    "norma healthy sain saine sains sano sana sanos saludable saludables saudável saudáveis gesund "
    "gesunde unauffällig gezond sehat sağlıklı zdrowy zdrowe zdravý frisk terve clear unremarkable "
    "nofinding nofindings норма нормальный нормальная нормальные здоровый здоровые 正常 健康 健常 "
    "정상 طبيعي سليم"
)
NEGATIVE = _words(
    "negative negatives negativ negativo negativa negativi négatif negatief отрицательный"
)
NOT = _words(
    "no non not without sin sans pas ohne kein keine senza sem bez geen ikke ingen inte tanpa без "
    "не нет"
)
# what "no" may stand before; "not sure" and "nonspecific" do not mean healthy
FINDING = _words(
    "pneumonia pneumonias pneumonie neumonía pneumoni polmonite Lungenentzündung пневмония "
    "пневмонии pnömoni finding findings opacity opacities disease covid infection infected "
    "abnormality abnormalities pathology consolidation tuberculosis tb hallazgos anomalie Befund"
)
SEVERAL = "|"  # stands between the classes of an image that has several
FALSE = {"0", "0.0", "false", "no"}


def label_mapping(given: str, classes: list[str], choices: Choices = NO_CHOICES) -> dict[str, int]:
    """Class names -> 0 and 1, the names of no interest left out.

    As `choices` says; where it names the classes of one label alone, the other one of two has the
    other label. Without it, of two classes the one whose name means healthy is 0, if it is one.
    Nothing is guessed: raises DataError, with the options that say it.
    """
    if choices.positive or choices.negative:
        return _chosen(given, classes, choices)
    healthy = [name for name in classes if means_healthy(name)]
    if len(classes) == 2 and len(healthy) == 1:
        return {name: int(name not in healthy) for name in classes}
    named = ", ".join(shown(name) for name in classes[:6]) or "none"
    named += f" and {len(classes) - 6} more" * (len(classes) > 6)
    if len(classes) < 2:
        raise DataError(
            f"{shown(given)}: two classes are needed, NORMAL and PNEUMONIA; it has "
            f"{len(classes)}: {named}"
        )
    what = f"two classes are needed; it has {len(classes)}: {named}"
    if len(classes) == 2:
        what = f"which of the classes {named} is pneumonia cannot be told from their names"
    positive = ",".join(name for name in classes if name not in healthy) if healthy else "NAME,…"
    negative = ",".join(healthy) or "NAME,…"
    if len(classes) > 6 or len(healthy) == len(classes):
        positive = negative = "NAME,…"
    raise DataError(
        f"{shown(given)}: {what}; say it with --positive {shown(positive)} --negative "
        f"{shown(negative)} (a class named in neither is left out)"
    )


def _chosen(given: str, classes: list[str], choices: Choices) -> dict[str, int]:
    known, mapping = {_plain(name): name for name in classes}, {}
    for label, option in ((1, "positive"), (0, "negative")):
        for name in getattr(choices, option):
            if _plain(name) not in known:
                there = ", ".join(shown(name) for name in classes[:20]) or "none"
                raise DataError(
                    f"{shown(given)}: --{option} {shown(name)}: no such class; there is {there}"
                )
            if mapping.setdefault(known[_plain(name)], label) != label:
                raise DataError(
                    f"{shown(given)}: {shown(name)} cannot be both --positive and --negative"
                )
    left = [name for name in classes if name not in mapping]
    labels = set(mapping.values())
    if len(labels) == 1:
        lacking = "--positive" if labels == {0} else "--negative"
        if len(left) != 1 or len(classes) != 2:
            named = ", ".join(shown(name) for name in left[:20]) or "none"
            raise DataError(f"{shown(given)}: {lacking} is needed too; the other classes: {named}")
        mapping[left[0]] = 1 - labels.pop()
    return {name: mapping[name] for name in classes if name in mapping}


def parts(title: str) -> list[str]:
    """The classes that an image's label names: "Infiltration|Pneumonia" two."""
    return [part.strip() for part in title.split(SEVERAL) if part.strip()] or [title]


def class_of(title: str, mapping: dict[str, int]) -> str | None:
    """The class in `mapping` that an image with this label counts as: one of label 1 if any part of
    it is, one of label 0 if all are, else None."""
    found = [title] if title in mapping else parts(title)
    positive = [part for part in found if mapping.get(part) == 1]
    healthy = all(mapping.get(part) == 0 for part in found)
    return positive[0] if positive else found[0] if healthy else None


def means_healthy(name: str) -> bool:
    """Whether a class name means healthy: "NORMAL", "0_Healthy", "No Finding", "sain"; not
    "abnormal", "not normal", "not sure"."""
    if _plain(name) in FALSE:
        return True
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # NoFinding, nonCOVID
    words = set(re.findall(r"[^\W\d_]+", _plain(apart)))
    if words & NOT:
        return bool(words & FINDING) and not words & HEALTHY
    return bool(words & NEGATIVE) or bool(words & HEALTHY) and not words & FINDING


def in_words(mapping: dict[str, int]) -> str:
    """ "BACTERIA, VIRUS: pneumonia (1); NORMAL: normal (0)"."""
    names = {label: [shown(name) for name in mapping if mapping[name] == label] for label in (1, 0)}
    return f"{', '.join(names[1])}: pneumonia (1); {', '.join(names[0])}: normal (0)"

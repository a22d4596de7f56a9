"""Who is in which split: patients, splits that a source lacks, other splits, and the audit."""

import re
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from xray.data_choices import (
    SPLITS,
    WHOLE,
    DataError,
    Source,
    class_of,
    listed,
    shown,
)
from xray.paper import SPLIT_SIZES

CLASSES = ("NORMAL", "PNEUMONIA")  # labels 0 and 1
PROTOCOLS = ("image", "patient")
LISTED = 20  # of what is left out, as many are named


# ---- patients


def patient(path: str) -> str | None:
    """The patient that a file's name or path carries, None where it carries none.

    "person1000_bacteria_2931.jpeg" -> "person1000_bacteria", "IM-0115-0001.jpeg" -> "IM-0115",
    "NORMAL2-IM-1427-0001-0002.jpeg" -> "NORMAL2-IM-1427", "BACTERIA-7422-0001.jpeg" (the data set's
    third version) -> "BACTERIA-7422"; what follows (the Hub's "_jpeg.rf.<hash>.jpg") does not
    matter. Each cause has a series of numbers of its own: person1000_virus is another child. NIH's
    "00000013_005.png" -> "00000013"; a folder of CheXpert, "patient00001", or MIMIC, "p10000032" ->
    that.
    """
    *folders, name = re.split(r"[/\\]", path)
    for pattern in (
        r"(person\d+_(?:bacteria|virus))_",
        r"((?:NORMAL\d*-)?IM-\d+)-\d",
        r"((?:BACTERIA|VIRUS|NORMAL)-\d+)-\d+(?=[._]|$)",
        r"(000\d{5})_\d{3}\.",
    ):
        if found := re.match(pattern, name):
            return found[1]
    return next((part for part in folders if re.fullmatch(r"patient\d+|p\d{8}", part)), None)


def cause_of(path: str) -> str | None:
    """The cause of a pneumonia that a file name carries, "bacteria" or "virus", else None."""
    found = re.match(
        r"person\d+_(bacteria|virus)_|(BACTERIA|VIRUS)-\d+-\d", re.split(r"[/\\]", path)[-1]
    )
    return (found[1] or found[2]).lower() if found else None


def numbered(told: list[str]) -> list[int]:
    """Patients as a source tells them -> numbers in the order of their first images, -1 for "": who
    they are is kept out of the records. [] where it tells none."""
    known = {name: number for number, name in enumerate(dict.fromkeys(filter(None, told)))}
    return [known.get(name, -1) for name in told] if known else []


def owners(paths: list[str], numbers: list[int]) -> list[str | None]:
    """Each image's patient: as the source told (`numbered`), else as its name tells, else None."""
    numbers = numbers or [-1] * len(paths)
    return [who if n < 0 else f"#{n}" for who, n in zip(by_names(paths), numbers)]


def by_names(paths: list[str]) -> list[str | None]:
    """Each image's patient as its name tells. A name that several folders have, as where each one's
    films are numbered anew, tells none; the folder may."""
    parts = [re.split(r"[/\\]", path) for path in paths]
    count = Counter(name for *_, name in {*map(tuple, parts)})
    return [
        patient(path if count[name] == 1 else "/".join([*folders, ""]))
        for path, (*folders, name) in zip(paths, parts)
    ]


# ---- splits that a source lacks


def prepare(source: Source, mapping: dict, wanted: str, whole: bool):
    """A source's films in order: those whose class `mapping` names, with their label, by split, and
    with the splits made that it lacks, as `wanted` ("patient-0", or "") says; how they were made,
    empty where none were; notes; and what is left out. whole: as they come, whatever their split.

    What is missing is taken from the train split, or from all images where they are in no split or
    in one alone, in the paper's proportions in each class. Raises DataError where `wanted` is
    needed and empty, or none can be made.
    """
    films, left = _of_interest(source.films, mapping)
    if films.empty:
        raise DataError(f"no image is left: {'; '.join(left)}")
    if whole:
        return _in_order(films).assign(split="all"), {}, [], left
    notes = []
    there = [name for name in (WHOLE, *SPLITS) if (films.split == name).any()]
    who = owners(list(films.path), numbered(list(films.patient)))
    ask = "--split patient (or --split image)"
    if not any(who):
        ask = "--split image (no patient is known)"
    if WHOLE in there and len(there) > 1:
        loose = f"images are in no split: {source.loose}"
        count = int((films.split == WHOLE).sum())
        if not wanted:
            raise DataError(f"{count:,} of its {loose}; {ask} makes new splits of all images")
        notes.append(f"{count:,} {loose}; so all are split anew")
        films["split"], there = WHOLE, [WHOLE]
    lacking = [name for name in SPLITS if name not in there]
    if not lacking:
        return _in_order(films), {}, notes, left
    pool = there[0] if len(there) == 1 else "train"
    what = "its images are in no split" + f": {source.loose}" * bool(source.loose)
    if there != [WHOLE]:
        what = f"the {' and the '.join(lacking)} split is missing or has no images"
        what += f"; it has {', '.join(there)}"
    if pool not in there:
        raise DataError(what)
    if not wanted:
        raise DataError(f"{what}; {ask} makes what is missing")
    protocol, _, seed = wanted.partition("-")
    made = {"protocol": protocol, "seed": int(seed), "splits": lacking}
    rows = np.flatnonzero(films.split == pool)
    parts = SPLITS if len(there) == 1 else ["train", *lacking]
    names = [who[row] for row in rows]
    dealt = _make(names, films.label.to_numpy()[rows], parts, protocol, int(seed))
    if len(set(dealt)) < len(parts):
        raise DataError(f"too few images for {len(parts)} splits by {protocol}")
    films.loc[films.index[rows], "split"] = [parts[part] for part in dealt]
    return _in_order(films), made, notes + _told(made, pool, names), left


def _in_order(films: pd.DataFrame) -> pd.DataFrame:
    """Films by split, those of one split as they stand."""
    return films.sort_values("split", key=lambda of: of.map([*SPLITS, WHOLE].index), kind="stable")


def _of_interest(films: pd.DataFrame, mapping: dict) -> tuple[pd.DataFrame, Counter]:
    """The films of classes in `mapping`, with the class that they count as and its label; and how
    many are left out, for their class or because their rows contradict each other."""
    readings = films.get("readings", films.title.map(lambda title: [title]))
    labels = readings.map(lambda each: {mapping.get(class_of(title, mapping)) for title in each})
    torn = labels.map({0, 1}.issubset).to_numpy(bool)
    counted = films.title.map(lambda title: class_of(title, mapping))
    good, left = counted.notna().to_numpy() & ~torn, Counter()
    other = Counter(films.title[~good & ~torn])
    if other:
        most = other.most_common(LISTED)
        each = [f"{n:,} of {shown(title) or 'no label'}" for title, n in most]
        if more := other.total() - sum(n for _, n in most):
            each.append(f"{more:,} of {len(other) - LISTED:,} others")
        left[f"images of other classes: {', '.join(each)}"] = other.total()
    if torn.any():
        left[f"images whose rows contradict each other: {listed(films.path[torn], LISTED)}"] = int(
            torn.sum()
        )
    films = films.assign(counted=counted)[good]
    return films.assign(label=films.counted.map(mapping).astype(np.int64)), left


def _told(made: dict, pool: str, who: list) -> list[str]:
    """What a person should know of splits that were made."""
    protocol = made["protocol"]
    lacking = f"{' and no '.join(made['splits'])} split"
    words = f"The source has no {lacking if len(made['splits']) < 3 else 'splits'} of its own"
    whence = f"{protocol} from the {pool} split" if pool else protocol
    notes = [f"{words}; made by {whence}, seed {made['seed']}, in the paper's proportions"]
    if protocol == "patient" and (unnamed := who.count(None)):
        notes.append(
            f"For {unnamed:,} of {len(who):,} images no patient is known; each counts as a patient "
            "of its own"
        )
    return notes


def _make(who: list, labels: np.ndarray, parts, protocol: str, seed: int) -> np.ndarray:
    """Deal images out to `parts`, in the paper's proportions in each class, one image at least."""
    sizes = np.array([SPLIT_SIZES[name] for name in parts])
    counts = np.bincount(labels, minlength=2)
    room = np.rint(np.outer(sizes / sizes.sum(), counts)).astype(np.int64)
    room = np.maximum(room, counts >= len(parts))
    room[0] += counts - room.sum(0)  # train takes what rounding leaves
    return deal(who, labels, room, protocol, seed)


# ---- other splits of the same images


def resplit(data, protocol: str, seed: int = 0):
    """The same images, split another way by its arguments alone; `index` and `split` change.

    "given": the source's own splits.
    "image": images drawn at random; each split keeps its number of images of each class.
    "patient": no patient (`owners`; an image of which none is known stands alone) is in two splits;
        with enough patients of one image each split keeps its number of images of each class
        exactly.
    Raises DataError for an unknown protocol, and by patient where no patient is known or there are
    too few for three splits.
    """
    given = given_index(data.facts)
    if protocol == "given":
        return replace(data, split="given", index=given)
    if protocol not in PROTOCOLS:
        raise DataError(f"no split protocol {protocol!r}; there are given, image and patient")
    room = np.array([np.bincount(data.labels[given[split]], minlength=2) for split in SPLITS])
    who = owners(data.paths, data.facts.get("patient_numbers", []))
    if protocol == "patient" and not any(who):
        raise DataError(
            f"{shown(data.source)}: no image's patient is known; --split image, or the column that "
            "tells them with --patient NAME"
        )
    owner = deal(who, data.labels, room, protocol, seed)
    index = {split: np.flatnonzero(owner == i) for i, split in enumerate(SPLITS)}
    if any(len(rows) == 0 for rows in index.values()):
        why = f"{len(patient_groups(who))} patients are too few for three splits by patient"
        raise DataError(f"{shown(data.source)}: {why}")
    return replace(data, split=f"{protocol}-{seed}", index=index)


def given_index(facts: dict) -> dict[str, np.ndarray]:
    """The rows of the source's own splits, which lie one after another."""
    bounds = np.cumsum([0, *facts["splits"].values()])
    return {name: np.arange(bounds[i], bounds[i + 1]) for i, name in enumerate(facts["splits"])}


def patient_groups(who: list[str | None]) -> list[list[int]]:
    groups = {}
    for row, name in enumerate(who):
        groups.setdefault(name or row, []).append(row)
    return list(groups.values())


def deal(who: list, labels: np.ndarray, room: np.ndarray, protocol: str, seed: int) -> np.ndarray:
    """Give images to splits with `room` (splits, 2) by class: each image's split, int64 (N,). who:
    their patients, None where none is known.

    By patient, those with most images come first, among equals in random order; each goes to a
    split drawn with chances as the images that it still lacks, among those with room for all of
    the patient's images of each class, or where none has room, to the one that it overfills least.
    Those with one image come last and fill the gaps.
    """
    generator = np.random.default_rng([seed, protocol == "patient"])
    groups = patient_groups(who if protocol == "patient" else [None] * len(who))
    owner, room = np.empty(len(labels), np.int64), room.astype(np.int64)
    order = [groups[i] for i in generator.permutation(len(groups))]
    # a stable sort: equals keep their random order
    for rows in sorted(order, key=len, reverse=True):
        need = np.bincount(labels[rows], minlength=2)
        fits = (room >= need).all(1)
        if fits.any():
            chances = np.where(fits, room[:, need > 0].sum(1), 0).astype(float)
            split = generator.choice(len(room), p=chances / chances.sum())
            room[split] -= need
        else:
            split = int(np.maximum(need - room, 0).sum(1).argmin())
            # a class that is overfilled leaves the other one's room as it is
            room[split] = np.maximum(room[split] - need, 0)
        owner[rows] = split
    return owner


# ---- audit: copies, contradictory labels, patients in two splits (section 2.1, claim C02)

EXAMPLES = 20  # how many sets of images with contradictory labels are named


def patients(paths: list[str], labels: np.ndarray, index: dict, numbers: list[int] = ()) -> dict:
    """Whose images are in which split, by `owners`.

    told: images whose patient the source told, left away where it told none. named, unnamed: images
        of which a patient is and is not known.
    overlap: for "test in train", "test in validation", "test in train or validation" and
    "validation in train", by class and in "all": the images of the first split, of how many of them
    the patient is known, how many show a patient of the second, and how many patients that are;
    the last two None where no patient of one of the splits is known.
    """
    names = owners(paths, numbers)
    overlap = {}
    for first, second in (
        ("test", ["train"]),
        ("test", ["validation"]),
        ("test", ["train", "validation"]),
        ("validation", ["train"]),
    ):
        if first not in index:
            continue
        others = {names[row] for split in second for row in index[split]}
        told = any(names[row] for row in index[first]) and any(others)
        found = {}
        for name, wanted in (("NORMAL", (0,)), ("PNEUMONIA", (1,)), ("all", (0, 1))):
            rows = [row for row in index[first] if labels[row] in wanted]
            known = [names[row] for row in rows if names[row]]
            shared = [who for who in known if who in others]
            found[name] = {
                "images": len(rows),
                "known": len(known),
                "shared": len(shared) if told else None,
                "patients": len(set(shared)) if told else None,
            }
        overlap[f"{first} in {' or '.join(second)}"] = found
    return {
        "named": len(names) - names.count(None),
        "unnamed": names.count(None),
        "overlap": overlap,
    } | ({"told": sum(number >= 0 for number in numbers)} if numbers else {})


def copies(digests: list[str], paths: list[str], labels: np.ndarray, index: dict) -> dict:
    """Images with the same digest.

    surplus: images that would go if one of each set were kept; across: "train/test" -> sets that
    have an image in both splits; conflicting: sets whose images differ in label; examples: the
    first few of those, lists of "split: path".
    """
    films = pd.DataFrame({"digest": digests, "path": paths, "label": labels})
    films["split"] = films.index.map({row: name for name, rows in index.items() for row in rows})
    twice = films[films.duplicated("digest", keep=False)]
    sets = [rows for _, rows in twice.groupby("digest", sort=False)]
    conflicting = [rows for rows in sets if rows.label.nunique() > 1]
    return {
        "surplus": len(twice) - len(sets),
        "across": {
            f"{one}/{other}": sum({one, other} <= set(rows.split) for rows in sets)
            for one, other in combinations(index, 2)
        },
        "conflicting": len(conflicting),
        "examples": [list(rows.split + ": " + rows.path) for rows in conflicting[:EXAMPLES]],
    }

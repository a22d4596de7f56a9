"""How images are split: splits that a source lacks, and other splits of the same images."""

from collections import Counter
from dataclasses import replace

import numpy as np

from xray.data_audit import numbered, owners
from xray.data_classes import class_of
from xray.data_sources import SPLITS, WHOLE, DataError, Encoded, SplitsMissing, left_out, shown
from xray.paper import SPLIT_SIZES

PROTOCOLS = ("image", "patient")
LISTED = 20  # classes left out that are named


def prepare(
    given: str, splits: dict[str, Encoded], mapping: dict[str, int], wanted: str
) -> tuple[dict[str, Encoded], dict, list[str]]:
    """A source's splits without the classes that `mapping` leaves out, and with those that it lacks
    made as `wanted` ("patient-0", or "") says; how they were made, empty where none were; notes.

    What is missing is taken from the train split, or from all images where they are in no split or
    in one alone, in the paper's proportions in each class. Raises SplitsMissing, and DataError
    where none can be made.
    """
    splits, notes = _of_interest(splits, mapping)
    made = {}
    there = [name for name in (WHOLE, *SPLITS) if name in splits and splits[name].paths]
    lacking = [name for name in SPLITS if name not in there]
    if lacking:
        pool = there[0] if len(there) == 1 else "train"
        _check_lacking(given, lacking, there, pool, wanted)
        protocol, _, seed = wanted.partition("-")
        parts = SPLITS if len(there) == 1 else ["train", *lacking]
        dealt = _make(splits[pool], parts, mapping, protocol, int(seed))
        if not all(split.paths for split in dealt.values()):
            raise DataError(f"{shown(given)}: too few images for {len(parts)} splits by {protocol}")
        made = {"protocol": protocol, "seed": int(seed), "splits": lacking}
        notes += _told(splits[pool], pool, made)
        splits = splits | dealt
    return {name: splits[name] for name in SPLITS}, made, notes


def _of_interest(splits: dict[str, Encoded], mapping: dict) -> tuple[dict[str, Encoded], list[str]]:
    """Splits without images of other classes, each image under a name in `mapping`; notes."""
    result, left = {}, Counter()
    for split, whole in splits.items():
        counted_as = [class_of(title, mapping) for title in whole.classes]
        rows = [row for row, name in enumerate(counted_as) if name is not None]
        left.update(t for t, name in zip(whole.classes, counted_as) if name is None)
        result[split] = replace(take(whole, rows), classes=[counted_as[row] for row in rows])
    if not left:
        return result, []
    listed = [f"{n:,} of {shown(title)}" for title, n in left.most_common(LISTED)]
    if more := left.total() - sum(n for _, n in left.most_common(LISTED)):
        listed.append(f"{more:,} of {len(left) - LISTED:,} others")
    return result, [left_out(left.total(), "images of other classes", ", ".join(listed))]


def _check_lacking(given: str, lacking: list[str], there: list[str], pool: str, wanted: str):
    has = ", ".join(name or "images in no split alone" for name in there) or "none"
    what = f"the {' and the '.join(lacking)} split is missing or has no images; it has {has}"
    if pool not in there:
        raise DataError(f"{shown(given)}: {what}")
    if not wanted:
        raise SplitsMissing(
            f"{shown(given)}: {what}; --split patient (or --split image) makes what is missing"
        )


def _told(pool: Encoded, name: str, made: dict) -> list[str]:
    """What a person should know of splits that were made."""
    protocol = made["protocol"]
    lacking = f"{' and no '.join(made['splits'])} split"
    words = f"The source has no {lacking if len(made['splits']) < 3 else 'splits'} of its own"
    whence = f"{protocol} from the {name} split" if name else protocol
    notes = [f"{words}; made by {whence}, seed {made['seed']}, in the paper's proportions"]
    unnamed = _owners(pool).count(None)
    if protocol == "patient" and unnamed:
        words = f"The names of {unnamed:,} of {len(pool.paths):,} images carry no patient"
        words += ", nor does the table" * bool(pool.patients)
        notes.append(f"{words}; each of them counts as a patient of its own")
    return notes


def take(split: Encoded, rows: list[int]) -> Encoded:
    """Some rows of a split."""
    names = [split.paths[row] for row in rows], [split.classes[row] for row in rows]
    patients = [split.patients[row] for row in rows] if split.patients else []
    return Encoded(*names, lambda row: split.read(rows[row]), patients)


def _owners(split: Encoded) -> list[str | None]:
    return owners(split.paths, numbered(split.patients))


def _make(pool: Encoded, parts, mapping: dict, protocol: str, seed: int) -> dict[str, Encoded]:
    """Deal a pool out to `parts`, in the paper's proportions in each class, one image at least."""
    labels = np.array([mapping[name] for name in pool.classes], np.int64)
    sizes = np.array([SPLIT_SIZES[name] for name in parts])
    counts = np.bincount(labels, minlength=2)
    room = np.rint(np.outer(sizes / sizes.sum(), counts)).astype(np.int64)
    room = np.maximum(room, counts >= len(parts))
    room[0] += counts - room.sum(0)  # train takes what rounding leaves
    owner = deal(_owners(pool), labels, room, protocol, seed)
    return {name: take(pool, np.flatnonzero(owner == i).tolist()) for i, name in enumerate(parts)}


def resplit(data, protocol: str, seed: int = 0):
    """The same images, split another way by its arguments alone; `index` and `split` change.

    "given": the source's own splits.
    "image": images drawn at random; each split keeps its number of images of each class.
    "patient": no patient (data_audit.owners; an image of which none is known stands alone) is in
        two splits; with enough patients of one image each split keeps its number of images of each
        class exactly.
    Raises DataError for an unknown protocol, or where there are too few patients for three splits.
    """
    given = given_index(data.facts)
    if protocol == "given":
        return replace(data, split="given", index=given)
    if protocol not in PROTOCOLS:
        raise DataError(f"no split protocol {protocol!r}; there are given, image and patient")
    room = np.array([np.bincount(data.labels[given[split]], minlength=2) for split in SPLITS])
    who = owners(data.paths, data.facts.get("patient_numbers", []))
    owner = deal(who, data.labels, room, protocol, seed)
    index = {split: np.flatnonzero(owner == i) for i, split in enumerate(SPLITS)}
    if any(len(rows) == 0 for rows in index.values()):
        why = f"{len(patient_groups(who))} patients are too few for three splits by patient"
        raise DataError(f"{shown(data.source)}: {why}")
    return replace(data, split=f"{protocol}-{seed}", index=index)


def given_index(facts: dict) -> dict[str, np.ndarray]:
    """The rows of the source's own splits, which lie one after another."""
    bounds = np.cumsum([0] + [facts["splits"][split] for split in SPLITS])
    return {split: np.arange(bounds[i], bounds[i + 1]) for i, split in enumerate(SPLITS)}


def patient_groups(who: list[str | None]) -> list[list[int]]:
    groups = {}
    for row, name in enumerate(who):
        groups.setdefault(name or row, []).append(row)
    return list(groups.values())


def deal(who: list, labels: np.ndarray, room: np.ndarray, protocol: str, seed: int):
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
        else:
            split = int(np.maximum(need - room, 0).sum(1).argmin())
        owner[rows] = split
        room[split] -= need
    return owner

"""Tables of images and labels; images lie in them or are named there.

All tables of a data set become one frame, whose columns are taken by their whole names, and only
where one alone has such a name; else the message says what is there and which option says it.
"""

import hashlib
import os
from collections import Counter
from pathlib import Path

import pandas as pd

from xray import data_readers
from xray.data_choices import (
    NONE_OF,
    SEVERAL,
    UNCERTAIN,
    WHOLE,
    Choices,
    DataError,
    Source,
    join_names,
    listed,
    means_healthy,
    offer,
    offered,
    shown,
    split_names,
    tells_health,
    title_parts,
)
from xray.data_files import (
    Finder,
    identity,
    key,
    missing_shards,
    split_in_path,
    split_of,
    tables_of_one,
)
from xray.data_readers import LABELS, TABLES, Rows, Table, plain

# names of columns, in small letters without what stands between their words
FILES = set("path imagepath imagefilepath filepath file filename imagefile imagefilename".split())
NAMES = FILES | set("imagename image images img imageid imageindex id xrayimagename".split())
PATIENTS = set("patient patientid subject subjectid".split())
MOST_KINDS = 100  # a column with more different values tells no classes and no splits
PERSONS = set("sex gender male female smoker age view frontal lateral".split())  # no classes
UNKNOWN = {"na", "n/a", "nan", "none", "null", "unknown", "-", "--", "?"}  # of a patient
YES = {"1", "1.0", "true", "yes", "y", "present", "positive"}
ONE_HOT = {"0", "0.0", "", "false", "no", "n", "absent", "negative", "-1", "-1.0"} | YES


def source(folder: Path, files, left: Counter, choices: Choices, images=()) -> Source:
    """The source that tables in a folder are. files: the tables, or a folder of save_to_disk.
    images: the image files there. Raises DataError, also where a column has to be said."""
    kind, tables, used = _read(folder, files, left)
    rows = Rows(tables, Finder(folder))
    texts = rows.texts
    titles, labels = _titles(rows, choices)
    label = labels[0] if len(labels) == 1 else choices.label
    _check_labels(titles, label, choices)
    path, named = _files(rows, choices, labels)
    if images and any(named):
        left["images that the table does not name"] += len({*images} - {*named})
    image = next((table.image for table in tables if table.image), "")
    patient = _one_named(texts, choices.patient, "patient", PATIENTS)
    taken = {"labels": f"column {label}", "images": f"column {image or path}"}
    taken |= {"patients": f"column {patient}"} if patient else {}
    columns = {*labels, path, patient}
    _check_lines(texts[[name for name in texts if name in columns]])

    films = pd.DataFrame({"title": titles, "patient": texts[patient] if patient else ""})
    films["patient"] = films.patient.mask(films.patient.str.lower().isin(UNKNOWN), "")
    films["path"] = list(map(shown, texts[path] if path else rows.inside))
    films["split"], how, where, loose = _splits(rows, films.path, named, columns)
    taken |= {"splits": how} if how else {}
    rest = [name for name in rows.frame if name not in {*columns, where, "readings", *films}]
    films = _once(films.join(rows.frame[rest]), _keys(rows, films.path, named))
    number = films.groupby("split").cumcount().map("{:06d}".format)
    made = films.split.replace(WHOLE, "whole") + "/" + number
    films["path"] = films.path.where(films.path != "", made)

    order = labels if len(labels) > 1 else rows.order.get(label, [])
    classes = {part for title in set(films.title) - {""} for part in title_parts(title)}
    row_of = films.index
    inside = [
        path
        for table in tables
        for path in rows.finder(list(map(str, table.inside)), table.base, table.split, deep=False)
    ]
    return Source(
        name=folder.resolve().name or "data",
        kind=kind,
        identity=identity(kind, folder, [*used, *sorted({*named, *inside} - {None})]),
        films=films.reset_index(drop=True),
        read=lambda at: rows.encoded(row_of[at], named[row_of[at]]),
        classes=[title for title in dict.fromkeys(order) if title in classes]
        + sorted(classes - {*order}),
        taken=taken,
        left_out=left,
        missing=missing_shards(used),
        loose=loose,
    )


def _read(folder: Path, files, left: Counter) -> tuple[str, list[Table], list[Path]]:
    """The kind of tables that one data set in a folder is of; those; and the files they are."""
    if files[0].is_dir():
        kind, tables = "arrow", data_readers.saved(files[0], left)
        used = sorted(path for path in files[0].rglob("*") if path.is_file())
    else:
        chosen = tables_of_one(folder, files)
        used = [path for paths in chosen.values() for path in paths]
        left["tables of another data set, or named after no split,"] += len(files) - len(used)
        kind = TABLES[used[0].suffix.lower()]
        tables = [
            data_readers.read(path, split) for split, paths in chosen.items() for path in paths
        ]
    for split in dict.fromkeys(table.split for table in tables):
        if not sum(len(table.frame) for table in tables if table.split == split):
            raise DataError(f"the {split or 'only'} split is empty")
    return kind, tables, used


def _check_lines(texts: pd.DataFrame) -> None:
    """Raises DataError where a cell holds several lines, which a quote that is not closed makes of
    several rows."""
    for name in texts:
        for text in texts[name][texts[name].str.contains("\n")]:
            raise DataError(
                f"a cell of its column {shown(name)} holds several lines ({shown(text[:40])}), as "
                "where a quote is not closed; correct the table"
            )


def _there(texts: pd.DataFrame) -> str:
    """The columns with an example each, for a message."""
    there = []
    for name in list(texts)[:12]:
        value = next(filter(None, texts[name][:20]), "")
        there.append(f"{shown(name)} ({shown(value[:30])})")
    more = f" and {len(texts.columns) - 12} more" * (len(texts.columns) > 12)
    bare = list(texts) == [str(at) for at in range(1, len(texts.columns) + 1)]
    head = "it has no header, so its columns are numbered: " if bare and there else "it has "
    return head + (", ".join(there) or "none") + more


def _one_named(texts: pd.DataFrame, asked: str, what: str, known: set, typed=()) -> str:
    """The column that is asked for, or the one whose whole name is known, or of those or all the
    one that is `typed`; "" where there is none. Raises DataError with the option that says it."""
    if asked:
        same = [name for name in texts if name == asked] or [
            name for name in texts if plain(name) == plain(asked)
        ]
        if len(same) != 1:
            raise DataError(f"--{what} {shown(asked)}: no such column; {_there(texts)}")
        return same[0]
    found = [name for name in texts if plain(name) in known]
    if len(of_classes := [name for name in found or texts if name in typed]) == 1:
        return of_classes[0]
    if len(found) > 1:
        # words tell which is which, 0 and 1 may be meant either way
        words = [name for name in found if what == "label" and not _is_binary(texts[name])]
        one = offer(**{what: (words or found)[0]})
        both = " and ".join(map(shown, found))
        raise DataError(f"its columns {both} may each hold the {what}; say which, such as {one}")
    return found[0] if found else ""


def _titles(rows: Rows, choices: Choices) -> tuple[pd.Series, list[str]]:
    """Each image's label, of several as title_parts reads it; and the columns that say it. Raises
    DataError."""
    texts, several = rows.texts, split_names(choices.label)
    if choices.label not in texts and len(several) > 1:
        columns = [_one_named(texts, name, "label", LABELS) for name in several]
        return _one_hot(texts, columns), columns
    label = _one_named(texts, choices.label, "label", LABELS, rows.order)
    if not label:
        others = [name for name in texts if plain(name) not in PATIENTS | NAMES]
        binary = [name for name in others if _is_binary(texts[name])]
        binary = [name for name in binary if plain(name) not in PERSONS] or binary
        if len(binary) != 1 or plain(binary[0]) != "pneumonia":
            few = [name for name in others if 2 <= texts[name].nunique() <= 20]
            how = "rename the one that holds it to label"
            if len(binary) > 1:
                how = f"say which of 0 and 1 are its classes, such as {offer(label=binary)}"
            elif few:
                how = f"say which holds it, such as {offer(label=few[-1])}"
            raise DataError(
                "no label column (label, class, diagnosis, finding or the like); "
                f"{_there(texts)}; {how}"
            )
        label = binary[0]
    if not choices.label:
        _check_others(texts, label)
    titles = texts[label]
    if choices.label and _is_binary(titles):
        flags = titles.str.lower()
        # 1 in a column called normal; n in one called pneumonia, though not n anywhere
        if means_healthy(label) or (tells_health(label) and (flags == "n").any()):
            healthy = flags.isin(YES) == means_healthy(label)
            titles = healthy.map({True: "normal", False: "not normal"}).mask(titles == "", "")
    return titles, [label]


def _check_labels(titles: pd.Series, label: str, choices: Choices) -> None:
    """Raises DataError where some are blank and no classes are named, which leaves those out."""
    there = titles[titles != ""]
    if len(there) == len(titles) or choices.positive + choices.negative:
        return
    classes = sorted({part for title in there for part in title_parts(title)})
    how = f", or leave them out with {offered(classes)}" if len(classes) > 1 else ""
    blank = f"{len(titles) - len(there):,} images without a label in column {shown(label)}"
    raise DataError(f"{blank}; fill it in{how}")


def _check_others(texts: pd.DataFrame, label: str) -> None:
    """Raises DataError where another column tells the two classes the other way round for all
    films, or one called pneumonia, of 0 and 1, does for any."""
    ours = _healthy(texts[label], "")
    for name in texts:
        if texts[name].nunique() > MOST_KINDS:
            continue
        theirs = _healthy(texts[name], name)
        told = ours.notna() & theirs.notna()
        differ = (ours != theirs)[told]
        turned = differ.all() and theirs[told].nunique() == 2
        called_so = plain(name) == "pneumonia" and _is_binary(texts[name])
        if name != label and (turned or (called_so and differ.any())):
            both, one = f"{shown(label)} and {shown(name)}", offer(label=name)
            raise DataError(f"its columns {both} tell different labels; say which, such as {one}")


def _healthy(texts: pd.Series, name: str) -> pd.Series:
    """Whether each cell says that a film is healthy, None where it says nothing: words do, and 0
    and 1 in a column without a name or with one that is of health or of a finding."""
    if not _is_binary(texts):
        told = {text: means_healthy(text) if text else None for text in texts.unique()}
    elif name and not tells_health(name):
        told = {}
    else:
        healthy = means_healthy(name)
        told = {
            text: (text.lower() in YES) == healthy if text and text not in UNCERTAIN else None
            for text in texts.unique()
        }
    return texts.map(told).astype(object)


def _is_binary(texts: pd.Series) -> bool:
    found = set(texts.str.lower())
    return found <= ONE_HOT and bool(found & YES)


def _one_hot(texts: pd.DataFrame, columns: list[str]) -> pd.Series:
    """Each image's label of several columns of 0 and 1: the names of those that are 1; "" where
    none is and one is uncertain."""
    for name in columns:
        if not _is_binary(texts[name]):
            raise DataError(
                f"--label names several columns, and {shown(name)} does not hold 0 and 1 alone"
            )
    flags, titles = texts[columns].map(str.lower), []
    for row in flags.itertuples(index=False):
        ones = SEVERAL.join(name for name, flag in zip(columns, row) if flag in YES)
        titles.append(ones or ("" if UNCERTAIN & {*row} else NONE_OF + join_names(columns)))
    return pd.Series(titles)


def _splits(rows: Rows, paths: pd.Series, files: list, used: set):
    """Each image's split, WHOLE where none is known; what tells them; the column that does; and why
    some have none where others have one."""
    texts, given = rows.texts, pd.Series([rows.tables[at].split for at, _ in rows.of])
    where = _split_column(texts, used)
    told = texts[where].map(split_of).replace(WHOLE, None) if where else given
    if (given != WHOLE).any():
        if plain(where) == "split" and told.nunique() > 1:
            # a table named train with a column that says more
            return told.fillna(given), f"column {where}, else the names of files", where, ""
        return given, "the names of files and folders", "", ""
    if where:
        others = texts[where][told.isna()].value_counts()
        said = [f"{shown(text) or 'nothing'} ({n:,})" for text, n in others.head(6).items()]
        loose = f"its column {shown(where)} says {', '.join(said)}, which is no split"
        return told.fillna(WHOLE), f"column {where}", where, loose if said else ""
    places = [file or path for file, path in zip(files, paths)]
    splits = pd.Series([split_in_path(place, rows.finder.root) for place in places])
    if (splits == WHOLE).all():
        return splits, "", "", ""
    outside = [os.path.basename(place) for place, split in zip(places, splits) if not split]
    loose = f"{shown(outside[0])} lies in no folder of a split" if outside else ""
    return splits, "the names of folders", "", loose


def _split_column(texts: pd.DataFrame, used: set) -> str:
    """The column that tells splits: the one called split, or all its values do, or two of them at
    least. Raises DataError where two columns tell different ones."""
    found = []
    for name in texts:
        values = texts[name].unique()
        told = {split_of(value) for value in values if len(values) <= MOST_KINDS}
        tells = len(told - {WHOLE}) > 1 or (told and WHOLE not in told)
        if name not in used and (tells or plain(name) == "split"):
            found.append(name)
    called_so = [name for name in found if plain(name) == "split"]
    found = called_so or found
    for name in found[1:]:
        if (texts[name].map(split_of) != texts[found[0]].map(split_of)).any():
            both = f"{shown(found[0])} and {shown(name)}"
            raise DataError(f"its columns {both} tell different splits; keep one in the table")
    return found[0] if found else ""


def _keys(rows: Rows, paths: pd.Series, files: list) -> pd.Series:
    """What tells a row's image from others: the file that it names, or else its name and table; of
    images in a table the row, or where several have its name, name and bytes."""
    names = pd.Series(
        [f"{at}/{key(path) or f'row {row}'}" for (at, row), path in zip(rows.of, paths)]
    )
    if not any(table.image for table in rows.tables):
        return pd.Series([str(file or name) for file, name in zip(files, names)])
    several = names.duplicated(keep=False) & (paths != "")
    digests = [
        hashlib.sha256(rows.cell(row).get("bytes") or b"").hexdigest() if twice else row
        for row, twice in enumerate(several)
    ]
    return names + "/" + pd.Series(digests).astype(str)


def _once(films: pd.DataFrame, keys: pd.Series) -> pd.DataFrame:
    """Rows with one key are one image, with their titles in `readings`. Raises DataError where they
    tell two splits or two patients, or have two names."""
    if not keys.duplicated().any():
        return films
    for column, what in (("split", "splits"), ("patient", "patients"), ("path", "names")):
        told = films[column].map(key)[films[column] != ""].groupby(keys).nunique()
        if (told > 1).any():
            rows = films[keys == told.idxmax()]
            values = " and ".join(map(shown, rows[column].unique()[:2]))
            image = shown(rows.path.iloc[0])
            raise DataError(
                f"rows of one image, {image}, tell two {what}, {values}; correct the table"
            )
    readings = films.title.groupby(keys, sort=False).agg(lambda titles: [*dict.fromkeys(titles)])
    films = films[~keys.duplicated()]
    return films.assign(readings=list(readings), title=[*map(SEVERAL.join, readings)])


# ---- the files that rows name


def _files(rows: Rows, choices: Choices, used: list[str]) -> tuple[str, list[Path | None]]:
    """The column that names the images' files ("" where they lie in the table unnamed), and the
    file of each row, None where there is none. Raises DataError."""
    texts = rows.texts
    if choices.image:
        name = _one_named(texts, choices.image, "image", NAMES)
        return name, rows.files(name)
    others = [name for name in texts if name not in used]
    if any(table.image for table in rows.tables):
        return next((name for name in others if plain(name) in FILES), ""), [None] * len(texts)
    numbers = {name: texts[name][texts[name] != ""].str.isdigit().all() for name in others}
    called_so = [name for name in others if plain(name) in NAMES]
    # a column id of numbers may number anything
    called_so = [name for name in called_so if plain(name) != "id" or not numbers[name]]
    found, several = {}, []
    for deep in (False, True):
        if {*found} & {*called_so}:
            break  # no need to look at all that lies there
        for name in others:
            most, rows.finder.several = None if name in called_so else 20, []
            there = rows.files(name, most, deep)
            if plain(name) in NAMES or len(others) == 1:
                several = several or rows.finder.several
            # 7 names 7.png, where the column is called so and all do
            named = all(there[:20]) and plain(name) in NAMES | PATIENTS
            if any(there) and (named or not numbers[name]):
                found[name] = rows.files(name)
    missed = not {*found} & {*called_so}  # no column that is called so names a file
    if several and missed:
        raise DataError(
            f"its table names files without their folders, and several are called so "
            f"({listed(several)}); name them with their folders in the table"
        )
    if not found:
        raise DataError(
            f"no image column; {_there(texts)}, none of which holds images or names files that "
            f"exist below {shown(rows.finder.root)}"
        )
    likely = [name for name in found if plain(name) in NAMES]
    if missed:
        likely = [name for name in found if plain(name) not in PATIENTS] or list(found)
    first = found[likely[0]]
    if missed and called_so and texts[called_so[0]].any():
        raise DataError(
            f"its column {shown(called_so[0])} names no files that exist, and {shown(likely[0])} "
            f"does; say which names the images, such as {offer(image=likely[0])}"
        )
    if any(found[name] != first for name in likely):
        first = next((name for name in likely if not numbers[name]), likely[0])
        both, one = " and ".join(map(shown, likely)), offer(image=first)
        raise DataError(
            f"its columns {both} name different files; say which names the images, such as {one}"
        )
    return likely[0], first

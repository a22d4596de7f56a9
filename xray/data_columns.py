"""Which columns of a table hold images, labels, names of files, splits and patients."""

import re

from xray.data_audit import names_patients
from xray.data_sources import SPLIT_NAMES, WHOLE, DataError, shown

# names of label columns, or the last word of them ("Finding Labels"); pneumonia holds 0 and 1
LABELS = "labels label class class_name target diagnosis finding category pneumonia".split()


def find(given: str, split: str, table, locate, datasets) -> tuple:
    """The image column (None where a column names files instead), and the label, path and split
    columns. Raises DataError without images or without a label column."""
    features = table.features

    def first(test):
        return next((name for name, kind in features.items() if test(name.lower(), kind)), None)

    def is_bytes(name, feature):
        binary = getattr(feature, "dtype", "") in ("binary", "large_binary")
        binary = binary or isinstance(feature, dict) and "bytes" in feature
        return binary and name in ("image", "images", "img")

    def is_text(feature):
        return getattr(feature, "dtype", "") in ("string", "large_string")

    def names_files(name):
        if is_text(features[name]):
            return any(cell and locate(cell) for cell in table[:20][name])
        numbers = getattr(features[name], "dtype", "").startswith("int") and name != label
        return numbers and all(map(locate, table[:20][name]))  # 7 names 7.png, if all do so

    image = first(lambda _, feature: isinstance(feature, datasets.Image)) or first(is_bytes)
    found = {name.lower(): name for name in reversed(features)}
    last = {re.split(r"[\W_]+", name.lower())[-1]: name for name in reversed(features)}
    label = next((names[name] for names in (found, last) for name in LABELS if name in names), None)
    label = label or first(lambda _, feature: isinstance(feature, datasets.ClassLabel))
    path = first(
        lambda name, f: is_text(f) and name != label and ("path" in name or "file" in name)
    )
    if image is None:
        later = sorted(
            features, key=lambda name: (not is_text(features[name]), names_patients(name))
        )
        path = next(filter(names_files, later), None)
    for column, what in ((image or path, "image"), (label, "label")):
        if column is None:
            there = ", ".join(map(shown, features)) or "none"
            why = f"the {split or 'only'} split has no {what} column; it has {there}"
            if what == "image":
                why += ", none of which holds images or names files that are there"
            else:
                why += f"; call one of them {LABELS[1]}"
            raise DataError(f"{shown(given)}: {why}")
    splits = [
        name
        for name in features
        if is_text(features[name])
        and all(str(text).strip().lower() in SPLIT_NAMES for text in table.unique(name))
    ]
    return image, label, path, splits[0] if splits and split == WHOLE else None


def patients(table) -> list[str]:
    """Each image's patient, "" where there is none; [] without a column of them."""
    column = next(filter(names_patients, table.features), None)

    def text(value):
        if value is None or value != value:
            return ""
        whole = isinstance(value, float) and value.is_integer()  # CSV with gaps reads 7 as 7.0
        return str(int(value) if whole else value).strip()

    return [text(value) for value in table[column]] if column else []

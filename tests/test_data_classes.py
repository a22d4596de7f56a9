"""Which class is pneumonia is read from names that say it, else asked for."""

import shlex
from dataclasses import replace

import pytest
from samples import SPLITS, class_folders, encode, error_of, load, parquet, pixels, rows, said

from xray.data_choices import Choices, DataError, class_of, in_words, label_mapping, means_healthy

TOLD = [  # the healthy class, the other
    ("NORMAL", "PNEUMONIA"),
    ("NORMAL", "BACTERIA"),
    ("healthy", "Pneumonia"),
    ("no pneumonia", "pneumonia"),
    ("Non_Pneumonia", "Pneumonia"),
    ("nonCOVID", "COVID"),
    ("negative", "positive"),
    ("normal", "abnormal"),
    ("Normal-CXR", "not normal"),
    ("No Finding", "Lung Opacity"),
    ("NoFinding", "Finding"),
    ("clear", "opacity"),
    ("0", "1"),
    ("0.0", "1.0"),
    ("False", "True"),
    ("0_NORMAL", "1_PNEUMONIA"),
    ("négatif", "positif"),
    ("sain", "pneumonie"),
    ("Sano", "Neumonía"),
    ("saudável", "pneumonia"),
    ("gesund", "krank"),
    ("unauffällig", "Pneumonie"),
    ("zdrowy", "chory"),
    ("норма", "пневмония"),
    ("正常", "肺炎"),
    ("정상", "폐렴"),
    ("negative for pneumonia", "typical appearance"),
]


@pytest.mark.parametrize("healthy, other", TOLD)
def test_a_healthy_name_is_0_in_either_order(healthy, other):
    for names in ([healthy, other], [other, healthy]):
        assert label_mapping(names) == {healthy: 0, other: 1}


def test_accents_may_be_encoded_either_way():
    assert means_healthy("unauffällig") and means_healthy("unauffa\u0308llig")


@pytest.mark.parametrize(
    "names",
    ["dog cat", "BACTERIA VIRUS", "pneumonia covid", "normal healthy", "1 2", "A B", "yes maybe"]
    + ["not_sure pneumonia", "nonspecific pneumonia", "unclear pneumonia", "不正常 肺炎"],
)
def test_what_cannot_be_told_is_refused_with_the_option_that_says_it(names):
    with pytest.raises(DataError, match="--positive .* --negative "):
        label_mapping(names.split())


def test_more_than_two_classes_are_refused_with_the_very_options():
    with pytest.raises(DataError, match="--positive BACTERIA,VIRUS --negative NORMAL "):
        label_mapping(["BACTERIA", "NORMAL", "VIRUS"])
    with pytest.raises(DataError, match="it has 1: NORMAL"):
        label_mapping(["NORMAL"])


def chosen(positive="", negative=""):
    return Choices(*(tuple(filter(None, names.split(","))) for names in (positive, negative)))


def test_chosen_classes_are_joined_and_others_left_out():
    three = ["BACTERIA", "NORMAL", "VIRUS"]
    joined = {"BACTERIA": 1, "NORMAL": 0, "VIRUS": 1}
    assert label_mapping(three, chosen("bacteria,Virus", "normal")) == joined
    assert label_mapping(three, chosen("VIRUS", "BACTERIA")) == {"BACTERIA": 0, "VIRUS": 1}
    assert label_mapping(["dog", "cat"], chosen("cat")) == {"dog": 0, "cat": 1}
    assert label_mapping(["dog", "cat"], chosen("", "cat")) == {"dog": 1, "cat": 0}
    assert in_words(joined) == "BACTERIA, VIRUS: pneumonia (1); NORMAL: normal (0)"


@pytest.mark.parametrize(
    "choices, message",
    [
        (chosen("TB"), "--positive TB: no such class; there is BACTERIA, NORMAL, VIRUS"),
        (chosen("VIRUS", "virus"), "cannot be both"),
        (chosen("VIRUS"), "--negative is needed too; the other classes: BACTERIA, NORMAL"),
        (chosen("", "NORMAL"), "--positive is needed too"),
    ],
)
def test_choices_that_do_not_fit(choices, message):
    with pytest.raises(DataError, match=message):
        label_mapping(["BACTERIA", "NORMAL", "VIRUS"], choices)


def test_normal_and_bacteria_are_read_right(tmp_path):
    """In alphabetical order NORMAL is the second."""
    folder = class_folders(tmp_path / "set", names=("NORMAL", "BACTERIA"))
    found = load(folder, tmp_path)
    assert found.facts["classes"] == {"BACTERIA": 1, "NORMAL": 0}
    for path, label in zip(found.paths, found.labels):
        assert label == ("BACTERIA" in path)


def test_classes_of_a_folder_joined_and_left_out(tmp_path):
    splits = {split: (3, 2) for split in SPLITS}
    folder = class_folders(tmp_path / "set", splits, ("NORMAL", "BACTERIA"))
    class_folders(tmp_path / "set", splits, ("TB", "VIRUS"))
    assert "it has 4: BACTERIA, NORMAL, TB, VIRUS" in error_of(tmp_path, folder)
    choices = chosen("BACTERIA,VIRUS", "NORMAL")
    found = load(folder, tmp_path, choices=choices)
    assert found.facts["classes"] == {"BACTERIA": 1, "NORMAL": 0, "VIRUS": 1}
    assert found.facts["counts"]["train"] == {"NORMAL": 3, "PNEUMONIA": 4}
    assert found.facts["options"] == ["--positive", "BACTERIA,VIRUS", "--negative", "NORMAL"]
    assert found.notes == ["9 images of other classes are left out: 9 of TB"]
    assert said(shlex.join(found.facts["options"])) == replace(choices, split="image-0")
    other = load(folder, tmp_path, choices=chosen("VIRUS", "NORMAL"))
    assert other.fingerprint != found.fingerprint and len(other.labels) == 15


def test_classes_of_a_table_are_chosen_too(tmp_path):
    folder = parquet(tmp_path / "set", names=("cat", "dog"))
    assert "--positive" in error_of(tmp_path, folder)
    found = load(folder, tmp_path, choices=chosen("cat", "dog"))
    assert found.labels.tolist() == [1 - row[2] for row in rows()]


def test_train_says_which_class_is_which(tmp_path, capsys):
    from commands import TINY, train

    splits = {"train": (5, 9), "validation": (2, 4), "test": (2, 3)}
    folder = class_folders(tmp_path / "set", splits, ("cat", "dog"))
    some = ("--data", folder, *TINY, "--model", "20", "--seeds", "0", "--epochs", "1")
    some += ("--out", tmp_path / "out")
    assert train(*some) == 2
    assert "--positive CAT --negative DOG" in capsys.readouterr().err
    assert train(*some, "--positive", "dog,") == 2
    assert "is not a list of classes" in capsys.readouterr().err
    assert train(*some, "--positive", "dog", "--negative", "cat") == 0
    assert "classes: DOG: pneumonia (1); CAT: normal (0)" in capsys.readouterr().out
    from xray import results, study

    [run] = results.load(tmp_path / "out" / "results")
    assert run.data["options"] == ["--positive", "dog", "--negative", "cat"]
    assert "--positive dog --negative cat" in study.command([run], ["21"])


def test_an_image_of_a_class_left_out_is_not_decoded(tmp_path):
    folder = class_folders(tmp_path / "set")
    (folder / "train" / "OTHER").mkdir()
    (folder / "train" / "OTHER" / "bad.png").write_bytes(encode(pixels(1))[:40])
    assert len(load(folder, tmp_path, choices=chosen("PNEUMONIA", "NORMAL")).labels) == 14


# label -> the class it counts as, with Pneumonia and Edema as 1 and No Finding and Clear as 0
SEVERAL = {
    "Pneumonia": "Pneumonia",
    "Infiltration|Pneumonia": "Pneumonia",
    "Edema|Pneumonia": "Edema",
    "No Finding|Pneumonia": "Pneumonia",
    " Hernia | Edema |": "Edema",
    "No Finding": "No Finding",
    "Clear|No Finding": "Clear",
    "Infiltration": None,
    "Infiltration|Hernia": None,
    "No Finding|Hernia": None,
    "|": None,
}
MAPPING = {"Pneumonia": 1, "Edema": 1, "No Finding": 0, "Clear": 0}


@pytest.mark.parametrize("title, expected", SEVERAL.items())
def test_an_image_of_several_classes(title, expected):
    assert class_of(title, MAPPING) == expected


@pytest.mark.parametrize("listed", [False, True], ids=["text", "a list of labels"])
def test_a_table_with_several_classes_an_image(tmp_path, listed):
    """As NIH's: the parts are the classes; which is which is asked for, and what is left out is
    counted, the commonest first."""
    import datasets

    titles = ["No Finding", "Pneumonia", "Infiltration|Pneumonia", "Infiltration", "Infiltration"]
    titles += ["Hernia|No Finding", "Hernia|Infiltration"]
    names = sorted({part for title in titles for part in title.split("|")})
    cells = [{"bytes": encode(pixels(n)), "path": None} for n in range(3 * len(titles))]
    kind = datasets.Value("string")
    if listed:
        kind = datasets.Sequence(datasets.ClassLabel(names=names))
    features = datasets.Features({"image": datasets.Image(), "labels": kind})
    for number, split in enumerate(SPLITS):
        mine = cells[number * len(titles) : (number + 1) * len(titles)]
        labels = [[names.index(part) for part in t.split("|")] for t in titles]
        content = {"image": mine, "labels": labels if listed else titles}
        table = datasets.Dataset.from_dict(content, features=features)
        (tmp_path / "set").mkdir(exist_ok=True)
        table.to_parquet(str(tmp_path / "set" / f"{split}.parquet"))
    assert "it has 4: Hernia, Infiltration, No Finding, Pneumonia" in error_of(
        tmp_path, tmp_path / "set"
    )
    found = load(tmp_path / "set", tmp_path, choices=chosen("Pneumonia", "No Finding"))
    assert found.labels.tolist() == [0, 1, 1] * 3
    assert found.facts["classes"] == {"No Finding": 0, "Pneumonia": 1}
    [note] = found.notes
    assert note == (
        "12 images of other classes are left out: 6 of Infiltration, 3 of Hernia|No Finding, "
        "3 of Hernia|Infiltration"
    )
    joined = load(
        tmp_path / "set", tmp_path, choices=chosen("Infiltration,Pneumonia", "No Finding")
    )
    assert joined.labels.tolist() == [0, 1, 1, 1, 1, 1] * 3


def test_of_many_classes_left_out_the_rest_is_counted(tmp_path):
    from xray.data_splits import LISTED

    names = [f"class {n:02d}" for n in range(LISTED + 3)] * 2 + ["a", "b"] * 6 + ["class 22"]
    for number, name in enumerate(names):
        place = tmp_path / "set" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(encode(pixels(number)))
    choices = Choices(("b",), ("a",), "image-0")
    note = load(tmp_path / "set", tmp_path, choices=choices).notes[0]
    assert note.startswith("47 images of other classes are left out: 3 of CLASS 22, 2 of CLASS")
    assert note.endswith("2 of CLASS 18, 6 of 3 others")


def test_non_covid_beside_normal_is_not_offered_as_normal():
    with pytest.raises(DataError) as caught:
        label_mapping(["COVID-19", "NON-COVID", "NORMAL"])
    assert "--negative NON-COVID" not in str(caught.value)


@pytest.mark.parametrize(
    "classes",
    [
        ("Normal", "normal", "Pneumonia", "PNEUMONIA"),
        ("Normal", "Lung Opacity", "Viral Pneumonia"),
        ("Normal", "Pneumonia, bacterial", "Pneumonia, viral"),
        ("NORMAL", "-1 bacterial", "-2 viral"),
        ("Healthy", 'so-called "mild", 1', "it's severe"),
        ("No Finding", "a,b", "c=d"),
        ("sick", "ill"),
        ("Pneumonia", "Covid"),
        ("normal", "healthy", "Pneumonia"),
        tuple(f"class {n}" for n in range(9)),
        ("No Finding", "Pneumonia", *(f"class {n}" for n in range(9))),
    ],
)
def test_options_that_are_offered_work(tmp_path, classes):
    with pytest.raises(DataError) as caught:
        label_mapping(list(classes))
    choices = said(str(caught.value).split("say it with ")[1].split(" (a class named")[0])
    mapping = label_mapping(list(classes), choices)
    assert set(mapping.values()) == {0, 1}
    assert all(not means_healthy(name) for name, label in mapping.items() if label) or (
        len(classes) == 3
    )
    if len(classes) < 7:
        assert set(mapping) == set(classes)
    assert said(shlex.join(choices.options)) == choices


@pytest.mark.parametrize(
    "name, healthy",
    [
        ("no evidence of pneumonia", True),
        ("pneumonia negative", True),
        ("Pneumonia_No", True),
        ("COVID-negative", True),
        ("without pneumonia", True),
        ("normal (no pneumonia)", True),
        ("test-negative for pneumonia", True),
        ("PCR-negative pneumonia", False),
        ("Non-COVID pneumonia", False),
        ("Culture-negative pneumonia", False),
        ("non-bacterial pneumonia", False),
        ("normal or pneumonia", False),
        ("not healthy", False),
        ("unhealthy", False),
        ("un-healthy", False),
        ("Nicht-COVID Pneumonie", False),
        ("neumonía no COVID", False),
        ("clear of nothing", True),
    ],
)
def test_what_means_healthy(name, healthy):
    assert means_healthy(name) == healthy

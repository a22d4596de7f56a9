"""Which class is pneumonia is read from names that say it, else asked for."""

import shlex
from dataclasses import replace

import pytest
from reading import error_of, labels, load, said
from samples import SPLITS, N, cell, class_folders, dataset, encode, films, pixels, put

from xray.data_choices import Choices, DataError, class_of, in_words, label_mapping, means_healthy
from xray.data_splits import LISTED

# the healthy class / the other
TOLD = """
NORMAL / PNEUMONIA; NORMAL / BACTERIA; healthy / Pneumonia; no pneumonia / pneumonia
Non_Pneumonia / Pneumonia; nonCOVID / COVID; negative / positive; normal / abnormal
Normal-CXR / not normal; No Finding / Lung Opacity; NoFinding / Finding; clear / opacity
0 / 1; 0.0 / 1.0; False / True; 0_NORMAL / 1_PNEUMONIA
negative for pneumonia / typical appearance
no bronchopneumonia / bronchopneumonia, heart normal
négatif / positif; sain / pneumonie; pas de pneumonie / pneumonie
absence de pneumonie / pneumonie; Sano / Neumonía; saudável / pneumonia; gesund / krank
unauffällig / Pneumonie; normal / nicht normal; zdrowy / chory; норма / пневмония
正常 / 肺炎; 정상 / 폐렴
"""


@pytest.mark.parametrize("pair", TOLD.strip().replace("\n", "; ").split("; "))
def test_a_healthy_name_is_0_in_either_order(pair):
    healthy, other = pair.split(" / ")
    for names in ([healthy, other], [other, healthy]):
        assert label_mapping(names) == {healthy: 0, other: 1}


@pytest.mark.parametrize(
    "names",
    ["dog,cat", "pneumonia,covid", "normal,healthy", "1,2", "A,B", "yes,maybe", "不正常,肺炎"]
    + ["not_sure,pneumonia", "nonspecific,pneumonia", "unclear,pneumonia"]
    # what is no diagnosis is not taken for pneumonia
    + ["NORMAL,bad quality", "NORMAL,Other", "NORMAL,UNKNOWN", "NORMAL,excluded_2"],
)
def test_what_cannot_be_told_is_refused_with_the_option_that_says_it(names):
    with pytest.raises(DataError, match="--positive .* --negative "):
        label_mapping(names.split(","))


@pytest.mark.parametrize("names", ["N,Y", "未见异常,異常", "BACTERIA,VIRUS"])
def test_where_no_name_tells_the_offer_says_that_it_may_be_turned(names):
    with pytest.raises(DataError, match="or the other way round"):
        label_mapping(names.split(","))


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


def test_classes_of_a_folder_joined_and_left_out(tmp_path):
    splits = {split: (3, 2) for split in SPLITS}
    folder = class_folders(tmp_path / "set", splits, ("NORMAL", "BACTERIA"))
    class_folders(tmp_path / "set", splits, ("TB", "VIRUS"))
    assert "it has 4: BACTERIA, NORMAL, TB, VIRUS" in error_of(folder)
    choices = chosen("BACTERIA,VIRUS", "NORMAL")
    found = load(folder, choices=choices)
    assert found.facts["classes"] == {"BACTERIA": 1, "NORMAL": 0, "VIRUS": 1}
    assert found.facts["counts"]["train"] == {"NORMAL": 3, "PNEUMONIA": 4}
    assert found.facts["options"] == ["--positive", "BACTERIA,VIRUS", "--negative", "NORMAL"]
    assert found.notes == ["9 images of other classes are left out: 9 of TB"]
    assert said(shlex.join(found.facts["options"])) == choices
    other = load(folder, choices=chosen("VIRUS", "NORMAL"))
    assert other.fingerprint != found.fingerprint and len(other.labels) == 15


def test_an_image_of_a_class_left_out_is_not_decoded(tmp_path):
    folder = class_folders(tmp_path / "set")
    put(folder / "train" / "OTHER" / "bad.png", encode(pixels(1))[:40])
    assert len(load(folder, choices=chosen("PNEUMONIA", "NORMAL")).labels) == 14


# with Pneumonia and Edema as 1, No Finding and Clear as 0
SEVERAL = {"No Finding": 0, "Clear|No Finding": 0, "Pneumonia": 1, "Infiltration|Pneumonia": 1}
SEVERAL |= {"Edema|Pneumonia": 1, "No Finding|Pneumonia": 1, "Hernia|Edema": 1}
SEVERAL |= {"Infiltration": None, "Infiltration|Hernia": None, "No Finding|Hernia": None}


@pytest.mark.parametrize("listed", [False, True], ids=["text", "a list of labels"])
def test_a_table_with_several_classes_an_image(tmp_path, listed):
    """As NIH's: the parts are the classes, which are asked for; what is left out is counted."""
    import datasets

    names = ["Clear", "Edema", "Hernia", "Infiltration", "No Finding", "Pneumonia"]
    cells, feature = [list(SEVERAL)[n % 10] for n in N], {}
    truth = {n: SEVERAL[title] for n, title in enumerate(cells) if SEVERAL[title] is not None}
    if listed:
        cells = [[names.index(part) for part in title.split("|")] for title in cells]
        feature = {"labels": datasets.Sequence(datasets.ClassLabel(names=names))}
    path = tmp_path / "films.parquet"
    dataset({"image": [cell(n) for n in N], "labels": cells}, **feature).to_parquet(path)
    assert f"it has 6: {', '.join(names)}" in error_of(path)
    choices = chosen("Pneumonia,Edema", "No Finding,Clear")
    found = load(path, choices=replace(choices, split="image-0"))
    assert labels(found) == truth
    assert found.facts["classes"] == {"Clear": 0, "Edema": 1, "No Finding": 0, "Pneumonia": 1}
    assert found.notes[0] == (
        "6 images of other classes are left out: 2 of Infiltration, 2 of Infiltration|Hernia, "
        "2 of No Finding|Hernia"
    )


def test_blanks_around_classes_do_not_matter():
    assert class_of(" Hernia | Edema |", {"Edema": 1}) == "Edema" and class_of("|", {}) is None


def test_of_many_classes_left_out_the_rest_is_counted(tmp_path):
    names = [f"class {n:02d}" for n in range(LISTED + 3)] * 2 + ["a", "b"] * 6 + ["class 22"]
    films(tmp_path / "set", [f"{name}/{number}.png" for number, name in enumerate(names)])
    choices = Choices(("b",), ("a",), "image-0")
    note = load(tmp_path / "set", choices=choices).notes[0]
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
def test_options_that_are_offered_work(classes):
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
    "healthy, names",
    [
        (True, "no evidence of pneumonia; pneumonia negative; Pneumonia_No; COVID-negative"),
        (True, "without pneumonia; normal (no pneumonia); test-negative for pneumonia"),
        (True, "clear of nothing; unauffällig; unauffa\u0308llig"),
        (False, "PCR-negative pneumonia; Non-COVID pneumonia; Culture-negative pneumonia"),
        (False, "non-bacterial pneumonia; Nicht-COVID Pneumonie; neumonía no COVID"),
        (False, "normal or pneumonia; not healthy; unhealthy; un-healthy"),
    ],
)
def test_what_means_healthy(healthy, names):
    assert [means_healthy(name) for name in names.split("; ")] == [healthy] * len(names.split("; "))

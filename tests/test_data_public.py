"""Public data sets in small, with their traps. A person who pastes what each message offers comes
to the right labels; nothing is guessed on the way."""

import shlex

import pytest
from samples import TITLES, class_folders, encode, films, load, pixels, table

from scripts import options
from xray.data_choices import Choices, DataError

N = range(24)
TRUTH = {f"x{n}.png": n % 2 for n in N}


def paste(tmp_path, source, *words):
    """What comes of a source where each option that is offered is given; and the messages."""
    parser, said, words = options.parser(""), [], ["--split", "image", *words]
    options.add_source(parser)
    while len(said) < 5:
        args = parser.parse_args(["--data", str(source), *words])
        try:
            return load(args.data, tmp_path, 24, choices=options.choices(args)), said
        except DataError as error:
            said.append(str(error))
            start = max(said[-1].rfind("such as --") + 8, said[-1].rfind("with --") + 5)
            words += shlex.split(said[-1][start:].split(" (a class named")[0])
    raise AssertionError(said)


def labels(found) -> dict[str, int]:
    return {path.split("/")[-1]: int(label) for path, label in zip(found.paths, found.labels)}


def test_a_column_a_class_in_each_splits_table(tmp_path):
    """Roboflow's _classes.csv, with blanks after its commas."""
    for split in ("train", "valid", "test"):
        folder = films(tmp_path / "set" / split, [f"{split}_{n}.png" for n in N])
        lines = [f"{split}_{n}.png, {1 - n % 2}, {n % 2}" for n in N]
        table(folder, "filename, NORMAL, PNEUMONIA", lines, "_classes.csv")
    found, said = paste(tmp_path, tmp_path / "set")
    assert "such as --label NORMAL,PNEUMONIA" in said[0] and len(said) == 1
    assert {len(rows) for rows in found.index.values()} == {24} and not found.facts["made"]
    assert all(label == int(name[:-4].split("_")[1]) % 2 for name, label in labels(found).items())


def test_two_tables_of_the_same_films_are_asked_for(tmp_path):
    """RSNA: patientId names the files; what is not normal and has no opacity is not healthy."""
    folder = films(tmp_path / "set", [f"stage_2_train_images/x{n}.png" for n in N])
    boxes = [f"x{n},{box},,,,{n % 2}" for n in N for box in range(1 + n % 2)]
    table(folder, "patientId,x,y,width,height,Target", boxes, "stage_2_train_labels.csv")
    classes = ("Normal", "Lung Opacity", "No Lung Opacity / Not Normal")
    lines = [f"x{n},{classes[n % 3]}" for n in N]
    table(folder, "patientId,class", lines, "stage_2_detailed_class_info.csv")
    found, said = paste(tmp_path, folder)
    assert "several tables" in said[0] and "it has 3" in said[1]
    assert found.facts["classes"] == {classes[1]: 1, classes[2]: 1, classes[0]: 0}
    found, said = paste(tmp_path, folder / "stage_2_train_labels.csv")
    assert labels(found) == {f"x{n}": n % 2 for n in N} and said == []


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_whose_names_hold_the_split_in_a_word(tmp_path, suffix):
    """VinDr-CXR: annotations/image_labels_train.csv, a row a reader, beside train/ and test/."""
    import pandas as pd

    for split in ("train", "val", "test"):
        folder = films(tmp_path / "set", [f"{split}/{split}_{n}.png" for n in N]) / "annotations"
        folder.mkdir(exist_ok=True)
        rows = [(f"{split}_{n}", f"R{r}", 1 - n % 2, n % 2) for n in N for r in range(2)]
        frame = pd.DataFrame(rows, columns=["image_id", "rad_id", "No finding", "Pneumonia"])
        if suffix == "csv":
            frame.to_csv(folder / f"image_labels_{split}.csv", index=False)
        else:
            frame.to_parquet(folder / f"image_labels_{split}.parquet")
    found, said = paste(tmp_path, tmp_path / "set")
    assert "such as --label 'No finding,Pneumonia'" in said[0] and len(said) == 1
    assert found.facts["splits"] == {"train": 24, "validation": 24, "test": 24}
    for split, start in (("train", "train"), ("validation", "val"), ("test", "test")):
        assert all(path.startswith(start) for path in found.part(split).paths)
    assert all(label == int(name.split("_")[1]) % 2 for name, label in labels(found).items())


def test_a_test_table_without_labels(tmp_path):
    """As competitions give it: what has no label is left out when the classes are named."""
    folder = films(tmp_path / "set", [f"images/x{n}.png" for n in range(36)])
    table(folder, "image,label", [f"x{n}.png,{TITLES[n % 2]}" for n in N], "train.csv")
    table(folder, "image", [f"x{n}.png" for n in range(24, 36)], "test.csv")
    found, said = paste(tmp_path, folder)
    assert "12 images without a label in column label; fill it in, or leave them out" in said[0]
    assert labels(found) == TRUTH
    assert found.notes[0] == "12 images of other classes are left out: 12 of no label"


@pytest.mark.parametrize("other", ["metadata", "clinical", "a table of patients"])
def test_a_table_of_what_else_is_known_beside_that_of_labels(tmp_path, other):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in N])
    table(folder, "file_name,label", [f"x{n}.png,{TITLES[n % 2]}" for n in N])
    table(
        folder, "file_name,sex,smoker", [f"x{n}.png,{'FM'[n % 3 > 0]},1" for n in N], f"{other}.csv"
    )
    found, said = paste(tmp_path, folder)
    assert "several tables" in said[0] and len(said) == 1
    assert labels(found) == TRUTH


def test_labels_in_figures_here_and_in_words_there(tmp_path):
    for split, names in (("train", "01"), ("val", TITLES), ("test", TITLES)):
        folder = films(tmp_path / "set" / split, [f"x{n}.png" for n in N])
        table(folder, "file_name,label", [f"x{n}.png,{names[n % 2]}" for n in N], "metadata.csv")
    found, said = paste(tmp_path, tmp_path / "set")
    assert "--positive 1,PNEUMONIA --negative 0,NORMAL" in said[0]
    assert len(found.paths) == 72 and labels(found) == TRUTH


@pytest.mark.parametrize("blank", ["", '""', "  "])
def test_rows_without_a_label(tmp_path, blank):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in range(30)])
    lines = [f"x{n}.png,{TITLES[n % 2] if n < 24 else blank}" for n in range(30)]
    found, said = paste(tmp_path, table(folder, "image,label", lines))
    assert said[0].endswith("leave them out with --positive PNEUMONIA --negative NORMAL")
    assert labels(found) == TRUTH and "6 of no label" in found.notes[0]


def test_uncertain_labels_are_not_negative(tmp_path):
    """CheXpert: 1, 0, -1 for uncertain, and nothing where the report says nothing."""
    values = ("1.0,,", ",1.0,", ",-1.0,", ",,1.0")  # No Finding, Pneumonia, Edema
    start = "CheXpert-v1.0-small/train/patient{n:05d}/study1/view1_frontal.jpg"
    lines = [f"{start.format(n=n)},F,{n},{values[n % 4]}" for n in range(40)]
    names = [start.format(n=n).split("/", 1)[1] for n in range(40)]
    folder = films(tmp_path / "set", names)
    table(folder, "Path,Sex,Age,No Finding,Pneumonia,Edema", lines, "train.csv")
    found, said = paste(tmp_path, folder)
    assert "10 images without a label" in said[1]
    for path, label in zip(found.paths, found.labels):
        number = int(path.split("patient")[1][:5])
        assert number % 4 != 2 and label == (number % 4 > 0)
    assert found.facts["patients"]["named"] == len(found.paths) == 30


def test_class_folders_that_each_split_spells_in_its_own_way(tmp_path):
    spelled = {"train": ("NORMAL", "PNEUMONIA"), "val": ("Normal", "Pneumonia")}
    spelled |= {"test": ("normal", "Pneumonia")}
    for split, names in spelled.items():
        films(tmp_path / "set" / split, [f"{name}/{n}.png" for name in names for n in range(4)])
    found, said = paste(tmp_path, tmp_path / "set")
    assert said == [] and found.labels.tolist() == [0] * 4 + [1] * 4 + ([0] * 4 + [1] * 4) * 2
    [line] = [line for line in found.facts["taken"] if line.startswith("labels")]
    assert "(NORMAL, Normal, normal are one) (PNEUMONIA, Pneumonia are one)" in line


@pytest.mark.parametrize("of", ["folders", "tables"])
def test_two_data_sets_in_one_folder(tmp_path, of):
    for name in ("first one", "second"):
        if of == "folders":
            class_folders(tmp_path / "set" / name)
            continue
        for split in ("train", "val", "test"):
            folder = films(tmp_path / "set" / name / split, [f"x{n}.png" for n in N])
            lines = [f"x{n}.png,{TITLES[n % 2]}" for n in N]
            table(folder, "file_name,label", lines, "metadata.csv")
    found, said = paste(tmp_path, tmp_path / "set")
    assert "several data sets (first one, second)" in said[0] and len(said) == 1
    assert found.name == "first one" and len(found.paths) == (14 if of == "folders" else 72)


def test_two_data_sets_of_class_folders_without_splits(tmp_path):
    for name in ("kaggle", "hospital"):
        films(tmp_path / "set" / name, [f"{title}/{n}.png" for title in TITLES for n in range(10)])
    found, said = paste(tmp_path, tmp_path / "set")
    assert "several data sets (hospital, kaggle)" in said[0]
    assert found.name == "hospital" and set(found.facts["classes"]) == set(TITLES)


def test_what_is_uncertain_is_not_offered_as_pneumonia(tmp_path):
    """CheXpert's 1.0, 0.0, -1.0 and blank."""
    folder = films(tmp_path / "set", [f"x{n}.png" for n in N])
    table(folder, "Path,Pneumonia", [f"x{n}.png,{('1.0', '0.0', '-1.0', '')[n % 4]}" for n in N])
    found, said = paste(tmp_path, folder)
    assert "--positive 1.0 --negative 0.0" in said[0]
    assert {path: label for path, label in zip(found.paths, found.labels)} == {
        f"x{n}.png": 1 - n % 4 for n in N if n % 4 < 2
    }


def test_a_table_of_films_in_the_folders_of_patients_at_two_sites(tmp_path):
    """Folders that tell no class do not stand before a table, however many roots they have."""
    names = [f"site{n % 3}/train/patient{n}/x{n}.png" for n in N]
    folder = films(tmp_path / "set", names)
    lines = [f"{name},{TITLES[n % 2]}" for n, name in enumerate(names)]
    found, said = paste(tmp_path, table(folder, "path,label", lines))
    assert said == [] and labels(found) == TRUTH


def test_the_splits_of_mimic_cxr(tmp_path):
    """Its split file says validate."""
    folder = films(tmp_path / "set", [f"d{n}.jpg" for n in N])
    lines = [f"d{n},{('train', 'validate', 'test')[n // 2 % 3]},{n % 2}" for n in N]
    table(folder, "dicom_id,split,Pneumonia", lines, "mimic.csv")
    found, said = paste(tmp_path, folder)
    assert said == [] and set(found.facts["splits"].values()) == {len(N) // 3}


def test_a_table_beside_nested_folders_with_a_misspelt_class(tmp_path):
    """CoronaHack: an index column, further label columns, splits in capitals in a column."""
    names = [f"chest/chest/{('train', 'test')[n // 18]}/x{n}.jpeg" for n in N]
    folder = films(tmp_path / "set", names)
    header = ",X_ray_image_name,Label,Dataset_type,Label_2_Virus_category,Label_1_Virus_category"
    kinds = ("Normal", "Pnemonia")
    lines = [f"{n},x{n}.jpeg,{kinds[n % 2]},{('TRAIN', 'TEST')[n // 18]},," for n in N]
    found, said = paste(tmp_path, table(folder, header, lines, "Chest_xray_Corona_Metadata.csv"))
    assert said == [] and found.facts["classes"] == {"Pnemonia": 1, "Normal": 0}
    assert labels(found) == {f"x{n}.jpeg": n % 2 for n in N}
    assert found.facts["splits"]["test"] == 6 and found.facts["made"]["splits"] == ["validation"]


def test_findings_with_paths_of_their_own(tmp_path):
    """ieee8023's covid-chestxray: classes with slashes, unknown ones, a table of all and sundry."""
    folder = films(tmp_path / "set", [f"images/x{n}.png" for n in range(30)])
    kinds = ["No Finding", "Pneumonia/Viral/COVID-19", "Pneumonia", "Pneumonia/Bacterial", "todo"]
    lines = [f"{n // 2},{n},{kinds[n % 5]},AP,X-ray,x{n}.png,images" for n in range(30)]
    header = "patientid,offset,finding,view,modality,filename,folder"
    found, said = paste(tmp_path, table(folder, header, lines, "metadata.csv"))
    assert "it has 5: " in said[0] and "--negative 'No Finding'" in said[0]
    assert labels(found) == {f"x{n}.png": int(n % 5 > 0) for n in range(30)}
    words = ("--positive", ",".join(kinds[1:4]), "--negative", kinds[0])
    found, said = paste(tmp_path, folder, *words)
    assert said == [] and "6 of todo" in found.notes[0] and found.facts["patients"]["told"] == 24


def test_a_column_of_numbers_that_names_other_films(tmp_path):
    """An index written along, where films are called by numbers too."""
    folder = films(tmp_path / "set", [f"{n}.png" for n in N])
    lines = [f"{n},{(n + 1) % 24}.png,{TITLES[n % 2]}" for n in N]
    for header in (",film,label", ",image,label"):
        table(folder, header, lines)
        found, said = paste(tmp_path, folder)
        assert said == []
        for path, label, row in zip(found.paths, found.labels, range(24)):
            number = int(path[:-4])
            assert label == (number - 1) % 24 % 2
            assert (found.images[row, 0] == pixels(number)).all()
    text = paste(tmp_path, table(folder, "id,image,label", lines))[1][0]
    assert "name different files; say which names the images, such as --image " in text


def test_ages_are_no_names_of_files(tmp_path):
    folder = films(tmp_path / "set", [f"{n}.png" for n in range(99)])
    table(folder, "case,age,label", [f"c{n},{n % 12 + 20},{TITLES[n % 2]}" for n in N])
    with pytest.raises(DataError, match="no image column"):
        load(folder, tmp_path)


@pytest.mark.parametrize(
    "ill, well",
    [
        ("pneumonie", "absence de pneumonie"),
        ("pneumonie", "pas de pneumonie"),
        ("bronchopneumonia, heart normal", "no bronchopneumonia"),
        ("nicht normal", "normal"),
    ],
)
def test_negations_of_other_languages_and_longer_words(tmp_path, ill, well):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in N])
    table(folder, "file;label", [f"x{n}.png;{(well, ill)[n % 2]}" for n in N])
    found, _ = paste(tmp_path, folder)
    assert labels(found) == {f"x{n}.png": n % 2 for n in N}


@pytest.mark.parametrize("pair", [("N", "Y"), ("未见异常", "異常"), ("BACTERIA", "VIRUS")])
def test_where_no_name_tells_the_offer_says_that_it_may_be_turned(tmp_path, pair):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in N])
    table(folder, "file,label", [f"x{n}.png,{pair[n % 2]}" for n in N])
    with pytest.raises(DataError, match="or the other way round"):
        load(folder, tmp_path, choices=Choices(split="image-0"))


def test_a_table_named_train_with_a_split_column_of_its_own(tmp_path):
    folder = films(tmp_path / "set", [f"x{n}.png" for n in N])
    splits = ("train", "val", "test")
    lines = [f"x{n}.png,{TITLES[n % 2]},{splits[n // 2 % 3]}" for n in N]
    table(folder, "file,label,split", lines, "train.csv")
    found, said = paste(tmp_path, folder)
    assert said == [] and set(found.facts["splits"].values()) == {8}


def test_two_columns_of_images_are_asked_about(tmp_path):
    import datasets

    image = datasets.Image()
    for names, reads in ((("image", "mask"), True), (("frontal", "lateral"), False)):
        features = datasets.Features(
            {names[0]: image, names[1]: image, "label": datasets.ClassLabel(names=list(TITLES))}
        )
        rows = [
            {names[0]: {"bytes": encode(pixels(n)), "path": f"x{n}.png"}}
            | {names[1]: {"bytes": encode(pixels(99)), "path": f"m{n}.png"}, "label": n % 2}
            for n in N
        ]
        path = tmp_path / f"{names[0]}.parquet"
        datasets.Dataset.from_list(rows, features=features).to_parquet(path)
        if reads:
            found = load(path, tmp_path, choices=Choices(split="image-0"))
            assert all(name.startswith("x") for name in found.paths)
        else:
            with pytest.raises(DataError, match="several columns hold images"):
                load(path, tmp_path)


def test_labels_in_words_that_are_no_list_of_classes(tmp_path):
    """PadChest: labels as the text of a Python list; they are classes as they stand."""
    folder = films(tmp_path / "set", [f"x{n}.png" for n in N])
    kinds = ("['normal']", "['pneumonia', 'cardiomegaly']", "['pneumonia']", "['scoliosis']")
    lines = [f'x{n}.png,"{kinds[n % 4]}"' for n in N]
    found, said = paste(tmp_path, table(folder, "ImageID,Labels", lines))
    assert "it has 4" in said[0]
    assert labels(found) == {f"x{n}.png": int(n % 4 > 0) for n in N}
    assert encode(pixels(0)) == found.read(list(found.paths).index("x0.png"))


@pytest.mark.parametrize(
    "header, row",
    [
        ("file,label,label_text", lambda n: (1 - n % 2, TITLES[n % 2])),  # the codes are turned
        ("file,label,disease", lambda n: (1 - n % 2, TITLES[n % 2])),
        ("file,category,pneumonia", lambda n: (n // 2 % 2, n % 2)),
        ("file,target,Pneumonia", lambda n: (n // 3 % 2, n % 2)),
    ],
)
def test_two_columns_that_tell_different_labels(tmp_path, header, row):
    folder = films(tmp_path / "set", list(TRUTH))
    table(folder, header, [f"x{n}.png,{row(n)[0]},{row(n)[1]}" for n in N])
    found, said = paste(tmp_path, folder)
    assert "tell different labels" in said[0] and len(said) == 1
    assert labels(found) == TRUTH


def test_a_second_column_that_agrees_is_no_matter(tmp_path):
    folder = films(tmp_path / "set", list(TRUTH))
    lines = [f"x{n}.png,{n % 2},{TITLES[n % 2]},{n % 2},{1 - n % 2}" for n in N]
    table(folder, "file,label,label_text,pneumonia,normal", lines)
    found, said = paste(tmp_path, folder)
    assert said == [] and labels(found) == TRUTH


@pytest.mark.parametrize(
    "trees",
    [
        {"train": "train", "validation": "val", "test": "test/test"},
        {"train": "train/train", "validation": "train/val", "test": "test"},
        {name: f"test_set_2/{name}" for name in ("train", "validation", "test")},
    ],
)
def test_split_folders_in_split_folders_are_no_classes(tmp_path, trees):
    for split, tree in trees.items():
        films(tmp_path / "set" / tree, [f"{TITLES[n % 2]}/{split}_{n}.png" for n in N])
    found, said = paste(tmp_path, tmp_path / "set")
    assert said == [] and found.facts["classes"] == {"NORMAL": 0, "PNEUMONIA": 1}
    for split in trees:
        assert {path.split("/")[-1][: len(split)] for path in found.part(split).paths} == {split}


def test_a_split_beside_a_copy_of_itself_is_told(tmp_path):
    names = [f"{tree}/{TITLES[n % 2]}/x{n}.png" for tree in ("test", "test/test") for n in N]
    films(tmp_path / "set", names)
    with pytest.raises(DataError, match="two folders are the test split"):
        load(tmp_path / "set", tmp_path)


@pytest.mark.parametrize("other", ["bad quality", "Other", "UNKNOWN", "excluded_2"])
def test_a_class_without_a_diagnosis_is_not_taken_for_pneumonia(tmp_path, other):
    folder = films(tmp_path / "set", [f"{('NORMAL', other)[n % 2]}/x{n}.png" for n in N])
    _, said = paste(tmp_path, folder)
    assert len(said) == 1 and "cannot be told from their names" in said[0]


def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path):
    folder = films(tmp_path / "set", list(TRUTH))
    lines = [f"x{n}.png,{TITLES[n % 2]}" for n in N]
    lines[4], lines[9] = 'x4.png,"NORMAL', 'x9.png,PNEUMONIA"'
    with pytest.raises(DataError, match="column label holds several lines .*mend the table"):
        load(table(folder, "file,label", lines), tmp_path)


def test_rows_without_a_file_name_are_so_many_missing_images(tmp_path):
    folder = films(tmp_path / "set", list(TRUTH))
    lines = [f"{'' if n < 4 else f'x{n}.png'},{TITLES[n % 2]}" for n in N]
    with pytest.raises(DataError, match="4 unreadable images"):
        load(table(folder, "file,label", lines), tmp_path, choices=Choices(split="image-0"))


def test_a_folder_called_gt_and_more_holds_films(tmp_path):
    folder = films(tmp_path / "set", [f"GT 2020/{TITLES[n % 2]}/x{n}.png" for n in N])
    films(folder, [f"GT/{TITLES[n % 2]}/x{n}.png" for n in N])
    found, _ = paste(tmp_path, folder)
    assert len(found.paths) == 24 and all(path.startswith("GT 2020") for path in found.paths)


def test_what_save_to_disk_wrote_is_found_deeper(tmp_path):
    import datasets

    rows = [{"image": {"bytes": encode(pixels(n)), "path": None}, "label": n % 2} for n in N]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(TITLES))}
    )
    whole = datasets.Dataset.from_list(rows, features=features)
    whole.save_to_disk(str(tmp_path / "set" / "films"))
    with pytest.raises(DataError) as caught:
        load(tmp_path / "set", tmp_path)
    words = shlex.split(str(caught.value).split("give that, ")[1])
    assert load(words[1], tmp_path, choices=Choices(split="image-0")).labels.sum() == 12

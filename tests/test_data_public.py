"""Public data sets in small, with their traps. A person who pastes what each message offers comes
to the right labels; nothing is guessed on the way."""

import pytest
from reading import ANY, SPLIT, TRUTH, error_of, labels, load, paste, splits
from samples import TITLES, N, cell, dataset, encode, films, lay, pixels, put

LABELS = ["file_name,label", "x{n}.png,{title}"]
SEX = ["file_name,sex", "x{n}.png,F"]
BOXES = ["patientId,x,y,width,height,Target", "x{n},,,,,0", "x{n},1,2,3,4,1\nx{n},5,6,7,8,1"]
# what is not normal and has no opacity is not healthy
DETAILS = ["patientId,class", "x{n},Normal", "x{n},Lung Opacity"]
DETAILS += ["x{n},Normal", "x{n},No Lung Opacity / Not Normal"]
NIH = ["Image Index,Finding Labels,Patient ID"]
NIH += [f"{{n:08d}}_000.png,{finding},{{n}}" for finding in ("No Finding", "Pneumonia")]
CHEXPERT = "train/patient{n:05d}/study1/view1_frontal.jpg"
MIMIC = ["dicom_id,split,Pneumonia"]
MIMIC += [f"d{{n}},{split},{{ill}}" for split in ("train", "validate", "test") for _ in TITLES]
PADCHEST = ["ImageID,Labels", "x{n}.png,['normal']", "x{n}.png,\"['pneumonia', 'cardiomegaly']\""]
PADCHEST += ["x{n}.png,['normal']", "x{n}.png,['scoliosis']"]
# an index, further labels, a misspelt class
CORONAHACK = [",X_ray_image_name,Label,Dataset_type,Label_2_Virus_category,Label_1"]
CORONAHACK += ["{n},x{n}.jpeg,Normal,TRAIN,,", "{n},x{n}.jpeg,Pnemonia,TRAIN,SARS,Virus"]
ROBOFLOW = ["filename, NORMAL, PNEUMONIA", "x{n}.png, {well}, {ill}"]
# a row a reader
VINDR = ["image_id,rad_id,No finding,Pneumonia"]
VINDR += ["{split}_{n},R1,{well},{ill}\n{split}_{n},R2,{well},{ill}"]
# in figures for training, in words elsewhere
MIXED = ["file_name,label", *["x{n}.png,{ill}"] * 2, *["x{n}.png,{title}"] * 4]
SITES = "site{k}/train/patient{n}/x{n}.png"

SETS = {  # its films, its tables, and what is asked
    "NIH": ("images_{who:03d}/images/{n:08d}_000.png", {"Data_Entry.csv": NIH}),
    "CheXpert": (CHEXPERT, {"a.csv": ["Path,Pneumonia", f"CheXpert-v1.0/{CHEXPERT},{{ill}}.0"]}),
    "MIMIC-CXR": ("d{n}.jpg", {"mimic.csv": MIMIC}),
    "PadChest": ("x{n}.png", {"PADCHEST.csv": PADCHEST}, "it has 3: "),
    "CoronaHack": ("chest/chest/train/x{n}.jpeg", {"Metadata.csv": CORONAHACK}),
    "medmnist": (
        "{n:05d}.png",
        {"labels.csv": ["train,00000.png,0", "{split},{n:05d}.png,{ill}"]},
        "it has no header, so its columns are numbered: ",
    ),
    "Roboflow": (
        "{split}/x{n}.png",
        {"{split}/_classes.csv": ROBOFLOW},
        "such as --label NORMAL,PNEUMONIA",
    ),
    "VinDr-CXR": (
        "{split}/{split}_{n}.png",
        {"annotations/image_labels_{split}.csv": VINDR},
        "such as --label 'No finding,Pneumonia'",
    ),
    "RSNA, one of its two tables": (
        "stage_2_train_images/x{n}.png",
        {"detailed_class_info.csv": DETAILS, "train_labels.csv": BOXES},
        "several tables (detailed_class_info.csv, train_labels.csv)",
        "it has 3: ",
    ),
    "RSNA, the other": ("stage_2_train_images/x{n}.png", {"train_labels.csv": BOXES}),
    "what else is known": ("x{n}.png", {"labels.csv": LABELS, "ages.csv": SEX}, "several tables"),
    "metadata": ("x{n}.png", {"labels.csv": LABELS, "metadata.csv": SEX}, "several tables"),
    "figures and words": (
        "{split}/x{n}.png",
        {"{split}/metadata.csv": MIXED},
        "--positive 1,PNEUMONIA --negative 0,NORMAL",
    ),
    "splits in a table named train": (
        "x{n}.png",
        {"train.csv": ["file,label,split", "x{n}.png,{title},{split}"]},
    ),
    "folders that tell no class": (SITES, {"a.csv": ["path,label", SITES + ",{title}"]}),
}


@pytest.mark.parametrize("name", SETS)
def test_a_set_with_tables_comes_to_the_right_labels(tmp_path, name):
    names, tables, *asked = SETS[name]
    found, said = paste(lay(tmp_path / "set", names, tables))
    assert labels(found) == TRUTH
    assert len(said) == len(asked) and all(text in line for text, line in zip(asked, said))
    if "{split}" in str(SETS[name]) or "MIMIC" in name:
        assert splits(found) == SPLIT and not found.facts["made"]


def test_a_table_in_each_split_as_parquet(tmp_path):
    import pandas as pd

    folder = lay(tmp_path / "set", "{split}/x{n}.png", {"{split}.csv": LABELS})
    for path in folder.glob("*.csv"):
        pd.read_csv(path).to_parquet(folder / f"image_labels_{path.stem}.parquet")
        path.unlink()
    found, said = paste(folder)
    assert said == [] and labels(found) == TRUTH and splits(found) == SPLIT


# ---- what has no label, or no certain one


@pytest.mark.parametrize("blank", ["", '""', "  "])
def test_rows_without_a_label_are_left_out_when_the_classes_are_named(tmp_path, blank):
    films(tmp_path / "set", [f"y{n}.png" for n in N[3::4]])
    more = "x{n}.png,{title}\ny{n}.png," + blank
    folder = lay(tmp_path / "set", tables={"labels.csv": [*LABELS, *LABELS[1:] * 2, more]})
    found, said = paste(folder)
    assert said[0].endswith("leave them out with --positive PNEUMONIA --negative NORMAL")
    assert labels(found) == TRUTH and "6 of no label" in found.notes[0]


def test_a_test_table_without_labels(tmp_path):
    """As competitions give it."""
    films(tmp_path / "set", [f"y{n}.png" for n in N])
    tables = {"train.csv": LABELS, "test.csv": ["file_name", "y{n}.png"]}
    found, said = paste(lay(tmp_path / "set", tables=tables))
    assert "24 images without a label in column label; fill it in, or leave them out" in said[0]
    assert labels(found) == TRUTH
    assert found.notes[0] == "24 images of other classes are left out: 24 of no label"


@pytest.mark.parametrize(
    "header, values, asked, kept",
    [
        (
            "Path,No Finding,Pneumonia,Edema",
            ["1.0,,", ",1.0,", ",-1.0,", ",,1.0"],
            "6 images without a label",
            (0, 1, 3),
        ),
        (
            "Path,Pneumonia",
            ["0.0", "1.0", "-1.0", ""],
            "--positive 1.0 --negative 0.0",
            (0, 1),
        ),
    ],
)
def test_what_chexpert_calls_uncertain_is_neither_ill_nor_healthy(
    tmp_path, header, values, asked, kept
):
    lines = [f"CheXpert-v1.0-small/{CHEXPERT},{value}" for value in values]
    found, said = paste(lay(tmp_path / "set", CHEXPERT, {"train.csv": [header, *lines]}))
    assert asked in said[-1]
    assert labels(found) == {n: n % 2 for n in N if n % 4 in kept}
    assert found.facts["patients"]["named"] == len(found.paths)


def test_findings_with_paths_of_their_own(tmp_path):
    """ieee8023's covid-chestxray: classes with slashes, unknown ones, a table of all and sundry."""
    kinds = ["No Finding", "Pneumonia/Viral/COVID-19", "todo", "Pneumonia"]
    header = "patientid,offset,finding,view,modality,filename,folder"
    lines = [f"{{who}},{{n}},{kind},AP,X-ray,x{{n}}.png,images" for kind in kinds]
    folder = lay(tmp_path / "set", "images/x{n}.png", {"metadata.csv": [header, *lines]})
    asked = error_of(folder, choices=ANY)
    assert "it has 4: " in asked and "--negative 'No Finding'" in asked
    words = ("--positive", ",".join(kinds[1::2]), "--negative", kinds[0])
    found, said = paste(folder, *words)
    assert said == [] and labels(found) == {n: n % 2 for n in N if n % 4 != 2}
    assert "6 of todo" in found.notes[0] and found.facts["patients"]["told"] == 18


# ---- folders


def test_class_folders_that_each_split_spells_in_its_own_way(tmp_path):
    train, val, test = ("NORMAL", "PNEUMONIA"), ("Normal", "Pneumonia"), ("normal", "Pneumonia")
    names = [f"{{split}}/{name}/{{n}}.png" for name in (*train, *val, *test)]
    found, said = paste(lay(tmp_path / "set", names))
    assert said == [] and labels(found) == TRUTH
    [line] = [line for line in found.facts["taken"] if line.startswith("labels")]
    assert "(NORMAL, Normal, normal are one) (PNEUMONIA, Pneumonia are one)" in line


@pytest.mark.parametrize(
    "names, tables",
    [
        ("{split}/{title}/x{n}.png", {}),
        ("{title}/x{n}.png", {}),
        ("{split}/x{n}.png", {"{split}/metadata.csv": LABELS}),
    ],
)
def test_of_two_data_sets_in_one_folder_one_is_offered(tmp_path, names, tables):
    for name in ("first one", "second"):
        lay(tmp_path / "set" / name, names, tables)
    found, said = paste(tmp_path / "set")
    assert "several data sets (first one, second)" in said[0] and len(said) == 1
    assert found.name == "first one" and labels(found) == TRUTH


@pytest.mark.parametrize(
    "trees",
    [
        ("train", "val", "test/test"),
        ("train/train", "train/val", "test"),
        ("test_set_2/train", "test_set_2/validation", "test_set_2/test"),
    ],
)
def test_of_split_folders_in_split_folders_the_innermost_counts(tmp_path, trees):
    names = [f"{tree}/{{title}}/x{{n}}.png" for tree in trees for _ in TITLES]
    found, said = paste(lay(tmp_path / "set", names))
    assert said == [] and labels(found) == TRUTH and splits(found) == SPLIT


def test_a_split_beside_a_copy_of_itself_is_told(tmp_path):
    for tree in ("test", "test/test"):
        lay(tmp_path / "set" / tree, "{title}/x{n}.png")
    assert "two folders are the test split" in error_of(tmp_path / "set")


def test_a_folder_called_gt_and_more_holds_films(tmp_path):
    folder = lay(tmp_path / "set", "GT 2020/{title}/x{n}.png")
    found, _ = paste(lay(folder, "GT/{title}/x{n}.png"))
    assert labels(found) == TRUTH and all(path.startswith("GT 2020") for path in found.paths)


def test_what_save_to_disk_wrote_is_found_deeper(tmp_path):
    made = dataset({"image": [cell(n) for n in N], "label": [TITLES[n % 2] for n in N]})
    made.save_to_disk(str(tmp_path / "set" / "films"))
    asked = error_of(tmp_path / "set")
    assert f"lies deeper in it; give that, --data {tmp_path}/set/films" in asked
    found, said = paste(tmp_path / "set" / "films")
    assert said == [] and labels(found) == TRUTH


@pytest.mark.parametrize(
    "names",
    [
        "{split}/site{k}/{title}/x{n}.png",
        "{split}/images/{title}/x{n}.png",
        "{split}/p{who}/{title}/x{n}.png",
    ],
)
def test_class_folders_in_further_folders_of_a_split(tmp_path, names):
    found, said = paste(lay(tmp_path / "set", names))
    assert said == [] and labels(found) == TRUTH and splits(found) == SPLIT


def test_names_that_each_folder_has_tell_no_patient(tmp_path):
    """As a viewer exports studies: each case numbers its films anew."""
    found, _ = paste(lay(tmp_path / "set", "{title}/case{n}/IM-0001-0001.png"))
    assert found.facts["patients"]["named"] == 0
    found, _ = paste(lay(tmp_path / "other", "{title}/20230101_{n:03d}.png"))
    assert found.facts["patients"]["named"] == 0, "a day is no patient"


def test_a_quote_that_is_not_closed_in_a_column_of_no_interest(tmp_path):
    lines = ["x{n}.png,{title},"] * 3 + ['x{n}.png,{title},"see', "x{n}.png,{title},"] * 2
    folder = lay(tmp_path / "set", tables={"labels.csv": ["file,label,remark", *lines]})
    assert "holds whole rows" in error_of(folder / "labels.csv", choices=ANY)
    remark = '"Heart of usual size,\nlungs clear, no effusion, no change"'
    lines = ["x{n}.png,{title}," + remark]
    lay(folder, tables={"labels.csv": ["file,label,remark", *lines]})
    assert labels(load(folder, choices=ANY)) == TRUTH


def test_class_folders_whose_names_are_not_utf_8(tmp_path):
    import os

    folder = lay(tmp_path / "set", "{title}/x{n}.png")
    os.rename(folder / "PNEUMONIA", os.fsencode(folder) + b"/neumon\xeda")
    found, said = paste(folder)
    assert labels(found) == TRUTH


def test_a_class_without_a_diagnosis_is_not_offered_as_pneumonia(tmp_path):
    folder = lay(tmp_path / "set", "{title}/x{n}.png")
    put(folder / "UNKNOWN" / "u.png", encode(pixels(30)))
    found, said = paste(folder)
    assert "--positive PNEUMONIA --negative NORMAL" in said[0] and labels(found) == TRUTH

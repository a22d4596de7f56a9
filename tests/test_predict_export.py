"""The exported model and its card."""

import getpass
import json
import pwd
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import script
from PIL import Image
from predicting import SIZE, ask, save_film
from samples import phantoms

from xray import equalise, models, predict_export, predict_weights

LOAD = (
    "import json, sys, numpy, torch; extra = {'needs.json': ''}; "
    "m = torch.export.load(sys.argv[1], extra_files=extra).module(); "
    "x = torch.from_numpy(numpy.load(sys.argv[2])); "
    "print(json.dumps([m(x).tolist(), m(x[:1]).tolist(), json.loads(extra['needs.json'])]))"
)


@pytest.fixture
def choose(study):
    """choose(model) -> the run of the study that speaks for it."""
    return lambda name: predict_weights.choose(study / "out" / "results", name)


def card(chosen) -> str:
    return predict_export.card(chosen, predict_weights.thresholds(chosen.run), "m.pt2")


def test_an_exported_model_gives_the_same_logits_in_another_process(study, tmp_path, capsys):
    films = [save_film(tmp_path / f"{number}.png", number, SIZE) for number in range(3)]
    pixels = np.stack([np.asarray(Image.open(film)) for film in films])
    np.save(tmp_path / "pixels.npy", pixels[:, None].astype(np.float32) / 255)
    place = study / "out" / "results"
    words = "--model", "11", "--no-map", "--export", tmp_path / "m.pt2"
    found = ask(capsys, place, *words, *films)
    words = "-W", "ignore", "-c", LOAD, tmp_path / "m.pt2", tmp_path / "pixels.npy"
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    together, alone, needs = json.loads(done.stdout)
    assert needs == {"torch": torch.__version__.split("+")[0]}
    expected = [image["logit"] for image in found["images"]]
    np.testing.assert_allclose(together, expected, atol=1e-5)
    np.testing.assert_allclose(alone, expected[:1], atol=1e-5)
    written = (tmp_path / "m-card.md").read_text()
    run = predict_weights.choose(place, "11").run
    for text in (
        predict_weights.NOTICE,
        run.data["fingerprint"],
        found["study"],
        run.weights["sha256"],
        "95 % interval",
        'torch.export.load("m.pt2")',
        "16×16 pixels instead of",
        f"torch {needs['torch']} or later",
        "DICOM was read thus",
        "train 16 normal and 16 pneumonia, validation 8 normal and 8 pneumonia",
        "NORMAL is normal, PNEUMONIA is pneumonia",
        "40x40 in the files, 8 bits; resized to 16×16",
        "labels: the names of class folders",
        "**Split**: the source's own.",
        "**Patients**: whether any has images in both training and test is not known.",
        "only 8 normal and 8 pneumonia images to validate on",
    ):
        assert text in written, text
    for text in ("Kermany", "CC BY", "asks that their source is named"):
        assert text not in written, "data of one's own are nobody else's"
    assert "**Licence**: not known here" in written


@pytest.mark.parametrize(
    "facts, split, text",
    [
        ({"made": {"protocol": "image", "seed": 3, "splits": ["validation", "test"]}}, "given",
         "**Split**: validation, test made by image, seed 3; the source has none."),
        ({}, "patient-3", "**Split**: a new one, patient-3, in the proportions of"),
        ({}, "patient-3", "**Patients**: none has images in both training and test."),
        ({"bits": 12, "modes": {"I;16": 12}, "sizes": {"40x50": 3, "60x50": 9}}, "given",
         "2 sizes in the files, most often 60x50, 16 bits, of which 12 are in use; resized to 16"),
        ({"patients": {"overlap": {"test in train": {"all": {"images": 8, "shared": 3}}}}}, "given",
         "**Patients**: 3 of 8 test images are of patients with images in training too"),
        ({"patients": {"overlap": {"test in train": {"all": {"images": 8, "shared": 0}}}}}, "given",
         "**Patients**: none is known to have images in both"),
        ({"classes": {"well": 0, "viral": 1, "bacterial": 1}}, "given",
         "well is normal, viral is pneumonia, bacterial is pneumonia"),
    ],
)  # fmt: skip
def test_the_card_says_how_the_data_were_read(choose, facts, split, text):
    chosen = choose("20")
    run = replace(chosen.run, split=split)
    assert text in card(chosen._replace(run=run, facts=chosen.facts | facts))


def test_the_card_names_the_papers_data_where_it_is_those(choose):
    chosen = choose("20")
    data = chosen.run.data | {"source": "keremberke/chest-xray-classification"}
    written = card(chosen._replace(run=replace(chosen.run, data=data)))
    for text in ("CC BY 4.0", "Kermany", "keremberke", "asks that their source is named"):
        assert text in written


def test_the_brier_score_is_of_the_probability_that_is_told(choose):
    chosen = choose("20")
    thresholds = predict_weights.thresholds(chosen.run)._replace(temperature=3.0)
    chance = thresholds.probability(chosen.run.logits["test"])
    brier = ((chance - chosen.run.labels["test"]) ** 2).mean()
    written = predict_export.card(chosen, thresholds, "m.pt2")
    assert f"| Brier score of the probability (0 is best) | {brier:.3f} |" in written


def test_an_exported_model_of_equal_grey_levels_equalises_by_itself(choose, tmp_path):
    run = choose("11").run
    chosen = choose("11")._replace(run=replace(run, spec=replace(run.spec, equalise=True)))
    module, rules = predict_weights.load_weights(chosen.run), predict_weights.thresholds(chosen.run)
    predict_export.write(chosen, module, rules, tmp_path / "m.pt2")
    films = phantoms(0, 3, SIZE)[:, None]
    plain, equal = (
        torch.from_numpy(each).float() / 255 for each in (films, equalise.equalise(films))
    )
    found = torch.export.load(tmp_path / "m.pt2").module()(plain)
    torch.testing.assert_close(found, module(equal))
    assert not torch.allclose(found, module(plain), atol=1e-3)
    assert "replaces each pixel by its rank" in (tmp_path / "m-card.md").read_text()


def test_an_export_that_differs_is_not_kept(choose, tmp_path, monkeypatch):
    chosen = choose("20")
    module, rules = predict_weights.load_weights(chosen.run), predict_weights.thresholds(chosen.run)
    other = models.build(chosen.run.spec, SIZE, seed=9)
    real = predict_export.exported
    monkeypatch.setattr(predict_export, "exported", lambda _, size: real(other, size))
    with pytest.raises(predict_weights.PredictError, match="other logits"):
        predict_export.write(chosen, module, rules, tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []


def test_a_user_id_without_a_name_exports_too(monkeypatch):
    """As containers have it; PyTorch names its cache after the user."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody")
        monkeypatch.delenv(name)

    def nobody(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    script("options")
    assert getpass.getuser() == "nobody"

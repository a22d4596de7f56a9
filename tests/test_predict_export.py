"""The exported model and its card."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from predicting import SIZE, ask

from xray import data_phantoms, models, predict_export, predict_weights


def test_an_exported_model_gives_the_same_logits_in_another_process(study, tmp_path, capsys):
    pixels = np.stack([data_phantoms.draw(number, True, SIZE) for number in range(3)])
    np.save(tmp_path / "pixels.npy", pixels[:, None].astype(np.float32) / 255)
    for number, film in enumerate(pixels):
        Image.fromarray(film).save(tmp_path / f"{number}.png")
    found = ask(
        capsys,
        study / "out" / "results",
        *"--model 11 --no-map --export".split(),
        tmp_path / "m.pt2",
        *sorted(tmp_path.glob("*.png")),
    )
    code = (
        "import json, sys, numpy, torch; extra = {'needs.json': ''}; "
        "m = torch.export.load(sys.argv[1], extra_files=extra).module(); "
        "x = torch.from_numpy(numpy.load(sys.argv[2])); "
        "print(json.dumps([m(x).tolist(), m(x[:1]).tolist(), json.loads(extra['needs.json'])]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, tmp_path / "m.pt2", tmp_path / "pixels.npy"],
        capture_output=True,
        text=True,
        check=True,
    )
    together, alone, needs = json.loads(done.stdout)
    assert needs == {"torch": torch.__version__.split("+")[0]}
    expected = [image["logit"] for image in found["images"]]
    np.testing.assert_allclose(together, expected, atol=1e-5)
    np.testing.assert_allclose(alone, expected[:1], atol=1e-5)
    card = (tmp_path / "m-card.md").read_text()
    run = predict_weights.choose(study / "out" / "results", "11").run
    for text in (
        predict_weights.NOTICE,
        run.data["fingerprint"],
        found["study"],
        run.weights["sha256"],
        "95 % interval",
        'torch.export.load("m.pt2")',
        "16×16 pixels instead of",
        "CC BY 4.0",
        f"torch {needs['torch']} or later",
        "DICOM was read thus",
    ):
        assert text in card, text


def test_an_export_that_differs_is_not_kept(study, tmp_path, monkeypatch):
    chosen = predict_weights.choose(study / "out" / "results", "20")
    module = predict_weights.load_weights(chosen.run)
    other = models.build(chosen.run.spec, SIZE, seed=9)
    real = torch.export.export
    monkeypatch.setattr(
        torch.export, "export", lambda _, *rest, **options: real(other, *rest, **options)
    )
    with pytest.raises(predict_weights.PredictError, match="other logits"):
        predict_export.write(
            chosen, module, predict_weights.thresholds(chosen.run), [], tmp_path / "m.pt2"
        )
    assert list(tmp_path.iterdir()) == []

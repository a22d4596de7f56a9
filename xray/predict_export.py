"""The model for use elsewhere (torch.export), with its card."""

import io
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from xray import data_phantoms, intervals, metrics
from xray.data_sources import PAPER
from xray.files import write_atomically
from xray.paper import REFERENCES
from xray.predict_inputs import make_ready
from xray.predict_weights import NOTICE, Chosen, PredictError, Thresholds
from xray.results import Run
from xray.study import describe

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
TOLERANCE = 1e-4  # of a logit, absolute and relative: float32 sums in another order
CALLED = {
    "accuracy": "accuracy",
    "recall": "sensitivity (recall)",
    "specificity": "specificity",
    "precision": "precision",
    "npv": "negative predictive value",
    "f1": "F1",
    "roc_auc": "area under the ROC",
    "average_precision": "average precision",
    "brier": "Brier score (0 is best)",
}


def write(chosen: Chosen, module, thresholds: Thresholds, paths: list[Path], file: Path) -> dict:
    """Write the module to `file` (.pt2) and its card beside it (-card.md); what was written is read
    again and checked, on those of the images at `paths` that can be read, else on phantoms.

    The file says in its extra file needs.json which torch wrote it: an earlier one may not read it.
    The program takes float32 (N, 1, S, S) in 0-1, N of 1 or more, and gives logits float32 (N,).
    Gives file, card, largest_difference (of a logit) and checked_on, in words. Raises PredictError
    where logits differ by more than TOLERANCE, and OSError.
    """
    size = chosen.run.image_size
    films = [make_ready(path, {}, size) for path in paths]
    films, which = [film.pixels for film in films if not film.reason], "of the images given"
    if not films:
        films = [data_phantoms.draw(number, number % 2 == 1, size) for number in range(4)]
        which = "phantoms"
    worst = _write_program(module, np.stack(films)[:, None], file)
    described = file.with_name(file.stem + "-card.md")
    write_atomically(described, card(chosen, thresholds, file.name).encode())
    checked = f"{len(films)} {which}"
    names = {"file": str(file), "card": str(described)}
    return names | {"largest_difference": worst, "checked_on": checked}


def _write_program(module, images: np.ndarray, file: Path) -> float:
    """The largest difference of a logit, over images uint8 (N, 1, S, S)."""
    pixels = torch.from_numpy(images).float().div_(255)
    batch = torch.export.Dim("batch", min=1)
    example = torch.zeros(2, *pixels.shape[1:])
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (example,), dynamic_shapes=({0: batch},))
        program.example_inputs = None  # they would be stored as a pickle
        needs = {"needs.json": json.dumps({"torch": torch.__version__.split("+")[0]})}
        torch.export.save(program, content, extra_files=needs)
    write_atomically(file, content.getvalue())
    try:
        program = torch.export.load(io.BytesIO(file.read_bytes())).module()
        worst = 0.0
        for part in (*pixels.split(1), *pixels.split(16)):  # one by one, and together
            expected, found = module(part), program(part)
            if not torch.allclose(expected, found, rtol=TOLERANCE, atol=TOLERANCE):
                raise PredictError(
                    f"{file}: the exported model gives other logits than the one it came from; "
                    "removed"
                )
            worst = max(worst, float((expected - found).abs().max()))
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return worst


def card(chosen: Chosen, thresholds: Thresholds, file: str) -> str:
    """The model card, Markdown."""
    run = chosen.run
    logits, labels = run.logits["test"], run.labels["test"]
    asked = dict.fromkeys((thresholds.paper, thresholds.sensitive, thresholds.decision))
    wanted = {"paper"} | ({"kermany", "mendeley"} if not run.data["phantom"] else set())
    wanted |= {"dataset"} if run.data["source"] == PAPER else set()
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return made.get_template("card.md").render(
        run=run,
        spec=run.spec,
        size=run.image_size,
        file=file,
        torch=torch.__version__.split("+")[0],
        study=chosen.study,
        notice=NOTICE,
        structure=describe(run.spec),
        thresholds=[(one, _shares(run, one)) for one in asked if one],
        decision=thresholds.decision,
        temperature=thresholds.temperature,
        unsure=thresholds.unsure,
        reason=thresholds.reason,
        images=len(labels),
        positives=int(labels.sum()),
        called=CALLED,
        scores=metrics.scores(logits, labels, run.spec.batch_size),
        intervals=intervals.of_model(logits, labels),
        base=max(labels.mean(), 1 - labels.mean()),
        patients_mix=run.split == "given" or run.split.startswith("image"),
        references=[reference for reference in REFERENCES if reference.key in wanted],
    )


def _shares(run: Run, threshold) -> list[str]:
    """Sensitivity and specificity on validation, then on test, in percent."""
    labels, positive = run.labels["test"], run.logits["test"] > threshold.logit
    shares = [threshold.sensitivity, threshold.specificity] + [
        (positive == label)[labels == label].mean() if (labels == label).any() else np.nan
        for label in (1, 0)
    ]
    return ["–" if np.isnan(share) else f"{100 * share:.1f} %" for share in shares]

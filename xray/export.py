"""A trained run -> a file for use elsewhere (torch.export), and its model card."""

import io
import warnings
from pathlib import Path

import numpy as np
import torch

from xray import metrics, notes
from xray.data_sources import PAPER
from xray.files import write_atomically
from xray.predict import NOTICE, Chosen, PredictError, Rules
from xray.study import describe

TOLERANCE = 1e-4  # of a logit, absolute and relative: float32 sums in another order
SHOWN = (
    "accuracy",
    "recall",
    "specificity",
    "precision",
    "npv",
    "f1",
    "roc_auc",
    "average_precision",
    "brier",
)
CALLED = {
    "recall": "sensitivity (recall)",
    "npv": "negative predictive value",
    "f1": "F1",
    "roc_auc": "area under the ROC",
    "average_precision": "average precision",
    "brier": "Brier score (0 is best)",
}


def write(
    chosen: Chosen, module, rules: Rules, images: np.ndarray, path: Path
) -> tuple[float, Path]:
    """Write the module to `path` (.pt2) and its card beside it (-card.md); what was written is read
    again and checked.

    The program takes float32 (N, 1, S, S) in 0-1, N of 1 or more, and gives logits float32 (N,).
    images: uint8 (N, 1, S, S), those that it is checked with against PyTorch. Gives the largest
    difference of a logit and the card's path. Raises PredictError where they differ by more than
    TOLERANCE, and OSError.
    """
    pixels = torch.from_numpy(images).float().div_(255)
    batch = torch.export.Dim("batch", min=1)
    example = torch.zeros(2, *pixels.shape[1:])
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (example,), dynamic_shapes=({0: batch},))
        program.example_inputs = None  # they would be stored as a pickle
        torch.export.save(program, content)
    write_atomically(path, content.getvalue())
    try:
        program = torch.export.load(io.BytesIO(path.read_bytes())).module()
        worst = 0.0
        for part in (*pixels.split(1), *pixels.split(16)):  # one by one, and together
            expected, found = module(part), program(part)
            if not torch.allclose(expected, found, rtol=TOLERANCE, atol=TOLERANCE):
                raise PredictError(
                    f"{path}: the exported model gives other logits than the one it came from; removed"
                )
            worst = max(worst, float((expected - found).abs().max()))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    described = path.with_name(path.stem + "-card.md")
    write_atomically(described, card(chosen, rules, path.name).encode())
    return worst, described


def card(chosen: Chosen, rules: Rules, file: str) -> str:
    """The model card, Markdown."""
    run, spec, size = chosen.run, chosen.run.spec, chosen.run.image_size
    data = run.data
    lines = [
        f"# Model {spec.id}",
        "",
        f"**{NOTICE}**",
        "",
        f"`{file}` tells chest radiographs with pneumonia from those without. It is one run of model {spec.id} of the "
        "study that this project repeats.",
        "",
        f"- **Structure**: {describe(spec)}",
        f"- **Training**: {spec.optimizer}, learning rate {spec.learning_rate:g}, {spec.epochs} epochs, batches of "
        f"{spec.batch_size}, weight decay {spec.weight_decay:g}, classes {'' if spec.class_weight else 'un'}weighted, "
        f"seed {run.seed}, {run.precision}",
        f"- **Data**: {data['name']}, fingerprint `{data['fingerprint']}`, study `{chosen.study}`",
        f"- **Weights**: sha256 `{run.weights.get('sha256')}`",
        f"- **Versions**: code {run.environment.get('revision', 'unknown')}, "
        + ", ".join(
            f"{name} {version}" for name, version in run.environment.get("versions", {}).items()
        ),
        "",
    ]
    if run.differs:
        lines += [f"This run is not the paper's: {', '.join(run.differs)}.", ""]
    if data["phantom"]:
        lines += ["**Trained on synthetic images: it says nothing about real radiographs.**", ""]
    lines += [
        "## Use",
        "",
        "```python",
        "import torch",
        f'model = torch.export.load("{file}").module()',
        f"logits = model(images)  # images: float32 (N, 1, {size}, {size}) in 0-1",
        "probability = torch.sigmoid(logits)",
        "```",
        "",
        "An image is turned as its EXIF orientation says, transparency is laid over black, 16 bits are divided by 257 "
        f"and rounded, colours become gray (0.2989 R + 0.587 G + 0.114 B, rounded), it is resized to {size}×{size} "
        "(bilinear, antialiased, the ratio of its sides is not kept), and divided by 255.",
        "",
        "## Thresholds",
        "",
        "| pneumonia where the logit is above | probability | on validation: sensitivity | specificity "
        "| on test: sensitivity | specificity |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        _threshold(run, rule, rule is rules.decision)
        for rule in dict.fromkeys((rules.paper, rules.sensitive, rules.decision))
        if rule
    ]
    lines += ["", f"Decision: {rules.reason}.", "", *_scores(run), *_limits(run)]
    return "\n".join(lines) + "\n"


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f} %"


def _threshold(run, rule, decides: bool) -> str:
    labels, positive = run.labels["test"], run.logits["test"] > rule.logit
    shares = [
        (positive == label)[labels == label].mean() if (labels == label).any() else np.nan
        for label in (1, 0)
    ]
    cells = [
        f"{rule.logit:.6g}" + " (decision)" * decides,
        f"{rule.probability:.4f}",
        *map(_percent, (rule.sensitivity, rule.specificity, *shares)),
    ]
    return f"| {' | '.join(cells)} |"


def _scores(run) -> list[str]:
    logits, labels = run.logits["test"], run.labels["test"]
    scores = metrics.scores(logits, labels, run.spec.batch_size)
    intervals = metrics.bootstrap(logits, labels) | metrics.bootstrap_ranking(logits, labels)
    lines = [
        "## Scores",
        "",
        f"On the {len(labels)} test images of the same source, {int(labels.sum())} of them "
        "pneumonia, with the rule `logit > 0`; 95 % intervals over redrawn test images.",
        "",
        "| score | value | 95 % interval |",
        "| --- | --- | --- |",
    ]
    for name in SHOWN:
        low, high = intervals[name]
        lines.append(f"| {CALLED.get(name, name)} | {scores[name]:.3f} | {low:.3f} to {high:.3f} |")
    base = max(labels.mean(), 1 - labels.mean())
    return lines + [
        "",
        f"The commoner class alone gives an accuracy of {base:.3f}. Confusion matrix: "
        f"{scores['tp']} true positives, {scores['tn']} true negatives, {scores['fp']} false positives, "
        f"{scores['fn']} false negatives.",
        "",
    ]


def _limits(run) -> list[str]:
    lines = [
        "## Limits",
        "",
        f"- {NOTICE}",
        "- Measured on images of one source; elsewhere (other machines, ages, hospitals) it is untested.",
        "- It knows two answers. Shown another disease, another part of the body or a photograph, it gives one.",
        "- Its probabilities are not calibrated, and hold at best for a share of pneumonia as in its data.",
    ]
    if run.split == "given" or run.split.startswith("image"):
        lines.append(
            "- Images of one patient may be in training and test images both, which flatters the scores."
        )
    lines += ["", "## Sources", ""]
    real, hub = not run.data["phantom"], run.data["source"] == PAPER
    wanted = ["paper"] + ["kermany", "mendeley"] * real + ["dataset"] * hub
    for reference in notes.REFERENCES:
        if reference.key in wanted:
            lines.append(f"- {reference.text} {reference.url}".rstrip() + f" ({reference.use})")
    if not run.data["phantom"]:
        lines.append("- The licence of the radiographs asks that their source is named.")
    return lines

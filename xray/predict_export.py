"""The model for use elsewhere (torch.export), with its card."""

import io
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from xray import data_phantoms, data_sources, equalise, intervals, metrics
from xray.files import write_atomically
from xray.paper import REFERENCES
from xray.predict_weights import NOTICE, Chosen, PredictError, Thresholds, recalls, told_if_altered
from xray.study import describe

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
TOLERANCE = 1e-4  # of a logit, absolute and relative: float32 sums in another order
TORCH = torch.__version__.split("+")[0]


class Equalising(torch.nn.Module):
    """A module of films with equal grey levels that takes films as they are, of `size` pixels a
    side, and does what equalise.equalise does."""

    def __init__(self, module, size: int):
        super().__init__()
        self.module = module
        self.register_buffer("places", torch.from_numpy(equalise.scattered(size * size)))

    def forward(self, films):
        flat = films.flatten(1)
        ranks = flat[:, self.places].argsort(dim=1, stable=True).argsort(dim=1)
        equal = torch.empty_like(flat)
        equal[:, self.places] = (ranks * 256 // len(self.places)).to(flat.dtype) / 255
        return self.module(equal.view_as(films))


def write(chosen: Chosen, module, thresholds: Thresholds, file: Path) -> dict[str, str]:
    """Write the module to `file` (.pt2) and its card beside it (-card.md), once what is written was
    checked on phantoms; gives both paths, "file" and "card".

    The file says in its extra file needs.json which torch wrote it: an earlier one may not read it.
    The program takes float32 (N, 1, S, S) in 0-1, N of 1 or more, and gives logits float32 (N,); of
    a model on equalised films it equalises them itself.
    Raises PredictError where logits differ by more than TOLERANCE, and OSError.
    """
    spec, size = chosen.run.spec, chosen.run.image_size
    films = np.stack([data_phantoms.draw(number, number % 2 == 1, size) for number in range(4)])
    given, seen = (
        torch.from_numpy(each[:, None]).float() / 255
        for each in (films, equalise.as_seen(spec, films))
    )
    content = exported(Equalising(module, size) if spec.equalise else module, size)
    program = torch.export.load(io.BytesIO(content)).module()
    found = torch.cat([program(given[:1]), program(given[1:])])  # one alone, and several
    if not torch.allclose(found, module(seen), rtol=TOLERANCE, atol=TOLERANCE):
        raise PredictError(
            f"{file}: not written, the exported model gives other logits than the one it is of"
        )
    with told_if_altered(chosen.run):
        text = card(chosen, thresholds, file.name)
    described = file.with_name(f"{file.stem}-card.md")
    write_atomically(described, text.encode())
    write_atomically(file, content)
    return {"file": str(file), "card": str(described)}


def exported(module, size: int) -> bytes:
    """The module as a torch.export program for any number of images."""
    batch = torch.export.Dim("batch", min=1)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (torch.zeros(2, 1, size, size),)
        program = torch.export.export(module, example, dynamic_shapes=({0: batch},))
        program.example_inputs = None  # they would be stored as a pickle
        needs = {"needs.json": json.dumps({"torch": TORCH})}
        torch.export.save(program, stream, extra_files=needs)
    return stream.getvalue()


def card(chosen: Chosen, thresholds: Thresholds, file: str) -> str:
    """The model card, Markdown."""
    run = chosen.run
    logits, labels = run.logits["test"], run.labels["test"]
    # divided by the temperature, logits keep ranks and signs, and their sigmoid is what is told
    calibrated = logits / thresholds.temperature
    rules = dict.fromkeys((thresholds.paper, thresholds.sensitive, thresholds.decision))
    licence = data_sources.licence(run.data["source"], run.data["fingerprint"])
    wanted = ["paper"]
    if licence == data_sources.CHILDREN:
        wanted += ["kermany", "mendeley"]
    if run.data["source"] == data_sources.PAPER:
        wanted += ["dataset"]
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    overlap = chosen.facts.get("patients", {}).get("overlap", {}).get("test in train", {})
    return made.get_template("card.md").render(
        run=run,
        spec=run.spec,
        size=run.image_size,
        file=file,
        torch=TORCH,
        study=chosen.study,
        facts=chosen.facts,
        wide=any(mode.startswith("I") for mode in chosen.facts.get("modes", ())),
        licence=licence,
        overlap=overlap.get("all", {}),
        notice=NOTICE,
        structure=describe(run.spec),
        rules=[(rule, recalls(logits > rule.logit, labels)) for rule in rules if rule],
        decided=thresholds,
        images=len(labels),
        positives=int(labels.sum()),
        scores=metrics.scores(calibrated, labels, run.spec.batch_size),
        intervals=intervals.of_model(calibrated, labels),
        base=max(labels.mean(), 1 - labels.mean()),
        references=[reference for reference in REFERENCES if reference.key in wanted],
    )

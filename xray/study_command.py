"""The command that trains what a study lacks, as a line for a shell."""

import re
import shlex
from pathlib import Path

from xray.data_sources import PAPER
from xray.results import Run
from xray.specs import IMAGE_SIZE

# where train.py puts records unless told
RESULTS = Path(__file__).resolve().parent.parent / "report" / "results"


def command(runs: list[Run], models: list[str], *options: str) -> str:
    """The command that trains these models beside `runs`: on their data and split, at their image
    size where they share one that is not the paper's, into their folder.
    """
    if not runs:
        return train_command(models, options=options)
    sizes = {run.image_size for run in runs}
    size = sizes.pop() if len(sizes) == 1 and sizes != {IMAGE_SIZE} else None
    data, split, file = runs[0].data, runs[0].split, runs[0].file
    folder = Path(file).parents[2] if file else RESULTS
    return train_command(models, data["source"], split, size, folder, options)


def train_command(
    models, source=PAPER, split="given", image_size=None, folder=RESULTS, options=()
) -> str:
    """A call of train.py. split: as in a study's name, such as "image-0". image_size: None for
    train.py's own choice. folder: the results folder, which train.py's --out must be able to name.
    """
    words = ["python", "scripts/train.py", "--model", *models]
    if source != PAPER:
        words += ["--data", source]
    if match := re.fullmatch(r"(image|patient)-(\d+)", split):
        words += ["--split", match[1], "--split-seed", match[2]]
    if image_size is not None:
        words += ["--image-size", str(image_size)]
    words += options
    if folder.name == "results" and folder.resolve() != RESULTS:
        words += ["--out", str(folder.parent)]
    return shlex.join(words)

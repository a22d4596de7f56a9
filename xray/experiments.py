"""The experiments beside the study and their records: what is asked, how often, at which size.

    RESULTS/<data>/experiments.jsonl   a line each:
        starts-<S>px   a census of starts at S×S
        kernel         what the films' Gram matrix says of it
        last-relu      MLPs with and without their last ReLU
        sizes          over image sizes, with matched steps and without

They are no runs of the study: nothing else reads them.
"""

from functools import partial
from pathlib import Path

from xray import gram, starts, trials
from xray.data import cache_folder
from xray.files import append_line, read_lines
from xray.machine import environment
from xray.specs import IMAGE_SIZE, MODELS
from xray.trials import Trial

CENSUS = {64: 1000, 128: 200}  # image size -> seeds; more where they cost little
CENSUS_SEEDS = 200  # at the study's size
SMALL = 64  # pixels a side for what does not depend on the size
KERNEL_FILMS = 5000  # at most, for the kernel's time grows with their third power
CONTROL_SEEDS = range(24)
CONTROL = [Trial(MODELS["21"]), Trial(MODELS["21"], last_relu=False)]
SIZES, SIZE_SEEDS = (16, 32, 64, 128, 256), range(3)
# without its last ReLU, which makes the MLP's score a matter of luck, as the control shows
OVER_SIZES = [
    Trial(MODELS[model], matched, last_relu=False)
    for model in ("20", "21")
    for matched in (True, False)
]
OF_ALL_IMAGES = ("last-relu", "sizes")  # those that need the Gram matrix of all


def every(image_size: int = IMAGE_SIZE) -> dict:
    """Name of the record -> make(load, bar), which gives its payload. image_size: the study's.

    load(image_size) gives the Data; bar(total, initial, label) is as training.work's.
    """
    census = {size: seeds for size, seeds in CENSUS.items() if size < image_size}
    found = {
        f"starts-{size}px": partial(_census, size=size, seeds=seeds)
        for size, seeds in (census | {image_size: CENSUS_SEEDS}).items()
    }
    sizes = [size for size in SIZES if size < image_size] + [image_size]
    over_sizes = partial(_over_sizes, sizes=sizes)
    return found | {"kernel": _kernel, "last-relu": _control, "sizes": over_sizes}


FILE = "experiments.jsonl"


def write(study: Path, name: str, payload: dict, data, seconds: float) -> None:
    """Write what one of `every` gave, from this Data's images. Raises OSError."""
    about = {"name": name, "fingerprint": data.fingerprint, "split": data.split}
    made = environment("cpu") | {"seconds": round(seconds, 1)}
    append_line(Path(study) / FILE, about | payload | {"environment": made})


def read(study: Path) -> dict[str, dict]:
    """The records there are in a study's folder, by name. Raises ResultsError."""
    path = Path(study) / FILE
    return {payload["name"]: payload for payload in read_lines(path)} if path.exists() else {}


def _counter(bar, total: int, label: str):
    """A bar and a function that moves it on to `done` of `total`."""
    shown = bar(total=total, label=label)
    return shown, lambda done, _: shown.update(done - shown.n)


def _census(load, bar, size: int, seeds: int) -> dict:
    """counts: net as "<layers>x<units>" -> for each seed, on how many images its output is above
    0."""
    data = load(size)
    shown, tick = _counter(bar, seeds, f"census of starts at {size}×{size}")
    found = starts.census(data.train.images, range(seeds), tick)
    shown.close()
    counts = {f"{layers}x{units}": each.tolist() for (layers, units), each in found.items()}
    return {"image_size": size, "images": len(data.train.labels), "seeds": seeds, "counts": counts}


def _kernel(load, bar) -> dict:
    """dead: net -> P(dead) in wide nets. angles: net -> the median and the widest angle between two
    films as its output sees them, radians. films: the same of their pixels."""
    films = load(SMALL).train.images
    films = films[:: -(-len(films) // KERNEL_FILMS)]
    shown, tick = _counter(bar, len(starts.NETS), "starts of wide nets")
    matrix, dead, angles = gram.compute_gram(films), {}, {}
    for units in starts.UNITS:
        for layers, covariance in enumerate(starts.kernels(matrix, SMALL, units), 1):
            name = f"{layers}x{units}"
            dead[name], angles[name] = starts.dead_by_kernel(covariance), starts.spread(covariance)
            tick(len(dead), None)
    shown.close()
    return {"image_size": SMALL, "dead": dead, "angles": angles, "films": starts.spread(matrix)}


def _control(load, bar) -> dict:
    label = "MLPs without their last ReLU"
    return {"runs": _train(CONTROL, CONTROL_SEEDS, (SMALL,), load, bar, label)}


def _over_sizes(load, bar, sizes: list[int]) -> dict:
    label = "models 20 and 21 over image sizes"
    return {"runs": _train(OVER_SIZES, SIZE_SEEDS, sizes, load, bar, label)}


def _train(asked: list[Trial], seeds, sizes, load, bar, label: str) -> list[dict]:
    """Trials at several sizes: what each was, its seed and its test counts."""
    rounds = -(-len(seeds) // trials.TOGETHER) * len(sizes)
    shown = bar(total=rounds * asked[0].spec.epochs, label=label)
    found = []
    for size in sizes:
        data = load(size)
        if size > SIZES[-1]:  # the study's, which training keeps
            matrix, _ = gram.gram_matrix(data.images, data.fingerprint, cache_folder())
        else:
            matrix = gram.compute_gram(data.images)
        about = matrix, data.images, data.labels, data.index
        for run in trials.train(asked, seeds, *about, tick=shown.update):
            trial = asked[run.pop("trial")]
            what = {"model": trial.spec.id, "image_size": size}
            found.append(what | {"matched": trial.matched, "last_relu": trial.last_relu} | run)
    shown.close()
    return found

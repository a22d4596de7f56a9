"""The box in which a reader tries films: what the page's script needs (templates/try.js), and the
picture that stands there without it.

Everything is at 64×64, where the films that come with the project are. Weights are those of the
record: model 20 as one weight a pixel, model 26b, its twin 40 on equalised films, and logistic
regression on a thumbnail.
"""

import base64
from itertools import chain

import numpy as np
from jinja2 import Environment, FileSystemLoader

from xray import baselines, changes, equalise, metrics, predict_weights, report_plots, results
from xray.items import Item, item
from xray.page import TEMPLATES
from xray.predict import logits
from xray.report_films import SIZE, films_of, mean_film, one_weight_a_pixel
from xray.study import Study

FILMS = 12  # in the row to pick from, half of each class
MISSED = 2  # of each class, films that no run classified correctly
CELLS = 16  # a side of the thumbnail, baselines.CURVE
CLASSES = ("NORMAL", "PNEUMONIA")
# rows of the page's table, in order: the model, its name; "equalised" where its weights are there
ROWS = {
    "linear": ("20", "Model 20, one weight a pixel"),
    "cnn": ("26b", "Model 26b, TinyVGG"),
    "equalised": ("40", "Model 40, as 26b but shown equal grey levels"),
    "thumbnail": ("", "Baseline, 16×16 means"),
}


def address(film: np.ndarray) -> str:
    """uint8 (S, S) -> a data URI of a PNG, which keeps each grey."""
    return f"data:image/png;base64,{base64.b64encode(report_plots.png(film)).decode()}"


def as_text(values) -> str:
    """Numbers as the script reads them: base64 of little-endian float32."""
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()


def chosen_films(labels: np.ndarray, right: np.ndarray) -> list[int]:
    """Rows of the test films to pick from: of each class MISSED that no run classified correctly,
    and others evenly spread. right: (N,), the share of runs, 0-1, that
    classified each correctly."""
    rows = []
    for label in (0, 1):
        missed = np.flatnonzero((labels == label) & (right == 0))[:MISSED]
        others = np.flatnonzero((labels == label) & (right > 0.5))
        count = FILMS // 2 - len(missed)
        spread = others[np.linspace(0, len(others) - 1, count).astype(int)]
        rows += [*spread, *missed]
    return rows


def painted(film: np.ndarray, other: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    """What the page's buttons make of a film: words -> uint8 (S, S). other: a film of the other
    class; mean: the mean training film."""
    lungs = baselines.box_mask(SIZE)
    edge = baselines.ring_mask(SIZE, changes.RING)
    return {
        "as it is": film,
        "without lungs": np.where(lungs, mean, film),
        "without edge": np.where(edge, mean, film),
        "edge of the other class": np.where(edge, other, film),
    }


def _parts(study: Study):
    """Row of the page -> the run of its model at 64×64 whose weights are there; the thumbnail's
    baseline; and the validation labels. None where one but model 40 is not in the record."""
    runs = {}
    for run in chain(study.runs, *study.beyond.values()):
        if run.weights and run.image_size == SIZE and results.weights_path(run).is_file():
            runs.setdefault(run.spec.id, run)
    nets = {row: runs[model] for row, (model, _) in ROWS.items() if model in runs}
    of_split = baselines.read(study.folder).get(study.split, {})
    found = of_split.get("baselines", {}).get(baselines.CURVE)
    if "linear" not in nets or "cnn" not in nets or found is None:
        return None
    return nets, found, of_split["labels"]["validation"]


def _models(parts: tuple) -> dict[str, dict]:
    """Row of the page -> how its logit comes about, and becomes a probability and an answer."""
    nets, baseline, labels = parts
    rules = {row: predict_weights.thresholds(run) for row, run in nets.items()}
    settings = {row: (rule.temperature, rule.decision.logit) for row, rule in rules.items()}
    settings["thumbnail"] = metrics.temperature(baseline["validation"], labels), 0.0
    found = {}
    for row in (row for row in ROWS if row in settings):
        temperature, threshold = settings[row]
        limit = 1 / (1 + np.exp(-threshold / temperature))
        found[row] = {"name": ROWS[row][1], "limit": f"{100 * limit:.0f} %"}
        found[row] |= {"temperature": temperature, "threshold": threshold}
    weights, bias = one_weight_a_pixel(predict_weights.load_weights(nets["linear"]))
    found["linear"] |= {"weights": as_text(weights), "bias": bias}
    found["thumbnail"]["weights"] = as_text(baseline["weights"])
    for row in set(nets) - {"linear"}:
        tensors = predict_weights.load_weights(nets[row]).state_dict()
        found[row]["tensors"] = {name: as_text(values) for name, values in tensors.items()}
    return found


def content(films, rows: list[int], missed: list[bool], parts: tuple) -> dict:
    """What templates/try.js reads. films: of the project; rows: of its test split, to pick from;
    missed: whether no run classified each of these correctly; parts: as `_parts` gives them."""
    width = round(changes.RING * SIZE)
    test = films.test
    return {
        "size": SIZE,
        "scattered": equalise.scattered(SIZE * SIZE).tolist(),
        "mean": base64.b64encode(mean_film(films.train.images)).decode(),
        "lungs": [round(share * SIZE) for share in baselines.BOX],
        "inner": [width, SIZE - width, width, SIZE - width],
        "films": [
            {
                "name": test.paths[row].rpartition("/")[2],
                "label": CLASSES[test.labels[row]],
                "missed": hopeless,
                "png": address(test.images[row, 0]),
            }
            for row, hopeless in zip(rows, missed)
        ],
        "models": _models(parts),
    }


def still(films, rows: list[int], parts: tuple):
    """The picture without the script: a film, painted three times, and what the models answer."""
    nets, baseline, _ = parts
    labels = films.test.labels
    other = next(row for row in rows if labels[row] != labels[rows[0]])
    first, second = films.test.images[rows[0], 0], films.test.images[other, 0]
    shown = painted(first, second, mean_film(films.train.images))
    pixels = np.stack(list(shown.values()))
    means = baselines.thumbnail(pixels, CELLS)
    of_models = {
        "20": logits(predict_weights.load_weights(nets["linear"]), pixels[:, None]),
        "26b": logits(predict_weights.load_weights(nets["cnn"]), pixels[:, None]),
        "baseline": means @ baseline["weights"][:-1] + baseline["weights"][-1],
    }
    pictures = []
    for n, words in enumerate(shown):
        answers = [f"{name}: {values[n]:+.1f}" for name, values in of_models.items()]
        pictures.append((words, pixels[n], "\n".join(answers).replace("-", "−")))
    return report_plots.films(pictures, len(shown))


@item("try", "Try a film")
def try_a_film(study: Study) -> Item:
    parts, films = _parts(study), films_of(study)
    if parts is None or films is None:
        missing = (
            "Needs the films that come with the project and weights of models 20 and 26b at 64×64."
        )
        return Item(missing=missing)
    runs = study.scores.query("kind == 'given' and chosen and learned")["run"]
    labels = films.test.labels
    right = np.mean([(run.logits["test"] > 0) == labels for run in runs], axis=0)
    rows = chosen_films(labels, right)
    given = content(films, rows, [bool(right[row] == 0) for row in rows], parts)
    template = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    return Item(
        picture=still(films, rows, parts),
        alt=f"A {CLASSES[labels[rows[0]]]} film as it is, without its lungs, without its edge, and "
        "with the edge of a film of the other class; under each the logits of three models.",
        html=template.get_template("try.html").render(data=given),
        script=(TEMPLATES / "try.js").read_text(encoding="utf-8"),
    )

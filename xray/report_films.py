"""Films in the report, where they may be shown: what baselines see, what a linear net sees, films
changed on purpose, films that all runs miss."""

from functools import lru_cache

import numpy as np

from xray import baselines, changes, data, data_phantoms, predict_weights
from xray.data_sources import CHILDREN, licence
from xray.items import Item, item, numbers
from xray.report_more import missed_table
from xray.report_plots import enlarged, films, panels, png, save
from xray.study import Study

SIZE = 64  # pixels a side of the films in the box
MOST = 14  # films shown in a row or two


@lru_cache(maxsize=1)
def films_of(study: Study) -> data.Data | None:
    """The films of the box, if they are the study's: the same names in the same splits and order.
    None else: no other source's films are shown."""
    about, facts = study.runs[0].data, study.facts
    if not licence(about["source"], about["fingerprint"]) or not facts:
        return None
    found = data.load("films", SIZE)
    sizes = {split: len(rows) for split, rows in found.index.items()}
    return found if sizes == facts["splits"] and found.paths == facts["paths"] else None


@numbers("films")
def _about(study: Study) -> dict:
    return {
        "shown": films_of(study) is not None,
        "licence": f"Films: {CHILDREN}, resized to {SIZE}×{SIZE}.",
    }


def _first_film(study: Study) -> tuple[np.ndarray, str]:
    """The training split's first film, uint8 (S, S), where it may be shown, else a phantom; and
    what it is, in words."""
    if "film" in study.told:  # by a person who has the data
        return study.told["film"], "The film of that record."
    boxed = films_of(study)
    if boxed is not None:
        words = "The film of that record, CC BY 4.0 (Kermany et al.), resized to 64×64."
        return boxed.train.images[0, 0], words
    words = "A phantom, drawn in place of the film: its licence is not known. With --data SOURCE "
    return data_phantoms.draw(0, False, 320), words + "scripts/report.py shows the film itself."


@item("fig-2", "The image of that record")
def _its_image(study: Study) -> Item:
    film, words = _first_film(study)
    picture = png(enlarged(film, max(1, 320 // len(film))))
    return Item(picture=picture, alt="A frontal chest film.", numbers={"shown": words})


@item("fig-4", "The image after preparation")
def _prepared_image(study: Study) -> Item:
    film, _ = _first_film(study)
    about = {
        "size": film.shape[0],
        "lowest": film.min() / 255,
        "highest": film.max() / 255,
    }
    return Item(picture=_its_image(study).picture, alt="The same in gray.", numbers=about)


def mean_film(images: np.ndarray) -> np.ndarray:
    """uint8 (N, 1, S, S) -> the mean film, uint8 (S, S)."""
    return images[:, 0].mean(0).round().astype(np.uint8)


# ---- what baselines see


@item("regions", "What the baselines see")
def _regions(study: Study) -> Item:
    film = enlarged(mean_film(films_of(study).train.images), 2)  # the size that baselines are given
    size = len(film)
    masks = {
        "1 % ring": baselines.ring_mask(size, 0.01),
        "corners": baselines.corners_mask(size),
        "outside the lung box": ~baselines.box_mask(size),
        "lung box alone": baselines.box_mask(size),
    }
    pictures = [("the mean film", film, "")]
    pictures += [(words, np.where(mask, film, 255), "") for words, mask in masks.items()]
    pictures.append(("thumbnail 16×16", baselines.averaged(film[None], 16)[0], ""))
    return Item(
        picture=films(pictures, len(pictures)),
        alt="The mean training film, and what five baselines see of it: the outermost 1 %, the "
        "corners, what lies outside the lung box, the box alone, and a 16×16 thumbnail.",
    )


# ---- what a linear net sees


def one_weight_a_pixel(module) -> tuple[np.ndarray, float]:
    """A net of two Linear layers without activation as one: weights float64 (S²,) of pixels in 0-1,
    and the bias."""
    first, last = (layer for layer in module.modules() if hasattr(layer, "in_features"))
    outer = last.weight.detach().double()
    weights = outer @ first.weight.detach().double()
    bias = outer @ first.bias.detach().double() + last.bias.detach().double()
    return weights[0].numpy(), float(bias)


def _weights_of_20(study: Study) -> np.ndarray | None:
    """What model 20 multiplies each pixel with, (S, S), of the smallest run with weights."""
    scores = study.scores
    runs = scores.run[(scores.model == "20") & (scores.kind == "given")]
    for run in sorted((run for run in runs if run.weights), key=lambda run: run.image_size):
        try:
            weights, _ = one_weight_a_pixel(predict_weights.load_weights(run))
        except predict_weights.PredictError:
            continue
        return weights.reshape(run.image_size, run.image_size)
    return None


@item("linear-view", "What a linear net sees")
def _linear_view(study: Study) -> Item:
    weights, boxed = _weights_of_20(study), films_of(study)
    if weights is None:
        return Item(missing="No weights of model 20 were kept beside this study's records.")
    shown = [("weights of model 20", "logit, black to white", weights)]
    if boxed is not None:
        normal, ill = (boxed.train.images[boxed.train.labels == n, 0].mean(0) for n in (0, 1))
        means = [("mean normal film", "", normal), ("mean with pneumonia", "", ill)]
        shown = [*means, ("their difference", "grey levels", ill - normal), *shown]
    figure, axes = panels(1, len(shown), 2.8)
    for axis, (words, unit, values) in zip(axes[0], shown):
        limit = np.percentile(np.abs(values), 99.5)
        look = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        drawn = axis.imshow(values, **look if unit else {"cmap": "gray", "vmin": 0, "vmax": 255})
        axis.set_title(words)
        axis.set_axis_off()
        bar = {"orientation": "horizontal", "shrink": 0.9}
        figure.colorbar(drawn, ax=axis, **bar, label=unit or "grey levels")
    edge = round(0.1 * len(weights))
    inner = np.abs(weights[edge:-edge, edge:-edge]).sum() / np.abs(weights).sum()
    beside = ", beside the mean normal film, the mean film with pneumonia and their difference."
    return Item(
        picture=save(figure, "png"),
        alt="The weight that model 20 gives each pixel" + (beside if len(shown) > 1 else "."),
        numbers={"frame": 1 - inner, "size": len(weights), "films": boxed is not None},
    )


# ---- films changed, films missed


@item("changed-films", "One film under each change")
def _changed_films(study: Study) -> Item:
    test, mean = films_of(study).test, mean_film(films_of(study).train.images)
    first = int(np.flatnonzero(test.labels)[0])
    every = changes.every(test.images[:, 0], test.labels, mean)
    alone = changes.every(test.images[[first], 0], test.labels[[first]], mean)
    # a swap draws among all films
    made = {
        words: every[words]()[first] if "class" in words else alone[words]()[0] for words in every
    }
    return Item(
        picture=films([(_broken(words), film, "") for words, film in made.items()], 7),
        alt=f"The test film {test.paths[first].split('/')[-1]}, with pneumonia, unchanged and "
        f"under {len(made) - 1} changes.",
    )


def _broken(words: str) -> str:
    """Words over a small film, on two lines."""
    parts = words.replace(" %", "\N{NO-BREAK SPACE}%").split(" ")
    half = (len(parts) + 1) // 2
    return f"{' '.join(parts[:half])}\n{' '.join(parts[half:])}"


@item("always-missed", "Films that every run misclassifies")
def _always_missed(study: Study) -> Item:
    boxed, table = films_of(study), missed_table(study)
    always = table[table.missed == table.runs].sort_values("sure", ascending=False).head(MOST)
    pictures = [(row.shown, boxed.test.images[row.Index, 0], "") for row in always.itertuples()]
    names = [path.split("/")[-1] for path in always.path]
    return Item(
        picture=films(pictures, 7) if pictures else None,
        alt=f"Test films that all runs of the tested models misclassify, with their true class: "
        f"{', '.join(names)}.",
        missing="" if pictures else "There is no such film.",
    )

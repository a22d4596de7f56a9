"""Films in the report, where they may be shown: what baselines see, what a linear net sees, films
changed on purpose, films that all runs miss."""

from functools import lru_cache

import numpy as np
import torch

from xray import baselines, changes, data, predict_weights
from xray.data_sources import CHILDREN, licence
from xray.items import Item, item, numbers
from xray.report_more import missed_table
from xray.report_plots import panels, save
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
        "licence": f"Films: {CHILDREN}, brought to {SIZE}×{SIZE}.",
    }


def _draw(pictures: list[tuple], columns: int, side: float = 1.12):
    """Gray films, each with words over it, in rows: bytes of a PNG. pictures: (words, film)."""
    rows = -(-len(pictures) // columns)
    figure, axes = panels(rows, columns, 0.15 + rows * (side + 0.28))
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, (words, film) in zip(axes.ravel(), pictures):
        axis.imshow(film, cmap="gray", vmin=0, vmax=255)
        axis.set_title(words, fontsize=8.5, fontweight="normal", loc="center", wrap=True)
    return save(figure, "png")


def mean_film(images: np.ndarray) -> np.ndarray:
    """uint8 (N, 1, S, S) -> the mean film, uint8 (S, S)."""
    return images[:, 0].mean(0).round().astype(np.uint8)


# ---- what baselines see


@item("regions", "What the baselines see")
def _regions(study: Study) -> Item:
    mean = mean_film(films_of(study).train.images)
    film = np.kron(mean, np.ones((2, 2), np.uint8))  # at the size that baselines are given
    size = len(film)
    box = baselines.box_mask(size)
    masks = {
        "1 % ring": baselines.ring_mask(size, 0.01),
        "corners": baselines.corners_mask(size),
        "outside the lung box": ~box,
        "lung box alone": box,
    }
    pictures = [("the mean film", film)]
    pictures += [(words, np.where(mask, film, 255)) for words, mask in masks.items()]
    small = baselines.averaged(film[None], 16)[0]
    pictures.append(("thumbnail 16×16", np.kron(small, np.ones((size // 16, size // 16)))))
    return Item(
        picture=_draw(pictures, len(pictures)),
        alt="The mean training film, and what of it five baselines see: the outermost 1 %, the "
        "corners, what lies outside of the lung box, the box alone, and 16×16 pixels of it all.",
    )


# ---- what a linear net sees


def _weights_of_20(study: Study) -> np.ndarray | None:
    """What model 20 multiplies each pixel with, (S, S), of the smallest run with weights."""
    scores = study.scores
    runs = scores.run[(scores.model == "20") & (scores.kind == "given")]
    for run in sorted((run for run in runs if run.weights), key=lambda run: run.image_size):
        try:
            net = predict_weights.load_weights(run)
        except predict_weights.PredictError:
            continue
        first, last = (layer for layer in net.modules() if isinstance(layer, torch.nn.Linear))
        weights = (last.weight @ first.weight).detach().numpy()
        return weights.reshape(run.image_size, run.image_size)
    return None


@item("linear-view", "What a linear net sees")
def _linear_view(study: Study) -> Item:
    weights, shown = _weights_of_20(study), films_of(study) is not None
    if weights is None:
        return Item(missing="No weights of model 20 were kept beside this study's records.")
    figure, axes = panels(1, 4 if shown else 1, 2.8)
    signed, bar = [], {"orientation": "horizontal", "shrink": 0.9}
    if shown:
        train = films_of(study).train
        means = [train.images[train.labels == label, 0].mean(0) for label in (0, 1)]
        for axis, mean, words in zip(axes[0], means, ("mean normal film", "mean with pneumonia")):
            drawn = axis.imshow(mean, cmap="gray", vmin=0, vmax=255)
            axis.set_title(words)
            figure.colorbar(drawn, ax=axis, **bar, label="grey levels")
        signed.append((axes[0][2], means[1] - means[0], "their difference", "grey levels"))
    signed.append((axes[0][-1], weights, "weights of model 20", "logit, black to white"))
    for axis, values, words, unit in signed:
        limit = np.percentile(np.abs(values), 99.5)
        drawn = axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axis.set_title(words)
        figure.colorbar(drawn, ax=axis, **bar, label=unit)
    for axis in axes[0]:
        axis.set_axis_off()
    edge = round(0.1 * len(weights))
    inner = np.abs(weights[edge:-edge, edge:-edge]).sum() / np.abs(weights).sum()
    return Item(
        picture=save(figure, "png"),
        alt="The weight that model 20 gives each pixel"
        + ", beside the mean normal film, the mean film with pneumonia and their difference."
        * shown,
        numbers={"frame": 1 - inner, "size": len(weights), "films": shown},
    )


# ---- films changed, films missed


@item("changed-films", "One film under each change")
def _changed_films(study: Study) -> Item:
    films = films_of(study)
    test, mean = films.test, mean_film(films.train.images)
    made = changes.every(test.images[:, 0], test.labels, mean)
    first = int(np.flatnonzero(test.labels)[0])
    pictures = [(words, change()[first]) for words, change in made.items()]
    return Item(
        picture=_draw([(_broken(words), film) for words, film in pictures], 7, side=1.25),
        alt=f"The test film {test.paths[first].split('/')[-1]}, with pneumonia, unchanged and "
        f"under {len(pictures) - 1} changes.",
    )


def _broken(words: str) -> str:
    """Words over a small film, on two lines."""
    parts = words.replace(" %", "\N{NO-BREAK SPACE}%").split(" ")
    half = (len(parts) + 1) // 2
    return f"{' '.join(parts[:half])}\n{' '.join(parts[half:])}"


@item("always-missed", "Films that every run misses")
def _always_missed(study: Study) -> Item:
    films, table = films_of(study), missed_table(study)
    always = table[table.missed == table.runs].sort_values("sure", ascending=False).head(MOST)
    pictures = [(row.shown, films.test.images[row.Index, 0]) for row in always.itertuples()]
    names = [path.split("/")[-1] for path in always.path]
    return Item(
        picture=_draw(pictures, 7, side=1.2) if pictures else None,
        alt=f"Test films that all runs of the tested models misclassify, with their true class: "
        f"{', '.join(names)}.",
        missing="" if pictures else "There is no such film.",
    )

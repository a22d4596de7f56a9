"""A person's own films through a trained run: probabilities, decisions, maps, and a warning where a
film is of another kind than those of the training. Nothing of a film is kept."""

import io
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from xray import data_images, engine, predict_maps
from xray.data_files import film_of, is_drawn
from xray.data_images import Unreadable
from xray.equalise import as_seen
from xray.files import write_atomically
from xray.predict_likeness import average_films, unlike
from xray.predict_weights import NOTICE, Chosen, Thresholds

AT_ONCE = 32  # films read, judged and drawn together
COLOURS = ("P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV")  # Pillow's modes


# ---- which files


class Files(NamedTuple):
    images: list[Path]  # in order, each once
    problems: list[tuple[str, str]]  # what cannot be used, and why
    passed_over: list[Path]  # what lies in folders and is no film, by name or content


def find(names: list[str], leave_out: Path | None = None) -> Files:
    """Files and folders -> image files.

    A folder stands for the images under it, by path, without hidden files and folders, masks, links
    to folders, and what lies in `leave_out`.
    """
    found, problems, passed_over = {}, [], []
    for name in names:
        inside = []
        if os.path.isdir(name):
            inside, others = _walk(Path(name), leave_out and leave_out.resolve(), problems)
            passed_over += others
            if not inside:
                problems.append((name, "a folder without images"))
        elif os.path.isfile(name):
            inside = [Path(name)]
        elif os.path.exists(name):
            problems.append((name, "not a file"))
        elif name.strip():
            problems.append((name, "no such file"))
        else:
            problems.append((name, "an empty name (. is this folder)"))
        for path in inside:
            found.setdefault(os.path.abspath(path), path)
    return Files(list(found.values()), problems, passed_over)


def _walk(top: Path, leave_out: Path | None, problems: list) -> tuple[list[Path], list[Path]]:
    """The images under a folder, and its other files and folders of masks."""

    def unreadable(error):
        problems.append((error.filename, f"a folder that cannot be read ({error.strerror})"))

    images, others = [], []
    for root, folders, files in os.walk(top, onerror=unreadable):
        inside = [Path(root, name) for name in sorted(folders) if not name.startswith(".")]
        inside = [path for path in inside if path.resolve() != leave_out]
        others += [path for path in inside if is_drawn(path.name)]
        folders[:] = [path.name for path in inside if not is_drawn(path.name)]
        stems = {Path(name).stem.lower() for name in files}
        for name in sorted(files):
            path = Path(root, name)
            if path.is_file() and not name.startswith("."):
                film = data_images.is_image(path) and film_of(path.stem.lower()) not in stems
                (images if film else others).append(path)
    return images, others


# ---- one film


class Ready(NamedTuple):
    """A film made ready for a model, or the reason why it cannot be read."""

    reason: str = ""
    pixels: np.ndarray | None = None  # uint8 (S, S), as the model is shown it
    shown: np.ndarray | None = None  # uint8, of predict_maps.thumbnail
    warnings: list[str] = []


def make_ready(path: Path, chosen: Chosen, any_kind: bool = False) -> Ready:
    """Read one film as those of the training are read (data_images.read), for the chosen run.
    any_kind: read a DICOM file that is tagged as no frontal chest film all the same."""
    facts, size = chosen.facts, chosen.run.image_size
    try:
        if (length := path.stat().st_size) > data_images.LARGEST_FILE:
            raise Unreadable(data_images.too_large(length))
        encoded = path.read_bytes()
        film = data_images.read(encoded, path.name, any_kind=any_kind)
        if film.highest and film.bits < facts.get("bits", 16) < 16:
            # a dark film where the training's had 16 bits too: its range is theirs
            film = data_images.read(encoded, path.name, facts["bits"], any_kind)
        warnings = list(film.notes)
        if film.highest and film.bits < 16:
            warnings.append(f"its values reach {film.highest:,}: read as {film.bits} bits of 16")
        chroma = _chroma(encoded) if film.mode in COLOURS else 0.0
        differs = unlike(film.pixels, chroma, facts, size)
        warnings += [f"unlike the training images: {text}" for text in differs]
        pixels = as_seen(chosen.run.spec, data_images.resize(film.pixels, size))
        return Ready("", pixels, predict_maps.thumbnail(film.pixels), warnings)
    except Unreadable as error:
        return Ready(str(error))
    except OSError as error:
        return Ready(f"cannot be read ({error.strerror})")


def _chroma(encoded: bytes) -> float:
    """How colourful a file is that could be read: the mean of max - min over R, G, B, 0-255."""
    with Image.open(io.BytesIO(encoded), formats=data_images.FORMATS) as image:
        image.draft("RGB", (64, 64))  # a JPEG is decoded small
        small = image.convert("RGB").resize((64, 64), Image.Resampling.BOX)
        channels = np.asarray(small, np.float32)
    return float((channels.max(2) - channels.min(2)).mean())


# ---- all of them through a model


def logits(module, images: np.ndarray) -> np.ndarray:
    """float32 (N,), in fp32 whatever precision trained the run; images uint8 (N, 1, S, S)."""
    at_once = max(1, min(64, predict_maps.PIXELS_AT_ONCE // images[0].size))
    return engine.predict(module, torch.from_numpy(images), batch_size=at_once).numpy()


def answers(
    paths: list[Path],
    chosen: Chosen,
    module,
    thresholds: Thresholds,
    folder: Path | None,
    any_kind: bool = False,
):
    """Yield a dict for each image, in order: what is found, or image and reason where it cannot be
    read. folder: where maps go, None for none; any_kind: see make_ready. Raises OSError where a map
    cannot be written."""
    run, taken, base = chosen.run, {_key(path) for path in paths}, None
    if folder and thresholds.decision:
        averages = as_seen(run.spec, average_films(chosen.facts, run.image_size))
        base = predict_maps.baseline(run.spec, module, averages, thresholds.decision.logit)

    for start in range(0, len(paths), AT_ONCE):
        part = paths[start : start + AT_ONCE]
        films = [make_ready(path, chosen, any_kind) for path in part]
        good = [film.pixels for film in films if not film.reason]
        found = iter(logits(module, np.stack(good)[:, None]).tolist() if good else ())
        for path, film in zip(part, films):
            if film.reason:
                yield {"image": str(path), "reason": film.reason}
                continue
            answer = _answer(path, film, next(found), chosen, thresholds)
            if folder:
                target = map_path(folder, path, run.spec.id, taken)
                answer |= _draw_map(target, film, answer, chosen, module, base)
            yield answer


def _answer(path: Path, film: Ready, logit: float, chosen: Chosen, thresholds: Thresholds) -> dict:
    band = thresholds.unsure

    def called(threshold):
        return "PNEUMONIA" if logit > threshold.logit else "NORMAL"

    return {
        "image": str(path),
        "model": chosen.run.spec.id,
        "study": chosen.study,
        "probability": float(thresholds.probability(logit)),
        "logit": logit,
        "unsure": bool(band and band[0] < logit < band[1]),
        "decision": thresholds.decision and called(thresholds.decision),
        "decision_paper": called(thresholds.paper),
        "map": None,
        "warnings": film.warnings,
    }


def _draw_map(target: Path, film: Ready, answer: dict, chosen: Chosen, module, base) -> dict:
    """Draw the map where it agrees with the decision: where its sum is above 0 for pneumonia and
    not for normal."""
    if base is None:
        return {"map_reason": "the model decides nothing"}
    spec = chosen.run.spec
    try:
        values = predict_maps.contributions(spec, module, film.pixels, base)
    except ValueError as error:
        return {"map_reason": str(error)}
    total = float(values.sum(dtype=np.float64))
    parts = {"contributions": {"pixels": total, "baseline": base.score}}
    if (total > 0) != (answer["decision"] == "PNEUMONIA"):
        reason = f"its sum, {total:+.2f} over a baseline of {base.score:.2f}, opposes the decision"
        return parts | {"map_reason": reason}
    sums = f"the map's sum is {total:+.2f}; it starts from {base.score:.2f} ({base.what})"
    if abs(base.score - answer["logit"] + total) > 0.02 * max(1, abs(total)):
        sums += f"; the ReLU makes it {answer['logit']:.2f}"
    decided = answer["decision"] + ", unsure" * answer["unsure"]
    title = f"model {spec.id}: probability {answer['probability']:.3f}, {decided}"
    lines = [title, sums, f"study {chosen.study}", NOTICE]
    warning = film.warnings[0][:110] if film.warnings else ""
    write_atomically(target, predict_maps.draw_map(film.shown, values, lines, warning))
    return parts | {"map": str(target)}


def map_path(folder: Path, image: Path, model: str, taken: set[str]) -> Path:
    """Where an image's map goes: folder/<name>-<model>.png, numbered where that is taken, and takes
    it.

    The name keeps letters, digits, '.', '_' and '-' of the image's. taken: paths as `_key` gives
    them, of all inputs and of the maps placed so far.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", image.stem).strip("-.")[:80] or "image"
    number, path = 1, folder / f"{stem}-{model}.png"
    while _key(path) in taken:
        number += 1
        path = folder / f"{stem}-{model}-{number}.png"
    taken.add(_key(path))
    return path


def _key(path: Path) -> str:
    """A path as file systems compare it that do not tell A from a."""
    return str(path.resolve()).casefold()

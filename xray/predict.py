"""A person's images through a trained run -> probabilities, decisions, maps, and a warning where an
image is of another kind than those of the training."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from xray import engine, predict_maps
from xray.files import write_atomically
from xray.predict_inputs import Ready, make_ready
from xray.predict_likeness import average_films
from xray.predict_maps import PIXELS_AT_ONCE
from xray.predict_weights import NOTICE, Chosen, Thresholds
from xray.results import Run

AT_ONCE = 32  # images read, judged and drawn together


def logits(module, images: np.ndarray) -> np.ndarray:
    """float32 (N,), in fp32 whatever precision trained the run; images uint8 (N, 1, S, S)."""
    at_once = max(1, min(64, PIXELS_AT_ONCE // images[0].size))
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
    read. folder: where maps go, None for none; any_kind: see predict_inputs.read_film. Raises
    OSError where a map cannot be written."""
    run, taken = chosen.run, {predict_maps.key(path) for path in paths}
    base = None
    if folder and thresholds.decision:
        averages = average_films(chosen.facts, run.image_size)
        base = predict_maps.baseline(run.spec, module, averages, thresholds.decision.logit)

    def ready(path):
        return make_ready(path, chosen.facts, run.image_size, any_kind)

    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(paths), AT_ONCE):
            part = paths[start : start + AT_ONCE]
            films = list(pool.map(ready, part))
            good = [film.pixels for film in films if not film.reason]
            found = iter(logits(module, np.stack(good)[:, None]).tolist() if good else ())
            for path, film in zip(part, films):
                if film.reason:
                    yield {"image": str(path), "reason": film.reason}
                    continue
                answer = _answer(path, film, next(found), thresholds)
                if folder:
                    target = predict_maps.map_path(folder, path, run.spec.id, taken)
                    answer |= _draw_map(target, film, answer, run, module, base)
                yield answer


def _answer(path: Path, film: Ready, logit: float, thresholds: Thresholds) -> dict:
    band = thresholds.unsure

    def decision(threshold):
        return threshold and ("PNEUMONIA" if logit > threshold.logit else "NORMAL")

    return {
        "image": str(path),
        "probability": float(expit(logit / thresholds.temperature)),
        "logit": logit,
        "unsure": bool(band and band[0] < logit < band[1]),
        "decision": decision(thresholds.decision),
        "decision_paper": decision(thresholds.paper),
        "decision_sensitive": decision(thresholds.sensitive),
        "map": None,
        "warnings": film.warnings,
    }


def _draw_map(target: Path, film: Ready, answer: dict, run: Run, module, base) -> dict:
    """Draw the map where it agrees with the decision: where its sum is above 0 for pneumonia and
    not for normal."""
    if base is None:
        return {"map_reason": "the model decides nothing"}
    try:
        values = predict_maps.contributions(run.spec, module, film.pixels, base)
    except ValueError as error:
        return {"map_reason": str(error)}
    total = float(values.sum(dtype=np.float64))
    parts = {"contributions": {"pixels": total, "baseline": base.score}}
    if (total > 0) != (answer["decision"] == "PNEUMONIA"):
        reason = f"its sum, {total:+.2f} over a baseline of {base.score:.2f}, opposes the decision"
        return parts | {"map_reason": reason}
    decided = answer["decision"] + ", unsure" * answer["unsure"]
    lines = [
        f"model {run.spec.id}: probability {answer['probability']:.3f}, {decided}",
        f"the map's sum is {total:+.2f}; it starts from {base.score:.2f} ({base.what})",
        NOTICE,
    ]
    if abs(base.score - answer["logit"] + total) > 0.02 * max(1, abs(total)):
        lines[1] += f"; the ReLU makes it {answer['logit']:.2f}"
    warning = film.warnings[0][:110] if film.warnings else ""
    write_atomically(target, predict_maps.draw_map(film.shown, values, lines, warning))
    return parts | {"map": str(target)}

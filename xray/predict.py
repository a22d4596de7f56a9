"""A person's images through a trained run -> probabilities, decisions, maps, and a warning where an
image is of another kind than those of the training."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from xray import engine, predict_export
from xray.files import write_atomically
from xray.predict_inputs import Ready, make_ready
from xray.predict_weights import NOTICE, Chosen, Thresholds

PIXELS_AT_ONCE = 2**21
AT_ONCE = 32  # images read, judged and drawn together


def logits(module, images: np.ndarray) -> np.ndarray:
    """float32 (N,), in fp32 whatever precision trained the run; images uint8 (N, 1, S, S)."""
    at_once = max(1, min(64, PIXELS_AT_ONCE // images[0].size))
    return engine.predict(module, torch.from_numpy(images), batch_size=at_once).numpy()


def answers(paths: list[Path], chosen: Chosen, module, thresholds: Thresholds, folder: Path | None):
    """Yield a dict for each image, in order: what is found, or image and reason where it cannot be
    read. folder: where maps go, None for none. Raises OSError where a map cannot be written."""
    run, taken = chosen.run, {predict_export.key(path) for path in paths}
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(paths), AT_ONCE):
            part = paths[start : start + AT_ONCE]
            films = list(
                pool.map(lambda path: make_ready(path, chosen.facts, run.image_size), part)
            )
            good = [film.pixels for film in films if not film.reason]
            found = iter(logits(module, np.stack(good)[:, None]).tolist() if good else ())
            for path, film in zip(part, films):
                if film.reason:
                    yield {"image": str(path), "reason": film.reason}
                    continue
                answer = _answer(path, film, next(found), thresholds)
                if folder:
                    answer |= _draw_map(path, film, answer, run, module, folder, taken)
                yield answer


def _answer(path: Path, film: Ready, logit: float, thresholds: Thresholds) -> dict:
    def decision(threshold):
        return threshold and ("PNEUMONIA" if logit > threshold.logit else "NORMAL")

    return {
        "image": str(path),
        "probability": float(expit(logit)),
        "logit": logit,
        "decision": decision(thresholds.decision),
        "decision_paper": decision(thresholds.paper),
        "decision_sensitive": decision(thresholds.sensitive),
        "map": None,
        "warnings": film.warnings,
    }


def _draw_map(path, film, answer, run, module, folder, taken) -> dict:
    values, rest = predict_export.contributions(run.spec, module, film.pixels[None, None])
    target = predict_export.map_path(folder, path, run.spec.id, taken)
    title = f"model {run.spec.id}: probability of pneumonia {answer['probability']:.3f}"
    write_atomically(target, predict_export.draw_map(film.shown, values[0], title, NOTICE))
    parts = {"pixels": float(values.sum(dtype=np.float64)), "rest": float(rest[0])}
    return {"map": str(target), "contributions": parts}

"""The decision threshold as a tool on the page: counts and predictive values at any threshold.

Logits are taken in hundredths, rounded up: a logit is above k / 100 just where its number is above
k, so that the page counts what Python counts at thresholds in whole hundredths.
"""

import base64
import json
import math

import numpy as np

from xray.items import Item, item, learned_runs, tested, what_it_is
from xray.page import TEMPLATES
from xray.study import Study


def hundredths(logits) -> np.ndarray:
    """Logits as whole hundredths, rounded up: int64 (N,), those beyond ±327.67 cut off there."""
    return np.ceil(np.clip(np.asarray(logits, np.float64) * 100, -32767, 32767)).astype(np.int64)


def thresholds(logits, labels) -> list[int | None]:
    """In hundredths, chosen on the validation split: the paper's, 0; the highest that finds 95 % of
    pneumonia; the lowest that clears 95 % of normal. None where a class is not there."""
    positives, negatives = np.sort(logits[labels == 1])[::-1], np.sort(logits[labels == 0])
    found, cleared = (math.ceil(0.95 * len(side) - 1e-9) for side in (positives, negatives))
    return [
        0,
        int(positives[found - 1]) - 1 if found else None,
        int(negatives[cleared - 1]) if cleared else None,
    ]


@item("threshold-tool", "Try a threshold")
def tool(study: Study) -> Item:
    runs = {model: learned_runs(study, model)[0] for model in tested(study)}
    if not runs:
        return Item()
    content = {"labels": next(iter(runs.values())).labels["test"].tolist(), "models": []}
    for model, run in runs.items():
        kept = hundredths(run.logits["test"]).astype("<i2").tobytes()
        on_validation = hundredths(run.logits["validation"]), run.labels["validation"]
        content["models"].append(
            {
                "name": f"{model} · {what_it_is(model)} · seed {run.seed}",
                "logits": base64.b64encode(kept).decode(),
                "thresholds": thresholds(*on_validation),
            }
        )
    html, script = ((TEMPLATES / f"tool.{end}").read_text("utf-8") for end in ("html", "js"))
    html = html.replace(
        "{DATA}", json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    )
    return Item(html=html, script=script)

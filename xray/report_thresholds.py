"""The decision threshold as a tool: a table of five thresholds chosen on the validation split, and
the test logits from which the page's own script counts at any other.

Logits are taken in hundredths, rounded up: a logit is above k / 100 just where its number is above
k. So a threshold in whole hundredths, as all are here, counts exactly.
"""

import base64
import math

import numpy as np
from scipy.special import expit

from xray import metrics
from xray.report_items import item, table
from xray.results import SEEDS
from xray.specs import MODELS, ModelSpec
from xray.study import EVALUATED, Study, percent

# how a threshold is chosen: that of the paper; the highest that finds so much of pneumonia; the
# lowest that clears so much of normal; Youden's, with the highest sensitivity + specificity
RULES = ("p = 0.5", "finds 95 %", "finds 99 %", "clears 95 %", "Youden")
LOW_PREVALENCE = 0.1  # the table's second one, nearer to a clinic's


def sections(study: Study) -> tuple[dict, dict]:
    """The numbers that the page's tool and the words around it need, and the table, by its id.

    Numbers: "tool", what the page's script reads (see `_embedded`), empty where no run learned;
    "choices", (model, what it is); "images", "prevalence", of the test split.
    """
    found = study.summaries.items()
    runs = {model: summary.learned[:SEEDS] for model, summary in found if summary.learned}
    labels = next((group[0].labels["test"] for group in runs.values()), np.empty(0, int))
    numbers = {
        "tool": _embedded(runs, labels) if runs else {},
        "choices": [(model, _named(MODELS[model])) for model in runs],
        "rules": RULES,
        "images": len(labels),
        "prevalence": float(labels.mean()) if len(labels) else math.nan,
    }
    first = [group[0] for group in runs.values()]
    return numbers, {"thresholds": item(study, EVALUATED, table=_five(first), runs=first)}


def _named(spec: ModelSpec) -> str:
    family = "MLP" if spec.family == "Linear+ReLU" else spec.family
    more = ", weighted" * spec.class_weight + ", L2" * (spec.weight_decay > 0)
    return f"{family}, batch {spec.batch_size}{more}"


def hundredths(logits) -> np.ndarray:
    """Logits as whole hundredths, rounded up: int64 (N,), those beyond ±327.67 cut off there."""
    return np.ceil(np.clip(np.asarray(logits, np.float64) * 100, -32767, 32767)).astype(np.int64)


def choose(logits, labels) -> list[int | None]:
    """The threshold of each of RULES, in hundredths of a logit, on the split that it is chosen on.

    logits in hundredths. The highest that finds so much of pneumonia, the lowest that clears so
    much of normal; of those with the same sensitivity + specificity the lowest. None where a class
    that the rule needs is not there.
    """
    positives, negatives = np.sort(logits[labels == 1])[::-1], np.sort(logits[labels == 0])

    def last(values, share):
        return int(values[math.ceil(share * len(values) - 1e-9) - 1]) if len(values) else None

    found = [last(positives, share) for share in (0.95, 0.99)]
    found = [None if value is None else value - 1 for value in found]
    return [0, *found, last(negatives, 0.95), _youden(positives, negatives)]


def _youden(positives, negatives) -> int | None:
    if not len(positives) or not len(negatives):
        return None
    candidates = np.unique(np.concatenate([positives, negatives]))
    candidates = np.append(candidates[0] - 1, candidates)
    missed = np.searchsorted(positives[::-1], candidates, side="right") / len(positives)
    cleared = np.searchsorted(negatives, candidates, side="right") / len(negatives)
    return int(candidates[np.argmax(np.round(cleared - missed, 12))])


def counts_above(run, threshold: int) -> dict:
    """metrics.confusion of a run's test split at a threshold in hundredths of a logit."""
    return metrics.confusion(hundredths(run.logits["test"]) - threshold, run.labels["test"])


def predictive(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """PPV and NPV by Bayes' rule, at any share of pneumonia; nan where no image would be so
    called."""
    found, missed = prevalence * sensitivity, prevalence * (1 - sensitivity)
    cleared, alarms = (1 - prevalence) * specificity, (1 - prevalence) * (1 - specificity)
    ppv = found / (found + alarms) if found + alarms else math.nan
    return ppv, cleared / (cleared + missed) if cleared + missed else math.nan


def _five(runs: list) -> dict | None:
    """Each of these runs at the five thresholds; None without runs."""
    rows = []
    for run in runs:
        chosen = choose(hundredths(run.logits["validation"]), run.labels["validation"])
        share = float(run.labels["test"].mean())
        for rule, threshold in zip(RULES, chosen):
            row = [run.spec.id, rule]
            if threshold is None:
                rows.append([*row, *["–"] * 11, run.seed])
                continue
            counts = counts_above(run, threshold)
            scores = metrics.count_scores(**counts)
            pair = float(scores["recall"]), float(scores["specificity"])
            rates = [*pair, *predictive(*pair, share), predictive(*pair, LOW_PREVALENCE)[0]]
            row += [*map(percent, rates), *(counts[key] for key in ("tp", "fn", "fp", "tn"))]
            logit = f"{threshold / 100:.2f}".replace("-", "−")
            rows.append([*row, logit, f"{100 * expit(threshold / 100):.1f}", run.seed])
    names = (
        "Model | Threshold | >Sensitivity, % | >Specificity, % | >PPV, % | >NPV, %"
        f" | >PPV at prevalence {100 * LOW_PREVALENCE:.0f} % | >Found | >Missed | >False alarms"
        " | >Cleared | >Logit | >Probability, % | >Seed"
    )
    return table(names, rows, sortable=True) if rows else None


def _embedded(runs: dict, labels) -> dict:
    """What the page's script counts in: "labels", a digit an image; "models", of each a list of
    runs: "seed", "logits" (hundredths, int16 little-endian, base64) and "thresholds" of RULES."""
    return {
        "labels": "".join(map(str, labels)),
        "models": [[_packed(run) for run in group] for group in runs.values()],
    }


def _packed(run) -> dict:
    content = hundredths(run.logits["test"]).astype("<i2").tobytes()
    chosen = choose(hundredths(run.logits["validation"]), run.labels["validation"])
    logits = base64.b64encode(content).decode()
    return {"seed": run.seed, "logits": logits, "thresholds": chosen}

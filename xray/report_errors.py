"""Numbers and tables of the report's appendix E: which test images are missed. No pixels."""

import numpy as np

from xray import metrics
from xray.data_splits import cause_of, patient
from xray.report_items import cell, item, table
from xray.specs import MODELS
from xray.study import Study

MOST_MISSED = 15  # shown; more where more are missed by all


def sections(study: Study) -> tuple[dict | None, dict]:
    """The numbers that the appendix says, and its items by id, over the runs of the evaluated
    models that learned; None and none without such runs on the given split or the data's
    description."""
    runs = [run for summary in study.summaries.values() for run in summary.learned]
    if not runs or study.name.split("/")[-1] != "given" or not study.facts:
        return None, {}
    labels = runs[0].labels["test"]
    paths = study.facts["paths"][-len(labels) :]
    wrong = np.array([metrics.predictions(run.logits["test"]) != labels for run in runs])
    surety = np.array([metrics.wrong_probability(run.logits["test"], labels) for run in runs])
    shown = [_shown(path, label) for path, label in zip(paths, labels)]
    share = wrong.mean(0)
    numbers = {
        "runs": len(runs),
        "lost": sum(summary.lost for summary in study.summaries.values()),
        "images": len(labels),
        "never": int((share == 0).sum()),
        "mostly": int((share > 0.5).sum()),
        "always": int((share == 1).sum()),
    }
    by_cause = _by_cause(runs, wrong, np.array(shown))
    means = [
        (row[0]["text"], np.mean([float(c["text"]) for c in row[1:-1]])) for row in by_cause["rows"]
    ]
    numbers["causes"] = sorted(means, key=lambda pair: -pair[1])
    most = _most_missed(paths, shown, wrong, surety)
    return numbers, {
        "error-causes": item(study, table=by_cause, runs=runs),
        "most-missed": item(study, table=most, runs=runs),
    }


def _shown(path: str, label: int) -> str:
    return (cause_of(path) or "pneumonia, cause not named") if label else "normal"


def _by_cause(runs: list, wrong: np.ndarray, shown: np.ndarray) -> dict:
    """wrong: bool (runs, images); shown: str (images,)."""
    families = {}
    for family in dict.fromkeys(spec.family for spec in MODELS.values()):
        mine = np.array([run.spec.family == family for run in runs])
        if mine.any():
            families[family] = wrong[mine]
    rows = []
    for name in sorted(set(shown)):
        shares = [f"{100 * part[:, shown == name].mean():.1f}" for part in families.values()]
        rows.append([name, *shares, int((shown == name).sum())])
    return table(" | ".join(["Shown", *(f">{name}" for name in families), ">Images"]), rows)


def _most_missed(paths: list[str], shown: list[str], wrong, surety) -> dict:
    """The images that most runs miss, all that every run misses among them; surety: (runs, images),
    the wrong class's probability."""
    share, sure = wrong.mean(0), surety.mean(0)
    order = sorted(range(len(paths)), key=lambda i: (-share[i], -sure[i], paths[i]))
    rows = []
    for i in order[: max(MOST_MISSED, int((share == 1).sum()))]:
        if wrong[:, i].any():
            file = cell(paths[i].replace("\\", "/").split("/")[-1], code=True)
            number = f"{wrong[:, i].sum()} of {len(wrong)}"
            certain = f"{100 * surety[wrong[:, i], i].mean():.1f}"
            rows.append([file, number, certain, shown[i], patient(paths[i]) or "–"])
    names = "File | >Missed by | >Mean probability of the wrong class, % | Shown | Patient"
    return table(names, rows)

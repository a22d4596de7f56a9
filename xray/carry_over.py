"""What carries over to another hospital, and back: logistic regression on thumbnails of films as
they are and of films with equal grey levels, learned at one place and shown the other."""

import warnings

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xray import external
from xray.baselines import STRENGTHS, fit, logits, thumbnail
from xray.equalise import equalise

SIZE = 64  # pixels a side of the films that are averaged
CELLS = (4, 8, 16, 32)  # a side of the thumbnails
FOLDS = 5  # of the patients elsewhere


def both_ways(images, labels, index, others, other_labels, owners) -> list[dict]:
    """A dict for each size of thumbnail, films as they are and equalised: cells, equalised, and
    logits, float32:

    home: learned on the training films here, shown the test films here
    elsewhere: the same, shown the films elsewhere
    own: learned elsewhere, shown films elsewhere of other patients (in five folds)
    back: learned on all films elsewhere, shown the test films here

    The strength of the L2 penalty is chosen as in baselines.fit here, elsewhere by the five folds.
    images: uint8 (N, SIZE, SIZE); index: split -> rows; others: uint8 (M, SIZE, SIZE); owners: the
    patient of each of them, a number.
    """
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    folds = list(folds.split(others, other_labels, owners))
    found = []
    for equal in (False, True):
        here, there = (equalise(films) if equal else films for films in (images, others))
        for cells in CELLS:
            home, away = thumbnail(here, cells), thumbnail(there, cells)
            learned = fit(home, labels, index)
            about = {"cells": cells, "equalised": equal, "home": learned["test"]}
            about["elsewhere"] = logits(learned, away)
            about["own"], model = _by_folds(away, other_labels, folds)
            about["back"] = model.decision_function(home[index["test"]]).astype(np.float32)
            found.append(about)
    return found


def _by_folds(features, labels, folds) -> tuple[np.ndarray, object]:
    """Logistic regression of the strength with the lowest log loss on the folds' held-out films:
    its logits on these, float32 (M,), and what it learns from all."""
    best, lowest = None, np.inf
    with warnings.catch_warnings():  # one that is not quite at its end will do as well
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
            model = make_pipeline(StandardScaler(), model)
            held = cross_val_predict(model, features, labels, cv=folds, method="decision_function")
            loss = log_loss(labels, expit(held))
            if loss < lowest:
                best, lowest = (held.astype(np.float32), model), loss
        return best[0], best[1].fit(features, labels)


def areas(found: list[dict], labels, owners, other_labels, other_owners, groups=()) -> pd.DataFrame:
    """A row a place of learning, size of thumbnail and kind of film, of what both_ways found.

    learned ("here", "there"), cells, equalised; home: AUC where it was learned, away: at the other
    place, gain: of away over that of films as they are; each with _low and _high, the 95 % interval
    over patients. A group's name: AUC of its films elsewhere alone.

    labels, owners: of the test films here and of the films elsewhere, owners as external.scores
    takes them. groups: of the films elsewhere, name -> bool (M,).
    """
    here, there = (labels, owners), (other_labels, other_owners)
    rows, plain = [], {}
    for learned, home, away, shown in (
        ("here", here, there, "home elsewhere"),
        ("there", there, here, "own back"),
    ):
        for one in found:
            at_home, elsewhere = (one[key] for key in shown.split())
            before = plain.setdefault((learned, one["cells"]), elsewhere)
            row = {"learned": learned, "cells": one["cells"], "equalised": one["equalised"]}
            row |= triple("home", external.area([at_home], *home))
            row |= triple("away", external.area([elsewhere], *away))
            row |= triple("gain", external.gain([elsewhere], [before], *away))
            of_films = elsewhere if learned == "here" else at_home
            rows.append(row | within(groups, [of_films], other_labels))
    return pd.DataFrame(rows)


def triple(name: str, three) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), three))


def within(groups, runs: list, labels) -> dict[str, float]:
    """Group -> mean AUC of its films alone."""
    return {
        name: external.area([logits[rows] for logits in runs], labels[rows], None)[0]
        for name, rows in dict(groups).items()
    }

"""The report's appendices: verdicts, misprints and choices, what accuracy does not tell, patients,
errors, weights.
"""

import math
from collections import Counter, defaultdict

import numpy as np
from scipy.special import expit

from xray import metrics, paper, resplits
from xray import report_figures_beyond as diagnostics
from xray import report_pictures as pictures
from xray.blocks import cell, images, item, plot, section, table, text
from xray.claims import COMMON_RULE, DEFINITIONS
from xray.data_audit import cause_of, patient
from xray.findings import BADGES
from xray.report_figures import HUE
from xray.specs import MODELS
from xray.study import EVALUATED, Study, finished, percent, plus_minus, seeds, spread, test_share

SENSITIVITY = 0.95
MOST_MISSED = 15
RANKING = ("roc_auc", "average_precision", "brier")
# models whose first layer is drawn, where their weights were kept
LOOKED_AT = ("20", "21", "20b", "27b")


def sections(study: Study, verdicts: list) -> list[dict]:
    """Appendices A to F."""
    return [
        claims(verdicts),
        misprints(study),
        beyond(study),
        patients(study),
        errors(study),
        weights(study),
    ]


def claims(verdicts: list) -> dict:
    tally = Counter(verdict.verdict for verdict in verdicts)
    rows = [
        {
            "id": verdict.id,
            "anchor": f"claim-{verdict.id.lower()}",
            "section": verdict.section,
            "section_id": f"section-{verdict.section.replace('.', '-')}",
            "claim": verdict.claim,
            "models": ", ".join(verdict.models),
            "statistic": verdict.statistic,
            "rule": verdict.rule,
            "figures": verdict.figures,
            "verdict": verdict.verdict,
            "badge": BADGES[verdict.verdict],
            "link": verdict.link,
            "note": verdict.note,
        }
        for verdict in verdicts
    ]
    return section(
        "claims",
        "A",
        "Verdicts on the paper's claims",
        text(
            "What the paper asserts, in our words, each with the statistic that decides it and a rule that was fixed "
            "before the runs were looked at. “Within noise” means that the effect is smaller than the spread over "
            "seeds, or, with too few seeds, than the test images allow to tell."
        ),
        text(COMMON_RULE),
        text(DEFINITIONS),
        {
            "kind": "verdicts",
            "rows": rows,
            "tally": [(word, BADGES[word], tally[word]) for word in BADGES if tally[word]],
        },
    )


# -------------------------------------------------------------------------------------------
# misprints and choices


def misprints(study: Study) -> dict:
    def rows(notes):
        return [[note.where, note.says, note.ours] for note in notes]

    return section(
        "misprints",
        "B",
        "Misprints and choices",
        table(
            "Where the paper contradicts itself",
            ["Where", "What it says", "What we make of it"],
            rows(paper.MISPRINTS),
        ),
        table(
            "What the paper leaves open",
            ["Where", "What is open", "What we chose"],
            rows(paper.CHOICES),
        ),
        item(
            study,
            "batch-means",
            "Section 2.4",
            "Accuracy: exact, and as a mean over batches",
            _batch_means(study),
            models=list(EVALUATED),
            note="The paper's precision and recall leave one confusion matrix for each row; the exact accuracy and "
            "the batch mean that follow from it stand beside the accuracy that was printed.",
        ),
    )


def _batch_means(study: Study) -> dict:
    rows = []
    for model in EVALUATED:
        implied = paper.implied(model)
        one = implied[0] if len(implied) == 1 else None
        summary = study.summaries.get(model)
        ours = (
            [spread(summary, key) for key in ("accuracy", "batch_mean_accuracy")]
            if summary
            else ["–", "–"]
        )
        gap = (
            summary.mean["batch_mean_accuracy"] - summary.mean["accuracy"] if summary else math.nan
        )
        rows.append(
            [
                model,
                MODELS[model].batch_size,
                cell(f"{paper.SCORES[model]['accuracy']:.1f}", paper=True),
                cell(f"{one.accuracy:.1f}" if one else "–", paper=True),
                cell(f"{one.batch_mean:.1f}" if one else "–", paper=True),
                *ours,
                f"{100 * gap:+.1f}".replace("-", "−") if gap == gap else "–",
            ]
        )
    return table(
        "Test accuracy of the 15 evaluated models, %",
        [
            "Model",
            ">Batch size",
            ">Paper: printed",
            ">Paper: implied, exact",
            ">Paper: implied, batch mean",
            ">Ours: exact",
            ">Ours: batch mean",
            ">Ours: difference",
        ],
        rows,
        sortable=True,
    )


# ---------------------------------------------------------------------------------------------
# beyond accuracy


def beyond(study: Study) -> dict:
    there = [model for model in EVALUATED if model in study.summaries]
    floor = study.baseline
    rows, screening = [], []
    for model in there:
        summary = study.summaries[model]
        rows.append(
            [
                model,
                MODELS[model].family,
                *(_thousandths(summary.mean[key]) for key in RANKING),
                percent(summary.mean["ece"]),
                *(spread(summary, key) for key in ("specificity", "npv")),
            ]
        )
        screening.append(_at_sensitivity(model, summary))
    if there:
        rows.append(
            [
                "–",
                "always pneumonia",
                *(_thousandths(floor[key]) for key in RANKING),
                *(percent(floor[key]) for key in ("ece", "specificity", "npv")),
            ]
        )
    ranking, calibrated = None, None
    if there and floor["tp"] and floor["fp"]:  # with one class there is nothing to rank
        ranking = plot(
            diagnostics.ranking("ranking", "ROC and precision-recall curves", study), "ranking"
        )
    if there:
        calibrated = plot(
            diagnostics.calibration("calibration", "Calibration", study), "calibration"
        )
    return section(
        "beyond",
        "C",
        "Beyond accuracy",
        text(
            "Accuracy and F1 look at one threshold. A ranking shows what other thresholds would give; calibration, "
            "whether a stated 80 % means 80 %; and the prevalence of pneumonia, 7 in 10 here, is far from that of "
            "any clinic, where the predictive values would differ."
        ),
        item(
            study,
            "ranking",
            "Appendix C",
            "How well the models rank images",
            ranking,
            models=list(EVALUATED),
            note="The corner that matters is drawn: false positives up to 40 %, sensitivity and precision from 60 %.",
        ),
        item(
            study,
            "calibration",
            "Appendix C",
            "What a stated probability is worth",
            calibrated,
            models=list(EVALUATED),
            note="On the diagonal, as many images have pneumonia as the model says. An MLP "
            "cannot state less than 50 %. A weighted loss makes pneumonia count less, which understates it.",
        ),
        item(
            study,
            "ranking-scores",
            "Appendix C",
            "Ranking and calibration in figures",
            table(
                "Test split, means over seeds. ECE is the expected calibration error in points",
                [
                    "Model",
                    "Class",
                    ">ROC AUC",
                    ">Average precision",
                    ">Brier",
                    ">ECE",
                    ">Specificity, %",
                    ">NPV, %",
                ],
                rows,
                sortable=True,
            )
            if rows
            else None,
            models=list(EVALUATED),
        ),
        item(
            study,
            "threshold",
            "Appendix C",
            "If no more than 1 in 20 may be missed",
            table(
                "Threshold set on the validation split for a sensitivity of 95 %, then used on the test split, %",
                [
                    "Model",
                    "Class",
                    ">Threshold, probability",
                    ">Sensitivity",
                    ">Specificity",
                    ">NPV",
                    ">Precision",
                ],
                screening,
                sortable=True,
            )
            if rows
            else None,
            models=list(EVALUATED),
            note="NPV: of the images called normal, how many are. The threshold is picked for each run on its own "
            "validation logits; how far the test sensitivity lies from 95 % shows how well it carries over.",
        ),
    )


def _thousandths(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _at_sensitivity(model: str, summary) -> list:
    found = defaultdict(list)
    for run in summary.runs:
        if not finished(run):
            continue
        try:
            threshold = metrics.threshold_at_sensitivity(
                run.logits["validation"], run.labels["validation"], SENSITIVITY
            )
        except ValueError:  # no positive in the validation split
            continue
        shifted = np.where(run.logits["test"] > threshold, 1.0, -1.0)
        scores = metrics.scores(shifted, run.labels["test"])
        found["threshold"].append(100 * expit(threshold))
        for key in ("recall", "specificity", "npv", "precision"):
            found[key].append(100 * scores[key])
    return [
        model,
        MODELS[model].family,
        *(
            plus_minus(found[key], 1)
            for key in ("threshold", "recall", "specificity", "npv", "precision")
        ),
    ]


# -------------------------------------------------------------------------------------------------
# patients


def patients(study: Study) -> dict:
    counted = study.facts.get("patients")
    blocks = [
        text(
            "Several images can show one patient. Where such images lie in the training split and in the "
            "test split, a model can score by knowing the patient. File names carry who is shown, so it can "
            "be counted."
        )
    ]
    if counted:
        rows = []
        for pair, classes in counted["overlap"].items():
            for name in ("all", "NORMAL", "PNEUMONIA"):
                count = classes[name]
                share = 100 * count["shared"] / count["images"] if count["images"] else math.nan
                rows.append(
                    [
                        pair,
                        name.lower(),
                        f"{count['images']:,}",
                        f"{count['shared']:,}",
                        f"{share:.1f}",
                        f"{count['patients']:,}",
                    ]
                )
        blocks.append(
            table(
                "Images of the given split whose patient is in another part too",
                [
                    "Images of … in …",
                    "Class",
                    ">Images",
                    ">With a patient seen there",
                    ">Share, %",
                    ">Patients",
                ],
                rows,
            )
        )
        blocks.append(
            text(
                f"{counted['named']:,} file names carry a patient; {counted['unnamed']:,} do not, and each "
                "such image counts as a patient of its own."
            )
        )
    found = resplits.compare(study.chosen, study.resplits, test_share(study))
    if found:
        names = dict.fromkeys(row.model for row in found)
        runs = [
            run
            for chosen in study.resplits.values()
            for name in names
            for run in chosen.get(name, [])
        ]
        picture = diagnostics.resplits("resplits", "Test scores over re-splits", study, found)
        blocks.append(
            item(
                study,
                "resplits",
                "Appendix D",
                "The same models on other splits of the same images",
                plot(picture, "resplits"),
                _gaps(found),
                runs=runs,
                note="Each dot is one split, the mean over its seeds that learned; dead runs are "
                "counted apart and are in no mean. By image, images are dealt out at random; by "
                "patient, no patient is in two parts. The gap between the two is what knowing the "
                "patient is worth. Splits of the same images are not independent, so the gap's "
                "interval and p come from the corrected resampled t-test (Nadeau and Bengio 2003), "
                "which counts them as fewer. The last column is the gap that a study of this size "
                "would find in four of five cases: a smaller one may be there and go unseen.",
            )
        )
    else:
        blocks.append(
            item(
                study,
                "resplits",
                "Appendix D",
                "The same models on other splits of the same images",
                runs=[],
                missing=["20", "21"],
                needs=["--resplits", "10"],
                asks="This makes some:",
                note="No runs on other splits of these images lie beside this study.",
            )
        )
    return section("patients", "D", "Patients and splits", *blocks)


def _gaps(found: list) -> dict:
    rows = []
    for row in found:
        sides = []
        for protocol in resplits.PROTOCOLS:
            dead, runs = row.dead[protocol]
            values = plus_minus(100 * row.sides[protocol], 1)
            more = f", {dead} of {runs} runs dead" if dead else ""
            sides.append(f"{values} ({len(row.sides[protocol])}{more})")
        interval = f"{_signed(row.gap)} ({_signed(row.low)} to {_signed(row.high)})"
        rows.append(
            [
                row.model,
                "F1" if row.score == "f1" else row.score,
                percent(row.given),
                *sides,
                interval if row.gap == row.gap else "–",
                _thousandths(row.p),
                percent(row.detectable),
                percent(row.paper),
                percent(row.percentile, 0),
            ]
        )
    columns = [
        "Model",
        "Score",
        ">Given split, %",
        ">By image, %",
        ">By patient, %",
        ">Gap, points (95 % interval)",
        ">p",
        ">Gap it could see, points",
        ">The paper's, %",
        ">Re-splits by image below it, %",
    ]
    words = "Mean ± standard deviation over re-splits (their number), over the runs that learned"
    return table(words, columns, rows, sortable=True)


def _signed(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:+.1f}".replace("-", "−")


# --------------------------------------------------------------------------------------------------- errors


def errors(study: Study) -> dict:
    """Which test images are missed, over all finished runs of the evaluated models. No pixels."""
    runs = [
        run
        for model in EVALUATED
        if model in study.summaries
        for run in study.chosen[model]
        if finished(run)
    ]
    title = "Which images are missed"
    if not runs or study.name.split("/")[-1] != "given" or not study.facts:
        return section(
            "errors",
            "E",
            title,
            text("This needs finished runs on the given split and the data's description."),
        )
    labels = runs[0].labels["test"]
    paths = study.facts["paths"][-len(labels) :]
    wrong = np.array([metrics.predictions(run.logits["test"]) != labels for run in runs])
    surety = np.array([metrics.missed(run.logits["test"], labels) for run in runs])
    share, cause = (
        wrong.mean(0),
        [
            "normal" if not label else cause_of(path) or "pneumonia, cause not named"
            for path, label in zip(paths, labels)
        ],
    )
    order = sorted(range(len(labels)), key=lambda i: (-share[i], -surety[:, i].mean(), paths[i]))[
        :MOST_MISSED
    ]
    rows = [
        [
            cell(paths[i].replace("\\", "/").split("/")[-1], code=True),
            cause[i],
            patient(paths[i]) or "–",
            f"{wrong[:, i].sum()} of {len(runs)}",
            f"{100 * surety[wrong[:, i], i].mean():.1f}",
        ]
        for i in order
        if wrong[:, i].any()
    ]
    return section(
        "errors",
        "E",
        title,
        text(
            f"All {len(runs):,} finished runs of the 15 evaluated models look at the same {len(labels)} test "
            f"images: {int((share == 0).sum())} of them no run ever misses, {int((share > 0.5).sum())} are missed "
            f"by more than half of the runs, {int((share == 1).sum())} by all."
        ),
        item(
            study,
            "error-causes",
            "Appendix E",
            "Errors by cause",
            _by_cause(runs, wrong, np.array(cause)),
            runs=runs,
            note="The cause of a pneumonia is read off the file name.",
        ),
        item(
            study,
            "most-missed",
            "Appendix E",
            "The images missed most often",
            table(
                "Test images, those missed by most runs first",
                [
                    "File",
                    "Shown",
                    "Patient",
                    ">Missed by",
                    ">Mean probability of the wrong class, %",
                ],
                rows,
            ),
            runs=runs,
        ),
    )


def _by_cause(runs, wrong, cause) -> dict:
    families = {family: np.array([run.spec.family == family for run in runs]) for family in HUE}
    families = {family: rows for family, rows in families.items() if rows.any()}
    rows = [
        [
            name,
            int((cause == name).sum()),
            *(f"{100 * wrong[mine][:, cause == name].mean():.1f}" for mine in families.values()),
        ]
        for name in sorted(set(cause))
    ]
    return table(
        "Share of test images missed, %, mean over runs",
        ["Shown", ">Images", *(f">{name}" for name in families)],
        rows,
    )


# --------------------------------------------------------------------------------------------------
# weights


def weights(study: Study) -> dict:
    blocks = [
        text(
            "The first layer of a linear model or an MLP has one weight for each pixel, so each unit's "
            "weights are an image of what it looks at: red pushes its output up, blue down, white is 0. Much "
            "of what is seen is the random draw that training started from."
        )
    ]
    for model in LOOKED_AT:
        kept = next((run for run in study.chosen.get(model, []) if run.weights), None)
        if kept is None and model not in ("20", "21"):
            continue
        blocks.append(_weight_item(study, model, kept))
    return section("weights", "F", "What the models look at", *blocks)


def _weight_item(study: Study, model: str, run) -> dict:
    label, title = "Appendix F", f"Model {model} ({MODELS[model].family}): its first layer"
    try:
        found = pictures.weight_pictures(run) if run else None
        note = "No weights were kept beside this study's records. Training a model keeps those of its first seed."
    except pictures.WeightsError:
        found, note = (
            None,
            "The weights that its record names are missing, damaged or those of another model.",
        )
    if found is None:
        return item(
            study,
            f"weights-{model}",
            label,
            title,
            runs=[run] if run else [],
            missing=[model],
            needs=["--force"],
            asks="This trains it again and keeps them:",
            note=note,
        )
    units = images(
        *[
            (
                content,
                f"weights-{model}-{n}",
                f"First-layer weights of unit {n} of model {model} as an image.",
                f"unit {n}, × {weight:+.3f}".replace("-", "−"),
            )
            for n, (content, weight) in enumerate(found["units"], 1)
        ]
    )
    blocks = [units]
    if found["product"]:
        blocks.insert(
            0,
            images(
                (
                    found["product"],
                    f"weights-{model}",
                    f"The two layers of model {model} as one: a weight for each pixel.",
                    f"both layers as one: red speaks for pneumonia; full colour at ±{found['product_limit']:.2g}",
                ),
                wide=True,
            ),
        )
    return item(
        study,
        f"weights-{model}",
        label,
        title,
        *blocks,
        runs=[run],
        missing=[],
        note=f"Seed {seeds([run])}, {run.image_size}×{run.image_size} pixels, averaged over squares. Beneath "
        f"each unit, what its output is multiplied by. Full colour at ±{found['limit']:.2g}. Red under "
        "a positive factor, or blue under a negative one, speaks for pneumonia.",
    )

#!/usr/bin/env python3
"""What needs finished weights, and trains no model.

python scripts/evaluate.py                             baselines and changed films of the study
python scripts/evaluate.py --data FOLDER               its models on labelled films never trained on
python scripts/evaluate.py --data FOLDER --record NAME the same, kept for the report
"""

import argparse
import functools
import re
import time
from types import SimpleNamespace

import options
from options import ROOT, bar, fail, say

THRESHOLD_SCORES = {"recall": "sensitivity", "specificity": "specificity", "precision": "precision"}
THRESHOLD_SCORES |= {"npv": "negative predictive value", "accuracy": "accuracy", "f1": "F1"}


def record_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name of letters, digits, . _ and -")
    return text


def arguments(argv=None) -> argparse.Namespace:
    parser = options.parser(
        "Without --data: make a study's baselines (logistic regression on little of a film) and "
        "test its models on films changed on purpose; what is there is kept. With --data: test "
        "models and baselines on labelled films that none was trained on."
    )
    add = parser.add_argument
    words = "labelled films that no model was trained on, such as another hospital's; as for "
    words += "train.py. Films that they were trained on are known by bytes, pixels or names"
    add("--data", metavar="SOURCE", help=words)
    options.add_choices(parser)
    words = "keep what is found in the study's records, for the report: no pixels, no names"
    add("--record", type=record_name, metavar="NAME", help=words)
    words = "columns of the table that the record keeps beside view, sex and age (in bands)"
    add("--keep", nargs="+", default=(), metavar="COLUMN", help=words)
    words = "where the study's own films lie now (default: where they lay when it was trained)"
    add("--source", metavar="SOURCE", help=words)
    words = "where the study's records lie (default: report/results)"
    default = ROOT / "report" / "results"
    add("--results", type=options.folder, default=default, metavar="DIR", help=words)
    words = "which study, DATA/SPLIT (default: the one trained last)"
    add("--study", metavar="NAME", help=words)
    words = "with --data: these models (default: all whose weights are there; where they are many, "
    words += "those of which the report speaks)"
    add("--model", nargs="+", metavar="ID", help=words)
    add("--skip-unreadable", action="store_true", help="leave unreadable images out")
    add("--force", action="store_true", help="without --data: make again what has a record")
    args = parser.parse_args(argv)
    if args.data is None and (args.record or args.keep or args.model):
        fail("--record, --keep and --model are of films elsewhere: they need --data")
    args.choices = options.choices(args)
    return args


def find_study(args) -> SimpleNamespace:
    """What is known of the study: name, file of records, folder of all else, facts, and load(size,
    split), its films as options.open_source gives them."""
    from xray import results, study

    name, file = next(iter(study.in_order(args.results, args.study).items()))
    facts = results.read_json(file.parent / "data.json")
    about = {"name": name, "file": file, "folder": results.beside(file), "split": file.stem}
    return SimpleNamespace(**about, facts=facts, load=own_films(args, name, facts))


def own_films(args, name: str, facts: dict):
    """load(size, split="given") -> Data of the study's films. Raises DataError where they are not
    at hand; where those in the box are the same, these stand in for them, which is said."""
    from xray import data

    def names(paths):
        return [path.rsplit("/", 1)[-1] for path in paths]

    @functools.cache
    def source():
        where = args.source or facts["source"]
        try:
            load = options.reopened(where, facts.get("options", []))
            if load(8).fingerprint == facts["fingerprint"]:
                return load
            why = f"{where}: not the films of {name}, or changed since"
        except data.DataError as error:
            why = str(error)
        load = options.reopened("films", [])
        if args.source or names(load(8).paths) != names(facts["paths"]):
            raise data.DataError(f"{why}; name the study's films by --source")
        say(f"{why}; the films in the box are the same at 64×64 pixels, and stand in for them")
        return load

    return lambda size, split="given": source()(size, split)


# ---- without --data: the study's own films


def make_baselines(args, study) -> None:
    """The baselines of the study's split and of each re-split with runs, those not there yet."""
    from threadpoolctl import threadpool_limits

    from xray import baselines, results

    resplits = {split for split, _ in results.runs_of(study.file.parent / results.RESPLITS)}
    names = [study.split, *sorted(resplits - {study.split})]
    there = {} if args.force else baselines.read(study.folder)
    todo = [name for name in names if name not in there]
    if not todo:
        say(f"baselines: {len(names)} splits, all there")
        return
    started, films = time.monotonic(), study.load(baselines.SIZE)
    count = len(baselines.BASELINES) + len(baselines.RESPLIT) * len(todo)
    # for such small products two threads take up to 20 times as long
    with threadpool_limits(1), bar(count, "baselines") as shown:
        features = {}
        for name, baseline in baselines.BASELINES.items():
            features[name] = baseline(films.images[:, 0])
            shown.update()
        if study.split in todo:
            header = baselines.headers(map(films.read, range(len(films.labels))))
            features |= {} if header is None else {baselines.HEADER: header}
        for name in todo:
            whole = name == study.split
            there[name] = baselines.of_split(study.load(baselines.SIZE, name), features, whole)
            shown.update(len(baselines.RESPLIT))
    path = baselines.write(study.folder, there)
    say(f"baselines: {len(todo)} splits, {time.monotonic() - started:.0f} s; {path}")


def change_films(args, study) -> None:
    """What the study's weights say of changed test films, where it is not of these weights."""
    import numpy as np

    from xray import changes, predict_weights

    there = predict_weights.with_weights(study.file)
    runs = [there[model] for model in changes.MODELS if model in there] or list(there.values())[:2]
    if not runs:
        say("changed films: no model's weights are there; training one keeps its first seed's")
        return
    every, listed = changes.read(study.folder), ", ".join(run.spec.id for run in runs)
    kept = [] if args.force else every.get(study.split, {}).get("models", [])
    found = {one["weights"]: one["logits"] for one in kept}
    todo = [run for run in runs if run.weights["sha256"] not in found]
    if not todo:
        say(f"changed films: models {listed}, all there")
        return
    started = time.monotonic()
    for size in sorted({run.image_size for run in todo}):
        films, mine = study.load(size, study.split), [r for r in todo if r.image_size == size]
        modules = {run.spec: predict_weights.load_weights(run) for run in mine}
        images, labels = films.test.images[:, 0], films.test.labels
        mean = films.train.images[:, 0].mean(0, dtype=np.float64).round().astype(np.uint8)
        count = len(changes.every(images, labels, mean))
        with bar(count, f"changed films at {size}×{size}") as shown:
            answers = changes.answers(modules, images, labels, mean, shown.update)
        found |= {run.weights["sha256"]: answers[run.spec] for run in mine}
    models = [
        {"model": run.spec.id, "seed": run.seed, "image_size": run.image_size}
        | {"weights": run.weights["sha256"], "logits": found[run.weights["sha256"]]}
        for run in runs
    ]
    path = changes.write(study.folder, every | {study.split: {"labels": labels, "models": models}})
    say(f"changed films: models {listed}, {time.monotonic() - started:.0f} s; {path}")


# ---- with --data: films elsewhere


def films_never_trained_on(args, study):
    """load(size) -> Data of the films, and the rows of it that no model of the study knows."""
    import numpy as np

    from xray import data, external

    load = options.open_source(args, whole=True)
    films = load(8)
    for line in films.facts["taken"]:
        say(line)
    if lacking := [name for name in args.keep if name not in films.table]:
        there = data.listed(films.table.columns, 20)
        fail(f"--keep {data.shown(lacking[0])}: no such column; there is {there}")
    known = external.trained_on(films, study.facts, study.split)
    rows = np.flatnonzero(~np.any(list(known.values()), axis=0))
    if len(rows) < len(films.labels):
        why = ", ".join(f"{count.sum():,} {what}" for what, count in known.items() if count.any())
        share = f"{len(films.labels) - len(rows):,} of {len(films.labels):,} films"
        say(f"{share} are left out, since models were trained on or chosen by them: {why}")
    if set(films.labels[rows]) != {0, 1}:
        raise data.DataError(f"{films.source}: no films of both classes are left to be judged on")
    return load, rows


def shown_runs(args, study) -> list:
    """Of each model all runs with weights that are alike but for the seed."""
    from xray import changes, external, predict_weights, results

    chosen = predict_weights.with_weights(study.file)
    models = args.model or list(chosen)
    lacking = [model for model in models if model not in chosen]
    if lacking or not chosen:
        which = f"weights of {', '.join(lacking) or 'any model'}"
        fail(f"{study.name}: no {which} are there; python scripts/train.py --model ID makes them")
    most = external.MOST_MODELS
    if len(models) > most and not args.model:
        models = [model for model in changes.MODELS if model in chosen] or models[:most]
        say(f"models {', '.join(models)} of {len(chosen)} with weights; others with --model")

    def alike(run):
        return run.spec, run.image_size, run.precision, run.pixel_step

    asked = {alike(chosen[model]) for model in models}
    runs = [run for run in results.load(study.file) if run.weights and alike(run) in asked]
    return [run for run in runs if results.weights_path(run).is_file()]


def evaluate(args, study) -> None:
    """Show the films to the study's models and baselines, say how they did, and record it."""
    from xray import baselines, carry_over, external
    from xray.machine import environment
    from xray.specs import KNOWN

    runs = shown_runs(args, study)
    load, rows = films_never_trained_on(args, study)
    films = load(8)
    labels, table = films.labels[rows], films.table.iloc[rows]
    patients = external.numbers(table.patient)
    say(f"study {study.name}; {len(rows):,} films, {labels.sum():,} with pneumonia")
    say(f"in brackets: 95 % intervals over other {'patients' if patients else 'films'}")
    record = {"split": study.split, "fingerprint": films.fingerprint, "labels": labels}
    record |= {"patients": patients, "columns": external.columns(table, args.keep)}
    record["environment"] = environment("cpu")
    there = recorded(args, study, record) if args.record else []
    record["models"] = [show(run, load(run.image_size).images[rows], record) for run in runs]
    known = baselines.read(study.folder).get(study.split, {}).get("baselines", {})
    header = None
    if baselines.HEADER in known:
        header = baselines.headers(films.read(int(row)) for row in rows)
    own = options.FILMS_SIZE if study.facts.get("kind") == "films" else baselines.SIZE
    images = load(own).images[rows, 0]
    record["baselines"] = baselines.elsewhere(known, images, header)
    for name in (baselines.HEADER, *baselines.RESPLIT):
        if name in record["baselines"]:
            say(f"baseline, {name}: {ranked(record['baselines'][name], record)}")
    record["carry_over"] = carried(study, load(carry_over.SIZE).images[rows, 0], record)
    if args.record:
        shown = {(run.spec.id, run.seed, run.image_size) for run in runs}
        keys = "model", "seed", "image_size"
        stay = [one for one in there if tuple(one[key] for key in keys) not in shown]
        order = list(KNOWN).index
        record["models"] = sorted(stay + record["models"], key=lambda one: order(one["model"]))
        path = external.write(study.folder, args.record, record)
        say(f"{path}; python scripts/report.py shows it")


def show(run, images, record: dict) -> dict:
    """What a run says of films, uint8 (N, 1, S, S), as external.write takes it; how it did is
    said."""
    from xray import equalise, external, predict, predict_weights

    seen = equalise.as_seen(run.spec, images)
    logits = predict.logits(predict_weights.load_weights(run), seen)
    limits = predict_weights.thresholds(run)
    size = f"{run.image_size}×{run.image_size}"
    say(f"model {run.spec.id}, seed {run.seed} at {size}: {ranked(logits, record)}")
    for limit in dict.fromkeys(filter(None, (limits.decision, limits.paper))):
        found = external.scores(logits, record["labels"], limit.logit, record["patients"])
        there = [key for key in THRESHOLD_SCORES if key in found]
        told = ", ".join(f"{THRESHOLD_SCORES[key]} {span(found[key])}" for key in there)
        say(f"  above {limit.probability:.3f} ({limit.name}): {told}")
    about = {"model": run.spec.id, "seed": run.seed, "image_size": run.image_size}
    about |= {"weights": run.weights["sha256"], "temperature": limits.temperature}
    about["cut"] = limits.decision.logit if limits.decision else 0.0
    return about | {"logits": logits}


def recorded(args, study, record: dict) -> list[dict]:
    """The models of an earlier record of the same name, which must be of the same films: those
    whose weights are gone stay in it."""
    from xray import external

    earlier = [one for one in external.read(study.folder) if one["name"] == args.record]
    if any(one[key] != record[key] for one in earlier for key in ("fingerprint", "patients")):
        fail(f"{args.record}: there is a record of other films of that name; choose another")
    return earlier[0]["models"] if earlier else []


def carried(study, others, record: dict) -> list[dict]:
    """What carries over with equal grey levels, said and given; [] where the study's own films are
    not at hand. others: uint8 (N, S, S), S of carry_over."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    from xray import carry_over, data, external

    owners = np.array(record["patients"] or range(len(others)))
    fewest = min(len(set(owners[record["labels"] == label])) for label in (0, 1))
    if fewest < 2 * carry_over.FOLDS:
        say(f"equal grey levels: not tried with fewer than {2 * carry_over.FOLDS} patients a class")
        return []
    try:
        own = study.load(carry_over.SIZE, study.split)
    except data.DataError as error:
        say(f"equal grey levels: not tried, which needs the study's own films; {error}")
        return []
    here = own.images[:, 0], own.labels, own.index
    with threadpool_limits(1):
        found = carry_over.both_ways(*here, others, record["labels"], owners)
    patients = external.numbers(own.table.patient.iloc[own.index["test"]])
    there = record["labels"], record["patients"]
    table = carry_over.areas(found, own.test.labels, patients, *there)
    say("thumbnails of films as they are -> with equal grey levels, AUC where learned; elsewhere:")
    for (learned, cells), pair in table.groupby(["learned", "cells"]):
        plain, equal = pair.sort_values("equalised").itertuples()
        say(
            f"  learned {learned}, {cells}×{cells}: {plain.home:.3f} -> {equal.home:.3f}; "
            f"{plain.away:.3f} -> {equal.away:.3f}, "
            f"gain {span((equal.gain, equal.gain_low, equal.gain_high))}"
        )
    return found


def span(score: tuple[float, float, float]) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(*score)


def ranked(logits, record: dict) -> str:
    """AUC in words."""
    from xray import external

    found = external.scores(logits, record["labels"], 0.0, record["patients"])
    return f"AUC {span(found['roc_auc'])}"


def work(args) -> None:
    study = find_study(args)
    if args.data is not None:
        evaluate(args, study)
        return
    make_baselines(args, study)
    change_films(args, study)


def main(argv=None) -> None:
    options.run(work, arguments(argv))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Train the paper's models on a data source and write one record a run.

python scripts/train.py --model 26b
python scripts/train.py --all --data FOLDER --seeds 0-4
torchrun --nproc-per-node 2 scripts/train.py --all
"""

import functools
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import replace

import options
from options import ROOT, fail, say

from xray import jobs, results
from xray.files import read_json
from xray.specs import CHANGES, EQUALISED, IMAGE_SIZE, MODELS, PLAIN, TABLE_3

# pixels a side: a film as it is scanned; beyond it a typing error is likelier
MAX_IMAGE_SIZE = 4096
RECORD = ROOT / "report" / "results" / "chest-xray-224-d420e3f6"  # the study of record
RANK, RANKS = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))  # torchrun's

note = functools.cache(lambda text: say(f"note: {text}"))  # each is said once
bar = functools.partial(options.bar, shown=RANK == 0)


def arguments(argv=None):
    parser = options.parser("Train the paper's models and write one record a run.")
    what = parser.add_mutually_exclusive_group(required=True)
    words = "one model or several, e.g. 20 21 26b"
    what.add_argument("--model", nargs="+", metavar="ID", help=words)
    words = (
        "the study: 35 models, the learning-rate search of section 3.1, the durations of Fig 28, "
        "and the re-splits"
    )
    what.add_argument("--all", action="store_true", help=words)
    words = (
        "experiments beside the study: an MLP without its last ReLU, image sizes, matched steps, "
    )
    words += "how many of the MLPs' starts are dead"
    what.add_argument("--experiments", action="store_true", help=words)
    words = "try settings for Table 3, of these rows or of all, on validation images alone"
    what.add_argument("--search", nargs="*", metavar="ROW", help=words)
    what.add_argument("--list", action="store_true", help="print the 35 models, and Table 3's")
    add = parser.add_argument
    words = "with --all, Table 3 too: tuned CNNs, with augmentation and early stopping (on a GPU "
    words += "by default)"
    add("--beyond", action="store_true", help=words)
    options.add_source(parser)
    words = (
        f"pixels a side, a multiple of 4 (default: 640; {jobs.CPU_CNN_SIZE} for CNNs without a "
        "GPU). At another size than 640 the layer with one weight per pixel takes (640/S)² times "
        "the learning rate, so that it learns as it does at 640"
    )
    add("--image-size", type=options.count(4, MAX_IMAGE_SIZE), metavar="S", help=words)
    words = "shorten or lengthen the runs (default: the paper's)"
    add("--epochs", type=options.count(1), metavar="N", help=words)
    words = (
        "e.g. 0-4 (default: 0-4 for Linear models, 0-19 for MLPs, of which half learn nothing; 60 "
        "seeds of 5, 8 and 9 and 30 of 6 and 7, whose claims are on that; 0-2 for CNNs and Adam)"
    )
    add("--seeds", type=options.seeds, metavar="LIST", help=words)
    words = "auto, cpu, cuda or cuda:N (default: auto)"
    add("--device", type=options.device, default="auto", metavar="NAME", help=words)
    formats = ("auto", "fp32", "tf32", "bf16")
    words = "auto: bf16 for CNNs on a processor with bf16 instructions, else fp32"
    add("--precision", choices=formats, default="auto", help=words)
    words = "how Linear and MLP models are trained: pixel by pixel, or in sample space "
    words += "(same result)"
    add("--engine", choices=("auto", "direct", "gram"), default="auto", help=words)
    words = (
        "new splits of each kind, by image and by patient, for the models of Figs 20, 23 and 25, "
        f"CNNs where --model names them (default: {jobs.RESPLITS} with --all). Split k has seeds "
        "of its own: k for CNNs, else 3k, or 3k to 3k+2 with --seeds 0-2"
    )
    add("--resplits", type=options.count(0, 1000), metavar="N", help=words)
    words = "keep the weights of each model's first seed, of all runs, or of none"
    add("--weights", choices=("first", "all", "none"), default="first", help=words)
    options.add_out(parser)
    add("--force", action="store_true", help="train again what is finished")
    words = (
        "write the report at the end, with --all also after the models that train in moments and "
        "after the first seed of each other; filling: only on the way, not at the end"
    )
    add("--report", nargs="?", const="end", choices=("end", "filling"), help=words)
    args = parser.parse_args(argv)
    options.choices(args)
    if args.experiments or args.search is not None:
        for name in ("seeds", "epochs", "resplits"):
            if getattr(args, name) is not None:
                fail(f"--{name} is not for --experiments and --search, which have their own")
    if args.image_size and args.image_size % 4:
        fail(f"--image-size {args.image_size} does not fit: it must be a multiple of 4")
    return args


def list_models() -> None:
    for spec in (MODELS | TABLE_3 | EQUALISED).values():
        weighted = "yes" if spec.class_weight else "no "
        than = f"  as {PLAIN[spec.id]}, on equalised films" if spec.equalise else ""
        if spec.id in CHANGES:
            before, change = CHANGES[spec.id]
            than = f"  as {before}, but " + ", ".join(f"{key} {change[key]}" for key in change)
        print(
            f"{spec.id:4} {spec.family:12} layers {spec.hidden_layers}  units "
            f"{spec.hidden_units:2}  kernel {spec.kernel_size or '-'}  weighted {weighted}  "
            f"{spec.optimizer:4} lr {spec.learning_rate:<6g}  epochs {spec.epochs}  batch "
            f"{spec.batch_size}  decay {spec.weight_decay:g}{than}"
        )


def train(args) -> None:
    if args.list:
        return list_models()
    jobs.choose_specs(args.model)  # a wrong word is told before torch is loaded
    args.out.mkdir(parents=True, exist_ok=True)
    from xray import data, engine, experiments, machine, training
    from xray.predict_likeness import learn

    device = machine.pick_device(args.device, note)
    if device == "cpu" and args.precision == "tf32":
        fail("--precision tf32 is a GPU's number format; use fp32 or bf16 on a CPU")
    machine.keep_freed_memory()
    engine.set_precision("fp32" if args.precision == "auto" else args.precision)
    # of several processes each might fall back to films or not
    load = options.open_source(args, alone=RANKS == 1, bar=bar)
    if args.search is not None:
        return search(args, load, device)
    first, study, asked = what_is_asked(args, load, device)
    training.write_facts(study, first, learn, note)
    recorded = [] if args.force else [job for job in asked if job.recorded(note)]
    todo = [job for job in asked if job not in recorded]
    training.clear_leftovers(study.parent, recorded, first, data.cache_folder())
    if RANK == 0:
        announce(study, asked, todo, first, device)
    for size in {job.image_size for job in todo}:  # all is read before anything is trained
        load(size)
    started = time.monotonic()
    done = train_all(args, study, todo, load, device)
    wait_for_ranks()
    if RANK > 0:
        return
    if args.experiments:
        beside, largest = results.beside(study), args.image_size or first.image_size
        for size in experiments.count_starts(beside, load, study.stem, largest, bar=bar):
            say(f"census of starts at {size}×{size}: {beside / experiments.STARTS}")
    others = f", {len(todo) - done} by other processes" if done < len(todo) else ""
    seconds = time.monotonic() - started
    say(f"done: {done} runs in {seconds:.0f} s{others}; records in {study.parent}")
    if args.report == "end":
        code = write_report(args, study)
        say_how_much_is_the_same(study)
        sys.exit(code)


def what_is_asked(args, load, device: str):
    """The data at the largest size asked for, the study's file of records, and the jobs."""
    from xray import experiments, machine

    specs = jobs.choose_specs(args.model, args.epochs, args.beyond or device != "cpu")
    largest = args.image_size or max(jobs.default_size(spec, device) for spec in specs)
    first = load(largest)
    if args.image_size and first.image_size < args.image_size:
        fail(
            f"--data films: these films are {first.image_size}×{first.image_size}; so is the "
            "largest --image-size"
        )
    size = args.image_size or (first.image_size if first.image_size < largest else None)
    place = results.place(args.out, first.phantom) / "results"
    folder = results.data_folder(place, first.name, first.fingerprint)
    split = options.split_of(first, args)
    study = results.records_file(folder, split)
    if args.experiments:
        beside = results.beside(study)
        return first, study, experiments.jobs(beside, len(first.labels), split, size or IMAGE_SIZE)
    usual = jobs.RESPLITS if args.all and split == "given" else 0
    asked = jobs.plan(
        specs,
        folder,
        len(first.labels),
        device,
        seeds=args.seeds,
        image_size=size,
        split=split,
        resplits=usual if args.resplits is None else args.resplits,
        study=args.all,
        engine=args.engine,
        precision=machine.cnn_precision(args.precision, device, note),
        flat_precision="fp32" if args.precision == "auto" else args.precision,
        weights=args.weights,
    )
    if first.facts["patients"]["named"] or split.startswith("patient"):
        return first, study, asked
    known = [job for job in asked if not job.split.startswith("patient")]
    if len(known) < len(asked):
        note("no image's patient is known, so there are no re-splits by patient")
    return first, study, known


def train_all(args, study, todo: list, load, device: str) -> int:
    """Train the jobs, each stage with a report after it where one is asked for -> how many runs
    this process has made."""
    from xray import data, training

    work = functools.partial(
        training.work,
        load=load,
        device=device,
        cache=data.cache_folder(),
        bar=bar,
        note=note,
        again=args.force,
    )
    done, rates = 0, {}
    try:
        for stage, later in in_stages(todo, args.all):
            made = []
            for run in said_by_model(work(stage[RANK::RANKS]), stage[RANK::RANKS]):
                made.append(run)
                done += 1
            rates |= measured(made)
            if later and args.report and RANKS == 1:
                first_alone = next((job for job in later if job.engine == "direct"), None)
                if first_alone and "direct" not in rates:
                    rates["direct"] = training.seconds_a_cost(first_alone, load, device)
                write_report(args, study, in_time(later, jobs.duration(later, rates)))
    except KeyboardInterrupt:
        what = "trains all of them again" if args.force else "goes on where this one stopped"
        say(f"\nstopped: {done} runs written, {len(todo) - done} not; the same command {what}")
        sys.exit(130)
    return done


def search(args, load, device) -> None:
    """Trials of settings for Table 3 that are not on record."""
    from xray import experiments, machine

    if unknown := [row for row in args.search if row not in experiments.TRIED]:
        rows = ", ".join(experiments.TRIED)
        fail(f"--search {unknown[0]}: nothing is tried there; rows are {rows}")
    precision = machine.cnn_precision(args.precision, device, note)
    first = load(experiments.SMALL)
    place = results.place(args.out, first.phantom) / "results"
    split = options.split_of(first, args)
    folder = results.data_folder(place, first.name, first.fingerprint)
    folder = results.beside(results.records_file(folder, split))
    say(f"trials: {len(experiments.trials(folder))} made before; {folder / experiments.SEARCH}")
    try:
        for trial in experiments.search(
            folder, load, split, device, precision, bar=bar, rows=args.search
        ):
            spec = trial["spec"]
            say(
                f"{spec['id']} rate {spec['learning_rate']:g}, decay {spec['weight_decay']:g}, "
                f"augmentation {spec['augment']:g}: "
                f"validation loss {trial['validation_loss']:.4f}, "
                f"accuracy {trial['validation_accuracy']:.1%}, AUC {trial['validation_auc']:.4f} "
                f"({trial['seconds']:.0f} s)"
            )
    except KeyboardInterrupt:
        say("\nstopped; the trials made are kept, and the same command goes on")
        sys.exit(130)


def in_stages(todo: list, study: bool):
    """Yields each stage of the work and what is still to come after it."""
    found = jobs.stages(todo) if study else [todo]
    for number, stage in enumerate(found, 1):
        yield stage, [job for later in found[number:] for job in later]


def measured(runs: list) -> dict[str, float]:
    """Seconds that a unit of cost (jobs.cost) took, engine -> rate."""
    seconds, costs = Counter(), Counter()
    for run in runs:
        seconds[run.engine] += run.environment["seconds"]
        costs[run.engine] += jobs.cost(run.spec, run.image_size)
    return {engine: seconds[engine] / costs[engine] for engine in costs}


def in_time(todo: list, seconds: float | None) -> str:
    """ "214 runs, about 25 minutes"."""
    if seconds is None:
        return f"{len(todo)} runs"
    minutes = max(1, round(seconds / 60))
    if minutes >= 100:
        return f"{len(todo)} runs, about {minutes / 60:.0f} hours"
    return f"{len(todo)} runs, about {minutes} minute{'s' * (minutes > 1)}"


def announce(study, asked: list, todo: list, data, device: str) -> None:
    import torch

    counts = " / ".join(f"{count:,}" for count in data.facts["splits"].values())
    say(f"data: {data.source}, {counts} images (train / validation / test)")
    for line in data.facts["taken"]:
        say(line)
    say(f"study: {study}")
    where = device + f" with {torch.get_num_threads()} threads" * (device == "cpu")
    for size in sorted({job.image_size for job in asked if job.spec.family == "CNN"} - {640}):
        where += f"; CNNs at {size}×{size} with matched steps"
    recorded = len(asked) - len(todo)
    say(
        f"runs: {len(asked)} asked for, {recorded} finished before, {len(todo)} to train on {where}"
    )
    for other in ("bf16", "fp32"):  # as another machine has made them
        fresh = [job for job in todo if job.precision != other]
        there = [job for job in fresh if replace(job, precision=other).recorded()]
        if there:
            note(
                f"in {other} the record has {len(there)} of these already; they are trained again, "
                f"--precision {other} leaves them as they are"
            )


def said_by_model(runs, stage: list):
    """Passes runs on, and says a line of each model when its last one of the stage is there."""

    def group(one):
        return one.spec.id, one.split != "given", one.image_size, one.engine

    awaited, there = Counter(map(group, stage)), defaultdict(list)
    for run in runs:
        there[group(run)].append(run)
        if len(there[group(run)]) == awaited[group(run)]:
            say(in_a_line(there[group(run)]))
        yield run


def in_a_line(runs: list) -> str:
    """ "20: 5 runs, validation accuracy 93.5–93.8 %": of those that tell images apart."""
    splits = len({run.split for run in runs})
    where = f" on {splits} splits" if splits > 1 else ""
    accuracies, alike, diverged = [], 0, 0
    for run in runs:
        counts = run.validation_counts
        if run.status == "diverged":
            diverged += 1
        elif counts["tp"] + counts["fp"] == 0 or counts["tn"] + counts["fn"] == 0:
            alike += 1
        else:
            accuracies.append((counts["tp"] + counts["tn"]) / sum(counts.values()))
    text = f"{runs[0].spec.id}: {len(runs)} run{'s' * (len(runs) > 1)}{where}"
    if accuracies:
        low, high = f"{100 * min(accuracies):.1f}", f"{100 * max(accuracies):.1f}"
        text += f", validation accuracy {low if low == high else f'{low}–{high}'} %"
    text += f"; {alike} learned nothing" * (alike > 0)
    return text + f"; {diverged} diverged" * (diverged > 0)


def wait_for_ranks() -> None:
    """Until all that torchrun started have done their share."""
    if RANKS > 1 and "MASTER_ADDR" in os.environ:
        from datetime import timedelta

        from torch import distributed

        distributed.init_process_group("gloo", timeout=timedelta(days=30))
        distributed.barrier()
        distributed.destroy_process_group()


def write_report(args, study, to_come: str = "") -> int:
    """scripts/report.py on the study just trained; its exit code."""
    if to_come:
        say(f"report of what is there; still to come: {to_come}")
    words = ["--results", study.parent.parent, "--study", f"{study.parent.name}/{study.stem}"]
    words += ["--out", args.out, *(("--data", args.data) if args.data else ())]
    words += ["--to-come", to_come] if to_come else []
    return subprocess.run([sys.executable, ROOT / "scripts" / "report.py", *words]).returncode


def say_how_much_is_the_same(study) -> None:
    """How many verdicts on the paper's claims are those of the study of record, and which are
    not."""
    files = [results.beside(study) / "claims.json", RECORD / "claims.json"]
    if files[0].parent == RECORD or not all(file.exists() for file in files):
        return
    from xray import claims

    same, others = claims.compare(*map(read_json, files))
    say(f"verdicts: {len(same)} of {len(same) + len(others)} are those of {RECORD.name}")
    for name, (ours, theirs) in others.items():
        say(f"  {name}: {ours}; in the study of record: {theirs}")


def main(argv=None) -> None:
    options.run(train, arguments(argv))


if __name__ == "__main__":
    main()

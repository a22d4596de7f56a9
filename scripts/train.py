#!/usr/bin/env python3
"""Train the paper's models on a data source and write one record a run.

python scripts/train.py --model 26b
python scripts/train.py --all --data FOLDER --seeds 0-4
torchrun --nproc-per-node 2 scripts/train.py --all
"""

import argparse
import functools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from xray import packages  # noqa: E402

if problem := packages.problem():
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)

from scripts.console import fail, say  # noqa: E402
from scripts.options import add_choices, choices, count  # noqa: E402
from xray import training_jobs  # noqa: E402
from xray.data_sources import PAPER, DataError  # noqa: E402
from xray.results import ResultsError  # noqa: E402
from xray.specs import MODELS, TABLE_3  # noqa: E402

# pixels a side: a film as it is scanned; beyond it a typing error is likelier
MAX_IMAGE_SIZE = 4096
MAX_SEEDS = 1000


def seeds(text: str) -> list[int]:
    """ "0", "0-4" or "0,3,5-7" as a list of seeds."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a list of seeds such as 0, 0-4 or 0,3,5-7"
            )
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
        if len(found) > MAX_SEEDS:
            raise argparse.ArgumentTypeError(f"{text!r} are more than {MAX_SEEDS} seeds")
    return list(dict.fromkeys(found))


def device_name(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of auto, cpu, cuda, cuda:N")
    return text


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description="Train the paper's models and write one record a run."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    words = "one model or several, e.g. 20 21 26b"
    what.add_argument("--model", nargs="+", metavar="ID", help=words)
    words = (
        "the study: 35 models, the learning-rate search of section 3.1, the durations of Fig 28, "
        "and the re-splits"
    )
    what.add_argument("--all", action="store_true", help=words)
    what.add_argument("--list", action="store_true", help="print the 35 models, and Table 3's")
    add = parser.add_argument
    words = "with --all, Table 3 too: tuned CNNs, with augmentation and early stopping (on a GPU "
    words += "without being asked)"
    add("--beyond", action="store_true", help=words)
    words = (
        "a folder of class folders or of tables, a table, a Hub data set id, or phantom "
        f"(default: {PAPER}; phantoms where the Hub cannot be reached)"
    )
    add("--data", metavar="SOURCE", help=words)
    add_choices(parser)
    words = (
        f"pixels a side, a multiple of 4 (default: 640; {training_jobs.CPU_CNN_SIZE} for CNNs "
        "without a GPU). At another size than 640 the layer with one weight per pixel takes "
        "(640/S)² times the learning rate, so that it learns as it does at 640"
    )
    add("--image-size", type=count(4, MAX_IMAGE_SIZE), metavar="S", help=words)
    words = "shorten or lengthen the runs (default: the paper's)"
    add("--epochs", type=count(1), metavar="N", help=words)
    words = (
        "e.g. 0-4 (default: 0-4 for Linear models, 0-19 for MLPs, of which half learn nothing; 60 "
        "seeds of 5, 8 and 9 and 30 of 6 and 7, whose claims are on that; 0-2 for CNNs and Adam)"
    )
    add("--seeds", type=seeds, metavar="LIST", help=words)
    words = "auto, cpu, cuda or cuda:N (default: auto)"
    add("--device", type=device_name, default="auto", metavar="NAME", help=words)
    formats = ("auto", "fp32", "tf32", "bf16")
    words = "auto: bf16 for CNNs on a processor that multiplies in it, else fp32"
    add("--precision", choices=formats, default="auto", help=words)
    words = "how Linear and MLP models are trained: pixel by pixel, or in sample space "
    words += "(same result)"
    add("--engine", choices=("auto", "direct", "gram"), default="auto", help=words)
    words = (
        "new splits of each kind, by image and by patient, for the models of Figs 20, 23 and 25, "
        "CNNs where --model names them (default: 10 with --all, one seed)"
    )
    add("--resplits", type=count(0, 1000), metavar="N", help=words)
    words = "keep the weights of each model's first seed, of all runs, or of none"
    add("--weights", choices=("first", "all", "none"), default="first", help=words)
    add("--skip-unreadable", action="store_true", help="leave unreadable images out")
    words = "records go to DIR/results, those of phantoms to DIR/phantom/results"
    add("--out", type=Path, default=ROOT / "report", metavar="DIR", help=words)
    add("--force", action="store_true", help="train again what is finished")
    add("--report", action="store_true", help="write the report at the end")
    parser.error = fail
    return parser


def arguments(argv=None) -> argparse.Namespace:
    args = options().parse_args(argv)
    args.choices = choices(args, fail)
    if args.image_size and args.image_size % 4:
        fail(f"--image-size {args.image_size} does not fit: it must be a multiple of 4")
    args.out = args.out.expanduser()  # OUT=~/x reaches us as it is
    return args


def pick_device(args) -> str:
    import torch

    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not torch.cuda.is_available():
        fail(f"--device {device}: no GPU can be used here; use --device cpu")
    if device == "cpu" and args.precision == "tf32":
        fail("--precision tf32 is a GPU's number format; use fp32 or bf16 on a CPU")
    if device == "cuda":
        device = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
    elif device != "cpu" and int(device[5:]) >= torch.cuda.device_count():
        fail(f"--device {device}: there are {torch.cuda.device_count()} GPUs, counted from 0")
    return device


def summary(run) -> str:
    where = f"{run.spec.id} seed {run.seed}"
    where += f", split {run.split}" * (run.split != "given")
    if run.status == "diverged":
        return f"{where}: diverged after {len(run.history['train_loss'])} epochs"
    accuracy, loss = (run.history[f"validation_{key}"][-1] for key in ("accuracy", "loss"))
    how = f"{run.environment['seconds']:.1f} s, {run.engine}"
    return f"{where}: validation accuracy {accuracy:.1%}, loss {loss:.3f} ({how})"


def progress_bars(shown: bool):
    """bar(total, initial, label), drawn on a terminal."""
    from tqdm import tqdm

    look = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"
    style = {"leave": False, "disable": None if shown else True, "bar_format": look}
    return lambda total, initial, label: tqdm(total=total, initial=initial, desc=label, **style)


def announce(jobs: list, recorded: int, todo: int, data, device: str) -> None:
    import torch

    counts = " / ".join(f"{count:,}" for count in data.facts["splits"].values())
    say(f"data: {data.source}, {counts} images (train / validation / test)")
    for line in data.facts["taken"]:
        say(line)
    say(f"study: {jobs[0].file}")
    where = device + f" with {torch.get_num_threads()} threads" * (device == "cpu")
    for size in sorted({job.image_size for job in jobs if job.spec.family == "CNN"} - {640}):
        where += f"; CNNs at {size}×{size} with matched steps"
    say(f"runs: {len(jobs)} asked for, {recorded} finished before, {todo} to train on {where}")


def train(args, specs: list) -> Path:
    """Gives the study's file of records."""
    from xray import data, engine, training
    from xray.predict_likeness import learn
    from xray.training_record import keep_freed_memory, write_facts

    device = pick_device(args)
    keep_freed_memory()
    engine.set_precision("fp32" if args.precision == "auto" else args.precision)
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    rank = int(os.environ.get("RANK", 0)) % ranks
    bar = progress_bars(shown=rank == 0)
    note = functools.cache(lambda text: say(f"note: {text}"))  # each is said once
    desk = training.Desk(device, data.cache_folder(), bar, note, args.force)
    source = args.data or PAPER
    alone = args.data is None and ranks == 1  # of several processes each might fall back or not
    load = training_jobs.open_source(source, args.choices, args.skip_unreadable, alone, bar, say)
    asked = ("seeds", "image_size", "resplits", "engine", "precision", "weights")
    given = {name: getattr(args, name) for name in asked}
    order = training_jobs.Order(
        args.out, device, args.model, split=args.choices.split or "given", **given
    )
    jobs = training_jobs.plan(order, specs, load, note)
    first, study = load(jobs[0].image_size), jobs[0].file
    write_facts(study, first, learn, note)
    recorded = [] if args.force else [job for job in jobs if training_jobs.has_record(job, note)]
    todo = {job.key for job in jobs} - {job.key for job in recorded}
    training.clear_leftovers(jobs, recorded, first, desk.cache)
    if rank == 0:
        announce(jobs, len(recorded), len(todo), first, device)
    left = [job for job in jobs if job.key in todo]
    for size in {job.image_size for job in left}:  # all is read before anything is trained
        load(size)
    mine = training_jobs.share(left, rank, ranks)
    done, started = 0, time.monotonic()
    try:
        for run in training.work(mine, load, desk):
            done += 1
            say(f"[{done}/{len(todo)}] {summary(run)}")
    except training.DeviceError as error:
        fail(str(error))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        what = "trains all of them again" if args.force else "goes on where this one stopped"
        say(f"\nstopped: {done} runs written, {len(todo) - done} not; the same command {what}")
        sys.exit(130)
    if rank == 0:
        others = f", {len(todo) - done} by other processes" if done < len(todo) else ""
        seconds = time.monotonic() - started
        say(f"done: {done} runs in {seconds:.0f} s{others}; records in {study.parent}")
    return study


def write_report(args, study: Path) -> int:
    """scripts/report.py on the study just trained; its exit code."""
    words = ["--results", study.parent.parent, "--study", f"{study.parent.name}/{study.stem}"]
    words += ["--out", args.out, *(("--data", args.data) if args.data else ())]
    return subprocess.run([sys.executable, ROOT / "scripts" / "report.py", *words]).returncode


def unusable(error: OSError, args) -> str:
    """What to say of a file or folder that cannot be used."""
    where = Path(error.filename or args.out)
    ours = where.is_relative_to(args.out) or args.out.is_relative_to(where)
    hint = "choose another with --out" if ours else "set XRAY_CACHE to another folder"
    return f"{where}: cannot be used ({error.strerror or error}); {hint}. What is finished is kept"


def list_models() -> None:
    for spec in (MODELS | TABLE_3).values():
        weighted = "yes" if spec.class_weight else "no "
        print(
            f"{spec.id:4} {spec.family:12} layers {spec.hidden_layers}  units "
            f"{spec.hidden_units:2}  kernel {spec.kernel_size or '-'}  weighted {weighted}  "
            f"{spec.optimizer:4} lr {spec.learning_rate:<6g}  epochs {spec.epochs}  batch "
            f"{spec.batch_size}  decay {spec.weight_decay:g}"
        )


def main(argv=None) -> None:
    sys.stdout.reconfigure(errors="backslashreplace")  # any file name can be said
    args = arguments(argv)
    if args.list:
        list_models()
        return
    try:
        beyond = args.beyond or (args.all and pick_device(args) != "cpu")
        specs = training_jobs.choose_specs(args.model, args.epochs, beyond)
        args.out.mkdir(parents=True, exist_ok=True)
        study = train(args, specs)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nstopped before any training; the same command starts again")
        sys.exit(130)
    except (DataError, ResultsError, training_jobs.OrderError) as error:
        fail(str(error))
    except OSError as error:
        fail(unusable(error, args))
    except MemoryError:
        fail("out of main memory; use a smaller --image-size. What is finished is kept")
    if args.report and int(os.environ.get("RANK", 0)) == 0:
        sys.exit(write_report(args, study))


if __name__ == "__main__":
    main()

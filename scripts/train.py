#!/usr/bin/env python3
"""Train the paper's models on a data source and write one record a run.

python scripts/train.py --model 26b
python scripts/train.py --all --data FOLDER --seeds 0-4
torchrun --nproc-per-node 2 scripts/train.py --all
"""

import argparse
import difflib
import functools
import os
import re
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from xray.data_sources import PAPER as SOURCE  # noqa: E402
from xray.specs import RESPLIT, RESPLIT_CNN  # noqa: E402

CPU_CNN_SIZE = 64  # pixels a side; see the README for the measurement it follows from
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


def count(least: int, most: int = 999_999):
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,6}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {least} to {most}"
            )
        return int(text)

    return parse


def device_name(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of auto, cpu, cuda, cuda:N")
    return text


def arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description="Train the paper's models and write one record a run."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--model", nargs="+", metavar="ID", help="one model or several of the 35, e.g. 20 21 26b"
    )
    what.add_argument(
        "--all",
        action="store_true",
        help="the study: 35 models, the learning-rate search of section "
        "3.1, the durations of Fig 28, and the re-splits",
    )
    what.add_argument("--list", action="store_true", help="print the 35 models")
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="a Hub data set id, a folder of parquet files or of class "
        f"folders, or phantom (default: {SOURCE}; phantoms where the Hub cannot be reached)",
    )
    parser.add_argument(
        "--image-size",
        type=count(4, MAX_IMAGE_SIZE),
        metavar="S",
        help="pixels a side, a multiple "
        f"of 4 (default: 640; {CPU_CNN_SIZE} for CNNs without a GPU). At another size than 640 the layer with one "
        "weight per pixel takes (640/S)² times the learning rate, so that it learns as it does at 640",
    )
    parser.add_argument(
        "--epochs",
        type=count(1),
        metavar="N",
        help="shorten or lengthen the runs (default: the paper's)",
    )
    parser.add_argument(
        "--seeds",
        type=seeds,
        metavar="LIST",
        help="e.g. 0-4 (default: 0-4 for Linear and MLP models "
        "trained by SGD, 0-2 for CNNs, 0 for Adam)",
    )
    parser.add_argument(
        "--device",
        type=device_name,
        default="auto",
        metavar="NAME",
        help="auto, cpu, cuda or cuda:N (default: auto)",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "tf32", "bf16"),
        default="auto",
        help="auto: bf16 for CNNs on a processor that multiplies in it, else fp32",
    )
    parser.add_argument(
        "--engine",
        choices=("auto", "direct", "gram"),
        default="auto",
        help="how Linear and MLP models are trained: pixel by pixel, or in sample space (same result)",
    )
    parser.add_argument(
        "--split",
        choices=("given", "image", "patient"),
        default="given",
        help="the source's split, or a new one of the same sizes by image or by patient",
    )
    parser.add_argument(
        "--split-seed", type=count(0), metavar="N", help="which of the new splits (default: 0)"
    )
    parser.add_argument(
        "--resplits",
        type=count(0, 1000),
        metavar="N",
        help="new splits of each kind, by image and by "
        "patient, for the models of Figs 20, 23 and 25, CNNs where --model names them (default: 10 with "
        "--all, one seed)",
    )
    parser.add_argument(
        "--weights",
        choices=("first", "all", "none"),
        default="first",
        help="keep the weights of each model's first seed, of all runs, or of none",
    )
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave unreadable images out"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "report", metavar="DIR", help="records go to DIR/results"
    )
    parser.add_argument("--force", action="store_true", help="train again what is finished")
    parser.error = fail
    args = parser.parse_args(argv)
    if args.split_seed is not None and args.split == "given":
        fail("--split-seed needs --split image or --split patient")
    args.split_seed = args.split_seed or 0
    if args.resplits and args.split != "given":
        fail("--resplits makes its own splits; leave out --split")
    if args.image_size and args.image_size % 4:
        fail(f"--image-size {args.image_size} does not fit: it must be a multiple of 4")
    if args.data is not None and not args.data.strip():
        fail("--data names no source")
    return args


def fail(message: str):
    print("error: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(2)


def pick_specs(args) -> list:
    """The specs asked for, each once, with --epochs applied."""
    from xray.specs import LEARNING_RATE_SEARCH, MODELS

    known = MODELS | LEARNING_RATE_SEARCH
    for name in args.model or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=4, cutoff=0.3) or list(MODELS)[:4]
            fail(
                f"there is no model {name!r}; the nearest are {', '.join(near)} (--list prints all)"
            )
    specs = [known[name] for name in (dict.fromkeys(args.model) if args.model else known)]
    return [replace(spec, epochs=args.epochs or spec.epochs) for spec in specs]


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


def pick_precision(args, device) -> str:
    """The CNNs' number format: bf16 on a processor with instructions for it, where it takes half
    the time; else fp32.
    """
    import torch

    if args.precision != "auto" or device != "cpu":
        return "fp32" if args.precision == "auto" else args.precision
    able = torch.cpu.get_capabilities()
    if able.get("avx512_bf16") or able.get("amx_bf16"):
        return "bf16"
    say(
        "note: this processor has no bf16 instructions, so CNNs are trained in fp32; that takes about twice as long"
    )
    return "fp32"


def open_source(args, bar):
    """load(image_size, split) -> Data, each size read once; the default source falls back to
    phantoms, said aloud.
    """
    from xray import data

    source = {"name": args.data or SOURCE}

    @functools.cache
    def given(size):
        progress = bar(total=1, initial=0, label=f"decoding images at {size}×{size}")

        def tick(done, total):
            progress.total = total
            progress.update(done - progress.n)

        try:
            found = data.load(
                source["name"], size, skip_unreadable=args.skip_unreadable, progress=tick
            )
        except data.HubUnreachable as error:
            if args.data:
                raise
            say(
                f"{error}\nGoing on with phantoms (synthetic images): nothing that follows is about real radiographs. "
                "For real ones: --data FOLDER"
            )
            source["name"] = "phantom"
            found = data.load("phantom", size, progress=tick)
        progress.close()
        for note in found.notes:
            say(f"note: {note}")
        return found

    @functools.cache
    def load(size, split="given"):
        protocol, _, seed = split.partition("-")
        return data.resplit(given(size), protocol, int(seed or 0))

    return load


def plan(args, specs, load, device) -> list:
    """The jobs of a call, in the order of the paper."""
    from xray import results, samplespace
    from xray.training import Job

    def capable(spec):
        return samplespace.trains_in_sample_space(spec)

    if args.engine == "gram" and args.model and not all(map(capable, specs)):
        wrong = ", ".join(spec.id for spec in specs if not capable(spec))
        fail(f"--engine gram trains Linear and MLP models by SGD; not {wrong}")
    again = (RESPLIT + RESPLIT_CNN) if args.model else RESPLIT
    if args.resplits and not any(spec.id in again for spec in specs):
        fail(f"--resplits are of the models {', '.join(again)}")
    cnn_size = args.image_size or (640 if device != "cpu" else CPU_CNN_SIZE)
    flat_size = args.image_size or 640
    data = load(flat_size if any(spec.family != "CNN" for spec in specs) else cnn_size)
    study = results.data_folder(args.out / "results", data.name, data.fingerprint)

    own = args.split if args.split == "given" else f"{args.split}-{args.split_seed}"
    asked = []  # (spec, seed, split, whether in short)
    for spec in specs:
        several = args.seeds or range(
            3 if spec.family == "CNN" else 5 if capable(spec) and "@" not in spec.id else 1
        )
        asked += [(spec, seed, own, False) for seed in several]
    resplits = (
        args.resplits
        if args.resplits is not None
        else (10 if args.all and args.split == "given" else 0)
    )
    asked += [
        (spec, seed, f"{kind}-{number}", True)
        for spec in specs
        if spec.id in again
        for number in range(resplits)
        for kind in ("image", "patient")
        for seed in args.seeds or [0]
    ]

    cnn_precision = pick_precision(args, device)
    in_sample_space = [spec for spec, *_ in asked if capable(spec)]
    if args.engine != "auto":
        choice = args.engine, "forced"
    elif in_sample_space:
        choice = samplespace.choose_engine(in_sample_space, len(data.labels), flat_size)
    first = {spec.id: seed for spec, seed, *_ in reversed(asked)}
    flat_precision = "fp32" if args.precision == "auto" else args.precision
    jobs = []
    for spec, seed, split, short in asked:
        engine, reason = (
            choice
            if capable(spec)
            else ("direct", f"{spec.optimizer} {spec.family} models always are")
        )
        keep = args.weights == "all" or (args.weights == "first" and seed == first[spec.id])
        size, precision = (
            (cnn_size, cnn_precision) if spec.family == "CNN" else (flat_size, flat_precision)
        )
        jobs.append(
            Job(
                spec,
                seed,
                size,
                split,
                engine,
                reason,
                precision,
                study / split,
                keep and not short,
                short,
            )
        )
    # Fig 28 compares durations: all three by the direct loop, alike
    if args.all and args.engine == "auto":
        jobs += [
            Job(spec, 0, cnn_size, own, "direct", "forced", cnn_precision, study / own, False)
            for spec in specs
            if spec.id in ("27b", "28b")
        ]
    return jobs


def estimated_seconds(job, images: int) -> float:
    """A rough cost, for sharing runs out over ranks and for the order of things: multiply-adds at
    30 G a second.
    """
    spec = job.spec
    if spec.family == "CNN":
        per_pixel = spec.kernel_size**2 * (spec.hidden_units + spec.hidden_units**2 * 1.5)
        return 3 * spec.epochs * images * job.image_size**2 * per_pixel / 3e10
    if job.engine == "direct":
        return 3 * spec.epochs * images * job.image_size**2 * spec.hidden_units / 3e10
    return spec.epochs * images**2 * spec.hidden_units / 3e10


def say(text: str) -> None:
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def describe(run) -> str:
    where = f"{run.spec.id} seed {run.seed}" + (
        f", split {run.split}" if run.split != "given" else ""
    )
    if run.status == "diverged":
        return f"{where}: diverged after {len(run.history['train_loss'])} epochs"
    return (
        f"{where}: validation accuracy {run.history['validation_accuracy'][-1]:.1%}, loss "
        f"{run.history['validation_loss'][-1]:.3f} ({run.environment['seconds']:.1f} s, {run.engine})"
    )


def train(args, specs: list) -> None:
    import torch
    from tqdm import tqdm

    from xray import data, engine, training

    device = pick_device(args)
    engine.keep_freed_memory()
    engine.set_precision("fp32" if args.precision == "auto" else args.precision)
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    rank = int(os.environ.get("RANK", 0)) % ranks

    def bar(total, initial, label):
        return tqdm(
            total=total,
            initial=initial,
            desc=label,
            leave=False,
            disable=None if rank == 0 else True,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}",
        )

    load = open_source(args, bar)
    jobs = plan(args, specs, load, device)
    first = load(jobs[0].image_size)
    study = jobs[0].folder
    write_facts(args, study, first)
    finished = [] if args.force else [job for job in jobs if training.finished(job)]
    todo = {job.record for job in jobs} - {job.record for job in finished}
    training.clear_leftovers(jobs, finished, first, data.cache_folder())
    sizes = sorted({job.image_size for job in jobs if job.spec.family == "CNN"})
    if rank == 0:
        counts = " / ".join(f"{count:,}" for count in first.facts["splits"].values())
        say(f"data: {first.source}, {counts} images (train / validation / test)")
        say(f"study: {study}")
        say(
            f"runs: {len(jobs)} asked for, {len(finished)} finished before, {len(todo)} to train on {device}"
            + f" with {torch.get_num_threads()} threads" * (device == "cpu")
            + "".join(
                f"; CNNs at {size}×{size} with matched steps" for size in sizes if size != 640
            )
        )
    shares = training.assign(
        jobs, [estimated_seconds(job, len(first.labels)) for job in jobs], ranks
    )
    mine = shares[rank]
    # then help the others; forced, what they have finished would be trained again
    if not args.force:
        mine = mine + [job for share in shares[rank + 1 :] + shares[:rank] for job in share]
    done, started = 0, time.monotonic()
    try:
        note = functools.cache(lambda text: say(f"note: {text}"))  # each is said once
        for run in training.work(
            [job for job in mine if job.record in todo],
            load,
            device,
            data.cache_folder(),
            bar,
            note,
            args.force,
        ):
            done += 1
            say(f"[{done}/{len(todo)}] {describe(run)}")
    except training.DeviceError as error:
        fail(str(error))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        what = "trains all of them again" if args.force else "goes on where this one stopped"
        say(f"\nstopped: {done} runs written, {len(todo) - done} not; the same command {what}")
        sys.exit(130)
    if rank == 0:
        others = f", {len(todo) - done} by other processes" if done < len(todo) else ""
        say(f"done: {done} runs in {time.monotonic() - started:.0f} s{others}; records in {study}")


def write_facts(args, study: Path, data) -> None:
    """Say beside the study what its data is, unless that stands there, and which study was worked
    on last.
    """
    from xray import files, results
    from xray.predict_likeness import intensity

    path = study.parent / "data.json"
    known = path.exists()
    if known:
        try:
            results.read_json(path)
        except results.Damaged:
            known = False
            say(f"note: {path} was damaged and is written again")
    if not known:
        seen = {"intensity": intensity(data.train.images)}  # predict.py warns of other images
        results.write_json(path, {"format": results.FORMAT} | data.facts | seen)
    files.write_atomically(
        args.out / "results" / "latest", f"{study.relative_to(args.out / 'results')}\n".encode()
    )


def unusable(error: OSError, args) -> str:
    """What to say of a file or folder that cannot be used."""
    where = Path(error.filename or args.out)
    ours = where.is_relative_to(args.out) or args.out.is_relative_to(where)
    hint = "choose another with --out" if ours else "set XRAY_CACHE to another folder"
    return f"{where}: cannot be used ({error.strerror or error}); {hint}. What is finished is kept"


def main(argv=None) -> None:
    sys.stdout.reconfigure(errors="backslashreplace")  # any file name can be said
    args = arguments(argv)
    if args.list:
        from xray.specs import MODELS

        for spec in MODELS.values():
            print(
                f"{spec.id:4} {spec.family:12} layers {spec.hidden_layers}  units {spec.hidden_units:2}  kernel "
                f"{spec.kernel_size or '-'}  weighted {'yes' if spec.class_weight else 'no ':3}  {spec.optimizer:4} "
                f"lr {spec.learning_rate:<6g}  epochs {spec.epochs}  batch {spec.batch_size}  "
                f"decay {spec.weight_decay:g}"
            )
        return
    try:
        from xray.data_sources import DataError
        from xray.results import ResultsError

        specs = pick_specs(args)
        (args.out / "results").mkdir(parents=True, exist_ok=True)
        train(args, specs)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nstopped before any training; the same command starts again")
        sys.exit(130)
    except (DataError, ResultsError) as error:
        fail(str(error))
    except OSError as error:
        fail(unusable(error, args))
    except MemoryError:
        fail("out of main memory; use a smaller --image-size. What is finished is kept")


if __name__ == "__main__":
    main()

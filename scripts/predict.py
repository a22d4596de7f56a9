#!/usr/bin/env python3
"""The probability of pneumonia for your own radiographs, a decision, and a map of what drove it.

    python scripts/predict.py --model 21 image.png folder
    python scripts/predict.py --json *.dcm
    python scripts/predict.py --model 26b --export 26b.pt2

Research software, no medical device.
"""

import argparse
import json
import os
import re
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RESULTS = ROOT / "report" / "results"
AT_ONCE = 32  # images read, judged and drawn together


def fail(message: str):
    print("error: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(2)


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a probability between 0 and 1, such as 0.3"
        )
    return value


def whole(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="The probability of pneumonia for your own radiographs, a decision, and a map "
        "of what drove it. Research software, no medical device.",
    )
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE", help="image files, or folders of them"
    )
    parser.add_argument(
        "--model",
        metavar="ID",
        help="one of the 35 (default: 26b, or the next best with weights at hand)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        metavar="DIR",
        help="where records and weights lie (default: report/results)",
    )
    parser.add_argument(
        "--study",
        metavar="NAME",
        help="DATA/SPLIT (default: the last one trained that has weights)",
    )
    parser.add_argument("--seed", type=whole, metavar="N", help="of the run (default: the lowest)")
    parser.add_argument(
        "--image-size",
        type=whole,
        metavar="S",
        help="of the run, pixels a side (default: the largest)",
    )
    parser.add_argument(
        "--threshold",
        type=share,
        metavar="P",
        help="call pneumonia what has a probability above P "
        "(default: the one that finds 95%% of pneumonia on the validation images)",
    )
    parser.add_argument(
        "--maps",
        type=Path,
        default=Path("maps"),
        metavar="DIR",
        help="where the maps go, IMAGE-MODEL.png; earlier ones are replaced (default: maps)",
    )
    parser.add_argument("--no-map", action="store_true", help="draw no maps")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="write the model as a torch.export program (.pt2: "
        "float32 images (N, 1, S, S) in 0-1 -> logits) with a model card beside it",
    )
    parser.error = fail
    args = parser.parse_args(argv)
    if not args.images and not args.export:
        fail("name images or folders of them; --help tells more")
    if args.export and args.export.suffix != ".pt2":
        fail(f"--export {args.export}: the name must end in .pt2")
    return args


def read(path: Path, facts: dict, size: int):
    """One image made ready: pixels uint8 (size, size), a thumbnail, warnings; or the reason why it
    cannot be read.
    """
    from xray import inputs, maps, predict
    from xray.data_images import Unreadable, resize

    try:
        gray, chroma = inputs.read(path)
        return SimpleNamespace(
            pixels=resize(gray, size),
            shown=maps.thumbnail(gray),
            reason="",
            warnings=predict.unlike(gray, chroma, facts, size),
        )
    except Unreadable as error:
        return SimpleNamespace(reason=str(error))
    except MemoryError:
        return SimpleNamespace(reason="too large for this machine's memory")


def judge(
    paths: list[Path], chosen, module, rules, folder: Path | None, taken: set[str], fail_one, tick
):
    """Yield a dict for each readable image, in order; folder: where maps go, None for none."""
    import numpy as np
    from scipy.special import expit

    from xray import maps, predict
    from xray.files import write_atomically

    run = chosen.run
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(paths), AT_ONCE):
            part = paths[start : start + AT_ONCE]
            films = list(pool.map(lambda path: read(path, chosen.facts, run.image_size), part))
            for path, film in zip(part, films):
                if film.reason:
                    fail_one(path, film.reason)
                    tick()
            good = [(path, film) for path, film in zip(part, films) if not film.reason]
            if not good:
                continue
            stack = np.stack([film.pixels for _, film in good])[:, None]
            logits = predict.logits(module, stack)
            for row, ((path, film), logit) in enumerate(zip(good, logits.tolist())):
                answers = {
                    key: rule and ("PNEUMONIA" if logit > rule.logit else "NORMAL")
                    for key, rule in rules._asdict().items()
                    if key != "reason"
                }
                found = {
                    "image": str(path),
                    "probability": float(expit(logit)),
                    "logit": logit,
                    "decision": answers["decision"],
                    "decision_paper": answers["paper"],
                    "decision_sensitive": answers["sensitive"],
                    "map": None,
                    "warnings": film.warnings,
                }
                if folder:
                    values, rest = maps.contributions(run.spec, module, stack[row : row + 1])
                    found["contributions"] = {
                        "pixels": float(values.sum(dtype=np.float64)),
                        "rest": float(rest[0]),
                    }
                    target = maps.place(folder, path, run.spec.id, taken)
                    title = (
                        f"model {run.spec.id}: probability of pneumonia {found['probability']:.3f}"
                    )
                    write_atomically(
                        target, maps.draw(film.shown, values[0], title, predict.NOTICE)
                    )
                    found["map"] = str(target)
                yield found
                tick()


def describe(found: dict, rules) -> list[str]:
    """An image's lines."""
    from xray.data_sources import shown

    decision = found["decision"] or "no decision (the model is dead)"
    other = []
    if rules.decision:
        if rules.decision is not rules.paper:
            other.append(f"{found['decision_paper']} at 0.5")
        if rules.sensitive and rules.decision is not rules.sensitive:
            other.append(f"{found['decision_sensitive']} at {rules.sensitive.probability:.3f}")
    line = f"{shown(found['image'])}: probability {found['probability']:.3f}, {decision}"
    line += f" ({', '.join(other)})" * bool(other) + f"; map {shown(found['map'])}" * bool(
        found["map"]
    )
    lines = [line]
    if found["logit"] == 0 and rules.decision:
        lines.append(
            '  its logit is exactly 0: a closed ReLU, which says "not pneumonia" and nothing more'
        )
    return lines + [f"  unlike the training images: {text}" for text in found["warnings"]]


def header(chosen, rules) -> list[str]:
    """What is used, and how it decides."""
    run = chosen.run
    lines = [
        f"model {run.spec.id}, seed {run.seed}, {run.image_size}×{run.image_size} pixels, study {chosen.study}"
    ]
    if run.differs:
        lines.append(f"not the paper's run: {', '.join(run.differs)}")
    if rules.decision:
        lines.append(
            f"decision: pneumonia where the probability is above {rules.decision.probability:.3f} "
            f"({rules.reason})"
        )
    else:
        lines.append(f"decision: {rules.reason}")
    return lines


def plain(value):
    """A value as JSON carries it: nan is null, a name that is no valid text is escaped."""
    from xray.data_sources import shown

    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        return shown(value)
    return value


def main(argv=None) -> int:
    args = arguments(argv)
    from xray import inputs

    paths, problems = inputs.find(args.images, None if args.no_map else args.maps)
    failed = []

    def fail_one(path, reason):
        failed.append({"image": str(path), "reason": reason})
        tqdm.write(f"error: {shown(path)}: {reason}", file=sys.stderr)

    from tqdm import tqdm

    from xray import maps, predict
    from xray.data_sources import shown

    for path, reason in problems:
        fail_one(path, reason)
    if not paths and not args.export:
        return 2
    chosen = predict.choose(
        args.results, args.model, args.study, args.seed, args.image_size, RESULTS
    )
    module = predict.load_weights(chosen.run)
    rules = predict.rules(chosen.run, args.threshold)
    for note in chosen.notes:
        print(f"note: {note}", file=sys.stderr)

    def say(lines):
        if not args.json:
            tqdm.write("\n".join(lines), file=sys.stdout)
            sys.stdout.flush()

    say(header(chosen, rules))
    answers, exported = [], None
    if args.export:
        exported = export(args, chosen, module, rules, paths)
        say(
            [
                f"exported to {shown(exported['file'])}, described in {shown(exported['card'])}; its logits differ from "
                f"PyTorch's by at most {exported['largest_difference']:.1e} on {exported['checked_on']}"
            ]
        )
    folder = None if args.no_map or not paths else args.maps
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    taken = {maps.key(path) for path in paths}
    with tqdm(total=len(paths), desc="images", unit="", leave=False, delay=2, disable=None) as bar:
        for found in judge(paths, chosen, module, rules, folder, taken, fail_one, bar.update):
            answers.append(found)
            say(describe(found, rules))
    if args.json:
        print(
            json.dumps(
                plain(document(chosen, rules, answers, failed, exported)), indent=1, allow_nan=False
            )
        )
    say([predict.NOTICE])
    return 2 if failed else 0


def document(chosen, rules, answers: list, failed: list, exported) -> dict:
    """All of it, for --json."""
    from xray import predict

    run = chosen.run
    thresholds = {
        key: rule and rule._asdict() | {"probability": rule.probability}
        for key, rule in rules._asdict().items()
        if key != "reason"
    }
    return {
        "model": run.spec.id,
        "seed": run.seed,
        "image_size": run.image_size,
        "study": chosen.study,
        "data": run.data,
        "differs_from_paper": run.differs,
        "weights": run.weights,
        "thresholds": thresholds | {"reason": rules.reason},
        "images": answers,
        "failed": failed,
        "exported": exported,
        "notice": predict.NOTICE,
    }


def export(args, chosen, module, rules, paths: list[Path]) -> dict:
    """Write the exported model and its card, checked on the first readable images given, else on
    phantoms.
    """
    import numpy as np

    from xray import data_phantoms, export

    size = chosen.run.image_size
    films = [film for film in (read(path, {}, size) for path in paths[:AT_ONCE]) if not film.reason]
    pixels = [film.pixels for film in films] or [
        data_phantoms.draw(number, number % 2 == 1, size) for number in range(4)
    ]
    worst, card = export.write(chosen, module, rules, np.stack(pixels)[:, None], args.export)
    return {
        "file": str(args.export),
        "card": str(card),
        "largest_difference": worst,
        "checked_on": f"{len(pixels)} {'of the images given' if films else 'phantoms'}",
    }


def run(argv=None) -> int:
    """main, with every error that a person can meet in one line."""
    warnings.simplefilter("ignore")  # Pillow's and pydicom's, on odd metadata
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    from xray.results import ResultsError

    try:
        return main(argv)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        fail(f"{error.filename or 'output'}: {error.strerror or error}")
    except ValueError as error:
        from xray.predict import PredictError

        if not isinstance(error, (PredictError, ResultsError)):
            raise
        fail(error)


if __name__ == "__main__":
    sys.exit(run())

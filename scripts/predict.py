#!/usr/bin/env python3
"""The probability of pneumonia for your own radiographs, a decision, and a map of what drove it.

    python scripts/predict.py --model 21 image.png folder
    python scripts/predict.py --json *.dcm
    python scripts/predict.py --evaluate folder-with-NORMAL-and-PNEUMONIA
    python scripts/predict.py --model 26b --export 26b.pt2

Research software, no medical device.
"""

import argparse
import json
import os
import re
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from xray import packages  # noqa: E402

if problem := packages.problem():
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)

RESULTS = ROOT / "report" / "results"
CHECKED = 32  # images, at most, that an exported model is checked on
ARGUMENTS = []  # what the command was called with


def fail(message: str, code: int = 2):
    """Say what is wrong in one line, with --json as JSON too, and end."""
    from xray.files import shown

    message = shown(" ".join(str(message).split()))
    print(f"error: {message}" if code == 2 else message, file=sys.stderr)
    if "--json" in ARGUMENTS:
        print(json.dumps({"error": message}))
    sys.exit(code)


def probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1:
        why = "is not a probability between 0 and 1, such as 0.3"
        raise argparse.ArgumentTypeError(f"{text!r} {why}")
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
    add = parser.add_argument
    add("images", nargs="*", metavar="IMAGE", help="image files, or folders of them")
    words = "one of the 35, or of Table 3 (default: 36, or the next best with weights at hand)"
    add("--model", metavar="ID", help=words)
    words = "where records and weights lie (default: report/results)"
    add("--results", type=Path, default=RESULTS, metavar="DIR", help=words)
    words = "DATA/SPLIT (default: the last one trained that has weights)"
    add("--study", metavar="NAME", help=words)
    add("--seed", type=whole, metavar="N", help="of the run (default: the lowest)")
    words = "of the run, pixels a side (default: the largest)"
    add("--image-size", type=whole, metavar="S", help=words)
    words = "call pneumonia what has a probability above P (default: the one that finds 95%% of "
    words += "pneumonia on the validation images)"
    add("--threshold", type=probability, metavar="P", help=words)
    words = "where the maps go, IMAGE-MODEL.png; earlier ones are replaced (default: maps)"
    add("--maps", type=Path, default=Path("maps"), metavar="DIR", help=words)
    add("--no-map", action="store_true", help="draw no maps")
    add("--json", action="store_true", help="print JSON, errors too")
    words = "read DICOM files all the same that are tagged as no frontal chest film"
    add("--any", action="store_true", help=words)
    words = "score the model on the images, by the class folders that they lie in"
    add("--evaluate", action="store_true", help=words)
    words = "write the model as a torch.export program (.pt2: float32 images (N, 1, S, S) in 0-1 "
    words += "-> logits) with a model card beside it"
    add("--export", type=Path, metavar="FILE", help=words)
    parser.error = fail
    args = parser.parse_args(argv)
    if not args.images and (args.evaluate or not args.export):
        fail("name images or folders of them; --help tells more")
    if args.export and args.export.suffix != ".pt2":
        fail(f"--export {args.export}: the name must end in .pt2")
    return args


def told(answer: dict, thresholds) -> list[str]:
    """An image's lines."""
    from xray.data_sources import shown

    decision, other = answer["decision"] or "no decision (the model is dead)", []
    decision += ", unsure" * answer["unsure"]
    decides, sensitive = thresholds.decision, thresholds.sensitive
    if decides and decides is not thresholds.paper:
        other.append(f"{answer['decision_paper']} at 0.5")
    if decides and sensitive and decides is not sensitive:
        other.append(f"{answer['decision_sensitive']} at {sensitive.probability:.3f}")
    line = f"{shown(answer['image'])}: probability {answer['probability']:.3f}, {decision}"
    line += f" ({', '.join(other)})" * bool(other)
    line += f"; map {shown(answer['map'])}" * bool(answer["map"])
    if parts := answer["map"] and answer["contributions"]:
        line += f" (sum {parts['pixels']:+.2f}, from {parts['baseline']:.2f})"
    elif reason := answer.get("map_reason"):
        line += f"; no map: {reason}"
    lines = [line]
    if answer["logit"] == 0 and decides:
        says = 'a closed ReLU, which says "not pneumonia" and nothing more'
        lines.append(f"  its logit is exactly 0: {says}")
    return lines + [f"  warning: {text}" for text in answer["warnings"]]


def header(chosen, thresholds) -> list[str]:
    """What is used, and how it decides."""
    from scipy.special import expit

    run = chosen.run
    size = f"{run.image_size}×{run.image_size} pixels"
    lines = [f"model {run.spec.id}, seed {run.seed}, {size}, study {chosen.study}"]
    if run.differs:
        lines.append(f"not the paper's run: {', '.join(run.differs)}")
    decision = thresholds.reason
    if thresholds.decision:
        above = f"{thresholds.decision.probability:.3f} ({thresholds.reason})"
        decision = f"pneumonia where the probability is above {above}"
    lines.append(f"decision: {decision}")
    if thresholds.unsure:
        band = (float(expit(logit / thresholds.temperature)) for logit in thresholds.unsure)
        low, high = (f"{end:.3f}" for end in band)
        why = "where validation films of both classes lie (all but 1 % of each at either end)"
        lines.append(f"unsure: between {low} and {high}, {why}")
    return lines


def told_of_export(exported: dict) -> str:
    from xray.data_sources import shown

    return (
        f"exported to {shown(exported['file'])}, described in {shown(exported['card'])}; its "
        f"logits differ from PyTorch's by at most {exported['largest_difference']:.1e} on "
        f"{exported['checked_on']}"
    )


def document(chosen, thresholds, answers: list, failed: list, exported, evaluated) -> dict:
    """All of it, for --json."""
    from xray.predict import NOTICE

    run = chosen.run
    kept = thresholds._asdict()
    for name in ("paper", "sensitive", "decision"):
        if one := kept[name]:
            kept[name] = one._asdict() | {"probability": one.probability}
    return {
        "model": run.spec.id,
        "seed": run.seed,
        "image_size": run.image_size,
        "study": chosen.study,
        "data": run.data,
        "differs_from_paper": run.differs,
        "weights": run.weights,
        "thresholds": kept,
        "images": answers,
        "failed": failed,
        "evaluated": evaluated,
        "exported": exported,
        "notice": NOTICE,
    }


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
    from tqdm import tqdm

    from xray import predict, predict_inputs, predict_weights
    from xray.data_sources import shown

    answers, failed, exported, evaluated = [], [], None, None

    def fail_one(path, reason):
        failed.append({"image": str(path), "reason": reason})
        tqdm.write(f"error: {shown(path) or repr('')}: {reason}", file=sys.stderr)

    def say(*lines):
        if not args.json:
            tqdm.write("\n".join(lines), file=sys.stdout)
            sys.stdout.flush()

    paths, problems = predict_inputs.find_files(args.images, None if args.no_map else args.maps)
    for path, reason in problems:
        fail_one(path, reason)
    if not paths and not args.export:
        if args.json:
            print(json.dumps(plain({"error": "no image can be read", "failed": failed})))
        return 2
    wanted = args.model, args.study, args.seed, args.image_size
    chosen = predict_weights.choose(args.results, *wanted)
    module = predict_weights.load_weights(chosen.run)
    thresholds = predict_weights.thresholds(chosen.run, args.threshold)
    if args.evaluate:
        from xray import predict_evaluate

        labels = predict_evaluate.labels_of(paths, chosen.facts.get("classes"))
    for note in chosen.notes:
        print(f"note: {note}", file=sys.stderr)
    say(*header(chosen, thresholds))
    if args.export:
        from xray import predict_export

        exported = predict_export.write(chosen, module, thresholds, paths[:CHECKED], args.export)
        say(told_of_export(exported))
    folder = None if args.no_map or not paths else args.maps
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(paths), desc="images", unit="", leave=False, delay=2, disable=None) as bar:
        for answer in predict.answers(paths, chosen, module, thresholds, folder, args.any):
            if "reason" in answer:
                fail_one(answer["image"], answer["reason"])
            else:
                answers.append(answer)
                say(*told(answer, thresholds))
            bar.update()
    if args.evaluate and answers:
        evaluated = predict_evaluate.evaluate(answers, labels, thresholds)
        say(*predict_evaluate.told(evaluated, thresholds))
    if args.json:
        content = plain(document(chosen, thresholds, answers, failed, exported, evaluated))
        print(json.dumps(content, indent=1, allow_nan=False))
    say(predict_weights.NOTICE)
    return 2 if failed else 0


def run(argv=None) -> int:
    """main, with every error that a person can meet in one line."""
    warnings.simplefilter("ignore")  # Pillow's and pydicom's, on odd metadata
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    ARGUMENTS[:] = sys.argv[1:] if argv is None else argv
    from xray.results import ResultsError

    try:
        return main(argv)
    except KeyboardInterrupt:
        fail("stopped", 130)
    except BrokenPipeError:  # the reader of the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        fail(f"{error.filename or 'output'}: {error.strerror or error}")
    except ValueError as error:
        from xray.predict_weights import PredictError

        if not isinstance(error, (PredictError, ResultsError)):
            raise
        fail(error)


if __name__ == "__main__":
    sys.exit(run())

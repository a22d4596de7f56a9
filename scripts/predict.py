#!/usr/bin/env python3
"""The probability of pneumonia for your own radiographs, a decision, and a map of what drove it.

    python scripts/predict.py --model 21 image.png folder
    python scripts/predict.py --json *.dcm
    python scripts/predict.py --model 26b --export 26b.pt2

Research software, no medical device.
"""

import argparse
import json
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import options
from options import ROOT
from tqdm import tqdm

from xray import predict, predict_export, predict_weights
from xray.data_choices import listed
from xray.files import shown


def probability(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1, as 0.3 is")


def arguments(argv: list[str], fail) -> argparse.Namespace:
    parser = options.parser(
        "The probability of pneumonia for your own radiographs, a decision, and a map of what "
        "drove it. Nothing of a film is kept. Research software, no medical device."
    )
    parser.error = fail
    add = parser.add_argument
    add("images", nargs="*", metavar="IMAGE", help="image or DICOM files, or folders of them")
    words = "one of the 35, or of Table 3 (default: of those with weights in the study the one "
    words += "that ranks its validation films best)"
    add("--model", metavar="ID", help=words)
    words = "where records and weights lie (default: report/results)"
    default = ROOT / "report" / "results"
    add("--results", type=options.folder, default=default, metavar="DIR", help=words)
    words = "DATA or DATA/SPLIT (default: the study of your own films that was trained last; where "
    words += "there is none, the study of record)"
    add("--study", metavar="NAME", help=words)
    add("--seed", type=options.count(0), metavar="N", help="of the run (default: the lowest)")
    words = "of the run, pixels a side (default: the largest)"
    add("--image-size", type=options.count(4), metavar="S", help=words)
    words = "call pneumonia what has a probability above P (default: the one that finds 95%% of "
    words += "pneumonia on the validation images)"
    add("--threshold", type=probability, metavar="P", help=words)
    words = "where the maps go, IMAGE-MODEL.png; earlier ones are replaced (default: maps)"
    add("--maps", type=options.folder, default=Path("maps"), metavar="DIR", help=words)
    add("--no-map", action="store_true", help="draw no maps")
    add("--json", action="store_true", help="print JSON, errors too")
    words = "read DICOM files even if their tags call them no frontal chest film"
    add("--any", action="store_true", help=words)
    words = "write the model as a torch.export program (.pt2: float32 images (N, 1, S, S) in 0-1 "
    words += "-> logits) with a model card beside it"
    add("--export", type=options.folder, metavar="FILE", help=words)
    args = parser.parse_args(argv)
    if not args.images and not args.export:
        fail("name images or folders of them; --help tells more")
    if args.export and args.export.suffix != ".pt2":
        fail(f"--export {args.export}: the name must end in .pt2")
    return args


# ---- what is said


def header(chosen, thresholds) -> list[str]:
    """What is used, and how it decides."""
    run, decides, rule = chosen.run, thresholds.decision, thresholds.reason
    if decides:
        rule = f"pneumonia where the probability is above {decides.probability:.3f} ({rule})"
    size = f"{run.image_size}×{run.image_size} pixels"
    lines = [
        f"model {run.spec.id} ({chosen.why}), seed {run.seed}, {size}",
        f"study {shown(chosen.study)}, trained on {shown(run.data['source'])}",
    ]
    if run.differs:
        lines.append(f"not the paper's run: {', '.join(run.differs)}")
    lines.append(f"decision: {rule}")
    if thresholds.unsure:
        low, high = thresholds.probability(thresholds.unsure)
        why = "where validation films of both classes lie (all but 1 % of each at either end)"
        lines.append(f"unsure: between {low:.3f} and {high:.3f}, {why}")
    if thresholds.warning:
        lines.append(f"warning: {thresholds.warning}")
    return lines


def told(answer: dict) -> list[str]:
    """An image's lines."""
    decision = answer["decision"] or "no decision (the model is dead)"
    decision += ", unsure" * answer["unsure"]
    line = f"{shown(answer['image'])}: probability {answer['probability']:.3f}, {decision}"
    if answer["decision"] not in (None, answer["decision_paper"]):
        line += f" ({answer['decision_paper']} at 0.5)"
    line += f"; says model {answer['model']} of {shown(answer['study'])}"
    if answer["map"]:
        line += f"; map {shown(answer['map'])}"
    elif "map_reason" in answer:
        line += f"; no map: {answer['map_reason']}"
    lines = [line]
    if answer["logit"] == 0 and answer["decision"]:
        lines.append("  its logit is exactly 0: the ReLU is closed, and says no more than that")
    return lines + [f"  warning: {text}" for text in answer["warnings"]]


def document(chosen, thresholds, answers: list, failed: list, exported: dict | None) -> dict:
    """All of it, for --json."""
    run, rules = chosen.run, thresholds._asdict()
    for name in ("paper", "sensitive", "decision"):
        rules[name] = rules[name] and rules[name]._asdict()
    return {
        "model": run.spec.id,
        "seed": run.seed,
        "image_size": run.image_size,
        "study": chosen.study,
        "data": run.data,
        "differs_from_paper": run.differs,
        "weights": run.weights,
        "thresholds": rules,
        "images": answers,
        "failed": failed,
        "exported": exported,
        "notice": predict_weights.NOTICE,
    }


def print_json(content: dict) -> None:
    """With null for what is no number."""
    plain = json.loads(json.dumps(content), parse_constant=lambda name: None)
    print(json.dumps(plain, indent=1))


# ---- what is done


def work(args) -> None:
    warnings.simplefilter("ignore")  # Pillow's and pydicom's, on odd metadata
    answers, failed, exported = [], [], None
    maps = None if args.no_map else args.maps

    def say(*lines):
        if not args.json:
            options.say("\n".join(lines))

    def fail_one(path, reason):
        failed.append({"image": str(path), "reason": reason})
        tqdm.write(f"error: {shown(path) or repr('')}: {reason}", file=sys.stderr)

    files = predict.find(args.images, maps)
    for path, reason in files.problems:
        fail_one(path, reason)
    if files.passed_over:
        count, which = len(files.passed_over), listed(files.passed_over, 3)
        how_many = f"{count:,} file{'s' * (count > 1)}"
        print(f"note: ignored, no films: {how_many} ({which})", file=sys.stderr)
    if not files.images and not args.export:
        if args.json:
            print_json({"error": "no image can be read", "failed": failed})
        sys.exit(2)
    wanted = args.model, args.study, args.seed, args.image_size
    chosen = predict_weights.choose(args.results, *wanted)
    module = predict_weights.load_weights(chosen.run)
    thresholds = predict_weights.thresholds(chosen.run, args.threshold)
    for note in chosen.notes:
        print(f"note: {note}", file=sys.stderr)
    say(*header(chosen, thresholds))
    if args.export:
        exported = predict_export.write(chosen, module, thresholds, args.export)
        say(f"exported to {shown(exported['file'])}, described in {shown(exported['card'])}")
    about = chosen, module, thresholds, maps, args.any
    with options.bar(total=len(files.images), label="images") as progress:
        for answer in predict.answers(files.images, *about):
            if "reason" in answer:
                fail_one(answer["image"], answer["reason"])
            else:
                answers.append(answer)
                say(*told(answer))
            progress.update()
    if args.json:
        print_json(document(chosen, thresholds, answers, failed, exported))
    say(predict_weights.NOTICE)
    if failed:
        sys.exit(2)


def main(argv=None) -> None:
    argv = sys.argv[1:] if argv is None else argv

    def fail(message):
        if "--json" in argv:
            print_json({"error": " ".join(shown(message).split())})
        options.fail(shown(message))

    options.run(work, arguments(argv, fail), fail)


if __name__ == "__main__":
    main()

"""Options that scripts share, in the same words and with the same checks: what a person says of a
source where it does not say it itself."""

import argparse
import re

from xray.data_sources import Choices, split_names


def count(least: int, most: int = 999_999):
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,6}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {least} to {most}"
            )
        return int(text)

    return parse


def class_names(text: str) -> tuple[str, ...]:
    names = split_names(text)
    if not names or not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of names such as A or A,B")
    return names


def add_choices(parser: argparse.ArgumentParser) -> None:
    """--positive, --negative, --label, --image, --patient, --split and --split-seed."""
    add, words = parser.add_argument, "the classes of SOURCE that are {}"
    words += ", where their names do not say it (a name with a comma in double quotes)"
    add("--positive", type=class_names, default=(), metavar="A[,B]", help=words.format("pneumonia"))
    add("--negative", type=class_names, default=(), metavar="A[,B]", help=words.format("normal"))
    words = "the column of SOURCE's table that {}, where its name does not say it"
    more = words.format("holds the labels") + "; several of 0 and 1 are the classes themselves"
    add("--label", default="", metavar="NAME", help=more)
    add("--image", default="", metavar="NAME", help=words.format("names the images"))
    add("--patient", default="", metavar="NAME", help=words.format("tells the patients"))
    words = "the source's split, or a new one by image or by patient; "
    words += "what splits a source lacks are made so"
    add("--split", choices=("given", "image", "patient"), default="given", help=words)
    words = "which of the new splits (default: 0)"
    add("--split-seed", type=count(0), metavar="N", help=words)


def choices(args: argparse.Namespace, fail) -> Choices:
    """What `args`, --data among them, say. fail(message): called where they contradict each other
    or name no source."""
    if args.data is not None and not args.data.strip():
        fail("--data names no source")
    if args.split_seed is not None and args.split == "given":
        fail("--split-seed needs --split image or --split patient")
    split = "" if args.split == "given" else f"{args.split}-{args.split_seed or 0}"
    columns = args.label, args.image, args.patient
    return Choices(args.positive, args.negative, split, *columns)

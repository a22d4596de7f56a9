"""What all scripts share: options in the same words and with the same checks, how a line is said,
and how a command ends. To be imported before anything of xray: it makes the package findable and
ends where this Python lacks something."""

import argparse
import functools
import getpass
import os
import re
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from xray import packages  # noqa: E402

if problem := packages.problem():
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)

try:
    getpass.getuser()
except (KeyError, OSError):  # a user id without a name, as in containers; PyTorch asks for one
    os.environ["LOGNAME"] = "nobody"

from xray.data_choices import PAPER, Choices, split_names  # noqa: E402
from xray.files import UserError  # noqa: E402

MAX_SEEDS = 1000
FILMS_SIZE = 64  # pixels a side of the films that come with the project


# ---- talking


def fail(message):
    """Say what is wrong in one line and end: exit code 2 is the user's mistake."""
    print("error: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(2)


def say(text: str) -> None:
    """A line that no progress bar overwrites."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def bar(total, label: str, shown: bool = True):
    """A progress bar, drawn on a terminal alone: an object with update, set_description, close."""
    from tqdm import tqdm

    look = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
    style = {"leave": False, "disable": None if shown else True, "bar_format": look}
    return tqdm(total=total, desc=label, **style)


def run(work, args, tell=fail) -> None:
    """work(args), and how it ends where it cannot go on: in one line by tell(message), which ends
    the process; after Ctrl-C with exit code 130; where nobody reads on (`| head`) without a word.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # any file name can be said
    try:
        work(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("\nstopped; what is finished is kept, the same command goes on")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except UserError as error:
        tell(str(error))
    except OSError as error:
        tell(_unusable(error, getattr(args, "out", None)))
    except MemoryError:
        tell("out of main memory; use a smaller --image-size. What is finished is kept")


def _unusable(error: OSError, out) -> str:
    """What to say of a file or folder that cannot be used. out: where the command writes, or
    None."""
    where, hint = error.filename, ""
    if out is not None:
        place = Path(where or out)
        ours = place.is_relative_to(out) or Path(out).is_relative_to(place)
        hint = "; choose another with --out" if ours else "; set XRAY_CACHE to another folder"
        hint += ". What is finished is kept"
    return f"{where or out or 'a file'}: cannot be used ({error.strerror or error}){hint}"


# ---- options


def parser(description: str) -> argparse.ArgumentParser:
    """An empty one, whose errors are one line."""
    made = argparse.ArgumentParser(allow_abbrev=False, description=description)
    made.error = fail
    return made


def folder(text: str) -> Path:
    return Path(text).expanduser()  # OUT=~/x reaches us as it is


def count(least: int, most: int = 999_999):
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,6}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {least} to {most}"
            )
        return int(text)

    return parse


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


def device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of auto, cpu, cuda, cuda:N")
    return text


def class_names(text: str) -> tuple[str, ...]:
    names = split_names(text)
    if not names or not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of classes such as A or A,B")
    return names


def add_source(parser: argparse.ArgumentParser) -> None:
    """--data, and what a person says of a source where it does not say it itself."""
    words = (
        "a folder of class folders or of tables, a table, a Hub data set id, films (64×64 copies "
        f"that come with the project) or phantom (default: {PAPER}; films where the Hub cannot be "
        "reached)"
    )
    parser.add_argument("--data", metavar="SOURCE", help=words)
    add_choices(parser)
    words = "leave unreadable images out"
    parser.add_argument("--skip-unreadable", action="store_true", help=words)


def add_choices(parser: argparse.ArgumentParser) -> None:
    """--positive, --negative, --label, --image, --patient, --split and --split-seed."""
    add, words = parser.add_argument, "the classes of SOURCE that are {}"
    words += ", where their names do not say it (a name with a comma in double quotes)"
    add("--positive", type=class_names, default=(), metavar="A[,B]", help=words.format("pneumonia"))
    add("--negative", type=class_names, default=(), metavar="A[,B]", help=words.format("normal"))
    words = "the column of SOURCE's table that {}, where its name does not say it"
    more = words.format("holds the labels") + "; several columns of 0 and 1 are the classes"
    add("--label", default="", metavar="NAME", help=more)
    add("--image", default="", metavar="NAME", help=words.format("names the images"))
    add("--patient", default="", metavar="NAME", help=words.format("tells the patients"))
    words = "the source's split, or a new one by image or by patient; "
    words += "splits that a source lacks are made so"
    add("--split", choices=("given", "image", "patient"), default="given", help=words)
    words = "which of the new splits (default: 0)"
    add("--split-seed", type=count(0), metavar="N", help=words)


def choices(args: argparse.Namespace, fail=fail) -> Choices:
    """What `args`, --data among them, say. fail(message): called where they contradict each other
    or name no source."""
    if args.data is not None and not args.data.strip():
        fail("--data names no source")
    if args.split_seed is not None and args.split == "given":
        fail("--split-seed needs --split image or --split patient")
    split = "" if args.split == "given" else f"{args.split}-{args.split_seed or 0}"
    columns = args.label, args.image, args.patient
    return Choices(args.positive, args.negative, split, *columns)


def add_out(parser: argparse.ArgumentParser) -> None:
    words = "records go to DIR/results, those of phantoms to DIR/phantom/results"
    parser.add_argument("--out", type=folder, default=ROOT / "report", metavar="DIR", help=words)


def open_source(args, alone: bool = True, bar=bar, whole: bool = False):
    """load(image_size, split="given") -> Data, of what `add_source` lets a person say: each size is
    read once, all of one source and one content; films that come with the project at FILMS_SIZE
    where a larger one is asked for.

    alone: whether, where the Hub cannot be reached at the first reading and no source is named,
    these films take its place, which is said. whole: see data.load. load raises DataError, also
    where a later reading finds another content.
    """
    from xray import data

    source = {"name": args.data or PAPER}  # and the fingerprint that the first reading finds
    told = set()
    chosen = choices(args)

    @functools.cache
    def given(size):
        if of_the_box(source["name"]) and size > FILMS_SIZE and not whole:
            return given(FILMS_SIZE)
        progress = bar(total=1, label=f"decoding images at {size}×{size}")

        def tick(done, total):
            progress.total = total
            progress.update(done - progress.n)

        how = {"progress": tick, "choices": chosen, "whole": whole}
        try:
            found = data.load(source["name"], size, args.skip_unreadable, **how)
        except data.HubUnreachable as error:
            if args.data or not alone or "fingerprint" in source:
                raise
            why, size_of_films = str(error).partition(";")[0], f"{FILMS_SIZE}×{FILMS_SIZE}"
            say(
                f"{why}: going on with the films that come with the project, {size_of_films} "
                "copies of the paper's; for others: --data FOLDER"
            )
            source["name"] = "films"
            progress.close()
            return given(size)
        progress.close()
        if found.fingerprint != source.setdefault("fingerprint", found.fingerprint):
            raise data.DataError(
                f"{found.source}: changed while it was read; at {size}×{size} pixels it is another "
                "data set, so nothing more is trained; the same command reads it anew"
            )
        for note in dict.fromkeys(found.notes):
            if note not in told:
                say(f"note: {note}")
        told.update(found.notes)
        return found

    @functools.cache
    def load(size, split="given"):
        if whole:
            return given(size)
        protocol, _, seed = split.partition("-")
        return data.resplit(given(size), protocol, int(seed or 0))

    return load


def reopened(source: str, words):
    """open_source of a source and of options as records keep them (data's facts)."""
    made = parser("")
    add_source(made)
    return open_source(made.parse_args(["--data", source, *words]))


def of_the_box(source: str) -> bool:
    """Whether a source names films that come with the project; a folder of that name wins."""
    return source in ("films", "films:elsewhere") and not Path(source).is_dir()


def split_of(data, args) -> str:
    """The split that args ask for; "given" also where a source that lacks splits has had them made
    so."""
    return "given" if data.facts.get("made") else choices(args).split or "given"

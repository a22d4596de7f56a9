"""A source as tests read it: what comes of it, and what is said."""

import shlex

import options
import pytest
from samples import SPLITS, N, pixels

from xray import data
from xray.data_choices import Choices, DataError

ANY = Choices(split="image-0")
# of the films of samples.lay
TRUTH = {n: n % 2 for n in N}
SPLIT = {n: tuple(SPLITS)[n // 2 % 3] for n in N}


def load(source, size: int = 24, **options) -> data.Data:
    return data.load(str(source), size, **options)


def error_of(source, **options) -> str:
    """The one line that reading a source fails with."""
    with pytest.raises(DataError) as caught:
        load(source, **options)
    text = str(caught.value)
    assert "\n" not in text and "Traceback" not in text and len(text) < 2500
    left = list(data.cache_folder().glob("images/.writing-*"))
    assert left == [], "half-built images are left"
    return text


def paste(source, *words) -> tuple[data.Data, list[str]]:
    """What comes of a source where each option that a message offers is pasted, and the
    messages."""
    parser, said, words = options.parser(""), [], ["--split", "image", *words]
    options.add_source(parser)
    while len(said) < 5:
        args = parser.parse_args(["--data", str(source), *words])
        try:
            return load(args.data, choices=options.choices(args)), said
        except DataError as error:
            said.append(str(error))
            start = max(said[-1].rfind("such as --") + 8, said[-1].rfind("with --") + 5)
            words += shlex.split(said[-1][start:].split(" (a class named")[0])
    raise AssertionError(said)


def said(text: str) -> Choices:
    """What options say."""
    parser = options.parser("")
    options.add_source(parser)
    return options.choices(parser.parse_args(shlex.split(text)))


def numbers(found: data.Data) -> list[int]:
    """Which film of `lay` each image shows."""
    of_pixels = {pixels(n).tobytes(): n for n in range(2 * len(N))}
    return [of_pixels[image.tobytes()] for image in found.images]


def labels(found: data.Data) -> dict[int, int]:
    """The label that each film came out with."""
    shown = numbers(found)
    assert len(set(shown)) == len(shown), "a film stands there twice"
    return dict(zip(shown, found.labels.tolist()))


def splits(found: data.Data) -> dict[int, str]:
    """The split that each film came to."""
    shown = numbers(found)
    return {shown[row]: split for split, rows_ in found.index.items() for row in rows_}

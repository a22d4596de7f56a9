"""Files that several processes share: written whole or not at all, or a line at a time under a
lock. The only module that knows of locks, and of how arrays stand in JSON."""

import base64
import json
import os
import secrets
import shutil
import string
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock

ARRAYS = {"<f4", "<f8", "<i8"}  # numpy's names of what arrays hold
DIGITS = string.digits + string.ascii_letters.swapcase() + "!#$%&()*+-;<=>?@^_`{|}~"  # base85
FORMAT = 2  # "format" in JSON files with arrays; before it each kept them in its own way
OLD = 24 * 3600  # seconds after which a file that was never finished is another process's rest


class UserError(ValueError):
    """What a person can put right: one line that says what, where and what to do."""


class ResultsError(UserError):
    """A results folder or record that cannot be used: which, why and what to do."""


def shown(text) -> str:
    """A name as it can stand in a one-line message."""
    text = os.fsencode(str(text)).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def lock(path: Path) -> FileLock:
    """A context in which this process alone holds the lock `path`, a file that is made with the
    folders above it and stays. It dies with its process and works on shared folders. Raises
    OSError."""
    return FileLock(path)


@contextmanager
def writing(path: Path):
    """Yields a path beside `path` where a file or folder is to be written; at the end it is flushed
    to disk (a file) and takes the place of `path`, or is removed where anything failed.

    Raises OSError, with `path` as its filename.
    """
    path = Path(path)
    temporary = path.with_name(f".writing-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if temporary.is_file():
                with open(temporary, "rb") as stream:
                    os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            _remove(temporary)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing. Raises OSError, with `path` as its filename."""
    with writing(path) as temporary:
        temporary.write_bytes(content)


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes left half written in `folder` (not below it) a day ago or
    more."""
    for path in Path(folder).glob(".writing-*"):
        try:
            if time.time() - path.stat().st_mtime > OLD:
                _remove(path)
        except OSError:  # another process has removed it, or it cannot be
            pass


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def packed(array: np.ndarray) -> dict[str, str]:
    """An array (N,) as JSON holds it, exactly: what it is of, and its bytes in zlib and base85, the
    first of all numbers, then the second of all and so on, as those alike shrink side by side."""
    kind = array.dtype.str
    if kind not in ARRAYS:
        raise TypeError(f"an array of {kind} has no place in JSON")
    columns = np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize).T
    return {kind: base64.b85encode(zlib.compress(columns.tobytes(), 9)).decode()}


def unpacked(found: dict):
    """The array of what `packed` gave; other dicts as they are. Raises ValueError."""
    [kind] = found if len(found) == 1 else [None]
    if kind not in ARRAYS:
        return found
    try:
        content = zlib.decompress(_decoded(found[kind]))
    except (TypeError, zlib.error) as error:
        raise ValueError(error) from None
    columns = np.frombuffer(content, np.uint8).reshape(np.dtype(kind).itemsize, -1)
    return columns.T.copy().view(kind).ravel()


def _decoded(text: str) -> bytes:
    """As base64.b85decode, in a tenth of its time: a study has megabytes of it. A sign that is no
    digit counts as 0, which zlib's checksum finds."""
    values = np.zeros(256, np.int64)
    values[list(DIGITS.encode())] = np.arange(85)
    missing = -len(text) % 5
    digits = np.frombuffer((text + DIGITS[-1] * missing).encode(), np.uint8)
    content = (values[digits].reshape(-1, 5) @ 85 ** np.arange(4, -1, -1)).astype(">u4").tobytes()
    return content[: len(content) - missing]


def _json(value, **style) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=packed, **style)


def write_json(path: Path, payload: dict) -> None:
    """Write a dict as JSON, one key a line; whole or not at all. Raises OSError."""
    lines = [f"{json.dumps(key)}: {_json(value)}" for key, value in payload.items()]
    write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def read_json(path: Path, format: int = 0) -> dict:
    """Read what write_json wrote. format: which it must say, where any. Raises ResultsError."""
    try:
        payload = json.loads(Path(path).read_bytes(), object_hook=unpacked)
    except OSError as error:
        raise ResultsError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict) or payload.get("format", 0) != format:
        raise ResultsError(
            f"{shown(path)}: damaged or no record of this version; delete it and make it again"
        )
    return payload


def append_line(path: Path, payload: dict, unless: int = 0) -> bool:
    """Add a dict to a file as one line of JSON; what a killed process left of a line is dropped.

    unless: the line is not added where there is one with the same first `unless` keys and values.
    Gives whether it was. Raises OSError, with `path` as its filename.
    """
    path = Path(path)
    first = dict(list(payload.items())[:unless])
    start = b"\n" + _line(first)[:-2] + b","  # more follows where the brace was
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path.with_name(f".{path.name}.lock")), open(path, "a+b") as stream:
            stream.seek(0)
            whole, last = _split_last(stream.read())
            if first and start in b"\n" + whole + (last or b""):
                return False
            if last is None:
                stream.truncate(len(whole))
            elif last:
                stream.write(b"\n")
            stream.write(_line(payload))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    return True


def _line(payload: dict) -> bytes:
    return f"{_json(payload, separators=(',', ':'))}\n".encode()


def _split_last(content: bytes) -> tuple[bytes, bytes | None]:
    """All lines that have an end, and the last that has none: b"" without one, None where it is no
    whole JSON."""
    end = content.rfind(b"\n") + 1
    try:
        json.loads(content[end:] or b"{}")
    except ValueError:
        return content[:end], None
    return content[:end], content[end:]


def read_lines(path: Path, note=None) -> list[dict]:
    """What append_line wrote. note(text): told of a last line that was written by half, which is
    left out. Raises ResultsError where another line is no JSON."""
    try:
        whole, last = _split_last(Path(path).read_bytes())
    except OSError as error:
        raise ResultsError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    if last is None and note:
        note(f"{shown(path)}: its last line is cut off (its process was stopped) and is left out")
    found = []
    for number, line in enumerate((whole + (last or b"")).splitlines(), 1):
        try:
            found.append(json.loads(line, object_hook=unpacked))
        except (ValueError, RecursionError):
            found.append(None)
        if not isinstance(found[-1], dict):
            raise ResultsError(
                f"{shown(path)}, line {number}: damaged; delete this line and make it again"
            )
    return found

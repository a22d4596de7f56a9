"""Files that several processes share: written whole or not at all, or a line at a time under a
lock. The only module that knows of locks."""

import json
import os
import secrets
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

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


def write_json(path: Path, payload: dict) -> None:
    """Write a dict as JSON, one key a line; whole or not at all. Raises OSError."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
        for key, value in payload.items()
    ]
    write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def read_json(path: Path) -> dict:
    """Read what write_json wrote. Raises ResultsError."""
    try:
        payload = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ResultsError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise ResultsError(f"{shown(path)}: damaged or not a record; delete it and make it again")
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
    compact = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
    return f"{json.dumps(payload, **compact)}\n".encode()


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
        note(f"{shown(path)}: its last line is cut off, its process was stopped; it is left out")
    found = []
    for number, line in enumerate((whole + (last or b"")).splitlines(), 1):
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            found.append(None)
        if not isinstance(found[-1], dict):
            raise ResultsError(
                f"{shown(path)}, line {number}: damaged; delete this line and make it again"
            )
    return found

"""JSON that is written whole, carries its checksum and is checked when read.

Files of one object, and files of one object a line that several processes add to.
"""

import hashlib
import json
import os
from pathlib import Path

from xray import files

FORMAT = 1


class ResultsError(ValueError):
    """A results folder or a record that cannot be used: the message names it, says why and what to
    do.
    """


class Damaged(ResultsError):
    """A file that was cut off or altered."""


def _checksum(payload: dict) -> str:
    return hashlib.sha256(
        json.dumps(payload, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()


def write_json(path: Path, payload: dict) -> None:
    """Write a dict as JSON, one key a line, with its checksum as the last key; atomic."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
        for key, value in (payload | {"checksum": _checksum(payload)}).items()
    ]
    files.write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def read_json(path: Path) -> dict:
    """Read what write_json wrote. Raises ResultsError where it is cut off, not JSON, of a later
    format, or altered.
    """
    path = Path(path)
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
        checksum = payload.pop("checksum")
        version = payload["format"]
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Damaged(f"{path}: damaged or not a record; delete it and train again") from None
    if version != FORMAT:
        raise ResultsError(
            f"{path}: written in format {version!r}, this program reads {FORMAT}; "
            "update the program"
        )
    if checksum != _checksum(payload):
        raise Damaged(
            f"{path}: its checksum does not match, it was altered or damaged; delete it and "
            "train again"
        )
    return payload


def append_line(path: Path, payload: dict) -> None:
    """Add a dict to a file as one line of JSON with its checksum. Raises OSError.

    A line that a killed process left unfinished is closed first; read_lines passes over it.
    """
    payload = {"format": FORMAT} | payload
    payload |= {"checksum": _checksum(payload)}
    line = json.dumps(payload, ensure_ascii=False, allow_nan=False)
    path = Path(path)
    try:
        with files.lock(path.with_name(f".{path.name}.lock")), open(path, "a+b") as stream:
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
                line = line if stream.read(1) == b"\n" else "\n" + line
            stream.write(f"{line}\n".encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def read_lines(path: Path) -> list[dict]:
    """What append_line wrote, without format and checksum; lines that were cut off are passed over.
    Raises ResultsError where a line was altered or is of another format.
    """
    found = []
    for number, line in enumerate(Path(path).read_bytes().split(b"\n"), 1):
        try:
            payload = json.loads(line)
            checksum = payload.pop("checksum")
        except (ValueError, KeyError, AttributeError):
            continue  # blank, or cut off
        if checksum != _checksum(payload):
            raise Damaged(
                f"{path}: the checksum of line {number} does not match; delete the line and "
                "train again"
            )
        if payload.pop("format") != FORMAT:
            raise ResultsError(
                f"{path}: line {number} is of another format than {FORMAT}; update the program"
            )
        found.append(payload)
    return found

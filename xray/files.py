"""Files that several processes share: written whole or not at all, locked, checksummed where they
hold JSON, and cleared of what killed processes left behind. The only module that knows of locks."""

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

POLL = 0.02  # seconds between tries at a lock that another process has
PATIENCE = 0.1  # the same for a claim, which may last for hours
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def shown(text) -> str:
    """A name as it can stand in a one-line message."""
    text = os.fsencode(str(text)).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def lock(path: Path, wait: bool = True):
    """Yields True while this process alone holds the lock, False where another has it (never with
    wait).

    It dies with its process and works on shared folders. Its file is made with the folders above
    it and removed when it is let go of. Where a file system has no locks, a file that names the
    process stands for one (filelock.SoftFileLock); one killed on another machine has to be removed
    by hand. Raises OSError.
    """
    path = Path(path)
    held = _acquire(path, wait)
    try:
        yield held is not None
    finally:
        if held:
            # removed while it is held: who locks it now finds it gone, and filelock tries again
            path.unlink(missing_ok=True)
            held.release()


def _acquire(path: Path, wait: bool) -> FileLock | SoftFileLock | None:
    options = {"blocking": wait, "poll_interval": POLL, "thread_local": False}
    try:
        native = FileLock(path, fallback_to_soft=False, **options)
        native.acquire()
        return native
    except Timeout:
        return None
    except OSError as error:
        if error.errno == errno.ESTALE:  # removed on another machine in this moment
            return _acquire(path, wait)
        if error.errno not in NO_LOCKS:
            raise
    try:
        soft = SoftFileLock(f"{path}.soft", **options)
        soft.acquire()
        return soft
    except Timeout:
        return None


@contextmanager
def writing(path: Path):
    """Yields a path beside `path` where a file or folder is to be written; at the end it is flushed
    to disk (a file) and takes the place of `path`, or is removed where anything failed.

    Raises OSError, with `path` as its filename.
    """
    path = Path(path)
    temporary = path.with_name(f".writing-{secrets.token_hex(8)}")
    try:
        with lock(path.with_name(f"{temporary.name}.lock")):
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
    """Remove what killed processes left in `folder` (not below it): half-written files and folders,
    and lists of claims. Each has a lock beside it, which nobody holds any more."""
    folder = Path(folder)
    left = [path for name in (".writing-*", ".claims-*") for path in folder.glob(name)]
    for name in {path.name.split(".lock")[0] for path in left}:
        # OSError: it cannot be removed
        with suppress(OSError), lock(folder / f"{name}.lock", wait=False) as free:
            if free:
                _remove(folder / name)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# ---- claims: locks by the thousand, for one open file a process


_claims: dict[Path, tuple] = {}  # folder -> this process's list, the lock on it, the names it holds


@contextmanager
def claim(folder: Path, name: str, wait: bool = True):
    """Yields True while this process alone holds a name (one line of text) in a folder, False where
    it is held already (never with wait).

    Each process lists what it takes and lets go of in a file of the folder, which is locked, and is
    there, as long as it holds any name; so a process that dies lets go of all. Raises OSError.
    """
    folder = Path(folder)
    while not (got := _take(folder, name)) and wait:
        time.sleep(PATIENCE)
    try:
        yield got
    finally:
        if got:
            _let_go(folder, name)


def _take(folder: Path, name: str) -> bool:
    with lock(folder / ".claims.lock"):
        clear_leftovers(folder)
        if any(_holds(path, name) for path in folder.glob(".claims-*") if not path.suffix):
            return False
        if folder not in _claims:
            own = folder / f".claims-{secrets.token_hex(8)}"
            held = lock(own.with_suffix(".lock"))
            held.__enter__()
            _claims[folder] = own, held, set()
        own, _, names = _claims[folder]
        names.add(name)
        _add_line(own, name)
        return True


def _holds(path: Path, name: str) -> bool:
    """Whether a list names it once more often than its process has let go of it."""
    try:
        return path.read_text(encoding="utf-8").splitlines().count(name) % 2 == 1
    except FileNotFoundError:  # its process has died
        return False


def _let_go(folder: Path, name: str) -> None:
    with lock(folder / ".claims.lock"):
        own, held, names = _claims[folder]
        names.remove(name)
        if names:
            _add_line(own, name)
        else:
            own.unlink(missing_ok=True)
            held.__exit__(None, None, None)
            del _claims[folder]


def _add_line(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(f"{text}\n")


FORMAT = 1
LARGEST_RECORD = 500_000_000  # bytes


class ResultsError(ValueError):
    """A results folder or record that cannot be used: which, why and what to do."""


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
    write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def _check(payload: dict, where: str) -> None:
    """Raises ResultsError where it is of another format, Damaged where its checksum differs."""
    version, checksum = payload["format"], payload["checksum"]
    if version != FORMAT:
        raise ResultsError(
            f"{where}: written in format {version!r}, this program reads {FORMAT}; "
            "update the program"
        )
    try:
        right = checksum == _checksum({key: payload[key] for key in payload if key != "checksum"})
    except ValueError:  # half a character, which no text of ours holds
        right = False
    if not right:
        raise Damaged(
            f"{where}: its checksum does not match, it was altered or damaged; delete it and "
            "train again"
        )


def _content(path: Path) -> bytes:
    """What a file holds, where it is a file (a pipe would never end) and not absurdly large."""
    if not path.is_file() and path.exists():
        raise OSError(errno.EINVAL, "not a file", str(path))
    if path.stat().st_size > LARGEST_RECORD:
        raise OSError(errno.EFBIG, "too large for a record", str(path))
    return path.read_bytes()


def read_json(path: Path) -> dict:
    """Read what write_json wrote. Raises ResultsError: cut off, not JSON, later format, altered."""
    path = Path(path)
    try:
        payload = json.loads(_content(path).decode())
        whole = {"checksum", "format"} <= payload.keys()
    except OSError as error:
        raise ResultsError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    except (ValueError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise Damaged(f"{shown(path)}: damaged or not a record; delete it and train again")
    _check(payload, shown(path))
    del payload["checksum"]
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
        with lock(path.with_name(f".{path.name}.lock")), open(path, "a+b") as stream:
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
    Raises ResultsError where a line was altered or is of another format."""
    found = []
    for number, line in enumerate(_content(Path(path)).split(b"\n"), 1):
        try:
            payload = json.loads(line)
        except (ValueError, RecursionError):
            continue  # blank, or cut off
        if not isinstance(payload, dict) or not {"checksum", "format"} <= payload.keys():
            raise Damaged(f"{shown(path)}, line {number}: not a record; delete it and train again")
        _check(payload, f"{shown(path)}, line {number}")
        del payload["checksum"], payload["format"]
        found.append(payload)
    return found

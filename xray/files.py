"""Files that several processes share: written whole or not at all, locked, and cleared of what
killed processes left behind. The only module that knows of locks."""

import errno
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
    and lists of claims. Each has a lock beside it, which nobody holds any more.
    """
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

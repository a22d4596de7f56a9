"""Data sets of the Hub, asked and fetched with huggingface_hub: its proxies, certificates, tokens
and cache are used, and HF_HUB_OFFLINE holds. What is fetched is read as any folder is."""

import errno
import os
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from xray.data_folders import folder_source
from xray.data_sources import INSTEAD, PAPER, DataError, HubUnreachable, Source
from xray.data_tables import errors, quiet_hub

CONVERTED = "refs/convert/parquet"  # the Hub's own copy of each data set as parquet files
TOPS = ("full", "default")  # of several configurations the one to take
HUB_SECONDS = 10  # how long the Hub may take to answer at all


def hub_source(given: str, seconds: float = HUB_SECONDS) -> Source:
    """What a Hub id names, or where the Hub cannot be asked, what was fetched of it before. Raises
    HubUnreachable with the reason, and DataError where there is no such data set."""
    note = ""
    with quiet_hub():
        try:
            revision, commit, top = _ask(given, seconds)
        except HubUnreachable as error:
            revision, folder, top = _fetched(given, error)
            commit, why = folder.name, str(error).split(INSTEAD)[0]
            note = f"{why}; what was fetched from it before is used"

    def open_(temporary, image_size):
        with quiet_hub(), errors(given, "cannot be fetched from the Hub"), _unreachable(given):
            place = folder if note else _fetch(given, revision, top)
        if place.name != commit:
            raise DataError(f"{given}: changed on the Hub in this moment; start again")
        return folder_source(given, place / top).open(temporary, image_size)

    identity = {"kind": "hub", "id": given, "commit": commit}
    return Source(given.split("/")[1], "hub", identity, open_, note=note)


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


@contextmanager
def _unreachable(given: str):
    """Turns what may be otherwise tomorrow into HubUnreachable, with the reason."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
        return
    except DataError:
        raise
    except Exception as error:
        # snapshot_download wraps what stopped it
        while error.__cause__ is not None and not isinstance(error, HfHubHTTPError):
            error = error.__cause__
        if isinstance(error, OfflineModeIsEnabled):
            reason = "HF_HUB_OFFLINE is set"
        elif isinstance(error, HfHubHTTPError):
            code = error.response.status_code
            if code != 429 and code < 500:
                raise error from None
            reason = f"it answers {code}"
        elif getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EACCES):
            raise  # the disk's fault
        else:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
    raise HubUnreachable(f"{given}: the Hub ({_endpoint()}) cannot be reached ({reason}){INSTEAD}")


def _ask(given: str, seconds: float) -> tuple[str | None, str, str]:
    """(revision, its commit, folder in it) to read: main where it holds parquet files, else the
    Hub's copy as parquet files where that is whole, else main."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def look(revision):
        def ask():
            about = {"revision": revision, "timeout": seconds}
            return HfApi(endpoint=_endpoint()).dataset_info(given, **about)

        with _unreachable(given):
            info = _in_time(ask, seconds)
        files = [sibling.rfilename for sibling in info.siblings or []]
        tops = {name.split("/")[0] for name in files if "/" in name}
        return (revision, info.sha, next((top for top in TOPS if top in tops), "")), files

    try:
        if given.lower() == PAPER:
            return look(CONVERTED)[0]
        main, files = look(None)
        if any(name.endswith(".parquet") for name in files):
            return main
        try:
            converted, files = look(CONVERTED)
        except RevisionNotFoundError:
            return main
        return main if any("/partial-" in name for name in files) else converted
    except GatedRepoError:
        why = "the Hub gives it to those who accept its conditions there; then set HF_TOKEN"
    except RepositoryNotFoundError:
        why = "no such folder, and no such data set on the Hub (or it needs a login: set HF_TOKEN)"
    except HfHubHTTPError as error:
        why = f"the Hub refuses it: {' '.join(str(error).split())[:150]}"
    raise DataError(f"{given}: {why}")


def _fetch(given: str, revision: str | None, top: str, local: bool = False) -> Path:
    """The folder, named after its commit, that holds a revision's files under `top`."""
    from huggingface_hub import snapshot_download, utils

    if not sys.stderr.isatty():  # on a terminal it shows how far it is
        utils.disable_progress_bars()
    how = {"allow_patterns": f"{top}/**" if top else None, "local_files_only": local}
    place = snapshot_download(
        given, repo_type="dataset", revision=revision, endpoint=_endpoint(), **how
    )
    return Path(place)


def _fetched(given: str, error: HubUnreachable) -> tuple[str | None, Path, str]:
    """(revision, folder, folder in it) of what huggingface_hub's cache holds whole. Raises the
    error where it holds nothing."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    for revision in (CONVERTED,) if given.lower() == PAPER else (None, CONVERTED):
        for top in (*TOPS, ""):
            with suppress(LocalEntryNotFoundError):  # where it is incomplete, too
                place = _fetch(given, revision, top, local=True)
                if (place / top).is_dir():
                    return revision, place, top
    raise error


def _in_time(ask, seconds: float):
    """ask(), but no longer: a name server's own wait cannot be limited otherwise."""
    answers = []

    def keep():
        try:
            answers.append((ask(), None))
        except BaseException as error:
            answers.append((None, error))

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        raise TimeoutError(f"no answer in {seconds:g} s")
    answer, error = answers[0]
    if error:
        raise error
    return answer

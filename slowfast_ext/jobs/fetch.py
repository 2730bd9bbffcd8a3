"""A video of a URL as a file of this machine, for as long as it is needed."""

import contextlib
import errno
import http.client
import importlib
import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

from slowfast_ext.files import reason_of
from slowfast_ext.jobs.names import is_url, public_name
from slowfast_ext.video import VideoError
from vtn.errors import InputError

_WEB = ("http", "https")
_TIMEOUT, _TRIES, _PIECE = 30.0, 3, 2**20
_WAIT = 1.0  # seconds before the second try; twice as long before each further one
_PASSING = {408, 425, 429, 500, 502, 503, 504}


def require_schemes(schemes: Sequence[str]) -> None:
    """Refuse URLs for which nothing is installed.

    Raises:
        InputError: Says what to install.
    """
    for scheme in schemes:
        if scheme not in _WEB:
            try:
                importlib.import_module("fsspec").get_filesystem_class(scheme)
            except (ImportError, ValueError) as error:
                raise InputError(f"videos at {scheme}:// cannot be read: {error}") from None


@contextlib.contextmanager
def local_file(name: str) -> Iterator[str]:
    """The path of a video; that of a URL is fetched, and gone afterwards.

    Raises:
        VideoError: If it cannot be fetched; says why, without credentials.
        InputError: If there are no credentials to ask with.
    """
    if not is_url(name):
        yield name
        return
    parts = urlsplit(name)
    with _temporary_folder() as folder:
        path = os.path.join(folder, "video" + PurePosixPath(unquote(parts.path)).suffix)
        with open(path, "wb") as file:
            if parts.scheme.lower() in _WEB:
                _fetch_web(name, file)
            else:
                _fetch_other(name, file)
        yield path


def _temporary_folder() -> tempfile.TemporaryDirectory:
    try:
        return tempfile.TemporaryDirectory(prefix="vtn-")
    except OSError as error:
        raise _not_written(error) from None


def _not_written(error: OSError) -> InputError:
    """A full disk of this machine is not the fault of a video."""
    return InputError(f"cannot write {tempfile.gettempdir()}: {reason_of(error)}.")


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _fetch_web(name: str, file: BinaryIO) -> None:
    request, public = _request(name), public_name(name)
    for turn in range(_TRIES):
        file.seek(0)
        file.truncate()
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
                shutil.copyfileobj(answer, file, _PIECE)
                wanted = answer.headers.get("Content-Length")
            if wanted is None or file.tell() == int(wanted):
                return
            why = f"it ends after {file.tell():,} of {int(wanted):,} bytes"
        except urllib.error.HTTPError as error:
            why = f"the server answers {error.code} ({error.reason})"
            if error.code in (401, 403):
                raise VideoError(f"{public}: the server asks for other credentials ({error.code}).") from None
            if error.code not in _PASSING:
                raise VideoError(f"{public}: {why}.") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if _is_full(error):
                raise _not_written(error) from None
            why = str(getattr(error, "reason", "") or error) or type(error).__name__
        if turn + 1 < _TRIES:
            time.sleep(_WAIT * 2**turn)
    raise VideoError(f"{public}: {why}, {_TRIES} times.")


def _request(name: str) -> urllib.request.Request:
    """With the credentials of a URL where they belong, and no other server is told them."""
    parts = urlsplit(name)
    credentials, at, place = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit((parts.scheme, place, parts.path, parts.query, "")))
    if at:
        encoded = b64encode(unquote(credentials).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {encoded}")
    return request


def _fetch_other(name: str, file: BinaryIO) -> None:
    public, fsspec = public_name(name), importlib.import_module("fsspec")
    try:
        with fsspec.open(name, "rb") as source:
            shutil.copyfileobj(source, file, _PIECE)
    except Exception as error:  # of any package
        if _is_full(error):
            raise _not_written(error) from None
        kind = type(error).__name__
        if "CredentialsError" in kind:
            raise InputError(f"there are no credentials for {public}: {kind}") from None
        raise VideoError(f"{public}: it cannot be fetched ({kind}).") from None

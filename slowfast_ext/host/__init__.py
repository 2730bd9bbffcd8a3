"""The PySlowFast beneath: which one is used, what is broken in it, and one interface to it.

`get_host()` returns a module that gives what `interface.Host` lists: `wheel` or `git`. Nothing above need ask
which of the two it is. This package knows nothing of what is built on it.
"""

import contextlib
import functools
import importlib
import sys
import warnings
from types import ModuleType

from slowfast_ext.host.cures import applied_cures
from slowfast_ext.host.find import WHEEL, Installation, find_installation
from slowfast_ext.host.interface import Host
from slowfast_ext.plugs import plug_into
from slowfast_ext.typed import as_typed
from vtn.errors import InputError

get_installation = functools.cache(find_installation)


def get_host() -> Host:
    """Find PySlowFast, cure it in memory, have everything plugged into it, and return the interface to it.

    Raises:
        InputError: If there is none that this version knows, or it cannot be imported.
    """
    found = _host_or_error()
    if isinstance(found, InputError):
        raise found
    plug_into(found)
    return found


@functools.cache
def _host_or_error() -> ModuleType | InputError:
    """Keep the first answer: a second try would find PySlowFast half loaded, and fail for another reason."""
    try:
        installation = get_installation()
    except InputError as error:
        return error
    try:
        # What PySlowFast prints at import is for people, not part of a program's output.
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            # fvcore, which PySlowFast imports, scripts functions, and PyTorch warns of each.
            warnings.filterwarnings("ignore", message=".*torch.jit.script", category=FutureWarning)
            # pytorchvideo, which main imports, uses modules that torchvision has renamed.
            warnings.filterwarnings("ignore", message=".*torchvision.transforms._", category=UserWarning)
            return _import(installation)
    except InputError as error:
        return error
    except ModuleNotFoundError as error:
        sentence = (
            f"{installation.description} needs the package {error.name}, which is not installed: "
            f"`{as_typed('doctor')}` says what to type"
        )
        cause = error
    except Exception as error:  # whatever a newer or changed PySlowFast may raise
        sentence = (
            f"{installation.description} cannot be imported ({type(error).__name__}: {error}); "
            f"`{as_typed('doctor')}` says more"
        )
        cause = error
    failure = InputError(sentence)
    failure.__cause__ = cause
    return failure


def _import(installation: Installation) -> ModuleType:
    from slowfast_ext.host.import_cures import prepare_git_import, prepare_wheel_import

    if installation.kind == WHEEL:
        prepare_wheel_import()
    else:
        prepare_git_import(installation.root)
    return importlib.import_module(f"slowfast_ext.host.{installation.kind}")


def describe_host() -> str:
    """One line: which PySlowFast, its version or commit, which others are not used, what was cured."""
    installation = get_installation()
    unused = "".join(f"; not used: the one in {root}" for root in installation.unused)
    cured = ", ".join(entry.label for entry in applied_cures()) or "nothing"
    return f"Host: {installation.description}{unused}; cured in memory: {cured}"

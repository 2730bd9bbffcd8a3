"""How Ray is used, and what is refused before it is."""

import importlib.util
import socket
from dataclasses import dataclass

from slowfast_ext.files import reason_of
from vtn.errors import InputError

_TO_ANSWER = 5.0  # seconds


@dataclass(frozen=True)
class RayHow:
    """How Ray is used.

    Attributes:
        address: Of a cluster; none if empty: one is started.
        gpus: For each model; None is one where the cluster has GPUs.
    """

    address: str = ""
    gpus: float | None = None


def require_ray(address: str) -> None:
    """Refuse what cannot work, before anything else is done.

    Raises:
        InputError: If Ray is not installed, or nobody answers at an address.
    """
    missing = [name for name in ("ray", "pyarrow", "pandas") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"--runner ray needs {' and '.join(missing)}: type `pip install -e '.[ray]'` in a checkout, or "
            "`pip install 'ray[data]'`"
        )
    if "://" in address:
        raise InputError(
            f"--address {address}: type the address as {address.partition('://')[2].partition(':')[0]}:6379, "
            "and the command on a machine of the cluster"
        )
    host, colon, port = address.rpartition(":")
    if not address or address == "auto":
        return
    if not (colon and host and port.isdigit()):
        raise InputError(f"--address {address}: type it as HOST:6379, or auto on a machine of the cluster")
    try:
        socket.create_connection((host, int(port)), _TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster answers at {address}: {reason_of(error)}") from None

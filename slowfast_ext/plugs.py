"""What is called once, when a PySlowFast is first used in a process.

It lies beneath `host`, which calls it. So the plugin can put itself into a PySlowFast that is loaded only
when it is first used.
"""

from collections.abc import Callable
from typing import Any

Plug = Callable[[Any], None]

_waiting: list[Plug] = []


def when_loaded(plug: Plug) -> Plug:
    """Have `plug(host)` called at the first use of a PySlowFast; can be used as a decorator."""
    _waiting.append(plug)
    return plug


def plug_into(host: Any) -> None:
    """Call every plug that has not been called; one that raises is called again at the next use."""
    while _waiting:
        plug = _waiting.pop(0)  # before the call, because a plug asks for the host itself
        try:
            plug(host)
        except BaseException:
            _waiting.insert(0, plug)
            raise

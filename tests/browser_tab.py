"""A page that is used as a person does, in Chromium without a window: real keys, a real mouse, screens, dark.

It speaks Chromium's DevTools protocol over two pipes. The page runs as it is, under its own policy.
"""

import base64
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser import _PLAIN, find_browser

KEY_CODES = {
    **{"PageUp": 33, "PageDown": 34, "End": 35, "Home": 36, "Tab": 9},
    **{"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40},
}
# The protocol wants its pipes there.
_AT_3_AND_4 = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, pipe in enumerate(pipes, start=3):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Tab:
    """One tab.

    Attributes:
        console: Messages of the page and of the browser about it, and exceptions that nobody caught.
    """

    def __init__(self, send, receive) -> None:
        self._send, self._receive, self._number, self._rest = send, receive, 0, b""
        self.console: list[str] = []
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments: Any) -> dict:
        """Ask the browser, and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": arguments}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, (method, found["error"])
                return found["result"]
            self._note(found)

    def open(self, page: Path, *, size=(1280, 900), dark=False, phone=False, scripts=True) -> None:
        """Show a file, and wait until its scripts have run and its pictures are there."""
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 2 if phone else 1}
        self.call("Emulation.setDeviceMetricsOverride", **screen, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.as_uri())
        while self._next_event()["method"] != "Page.loadEventFired":
            pass

    def run(self, script: str) -> Any:
        """The value of an expression in JavaScript, awaited if it is a promise."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """A key, down and up."""
        codes = {"key": key, "code": key, "windowsVirtualKeyCode": KEY_CODES[key]}
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **codes)

    def mouse(self, x: float, y: float, *, click: bool = False) -> None:
        """Move the mouse, in pixels of the window; and click."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased") if click else ():
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def touch(self, x: float, y: float) -> None:
        """Tap."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write a PNG of what is seen, or of the whole page."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _next_event(self) -> dict:
        while "method" not in (found := self._next()):
            pass
        self._note(found)
        return found

    def _next(self) -> dict:
        while b"\0" not in self._rest:
            part = os.read(self._receive, 2**20)
            assert part, "the browser has ended"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def _note(self, found: dict) -> None:
        details = found.get("params", {})
        if found.get("method") == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(part.get("value")) for part in details["args"]))
        elif found.get("method") == "Runtime.exceptionThrown":
            self.console.append(details["exceptionDetails"]["exception"].get("description", "exception"))
        elif found.get("method") == "Log.entryAdded":
            self.console.append(details["entry"]["text"])


@contextmanager
def new_tab(profile: Path):
    """A tab of a browser of its own.

    Args:
        profile: Empty folder for what the browser writes.
    """
    to_browser, from_browser = os.pipe(), os.pipe()
    line = [find_browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    pipes = to_browser[0], from_browser[1]
    process = subprocess.Popen(
        [sys.executable, "-c", _AT_3_AND_4, *map(str, pipes), *line, *_PLAIN, "--remote-debugging-pipe"],
        pass_fds=pipes,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser[0])
    os.close(from_browser[1])
    try:
        yield Tab(to_browser[1], from_browser[0])
    finally:
        os.close(to_browser[1])
        process.terminate()
        process.wait(timeout=30)
        os.close(from_browser[0])

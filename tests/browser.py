"""A page in a real browser: Chromium without a window, where there is one."""

import json
import os
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
_PLAIN = (
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
)


def find_browser() -> str:
    """The program named by CHROMIUM, or one in PATH; the test is skipped where there is none."""
    named = os.environ.get("CHROMIUM")
    found = next(filter(None, map(shutil.which, [named] if named else NAMES)), None)
    if found is None:
        pytest.skip(f"needs a browser: {' or '.join(NAMES)} in PATH, or its path in CHROMIUM")
    return found


def browse(
    page: Path, profile: Path, *options: str, size: tuple[int, int] = (1280, 900)
) -> tuple[str, list[str]]:
    """Open a page.

    Args:
        page: The file.
        profile: Empty folder for what the browser writes.
        options: Of Chromium, such as --dump-dom.
        size: Width and height of the window, pixels.

    Returns:
        What the browser printed, such as the document after its scripts, and the lines of its console.
    """
    look = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *_PLAIN)
    line = [find_browser(), *look, f"--window-size={size[0]},{size[1]}", "--enable-logging=stderr", *options]
    done = subprocess.run([*line, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, re.findall(r"CONSOLE[:(]\d+\)?\] \"(.*)\", source", done.stderr)


_FRAME = """<!DOCTYPE html><html><body style="margin: 0; color-scheme: light dark">
<iframe style="border: 0; width: {0}px; height: {1}px; color-scheme: light dark" srcdoc="{2}"></iframe>"""
_ANSWER = """<script>
const answer = parent.document.createElement("pre");
answer.id = "answer";
answer.textContent = JSON.stringify((() => {{{0}}})());
parent.document.body.append(answer);
</script></body>"""


def ask(
    page: Path, script: str, folder: Path, *options: str, size: tuple[int, int]
) -> tuple[object, list[str]]:
    """Run a script at the end of a copy of a page; returns what it returned, and the console.

    The copy is shown in a frame, because the browser's window is never narrower than 500 pixels.

    Args:
        page: The file. Its policy lets only its own script run, so that of the copy is relaxed.
        script: Body of a function in JavaScript.
        folder: For the copy and the browser's profile.
        options: Of Chromium.
        size: Width and height of the screen, pixels.
    """
    text, count = re.subn(r"script-src '[^']*'", "script-src 'unsafe-inline'", page.read_text())
    assert count == 1
    frame = folder / "frame.html"
    frame.write_text(_FRAME.format(*size, escape(text.replace("</body>", _ANSWER.format(script)))))
    printed, console = browse(frame, folder / "profile", "--dump-dom", *options)
    (found,) = re.findall(r'<pre id="answer">(.*?)</pre>', printed, re.DOTALL)
    return json.loads(unescape(found)), console

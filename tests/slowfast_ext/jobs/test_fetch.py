"""Videos at URLs, from a server of this machine; credentials are never told."""

import os
import threading
from base64 import b64encode
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fake_jobs import fake_job, rows_in, run

from slowfast_ext.jobs import fetch
from slowfast_ext.jobs.fetch import local_file, require_schemes
from slowfast_ext.video import VideoError
from vtn.errors import InputError

CONTENT = bytes(range(256)) * 5000


class Handler(BaseHTTPRequestHandler):
    """Answers by the path of a URL."""

    def do_GET(self) -> None:
        """Of a video."""
        server = self.server
        server.asked[self.path] += 1
        server.told.append((self.path, self.headers.get("Authorization")))
        turn, path = server.asked[self.path], self.path.partition("?")[0]
        status, length = 200, len(CONTENT)
        if path == "/twice.mp4" and turn < 3:
            status = 503
        elif path == "/gone.mp4":
            status = 404
        elif path == "/mine.mp4" and self.headers.get("Authorization") is None:
            status = 401
        elif path == "/elsewhere.mp4":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{server.server_port}/plain.mp4")
            self.end_headers()
            return
        self.send_response(status)
        if (path == "/cut.mp4" and turn < 2) or path == "/always_cut.mp4":
            length += 10
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if path == "/slow.mp4":
            server.left.wait(20)
        self.wfile.write(CONTENT)

    def log_message(self, *args) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetch, "_WAIT", 0.01)
    monkeypatch.setattr(fetch, "_TIMEOUT", 0.5)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.told, server.left = Counter(), [], threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.left.set()
    server.shutdown()
    thread.join()
    server.server_close()


def url(server, name: str, who: str = "") -> str:
    return f"http://{who}127.0.0.1:{server.server_port}/{name}"


def fetched(name: str) -> bytes:
    with local_file(name) as path:
        assert path.endswith(".mp4")
        content = Path(path).read_bytes()
    assert not os.path.exists(path)
    return content


def test_a_file_is_taken_where_it_is(tmp_path):
    with local_file("some/where.mp4") as path:
        assert path == "some/where.mp4"


@pytest.mark.parametrize("name", ["plain.mp4", "twice.mp4", "cut.mp4"])
def test_a_url_is_fetched_and_tried_again(server, name):
    assert fetched(url(server, name)) == CONTENT
    assert server.asked[f"/{name}"] == {"plain.mp4": 1, "twice.mp4": 3, "cut.mp4": 2}[name]


@pytest.mark.parametrize(
    ("name", "why", "asked"),
    [
        ("gone.mp4", r"the server answers 404 \(Not Found\)\.", 1),
        ("mine.mp4", r"the server asks for other credentials \(401\)\.", 1),
        ("always_cut.mp4", r"it ends after 1,280,000 of 1,280,010 bytes, 3 times\.", 3),
        ("slow.mp4", "timed out, 3 times", 3),
    ],
)
def test_what_cannot_be_fetched_says_why(server, name, why, asked):
    place = url(server, name)
    with pytest.raises(VideoError, match=f"^{place}: {why}"):
        fetched(place)
    assert server.asked[f"/{name}"] == asked


def test_nobody_answers(server):
    with pytest.raises(VideoError, match=r"^http://127.0.0.1:9/a.mp4: .*refused, 3 times"):
        fetched("http://127.0.0.1:9/a.mp4")


def test_credentials_reach_their_server_alone(server):
    assert fetched(url(server, "mine.mp4", "me:se%20cret@")) == CONTENT
    assert fetched(url(server, "elsewhere.mp4", "me:x@")) == CONTENT
    assert [told for path, told in server.told if path == "/mine.mp4"] == [
        f"Basic {b64encode(b'me:se cret').decode()}"
    ]
    assert [told for path, told in server.told if path == "/plain.mp4"] == [None]  # it was sent on


def test_credentials_are_in_nothing_that_is_written_or_said(server, tmp_path, capfd):
    names = ["plain.mp4?token=hidden1&part=3", "gone.mp4?X-Amz-Signature=hidden2", "mine.mp4", "twice.mp4"]
    videos, out, said = [url(server, name, "me:hidden3@") for name in names], tmp_path / "out", []
    outcome = run(fake_job(out), videos, processes=2)
    assert (outcome.done, outcome.failed, outcome.reasons) == (
        *(4, 1),
        {"the server answers 404 (Not Found)": 1},
    )
    said.append(str(outcome))
    for path in out.rglob("*"):
        if path.is_file() and "plans" not in path.parts:
            said.append(path.read_bytes().decode(errors="replace"))
    assert len(said) > 5
    assert "hidden" not in "".join(said) + "".join(capfd.readouterr())
    assert (out / "job" / "plans").glob("*").__next__().stat().st_mode & 0o077 == 0
    assert url(server, "plain.mp4") in "".join(rows_in(out))
    # Signed anew they are the same videos.
    before = server.asked.total()
    run(fake_job(out), [name.replace("hidden", "other") for name in videos], processes=2)
    assert server.asked.total() == before


def test_other_stores(monkeypatch):
    import fsspec

    with fsspec.open("memory://some/a.mp4", "wb") as file:
        file.write(CONTENT)
    require_schemes(["http", "https", "memory"])
    assert fetched("memory://some/a.mp4") == CONTENT
    with pytest.raises(VideoError, match=r"^memory://some/b.mp4: it cannot be fetched \(FileNotFoundError\)"):
        fetched("memory://some/b.mp4")
    with pytest.raises(InputError, match="videos at nowhere:// cannot be read: "):
        require_schemes(["nowhere"])

    class NoCredentialsError(Exception):
        """As botocore has it."""

    def no_credentials(*args):
        raise NoCredentialsError("with a key")

    monkeypatch.setattr(fsspec, "open", no_credentials)
    with pytest.raises(InputError, match=r"there are no credentials for s3://b/c.mp4: NoCredentialsError$"):
        fetched("s3://b/c.mp4")

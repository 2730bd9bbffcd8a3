"""What tells one video of a job from another: its path or URL, and what its file is like."""

import hashlib
import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from slowfast_ext.data.feature_store import identity

# A constant of the format: where a video belongs must never depend on how many there are or who works.
BUCKETS = 4096
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SECRET = re.compile(
    r"sign|secret|token|credential|password|access|^key|^sig|^x-amz-|^x-goog-|expires", re.IGNORECASE
)
_HIDDEN = "***"


def is_url(name: str) -> bool:
    """Whether a video is named by a URL, such as s3://bucket/a.mp4."""
    return _URL.match(name) is not None


def public_name(name: str) -> str:
    """A video's name as it may be shown and written: of a URL all but its credentials.

    It is the identity of the video, so a list that was signed anew names the same videos.
    """
    if not is_url(name):
        return name
    parts = urlsplit(name)
    place = parts.netloc.rpartition("@")[2]
    query = [
        (key, _HIDDEN if _SECRET.search(key) else value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    return urlunsplit((parts.scheme, place, parts.path, urlencode(query, safe="/*:"), ""))


def bucket_of(name: str) -> str:
    """Which of the BUCKETS a video belongs to: three hexadecimal digits."""
    digest = hashlib.blake2b(public_name(name).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return f"{int.from_bytes(digest, 'big') % BUCKETS:03x}"


def file_state(name: str) -> tuple[int, int]:
    """Size and time of the last change of a local file; -1 of one that is not there, and of a URL."""
    return (-1, -1) if is_url(name) else identity(name)

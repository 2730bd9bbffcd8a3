"""What every page of this project is made of: one HTML file that asks the network for nothing."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape


def as_text(value: object) -> str:
    """As HTML shows it; names of files may hold bytes that are no text."""
    return escape(str(value).encode("utf-8", "replace").decode("utf-8"))


def whole_page(title: str, body: str, *, style: str, script: str) -> str:
    """A document. Its policy lets nothing be loaded, and no script run but the page's own.

    Args:
        title: Of the window.
        body: HTML between <body> and the script.
        style, script: CSS and JavaScript.
    """
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{own}'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{as_text(title)}</title>\n<style>{style}</style>\n'
        f"</head>\n<body>\n{body}<script>{script}</script>\n</body>\n</html>\n"
    )


def facts_list(facts: Mapping[str, str]) -> str:
    """Names and what they stand for."""
    pairs = (f"<dt>{as_text(name)}</dt><dd>{as_text(fact)}</dd>" for name, fact in facts.items())
    return f"<dl>{''.join(pairs)}</dl>"


def scrolled(content: str, label: str) -> str:
    """What may be wider than the screen scrolls in a box of its own, also by keyboard."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{as_text(label)}">{content}</div>'

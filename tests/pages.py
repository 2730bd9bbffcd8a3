"""What the pages hold (code, commands, keys with values) and the sentences of the code that they quote."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "projects/vtn/README.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]
_ERRORS = ("InputError", "VideoError", "StepError")


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str, language: str) -> list[str]:
    """Code blocks of one language, indented ones too."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text_of(page), re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


def spans(page: str) -> list[str]:
    """`code` within sentences and tables."""
    outside = re.sub(r"^ *```.*?^ *```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", outside)]


def commands(page: str) -> Iterator[list[str]]:
    """Every command line of a page, in words, without variables set before it."""
    for block in blocks(page, "sh"):
        plain = re.sub(r"<<'END'\n.*?^END$", "", block, flags=re.S | re.M).replace("\\\n", " ")
        for line in plain.splitlines():
            if words := shlex.split(line, comments=True):
                yield _without_variables(words)
    for span in spans(page):
        if re.match(r"(\w+=\S* )*(python|make|pip|pipx|pytest|vtn) ", span):
            yield _without_variables(shlex.split(span))


def _without_variables(words: list[str]) -> list[str]:
    first = next((i for i, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words))
    return words[first:]


def overrides(page: str) -> list[list[str]]:
    """Every `KEY VALUE …` of a page, in words."""
    pair = r"[A-Z][A-Z_]+(?:\.[A-Z][A-Z0-9_]*)* \S+"
    found = (span for span in spans(page) if re.fullmatch(rf"{pair}(?: {pair})*", span))
    # The first is a form, the others are beginnings of sentences.
    return [span.split() for span in found if not span.startswith("KEY ") and not span.endswith(" is")]


def sources() -> list[Path]:
    """The Python files whose sentences a user may be shown."""
    return sorted(
        path for folder in ("projects", "slowfast_ext", "tools") for path in (ROOT / folder).rglob("*.py")
    )


def literal(node: ast.AST) -> str | None:
    """The text of a string in the code, with … for what is filled in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) or "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = literal(node.left), literal(node.right)
        return None if left is right is None else (left or "…") + (right or "…")
    return None


def strings_of_the_code() -> set[str]:
    """Every string but docstrings."""
    nodes = [node for path in sources() for node in ast.walk(ast.parse(path.read_text()))]
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = (literal(node) for node in nodes if id(node) not in docstrings)
    return {re.sub(r"%[sd]", "…", text) for text in texts if text}


def errors_of_the_code() -> Iterator[tuple[str, str]]:
    """(file, sentence) of every error for users that is written out where it is raised."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            is_error = isinstance(node, ast.Call) and getattr(node.func, "id", "") in _ERRORS
            if is_error and node.args and (sentence := literal(node.args[0])):
                yield str(path.relative_to(ROOT)), sentence


def matches(quote: str, sentence: str) -> bool:
    """Whether a quote, in which … stands for anything, is part of a sentence."""
    parts = [re.escape(part.strip()) for part in quote.strip("… ").split("…")]
    return re.search(".*".join(parts), sentence, re.DOTALL) is not None

"""docs/troubleshooting.md quotes what the code says, and has an entry for every error of the code."""

import re

import pytest
from pages import errors_of_the_code, matches, strings_of_the_code, text_of

QUOTES = re.findall(r"^- `([^`]+)`(?: \(warning\))?: \S", text_of("docs/troubleshooting.md"), re.MULTILINE)
# Not met by somebody who runs commands: arguments of functions that only this project calls, and parts of the
# sentence "has an entry … that cannot be used".
INTERNAL = ("projects/vtn/recipe.py", "slowfast_ext/report/attention.py")


def test_every_entry_is_read():
    entries = re.findall(r"^- ", text_of("docs/troubleshooting.md"), re.MULTILINE)
    assert len(QUOTES) == len(set(QUOTES)) == len(entries) > 100


@pytest.fixture(scope="module")
def strings():
    return strings_of_the_code()


@pytest.mark.parametrize("quote", QUOTES)
def test_the_code_says_what_is_quoted(quote, strings):
    assert any(matches(quote, text) for text in strings)


def test_every_error_has_an_entry():
    told = [
        (file, sentence)
        for file, sentence in errors_of_the_code()
        if file not in INTERNAL and len(re.findall(r"[A-Za-z]{2,}", sentence)) > 2
    ]
    assert len(told) > 100
    assert [entry for entry in told if not any(matches(quote, entry[1]) for quote in QUOTES)] == []


def test_quotes_match_as_they_should():
    assert matches("… of the … videos in … do not exist", "… of the … videos in … do not exist: ….")
    assert not matches("… of the … videos in … do not exist", "do not exist: … of the … videos")
    assert not matches("is empty", "is full")

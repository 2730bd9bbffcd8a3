"""Findings that cannot be helped: what the file does not say, nobody can know."""

# (kind of file, or ANY; finding) -> why.
ANY = "any"
EXPLAINED: dict[tuple[str, str], str] = {
    (
        ANY,
        "unnoticed pictures",
    ): "The decoder decodes the damaged pictures without a word: they have no check sum.",
}

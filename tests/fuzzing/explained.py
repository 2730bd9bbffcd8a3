"""Findings that cannot be helped: what the file does not say, nobody can know."""

# (kind of file, finding) -> why.
EXPLAINED: dict[tuple[str, str], str] = {}

"""Findings that cannot be helped: what the file does not say, nobody can know."""

# (kind of file, or ANY; finding) -> why.
ANY = "any"
EXPLAINED: dict[tuple[str, str], str] = {
    (
        ANY,
        "unnoticed loss",
    ): "No time stamp, no stated length, no error and no flag of the decoder tells of it.",
    (ANY, "unnoticed places"): "As above: the frames are damaged or moved, and nothing in the file says so.",
    (
        ANY,
        "unnoticed pictures",
    ): "The decoder decodes the damaged pictures without a word: they have no check sum.",
    (
        ANY,
        "clip beside the loss",
    ): "Only decoding all of the file shows the loss; preparation does so and tells.",
}

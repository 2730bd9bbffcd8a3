"""Training, validation and test loops, for a PySlowFast that ships none (the wheel)."""

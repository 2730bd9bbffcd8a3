"""Training, validation and test loops: on the wheel, which ships none, and on main with ENGINE own."""

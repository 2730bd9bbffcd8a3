"""One command that trains, tests and measures several models on one data set, and shows them side by side."""

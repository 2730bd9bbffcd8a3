"""The demonstration: a data set made on the spot, three models trained and tested on it, and their comparison."""

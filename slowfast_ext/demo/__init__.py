"""The demonstration: a data set made on the spot, three models trained and tested, their comparison."""

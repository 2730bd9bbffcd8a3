"""The demonstration: make a data set, train and test three models on it, compare them."""

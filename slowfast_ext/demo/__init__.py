"""The demonstration: make a data set, compare four models on it, see where VTN looked."""

"""Features of frames that are stored in advance: the command `vtn extract_features`."""

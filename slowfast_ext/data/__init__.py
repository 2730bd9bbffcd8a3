"""From a list of video files to batches of what a model takes: data sets, loader, ledger."""

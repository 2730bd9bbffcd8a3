"""From a list of video files to what a model takes: sampling, decoding, transforms, data sets."""

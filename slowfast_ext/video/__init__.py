"""Reading video: files to frames, and which frames. No configuration and no PySlowFast."""

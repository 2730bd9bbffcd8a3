"""Reading video: files to frames, and which frames. No configuration and no PySlowFast."""

from slowfast_ext.video.file import VideoFile
from slowfast_ext.video.opening import VideoError
from slowfast_ext.video.reader import VideoReader
from slowfast_ext.video.sampling import clip_frame_indices, full_video_frame_indices
from slowfast_ext.video.transforms import take_view, to_clip, uniform_view

__all__ = [
    "VideoError",
    "VideoFile",
    "VideoReader",
    "clip_frame_indices",
    "full_video_frame_indices",
    "take_view",
    "to_clip",
    "uniform_view",
]

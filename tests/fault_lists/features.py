"""Faults of the area `features`: what is stored in advance, and when it is used."""

from fault_lists import Fault

_STORE = "slowfast_ext/data/feature_store.py"
_FILES = "slowfast_ext/data/feature_files.py"
_SETTINGS = "slowfast_ext/data/feature_settings.py"
_VIDEOS = "slowfast_ext/data/stored_videos.py"
_COMMAND = "slowfast_ext/features/command.py"
_FOLDER = "slowfast_ext/features/folder.py"
_STALE = "tests/slowfast_ext/features/test_stale_features.py"
_COMMANDS = "tests/slowfast_ext/features/test_feature_command.py"
_RUNS = "tests/slowfast_ext/features/test_feature_runs.py"

FAULTS = [
    Fault(
        "features of a video that has changed are used",
        _STORE,
        "if (record.bytes, record.mtime_ns) == (size, changed)]",
        "if record.bytes == size]",
        f"{_STALE} -k one_byte",
    ),
    Fault(
        "features of other weights are used",
        _SETTINGS,
        "        digest.update(tensor.flatten().view(torch.uint8).numpy())\n",
        "",
        f"{_STALE} -k other_weights",
    ),
    Fault(
        "the crop is not part of the settings",
        _SETTINGS,
        "        crop_size=crop_size,\n",
        "        crop_size=32,\n",
        f"{_STALE} -k other_settings",
    ),
    Fault(
        "damage inside a file of features is not noticed",
        _FILES,
        "if checksum != _checksum(tensors, notes):",
        "if not checksum:",
        f"{_STALE} -k damaged",
    ),
    Fault(
        "a file of features has its name before it is on disk",
        "projects/vtn/weight_files.py",
        "            os.fsync(file.fileno())\n",
        "",
        f"{_COMMANDS} -k what_is_written",
    ),
    Fault(
        "half a file of features stays behind",
        "projects/vtn/weight_files.py",
        "            os.remove(part)\n",
        "            pass\n",
        f"{_COMMANDS} -k full_disk",
    ),
    Fault(
        "half a line of the manifest swallows the next one",
        _FOLDER,
        "            self._end_last_line()\n",
        "",
        f"{_COMMANDS} -k new_or_damaged",
    ),
    Fault(
        "features are made again though they are there",
        _COMMAND,
        "if isinstance(record, str) or (record.error and retry_failed):",
        "if record:",
        f"{_COMMANDS} -k new_or_damaged",
    ),
    Fault(
        "a training on features looks at the middle of each video",
        _VIDEOS,
        "        _, starts = self._draw(video)\n",
        "        starts = self._starts\n",
        f"{_RUNS} -k training",
    ),
    Fault(
        "a checkpoint's configuration names a folder of features",
        "slowfast_ext/predict/settings.py",
        '"RESNET.INFLATE_FROM", "VTN.FEATURES"}',
        '"RESNET.INFLATE_FROM"}',
        "tests/slowfast_ext/predict/test_settings.py -k no_file_of_the_configuration",
    ),
]

"""Faults of the area `predict`."""

from fault_lists import Fault

PREDICT = "slowfast_ext/predict"
TESTS = "tests/slowfast_ext/predict/test_predictor.py"
COMMAND = "tests/slowfast_ext/predict/test_command.py"
SETTINGS = "tests/slowfast_ext/predict/test_settings.py"

LIVE = "tests/slowfast_ext/predict/test_live.py"

FAULTS = [
    Fault(
        "frame numbers of a live window count from the start of the stream",
        f"{PREDICT}/live.py",
        "frame.number - self._first]",
        "frame.number]",
        f"{LIVE}::test_windows_forget_and_the_rate_may_be_another",
    ),
    Fault(
        "a live window does not forget the one before it",
        f"{PREDICT}/live.py",
        "                place.reset()",
        "                place.num_pushed = 0",
        f"{LIVE}::test_windows_forget_and_the_rate_may_be_another",
    ),
    Fault(
        "the clock of a live stream goes back with its source",
        "slowfast_ext/video/clock.py",
        "self._last - _BACK",
        "-1e9",
        f"{LIVE}::test_times_that_begin_anew_go_on",
    ),
    Fault(
        "a playlist that is read as a live file leads to other files",
        "slowfast_ext/video/live.py",
        'return f"file:{self.source}", SAFE_OPTIONS',
        'return f"file:{self.source}", {}',
        f"{LIVE}::test_a_playlist_in_a_file_leads_nowhere",
    ),
    Fault(
        "a number in a checkpoint's configuration may come as a text of any size",
        f"{PREDICT}/settings.py",
        "    value = CfgNode._decode_cfg_value(value)",
        "    CfgNode._decode_cfg_value(value)",
        f"{SETTINGS}::test_absurd_sizes",
    ),
    Fault(
        "a checkpoint's configuration names weights to start from",
        f"{PREDICT}/settings.py",
        " or key in _LEFT_OUT",
        "",
        f"{SETTINGS}::test_no_file_of_the_configuration_is_opened_and_no_folder_made",
    ),
    Fault(
        "frames of overlapping windows are let go too early",
        f"{PREDICT}/stream.py",
        "if number >= first",
        "if number > first",
        f"{TESTS}::test_windows_are_what_windows_cut_by_hand_are",
    ),
    Fault(
        "frames of earlier windows are kept",
        f"{PREDICT}/stream.py",
        "                yield numbers, torch.stack(squares)\n                numbers, squares = [], []",
        "                yield numbers, torch.stack(squares)\n                numbers = []",
        f"{TESTS}::test_memory_holds_one_chunk_of_a_whole_video",
    ),
    Fault(
        "frame numbers of a window count from the start of the video",
        f"{PREDICT}/videos.py",
        "self.whole.on_screen(frame_indices + self.span.first) - self.span.first",
        "self.whole.on_screen(frame_indices + self.span.first)",
        f"{TESTS}::test_windows_are_what_windows_cut_by_hand_are",
    ),
    Fault(
        "the last window does not end with the video",
        f"{PREDICT}/videos.py",
        "range(int(last / step) + 2)",
        "range(int(last / step) + 1)",
        f"{TESTS}::test_windows_are_what_windows_cut_by_hand_are",
    ),
    Fault(
        "predictions of another model count as done",
        f"{PREDICT}/output.py",
        'record["model"] == self._model and',
        "bool(self._model) and",
        f"{COMMAND}::test_only_what_is_new_is_predicted",
    ),
    Fault(
        "a video that has changed counts as done",
        f"{PREDICT}/output.py",
        " and identity == _identity(os.fspath(path))",
        "",
        f"{COMMAND}::test_only_what_is_new_is_predicted",
    ),
    Fault(
        "half a line of a file that is no prediction is cut off",
        f"{PREDICT}/output.py",
        " and line.startswith(_BEGINNING)",
        "",
        f"{COMMAND}::test_only_what_is_new_is_predicted",
    ),
    Fault(
        "one view stands for all of a video",
        f"{PREDICT}/predictor.py",
        "torch.stack(views).mean(dim=0)",
        "views[0]",
        f"{TESTS}::test_scores_and_order_are_those_of_the_test",
    ),
]

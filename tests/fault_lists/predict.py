"""Faults of the area `predict`."""

from fault_lists import Fault

PREDICT = "slowfast_ext/predict"
TESTS = "tests/slowfast_ext/predict/test_predictor.py"
COMMAND = "tests/slowfast_ext/predict/test_command.py"
SETTINGS = "tests/slowfast_ext/predict/test_settings.py"

LIVE = "tests/slowfast_ext/predict/test_live.py"

EXPLAIN = "tests/slowfast_ext/predict/test_explain.py"
PAGE = "slowfast_ext/report/evidence_page.py"
SCRIPT = "slowfast_ext/report/evidence_script.py"
ON_PAGE = "tests/slowfast_ext/predict/test_video_page.py"
LOOK = "tests/slowfast_ext/predict/test_video_page_look.py"
PAGE_COMMAND = "tests/slowfast_ext/predict/test_page_command.py"

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
        " and known == identity(os.fspath(path))",
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
        f"{PREDICT}/loading.py",
        "torch.stack(views).mean(dim=0)",
        "views[0]",
        f"{TESTS}::test_scores_and_order_are_those_of_the_test",
    ),
    Fault(
        "attention of a repeated frame is that of one repetition",
        f"{PREDICT}/explain.py",
        ".index_add_(2, tokens, weights)",
        ".index_copy_(2, tokens, weights)",
        f"{EXPLAIN}::test_a_short_video_has_the_sum_over_the_repetitions_of_a_frame",
    ),
    Fault(
        "stretches without frames are not left out of the time line",
        f"{PREDICT}/explain.py",
        "begins = numbers.double() * length",
        "begins = torch.arange(len(numbers)).double() * length",
        f"{EXPLAIN}::test_times_are_those_at_which_frames_are_shown",
    ),
    Fault(
        "evidence is of one crop",
        f"{PREDICT}/explain.py",
        "torch.stack(found).mean(dim=0).cpu().numpy()",
        "found[0].cpu().numpy()",
        f"{EXPLAIN}::test_attention_and_evidence_are_those_of_the_plain_model",
    ),
    Fault(
        "a gap ends at the last lost frame",
        f"{PREDICT}/explain.py",
        "[True], info.present, [True]",
        "[True], info.present[1:], [True]",
        f"{EXPLAIN}::test_what_cannot_be_read_is_told_in_seconds",
    ),
    Fault(
        "pictures of a page are as wide as they are stored",
        f"{PREDICT}/thumbnails.py",
        "height, width = picture.shape[0], picture.shape[1] * pixel_aspect",
        "height, width = picture.shape[0], picture.shape[1]",
        f"{EXPLAIN}::test_pictures_are_those_of_the_frames_the_right_way_up",
    ),
    Fault(
        "pictures of a page may be as large as they are",
        f"{PREDICT}/thumbnails.py",
        "        if sum(map(len, found)) <= most_bytes:\n            return found",
        "        return found",
        f"{PAGE_COMMAND}::test_a_page_of_ten_seconds_is_below_5_mb",
    ),
    Fault(
        "a page made anew writes its prediction twice",
        f"{PREDICT}/command.py",
        "file if left else None",
        "file",
        f"{PAGE_COMMAND}::test_a_page_and_a_file_from_one_decoding",
    ),
    Fault(
        "thinned moments have the attention of one frame",
        "slowfast_ext/report/evidence_parts.py",
        "weights[..., begin:end].sum(axis=-1)",
        "weights[..., begin:end].mean(axis=-1)",
        f"{ON_PAGE}::test_two_models_share_a_marker_and_a_scale",
    ),
    Fault(
        "numbers of a page can end their element",
        "slowfast_ext/report/evidence_parts.py",
        r'.replace("<", "\\u003c")',
        "",
        f"{LOOK}::test_the_page_is_whole_and_all_text_is_shown_as_it_is",
    ),
    Fault(
        "the marker of a page has no name",
        PAGE,
        ' aria-label="Moment of the video" ',
        " ",
        f"{LOOK}::test_axe_finds_nothing_to_complain_of",
    ),
    Fault(
        "quiet words of a page are too pale",
        "slowfast_ext/report/evidence_look.py",
        "--quiet: #56606c;",
        "--quiet: #8a94a0;",
        f"{LOOK}::test_axe_finds_nothing_to_complain_of",
    ),
    Fault(
        "moments are evenly spaced on the time line",
        SCRIPT,
        "`${100 * Math.min(data.times[step] / data.seconds, 1)}%`",
        "`${100 * step / last}%`",
        f"{ON_PAGE}::test_the_right_arrow_goes_through_all_moments_and_all_agree_at_each",
    ),
    Fault(
        "the picture is that of the moment before",
        SCRIPT,
        "data.pictures[step]",
        "data.pictures[Math.max(step - 1, 0)]",
        f"{ON_PAGE}::test_the_right_arrow_goes_through_all_moments_and_all_agree_at_each",
    ),
    Fault(
        "heads of a page are one off",
        SCRIPT,
        "heads[head.value - 1]",
        "heads[head.value % heads.length]",
        f"{ON_PAGE}::test_layer_and_head_change_the_line",
    ),
    Fault(
        "bars of evidence point the wrong way once a class is chosen",
        SCRIPT,
        "zero - value * unit",
        "zero + value * unit",
        f"{ON_PAGE}::test_the_class_changes_the_bars",
    ),
    Fault(
        "the mouse is a moment late",
        SCRIPT,
        "gaps.indexOf(Math.min(...gaps))",
        "Math.max(gaps.indexOf(Math.min(...gaps)) - 1, 0)",
        f"{ON_PAGE}::test_the_mouse_and_the_finger_move_the_marker_to_the_nearest_moment",
    ),
]

"""Faults of the area `inflate`: models for videos that start from one for images."""

from fault_lists import Fault

INFLATE = "slowfast_ext/inflate.py"
START = "slowfast_ext/engine/start.py"
TESTS = "tests/slowfast_ext/test_inflate.py"
PROOF = f"{TESTS}::test_a_still_video_has_the_features_of_its_frame"
REFUSED = f"{TESTS}::test_what_does_not_fit_is_refused_before_the_start"
FETCHED = f"{TESTS}::test_published_weights_are_fetched_only_where_no_checkpoint_has_them"

FAULTS = [
    Fault(
        "repeated kernels are not divided",
        "slowfast_ext/host/checkpoint.py",
        ".repeat(1, 1, frames, 1, 1) / frames",
        ".repeat(1, 1, frames, 1, 1)",
        f"{PROOF} -k slow",
    ),
    Fault(
        "PySlowFast's build_model knows no image network",
        "slowfast_ext/models.py",
        "    inflate_from_images(unwrap(model), cfg)\n",
        "",
        f"{PROOF} -k c2d",
    ),
    Fault(
        "what the norms of an image network have seen is left out",
        INFLATE,
        "        placed[place] = weight\n",
        "        placed[place] = target[place] if '.running_' in place else weight\n",
        f"{PROOF} -k c2d",
    ),
    Fault(
        "weights for which the image network has nothing stay random",
        INFLATE,
        "    if missing:\n",
        "    if False:\n",
        f"{REFUSED} -k resnet50_gn",
    ),
    Fault(
        "a network with other strides is taken",
        INFLATE,
        "            if there != here:\n",
        "            if there is None:\n",
        f"{REFUSED} -k STRIDES",
    ),
    Fault(
        "a network with other pools is taken",
        INFLATE,
        "    for difference in _differences(image, video):\n",
        "    for difference in ():\n",
        f"{REFUSED} -k resnetaa50",
    ),
    Fault(
        "strides in 1x1 convolutions are taken",
        INFLATE,
        "    if cfg.RESNET.STRIDE_1X1:\n",
        "    if False:\n",
        f"{REFUSED} -k STRIDE_1X1",
    ),
    Fault(
        "non-local blocks that change the image network's features are taken",
        INFLATE,
        "    if non_local and not cfg.RESNET.ZERO_INIT_FINAL_BN:\n",
        "    if False:\n",
        f"{REFUSED} -k FINAL_BN",
    ),
    Fault(
        "other models ignore the image network",
        INFLATE,
        '    if model_name != "ResNet":\n',
        '    if model_name != "ResNet":\n        return\n    if False:\n',
        f"{TESTS}::test_other_models_are_refused",
    ),
    Fault(
        "a continued run fetches the image network",
        START,
        "    return without_published_weights(cfg)\n",
        "    return cfg\n",
        FETCHED,
    ),
    Fault(
        "a checkpoint with a gap counts as whole",
        START,
        "    return all(is_new_in_video(name) for name in report.kept)\n",
        "    return True\n",
        FETCHED,
    ),
]

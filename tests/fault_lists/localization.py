"""Faults of the area `localization`: evidence, the head, its training, test and predictions."""

from fault_lists import Fault

HEAD = "projects/vtn/localization.py"
EVIDENCE = "projects/vtn/evidence.py"
LOOPS = "slowfast_ext/engine/localizing.py"
OF_HEAD = "tests/projects/vtn/test_localization.py"
OF_EVIDENCE = "tests/projects/vtn/test_evidence.py"
OF_LOOPS = "tests/slowfast_ext/engine/test_localizing.py"
OF_PREDICTIONS = "tests/slowfast_ext/predict/test_predicted_segments.py"

FAULTS = [
    Fault(
        "frames that are left out change the positions of the others",
        EVIDENCE,
        "length = encoder.positions.length_of(frame_indices[None])",
        "length = encoder.positions.length_of(frame_indices[None, keep[0]])",
        f"{OF_EVIDENCE}::test_positions_stay_those_of_the_whole_video_where_they_are_scaled",
    ),
    Fault(
        "insertion puts in the least important frames",
        EVIDENCE,
        "torch.cat([~taken, taken])",
        "torch.cat([~taken, ~taken])",
        f"{OF_EVIDENCE}::test_curves_follow_the_order_of_importance",
    ),
    Fault(
        "occlusion keeps only the group that it should take out",
        EVIDENCE,
        "groups != numbers[:, None]",
        "groups == numbers[:, None]",
        f"{OF_EVIDENCE} -k occlusion",
    ),
    Fault(
        "of overlapping segments the longest counts",
        HEAD,
        "shortest, which = length.min(dim=2, keepdim=True)",
        "shortest, which = torch.where(length.isfinite(), length, -1.0).max(dim=2, keepdim=True)",
        f"{OF_HEAD} -k overlapping",
    ),
    Fault(
        "a point far from the middle answers for a segment",
        HEAD,
        "_CENTRE = 1.5",
        "_CENTRE = 9.0",
        f"{OF_HEAD} -k near_the_middle_of_a_long",
    ),
    Fault(
        "soft-NMS lowers other classes",
        HEAD,
        "torch.where(labels == labels[best], scores * lowered, scores)",
        "scores * lowered",
        f"{OF_HEAD} -k soft_nms",
    ),
    Fault(
        "the last window attention of a model with a head is not trained",
        "projects/vtn/model.py",
        "train_all_tokens=localization_scales > 0",
        "train_all_tokens=False",
        f"{OF_HEAD} -k every_weight",
    ),
    Fault(
        "offsets of a coarse scale are in its own steps",
        HEAD,
        "F.softplus(steps.float()) * 2**scale",
        "F.softplus(steps.float())",
        f"{OF_HEAD} -k coarse_scale",
    ),
    Fault(
        "places are those of the first edge of a frame",
        "slowfast_ext/video/sampling.py",
        "return (moments - 0.5) * _places_per_frame",
        "return moments * _places_per_frame",
        f"{OF_LOOPS} -k by_hand",
    ),
    Fault(
        "rows without a segment count as class 0",
        LOOPS,
        " * (segments[..., 2] >= 0)",
        "",
        f"{OF_LOOPS} -k shares",
    ),
    Fault(
        "segments of a window count from its beginning",
        "slowfast_ext/predict/predictor.py",
        "spans=found.spans + span.first / fps",
        "spans=found.spans",
        f"{OF_PREDICTIONS} -k windows",
    ),
    Fault(
        "another least score continues the file of the first",
        "slowfast_ext/predict/many.py",
        "if predictor.finds_segments else {}",
        "if False else {}",
        f"{OF_PREDICTIONS} -k another_least_score",
    ),
]

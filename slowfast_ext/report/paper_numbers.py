"""The paper's tables 3 and 4 (arXiv:2102.00719) as printed, with our configuration for each row.

Parameters are in millions, GFLOPs are those of all views of a video with a multiply-add counted as one,
accuracies on Kinetics-400 are in percent, minutes are those of one machine with eight V100.
"""

from dataclasses import dataclass

# SlowFast 16x8 R101 with non-local blocks: PySlowFast's c2/SLOWFAST_NLN_16x8_R101_50_50.
NON_LOCAL_SLOWFAST = (
    *("NONLOCAL.LOCATION", "[[[], []], [[], []], [[6, 13, 20], []], [[], []]]"),
    *("NONLOCAL.INSTANTIATION", "dot_product"),
)


@dataclass(frozen=True)
class Runtime:
    """A row of table 3.

    Attributes:
        model: The paper's name.
        config: File in configs/Kinetics, without its ending.
        inference: Key of PROTOCOLS.
        train_minutes: Of one epoch.
        epochs: None where the paper prints none.
        val_minutes: Of one pass over the validation set.
        params: Millions.
        top1, top5: Percent.
    """

    model: str
    config: str
    inference: str
    train_minutes: int
    epochs: int | None
    val_minutes: int
    params: int
    top1: float
    top5: float


@dataclass(frozen=True)
class Cost:
    """A row of table 4.

    Attributes:
        model, config, inference: As in table 3.
        frames: Of one view.
        views: Of one video.
        crop: Height and width in pixels.
        gflops: Of all views.
        top1: Percent; None where the paper prints none.
    """

    model: str
    config: str
    inference: str
    frames: int
    views: int
    crop: int
    gflops: int
    top1: float | None


TABLE_3 = (
    Runtime("I3D", "I3D_8x8_R50", "multi-view", 30, None, 84, 28, 73.5, 90.8),
    Runtime("NL I3D", "I3D_NLN_32x2_R50", "multi-view", 68, 50, 150, 54, 74.1, 91.7),
    Runtime("NL I3D", "I3D_NLN_32x2_R50", "full-video", 68, 50, 31, 54, 72.1, 90.5),
    Runtime("SlowFast-8x8-R50", "SLOWFAST_8x8_R50", "multi-view", 70, 196, 140, 35, 77.0, 92.6),
    Runtime("SlowFast-8x8-R50", "SLOWFAST_8x8_R50", "full-video", 70, 196, 26, 35, 68.4, 87.1),
    Runtime("SlowFast-16x8-R101", "SLOWFAST_16x8_R101", "multi-view", 220, 196, 244, 60, 78.9, 93.5),
    Runtime("R50-VTN", "VTN_R50", "full-video", 62, 40, 32, 168, 71.2, 90.0),
    Runtime("R101-VTN", "VTN_R101", "full-video", 110, 40, 32, 187, 72.1, 90.3),
    Runtime("DeiT-Ti-VTN (3 layers)", "VTN_DeiT_Ti", "full-video", 52, 60, 30, 10, 67.8, 87.5),
    Runtime("ViT-B-VTN (1 layer)", "VTN_ViT_B_1layer", "full-video", 107, 25, 48, 96, 78.6, 93.4),
    Runtime("ViT-B-VTN (3 layers)", "VTN_ViT_B", "full-video", 130, 25, 52, 114, 78.6, 93.7),
    Runtime(
        "ViT-B-VTN (3 layers), more augmentation", "VTN_ViT_B_aug", "full-video", 130, 35, 52, 114, 79.8, 94.2
    ),
)

TABLE_4 = (
    Cost("NL I3D", "I3D_NLN_32x2_R50", "multi-view", 32, 30, 224, 2625, 74.1),
    Cost("NL I3D", "I3D_NLN_32x2_R50", "full-video", 250, 1, 224, 1266, 72.2),
    Cost("SlowFast-8x8-R50", "SLOWFAST_8x8_R50", "multi-view", 32, 30, 256, 1971, 77.0),
    Cost("SlowFast-8x8-R50", "SLOWFAST_8x8_R50", "full-video", 250, 1, 256, 517, 68.4),
    Cost("SlowFast-16x8-R101", "SLOWFAST_16x8_R101", "multi-view", 64, 30, 256, 6390, 78.9),
    Cost("SlowFast-16x8-R101", "SLOWFAST_16x8_R101", "full-video", 250, 1, 256, 838, None),
    Cost("R50-VTN (3 layers)", "VTN_R50", "multi-view", 16, 30, 224, 2106, 70.9),
    Cost("R50-VTN (3 layers)", "VTN_R50", "full-video", 250, 1, 224, 1059, 71.2),
    Cost("R101-VTN (3 layers)", "VTN_R101", "multi-view", 16, 30, 224, 3895, 72.0),
    Cost("R101-VTN (3 layers)", "VTN_R101", "full-video", 250, 1, 224, 1989, 72.1),
    Cost("ViT-B-VTN (1 layer)", "VTN_ViT_B_1layer", "multi-view", 16, 30, 224, 8095, 78.5),
    Cost("ViT-B-VTN (1 layer)", "VTN_ViT_B_1layer", "full-video", 250, 1, 224, 4214, 78.6),
    Cost("ViT-B-VTN (3 layers)", "VTN_ViT_B", "multi-view", 16, 30, 224, 8113, 78.6),
    Cost("ViT-B-VTN (3 layers)", "VTN_ViT_B", "full-video", 250, 1, 224, 4218, 78.6),
)

"""A tiny I3D beside the tiny VTN of tiny_runs."""

from tiny_runs import TINY

I3D = TINY.replace(
    "{NUM_CLASSES: 5, ARCH: vtn, MODEL_NAME: VTN}", "{NUM_CLASSES: 5, ARCH: i3d, MODEL_NAME: ResNet}"
)
I3D += """
RESNET: {WIDTH_PER_GROUP: 8, NUM_GROUPS: 1, DEPTH: 50, TRANS_FUNC: bottleneck_transform, STRIDE_1X1: False,
         NUM_BLOCK_TEMP_KERNEL: [[3], [4], [6], [3]]}
NONLOCAL: {LOCATION: [[[]], [[]], [[]], [[]]], GROUP: [[1], [1], [1], [1]], INSTANTIATION: softmax}
"""

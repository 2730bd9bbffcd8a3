"""Faults of the area `flops`."""

from fault_lists import Fault

FLOPS = "slowfast_ext/flops.py"
TESTS = "tests/slowfast_ext/test_flops.py"

FAULTS = [
    Fault("a multiply-add counts as two", FLOPS, "flops / 2e9 for op", "flops / 1e9 for op", TESTS),
    Fault(
        "parts count a multiply-add as two",
        FLOPS,
        "if not _is_product(_name(op))) / 2e9",
        "if not _is_product(_name(op))) / 1e9",
        TESTS,
    ),
    Fault(
        "fused attention of a CPU is not counted",
        FLOPS,
        "{torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _fused_attention_flops}",
        "{}",
        TESTS,
    ),
    Fault(
        "attention counts among the linear layers",
        FLOPS,
        'return "bmm" in name or "attention" in name',
        'return "bmm" in name',
        TESTS,
    ),
    Fault(
        "the full video is counted with a clip's frames",
        FLOPS,
        "cfg.TRAIN.EVAL_NUM_FRAMES if cfg.TRAIN.EVAL_FULL_VIDEO else cfg.DATA.NUM_FRAMES",
        "cfg.DATA.NUM_FRAMES",
        TESTS,
    ),
    Fault(
        "crops do not count as views",
        FLOPS,
        "cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS",
        "cfg.TEST.NUM_ENSEMBLE_VIEWS",
        f"{TESTS} tests/slowfast_ext/test_paper_tables.py",
    ),
    Fault(
        "counting changes the model",
        FLOPS,
        'copy.deepcopy(model).to("meta").eval()',
        'model.to("meta").eval()',
        f"{TESTS}::test_counting_leaves_the_model_as_it_was",
    ),
]

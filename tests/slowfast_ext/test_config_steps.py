"""What a step cannot do is refused before a run begins, in a sentence that says what to type."""

import importlib.util

import pytest
import torch

from slowfast_ext import config_check, config_steps
from slowfast_ext.host import get_host
from vtn import InputError

host = get_host()
OWN = ("ENGINE", "own")


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Pretend to be on a processor with these instructions."""

    def pretend(capabilities: dict, flags: str) -> None:
        (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags} sse2\n")
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
        monkeypatch.setattr("slowfast_ext.processor._CPUINFO", tmp_path / "cpuinfo")

    return pretend


@pytest.fixture
def gpu(monkeypatch):
    """Pretend that there is a GPU, which multiplies in bfloat16 or emulates it, as PyTorch knows to do."""

    def pretend(*, bfloat16: bool) -> None:
        monkeypatch.setattr(config_check, "visible_gpus", lambda: 1)
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True: including_emulation or bfloat16,
        )

    return pretend


@pytest.mark.parametrize(
    ("capabilities", "flags", "found"),
    [
        ({"avx512_bf16": True}, "", True),
        ({"amx_bf16": True, "avx512_bf16": False}, "", True),
        ({}, "avx512_bf16", True),
        ({"avx2": True, "avx512_bf16": False}, "avx2 avx512_bf16x", False),
    ],
)
def test_bfloat16_needs_a_processor_that_has_it(capabilities, flags, found, processor, tiny_cfg):
    processor(capabilities, flags)
    assert config_steps.cpu_has_bfloat16() == found
    for key in ("TRAIN.PRECISION", "TEST.PRECISION"):
        if found:
            tiny_cfg(*OWN, key, "bfloat16")
        else:
            message = rf"{key} is 'bfloat16', but this processor has neither .*: add {key} float32$"
            with pytest.raises(InputError, match=message):
                tiny_cfg(*OWN, key, "bfloat16")


@pytest.mark.parametrize("key", ["TRAIN.PRECISION", "TEST.PRECISION"])
def test_bfloat16_needs_a_gpu_that_has_it(key, tiny_cfg, gpu, processor):
    processor({}, "")  # of no interest on a GPU
    gpu(bfloat16=False)
    with pytest.raises(InputError, match=rf"{key} is 'bfloat16', which this GPU .*: add {key} float16 or"):
        tiny_cfg(*OWN, "NUM_GPUS", "1", key, "bfloat16")
    tiny_cfg(*OWN, "NUM_GPUS", "1", key, "float16")
    gpu(bfloat16=True)
    tiny_cfg(*OWN, "NUM_GPUS", "1", key, "bfloat16")


def test_what_is_not_used_need_not_be_possible(processor, tiny_cfg):
    processor({}, "")
    tiny_cfg(*OWN, "TRAIN.PRECISION", "bfloat16", "TRAIN.ENABLE", "False")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            "TRAIN.PRECISION float16",
            "TRAIN.PRECISION is 'float16', which needs a GPU: add TRAIN.PRECISION bf",
        ),
        ("TEST.PRECISION half", "TEST.PRECISION is 'half': it must be float32, bfloat16 or float16"),
        ("TRAIN.ACCUMULATE_STEPS 3", "ACCUMULATE_STEPS is 3: it must divide the 4 videos .*BATCH_SIZE 4$"),
        ("TRAIN.ACCUMULATE_STEPS 0", "ACCUMULATE_STEPS is 0: it must divide"),
        ("TRAIN.ACCUMULATE_STEPS 4 VTN.CPU_PROCESSES 2", "is 4: it must divide the 2 videos that a process"),
        ("TRAIN.EMA_DECAY 1.0", "TRAIN.EMA_DECAY is 1.0: it must be 0"),
        ("TRAIN.EMA_DECAY -0.1", "TRAIN.EMA_DECAY is -0.1: it must be 0"),
        ("SOLVER.LAYER_DECAY 1.5", "SOLVER.LAYER_DECAY is 1.5: it must be above 0 and at most 1"),
        ("SOLVER.LAYER_DECAY 0.5 VTN.FREEZE_BACKBONE True", "of which VTN.FREEZE_BACKBONE True trains none"),
        ("MODEL.ACT_CHECKPOINT True VTN.BACKBONE test_resnet", "activations of VTN.BACKBONE .* batch norms"),
        ("VTN.HEAD_INIT zero", "VTN.HEAD_INIT must be release or paper, not 'zero'"),
    ],
)
def test_impossible_steps_are_refused(overrides, message, tiny_cfg):
    with pytest.raises(InputError, match=message):
        tiny_cfg(*OWN, *overrides.split())


def test_compiling_for_a_cpu_needs_a_compiler(tiny_cfg, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        InputError, match=r"VTN\.COMPILE is True, but there is no C\+\+ compiler no-such-comp"
    ):
        tiny_cfg(*OWN, "VTN.COMPILE", "True")


def test_compiling_for_a_gpu_needs_triton(tiny_cfg, gpu, monkeypatch):
    gpu(bfloat16=True)
    monkeypatch.setenv("CXX", "no-such-compiler")  # not asked for
    tiny_cfg(*OWN, "NUM_GPUS", "1", "VTN.COMPILE", "True")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "triton" else 1)
    with pytest.raises(InputError, match=r"VTN\.COMPILE is True, but the package triton"):
        tiny_cfg(*OWN, "NUM_GPUS", "1", "VTN.COMPILE", "True")


@pytest.mark.skipif(not host.has_loops(), reason="this PySlowFast has no loops of its own")
@pytest.mark.parametrize(
    "overrides",
    [
        "TRAIN.PRECISION bfloat16",
        "TEST.PRECISION bfloat16",
        "TRAIN.ACCUMULATE_STEPS 2",
        "TRAIN.EMA_DECAY 0.9",
        "SOLVER.FUSED True",
        "SOLVER.LAYER_DECAY 0.75",
        "VTN.COMPILE True",
        "TENSORBOARD.WANDB True",
    ],
)
def test_mains_loops_do_not_honour_our_keys(overrides, tiny_cfg):
    key, _ = overrides.split()
    with pytest.raises(InputError, match=rf"{key} is .*main's own loops \(ENGINE own .* does more\)"):
        tiny_cfg(*overrides.split())


@pytest.mark.skipif(host.NAME != "wheel", reason="some of main's models have them")
@pytest.mark.parametrize("overrides", ["SOLVER.LAYER_DECAY 0.5", "MODEL.ACT_CHECKPOINT True"])
def test_the_wheels_models_lack_what_vtn_has(overrides, demo_cfg):
    key, value = overrides.split()
    demo_cfg("VTN", *(overrides.split() if "LAYER" in key else ()), "VTN.BACKBONE", "test_vit")
    with pytest.raises(InputError, match=f"{key} is {value}: for ResNet of PySlowFast 1.0 only this works"):
        demo_cfg("I3D", *overrides.split())

"""From a checkpoint to a folder of programs, each run beside the model before the folder has its name."""

from collections.abc import Callable
from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from slowfast_ext.arguments import said_in_keys
from slowfast_ext.files import reason_of, whole_folder
from slowfast_ext.models import VTN
from slowfast_ext.predict import Predictor
from slowfast_ext.programs.check import explained, require_equal
from slowfast_ext.programs.facts import program_facts
from slowfast_ext.programs.forms import Form, OnnxForm, Program, TorchForm
from vtn.errors import InputError
from vtn.temporal_program import TemporalProgram

NAMES = ("backbone", "temporal")
# What a folder may hold that is written anew.
_OURS = {f"{name}{form.suffix}" for name in NAMES for form in (OnnxForm, TorchForm)}


def write_programs(predictor: Predictor, out: Path, form: Form, say: Callable[[str], None]) -> None:
    """Write both parts of a VTN into a folder, and compare them with the model.

    Args:
        predictor: The model with its configuration, on the CPU.
        out: The folder; there is none yet, or it is empty or holds only such programs.
        form: The kind of files.
        say: Is told how far each is from the model.

    Raises:
        InputError: If the model cannot be exported or the folder not written, or a program differs from the
            model: then nothing is kept, and what was there stays.
    """
    model = predictor.model
    if not isinstance(model, VTN):
        raise InputError(
            f"the model is a {type(model).__name__}: only a VTN has programs; --to safetensors takes any"
        )
    crop_size = predictor.cfg.DATA.TEST_CROP_SIZE
    with said_in_keys():
        programs = _programs(model, crop_size)
    _say_what_is_left_out(predictor.cfg, say)
    fingerprint = predictor.fingerprint()
    facts = program_facts(model, predictor.cfg, predictor.class_names, fingerprint, **form.software())
    try:
        with whole_folder(out, may_hold=_OURS) as folder:
            for program in programs:
                path = folder / f"{program.name}{form.suffix}"
                with explained(f"the {program.name} cannot be traced"):
                    form.write(program, facts, path)
                with explained(f"the {program.name} that was written cannot be loaded"):
                    run = form.load(path, program)
                found = require_equal(program.name, model, run, crop_size)
                size = path.stat().st_size / 2**20
                differences = ", ".join(f"{words} {value:.1e}" for words, value in found.items())
                say(f"{path.name}, {size:,.1f} MiB, differs from the model by at most: {differences}")
    except OSError as error:
        raise InputError(f"cannot write {out}: {reason_of(error)}.") from error


def _say_what_is_left_out(cfg: CfgNode, say: Callable[[str], None]) -> None:
    for key, instead in (
        ("REUSE_FRAMES", "encode all frames that they are given"),
        ("LOCALIZATION_SCALES", "classify whole videos and find no segments"),
    ):
        if value := cfg.VTN[key]:
            say(f"VTN.{key} {value} is no part of the programs: they {instead}")


def _programs(model: VTN, crop_size: int) -> list[Program]:
    images = torch.zeros(2, 3, crop_size, crop_size)
    features = torch.zeros(2, 70, model.embed_dim)
    inputs = {"frame_features": features, "frame_indices": torch.arange(70).repeat(2, 1)}
    of_video = {0: "videos", 1: "frames"}
    return [
        Program("backbone", model.backbone, {"images": images}, ({0: "images"},), ("features",)),
        Program("temporal", TemporalProgram(model), inputs, (of_video, of_video), ("logits", "scores")),
    ]

"""A trained VTN as programs that run without this project: files of torch.export or ONNX."""

from slowfast_ext.programs.write import write_programs

__all__ = ["write_programs"]

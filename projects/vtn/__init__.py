"""Video Transformer Network (arXiv:2102.00719) in plain PyTorch."""

from .checkpoint import load_checkpoint
from .errors import InputError
from .model import VTN
from .recipe import Recipe
from .variants import create_model

__all__ = ["VTN", "InputError", "Recipe", "create_model", "load_checkpoint"]

"""Video Transformer Network (arXiv:2102.00719) in plain PyTorch."""

from .checkpoint import load_checkpoint
from .errors import InputError
from .model import VTN
from .recipe import Recipe
from .stored import classify_stored
from .streaming import CausalStreaming, Streaming
from .variants import create_model
from .weight_files import save_weights

__all__ = [
    "VTN",
    "CausalStreaming",
    "InputError",
    "Recipe",
    "Streaming",
    "classify_stored",
    "create_model",
    "load_checkpoint",
    "save_weights",
]

"""What is put into PySlowFast 1.0. It ships no loops, so this is for loops that other people wrote for it."""

from slowfast.datasets import loader
from slowfast.models import model_builder

from slowfast_ext.data.build import construct_loader, shuffle_dataset
from slowfast_ext.models import make_model


def replace_functions() -> None:
    """Put our loader and our models where PySlowFast's functions are looked up."""
    loader.construct_loader, loader.shuffle_dataset = construct_loader, shuffle_dataset
    model_builder.build_model = make_model

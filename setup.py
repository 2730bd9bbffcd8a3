"""Two packages: `vtn` (projects/vtn, plain PyTorch) and `slowfast_ext` (the bridge to PySlowFast)."""

from setuptools import find_packages, setup

setup(
    name="vtn-pyslowfast",
    version="0.1.0",
    description="Video Transformer Network (arXiv 2102.00719) as a plugin for PySlowFast",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=["vtn", *find_packages(include=["slowfast_ext", "slowfast_ext.*"])],
    package_dir={"vtn": "projects/vtn"},
    entry_points={"console_scripts": ["vtn = slowfast_ext.cli:main"]},
    install_requires=[
        # Before 2.10 a checkpoint could run code though loaded with weights_only=True (CVE-2026-24747).
        "torch>=2.10",
        "torchvision>=0.25",  # the one that belongs to torch 2.10
        "timm>=1.0.16",  # its attention takes a mask, which token merging needs
        "safetensors>=0.4",  # files of weights and of features
        "av>=14.0",
        "numpy>=1.26",
        "matplotlib>=3.8",
        "tqdm>=4.66",
        # The default host. Its own metadata forgets torch, fvcore, iopath, numpy and opencv.
        "pyslowfast==1.0",
        "fvcore>=0.1.5.post20221221",
        "iopath>=0.1.10",
        "opencv-python-headless>=4.9",
        "simplejson>=3.19",
        "transformers>=5.0",  # VTN.SEQUENCE_ENCODER, and benchmarks against its Longformer
    ],
    extras_require={
        "transformers": [],  # in the default install now; the name is kept for commands that have it
        # What PySlowFast main imports when it is used in place of the wheel (SLOWFAST_HOME).
        "git": [
            "pytorchvideo>=0.1.5",
            "pandas>=2.0",
            "scikit-learn>=1.3",
            "scipy>=1.11",
            "psutil>=5.9",
            "tensorboard>=2.15",
        ],
        "test": [
            "axe-core-python>=0.1",  # its axe.min.js looks at pages
            "pytest>=9.0",  # it ends a process whose test does not end
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.5",
            "ruff>=0.9",
            "scikit-video>=1.1.11",
            "tensorboard>=2.15",
        ],
        "dev": ["pre-commit>=4.0"],
    },
)

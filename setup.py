"""Two packages: `vtn` (projects/vtn, plain PyTorch) and `slowfast_ext` (the bridge to PySlowFast)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = (HERE / "slowfast_ext" / "version.py").read_text(encoding="utf-8")
_EXPORT = ["onnx>=1.20", "onnxscript>=0.6", "onnxruntime>=1.23"]
_JOBS = ["pyarrow>=18.0"]
_RAY = ["ray[data]>=2.60,<2.64"]  # tested with the lower one; 2.64 takes arguments of actors in another way

setup(
    name="vtn-pyslowfast",
    version=re.search(r'^__version__ = "(.+)"$', VERSION, re.MULTILINE)[1],
    description="Video Transformer Network (arXiv 2102.00719) as a plugin for PySlowFast",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    project_urls={"Paper": "https://arxiv.org/abs/2102.00719"},
    keywords=["video", "action recognition", "transformer", "PyTorch", "PySlowFast"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    python_requires=">=3.10",
    packages=["vtn", *find_packages(include=["slowfast_ext", "slowfast_ext.*"]), "slowfast_ext.configs"],
    # configs/ goes into the wheel as a folder of slowfast_ext: see slowfast_ext/config_files.py.
    package_dir={"vtn": "projects/vtn", "slowfast_ext.configs": "configs"},
    package_data={"slowfast_ext.configs": ["*/*.yaml"]},
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
        # tools/export.py --to onnx
        "export": _EXPORT,
        "jobs": _JOBS,  # lists and predictions of very many videos as Parquet
        "ray": [*_JOBS, *_RAY],  # --runner ray
        "test": [
            *_EXPORT,
            *_JOBS,
            *_RAY,
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

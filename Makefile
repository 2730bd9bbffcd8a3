# Everything a new user needs: `make demo`, then `make test`. Both make .venv first when it is not there.
PYTHON ?= python3
VENV   := .venv
comma  := ,
BIN    := $(VENV)/bin
# With SLOWFAST_HOME=/path/to/SlowFast, the packages that PySlowFast main needs are installed, and the tests run twice.
CHECKOUT := SlowFast
SLOWFAST_URL ?= https://github.com/facebookresearch/SlowFast
SLOWFAST_COMMIT ?= 287ec0076846560f44a9327e931a5a2360240533
# Once `make install-git` has put main there, it is used.
ifneq ($(wildcard $(CHECKOUT)/slowfast/models/build.py),)
SLOWFAST_HOME ?= $(CURDIR)/$(CHECKOUT)
export SLOWFAST_HOME
endif
EXTRAS := test$(if $(SLOWFAST_HOME),$(comma)git)
READY  := $(VENV)/.installed$(if $(SLOWFAST_HOME),-git)

.DEFAULT_GOAL := help
.PHONY: help install install-git checkout demo test test-slow gpu-wheels test-gpu lint format clean

help:
	@echo "make demo       make a video data set, compare VTN with I3D, non-local I3D and SlowFast on it (about 12 minutes)"
	@echo "make test       run the tests (about 12 minutes; with SLOWFAST_HOME=/path/to/SlowFast once on each PySlowFast)"
	@echo "make test-slow  run the tests that take minutes each"
	@echo "make test-gpu   run the tests and benchmarks that need a GPU (make gpu-wheels first, for a machine without network)"
	@echo "make lint       check style; make format repairs it"
	@echo "make install    make $(VENV) and install the project with the tested versions"
	@echo "make install-git  the same, and PySlowFast main from GitHub into $(CHECKOUT)/, which is used from then on"
	@echo "make clean      remove $(VENV) and outputs"

install: $(READY)
	@echo "Installed into $(VENV). Next: make demo, or $(BIN)/python tools/run_net.py --cfg configs/Kinetics/VTN_ViT_B.yaml DATA.PATH_TO_DATA_DIR FOLDER"

# --progress-bar needs a terminal; without one pip prints a line per package, which shows progress too.
$(READY): setup.py pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("this project needs python >= 3.10, not " + sys.version.split()[0] if sys.version_info < (3, 10) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV); PyTorch is a download of several GB the first time."
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[$(EXTRAS)]' -c constraints.txt
	touch $(READY)

install-git: checkout
	$(MAKE) install SLOWFAST_HOME=$(CURDIR)/$(CHECKOUT)
	@echo "PySlowFast main is in $(CHECKOUT)/ and is used from now on; SLOWFAST_HOME= before a command takes the one from PyPI."

# One commit, fetched by its number; a checkout that has it already needs no network.
checkout:
	@command -v git >/dev/null || { echo "error: make install-git needs the program git"; exit 1; }
	@test -d $(CHECKOUT)/.git || git init -q $(CHECKOUT)
	@cd $(CHECKOUT) && { git cat-file -e $(SLOWFAST_COMMIT) 2>/dev/null || \
	    GIT_TERMINAL_PROMPT=0 git fetch -q --depth 1 $(SLOWFAST_URL) $(SLOWFAST_COMMIT) 2>/dev/null || \
	    { echo "error: $(SLOWFAST_URL) cannot be reached, or lacks commit $(SLOWFAST_COMMIT): use make install, which takes PySlowFast from PyPI"; exit 1; }; }
	@cd $(CHECKOUT) && git -c advice.detachedHead=false checkout -q $(SLOWFAST_COMMIT)

demo: $(READY)
	$(BIN)/python tools/demo.py --out outputs/demo

# One process more than cores, as many tests wait for others; each with one thread: small models gain nothing from more.
# All must collect the same names.
WORKERS = $(shell $(PYTHON) -c "import os; print(min(len(os.sched_getaffinity(0)) + 1, 4))")
PYTEST = OMP_NUM_THREADS=1 PYTHONHASHSEED=0 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations=10

test: $(READY)
	SLOWFAST_HOME= $(PYTEST) -m "not slow"
	$(if $(SLOWFAST_HOME),$(PYTEST) -m "not slow")

PYTEST_SLOW := $(BIN)/python -m pytest -m slow --durations=10 -o faulthandler_timeout=1300

# One after the other: some send signals and measure how soon something ends.
test-slow: $(READY)
	SLOWFAST_HOME= $(PYTEST_SLOW)
	$(if $(SLOWFAST_HOME),$(PYTEST_SLOW))

# On a machine with a GPU. Where that has no network, copy the folder there with `make gpu-wheels` done: it must have
# PyTorch, torchvision, timm, transformers, matplotlib, opencv and pytest, and a Python of GPU_PYTHON's version.
GPU_PYTHON ?= 3.12
WHEELS := wheels
PLATFORMS := $(foreach glibc,2_28 2_17 2014,--platform manylinux$(if $(findstring _,$(glibc)),_)$(glibc)_x86_64)
GPU_RUN := $(if $(wildcard $(WHEELS)),PYTHONPATH=$(WHEELS)/installed:$(CURDIR)/projects:$(CURDIR) $(PYTHON),$(BIN)/python)
GPU_OUT := outputs/gpu

gpu-wheels: $(READY)
	rm -rf $(WHEELS)
	$(BIN)/python -m pip wheel --no-deps -w $(WHEELS) -c constraints.txt pyslowfast fvcore iopath yacs termcolor portalocker tabulate scikit-video
	$(BIN)/python -m pip download --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) $(PLATFORMS) -d $(WHEELS) -c constraints.txt av simplejson

test-gpu: $(if $(wildcard $(WHEELS)),,$(READY))
	$(if $(wildcard $(WHEELS)),$(PYTHON) -m pip install -q --no-index --no-deps --upgrade --target $(WHEELS)/installed $(WHEELS)/*.whl)
	@$(GPU_RUN) -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "error: make test-gpu needs a GPU, but PyTorch sees no CUDA device")'
	mkdir -p $(GPU_OUT)
	$(GPU_RUN) -m pytest -m needs_cuda --durations=10
	$(GPU_RUN) benchmarks/train_step.py --device cuda --compile --precisions bfloat16 --out $(GPU_OUT)/train_step.json
	$(GPU_RUN) benchmarks/full_video.py --device cuda --out $(GPU_OUT)/full_video.json
	$(GPU_RUN) benchmarks/temporal_encoder.py --device cuda --features 250 2000 --out $(GPU_OUT)/temporal_encoder.json

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) outputs build dist *.egg-info

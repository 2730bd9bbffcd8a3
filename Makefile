# Everything a new user needs: `make demo`, then `make test`. Both make .venv first when it is not there.
PYTHON ?= python3
VENV   := .venv
comma  := ,
BIN    := $(VENV)/bin
# With SLOWFAST_HOME=/path/to/SlowFast, the packages that PySlowFast main needs are installed, and the tests run twice.
EXTRAS := test$(if $(SLOWFAST_HOME),$(comma)git)
READY  := $(VENV)/.installed$(if $(SLOWFAST_HOME),-git)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint format clean

help:
	@echo "make demo       make a video data set, train and test VTN, I3D and SlowFast on it (8 to 14 minutes)"
	@echo "make test       run the tests (under 10 minutes; with SLOWFAST_HOME=/path/to/SlowFast once on each PySlowFast)"
	@echo "make test-slow  run the tests that take minutes each"
	@echo "make lint       check style; make format repairs it"
	@echo "make install    make $(VENV) and install the project with the tested versions"
	@echo "make clean      remove $(VENV) and outputs"

install: $(READY)

# --progress-bar needs a terminal; without one pip prints a line per package, which shows progress too.
$(READY): setup.py pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("this project needs python >= 3.10, not " + sys.version.split()[0] if sys.version_info < (3, 10) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV); PyTorch is a download of several GB the first time."
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[$(EXTRAS)]' -c constraints.txt
	touch $(READY)

demo: $(READY)
	$(BIN)/python tools/demo.py --out outputs/demo

test: $(READY)
	SLOWFAST_HOME= $(BIN)/python -m pytest -m "not slow" --durations=10
	$(if $(SLOWFAST_HOME),$(BIN)/python -m pytest -m "not slow" --durations=10)

test-slow: $(READY)
	SLOWFAST_HOME= $(BIN)/python -m pytest -m slow --durations=10
	$(if $(SLOWFAST_HOME),$(BIN)/python -m pytest -m slow --durations=10)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) outputs build *.egg-info

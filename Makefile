# Everything from nothing but Python 3.11 or newer and make. All that is installed lands in .venv.
#
#   make demo PYTHON=/opt/python3.12/bin/python3   another Python (run `make clean` first)
#   make demo TORCH_INDEX=                         PyTorch from PyPI, with CUDA on Linux
#   make demo PIP_FLAGS="--proxy http://host:port" any further options for pip
#
# On Linux, PyPI's PyTorch brings gigabytes of CUDA libraries. Where there is no NVIDIA driver,
# the CPU build is looked for at TORCH_INDEX first; if that host does not answer, PyPI's is taken.
# By hand it is: pip install -c constraints.txt --extra-index-url \
#   https://download.pytorch.org/whl/cpu .

PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)
TORCH_INDEX ?= $(shell test "$$(uname -s)" = Linux && ! command -v nvidia-smi >/dev/null \
	&& echo https://download.pytorch.org/whl/cpu)
PIP_FLAGS ?=

# What is imported is compiled once and kept: the tests and the demonstration start Python often.
unexport PYTHONDONTWRITEBYTECODE

PIP := .venv/bin/python -m pip --disable-pip-version-check
# Modules are compiled when they are first imported: most of those that come along never are.
INSTALL := $(PIP) install --no-compile -c constraints.txt $(PIP_FLAGS)

.PHONY: help demo test docs clean

help:
	@echo "make demo    install agns into .venv and run the demonstration"
	@echo "make test    install agns with its development tools and run scripts/check"
	@echo "make docs    install the documentation's tools and build it into site/"
	@echo "make clean   remove .venv and site"

demo: .venv/installed
	.venv/bin/agns demo all

test: .venv/installed-dev
	scripts/check

docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet
	@echo "Open site/index.html in a browser; for the search: .venv/bin/mkdocs serve"

clean:
	rm -rf .venv site

# .venv/unfinished stands while pip writes: an install that was killed can leave a package that
# looks complete and is not, so that such an environment is built anew.
define prepare
@if test -e .venv/unfinished || ! $(PIP) --version >/dev/null 2>&1; then \
	python="$(PYTHON)"; \
	if test -z "$$python" || \
	! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "agns needs Python 3.11 or newer$${python:+, and $$python is not}:" \
			"install one, or name it with PYTHON=/path/to/python3." >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python cannot make a virtual environment: on Debian and Ubuntu," \
			"install python3-venv." >&2; \
		exit 1; \
	fi; \
	echo "Making .venv with $$("$$python" --version) ($$python)"; \
	"$$python" -m venv --clear --without-pip .venv && touch .venv/unfinished && \
	.venv/bin/python -m ensurepip --default-pip >/dev/null; \
fi
@touch .venv/unfinished
endef

# PyTorch alone is asked for at the extra index, so that it serves no other package.
define install_torch
$(if $(TORCH_INDEX),$(INSTALL) --retries 1 --no-deps --extra-index-url $(TORCH_INDEX) torch)
endef

# While pip asks for the rest, the other core compiles what every process will import.
COMPILE_TORCH := .venv/bin/python -m compileall -q .venv/lib/python3*/site-packages/torch

.venv/installed: pyproject.toml constraints.txt
	$(prepare)
	$(install_torch)
	$(COMPILE_TORCH) >/dev/null 2>&1 & $(INSTALL) -e .
	@rm .venv/unfinished && touch $@

.venv/installed-dev: pyproject.toml constraints.txt
	$(prepare)
	$(install_torch)
	$(COMPILE_TORCH) >/dev/null 2>&1 & $(INSTALL) -e ".[dev]"
	@rm .venv/unfinished && touch .venv/installed $@

.venv/installed-docs: pyproject.toml constraints.txt
	$(prepare)
	$(install_torch)
	$(INSTALL) -e ".[docs]"
	@rm .venv/unfinished && touch .venv/installed $@

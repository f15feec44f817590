# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# `make quickstart` and `make test` need nothing before them: they set up .venv when that is not done yet.
PYTHON_VENV := .venv/bin/python
PRESET ?=
SEEDS ?= 1
STAGE ?= A
ARGS ?=

.PHONY: help setup test test-slow quickstart quickstart-mupots study table4 bench docs lint format clean

help:
	@echo 'make setup        make .venv (PYTHON=... chooses the interpreter)'
	@echo 'make quickstart   the whole experiment on the embedded world (PRESET=full: hours, more images; tiny: only shows that it runs)'
	@echo 'make quickstart-mupots  goes on: root depth, poses of many in camera space, MuPoTS tables'
	@echo 'make study STAGE=B  does relative depth help 3D: labels (A), pre-trainings (B), starts (C); resumable'
	@echo 'make table4 SEEDS=3  3D finetuning from every start, mixed training included; resumable'
	@echo 'make bench        all benchmarks of the CPU set, under 15 minutes; ARGS="--only NAME" for one'
	@echo 'make docs         these pages and the API as html, into site/'
	@echo 'make test         quick tests; make test-slow: the others (PYTEST_ARGS=... for pytest)'
	@echo 'make lint         ruff; make format: let ruff mend'

setup:
	@tools/setup_env.sh

quickstart: setup
	@$(PYTHON_VENV) tools/experiments/quickstart.py $(if $(PRESET),--preset $(PRESET)) $(ARGS)

quickstart-mupots: setup
	@$(PYTHON_VENV) tools/experiments/quickstart.py --mupots $(if $(PRESET),--preset $(PRESET)) $(ARGS)

study: setup
	@$(PYTHON_VENV) tools/experiments/study.py --stage $(STAGE) $(if $(PRESET),--preset $(PRESET)) $(ARGS)

table4: setup
	@$(PYTHON_VENV) tools/experiments/table4.py --seeds $(SEEDS) $(ARGS)

bench: setup
	@$(PYTHON_VENV) tools/benchmarks/run_all.py $(ARGS)

test: setup
	@$(PYTHON_VENV) -m pytest -n auto -m 'not slow' $(PYTEST_ARGS)

test-slow: setup
	@$(PYTHON_VENV) -m pytest -n auto -m slow $(PYTEST_ARGS)

docs: setup
	@$(PYTHON_VENV) -m pip install -q -r requirements/docs.txt -c requirements/constraints.txt
	@$(PYTHON_VENV) -m sphinx -W --keep-going -q -b html docs site
	@echo 'site/index.html'

lint: setup
	@$(PYTHON_VENV) -m ruff check .
	@$(PYTHON_VENV) -m ruff format --check .

format: setup
	@$(PYTHON_VENV) -m ruff check --fix .
	@$(PYTHON_VENV) -m ruff format .

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov .setup site

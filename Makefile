# Every target sets up first; that takes no time when nothing has changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV_PYTHON := .venv/bin/python
ARGS ?=
export TORCH TORCH_INDEX_URL V

.DEFAULT_GOAL := help
.PHONY: help setup demo up test lint format docs pictures bench bench-gpu load test-all test-api test-containers test-gpu test-slow keep audit constraints clean clean-venv

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## create .venv and install (TORCH=cpu|cuda, TORCH_INDEX_URL=..., PYTHON=..., V=1: show what pip does)
	@if [ -z "$(PYTHON)" ]; then echo "setup failed: no python3.11 on PATH; install Python 3.11" >&2; exit 1; fi
	@"$(PYTHON)" scripts/setup.py

demo: setup ## the whole platform on real digits (ARGS=--once: wait for the job and exit with its status)
	@$(VENV_PYTHON) manage.py demo $(ARGS)

up: setup ## the whole platform without the demo's data
	@$(VENV_PYTHON) manage.py up $(ARGS)

test: setup ## in 10 minutes: lint, unit tests, faults, browser (ARGS=changed: what is near a change)
	@$(VENV_PYTHON) -m scripts.test $(ARGS)

test-all: setup ## the same and what takes longer: all that needs neither GPU nor Docker, as CI runs it
	@$(VENV_PYTHON) -m scripts.test --all $(ARGS)

lint: setup ## ruff, mypy, import rules, circles of imports, templates laid out, no line too long
	@$(VENV_PYTHON) -m scripts.test lint

format: setup ## let ruff and djangofmt rewrite what they can
	@.venv/bin/ruff check --fix . ; .venv/bin/ruff format . ; .venv/bin/djangofmt accsite

docs: setup ## the documentation as a site, in build/site; a broken link or name fails
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet && echo "build/site/index.html"

pictures: setup ## do the tutorial from its first command to its last, and take the documentation's pictures
	@$(VENV_PYTHON) -m scripts.pictures

bench: setup ## one table: the platform against the bare loop, measured here and now
	@$(VENV_PYTHON) -m benchmarks $(ARGS)

load: setup ## what one installation holds: 100 browsers, 200 jobs, 1,000 workers (ARGS=watchers, jobs, workers)
	@$(VENV_PYTHON) -m benchmarks.load $(ARGS)

bench-gpu: setup ## precision, compilation and CUDA graphs, measured on an NVIDIA GPU
	@$(VENV_PYTHON) -m benchmarks gpu

test-gpu: setup ## the tests that need an NVIDIA GPU
	@$(VENV_PYTHON) -m scripts.test gpu

test-api: setup ## ask the whole API what its schema allows and what it does not (ACC_API_EXAMPLES=25: how often)
	@$(VENV_PYTHON) -m scripts.test api

test-containers: setup ## boot the compose stack with Docker and try it (ACC_TEST_BUILT=1: with the image that is there)
	@$(VENV_PYTHON) -m scripts.test containers

test-slow: setup ## the tests that take minutes
	@$(VENV_PYTHON) -m scripts.test slow

keep: setup ## a release keeps an installation that it made in tests/kept/, for the tests of upgrades to come
	@$(VENV_PYTHON) -m scripts.keep

audit: setup ## known vulnerabilities of what is pinned (asks osv.dev, as pip-audit can)
	@$(VENV_PYTHON) -m scripts.audit

constraints: setup ## renew constraints.txt from what .venv holds
	@$(VENV_PYTHON) -m scripts.constraints

clean: ## remove caches and test results (the demo's data in var/ and .venv stay)
	rm -rf build dist test-results staticfiles .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

clean-venv: ## remove .venv
	rm -rf .venv

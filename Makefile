# Everything is done with Python 3.11 or newer and make; `make` alone lists the targets.

# The interpreter that .venv is made with: the first of these that is here and new enough.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python3.14 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
UV = $(shell uv --version >/dev/null 2>&1 && echo uv || echo .venv/bin/uv)
WORKERS ?= logical
ROUNDS ?= 10
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install serve test lint bench soak lock

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf 'make %-8s %s\n' "$$name" "$$text"; done

install: .venv/.installed  ## Make .venv with what requirements.lock pins (PYTHON=… names the interpreter)

serve: install  ## Run Portico (HOST=… PORT=…)
	@exec .venv/bin/portico serve

test: install  ## Run the whole test suite (ARGS=… goes to pytest)
	.venv/bin/pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal $(ARGS)

lint: install  ## Check the format, the style, the types and the import contracts
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: install  ## Run the benchmarks, as ratios
	.venv/bin/python -m tests.benchmarks $(ARGS)

soak: install  ## Let the hosts of a whole deployment fail, one after the other (ROUNDS=…)
	PORTICO_SOAK_ROUNDS=$(ROUNDS) .venv/bin/pytest -n 0 -s tests/faults/test_many_machines.py $(ARGS)

lock: .venv/bin/python  ## Pin again what pyproject.toml asks for (ARGS=--upgrade for the newest)
	@$(use_uv)
	$(UV) pip compile pyproject.toml --extra dev --python-version 3.11 --universal --generate-hashes --quiet \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(ARGS) -o requirements.lock

# Without uv on the machine, the locked one is put into .venv first. Where even that one can't be had, pip does the
# work: the same packages with the same hashes, only slower.
use_uv = $(UV) --version >/dev/null 2>&1 || { sed -n '/^uv==/,/[^\\]$$/p' requirements.lock >.venv/uv.lock && \
	.venv/bin/python -m pip install --quiet --no-deps --require-hashes -r .venv/uv.lock; }

.venv/bin/python:
	@test -n '$(PYTHON)' || { echo 'Portico needs Python 3.11 or newer: install it, or name it with PYTHON=…' >&2; exit 1; }
	@case '$(UV)' in \
		uv) uv venv --quiet --allow-existing --python "$$('$(PYTHON)' -c 'import sys; print(sys.executable)')" .venv;; \
		*) '$(PYTHON)' -m venv .venv;; \
	esac

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	@echo 'Installing what requirements.lock pins into .venv'
	@if $(use_uv); then \
		VIRTUAL_ENV="$$PWD/.venv" $(UV) pip sync --quiet --require-hashes requirements.lock && \
		VIRTUAL_ENV="$$PWD/.venv" $(UV) pip install --quiet --no-deps --no-build-isolation --editable .; \
	else \
		sed '/^uv==/,/[^\\]$$/d' requirements.lock >.venv/without-uv.lock && \
		.venv/bin/python -m pip install --quiet --no-deps --require-hashes -r .venv/without-uv.lock && \
		.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@

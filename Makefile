# Everything is done with Python 3.11 or newer and make; `make` alone lists the targets.

# The interpreter that .venv is made with: the first of these that is here and new enough.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python3.14 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
UV = $(shell uv --version >/dev/null 2>&1 && echo uv || echo .venv/bin/uv)
# Processes that test: more than two cores have work for, as half of them wait for a server, or for a fault to end.
WORKERS ?= 4
ROUNDS ?= 10
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install serve test lint bench soak mutants lock

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf 'make %-8s %s\n' "$$name" "$$text"; done

install: .venv/.installed  ## Make .venv with what requirements-dev.lock pins (PYTHON=… names the interpreter)

serve: .venv/.serving  ## Run Portico, with what requirements.lock pins (HOST=… PORT=…)
	@exec .venv/bin/portico serve

test: install  ## Run the whole test suite (ARGS=… goes to pytest)
	.venv/bin/pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: install  ## Check the format, the style, the types and the import contracts
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: install  ## Run the benchmarks, as ratios
	.venv/bin/python -m tests.benchmarks $(ARGS)

soak: install  ## Let workers, databases and the hosts of a whole deployment fail for long (ROUNDS=… of the hosts)
	PORTICO_SOAK_ROUNDS=$(ROUNDS) .venv/bin/pytest -n 0 -s tests/faults/test_exactly_once.py \
		tests/faults/test_many_machines.py $(ARGS)

mutants: install  ## Change the rules and use cases bit by bit, and see that a test fails each time (ARGS=… names some)
	.venv/bin/mutmut run $(ARGS)
	.venv/bin/mutmut results

lock: .venv/bin/python  ## Pin again what pyproject.toml asks for (ARGS=--upgrade for the newest)
	@$(use_uv)
	$(compile) --extra tracing -o requirements.lock
	$(compile) --extra tracing --extra dev --constraint requirements.lock -o requirements-dev.lock

compile = $(UV) pip compile pyproject.toml --python-version 3.11 --universal --generate-hashes --quiet \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(ARGS)

# What requirements-dev.lock pins of one package, with its hashes.
pinned = sed -n '/^$(1)==/,/[^\\]$$/p' requirements-dev.lock

# Without uv on the machine, the locked one is put into .venv first. Where even that one can't be had, pip does the
# work: the same packages with the same hashes, only slower.
use_uv = $(UV) --version >/dev/null 2>&1 || { $(call pinned,uv) >.venv/uv.lock && \
	.venv/bin/python -m pip install --quiet --no-deps --require-hashes -r .venv/uv.lock; }

.venv/bin/python:
	@test -n '$(PYTHON)' || { echo 'Portico needs Python 3.11 or newer: install it, or name it with PYTHON=…' >&2; exit 1; }
	@case '$(UV)' in \
		uv) uv venv --quiet --allow-existing --python "$$('$(PYTHON)' -c 'import sys; print(sys.executable)')" .venv;; \
		*) '$(PYTHON)' -m venv .venv;; \
	esac

# What serving needs, and no tool of the tests; what is there already stays.
.venv/.serving: requirements.lock pyproject.toml | .venv/bin/python
	@echo 'Installing what requirements.lock pins into .venv'
	@$(call pinned,setuptools) | cat requirements.lock - >.venv/serving.lock
	@if $(use_uv); then \
		VIRTUAL_ENV="$$PWD/.venv" $(UV) pip install --quiet --no-deps --require-hashes -r .venv/serving.lock && \
		$(editable_by_uv); \
	else \
		.venv/bin/python -m pip install --quiet --no-deps --require-hashes -r .venv/serving.lock && \
		$(editable_by_pip); \
	fi
	@touch $@

.venv/.installed: requirements-dev.lock pyproject.toml | .venv/bin/python
	@echo 'Installing what requirements-dev.lock pins into .venv'
	@if $(use_uv); then \
		VIRTUAL_ENV="$$PWD/.venv" $(UV) pip sync --quiet --require-hashes requirements-dev.lock && \
		$(editable_by_uv); \
	else \
		sed '/^uv==/,/[^\\]$$/d' requirements-dev.lock >.venv/without-uv.lock && \
		.venv/bin/python -m pip install --quiet --no-deps --require-hashes -r .venv/without-uv.lock && \
		$(editable_by_pip); \
	fi
	@touch $@ .venv/.serving

editable_by_uv = VIRTUAL_ENV="$$PWD/.venv" $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
editable_by_pip = .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .

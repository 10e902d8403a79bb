# make quickstart   who is responsible for which grams, in 16 requests of a real trace
# make test         all tests
# make lint types   ruff and pyright
# make docs         the documentation as a site, in out/site
# make package      wheel and sdist, in dist, the wheel tried in an environment of its own
# make bench        the benchmarks
# make lock         pin the newest versions again; UPGRADE= keeps those pinned (maintainers)
# Each makes the virtual environment .venv first, where it is missing or out of date.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Where the published traces and grid data lie.
DATA := $(or $(CARBJAX_DATA),../shared/data)
TRACE := $(DATA)/azure_llm_2023/AzureLLMInferenceTrace_conv.csv
GRID := $(DATA)/grid/electricitymaps/US-CAL-CISO_2023_hourly.csv.gz
UPGRADE ?= --upgrade
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
  --constraint requirements.lock
# A file stays with one worker, which compiles what its tests share once.
PYTEST_FLAGS ?= -n 2 --dist loadfile

.PHONY: quickstart test lint types docs package bench lock clean install
.DELETE_ON_ERROR:

quickstart: install
	@if [ -r "$(TRACE)" ] && [ -r "$(GRID)" ]; then \
	  echo "Azure LLM inference trace 2023 (conversation), grid of California."; \
	  $(BIN)/carbjax attribute "$(TRACE)" --tz UTC --limit 16 --method shapley \
	    --intensity "$(GRID)"; \
	else \
	  echo "No traces at $(DATA): the sample trace of carbjax, 400 gCO2e/kWh."; \
	  echo "(Set CARBJAX_DATA to a folder with the published traces to use those.)"; \
	  $(BIN)/carbjax attribute sample --limit 16 --method shapley; \
	fi

test: install
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/pyright

docs: install
	$(PIP_INSTALL) --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "out/site/index.html"

package: install
	$(PIP_INSTALL) --editable ".[build]"
	$(BIN)/python .ci/package.py

bench: install
	$(PIP_INSTALL) --editable ".[bench]"
	$(BIN)/python -m benchmarks

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@python=""; \
	for candidate in python3 python3.13 python3.12 python3.11; do \
	  if $$candidate -c 'import sys, venv, ensurepip; \
	      sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	    python=$$candidate; break; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "carbjax needs Python 3.11, 3.12 or 3.13 with its venv module," >&2; \
	  echo "and found none named python3, python3.13, python3.12 or python3.11." >&2; \
	  echo "On Debian or Ubuntu: apt-get install python3 python3-venv" >&2; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$python --version)"; \
	$$python -m venv --clear $(VENV)
	$(PIP_INSTALL) --editable ".[test,lint]"
	@touch $@

lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal $(UPGRADE) --fork-strategy fewest \
	  --python-version 3.11 --all-extras --no-annotate --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command "make lock" \
	  --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist out .pytest_cache .ruff_cache
	find carbjax tests experiments benchmarks -name __pycache__ -prune -exec rm -rf {} +

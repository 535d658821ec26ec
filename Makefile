PYTHON ?= python3
MINUTES ?= 2
SEED ?= 0
VENV := .venv
BIN := $(VENV)/bin

unexport PYTHONDONTWRITEBYTECODE  # each of the many processes would compile everything again

.PHONY: demo test soak check mutants

demo: $(VENV)/installed
	$(BIN)/hpo run demo --trials 12
	@echo
	@echo "The best configuration:"
	@$(BIN)/hpo export demo
	@echo
	@echo "To see all trials in a browser:  $(BIN)/hpo dashboard demo"

test: $(VENV)/installed
	$(BIN)/pytest -n auto --dist worksteal -m "not soak"

soak: $(VENV)/installed
	HPO_SOAK_MINUTES=$(MINUTES) HPO_SOAK_SEED=$(SEED) $(BIN)/pytest -n auto --dist worksteal -m soak

mutants: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[mutants]'
	-OMP_NUM_THREADS=1 PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/mutmut run
	$(BIN)/mutmut results --all true | $(BIN)/python -m benchmarks.mutants

check: $(VENV)/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# demo and test set everything up by themselves; the rest expects nothing either.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two test processes with one BLAS thread each are steadier than one with two.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test slow lint docs bench fuzz clean

demo: $(VENV)/.demo
	rm -rf demo
	$(BIN)/certlip demo --out demo

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

# about 20 minutes; goes on where it was stopped, and starts anew without runs/fuzz
fuzz: $(VENV)/.bench
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fuzz

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# one stamp per set of extras; a change of the project's own files installs again
$(VENV)/.demo: EXTRAS = report
$(VENV)/.test: EXTRAS = test
$(VENV)/.lint: EXTRAS = test,lint
$(VENV)/.docs: EXTRAS = docs,test
$(VENV)/.bench: EXTRAS = bench
$(VENV)/.demo $(VENV)/.test $(VENV)/.lint $(VENV)/.docs $(VENV)/.bench: pyproject.toml setup.py constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@

clean:
	rm -rf $(VENV) demo site build *.egg-info

# Every target sets up what it needs: system packages (apt) and .venv.
PYTHON = .venv/bin/python
.PHONY: setup demo test check soak bench costs generate clean

setup:
	@tools/setup

demo: setup
	$(PYTHON) examples/demo.py

test: setup
	$(PYTHON) -m pytest tests -m "not soak" -n 2 --dist worksteal

check: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy toolkit host
	$(PYTHON) -m tools.generate --check
	$(PYTHON) tools/check_c.py

soak: setup
	$(PYTHON) -m pytest tests -n 2 --dist worksteal -v

bench: setup
	$(PYTHON) -m tools.bench
	$(PYTHON) -m tools.generate

costs: setup
	$(PYTHON) -m tools.costs --kernels "$(or $(KERNELS),*)" $(BOARDS)
	$(PYTHON) -m tools.cost_check $(BOARDS)

generate: setup
	$(PYTHON) -m tools.generate

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

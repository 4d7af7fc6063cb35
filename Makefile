# make lab opens the book, make test checks it; both install it into .venv first, once.
PYTHON = python3
BIN = .venv/bin

.PHONY: lab test bench course

lab: .venv/installed
	$(BIN)/jupyter lab $(ARGS) chapters/00_welcome.ipynb

test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --nbval-lax $(ARGS)

bench: .venv/installed
	for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark || exit 1; done

course: .venv/installed
	$(BIN)/python -m helpers.course $(ARGS)

.venv/installed: pyproject.toml constraints.txt
	@sh .ci/install "$(PYTHON)"

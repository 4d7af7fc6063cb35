# make lab opens the book, make test checks it; both install it into .venv first, once.
PYTHON = python3
BIN = .venv/bin
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root) # who works in a container is root

.PHONY: lab test bench course

lab: .venv/installed
	$(BIN)/jupyter-lab --notebook-dir=. --LabApp.default_url=/lab/tree/chapters/00_welcome.ipynb $(AS_ROOT) $(ARGS)

test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --nbval-lax $(ARGS)

bench: .venv/installed
	for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark || exit 1; done

course: .venv/installed
	$(BIN)/python -m helpers.course $(ARGS)

.venv/installed: pyproject.toml constraints.txt
	@sh .ci/install "$(PYTHON)"

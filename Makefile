# make lab opens your copy of the book, make test checks the book; each installs what it needs into .venv first, once.
PYTHON = python3
BIN = .venv/bin
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root) # who works in a container is root

.PHONY: lab test bench course my fresh

lab: my
	JUPYTER_CONFIG_PATH=.jupyter $(BIN)/jupyter-lab $(AS_ROOT) $(ARGS)

test: .venv/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --nbval-lax $(ARGS)

bench: .venv/installed-test
	for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark || exit 1; done

course: .venv/installed-course
	$(BIN)/python -m helpers.course $(ARGS)

my: .venv/installed-lab
	@$(BIN)/python -m helpers.reader

fresh: .venv/installed-lab
	@$(BIN)/python -m helpers.reader --fresh "$(CHAPTER)"

.venv/installed-test: EXTRAS = lab,course,test
.venv/installed-%: EXTRAS = $*
.venv/installed-%: pyproject.toml constraints.txt
	@sh .ci/install "$(PYTHON)" "$(EXTRAS)" "$@"

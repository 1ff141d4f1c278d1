# make demo    the whole way, torch to Verilog and VHDL, on the digits network (out/digits/)
# make test    everything that CI checks
# make help    the other targets
#
# The virtual environment is made by itself and remade when what it depends on changes. Folders that
# targets share are written under other names and moved, so `make -j` and two makes at once are safe.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
OUT    ?= out
JOBS   ?= 2
# how many of the slowest tests are told; 0: none
DURATIONS ?= 0

# where pip finds the CPU build of torch if its configured indexes have none
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TOOLS       := iverilog verilator ghdl yosys
SOURCES     := api arch cli compiler compress engines rtl tlm tests examples bench

# the same HDL and the same networks every time; one thread per process, since the tests use JOBS of them
export PYTHONHASHSEED := 0
export OMP_NUM_THREADS := 1
export MPLBACKEND := Agg

PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile
ifneq ($(DURATIONS),0)
PYTEST += --durations=$(DURATIONS)
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-long mutants fuzz bench lint tools docs clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kcnn needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .[dev] \
	  || $(BIN)/pip install --quiet --constraint constraints.txt --extra-index-url $(TORCH_INDEX) \
	       --editable .[dev]
	touch $@

## make demo       train, compile, simulate and convert the digits network; results in out/digits
demo: $(STAMP)
	$(BIN)/python examples/digits/demo.py --out $(OUT)/digits

## make test       what CI runs: lint, types, import contract, all quick tests;
##                 DURATIONS=20 tells the 20 slowest tests and files
test: lint tools
	$(PYTEST) -m "not long"

## make test-long  the tests that take minutes too
test-long: lint tools
	$(PYTEST)

## make mutants    changes of the central files (or of FILES=...) that their tests do not notice;
##                 fails where these are more than a tenth
mutants: $(STAMP)
	nice -n 15 $(BIN)/python bench/mutation/survivors.py --jobs $(JOBS) $(FILES)

## make fuzz       1,000 random networks on random machines; 50 of them as Verilog, on three machines;
##                 300 on ever smaller memories
fuzz: $(STAMP) tools
	$(BIN)/python tests/fuzz.py --jobs $(JOBS)
	$(BIN)/python tests/fuzz.py --jobs $(JOBS) --count 50 --verilator
	$(BIN)/python tests/tiled.py --count 300

## make lint       ruff, mypy and the import contract
lint: $(STAMP)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

## make tools      iverilog, verilator, ghdl, yosys: installed by apt-get for root, named if missing
tools: $(STAMP)
	@sh .ci/tools $(TOOLS)

## make bench      area of each block (Yosys) and speed of each engine on the demo network
bench: $(STAMP) tools
	$(BIN)/python bench/area.py
	$(BIN)/python bench/speed.py

## make docs       the pages that are generated from the sources
docs: $(STAMP)
	$(BIN)/python -m kcnn.arch.pages
	$(BIN)/python -m kcnn.compiler.pages

## make clean      everything that make made, the environment excepted
clean:
	rm -rf $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

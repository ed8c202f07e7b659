# Everything starts here: `make help`.
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-god test lint sample clean-venv

# libgomp's threads would spin at barriers whenever another process is busy, which makes a forward pass a hundred times slower.
export OMP_WAIT_POLICY ?= PASSIVE
python := .venv/bin/python
# One PyTorch process takes about 1 GB, so no more test workers than that even on a large machine.
TEST_WORKERS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1); echo $$((cores < 8 ? cores : 8)))
TEST_ARGS ?=

help:  ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo
	@echo "  PYTHON=/path/to/python3.11     the interpreter that .venv is made from"
	@echo "  ADMLOPS_TORCH_INDEX=URL        package index of PyTorch (default: its CPU index without an NVIDIA GPU, else PyPI)"
	@echo "  ADMLOPS_CACHE=FOLDER           compiled mmcv and index offsets (default ~/.cache/admlops)"
	@echo "  DATASET=FOLDER MODELZOO=FOLDER what data and checkpoints link to (default: plain folders)"

setup:  ## make .venv with everything pinned, link data and checkpoints, render data/sample (a second run costs seconds)
	@bash tools/setup.sh

demo: setup  ## render the sample release, train the six-branch network on it, test it, show where tables and pictures are
	@$(python) tools/demo.py camera

demo-god: setup  ## render the lidar sample, train the obstacle and drivable-area network on it, test it beside the height rule
	@$(python) tools/demo.py lidar

test: setup  ## run the tests; TEST_ARGS="-k name" is passed on, TEST_WORKERS=1 runs them one by one
	@OMP_NUM_THREADS=1 $(python) -m pytest -n $(TEST_WORKERS) --dist worksteal $(TEST_ARGS)

lint: setup  ## check style, types, docstrings and layers (also part of the tests)
	@$(python) -m pytest tests/test_code_style.py $(TEST_ARGS)

sample: setup  ## render the sample release into data/sample, where it is missing or from another renderer
	@echo "data/sample is there."

clean-venv:  ## remove .venv; the compiled mmcv stays in the cache
	rm -rf .venv

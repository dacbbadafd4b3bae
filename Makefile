# The course in one command: `make course`. `make help` lists the rest.
# Without make, README.md gives the same in three plain lines.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Relative paths in DATASET, ENCODER and COURSE_DATA start here; notebooks run in a folder of their own.
COURSE_START := $(CURDIR)
export PHOTO COURSE_START DATASET ENCODER COURSE_SIZE COURSE_SEED COURSE_SPLIT COURSE_PRECISION COURSE_DATA COURSE_MIRROR

# An installation is tied to the folder that it was made in: one that was moved or copied is made again.
FOLDER := $(shell printf '%s' "$(CURDIR)" | cksum | cut -d ' ' -f 1)
INSTALLED := $(VENV)/.installed-$(FOLDER)
TEST_INSTALLED := $(VENV)/.installed-test-$(FOLDER)
MORE_INSTALLED := $(VENV)/.installed-more-$(FOLDER)
PEERS_INSTALLED := $(VENV)/.installed-peers-$(FOLDER)
CONSTRAINTS ?= -c constraints.txt
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet $(CONSTRAINTS)

# What the course makes from the user's own folder has a name that ends with six hexadecimal digits from its path.
DIGIT := [0-9a-f]
MADE := exported scenes $(foreach name,coco flickr8k flickr30k,$(name) $(name)_karpathy) *_$(DIGIT)$(DIGIT)$(DIGIT)$(DIGIT)$(DIGIT)$(DIGIT)

.DEFAULT_GOAL := help
.PHONY: help install course advanced caption demo photo-model lab docker test test-more test-full bench bench-peers lint lessons exercises notebooks clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1@/p' Makefile | awk -F @ '{ printf "make %-12s %s\n", $$1, $$2 }'
	@echo
	@echo "Choices for course and lab: DATASET=scenes|coco|flickr8k|flickr30k|FOLDER"
	@echo "  ENCODER=inception_v3|vgg16|mobilenet|...|FILE.keras  COURSE_SIZE=full|small"
	@echo "  COURSE_SPLIT=karpathy (with coco, flickr8k, flickr30k): the split of published comparisons"
	@echo "  COURSE_PRECISION=bfloat16: embed faster, where the processor has it (docs/data_sets.md)"
	@echo "Another Python (3.11 to 3.13): PYTHON=python3.12"

install: $(INSTALLED) ## make .venv and install what the course needs

course: $(INSTALLED) ## work through the core notebooks; pages and executed copies go to build/
	@$(BIN)/python -m tools.run_course

advanced: $(INSTALLED) ## the same, followed by the advanced notebooks
	@$(BIN)/python -m tools.run_course --all

caption: $(INSTALLED) ## describe pictures: make caption PHOTO=holiday.jpg (files, folders, addresses)
	@test -n "$$PHOTO" || { echo "Say which picture: make caption PHOTO=holiday.jpg"; exit 2; }
	@if test -e "$$PHOTO"; then $(BIN)/say-what-you-see caption "$$PHOTO"; else $(BIN)/say-what-you-see caption $$PHOTO; fi

demo: $(INSTALLED) ## caption pictures on a page in the browser, on this computer only
	@$(BIN)/say-what-you-see demo

photo-model: DATASET := $(or $(DATASET),flickr8k)
photo-model: ENCODER := $(or $(ENCODER),efficientnet_lite2_299)
# A transformer's grids of COCO, four views of each picture, would take 117 GB of disk.
photo-model: MODEL := $(or $(MODEL),$(if $(filter coco,$(DATASET)),decoder,transformer))
photo-model: $(INSTALLED) ## train on photographs, from the download to a model folder: make photo-model DATASET=coco
	@for step in resources embed prepare "train --model $(MODEL)" evaluate \
		"model pack build/photo_model.zip --half-precision"; do \
		echo "== $$step"; $(BIN)/say-what-you-see $$step || exit 1; \
	done
	@echo "Use it: make caption PHOTO=holiday.jpg"

lab: $(INSTALLED) ## open the first notebook in JupyterLab
	$(BIN)/python -m jupyterlab notebooks/00_start_here.ipynb

docker: ## run the course in a container, with nothing installed here: make docker, or make docker DEVICE=gpu
	docker compose -f docker/compose.yaml --profile $(or $(DEVICE),cpu) up --build

test: $(TEST_INSTALLED) ## test everything, the notebooks on a few dozen pictures
	status=0; \
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --ignore=tests/unit/benchmarks/test_stages.py \
		--cov=say_what_you_see --cov-report=term:skip-covered || status=$$?; \
	$(BIN)/python -m pytest --nbval-lax --nbval-current-env notebooks || status=$$?; \
	exit $$status

test-more: $(MORE_INSTALLED) ## test the optional parts: the models on JAX and PyTorch, extraction with Ray
	status=0; \
	for backend in jax torch; do KERAS_BACKEND=$$backend $(BIN)/python -m pytest -m backends || status=$$?; done; \
	$(BIN)/python -m pytest tests/system/test_backends.py tests/unit/distributed tests/unit/benchmarks \
		tests/unit/vision/test_efficientnet_lite.py || status=$$?; \
	exit $$status

test-full: $(TEST_INSTALLED) ## run the long tests: notebooks at full size against committed outputs, many kills, long runs
	$(BIN)/python -m pytest -m full tests/notebooks tests/system

bench: $(INSTALLED) ## time each part beside what people would use instead: make bench, or make bench STAGES="greedy_one beam"
	$(BIN)/python -m benchmarks $(STAGES)

bench-peers: $(PEERS_INSTALLED) ## install the packages of other frameworks that the benchmark compares with

lint: $(TEST_INSTALLED) ## check code style, lesson code, the form of notebooks, links and spelling
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/python -m tools.include_lessons --check
	$(BIN)/python -m tools.make_exercises --check
	$(BIN)/python -m tools.lint

lessons: $(INSTALLED) ## bring lesson code, badges and first cells of the notebooks up to date
	$(BIN)/python -m tools.include_lessons

exercises: $(INSTALLED) ## make the exercise notebooks and their solutions from the lessons
	$(BIN)/python -m tools.make_exercises

notebooks: $(INSTALLED) lessons exercises ## execute the notebooks in place, from scratch, for committing
	rm -rf data/scenes
	$(BIN)/python -m tools.run_course --all --in-place
	rm -rf say_what_you_see/shipped/scene_model && cp -r data/scenes/inception_v3/model say_what_you_see/shipped/scene_model

clean: ## remove build/ and whatever the course made or downloaded under data/
	rm -rf build
	cd data && rm -rf $(MADE) $(MADE:%=%_small)

$(INSTALLED): requirements.txt constraints.txt pyproject.toml
	@command -v "$(PYTHON)" > /dev/null || { echo "$(PYTHON) was not found. Install Python 3.12, or name yours: make PYTHON=..."; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else "The course needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is %d.%d. Install one of them and name it: make PYTHON=python3.12" % v)'
	@echo "Installing into $(VENV); this takes a minute or two ..."
	@"$(PYTHON)" -m venv $(VENV)
	@$(PIP_INSTALL) -r requirements.txt -e .
	@touch $@

$(TEST_INSTALLED): requirements-test.txt $(INSTALLED)
	@$(PIP_INSTALL) -r requirements-test.txt
	@touch $@

$(MORE_INSTALLED): requirements-backends.txt requirements-ray.txt $(TEST_INSTALLED)
	@$(PIP_INSTALL) -r requirements-backends.txt -r requirements-ray.txt
	@touch $@

$(PEERS_INSTALLED): requirements-peers.txt requirements-backends.txt $(INSTALLED)
	@$(PIP_INSTALL) -r requirements-peers.txt
	@touch $@

# Two commands set everything up on a fresh machine: `make tune` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRACKERS := $(VENV)/.trackers
STUDIES ?= ./studies
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

CLUSTERS ?= cluster.yaml cluster/gcp.yaml cluster/own-hosts.yaml

.PHONY: install browser latex tune report stored-studies test check lint types cluster-check unit notebooks ray-tests commands test-faults soak bench docs fmt clean

# With `docs`: `make test` builds the site too.
install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $(STAMP)

# What test-faults needs besides: the trackers, to which searches then log.
$(TRACKERS): $(STAMP)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,docs,mlflow,wandb]'
	touch $(TRACKERS)

# The main job on the embedded sample: search, best model, result table.
tune: install
	$(BIN)/python -m r2d_ray.tune --dataset bioasq --profile embedded --storage-path $(STUDIES)

# Tables, pictures and the page of the stored studies; of others: python -m analysis STUDY ...
report: install
	$(BIN)/python -m analysis examples/studies/comparison examples/studies/search --out report

# Makes the stored studies anew: after a change of what studies hold, not of what models learn.
STORED := examples/studies
SMALL := --dataset bioasq --sample-rows 1000 60 40 --set stage1_max_steps=40 --set max_steps=120 \
	--set stage1_eval_steps=20 --set logging_steps=20 --storage-path build/studies
stored-studies: install
	rm -rf build/studies
	$(BIN)/python -m r2d_ray.compare $(SMALL) --methods sft dss r2d teacher_forcing --seeds 1 2 3 \
		--set eval_steps=40 --set learning_rate=0.002 --name comparison
	$(BIN)/python -m r2d_ray.tune $(SMALL) --num-samples 8 --set eval_steps=20 --name search
	for study in comparison search; do \
		rm -rf $(STORED)/$$study/predictions && mkdir -p $(STORED)/$$study/predictions; \
		(cd build/studies/$$study && cp study.json records.jsonl result.json $(CURDIR)/$(STORED)/$$study); \
		cp build/studies/$$study/predictions/*-test*.jsonl $(STORED)/$$study/predictions; \
	done

# Debian's Chromium and its driver, for the test that looks at the page; else that test skips.
browser:
	$(SUDO) apt-get update
	$(SUDO) apt-get install --yes --no-install-recommends chromium chromium-driver

# pdfLaTeX of Debian, for the test that compiles the folder for a paper; else that test skips.
latex:
	$(SUDO) apt-get update
	$(SUDO) apt-get install --yes --no-install-recommends texlive-latex-recommended texlive-fonts-recommended lmodern

# Every check and test; the types' check has one process, so the unit tests run beside it.
test: lint cluster-check
	$(MAKE) --jobs 2 types unit
	$(MAKE) notebooks ray-tests

check: lint types cluster-check

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

# Cluster files offline: Ray's own schema and our rules.
cluster-check: install
	$(BIN)/python cluster/check.py $(CLUSTERS)

# A process a core, a thread a process.
unit: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

# The notebooks that read a study, on the stored search and the stored comparison; what they print
# is not kept. The one that trains runs with `commands`.
READING := $(wildcard analysis/notebooks/0[1-4]*.ipynb)
notebooks: install
	for study in search comparison; do \
		R2D_STUDY=$(CURDIR)/$(STORED)/$$study $(BIN)/pytest -n 2 --nbmake $(READING) || exit 1; \
	done

# Real Ray clusters on loopback, one after the other.
ray-tests: install
	$(BIN)/pytest -m ray --durations=0 tests/ray

# What the documents show, run as shown but small, under real Ray.
commands: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -m commands -s --durations=0 tests/commands
	R=$$(mktemp -d) && cp analysis/notebooks/05*.ipynb $$R && \
		(cd $$R && $(CURDIR)/$(BIN)/pytest -p no:cacheprovider --nbmake --nbmake-timeout=900 .); \
		code=$$?; rm -rf $$R; exit $$code

# Hostile input, killed processes, lost nodes, trackers; then `commands`.
test-faults: $(TRACKERS)
	R2D_FUZZ=2000 OMP_NUM_THREADS=1 $(BIN)/pytest -m fuzz -n auto tests/fuzz
	$(BIN)/pytest -m faults --durations=0 tests/faults
	$(MAKE) commands

# 200 trials under a random killer: 9 minutes on two quiet cores.
soak: install
	$(BIN)/pytest -m soak --durations=0 -s tests/faults/test_soak.py

# Every benchmark, one after the other, on a machine that does nothing else; BENCH=--full for more.
RESULTS := benchmarks/results
bench: install
	mkdir -p $(RESULTS)
	for name in step agreement inference scaling study overhead; do \
		OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.$$name --json $(RESULTS)/$$name.json $(BENCH) \
			|| exit 1; \
	done
	$(BIN)/python -m benchmarks.report --json $(RESULTS)/report.json

# The documents as a site in site/, which needs no network, to build it or to read it.
docs: install
	$(BIN)/python docs/generate_settings.py
	$(BIN)/mkdocs build --strict

fmt: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis

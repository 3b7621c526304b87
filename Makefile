# The two commands of the README are `make serve` and `make test`; both set up whatever is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(shell command -v uv 2>/dev/null || echo $(VENV)/uv/bin/uv)
SERVE_ARGS ?=
UNIT := OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit --numprocesses auto --dist loadfile

.PHONY: serve test test-deploy check unit slow accuracy integration browser lint peers constraints bench bench-compare bench-device bench-gpu bench-eval load \
  hardening clean
.DEFAULT_GOAL := serve

serve: $(READY)  ## start the whole stack; SERVE_ARGS="--port 8080" for options
	@exec $(BIN)/tapetum serve $(SERVE_ARGS)

test: check slow accuracy integration browser  ## every check and every test

test-deploy: $(READY)  ## images, compose, manifests, a cluster, Prometheus: needs root and Debian's packages, which it installs
	$(BIN)/python -m pytest tests/deploy

check: lint unit  ## what to run before every commit

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

unit: $(READY)
	$(UNIT) -m "not slow"

slow: $(READY)  ## the unit tests that `make check` leaves out: training, real networks, processes
	$(UNIT) -m slow

accuracy: $(READY)  ## needs the sample images; skipped by name without them
	$(BIN)/python -m pytest tests/accuracy

integration: $(READY)
	$(BIN)/python -m pytest tests/integration

browser: $(READY)  ## the playground in Debian's Chromium, which is installed where this runs as root; skipped by name without it
	@$(BIN)/python -m tests.debian chromium
	$(BIN)/python -m pytest tests/browser

bench: $(READY)  ## overhead and throughput against the peers; BENCH_ARGS="--quick" for a short run
	$(BIN)/python -m loadtests.overhead --with litserve --with mosec $(BENCH_ARGS)

bench-compare: $(READY)  ## the ratios of the last full run beside those of the one before
	@$(BIN)/python -m loadtests.comparison $(BENCH_ARGS)

bench-device: $(READY)  ## the models alone, on whatever device is here
	$(BIN)/python -m loadtests.device $(BENCH_ARGS)

bench-gpu: $(READY)  ## the options for GPUs, each on and off, in less than eight minutes: needs a GPU
	$(BIN)/python -m loadtests.gpu $(BENCH_ARGS)

bench-eval: $(READY)  ## what measuring costs: scoring, workers, memory; BENCH_ARGS="--only scoring" for a part
	$(BIN)/python -m loadtests.evaluation $(BENCH_ARGS)

load: $(READY)  ## users and an open loop against a started stack, about a minute; LOAD_ARGS="--help" for options
	$(BIN)/python -m loadtests.under_load $(LOAD_ARGS)

hardening: $(READY)  ## hostile and broken input, kills and a soak, half an hour; HARDENING_ARGS="--only sockets" for a part
	$(UV) pip install --quiet --python $(BIN)/python -c constraints.txt --group hardening
	$(BIN)/python -m loadtests.hardening $(HARDENING_ARGS)

peers: $(READY)  ## the environments of a real Triton server and of KServe's clients, which some tests use
	$(BIN)/python -m loadtests.environments triton kserve

constraints: $(READY)  ## resolve constraints.txt anew
	$(UV) pip compile pyproject.toml --extra explain --extra export --extra quantize --extra timm --group dev --group hardening --universal --python-version 3.11 --upgrade --quiet \
	  --no-header --no-annotate --no-emit-index-url -o constraints.txt

$(READY): pyproject.toml constraints.txt
	@command -v $(UV) >/dev/null || { $(PYTHON) -m venv $(VENV)/uv && $(VENV)/uv/bin/pip install --quiet uv; }
	@test -x $(BIN)/python || $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode -c constraints.txt -e '.[explain,export,quantize,timm]' --group dev
	@touch $@

clean:
	rm -rf $(VENV) .venv-litserve .venv-mosec .venv-triton .venv-kserve

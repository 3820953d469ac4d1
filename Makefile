# The doors of the house. `make test` and `make demo` set up all they need; a second run starts at once.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help env demo test unit lint type peers first-peers acceptance bench soak fuzz mutants bootstrap source-archive release example pictures docs requirements clean

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
WORKERS ?= 2
# A QEMU that was put beside the peers is found without being named.
QEMU := $(wildcard .peers/bin/qemu-system-x86_64)
ifneq ($(QEMU),)
export GLASSCLAVE_QEMU ?= $(CURDIR)/$(QEMU)
endif
# What is fuzzed (tests/fuzz/targets.py), and how long each; what is found grows in build/fuzz.
FUZZ_TARGETS ?= answers archives bundle claims codecs document eif layers manifest texts
FUZZ_SECONDS ?= 60
# More options for pytest, e.g. make soak ARGS='-k eif'
ARGS ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: .venv/.ready ## the environment .venv, from hashed requirements

.venv/.ready: tools/environment.sh requirements/dev.txt pyproject.toml $(wildcard sandbox/pyproject.toml)
	@bash tools/environment.sh

demo: env ## from a container image to a verdict, on loopback, in under a minute
	@if [ -n "$$GLASSCLAVE_QEMU" ]; then bash tools/peers.sh system || true; fi
	@$(BIN)/glassclave demo $(ARGS)

test: lint first-peers ## lint, then every test but the acceptance tests
	$(PYTEST) -n $(WORKERS) --dist loadgroup -m "not acceptance" $(ARGS)

unit: env ## the fast tests only
	$(PYTEST) -n $(WORKERS) tests/unit tests/property $(ARGS)

lint: env type ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: env ## mypy, strict
	$(BIN)/mypy

# What cannot be had is printed with its reason; the tests that need it are then skipped with the same words.
first-peers:
	@bash tools/peers.sh first || true

peers: env ## the real programs of the acceptance tests, built from pinned sources: about half an hour
	@bash tools/peers.sh first second

acceptance: env first-peers ## the tests that take minutes, or need what `make peers` builds
	$(PYTEST) -m acceptance $(ARGS)
	bash tests/acceptance.sh

bench: env ## the benchmarks, into docs/benchmarks.md: about 12 minutes (QUICK=1 small; ARGS='describe verify' some)
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(ARGS)

soak: env ## property and fuzz tests with far more examples, drawn by chance; then `make fuzz` and `make mutants`: hours
	GLASSCLAVE_EXAMPLES=soak $(PYTEST) -n $(WORKERS) --timeout 0 tests/property tests/fuzz $(ARGS)
	@$(MAKE) --no-print-directory fuzz
	@$(MAKE) --no-print-directory mutants ARGS=

fuzz: env ## every parser fuzzed, guided by coverage (FUZZ_SECONDS=60 for each of FUZZ_TARGETS); stops at a find
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements/fuzz.txt
	@mkdir -p build; for target in $(FUZZ_TARGETS); do echo "== $$target"; \
	  nice -n 10 $(BIN)/python -m tests.fuzz.run $$target $(FUZZ_SECONDS) build/fuzz 2>build/fuzz-$$target.log \
	    || { tail -40 build/fuzz-$$target.log; exit 1; }; grep -a '^Done\|peak_rss' build/fuzz-$$target.log; done

mutants: env ## every check weakened in every small way: do tests notice? (ARGS='policy/*.py' for some, --page FILE)
	nice -n 10 $(BIN)/python -m tools.mutants --workers $(WORKERS) $(ARGS)

bootstrap: env ## kernel and init rebuilt from source, compared byte for byte (SOURCE=FILE takes a source archive)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements/bootstrap.txt
	$(BIN)/python bootstrap/build.py $(if $(SOURCE),--source $(SOURCE)) $(ARGS)

source-archive: ## the kernel's exact source, as an asset of a release, into dist/ (INTO=DIR; SOURCE=FILE takes a file)
	python3 bootstrap/build.py --keep-source $(or $(INTO),dist) $(if $(SOURCE),--source $(SOURCE))

release: ## the wheels and the SBOM of a release, into dist/release (INTO=DIR)
	bash tools/release.sh $(or $(INTO),dist/release)

example: env ## the example's container image compiled anew, compared byte for byte
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r examples/hello/requirements.txt
	$(BIN)/python examples/hello/make_layout.py $(ARGS)

pictures: env ## docs/pictures anew, from real runs
	$(BIN)/python tools/pictures.py

docs: env ## every link and every schema in the documents
	$(BIN)/python tools/check_docs.py

UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements"

requirements: env ## the hashed requirements, from requirements/*.in (UPGRADE=1 takes the newest versions)
	@for name in runtime action dev fuzz bootstrap release bench; do \
	  $(UV_COMPILE) $(if $(UPGRADE),--upgrade) -o requirements/$$name.txt requirements/$$name.in || exit 1; done
	cp requirements/bootstrap.txt examples/hello/requirements.txt

clean: ## removes what make made, but not the peers
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

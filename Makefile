# Everything below sets itself up: a fresh Debian machine needs python3.11, python3-venv,
# make and curl.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := $(VENV)/.demo
# With it, each start of the command would compile 200 modules again: 0.2 s of CPU time.
unexport PYTHONDONTWRITEBYTECODE
ORDER = $(if $(SHUFFLE),--random-order-bucket=global --random-order-seed=$(SHUFFLE))

.PHONY: help install demo test test-long test-clients story chaos programs spark deploy-check check format lint types docs compose compiled mutants bench soak audit release ranges lock clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

# Packages of the files named, and the command itself, compiled; one line for each package that is fetched.
define packages
	@$(BIN)/pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "into $(VENV), $$(cat $(1) | grep -c ==) packages by their hashes:"
	@set -o pipefail; $(BIN)/python -m pip install --no-color --progress-bar off --disable-pip-version-check --require-hashes $(addprefix -r ,$(1)) \
	  | sed -un -e 's/^Collecting \([^ ]*\).*/  \1/p' -e 's/^Installing collected packages.*/  unpacking all of them/p'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q -j 0 -x /test_ proxy $(wildcard tests)
	@touch $@
endef

$(STAMP): requirements/dev.txt requirements/build.txt pyproject.toml
	$(call packages,requirements/build.txt requirements/dev.txt)

$(DEMO): requirements/demo.txt requirements/build.txt pyproject.toml
	$(call packages,requirements/build.txt requirements/demo.txt)

install: $(STAMP) ## The command nearbucket, in .venv/bin; the other targets do this themselves

demo: $(if $(wildcard $(STAMP)),$(STAMP),$(DEMO)) ## A real local S3 server, two buckets, the proxy, and lines to try
	@$(BIN)/nearbucket demo $(ARGS)

test: $(STAMP) ## All tests but those of the other targets; SHUFFLE=7 for another order
	$(BIN)/python -m pytest -m "not compose and not long and not spark and not chaos and not deploy" -n auto --maxprocesses=4 --dist=worksteal $(ORDER) $(ARGS)

test-long: $(STAMP) ## What takes minutes: the whole matrix, every lane on both event loops, 10,000 objects, more examples and fuzzing
	$(BIN)/python -m pytest -m "long or hypothesis" --hypothesis-profile=long -n auto --maxprocesses=4 --dist=worksteal $(ARGS)

test-clients: $(STAMP) ## Install curl, wget, git, Chromium and others, and run the tests that use them
	$(BIN)/python -m tests.programs; had=$$?; $(BIN)/python -m pytest -m clients $(ARGS) && exit $$had

story: $(STAMP) ## Plays a team's downloads against the product and a local S3 server, long scenes too
	$(BIN)/python -m tests.story $(ARGS)

chaos: $(STAMP) ## Faults between the product and S3, killed workers, attacks: every byte is checked; ARGS=--long for minutes of it
	$(BIN)/python -m pytest tests/chaos -m chaos -s $(ARGS)

spark: $(STAMP) ## The same reports by Apache Spark: installs PySpark (500 MB), needs Java 17
	-@test $(VENV)/.spark -nt requirements/spark.txt || { \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --require-hashes -r requirements/spark.txt && touch $(VENV)/.spark; }
	$(BIN)/python -m pytest -m spark $(ARGS)

deploy-check: $(STAMP) ## The Terraform module and the CloudFormation templates: validated, applied to moto, checked
	-@test $(VENV)/deploy/.installed -nt requirements/deploy.txt || { $(PYTHON) -m venv $(VENV)/deploy && \
	  $(VENV)/deploy/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/deploy.txt && \
	  touch $(VENV)/deploy/.installed; }
	$(BIN)/python -m pytest -m deploy $(ARGS)

check: format lint types programs test chaos spark docs compose ## What CI runs; as root, it installs the client programs first

programs: $(STAMP)
	-@$(BIN)/python -m tests.programs # tests that miss one say so at the end

format: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP) ## The generated pages are current, and all pages as a site in build/site
	$(BIN)/python docs/generate.py --check
	@test $(VENV)/docs/.installed -nt requirements/docs.txt || { $(PYTHON) -m venv $(VENV)/docs && \
	  $(VENV)/docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt && \
	  touch $(VENV)/docs/.installed; }
	NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --quiet --strict

compose: $(STAMP) ## The image and docker compose, for real where an engine can be had; COMPILE_NEARBUCKET=1 for the compiled build
	$(BIN)/python -m pytest -m compose $(ARGS)

compiled: $(STAMP) ## The optional build, its policy and fast lane as C extensions: a wheel in build/compiled, and tests of it; needs gcc and Python.h
	@test $(VENV)/compile/.installed -nt requirements/compile.txt || { $(BIN)/python -m venv $(VENV)/compile && \
	  $(VENV)/compile/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/compile.txt && \
	  touch $(VENV)/compile/.installed; }
	rm -rf build/compiled build/lib.*
	COMPILE_NEARBUCKET=1 $(VENV)/compile/bin/python -m pip wheel --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --wheel-dir build/compiled .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target build/compiled/lib build/compiled/*.whl
	COMPILE_NEARBUCKET=1 PYTHONPATH=build/compiled/lib $(BIN)/python -m pytest -m "not long" -n auto --maxprocesses=4 --dist=worksteal \
	  tests/test_compiled.py tests/test_version.py tests/policy tests/regions tests/telemetry tests/frontend tests/behaviour tests/equivalence \
	  tests/supervisor/test_ipc.py tests/supervisor/pool tests/supervisor/worker tests/cli/test_explain.py tests/cli/test_main.py $(ARGS)

mutants: $(STAMP) ## Small faults put into copies of the code, and those that no test notices
	$(BIN)/python -m tests.mutants $(ARGS)

bench: $(STAMP) ## Side by side with nginx and HAProxy
	$(BIN)/python -m bench.run $(ARGS)

soak: $(STAMP) ## Mixed load for 20 minutes: whether memory, descriptors or threads grow; ARGS="--minutes 3"
	$(BIN)/python -m bench.soak $(ARGS)

audit: $(STAMP) ## Known vulnerabilities of the locked packages; what cannot be audited is no pass
	@test $(VENV)/audit/.installed -nt requirements/audit.txt || { $(PYTHON) -m venv $(VENV)/audit && \
	  $(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/audit.txt && \
	  touch $(VENV)/audit/.installed; }
	@$(BIN)/python -m tests.audit

release: $(STAMP) ## Wheel, sdist, bill of materials and checksums of the last commit, in dist/
	@test $(VENV)/release/.installed -nt requirements/release.txt || { $(PYTHON) -m venv $(VENV)/release && \
	  $(VENV)/release/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/release.txt && \
	  touch $(VENV)/release/.installed; }
	@$(BIN)/python deploy/release.py

ranges: $(STAMP) ## Renew the built-in list of AWS's prefixes; before each release
	rm -rf build/ranges && mkdir -p build/ranges
	cd build/ranges && NEARBUCKET_REGIONS__CACHE=list.json ../../$(BIN)/nearbucket ranges update
	gzip -9nc build/ranges/list.json > proxy/nearbucket/regions/ip-ranges.json.gz
	$(BIN)/python -m nearbucket.regions.prepared_list < build/ranges/list.json | gzip -9n > proxy/nearbucket/regions/ip-ranges.prepared.gz

lock: $(STAMP) ## Renew the hashed requirement files
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements/serve.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra dev --constraint requirements/serve.txt pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra demo --constraint requirements/dev.txt pyproject.toml -o requirements/demo.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra spark --constraint requirements/dev.txt pyproject.toml -o requirements/spark.txt
	echo mkdocs-material | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o requirements/docs.txt
	echo cyclonedx-bom | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o requirements/release.txt
	printf '%s\n' 'moto[server]' cfn-lint checkov kubernetes-validate | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o requirements/deploy.txt
	echo mypy | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --constraint requirements/dev.txt - -o requirements/compile.txt
	echo pip-audit | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o requirements/audit.txt

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build
	find proxy -name "*.egg-info" -exec rm -r {} +

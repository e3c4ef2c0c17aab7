# Python lives in .venv, state in .local; both stay inside the checkout.
.NOTPARALLEL:
# Keep compiled modules whatever the environment says: without them startup takes a tenth longer.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
# Left out: `matching`, which needs a file, and `sync`, which takes long.
BENCHES := ingest cached_page pipe latency stream outage orgs_apply candidates autocomplete scoring rescoring query_apply search search_quality pages hit_rate
# The local servers' settings; the caller's environment takes precedence.
SETTINGS := given=$$(export -p); set -a; [ ! -f .local/env ] || . .local/env; eval "$$given"
.PHONY: help install fmt lint types imports docs compose-check unit integration e2e fuzz test faults lives faults-tools bench bench-tools bench-data stack stack-down rebuild run up down logs clean

help: ## list the targets
	@grep -hE '^[a-z0-9%-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

install: $(INSTALLED) ## create .venv and install dependencies (on Debian as root: Java and Maven too)

$(INSTALLED): requirements.lock pyproject.toml devstack/install
	@devstack/install && touch $@

fmt: $(INSTALLED) ## format the code
	@$(PYTHON) -m ruff check --fix --quiet . ; $(PYTHON) -m ruff format .

lint: $(INSTALLED) ## check style and spelling
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && .venv/bin/codespell

types: $(INSTALLED) ## mypy --strict
	@$(PYTHON) -m mypy

imports: $(INSTALLED) ## check which module may import which
	@.venv/bin/lint-imports

docs: $(INSTALLED) ## check that the generated tables in docs/ match the code
	@$(PYTHON) -m devstack.documents --check

compose-check: ## parse docker-compose.yml with the real parser
	@devstack/compose --env-file .env.example config --quiet && echo "docker-compose.yml is valid"

unit: $(INSTALLED) ## unit tests, no servers
	@$(PYTHON) -m pytest tests/unit

integration: $(INSTALLED) ## integration tests, on real servers
	@$(PYTHON) -m pytest tests/integration

e2e: $(INSTALLED) ## end-to-end tests, with the services as processes
	@$(PYTHON) -m pytest tests/e2e

fuzz: $(INSTALLED) ## 10,000 requests generated from the services' OpenAPI documents
	@FUZZ_CASES=10000 $(PYTHON) -m pytest tests/security/test_fuzz.py

# In file order: xdist would run the files with the fewest tests last, and they take the longest.
test: $(INSTALLED) ## all tests, in one run, one file per core at a time
	@$(PYTHON) -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

faults: $(INSTALLED) faults-tools ## fault injection: N scenarios from seed FIRST, AT_ONCE beside one another; prints a table
	@$(PYTHON) -m tests.faults --clocks --first $(or $(FIRST),1) --count $(or $(N),20) --at-once $(or $(AT_ONCE),1)

lives: $(INSTALLED) ## N random lives of companies through the three stores, from seed FIRST, compared with the model
	@$(PYTHON) -m tests.faults.lives --first $(or $(FIRST),1) --count $(or $(N),1000)

faults-tools: ## install libfaketime, for clock steps (on Debian as root)
	@ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libfaketime </dev/null

bench: stack bench-tools $(addprefix bench-,$(BENCHES)) ## run the benchmarks one after the other on the local servers

bench-tools: ## install wrk, the load generator (on Debian as root)
	@command -v wrk >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq wrk </dev/null

bench-data: stack ## load one user with 500,000 contacts into the database `bench`; ARGS="--scale 0.1" for less
	@$(SETTINGS); $(PYTHON) -m bench.data $(ARGS)

bench-%: $(INSTALLED) ## run one benchmark of bench/ by name, with ARGS="…"
	@$(SETTINGS); $(PYTHON) -m bench.$* $(ARGS)

stack: $(INSTALLED) ## start PostgreSQL, Valkey and Kafka, and write .local/env
	@$(PYTHON) -m devstack up

stack-down: $(INSTALLED) ## stop them; state is kept
	@$(PYTHON) -m devstack down

rebuild: $(INSTALLED) ## rebuild a store beside the live one: SERVICE=query, orgs or scoring, with ARGS="…"
	@case "$(SERVICE)" in query|orgs|scoring) ;; *) echo "SERVICE is query, orgs or scoring, not '$(SERVICE)'" >&2; exit 2;; esac; $(SETTINGS); $(PYTHON) -m services.$(SERVICE) rebuild $(ARGS)

run: $(INSTALLED) ## run everything with a Pipedrive double, until Ctrl-C; no Docker needed
	@$(PYTHON) -m devstack run

logs: ## follow the logs of `make run`
	@tail -n 20 -F .local/log/*.log

up: ## run everything in Docker
	@devstack/compose up --build --detach

down: ## stop what `make up` started; state is kept
	@devstack/compose down

clean: stack-down ## remove the state of the local servers and all caches
	@rm -rf .local .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

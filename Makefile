# What to type. Python lives in .venv, state in .local; both stay inside the checkout.
.NOTPARALLEL:
# Compiled modules are kept, whatever the machine's settings say: a start takes a tenth more without.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
# Of the rest, `matching` needs a file, and `sync` takes long.
BENCHES := ingest cached_page pipe latency stream outage orgs_apply candidates autocomplete scoring rescoring query_apply search search_quality pages hit_rate
# Those of the local servers, but for what the caller has set.
SETTINGS := given=$$(export -p); set -a; [ ! -f .local/env ] || . .local/env; eval "$$given"
.PHONY: help install fmt lint types imports docs compose-check unit integration e2e fuzz test faults faults-tools bench bench-tools bench-data stack stack-down rebuild run up down logs clean

help: ## list the targets
	@grep -hE '^[a-z0-9%-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

install: $(INSTALLED) ## make .venv and fetch what is needed (on Debian as root: Java and Maven, too)

$(INSTALLED): requirements.lock pyproject.toml devstack/install
	@devstack/install && touch $@

fmt: $(INSTALLED) ## format the code
	@$(PYTHON) -m ruff check --fix --quiet . ; $(PYTHON) -m ruff format .

lint: $(INSTALLED) ## ruff and spelling
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && .venv/bin/codespell

types: $(INSTALLED) ## mypy --strict
	@$(PYTHON) -m mypy

imports: $(INSTALLED) ## who may import whom
	@.venv/bin/lint-imports

docs: $(INSTALLED) ## check that the tables of the docs are those of the code
	@$(PYTHON) -m devstack.documents --check

compose-check: ## parse docker-compose.yml with the real parser
	@devstack/compose --env-file .env.example config --quiet && echo "docker-compose.yml is valid"

unit: $(INSTALLED) ## tests without servers
	@$(PYTHON) -m pytest tests/unit

integration: $(INSTALLED) ## tests of each part on real servers
	@$(PYTHON) -m pytest tests/integration

e2e: $(INSTALLED) ## tests of the services as processes
	@$(PYTHON) -m pytest tests/e2e

fuzz: $(INSTALLED) ## 10,000 requests that the services' documents allow or forbid
	@FUZZ_CASES=10000 $(PYTHON) -m pytest tests/security/test_fuzz.py

# In their own order: the files with the fewest tests, which would come last, take the longest.
test: $(INSTALLED) ## all tests, in one run: a file a core at a time
	@$(PYTHON) -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

faults: $(INSTALLED) faults-tools ## break things: N scenarios from seed FIRST, with stepped clocks; prints a table
	@$(PYTHON) -m tests.faults --clocks --first $(or $(FIRST),1) --count $(or $(N),20)

faults-tools: ## libfaketime, which steps clocks (installed on Debian as root)
	@ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libfaketime </dev/null

bench: stack bench-tools $(addprefix bench-,$(BENCHES)) ## the benchmarks, one after the other, on the local servers

bench-tools: ## wrk, which makes the load (installed on Debian as root)
	@command -v wrk >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq wrk </dev/null

bench-data: stack ## one user with 500,000 contacts in a database of its own, `bench`; ARGS="--scale 0.1" for less
	@$(SETTINGS); $(PYTHON) -m bench.data $(ARGS)

bench-%: $(INSTALLED) ## one benchmark of bench/, by its name; ARGS="…" goes to it
	@$(SETTINGS); $(PYTHON) -m bench.$* $(ARGS)

stack: $(INSTALLED) ## start PostgreSQL, Valkey and Kafka; settings go to .local/env
	@$(PYTHON) -m devstack up

stack-down: $(INSTALLED) ## stop them; their state stays
	@$(PYTHON) -m devstack down

rebuild: $(INSTALLED) ## build a store anew beside the live one: SERVICE=query, orgs or scoring; ARGS="…" goes to it
	@case "$(SERVICE)" in query|orgs|scoring) ;; *) echo "SERVICE is query, orgs or scoring, not '$(SERVICE)'" >&2; exit 2;; esac; $(SETTINGS); $(PYTHON) -m services.$(SERVICE) rebuild $(ARGS)

run: $(INSTALLED) ## everything, with a Pipedrive double, until Ctrl-C; no Docker needed
	@$(PYTHON) -m devstack run

logs: ## follow the logs of `make run`
	@tail -n 20 -F .local/log/*.log

up: ## everything, in Docker
	@devstack/compose up --build --detach

down: ## stop what `make up` started; its state stays
	@devstack/compose down

clean: stack-down ## remove the state of the local servers and all caches
	@rm -rf .local .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

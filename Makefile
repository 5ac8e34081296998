# Every target works in a fresh clone: what is missing (.venv, RabbitMQ's package) is installed first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
SERVICE ?=
ARGS ?=
COMPONENTS := gateway services/auth services/profile services/data services/notify
BASE_IMAGE ?= docker.io/library/python:3.11-slim-bookworm
TAG ?= dev

.PHONY: help setup up down logs status clean demo test clients chaos lint fmt lock mails bench bench-gateway bench-crowds timing test-big images k8s dlq
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F':[^#]*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: ## install what is missing: .venv from locked requirements, RabbitMQ's package
	@deploy/local/bootstrap

up: setup ## start the whole platform in .local/ and leave it running
	@$(PY) -m deploy.local up

down: setup ## stop what `up` started; the data stays
	@$(PY) -m deploy.local down

status: setup ## every part: address, health, log file; start time and memory
	@$(PY) -m deploy.local status

logs: setup ## follow the logs; ARGS=auth for one part
	@$(PY) -m deploy.local logs $(ARGS)

clean: setup ## stop everything and remove .local/
	@$(PY) -m deploy.local clean

demo: setup ## start the platform and play a phone's whole journey through it
	@$(PY) -m deploy.local.demo

test: ## run the tests on private servers; SERVICE=auth for one component
	@deploy/local/bootstrap $(if $(filter deploy e2e,$(or $(SERVICE),deploy)),prometheus) \
	    $(if $(filter gateway,$(or $(SERVICE),gateway)),redis-server) $(if $(filter e2e,$(or $(SERVICE),e2e)),chromium)
	@$(PY) -m pytest $(if $(SERVICE),tests/$(SERVICE),tests -n 3 --dist loadgroup) $(ARGS)

clients: setup ## existing client libraries, unchanged, against the running platform; needs Node.js and npm
	@cd tests/clients && npm ci --no-audit --no-fund --silent
	@$(PY) -m deploy.local up >/dev/null
	@port=$${GATEHOUSE_PORT:-8080}; \
	    node tests/clients/auth.mjs http://127.0.0.1:$$port http://127.0.0.1:$$((port + 20)) http://127.0.0.1:$$((port + 23)) && \
	    $(PY) -m tests.clients.python_client http://127.0.0.1:$$port http://127.0.0.1:$$((port + 20))

chaos: setup ## the long chaos runs: servers and workers killed in the middle of work
	@$(PY) -m pytest tests/chaos --signups 500 $(ARGS)

lint: setup ## ruff, mypy, and what the shell and YAML files need
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy shared gateway services deploy/local

fmt: setup ## format the code
	@$(PY) -m ruff check --fix -q .
	@$(PY) -m ruff format .

lock: ## resolve every requirements.txt again (hash-locked, one set of versions for the whole house)
	@deploy/local/lock

mails: setup ## write every mail in every language to .local/mails, to be looked at; ARGS="--folder my-templates"
	@$(PY) -m services.notify templates preview $(ARGS)

bench: ## gateway, events, log-ins and auth measured; a table and bench-results/*.json; needs Node.js and npm
	@deploy/local/bootstrap haproxy nginx wrk
	@cd tests/load/peers/fastify && npm ci --no-audit --no-fund --silent
	@$(PY) -m tests.load

bench-gateway: ## only the gateway, beside HAProxy, Envoy, fastify and Flask + requests; needs Node.js and npm
	@deploy/local/bootstrap haproxy nginx wrk
	@cd tests/load/peers/fastify && npm ci --no-audit --no-fund --silent
	@$(PY) -m tests.load gateway

bench-crowds: ## what others notice of 2,000 slow clients at the gateway, and the memory of 10,000 idle ones
	@deploy/local/bootstrap nginx
	@$(PY) -m tests.load crowds

timing: setup ## does the time of an answer tell who has an account? effect sizes and a verdict; wants a quiet machine
	@$(PY) -m tests.load.timing $(ARGS)

test-big: setup ## the gateway with bodies of 1 GiB and 2,000 slow clients, auth's statements with a million people
	@$(PY) -m pytest tests/gateway/test_streaming.py tests/gateway/test_slowloris.py tests/auth/test_indexes.py \
	    --body-bytes 1073741824 --slow-clients 2000 --people 1000000 $(ARGS)

images: ## build the five images with Docker; BASE_IMAGE and TAG are settings
	@for c in $(COMPONENTS); do \
	    docker build --build-arg BASE_IMAGE=$(BASE_IMAGE) -f $$c/Dockerfile -t gatehouse/$$(basename $$c):$(TAG) . || exit 1; \
	done

k8s: ## render and check the Kubernetes manifests
	@deploy/local/bootstrap prometheus
	@$(PY) -m pytest tests/deploy $(ARGS)

dlq: setup ## list dead letters; ARGS="replay notify" or ARGS="drop notify EVENT_ID"
	@$(PY) -m deploy.local dlq $(or $(ARGS),list)

# Every target works in a fresh clone: `.venv` and RabbitMQ's package are installed when missing.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
SERVICE ?=
COMPONENTS := gateway services/auth services/profile services/data services/notify

.PHONY: help setup up down logs status clean demo test lint fmt lock bench dlq
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## install what is missing: .venv from locked requirements, RabbitMQ's package
	@deploy/local/bootstrap

lock: ## resolve every requirements.txt again (hash-locked, one set of versions for the whole house)
	@deploy/local/lock

# `make` lists the targets. Every recipe works on a machine where nothing was installed by hand: it needs Python >= 3.11 and make.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest
# Most tests wait for servers more than they compute; each worker has an API server of its own.
WORKERS ?= 3
TOOLS := PYTHONPATH=hack $(BIN)/python
COMPILE := hack/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11
SOURCES := operator hack tests bench
# Built before the tests start, so that no test waits minutes for a compiler; at once when they are cached.
PROGRAMS := etcd kube-apiserver kube-controller-manager kubectl kstatus crd-schema-checker helm helm3 kube-score
IMAGE ?= watchbell:dev
BASE_IMAGE ?=

.PHONY: help setup demo test relay-test node-test check generate lock bench install-yaml image clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY)  ## make .venv; PYTHON=… chooses the interpreter

$(READY): requirements/dev.txt pyproject.toml hack/setup
	@hack/setup $(VENV)

demo: $(READY)  ## from nothing to a crash mail; ONCE=1 ends by itself, CONTEXT=… uses your cluster
	@$(TOOLS) -m demo $(if $(ONCE),--once) $(if $(CONTEXT),--context '$(CONTEXT)')

test: $(READY)  ## every test that needs neither root nor system packages; PYTEST_ARGS=…, WORKERS=… at once
	@$(TOOLS) -m controlplane build $(PROGRAMS) >/dev/null
	@$(PYTEST) -n $(WORKERS) --dist loadfile tests --ignore=tests/relay --ignore=tests/node $(PYTEST_ARGS)

relay-test: $(READY)  ## tests against Postfix from Debian; needs root; PYTEST_ARGS=…
	@if [[ $$(id -u) != 0 ]]; then echo 'relay-test: Postfix drops its rights, which needs root: sudo make relay-test' >&2; exit 1; fi
	@$(TOOLS) -m controlplane build etcd kube-apiserver >/dev/null
	@$(TOOLS) -m controlplane.debian >/dev/null
	@$(PYTEST) tests/relay $(PYTEST_ARGS)

node-test: $(READY)  ## tests with real pods that crash on a real node; needs root; PYTEST_ARGS=…
	@if [[ $$(id -u) != 0 ]]; then echo 'node-test: a node mounts and makes namespaces, which needs root: sudo make node-test' >&2; exit 1; fi
	@$(TOOLS) -m realnode prepare
	@$(PYTEST) tests/node $(PYTEST_ARGS)

check: $(READY)  ## lint, formatting, types, layers, and whether generated files are current
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy
	@MYPYPATH=operator:hack $(BIN)/mypy $(patsubst %/__init__.py,%,$(wildcard hack/*/__init__.py))
	@$(BIN)/lint-imports
	@$(BIN)/python -m watchbell.api.generate --check
	@$(BIN)/python -m watchbell.reference --check
	@$(TOOLS) -m charts --check

generate: $(READY)  ## write crds/ and docs/reference/ from the models, and what of the charts is made
	@$(BIN)/python -m watchbell.api.generate
	@$(BIN)/python -m watchbell.reference
	@$(TOOLS) -m charts

lock:  ## pin the dependencies anew, with hashes
	@for name in runtime build dev; do $(COMPILE) --upgrade requirements/$$name.in -o requirements/$$name.txt; done
	@for name in hack/uv hack/go/toolchain; do $(COMPILE) $$name.in -o $$name.txt; done

bench: $(READY)  ## measure into bench/results.json; ONLY=… measures one figure
	@$(TOOLS) bench/run.py $(if $(ONLY),--only '$(ONLY)')

install-yaml: $(READY)  ## dist/install.yaml for kubectl apply, made from the chart; VALUES=… names a values file
	@mkdir -p dist
	@$(TOOLS) -m charts.install $(if $(VALUES),--values '$(VALUES)') >dist/install.yaml
	@echo 'kubectl apply --server-side -f dist/install.yaml'

image:  ## build the container image; BASE_IMAGE=…, IMAGE=…
	@hack/image '$(IMAGE)' $(if $(BASE_IMAGE),--build-arg 'BASE_IMAGE=$(BASE_IMAGE)')

clean:  ## remove what the other targets made in this folder; the cache outside it stays
	@rm -rf .venv .venv-* dist build demo-out bench/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

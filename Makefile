# make demo: the main job on an embedded default. make test: everything, with real parts.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-node test-servers cluster cluster-down check bench docs controlplane servers clean help tools

help:
	@sed -n 's/^# make /make /p; s/^## //p' $(MAKEFILE_LIST)

$(VENV)/.demo: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "inferaudit needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install -q -e '.[demo]'
	@touch $@

$(STAMP): $(VENV)/.demo
	$(BIN)/python -m pip install -q --group dev
	@touch $@

## make demo          a full audit of a tiny model and a sample service; writes demo-report/
demo: $(VENV)/.demo
	$(BIN)/inferaudit demo

tools:
	@for tool in go cc kubectl openssl chromium promtool prometheus prometheus-alertmanager; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	  PATH="$$PATH:$$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')" command -v pg_ctl >/dev/null || missing="$$missing pg_ctl"; \
	  [ -z "$$missing" ] || { echo "make test also needs:$$missing (Debian: golang, gcc, kubernetes-client, openssl, chromium, prometheus, prometheus-alertmanager, postgresql)"; exit 1; }

## make controlplane  build etcd, the Kubernetes control plane and KWOK into a cache folder (KUBEBUILDER_ASSETS overrides)
controlplane:
	tests/controlplane/build.sh

## make servers       install the model servers of the tests, each into an environment of its own in a cache folder
servers: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m support.servers install

## make test          all tests, with a real API server, model servers and a browser; the real node's where it can start
test: $(STAMP) tools controlplane servers check
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not node and not servers"
	@if why=$$(PYTHONPATH=tests $(BIN)/python -m support.node); then $(MAKE) test-node; \
	  else echo; echo "NOT TESTED: what needs a real node, because:"; echo "$$why" | sed 's/^/  /'; \
	    [ -z "$$REQUIRE_NODE" ] || exit 1; fi

## make test-node     the tests on one real node (root, containerd)
test-node: $(STAMP) tools
	tests/controlplane/build.sh --node
	$(BIN)/python -m pytest -m node tests/test_*_node.py

## make cluster       a cluster to audit, until Ctrl-C: fake nodes and a real one (root, containerd) that runs llama.cpp
cluster: $(STAMP) tools
	@tests/controlplane/build.sh --node >/dev/null
	@PYTHONPATH=tests $(BIN)/python -m support.playground up

## make cluster-down  ends `make cluster` from elsewhere, and clears up after one that was killed
cluster-down: $(STAMP)
	@PYTHONPATH=tests $(BIN)/python -m support.playground down

## make test-servers  the tests on vLLM, Ollama, TorchServe, Ray Serve and transformers serve (minutes, 8 GB of disk; Java 17, Go, root)
test-servers: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m support.servers install --heavy
	$(BIN)/python -m pytest -m servers

## make check         formatting, lint, types, generated docs
check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/runtimes_page.py --check

## make docs          regenerate the reference pages from the code
docs: $(STAMP)
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/runtimes_page.py

## make bench         print the tables of benchmarks/
bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) dist build demo-report .pytest_cache .mypy_cache .ruff_cache

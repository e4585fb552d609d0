# The two commands of the README, and what they need. VENV and PYTHON can be given: make test VENV=/tmp/v PYTHON=python3.12
VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
SOURCES := pyproject.toml plugins/ecs/pyproject.toml Cargo.toml Cargo.lock $(shell find core_rs -name '*.rs' -o -name Cargo.toml)
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint bench clean

demo: $(INSTALLED)
	$(VENV)/bin/python examples/option_book.py

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest -m "not slow"

lint: $(INSTALLED)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict scaler_py/scaler
	$(VENV)/bin/mypy --strict plugins/ecs/src/scaler_plugin_ecs

bench: $(INSTALLED)
	$(VENV)/bin/python benches/side_by_side.py
	$(VENV)/bin/python benches/back_pressure.py
	$(VENV)/bin/python benches/help.py

$(INSTALLED): $(SOURCES)
	@test -n "$(PYTHON)" || { echo "scaler needs Python 3.11 or newer with venv, and found none."; \
		echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv; Fedora: dnf install python3),"; \
		echo "or name one that you have: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; } >&2
	@command -v cargo >/dev/null || { echo "scaler's core is Rust, and there is no cargo on the PATH."; \
		echo "Install the Rust toolchain (Debian, Ubuntu: apt-get install rustup && rustup default stable;"; \
		echo "Fedora: dnf install cargo; others: https://rust-lang.org/tools/install), then run make again."; exit 1; } >&2
	@command -v cc >/dev/null || { echo "Building the core needs a C compiler and linker, and there is no cc on the PATH."; \
		echo "Install one (Debian, Ubuntu: apt-get install gcc libc6-dev; Fedora: dnf install gcc), then run make again."; exit 1; } >&2
	test -x $(VENV)/bin/python || "$(PYTHON)" -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable ".[dev]" --editable plugins/ecs
	touch $@

clean:
	rm -rf $(VENV) target

# make run | stop | test | bench | chaos | clean | help; needs Python 3.11 or later, git and make.
# Another interpreter than the first suitable one: make run PYTHON=/path/to/python3.12

VENV := .venv
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c '$(SUITABLE)' 2>/dev/null && echo "$$python" && break; done)

# The file `place` is there while nothing is being installed. An environment without it was left half made,
# one with another place was moved, and one whose interpreter is gone is of no use: it is made anew.
ifneq ($(wildcard $(VENV)),)
ifneq ($(shell test -x $(VENV)/bin/python && cat $(VENV)/place),$(CURDIR))
$(shell rm -f $(VENV)/place $(VENV)/installed-*)
endif
endif

.PHONY: help run stop stop-installed test bench chaos clean
.SUFFIXES:

help:
	@echo "make run    install into $(VENV), and start a local network in the background; its state is in var/"
	@echo "make stop   end that network"
	@echo "make test   all that CI runs"
	@echo "make bench  measure beside other routers, 20 to 25 minutes; WORKLOADS=\"events commands\" for some, QUICK=1"
	@echo "make chaos  break a network on a schedule, and check that nothing was lost: SEED=1 SECONDS=300 PAUSE=2.5"
	@echo "make clean  end it, and remove $(VENV), var/ with its data, and what tests leave"

run: $(VENV)/installed-embedded
	@$(VENV)/bin/python -m gandalf.local start

# What was not installed cannot run; but the environment of what runs may have been removed since.
stop:
	@if [ -e $(VENV)/place ] || [ -e var/supervisord.pid ]; then \
		$(MAKE) --no-print-directory $(if $(wildcard $(VENV)/place),,$(VENV)/installed-embedded) stop-installed; \
	else echo "The local network does not run."; fi

stop-installed:
	@$(VENV)/bin/python -m gandalf.local stop

test: $(VENV)/installed-dev
	@$(VENV)/bin/python -b tests/run.py

bench: $(VENV)/installed-bench
	@$(VENV)/bin/python -m benchmarks $(WORKLOADS) $(if $(QUICK),--quick)

SEED ?= 1
SECONDS ?= 300
PAUSE ?= 2.5

chaos: $(VENV)/installed-dev
	@mkdir -p build
	@$(VENV)/bin/python -m tests.faults --seed $(SEED) --seconds $(SECONDS) --pause $(PAUSE) \
		--report build/chaos-$(SEED).json $(CHAOS)

clean: stop
	rm -rf $(VENV) var build benchmarks/results .tox .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* _trial_temp* *.egg-info
	find gandalf tests twisted benchmarks -name __pycache__ -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

# editable_mode=compat puts the checkout itself on Python's path, where twistd finds twisted/plugins.
$(VENV)/installed-%: setup.cfg pyproject.toml
	@if ! "$(PYTHON)" -c '$(SUITABLE)' 2>/dev/null; then \
		echo "Python 3.11 or later is needed, with venv (Debian, Ubuntu: apt install python3-venv);" \
			"name one by PYTHON=/path/to/python" >&2; exit 1; fi
	@echo "installing into $(VENV) ..."
	@test -e $(VENV)/place || "$(PYTHON)" -m venv --clear $(VENV)
	@rm -f $(VENV)/place
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-input \
		--root-user-action=ignore --config-settings editable_mode=compat --editable '.[$*]'
	@printf '%s\n' "$(CURDIR)" >$(VENV)/place
	@touch $@

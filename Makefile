# Every target is a command of dev.py, which says more: python3 dev.py --help

PYTHON ?= python3

.PHONY: help run setup check test storm bench lock

help:   ## Print this
	@sed -n 's/^\([a-z]*\): *## /make \1	/p' $(MAKEFILE_LIST)

run:    ## Start the gateway; in the sandbox as long as no relay key is set
	@$(PYTHON) dev.py run

setup:  ## Only make .venv
	@$(PYTHON) dev.py setup

check:  ## Formatting, lint, types, import rules
	@$(PYTHON) dev.py check

test:   ## check, then the tests
	@$(PYTHON) dev.py test

storm:  ## Random requests, faults and kills, and whether the books held
	@$(PYTHON) dev.py storm

bench:  ## What the gateway costs, beside nginx and a direct connection
	@$(PYTHON) dev.py bench

lock:   ## Resolve all dependencies anew (needs uv)
	@$(PYTHON) dev.py lock

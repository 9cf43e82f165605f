# Every target is a command of dev.py, which says more: python3 dev.py --help

PYTHON ?= python3

.PHONY: help run setup check test storm faults bench lock container sbom

help:   ## Print this
	@sed -n 's/^\([a-z]*\): *## /make \1	/p' $(MAKEFILE_LIST)

run:    ## Start the gateway; in the sandbox as long as no relay key is set
	@$(PYTHON) dev.py run

setup:  ## Only make .venv
	@$(PYTHON) dev.py setup

check:  ## Formatting, lint, types, import rules
	@$(PYTHON) dev.py check

test:   ## check, then the tests; `python3 dev.py test --all` has the slow ones too
	@$(PYTHON) dev.py test

storm:  ## Random requests, faults and kills against a running gateway
	@$(PYTHON) dev.py storm

faults: ## Half an hour of steady load with a fault every few seconds
	@$(PYTHON) dev.py faults

bench:  ## CPU, time and memory of the gateway beside nginx
	@$(PYTHON) dev.py bench

lock:   ## Write the lock files (needs uv)
	@$(PYTHON) dev.py lock

container: ## Build the image with buildah and run it as the compose file does
	@$(PYTHON) dev.py container

sbom:   ## Write sbom.json and docs/licences.md: what is installed, under which licences
	@$(PYTHON) dev.py sbom

# Every task, one line each. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run test lint format lock bench docs site golden packages clean
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
# Words for the program behind the task: make run ARGS="--listen 0.0.0.0", make test ARGS="-k bridges"
ARGS ?=

help: ## list the tasks
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS='	' read -r task text; do printf '  make %-8s %s\n' "$$task" "$$text"; done

run: ## start OMS on this machine: server, bus and agent (Ctrl-C ends them)
	@scripts/bootstrap run
	@exec $(BIN)/oms up $(ARGS)

test: ## every check and every test
	@scripts/bootstrap test
	@exec scripts/test $(ARGS)

lint: ## the checks alone: ruff, mypy, who imports whom
	@scripts/bootstrap test
	@exec scripts/test --checks-only

format: ## rewrite the code as the checks want it
	@scripts/bootstrap test
	@$(BIN)/ruff check --fix-only --quiet && $(BIN)/ruff format --quiet && exec scripts/web format

lock: ## choose the newest allowed version of every dependency anew
	@scripts/bootstrap test
	@exec scripts/lock

bench: ## measure; what is measured and on which machine stands beside each number
	@scripts/bootstrap test
	@exec $(BIN)/python -m bench $(ARGS)

docs: ## write the generated pages: the API's reference, its OpenRPC document, the list of commands
	@scripts/bootstrap run
	@mkdir -p docs/api docs/reference
	@$(BIN)/oms contract openrpc --write docs/api/openrpc.json
	@$(BIN)/oms contract reference docs/reference/examples.json --write docs/reference/api.md
	@$(BIN)/oms contract commands --write docs/reference/commands.md

site: ## make pages of the documentation, in build/site
	@scripts/bootstrap test
	@exec $(BIN)/sphinx-build -q -W --keep-going docs build/site

golden: ## write the golden files of tests anew: read the difference
	@scripts/bootstrap test
	@OMS_GOLDEN=rewrite $(BIN)/pytest -q -k golden

packages: ## build the wheel and, on Debian, the packages of server and agent, in dist
	@scripts/bootstrap run
	@exec $(BIN)/uv run -q --no-config --system-certs --no-project --with-requirements requirements/build.lock python scripts/packages $(ARGS)

clean: ## remove what the tasks made, the data of `make run` excepted
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist web/node_modules web/.node src/oms/server/edge/web web/src/ui/api/contract.ts
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Two commands: `make run` and `make test`. Everything is done by xtask; this file only forwards.
.PHONY: run test test-all test-real test-systems check-cross bench fuzz clean

run: ## Build everything and run a whole DGON on this machine
	@cargo run --quiet --package dgon-xtask -- run

test: ## What CI runs: at most half an hour on two cores
	@cargo run --quiet --package dgon-xtask -- ci

test-all: ## And what is slow and seldom breaks: at most an hour
	@cargo run --quiet --package dgon-xtask -- ci --all

test-real: ## The whole path on a real llama-server, built once and cached
	@cargo run --quiet --package dgon-xtask -- real

test-systems: ## The agent for Windows and arm64 Linux, run here; for macOS, linked
	@cargo run --quiet --package dgon-xtask -- systems

check-cross: ## Type-check the agent for macOS and Windows
	@cargo run --quiet --package dgon-xtask -- cross

bench: ## Measure the figures, side by side with peers; some of them with ONLY=first_byte,size; RECORD=1 keeps them
	@cargo run --quiet --package dgon-xtask -- bench $(if $(ONLY),--only $(ONLY)) $(if $(RECORD),--record)

fuzz: ## Fuzz every parser of remote bytes
	@cargo run --quiet --package dgon-xtask -- fuzz 30

clean: ## Remove what was built; data stays
	cargo clean
	rm -rf web/node_modules web/dist tools/*/node_modules

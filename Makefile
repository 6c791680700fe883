# Every action of a developer. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help build test test-platform soak abuse check lint bench demo docs ci

# Extra arguments for every cargo command, such as --locked.
CARGOFLAGS ?=

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-14s %s\n", $$1, $$2 }'

build: ## compile the release binary, target/release/lightship
	cargo build --release $(CARGOFLAGS)

test: ## run all tests; says which real peers (Kafka and LwM2M clients) it does without
	cargo test $(CARGOFLAGS) --features strict-core

test-platform: ## run the tests with real peers, fetching those that can be had here
	LIGHTSHIP_FETCH_PEERS=1 cargo test $(CARGOFLAGS) --features strict-core --test interop --test kafka

soak: ## a thousand times thirty days of a hundred devices, in virtual time; LIGHTSHIP_SOAK_SEEDS=n for n times
	LIGHTSHIP_SOAK_SEEDS=$${LIGHTSHIP_SOAK_SEEDS:-1000} \
	cargo test --release --no-default-features $(CARGOFLAGS) --test soak every_command -- --nocapture

abuse: ## attacks on the DTLS engine at full size: a million failed handshakes, a hundred thousand devices that move
	cargo test --release --no-default-features $(CARGOFLAGS) --lib dtls::conformance::scale -- --include-ignored --nocapture

check: ## what every commit passes: format, lints, unit tests, layering
	cargo fmt --check
	cargo clippy $(CARGOFLAGS) --all-targets --features strict-core -- -D warnings
	cargo test $(CARGOFLAGS) --features strict-core --lib --test layering

lint: ## format, lints, licences and sources of the dependencies
	cargo fmt --check
	cargo clippy $(CARGOFLAGS) --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny check licenses bans sources; \
	else echo 'skipped: cargo-deny is not installed'; fi

bench: ## measure formats, message layer, records, DTLS beside others, the whole stack beside a bare socket, and the way to Kafka
	cargo bench $(CARGOFLAGS) --bench codecs --bench allocations --bench state
	cargo run --release $(CARGOFLAGS) -- bench
	cargo bench $(CARGOFLAGS) --bench dtls
	LIGHTSHIP_FETCH_PEERS=1 cargo bench $(CARGOFLAGS) --bench handshakes --bench kafka

demo: ## server and one simulated device on this machine; Ctrl-C ends it
	cargo run --release $(CARGOFLAGS) -- demo

docs: ## build the documentation of the code, target/doc/lightship/index.html
	RUSTDOCFLAGS='-D warnings' cargo doc $(CARGOFLAGS) --no-deps --document-private-items

ci: lint docs test ## lint, docs, test: what CI runs (with LIGHTSHIP_REQUIRE_PEERS=1)

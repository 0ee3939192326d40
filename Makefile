# What a person does. Libraries are installed once, into a cache folder that carries the
# hash of the lock file in its name.

LIBRARIES = BELLJAR_LIBRARIES="$$(sandbox-image/install-libraries)"

.PHONY: run test test-stack check bench

run: # the server on 127.0.0.1:8080, with the example scenarios
	cargo build --release && export $(LIBRARIES) && exec target/release/belljar serve

test: # everything: units, HTTP, the wall, Google's SDKs
	cargo build && export $(LIBRARIES) && cargo test --workspace

test-stack: # the containers of docker-compose.yml, for real
	tests/stack/run

check: # formatting and lints
	cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings

bench: # a fresh print(1) over HTTP beside what others do
	cargo build --release && export $(LIBRARIES) && cargo bench -p server --bench fresh

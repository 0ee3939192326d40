# What a person does. Libraries are installed once, into a cache folder that carries the
# hash of the lock file in its name.

LIBRARIES = BELLJAR_LIBRARIES="$$(sandbox-image/install-libraries)"

# What is shipped names no folder of the machine that it was built on.
CARGO_FOLDER = $(or $(CARGO_HOME),$(HOME)/.cargo)
run bench bench-quick: export RUSTFLAGS := $(RUSTFLAGS) --remap-path-prefix=$(CURDIR)=belljar --remap-path-prefix=$(CARGO_FOLDER)/registry/src=crates

.PHONY: run test test-wall test-stack test-model check docs bench bench-quick soak snippets fuzz crash fuzz-wire schemathesis

run: # the server on 127.0.0.1:8080, with the example scenarios
	cargo build --release && export $(LIBRARIES) && exec target/release/belljar serve

test: # everything: units, HTTP, the wall, Google's SDKs
	cargo build && export $(LIBRARIES) && cargo test --workspace

test-wall: # the wall alone, as root, as an ordinary user and without namespaces, inside a cgroup
	export $(LIBRARIES) && tests/wall/run

test-stack: # the containers of docker-compose.yml, for real
	tests/stack/run

test-model: # a real model behind llama.cpp's server: 125 MB to fetch once, one to four minutes
	cargo build && export $(LIBRARIES) && cargo test -p server --test local-model -- --nocapture

check: # formatting, lints of Rust, Python, shell scripts and spelling, and licences of crates
	.ci/lint && cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings \
		&& cargo clippy -p server --test local-model -- -D warnings

docs: # the book, its links, its generated pages and its snippets
	cargo build && export $(LIBRARIES) && docs/check

bench: # how fast a fresh cell is, beside what others do: seven minutes, and BENCH.md
	cargo build --release -p warden -p init -p jail -p devfd -p dice && export $(LIBRARIES) && cargo bench -p server --bench bench

bench-quick: # whether it has become slower by more than half: one minute
	cargo build --release -p warden -p init -p jail -p devfd -p dice && export $(LIBRARIES) && cargo bench -p server --bench bench -- --quick

# Parts of `make test`, in full.

soak: # two minutes of hostile and ordinary code, 64 at a time
	cargo build && export $(LIBRARIES) SOAK_SECONDS=120 && cargo test -p server --test soak -- --nocapture

snippets: # 10 000 examples from documentation, in a cell and outside
	cargo build && export $(LIBRARIES) SNIPPETS=10000 && cargo test -p server --test snippets -- --nocapture

crash: # the server is killed 200 times under load, and nothing is lost
	cargo build && export $(LIBRARIES) CRASHES=200 && cargo test -p server --test crash -- --nocapture

fuzz-wire: # ten minutes of anything for each reader of what clients send
	FUZZ_WIRE_SECONDS=600 cargo test -p server --lib http::fuzz -- --nocapture --test-threads 9

schemathesis: # ten minutes of requests made of the API's own document
	cargo build && export $(LIBRARIES) SCHEMATHESIS_SECONDS=600 && cargo test -p server --test wire schemathesis -- --nocapture

fuzz: # an hour of system calls drawn from dice
	cargo build && export $(LIBRARIES) FUZZ_SECONDS=3600 && cargo test -p server --test fuzz -- --nocapture

# Commands for people. Libraries are installed once, into a cache folder named after the hash of the
# lock file.

LIBRARIES = BELLJAR_LIBRARIES="$$(sandbox-image/install-libraries)"

# Release builds contain no paths of the build machine.
CARGO_FOLDER = $(or $(CARGO_HOME),$(HOME)/.cargo)
run wheel npm bench bench-quick: export RUSTFLAGS := $(RUSTFLAGS) --remap-path-prefix=$(CURDIR)=belljar --remap-path-prefix=$(CARGO_FOLDER)/registry/src=crates

.PHONY: run wheel npm test test-wall test-stack test-model check docs bench bench-quick soak snippets fuzz crash fuzz-wire schemathesis

# Compiles and installs the libraries at the same time: the one needs processors, the other mostly the network.
# TensorFlow, which few programs need, is more than half of the libraries.
run: # the server on 127.0.0.1:8080, with the example scenarios
	@mkdir -p target
	@[ -x target/quick/belljar ] || echo "the first time this compiles some 340 crates (about 5 minutes on" \
		"2 processors) and installs libraries (0.9 GB; their log is target/libraries.log)"
	@sandbox-image/install-libraries --without tensorflow >target/libraries 2>target/libraries.log & \
		installer=$$!; \
		cargo build --profile quick || { kill $$installer 2>/dev/null; exit 1; }; \
		wait $$installer || { cat target/libraries.log >&2; exit 1; }; \
		BELLJAR_LIBRARIES="$$(cat target/libraries)" exec target/quick/belljar serve

wheel: # the Python package with all programs, dist/belljar-*.whl
	cargo build --release --locked && packages/build target/release wheel \
		&& packages/check dist/belljar-*.whl

npm: # the packages for Node, dist/belljar-*.tgz
	cargo build --release --locked && packages/build target/release npm

test: # everything: units, HTTP, the sandbox, Google's SDKs
	cargo build && export $(LIBRARIES) && cargo test --workspace

test-wall: # the sandbox only, as root, as an ordinary user and without namespaces, inside a cgroup
	export $(LIBRARIES) && tests/wall/run

test-stack: # the real containers of docker-compose.yml
	tests/stack/run

test-model: # a real model behind llama.cpp's server: downloads 125 MB once, one to four minutes
	cargo build && export $(LIBRARIES) && cargo test -p tests --test local-model -- --nocapture

check: # formatting, lints of Rust, Python, shell scripts and spelling, and licences of crates
	.ci/lint && cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings \
		&& cargo clippy -p tests --test local-model -- -D warnings

docs: # the book, its links, its generated pages and its snippets
	cargo build && export $(LIBRARIES) && docs/check

bench: # the speed of a fresh cell, compared with alternatives: seven minutes, writes BENCH.md
	cargo build --release && export $(LIBRARIES) && cargo bench -p tests --bench bench

bench-quick: # fails if a ratio has doubled: one minute
	cargo build --release && export $(LIBRARIES) && cargo bench -p tests --bench bench -- --quick

# Long forms of parts of `make test`.

soak: # two minutes of hostile and ordinary code, 64 at a time
	cargo build && export $(LIBRARIES) SOAK_SECONDS=120 && cargo test -p tests --test soak -- --nocapture

snippets: # 10 000 examples from documentation, in a cell and outside
	cargo build && export $(LIBRARIES) SNIPPETS=10000 && cargo test -p tests --test snippets -- --nocapture

crash: # kills the server 200 times under load, and checks that nothing is lost
	cargo build && export $(LIBRARIES) CRASHES=200 && cargo test -p tests --test crash -- --nocapture

fuzz-wire: # ten minutes of random input for each parser of client input
	FUZZ_WIRE_SECONDS=600 cargo test -p server --lib http::fuzz -- --nocapture --test-threads 9

schemathesis: # ten minutes of requests generated from the OpenAPI document
	cargo build && export $(LIBRARIES) SCHEMATHESIS_SECONDS=600 && cargo test -p tests --test wire schemathesis -- --nocapture

fuzz: # an hour of random system calls
	cargo build && export $(LIBRARIES) FUZZ_SECONDS=3600 && cargo test -p tests --test fuzz -- --nocapture

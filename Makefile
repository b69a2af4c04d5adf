# make demo    a call on this machine: server, built-in peer, you       ARGS="--headless --duration 5"
# make test    every test
# make run     the program                                              ARGS="--room lobby"
# make lint    format, clippy, documentation
# make bench   the figures                                              BENCH=call
# make install the program into ~/.cargo/bin
#
# Set-up is done by itself: .ci/setup installs the system packages that are missing.

export PATH := $(PATH):$(HOME)/.cargo/bin
RELEASE = env $$(.ci/setup env) cargo
ARGS ?=
BENCH ?=

.PHONY: demo test run lint bench install
.DEFAULT_GOAL := demo

demo:
	@.ci/setup build
	@$(RELEASE) run --release --locked -- demo $(ARGS)

run:
	@.ci/setup build
	@$(RELEASE) run --release --locked -- $(ARGS)

test:
	@.ci/setup test
	cargo test --locked

lint:
	@.ci/setup build
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

bench:
	@.ci/setup test
	$(RELEASE) bench --locked $(if $(BENCH),--bench $(BENCH)) $(if $(ARGS),-- $(ARGS))

install:
	@.ci/setup build
	$(RELEASE) install --locked --path .

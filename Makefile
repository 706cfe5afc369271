# Thin: what a target does is in the scripts and programs that it calls. CI runs .ci/run.

# Where rustup puts cargo; a shell that was open before it was installed does not know.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

target := $(or $(CARGO_TARGET_DIR),target)

# A library is built again for each set of features that it is asked for with. cargo unites those of all packages and targets
# that are named, so every target below names the whole workspace with what tests take. `--examples`, of which there are
# none, adds the features of tests without their code.
programs := cargo build --locked --workspace --examples

.PHONY: help setup run test check check-shop check-deploy bench

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

setup: ## Install what is missing: Rust, a C compiler, PostgreSQL, Redis
	@.ci/setup

run: setup ## Run everything here: API, worker, PostgreSQL, Redis, two demo tenants (Ctrl-C stops it)
	@$(programs) --bin bulkhead
	@exec $(target)/debug/bulkhead dev

# Tests wait for servers more than they compute: most programs of tests keep less than one of two processors busy with twice as
# many threads.
test: export RUST_TEST_THREADS ?= $(shell echo $$((3 * $$(getconf _NPROCESSORS_ONLN))))
test: setup ## Run all tests, against real servers; says at its end how long they took
	@.ci/timed cargo test --locked --workspace --all-targets --no-fail-fast
	@cargo test --locked --workspace --doc --quiet

check: ## Check format, lints, comments, the dependency graph, unused dependencies, named files, what is generated and promised
	@cargo fmt --all --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --quiet --workspace \
		--lib --bins --examples --no-deps --document-private-items
	@$(programs) --quiet --bin bulkhead --bin xtask
	@$(target)/debug/xtask graph
	@$(target)/debug/xtask paths
	@$(target)/debug/xtask openapi --check
	@$(target)/debug/xtask settings --check
	@$(target)/debug/xtask surface --check

check-shop: setup ## Check what `bulkhead new` writes: it passes its own checks and tests, and runs
	@$(programs) --quiet --bin bulkhead
	@.ci/check-shop $(target)/debug/bulkhead

check-deploy: ## Check Terraform, the deployment program, workflows, image and alerts, without an AWS account
	@.ci/check-deploy

bench: setup ## Measure the product beside the limits of what it is made of (QUICK=1: only whether it works; TENANTS=n)
	@.ci/setup --bench
	@cargo build --locked --release --package bulkhead-cli --package bulkhead-bench
ifndef QUICK
	@command -v oha >/dev/null || cargo install --locked oha
	@RUSTFLAGS="$(RUSTFLAGS) --cfg bulkhead_ablation" cargo build --locked --profile profiling --package bulkhead-cli \
		--target-dir $(target)/ablation
endif
	@$(target)/release/bench run $(if $(TENANTS),--tenants $(TENANTS)) \
		$(if $(QUICK),--quick,--ablation $(target)/ablation/profiling/bulkhead)

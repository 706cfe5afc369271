# Thin: what a target does is in the scripts and programs that it calls. CI runs .ci/run.

# Where rustup puts cargo; a shell that was open before it was installed does not know.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

target := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help setup run test check check-deploy bench

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

setup: ## Install what is missing: Rust, a C compiler, PostgreSQL, Redis
	@.ci/setup

run: setup ## Run everything here: API, worker, PostgreSQL, Redis, two demo tenants (Ctrl-C stops it)
	@cargo build --locked --package bulkhead-cli
	@exec $(target)/debug/bulkhead dev

test: setup ## Run all tests, against real servers; says at its end how long they took
	@.ci/timed cargo test --locked --workspace --all-targets --no-fail-fast

check: ## Check format, lints, links in comments, the dependency graph, named files and the OpenAPI document
	@cargo fmt --all --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D rustdoc::broken_intra_doc_links -A rustdoc::private_intra_doc_links" cargo doc --locked --quiet --workspace --no-deps --document-private-items
	@cargo xtask graph
	@cargo xtask paths
	@cargo xtask openapi --check
	@cargo xtask settings --check

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

# One image for every command of `bulkhead`. Built in two stages: dependencies are a layer of their own, so that a change
# of our code does not build them again. Base images are named by what is in them, the digest of the index over all
# platforms, and not by tag alone; Dependabot renews both together.
FROM rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS build
WORKDIR /src
# The binary carries the list of what it was built from: stripped, it would tell a scanner nothing.
RUN cargo install --locked cargo-auditable@0.7.7
# The manifests alone first, with empty crates in place of ours.
COPY Cargo.toml Cargo.lock ./
COPY crates/ablation/Cargo.toml crates/ablation/build.rs crates/ablation/
COPY crates/api/Cargo.toml crates/api/
COPY crates/auth/Cargo.toml crates/auth/
COPY crates/bench/Cargo.toml crates/bench/
COPY crates/bulkhead/Cargo.toml crates/bulkhead/
COPY crates/cli/Cargo.toml crates/cli/
COPY crates/config/Cargo.toml crates/config/
COPY crates/db/Cargo.toml crates/db/
COPY crates/domain/Cargo.toml crates/domain/
COPY crates/faulty/Cargo.toml crates/faulty/
COPY crates/fixtures/Cargo.toml crates/fixtures/
COPY crates/jobs/Cargo.toml crates/jobs/
COPY crates/limits/Cargo.toml crates/limits/
COPY crates/link/Cargo.toml crates/link/
COPY crates/macros/Cargo.toml crates/macros/
COPY crates/resources/Cargo.toml crates/resources/
COPY crates/servers/Cargo.toml crates/servers/
COPY crates/sqlcheck/Cargo.toml crates/sqlcheck/
COPY crates/telemetry/Cargo.toml crates/telemetry/
COPY crates/testkit/Cargo.toml crates/testkit/
COPY crates/usage/Cargo.toml crates/usage/
COPY crates/worker/Cargo.toml crates/worker/
COPY crates/xtask/Cargo.toml crates/xtask/
RUN for crate in crates/*; do mkdir -p "$crate/src" && echo > "$crate/src/lib.rs"; done \
    && for crate in bench cli xtask; do mv "crates/$crate/src/lib.rs" "crates/$crate/src/main.rs"; \
       echo 'fn main() {}' > "crates/$crate/src/main.rs"; done \
    && cargo auditable build --locked --release --package bulkhead-cli \
    && find crates -name '*.rs' -delete
COPY migrations migrations
COPY crates crates
RUN find crates -name '*.rs' -exec touch {} + \
    && cargo auditable build --locked --release --package bulkhead-cli

FROM gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f
COPY --from=build /src/target/release/bulkhead /usr/local/bin/bulkhead
# The authorities of Amazon RDS, which no system knows: BULKHEAD_DATABASE_CA_FILE names the file there.
COPY terraform/rds-global-bundle.pem /etc/ssl/certs/rds-global-bundle.pem
USER 65532:65532
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["/usr/local/bin/bulkhead", "doctor", "--live"]
ENTRYPOINT ["/usr/local/bin/bulkhead"]
CMD ["api"]

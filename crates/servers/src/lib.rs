//! Private PostgreSQL and Redis servers for development, tests and benchmarks.

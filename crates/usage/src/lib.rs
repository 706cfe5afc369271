//! Usage: what API nodes record and how it reaches PostgreSQL exactly once.

//! Test support: private servers, a template database, factories and callers.

//! Passwords, tokens, API keys and the caches in front of them.

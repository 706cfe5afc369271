//! Signing keys and access tokens, from outside: what is issued is accepted, and nothing else is.

#[cfg(test)]
mod access_tokens;
#[cfg(test)]
mod forged_tokens;
#[cfg(test)]
mod forger;
#[cfg(test)]
mod signing_keys;

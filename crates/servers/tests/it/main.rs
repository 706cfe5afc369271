//! The private servers, started for real.

// `cfg(test)` tells clippy that helpers, too, are test code.
#[cfg(test)]
mod owner;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod root;
#[cfg(test)]
mod support;

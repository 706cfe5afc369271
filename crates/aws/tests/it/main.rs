//! What is sent to AWS, and when its credentials are asked for.

// `cfg(test)` tells clippy that helpers, too, are test code.
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod server;

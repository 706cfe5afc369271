//! Issuers as they are met: real servers on loopback, good ones and such with every fault.

// `cfg(test)` tells clippy that helpers, too, are test code.
#[cfg(test)]
mod forged;
#[cfg(test)]
mod issuers;

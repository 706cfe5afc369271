//! Issuers as they are met: real servers on loopback, good ones and such with every fault.

mod forged;
mod issuers;

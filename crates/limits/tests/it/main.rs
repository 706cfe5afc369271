//! Admission against real Redis servers, some of them in trouble.

// `cfg(test)` tells clippy that helpers, too, are test code.
#[cfg(test)]
mod outage;
#[cfg(test)]
mod script;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;

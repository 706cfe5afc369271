//! Chooses the loopback port of a server. A port that was free a moment ago may have been taken by another
//! process since, so the code that starts a server on it must expect to find it taken.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// How many free ports are tried.
const TRIES: usize = 10;
/// How long a restarted server waits for its port: an outgoing connection of another process may use it meanwhile.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// A loopback port that was free a moment ago.
pub(crate) fn free() -> Result<u16, Error> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(Error::io("find a free port on", "127.0.0.1"))?.port())
}

/// Calls `start` with `fixed`, or with free ports until it does not find its port taken.
pub(crate) fn choose<T>(
    fixed: Option<u16>,
    mut start: impl FnMut(u16) -> Result<T, Error>,
) -> Result<T, Error> {
    if let Some(port) = fixed {
        return start(port);
    }
    for _ in 1..TRIES {
        match start(free()?) {
            Err(Error::PortInUse { .. }) => {}
            settled => return settled,
        }
    }
    start(free()?)
}

/// Calls `start`, which wants the port it had before, until it gets it.
pub(crate) fn regain<T>(mut start: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let give_up = Instant::now() + BACK_WITHIN;
    loop {
        match start() {
            Err(Error::PortInUse { .. }) if Instant::now() < give_up => {
                thread::sleep(Duration::from_millis(100));
            }
            settled => return settled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(port: u16) -> Error {
        Error::PortInUse { server: "a server", port }
    }

    #[test]
    fn a_taken_port_is_replaced_by_another() {
        let mut seen = Vec::new();
        let port = choose(None, |port| {
            seen.push(port);
            if seen.len() < 3 { Err(taken(port)) } else { Ok(port) }
        });
        assert_eq!((seen.len(), port.ok()), (3, seen.last().copied()));
    }

    #[test]
    fn a_fixed_port_is_not_replaced_and_tries_are_bounded() {
        let fixed: Result<(), _> = choose(Some(7), |port| Err(taken(port)));
        assert!(matches!(fixed, Err(Error::PortInUse { port: 7, .. })));
        let mut tries = 0;
        let never: Result<(), _> = choose(None, |port| {
            tries += 1;
            Err(taken(port))
        });
        assert!(matches!(never, Err(Error::PortInUse { .. })));
        assert_eq!(tries, TRIES);
    }
}

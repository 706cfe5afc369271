//! Connections of one address.
//!
//! A connection that asks nothing costs memory all the same, and a process has a bounded number of them. Owns how many each
//! address has open.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use bulkhead_domain::Network;
use parking_lot::Mutex;

/// How many connections each address has, shared by the threads of a process.
#[derive(Clone)]
pub struct AddressConnections {
    cap: usize,
    open: Arc<Mutex<HashMap<Network, usize>>>,
}

impl AddressConnections {
    /// At most `cap` connections of each address (IPv6: of each /64).
    pub fn new(cap: usize) -> Self {
        Self { cap: cap.max(1), open: Arc::default() }
    }

    /// Counts a connection, unless its address has as many as it may.
    pub fn open(&self, address: IpAddr) -> Option<OpenConnection> {
        let network = Network::of(address);
        let mut open = self.open.lock();
        let count = open.entry(network).or_default();
        (*count < self.cap).then(|| {
            *count += 1;
            OpenConnection { network, open: Arc::clone(&self.open) }
        })
    }
}

impl fmt::Debug for AddressConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressConnections({} each, {} addresses)", self.cap, self.open.lock().len())
    }
}

/// A connection that counts until this is dropped.
#[must_use = "the connection counts as closed when this is dropped"]
pub struct OpenConnection {
    network: Network,
    open: Arc<Mutex<HashMap<Network, usize>>>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.open.lock().entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_as_many_connections_as_it_may_and_nothing_is_kept_of_others() {
        let connections = AddressConnections::new(2);
        let open = |address: &str| connections.open(address.parse().unwrap());
        let first = open("192.0.2.1");
        let second = open("192.0.2.1");
        assert!(first.is_some() && second.is_some() && open("192.0.2.1").is_none());
        assert!(open("192.0.2.2").is_some());
        drop(first);
        assert!(open("::ffff:192.0.2.1").is_some(), "the same address, mapped");
        drop(second);
        assert!(connections.open.lock().is_empty());
    }
}

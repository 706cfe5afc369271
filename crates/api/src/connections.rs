//! Connections as they come in: what the system is told about each of them, and how many one address may have.
//!
//! The server has no time-out for writing, so the kernel has it: it ends a connection whose reader has taken nothing of what
//! is ready for it for as long as the setting says. It is also kept from holding much for a reader that does not read.

use std::{any::Any, time::Duration};

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use bulkhead_limits::AddressConnections;
use socket2::SockRef;

/// How many bytes of an answer the kernel may hold that it has not sent yet. More would be memory that no budget sees: by
/// itself it grows to megabytes for each connection.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 << 10;

/// What every new connection is told.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    /// Counts connections by address; `None` behind a proxy, whose address everybody has.
    pub(crate) addresses: Option<AddressConnections>,
    /// How long a reader may make no progress.
    pub(crate) write_timeout: Duration,
}

impl Arrivals {
    /// For the server's `on_connect`.
    pub(crate) fn welcome(&self, connection: &dyn Any, extensions: &mut Extensions) {
        let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
        if let Err(error) = self.bound(stream) {
            tracing::warn!(%error, "a connection's time-out could not be set");
        }
        let (Some(addresses), Ok(peer)) = (&self.addresses, stream.peer_addr()) else { return };
        match addresses.open(peer.ip()) {
            Some(open) => {
                extensions.insert(open);
            }
            None => {
                // The server sees that the client has ended it, and lets go.
                let _closed = SockRef::from(stream).shutdown(std::net::Shutdown::Both);
                tracing::debug!(client.address = %peer.ip(), "the address has as many connections as it may");
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn bound(&self, stream: &TcpStream) -> std::io::Result<()> {
        let socket = SockRef::from(stream);
        socket.set_tcp_user_timeout(Some(self.write_timeout))?;
        socket.set_tcp_notsent_lowat(UNSENT)
    }

    #[cfg(not(target_os = "linux"))]
    fn bound(&self, _: &TcpStream) -> std::io::Result<()> {
        // Other systems run the product for its developers alone.
        let _unused = self.write_timeout;
        Ok(())
    }
}

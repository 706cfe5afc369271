//! Connections as they come in: what the system is told about each of them, and how many one address may have.
//!
//! On Linux the kernel bounds each connection in two ways. It ends a connection whose client has taken nothing of
//! what is ready for it for as long as the setting says. It holds little that it has not sent yet, so a client that
//! does not read costs little memory. How the connection is read and written is in `wire.rs`.

use std::{net::SocketAddr, time::Duration};

use actix_web::rt::net::TcpStream;
use bulkhead_limits::AddressConnections;
use socket2::SockRef;

use crate::http::wire::Wire;

/// How many bytes of an answer the kernel may hold that it has not sent yet. More would be memory that no budget sees: by
/// itself it grows to megabytes for each connection.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 << 10;

/// What every new connection is told.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    /// Counts connections by address. `None` behind a proxy, because all connections come from the proxy's address.
    addresses: Option<AddressConnections>,
    /// How long a reader may make no progress.
    write_timeout: Duration,
}

impl Arrivals {
    /// `per_address` is how many connections an address may have; `None` behind a proxy.
    pub(crate) fn new(per_address: Option<usize>, write_timeout: Duration) -> Self {
        Self { addresses: per_address.map(AddressConnections::new), write_timeout }
    }

    /// Takes a connection in, with the address that it comes from.
    pub(crate) fn welcome(&self, socket: TcpStream) -> (Wire, Option<SocketAddr>) {
        if let Err(error) = self.bound(&socket) {
            tracing::warn!(%error, "a connection's time-out could not be set");
        }
        let peer = socket.peer_addr().ok();
        let mut open = None;
        if let (Some(addresses), Some(peer)) = (&self.addresses, peer) {
            open = addresses.open(peer.ip());
            if open.is_none() {
                // To the server the connection now looks as if the client had ended it, so the server drops it.
                let _closed = SockRef::from(&socket).shutdown(std::net::Shutdown::Both);
                tracing::debug!(client.address = %peer.ip(), "the address has as many connections as it may");
            }
        }
        (Wire::new(socket, self.write_timeout, open), peer)
    }

    #[cfg(target_os = "linux")]
    fn bound(&self, stream: &TcpStream) -> std::io::Result<()> {
        let socket = SockRef::from(stream);
        socket.set_tcp_nodelay(true)?;
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

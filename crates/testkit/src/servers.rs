//! The PostgreSQL server that all applications under test of a process share.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use bulkhead_servers::{Binaries, Durability, Postgres, PostgresOptions, Scratch, Tls};

/// The programs of the servers.
pub(crate) static BINARIES: LazyLock<Binaries> = LazyLock::new(|| match Binaries::find() {
    Ok(binaries) => binaries,
    Err(error) => panic!("{error}"),
});

/// Never stopped by us: it stops by itself when this process has gone.
pub(crate) static POSTGRES: LazyLock<Server> = LazyLock::new(|| Server::start(|_| None));

/// A PostgreSQL server.
#[doc(hidden)]
pub struct Server {
    pub(crate) postgres: Postgres,
    /// What it speaks TLS with; nothing but TLS, if it has any.
    pub tls: Option<Tls>,
    scratch: Scratch,
}

impl Server {
    /// Starts one, with the certificate that is made in the directory.
    pub fn start(certify: impl FnOnce(&Path) -> Option<Tls>) -> Self {
        let scratch = Scratch::new().unwrap();
        let mut options = PostgresOptions::new(scratch.path().join("postgres"));
        options.durability = Durability::TestOnly;
        options.max_connections = 250;
        // What the server logs may hold no secret either.
        options.settings.push(("log_statement".to_owned(), "all".to_owned()));
        let tls = certify(scratch.path());
        options.tls.clone_from(&tls);
        Self { postgres: Postgres::start(&BINARIES, options).unwrap(), tls, scratch }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        let log = self.scratch.path().join("postgres").join("server.log");
        String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned()
    }
}

/// A loopback port that no process has, and that the system gives to none: it is below those that the system hands
/// out by itself, to outgoing connections and to servers that ask for any. This process takes each port once.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 22_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        // Test programs side by side begin in different places.
        let place = std::process::id().wrapping_mul(101).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + place % PORTS).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

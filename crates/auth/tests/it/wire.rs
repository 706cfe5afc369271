//! A way to PostgreSQL that counts the statements that pass.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result};
use bulkhead_db::{Connector, Db, Pool};
use bulkhead_fixtures::{Login, TestDb, timeouts};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What has passed, since it was last asked.
#[derive(Clone, Default)]
pub(crate) struct Passed {
    statements: Arc<AtomicU32>,
}

impl Passed {
    pub(crate) fn take(&self) -> u32 {
        self.statements.swap(0, Ordering::SeqCst)
    }
}

/// A database behind two such ways: statements of the tenants' login, and of the platform's. The pools have one connection
/// each.
pub(crate) async fn watched(db: &TestDb) -> Result<(Db, [Passed; 2])> {
    let mut pools = Vec::new();
    let passed = [Passed::default(), Passed::default()];
    for (login, passed) in [Login::Tenant, Login::Platform].into_iter().zip(&passed) {
        let url = db.cluster().url(login, db.name());
        let (before, rest) = url.split_once('@').context("an address")?;
        let (address, name) = rest.split_once('/').context("a database")?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let own = listener.local_addr()?;
        tokio::task::spawn_local(serve(listener, address.to_owned(), passed.clone()));
        let connector = Connector::new(&format!("{before}@{own}/{name}"), None, Duration::from_secs(10))?;
        pools.push(Pool::new(connector, TestDb::pool_options(1)));
    }
    let platform = pools.pop().context("two")?;
    let tenants = pools.pop().context("two")?;
    Ok((Db::new(tenants, platform, timeouts()), passed))
}

async fn serve(listener: TcpListener, server: String, passed: Passed) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(&server).await else { return };
        let (from_client, to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        tokio::task::spawn_local(pass(from_client, to_server, passed.clone()));
        let mut to_client = to_client;
        tokio::task::spawn_local(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    }
}

/// Hands messages on. A query in one message counts, and so does the execution of a prepared one.
async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    passed: Passed,
) -> std::io::Result<()> {
    let mut is_first = true;
    loop {
        // The first message has no letter.
        let kind = if is_first { None } else { Some(from.read_u8().await?) };
        is_first = false;
        let length = from.read_u32().await?;
        let mut body = vec![0; usize::try_from(length).unwrap_or_default().saturating_sub(4)];
        from.read_exact(&mut body).await?;
        if matches!(kind, Some(b'Q' | b'E')) {
            passed.statements.fetch_add(1, Ordering::SeqCst);
        }
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend(length.to_be_bytes());
        message.extend(body);
        to.write_all(&message).await?;
    }
}

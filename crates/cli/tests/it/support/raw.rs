//! Bytes on the socket, for what no HTTP client would send.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::System;

/// What came back on the socket.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) text: String,
}

impl Raw {
    /// Sends bytes and reads until the server closes, or says nothing more for a moment.
    pub(crate) async fn send(system: &System, bytes: &[u8]) -> Self {
        Self::send_and_wait(system, bytes, Duration::from_millis(700)).await
    }

    /// The same, with other patience.
    pub(crate) async fn send_and_wait(system: &System, bytes: &[u8], patience: Duration) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
        // The server may have closed before it has read everything; what it said counts.
        let _closed = socket.write_all(bytes).await;
        let (mut text, mut chunk) = (Vec::new(), vec![0; 65_536]);
        while let Ok(read) = timeout(patience, socket.read(&mut chunk)).await {
            match read {
                Ok(0) | Err(_) => break,
                Ok(length) => text.extend_from_slice(chunk.get(..length).unwrap_or_default()),
            }
        }
        Self { text: String::from_utf8_lossy(&text).into_owned() }
    }

    /// The statuses of all answers.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        // A body does not end with a line break, so the next answer begins on its line.
        self.text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse().ok()).collect()
    }
}

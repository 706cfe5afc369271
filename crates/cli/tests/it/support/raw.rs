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
    /// Whether the server has closed the connection.
    pub(crate) closed: bool,
}

impl Raw {
    /// Sends bytes and reads until the server closes, or says nothing more for a moment.
    pub(crate) async fn send(system: &System, bytes: &[u8]) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
        // The server may have closed before it has read everything; what it said counts.
        let _closed = socket.write_all(bytes).await;
        let (mut text, mut chunk, mut closed) = (Vec::new(), vec![0; 65_536], false);
        while let Ok(read) = timeout(Duration::from_millis(700), socket.read(&mut chunk)).await {
            match read {
                Ok(0) | Err(_) => {
                    closed = true;
                    break;
                }
                Ok(length) => text.extend_from_slice(chunk.get(..length).unwrap_or_default()),
            }
        }
        Self { text: String::from_utf8_lossy(&text).into_owned(), closed }
    }

    /// The statuses of all answers.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 "));
        lines.filter_map(|line| line.get(..3)?.parse().ok()).collect()
    }
}

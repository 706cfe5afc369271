//! When to stop: on SIGTERM or Ctrl-C, or when the parent that holds our standard input is gone.

use anyhow::Result;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
};

/// A value that turns true once, when the process should stop. Call this on the runtime that will watch it.
pub(crate) fn signal_of(stop_with_stdin: bool) -> Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (ended, stdin_ends) = oneshot::channel::<()>();
    // When standard input is not watched, the task below keeps the sender, so that `stdin_ends` never resolves.
    let unwatched = if stop_with_stdin {
        // A thread of its own: a runtime would wait for the blocking read at its end.
        std::thread::spawn(move || {
            // What is read is ignored. An error counts as the end of standard input.
            let _read = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _nobody_waits = ended.send(());
        });
        None
    } else {
        Some(ended)
    };
    tokio::spawn(async move {
        let _unwatched = unwatched;
        let why = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = stdin_ends => "the parent is gone",
        };
        tracing::info!(why, "stopping");
        sender.send_replace(true);
    });
    Ok(receiver)
}

//! Work that takes a processor for milliseconds, done aside of the threads that serve requests.
//!
//! Owns the one way to such a thread: it does one piece of work and gives way to others meanwhile, so that requests that take
//! microseconds do not wait behind it. Refuses to bound how much of it there is; each caller's share does.

use std::thread;

use tokio::sync::oneshot;

/// How far the thread gives way. On a busy processor it gets a tenth of what a serving thread gets (`sched(7)`: a step is a
/// factor of 1.25), on an idle one all of it; so it does not slow requests down, and never stands still.
const NICE: i32 = 10;

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// The system has no thread to spare.
    #[error("the system has no thread to spare")]
    NoThread,
    /// The panic hook has written the message.
    #[error("work aside of the serving threads has panicked")]
    Panicked,
}

/// Does work on a thread of this name. A caller who goes away does not stop it.
pub async fn aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotDone> {
    let (done, result) = oneshot::channel();
    // An unprivileged thread cannot raise its priority again, so the thread is not used twice. Starting one takes some 30 us.
    let work = move || {
        give_way();
        let _caller_has_gone = done.send(work());
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|_refused| NotDone::NoThread)?;
    result.await.map_err(|_gone| NotDone::Panicked)
}

/// Lowers the priority of this thread, where threads have one of their own.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::getpriority_process(None)
        .and_then(|before| rustix::process::setpriority_process(None, (before + NICE).min(19)))
    {
        tracing::debug!(%error, "a thread aside has the priority of those that serve");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_thread_gives_way_and_the_one_that_asked_does_not() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        assert_eq!(aside("test", priority).await, Ok((before + NICE).min(19)));
        assert_eq!(priority(), before);
    }

    #[tokio::test]
    async fn work_that_panics_is_not_done() {
        assert_eq!(aside("test", || panic!("on purpose")).await, Err::<(), _>(NotDone::Panicked));
    }
}

//! Waiting that counts the silence of a server, and not the pace of this process.
//!
//! The system's clock cannot tell a server that does not answer from a thread of this process that did not run: after
//! three seconds without the processor, every time-out of one second is over, and the answer lies unread in the
//! socket. So a wait is a number of looks. Between two looks the runtime has read what has arrived. A look that came
//! late says that this thread did not run, and does not count against the server.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, timeout};

/// Looks that find nothing until a server counts as silent.
const LOOKS: u32 = 10;

/// Looks in all, late ones included, until the wait is given up: a thread that hardly ever runs must end it, too.
const LOOKS_IN_ALL: u32 = 5 * LOOKS;

/// Waits for something until the other side has been silent for `limit`; `None` when it has. What ends in time ends with
/// the same wake-up as without a limit.
pub(crate) async fn within<T>(limit: Duration, answer: impl Future<Output = T>) -> Option<T> {
    let step = limit / LOOKS;
    let mut answer = pin!(answer);
    let mut silent = 0;
    for _look in 0..LOOKS_IN_ALL {
        let began = Instant::now();
        if let Ok(answer) = timeout(step, answer.as_mut()).await {
            return Some(answer);
        }
        silent += u32::from(began.elapsed() < step * 2);
        if silent == LOOKS {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use tokio::{
        sync::oneshot,
        time::{advance, sleep},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_millis(500);

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_silent_after_the_limit() {
        let began = Instant::now();
        assert_eq!(within(LIMIT, std::future::pending::<()>()).await, None);
        assert!((LIMIT..LIMIT * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_we_did_not_run_does_not_count() {
        let (answer, answered) = oneshot::channel();
        let waiting = tokio::spawn(within(LIMIT, answered));
        for _stall in 0..20 {
            tokio::task::yield_now().await;
            advance(Duration::from_secs(3)).await;
        }
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "a minute without the processor was taken for the server's silence");
        answer.send("an answer").unwrap();
        assert_eq!(waiting.await.unwrap(), Some(Ok("an answer")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_never_runs_in_time_gives_up_too() {
        let waiting = tokio::spawn(within(LIMIT, std::future::pending::<()>()));
        for _stall in 0..=LOOKS_IN_ALL {
            tokio::task::yield_now().await;
            advance(Duration::from_secs(3)).await;
        }
        assert_eq!(waiting.await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_the_wait() {
        let slow = async {
            sleep(LIMIT * 9 / 10).await;
            7
        };
        assert_eq!(within(LIMIT, slow).await, Some(7));
    }
}

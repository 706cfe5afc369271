//! An error with its causes, in one line.

use std::error::Error;

/// The error's text and, behind colons, that of each cause that has not been told yet: some errors tell their cause
/// themselves.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source()).map(ToString::to_string);
    causes.fold(
        error.to_string(),
        |told, cause| {
            if told.ends_with(&cause) { told } else { format!("{told}: {cause}") }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the queue: {0}")]
    struct Tells(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("the job failed")]
    struct Silent(#[source] Tells);

    #[test]
    fn each_cause_is_told_once() {
        let error = Silent(Tells(std::io::Error::other("no route")));
        assert_eq!(chain(&error), "the job failed: the queue: no route");
    }
}

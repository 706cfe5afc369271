//! The switches themselves. Not in the product.

use std::{any::Any, cell::RefCell, collections::HashMap, env, process, sync::OnceLock};

use super::{Step, VARIABLE};

thread_local! {
    static GOOD: RefCell<HashMap<String, Box<dyn Any>>> = RefCell::default();
}

/// The step that a word leaves out, and none for no word; an error for one that names no step, for then nothing would
/// be measured.
fn left_out(word: &str) -> Result<Option<Step>, ()> {
    match word {
        "" => Ok(None),
        "authentication" => Ok(Some(Step::Authentication)),
        "admission" => Ok(Some(Step::Admission)),
        "metering" => Ok(Some(Step::Metering)),
        "walls" => Ok(Some(Step::Walls)),
        _ => Err(()),
    }
}

/// Whether the step is taken: [`VARIABLE`] names the one that is not.
#[expect(clippy::disallowed_methods, reason = "no setting of the product: it does not have this code")]
pub fn is_taken(step: Step) -> bool {
    static LEFT_OUT: OnceLock<Option<Step>> = OnceLock::new();
    let left_out = LEFT_OUT.get_or_init(|| {
        let Ok(left_out) = left_out(&env::var(VARIABLE).unwrap_or_default()) else {
            eprintln!("{VARIABLE} names no step that can be left out");
            process::exit(2)
        };
        eprintln!("built for benchmarks, never serve customers with it; left out: {left_out:?}");
        left_out
    });
    *left_out != Some(step)
}

/// The verification of a credential; where that is left out, what it came to the first time.
pub async fn authentication<T: Clone + 'static, E>(
    credential: &str,
    verification: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    if is_taken(Step::Authentication) {
        return verification.await;
    }
    remembered(credential, verification).await
}

async fn remembered<T: Clone + 'static, E>(
    credential: &str,
    verification: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let known = GOOD.with_borrow(|good| good.get(credential)?.downcast_ref().cloned());
    if let Some(known) = known {
        return Ok(known);
    }
    let verified = verification.await?;
    GOOD.with_borrow_mut(|good| good.insert(credential.to_owned(), Box::new(verified.clone())));
    Ok(verified)
}

/// The first message of a tenant's transaction; where the walls are left out, only its beginning.
pub fn opening(walls: String) -> String {
    if is_taken(Step::Walls) { walls } else { "BEGIN".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, pin::pin, task};

    use super::*;

    fn now<T>(work: impl Future<Output = T>) -> T {
        let mut context = task::Context::from_waker(task::Waker::noop());
        match pin!(work).poll(&mut context) {
            task::Poll::Ready(value) => value,
            task::Poll::Pending => panic!("waits for something"),
        }
    }

    #[test]
    fn a_credential_is_verified_until_it_is_good_once() {
        assert_eq!(now(remembered("key", ready(Err::<u8, _>("wrong")))), Err("wrong"));
        assert_eq!(now(remembered("key", ready(Ok::<u8, &str>(1)))), Ok(1));
        assert_eq!(now(remembered("key", async { unreachable!("it is known") })), Ok::<u8, &str>(1));
        assert_eq!(now(remembered("other", ready(Err::<u8, _>("wrong")))), Err("wrong"));
    }

    #[test]
    fn each_word_leaves_one_step_out_and_no_other_word_any() {
        for (word, step) in [
            ("authentication", Ok(Some(Step::Authentication))),
            ("admission", Ok(Some(Step::Admission))),
            ("metering", Ok(Some(Step::Metering))),
            ("walls", Ok(Some(Step::Walls))),
            ("", Ok(None)),
            ("Walls", Err(())),
        ] {
            assert_eq!(left_out(word), step, "{word}");
        }
    }
}

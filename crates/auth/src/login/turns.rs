//! When a log-in's turn is: to look its account up, and to have its password hashed.
//!
//! Owns who waits behind whom. Strangers who name one tenant take turns with those who name others, and who has logged in from their
//! address before waits for nobody who has not.

use bulkhead_domain::Network;

use crate::{
    hash_queue::{HashQueue, Lane, Slot, Turn},
    keyring::{Keyring, Purpose},
    password::PasswordError,
};

/// How many logins may look their accounts up at once, by the threads together: as many as keep the hashing busy. More
/// would only fill the queues of the database. People who come back do not wait for strangers. Waiting is bounded and
/// takes turns as it does for the hashes: a look-up is short, but thousands of logins that name one tenant would be
/// before all that name another.
#[derive(Debug)]
pub(crate) struct LookUps {
    strangers: HashQueue,
    returning: HashQueue,
}

impl LookUps {
    /// Lets twice as many look-ups as `hashes` run at once for strangers, and as many for people who come back.
    pub(crate) fn beside(hashes: usize) -> Self {
        let queue = || HashQueue::new(hashes.saturating_mul(2));
        Self { strangers: queue(), returning: queue() }
    }

    /// Waits for a turn of the same kind as the login's turn to be hashed.
    pub(super) async fn turn(&self, turn: Turn, is_returning: bool) -> Result<Slot, PasswordError> {
        let queue = if is_returning { &self.returning } else { &self.strangers };
        Ok(queue.wait(turn).await?)
    }
}

/// The lane in which a login waits, and the group that takes turns there. Operators are few and have one lane;
/// operators who come back are a group of their own in it. The places of people who come back are not limited by
/// address: all people of a company can share one.
pub(super) fn turn(keyring: &Keyring, tenant: Option<&str>, is_returning: bool, network: Network) -> Turn {
    let lane = match tenant {
        None => Lane::Operators,
        Some(_) if is_returning => Lane::Returning,
        Some(_) => Lane::Logins,
    };
    let named = tenant.unwrap_or_default().as_bytes();
    let parts: [&[u8]; 3] = [b"group", named, &[u8::from(is_returning)]];
    let group = number(&keyring.mac_of_parts(Purpose::LoginAttempt, &parts));
    Turn { lane, group, network: (!is_returning).then_some(network) }
}

fn number(mac: &[u8; 32]) -> u128 {
    mac.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::root_key::RootKey;

    fn keyring() -> Keyring {
        Keyring::new(&RootKey::from([1; 32])).unwrap()
    }

    #[test]
    fn who_comes_back_is_not_looked_up_behind_strangers() {
        let (keyring, lookups) = (keyring(), LookUps::beside(2));
        let here = Network::of([192, 0, 2, 1].into());
        let take = |is_returning| {
            let turn = turn(&keyring, Some("acme"), is_returning, here);
            lookups.turn(turn, is_returning).now_or_never()
        };
        let strangers: Vec<_> = std::iter::from_fn(|| take(false)).collect();
        assert_eq!(strangers.len(), 4);
        assert!(take(true).is_some());
        drop(strangers);
        assert!(take(false).is_some());
    }

    /// A crowd from many addresses names one tenant, and then one stranger another: two look-ups run at once, and the stranger
    /// waits for the two that run and one of the crowd.
    #[test]
    fn strangers_of_a_tenant_are_not_looked_up_behind_a_crowd_that_names_another() {
        let (keyring, lookups) = (keyring(), LookUps::beside(1));
        let ask = |slug, address: u8| {
            let from = Network::of([198, 51, 100, address].into());
            Box::pin(lookups.turn(turn(&keyring, Some(slug), false, from), false))
        };
        let mut crowd: Vec<_> = (0..100).map(|number| ask("crowd", number)).collect();
        let mut running = Vec::new();
        crowd.retain_mut(|one| match one.now_or_never() {
            Some(Ok(slot)) => {
                running.push(slot);
                false
            }
            // As many wait as may.
            Some(Err(refused)) => {
                assert_eq!(refused, PasswordError::Busy);
                false
            }
            None => true,
        });
        assert_eq!((running.len(), crowd.len()), (2, 64));
        let mut stranger = ask("acme", 200);
        assert!(stranger.as_mut().now_or_never().is_none(), "both look-ups are taken");
        let last = crowd.last_mut().unwrap().now_or_never();
        assert!(matches!(last, Some(Err(PasswordError::Busy))), "it has given its place up");
        drop(running.pop());
        assert!(stranger.as_mut().now_or_never().is_none(), "it is the crowd's turn");
        drop(running.pop());
        assert!(matches!(stranger.now_or_never(), Some(Ok(_))), "it waits behind the crowd");
    }

    #[test]
    fn those_who_come_back_are_a_group_of_their_own_in_every_lane_and_not_measured_by_their_address() {
        let keyring = keyring();
        let network = Network::of([192, 0, 2, 1].into());
        let turns = [(None, false), (None, true), (Some("acme"), false), (Some("acme"), true)]
            .map(|(tenant, is_returning)| turn(&keyring, tenant, is_returning, network));
        for (at, one) in turns.iter().enumerate() {
            assert!(turns[at + 1..].iter().all(|other| other.group != one.group), "{at}");
            assert_eq!(one.network.is_none(), at % 2 == 1, "{at}");
        }
        let lanes = turns.map(|turn| turn.lane);
        assert_eq!(lanes, [Lane::Operators, Lane::Operators, Lane::Logins, Lane::Returning]);
    }
}

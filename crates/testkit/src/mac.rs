//! Keys for tests.

use std::sync::Arc;

use bulkhead_auth::{Keyring, MasterKey, Purpose};
use bulkhead_domain::Mac;

/// What every test signs and checks with, unless it is about keys.
pub fn mac() -> Arc<dyn Mac> {
    mac_of(1)
}

/// The same under another master key for each number.
#[expect(clippy::missing_panics_doc, reason = "a test that cannot derive a key cannot go on")]
#[expect(clippy::expect_used, reason = "a test that cannot derive a key cannot go on")]
pub fn mac_of(master: u8) -> Arc<dyn Mac> {
    let keyring = Keyring::new(&MasterKey::from([master; 32])).expect("keys cannot be derived");
    Arc::new(keyring).for_purpose(Purpose::UsageEntry)
}

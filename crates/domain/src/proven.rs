//! Values that have been proven, not claimed.
//!
//! A tenant's data can only be opened with a `Proven<TenantId>`. The ground of the proof is named where it is made;
//! `cargo xtask graph` lists the few files that may call [`Proven::on`], so a new one is a reviewed decision.

use std::fmt;

/// Why a value may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The signature of an access token was verified and the token is not revoked.
    AccessToken,
    /// The secret of an API key matched the stored HMAC and the key is not revoked.
    ApiKey,
    /// A password matched; used only while the login that checks it is being answered.
    Password,
    /// The HMAC of a refresh token matched its session.
    RefreshToken,
    /// The row of `platform.jobs` being run names this tenant.
    JobRow,
}

/// A value together with the fact that somebody proved it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proven<T> {
    value: T,
    ground: Ground,
}

impl<T: Copy> Proven<T> {
    /// States that `value` was proven on `ground`. Only credential verification and the job runner may say so.
    pub const fn on(ground: Ground, value: T) -> Self {
        Self { value, ground }
    }

    /// The proven value.
    pub const fn get(&self) -> T {
        self.value
    }

    /// What the proof rests on.
    pub const fn ground(&self) -> Ground {
        self.ground
    }
}

impl<T: fmt::Debug> fmt::Debug for Proven<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (by {:?})", self.value, self.ground)
    }
}

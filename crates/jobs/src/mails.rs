//! Mails.
//!
//! A payload names the row that a mail is about. The link in it holds a secret, which the job computes from the row when it sends.

use bulkhead_domain::OneTimeTokenId;
use serde::{Deserialize, Serialize};

use crate::{Job, TenantJob};

/// Send the mail about a one-time token of the tenant: an invitation, what confirms a registration, a new password.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SendMail {
    /// The token's row.
    pub token: OneTimeTokenId,
}

impl Job for SendMail {
    const KIND: &'static str = "send_mail";
    const MAX_ATTEMPTS: i32 = 25;
}

impl TenantJob for SendMail {}

/// Send the mail about a tenant that has signed itself up.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SendSignUpMail {
    /// The row of the sign-up.
    pub sign_up: OneTimeTokenId,
}

impl Job for SendSignUpMail {
    const KIND: &'static str = "send_sign_up_mail";
    const MAX_ATTEMPTS: i32 = 25;
}

//! Sends mails.
//!
//! A mail is sent before its job ends, so one that was sent when the worker died is sent once more, with the same `Message-ID`.
//! What a mail is about may be gone when its turn comes: used, revoked, expired. Then there is nothing to send.

use std::{sync::Arc, time::Duration};

use bulkhead_auth::{Keyring, LinkKind, LinkToken, SessionOwner};
use bulkhead_db::{
    Authority, DbError, gate,
    platform::sign_ups,
    tenant::one_time_tokens::{self, ToMail, TokenPurpose},
};
use bulkhead_jobs::{SendMail, SendSignUpMail};
use bulkhead_mail::{Letter, Link, MailError, Mailer, Mailing, called};
use serde_json::json;

use crate::{Finished, JobCall, JobError, JobHandler, JobRun, TenantJobHandler};

/// What sends mails, in a process that has an SMTP server.
#[derive(Clone, Debug)]
pub struct OutgoingMail {
    /// The way to the server.
    pub mailer: Arc<Mailer>,
    /// Where links lead to, without a slash at the end.
    pub links: Arc<str>,
    /// Makes the tokens in them.
    pub keyring: Arc<Keyring>,
}

impl OutgoingMail {
    /// The address of the product's page `page`, with a token that browsers send to no server.
    fn address(&self, page: &str, token: &LinkToken) -> String {
        format!("{}/{page}#token={}", self.links, token.reveal())
    }

    async fn send(&self, mailing: Mailing<'_>) -> Result<(), JobError> {
        self.mailer.send(&mailing).await.map_err(|error| match error {
            MailError::Busy => JobError::Postpone(Box::new(error)),
            MailError::Refused { .. } => {
                JobError::abort("the mail server does not take mail for this address")
            }
            MailError::Failed(_) => JobError::retry(error),
        })
    }
}

/// A worker without an SMTP server leaves the mails to one that has it.
fn required(mail: Option<&OutgoingMail>) -> Result<&OutgoingMail, JobError> {
    mail.ok_or_else(|| JobError::Postpone("BULKHEAD_SMTP_URL is not set for this worker".into()))
}

/// The page of a token, and its kind; `None` for a notice without a link.
const fn link_of(purpose: TokenPurpose) -> Option<(&'static str, LinkKind)> {
    match purpose {
        // That of an administrator is handed over by them, and its text is not computed: it is never mailed.
        TokenPurpose::PasswordReset | TokenPurpose::AlreadyRegistered => None,
        TokenPurpose::PasswordForgotten => Some(("password-reset", LinkKind::PasswordReset)),
        TokenPurpose::Invitation => Some(("invitation", LinkKind::Invitation)),
        TokenPurpose::Registration => Some(("registration", LinkKind::Registration)),
    }
}

/// Retry: everything but a refusal of the address.
impl TenantJobHandler for SendMail {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, call: &JobCall) -> Result<Finished, JobError> {
        let look = async |tx: &mut _| {
            let found = one_time_tokens::find_to_mail(tx, self.token).await?;
            Ok::<_, DbError>(found.zip(gate::profile::find(tx).await?))
        };
        let Some((ToMail { purpose, email, expires_at }, profile)) = call.snapshot(look).await? else {
            return call.done(json!({ "sent": null })).await;
        };
        let mail = required(call.mail())?;
        let owner = SessionOwner::Tenant(call.tenant());
        let address = link_of(purpose).map(|(page, kind)| {
            mail.address(page, &LinkToken::of(&mail.keyring, kind, owner, self.token, expires_at))
        });
        let tenant = called(&profile.name, &profile.slug);
        let link = Link { address: address.as_deref().unwrap_or_default(), expires_at };
        let letter = match purpose {
            TokenPurpose::Invitation => Letter::Invitation { tenant, link },
            TokenPurpose::Registration => Letter::Registration { tenant, link },
            TokenPurpose::PasswordForgotten => Letter::PasswordReset { tenant, link },
            TokenPurpose::AlreadyRegistered => Letter::AlreadyRegistered { tenant },
            TokenPurpose::PasswordReset => return Err(JobError::abort("a token that is not sent by mail")),
        };
        let id = format!("{}.{}", self.token, expires_at.timestamp_micros());
        mail.send(Mailing { to: &email, letter, id: &id }).await?;
        call.done(json!({ "sent": purpose.as_str() })).await
    }
}

/// Retry: everything but a refusal of the address.
impl JobHandler for SendSignUpMail {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let find = async |tx: &mut _| sign_ups::find_to_mail(tx, self.sign_up).await;
        let found = run.environment().db.platform_read::<_, DbError>(Authority::machinery(), find).await?;
        let Some((email, slug, expires_at)) = found else {
            return run.done(json!({ "sent": null })).await;
        };
        let mail = required(run.environment().mail.as_ref())?;
        let token =
            LinkToken::of(&mail.keyring, LinkKind::SignUp, SessionOwner::Operator, self.sign_up, expires_at);
        let address = mail.address("sign-up", &token);
        let letter = Letter::SignUp { tenant: &slug, link: Link { address: &address, expires_at } };
        let id = format!("{}.{}", self.sign_up, expires_at.timestamp_micros());
        mail.send(Mailing { to: &email, letter, id: &id }).await?;
        run.done(json!({ "sent": "sign_up" })).await
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_fixtures::auth::RootKey;
    use bulkhead_mail::{Security, Sender, SmtpServer};
    use bulkhead_servers::{MailCatcher, Manner, Scratch};

    use super::*;

    /// What the server says of the address ends the job; what it says of itself does not.
    #[tokio::test]
    async fn a_refused_address_is_given_up_and_a_server_in_trouble_is_not() {
        let scratch = Scratch::new().unwrap();
        let catcher = MailCatcher::start(scratch.path().join("mail"), |_| {}).unwrap();
        let server = SmtpServer {
            host: "127.0.0.1".to_owned(),
            port: catcher.port(),
            security: Security::Plain,
            login: None,
            ca: None,
            timeout: Duration::from_secs(10),
            at_once: 1,
        };
        let sender = Sender { name: None, address: "no-reply@example.com".parse().unwrap() };
        let mail = OutgoingMail {
            mailer: Arc::new(Mailer::new(&server, &sender).unwrap()),
            links: "https://app.example.com".into(),
            keyring: Arc::new(Keyring::new(&RootKey::from([1; 32])).unwrap()),
        };
        let letter = Letter::AlreadyRegistered { tenant: "Acme" };
        let send = async || mail.send(Mailing { to: "grace@example.com", letter, id: "ott_1.2" }).await;
        catcher.set_manner(Manner::Refuses(550));
        assert!(matches!(send().await, Err(JobError::Abort(_))));
        catcher.set_manner(Manner::Refuses(451));
        assert!(matches!(send().await, Err(JobError::Retry(_))));
        // It is left alone for a while, which costs the job no attempt.
        catcher.set_manner(Manner::Takes);
        assert!(matches!(send().await, Err(JobError::Postpone(_))));
        assert!(matches!(required(None), Err(JobError::Postpone(_))));
    }
}

//! Outgoing mail.
//!
//! Owns the letters ([`Letter`]) and the way to an SMTP server ([`Mailer`]). Refuses to queue, to count and to decide who gets a
//! mail: a job of the worker sends, and is repeated; the transaction that asks for it decides. README.md says why.

mod letter;
mod mailer;

pub use letter::{Letter, Link, called};
pub use mailer::{
    MailError, Mailer, MailerError, Mailing, Security, Sender, SenderError, SmtpServer, UnusableServer,
};

//! The way to an SMTP server.
//!
//! Owns how it is trusted, how long it is waited for, how many mails are on their way at once, and which of its refusals are about
//! the mail and which about the server. Refuses plain text to another host, and to wait in a queue of its own.

use std::{fmt, time::Duration};

use bulkhead_domain::Email;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    address::AddressError,
    message::{
        Mailbox, MultiPart,
        header::{Header, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
        response::Severity,
    },
};
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use crate::letter::{Letter, Written};

/// How long a mail waits for its turn.
const TURN: Duration = Duration::from_secs(1);

/// How long no mail is tried after one has failed by the server's fault, or has not had its turn.
const REST: Duration = Duration::from_secs(5);

/// How a connection to the server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all: the server is on this host.
    Plain,
    /// By STARTTLS, which the server has to offer.
    StartTls,
    /// By TLS from the first byte on.
    Tls,
}

/// Where the server is. Its `Debug` shows no password.
#[derive(Clone)]
pub struct SmtpServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// The user and the password, if it wants any.
    pub login: Option<(String, String)>,
    /// Certificates (PEM) that the server's must lead to; without any, the system's authorities count.
    pub ca: Option<Vec<u8>>,
    /// How long a mail may take, from the connection to the server's answer.
    pub timeout: Duration,
    /// How many mails are sent at once.
    pub at_once: usize,
}

impl fmt::Debug for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpServer({}:{}, {:?})", self.host, self.port, self.security)
    }
}

/// Whom the mails are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// What people see beside the address.
    pub name: Option<String>,
    /// The address.
    pub address: Email,
}

/// The sender's address is none that mail can have.
#[derive(Debug, thiserror::Error)]
#[error("the sender's address cannot be used")]
pub struct SenderError(#[from] AddressError);

/// The server, or its certificates, cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the certificates for the SMTP server")]
pub struct UnusableServer(#[from] lettre::transport::smtp::Error);

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The server is slow or away: nothing was tried. It says nothing about the mail.
    #[error("the SMTP server is busy or away")]
    Busy,
    /// The server does not take mail for this address, now or later.
    #[error("the SMTP server refuses the mail with {code}")]
    Refused {
        /// The code of its answer, or what was wrong before it was asked.
        code: String,
    },
    /// It did not work, and may another time.
    #[error("the mail could not be sent")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One mail.
#[derive(Clone, Copy, Debug)]
pub struct Mailing<'a> {
    /// To whom.
    pub to: &'a str,
    /// What it says.
    pub letter: Letter<'a>,
    /// Tells it from every other mail, and is the same when it is sent again: letters, digits, dots and underscores.
    pub id: &'a str,
}

/// Sends mails, few at once. Clones of an `Arc` share the turns.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    timeout: Duration,
    turns: Semaphore,
    /// Until when nothing is tried.
    rests_until: Mutex<Option<Instant>>,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailer(from {})", self.from)
    }
}

/// Tells programs that answer mail that nobody has written this one (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

impl Mailer {
    /// For mails from `sender`; nothing is connected yet.
    pub fn new(server: &SmtpServer, sender: &Sender) -> Result<Self, MailerError> {
        let from = Mailbox::new(sender.name.clone(), address(sender.address.as_str()).map_err(SenderError)?);
        let tls = match server.security {
            Security::Plain => Tls::None,
            Security::StartTls => Tls::Required(tls(server)?),
            Security::Tls => Tls::Wrapper(tls(server)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port)
            .timeout(Some(server.timeout))
            .tls(tls);
        if let Some((user, password)) = &server.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
        }
        Ok(Self {
            transport: builder.build(),
            from,
            timeout: server.timeout,
            turns: Semaphore::new(server.at_once),
            rests_until: Mutex::new(None),
        })
    }

    /// Sends a mail; `Ok` when the server has taken it.
    pub async fn send(&self, mailing: &Mailing<'_>) -> Result<(), MailError> {
        let message = self.message(mailing)?;
        if self.rests_until.lock().is_some_and(|until| Instant::now() < until) {
            return Err(MailError::Busy);
        }
        let Ok(Ok(_turn)) = timeout(TURN, self.turns.acquire()).await else {
            self.rest();
            return Err(MailError::Busy);
        };
        match timeout(self.timeout, self.transport.send(message)).await {
            Ok(Ok(_taken)) => Ok(()),
            Ok(Err(error)) => Err(self.judge(error)),
            Err(elapsed) => {
                self.rest();
                Err(MailError::Failed(Box::new(elapsed)))
            }
        }
    }

    fn rest(&self) {
        *self.rests_until.lock() = Some(Instant::now() + REST);
    }

    /// A refusal of the mail is told from one of us, or from an outage.
    fn judge(&self, error: lettre::transport::smtp::Error) -> MailError {
        let code = error.status();
        let is_final = code.is_some_and(|code| code.severity == Severity::PermanentNegativeCompletion);
        // 550 to 554 are about the mailbox or the mail (RFC 5321); 530, 534, 535 and 538 are about our login (RFC 4954).
        match code.map(|code| code.to_string()).filter(|code| is_final && code.starts_with("55")) {
            Some(code) => MailError::Refused { code },
            None => {
                self.rest();
                MailError::Failed(Box::new(error))
            }
        }
    }

    fn message(&self, mailing: &Mailing<'_>) -> Result<Message, MailError> {
        let refused = |code: &str| MailError::Refused { code: code.to_owned() };
        let to = address(mailing.to).map_err(|_not_one| refused("no address"))?;
        let Written { subject, text, html } = mailing.letter.write();
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .message_id(Some(format!("<{}@{}>", mailing.id, self.from.email.domain())))
            .header(AutoSubmitted)
            .multipart(MultiPart::alternative_plain_html(text, html))
            .map_err(|error| MailError::Failed(Box::new(error)))
    }
}

/// Why there is no mailer with these settings.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// The sender's address.
    #[error(transparent)]
    Sender(#[from] SenderError),
    /// The server's certificates.
    #[error(transparent)]
    Server(#[from] UnusableServer),
}

fn address(text: &str) -> Result<Address, AddressError> {
    text.parse()
}

fn tls(server: &SmtpServer) -> Result<TlsParameters, UnusableServer> {
    let builder = TlsParameters::builder(server.host.clone());
    let builder = match &server.ca {
        Some(pem) => builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(Certificate::from_pem(pem)?),
        None => builder,
    };
    Ok(builder.build_rustls()?)
}

#[cfg(test)]
mod tests {
    use bulkhead_servers::{MailCatcher, Manner, Scratch};
    use chrono::DateTime;

    use super::*;
    use crate::letter::Link;

    const LETTER: Letter<'_> = Letter::Invitation {
        tenant: "Acme",
        link: Link {
            address: "https://app.example.com/invitation#token=bh_iv_1",
            expires_at: DateTime::from_timestamp_millis(1_800_000_000_000).unwrap(),
        },
    };
    const PATIENCE: Duration = Duration::from_secs(10);

    struct Given {
        catcher: MailCatcher,
        mailer: Mailer,
        _scratch: Scratch,
    }

    fn given(security: Security, timeout: Duration, at_once: usize) -> Given {
        let scratch = Scratch::new().unwrap();
        let catcher = MailCatcher::start(scratch.path().join("mail"), |_| {}).unwrap();
        let server = SmtpServer {
            host: "127.0.0.1".to_owned(),
            port: catcher.port(),
            security,
            login: None,
            ca: None,
            timeout,
            at_once,
        };
        let address = "no-reply@example.com".parse().unwrap();
        let sender = Sender { name: Some("Bücher, \"Acme\"".to_owned()), address };
        let mailer = Mailer::new(&server, &sender).unwrap();
        Given { catcher, mailer, _scratch: scratch }
    }

    async fn send(given: &Given, to: &str) -> Result<(), MailError> {
        given.mailer.send(&Mailing { to, letter: LETTER, id: "ott_1.2" }).await
    }

    #[tokio::test]
    async fn a_mail_arrives_whole() {
        let given = given(Security::Plain, PATIENCE, 1);
        send(&given, "grace@example.com").await.unwrap();
        let mails = given.catcher.wait_for("grace@example.com", 1, PATIENCE);
        let header = |name| mails[0].header(name);
        assert_eq!(header("to"), "grace@example.com");
        assert_eq!(header("message-id"), "<ott_1.2@example.com>");
        assert_eq!(header("auto-submitted"), "auto-generated");
        assert_eq!(header("subject"), "Your invitation to Acme");
        assert!(header("from").ends_with("<no-reply@example.com>") && header("from").is_ascii());
        let readable = mails[0].readable();
        assert_eq!(readable.matches("https://app.example.com/invitation#token=bh_iv_1").count(), 3);
        assert!(readable.contains("text/plain") && readable.contains("text/html"), "{readable}");
    }

    #[tokio::test]
    async fn a_refusal_of_the_address_is_told_from_a_fault_of_the_server() {
        let given = given(Security::Plain, PATIENCE, 1);
        for no_address in ["nobody", "a@b\r\nBcc: all@example.com", ""] {
            let refused = send(&given, no_address).await;
            assert!(matches!(refused, Err(MailError::Refused { .. })), "{refused:?}");
        }
        assert_eq!(given.catcher.sessions(), 0);
        for code in [550, 553] {
            given.catcher.set_manner(Manner::Refuses(code));
            let refused = send(&given, "grace@example.com").await;
            assert!(matches!(&refused, Err(MailError::Refused { code: told }) if *told == code.to_string()));
        }
        for code in [421, 451, 535] {
            given.catcher.set_manner(Manner::Refuses(code));
            *given.mailer.rests_until.lock() = None;
            let failed = send(&given, "grace@example.com").await;
            assert!(matches!(failed, Err(MailError::Failed(_))), "{code}: {failed:?}");
        }
        // It is left alone for a while.
        given.catcher.set_manner(Manner::Takes);
        let sessions = given.catcher.sessions();
        assert!(matches!(send(&given, "grace@example.com").await, Err(MailError::Busy)));
        assert_eq!(given.catcher.sessions(), sessions);
        *given.mailer.rests_until.lock() = None;
        send(&given, "grace@example.com").await.unwrap();
    }

    /// A server that does not answer is waited for by as many as may be under way, and by no other for longer than a turn.
    #[tokio::test]
    async fn a_server_that_stalls_holds_up_few() {
        let given = given(Security::Plain, Duration::from_secs(3), 2);
        given.catcher.set_manner(Manner::Stalls);
        let all = ["a@example.com", "b@example.com", "c@example.com", "d@example.com"];
        let began = Instant::now();
        let [first, second, third, fourth] = all.map(|to| send(&given, to));
        let (first, second, third, fourth) = tokio::join!(first, second, third, fourth);
        assert!(matches!((&first, &second), (Err(MailError::Failed(_)), Err(MailError::Failed(_)))));
        assert!(matches!((&third, &fourth), (Err(MailError::Busy), Err(MailError::Busy))), "{third:?}");
        // The server keeps its silence for a minute.
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        assert_eq!(given.catcher.sessions(), 2);
    }

    /// A man in the middle who takes the offer of STARTTLS away gets nothing.
    #[tokio::test]
    async fn without_tls_nothing_is_said_to_a_server_elsewhere() {
        for security in [Security::StartTls, Security::Tls] {
            let given = given(security, Duration::from_secs(2), 1);
            let failed = send(&given, "grace@example.com").await;
            assert!(matches!(failed, Err(MailError::Failed(_))), "{failed:?}");
            assert!(given.catcher.mails_to("grace@example.com").is_empty());
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let server = SmtpServer {
            host: "mail.example.com".to_owned(),
            port: 465,
            security: Security::Tls,
            login: Some(("user".to_owned(), "hunter2".to_owned())),
            ca: None,
            timeout: PATIENCE,
            at_once: 1,
        };
        assert_eq!(format!("{server:?}"), "SmtpServer(mail.example.com:465, Tls)");
    }
}

//! An SMTP server that delivers nothing: it keeps the mails.
//!
//! Owns as much of RFC 5321 as a client needs to hand over a mail on this host, and a file for each mail. Mails are bounded, and so
//! are the lines of a session. Refuses TLS, log-ins and mail for anybody: what it has taken stays here.

use std::{
    fmt, fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The most bytes of a mail.
const LARGEST: u64 = 1 << 20;
/// The most bytes of a command.
const LONGEST_LINE: u64 = 1_000;
/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// The most mails that are kept in memory; the oldest make room. Files are kept until their directory is emptied.
const KEPT: usize = 1_000;

/// A mail that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaughtMail {
    /// The address in the envelope that it was sent to.
    pub to: String,
    /// What was sent, headers and body, as it was sent.
    pub source: String,
    /// The file that it is in.
    pub path: PathBuf,
}

impl CaughtMail {
    /// The value of a header, its lines joined; empty when there is none.
    pub fn header(&self, name: &str) -> String {
        let head = self.source.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
        let value = head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        });
        value.unwrap_or_default()
    }

    /// The mail with the soft line breaks and the escapes of quoted-printable taken out, as far as they are ASCII: good enough to
    /// look for an address in it.
    pub fn readable(&self) -> String {
        self.source.replace("=\r\n", "").replace("=3D", "=")
    }

    /// The first token in a link of the mail: what stands behind `#token=`.
    pub fn token(&self) -> Option<String> {
        let readable = self.readable();
        let (_, rest) = readable.split_once("#token=")?;
        let is_of_it = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        Some(rest.chars().take_while(|c| is_of_it(*c)).collect())
    }
}

/// How the catcher treats clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It takes every mail.
    Takes,
    /// It refuses every recipient with this code.
    Refuses(u16),
    /// It never answers.
    Stalls,
}

/// What is told of each mail.
type Notice = Box<dyn Fn(&CaughtMail) + Send + Sync>;

struct Inner {
    dir: PathBuf,
    state: Mutex<State>,
    came: Condvar,
    notice: Notice,
    has_ended: AtomicBool,
}

struct State {
    manner: Manner,
    mails: Vec<CaughtMail>,
    /// How many mails and sessions there were.
    caught: u64,
    sessions: u64,
}

/// A catcher; it takes no more connections when it is dropped.
pub struct MailCatcher {
    inner: Arc<Inner>,
    address: SocketAddr,
}

impl fmt::Debug for MailCatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailCatcher({})", self.address)
    }
}

impl MailCatcher {
    /// Listens on a free port of this host and keeps mails in `dir`, which is made when it is missing. `notice` is called for each.
    pub fn start(
        dir: impl Into<PathBuf>,
        notice: impl Fn(&CaughtMail) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let dir = dir.into();
        make_dir(&dir)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = State { manner: Manner::Takes, mails: Vec::new(), caught: 0, sessions: 0 };
        let inner = Arc::new(Inner {
            dir,
            state: Mutex::new(state),
            came: Condvar::new(),
            notice: Box::new(notice),
            has_ended: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&inner);
        thread::Builder::new().name("mail-catcher".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if of_thread.has_ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let inner = Arc::clone(&of_thread);
                // A session that breaks off has handed nothing over.
                let session = move || drop(inner.serve(&stream));
                if thread::Builder::new().name("mail-session".to_owned()).spawn(session).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { inner, address })
    }

    /// Where a client sends to: `smtp://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The port it listens on.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Treats clients so from now on.
    pub fn set_manner(&self, manner: Manner) {
        self.inner.lock().manner = manner;
    }

    /// How many clients have connected.
    pub fn sessions(&self) -> u64 {
        self.inner.lock().sessions
    }

    /// The mails to this address, the oldest first.
    pub fn mails_to(&self, address: &str) -> Vec<CaughtMail> {
        self.inner.lock().mails.iter().filter(|mail| mail.to == address).cloned().collect()
    }

    /// Waits until so many mails to this address have come, and returns them; fewer when they do not come in time.
    pub fn wait_for(&self, address: &str, count: usize, patience: Duration) -> Vec<CaughtMail> {
        let deadline = Instant::now() + patience;
        let mut state = self.inner.lock();
        loop {
            let found: Vec<_> = state.mails.iter().filter(|mail| mail.to == address).cloned().collect();
            let left = deadline.saturating_duration_since(Instant::now());
            if found.len() >= count || left.is_zero() {
                return found;
            }
            state = self.inner.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for MailCatcher {
    fn drop(&mut self) {
        self.inner.has_ended.store(true, Ordering::Relaxed);
        // The thread that accepts looks with the next connection, which is this one.
        drop(TcpStream::connect(self.address));
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manner(&self) -> Manner {
        self.lock().manner
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(SILENCE))?;
        self.lock().sessions += 1;
        let mut reader = BufReader::new(stream);
        if self.manner() == Manner::Stalls {
            // Until the client gives up.
            io::copy(&mut reader, &mut io::sink())?;
            return Ok(());
        }
        let mut writer = stream;
        let mut say = |line: &str| writer.write_all(format!("{line}\r\n").as_bytes());
        say("220 localhost ESMTP, which delivers nothing")?;
        let mut to: Vec<String> = Vec::new();
        while let Some(line) = read_line(&mut reader)? {
            let verb: String = line.chars().take(4).collect::<String>().to_ascii_uppercase();
            match verb.as_str() {
                "HELO" => say("250 localhost")?,
                "EHLO" => say(&format!("250-localhost\r\n250-SIZE {LARGEST}\r\n250 8BITMIME"))?,
                "MAIL" | "RSET" => {
                    to.clear();
                    say("250 go on")?;
                }
                "RCPT" => match self.manner() {
                    Manner::Refuses(code) => say(&format!("{code} not here"))?,
                    Manner::Takes | Manner::Stalls => {
                        to.push(between(&line));
                        say("250 go on")?;
                    }
                },
                "DATA" if to.is_empty() => say("503 whose mail is it?")?,
                "DATA" => {
                    say("354 go on, until a line with a dot alone")?;
                    let source = read_mail(&mut reader)?;
                    for to in to.drain(..) {
                        self.keep(to, &source)?;
                    }
                    say("250 kept")?;
                }
                "QUIT" => {
                    say("221 good bye")?;
                    return Ok(());
                }
                "NOOP" => say("250 nothing was done")?,
                _ => say("502 that is not known here")?,
            }
        }
        Ok(())
    }

    fn keep(&self, to: String, source: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.caught += 1;
        let path = self.dir.join(format!("{:06}.eml", state.caught));
        fs::write(&path, source)?;
        let mail = CaughtMail { to, source: source.to_owned(), path };
        if state.mails.len() >= KEPT {
            state.mails.remove(0);
        }
        state.mails.push(mail.clone());
        drop(state);
        (self.notice)(&mail);
        self.came.notify_all();
        Ok(())
    }
}

/// Mails hold links that set passwords: the directory is its owner's alone, and begins empty.
fn make_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// A command without its end; `None` at the end of the session.
fn read_line(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if !line.ends_with(b"\n") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a command that is too long"));
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

/// A mail up to the line with a dot alone, the dots that stand for others taken off (RFC 5321 section 4.5.2).
fn read_mail(reader: &mut BufReader<&TcpStream>) -> io::Result<String> {
    let mut mail = String::new();
    let mut limited = reader.by_ref().take(LARGEST);
    loop {
        let mut line = Vec::new();
        if limited.read_until(b'\n', &mut line)? == 0 || !line.ends_with(b"\n") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a mail that is too long or broke off"));
        }
        let line = String::from_utf8_lossy(&line);
        if line == ".\r\n" {
            return Ok(mail);
        }
        mail += line.strip_prefix('.').unwrap_or(&line);
    }
}

/// What stands between the angle brackets of a command.
fn between(line: &str) -> String {
    let path = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    path.map_or_else(String::new, |(path, _)| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;

    fn talk(catcher: &MailCatcher, lines: &[&str]) -> Vec<String> {
        let stream = TcpStream::connect(catcher.address).unwrap();
        let mut reader = BufReader::new(&stream);
        let mut writer = &stream;
        let mut said = vec![read_line(&mut reader).unwrap().unwrap()];
        for line in lines {
            writer.write_all(format!("{line}\r\n").as_bytes()).unwrap();
            said.push(read_line(&mut reader).unwrap().unwrap_or_default());
        }
        said
    }

    #[test]
    fn a_mail_is_kept_as_it_was_sent_and_told_of() {
        let scratch = Scratch::new().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&told);
        let catcher = MailCatcher::start(scratch.path().join("mail"), move |mail| {
            note.lock().unwrap().push(mail.header("subject"));
        })
        .unwrap();
        let body = "Subject: a long\r\n one\r\n\r\n..dot\r\nhttps://x/y#token=3Dbh_iv_a=\r\nb-c \r\n.";
        let said = talk(&catcher, &["HELO me", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", body, "QUIT"]);
        assert_eq!(said.last().unwrap(), "221 good bye", "{said:?}");
        let mails = catcher.wait_for("c@d", 1, Duration::from_secs(5));
        assert_eq!((mails.len(), mails[0].header("SUBJECT")), (1, "a long one".to_owned()));
        assert_eq!(mails[0].token().unwrap(), "bh_iv_ab-c");
        assert!(mails[0].source.contains("\r\n.dot\r\n"));
        assert_eq!(fs::read_to_string(&mails[0].path).unwrap(), mails[0].source);
        assert_eq!(*told.lock().unwrap(), ["a long one"]);
        assert!(catcher.mails_to("a@b").is_empty());
    }

    #[test]
    fn it_refuses_when_it_is_told_to_and_what_comes_out_of_order() {
        let scratch = Scratch::new().unwrap();
        let catcher = MailCatcher::start(scratch.path().join("mail"), |_| {}).unwrap();
        catcher.set_manner(Manner::Refuses(550));
        let said = talk(&catcher, &["MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "AUTH PLAIN", "NOOP"]);
        let codes: Vec<&str> = said.iter().map(|line| &line[..3]).collect();
        assert_eq!(codes, ["220", "250", "550", "503", "502", "250"]);
        assert_eq!((catcher.mails_to("c@d").len(), catcher.sessions()), (0, 1));
    }

    #[test]
    fn a_dropped_catcher_lets_its_port_go() {
        let scratch = Scratch::new().unwrap();
        let catcher = MailCatcher::start(scratch.path().join("mail"), |_| {}).unwrap();
        let address = catcher.address;
        drop(catcher);
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpListener::bind(address).is_err() {
            assert!(Instant::now() < deadline, "the port is still taken");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

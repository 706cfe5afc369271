//! A crowd: many clients of one tenant, or of none, that ask for as much as they can.
//!
//! Written on sockets, because no HTTP client does what a crowd does: it sends and does not read, or reads as slowly
//! as it may. Its clients are threads that end with the crowd.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// How long a client waits for an answer before it counts as none.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client does with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Reads it as it comes.
    Whole,
    /// Reads a little, ten times a second.
    Slow,
    /// Leaves it where it is, until the server ends the connection.
    Never,
}

/// One client's requests, in turns.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) requests: Vec<Arc<Vec<u8>>>,
    pub(crate) reader: Reader,
}

/// Clients at work; they end when this is dropped.
pub(crate) struct Crowd {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Sets so many of each client to work.
    pub(crate) fn gather(address: SocketAddr, clients: impl IntoIterator<Item = Client>) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = clients.into_iter().map(|client| {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            thread::spawn(move || client.work(address, &stop, &asked))
        });
        Self { clients: clients.collect(), stop, asked }
    }

    /// Requests that were sent whole so far.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ended = client.join();
        }
    }
}

impl Client {
    fn work(&self, address: SocketAddr, stop: &AtomicBool, asked: &AtomicU64) {
        let mut connection = None;
        for request in self.requests.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let Some(stream) = connection.take().or_else(|| connect(address).ok()) else {
                thread::sleep(Duration::from_millis(10));
                continue;
            };
            connection = self.ask(stream, request, stop).ok().flatten();
            asked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Asks once. Returns the connection, if it can be asked on again.
    fn ask(&self, mut stream: TcpStream, request: &[u8], stop: &AtomicBool) -> Result<Option<TcpStream>> {
        stream.write_all(request)?;
        match self.reader {
            Reader::Whole => {
                let answer = Answer::read(&mut stream)?;
                Ok((!answer.is_last).then_some(stream))
            }
            Reader::Slow => {
                let mut some = [0; 4096];
                while !stop.load(Ordering::Relaxed) && stream.read(&mut some)? > 0 {
                    thread::sleep(Duration::from_millis(100));
                }
                Ok(None)
            }
            Reader::Never => {
                let begun = Instant::now();
                while !stop.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE * 2 {
                    thread::sleep(Duration::from_millis(50));
                }
                Ok(None)
            }
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The head of an answer.
struct Answer {
    status: u16,
    is_last: bool,
}

impl Answer {
    /// Reads an answer to its end.
    fn read(stream: &mut TcpStream) -> Result<Self> {
        let (mut text, mut some) = (Vec::new(), [0; 16_384]);
        let head = loop {
            let length = stream.read(&mut some)?;
            anyhow::ensure!(length > 0, "the connection has ended");
            text.extend_from_slice(some.get(..length).unwrap_or_default());
            if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let lines = String::from_utf8_lossy(text.get(..head).unwrap_or_default()).to_lowercase();
        let status = lines.get(9..12).and_then(|status| status.parse().ok()).context("no status")?;
        let length = lines.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut left = (head + length.unwrap_or(0_usize)).saturating_sub(text.len());
        while left > 0 {
            let length = stream.read(&mut some)?;
            anyhow::ensure!(length > 0, "the connection has ended");
            left = left.saturating_sub(length);
        }
        Ok(Self { status, is_last: lines.contains("connection: close") })
    }
}

/// How a neighbour is served.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Served {
    /// The slowest hundredth of its answers began here, in milliseconds.
    pub(crate) p99: f64,
    pub(crate) answers: usize,
    /// Answers other than 200, and none at all.
    pub(crate) errors: usize,
}

/// Asks at a fixed rate for a while, on as many connections as it takes, whether answers come or not: an answer's time
/// counts from when it was to be asked for.
pub(crate) fn ask_evenly(
    address: SocketAddr,
    request: &Arc<Vec<u8>>,
    per_second: u32,
    length: Duration,
) -> Served {
    const CONNECTIONS: u32 = 32;
    let begun = Instant::now();
    let askers = (0..CONNECTIONS).map(|number| {
        let request = Arc::clone(request);
        thread::spawn(move || {
            let pause = Duration::from_secs(1) * CONNECTIONS / per_second;
            let mut due = begun + pause * number / CONNECTIONS;
            let (mut connection, mut times, mut errors) = (None, Vec::new(), 0);
            while due < begun + length {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let asked = connection.take().map_or_else(|| connect(address), Ok).and_then(|mut stream| {
                    stream.write_all(&request)?;
                    let answer = Answer::read(&mut stream)?;
                    anyhow::ensure!(answer.status == 200, "{}", answer.status);
                    Ok((!answer.is_last).then_some(stream))
                });
                match asked {
                    Ok(stream) => {
                        connection = stream;
                        times.push(due.elapsed().as_secs_f64() * 1e3);
                    }
                    Err(_no_answer) => errors += 1,
                }
                due += pause;
            }
            (times, errors)
        })
    });
    let askers: Vec<_> = askers.collect();
    let mut served = Served::default();
    let mut times = Vec::new();
    for asker in askers {
        match asker.join() {
            Ok((some, errors)) => {
                times.extend(some);
                served.errors += errors;
            }
            Err(_panicked) => served.errors += 1,
        }
    }
    served.answers = times.len();
    served.p99 = crate::slices::quantile(&times, 0.99);
    served
}

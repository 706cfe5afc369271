//! Looking behind the API's back: every row, every Redis key.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
};

use crate::{App, servers::BINARIES};

/// A session with PostgreSQL; ends when it is dropped.
pub struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended = self.0.wait();
    }
}

impl App {
    /// Runs SQL as the superuser; a line per row, `|` between columns.
    pub fn sql(&self, sql: &str) -> String {
        let mut psql = Command::new(BINARIES.postgres_dir.join("psql"));
        let output = psql
            .args(["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.superuser_url()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A session of the superuser's that has run this SQL, and holds what that has locked until it ends.
    #[doc(hidden)]
    pub fn session(&self, sql: &str) -> Session {
        let mut psql = Command::new(BINARIES.postgres_dir.join("psql"));
        psql.args(["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", &self.superuser_url()]);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(psql.stdin.as_mut().unwrap(), "{sql}; SELECT 'done';").unwrap();
        let mut done = String::new();
        BufReader::new(psql.stdout.as_mut().unwrap()).read_line(&mut done).unwrap();
        assert_eq!(done.trim(), "done", "{sql}");
        Session(psql)
    }

    /// Every row of every table, as text.
    pub fn dump(&self) -> String {
        let mut dump = Command::new(BINARIES.postgres_dir.join("pg_dump"));
        dump.args(["--data-only", "--no-owner", "--dbname", &self.superuser_url()]);
        let output = dump.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a script of SQL as the superuser, in one session; all that it yields, a line per row.
    pub(crate) fn script(&self, sql: &str) -> String {
        let mut psql = Command::new(BINARIES.postgres_dir.join("psql"));
        psql.args(["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-f", "-", &self.superuser_url()]);
        let mut psql =
            psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = psql.stdin.take().unwrap();
        let output = thread::scope(|scope| {
            // It yields rows while it reads. What it does not read after an error, it has told of.
            scope.spawn(move || drop(input.write_all(sql.as_bytes())));
            psql.wait_with_output().unwrap()
        });
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every row of the tables in one schema, by table: a line per row, unless a text in it has several. `pg_dump` would read the
    /// catalogue of all schemas first.
    pub(crate) fn rows_of(&self, schema: &str) -> String {
        self.script(&format!(
            "SELECT format('SELECT %L, the_row::text FROM %I.%I the_row ORDER BY 2', tablename, schemaname, tablename) \
             FROM pg_catalog.pg_tables WHERE schemaname = '{schema}' ORDER BY tablename \\gexec\n"
        ))
    }

    /// The keys of Redis that contain this text, each with the milliseconds it has left; -1 when it stays for ever.
    #[doc(hidden)]
    pub fn redis_keys_with(&self, text: &str) -> Vec<(String, i64)> {
        let url = self.redis.lock().unwrap().url();
        let mut redis = RedisConnection::open(&url);
        let keys = redis.ask(&["KEYS", &format!("*{text}*")]);
        let left = |key: String| {
            let left = redis.ask(&["PTTL", &key]).concat().parse().unwrap();
            (key, left)
        };
        keys.into_iter().map(left).collect()
    }

    /// Everything that Redis holds, keys and values of all types.
    #[doc(hidden)]
    pub fn redis_dump(&self) -> String {
        let url = self.redis.lock().unwrap().url();
        let mut redis = RedisConnection::open(&url);
        let keys = redis.ask(&["KEYS", "*"]);
        let mut dump = keys.join("\n");
        for key in &keys {
            let kind = redis.ask(&["TYPE", key]).concat();
            let value = match kind.as_str() {
                "string" => redis.ask(&["GET", key]),
                "hash" => redis.ask(&["HGETALL", key]),
                "list" => redis.ask(&["LRANGE", key, "0", "-1"]),
                "set" => redis.ask(&["SMEMBERS", key]),
                "zset" => redis.ask(&["ZRANGE", key, "0", "-1"]),
                "stream" => redis.ask(&["XRANGE", key, "-", "+"]),
                // It has expired since.
                "none" => continue,
                other => panic!("{key} is of the unknown type {other}"),
            };
            dump += &format!("\n{key}\n{}", value.join("\n"));
        }
        dump
    }
}

/// Just enough of Redis' protocol to read everything.
struct RedisConnection(BufReader<TcpStream>);

impl RedisConnection {
    fn open(url: &str) -> Self {
        let (credentials, address) = url.trim_start_matches("redis://").split_once('@').unwrap();
        let password = credentials.split_once(':').unwrap().1;
        let stream = TcpStream::connect(address.trim_end_matches("/0")).unwrap();
        let mut connection = Self(BufReader::new(stream));
        assert_eq!(connection.ask(&["AUTH", password]), ["OK"]);
        connection
    }

    /// The strings of the answer, however deep they are.
    fn ask(&mut self, command: &[&str]) -> Vec<String> {
        let mut request = format!("*{}\r\n", command.len());
        for word in command {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut strings = Vec::new();
        self.read(&mut strings);
        strings
    }

    fn read(&mut self, strings: &mut Vec<String>) {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "*" => (0..rest.parse().unwrap_or(0)).for_each(|_| self.read(strings)),
            "$" => {
                let Ok(length) = rest.parse::<usize>() else { return };
                let mut bytes = vec![0; length + 2];
                self.0.read_exact(&mut bytes).unwrap();
                bytes.truncate(length);
                strings.push(String::from_utf8_lossy(&bytes).into_owned());
            }
            "-" => panic!("Redis: {rest}"),
            _ => strings.push(rest.to_owned()),
        }
    }
}

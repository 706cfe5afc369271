//! Redis: what it keeps, being killed or held still, and TLS.

use std::process::Command;

use bulkhead_servers::{Error, Redis, RedisOptions, Scratch, Signal};

use crate::support::{BINARIES, certificate, redis};

#[test]
fn an_append_only_server_keeps_every_write_through_kill_9() {
    let scratch = Scratch::new().unwrap();
    let mut server = Redis::start(&BINARIES, RedisOptions::new(scratch.path().join("redis"))).unwrap();
    let (url, port) = (server.url(), server.port());
    assert_eq!(redis(&url, &["SET kept 42"]), ["+OK"]);
    server.kill(Signal::SIGKILL).unwrap();
    assert!(matches!(server.kill(Signal::SIGTERM), Err(Error::NotRunning(_))));
    server.restart().unwrap();
    assert_eq!(server.port(), port);
    assert_eq!(redis(&url, &["GET kept"]), ["42"]);
    drop(server);

    let again = Redis::start(&BINARIES, RedisOptions::new(scratch.path().join("redis"))).unwrap();
    assert_eq!(redis(&again.url(), &["GET kept"]), ["42"]);
}

#[test]
fn without_the_append_only_file_it_forgets() {
    let scratch = Scratch::new().unwrap();
    let options = RedisOptions { append_only: false, ..RedisOptions::new(scratch.path().join("redis")) };
    let mut server = Redis::start(&BINARIES, options).unwrap();
    let url = server.url();
    assert_eq!(redis(&url, &["SET kept 42"]), ["+OK"]);
    server.restart().unwrap();
    assert_eq!(redis(&url, &["GET kept"]), ["$-1"]);
}

#[test]
fn it_evicts_nothing_and_asks_for_the_password() {
    let scratch = Scratch::new().unwrap();
    let server = Redis::start(&BINARIES, RedisOptions::new(scratch.path().join("redis"))).unwrap();
    let info = Command::new("redis-cli")
        .args(["-u", &server.url(), "--no-auth-warning", "CONFIG", "GET", "maxmemory-policy"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&info.stdout).trim(), "maxmemory-policy\nnoeviction");
    let stranger =
        Command::new("redis-cli").args(["-p", &server.port().to_string(), "PING"]).output().unwrap();
    assert!(String::from_utf8_lossy(&stranger.stdout).contains("NOAUTH"));
}

#[test]
fn a_server_held_still_stops_all_the_same() {
    let scratch = Scratch::new().unwrap();
    let mut server = Redis::start(&BINARIES, RedisOptions::new(scratch.path().join("redis"))).unwrap();
    server.kill(Signal::SIGSTOP).unwrap();
    server.stop().unwrap();
}

#[test]
fn tls_has_a_port_of_its_own() {
    let scratch = Scratch::new().unwrap();
    let tls = certificate(&scratch.path().join("tls"));
    let stranger = certificate(&scratch.path().join("stranger"));
    let ca = tls.ca.clone();
    let options = RedisOptions { tls: Some(tls), ..RedisOptions::new(scratch.path().join("redis")) };
    let server = Redis::start(&BINARIES, options).unwrap();
    let url = server.tls_url().unwrap();
    let ping = |ca: &std::path::Path| {
        let mut cli = Command::new("redis-cli");
        cli.args(["--tls", "--no-auth-warning", "-u", &url, "--cacert"]).arg(ca).arg("PING");
        String::from_utf8_lossy(&cli.output().unwrap().stdout).into_owned()
    };
    assert_eq!(ping(&ca), "PONG\n");
    assert_eq!(ping(&stranger.ca), "");
}

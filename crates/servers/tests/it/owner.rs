//! Nothing outlives its owner: the test binary runs itself again as an owner, and kills it.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use bulkhead_servers::{Redis, RedisOptions, Scratch};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User, getpgid};

use crate::support::{BINARIES, alive, postgres, sql, within};

const DIR: &str = "BULKHEAD_TEST_OWNER_DIR";

/// Not a test: the owner that the tests below kill. Does nothing when it is run by itself.
#[test]
#[ignore = "run by the other tests of this file, as a process of its own"]
fn owner() {
    let Some(dir) = env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let postgres = postgres(dir.join("postgres"));
    let redis = Redis::start(&BINARIES, RedisOptions::new(dir.join("redis"))).unwrap();
    println!(
        "\nowns {} {} {}",
        postgres.pid().unwrap(),
        redis.pid().unwrap(),
        postgres.superuser_url("postgres")
    );
    thread::sleep(Duration::from_mins(5));
}

struct Owner {
    process: Child,
    postgres: u32,
    redis: u32,
    url: String,
}

fn start_owner(program: &Path, dir: &Path, account: Option<&User>) -> Owner {
    let mut command = Command::new(program);
    command
        .args(["owner::owner", "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped());
    if let Some(account) = account {
        command.uid(account.uid.as_raw()).gid(account.gid.as_raw()).current_dir(dir);
    }
    let mut process = command.spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|line| line.starts_with("owns ")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let pid = |n: usize| words[n].parse().unwrap();
    Owner { process, postgres: pid(1), redis: pid(2), url: words[3].to_owned() }
}

fn dies_with_its_servers(mut owner: Owner, signal: Signal) {
    assert_eq!(sql(&owner.url, "SELECT 1").as_deref(), Ok("1"));
    assert!(alive(owner.postgres) && alive(owner.redis));
    kill(Pid::from_raw(owner.process.id().cast_signed()), signal).unwrap();
    owner.process.wait().unwrap();
    assert!(within(10, || !alive(owner.postgres) && !alive(owner.redis)), "a server outlived its owner");
}

#[test]
fn kill_9_of_the_owner_stops_its_servers_and_the_next_owner_waits_for_that() {
    let scratch = Scratch::new().unwrap();
    let program = env::current_exe().unwrap();
    let mut owner = start_owner(&program, scratch.path(), None);
    sql(&owner.url, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)").unwrap();
    owner.process.kill().unwrap();
    owner.process.wait().unwrap();
    // At once: the old server is still shutting down, and the new one must neither fail nor overlap it.
    let next = postgres(scratch.path().join("postgres"));
    assert!(!alive(owner.postgres));
    assert_eq!(sql(&next.superuser_url("postgres"), "SELECT n FROM kept").as_deref(), Ok("42"));
    drop(next);
    dies_with_its_servers(start_owner(&program, scratch.path(), None), Signal::SIGTERM);
}

#[test]
fn an_unprivileged_owner_is_served_alike() {
    let scratch = Scratch::new().unwrap();
    let (dir, program) = (scratch.path().join("owner"), scratch.path().join("program"));
    fs::create_dir(&dir).unwrap();
    // The account may not be able to reach the binary where cargo put it.
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    let nobody = Uid::effective().is_root().then(|| User::from_name("nobody").unwrap().unwrap());
    if let Some(nobody) = &nobody {
        std::os::unix::fs::chown(&dir, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
    }
    dies_with_its_servers(start_owner(&program, &dir, nobody.as_ref()), Signal::SIGKILL);
}

#[test]
fn the_terminal_s_ctrl_c_does_not_reach_a_server() {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(&BINARIES, RedisOptions::new(scratch.path().join("redis"))).unwrap();
    let group = |pid: Option<Pid>| getpgid(pid).unwrap();
    assert_ne!(group(Some(Pid::from_raw(redis.pid().unwrap().cast_signed()))), group(None));
}

#[test]
fn scratch_directories_of_dead_owners_are_swept() {
    let living = Scratch::new().unwrap();
    let base = living.path().parent().unwrap();
    let dead = base.join("bulkhead-servers-dead");
    fs::create_dir_all(dead.join("postgres")).unwrap();
    for dir in [living.path(), &dead] {
        let long_ago = SystemTime::now() - Duration::from_hours(1);
        File::open(dir).unwrap().set_modified(long_ago).unwrap();
    }
    let path = Scratch::new().unwrap().path().to_owned();
    assert!(!dead.exists() && living.path().exists());
    assert!(!path.exists(), "dropping removes it");
}

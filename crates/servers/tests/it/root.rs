//! What is different for root. Run as another account, these tests check that nothing is.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use bulkhead_servers::{Redis, RedisOptions, Scratch};
use nix::unistd::Uid;

use crate::support::{BINARIES, postgres, sql};

/// Whose a process is: Linux shows it under /proc, elsewhere `ps` is always there.
fn uid(pid: u32) -> u32 {
    fs::metadata(format!("/proc/{pid}")).map_or_else(
        |_| {
            let ps = Command::new("ps").args(["-o", "uid=", "-p", &pid.to_string()]).output().unwrap();
            String::from_utf8(ps.stdout).unwrap().trim().parse().unwrap()
        },
        |process| process.uid(),
    )
}

#[test]
fn servers_never_run_as_root_and_own_their_directories() {
    let scratch = Scratch::new().unwrap();
    let postgres = postgres(scratch.path().join("postgres"));
    let redis = Redis::start(&BINARIES, RedisOptions::new(scratch.path().join("redis"))).unwrap();
    for (pid, name) in [(postgres.pid(), "postgres"), (redis.pid(), "redis")] {
        let uid = uid(pid.unwrap());
        assert_ne!(uid, 0);
        assert_eq!(fs::metadata(scratch.path().join(name).join("data")).unwrap().uid(), uid);
        assert_eq!(fs::metadata(scratch.path().join(name)).unwrap().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_directory_that_the_account_cannot_reach_is_a_link_to_one_that_it_can() {
    // As a clone under /root.
    let closed = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
    let dir = closed.path().join("postgres");
    let first = postgres(&dir);
    sql(&first.superuser_url("postgres"), "CREATE TABLE kept (n int)").unwrap();
    drop(first);
    assert_eq!(dir.is_symlink(), Uid::effective().is_root());
    let place = fs::canonicalize(&dir).unwrap();

    let again = postgres(&dir);
    assert_eq!(sql(&again.superuser_url("postgres"), "SELECT count(*) FROM kept").as_deref(), Ok("0"));
    drop(again);

    // Deleting the directory is how a developer starts over, link or not.
    if dir.is_symlink() { fs::remove_file(&dir) } else { fs::remove_dir_all(&dir) }.unwrap();
    let anew = postgres(&dir);
    assert!(sql(&anew.superuser_url("postgres"), "SELECT count(*) FROM kept").is_err());
    assert_eq!(fs::canonicalize(&dir).unwrap(), place);
    drop(anew);

    // A link whose target was deleted is as good as none.
    fs::remove_dir_all(&place).unwrap();
    drop(postgres(&dir));
    fs::remove_dir_all(&place).unwrap();
}

//! An extension with everything that an extension can have, and with every fault that one can bring along.
//!
//! Owns what the tests of this crate look at: that all of it works beside the core, and that its faults are its own. `notes` is
//! what works, `faults` what does not. Refuses to be shipped: no product crate may depend on it.

mod faults;
mod notes;

use bulkhead::{Counter, HealthCall, prelude::*};

permissions! {
    /// See notes.
    READ_NOTES = "read:notes", held by [Owner, Admin, Developer, ReadOnly];
    /// Write notes.
    WRITE_NOTES = "write:notes", held by [Owner, Admin, Developer];
}

meters! {
    /// Notes that were written.
    NOTES_WRITTEN = "faulty_notes_written", "note";
    /// Notes that were stamped.
    NOTES_STAMPED = "faulty_notes_stamped", "note";
}

settings! {
    /// What can be set.
    #[derive(Debug)]
    pub struct FaultySettings of "faulty" {
        /// What a stamp says, 1 to 64 characters.
        stamp: Text<64> = "seen" by str::parse;
        /// How long a slow query takes, in seconds, 1 to 60.
        slow_secs: u16 = 30 in 1..=60;
        /// Whether the fuse is whole: yes or no.
        fuse: String = "yes" by bulkhead::value::name;
    }
}

id! {
    /// A note.
    pub NoteId = "not_";
}

/// Stamps put on notes.
static STAMPS: Counter<0> = Counter::new("faulty_stamps_total", "Stamps put on notes.", []);

/// The extension.
pub fn extension() -> Extension {
    Extension::new("faulty")
        .about("Notes, and everything that can go wrong with them.")
        .tenant_migrations(migrations!["2026-12-01-000001_notes"])
        .permissions(ALL)
        .meters(METERS)
        .ids(IDS)
        .settings::<FaultySettings>()
        .metrics(&[&STAMPS])
        .health("fuse", fuse)
        .job::<notes::Stamp>()
        .operations(notes::group())
        .operations(faults::group())
        .demo(notes::demo)
}

async fn fuse(call: HealthCall) -> Result<(), String> {
    match call.settings::<FaultySettings>()?.fuse.as_str() {
        "no" => Err("the fuse has blown".to_owned()),
        _ => Ok(()),
    }
}

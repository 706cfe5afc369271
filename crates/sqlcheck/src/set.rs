//! A whole set of migrations: what it makes, and what is wrong with it.

use std::{collections::BTreeSet, fmt};

use crate::{Complaint, Direction, judge, relations_created, tables_created};

/// A migration as its directory has it.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    /// The name of the directory.
    pub name: &'a str,
    /// SQL that takes the step.
    pub up: &'a str,
}

/// What is wrong with a file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, below the migrations of its set.
    pub file: String,
    /// What is wrong with it.
    pub complaint: Complaint,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.file, self.complaint)
    }
}

/// What is wrong with the migrations of a tenant's schema that a set has, which are given from the oldest to the newest.
pub fn judge_set<'a>(migrations: impl IntoIterator<Item = Texts<'a>>) -> Vec<Fault> {
    let mut own = BTreeSet::new();
    let mut faults = Vec::new();
    for Texts { name, up } in migrations {
        own.extend(relations_created(up));
        let fault = |complaint| Fault { file: format!("{name}/up.sql"), complaint };
        faults.extend(judge(up, Direction::Up, &own).into_iter().map(fault));
    }
    faults
}

/// The tables that the migrations of a set make.
pub fn tables_of<'a>(migrations: impl IntoIterator<Item = Texts<'a>>) -> BTreeSet<String> {
    migrations.into_iter().flat_map(|texts| tables_created(texts.up)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: Texts<'_> = Texts {
        name: "2026-12-01-000001_notes",
        up: "CREATE TABLE notes (id int);\nCREATE INDEX notes_id ON notes (id);\nGRANT SELECT ON notes TO :\"tenant\"",
    };

    #[test]
    fn a_later_migration_may_change_what_an_earlier_one_made() {
        let later = Texts {
            name: "2026-12-02-000001_later",
            up: "ALTER TABLE notes ADD COLUMN x int; DROP INDEX notes_id",
        };
        assert_eq!(judge_set([NOTES, later]), []);
        assert_eq!(judge_set([later]).len(), 2, "without the earlier one they are strangers'");
    }

    #[test]
    fn a_fault_names_its_file_and_line() {
        let wrong =
            Texts { name: "2026-12-02-000001_wrong", up: "SELECT 1;\nCOMMIT;\nALTER TABLE users ADD x int" };
        let told: Vec<String> = judge_set([NOTES, wrong]).iter().map(Fault::to_string).collect();
        assert_eq!(
            told,
            [
                "2026-12-02-000001_wrong/up.sql, line 2: a migration has no statement that begins with commit",
                "2026-12-02-000001_wrong/up.sql, line 3: users is not of this set",
            ]
        );
    }

    #[test]
    fn the_tables_of_a_set_are_those_of_all_its_migrations() {
        let more =
            Texts { name: "2026-12-02-000001_more", up: "CREATE TABLE Labels (); CREATE VIEW v AS SELECT 1" };
        assert_eq!(tables_of([NOTES, more]), ["notes", "labels"].map(str::to_owned).into());
    }
}

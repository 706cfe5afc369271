//! How much memory a tenant's JSON takes for each of its bytes, whatever its shape: when it is checked, and when a page of it is
//! made. The allocator of these tests counts what each thread has and has not given back.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use anyhow::Result;
use bulkhead_db::{DbError, JsonText, PAGE_BYTES, TenantTx};
use bulkhead_domain::{JsonContent, PlanName};
use diesel::prelude::*;

use crate::probe::{self, things};

/// The largest content, unless configured otherwise.
const LIMIT: usize = 256 << 10;

/// What the check may take for each byte of a text, beside the text: 8 bytes for each name, in a list that doubles.
const CHECK: usize = 5;
/// What is read of a body: the text, once.
const READ: usize = 1;
/// What a page may take for each of its bytes until it is written out: as it came, as rows, as the answer that grows.
const PAGE: usize = 5;
/// What all of them may take for themselves, in bytes.
const FIXED: usize = 64 << 10;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counted. What grows is counted twice while it is copied.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe to write; this one hands everything on to the system's"
)]
// SAFETY: every call is handed on unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The most memory that this thread takes beside what it has, from here on.
struct Peak(isize);

impl Peak {
    fn begin() -> Self {
        PEAK.set(LIVE.get());
        Self(LIVE.get())
    }

    fn bytes(&self) -> usize {
        (PEAK.get() - self.0).unsigned_abs()
    }
}

/// An object whose members have these texts, as many as fit.
fn filled(members: impl Iterator<Item = String>) -> String {
    let mut text = "{".to_owned();
    for member in members {
        if text.len() + member.len() + 2 > LIMIT {
            break;
        }
        text += &member;
        text.push(',');
    }
    text.pop();
    text + "}"
}

/// Names that are all different and as short as they can be, each with this behind it.
fn names(end: &'static str) -> impl Iterator<Item = String> {
    let letters = || (b'0'..=b'z').filter(|byte| *byte != b'\\').map(char::from);
    letters()
        .flat_map(move |a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}{end}"))))
}

/// Content of the shapes that take most for their bytes, where something is kept of each part.
fn shapes() -> Vec<(&'static str, String)> {
    let member = |name: String| format!("\"{name}\":0");
    let list = |item: &str| format!("{{\"a\":[{}]}}", vec![item; LIMIT / (item.len() + 1) - 2].join(","));
    let deep = format!("{}{}{}", "{\"a\":".repeat(120), filled(names("").map(member)), "}".repeat(120));
    vec![
        ("many names", filled(names("").map(member))),
        ("many names with an escape", filled(names("\\n").map(member))),
        ("names of escapes", filled(names("\\ud83d\\ude00\\u00e4").map(member))),
        ("a name that is long", filled(std::iter::once(member("\\n".repeat(LIMIT / 2 - 10))))),
        ("many names, deep", deep),
        ("many objects", list("{\"\":0}")),
        ("many lists", list("[]")),
        ("many numbers", list("0")),
        ("many texts", list("\"\"")),
        ("a text of escapes", filled(std::iter::once(format!("\"a\":\"{}\"", "\\n".repeat(LIMIT / 2 - 10))))),
    ]
}

#[test]
fn the_check_of_a_text_takes_a_few_bytes_for_each_of_its() {
    for (shape, text) in shapes() {
        let read = Peak::begin();
        let content: JsonContent = serde_json::from_str(&text).unwrap();
        let read = read.bytes();
        let check = Peak::begin();
        content.within(2 * LIMIT).unwrap();
        let check = check.bytes();
        assert!(read <= READ * text.len() + FIXED, "{shape}: {read} to read {} bytes", text.len());
        assert!(check <= CHECK * text.len() + FIXED, "{shape}: {check} to check {} bytes", text.len());
    }
    // It is known at the end of the object that a name is there twice.
    let twice = filled(std::iter::repeat_n("\"\":0".to_owned(), LIMIT));
    let content: JsonContent = serde_json::from_str(&twice).unwrap();
    let check = Peak::begin();
    content.within(LIMIT).unwrap_err();
    let check = check.bytes();
    assert!(check <= CHECK * twice.len() + FIXED, "{check} to refuse {} bytes", twice.len());
}

#[tokio::test]
async fn a_page_takes_a_few_times_its_bytes_whatever_is_in_it() -> Result<()> {
    let database = probe::database().await?;
    let tenant = database.create_tenant("acme", PlanName::FREE).await?;
    let db = database.db()?;
    for (shape, text) in shapes() {
        let content: JsonContent = serde_json::from_str(&text)?;
        let data = JsonText::from(content.within(2 * LIMIT)?);
        let insert = async |tx: &mut _| {
            for _ in 0..6 {
                probe::insert(tx, "n", shape, &data).await?;
            }
            Ok::<_, DbError>(())
        };
        db.write(tenant.proven(), insert).await?;
        let peak = Peak::begin();
        let list = async |tx: &mut TenantTx| {
            tx.load::<_, JsonText>(things::table.filter(things::kind.eq(shape)).select(things::data)).await
        };
        let rows = db.read::<_, DbError>(tenant.proven(), list).await?;
        let answer = serde_json::to_vec(&rows)?;
        let peak = peak.bytes();
        assert!(answer.len() > PAGE_BYTES as usize, "{shape}: {} bytes are no full page", answer.len());
        assert!(peak <= PAGE * answer.len() + FIXED, "{shape}: {peak} for {} bytes", answer.len());
    }
    Ok(())
}

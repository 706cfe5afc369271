//! Notes: short texts, each under a topic.
//!
//! The extension to copy: a table with its migration, three operations, two permissions and a meter.

use bulkhead::prelude::*;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What `main.rs` adds to the application.
pub(crate) fn extension() -> Extension {
    Extension::new("notes")
        .about("Short texts, each under a topic.")
        .tenant_migrations(migrations!["2026-11-28-000001_notes"])
        .permissions(ALL)
        .meters(METERS)
        .ids(&[NoteId::PREFIX])
        .operations(group())
}

permissions! {
    /// See notes.
    READ_NOTES = "read:notes", held by [Owner, Admin, Developer, ReadOnly];
    /// Write notes.
    WRITE_NOTES = "write:notes", held by [Owner, Admin, Developer];
}

meters! {
    /// Notes that were written.
    NOTES_WRITTEN = "notes_written", "note";
}

id! {
    /// A note.
    pub(crate) NoteId = "note_";
}

operations! {
    list_notes => Access::Tenant(READ_NOTES), [], List;
    get_note => Access::Tenant(READ_NOTES), [];
    create_note => Access::Tenant(WRITE_NOTES), [Error::Validation(Vec::new())];
}

diesel::table! {
    notes (id) {
        id -> Uuid,
        topic -> Text,
        text -> Text,
        created_at -> Timestamptz,
    }
}

/// A note, as the table has it and as clients see it.
#[derive(Insertable, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = notes, check_for_backend(diesel::pg::Pg))]
struct Note {
    /// Its id.
    #[schema(value_type = String, example = "note_069tbm3w01x3q72dbsqq10cjmc")]
    id: NoteId,
    /// What it is about.
    #[schema(example = "kitchen")]
    topic: String,
    /// What it says.
    #[schema(example = "The oven is to be repaired.")]
    text: String,
    /// When it was written.
    created_at: DateTime<Utc>,
}

/// Which notes to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListNotesQuery {
    /// Only notes under this topic.
    #[param(example = "kitchen")]
    topic: Option<String>,
    /// How many rows to return, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[serde(default, deserialize_with = "page_limit")]
    limit: Option<u16>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List notes
#[utoipa::path(
    get, path = "/v1/notes", params(ListNotesQuery),
    responses((status = 200, description = "A page of notes.", body = PageResponse<Note>)),
)]
async fn list_notes(call: TenantCall, Query(query): Query<ListNotesQuery>) -> Result<Answer> {
    let page = page_request(query.limit, query.cursor.as_deref(), NoteId::uuid)?;
    let mut rows = notes::table.select(Note::as_select()).order(notes::id).limit(page.probe()).into_boxed();
    if let Some(topic) = query.topic {
        rows = rows.filter(notes::topic.eq(topic));
    }
    if let Some(after) = page.after {
        rows = rows.filter(notes::id.gt(NoteId::from(after)));
    }
    let rows: Vec<Note> = call.read(async |tx| tx.load(rows).await).await?;
    call.page(Page::cut(rows, page), |note| note.id, |note| note)
}

/// Read a note
#[utoipa::path(
    get, path = "/v1/notes/{id}",
    responses((status = 200, description = "The note.", body = Note)),
)]
async fn get_note(call: TenantCall, Id(id): Id<NoteId>) -> Result<Answer> {
    let note = notes::table.find(id).select(Note::as_select());
    let found: Option<Note> = call.read(async |tx| tx.first(note).await).await?;
    // Another tenant's id is answered like one that exists nowhere.
    Answer::ok(&found.ok_or(Error::NotFound)?)
}

/// A note to write.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateNote {
    /// What it is about.
    #[schema(min_length = 1, max_length = 64, example = "kitchen")]
    topic: String,
    /// What it says.
    #[schema(min_length = 1, max_length = 2000, example = "The oven is to be repaired.")]
    text: String,
}

impl RequestBody for CreateNote {}

/// Write a note
#[utoipa::path(
    post, path = "/v1/notes", params(IdempotencyKeyHeader), request_body = CreateNote,
    responses((status = 201, description = "Written.", body = Note)),
)]
async fn create_note(call: TenantCall, Json(body): Json<CreateNote>) -> Result<Answer> {
    let mut fields = Fields::default();
    fields.check::<Text<64>>("/topic", &body.topic);
    fields.check::<Text<2000>>("/text", &body.text);
    fields.finish()?;
    let (id, at) = (NoteId::mint(call.at()), call.at());
    let note = Note { id, topic: body.topic, text: body.text, created_at: at };
    call.write(async |tx| {
        tx.execute(diesel::insert_into(notes::table).values(&note)).await?;
        call.count(tx, NOTES_WRITTEN, Quantity::ONE).await?;
        let answer = Answer::created(format!("/v1/notes/{id}"), &note)?;
        // The audit log keeps the second argument: never put a secret into it.
        Ok(Written::changed(id, json!({ "topic": note.topic }), answer))
    })
    .await
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_stands_beside_the_core() {
        assert_eq!(bulkhead::App::new().extension(super::extension()).check(), Ok(()));
    }
}

//! What works: notes with a unique title, the one before, and a stamp that a job puts on them.

use bulkhead::{Demo, prelude::*};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{FaultySettings, NOTES_STAMPED, NOTES_WRITTEN, NoteId, READ_NOTES, STAMPS, WRITE_NOTES};

diesel::table! {
    notes (id) {
        id -> Uuid,
        title -> Text,
        before -> Nullable<Uuid>,
        stamp -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

operations! {
    list_notes => Access::Tenant(READ_NOTES), [], List;
    write_note => Access::Tenant(WRITE_NOTES), [
        Error::Taken { what: "title" },
    ];
    get_note => Access::Tenant(READ_NOTES), [];
}

/// A note.
#[derive(Clone, Debug, Insertable, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = notes, check_for_backend(diesel::pg::Pg), treat_none_as_default_value = false)]
pub(crate) struct Note {
    /// Its id.
    #[schema(value_type = String, example = "not_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: NoteId,
    /// Its title.
    #[schema(example = "Shopping")]
    title: String,
    /// The note before it.
    #[schema(value_type = Option<String>, example = json!(null))]
    before: Option<NoteId>,
    /// What the job has put on it.
    #[schema(example = "seen")]
    stamp: Option<String>,
    /// When it was written.
    created_at: DateTime<Utc>,
}

/// List notes
#[utoipa::path(
    get, path = "/v1/notes", params(PageQuery),
    responses((status = 200, description = "A page of notes.", body = PageResponse<Note>)),
)]
async fn list_notes(call: TenantCall, Query(query): Query<PageQuery>) -> Result<Answer> {
    let page = query.request(NoteId::uuid)?;
    let rows = call.read(async |tx| list(tx, page).await).await?;
    call.page(rows, |note| note.id, |note| note)
}

async fn list(tx: &mut TenantTx, page: PageRequest) -> DbResult<Page<Note>> {
    let mut query = notes::table.select(Note::as_select()).order(notes::id).limit(page.probe()).into_boxed();
    if let Some(after) = page.after {
        query = query.filter(notes::id.gt(NoteId::from(after)));
    }
    Ok(Page::cut(tx.load(query).await?, page))
}

/// Read a note
#[utoipa::path(
    get, path = "/v1/notes/{id}", responses((status = 200, description = "The note.", body = Note)),
)]
async fn get_note(call: TenantCall, Id(id): Id<NoteId>) -> Result<Answer> {
    let note = notes::table.find(id).select(Note::as_select());
    let found: Option<Note> = call.read(async |tx| tx.first(note).await).await?;
    Answer::ok(&found.ok_or(Error::NotFound)?)
}

/// A note to write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WriteNoteRequest {
    /// Its title, of which there is one.
    #[schema(min_length = 1, max_length = 200, example = "Shopping")]
    title: String,
    /// The note before it.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = json!(null))]
    before: Option<NoteId>,
}

impl RequestBody for WriteNoteRequest {}

/// Write a note
///
/// It is stamped in the background; follow the operation.
#[utoipa::path(
    post, path = "/v1/notes", params(IdempotencyKeyHeader), request_body = WriteNoteRequest,
    responses((status = 202, description = "Follow the operation.", body = OperationResponse)),
)]
async fn write_note(call: TenantCall, Json(body): Json<WriteNoteRequest>) -> Result<Answer> {
    let mut fields = Fields::default();
    fields.check::<Text<200>>("/title", &body.title);
    fields.finish()?;
    let id = NoteId::mint(call.at());
    let note = Note { id, title: body.title, before: body.before, stamp: None, created_at: call.at() };
    call.write(async |tx| {
        let insert = diesel::insert_into(notes::table).values(&note);
        tx.execute(insert).await.map_err(|error| match error {
            DbError::BrokenReference { .. } => unknown_reference("/before")(error),
            other => taken("title")(other),
        })?;
        call.count(tx, NOTES_WRITTEN, Quantity::ONE).await?;
        let job = call.enqueue(tx, &Stamp { note: id }).await?;
        Ok(Written::changed(id, json!({ "title": note.title }), Answer::accepted(job)?))
    })
    .await
}

/// Put a stamp on a note.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stamp {
    note: NoteId,
}

impl Job for Stamp {
    const KIND: &'static str = "faulty.stamp";
}

impl TenantJob for Stamp {}

impl TenantJobHandler for Stamp {
    async fn run(self, call: &JobCall) -> Result<Finished, JobError> {
        let stamp = call.settings::<FaultySettings>()?.stamp.as_str();
        let finished = call
            .finish(async |tx| {
                tx.execute(diesel::update(notes::table.find(self.note)).set(notes::stamp.eq(stamp))).await?;
                call.count(tx, NOTES_STAMPED, Quantity::ONE).await?;
                Ok(Some(json!({ "note": self.note })))
            })
            .await?;
        STAMPS.add([], 1);
        Ok(finished)
    }
}

/// The note of a demo tenant.
pub(crate) async fn demo(tx: &mut TenantTx, demo: &Demo) -> DbResult<()> {
    let id = NoteId::mint(demo.at);
    let title = format!("Written by {}", demo.subject);
    let note = Note { id, title, before: None, stamp: None, created_at: demo.at };
    tx.execute(diesel::insert_into(notes::table).values(&note)).await?;
    Ok(())
}

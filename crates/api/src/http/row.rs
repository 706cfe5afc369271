//! Rows that are their own views, and what a call does with one: `#[row]` of `bulkhead` makes a type one.
//!
//! Owns the ways that nearly every resource needs: a page, one by its id, one that is about to be changed, a new one. Refuses
//! SQL: the statements are in the type's own crate. What is beyond these is a query of diesel in `read`, `snapshot` or `write`.

use std::{fmt::Display, future::Future};

use bulkhead_db::{DbResult, Page, PageRequest, TenantTx};
use serde::Serialize;
use serde_json::Value;

use crate::http::{
    answer::Answer,
    call::{TenantCall, Written},
    error::ApiError,
    validation::refused,
};

/// A row of a tenant's table that clients see as it is. Its ids are in the order of lists.
pub trait Row: Serialize + Sized {
    /// Its primary key.
    type Id: Copy + Display;
    /// A query of whole rows, to which conditions can be added: diesel's `filter`.
    type Rows;

    /// The table's name.
    const TABLE: &'static str;
    /// The names of its columns.
    const COLUMNS: &'static [&'static str];

    /// Its id.
    fn id(&self) -> Self::Id;

    /// Its version, where it has one: the `ETag` of an answer that shows it.
    fn version(&self) -> Option<i64>;

    /// The query of all rows.
    fn rows() -> Self::Rows;

    /// The row with this id.
    fn find(tx: &mut TenantTx, id: Self::Id) -> impl Future<Output = DbResult<Option<Self>>>;

    /// The row with this id, locked until the transaction ends. A transaction that wants to change it at the same time waits,
    /// and then sees what this one has left.
    fn lock(tx: &mut TenantTx, id: Self::Id) -> impl Future<Output = DbResult<Option<Self>>>;

    /// A page of rows, in the order of their ids.
    fn page(
        tx: &mut TenantTx,
        rows: Self::Rows,
        page: PageRequest,
    ) -> impl Future<Output = DbResult<Page<Self>>>;

    /// Adds the row.
    fn insert(&self, tx: &mut TenantTx) -> impl Future<Output = DbResult<()>>;
}

impl Answer {
    /// 200 with a row as it is now, and its version as the `ETag`.
    pub fn row<R: Row>(row: &R) -> Result<Self, ApiError> {
        Ok(Self::ok(row)?.maybe_version(row.version()))
    }
}

impl Written {
    /// The write has made a row: 201 with the row, its version as the `ETag`, and where it is, which is `path`, a slash and its
    /// id. `changes` tells the audit log what it is; never put a secret into it.
    pub fn made<R: Row>(path: &str, row: &R, changes: Value) -> Result<Self, ApiError> {
        let answer = Answer::created(format!("{path}/{}", row.id()), row)?.maybe_version(row.version());
        Ok(Self::changed(row.id(), changes, answer))
    }
}

impl TenantCall {
    /// The answer with a page of rows: all of them are [`Row::rows`], those that fit the query are what `#[filter]` makes.
    pub async fn list<R: Row>(&self, page: PageRequest, rows: R::Rows) -> Result<Answer, ApiError> {
        let rows = self.read(async |tx| R::page(tx, rows, page).await).await?;
        self.page(rows, R::id, |row| row)
    }

    /// The answer with one row. Another tenant's id is answered like one that exists nowhere: 404.
    pub async fn get<R: Row>(&self, id: R::Id) -> Result<Answer, ApiError> {
        let found = self.read(async |tx| R::find(tx, id).await).await?;
        Answer::row(&found.ok_or(ApiError::NotFound)?)
    }

    /// A row that a write is about to change, locked until its transaction ends; where there is none, 404.
    pub async fn lock<R: Row>(&self, tx: &mut TenantTx, id: R::Id) -> Result<R, ApiError> {
        R::lock(tx, id).await?.ok_or(ApiError::NotFound)
    }

    /// The write that makes a row and nothing else, with its answer: [`Self::insert`] and [`Written::made`] in one.
    pub async fn create<R: Row>(&self, path: &str, row: &R, changes: Value) -> Result<Answer, ApiError> {
        let create = async |tx: &mut TenantTx| {
            self.insert(tx, row).await?;
            Written::made(path, row, changes)
        };
        self.write(create).await
    }

    /// Adds a row. Where a unique column refuses it, the client is told that this is taken (409 `already-taken`), and where a
    /// reference leads nowhere, which one (422 `validation-failed`): by the name that PostgreSQL gives to a constraint of one
    /// column.
    pub async fn insert<R: Row>(&self, tx: &mut TenantTx, row: &R) -> Result<(), ApiError> {
        row.insert(tx).await.map_err(refused::<R>)
    }
}

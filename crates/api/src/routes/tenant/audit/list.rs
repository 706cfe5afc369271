//! Read the audit log.

use bulkhead_db::{
    PageRequest,
    tenant::audit::{self, AuditEntry, AuditFilter},
};
use bulkhead_domain::AuditEntryId;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;

use super::AuditEntryResponse;
use crate::http::{
    answer::Answer,
    call::TenantCall,
    error::ApiError,
    extract::{PageResponse, Query, optional_time, page_limit, page_request},
};

/// Which entries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Only what this actor did.
    #[param(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    actor: Option<String>,
    /// Only this action.
    #[param(example = "create_user")]
    action: Option<String>,
    /// Only what was done to this.
    #[param(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1d")]
    target: Option<String>,
    /// Only what was done in this request.
    #[param(example = "req_0193ab8f3c5e7a1db3f40c2d9e8a7b61")]
    request_id: Option<String>,
    /// Not before this moment. An offset's + is written %2B.
    #[serde(default, deserialize_with = "optional_time")]
    from: Option<DateTime<Utc>>,
    /// Before this moment. An offset's + is written %2B.
    #[serde(default, deserialize_with = "optional_time")]
    to: Option<DateTime<Utc>>,
    /// How many rows to return, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[serde(default, deserialize_with = "page_limit")]
    limit: Option<u16>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl AuditQuery {
    /// Which page of which entries. A text that no entry can have finds none.
    pub(crate) fn read(&self) -> Result<(AuditFilter<'_>, PageRequest), ApiError> {
        let page = page_request(self.limit, self.cursor.as_deref(), AuditEntryId::uuid)?;
        for (name, text) in [
            ("actor", &self.actor),
            ("action", &self.action),
            ("target", &self.target),
            ("request_id", &self.request_id),
        ] {
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                let detail = "must have no character U+0000".to_owned();
                return Err(ApiError::InvalidParameter { name, detail });
            }
        }
        let filter = AuditFilter {
            actor: self.actor.as_deref(),
            action: self.action.as_deref(),
            target: self.target.as_deref(),
            request_id: self.request_id.as_deref(),
            from: self.from,
            to: self.to,
        };
        Ok((filter, page))
    }
}

/// Read the audit log
///
/// Every write and every event of security, the newest first. An entry is there when what it tells of is there; nobody can change or
/// remove one. Failed log-ins are told of accounts that exist, under the actor `anonymous`.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "A page of entries.", body = PageResponse<AuditEntryResponse>)),
)]
pub(crate) async fn list_audit(
    call: TenantCall,
    Query(query): Query<AuditQuery>,
) -> Result<Answer, ApiError> {
    let (filter, page) = query.read()?;
    let rows = call.read(async |tx| audit::list(tx, &filter, page).await).await?;
    call.page(rows, |row: &AuditEntry| row.id, AuditEntryResponse::from)
}

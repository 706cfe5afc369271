//! Set who may register.

use bulkhead_auth::grants::Hold;
use bulkhead_db::tenant::settings::{self, Registration};
use bulkhead_domain::{Email, RoleName, permission::WRITE_USERS};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::RegistrationResponse;
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, IfMatch, IfMatchHeader, Json, RequestBody},
        validation::Fields,
    },
    routes::tenant::{grants, lock_caller, refused},
};

/// How many domains there may be.
const DOMAINS: usize = 20;

/// Who may register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetRegistrationRequest {
    /// Whether people may register by themselves.
    #[schema(example = true)]
    enabled: bool,
    /// The role that they get, other than `owner`: a built-in one, or one of the tenant's own. You can set a role that you may give.
    #[schema(example = "read_only")]
    role: String,
    /// The domains that their addresses must have: at most 20; none allows any. Each is kept as its DNS name. They need mail: without,
    /// nobody shows that an address is theirs.
    #[serde(default)]
    #[schema(nullable = false, max_items = 20, example = json!([]))]
    domains: Vec<String>,
}

impl RequestBody for SetRegistrationRequest {}

/// Set who may register
///
/// People register at `/v1/auth/register` with the tenant's slug. Where the platform sends mail, they are users as soon as they
/// have shown that their address is theirs; otherwise at once. Whoever has registered and not confirmed yet gets the role, and is held to
/// the domains, that are set when they confirm.
#[utoipa::path(
    put, path = "/v1/settings/registration", tag = "settings", request_body = SetRegistrationRequest,
    params(IfMatchHeader, IdempotencyKeyHeader),
    responses((status = 200, description = "The setting as it is now.", body = RegistrationResponse)),
)]
pub(crate) async fn set_registration(
    call: TenantCall,
    if_match: IfMatch,
    Json(body): Json<SetRegistrationRequest>,
) -> Result<Answer, ApiError> {
    let (role, wanted) = parse(&call, body)?;
    call.write(async |tx| {
        let own = lock_caller(tx, &call).await?;
        let current = settings::lock_registration_to_change(tx).await?;
        grants(tx, &call, own, WRITE_USERS, &[role], Hold::Give).await?.may_give(role).map_err(refused)?;
        if_match.check(current.version)?;
        if current.version > 0 && current.value == wanted {
            let version = current.version;
            let answer = Answer::ok(&RegistrationResponse::from(current))?.version(version);
            return Ok(Written::unchanged(answer));
        }
        let set = settings::set_registration(tx, &wanted, call.subject(), call.at()).await?;
        let changes = json!({ "registration": { "from": current.value, "to": set.value } });
        let version = set.version;
        let answer = Answer::ok(&RegistrationResponse::from(set))?.version(version);
        Ok(Written::changed("registration", changes, answer))
    })
    .await
}

fn parse(call: &TenantCall, body: SetRegistrationRequest) -> Result<(RoleName, Registration), ApiError> {
    let SetRegistrationRequest { enabled, role: named, domains } = body;
    let mut fields = Fields::default();
    let role = fields.take("/role", call.state().access().read_role(&named));
    if role == Some(RoleName::OWNER) {
        fields.refuse("/role", "must be another role than owner: anybody could make themself one");
    }
    let mut stored = Vec::new();
    if fields.items("/domains", domains.len(), 0, DOMAINS) {
        for (at, domain) in domains.iter().enumerate() {
            // The domain as it is in addresses that are stored.
            let address = fields.take(&format!("/domains/{at}"), format!("a@{domain}").parse::<Email>());
            stored.extend(address.and_then(|one| Some(one.as_str().split_once('@')?.1.to_owned())));
        }
    }
    if enabled && !stored.is_empty() && call.state().options.mails_per_hour.is_none() {
        fields.refuse(
            "/domains",
            "must be empty: no mail leaves this platform, so nobody shows that an address is theirs",
        );
    }
    stored.sort_unstable();
    stored.dedup();
    fields.finish()?;
    let role = role.ok_or_else(|| ApiError::internal("a field that was refused"))?;
    Ok((role, Registration { enabled, role: role.to_string(), domains: stored }))
}

//! Add a person to the caller's tenant.

use bulkhead_auth::{Password, PasswordOwner, federation::NO_PASSWORD, grants::Hold};
use bulkhead_db::{
    TenantTx,
    gate::identity_providers,
    tenant::{
        caps::{self, Capped},
        provider_accounts, users,
    },
};
use bulkhead_domain::{Email, IdentityProviderId, RoleName, UserId, permission::WRITE_USERS};
use bulkhead_jobs::SettleAccount;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::UserWithAccountResponse;
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::{ApiError, FieldError},
        extract::{IdempotencyKeyHeader, Json, RequestBody, present},
        validation::taken,
    },
    routes::tenant::{grants, has_room, lock_caller, refuse_own_slug, refused, wrong_role},
};

/// A person to add, with a password or with an account at an identity provider.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateUserRequest {
    /// Their address; they log in with it, in any spelling. It is shown in lower case, an internationalized domain as its
    /// DNS name (`xn--…`).
    #[schema(max_length = 254, example = "grace@example.com")]
    email: String,
    /// Their first password, 8 to 256 characters; the platform may ask for more than 8. Refused are passwords that many people
    /// use, the address itself, what stands before its @, and the tenant's slug.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 8, max_length = 256, format = Password, example = "correct horse battery staple")]
    password: Option<String>,
    /// In place of a password: a provider of the platform that makes users, and whose word the tenant takes. They are made there as well,
    /// soon afterwards, and the provider tells them how to log in. Where it refuses them, they are removed here again.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, value_type = Option<String>, example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    identity_provider_id: Option<IdentityProviderId>,
    /// What they may do: `owner`, `admin`, `developer`, `read_only` or one of the tenant's own roles.
    #[schema(example = "developer")]
    role: String,
}

impl RequestBody for CreateUserRequest {}

/// What a person logs in with.
enum Access {
    Password(Password),
    Account(IdentityProviderId),
}

/// Add a user
///
/// A plan allows so many users.
#[utoipa::path(
    post, path = "/v1/users", tag = "users", params(IdempotencyKeyHeader), request_body = CreateUserRequest,
    responses((status = 201, description = "Added.", body = UserWithAccountResponse)),
)]
pub(crate) async fn create_user(
    call: TenantCall,
    Json(body): Json<CreateUserRequest>,
) -> Result<Answer, ApiError> {
    let (email, access, role) = parse(&call, body).await?;
    let at = call.at();
    // A hash is dear: not for an answer that is known without it.
    let look = async |tx: &mut TenantTx| {
        if let Some(answer) = call.answered(tx).await? {
            return Ok(Some(answer));
        }
        let own = Some(call.role().name().into());
        grants(tx, &call, own, WRITE_USERS, &[role], Hold::Look).await?.may_give(role).map_err(refused)?;
        match &access {
            Access::Password(password) => refuse_own_slug(tx, "/password", password).await?,
            Access::Account(provider) => refuse_idle(tx, *provider).await?,
        }
        if users::is_taken(tx, email.as_str()).await? {
            return Err(ApiError::Taken { what: "e-mail address" });
        }
        has_room(&caps::look(tx, Capped::Users).await?).map(|()| None)
    };
    if let Some(answer) = call.snapshot(look).await? {
        return Ok(answer);
    }
    let (hash, provider) = match access {
        Access::Password(password) => (call.state().hash(call.tenant().uuid(), password).await?, None),
        Access::Account(provider) => (NO_PASSWORD.to_owned(), Some(provider)),
    };
    let create = async |tx: &mut _| {
        let own = lock_caller(tx, &call).await?;
        grants(tx, &call, own, WRITE_USERS, &[role], Hold::Give).await?.may_give(role).map_err(refused)?;
        has_room(&caps::claim(tx, Capped::Users).await?)?;
        let user = users::insert(tx, UserId::mint(at), email.as_str(), &hash, role, at)
            .await
            .map_err(taken("e-mail address"))?;
        let (id, version) = (user.id, user.version);
        let mut changes = json!({ "email": user.email, "role": user.role });
        if let (Some(provider), Some(changes)) = (provider, changes.as_object_mut()) {
            refuse_idle(tx, provider).await?;
            provider_accounts::insert(tx, id, provider, email.as_str(), at).await?;
            call.enqueue(tx, &SettleAccount { user: id }).await?;
            changes.insert("identity_provider".to_owned(), json!(provider));
        }
        let account = provider.map(|provider| (provider, provider_accounts::Stage::Asked));
        let view = UserWithAccountResponse::of(user, account);
        let answer = Answer::created(format!("/v1/users/{id}"), &view)?.version(version);
        Ok(Written::changed(id, changes, answer))
    };
    call.write(create).await
}

/// The API refuses a provider that is switched off, is not joined by the tenant, or makes nobody: the worker would wait for it.
async fn refuse_idle(tx: &mut TenantTx, provider: IdentityProviderId) -> Result<(), ApiError> {
    let found = identity_providers::find_shared(tx, provider).await?;
    if found.is_some_and(|one| one.settings.makes_users && one.enabled && one.joined.is_some()) {
        return Ok(());
    }
    let wanted =
        "must be the id of a provider of the platform that makes users and whose word the tenant takes";
    Err(ApiError::field("/identity_provider_id", wanted))
}

async fn parse(call: &TenantCall, request: CreateUserRequest) -> Result<(Email, Access, RoleName), ApiError> {
    let CreateUserRequest { email, password, identity_provider_id, role } = request;
    let email = email.parse::<Email>();
    let owner = PasswordOwner { email: email.as_ref().ok(), tenant: None };
    let access = match (&password, identity_provider_id) {
        (Some(password), None) => {
            let password = call.state().options.password_rules.admit(password, &owner);
            password.map(Access::Password).map_err(|error| FieldError::new("/password", error))
        }
        (None, Some(provider)) => Ok(Access::Account(provider)),
        (Some(_), Some(_)) => Err(FieldError::new(
            "/identity_provider_id",
            "takes the place of a password: send one of the two",
        )),
        (None, None) => {
            Err(FieldError::new("/password", "must be there, or identity_provider_id in its place"))
        }
    };
    let role = call.state().access().read_role(&role);
    match (email, access, role) {
        (Ok(email), Ok(access), Ok(role)) => Ok((email, access, role)),
        (email, access, role) => {
            let wrong_role = match role {
                Ok(role) => wrong_role(call, role).await?,
                Err(error) => Some(FieldError::new("/role", error)),
            };
            let errors =
                [email.err().map(|error| FieldError::new("/email", error)), access.err(), wrong_role];
            Err(ApiError::Validation(errors.into_iter().flatten().collect()))
        }
    }
}

//! Add a person to the caller's tenant.

use bulkhead_auth::{Password, PasswordOwner, grants::Hold};
use bulkhead_db::{
    TenantTx,
    tenant::{
        caps::{self, Capped},
        users,
    },
};
use bulkhead_domain::{Email, RoleName, UserId, permission::WRITE_USERS};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::UserResponse;
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::{ApiError, FieldError},
        extract::{IdempotencyKeyHeader, Json, RequestBody},
        validation::taken,
    },
    routes::tenant::{grants, has_room, lock_caller, refuse_own_slug, refused, wrong_role},
};

/// A person to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateUserRequest {
    /// Their address; they log in with it, in any spelling. It is shown in lower case, an internationalized domain as its
    /// DNS name (`xn--…`).
    #[schema(max_length = 254, example = "grace@example.com")]
    email: String,
    /// Their first password, 8 to 256 characters; the platform may ask for more than 8. Refused are passwords that many people
    /// use, the address itself, what stands before its @, and the tenant's slug.
    #[schema(min_length = 8, max_length = 256, format = Password, example = "correct horse battery staple")]
    password: String,
    /// What they may do: `owner`, `admin`, `developer`, `read_only` or one of the tenant's own roles.
    #[schema(example = "developer")]
    role: String,
}

impl RequestBody for CreateUserRequest {}

/// Add a user
///
/// A plan allows so many users.
#[utoipa::path(
    post, path = "/v1/users", tag = "users", params(IdempotencyKeyHeader), request_body = CreateUserRequest,
    responses((status = 201, description = "Added.", body = UserResponse)),
)]
pub(crate) async fn create_user(
    call: TenantCall,
    Json(body): Json<CreateUserRequest>,
) -> Result<Answer, ApiError> {
    let (email, password, role) = parse(&call, body).await?;
    let at = call.at();
    // A hash is dear: not for an answer that is known without it.
    let look = async |tx: &mut TenantTx| {
        if let Some(answer) = call.answered(tx).await? {
            return Ok(Some(answer));
        }
        let own = Some(call.role().name().into());
        grants(tx, &call, own, WRITE_USERS, &[role], Hold::Look).await?.may_give(role).map_err(refused)?;
        refuse_own_slug(tx, "/password", &password).await?;
        if users::is_taken(tx, email.as_str()).await? {
            return Err(ApiError::Taken { what: "e-mail address" });
        }
        has_room(&caps::look(tx, Capped::Users).await?).map(|()| None)
    };
    if let Some(answer) = call.snapshot(look).await? {
        return Ok(answer);
    }
    let hash = call.state().hash(call.tenant().uuid(), password).await?;
    let create = async |tx: &mut _| {
        let own = lock_caller(tx, &call).await?;
        grants(tx, &call, own, WRITE_USERS, &[role], Hold::Give).await?.may_give(role).map_err(refused)?;
        has_room(&caps::claim(tx, Capped::Users).await?)?;
        let user = users::insert(tx, UserId::mint(at), email.as_str(), &hash, role, at)
            .await
            .map_err(taken("e-mail address"))?;
        let (id, version) = (user.id, user.version);
        let changes = json!({ "email": user.email, "role": user.role });
        let answer = Answer::created(format!("/v1/users/{id}"), &UserResponse::from(user))?.version(version);
        Ok(Written::changed(id, changes, answer))
    };
    call.write(create).await
}

async fn parse(
    call: &TenantCall,
    request: CreateUserRequest,
) -> Result<(Email, Password, RoleName), ApiError> {
    let CreateUserRequest { email, password, role } = request;
    let email = email.parse::<Email>();
    let owner = PasswordOwner { email: email.as_ref().ok(), tenant: None };
    let password = call.state().options.password_rules.admit(&password, &owner);
    let role = call.state().access().read_role(&role);
    match (email, password, role) {
        (Ok(email), Ok(password), Ok(role)) => Ok((email, password, role)),
        (email, password, role) => {
            let wrong_role = match role {
                Ok(role) => wrong_role(call, role).await?,
                Err(error) => Some(FieldError::new("/role", error)),
            };
            let errors = [
                email.err().map(|error| FieldError::new("/email", error)),
                password.err().map(|error| FieldError::new("/password", error)),
                wrong_role,
            ];
            Err(ApiError::Validation(errors.into_iter().flatten().collect()))
        }
    }
}

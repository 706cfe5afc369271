//! Create a tenant: accept it, and leave the building to a job.

use bulkhead_auth::{Password, PasswordOwner, PasswordRules};
use bulkhead_db::{
    PlatformTx,
    platform::{
        plans::{self, UnknownPlan},
        queue,
        tenants::{self, NewTenant},
    },
};
use bulkhead_domain::{Email, PlanName, Slug, Text, TextError, UserId};
use bulkhead_jobs::ProvisionTenant;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::http::{
    answer::Answer,
    call::{OperatorCall, Written},
    error::{ApiError, FieldError},
    extract::{IdempotencyKeyHeader, Json, RequestBody, object},
    progress::OperationResponse,
    validation::taken,
};

/// A tenant to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTenantRequest {
    /// The name it logs in with: 3 to 40 lower-case letters, digits and hyphens. `t-` and 26 letters or digits cannot be one:
    /// tenants that were removed are named so.
    #[schema(pattern = "^[a-z][a-z0-9-]{1,38}[a-z0-9]$", example = "acme")]
    slug: String,
    /// The name people read.
    #[schema(min_length = 1, max_length = 200, example = "Acme Corporation")]
    name: String,
    /// What it buys: `free`, `pro`, `enterprise` or a plan that the platform has added.
    #[schema(example = "pro")]
    plan: String,
    /// Its first owner.
    #[serde(deserialize_with = "object")]
    owner: CreateTenantOwner,
}

impl RequestBody for CreateTenantRequest {}

/// The first owner of a tenant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTenantOwner {
    /// Their address. It is kept in lower case, an internationalized domain as its DNS name (`xn--…`).
    #[schema(max_length = 254, example = "owner@acme.example")]
    email: String,
    /// Their first password, 8 to 256 characters; the platform may ask for more than 8. Refused are passwords that many people
    /// use, the address itself, what stands before its @, and the tenant's slug.
    #[schema(min_length = 8, max_length = 256, format = Password, example = "correct horse battery staple")]
    password: String,
}

/// Create a tenant
///
/// Answers as soon as the tenant is accepted. Its schema is built in the background: follow the operation in
/// `Location` until it is done.
#[utoipa::path(
    post, path = "/v1/admin/tenants", tag = "operators: tenants", params(IdempotencyKeyHeader), request_body = CreateTenantRequest,
    responses((status = 202, description = "Accepted; follow the operation.", body = OperationResponse)),
)]
pub(crate) async fn create_tenant(
    call: OperatorCall,
    Json(body): Json<CreateTenantRequest>,
) -> Result<Answer, ApiError> {
    let fields = Fields::parse(body, call.state().options.password_rules);
    let at = call.at();
    // A hash is dear: not for an answer that is known without it.
    let look = async |tx: &mut PlatformTx| {
        if let Some(answer) = call.answered(tx).await? {
            return Ok(Look::Answered(answer));
        }
        let wanted = fields.all(plans::find(tx, &fields.plan).await?)?;
        if tenants::is_taken(tx, &wanted.slug).await? {
            return Err(ApiError::Taken { what: "slug" });
        }
        Ok(Look::Wanted(wanted))
    };
    let wanted = match call.read(look).await? {
        Look::Answered(answer) => return Ok(answer),
        Look::Wanted(wanted) => wanted,
    };
    let hash = call.state().hash(call.id().uuid(), wanted.password).await?;
    let new = NewTenant {
        id: None,
        slug: &wanted.slug,
        name: wanted.name.as_str(),
        plan: wanted.plan,
        owner: UserId::mint(at),
        owner_email: wanted.email.as_str(),
        owner_password_hash: &hash,
        at,
    };
    let create = async |tx: &mut _| {
        let tenant = tenants::insert(tx, &new).await.map_err(taken("slug"))?;
        let id = tenant.id;
        let job = queue::enqueue(tx, &ProvisionTenant { tenant: id }, Some(id), None, at).await?;
        let answer = Answer::accepted_with(job, Some(json!({ "tenant": id })))?;
        Ok(Written::changed(id, json!({ "slug": tenant.slug, "plan": tenant.plan }), answer))
    };
    call.write(create).await
}

/// What a look before the work has shown.
enum Look {
    /// The request was answered before.
    Answered(Answer),
    /// What is to be created.
    Wanted(Wanted),
}

/// A request whose every field holds.
struct Wanted {
    slug: Slug,
    name: Text<200>,
    plan: PlanName,
    email: Email,
    password: Password,
}

/// The fields of a request, each as far as it can be judged without the database.
struct Fields {
    slug: Result<Slug, TextError>,
    name: Result<Text<200>, TextError>,
    plan: String,
    email: Result<Email, TextError>,
    password: Result<Password, TextError>,
}

impl Fields {
    fn parse(request: CreateTenantRequest, rules: PasswordRules) -> Self {
        let slug = Slug::for_new_tenant(&request.slug);
        let email: Result<Email, TextError> = request.owner.email.parse();
        let owner = PasswordOwner { email: email.as_ref().ok(), tenant: slug.as_ref().ok() };
        let password = rules.admit(&request.owner.password, &owner);
        Self { slug, name: request.name.parse(), plan: request.plan, email, password }
    }

    /// All of them, the plan as it was found; otherwise every field that does not hold.
    fn all(&self, plan: Result<PlanName, UnknownPlan>) -> Result<Wanted, ApiError> {
        let Self { slug, name, plan: _, email, password } = self;
        match (slug, name, plan, email, password) {
            (Ok(slug), Ok(name), Ok(plan), Ok(email), Ok(password)) => Ok(Wanted {
                slug: slug.clone(),
                name: name.clone(),
                plan,
                email: email.clone(),
                password: password.clone(),
            }),
            (slug, name, plan, email, password) => {
                let errors = [
                    slug.as_ref().err().map(|error| FieldError::new("/slug", error)),
                    name.as_ref().err().map(|error| FieldError::new("/name", error)),
                    plan.err().map(|error| FieldError::new("/plan", error)),
                    email.as_ref().err().map(|error| FieldError::new("/owner/email", error)),
                    password.as_ref().err().map(|error| FieldError::new("/owner/password", error)),
                ];
                Err(ApiError::Validation(errors.into_iter().flatten().collect()))
            }
        }
    }
}

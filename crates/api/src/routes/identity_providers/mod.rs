//! Identity providers as clients see and write them: the same fields for a tenant's own and for the platform's.

mod checks;

use std::collections::BTreeSet;

use bulkhead_auth::federation;
use bulkhead_db::identity_providers::{COGNITO, IdentityProvider, OIDC, ProviderSettings};
use bulkhead_domain::{IdentityProviderId, RoleName, TenantId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::checks::{check, check_token, mapped, named};
use crate::http::{
    error::ApiError,
    extract::{RequestBody, present},
    state::AppState,
    validation::Fields,
};

/// What is asked for at a log-in unless the provider says otherwise.
const DEFAULT_SCOPES: [&str; 2] = ["openid", "email"];

/// What people become whose token says this.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleMapping {
    /// The text in the claim.
    #[schema(max_length = 255, example = "engineering")]
    value: String,
    /// The role.
    #[schema(example = "developer")]
    role: String,
}

/// An identity provider to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the document")]
pub(crate) struct CreateProviderRequest {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, example = "Acme's directory")]
    pub(crate) name: String,
    /// `oidc`, or `cognito` for a pool of users at AWS Cognito, whose tokens are of another form.
    #[schema(example = "oidc")]
    kind: String,
    /// The issuer: exactly the `iss` of its tokens. It never changes.
    #[schema(max_length = 1024, example = "https://login.acme.example")]
    issuer: String,
    /// Where its keys are, if not where `/.well-known/openid-configuration` below the issuer says. Given, this service
    /// reads no other document of the issuer, so nobody logs in there in a browser. It never changes.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_length = 1024, example = "https://login.acme.example/keys")]
    jwks_url: Option<String>,
    /// The audience of access tokens that are taken at this API as they are; of Cognito the client that they were given to.
    /// Left out, none are taken.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 255, example = "https://api.example.com")]
    audience: Option<String>,
    /// The client id under which the issuer knows this service. Left out, users cannot log in at the issuer: only its tokens are taken.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 255, example = "bulkhead")]
    client_id: Option<String>,
    /// What proves it to the issuer. It is never shown.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 1024, format = Password, example = "a secret of the client")]
    client_secret: Option<String>,
    /// Of Cognito: where its API is, if not at the issuer's host. It never changes.
    #[serde(default, deserialize_with = "present")]
    #[schema(
        nullable = false,
        max_length = 1024,
        example = "https://cognito-idp.eu-central-1.amazonaws.com/"
    )]
    api_url: Option<String>,
    /// Of Cognito: whether passwords are taken at `/v1/auth/federated/{id}/password` and shown to it. The client there has to
    /// allow `USER_PASSWORD_AUTH`.
    #[serde(default)]
    #[schema(example = false)]
    password_login: bool,
    /// What is asked for at a log-in; `openid` and `email` unless given.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_items = 20, example = json!(["openid", "email"]))]
    scopes: Option<Vec<String>>,
    /// Whether a person whom the issuer vouches for, and who is no user of the tenant yet, becomes one with their first token or log-in.
    /// The issuer must have verified their e-mail address.
    #[serde(default)]
    #[schema(example = true)]
    creates_users: bool,
    /// Whether the issuer asks everybody for a second factor. People who must have one, or who have one of this service, are asked
    /// for it here otherwise.
    #[serde(default)]
    #[schema(example = false)]
    asks_second_factor: bool,
    /// Whether people can be added here who are made there as well: `identity_provider_id` of `POST /v1/users`. For pools of
    /// Cognito of the platform alone; it is the platform's own rights at AWS that make and remove them.
    #[serde(default)]
    #[schema(example = false)]
    pub(crate) makes_users: bool,
    /// What they become unless `role_map` says otherwise.
    #[schema(example = "read_only")]
    default_role: String,
    /// The most that anybody becomes: no role of the map holds more. You can give what your own role holds.
    #[schema(example = "developer")]
    max_role: String,
    /// The claim whose text, or whose list of texts, `role_map` is about; of Cognito `custom:role` unless given.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 100, example = "groups")]
    role_claim: Option<String>,
    /// What people become by the claim: the first that is in it counts, at the moment when they are added.
    #[serde(default)]
    #[schema(max_items = 50)]
    role_map: Vec<RoleMapping>,
}

impl RequestBody for CreateProviderRequest {}

/// The fields to change; those left out stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateProviderRequest {
    /// What people call it.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 100, example = "Acme's directory")]
    name: Option<String>,
    /// The audience of access tokens that are taken.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 255, example = "https://api.example.com")]
    audience: Option<String>,
    /// Who this service is at the issuer.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 255, example = "bulkhead")]
    client_id: Option<String>,
    /// What proves it to the issuer.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 1024, format = Password, example = "a secret of the client")]
    client_secret: Option<String>,
    /// What is asked for at a log-in.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_items = 20, example = json!(["openid", "email"]))]
    scopes: Option<Vec<String>>,
    /// Whether passwords are taken here and shown to Cognito.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = false)]
    password_login: Option<bool>,
    /// Whether people are added whom the issuer vouches for.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = false)]
    creates_users: Option<bool>,
    /// Whether the issuer asks everybody for a second factor.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = false)]
    asks_second_factor: Option<bool>,
    /// Whether people can be added here who are made there as well.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = false)]
    pub(crate) makes_users: Option<bool>,
    /// What they become unless `role_map` says otherwise.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = "read_only")]
    default_role: Option<String>,
    /// The most that anybody becomes.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = "developer")]
    max_role: Option<String>,
    /// The claim that `role_map` is about.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 100, example = "groups")]
    role_claim: Option<String>,
    /// All of the map from now on.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_items = 50)]
    role_map: Option<Vec<RoleMapping>>,
    /// Whether the provider counts. What was accepted from one that does not is refused within seconds.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = false)]
    enabled: Option<bool>,
}

impl RequestBody for UpdateProviderRequest {}

/// An identity provider.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the document")]
pub(crate) struct ProviderResponse {
    /// Its id.
    #[schema(value_type = String, example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: IdentityProviderId,
    /// Whose it is; null for the platform's.
    #[schema(value_type = Option<String>, example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    tenant_id: Option<TenantId>,
    /// What people call it.
    #[schema(example = "Acme's directory")]
    name: String,
    /// `oidc` or `cognito`.
    #[schema(example = "oidc")]
    kind: String,
    /// The `iss` of its tokens.
    #[schema(example = "https://login.acme.example")]
    issuer: String,
    /// Where its keys are; null when it says so itself.
    #[schema(example = json!(null))]
    jwks_url: Option<String>,
    /// Where Cognito's API is; null when at the issuer's host.
    #[schema(example = json!(null))]
    api_url: Option<String>,
    /// The audience of access tokens that are taken; null when none are.
    #[schema(example = "https://api.example.com")]
    audience: Option<String>,
    /// Who this service is at the issuer; null when nobody logs in there.
    #[schema(example = "bulkhead")]
    client_id: Option<String>,
    /// Whether it has something that proves that.
    #[schema(example = true)]
    has_client_secret: bool,
    /// What is asked for at a log-in.
    #[schema(example = json!(["openid", "email"]))]
    scopes: Vec<String>,
    /// Whether passwords are taken here and shown to Cognito.
    #[schema(example = false)]
    password_login: bool,
    /// Whether people are added whom the issuer vouches for.
    #[schema(example = true)]
    creates_users: bool,
    /// Whether the issuer asks everybody for a second factor.
    #[schema(example = false)]
    asks_second_factor: bool,
    /// Whether people can be added here who are made there as well.
    #[schema(example = false)]
    makes_users: bool,
    /// What they become unless `role_map` says otherwise.
    #[schema(value_type = String, example = "read_only")]
    default_role: RoleName,
    /// The most that anybody becomes.
    #[schema(value_type = String, example = "developer")]
    max_role: RoleName,
    /// The claim that `role_map` is about; null for the usual one of its kind, if it has one.
    #[schema(example = "groups")]
    role_claim: Option<String>,
    /// What people become by the claim.
    role_map: Vec<RoleMapping>,
    /// Whether it counts.
    #[schema(example = true)]
    enabled: bool,
    /// Grows by one with every change; the ETag says the same.
    #[schema(example = 1)]
    version: i64,
    /// When it was added.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
    /// Who has added it.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    created_by: String,
}

impl From<IdentityProvider> for ProviderResponse {
    fn from(row: IdentityProvider) -> Self {
        let settings = row.settings;
        let mapping = |(value, role): (String, RoleName)| RoleMapping { value, role: role.to_string() };
        Self {
            id: row.id,
            tenant_id: row.tenant,
            name: row.name,
            kind: row.kind,
            issuer: row.issuer,
            jwks_url: settings.jwks_url,
            api_url: settings.api_url,
            audience: row.audience,
            client_id: row.client_id,
            has_client_secret: row.sealed_client_secret.is_some(),
            scopes: settings.scopes,
            password_login: settings.password_login,
            creates_users: settings.creates_users,
            asks_second_factor: settings.asks_second_factor,
            makes_users: settings.makes_users,
            default_role: settings.default_role,
            max_role: settings.max_role,
            role_claim: settings.role_claim,
            role_map: settings.role_map.into_iter().map(mapping).collect(),
            enabled: row.enabled,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            created_by: row.created_by,
        }
    }
}

/// What the audit log keeps of a provider: all but the secret, of which it knows whether there is one.
pub(crate) fn described(row: &IdentityProvider) -> serde_json::Value {
    serde_json::json!({
        "name": row.name,
        "kind": row.kind,
        "issuer": row.issuer,
        "audience": row.audience,
        "client_id": row.client_id,
        "has_client_secret": row.sealed_client_secret.is_some(),
        "settings": row.settings,
        "enabled": row.enabled,
    })
}

/// The API refuses a tenant's own provider that is to make people: a tenant may name somebody else's pool, and the worker would act
/// there with the platform's rights at AWS.
pub(crate) fn refuse_making(makes_users: bool) -> Result<(), ApiError> {
    if makes_users {
        return Err(ApiError::field("/makes_users", "is for providers of the platform"));
    }
    Ok(())
}

/// What a sealed client's secret is bound to: it opens for its own provider alone.
fn sealed(state: &AppState, id: IdentityProviderId, secret: &str) -> Result<Vec<u8>, ApiError> {
    state.keyring.seal(secret.as_bytes(), &federation::secret_context(id)).map_err(ApiError::internal)
}

/// Every role that the settings name.
pub(crate) fn roles_of(settings: &ProviderSettings) -> Vec<RoleName> {
    let named: BTreeSet<String> = settings.role_map.values().map(ToString::to_string).collect();
    let mapped = named.iter().filter_map(|name| name.parse().ok());
    [settings.max_role, settings.default_role].into_iter().chain(mapped).collect()
}

impl CreateProviderRequest {
    /// The provider that is asked for.
    pub(crate) fn parse(
        self,
        state: &AppState,
        created_by: &str,
        at: DateTime<Utc>,
    ) -> Result<IdentityProvider, ApiError> {
        let id = IdentityProviderId::mint(at);
        let mut fields = Fields::default();
        let access = state.access();
        if !matches!(self.kind.as_str(), OIDC | COGNITO) {
            fields.refuse("/kind", "must be oidc or cognito");
        }
        fields.take("/issuer", named(state, &self.issuer));
        if let Some(url) = &self.jwks_url {
            fields.take("/jwks_url", named(state, url));
        }
        if let Some(url) = &self.api_url {
            fields.take("/api_url", named(state, url));
        }
        let default_role = fields.take("/default_role", access.read_role(&self.default_role));
        let max_role = fields.take("/max_role", access.read_role(&self.max_role));
        let role_map = mapped(&mut fields, access, &self.role_map);
        let scopes = self.scopes.unwrap_or_else(|| DEFAULT_SCOPES.map(str::to_owned).into());
        let client_secret = self.client_secret.as_deref();
        if let Some(secret) = client_secret {
            check_token(&mut fields, "/client_secret", secret, 1_024);
        }
        let sealed_client_secret = client_secret.map(|secret| sealed(state, id, secret)).transpose()?;
        let provider = default_role.zip(max_role).map(|(default_role, max_role)| IdentityProvider {
            id,
            tenant: None,
            name: self.name,
            kind: self.kind,
            issuer: self.issuer,
            audience: self.audience,
            client_id: self.client_id,
            sealed_client_secret,
            settings: ProviderSettings {
                jwks_url: self.jwks_url,
                api_url: self.api_url,
                scopes,
                password_login: self.password_login,
                creates_users: self.creates_users,
                asks_second_factor: self.asks_second_factor,
                makes_users: self.makes_users,
                default_role,
                max_role,
                role_claim: self.role_claim,
                role_map,
            },
            enabled: true,
            version: 1,
            created_at: at,
            updated_at: at,
            created_by: created_by.to_owned(),
        });
        if let Some(provider) = &provider {
            check(&mut fields, provider);
        }
        fields.finish()?;
        provider.ok_or_else(|| ApiError::internal("a provider that was refused"))
    }
}

impl UpdateProviderRequest {
    /// The provider as it is to be.
    pub(crate) fn apply(
        self,
        state: &AppState,
        current: &IdentityProvider,
    ) -> Result<IdentityProvider, ApiError> {
        let mut fields = Fields::default();
        let access = state.access();
        let mut next = current.clone();
        let settings = &mut next.settings;
        let role = |fields: &mut Fields, pointer, text: Option<String>, current| {
            text.map_or(Some(current), |text| fields.take(pointer, access.read_role(&text)))
                .unwrap_or(current)
        };
        settings.default_role = role(&mut fields, "/default_role", self.default_role, settings.default_role);
        settings.max_role = role(&mut fields, "/max_role", self.max_role, settings.max_role);
        if let Some(map) = &self.role_map {
            settings.role_map = mapped(&mut fields, access, map);
        }
        settings.password_login = self.password_login.unwrap_or(settings.password_login);
        settings.creates_users = self.creates_users.unwrap_or(settings.creates_users);
        settings.asks_second_factor = self.asks_second_factor.unwrap_or(settings.asks_second_factor);
        settings.makes_users = self.makes_users.unwrap_or(settings.makes_users);
        settings.scopes = self.scopes.unwrap_or_else(|| settings.scopes.clone());
        settings.role_claim = self.role_claim.or_else(|| settings.role_claim.clone());
        next.name = self.name.unwrap_or_else(|| next.name.clone());
        next.audience = self.audience.or(next.audience);
        next.client_id = self.client_id.or(next.client_id);
        next.enabled = self.enabled.unwrap_or(next.enabled);
        if let Some(secret) = &self.client_secret {
            check_token(&mut fields, "/client_secret", secret, 1_024);
            next.sealed_client_secret = Some(sealed(state, next.id, secret)?);
        }
        check(&mut fields, &next);
        fields.finish()?;
        Ok(next)
    }
}

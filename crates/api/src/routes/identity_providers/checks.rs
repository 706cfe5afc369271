//! What is wrong with the fields of an identity provider, as far as they show it.

use std::collections::BTreeMap;

use bulkhead_db::identity_providers::{COGNITO, IdentityProvider, OIDC};
use bulkhead_domain::{AccessRegistry, RoleName};
use bulkhead_oidc::{EndpointError, cognito::PoolId};

use super::RoleMapping;
use crate::http::{state::AppState, validation::Fields};

/// How many entries a map of roles has at most.
const MAPPED: usize = 50;
/// How many scopes are asked for at most.
const SCOPES: usize = 20;

/// Checks what can be seen in the fields of a provider.
pub(super) fn check(fields: &mut Fields, provider: &IdentityProvider) {
    let IdentityProvider { name, kind, issuer, audience, client_id, settings, .. } = provider;
    fields.text("/name", name, 1, 100);
    if let Some(audience) = audience {
        check_token(fields, "/audience", audience, 255);
    }
    if let Some(client_id) = client_id {
        check_token(fields, "/client_id", client_id, 255);
    }
    if let Some(claim) = &settings.role_claim {
        check_token(fields, "/role_claim", claim, 100);
    }
    // An id token is for the client: were that the audience, it would be taken for an access token.
    if kind == OIDC && audience.is_some() && audience == client_id {
        fields.refuse("/audience", "must not be the client_id: id tokens are for that");
    }
    if settings.password_login && (kind != COGNITO || client_id.is_none()) {
        fields.refuse("/password_login", "is for a provider of the kind cognito that has a client_id");
    }
    if settings.makes_users {
        if kind != COGNITO {
            fields.refuse("/makes_users", "is for a provider of the kind cognito");
        } else if let Err(error) = PoolId::of_issuer(issuer) {
            fields.refuse("/issuer", format!("{error}, where it makes users"));
        }
    }
    if fields.items("/scopes", settings.scopes.len(), 1, SCOPES) {
        for (index, scope) in settings.scopes.iter().enumerate() {
            check_token(fields, &format!("/scopes/{index}"), scope, 100);
        }
        if !settings.scopes.iter().any(|scope| scope == "openid") {
            fields.refuse("/scopes", "must contain openid");
        }
    }
}

/// Checks a word that is compared with others' or sent to them: characters of ASCII that show, without blanks.
pub(super) fn check_token(fields: &mut Fields, pointer: &str, text: &str, most: usize) {
    if text.is_empty() || text.len() > most || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        fields.refuse(pointer, format!("must be 1 to {most} visible characters of ASCII without blanks"));
    }
}

/// An address on a host that the platform allows. Where none is allowed nothing can be named.
pub(super) fn named(state: &AppState, text: &str) -> Result<(), EndpointError> {
    let federation = state.authenticator.federation().ok_or(EndpointError::Host)?;
    // Our own tokens are judged by our own keys.
    if text == state.options.issuer {
        return Err(EndpointError::Host);
    }
    federation.issuers().read_named(text).map(|_endpoint| ())
}

pub(super) fn mapped(
    fields: &mut Fields,
    access: &AccessRegistry,
    map: &[RoleMapping],
) -> BTreeMap<String, RoleName> {
    let mut read = BTreeMap::new();
    if !fields.items("/role_map", map.len(), 0, MAPPED) {
        return read;
    }
    for (index, RoleMapping { value, role }) in map.iter().enumerate() {
        fields.text(&format!("/role_map/{index}/value"), value, 1, 255);
        let role = fields.take(&format!("/role_map/{index}/role"), access.read_role(role));
        if let Some(role) = role
            && read.insert(value.clone(), role).is_some()
        {
            fields.refuse(&format!("/role_map/{index}/value"), "is in the map already");
        }
    }
    read
}

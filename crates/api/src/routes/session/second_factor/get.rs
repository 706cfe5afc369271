//! Read whether one has a second factor.

use bulkhead_auth::FactorTx;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{answer::Answer, call::AnyCall, error::ApiError},
    routes::session::person::Person,
};

/// A person's second factor.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecondFactorResponse {
    /// Whether you need one to log in.
    #[schema(example = true)]
    enabled: bool,
    /// Whether you must have one.
    #[schema(example = false)]
    required: bool,
    /// Since when you have it; null when you have none.
    enabled_at: Option<DateTime<Utc>>,
    /// How many of your recovery codes are left.
    #[schema(example = 10)]
    recovery_codes_left: usize,
}

/// Read your second factor
#[utoipa::path(
    get, path = "/v1/auth/second-factor", tag = "auth",
    responses((status = 200, description = "Your second factor.", body = SecondFactorResponse)),
)]
pub(crate) async fn get_second_factor(call: AnyCall) -> Result<Answer, ApiError> {
    match call {
        AnyCall::Tenant(call) => get(&call).await,
        AnyCall::Operator(call) => get(&call).await,
    }
}

async fn get<Caller: Person>(call: &Caller) -> Result<Answer, ApiError> {
    let (person, _) = call.login()?;
    let rule = call.state().authenticator.second_factor_rule();
    let factor = call.look(async |tx: &mut Caller::Tx| Ok(tx.factor(person).await?)).await?;
    let factor = factor.filter(|factor| factor.confirmed_at.is_some());
    Answer::ok(&SecondFactorResponse {
        enabled: factor.is_some(),
        required: Caller::Tx::requires(rule, call.role()),
        enabled_at: factor.as_ref().and_then(|factor| factor.confirmed_at),
        recovery_codes_left: factor.map_or(0, |factor| factor.recovery_macs.len()),
    })
}

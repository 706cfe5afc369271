//! Tenants that sign themselves up.

mod confirm;
mod create;

use crate::http::{
    error::ApiError,
    operation::{Access, operations},
};

operations! {
    create::sign_up => Access::Session, [ApiError::Taken { what: "slug" }, OFF];
    confirm::confirm_sign_up => Access::Session, [ApiError::Taken { what: "slug" }, OFF];
}

const OFF: ApiError =
    ApiError::WrongState("Tenants do not sign themselves up on this platform: its operators make them.");

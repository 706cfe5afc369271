//! What the service says about itself.

mod audit_keys;
mod health;
mod info;
mod jwks;
mod livez;
mod openid;
mod readyz;
mod resource;

use crate::http::operation::{Access, operations};

operations! {
    info::get_service_info => Access::Public, [];
    health::get_health => Access::Public, [];
    livez::get_livez => Access::Public, [];
    readyz::get_readyz => Access::Public, [];
    jwks::get_jwks => Access::Public, [];
    audit_keys::get_audit_keys => Access::Public, [];
    openid::get_openid_configuration => Access::Public, [];
    openid::get_authorization_server => Access::Public, [];
    resource::get_protected_resource => Access::Public, [];
}

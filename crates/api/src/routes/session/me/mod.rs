//! Who am I, and in which tenant.

mod get;

use crate::http::operation::{Access, operations};

operations! {
    get::get_me => Access::AnyPrincipal, [];
}

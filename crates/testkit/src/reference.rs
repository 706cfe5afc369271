//! References in bodies: members that are the id of something that has to exist.
//!
//! Owns telling them by the ids that the document describes, and making what they refer to. A reference leads to the resource
//! whose own ids begin with the same prefix.

use std::{future::Future, pin::Pin};

use serde_json::{Value, json};

use crate::{
    App, Operation, Tenant,
    body::{Leaf, leaves},
    fixture::Known,
    id,
};

/// A body that is being completed.
type Filling<'a> = Pin<Box<dyn Future<Output = Value> + Send + 'a>>;

/// The places in an operation's body where an id stands, and what that is the id of; none where the kit cannot make one.
fn references<'a>(
    app: &'a App,
    operation: &'a Operation,
) -> impl Iterator<Item = (Leaf<'a>, Option<&'a Known>)> {
    let leaves = leaves(app.contract.document(), operation.body_schema());
    leaves.into_iter().filter_map(|leaf| {
        let prefix = id::prefix_of(leaf.schema)?;
        Some((leaf, app.fixtures.of_prefix(prefix)))
    })
}

/// The references of an operation's body that the kit can fill: each with the path of what it refers to.
pub(crate) fn places<'a>(app: &'a App, operation: &'a Operation) -> impl Iterator<Item = (String, &'a str)> {
    references(app, operation).filter_map(|(leaf, known)| Some((leaf.pointer, known?.path())))
}

/// Leaves out what refers to something that the kit cannot make, where the body may be without it.
pub(crate) fn leave_out_unknown(app: &App, operation: &Operation, body: &mut Value) {
    for (leaf, known) in references(app, operation) {
        if known.is_none() {
            leaf.leave_out(body);
        }
    }
}

/// The body with a thing of its own for each reference, made in the tenant. What leads back to `making`, the paths of what is
/// being made for this body, is left out, where the body may be without it.
pub(crate) fn fill<'a>(
    tenant: &'a Tenant<'a>,
    operation: &'a Operation,
    mut body: Value,
    making: Vec<&'a str>,
) -> Filling<'a> {
    Box::pin(async move {
        let found: Vec<_> = references(tenant.app, operation).collect();
        for (leaf, known) in found {
            if body.pointer(&leaf.pointer).is_none() {
                continue;
            }
            match known.filter(|known| !making.contains(&known.path())) {
                Some(known) => {
                    let id = known.make(tenant, &making).await.id;
                    if let Some(place) = body.pointer_mut(&leaf.pointer) {
                        *place = json!(id);
                    }
                }
                None => leaf.leave_out(&mut body),
            }
        }
        body
    })
}

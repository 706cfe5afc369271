//! Operations: what can be asked, by whom.
//!
//! The route tables in `routes/` are the only way to serve a path, and every line of them states who may call it and which
//! errors are its own: an operation without either does not compile. Path, method and documentation come from the handler's
//! `#[utoipa::path]`; [`Catalog::assemble`] joins the two and refuses to start when they disagree.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    slice,
};

use actix_web::{Resource, Route, http::Method, middleware::from_fn, web};
use bulkhead_db::PAGE_BYTES;
use bulkhead_domain::{OperatorPermission, Permission};
use bulkhead_telemetry::{Metrics, metrics};
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Parameter, ParameterIn},
};

use crate::http::{error::ApiError, pipeline};

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a credential.
    Public,
    /// The caller shows no credential in the head; the body carries a password or a refresh token. Before the authenticator
    /// looks anything up for a stranger, it asks the address's budget of failures (`AppState::presented`); nothing that turns
    /// out to be good is charged to the address, and a refresh token of ours need not ask.
    Session,
    /// Any tenant principal and any operator, whatever their role.
    AnyPrincipal,
    /// A tenant principal with this permission.
    Tenant(Permission),
    /// An operator with this permission.
    Operator(OperatorPermission),
    /// A tenant principal with the first permission, or an operator with the second.
    Either(Permission, OperatorPermission),
}

/// One operation.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Its id, which is the handler's name: in the OpenAPI document, in metrics and in usage.
    pub id: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The errors that it knows besides those that every operation has which takes the same.
    pub(crate) errors: fn() -> Vec<ApiError>,
    /// How much memory an answer takes.
    pub(crate) weight: Weight,
    /// Makes the route that runs the handler.
    pub(crate) route: fn() -> Route,
}

/// How much memory an answer takes at most while it is made: what PostgreSQL sends, what is read from that, and what is
/// written of it. It counts among the bytes that the tenant has in flight from the request's admission on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Weight {
    /// A few short fields.
    #[default]
    Small,
    /// A page of objects that have a few short fields.
    List,
    /// A tenant's content of one object.
    Content,
    /// As much as a page may have.
    Page,
}

impl Weight {
    /// What a request and the fields of its answer take, in bytes.
    const FIELDS: usize = 16 << 10;
    /// What an object of a list takes, in bytes, and how many there are at most.
    const OBJECT: usize = 1 << 10;
    const OBJECTS: usize = 100;
    /// How often an answer lies in memory.
    const COPIES: usize = 3;

    /// Whether the answer is as large as the tenant's content in it.
    pub(crate) const fn is_of_content(self) -> bool {
        matches!(self, Self::Content | Self::Page)
    }

    /// In bytes, where the largest content has `data_limit` bytes.
    pub(crate) const fn bytes(self, data_limit: usize) -> usize {
        match self {
            Self::Small => Self::FIELDS,
            Self::List => Self::FIELDS + Self::COPIES * Self::OBJECTS * Self::OBJECT,
            Self::Content => Self::FIELDS + Self::COPIES * data_limit,
            Self::Page => Self::FIELDS + Self::COPIES * (PAGE_BYTES as usize + data_limit),
        }
    }
}

/// The operations of one resource and their documentation.
pub(crate) struct Group {
    pub(crate) docs: OpenApi,
    pub(crate) operations: Vec<Operation>,
}

/// Declares the operations of one resource: `module::handler => access, [errors of its own];`, and the weight of answers that
/// are not small behind that. The document gives an example of each error, so they are written with values that a client might
/// see.
macro_rules! operations {
    ($($module:ident::$handler:ident => $access:expr, [$($error:expr),* $(,)?] $(, $weight:ident)?;)*) => {
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($module::$handler),*))]
        struct Docs;

        /// This resource's part of the route table.
        pub(crate) fn group() -> $crate::http::operation::Group {
            $crate::http::operation::Group {
                docs: <Docs as utoipa::OpenApi>::openapi(),
                operations: vec![$($crate::http::operation::Operation {
                    id: stringify!($handler),
                    access: $access,
                    errors: || vec![$($error),*],
                    weight: [$($crate::http::operation::Weight::$weight,)? $crate::http::operation::Weight::Small][0],
                    route: || actix_web::web::to($module::$handler),
                }),*],
            }
        }
    };
}
pub(crate) use operations;

/// Every operation with its method and path, and the document that describes them.
pub struct Catalog {
    /// Path → its operations.
    paths: BTreeMap<String, Vec<(Method, Operation)>>,
    /// Ids of the operations that take query parameters.
    with_query: BTreeSet<&'static str>,
    docs: OpenApi,
}

/// The route table and the documentation disagree.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A handler is in the table, but its documentation is not.
    #[error("operation {0} has no documentation")]
    Undocumented(&'static str),
    /// A handler is documented, but not in the table.
    #[error("operation {0} is documented but not served")]
    Unserved(String),
    /// Two handlers have the same name, or answer the same method and path.
    #[error("operation {0} appears twice")]
    Twice(String),
}

impl Catalog {
    /// Joins the groups.
    pub(crate) fn assemble(groups: Vec<Group>) -> Result<Self, CatalogError> {
        let mut docs = OpenApi::default();
        let mut served = BTreeMap::new();
        for group in groups {
            docs.merge(group.docs);
            for operation in group.operations {
                if served.insert(operation.id, operation).is_some() {
                    return Err(CatalogError::Twice(operation.id.to_owned()));
                }
            }
        }
        let mut paths: BTreeMap<String, Vec<(Method, Operation)>> = BTreeMap::new();
        let mut with_query = BTreeSet::new();
        for (path, item) in &docs.paths.paths {
            for (method, documented) in methods(item) {
                let id = documented.operation_id.clone().unwrap_or_default();
                let Some(operation) = served.remove(id.as_str()) else {
                    return Err(CatalogError::Unserved(id));
                };
                if documented.parameters.iter().flatten().any(is_in_query) {
                    with_query.insert(operation.id);
                }
                paths.entry(path.clone()).or_default().push((method, operation));
            }
        }
        match served.into_keys().next() {
            Some(id) => Err(CatalogError::Undocumented(id)),
            None => Ok(Self { paths, with_query, docs }),
        }
    }

    /// Every operation with its method and path.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &Method, &Operation)> {
        self.paths.iter().flat_map(|(path, operations)| {
            operations.iter().map(move |(method, operation)| (path.as_str(), method, operation))
        })
    }

    /// The document as the handlers' own annotations make it.
    pub(crate) fn docs(&self) -> OpenApi {
        self.docs.clone()
    }

    /// Serves every operation, each behind the request pipeline.
    pub(crate) fn configure(&self, config: &mut web::ServiceConfig) {
        for (path, operations) in &self.paths {
            config.service(resource(path, operations, &self.with_query));
        }
    }
}

/// The operations of one path, and a refusal for every other method.
fn resource(path: &str, operations: &[(Method, Operation)], with_query: &BTreeSet<&'static str>) -> Resource {
    let mut resource = web::resource(path);
    let mut allow = Vec::new();
    for (method, operation) in operations {
        // Whatever can be read can be asked about (RFC 9110 section 9.3.2); actix leaves the body out.
        let methods: &[Method] =
            if *method == Method::GET { &[Method::GET, Method::HEAD] } else { slice::from_ref(method) };
        for method in methods {
            let takes_query = with_query.contains(operation.id);
            let served = Served::new(*operation, Some(method), takes_query, String::new());
            resource = resource.route(piped(served, Some(method)));
            allow.push(method.as_str());
        }
    }
    let refused = public("method_not_allowed", || web::to(no_method));
    resource.default_service(piped(Served::new(refused, None, false, allow.join(", ")), None))
}

/// What anybody may ask for outside of the route table. `id` names it in metrics and in the log.
const fn public(id: &'static str, route: fn() -> Route) -> Operation {
    Operation { id, access: Access::Public, errors: Vec::new, weight: Weight::Small, route }
}

/// A page about the API: like an operation behind the pipeline, but not in the document.
pub(crate) fn page(path: &str, id: &'static str, route: fn() -> Route) -> Resource {
    resource(path, &[(Method::GET, public(id, route))], &BTreeSet::new())
}

/// An operation as one thread serves it.
pub(crate) struct Served {
    pub(crate) operation: Operation,
    /// The method as metrics name it; `_OTHER` where any is taken, as OpenTelemetry has it.
    method: &'static str,
    /// Whether it has query parameters; where it has none, none may be sent.
    pub(crate) takes_query: bool,
    /// Where this refuses a method: those that the path takes (`Allow`, RFC 9110 section 15.5.6).
    pub(crate) allow: String,
    series: OnceCell<metrics::Route>,
}

impl Served {
    /// `method` is the one it takes, `None` any.
    fn new(operation: Operation, method: Option<&Method>, takes_query: bool, allow: String) -> Self {
        let known = METHODS.iter().find(|known| Some(**known) == method.map(Method::as_str));
        let method = known.map_or("_OTHER", |known| known);
        Self { operation, method, takes_query, allow, series: OnceCell::new() }
    }

    /// The operation's latency series, looked up once.
    pub(crate) fn series(&self, metrics: &Metrics) -> &metrics::Route {
        self.series.get_or_init(|| metrics.http.route(self.method, self.operation.id))
    }
}

/// An operation's route, behind the pipeline.
fn piped(served: Served, method: Option<&Method>) -> Route {
    let route = (served.operation.route)();
    let served = Rc::new(served);
    let route = match method {
        Some(method) => route.method(method.clone()),
        None => route,
    };
    route.wrap(from_fn(move |request, next| pipeline::run(Rc::clone(&served), request, next)))
}

/// What is served where nothing else is.
pub(crate) fn unknown_route() -> Route {
    piped(Served::new(public("unknown_route", || web::to(no_route)), None, false, String::new()), None)
}

async fn no_route() -> Result<&'static str, ApiError> {
    Err(ApiError::UnknownRoute)
}

async fn no_method() -> Result<&'static str, ApiError> {
    Err(ApiError::MethodNotAllowed)
}

fn is_in_query(parameter: &RefOr<Parameter>) -> bool {
    // Parameters are never kept apart from their operation.
    matches!(parameter, RefOr::T(Parameter { parameter_in: ParameterIn::Query, .. }))
}

/// The methods the API uses.
const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"];

fn methods(
    item: &utoipa::openapi::PathItem,
) -> impl Iterator<Item = (Method, &utoipa::openapi::path::Operation)> {
    let documented = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    documented.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

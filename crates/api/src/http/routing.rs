//! Where operations are served: the route table as actix-web has it.
//!
//! Owns which route runs which operation on a thread, what a path answers to methods that it does not take, and what is
//! served where nothing else is. Everything that is served here goes through the pipeline.

use std::{cell::OnceCell, collections::BTreeMap, rc::Rc, slice};

use actix_web::{
    HttpRequest, Resource, Route,
    http::Method,
    web::{self, Payload},
};
use bulkhead_telemetry::{Metrics, metrics};

use crate::http::{
    error::ApiError,
    handler::{Handler, handler},
    needs::Needs,
    operation::{Access, CORE, Catalog, Entry, Operation, Weight},
    pipeline,
};

impl Catalog {
    /// Serves every operation, each behind the request pipeline.
    pub(crate) fn configure(&self, config: &mut web::ServiceConfig) {
        for (prefix, paths) in by_prefix(self.paths.keys().map(String::as_str)) {
            let mut scope = web::scope(prefix);
            for path in paths {
                let Some(operations) = self.paths.get(path) else { continue };
                if prefix.is_empty() {
                    config.service(resource(path, operations));
                } else {
                    scope = scope.service(resource(path.strip_prefix(prefix).unwrap_or(path), operations));
                }
            }
            if !prefix.is_empty() {
                config.service(scope);
            }
        }
    }

    /// Serves the operations of `path` at `place`, too. Ahead of [`Self::configure`]: what it serves takes all that begins
    /// like its paths.
    pub(crate) fn serve_also(&self, path: &str, place: &str, config: &mut web::ServiceConfig) {
        if let Some(operations) = self.paths.get(path) {
            config.service(resource(place, operations));
        }
    }
}

/// Paths by their first two segments; under an empty prefix those that stand alone. The router tries path after path, each with a
/// regular expression of its own: in groups, a request is held against its own group's paths and not against all.
fn by_prefix<'a>(paths: impl Iterator<Item = &'a str> + Clone) -> BTreeMap<&'a str, Vec<&'a str>> {
    let is_ambiguous = paths.clone().any(|path| prefix(path).contains('{'));
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in paths {
        // A group takes all that begins like it, and a path that begins with a parameter may begin like any of them.
        groups.entry(if is_ambiguous { "" } else { prefix(path) }).or_default().push(path);
    }
    groups
}

/// The first two segments of a path; empty where it has fewer.
fn prefix(path: &str) -> &str {
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    match (slashes.next(), slashes.next(), slashes.next()) {
        (Some(0), Some(_), end) => path.get(..end.unwrap_or(path.len())).unwrap_or_default(),
        _ => "",
    }
}

/// The operations of one path, and a refusal for every other method.
fn resource(path: &str, operations: &[Entry]) -> Resource {
    let mut resource = web::resource(path);
    let mut allow = Vec::new();
    for Entry { method, operation, needs, takes_query, .. } in operations {
        // A path that takes GET takes HEAD too (RFC 9110 section 9.3.2); actix leaves the body out.
        let methods: &[Method] =
            if *method == Method::GET { &[Method::GET, Method::HEAD] } else { slice::from_ref(method) };
        for method in methods {
            let served = Served::new(*operation, *needs, Some(method), *takes_query, String::new());
            resource = resource.route(piped(served, Some(method)));
            allow.push(method.as_str());
        }
    }
    let refused = public("method_not_allowed", handler!(no_method));
    resource.default_service(piped(Served::new(refused, Needs::NOTHING, None, false, allow.join(", ")), None))
}

/// An operation outside of the route table that any caller may ask for, without a credential. `id` names it in
/// metrics and in the log.
const fn public(id: &'static str, handler: Handler) -> Operation {
    Operation { id, access: Access::Public, errors: Vec::new, weight: Weight::Small, handler }
}

/// A page about the API: like an operation behind the pipeline, but not in the document.
pub(crate) fn page(path: &str, id: &'static str, handler: Handler) -> Resource {
    let operation = public(id, handler);
    let (method, needs) = (Method::GET, Needs::NOTHING);
    resource(path, &[Entry { method, operation, needs, owner: CORE, takes_query: false }])
}

/// An operation as one thread serves it.
pub(crate) struct Served {
    pub(crate) operation: Operation,
    /// What its caller has to hold.
    pub(crate) needs: Needs,
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
    fn new(
        operation: Operation,
        needs: Needs,
        method: Option<&Method>,
        takes_query: bool,
        allow: String,
    ) -> Self {
        let known = METHODS.iter().find(|known| Some(**known) == method.map(Method::as_str));
        let method = known.map_or("_OTHER", |known| known);
        Self { operation, needs, method, takes_query, allow, series: OnceCell::new() }
    }

    /// The operation's latency series, looked up once.
    pub(crate) fn series(&self, metrics: &Metrics) -> &metrics::Route {
        self.series.get_or_init(|| metrics.http.route(self.method, self.operation.id))
    }
}

/// An operation's route, behind the pipeline.
fn piped(served: Served, method: Option<&Method>) -> Route {
    let served = Rc::new(served);
    // On the heap here: the library moves what a handler returns twice before it does the same.
    let run = move |request: HttpRequest, payload: Payload| {
        Box::pin(pipeline::run(Rc::clone(&served), request, payload.into_inner()))
    };
    match method {
        Some(method) => web::route().method(method.clone()).to(run),
        None => web::route().to(run),
    }
}

/// What is served where nothing else is.
pub(crate) fn unknown_route() -> Route {
    let operation = public("unknown_route", handler!(no_route));
    piped(Served::new(operation, Needs::NOTHING, None, false, String::new()), None)
}

async fn no_route() -> Result<&'static str, ApiError> {
    Err(ApiError::UnknownRoute)
}

async fn no_method() -> Result<&'static str, ApiError> {
    Err(ApiError::MethodNotAllowed)
}

/// The methods the API uses.
const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"];

#[cfg(test)]
mod tests;

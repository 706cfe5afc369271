//! Operations: what can be asked, by whom.
//!
//! The route tables in `routes/` are the only way to serve a path, and every line of them states who may call it and which
//! errors are its own: an operation without either does not compile. Path, method and documentation come from the handler's
//! `#[utoipa::path]`; [`Catalog::assemble`] joins the two and refuses to start when they disagree, or when an
//! operation needs a permission that is declared nowhere.

use std::collections::BTreeMap;

use actix_web::http::Method;
use bulkhead_db::PAGE_BYTES;
use bulkhead_domain::{AccessRegistry, OperatorPermission, Permission};
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Parameter, ParameterIn},
};

use crate::http::{
    about::About,
    error::{ApiError, ProblemDef},
    handler::Handler,
    needs::Needs,
};

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Any caller, without a credential.
    Public,
    /// The caller shows no credential in the head; the body carries a password or a refresh token. Before the
    /// authenticator looks up a credential of which nothing good is known, it asks the address's budget of failures
    /// (`AppState::presented`). A credential that turns out to be good is not charged to the address, and for a
    /// refresh token of ours the budget is not asked.
    Session,
    /// Any tenant principal and any operator, whatever their role.
    AnyPrincipal,
    /// A person who has logged in, of any tenant or an operator, whatever their role: no API key.
    Person,
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
    /// Its own errors, beside those that follow from its access and from what it takes.
    pub errors: fn() -> Vec<ApiError>,
    /// How much memory an answer takes.
    pub weight: Weight,
    /// What runs when it is called.
    pub handler: Handler,
}

/// How much memory an answer takes at most while it is made: what PostgreSQL sends, what is read from that, and what is
/// written of it. It counts among the bytes that the tenant has in flight from the request's admission on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
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
pub struct Group {
    pub(crate) docs: OpenApi,
    pub(crate) operations: Vec<Operation>,
    owner: &'static str,
    about: &'static str,
}

/// The owner of the operations that every application has.
pub(crate) const CORE: &str = "core";

impl Group {
    /// What `operations!` has collected.
    #[doc(hidden)]
    pub const fn new(docs: OpenApi, operations: Vec<Operation>) -> Self {
        Self { docs, operations, owner: CORE, about: "" }
    }

    /// The same as operations of an extension, whose name they stand under in the document. `about` is what is said of it
    /// there.
    #[doc(hidden)]
    #[must_use]
    pub fn of(mut self, owner: &'static str, about: &'static str) -> Self {
        for item in self.docs.paths.paths.values_mut() {
            let operations =
                [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
            for operation in operations.into_iter().flatten() {
                operation.tags = Some(vec![owner.to_owned()]);
            }
        }
        Self { owner, about, ..self }
    }
}

/// Declares the operations of one resource, as the function `group()` beside them: `handler => access, [errors of its own];`,
/// and the weight of answers that are not small behind that. A handler is named as it is from here, `create_invoice` or
/// `create::create_invoice`; the last part is the operation's id. The document gives an example of each error, so they are
/// written with values that a client might see.
#[macro_export]
macro_rules! operations {
    ($($first:ident $(:: $rest:ident)? => $access:expr, [$($error:expr),* $(,)?] $(, $weight:ident)?;)*) => {
        /// The operations that are served here, with their documentation.
        pub(crate) fn group() -> $crate::__private::Group {
            use $crate::__private::utoipa;

            #[derive(utoipa::OpenApi)]
            #[openapi(paths($($first $(:: $rest)?),*))]
            struct Docs;

            $crate::__private::Group::new(
                <Docs as utoipa::OpenApi>::openapi(),
                vec![$($crate::__private::Operation {
                    id: [$(stringify!($rest),)? stringify!($first)][0],
                    access: $access,
                    errors: || vec![$($error),*],
                    weight: [$($crate::__private::Weight::$weight,)? $crate::__private::Weight::Small][0],
                    handler: |request, payload| {
                        Box::pin($crate::__private::invoke($first $(:: $rest)?, request, payload))
                    },
                }),*],
            )
        }
    };
}
pub(crate) use operations;

/// Every operation with its method and path, and the document that describes them.
pub struct Catalog {
    /// Path → its operations.
    pub(crate) paths: BTreeMap<String, Vec<Entry>>,
    access: AccessRegistry,
    docs: OpenApi,
    about: About,
    /// Each extension that has operations, with what is said of it.
    extensions: Vec<(&'static str, &'static str)>,
}

/// An operation with what was found out about it.
pub(crate) struct Entry {
    pub(crate) method: Method,
    pub(crate) operation: Operation,
    pub(crate) needs: Needs,
    /// The extension whose operation it is.
    pub(crate) owner: &'static str,
    /// Whether it has query parameters; where it has none, none may be sent.
    pub(crate) takes_query: bool,
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
    /// Two handlers have the same name.
    #[error("the operation {operation} is declared by {first} and by {second}")]
    Twice {
        /// The operation's id.
        operation: &'static str,
        /// The extension that declared it first.
        first: &'static str,
        /// The extension that declared it again.
        second: &'static str,
    },
    /// Two handlers answer the same method and path.
    #[error("{method} {path} is served by {first} and by {second}")]
    SameRoute {
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// One operation and its extension.
        first: String,
        /// The other operation and its extension.
        second: String,
    },
    /// An operation needs a permission that no list declares.
    #[error("operation {operation} of {owner} needs the permission {permission}, which is declared nowhere")]
    Undeclared {
        /// The operation's id.
        operation: &'static str,
        /// Its extension.
        owner: &'static str,
        /// The permission; an operators' one with `operator ` before it.
        permission: String,
    },
    /// Two kinds of problem have the same code.
    #[error("the problem code {code} means one thing in {first} and another in {second}")]
    ProblemTwice {
        /// The code.
        code: &'static str,
        /// An operation that can answer with one of them, and its extension.
        first: String,
        /// An operation that can answer with the other one, and its extension.
        second: String,
    },
}

impl Catalog {
    /// Joins the groups. Their permissions have to be among those of `access`, which has to be the registry that callers are
    /// verified with.
    pub fn assemble(groups: Vec<Group>, access: &AccessRegistry) -> Result<Self, CatalogError> {
        let mut docs = OpenApi::default();
        let mut served = BTreeMap::new();
        let mut routes = BTreeMap::new();
        let mut extensions = Vec::new();
        for group in groups {
            let Group { owner, about, .. } = group;
            if owner != CORE && !extensions.contains(&(owner, about)) {
                extensions.push((owner, about));
            }
            // Merging keeps the first of two.
            for (path, item) in &group.docs.paths.paths {
                for (method, documented) in methods(item) {
                    let id = documented.operation_id.as_deref().unwrap_or_default();
                    let second = named(id, owner);
                    let route = (method.to_string(), shape(path));
                    if let Some(first) = routes.insert(route, second.clone()) {
                        return Err(CatalogError::SameRoute { method, path: path.clone(), first, second });
                    }
                }
            }
            docs.merge(group.docs);
            for operation in group.operations {
                if let Some((_, first)) = served.insert(operation.id, (operation, owner)) {
                    return Err(CatalogError::Twice { operation: operation.id, first, second: owner });
                }
            }
        }
        let mut paths: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for (path, item) in &docs.paths.paths {
            for (method, documented) in methods(item) {
                let id = documented.operation_id.clone().unwrap_or_default();
                let Some((operation, owner)) = served.remove(id.as_str()) else {
                    return Err(CatalogError::Unserved(id));
                };
                let undeclared =
                    |permission| CatalogError::Undeclared { operation: operation.id, owner, permission };
                let needs = Needs::of(operation.access, access).map_err(undeclared)?;
                let takes_query = documented.parameters.iter().flatten().any(is_in_query);
                paths.entry(path.clone()).or_default().push(Entry {
                    method,
                    operation,
                    needs,
                    owner,
                    takes_query,
                });
            }
        }
        if let Some(id) = served.into_keys().next() {
            return Err(CatalogError::Undocumented(id));
        }
        let about = About::default();
        let catalog = Self { paths, access: access.clone(), docs, about, extensions };
        catalog.check_problems()?;
        Ok(catalog)
    }

    /// Refuses two kinds of problem with one code.
    fn check_problems(&self) -> Result<(), CatalogError> {
        let mut declared: BTreeMap<&str, (Option<&ProblemDef>, String)> = BTreeMap::new();
        for Entry { operation, owner, .. } in self.paths.values().flatten() {
            for error in (operation.errors)() {
                let code = error.code();
                let problem = if let ApiError::Declared(problem) = error { Some(problem) } else { None };
                let here = named(operation.id, owner);
                let (known, first) = declared.entry(code).or_insert_with(|| (problem, here.clone()));
                if *known != problem {
                    return Err(CatalogError::ProblemTwice { code, first: first.clone(), second: here });
                }
            }
        }
        Ok(())
    }

    /// The same catalog with what the application says of itself.
    #[must_use]
    pub fn with_about(self, about: About) -> Self {
        Self { about, ..self }
    }

    /// Every path of an extension's operations, with the extension.
    pub fn paths_of_extensions(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let all = self
            .paths
            .iter()
            .flat_map(|(path, entries)| entries.iter().map(move |entry| (path.as_str(), entry.owner)));
        all.filter(|(_, owner)| *owner != CORE)
    }

    /// What the application says of itself.
    pub(crate) const fn about(&self) -> &About {
        &self.about
    }

    /// Each extension that has operations, with what is said of it.
    pub(crate) fn extensions(&self) -> &[(&'static str, &'static str)] {
        &self.extensions
    }

    /// Every operation with its method and path.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &Method, &Operation)> {
        self.paths.iter().flat_map(|(path, operations)| {
            operations.iter().map(move |entry| (path.as_str(), &entry.method, &entry.operation))
        })
    }

    /// The permissions that exist, and the roles that hold them.
    pub(crate) const fn access(&self) -> &AccessRegistry {
        &self.access
    }

    /// The document as the handlers' own annotations make it.
    pub(crate) fn docs(&self) -> OpenApi {
        self.docs.clone()
    }
}

/// An operation with its extension.
fn named(operation: &str, owner: &str) -> String {
    format!("{operation} of {owner}")
}

/// A path without the names of its parameters: two paths of one shape match the same requests.
fn shape(path: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn is_in_query(parameter: &RefOr<Parameter>) -> bool {
    // Parameters are never kept apart from their operation.
    matches!(parameter, RefOr::T(Parameter { parameter_in: ParameterIn::Query, .. }))
}

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

#[cfg(test)]
mod tests {
    use bulkhead_domain::access::{
        BuiltIn, BuiltInOperator, OperatorPermissionDef, PermissionDef, PermissionList,
    };

    use super::*;
    use crate::http::answer::Answer;

    static SENT: ProblemDef = ProblemDef::new("already-sent", 409, "It was sent.");
    static SENT_TOO: ProblemDef = ProblemDef::new("already-sent", 410, "It was sent too.");

    mod invoices {
        use super::*;

        operations! {
            send_invoice => Access::Public, [SENT.error()];
            list_invoices => Access::Public, [], List;
        }

        #[utoipa::path(post, path = "/v1/invoices/{id}/send", responses((status = 204, description = "Sent.")))]
        async fn send_invoice() -> Result<Answer, ApiError> {
            Ok(Answer::no_content())
        }

        #[utoipa::path(get, path = "/v1/invoices", responses((status = 204, description = "None.")))]
        async fn list_invoices() -> Result<Answer, ApiError> {
            Ok(Answer::no_content())
        }
    }

    mod billing {
        use super::*;

        operations! {
            deliver_invoice => Access::Public, [];
        }

        #[utoipa::path(post, path = "/v1/invoices/{number}/send", responses((status = 204, description = "Sent.")))]
        async fn deliver_invoice() -> Result<Answer, ApiError> {
            Ok(Answer::no_content())
        }
    }

    mod reminders {
        use super::*;

        operations! {
            send_reminder => Access::Public, [SENT_TOO.error()];
        }

        #[utoipa::path(post, path = "/v1/reminders", responses((status = 204, description = "Sent.")))]
        async fn send_reminder() -> Result<Answer, ApiError> {
            Ok(Answer::no_content())
        }
    }

    mod ledgers {
        use super::*;

        operations! {
            list_ledgers => Access::Tenant(Permission::new("read:ledgers")), [];
            close_ledgers => Access::Operator(OperatorPermission::new("write:ledgers")), [];
        }

        #[utoipa::path(get, path = "/v1/ledgers", responses((status = 204, description = "None.")))]
        async fn list_ledgers() -> Result<Answer, ApiError> {
            Ok(Answer::no_content())
        }

        #[utoipa::path(delete, path = "/v1/ledgers", responses((status = 204, description = "Closed.")))]
        async fn close_ledgers() -> Result<Answer, ApiError> {
            Ok(Answer::no_content())
        }
    }

    fn assemble(groups: Vec<Group>, lists: &[PermissionList]) -> Result<Catalog, CatalogError> {
        Catalog::assemble(groups, &AccessRegistry::assemble(lists).unwrap())
    }

    fn refusal(groups: Vec<Group>) -> String {
        assemble(groups, &[]).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_handler_is_named_by_its_last_part_and_weighed() {
        let catalog = assemble(vec![invoices::group()], &[]).unwrap();
        let found: Vec<_> =
            catalog.operations().map(|(path, _, found)| (path, found.id, found.weight)).collect();
        let expected = [
            ("/v1/invoices", "list_invoices", Weight::List),
            ("/v1/invoices/{id}/send", "send_invoice", Weight::Small),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn two_handlers_of_one_route_are_refused_however_its_parameters_are_called() {
        assert_eq!(
            refusal(vec![invoices::group(), billing::group().of("billing", "")]),
            "POST /v1/invoices/{number}/send is served by send_invoice of core and by deliver_invoice of billing"
        );
        assert_eq!(
            refusal(vec![invoices::group(), invoices::group()]),
            "GET /v1/invoices is served by list_invoices of core and by list_invoices of core"
        );
    }

    #[test]
    fn two_handlers_of_one_name_are_refused_with_both_extensions() {
        let moved = |path: &str| {
            let mut group = invoices::group();
            let paths = std::mem::take(&mut group.docs.paths.paths);
            group.docs.paths.paths =
                paths.into_iter().map(|(old, item)| (old.replace("/v1/invoices", path), item)).collect();
            group
        };
        assert_eq!(
            refusal(vec![invoices::group().of("invoices", ""), moved("/v1/bills").of("billing", "")]),
            "the operation send_invoice is declared by invoices and by billing"
        );
    }

    #[test]
    fn operations_of_an_extension_stand_under_its_name() {
        let catalog = assemble(vec![invoices::group().of("invoices", "Bills.")], &[]).unwrap();
        let tags = |path: &str| {
            let item = &catalog.docs.paths.paths[path];
            item.get.as_ref().or(item.post.as_ref()).unwrap().tags.clone()
        };
        assert_eq!(tags("/v1/invoices"), Some(vec!["invoices".to_owned()]));
        assert_eq!(catalog.extensions(), [("invoices", "Bills.")]);
        let owned: Vec<_> = catalog.paths_of_extensions().collect();
        assert_eq!(owned, [("/v1/invoices", "invoices"), ("/v1/invoices/{id}/send", "invoices")]);
    }

    #[test]
    fn an_operation_whose_permission_is_declared_nowhere_is_not_served() {
        let read = PermissionDef { permission: Permission::new("read:ledgers"), held_by: &[BuiltIn::Owner] };
        let write = OperatorPermissionDef {
            permission: OperatorPermission::new("write:ledgers"),
            held_by: &[BuiltInOperator::Admin],
        };
        let (read, write) = (vec![read].leak(), vec![write].leak());
        let missing = |tenants, operators| {
            let list = PermissionList { owner: "ledgers", tenants, operators };
            assemble(vec![ledgers::group()], &[list]).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(
            missing(&[], write),
            "operation list_ledgers of core needs the permission read:ledgers, which is declared nowhere"
        );
        assert_eq!(
            missing(read, &[]),
            "operation close_ledgers of core needs the permission operator write:ledgers, which is declared nowhere"
        );
        assert_eq!(missing(read, write), "");
    }

    #[test]
    fn two_problems_with_one_code_are_refused() {
        assert_eq!(
            refusal(vec![invoices::group(), reminders::group()]),
            "the problem code already-sent means one thing in send_invoice of core and another in send_reminder of core"
        );
    }
}

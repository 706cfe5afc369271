//! The documentation pages: Swagger UI to try things out, ReDoc to read, and the document they show.
//!
//! The pages and all that they load come from this process, and browsers are told to load nothing from elsewhere: an
//! attacker who could change a script that runs here could use the credentials of every person who tries something
//! out. Nor do the pages tell another host that they are looked at: by itself, Swagger UI has the document checked by
//! its makers. The pages go through the pipeline like every operation, so an address has the same budget for them.
//! They hold no memory of their own while they are sent, so they take no share of the bytes in flight.

use std::{borrow::Cow, sync::Arc};

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::header,
    web::{Data, Path, ServiceConfig},
};
use bytes::Bytes;
use serde_json::Value;
use utoipa_redoc::Redoc;
use utoipa_swagger_ui::Config;

use crate::http::{error::ApiError, handler::handler, paced::InPieces, routing};

/// assets/redoc/README.md says where it comes from.
const REDOC: &[u8] = include_bytes!("../../assets/redoc/redoc.standalone.js.gz");
const REDOC_PAGE: &str = include_str!("../../assets/redoc/page.html");

/// Content Security Policy Level 3. Both pages write styles into themselves; ReDoc searches in a worker of its own making.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src blob:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the pages are made from, once for all threads.
pub(crate) struct Pages {
    document: Bytes,
    redoc: Bytes,
    swagger: Arc<Config<'static>>,
    /// The title of the page that Swagger UI is.
    title: String,
}

/// The title that Swagger UI's own page has.
const SWAGGER_TITLE: &str = "<title>Swagger UI</title>";

impl Pages {
    /// The pages that show this document, for clients that reach them below `public_path`.
    pub(crate) fn new(document: &Value, public_path: &str) -> Self {
        let title = document.pointer("/info/title").and_then(Value::as_str).unwrap_or_default();
        let title = title.replace('&', "&amp;").replace('<', "&lt;");
        let redoc = REDOC_PAGE.replace("=\"/", &format!("=\"{public_path}/"));
        let redoc = redoc.replace("<title>", &format!("<title>{title} "));
        let swagger = Config::new([format!("{public_path}/openapi.json")]).validator_url("none");
        Self {
            document: Bytes::from(document.to_string()),
            redoc: Bytes::from(Redoc::new(document.clone()).custom_html(redoc).to_html()),
            swagger: Arc::new(swagger.try_it_out_enabled(false).persist_authorization(false).filter(true)),
            title: format!("<title>{title}</title>"),
        }
    }
}

/// Serves `/docs`, `/redoc` and `/openapi.json`.
pub(crate) fn configure(pages: Data<Pages>, config: &mut ServiceConfig) {
    config
        .app_data(pages)
        .service(routing::page("/openapi.json", "get_openapi_document", handler!(document)))
        .service(routing::page("/redoc/redoc.standalone.js", "get_redoc_script", handler!(redoc_script)))
        .service(routing::page("/redoc", "get_redoc", handler!(redoc)))
        .service(routing::page("/docs", "get_docs", handler!(to_swagger)))
        .service(routing::page("/docs/{file:.*}", "get_docs", handler!(swagger)));
}

async fn document(pages: Data<Pages>) -> HttpResponse {
    never_stale(&mut HttpResponse::Ok(), "application/json", pages.document.clone())
}

async fn redoc(pages: Data<Pages>) -> HttpResponse {
    never_stale(&mut guarded(), "text/html; charset=utf-8", pages.redoc.clone())
}

/// Its address has no version in it, so it is asked for again after an hour.
async fn redoc_script() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .insert_header((header::CONTENT_ENCODING, "gzip"))
        .content_type("text/javascript; charset=utf-8")
        .body(InPieces::new(Bytes::from_static(REDOC)))
}

/// The page names its files relative to itself.
async fn to_swagger() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

async fn swagger(file: Path<String>, pages: Data<Pages>) -> Result<HttpResponse, ApiError> {
    let found = utoipa_swagger_ui::serve(&file, Arc::clone(&pages.swagger));
    let found = found.map_err(|error| ApiError::internal(error.to_string()))?;
    let found = found.ok_or(ApiError::UnknownRoute)?;
    let mut response = guarded();
    if found.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    let bytes = match found.bytes {
        page if found.content_type == "text/html" => {
            let page = String::from_utf8_lossy(&page).replace(SWAGGER_TITLE, &pages.title);
            Bytes::from(page)
        }
        Cow::Borrowed(compiled_in) => Bytes::from_static(compiled_in),
        Cow::Owned(made) => Bytes::from(made),
    };
    Ok(never_stale(&mut response, &found.content_type, bytes))
}

/// The beginning of an answer that a browser shows as a page.
fn guarded() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    response
}

/// An answer that browsers ask for each time: another version of the program may answer otherwise.
fn never_stale(response: &mut HttpResponseBuilder, media_type: &str, body: Bytes) -> HttpResponse {
    response
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .content_type(media_type)
        .body(InPieces::new(body))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pages_have_the_title_of_the_application() {
        let pages = Pages::new(&json!({ "info": { "title": "A <b> & C" } }), "");
        assert!(
            str::from_utf8(&pages.redoc).unwrap().contains("<title>A &lt;b> &amp; C API reference</title>")
        );
        let page = utoipa_swagger_ui::serve("", Arc::clone(&pages.swagger)).unwrap().unwrap();
        assert_eq!(page.content_type, "text/html");
        assert!(str::from_utf8(&page.bytes).unwrap().contains(SWAGGER_TITLE));
        assert_eq!(pages.title, "<title>A &lt;b> &amp; C</title>");
    }
}

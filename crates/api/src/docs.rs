//! The documentation pages: Swagger UI to try things out, ReDoc to read, and the document they show.
//!
//! The pages and all that they load come from this process, and browsers are told to load nothing from elsewhere: whoever
//! could change a script that runs here could use the credentials of everybody who tries something out.

use std::future::{Ready, ready};

use actix_web::{
    HttpResponse,
    http::header,
    middleware::DefaultHeaders,
    web::{self, ServiceConfig},
};
use bytes::Bytes;
use serde_json::Value;
use utoipa_redoc::Redoc;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// assets/redoc/README.md says where it comes from.
const REDOC: &[u8] = include_bytes!("../assets/redoc/redoc.standalone.js.gz");
const REDOC_PAGE: &str = include_str!("../assets/redoc/page.html");

/// Content Security Policy Level 3. Both pages write styles into themselves; ReDoc searches in a worker of its own making.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src blob:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves `/docs`, `/redoc` and `/openapi.json`.
pub(crate) fn configure(document: &Value, config: &mut ServiceConfig) {
    let json = Bytes::from(document.to_string());
    let page = Bytes::from(Redoc::new(document.clone()).custom_html(REDOC_PAGE).to_html());
    let ui =
        Config::new(["/openapi.json"]).try_it_out_enabled(false).persist_authorization(false).filter(true);
    config
        .route("/openapi.json", web::get().to(move || answer("application/json", json.clone())))
        .route("/redoc/redoc.standalone.js", web::get().to(redoc_script))
        .service(
            web::resource("/redoc")
                .wrap(guarded())
                .route(web::get().to(move || answer("text/html; charset=utf-8", page.clone()))),
        )
        .service(web::resource("/docs").route(web::get().to(docs)))
        .service(web::scope("/docs").wrap(guarded()).service(SwaggerUi::new("/{_:.*}").config(ui)));
}

fn guarded() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, POLICY))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "no-referrer"))
}

fn answer(media_type: &'static str, body: Bytes) -> Ready<HttpResponse> {
    let answer = HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .content_type(media_type)
        .body(body);
    ready(answer)
}

/// Its address has no version in it, so it is asked for again after an hour.
async fn redoc_script() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_ENCODING, "gzip"))
        .content_type("text/javascript; charset=utf-8")
        .body(REDOC)
}

async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

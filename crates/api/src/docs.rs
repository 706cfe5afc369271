//! The documentation pages: Swagger UI to try things out, ReDoc to read, and the document they show.

use actix_web::{HttpResponse, http::header, web};
use bytes::Bytes;
use serde_json::Value;
use utoipa_redoc::{Redoc, Servable};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Serves `/docs`, `/redoc` and `/openapi.json`. Both pages load nothing from elsewhere but ReDoc's own script.
pub(crate) fn configure(document: &Value, config: &mut web::ServiceConfig) {
    let json = Bytes::from(document.to_string());
    let serve = move || {
        let json = json.clone();
        async move {
            HttpResponse::Ok()
                .insert_header((header::CACHE_CONTROL, "no-cache"))
                .content_type("application/json")
                .body(json)
        }
    };
    config.route("/openapi.json", web::get().to(serve));
    config.service(Redoc::with_url("/redoc", document.clone()));
    config.route(
        "/docs",
        web::get().to(|| async {
            HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
        }),
    );
    let ui =
        Config::new(["/openapi.json"]).try_it_out_enabled(false).persist_authorization(false).filter(true);
    config.service(SwaggerUi::new("/docs/{_:.*}").config(ui));
}

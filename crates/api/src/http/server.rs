//! The HTTP servers: the API on one port, metrics and machine probes on another, and their orderly end.

use std::{future::ready, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use actix_http::{HttpService, error::DispatchError};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, map_config};
use actix_web::{
    App, Error, HttpResponse, HttpServer, Route,
    dev::{AppConfig, Server, ServerHandle, fn_service},
    guard, web,
};
use bulkhead_auth::AuthError;
use bulkhead_db::{Db, platform::nodes::Node};
use bulkhead_telemetry::{Health, Metrics};
use futures::future::try_join;
use tokio::sync::watch;

use crate::http::{
    background,
    connections::Arrivals,
    discovery,
    docs::{self, Pages},
    health, openapi,
    operation::Catalog,
    routing,
    state::{AppState, Shared},
    wire::{HEAD_TIMEOUT, Wire},
};

/// How long answers carry `Connection: close` before the listener closes, at least: a busy client learns from such an
/// answer that the connection ends, and does not send its next request on it.
const FAREWELL: Duration = Duration::from_millis(250);

/// How long the last usage of all threads may take to reach PostgreSQL.
const USAGE_AT_THE_END: Duration = Duration::from_secs(2);

/// How long this node may take to tell the other nodes that it has ended. Without being told they notice it a little
/// later.
const LEAVING: Duration = Duration::from_secs(1);

/// Where and how the servers listen.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where metrics and probes are served.
    pub metrics: SocketAddr,
    /// Threads that answer requests.
    pub threads: usize,
    /// Connections to PostgreSQL that the process may open at most; for the log.
    pub database_connections: usize,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// Connections at most.
    pub connections: usize,
    /// Connections of one address at most; `None` behind a proxy.
    pub connections_per_address: Option<usize>,
    /// How long the reader of an answer may make no progress.
    pub write_timeout: Duration,
    /// How long readiness fails before the listener closes, so that load balancers have seen it.
    pub drain_delay: Duration,
    /// How long requests in flight may take to finish.
    pub shutdown: Duration,
}

impl ServerOptions {
    fn tell(&self) {
        tracing::info!(
            address = %self.api,
            metrics = %self.metrics,
            threads = self.threads,
            database_connections_at_most = self.database_connections,
            "serving"
        );
    }
}

/// The API cannot start, or has failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The OpenAPI document cannot be written.
    #[error("the OpenAPI document cannot be written")]
    Document(#[from] serde_json::Error),
    /// The keys or the revocations could not be read.
    #[error("the first look at the database failed")]
    Prepare(#[from] AuthError),
    /// A port is taken, or the system refuses.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A server has failed.
    #[error(transparent)]
    Server(#[from] io::Error),
    /// Usage is not stored any more, so nothing may be answered.
    #[error("what stores usage has ended")]
    Usage,
}

/// Serves until `stop` turns true, then drains. When the task that stores usage ends before that, the process ends
/// too: its answers could not be billed.
///
/// `catalog` is what is served; its permissions are those that `shared` verifies callers with. `state` makes a thread's state on
/// that thread; `db` is this thread's own way to the database, for what the node does
/// beside answering; `node` is what the other nodes know it by.
pub async fn serve(
    options: ServerOptions,
    shared: Shared,
    catalog: Arc<Catalog>,
    state: impl Fn() -> AppState + Clone + Send + 'static,
    db: Db,
    node: Node,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    background::prepare(&shared, &db, &node).await?;
    let public_path = &shared.options.public_path;
    let mut document = openapi::document(&catalog)?;
    openapi::place_below(public_path, &mut document);
    let pages = web::Data::new(Pages::new(&document, public_path));
    let places = discovery::other_places(&shared.options);
    let arrivals = Arrivals::new(options.connections_per_address, options.write_timeout);
    let app = move || {
        let configure = |config: &mut web::ServiceConfig| {
            for (path, place) in &places {
                catalog.serve_also(path, place, config);
            }
            catalog.configure(config);
            docs::configure(pages.clone(), config);
        };
        App::new()
            .app_data(web::Data::new(state()))
            .configure(configure)
            .default_service(routing::unknown_route())
    };
    let builder = Server::build();
    let ending = builder.graceful_shutdown_signal();
    let api = builder
        .workers(options.threads)
        .max_concurrent_connections((options.connections / options.threads).max(1))
        .shutdown_timeout(options.shutdown.as_secs())
        .disable_signals()
        .bind("api", options.api, move || {
            let (arrivals, ending) = (arrivals.clone(), ending.clone());
            let app = app().into_factory().map_err(|error: Error| error.error_response());
            let http = HttpService::build()
                .keep_alive(options.keep_alive)
                .client_request_timeout(HEAD_TIMEOUT)
                .graceful_shutdown_signal(move || {
                    let ending = ending.clone();
                    async move { ending.notified().await }
                })
                .on_connect_ext(|wire: &Wire, extensions| {
                    extensions.insert(Rc::clone(wire.line()));
                })
                .h1(map_config(app, |()| AppConfig::default()));
            let welcome = move |socket| ready(Ok::<_, DispatchError>(arrivals.welcome(socket)));
            fn_service(welcome).and_then(http)
        })
        .map_err(|source| ServeError::Listen { address: options.api, source })?
        .run();
    let metrics = probes(options.metrics, shared.metrics.clone(), Arc::clone(&shared.health))?;
    options.tell();
    let mut tasks = background::spawn(&shared, &db, &node);
    let end = end_of(stop, shared.usage.ended());
    let result = until_drained(api, metrics, &shared.health, options.drain_delay, end).await;
    tasks.shutdown().await;
    finish_usage(&shared).await;
    background::leave(&db, &node, LEAVING).await;
    result
}

/// Runs both servers until there is a reason to end and they have ended.
async fn until_drained(
    api: Server,
    metrics: Server,
    health: &Arc<Health>,
    delay: Duration,
    end: impl Future<Output = End> + 'static,
) -> Result<(), ServeError> {
    let handles = [api.handle(), metrics.handle()];
    let drained = actix_web::rt::spawn(drain(handles, Arc::clone(health), delay, end));
    health.mark_started();
    try_join(api, metrics).await?;
    match drained.await {
        Ok(End::UsageIsLost) => Err(ServeError::Usage),
        Ok(End::Asked) | Err(_) => Ok(()),
    }
}

/// Why a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was asked to.
    Asked,
    /// What stores usage has ended.
    UsageIsLost,
}

/// Waits for a reason to end.
async fn end_of(mut stop: watch::Receiver<bool>, usage_ended: impl Future<Output = ()>) -> End {
    tokio::select! {
        // An error means that the sender of the signal is gone: the process could not be asked any more, so it stops.
        _asked = stop.wait_for(|stop| *stop) => End::Asked,
        () = usage_ended => {
            tracing::error!("what stores usage has ended; this process ends too, for what it serves would not be billed");
            End::UsageIsLost
        }
    }
}

/// Sends PostgreSQL the usage of the process that PostgreSQL has not confirmed, within [`USAGE_AT_THE_END`].
async fn finish_usage(shared: &Shared) {
    let left = shared.usage.finish(USAGE_AT_THE_END).await;
    if left > 0 {
        tracing::error!(batches = left, "usage was left behind; what Redis holds of it is billed later");
    }
}

/// Waits for a reason to end, lets load balancers notice, then closes the listeners and waits for what is in flight. When
/// usage is lost the listeners close without waiting for load balancers: no answer given meanwhile would be billed.
async fn drain(
    [api, metrics]: [ServerHandle; 2],
    health: Arc<Health>,
    delay: Duration,
    end: impl Future<Output = End>,
) -> End {
    let end = end.await;
    health.mark_draining();
    if end == End::Asked {
        tokio::time::sleep(delay.max(FAREWELL)).await;
    }
    api.stop(true).await;
    metrics.stop(false).await;
    end
}

/// Runs the work of a command that serves, on this thread and with the runtime that the servers need.
pub fn block_on<F: Future>(work: F) -> F::Output {
    actix_web::rt::System::new().block_on(work)
}

/// What may be read by GET, and asked about by HEAD (RFC 9110 section 9.3.2); actix leaves the body out.
fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Serves metrics and machine probes, on a port that is not for the public.
pub fn probes(address: SocketAddr, metrics: Metrics, health: Arc<Health>) -> Result<Server, ServeError> {
    let listen = |source| ServeError::Listen { address, source };
    let server =
        HttpServer::new(move || {
            let (metrics, health) = (metrics.clone(), Arc::clone(&health));
            let render = move || {
                let text = metrics.render();
                async move {
                    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
                }
            };
            let ready = move || {
                let response = health::tell_machine(&health);
                async move { response }
            };
            App::new()
                .route("/metrics", read().to(render))
                .route("/readyz", read().to(ready))
                .route("/livez", read().to(|| async { HttpResponse::Ok().body("alive") }))
        })
        .workers(1)
        .disable_signals()
        .bind(address)
        .map_err(listen)?;
    Ok(server.run())
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        net::{Ipv4Addr, TcpListener},
    };

    use bulkhead_db::{Connector, Pool, PoolOptions, Shares, Timeouts, platform::nodes::NodeKind};
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_process_ends_when_it_is_asked_and_when_usage_is_lost() {
        block_on(async {
            let (ask, asked) = watch::channel(false);
            assert_eq!(end_of(asked.clone(), ready(())).await, End::UsageIsLost);
            ask.send_replace(true);
            assert_eq!(end_of(asked, pending()).await, End::Asked);
        });
    }

    #[test]
    fn a_database_that_does_not_answer_does_not_hold_up_the_end() {
        const LONG: Duration = Duration::from_mins(1);
        block_on(async {
            // The listener accepts nothing: the kernel takes the connection, and no server ever answers on it.
            let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let url = format!("postgres://nobody:x@{}/none", silent.local_addr().unwrap());
            let options = PoolOptions {
                connections: 1,
                shares: Shares::Whole,
                max_age: LONG,
                statements: 1,
                wait: LONG,
                answer: LONG,
            };
            let pool = || Pool::new(Connector::new(&url, None, LONG).unwrap(), options);
            let db = Db::new(pool(), pool(), Timeouts { statement_ms: 1, lock_ms: 1, idle_ms: 1 });
            let node = Node {
                id: Uuid::nil(),
                name: "n".to_owned(),
                kind: NodeKind::Api,
                started_at: DateTime::UNIX_EPOCH,
            };
            let left = background::leave(&db, &node, Duration::from_millis(100));
            assert!(tokio::time::timeout(LONG / 6, left).await.is_ok(), "it waits for the database");
        });
    }
}

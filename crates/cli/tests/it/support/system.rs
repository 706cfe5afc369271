//! The application under test: the `bulkhead` command.

use std::{ops::Deref, sync::LazyLock};

use bulkhead_fixtures::CertificateAuthority;
use bulkhead_servers::{Binaries, Redis, RedisOptions, Scratch};
use bulkhead_testkit::{App, Server, Strict};
use tokio::sync::OnceCell;

use super::{Users, Variables};

/// The program.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_bulkhead");

/// A server that speaks nothing but TLS. It stops by itself when this process has gone.
static POSTGRES_WITH_TLS: LazyLock<Server> = LazyLock::new(|| {
    Server::start(|dir| {
        Some(CertificateAuthority::new().unwrap().certify("127.0.0.1", &dir.join("tls")).unwrap())
    })
});

static SHARED: OnceCell<System> = OnceCell::const_new();

/// What a system of a test's own has that the shared one has not.
#[derive(Default)]
pub(crate) struct Options {
    /// Settings of the API, instead of or beside the usual ones.
    pub(crate) api: Variables,
    /// Those of the worker.
    pub(crate) worker: Variables,
    /// Whether its servers are as strict as in the cloud: nothing but TLS, and each process is a user of Redis that may do
    /// what Terraform allows.
    pub(crate) strict: bool,
    /// Whether no mail leaves.
    pub(crate) no_mail: bool,
}

/// A running system.
pub(crate) struct System {
    app: App,
    /// Those of Redis, on a strict system.
    pub(crate) users: Option<Users>,
    // After the Redis that may lie in it.
    _scratch: Option<Scratch>,
}

impl System {
    /// The one that the tests of this process share.
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::start("bulkhead", Options::default())).await
    }

    /// The same, as the kit knows it.
    pub(crate) async fn app() -> &'static App {
        Self::shared().await
    }

    /// One of the test's own, in a database of this name.
    pub(crate) async fn start(database: &str, options: Options) -> Self {
        let (mut strict, mut users, mut scratch) = (None, None, None);
        if options.strict {
            let dir = Scratch::new().unwrap();
            let server = &*POSTGRES_WITH_TLS;
            let redis = RedisOptions {
                append_only: false,
                tls: server.tls.clone(),
                ..RedisOptions::new(dir.path().join("redis"))
            };
            let redis = Redis::start(&Binaries::find().unwrap(), redis).unwrap();
            users = Some(Users::make(&redis.url(), &password_of(&redis)).await);
            strict = Some(Strict { server, redis });
            scratch = Some(dir);
        }
        let options = bulkhead_testkit::Options {
            api: options.api,
            worker: options.worker,
            strict,
            no_mail: options.no_mail,
        };
        let app = App::launch(BINARY, &[], database, options).await;
        Self { app, users, _scratch: scratch }
    }
}

impl Deref for System {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

/// The password of the default user, in the address.
fn password_of(redis: &Redis) -> String {
    let url = redis.url();
    url.split(['/', ':', '@']).nth(4).unwrap().to_owned()
}

//! What the processes under test are told.

use std::sync::LazyLock;

use super::App;
use crate::{process::Variables, unique};

/// The passwords of the three logins, the same in every application: the roles are the server's.
static LOGIN_PASSWORD: LazyLock<String> = LazyLock::new(|| format!("login-{}", unique()));

impl App {
    /// The settings of a process that serves: never the administrator's or the provisioner's login.
    #[doc(hidden)]
    pub fn commands(&self) -> Variables {
        let mut variables = self.common();
        variables.extend([
            ("BULKHEAD_DATABASE_TENANT_URL", self.database_url("bulkhead_tenant")),
            ("BULKHEAD_DATABASE_PLATFORM_URL", self.database_url("bulkhead_platform")),
            ("BULKHEAD_REDIS_CACHE_URL", self.redis_url()),
            ("BULKHEAD_MASTER_KEY", self.master_key.clone()),
            ("BULKHEAD_ENVIRONMENT", "test".to_owned()),
            ("BULKHEAD_PORT", self.api_port.to_string()),
            ("BULKHEAD_METRICS_PORT", self.metrics_port.to_string()),
            ("BULKHEAD_PUBLIC_URL", "https://api.example.com".to_owned()),
            ("BULKHEAD_HTTP_THREADS", "2".to_owned()),
            // Every caller has an address of its own, in the header that this proxy would write.
            ("BULKHEAD_TRUSTED_PROXY_HOPS", "1".to_owned()),
            // A busy machine is no outage.
            ("BULKHEAD_LIMITER_TIMEOUT_MS", "1000".to_owned()),
            ("BULKHEAD_REQUEST_TIMEOUT_MS", "60000".to_owned()),
            ("BULKHEAD_DATABASE_WAIT_TIMEOUT_MS", "30000".to_owned()),
            // Secrets are looked for in everything that can be logged.
            ("BULKHEAD_LOG", "debug".to_owned()),
        ]);
        if let Some(mail) = &self.mail {
            variables.extend([
                ("BULKHEAD_SMTP_URL", mail.url()),
                ("BULKHEAD_MAIL_FROM", "Example <no-reply@example.com>".to_owned()),
                ("BULKHEAD_MAIL_LINKS_URL", "https://app.example.com".to_owned()),
                // Each test makes tenants, and people in them.
                ("BULKHEAD_MAILS_PER_TENANT_PER_HOUR", "1000".to_owned()),
            ]);
        }
        variables.extend([
            ("BULKHEAD_SELF_SERVICE_SIGNUP", "true".to_owned()),
            ("BULKHEAD_SIGNUPS_PER_HOUR", "10000".to_owned()),
        ]);
        variables.extend(self.fixtures.settings());
        variables
    }

    /// The settings of `bulkhead migrate`, and of `doctor`.
    #[doc(hidden)]
    pub fn migrator(&self) -> Variables {
        let mut variables = self.commands();
        let admin = self.superuser_url();
        // `psql` is told about TLS in the address; here it has a setting of its own.
        let admin = admin.split('?').next().unwrap_or_default();
        variables.extend([
            ("BULKHEAD_DATABASE_ADMIN_URL", admin.to_owned()),
            ("BULKHEAD_DATABASE_PROVISIONER_URL", self.provisioner_url()),
        ]);
        variables
    }

    fn common(&self) -> Variables {
        let tls = self.server.tls.as_ref().map_or_else(
            || vec![("BULKHEAD_DATABASE_TLS", "off".to_owned())],
            |tls| {
                ["BULKHEAD_DATABASE_CA_FILE", "BULKHEAD_REDIS_CA_FILE"]
                    .map(|name| (name, tls.ca.display().to_string()))
                    .to_vec()
            },
        );
        let mut variables = vec![
            ("BULKHEAD_BIND", "127.0.0.1".to_owned()),
            ("BULKHEAD_METRICS_BIND", "127.0.0.1".to_owned()),
            ("BULKHEAD_DATABASE_CONNECT_TIMEOUT_MS", "30000".to_owned()),
            ("BULKHEAD_STATEMENT_TIMEOUT_MS", "30000".to_owned()),
            ("BULKHEAD_LOCK_TIMEOUT_MS", "20000".to_owned()),
            ("BULKHEAD_IDLE_IN_TRANSACTION_TIMEOUT_MS", "30000".to_owned()),
        ];
        variables.extend(tls);
        variables
    }

    fn redis_url(&self) -> String {
        let redis = self.redis.lock().unwrap();
        redis.tls_url().unwrap_or_else(|| redis.url())
    }

    /// How a process of this command logs in to Redis.
    pub(super) fn redis_url_of(&self, command: &str) -> String {
        let user = if self.has_users { command } else { "default" };
        self.redis_url().replacen("//default:", &format!("//{user}:"), 1)
    }

    fn database_url(&self, login: &str) -> String {
        let port = self.server.postgres.port();
        format!("postgres://{login}:{}@127.0.0.1:{port}/{}", *LOGIN_PASSWORD, self.database)
    }

    #[doc(hidden)]
    pub fn provisioner_url(&self) -> String {
        self.database_url("bulkhead_provisioner")
    }

    /// The superuser's way to the database.
    #[doc(hidden)]
    pub fn superuser_url(&self) -> String {
        self.server.postgres.superuser_url(&self.database)
    }

    /// The passwords with which it reaches its servers.
    pub(crate) fn login_passwords(&self) -> impl Iterator<Item = String> {
        let urls = self.migrator().into_iter().filter(|(name, _)| name.ends_with("_URL"));
        urls.filter_map(|(_, url)| Some(url.split_once('@')?.0.rsplit_once(':')?.1.to_owned()))
    }
}

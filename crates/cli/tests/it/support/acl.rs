//! The users of Redis as Terraform makes them (`terraform/modules/cache/main.tf`), so that a command which the product needs
//! and they may not call fails here and not in production.

use std::path::Path;

use redis::aio::MultiplexedConnection;

/// The users of Redis, each named after the command of the product that logs in as it.
const USERS: [&str; 2] = ["api", "worker"];

/// Redis' users, with the password of the default one.
pub(crate) struct Users {
    connection: MultiplexedConnection,
}

impl Users {
    /// Makes them on the server at `url`, where the default user has this `password`.
    pub(crate) async fn make(url: &str, password: &str) -> Self {
        let client = redis::Client::open(url).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        for user in USERS {
            let begin = ["reset".to_owned(), "on".to_owned(), format!(">{password}")];
            for rule in begin.into_iter().chain(rules(user)) {
                let mut set = redis::cmd("ACL");
                let set: redis::RedisResult<()> =
                    set.arg("SETUSER").arg(user).arg(&rule).query_async(&mut connection).await;
                // Redis before 7.2 does not know it, and the product does without.
                assert!(set.is_ok() || rule == "+client|setinfo", "{rule}: {set:?}");
            }
        }
        Self { connection }
    }

    /// What they were refused, as Redis logs it.
    pub(crate) async fn refusals(&self) -> String {
        let mut connection = self.connection.clone();
        let log: redis::Value = redis::cmd("ACL").arg("LOG").query_async(&mut connection).await.unwrap();
        match log {
            redis::Value::Array(refusals) if refusals.is_empty() => String::new(),
            refusals => format!("{refusals:?}"),
        }
    }
}

/// The keys and commands that Terraform allows a user, as rules of Redis.
fn rules(user: &str) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../terraform/modules/cache/main.tf");
    let text = std::fs::read_to_string(file).unwrap();
    let common = text_between(&text, "common_commands = [", "]");
    let access = text_between(&text, "  access = {", "\n  }\n");
    let of_user = text_between(access, &format!("\n    {user} = {{"), "\n    }");
    let (keys, commands) = of_user.split_once("commands").unwrap();
    let keys = quoted(keys).map(|key| format!("~{key}"));
    let commands = quoted(common).chain(quoted(commands)).map(|command| format!("+{command}"));
    let rules: Vec<String> = keys.chain(["-@all".to_owned()]).chain(commands).collect();
    assert!(rules.len() > 10, "{user}: {rules:?}");
    rules
}

fn text_between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap();
    rest.split_once(to).unwrap().0
}

/// The texts in quotation marks, outside comments.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2))
}

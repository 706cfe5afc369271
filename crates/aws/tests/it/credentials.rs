//! Credentials that the host hands out.

use std::sync::Arc;

use bulkhead_aws::{Authorization, Aws, AwsError, CredentialSource, CredentialsError};
use bulkhead_fixtures::ManualClock;
use bulkhead_outbound::{Endpoint, FetchError};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::server::Server;

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

struct Host {
    server: Server,
    clock: Arc<ManualClock>,
    aws: Aws,
}

impl Host {
    fn start(authorization: Option<Authorization>) -> Self {
        let (server, clock) = (Server::start(), Arc::new(ManualClock::at(start())));
        let endpoint = Endpoint::local(&server.url("/v2/credentials/1")).unwrap();
        let source = CredentialSource::Container { endpoint, authorization };
        let own: Arc<dyn bulkhead_domain::Clock> = Arc::clone(&clock) as _;
        let aws = Aws::new(source, own).unwrap();
        Self { server, clock, aws }
    }

    fn will_hand_out(&self, good_for: TimeDelta) {
        let until = bulkhead_domain::Clock::now(&*self.clock) + good_for;
        let body = json!({ "AccessKeyId": "ASIA1", "SecretAccessKey": "hunter2", "Token": "t", "Expiration": until });
        self.server.will_answer(200, body);
    }

    async fn later(&self, by: TimeDelta) -> Result<usize, AwsError> {
        self.clock.advance(by);
        self.aws.probe().await?;
        Ok(self.server.asked().len())
    }
}

#[tokio::test]
async fn they_are_asked_for_once_and_again_before_they_lapse() {
    let host = Host::start(Some(Authorization::Text("Bearer x".to_owned())));
    host.will_hand_out(TimeDelta::hours(6));
    host.aws.probe().await.unwrap();
    let asked = host.server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].line.as_str(), asked[0].header("authorization")),
        ("GET /v2/credentials/1", "Bearer x")
    );
    assert_eq!(host.later(TimeDelta::minutes(354)).await.unwrap(), 0);
    host.will_hand_out(TimeDelta::hours(6));
    assert_eq!(host.later(TimeDelta::minutes(1)).await.unwrap(), 1, "five minutes before the end");
    assert_eq!(host.later(TimeDelta::hours(5)).await.unwrap(), 0);
}

#[tokio::test]
async fn those_at_hand_are_used_until_they_lapse_when_the_host_does_not_answer() {
    let host = Host::start(None);
    host.will_hand_out(TimeDelta::minutes(15));
    host.aws.probe().await.unwrap();
    assert_eq!(host.server.asked()[0].header("authorization"), "");
    assert_eq!(host.later(TimeDelta::minutes(11)).await.unwrap(), 1, "it was asked in vain");
    assert_eq!(host.later(TimeDelta::seconds(9)).await.unwrap(), 0, "and is given a pause");
    assert_eq!(host.later(TimeDelta::seconds(1)).await.unwrap(), 1);
    let lapsed = host.later(TimeDelta::minutes(4)).await.unwrap_err();
    let lapsed_for = |error: &AwsError| {
        matches!(error, AwsError::Credentials(CredentialsError::Host(FetchError::Status(500))))
    };
    assert!(lapsed_for(&lapsed), "{lapsed}");
    host.will_hand_out(TimeDelta::minutes(15));
    host.aws.probe().await.unwrap();
}

#[tokio::test]
async fn what_the_host_wants_to_see_may_be_in_a_file_that_changes() {
    let dir = bulkhead_servers::Scratch::new().unwrap();
    let file = dir.path().join("token");
    let host = Host::start(Some(Authorization::File(file.clone())));
    assert!(matches!(host.aws.probe().await, Err(AwsError::Credentials(CredentialsError::Token(_)))));
    for (text, shown) in [("one\n", "one"), ("two", "two")] {
        std::fs::write(&file, text).unwrap();
        host.will_hand_out(TimeDelta::seconds(1));
        host.clock.advance(TimeDelta::minutes(1));
        host.aws.probe().await.unwrap();
        assert_eq!(host.server.asked()[0].header("authorization"), shown);
    }
    host.clock.advance(TimeDelta::minutes(1));
    std::fs::write(&file, "a\r\nx: y").unwrap();
    assert!(matches!(host.aws.probe().await, Err(AwsError::Credentials(CredentialsError::TokenForm))));
    assert!(host.server.asked().is_empty());
}

#[tokio::test]
async fn no_secret_is_in_what_is_told() {
    let host = Host::start(Some(Authorization::Text("hunter2".to_owned())));
    host.server.will_answer(200, "{\"AccessKeyId\":\"hunter2\",\"SecretAccessKey\":7}");
    let error = host.aws.probe().await.unwrap_err();
    let given = CredentialSource::Given {
        key_id: "AKIA".to_owned(),
        secret: "hunter2".to_owned(),
        token: Some("hunter2".to_owned()),
    };
    let told =
        format!("{error} {error:?} {:?} {given:?} {:?}", host.aws, Authorization::Text("hunter2".to_owned()));
    assert!(!told.contains("hunter2"), "{told}");
}

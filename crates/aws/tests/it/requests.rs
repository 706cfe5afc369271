//! Requests as they leave: signed, and with what makes them safe to repeat.

use std::{sync::Arc, time::Duration};

use bulkhead_aws::{
    Aws, AwsError, CredentialSource,
    cognito::{Added, Pool, PoolError},
    s3::{Bucket, PutError},
};
use bulkhead_fixtures::ManualClock;
use bulkhead_outbound::{Bounds, Client, Endpoint, FetchError, Reach};
use chrono::DateTime;
use serde_json::{Value, json};

use crate::server::Server;

fn aws() -> Aws {
    let source = CredentialSource::Given {
        key_id: "AKIAEXAMPLE".to_owned(),
        secret: "a secret".to_owned(),
        token: Some("a token".to_owned()),
    };
    let clock = ManualClock::at(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    Aws::new(source, Arc::new(clock)).unwrap()
}

fn error(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Because.</Message></Error>")
}

#[tokio::test]
async fn a_file_is_put_under_a_new_name_alone_and_with_its_digest() {
    let server = Server::start();
    let at = Endpoint::parse(&server.url(""), true).unwrap();
    let bucket = Bucket::new(aws(), "anchors", "eu-central-1", Some(at));
    let put = async || bucket.put_new("live/audit-anchor-1.ndjson", "application/x-ndjson", b"heads\n").await;
    server.will_answer(200, "");
    put().await.unwrap();
    let [asked] = <[_; 1]>::try_from(server.asked()).unwrap();
    assert_eq!(asked.line, "PUT /anchors/live/audit-anchor-1.ndjson");
    assert_eq!(asked.body, "heads\n");
    for (name, value) in [
        ("if-none-match", "*"),
        ("x-amz-checksum-sha256", "PlNoX9CvYuPfSsKfyjuGzdH1anu59ZOQ4cVi9Kts4NI="),
        ("x-amz-content-sha256", "3e53685fd0af62e3df4ac29fca3b86cdd1f56a7bb9f59390e1c562f4ab6ce0d2"),
        ("content-type", "application/x-ndjson"),
        ("x-amz-security-token", "a token"),
        ("x-amz-date", "20270115T080000Z"),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    let signature = asked.header("authorization");
    let scope =
        "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20270115/eu-central-1/s3/aws4_request, SignedHeaders=";
    assert!(signature.starts_with(scope), "{signature}");
    let signed = "content-type;host;if-none-match;x-amz-checksum-sha256;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
    assert!(signature.contains(signed), "{signature}");

    server.will_answer(412, error("PreconditionFailed"));
    assert!(matches!(put().await, Err(PutError::Exists)));
    server.will_answer(400, error("AuthorizationHeaderMalformed"));
    assert!(matches!(put().await, Err(PutError::Region(_))));
    server.will_answer(301, "");
    let elsewhere = put().await.unwrap_err();
    assert_eq!(elsewhere.to_string(), "the bucket is not in the region eu-central-1 (AWS_REGION)");
    server.will_answer(403, error("AccessDenied"));
    assert_eq!(put().await.unwrap_err().to_string(), "AccessDenied (403): Because.");
    server.will_answer(503, "not XML");
    assert_eq!(put().await.unwrap_err().to_string(), " (503): ");
}

fn of_user(name: &str) -> Value {
    json!({ "Username": "u-1", name: [{ "Name": "sub", "Value": "s-1" }, { "Name": "custom:tenant_id", "Value": "ten_1" }] })
}

#[tokio::test]
async fn people_of_a_pool_are_found_added_and_removed() {
    let server = Server::start();
    let endpoint = Endpoint::parse(&server.url("/"), true).unwrap();
    let bounds = Bounds { patience: Duration::from_secs(5), largest: 65_536 };
    let client = Client::new(None, Reach::Anywhere, bounds).unwrap();
    let aws = aws();
    let pool =
        Pool { aws: &aws, client: &client, endpoint: &endpoint, region: "eu-west-1", id: "eu-west-1_A" };

    server.will_answer(200, of_user("UserAttributes"));
    let found = pool.find("grace@example.com").await.unwrap().unwrap();
    assert_eq!((found.username.as_str(), found.attributes["sub"].as_str()), ("u-1", "s-1"));
    server.will_answer(400, json!({ "__type": "UserNotFoundException", "message": "User does not exist." }));
    assert_eq!(pool.find("grace@example.com").await.unwrap(), None);
    server.will_answer(200, json!({ "User": of_user("Attributes") }));
    let added = pool.add("grace@example.com", &[("email", "grace@example.com")]).await.unwrap();
    assert_eq!(added, Added::Now(found));
    server.will_answer(400, json!({ "__type": "com.amazon#UsernameExistsException", "Message": "x" }));
    assert_eq!(pool.add("grace@example.com", &[]).await.unwrap(), Added::Exists);
    server.will_answer(200, "");
    assert!(pool.remove("u-1").await.unwrap());
    server.will_answer(400, json!({ "__type": "UserNotFoundException" }));
    assert!(!pool.remove("u-1").await.unwrap());

    let asked = server.asked();
    let targets: Vec<&str> =
        asked.iter().map(|one| one.header("x-amz-target").rsplit('.').next().unwrap()).collect();
    let wanted = ["AdminGetUser", "AdminCreateUser", "AdminDeleteUser"];
    assert_eq!(targets, wanted.iter().flat_map(|one| [*one, *one]).collect::<Vec<_>>());
    let sent: Value = serde_json::from_str(&asked[2].body).unwrap();
    assert_eq!(
        sent,
        json!({ "UserPoolId": "eu-west-1_A", "Username": "grace@example.com", "DesiredDeliveryMediums": ["EMAIL"],
            "UserAttributes": [{ "Name": "email", "Value": "grace@example.com" }] })
    );
    let signature = asked[2].header("authorization");
    assert!(signature.contains("/20270115/eu-west-1/cognito-idp/aws4_request, "), "{signature}");
    assert!(
        signature.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target,")
    );

    for code in ["InvalidParameterException", "ResourceNotFoundException", "UserLambdaValidationException"] {
        server.will_answer(400, json!({ "__type": code, "message": "Because." }));
        let refused = pool.add("x", &[]).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("the pool refuses: {code} (400): Because."));
    }
    for (status, code) in
        [(400, "TooManyRequestsException"), (400, "AccessDeniedException"), (500, "InternalErrorException")]
    {
        server.will_answer(status, json!({ "__type": code, "message": "Because." }));
        let passing = pool.add("x", &[]).await.unwrap_err();
        assert!(matches!(passing, PoolError::Passing(_)), "{code}");
        assert_eq!(passing.is_answered(), status < 500);
    }
    server.will_answer(200, "no JSON");
    let unusable = pool.find("x").await.unwrap_err();
    assert!(matches!(unusable, PoolError::Passing(AwsError::Fetch(FetchError::Unusable(_)))), "{unusable}");
}

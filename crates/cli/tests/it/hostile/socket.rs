//! What no HTTP client would send.

use crate::support::{Aim, Raw, System};

/// Requests that would make a resource, if the server understood them as an attacker hopes.
fn crooked(authorization: &str) -> Vec<(&'static str, Vec<u8>)> {
    let body = r#"{"name":"smuggled","kind":"x"}"#;
    let length = body.len();
    let head = format!("Host: x\r\nAuthorization: {authorization}\r\nContent-Type: application/json\r\n");
    let post = |rest: &str| format!("POST /v1/resources HTTP/1.1\r\n{head}{rest}").into_bytes();
    let hex = format!("{length:x}");
    vec![
        (
            "a length and pieces",
            post(&format!(
                "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{hex}\r\n{body}\r\n0\r\n\r\n"
            )),
        ),
        (
            "pieces and a length",
            post(&format!(
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{hex}\r\n{body}\r\n0\r\n\r\n"
            )),
        ),
        ("two lengths", post(&format!("Content-Length: {length}\r\nContent-Length: 0\r\n\r\n{body}"))),
        ("two lengths in one", post(&format!("Content-Length: {length}, 0\r\n\r\n{body}"))),
        ("a negative length", post(&format!("Content-Length: -{length}\r\n\r\n{body}"))),
        ("a length with a sign", post(&format!("Content-Length: +{length}\r\n\r\n{body}"))),
        ("a length in hexadecimal", post(&format!("Content-Length: 0x{hex}\r\n\r\n{body}"))),
        ("an endless length", post(&format!("Content-Length: 99999999999999999999\r\n\r\n{body}"))),
        ("no length", post(&format!("\r\n{body}"))),
        ("unknown pieces", post(&format!("Transfer-Encoding: xchunked\r\n\r\n{hex}\r\n{body}\r\n0\r\n\r\n"))),
        (
            "pieces inside something",
            post(&format!("Transfer-Encoding: chunked, identity\r\n\r\n{hex}\r\n{body}\r\n0\r\n\r\n")),
        ),
        (
            "pieces twice",
            post(&format!(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{hex}\r\n{body}\r\n0\r\n\r\n"
            )),
        ),
        ("pieces of no size", post(&format!("Transfer-Encoding: chunked\r\n\r\nzz\r\n{body}\r\n0\r\n\r\n"))),
        ("pieces of endless size", post("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}")),
        (
            "a piece that ends too late",
            post(&format!("Transfer-Encoding: chunked\r\n\r\n5\r\n{body}\r\n0\r\n\r\n")),
        ),
        ("a header without a colon", post(&format!("Content-Length {length}\r\n\r\n{body}"))),
        ("a blank before the colon", post(&format!("Content-Length : {length}\r\n\r\n{body}"))),
        ("a folded header", post(&format!("X-A: b\r\n c\r\nContent-Length: {length}\r\n\r\n{body}"))),
        ("a NUL in a header", post(&format!("X-A: b\0\r\nContent-Length: {length}\r\n\r\n{body}"))),
        ("a NUL in a header's name", post(&format!("X-\0: b\r\nContent-Length: {length}\r\n\r\n{body}"))),
        ("a lone carriage return", post(&format!("X-A: b\rc\r\nContent-Length: {length}\r\n\r\n{body}"))),
        (
            "too many headers",
            post(&("X-A: b\r\n".repeat(500) + &format!("Content-Length: {length}\r\n\r\n{body}"))),
        ),
        (
            "a long header",
            post(&format!("X-A: {}\r\nContent-Length: {length}\r\n\r\n{body}", "a".repeat(300_000))),
        ),
        (
            "another version",
            format!("POST /v1/resources HTTP/9.9\r\n{head}Content-Length: {length}\r\n\r\n{body}")
                .into_bytes(),
        ),
        (
            "a version in small letters",
            format!("POST /v1/resources http/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}")
                .into_bytes(),
        ),
        (
            "a blank in the path",
            format!("POST /v1/resources x HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}")
                .into_bytes(),
        ),
        (
            "a method in small letters",
            format!("post /v1/resources HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}")
                .into_bytes(),
        ),
        (
            "a NUL in the path",
            format!("POST /v1/resources\0 HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}")
                .into_bytes(),
        ),
        ("a body that does not come", post(&format!("Content-Length: {}\r\n\r\n{body}", length + 1))),
    ]
}

/// What is no HTTP at all.
fn garbage() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nothing", b"\r\n\r\n\r\n".to_vec()),
        ("NULs", vec![0; 10_000]),
        ("bytes", (0..=255).cycle().take(10_000).collect()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("HTTP/0.9", b"GET /livez\r\n".to_vec()),
        ("no path", b"GET HTTP/1.1\r\n\r\n".to_vec()),
        ("no end", vec![b'A'; 300_000]),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(300_000)).into_bytes()),
        ("Redis", b"*1\r\n$4\r\nPING\r\n".to_vec()),
        ("SMTP", b"EHLO example.com\r\n".to_vec()),
        ("CONNECT", b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec()),
        ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a path without a slash", b"GET v1/me HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ]
}

#[tokio::test]
async fn bytes_that_are_no_request_have_no_effect() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let authorization = aim.tenant.owner.caller.authorization();
    let cases = crooked(&authorization).into_iter().chain(garbage());
    let sent: Vec<_> = cases
        .map(|(what, bytes)| tokio::spawn(async move { (what, Raw::send(system, &bytes).await) }))
        .collect();
    for sending in sent {
        let (what, raw) = sending.await.unwrap();
        let refused = raw.statuses().iter().all(|status| (400..500).contains(status));
        assert!(refused, "{what}: {:.2000}", raw.text);
        assert!(raw.statuses().len() <= 2, "{what}: {:.2000}", raw.text);
    }
    system.anonymous().get("/livez").await.expect(200);
    aim.assert_missed();
}

#[tokio::test]
async fn requests_one_behind_the_other_are_answered_in_order() {
    let system = System::shared().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let bytes = get("/livez") + &get("/v1/me") + &get("/nothing") + &get("/livez");
    assert_eq!(Raw::send(system, bytes.as_bytes()).await.statuses(), [200, 401, 404, 200]);
    // What stands in a body is not a request.
    let hidden = get("/livez");
    let bytes = format!(
        "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let answers = Raw::send(system, bytes.as_bytes()).await;
    assert_eq!(answers.statuses(), [415], "{answers:?}");
}

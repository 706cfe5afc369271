//! Files in a bucket of S3.
//!
//! Owns one operation: a file is put under a name that has not been there. S3 refuses the second one of a name (`If-None-Match`), and
//! one whose bytes are not those of its digest.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use bulkhead_outbound::{Answer, Client, Endpoint, EndpointError, FetchError, Method, Outgoing, StatusCode};

use crate::{Aws, AwsError, Scope, Service, domain};

/// A bucket, and who we are there.
#[derive(Clone, Debug)]
pub struct Bucket {
    aws: Aws,
    name: String,
    region: String,
    /// Where its API is when not at AWS: then the bucket's name stands in the path.
    at: Option<Endpoint>,
}

/// Why a file was not put there.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// There is one of that name.
    #[error("there is a file of that name already")]
    Exists,
    /// The name of the bucket or of the file makes no address.
    #[error("the address {0}")]
    Address(#[from] EndpointError),
    /// The bucket lies in another region.
    #[error("the bucket is not in the region {0} (AWS_REGION)")]
    Region(String),
    /// AWS has not done it.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl Bucket {
    /// The bucket of this name in a region. `at` is where its API is when not at AWS.
    pub fn new(aws: Aws, name: &str, region: &str, at: Option<Endpoint>) -> Self {
        Self { aws, name: name.to_owned(), region: region.to_owned(), at }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts a file under a name that has not been there. A name is letters, digits and `/._-`.
    pub async fn put_new(&self, key: &str, content_type: &'static str, bytes: &[u8]) -> Result<(), PutError> {
        let endpoint = self.address(key)?;
        let headers = [
            ("if-none-match", "*".to_owned()),
            ("x-amz-checksum-sha256", STANDARD.encode(digest(&SHA256, bytes))),
        ];
        let outgoing = Outgoing {
            method: &Method::PUT,
            content_type: Some(content_type),
            headers: &headers,
            body: bytes,
        };
        let scope = Scope { service: Service::S3, region: &self.region };
        let client: &Client = &self.aws.client;
        let Answer { status, body } = match self.aws.send(client, scope, &endpoint, outgoing).await {
            Err(AwsError::Fetch(FetchError::Redirect)) => return Err(PutError::Region(self.region.clone())),
            sent => sent?,
        };
        if status.is_success() {
            return Ok(());
        }
        let body = String::from_utf8_lossy(&body);
        match (status, element(&body, "Code")) {
            (StatusCode::PRECONDITION_FAILED, _) => Err(PutError::Exists),
            (_, "AuthorizationHeaderMalformed") => Err(PutError::Region(self.region.clone())),
            (_, code) => Err(AwsError::refused(status, code, element(&body, "Message")).into()),
        }
    }

    /// Where a file is. The bucket's name is part of the host, but where a dot in it would not fit AWS's certificate.
    fn address(&self, key: &str) -> Result<Endpoint, EndpointError> {
        let Self { name, region, .. } = self;
        let domain = domain(region);
        let text = match &self.at {
            Some(at) => format!("{}/{name}/{key}", at.url().as_str().trim_end_matches('/')),
            None if name.contains('.') => format!("https://s3.{region}.{domain}/{name}/{key}"),
            None => format!("https://{name}.s3.{region}.{domain}/{key}"),
        };
        Endpoint::parse(&text, true)
    }
}

/// The text of the first element of this name; empty when there is none.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let inside =
        xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    inside.map_or("", |(text, _)| text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bulkhead_domain::SystemClock;

    use super::*;
    use crate::CredentialSource;

    #[test]
    fn a_file_lies_at_the_bucket_s_host_or_in_its_path() {
        let source =
            CredentialSource::Given { key_id: "AKIA".to_owned(), secret: "s".to_owned(), token: None };
        let aws = Aws::new(source, Arc::new(SystemClock)).unwrap();
        let at = |name: &str, region: &str, at: Option<&str>| {
            let at = at.map(|text| Endpoint::parse(text, true).unwrap());
            Bucket::new(aws.clone(), name, region, at).address("p/a-1.ndjson").unwrap().to_string()
        };
        assert_eq!(
            at("anchors", "eu-central-1", None),
            "https://anchors.s3.eu-central-1.amazonaws.com/p/a-1.ndjson"
        );
        assert_eq!(at("a.b", "cn-north-1", None), "https://s3.cn-north-1.amazonaws.com.cn/a.b/p/a-1.ndjson");
        for endpoint in ["http://127.0.0.1:9000", "http://127.0.0.1:9000/"] {
            assert_eq!(at("a.b", "us-east-1", Some(endpoint)), "http://127.0.0.1:9000/a.b/p/a-1.ndjson");
        }
    }

    #[test]
    fn an_error_says_its_code() {
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        assert_eq!((element(xml, "Code"), element(xml, "Message")), ("AccessDenied", "Access Denied"));
        assert_eq!([element(xml, "Resource"), element("<Code>x", "Code"), element("", "Code")], [""; 3]);
    }
}

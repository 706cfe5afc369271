//! Callers and their requests. Every answer is held against the OpenAPI document before a test sees it.

use std::{
    future::{Future, IntoFuture},
    net::Ipv4Addr,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use reqwest::{
    Client, Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde_json::Value;

use crate::{Answer, App};

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was asked, for a [`Fault`].
#[doc(hidden)]
pub struct Asked<'a> {
    /// The id of the operation.
    pub operation: &'a str,
    /// With its query.
    pub path: &'a str,
}

/// A planted fault: it changes answers as a faulty application would give them.
#[doc(hidden)]
pub type Fault = Box<dyn Fn(&Asked<'_>, &mut Answer) + Send + Sync>;

tokio::task_local! {
    static FAULT: Fault;
}

/// Runs work whose requests are answered with this fault.
#[doc(hidden)]
pub async fn with_fault<T>(fault: Fault, work: impl Future<Output = T>) -> T {
    FAULT.scope(fault, work).await
}

/// What a caller shows to be let in.
#[derive(Clone)]
enum Credential {
    None,
    Token(String),
    Key(String),
}

/// A client that sends requests, from an address of its own.
#[derive(Clone)]
pub struct Caller<'a> {
    app: &'a App,
    http: Client,
    credential: Credential,
    /// The address that it calls from.
    pub address: String,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(app: &'a App) -> Self {
        static ADDRESSES: AtomicU32 = AtomicU32::new(0x0a00_0001);
        let address = Ipv4Addr::from(ADDRESSES.fetch_add(1, Ordering::Relaxed)).to_string();
        let http = Client::builder().redirect(Policy::none()).timeout(PATIENCE).build().unwrap();
        Self { app, http, credential: Credential::None, address }
    }

    /// The same, with an access token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { credential: Credential::Token(token.to_owned()), ..self.clone() }
    }

    /// The same, with an API key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { credential: Credential::Key(key.to_owned()), ..self.clone() }
    }

    /// The same, from an address that no other caller has.
    #[must_use]
    pub fn elsewhere(&self) -> Self {
        Self { credential: self.credential.clone(), ..Self::new(self.app) }
    }

    /// Its credential as the value of `Authorization`.
    pub fn authorization(&self) -> String {
        match &self.credential {
            Credential::None => String::new(),
            Credential::Token(text) | Credential::Key(text) => format!("Bearer {text}"),
        }
    }

    /// A request with this method and path, the query in it.
    pub fn call(&self, method: &str, path: &str) -> Call<'a> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let call = Call {
            caller: self.clone(),
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: None,
            checked: true,
        };
        let call = call.header("x-forwarded-for", &self.address);
        match &self.credential {
            Credential::None => call,
            Credential::Token(token) => call.header("authorization", format!("Bearer {token}")),
            Credential::Key(key) => call.header("x-api-key", key),
        }
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Call<'a> {
        self.call("GET", path)
    }

    /// `POST` with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Call<'a> {
        self.call("POST", path).json(body)
    }

    /// A POST that has nothing to say but its path.
    pub fn post_nothing(&self, path: &str) -> Call<'a> {
        self.call("POST", path)
    }

    /// `PATCH` with a JSON body.
    pub fn patch(&self, path: &str, body: &Value) -> Call<'a> {
        self.call("PATCH", path).json(body)
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Call<'a> {
        self.call("DELETE", path)
    }
}

/// A request that is being put together; `.await` sends it.
#[must_use = "a request is sent by .await"]
pub struct Call<'a> {
    caller: Caller<'a>,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    checked: bool,
}

impl Call<'_> {
    /// Sets a header, any bytes but control characters.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.insert(header_name(name), HeaderValue::from_bytes(value.as_ref()).unwrap());
        self
    }

    /// Sends a header once more than it is sent already.
    pub fn another(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.append(header_name(name), HeaderValue::from_bytes(value.as_ref()).unwrap());
        self
    }

    /// Sends this as its JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Sends these bytes as its body, of this type.
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut call = self.header(CONTENT_TYPE.as_str(), content_type);
        call.body = Some(body.into());
        call
    }

    /// Sends a body without saying of what type it is.
    pub fn untyped(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Does not hold the answer against the document: for pages that are not part of the API.
    pub fn unchecked(mut self) -> Self {
        self.checked = false;
        self
    }

    async fn send(self) -> Answer {
        let Self { caller, method, path, headers, body, checked } = self;
        let url = format!("http://127.0.0.1:{}{path}", caller.app.api_port);
        let mut request = caller.http.request(method.clone(), url).headers(headers);
        let operation = caller.app.contract.id_of(method.as_str(), &path);
        if let Some(body) = body {
            caller.app.note_secrets(operation, &String::from_utf8_lossy(&body));
            request = request.body(body);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => panic!("{method} {path}: {error:?}\n{}", caller.app.logs()),
        };
        let mut answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        };
        caller.app.note_secrets(operation, &answer.body);
        if let Some(operation) = operation {
            // Outside of a test of the kit itself there is none.
            let _none = FAULT.try_with(|fault| fault(&Asked { operation, path: &path }, &mut answer));
        }
        if checked {
            caller.app.contract.check(method.as_str(), &path, &answer);
            if !matches!(caller.credential, Credential::None) {
                caller.app.contract.check_limit_headers(method.as_str(), &path, &answer);
            }
        }
        answer
    }
}

fn header_name(name: &str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).unwrap()
}

impl<'a> IntoFuture for Call<'a> {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

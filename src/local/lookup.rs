//! The demo's lookup service on the loopback: answers facts about a place, and fails for a
//! deterministic share of the names until it is repaired.
//!
//! `GET /lookup?name=Quito,%20Ecuador&n=7` answers
//! `{"place":"Quito","country":"Ecuador","code":"EC","letters":5}`; `POST /repair` repairs it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::sample;

/// How long a name that is not answered is kept waiting, unless something else is asked for: longer
/// than a worker that is in a hurry waits.
pub const HANG: Duration = Duration::from_secs(2);

/// How the service behaves.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Which names fail; the same seed fails the same ones.
    pub seed: u64,
    /// Share of names that fail, per cent.
    pub fail_percent: f64,
    /// Of every answer.
    pub latency: Duration,
    /// How long a name that is not answered at all is kept waiting.
    pub hang: Duration,
}

/// Requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub answered: u64,
    /// Answered with an error, or not in time.
    pub failed: u64,
}

/// The running service. Dropping it ends it.
pub struct Lookup {
    address: SocketAddr,
    service: Arc<Service>,
    _shutdown: DropGuard,
}

impl Lookup {
    /// Listens on 127.0.0.1; with `port` 0 on one that the system chooses.
    pub async fn start(options: Options, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service::new(options));
        let shutdown = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&service), shutdown.clone()));
        Ok(Self {
            address,
            service,
            _shutdown: shutdown.drop_guard(),
        })
    }

    /// The URL as a template of the workflow's: `{line}` and `{n}` are filled in for each line.
    pub fn url_template(&self) -> String {
        format!("http://{}/lookup?name={{line}}&n={{n}}", self.address)
    }

    /// Where `POST` repairs it.
    pub fn repair_url(&self) -> String {
        format!("http://{}/repair", self.address)
    }

    /// From now on every name is answered, those kept waiting at once.
    pub fn repair(&self) {
        self.service.repaired.cancel();
    }

    pub fn is_repaired(&self) -> bool {
        self.service.repaired.is_cancelled()
    }

    /// Whether this line fails until the repair.
    pub fn fails(&self, name: &str) -> bool {
        self.service.trouble(name).is_some()
    }

    pub fn counts(&self) -> Counts {
        Counts {
            answered: self.service.answered.load(Ordering::Relaxed),
            failed: self.service.failed.load(Ordering::Relaxed),
        }
    }
}

async fn accept(listener: TcpListener, service: Arc<Service>, shutdown: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file handles, most likely: others give theirs back soon.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let service = Arc::clone(&service);
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let service = Arc::clone(&service);
                async move { Ok::<_, Infallible>(service.answer(&request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answer);
            tokio::select! {
                () = shutdown.cancelled() => {}
                // A caller that gave up is its own affair.
                _ = connection => {}
            }
        });
    }
}

/// What a name is answered with before the repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Answer(StatusCode),
    /// No answer in time.
    Hang,
}

struct Service {
    options: Options,
    codes: HashMap<&'static str, &'static str>,
    repaired: CancellationToken,
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Service {
    fn new(options: Options) -> Self {
        Self {
            options,
            codes: sample::country_codes(),
            repaired: CancellationToken::new(),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() == "/repair" && request.method() == http::Method::POST {
            self.repaired.cancel();
            return response(StatusCode::OK, &json!({"repaired": true}));
        }
        tokio::time::sleep(self.options.latency).await;
        if request.uri().path() != "/lookup" {
            return response(StatusCode::NOT_FOUND, &json!({"error": "ask for /lookup"}));
        }
        let query = request.uri().query().unwrap_or_default();
        let Some(name) = parameter(query, "name") else {
            let answer = json!({"error": "name is missing or not UTF-8"});
            return response(StatusCode::BAD_REQUEST, &answer);
        };
        let trouble = self
            .trouble(&name)
            .filter(|_| !self.repaired.is_cancelled());
        if trouble == Some(Trouble::Hang) {
            tokio::select! {
                () = tokio::time::sleep(self.options.hang) => {}
                () = self.repaired.cancelled() => return self.facts(&name),
            }
        }
        match trouble {
            None => self.facts(&name),
            Some(trouble) => self.failure(&name, trouble),
        }
    }

    fn facts(&self, name: &str) -> Response<Full<Bytes>> {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let (place, country) = name.rsplit_once(", ").unwrap_or((name, ""));
        // ZZ is ISO 3166's for "unknown".
        let code = self.codes.get(country).copied().unwrap_or("ZZ");
        let letters = place.chars().filter(|c| c.is_alphabetic()).count();
        let facts = json!({"place": place, "country": country, "code": code, "letters": letters});
        response(StatusCode::OK, &facts)
    }

    fn failure(&self, name: &str, trouble: Trouble) -> Response<Full<Bytes>> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let (status, error) = match trouble {
            Trouble::Answer(StatusCode::NOT_FOUND) => (
                StatusCode::NOT_FOUND,
                format!("no place named '{name}' is known"),
            ),
            Trouble::Answer(StatusCode::UNPROCESSABLE_ENTITY) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("'{name}' has several meanings"),
            ),
            Trouble::Answer(status) => (status, "the index is being rebuilt".to_owned()),
            Trouble::Hang => (
                StatusCode::GATEWAY_TIMEOUT,
                "the index did not answer".to_owned(),
            ),
        };
        response(status, &json!({"error": error}))
    }

    /// What is wrong with a name, from the seed and nothing else.
    fn trouble(&self, name: &str) -> Option<Trouble> {
        let mut hash = Sha256::new();
        hash.update(self.options.seed.to_be_bytes());
        hash.update(name);
        let digest = hash.finalize();
        let (draw, kind) = (&digest[..4], digest[4]);
        let draw = draw.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        let share = f64::from(draw) / (f64::from(u32::MAX) + 1.0) * 100.0;
        (share < self.options.fail_percent).then_some(match kind % 10 {
            0..5 => Trouble::Answer(StatusCode::NOT_FOUND),
            5..7 => Trouble::Answer(StatusCode::UNPROCESSABLE_ENTITY),
            7 => Trouble::Answer(StatusCode::SERVICE_UNAVAILABLE),
            8 => Trouble::Answer(StatusCode::TOO_MANY_REQUESTS),
            _ => Trouble::Hang,
        })
    }
}

/// The value of a query's parameter, percent-decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let raw = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))?;
    let decoded = percent_decode_str(raw).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

fn response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn options(fail_percent: f64) -> Options {
        Options {
            seed: 7,
            fail_percent,
            latency: Duration::from_millis(1),
            hang: Duration::from_mins(10),
        }
    }

    async fn get(lookup: &Lookup, path: &str) -> (u16, Value) {
        let mut stream = tokio::net::TcpStream::connect(lookup.address)
            .await
            .expect("listening");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        (
            status.expect("a status"),
            serde_json::from_str(body).expect("JSON"),
        )
    }

    #[tokio::test]
    async fn a_place_is_answered_with_its_country() {
        let lookup = Lookup::start(options(0.0), 0).await.expect("a port");
        let (status, facts) = get(&lookup, "/lookup?name=S%C3%A3o%20Paulo%2C%20Brazil&n=1").await;
        assert_eq!(status, 200);
        assert_eq!(
            facts,
            json!({"place": "São Paulo", "country": "Brazil", "code": "BR",
                                 "letters": 8})
        );
        let (_, unknown) = get(&lookup, "/lookup?name=%00xyz").await;
        assert_eq!(unknown["code"], "ZZ");
        assert_eq!(get(&lookup, "/lookup?name=%FF").await.0, 400);
        assert_eq!(get(&lookup, "/else").await.0, 404);
        assert_eq!(
            lookup.counts(),
            Counts {
                answered: 2,
                failed: 0
            }
        );
    }

    #[tokio::test]
    async fn what_fails_is_the_same_until_the_repair() {
        let lookup = Lookup::start(options(100.0), 0).await.expect("a port");
        let answers = |name: &str| !matches!(lookup.service.trouble(name), Some(Trouble::Hang));
        let name = ["a", "b", "c"]
            .into_iter()
            .find(|name| answers(name))
            .expect("one answers");
        let path = format!("/lookup?name={name}");
        let (first, second) = (get(&lookup, &path).await.0, get(&lookup, &path).await.0);
        assert!(400 <= first && first == second);
        lookup.repair();
        assert_eq!(get(&lookup, &path).await.0, 200);
        assert_eq!(
            lookup.counts(),
            Counts {
                answered: 1,
                failed: 2
            }
        );
    }

    #[tokio::test]
    async fn who_waits_is_answered_by_the_repair() {
        let lookup = Lookup::start(options(100.0), 0).await.expect("a port");
        let hangs = |name: &String| lookup.service.trouble(name) == Some(Trouble::Hang);
        let name = (0..10_000)
            .map(|n| n.to_string())
            .find(hangs)
            .expect("one in ten");
        let path = format!("/lookup?name={name}");
        let ((status, _), ()) = tokio::join!(get(&lookup, &path), async { lookup.repair() });
        assert_eq!(status, 200);
    }

    #[test]
    fn about_the_share_asked_for_fails() {
        let service = Service::new(options(10.0));
        let failing = sample::lines(1_000)
            .filter(|line| service.trouble(line).is_some())
            .count();
        assert!((60..140).contains(&failing), "{failing}");
        let none = Service::new(options(0.0));
        assert!(sample::lines(1_000).all(|line| none.trouble(&line).is_none()));
    }
}

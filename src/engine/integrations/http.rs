//! `http:invoke` (developer guide, "Call HTTPS APIs in Step Functions workflows"): plain HTTP, and to
//! this machine only. Connections are not looked up: a request carries what its Task says.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;

use super::{only, text};
use crate::engine::machine::{Failure, MAX_PAYLOAD};

/// How long a request may take in all (developer guide, "HTTP Task").
const LIMIT: Duration = Duration::from_mins(1);

pub async fn invoke(parameters: Value) -> Result<Value, Failure> {
    only(
        &parameters,
        &[
            "ApiEndpoint",
            // Known, and without effect: there are no connections here.
            "Authentication",
            "Headers",
            "InvocationConfig",
            "Method",
            "QueryParameters",
            "RequestBody",
            "Transform",
        ],
    )?;
    let request = request(&parameters)?;
    match tokio::time::timeout(LIMIT, exchange(request)).await {
        Ok(answered) => answered,
        Err(_) => Err(socket("the request took longer than 60 seconds")),
    }
}

fn runtime(cause: impl Into<String>) -> Failure {
    Failure::new("States.Runtime", cause)
}

fn socket(cause: impl ToString) -> Failure {
    Failure::new("States.Http.Socket", cause.to_string())
}

/// The request with its whole URL.
fn request(parameters: &Value) -> Result<Request<Full<Bytes>>, Failure> {
    let endpoint = text(parameters, "ApiEndpoint")?;
    let method = text(parameters, "Method")?;
    let methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"];
    if !methods.contains(&method) {
        return Err(runtime(format!(
            "The HTTP method {method} is not supported"
        )));
    }
    let method =
        Method::from_bytes(method.as_bytes()).map_err(|error| runtime(error.to_string()))?;
    let mut url = endpoint.to_owned();
    if let Some(query) = parameters.get("QueryParameters") {
        let query = form(query, "REPEAT")?;
        if !query.is_empty() {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&query);
        }
    }
    let uri: Uri = url
        .parse()
        .map_err(|error| runtime(format!("The ApiEndpoint {endpoint} is not a URL: {error}")))?;
    check_loopback(&uri, endpoint)?;
    let mut request = Request::new(Full::new(body(parameters)?));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    headers(parameters, request.headers_mut())?;
    if parameters.get("RequestBody").is_some() {
        request
            .headers_mut()
            .entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
    }
    Ok(request)
}

fn check_loopback(uri: &Uri, endpoint: &str) -> Result<(), Failure> {
    if uri.scheme_str() != Some("http") {
        return Err(runtime(format!(
            "The ApiEndpoint {endpoint} is not supported by this engine: it calls http:// URLs of this machine only"
        )));
    }
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if is_loopback {
        Ok(())
    } else {
        Err(runtime(format!(
            "The ApiEndpoint {endpoint} is not supported by this engine: {host} is not an address of this machine"
        )))
    }
}

fn headers(parameters: &Value, headers: &mut http::HeaderMap) -> Result<(), Failure> {
    let given = match parameters.get("Headers") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(runtime("The field 'Headers' must be an object")),
    };
    // They say how the message is framed and sent: the sender's business.
    let ours = [
        "connection",
        "content-length",
        "host",
        "transfer-encoding",
        "upgrade",
    ];
    for (name, value) in given {
        if ours.contains(&name.to_lowercase().as_str()) {
            return Err(runtime(format!("The header '{name}' cannot be set")));
        }
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
            value => plain(value),
        };
        let parsed = HeaderName::try_from(name.as_str())
            .ok()
            .zip(HeaderValue::try_from(value).ok());
        let Some((name, value)) = parsed else {
            return Err(runtime(format!("The header '{name}' is not valid")));
        };
        headers.insert(name, value);
    }
    Ok(())
}

fn body(parameters: &Value) -> Result<Bytes, Failure> {
    let Some(body) = parameters.get("RequestBody") else {
        return Ok(Bytes::new());
    };
    let transform = &parameters["Transform"];
    match transform["RequestBodyEncoding"].as_str() {
        None | Some("NONE") => Ok(match body {
            Value::String(text) => text.clone().into(),
            value => value.to_string().into(),
        }),
        Some("URL_ENCODED") => {
            let options = &transform["RequestEncodingOptions"];
            let format = options["ArrayFormat"].as_str().unwrap_or("INDICES");
            Ok(form(body, format)?.into())
        }
        Some(other) => Err(runtime(format!(
            "The RequestBodyEncoding '{other}' must be one of [NONE, URL_ENCODED]"
        ))),
    }
}

/// `a=1&b=2`, with arrays as `format` says.
fn form(value: &Value, format: &str) -> Result<String, Failure> {
    let Value::Object(members) = value else {
        return Err(runtime("Only an object can be URL-encoded"));
    };
    let mut pairs = Vec::new();
    for (name, value) in members {
        put_pairs(&mut pairs, name.clone(), value, format)?;
    }
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    Ok(pairs.collect::<Vec<_>>().join("&"))
}

fn put_pairs(
    pairs: &mut Vec<(String, String)>,
    name: String,
    value: &Value,
    format: &str,
) -> Result<(), Failure> {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                put_pairs(pairs, format!("{name}[{member}]"), value, format)?;
            }
        }
        Value::Array(values) if format == "COMMAS" => {
            let values: Vec<String> = values.iter().map(plain).collect();
            pairs.push((name, values.join(",")));
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                let name = match format {
                    "INDICES" => format!("{name}[{index}]"),
                    "BRACKETS" => format!("{name}[]"),
                    "REPEAT" => name.clone(),
                    other => {
                        return Err(runtime(format!(
                            "The ArrayFormat '{other}' must be one of [INDICES, REPEAT, COMMAS, BRACKETS]"
                        )));
                    }
                };
                put_pairs(pairs, name, value, format)?;
            }
        }
        value => pairs.push((name, plain(value))),
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

async fn exchange(mut request: Request<Full<Bytes>>) -> Result<Value, Failure> {
    let uri = request.uri().clone();
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((address, uri.port_u16().unwrap_or(80)))
        .await
        .map_err(socket)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(socket)?;
    let authority = uri.authority().map_or(host, |it| it.as_str());
    let authority = HeaderValue::try_from(authority).map_err(socket)?;
    request.headers_mut().insert(header::HOST, authority);
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    *request.uri_mut() = path.parse().map_err(socket)?;
    // Both end together: the connection goes with the exchange.
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(socket)?;
        let (parts, body) = answer.into_parts();
        match Limited::new(body, MAX_PAYLOAD).collect().await {
            Ok(body) => shown(&parts, &body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Failure::new(
                "States.DataLimitExceeded",
                "The state/task 'http' returned a result with a size exceeding the maximum number of bytes service limit.",
            )),
            Err(error) => Err(socket(error)),
        }
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => match ended {
            // What came before the end may be a whole answer.
            Ok(()) => exchange.await,
            Err(error) => Err(socket(error)),
        },
    }
}

fn shown(parts: &http::response::Parts, body: &[u8]) -> Result<Value, Failure> {
    let status = parts.status;
    let text = String::from_utf8_lossy(body);
    if !status.is_success() {
        let error = format!("States.Http.StatusCode.{}", status.as_u16());
        let cause = if text.is_empty() {
            status.canonical_reason().unwrap_or_default().to_owned()
        } else {
            text.into_owned()
        };
        return Err(Failure::new(error, cause));
    }
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let values = headers.entry(name.as_str()).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(value.into());
        }
    }
    let is_json = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|it| it.to_str().ok())
        .is_some_and(|it| it.contains("json"));
    let parsed = is_json
        .then(|| serde_json::from_str::<Value>(&text).ok())
        .flatten();
    Ok(json!({
        "Headers": headers,
        "ResponseBody": parsed.unwrap_or_else(|| text.into()),
        "StatusCode": status.as_u16(),
        "StatusText": status.canonical_reason().unwrap_or_default(),
    }))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Answers one request with `answer`; gives back what was asked.
    async fn asked(parameters: &mut Value, answer: &str) -> (String, Result<Value, Failure>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let path = parameters["ApiEndpoint"].as_str().unwrap_or("/").to_owned();
        parameters["ApiEndpoint"] = format!("http://{address}{path}").into();
        let answer = answer.to_owned();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            loop {
                let read = stream.read(&mut chunk).await.unwrap();
                request.extend_from_slice(&chunk[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .map_or(0, |length| length.parse().unwrap());
                if body.len() >= length {
                    break;
                }
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        let result = invoke(parameters.clone()).await;
        (server.await.unwrap(), result)
    }

    #[tokio::test]
    async fn a_request_is_sent_as_the_task_says_and_its_answer_is_parsed() {
        let mut parameters = json!({"ApiEndpoint": "/words?a=1", "Method": "POST", "Headers": {"X-Kind": "test"},
            "QueryParameters": {"q": ["x y", "z"]}, "RequestBody": {"n": 1}, "Authentication": {"ConnectionArn": "arn:aws:events:us-east-1:000000000000:connection/c/1"}});
        let (request, answer) = asked(&mut parameters, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}").await;
        assert!(
            request.starts_with("POST /words?a=1&q=x%20y&q=z HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("x-kind: test") && request.contains("content-type: application/json")
        );
        assert!(request.ends_with("\r\n\r\n{\"n\":1}"));
        let answer = answer.unwrap();
        assert_eq!(answer["ResponseBody"], json!({"ok": true}));
        assert_eq!(
            (answer["StatusCode"].as_u64(), answer["StatusText"].as_str()),
            (Some(200), Some("OK"))
        );
        assert_eq!(
            answer["Headers"]["content-type"],
            json!(["application/json"])
        );
    }

    #[tokio::test]
    async fn a_status_is_an_error_of_its_own_and_a_closed_port_one_of_the_socket() {
        let mut parameters = json!({"Method": "GET"});
        let (_, answer) = asked(
            &mut parameters,
            "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone",
        )
        .await;
        assert_eq!(
            answer,
            Err(Failure::new("States.Http.StatusCode.404", "gone"))
        );
        // Nobody listens there any more.
        let failure = invoke(parameters).await.unwrap_err();
        assert_eq!(failure.error.as_deref(), Some("States.Http.Socket"));
    }

    #[tokio::test]
    async fn bodies_are_url_encoded_on_request() {
        let mut parameters = json!({"Method": "POST", "RequestBody": {"a": [1, "b c"], "d": {"e": true}}, "Transform": {"RequestBodyEncoding": "URL_ENCODED", "RequestEncodingOptions": {"ArrayFormat": "BRACKETS"}}});
        let (request, _) = asked(&mut parameters, "HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(
            request.ends_with("\r\n\r\na%5B%5D=1&a%5B%5D=b%20c&d%5Be%5D=true"),
            "{request}"
        );
    }

    #[tokio::test]
    async fn other_machines_are_not_called() {
        for endpoint in [
            "https://127.0.0.1/",
            "http://example.com/",
            "http://10.0.0.1/",
            "nowhere",
        ] {
            let failure = invoke(json!({"ApiEndpoint": endpoint, "Method": "GET"}))
                .await
                .unwrap_err();
            assert_eq!(
                failure.error.as_deref(),
                Some("States.Runtime"),
                "{endpoint}"
            );
        }
        let failure = invoke(json!({"ApiEndpoint": "http://localhost/", "Method": "BREW"}))
            .await
            .unwrap_err();
        assert!(failure.cause.unwrap().contains("BREW"));
    }
}

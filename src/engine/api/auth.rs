//! Signature Version 4 of the JSON and query services; S3's is checked by s3s.
//!
//! The signature is computed again from exactly what the caller says it signed, over the body that
//! arrived, so a request that was changed on the way does not pass.

use std::sync::{Mutex, PoisonError};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use http::HeaderMap;
use http::request::Parts;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::ApiError;
use crate::engine::{Credentials, REGION};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a caller's clock may be off.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(15);
/// Form of `X-Amz-Date`, always UTC.
const DATE_FORMAT: &str = "%Y%m%dT%H%M%SZ";
/// What stays as it is in a canonical path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// Checks signatures made with one key pair.
pub(super) struct Verifier {
    credentials: Credentials,
    /// The signing key last made. A day has one for each service, and few services are in use.
    keys: Mutex<Vec<SigningKey>>,
}

struct SigningKey {
    date: String,
    service: String,
    key: Vec<u8>,
}

impl Verifier {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            keys: Mutex::default(),
        }
    }

    /// Checks that the owner signed this request for `service` not long before or after `now`.
    ///
    /// # Errors
    /// What AWS answers, by name and in its words.
    pub(super) fn verify(
        &self,
        service: &str,
        request: &Parts,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let headers = &request.headers;
        let authorization = Authorization::of(headers)?;
        let scope = &authorization.scope;
        if scope.access_key != self.credentials.access_key {
            return Err(ApiError::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ));
        }
        let stamp = text(headers, "x-amz-date").ok_or_else(|| {
            incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
        })?;
        let signed_at = parse_date(stamp).ok_or_else(|| {
            incomplete("Date must be in ISO-8601 'basic format'. See ISO-8601: https://en.wikipedia.org/wiki/ISO_8601")
        })?;
        scope.check(service, stamp)?;
        check_clock(signed_at, stamp, now)?;
        check_signed_headers(headers, authorization.signed_headers)?;

        let payload = hex(&Sha256::digest(body));
        let claimed = text(headers, "x-amz-content-sha256");
        if claimed.is_some_and(|claimed| claimed != payload) {
            return Err(invalid(
                "The value passed in as x-amz-content-sha256 does not match the computed payload hash.",
            ));
        }
        let request = canonical_request(request, authorization.signed_headers, &payload);
        let to_sign = format!(
            "{ALGORITHM}\n{stamp}\n{}/{REGION}/{service}/aws4_request\n{}",
            scope.date,
            hex(&Sha256::digest(request))
        );
        let expected = self.sign(scope.date, service, signed_at, &to_sign);
        if is_same(&expected, authorization.signature) {
            Ok(())
        } else {
            Err(invalid(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
            ))
        }
    }

    fn sign(&self, date: &str, service: &str, signed_at: Timestamp, to_sign: &str) -> String {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |it: &SigningKey| it.date == date && it.service == service;
        let at = keys.iter().position(known).unwrap_or_else(|| {
            // Yesterday's keys are of no use any more.
            keys.retain(|it| it.date == date);
            let secret = &self.credentials.secret_key;
            let key = generate_signing_key(secret, signed_at.into(), REGION, service);
            keys.push(SigningKey {
                date: date.to_owned(),
                service: service.to_owned(),
                key: key.as_ref().to_vec(),
            });
            keys.len() - 1
        });
        calculate_signature(&keys[at].key, to_sign.as_bytes())
    }
}

/// The service that a request says it is signed for.
pub(super) fn signed_service(headers: &HeaderMap) -> Option<&str> {
    Some(Authorization::of(headers).ok()?.scope.service)
}

/// An `Authorization` header taken apart.
struct Authorization<'a> {
    scope: Scope<'a>,
    /// Lower case, with semicolons between.
    signed_headers: &'a str,
    /// Hexadecimal.
    signature: &'a str,
}

struct Scope<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    terminator: &'a str,
}

impl<'a> Authorization<'a> {
    fn of(headers: &'a HeaderMap) -> Result<Self, ApiError> {
        let header = text(headers, "authorization").ok_or_else(|| {
            ApiError::new(
                "MissingAuthenticationTokenException",
                "Request is missing Authentication Token",
            )
        })?;
        let parameters = header
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| incomplete("Unsupported AWS 'algorithm': use AWS4-HMAC-SHA256."))?;
        let find = |name: &str| {
            let mut all = parameters.split(',').map(str::trim);
            all.find_map(|it| it.strip_prefix(name)?.strip_prefix('='))
                .filter(|value| !value.is_empty())
                .ok_or_else(|| {
                    incomplete(&format!(
                        "Authorization header requires '{name}' parameter."
                    ))
                })
        };
        Ok(Self {
            scope: Scope::parse(find("Credential")?)?,
            signed_headers: find("SignedHeaders")?,
            signature: find("Signature")?,
        })
    }
}

impl<'a> Scope<'a> {
    fn parse(credential: &'a str) -> Result<Self, ApiError> {
        let mut parts = credential.rsplitn(5, '/');
        let mut part = || parts.next();
        match (part(), part(), part(), part(), part()) {
            (Some(terminator), Some(service), Some(region), Some(date), Some(access_key)) => {
                Ok(Self {
                    access_key,
                    date,
                    region,
                    service,
                    terminator,
                })
            }
            _ => Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
            )),
        }
    }

    fn check(&self, service: &str, stamp: &str) -> Result<(), ApiError> {
        let day = stamp.get(..8).unwrap_or_default();
        let problem = if self.region != REGION {
            Some("Credential should be scoped to a valid region. ".to_owned())
        } else if self.service != service {
            Some(format!(
                "Credential should be scoped to correct service: '{service}'. "
            ))
        } else if self.terminator != "aws4_request" {
            Some("Credential should be scoped with a valid terminator: 'aws4_request'. ".to_owned())
        } else if self.date != day {
            Some(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{day}', from '{stamp}'.",
                self.date
            ))
        } else {
            None
        };
        problem.map_or(Ok(()), |problem| Err(invalid(&problem)))
    }
}

fn check_clock(signed_at: Timestamp, stamp: &str, now: Timestamp) -> Result<(), ApiError> {
    let age = now.duration_since(signed_at);
    let written = |time: Timestamp| time.strftime(DATE_FORMAT).to_string();
    if age > MAX_SKEW {
        Err(invalid(&format!(
            "Signature expired: {stamp} is now earlier than {} ({} - 15 min.)",
            written(now - MAX_SKEW),
            written(now)
        )))
    } else if age < -MAX_SKEW {
        Err(invalid(&format!(
            "Signature not yet current: {stamp} is still later than {} ({} + 15 min.)",
            written(now + MAX_SKEW),
            written(now)
        )))
    } else {
        Ok(())
    }
}

/// What decides where a request goes and when must be under the signature.
fn check_signed_headers(headers: &HeaderMap, signed: &str) -> Result<(), ApiError> {
    for (name, shown) in [
        ("host", "Host"),
        ("x-amz-date", "X-Amz-Date"),
        ("x-amz-target", "X-Amz-Target"),
    ] {
        if headers.contains_key(name) && !signed.split(';').any(|it| it == name) {
            return Err(invalid(&format!(
                "'{shown}' must be a 'SignedHeader' in the AWS Authorization."
            )));
        }
    }
    Ok(())
}

fn canonical_request(request: &Parts, signed: &str, payload: &str) -> String {
    let path = utf8_percent_encode(request.uri.path(), PATH);
    let mut query: Vec<String> = request
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|it| !it.is_empty())
        .map(|it| {
            let (name, value) = it.split_once('=').unwrap_or((it, ""));
            format!("{name}={value}")
        })
        .collect();
    query.sort();
    let mut headers = String::new();
    for name in signed.split(';') {
        let values = request.headers.get_all(name).iter();
        let values: Vec<String> = values
            .map(|it| single_spaced(&String::from_utf8_lossy(it.as_bytes())))
            .collect();
        headers.extend([name, ":", &values.join(","), "\n"]);
    }
    format!(
        "{}\n{path}\n{}\n{headers}\n{signed}\n{payload}",
        request.method,
        query.join("&")
    )
}

fn single_spaced(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Compares in a time that does not tell how much of it is right.
fn is_same(expected: &str, given: &str) -> bool {
    let pairs = expected.bytes().zip(given.bytes());
    let differences = pairs.fold(0, |sum, (one, other)| {
        std::hint::black_box(sum | (one ^ other))
    });
    expected.len() == given.len() && differences == 0
}

fn parse_date(stamp: &str) -> Option<Timestamp> {
    let date = DateTime::strptime(DATE_FORMAT, stamp).ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn incomplete(message: &str) -> ApiError {
    ApiError::new("IncompleteSignatureException", message)
}

fn invalid(message: &str) -> ApiError {
    ApiError::new("InvalidSignatureException", message)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing into a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4::SigningParams;

    use super::*;

    const BODY: &[u8] = b"{}";

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn verifier() -> Verifier {
        Verifier::new(Credentials {
            access_key: "AKLOCAL".to_owned(),
            secret_key: "secret".to_owned(),
        })
    }

    /// A request as the SDK signs it; `change` is what happens to it on the way.
    struct Case {
        access_key: &'static str,
        secret: &'static str,
        region: &'static str,
        service: &'static str,
        at: Timestamp,
        change: fn(&mut Parts),
        body: &'static [u8],
    }

    impl Default for Case {
        fn default() -> Self {
            Self {
                access_key: "AKLOCAL",
                secret: "secret",
                region: REGION,
                service: "states",
                at: now(),
                change: |_| {},
                body: BODY,
            }
        }
    }

    fn aws_identity(case: &Case) -> aws_smithy_runtime_api::client::identity::Identity {
        let credentials =
            aws_sdk_s3::config::Credentials::new(case.access_key, case.secret, None, None, "test");
        credentials.into()
    }

    fn check(case: &Case) -> Result<(), ApiError> {
        let identity = aws_identity(case);
        let params = SigningParams::builder()
            .identity(&identity)
            .region(case.region)
            .name(case.service)
            .time(SystemTime::from(case.at))
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let uri = "http://sync-127.0.0.1:1234/?b=2&a=1";
        let headers = [
            ("host", "sync-127.0.0.1:1234"),
            ("x-amz-target", "AWSStepFunctions.StartExecution"),
            ("x-amz-user-agent", "two  spaces"),
        ];
        let signable =
            SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Bytes(BODY));
        let (instructions, _) = sign(signable.unwrap(), &params).unwrap().into_parts();
        let mut request = http::Request::builder().method("POST").uri("/?b=2&a=1");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(()).unwrap();
        instructions.apply_to_request_http1x(&mut request);
        let (mut parts, ()) = request.into_parts();
        (case.change)(&mut parts);
        verifier().verify("states", &parts, case.body, now())
    }

    fn refusal(case: Case) -> String {
        let error = check(&case).unwrap_err();
        assert_eq!(error.status, 400);
        format!("{}: {}", error.code, error.message)
    }

    #[test]
    fn a_request_signed_by_the_sdk_passes() {
        assert_eq!(check(&Case::default()), Ok(()));
    }

    #[test]
    fn what_was_not_signed_by_the_owner_does_not() {
        let unsigned = refusal(Case {
            change: |it| _ = it.headers.remove("authorization"),
            ..Case::default()
        });
        assert!(unsigned.starts_with("MissingAuthenticationTokenException: "));
        let stranger = refusal(Case {
            access_key: "AKOTHER",
            ..Case::default()
        });
        assert!(stranger.starts_with("UnrecognizedClientException: "));
        let guessed = refusal(Case {
            secret: "guess",
            ..Case::default()
        });
        assert!(guessed.starts_with("InvalidSignatureException: The request signature we"));
    }

    #[test]
    fn a_changed_request_does_not_pass() {
        fn replace(request: &mut Parts, name: &'static str, value: &'static str) {
            let value = http::HeaderValue::from_static(value);
            request.headers.insert(name, value).unwrap();
        }
        let changes: [fn(&mut Parts); 4] = [
            |it| replace(it, "x-amz-target", "X.Other"),
            |it| replace(it, "host", "elsewhere"),
            |it| it.uri = "/?a=1".parse().unwrap(),
            |it| it.method = http::Method::GET,
        ];
        for change in changes {
            let changed = refusal(Case {
                change,
                ..Case::default()
            });
            assert!(
                changed.starts_with("InvalidSignatureException: "),
                "{changed}"
            );
        }
        let other_body = refusal(Case {
            body: b"{ }",
            ..Case::default()
        });
        assert!(other_body.starts_with("InvalidSignatureException: "));
    }

    #[test]
    fn a_signature_is_for_one_service_region_and_quarter_of_an_hour() {
        let elsewhere = refusal(Case {
            region: "eu-west-1",
            ..Case::default()
        });
        assert!(elsewhere.contains("valid region"), "{elsewhere}");
        let other = refusal(Case {
            service: "s3",
            ..Case::default()
        });
        assert!(other.contains("correct service: 'states'"), "{other}");
        let old = refusal(Case {
            at: now() - SignedDuration::from_secs(901),
            ..Case::default()
        });
        assert_eq!(
            old,
            "InvalidSignatureException: Signature expired: 20260102T024904Z is now earlier than 20260102T024905Z (20260102T030405Z - 15 min.)"
        );
        let early = refusal(Case {
            at: now() + SignedDuration::from_secs(901),
            ..Case::default()
        });
        assert!(early.contains("not yet current"), "{early}");
        let in_time = Case {
            at: now() - SignedDuration::from_secs(899),
            ..Case::default()
        };
        assert_eq!(check(&in_time), Ok(()));
    }

    #[test]
    fn garbage_is_named_and_not_a_panic() {
        for header in [
            "",
            "Basic x",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=a/b, Signature=,",
        ] {
            let headers = HeaderMap::from_iter([(
                http::header::AUTHORIZATION,
                http::HeaderValue::from_static(header),
            )]);
            let error = Authorization::of(&headers).err().unwrap();
            assert_eq!(error.code, "IncompleteSignatureException");
        }
    }
}

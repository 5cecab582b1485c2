//! What went wrong with a remote call, in the user's terms.
//!
//! This is the one place that knows the services' error codes. Texts of the service come from
//! outside, so they are shortened and their control characters made visible before anybody sees
//! them.

use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::client::{Connection, shell_word};
use crate::model::Statement;

mod denial;

/// Characters of a service's text that are kept.
const LONGEST_TEXT: usize = 2_000;

pub(super) type SdkError<E> = aws_smithy_runtime_api::client::result::SdkError<E, HttpResponse>;

/// Reads as "RedriveExecution of invoices-0417 failed: not redrivable: …", with where it was asked
/// behind it if that may be the reason; [`Error::hint`] says what to do next.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{action} of {subject} failed: {kind}{}", self.whereabouts())]
pub struct Error {
    /// As in the API reference.
    pub action: &'static str,
    /// The name or address the user knows; of an ARN what names the resource.
    pub subject: String,
    pub kind: ErrorKind,
    /// Where it was asked; `None` for the embedded engine, of which there is one.
    pub place: Option<Box<Place>>,
    /// What a policy would have to allow, where that is what is missing.
    pub missing: Option<Box<Statement>>,
}

/// Whom one asks, as the user chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub profile: String,
    pub region: String,
    /// Where the subject names it.
    pub account: Option<String>,
}

/// By what the caller can do about it. Texts are the service's.
#[derive(Debug, Clone, PartialEq)]
pub enum ErrorKind {
    /// Missing Region, unknown profile, malformed file.
    Configuration(String),
    /// Credentials missing or expired.
    SignIn(String),
    /// The role lacks a right.
    Permission(String),
    /// Nothing of that name, here and now.
    NotFound(String),
    /// It is in another Region: the text says in which, or whose was asked.
    Elsewhere(String),
    /// A name in use with other content, or a precondition that does not hold.
    Conflict(String),
    /// Execution that the service will not redrive; the text says why.
    NotRedrivable(String),
    /// The request itself is wrong.
    Invalid(String),
    /// The token of a page, which is good for a day: its listing begins again without one.
    Outdated(String),
    /// Still too many requests after the SDK's own attempts.
    Throttled(String),
    /// No connection, no answer in time.
    Unreachable(String),
    /// Refused here: this client is read-only.
    ReadOnly,
    /// The service's own fault, or an answer we cannot read.
    Service(String),
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(text) => write!(f, "configuration: {text}"),
            Self::SignIn(text) => write!(f, "not signed in: {text}"),
            Self::Permission(text) => write!(f, "not allowed: {text}"),
            Self::NotFound(text) => write!(f, "not found: {text}"),
            Self::Elsewhere(text) => write!(f, "in another Region: {text}"),
            Self::Conflict(text) => write!(f, "conflict: {text}"),
            Self::NotRedrivable(text) => write!(f, "not redrivable: {text}"),
            Self::Invalid(text) => write!(f, "invalid request: {text}"),
            Self::Outdated(text) => write!(f, "too old to go on: {text}"),
            Self::Throttled(text) => write!(f, "slowed by AWS: {text}"),
            Self::Unreachable(text) => write!(f, "no connection: {text}"),
            Self::ReadOnly => f.write_str("this session is read-only"),
            Self::Service(text) => f.write_str(text),
        }
    }
}

impl Error {
    pub(super) fn new(action: &'static str, subject: &str, kind: ErrorKind) -> Self {
        Self {
            action,
            // An ARN would push the reason off the line.
            subject: visible(resource(subject)),
            kind,
            place: None,
            missing: None,
        }
    }

    /// The same with where it was asked, and what that explains. `subject` is the whole one.
    pub(super) fn at(mut self, connection: &Connection, subject: &str) -> Self {
        let part = |at: usize| {
            let part = subject.strip_prefix("arn:")?.split(':').nth(at - 1)?;
            (!part.is_empty()).then(|| part.to_owned())
        };
        let region = &connection.region;
        let elsewhere = part(3).filter(|theirs| theirs != region);
        let may_be = matches!(
            self.kind,
            ErrorKind::NotFound(_) | ErrorKind::Invalid(_) | ErrorKind::Permission(_)
        );
        if let Some(theirs) = elsewhere.filter(|_| may_be) {
            self.kind = ErrorKind::Elsewhere(visible(&theirs));
        }
        if let ErrorKind::Permission(text) = &self.kind {
            let partition = part(1).unwrap_or_else(|| partition(region).to_owned());
            let missing = denial::missing(self.action, subject, text, &partition);
            self.missing = missing.map(Box::new);
        }
        if !connection.local {
            self.place = Some(Box::new(Place {
                profile: connection.label.clone(),
                region: region.clone(),
                account: part(4).map(|it| visible(&it)),
            }));
        }
        self
    }

    /// Profile, Region and account, where they may be the reason.
    fn whereabouts(&self) -> String {
        let matters = matches!(
            self.kind,
            ErrorKind::SignIn(_)
                | ErrorKind::Permission(_)
                | ErrorKind::NotFound(_)
                | ErrorKind::Elsewhere(_)
                | ErrorKind::Unreachable(_)
        );
        match self.place.as_deref().filter(|_| matters) {
            None => String::new(),
            Some(place) => {
                let account = place.account.as_ref();
                let account = account.map(|it| format!(", account {it}"));
                format!(
                    " (profile {}, {}{})",
                    visible(&place.profile),
                    visible(&place.region),
                    account.unwrap_or_default()
                )
            }
        }
    }

    /// What to do next, a sentence without a full stop.
    pub fn hint(&self) -> Option<String> {
        let hint = match &self.kind {
            ErrorKind::Configuration(_) => "check --profile, --region and ~/.aws/config",
            ErrorKind::SignIn(text) if is_clock(text) => {
                "this machine's clock is not that of AWS: set it, then do the same again"
            }
            ErrorKind::SignIn(text) => {
                let place = self.place.as_deref().filter(|it| it.profile != "default");
                let of =
                    place.map(|it| format!(" --profile {}", visible(&shell_word(&it.profile))));
                let of = of.unwrap_or_default();
                let keys = match is_about_keys(text) {
                    true => "; keys of the environment or ~/.aws/credentials have to be replaced",
                    false => "",
                };
                return Some(format!(
                    "run `aws sso login{of}` or `aws login{of}`, then go on: fanout reads the new \
                     session by itself{keys}"
                ));
            }
            ErrorKind::Permission(text) => match &self.missing {
                Some(statement) => {
                    let statement = visible(&statement.json());
                    return Some(format!("missing in your role's policies: {statement}"));
                }
                None if denial::is_explicit(text) => {
                    "a policy denies it explicitly, so more rights will not help: ask whoever keeps it"
                }
                None => "ask for this action on this resource in your role's policy",
            },
            ErrorKind::Elsewhere(region) if is_region(region) => {
                return Some(match self.place {
                    Some(_) => format!("ask there: --region {region}"),
                    None => format!(
                        "the embedded engine has no other Regions: --region {region} without --local"
                    ),
                });
            }
            ErrorKind::Elsewhere(_) => "give its Region with --region",
            ErrorKind::NotRedrivable(_) => "start a new run with only the failed lines",
            ErrorKind::Throttled(_) => "fanout waits and tries again",
            ErrorKind::Unreachable(_) => "check the network, the endpoint and the Region",
            ErrorKind::ReadOnly => "start without --read-only to change something",
            ErrorKind::NotFound(_) => "check the name, the Region and the account",
            ErrorKind::Outdated(_) => "the list begins again with its first page",
            ErrorKind::Conflict(_) | ErrorKind::Invalid(_) | ErrorKind::Service(_) => return None,
        };
        Some(hint.to_owned())
    }
}

/// The part of AWS's world that a Region is in.
fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Whether a request was refused for the time that was in its signature.
fn is_clock(text: &str) -> bool {
    [
        "RequestTimeTooSkewed",
        "Signature expired",
        "Signature not yet current",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// Whether the service knows no such keys, or the session that came with them is over.
fn is_about_keys(text: &str) -> bool {
    let text = text.to_lowercase();
    ["security token", "access key", "signature"]
        .iter()
        .any(|words| text.contains(words))
}

/// `eu-west-1`, not a sentence.
fn is_region(text: &str) -> bool {
    text.split('-').count() >= 3
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// `invoices:a91c` of `arn:aws:states:eu-west-1:472100009012:execution:invoices:a91c`.
fn resource(subject: &str) -> &str {
    let named = subject
        .strip_prefix("arn:")
        .and_then(|rest| rest.splitn(6, ':').nth(5));
    named.unwrap_or(subject)
}

/// Puts a failed request in the user's terms.
pub(super) fn from_sdk<E>(action: &'static str, subject: &str, failure: &SdkError<E>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let kind = match failure {
        SdkError::ServiceError(answer) => {
            let metadata = answer.err().meta();
            let status = answer.raw().status().as_u16();
            if metadata.code().is_none() && answer.raw().status().is_success() {
                return unreadable(action, subject, failure);
            }
            if let Some(region) = bucket_region(metadata.code(), answer.raw(), action) {
                return Error::new(action, subject, ErrorKind::Elsewhere(visible(region)));
            }
            of_answer(metadata.code(), metadata.message(), status)
        }
        SdkError::TimeoutError(_) => ErrorKind::Unreachable("no answer in time".to_owned()),
        SdkError::DispatchFailure(cause) if cause.is_io() || cause.is_timeout() => {
            ErrorKind::Unreachable(reason(failure))
        }
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => unsent(failure),
        SdkError::ResponseError(_) => return unreadable(action, subject, failure),
        _ => ErrorKind::Service(chain(failure)),
    };
    Error::new(action, subject, kind)
}

/// Where S3 says that a bucket is, when asked in another Region. The answer to HEAD has no code.
fn bucket_region<'a>(
    code: Option<&str>,
    answer: &'a HttpResponse,
    action: &str,
) -> Option<&'a str> {
    let codes = [
        "PermanentRedirect",
        "TemporaryRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
    ];
    let is_head = action == "HeadObject" && answer.status().as_u16() == 400;
    let is_redirected = answer.status().as_u16() == 301 || is_head;
    if !is_redirected && !code.is_some_and(|code| codes.contains(&code)) {
        return None;
    }
    let named = answer.headers().get("x-amz-bucket-region");
    named.or((!is_head).then_some("the bucket's own, which the service does not name"))
}

/// An answer that is no error, and not what was asked for either.
fn unreadable(
    action: &'static str,
    subject: &str,
    failure: &(dyn std::error::Error + 'static),
) -> Error {
    let kind = ErrorKind::Service(format!("unreadable answer: {}", reason(failure)));
    Error::new(action, subject, kind)
}

/// By what the service answered: its code, else the status (answers to HEAD have no body).
pub(super) fn of_answer(code: Option<&str>, message: Option<&str>, status: u16) -> ErrorKind {
    let code = code.unwrap_or_default();
    let text = match message.filter(|message| !message.is_empty()) {
        Some(message) => visible(message),
        None if code.is_empty() => format!("HTTP status {status}"),
        None => visible(code),
    };
    if code == "ExecutionNotRedrivable" {
        ErrorKind::NotRedrivable(text)
    } else if is_throttling(code) || status == 429 {
        ErrorKind::Throttled(text)
    } else if code == "RequestTimeTooSkewed" {
        ErrorKind::SignIn(format!("{code}: {text}"))
    } else if is_sign_in(code) {
        ErrorKind::SignIn(text)
    } else if is_denial(code) {
        ErrorKind::Permission(text)
    } else if code == "InvalidToken" {
        ErrorKind::Outdated(text)
    } else if is_absence(code) {
        ErrorKind::NotFound(text)
    } else if is_conflict(code) {
        ErrorKind::Conflict(text)
    } else {
        let named = if code.is_empty() || text == code {
            text
        } else {
            format!("{}: {text}", visible(code))
        };
        match status {
            401 | 403 => ErrorKind::Permission(named),
            404 => ErrorKind::NotFound(named),
            409 | 412 => ErrorKind::Conflict(named),
            // More than the account may have: the request is right, only not now.
            _ if code.ends_with("LimitExceeded") => ErrorKind::Service(named),
            402 => ErrorKind::Service(named),
            400..500 => ErrorKind::Invalid(named),
            _ => ErrorKind::Service(named),
        }
    }
}

/// Whether the service asks us to slow down.
pub(super) fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "KmsThrottlingException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequests"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "BandwidthLimitExceeded"
            | "SlowDown"
    )
}

fn is_sign_in(code: &str) -> bool {
    code.starts_with("ExpiredToken")
        || code.starts_with("UnrecognizedClient")
        || code.starts_with("MissingAuthenticationToken")
        || code.starts_with("IncompleteSignature")
        || matches!(
            code,
            "InvalidClientTokenId"
                | "InvalidAccessKeyId"
                | "InvalidSignatureException"
                | "SignatureDoesNotMatch"
                | "TokenRefreshRequired"
                | "UnauthorizedException"
        )
}

fn is_denial(code: &str) -> bool {
    code.contains("AccessDenied")
        || matches!(
            code,
            "AllAccessDisabled" | "AccountProblem" | "NotAuthorized" | "UnauthorizedOperation"
        )
}

fn is_absence(code: &str) -> bool {
    code.ends_with("DoesNotExist")
        || code.starts_with("NoSuch")
        || code.starts_with("ResourceNotFound")
        || code == "NotFound"
}

fn is_conflict(code: &str) -> bool {
    code.ends_with("AlreadyExists")
        || matches!(
            code,
            "BucketAlreadyOwnedByYou"
                | "ConditionalRequestConflict"
                | "ConflictException"
                | "OperationAborted"
                | "PreconditionFailed"
                | "ResourceAlreadyExistsException"
                | "StateMachineDeleting"
        )
}

/// A request that never left: for want of credentials mostly. The SDK has no type for that which
/// reaches us, only words.
fn unsent(failure: &(dyn std::error::Error + 'static)) -> ErrorKind {
    let words = chain(failure);
    if names_identity(&words) {
        without_identity(failure)
    } else if words.contains("failed to construct") {
        ErrorKind::Invalid(reason(failure))
    } else {
        ErrorKind::Unreachable(reason(failure))
    }
}

fn names_identity(words: &str) -> bool {
    let words = words.to_lowercase();
    ["credential", "identity", "profile", "token", "sso"]
        .iter()
        .any(|word| words.contains(word))
}

/// No credentials: because the profile is wrong, or because nobody signed in.
pub(super) fn without_identity(failure: &(dyn std::error::Error + 'static)) -> ErrorKind {
    let words = chain(failure);
    let misconfigured = words.contains("was not defined")
        || words.contains("could not find source profile")
        || words.contains("could not parse profile");
    let reason = match first_sentence(reason(failure)) {
        // The file of a session that nobody has begun.
        reason if reason.starts_with("No such file") => "there is no session yet".to_owned(),
        reason => reason,
    };
    if misconfigured {
        ErrorKind::Configuration(reason)
    } else {
        ErrorKind::SignIn(reason)
    }
}

/// Without the list of all places that had no credentials, a line each.
fn first_sentence(mut reason: String) -> String {
    if let Some(end) = reason.find(". Attempted") {
        reason.truncate(end);
    }
    reason
}

/// The innermost reason, which is the one that says something.
pub(super) fn reason(failure: &(dyn std::error::Error + 'static)) -> String {
    let last = std::iter::successors(Some(failure), |error| error.source()).last();
    visible(&last.map(ToString::to_string).unwrap_or_default())
}

/// All reasons from the outside in.
fn chain(failure: &(dyn std::error::Error + 'static)) -> String {
    let reasons: Vec<String> = std::iter::successors(Some(failure), |error| error.source())
        .map(ToString::to_string)
        .collect();
    visible(&reasons.join(": "))
}

/// One line of bounded length in which control characters and reordering marks are symbols.
fn visible(text: &str) -> String {
    let mut shown: String = text.trim().chars().take(LONGEST_TEXT).map(symbol).collect();
    if text.trim().chars().nth(LONGEST_TEXT).is_some() {
        shown.push('…');
    }
    shown
}

fn symbol(c: char) -> char {
    match c {
        // The block of control pictures has the order of the characters it shows.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(kind: ErrorKind) -> String {
        kind.to_string()
    }

    #[test]
    fn codes_go_before_the_status() {
        let of = |code, status| of_answer(Some(code), Some("m"), status);
        let m = || "m".to_owned();
        assert_eq!(
            of("ExecutionNotRedrivable", 400),
            ErrorKind::NotRedrivable(m())
        );
        assert_eq!(of("ThrottlingException", 400), ErrorKind::Throttled(m()));
        assert_eq!(of("SlowDown", 503), ErrorKind::Throttled(m()));
        assert_eq!(of("ExpiredTokenException", 400), ErrorKind::SignIn(m()));
        assert_eq!(of("ExpiredToken", 403), ErrorKind::SignIn(m()));
        assert_eq!(
            of("UnrecognizedClientException", 400),
            ErrorKind::SignIn(m())
        );
        assert_eq!(of("AccessDeniedException", 400), ErrorKind::Permission(m()));
        assert_eq!(of("ExecutionDoesNotExist", 400), ErrorKind::NotFound(m()));
        assert_eq!(of("NoSuchKey", 404), ErrorKind::NotFound(m()));
        assert_eq!(of("ResourceNotFound", 400), ErrorKind::NotFound(m()));
        assert_eq!(of("ExecutionAlreadyExists", 400), ErrorKind::Conflict(m()));
        assert_eq!(of("PreconditionFailed", 412), ErrorKind::Conflict(m()));
        assert_eq!(
            text(of("InvalidArn", 400)),
            "invalid request: InvalidArn: m"
        );
        assert_eq!(
            text(of("ExecutionLimitExceeded", 400)),
            "ExecutionLimitExceeded: m"
        );
        assert_eq!(text(of("InternalFailure", 500)), "InternalFailure: m");
    }

    #[test]
    fn a_sign_in_that_would_not_help_is_not_advised() {
        let hint = |code: &str, message: &str| {
            let kind = of_answer(Some(code), Some(message), 403);
            Error::new("ListExecutions", "m", kind)
                .hint()
                .expect("a hint")
        };
        let skewed = "The difference between the request time and the current time is too large.";
        for (code, message) in [
            ("RequestTimeTooSkewed", skewed),
            (
                "InvalidSignatureException",
                "Signature expired: 20261124T010000Z is now earlier than 20261124T015500Z",
            ),
            (
                "InvalidSignatureException",
                "Signature not yet current: 20261124T030000Z",
            ),
        ] {
            let hint = hint(code, message);
            assert!(hint.contains("clock") && !hint.contains("login"), "{hint}");
        }
        let message = "The security token included in the request is invalid.";
        let keys = hint("UnrecognizedClientException", message);
        assert!(
            keys.contains("aws sso login") && keys.contains("keys of the environment"),
            "{keys}"
        );
        let session = hint(
            "UnauthorizedException",
            "Session token not found or invalid",
        );
        assert!(session.ends_with("by itself"), "{session}");
    }

    #[test]
    fn an_answer_without_body_goes_by_its_status() {
        assert_eq!(
            of_answer(None, None, 403),
            ErrorKind::Permission("HTTP status 403".to_owned())
        );
        assert_eq!(
            of_answer(None, None, 412),
            ErrorKind::Conflict("HTTP status 412".to_owned())
        );
        assert_eq!(
            of_answer(Some("NotFound"), None, 404),
            ErrorKind::NotFound("NotFound".to_owned())
        );
    }

    #[test]
    fn a_text_from_outside_cannot_move_the_cursor() {
        assert_eq!(visible("a\x1b[2Jb\nc\u{202e}d"), "a␛[2Jb␊c\u{fffd}d");
        assert_eq!(visible(&"é".repeat(3_000)).chars().count(), 2_001);
    }

    proptest! {
        #[test]
        fn nothing_invisible_is_left(text in any::<String>()) {
            let shown = visible(&text);
            prop_assert!(!shown.chars().any(char::is_control), "{:?}", shown);
            prop_assert!(shown.chars().count() <= LONGEST_TEXT + 1);
        }
    }
}

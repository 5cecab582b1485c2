//! Everything one may ask of the remote side. The only code that names the AWS SDK.
//!
//! [`Client`] is a cheap handle: AWS and the embedded engine are reached by the same calls, and
//! after [`Client::connect`] nobody can tell which it is. The calls are in one file a service:
//! `sfn` for Step Functions, `s3` for objects, `logs` for CloudWatch Logs, `sts` for who we are; `watch` repeats them as
//! streams, `limits` spaces them, `error` puts what went wrong in the user's terms, and `connect`
//! finds out whom to ask.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;
use futures::Stream;
use tokio::sync::OnceCell;
use tracing::Instrument;

use crate::model::{Object, Timestamp};

mod connect;
pub mod error;
mod limits;
mod logs;
mod s3;
mod sfn;
mod sts;
#[cfg(test)]
mod tests;
mod trail;
mod watch;

pub use connect::NoHostPrefix;
pub use connect::profile::{Profile, from_environment as profile_in_force, profiles};
pub use error::{Error, ErrorKind, Place};
pub use logs::{LiveTail, LogEvent, MAX_TAILED, TailUpdate};
pub use s3::{Algorithm, Checksum, LONGEST_LINK, ObjectVersion, ObjectWriter};
pub use sfn::Diagnostic;
pub use trail::{Change, Trail, shell_word};

use error::SdkError;
use limits::{Action, Budget, Class};

/// Where executions live.
#[derive(Clone, PartialEq)]
pub enum Target {
    /// The SDK's own search for credentials and Region, with these over it.
    Aws {
        profile: Option<String>,
        region: Option<String>,
        endpoint_url: Option<String>,
    },
    /// The embedded engine: an endpoint with its own credentials; S3 in path style.
    Endpoint {
        url: String,
        region: String,
        access_key: String,
        secret_key: String,
    },
}

/// Leaves the secret out, so that a target can be logged.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Aws {
                profile,
                region,
                endpoint_url,
            } => f
                .debug_struct("Aws")
                .field("profile", profile)
                .field("region", region)
                .field("endpoint_url", endpoint_url)
                .finish(),
            Self::Endpoint { url, region, .. } => f
                .debug_struct("Endpoint")
                .field("url", url)
                .field("region", region)
                .finish_non_exhaustive(),
        }
    }
}

/// How to connect, beyond where.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Refuse every call that changes something.
    pub read_only: bool,
    /// Share of each API's quota that this process may use, 0 to 1.
    pub budget_share: f64,
    /// Is told of every change.
    pub trail: Option<Trail>,
    /// Folder by which processes that ask the same account divide the budget; `None` has all of it.
    pub shared_in: Option<PathBuf>,
}

/// What a screen says about a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// `LOCAL` for an endpoint, else the profile's name or `default`.
    pub label: String,
    pub region: String,
    pub local: bool,
    pub read_only: bool,
}

/// Whose credentials a connection has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
    pub arn: String,
    /// When the sign-in ends, where that is known and nothing renews it by itself.
    pub ends: Option<Timestamp>,
}

impl Identity {
    /// The role or user, as people call it: the session's name says little.
    pub fn role(&self) -> &str {
        let resource = self.arn.splitn(6, ':').nth(5).unwrap_or_default();
        match resource.split_once('/') {
            Some(("assumed-role", rest)) => rest.split('/').next().unwrap_or(rest),
            Some((_, rest)) => rest.rsplit('/').next().unwrap_or(rest),
            None => resource,
        }
    }
}

/// Bytes of an object as they arrive.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// Snapshots of a remote thing; an `Err` does not end the stream.
pub type Snapshots<T> = Pin<Box<dyn Stream<Item = Result<T, Error>> + Send>>;

/// An object opened for reading.
pub struct ObjectBody {
    /// The whole object's facts, also when only a range of it is read.
    pub object: Object,
    /// User metadata, keys without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    pub version: Option<String>,
    pub bytes: ByteStream,
}

/// A handle on one target. Clones share connections and the request budget.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    class: Class,
}

/// How long a change waits to learn whose it is.
const CALLER: Duration = Duration::from_secs(3);

/// What all clones of a client have in common.
struct Shared {
    sfn: aws_sdk_sfn::Client,
    s3: aws_sdk_s3::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    sts: aws_sdk_sts::Client,
    credentials: Option<aws_sdk_sfn::config::SharedCredentialsProvider>,
    budget: Arc<Budget>,
    connection: Connection,
    /// Nobody looks at what the standing polls bring.
    unwatched: Arc<AtomicBool>,
    trail: Option<Trail>,
    /// Whose credentials these are, once somebody asked.
    caller: OnceCell<Option<String>>,
}

impl Client {
    /// Reads credentials and Region and builds the three SDK clients. Asks nothing of the service.
    ///
    /// # Errors
    /// `ErrorKind::Configuration` when the Region is missing, the profile does not exist, or the
    /// engine's address is malformed.
    pub async fn connect(target: Target, options: Options) -> Result<Self, Error> {
        let shared = connect::open(target, options).await?;
        Ok(Self {
            shared: Arc::new(shared),
            class: Class::User,
        })
    }

    /// Where this client leads to.
    pub fn connection(&self) -> Connection {
        self.shared.connection.clone()
    }

    /// Looks for credentials without using them. Outside AWS and with nothing configured this takes
    /// as long as the SDK waits for an instance's metadata service, some seconds.
    ///
    /// # Errors
    /// `SignIn` when there are none or they have expired, `Configuration` when the profile leads
    /// nowhere.
    pub async fn check_credentials(&self) -> Result<(), Error> {
        const ACTION: &str = "sign-in";
        let label = &self.shared.connection.label;
        let Some(provider) = &self.shared.credentials else {
            let kind = ErrorKind::SignIn("no credentials configured".to_owned());
            return Err(Error::new(ACTION, label, kind).at(&self.shared.connection, label));
        };
        match aws_sdk_sfn::config::ProvideCredentials::provide_credentials(provider).await {
            Ok(_) => Ok(()),
            Err(source) => {
                let error = Error::new(ACTION, label, error::without_identity(&source));
                Err(error.at(&self.shared.connection, label))
            }
        }
    }

    /// The same client for standing polls: its calls wait until what the user asked for is served.
    pub fn polling(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            class: Class::Poll,
        }
    }

    /// Whether somebody looks at what the standing polls bring. While nobody does, they are slow.
    pub fn watched(&self, is_watched: bool) {
        self.shared.unwatched.store(!is_watched, Ordering::Relaxed);
    }

    /// Share of the API budget in use, 0 to 1: the fullest of all buckets.
    pub fn budget_used(&self) -> f64 {
        self.shared.budget.used(Instant::now())
    }

    /// Requests a minute that this client may send for long, by action: its share of the quota.
    pub fn budget_rates(&self) -> Vec<(&'static str, f64)> {
        self.shared.budget.rates(Instant::now())
    }

    /// Whether the service throttled us within the last ten seconds.
    pub fn slowed(&self) -> bool {
        self.shared.budget.slowed(Instant::now())
    }

    /// Sends a request of a service with a quota, once the budget has room for it.
    fn ask<'a, T, E>(
        &'a self,
        action: Action,
        subject: &'a str,
        request: impl Future<Output = Result<T, SdkError<E>>> + Send + 'a,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'a
    where
        T: 'a,
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let answer = self.send(action.name(), subject, request);
        async move {
            self.shared.budget.take(action, self.class).await;
            answer.await
        }
    }

    /// Makes a call that changes something: refused to a read-only client, else told to the trail,
    /// however it ends. `command` is the same as a command.
    async fn change<T>(
        &self,
        action: &'static str,
        subject: &str,
        command: impl FnOnce() -> String + Send,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        self.may_change(action, subject)?;
        if self.shared.trail.is_some() {
            self.know_caller().await;
        }
        let done = call.await;
        self.tell(command, done.as_ref().err());
        done
    }

    /// Asks once whose credentials these are, so that the trail can say it. The embedded engine has
    /// one user, and a service that does not say is not asked again.
    async fn know_caller(&self) {
        if self.shared.connection.local {
            return;
        }
        let caller = self.shared.caller.get_or_init(|| async {
            let asked = tokio::time::timeout(CALLER, self.identity()).await;
            let identity = asked.ok()?.ok()?;
            Some(identity.arn)
        });
        caller.await;
    }

    fn tell(&self, command: impl FnOnce() -> String, error: Option<&Error>) {
        if let Some(trail) = &self.shared.trail {
            let connection = &self.shared.connection;
            let target = format!("{} {}", connection.label, connection.region);
            let caller = self.shared.caller.get().cloned().flatten();
            trail.tell(Change {
                caller: caller.filter(|it| !it.is_empty()),
                target,
                command: command(),
                outcome: error.map_or(Ok(()), |error| Err(error.to_string())),
            });
        }
    }

    /// Refuses what a read-only client may not do.
    fn may_change(&self, action: &'static str, subject: &str) -> Result<(), Error> {
        if self.shared.connection.read_only {
            return Err(Error::new(action, subject, ErrorKind::ReadOnly));
        }
        Ok(())
    }

    /// Sends a request under a span of its own. Neither payloads nor credentials are logged.
    ///
    /// The SDK's futures have 16 KB and more; boxed here, they do not swell those of our callers.
    fn send<'a, T, E>(
        &'a self,
        action: &'static str,
        subject: &'a str,
        request: impl Future<Output = Result<T, SdkError<E>>> + Send + 'a,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'a
    where
        T: 'a,
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let request = Box::pin(request);
        async move {
            let span = tracing::debug_span!("request", action, subject);
            let asked = Instant::now();
            let answer = request.instrument(span.clone()).await;
            let elapsed = asked.elapsed();
            span.in_scope(|| tracing::debug!(?elapsed, ok = answer.is_ok(), "answered"));
            answer.map_err(|failure| self.failed(action, subject, &failure))
        }
    }

    /// A failed request in the user's terms, with where it was asked.
    fn failed<E>(&self, action: &'static str, subject: &str, failure: &SdkError<E>) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        error::from_sdk(action, subject, failure).at(&self.shared.connection, subject)
    }
}

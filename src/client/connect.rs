//! From a target to three SDK clients: credentials, Region, time limits, and what has to happen
//! around every request.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_sfn::config::interceptors::{
    BeforeTransmitInterceptorContextMut, FinalizerInterceptorContextRef,
};
use aws_sdk_sfn::config::{
    ConfigBag, Credentials, Intercept, RuntimeComponents, SharedCredentialsProvider,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_types::service_config::ServiceConfigKey;
use tokio::sync::OnceCell;

use crate::client::error::{self, Error, ErrorKind};
use crate::client::limits::{Budget, Seats};
use crate::client::{Connection, Options, Shared, Target};

mod https;
pub(super) mod profile;

const ACTION: &str = "connect";

/// One attempt of a JSON request, and all its attempts together.
const ATTEMPT: Duration = Duration::from_secs(20);
const OPERATION: Duration = Duration::from_mins(1);
/// The same where a whole part is sent along: 64 MiB at 2 Mbit/s take less.
const TRANSFER_ATTEMPT: Duration = Duration::from_mins(5);
const TRANSFER: Duration = Duration::from_mins(15);

/// Builds the clients of a target.
pub(super) async fn open(target: Target, options: Options) -> Result<Shared, Error> {
    let endpoint = matches!(target, Target::Endpoint { .. });
    let label = label(&target);
    let config = match target {
        Target::Aws {
            profile,
            region,
            endpoint_url,
        } => aws(profile, region, endpoint_url).await?,
        Target::Endpoint {
            url,
            region,
            access_key,
            secret_key,
        } => embedded(&url, region, &access_key, &secret_key)?,
    };
    let Some(region) = config.region().map(ToString::to_string) else {
        let problem = "no Region: give --region, or set AWS_REGION or the profile's region";
        let kind = ErrorKind::Configuration(problem.to_owned());
        return Err(Error::new(ACTION, &label, kind));
    };
    let budget = Arc::new(match endpoint {
        true => Budget::unlimited(),
        false => {
            let seats = options.shared_in.as_deref();
            let seats = match seats {
                Some(folder) => sit(folder, &label, &region).await,
                None => None,
            };
            Budget::of_quota(&region, options.budget_share).shared(seats)
        }
    });
    Ok(Shared {
        sfn: sfn(&config, &budget),
        s3: s3(&config, &budget),
        logs: logs(&config, &budget),
        sts: sts(&config, &budget),
        credentials: config.credentials_provider(),
        budget,
        connection: Connection {
            label,
            region,
            local: endpoint,
            read_only: options.read_only,
        },
        unwatched: Arc::default(),
        trail: options.trail,
        caller: OnceCell::new(),
    })
}

/// Among the processes that ask the same account. Where that is not written down, the profile stands
/// for it.
async fn sit(folder: &Path, label: &str, region: &str) -> Option<Seats> {
    let profiles = profile::profiles().await;
    let profile = profiles.into_iter().find(|it| it.name == label);
    let account = profile.and_then(|it| it.account);
    let of = format!("{} {region}", account.as_deref().unwrap_or(label));
    match Seats::take(folder, &of) {
        Ok(seats) => Some(seats),
        Err(error) => {
            tracing::warn!(%error, "the request budget is not shared with other processes");
            None
        }
    }
}

fn label(target: &Target) -> String {
    match target {
        Target::Endpoint { .. } => "LOCAL".to_owned(),
        Target::Aws {
            profile: Some(name),
            ..
        } => name.clone(),
        Target::Aws { .. } => profile::from_environment().unwrap_or_else(|| "default".to_owned()),
    }
}

/// The SDK's own search, with what the user gave over it.
async fn aws(
    profile: Option<String>,
    region: Option<String>,
    endpoint_url: Option<String>,
) -> Result<SdkConfig, Error> {
    if let Some(name) = profile.clone().or_else(profile::from_environment)
        && !profile::exists(&name).await
    {
        let problem = "there is no such profile in ~/.aws/config and ~/.aws/credentials";
        let kind = ErrorKind::Configuration(problem.to_owned());
        return Err(Error::new(ACTION, &name, kind));
    }
    let in_force = profile.clone().or_else(profile::from_environment);
    let bundle = profile::ca_bundle(in_force.as_deref().unwrap_or("default")).await;
    let trusted = match bundle {
        None => https::Trusted::System,
        Some(path) => https::Trusted::read(&path).await.map_err(|problem| {
            let kind = ErrorKind::Configuration(format!("the CA bundle {problem}"));
            Error::new(ACTION, &path.display().to_string(), kind)
        })?,
    };
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(https::Https::new(trusted))
        .timeout_config(time_limits(ATTEMPT, OPERATION));
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    if let Some(url) = endpoint_url {
        let has_scheme = ["http://", "https://"].iter().any(|it| url.starts_with(it));
        if !has_scheme || url.ends_with("//") {
            let problem = format!("the endpoint is no URL: give https://HOST, not {url:?}");
            return Err(Error::new(ACTION, &url, ErrorKind::Configuration(problem)));
        }
        loader = loader.endpoint_url(url);
    }
    if let Some(name) = app_name() {
        loader = loader.app_name(name);
    }
    Ok(loader.load().await)
}

/// Everything given, so that neither environment nor profile can lead a local session astray.
fn embedded(
    url: &str,
    region: String,
    access_key: &str,
    secret_key: &str,
) -> Result<SdkConfig, Error> {
    if !url.starts_with("http://") {
        let problem = format!("the engine's address begins with http://, not {url:?}");
        let kind = ErrorKind::Configuration(problem);
        return Err(Error::new(ACTION, url, kind));
    }
    let credentials = Credentials::new(access_key, secret_key, None, None, "fanout");
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(Region::new(region))
        .endpoint_url(url.trim_end_matches('/'))
        .retry_config(RetryConfig::standard())
        .timeout_config(time_limits(ATTEMPT, OPERATION))
        // The SDK's default client obeys HTTP_PROXY, for the loopback too; this one goes straight,
        // and needs no certificates.
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    config.set_app_name(app_name());
    Ok(config.build())
}

/// What CloudTrail shows as the caller.
fn app_name() -> Option<AppName> {
    AppName::new(env!("CARGO_PKG_NAME")).ok()
}

fn time_limits(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

/// The endpoint of one service where it is not AWS's own, found as the SDK does: a flag, the
/// service's variable or section, the one for all.
fn endpoint(config: &SdkConfig, service: &str) -> Option<String> {
    let everyones = config.endpoint_url().map(str::to_owned);
    if config.get_origin("endpoint_url").is_client_config() {
        return everyones;
    }
    let key = ServiceConfigKey::builder()
        .service_id(service)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let own = key
        .ok()
        .and_then(|key| config.service_config()?.load_config(key));
    own.or(everyones)
}

fn sfn(config: &SdkConfig, budget: &Arc<Budget>) -> aws_sdk_sfn::Client {
    let mut builder =
        aws_sdk_sfn::config::Builder::from(config).interceptor(Slowdown(Arc::clone(budget)));
    if let Some(straight) = endpoint(config, "SFN")
        .as_deref()
        .and_then(NoHostPrefix::at)
    {
        builder = builder.interceptor(straight);
    }
    aws_sdk_sfn::Client::from_conf(builder.build())
}

fn sts(config: &SdkConfig, budget: &Arc<Budget>) -> aws_sdk_sts::Client {
    let builder =
        aws_sdk_sts::config::Builder::from(config).interceptor(Slowdown(Arc::clone(budget)));
    aws_sdk_sts::Client::from_conf(builder.build())
}

fn logs(config: &SdkConfig, budget: &Arc<Budget>) -> aws_sdk_cloudwatchlogs::Client {
    let mut builder = aws_sdk_cloudwatchlogs::config::Builder::from(config)
        .interceptor(Slowdown(Arc::clone(budget)));
    let logs = endpoint(config, "CloudWatch Logs");
    if let Some(straight) = logs.as_deref().and_then(NoHostPrefix::at) {
        builder = builder.interceptor(straight);
    }
    aws_sdk_cloudwatchlogs::Client::from_conf(builder.build())
}

fn s3(config: &SdkConfig, budget: &Arc<Budget>) -> aws_sdk_s3::Client {
    // A custom endpoint is one host: a bucket in the host's name would not be found.
    let custom = endpoint(config, "S3").is_some();
    let builder = aws_sdk_s3::config::Builder::from(config)
        .timeout_config(time_limits(TRANSFER_ATTEMPT, TRANSFER))
        .force_path_style(custom)
        .interceptor(Slowdown(Arc::clone(budget)));
    aws_sdk_s3::Client::from_conf(builder.build())
}

/// Tells the budget about every throttled attempt, also those that a retry of the SDK hides.
#[derive(Debug)]
struct Slowdown(Arc<Budget>);

impl Intercept for Slowdown {
    fn name(&self) -> &'static str {
        "slowdown"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if context.response().is_some_and(throttles) {
            let action = config.load::<Metadata>().map_or("", Metadata::name);
            tracing::info!(action, "slowed by the service");
            self.0.throttled(action, Instant::now());
        }
        Ok(())
    }
}

fn throttles(response: &HttpResponse) -> bool {
    match response.status().as_u16() {
        // 503 is S3's SlowDown; what else comes with it asks for the same.
        429 | 503 => true,
        400..500 => response
            .body()
            .bytes()
            .and_then(json_code)
            .is_some_and(|code| error::is_throttling(&code)),
        _ => false,
    }
}

/// The error code in an AWS JSON answer, without its name space.
fn json_code(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        #[serde(rename = "__type")]
        kind: String,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let code = answer.kind.rsplit('#').next().unwrap_or(&answer.kind);
    Some(code.to_owned())
}

/// Some operations (`TestState`, `StartLiveTail`) put a word before the host even of a custom
/// endpoint, where nothing of that name exists. This takes it away again.
#[derive(Debug)]
pub struct NoHostPrefix {
    /// Host and port of the endpoint.
    authority: String,
}

impl NoHostPrefix {
    /// `None` for AWS itself, where the prefixed hosts are.
    pub fn of(config: &SdkConfig) -> Option<Self> {
        Self::at(config.endpoint_url()?)
    }

    fn at(url: &str) -> Option<Self> {
        let (_, rest) = url.split_once("://")?;
        let authority = rest.split('/').next().unwrap_or(rest).to_owned();
        Some(Self { authority })
    }

    /// The same address without a prefix before our host; `None` when there is none.
    fn straighten(&self, uri: &str) -> Option<String> {
        let (scheme, rest) = uri.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let prefix = authority.strip_suffix(&self.authority)?;
        (!prefix.is_empty()).then(|| format!("{scheme}://{}{path}", self.authority))
    }
}

impl Intercept for NoHostPrefix {
    fn name(&self) -> &'static str {
        "no host prefix"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        if let Some(uri) = self.straighten(request.uri()) {
            request.set_uri(uri)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_prefix_goes_and_the_rest_stays() {
        let straight = NoHostPrefix {
            authority: "127.0.0.1:4566".to_owned(),
        };
        assert_eq!(
            straight
                .straighten("http://sync-127.0.0.1:4566/?a=127.0.0.1:4566")
                .as_deref(),
            Some("http://127.0.0.1:4566/?a=127.0.0.1:4566")
        );
        assert_eq!(
            straight.straighten("http://127.0.0.1:4566/sync-127.0.0.1:4566"),
            None
        );
        assert_eq!(
            straight.straighten("https://states.eu-west-1.amazonaws.com/"),
            None
        );
    }

    #[test]
    fn only_the_outer_type_is_the_code() {
        let body = br#"{"__type":"com.amazonaws.swf.service.v2.model#ThrottlingException",
            "message":"Rate exceeded","detail":{"__type":"x#Other"}}"#;
        assert_eq!(json_code(body).as_deref(), Some("ThrottlingException"));
        assert_eq!(json_code(b"<html>"), None);
    }
}

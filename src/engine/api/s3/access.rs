//! Who may ask, and what is refused by name before it reaches an operation.

use http::HeaderMap;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::host::{S3Host, VirtualHost};
use s3s::path::check_bucket_name;
use s3s::validation::NameValidation;
use s3s::{S3Result, s3_error};

use crate::engine::{ACCOUNT, Credentials};

/// Headers that ask for what the storage does not do. To ignore one would be to promise it.
const REFUSED: [&str; 17] = [
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-mfa",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-optional-object-attributes",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
];

/// Headers of which the storage does one thing only.
const ONLY: [(&str, &[&str]); 3] = [
    ("x-amz-acl", &["private", "bucket-owner-full-control"]),
    ("x-amz-storage-class", &["STANDARD"]),
    ("x-amz-object-ownership", &["BucketOwnerEnforced"]),
];

/// The one key pair of the folder.
pub(super) struct Owner(pub(super) Credentials);

#[async_trait::async_trait]
impl S3Auth for Owner {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.0.access_key {
            Ok(SecretKey::from(self.0.secret_key.as_str()))
        } else {
            Err(s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            ))
        }
    }
}

/// Takes every bucket's name: the library refuses one without saying why, [`OwnerOnly`] says it.
pub(super) struct AnyName;

impl NameValidation for AnyName {
    fn validate_bucket_name(&self, _name: &str) -> bool {
        true
    }
}

/// The owner may do everything that there is.
pub(super) struct OwnerOnly;

#[async_trait::async_trait]
impl S3Access for OwnerOnly {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        let bucket = context.s3_path().get_bucket_name();
        if bucket.is_some_and(|bucket| !check_bucket_name(bucket)) {
            return Err(s3_error!(
                InvalidBucketName,
                "The specified bucket is not valid."
            ));
        }
        check_headers(context.headers())?;
        check_version(context.uri().query())
    }
}

fn check_headers(headers: &HeaderMap) -> S3Result<()> {
    for name in [
        "x-amz-expected-bucket-owner",
        "x-amz-source-expected-bucket-owner",
    ] {
        if headers.get(name).is_some_and(|owner| owner != ACCOUNT) {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
    }
    if let Some(name) = REFUSED.iter().find(|name| headers.contains_key(**name)) {
        return Err(s3_error!(
            NotImplemented,
            "The local storage does not support the header {name}"
        ));
    }
    for (name, values) in ONLY {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        if value.is_some_and(|value| !values.contains(&value)) {
            return Err(s3_error!(
                NotImplemented,
                "The local storage supports only {} for the header {name}",
                values.join(" and ")
            ));
        }
    }
    Ok(())
}

/// Without versioning, every object has the version `null`.
fn check_version(query: Option<&str>) -> S3Result<()> {
    let mut parameters = query.unwrap_or_default().split('&');
    match parameters.find_map(|it| it.strip_prefix("versionId=")) {
        None | Some("" | "null") => Ok(()),
        Some(_) => Err(s3_error!(
            NoSuchVersion,
            "The specified version does not exist."
        )),
    }
}

/// A bucket may stand before `localhost`; whatever else the host is, the bucket is in the path.
pub(super) struct AnyHost;

impl S3Host for AnyHost {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
        Ok(match name.strip_suffix(".localhost") {
            Some(bucket) if !bucket.is_empty() => VirtualHost::new("localhost").with_bucket(bucket),
            _ => VirtualHost::new(host),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_storage_lacks_is_refused_by_name() {
        let refused = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )]);
            check_headers(&headers)
                .err()
                .map(|error| format!("{error}"))
        };
        assert_eq!(refused("x-amz-acl", "private"), None);
        assert_eq!(refused("x-amz-storage-class", "STANDARD"), None);
        assert_eq!(refused("x-amz-expected-bucket-owner", ACCOUNT), None);
        assert!(
            refused("x-amz-acl", "public-read")
                .unwrap()
                .contains("x-amz-acl")
        );
        assert!(
            refused("x-amz-tagging", "a=b")
                .unwrap()
                .contains("x-amz-tagging")
        );
        assert!(
            refused("x-amz-expected-bucket-owner", "1")
                .unwrap()
                .contains("AccessDenied")
        );
        assert!(check_version(Some("x=1&versionId=null")).is_ok());
        assert!(check_version(Some("versionId=abc")).is_err());
    }

    #[test]
    fn a_bucket_may_be_in_the_host() {
        let bucket = |host| {
            let parsed = AnyHost.parse_host_header(host).unwrap();
            parsed.bucket().map(str::to_owned)
        };
        assert_eq!(bucket("files.localhost:4566").as_deref(), Some("files"));
        assert_eq!(bucket("localhost:4566"), None);
        assert_eq!(bucket("sync-127.0.0.1:4566"), None);
        assert_eq!(bucket("s3.us-east-1.amazonaws.com"), None);
    }
}

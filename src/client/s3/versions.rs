//! Versions of an object, and links that let others read it.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use crate::client::error::{Error, ErrorKind};
use crate::client::{Client, shell_word};
use crate::model::{Object, ObjectAddress, Timestamp};

/// Versions listed of one object.
const MOST: usize = 100;
/// The longest that a link may be valid; with a role's credentials it ends with these.
pub const LONGEST_LINK: Duration = Duration::from_hours(7 * 24);

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ObjectVersion {
    pub id: String,
    /// Bytes; `None` of a marker that says the object was deleted.
    pub size: Option<u64>,
    pub modified: Timestamp,
    pub is_latest: bool,
    /// With its quotes; empty of a marker.
    pub etag: String,
}

impl ObjectVersion {
    /// This version of the object at `address`, to be read as any other one; `None` of a marker.
    pub fn object(&self, address: &ObjectAddress) -> Option<Object> {
        Some(Object {
            address: address.at_version(&self.id),
            size: self.size?,
            modified: self.modified,
            etag: self.etag.clone(),
        })
    }
}

impl Client {
    /// Versions of an object, the newest first, 100 at most. `None` where the bucket keeps none.
    pub async fn object_versions(
        &self,
        address: &ObjectAddress,
    ) -> Result<Option<Vec<ObjectVersion>>, Error> {
        let request = self
            .shared
            .s3
            .list_object_versions()
            .bucket(&address.bucket)
            .prefix(&address.key);
        let listed = match Box::pin(request.send()).await {
            Ok(listed) => listed,
            // Storage that knows nothing of versions, as the embedded engine.
            Err(failure) if failure.code() == Some("NotImplemented") => return Ok(None),
            Err(failure) => {
                let subject = address.to_string();
                return Err(self.failed("ListObjectVersions", &subject, &failure));
            }
        };
        let is_ours = |key: Option<&str>| key == Some(address.key.as_str());
        let versions = listed.versions().iter().filter(|it| is_ours(it.key()));
        let versions = versions.map(|it| ObjectVersion {
            id: it.version_id().unwrap_or("null").to_owned(),
            size: Some(super::size(it.size())),
            modified: super::modified(it.last_modified().copied()),
            is_latest: it.is_latest() == Some(true),
            etag: it.e_tag().unwrap_or_default().to_owned(),
        });
        let markers = listed
            .delete_markers()
            .iter()
            .filter(|it| is_ours(it.key()));
        let markers = markers.map(|it| ObjectVersion {
            id: it.version_id().unwrap_or("null").to_owned(),
            size: None,
            modified: super::modified(it.last_modified().copied()),
            is_latest: it.is_latest() == Some(true),
            etag: String::new(),
        });
        let mut all: Vec<ObjectVersion> = versions.chain(markers).collect();
        all.sort_by_key(|it| std::cmp::Reverse((it.is_latest, it.modified)));
        all.truncate(MOST);
        let is_kept = all.iter().any(|it| it.id != "null");
        Ok(is_kept.then_some(all))
    }

    /// An address by which anybody may read the object for so long. It is a secret: whoever has it
    /// needs nothing else.
    ///
    /// # Errors
    /// `ReadOnly`; `Invalid` for more than seven days; `SignIn` without credentials.
    pub async fn link(&self, address: &ObjectAddress, valid: Duration) -> Result<String, Error> {
        const ACTION: &str = "presign GetObject";
        let subject = address.to_string();
        // It changes nothing, but it gives something away: noted, and not for who may only read.
        let seconds = valid.as_secs().to_string();
        let command = || {
            let object = shell_word(&address.current().to_string());
            // That command knows no versions.
            let version = address.version.as_ref();
            let version = version.map_or(String::new(), |id| format!(" # version {id}"));
            format!("aws s3 presign {object} --expires-in {seconds}{version}")
        };
        let signing = self.sign(ACTION, address, valid);
        self.change(ACTION, &subject, command, signing).await
    }

    async fn sign(
        &self,
        action: &'static str,
        address: &ObjectAddress,
        valid: Duration,
    ) -> Result<String, Error> {
        let subject = address.to_string();
        let invalid = |text: String| Error::new(action, &subject, ErrorKind::Invalid(text));
        if LONGEST_LINK < valid || valid < Duration::from_secs(1) {
            return Err(invalid("a link is valid for 1 second to 7 days".to_owned()));
        }
        let valid = PresigningConfig::expires_in(valid).map_err(|odd| invalid(odd.to_string()))?;
        let request = on!(self, get_object, address).set_version_id(address.version.clone());
        match Box::pin(request.presigned(valid)).await {
            Ok(signed) => Ok(signed.uri().to_owned()),
            Err(failure) => Err(self.failed(action, &subject, &failure)),
        }
    }
}

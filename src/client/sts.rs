//! Whose credentials these are.

use crate::client::connect::profile;
use crate::client::limits::Action;
use crate::client::{Client, Error, Identity};

impl Client {
    /// The account and role behind the credentials. Needs no right that a policy could take away.
    pub async fn identity(&self) -> Result<Identity, Error> {
        let label = &self.shared.connection.label;
        let request = self.shared.sts.get_caller_identity().send();
        let answer = self.ask(Action::GetCallerIdentity, label, request).await?;
        Ok(Identity {
            account: answer.account.unwrap_or_default(),
            arn: answer.arn.unwrap_or_default(),
            ends: profile::sign_in_ends(label).await,
        })
    }
}

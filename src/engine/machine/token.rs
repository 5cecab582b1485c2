//! Task tokens: what `$$.Task.Token` gives and SendTask… takes (developer guide, "Wait for a
//! Callback with Task Token").
//!
//! A token names its attempt, so that nobody keeps a table of tokens: whether somebody still waits
//! for it, the execution's frames tell. The digest takes in the execution's nonce, which nobody
//! sees: a token cannot be made up.

use sha2::{Digest, Sha256};

use super::Identity;
use crate::engine::hex;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskToken {
    /// ARN of the execution or child.
    pub execution: String,
    /// Number of the attempt, as in the inputs that end it.
    pub attempt: u64,
    /// What the Task calls, for messages.
    pub resource: String,
    digest: String,
}

impl TaskToken {
    pub fn new(identity: &Identity, attempt: u64, resource: String) -> Self {
        Self {
            digest: digest(&identity.nonce, &identity.id, attempt, &resource),
            execution: identity.id.clone(),
            attempt,
            resource,
        }
    }

    /// The token as it is handed out: opaque, at most 2,048 characters.
    pub fn text(&self) -> String {
        let parts = (&self.execution, self.attempt, &self.resource, &self.digest);
        let bytes = serde_json::to_vec(&parts).expect("strings and a number serialize");
        hex::encode(&bytes)
    }

    /// `None`: none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = hex::decode(text)?;
        let (execution, attempt, resource, digest) = serde_json::from_slice(&bytes).ok()?;
        Some(Self {
            execution,
            attempt,
            resource,
            digest,
        })
    }

    /// Whether the execution with this nonce handed it out.
    pub fn is_of(&self, nonce: &str) -> bool {
        self.digest == digest(nonce, &self.execution, self.attempt, &self.resource)
    }
}

fn digest(nonce: &str, execution: &str, attempt: u64, resource: &str) -> String {
    let text = format!("{nonce}\n{execution}\n{attempt}\n{resource}");
    hex::encode(&Sha256::digest(text)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_again_and_a_changed_one_is_not() {
        let identity = Identity {
            id: "arn:aws:states:us-east-1:000000000000:execution:m:r".into(),
            nonce: "secret".into(),
            ..Identity::default()
        };
        let token = TaskToken::new(&identity, 7, "arn:aws:states:::lambda:invoke".into());
        let text = token.text();
        assert!(text.len() <= 2_048);
        assert_eq!(TaskToken::parse(&text), Some(token.clone()));
        assert!(token.is_of("secret"));
        assert!(!token.is_of("another"));
        let forged = TaskToken {
            attempt: 8,
            ..token
        };
        assert!(!forged.is_of("secret"));
        for garbage in ["", "zz", "00", &text[1..], &text[..text.len() - 2]] {
            assert_eq!(TaskToken::parse(garbage), None);
        }
    }
}

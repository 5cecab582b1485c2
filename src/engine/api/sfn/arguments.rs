//! Arguments of a call, each checked as it is asked for, and tokens that continue a listing.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::engine::api::ApiError;
use crate::engine::{ACCOUNT, REGION};

/// How long a page token lives (API reference, "nextToken").
const TOKEN_LIFE_MS: i64 = 24 * 3_600_000;
/// Results on a page when nothing is asked for, and at the most.
const DEFAULT_PAGE: u64 = 100;
const MAX_PAGE: u64 = 1_000;

pub struct Arguments {
    members: Map<String, Value>,
}

pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

fn violation(name: &str, shown: &str, rule: &str) -> ApiError {
    invalid(format!(
        "1 validation error detected: Value {shown} at '{name}' failed to satisfy constraint: {rule}"
    ))
}

impl Arguments {
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self { members }),
            _ => Err(ApiError::new(
                "SerializationException",
                "the body is not a JSON object",
            )),
        }
    }

    /// Refuses members that the operation does not know, by name.
    pub fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        match self
            .members
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(name) => Err(invalid(format!(
                "The member '{name}' is not supported by this engine"
            ))),
            None => Ok(()),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    pub fn value(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::new(
                "SerializationException",
                format!("'{name}' must be a string"),
            )),
        }
    }

    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name)?
            .ok_or_else(|| violation(name, "null", "Member must not be null"))
    }

    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(ApiError::new(
                "SerializationException",
                format!("'{name}' must be a boolean"),
            )),
        }
    }

    pub fn integer(&self, name: &str) -> Result<Option<u64>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(violation(
                    name,
                    &format!("'{value}'"),
                    "Member must have value greater than or equal to 0",
                )),
            },
        }
    }

    pub fn share(&self, name: &str) -> Result<Option<f64>, ApiError> {
        match self.value(name).map(|value| (value, value.as_f64())) {
            None => Ok(None),
            Some((_, Some(share))) if (0.0..=100.0).contains(&share) => Ok(Some(share)),
            Some((value, _)) => Err(violation(
                name,
                &format!("'{value}'"),
                "Member must have value between 0 and 100",
            )),
        }
    }

    /// One of `values`, as the model's enum has them.
    pub fn one_of(&self, name: &str, values: &[&str]) -> Result<Option<&str>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        if values.contains(&text) {
            return Ok(Some(text));
        }
        let rule = format!(
            "Member must satisfy enum value set: [{}]",
            values.join(", ")
        );
        Err(violation(name, &format!("'{text}'"), &rule))
    }

    pub fn limit(&self) -> Result<usize, ApiError> {
        match self.integer("maxResults")? {
            None | Some(0) => Ok(DEFAULT_PAGE as usize),
            Some(number) if number <= MAX_PAGE => Ok(number as usize),
            Some(number) => Err(violation(
                "maxResults",
                &format!("'{number}'"),
                "Member must have value less than or equal to 1000",
            )),
        }
    }

    /// An ARN of our Region and account of one of `kinds`: the kind and what follows it.
    pub fn arn(&self, name: &str, kinds: &[&str]) -> Result<(&str, &str), ApiError> {
        let arn = self.required(name)?;
        let parts: Vec<&str> = arn.splitn(7, ':').collect();
        let ["arn", "aws", "states", region, account, kind, rest] = parts.as_slice() else {
            return Err(bad_arn(format!("Invalid ARN prefix: {arn}")));
        };
        if *region != REGION || *account != ACCOUNT {
            return Err(bad_arn(format!(
                "Resource is in another Region or account: {arn}"
            )));
        }
        if !kinds.contains(kind) {
            return Err(bad_arn(format!(
                "Resource type not valid in this context: {kind}"
            )));
        }
        Ok((kind, rest))
    }

    /// What a page token of these arguments says, or `None` for the first page.
    ///
    /// # Errors
    /// `InvalidToken` for one of other arguments, of another day, or not ours at all.
    pub fn position<T: serde::de::DeserializeOwned>(
        &self,
        now: i64,
    ) -> Result<Option<T>, ApiError> {
        let Some(token) = self.text("nextToken")? else {
            return Ok(None);
        };
        let bad = || ApiError::new("InvalidToken", "Invalid Token: 'Invalid token'");
        let bytes = unhex(token).ok_or_else(bad)?;
        let (digest, made, position): (String, i64, T) =
            serde_json::from_slice(&bytes).map_err(|_| bad())?;
        let is_fresh = (0..TOKEN_LIFE_MS).contains(&(now - made));
        if digest == self.digest() && is_fresh {
            Ok(Some(position))
        } else {
            Err(bad())
        }
    }

    pub fn token<T: serde::Serialize>(&self, position: T, now: i64) -> String {
        hex(json!([self.digest(), now, position]).to_string().as_bytes())
    }

    /// Of every argument besides the token: a token only continues the same question.
    fn digest(&self) -> String {
        let mut members = self.members.clone();
        members.remove("nextToken");
        members.sort_keys();
        hex(&Sha256::digest(Value::Object(members).to_string())[..8])
    }
}

pub fn bad_arn(text: String) -> ApiError {
    ApiError::new("InvalidArn", format!("Invalid Arn: '{text}'"))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;

    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() % 2 == 1 {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Names of state machines and executions (API reference, StartExecution, "name").
pub fn check_name(name: &str) -> Result<(), ApiError> {
    let forbidden = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || "<>{}[]?*\"#%\\^|~`$&,;:/".contains(c)
            || ('\u{fffe}'..='\u{ffff}').contains(&c)
            || c == '\u{10ffff}'
    };
    let length = name.chars().count();
    if length == 0 || length > 80 || name.contains(forbidden) {
        return Err(ApiError::new(
            "InvalidName",
            format!("Invalid Name: '{name}'"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(value: &Value) -> Arguments {
        Arguments::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_token_continues_only_the_question_it_was_made_for_and_only_for_a_day() {
        let asked = arguments(&json!({"maxResults": 5, "mapRunArn": "a"}));
        let token = asked.token((7_i64, 3_u32), 1_000);
        let again = arguments(&json!({"mapRunArn": "a", "maxResults": 5, "nextToken": token}));
        assert_eq!(again.position::<(i64, u32)>(2_000).unwrap(), Some((7, 3)));
        assert_eq!(
            again
                .position::<(i64, u32)>(1_000 + TOKEN_LIFE_MS)
                .unwrap_err()
                .code,
            "InvalidToken"
        );
        let other = arguments(&json!({"mapRunArn": "b", "maxResults": 5, "nextToken": token}));
        assert_eq!(
            other.position::<(i64, u32)>(2_000).unwrap_err().code,
            "InvalidToken"
        );
        let garbage = arguments(&json!({"nextToken": "zz"}));
        assert_eq!(
            garbage.position::<(i64, u32)>(2_000).unwrap_err().message,
            "Invalid Token: 'Invalid token'"
        );
    }

    #[test]
    fn names_are_checked_as_aws_does() {
        assert!(check_name("invoices-2026_a.b").is_ok());
        for bad in ["", "a b", "a/b", "a:b", "x\u{1b}[0m", &"x".repeat(81)] {
            assert_eq!(check_name(bad).unwrap_err().code, "InvalidName");
        }
    }
}

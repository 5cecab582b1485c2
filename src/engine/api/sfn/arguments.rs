//! Arguments of a call, and tokens that continue a listing.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::shapes::{self, Member};
use crate::engine::api::ApiError;
use crate::engine::store::Origin;
use crate::engine::{ACCOUNT, REGION, hex};

/// How long a page token lives (API reference, "nextToken").
const TOKEN_LIFE_MS: i64 = 24 * 3_600_000;
/// Results on a page when nothing is asked for.
const DEFAULT_PAGE: u64 = 100;

pub struct Arguments {
    members: Map<String, Value>,
    /// The Task that makes the call, when it came from inside.
    origin: Option<Origin>,
}

pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

impl Arguments {
    /// The arguments of an operation, every one of them within the API reference's limits.
    ///
    /// # Errors
    /// `UnknownOperationException`, `SerializationException`, or a `ValidationException` that tells
    /// everything that is wrong.
    pub fn parse(operation: &str, body: &[u8]) -> Result<Self, ApiError> {
        let members = shapes::request(operation).ok_or_else(|| {
            ApiError::new(
                "UnknownOperationException",
                format!("Step Functions has no operation {operation}"),
            )
        })?;
        Self::checked(members, body)
    }

    /// The members of a body, every one of them known and within its limits.
    pub fn checked(members: &'static [Member], body: &[u8]) -> Result<Self, ApiError> {
        let given = match serde_json::from_slice(body) {
            Ok(Value::Object(given)) => given,
            // An empty body is an empty object.
            Err(_) if body.is_empty() => Map::new(),
            Ok(_) => return Err(not_json("the body is not a JSON object")),
            Err(error) => return Err(not_json(error.to_string())),
        };
        shapes::check(members, &given)?;
        Ok(Self {
            members: given,
            origin: None,
        })
    }

    /// Sets a member that came beside the body.
    pub fn put(&mut self, name: &str, value: &str) {
        self.members.insert(name.to_owned(), value.into());
    }

    /// The Task that makes the call, when it came from inside.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    pub fn comes_from(&mut self, origin: Option<Origin>) {
        self.origin = origin;
    }

    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub fn value(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(Value::as_str)
    }

    /// A member that the operation requires.
    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name)
            .ok_or_else(|| invalid(format!("the member '{name}' is missing")))
    }

    pub fn flag(&self, name: &str) -> bool {
        self.value(name) == Some(&Value::Bool(true))
    }

    pub fn integer(&self, name: &str) -> Option<u64> {
        self.value(name).and_then(Value::as_u64)
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.value(name).and_then(Value::as_f64)
    }

    /// How many results go on a page.
    pub fn limit(&self) -> usize {
        let asked = self.integer("maxResults").filter(|asked| *asked > 0);
        usize::try_from(asked.unwrap_or(DEFAULT_PAGE)).unwrap_or(usize::MAX)
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
        let Some(token) = self.text("nextToken") else {
            return Ok(None);
        };
        let bad = || ApiError::new("InvalidToken", "Invalid Token: 'Invalid token'");
        let bytes = hex::decode(token).ok_or_else(bad)?;
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
        hex::encode(json!([self.digest(), now, position]).to_string().as_bytes())
    }

    /// Of every argument besides the token: a token only continues the same question.
    fn digest(&self) -> String {
        let mut members = self.members.clone();
        members.remove("nextToken");
        members.sort_keys();
        hex::encode(&Sha256::digest(Value::Object(members).to_string())[..8])
    }
}

fn not_json(problem: impl Into<String>) -> ApiError {
    ApiError::new("SerializationException", problem)
}

pub fn bad_arn(text: String) -> ApiError {
    ApiError::new("InvalidArn", format!("Invalid Arn: '{text}'"))
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
        Arguments::parse("ListExecutions", value.to_string().as_bytes()).unwrap()
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
    fn a_body_is_an_object_or_nothing() {
        assert!(Arguments::parse("ListStateMachines", b"").is_ok());
        for body in ["[]", "{", "\"x\"", "{\"a\": 1} {}"] {
            let refused = Arguments::parse("ListStateMachines", body.as_bytes());
            assert_eq!(refused.err().unwrap().code, "SerializationException");
        }
        let unknown = Arguments::parse("ListMachines", b"{}").err().unwrap();
        assert_eq!(unknown.code, "UnknownOperationException");
    }

    #[test]
    fn names_are_checked_as_aws_does() {
        assert!(check_name("invoices-2026_a.b").is_ok());
        for bad in ["", "a b", "a/b", "a:b", "x\u{1b}[0m", &"x".repeat(81)] {
            assert_eq!(check_name(bad).unwrap_err().code, "InvalidName");
        }
    }
}
